//! The logger: reads every service's pipe, writes the log of everything.

mod init_link;
pub mod kernel;
mod rotation;
mod stall;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::log::lease::Lease;
use engine::log::marker::Marker;
use engine::log::split::{Rest, first_piece};
use engine::log::step::{self, Stuck};
use model::bytes::Writer;
use model::limits::LOG_TURN_BYTES_MAX;
use model::log::journal::Record;
use model::log::line::{Lines, head};
use model::log::mark::{BOOT_BYTES, Boot};
use model::log::policy::Policy;
use model::service::request::{Slot, ToInit};
use model::time::{Date, Moment};

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::log::journal::{Journal, Step};
use crate::log::last_boot::Ring;
use crate::log::listeners::{self, Listeners};
use crate::log::log_dir::{LogDir, Unclosed};
use crate::log::pipes::{Glass, Pipe};
use crate::socket::Connection;
use crate::sys::{notice, signals};
use kernel::Kernel;
use rotation::Rotation;
use stall::Stall;

const INIT: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
const KERNEL: u64 = u64::MAX - 2;

/// Turns between two looks at what else has happened.
const TURNS_MAX: usize = 32;

/// Text that one turn may make of what it reads: short lines grow by their label.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What the logger is told to do.
pub struct Plan<'a> {
    pub directory: &'a Path,
    pub policy: Policy,
    /// The socket of init.
    pub init: &'a Path,
    /// Where the kernel's records are, if they are wanted.
    pub kernel: Option<&'a Path>,
    /// A file is also finished when it is so old.
    pub period: Option<Duration>,
    /// What makes something else of finished files.
    pub processor: Option<&'a [u8]>,
    /// The file whose end outlives a restart, and the directory where it is found then.
    pub kept: Option<&'a Path>,
    pub found: &'a Path,
    /// Told when one of the two cannot be used.
    pub say: fn(&Path, io::Error),
}

/// Why the logger cannot begin.
#[derive(Debug)]
pub enum Failure {
    Directory(io::Error),
    Init(io::Error),
    Kernel(io::Error),
    System(io::Error),
}

/// How the turn of one pipe went.
enum Turned {
    /// It holds nothing more, or an unfinished line.
    Empty,
    /// It may hold more.
    More,
}

/// What a step has done.
struct Written {
    /// Bytes of the pipe.
    taken: usize,
    /// Where in the log the text begins, and how much of it is there.
    from: i64,
    bytes: usize,
}

pub struct Collector {
    log: LogDir,
    ring: Ring,
    journal: Journal,
    policy: Policy,
    rotation: Rotation,
    boot: u64,
    marker: Marker,
    glass: Glass,
    /// By slot.
    pipes: Vec<Pipe>,
    kernel: Option<Kernel>,
    /// Slots of pipes that may hold whole lines.
    queue: VecDeque<Slot>,
    events: EventLoop,
    signals: OwnedFd,
    init: Option<Connection>,
    init_path: PathBuf,
    /// While init tells of all pipes anew: the slots it has named.
    named: Option<Vec<Slot>>,
    /// Slots of which init has given up so many lines since an earlier logger looked.
    relieved: Vec<(Slot, u64)>,
    /// All pipes are known, and what an earlier logger left was finished:
    /// before that, nothing is read.
    begun: bool,
    /// When to ask for init again, and how often that was done.
    reconnect: Option<(Moment, u32)>,
    /// While the log cannot be written.
    stalled: Option<Stall>,
    listeners: Listeners,
    /// Only for a disk that may hang.
    lease: Option<Lease>,
    /// What stands in the log before this may be of services that are not known.
    known_from: i64,
    text: Lines,
}

impl Collector {
    /// Opens the directory, connects to init, and ends what an earlier
    /// logger was doing when it was killed.
    pub fn start(plan: &Plan<'_>) -> Result<Self, Failure> {
        let signals = signals::read_from(&[
            libc::SIGTERM,
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGALRM,
            libc::SIGCHLD,
            notice::SIGNAL,
        ]);
        signals::ignore_pipe();
        let signals = signals.map_err(Failure::System)?;
        raise_descriptor_limit();
        let log =
            LogDir::open(plan.directory, 0o750, Unclosed::GoesOn).map_err(Failure::Directory)?;
        let boot = boot_id();
        let number = boot_number(&boot);
        let mut journal = Journal::open(log.directory(), plan.init).map_err(Failure::Directory)?;
        if journal.record().boot != number {
            journal.forget();
        }
        let events = EventLoop::new().map_err(Failure::System)?;
        events.add(&signals, SIGNALS, Readiness::IN).map_err(Failure::System)?;
        let listeners = Listeners::open(plan.init, &events).map_err(Failure::Init)?;
        let rotation = Rotation::new(plan, &log, clock::now()).map_err(Failure::Directory)?;
        let kernel = match plan.kernel {
            Some(path) => {
                let kernel = Kernel::open(path).map_err(Failure::Kernel)?;
                let interest = Readiness::IN | Readiness::ET;
                events.add(&kernel.file, KERNEL, interest).map_err(Failure::Kernel)?;
                Some(kernel)
            }
            None => None,
        };
        let lease = (!log.is_in_memory().map_err(Failure::Directory)?).then(Lease::default);
        let mut collector = Self {
            log,
            ring: Ring::open(plan, &boot),
            journal,
            policy: plan.policy,
            rotation,
            boot: number,
            marker: Marker::new(boot),
            glass: Glass::new().map_err(Failure::System)?,
            pipes: Vec::new(),
            kernel,
            queue: VecDeque::new(),
            events,
            signals,
            init: None,
            init_path: plan.init.to_owned(),
            named: None,
            relieved: Vec::new(),
            begun: false,
            reconnect: None,
            stalled: None,
            listeners,
            lease,
            known_from: 0,
            text: Lines::new(TEXT_BYTES_MAX),
        };
        collector.connect().map_err(Failure::Init)?;
        Ok(collector)
    }

    /// Works until a signal ends it.
    ///
    /// # Errors
    /// Init is gone for good, or the system refuses to wait for events.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let busy = self.begun && self.has_work() && self.stalled.is_none();
            let deadlines = [
                busy.then_some(Moment::ZERO),
                self.stalled.as_ref().map(|stall| stall.retry.0.min(stall.relief)),
                self.reconnect.map(|(at, _)| at),
                self.listeners.deadline(),
                self.lease.as_ref().and_then(Lease::deadline),
                self.rotates().then(|| self.rotation.deadline()).flatten(),
            ];
            for (token, readiness) in self.events.wait(deadlines.into_iter().flatten().min())? {
                match token {
                    INIT => self.hear_init(),
                    SIGNALS => {
                        if self.hear_signals()? {
                            return self.leave();
                        }
                    }
                    KERNEL => {
                        if let Some(kernel) = &mut self.kernel {
                            kernel.queued = true;
                        }
                    }
                    listeners::FIRST.. => {
                        self.hear_listener(token, readiness);
                    }
                    slot => self.enqueue(slot as Slot),
                }
            }
            let now = clock::now();
            self.say_whether_it_writes(now);
            if self.stalled.as_ref().is_some_and(|stall| stall.relief <= now) {
                self.relieve(now);
            }
            if self.stalled.as_ref().is_some_and(|stall| stall.retry.0 <= now) {
                self.retry();
            }
            if let Some((at, tries)) = self.reconnect
                && at <= now
            {
                self.connect_again(tries)?;
            }
            for _ in 0..TURNS_MAX {
                if self.stalled.is_some() || !self.begun {
                    break;
                }
                let Some(slot) = self.queue.pop_front() else { break };
                self.turn_of(slot);
                if self.lease.is_some() {
                    self.say_whether_it_writes(clock::now());
                }
            }
            if self.stalled.is_none() && self.begun {
                self.turn_of_kernel();
            }
            self.go_on_rotating(now);
            self.listeners.answer_syncs(&self.pipes, &self.events);
            self.listeners.listen_again(&self.events, now);
        }
    }

    /// Somebody waits for a turn.
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.kernel.as_ref().is_some_and(|kernel| kernel.queued)
    }

    fn say_whether_it_writes(&mut self, now: Moment) {
        let busy = self.has_work();
        if let (Some(lease), Some(init)) = (&mut self.lease, &self.init)
            && let Some(time) = lease.due(now, busy)
        {
            let mut w = Writer::new();
            ToInit::Writing { millis: time.as_millis() as u32 }.write(&mut w);
            // A word that is lost makes init kill a logger that is well: the next one goes on.
            let _ = init.send(w.as_bytes());
        }
    }

    fn find(&self, slot: Slot) -> Option<usize> {
        self.pipes.binary_search_by_key(&slot, |pipe| pipe.slot).ok()
    }

    fn enqueue(&mut self, slot: Slot) {
        if let Some(at) = self.find(slot)
            && !self.pipes[at].queued
        {
            self.pipes[at].queued = true;
            self.queue.push_back(slot);
        }
    }

    /// The turn of one service.
    fn turn_of(&mut self, slot: Slot) {
        let Some(at) = self.find(slot) else { return };
        match self.turn(at) {
            Ok(Turned::More) => self.queue.push_back(slot),
            Ok(Turned::Empty) => {
                self.pipes[at].queued = false;
                // Whoever else holds its other end would be killed by its next line.
                if self.pipes[at].ended && self.pipes[at].is_abandoned() {
                    self.drop_pipe(at);
                }
            }
            Err(_) => {
                self.queue.push_front(slot);
                self.stall();
            }
        }
    }

    fn turn(&mut self, at: usize) -> Result<Turned, Stuck<io::Error>> {
        let pipe = &self.pipes[at];
        let mut count = self.glass.look(pipe, self.journal.expected_mut())?;
        if count == 0 {
            self.pipes[at].set_unfinished(false)?;
            return Ok(Turned::Empty);
        }
        let flush = pipe.ended || self.listeners.wants_all(pipe);
        let mut rest = if flush && count < LOG_TURN_BYTES_MAX { Rest::Ended } else { Rest::Open };
        if rest == Rest::Open && first_piece(&self.journal.expected()[..count], rest).is_none() {
            let full = self.glass.is_full(pipe)?;
            let again = self.glass.look(pipe, self.journal.expected_mut())?;
            if again != count {
                return Ok(Turned::More);
            }
            if !full {
                return self.leave_unfinished(at, count);
            }
            (count, rest) = (again, Rest::Full);
        }
        let taken = self.write_lines(at, count, rest)?;
        debug_assert!(taken > 0);
        self.rotate_if_full()?;
        Ok(Turned::More)
    }

    /// Leaves an unfinished line of `count` bytes where it is, and makes sure
    /// that its end will be noticed.
    fn leave_unfinished(&mut self, at: usize, count: usize) -> Result<Turned, Stuck<io::Error>> {
        let pipe = &mut self.pipes[at];
        pipe.set_unfinished(true)?;
        // Whatever came since it was looked at came without a notice.
        Ok(if pipe.length()? == count { Turned::Empty } else { Turned::More })
    }

    /// Logs the whole lines among the first `count` bytes of the journal's
    /// first area, as far as `current` has room; says how many bytes that took.
    fn write_lines(
        &mut self,
        at: usize,
        count: usize,
        rest: Rest,
    ) -> Result<usize, Stuck<io::Error>> {
        let label = self.mark()?.label_text();
        let pipe = &self.pipes[at];
        let head = head(&label, &pipe.name);
        let limit = self.room_in_current();
        self.text.clear();
        let mut taken = 0;
        while self.text.as_bytes().len() < limit
            && let Some(piece) = first_piece(&self.journal.expected()[taken..count], rest)
        {
            self.text.push(&head, piece.text, piece.cut);
            taken += piece.taken;
        }
        let plan = Record { pipe: pipe.inode, ..Record::default() };
        let Written { taken, from, bytes } = self.write(plan, Some(at), taken)?;
        let each = self.room().each;
        let pipe = &mut self.pipes[at];
        pipe.recent.get_or_insert_default().said(from, bytes, each);
        if pipe.followed {
            self.listeners.tell(&self.events, pipe, &self.journal.expected()[..taken], rest);
        }
        Ok(taken)
    }

    /// One step with the text, in this boot, which takes `count` bytes from the pipe `at`.
    fn step(
        &mut self,
        plan: Record,
        at: Option<usize>,
        count: usize,
    ) -> Result<Written, Stuck<io::Error>> {
        let pipe = at.map(|at| self.pipes[at].end.as_fd());
        let from = self.log.position();
        let mut world = Step { log: &mut self.log, journal: &mut self.journal, pipe };
        let plan = Record { boot: self.boot, ..plan };
        let taken = step::step(&mut world, plan, count, self.text.as_bytes())?;
        let bytes = usize::try_from(self.log.position() - from).unwrap_or(0);
        Ok(Written { taken, from, bytes: bytes.min(self.text.as_bytes().len()) })
    }

    /// The same with lines, which also go where the end of the log outlives a restart.
    fn write(
        &mut self,
        plan: Record,
        at: Option<usize>,
        count: usize,
    ) -> Result<Written, Stuck<io::Error>> {
        let written = self.step(plan, at, count)?;
        self.ring.lines(&self.text.as_bytes()[..written.bytes]);
        Ok(written)
    }

    /// Writes a mark where one has to stand, and answers today's date.
    fn mark(&mut self) -> Result<Date, Stuck<io::Error>> {
        self.text.clear();
        let mut clocks =
            |exactly| if exactly { clock::both() } else { (clock::today(), clock::now()) };
        let (today, mark) = self.marker.due(&mut clocks, self.log.length(), &mut self.text);
        if let Some(mark) = mark {
            self.step(Record::default(), None, 0)?;
            self.ring.mark(self.text.as_bytes());
            self.marker.written(mark, self.log.length());
        }
        Ok(today)
    }

    fn drop_pipe(&mut self, at: usize) {
        let pipe = self.pipes.remove(at);
        self.known_from = self.log.position();
        // Init has a duplicate, so closing it alone would not end its events.
        let _ = self.events.remove(&pipe.end);
    }

    /// Ends the step that was under way, if one was.
    fn recover(&mut self) -> io::Result<()> {
        self.log.look()?;
        let record = self.journal.record();
        let own = |pipe: &&Pipe| record.under_way && pipe.inode == record.pipe;
        let own = self.pipes.iter().find(own);
        // What init gave up meanwhile were the bytes that this step would take.
        let relieved = |pipe: &&Pipe| self.relieved.iter().any(|(slot, _)| *slot == pipe.slot);
        let pipe = match own.filter(|pipe| !relieved(pipe)) {
            Some(pipe) if self.journal.left_in(&mut self.glass, pipe, self.text.room())? => {
                Some(pipe.end.as_fd())
            }
            _ => None,
        };
        let mut world = Step { log: &mut self.log, journal: &mut self.journal, pipe };
        step::recover(&mut world, self.boot).map_err(|stuck| match stuck {
            Stuck::World(error) => error,
            Stuck::Short => io::ErrorKind::WriteZero.into(),
        })?;
        if record.under_way {
            for pipe in self.pipes.iter_mut().filter(|pipe| pipe.inode == record.pipe) {
                pipe.lost = self.journal.lost(pipe.inode);
            }
        }
        self.count_relieved();
        Ok(())
    }

    /// Reads signals; `true`: leave.
    fn hear_signals(&mut self) -> io::Result<bool> {
        while let Some(signal) = signals::next(self.signals.as_fd())? {
            match signal {
                notice::SIGNAL => {
                    let unfinished = |pipe: &&Pipe| pipe.unfinished;
                    let slots: Vec<_> =
                        self.pipes.iter().filter(unfinished).map(|pipe| pipe.slot).collect();
                    slots.into_iter().for_each(|slot| self.enqueue(slot));
                }
                libc::SIGCHLD => self.rotation.reap(),
                libc::SIGALRM => {
                    if self.rotates() && self.log.length() > 0 && self.rotate().is_err() {
                        self.stall();
                    }
                }
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Writes the lines that are complete now, and goes. What is unfinished,
    /// or comes later, stays in the pipes for the next logger.
    fn leave(mut self) -> io::Result<()> {
        self.hear_init();
        if !self.begun {
            return Ok(());
        }
        for at in 0..self.pipes.len() {
            let mut left = self.pipes[at].length().unwrap_or(0);
            while left > 0 && self.stalled.is_none() {
                let before = left;
                match self.turn(at) {
                    Ok(Turned::More) => left = left.min(self.pipes[at].length().unwrap_or(0)),
                    Ok(Turned::Empty) => break,
                    Err(_) => return Ok(()),
                }
                if left == before {
                    break; // Somebody writes as fast as this reads.
                }
            }
            let _ = self.pipes[at].set_unfinished(false);
        }
        self.log.close()
    }

    fn hear_listener(&mut self, token: u64, readiness: Readiness) {
        // The service that is asked about may have its pipe since a moment.
        self.hear_init();
        for slot in self.listeners.hear(token, readiness, &self.events, &mut self.pipes) {
            self.enqueue(slot);
        }
    }
}

/// This boot, nothing but zeros where the kernel does not say.
fn boot_id() -> Boot {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.first_chunk::<BOOT_BYTES>().copied().unwrap_or([b'0'; BOOT_BYTES])
}

/// The same as a number.
fn boot_number(id: &Boot) -> u64 {
    let digits = id.iter().filter_map(|&byte| char::from(byte).to_digit(16)).take(16);
    digits.fold(0, |sum, digit| sum << 4 | u64::from(digit))
}

/// One descriptor for each service: as many as the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
