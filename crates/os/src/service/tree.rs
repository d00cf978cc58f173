//! The world of init: Linux, as `engine::service::init` sees it.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use engine::machine::{Action, Event, Program, World};
use engine::service::ending::Class;
use engine::service::init::{Init, SLOTS_MAX, Unit};
use model::bytes::Writer;
use model::service::database::Longrun;
use model::service::request::{Phase, Slot};
use model::service::status::{Death, Exit, Status};
use model::time::Date;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use xxhash_rust::xxh64::xxh64;

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::files;
use crate::service::fifodir;
use crate::service::held::{Held, Home, Pipe};
use crate::service::late::Late;
use crate::service::live_dir;
use crate::service::lives::Live;
use crate::service::table::Table;
use crate::sys::children;
use crate::sys::spawn::Spawner;

/// What the event loop's tokens stand for: the kind above, the slot below.
pub mod token {
    pub const CONTROL: u64 = 1 << 32;
    pub const NOTIFY: u64 = 2 << 32;
    /// Tokens from here on belong to the program.
    pub const FREE: u64 = 3 << 32;
}

/// Descriptors that no new service gets.
const DESCRIPTORS_SPARE: u64 = 16;

/// Children reaped in one turn.
const REAPED_MAX: usize = 256;

/// Bytes read from a notification descriptor at once.
const NOTICE_BYTES_MAX: usize = 256;

/// Letters read from a control fifo at once; whoever writes more waits a turn.
const LETTERS_MAX: usize = 64;

/// Everything that init holds of its slots.
pub struct Tree {
    pub events: EventLoop,
    pub table: Table,
    /// Slots of [`Home::Scandir`] are named from here.
    pub scandir: OwnedFd,
    /// Each service has a pipe to the logger.
    pub logged: bool,
    /// Slots that have a new pipe, for the logger.
    pub new_pipes: Vec<Slot>,
    /// What the log should say.
    pub notes: Vec<String>,
    /// Slots that are no more, whose pipes the logger still holds.
    pub ended_pipes: Vec<Slot>,
    /// Slots whose supervision has ended.
    pub left: Vec<Slot>,
    /// Slots whose status is to be written, but not at once.
    pub late: Late,
    /// The limit of open files that services get: the one init was given.
    pub(super) descriptors_max: Option<u64>,
    pub(super) spawner: Spawner,
    pub(super) environment: Vec<*const c_char>,
    pub(super) lives: Vec<Option<Live>>,
    held: Vec<Option<Box<Held>>>,
    /// By their numbers.
    pids: Vec<(u32, Slot)>,
}

impl Tree {
    /// An empty tree that starts programs with `environment`, as the C
    /// library's `environ` is: strings that are never freed, then null.
    pub fn new(
        events: EventLoop,
        mut table: Table,
        scandir: OwnedFd,
        spawner: Spawner,
        environment: Vec<*const c_char>,
    ) -> Self {
        let raised = raise_limit();
        if table.limit() == 0 {
            table.set_limit(raised.unwrap_or(0));
        }
        let given = table.limit();
        Self {
            events,
            table,
            scandir,
            logged: false,
            new_pipes: Vec::new(),
            notes: Vec::new(),
            ended_pipes: Vec::new(),
            left: Vec::new(),
            late: Late::default(),
            descriptors_max: (given != 0 && !is_limit(given)).then_some(given),
            spawner,
            environment,
            lives: Vec::new(),
            held: Vec::new(),
            pids: Vec::new(),
        }
    }

    pub fn held(&self, slot: Slot) -> Option<&Held> {
        let held = self.held.get(slot as usize % SLOTS_MAX)?.as_deref()?;
        (held.slot == slot).then_some(held)
    }

    pub fn held_mut(&mut self, slot: Slot) -> Option<&mut Held> {
        let held = self.held.get_mut(slot as usize % SLOTS_MAX)?.as_deref_mut()?;
        (held.slot == slot).then_some(held)
    }

    /// Every slot that is held.
    pub fn all(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter_map(Option::as_deref)
    }

    /// The slot of this name in the scandir.
    pub fn in_scandir(&self, name: &str) -> Option<Slot> {
        self.all().find(|h| h.home == Home::Scandir && &*h.name == name).map(|h| h.slot)
    }

    pub(super) fn keep(&mut self, held: Held) {
        let place = held.slot as usize % SLOTS_MAX;
        if self.held.len() <= place {
            self.held.resize_with(place + 1, || None);
        }
        self.held[place] = Some(Box::new(held));
    }

    /// Forgets a slot, and closes what it had open.
    pub fn forget(&mut self, slot: Slot) -> Option<Box<Held>> {
        let held = self.held(slot)?;
        let (record, piped) = (held.record, held.pipe.is_some());
        if piped {
            self.ended_pipes.push(slot);
        }
        if let Some(at) = self.pids.iter().position(|(_, other)| *other == slot) {
            self.pids.remove(at);
        }
        self.table.remove(record);
        self.held[slot as usize % SLOTS_MAX].take()
    }

    /// Refuses what would take one of the last descriptors: those are for
    /// files that are open for a moment, such as the status of a service that
    /// is supervised already.
    pub(super) fn leave_room(&self, fd: &OwnedFd) -> io::Result<()> {
        use rustix::process::{Resource, getrlimit};
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if fd.as_raw_fd() as u64 + DESCRIPTORS_SPARE > most {
            return Err(rustix::io::Errno::MFILE.into());
        }
        Ok(())
    }

    /// The settings of a longrun; `None` for a oneshot.
    pub(super) fn settings(&self, held: &Held) -> Option<Longrun> {
        match held.home {
            _ if held.oneshot => None,
            Home::Live { live, index } => self.live(live)?.database().service(index).longrun(),
            Home::Own | Home::Manager { .. } => Some(super::lives::own_longrun()),
            Home::Scandir => held.plain.as_deref().cloned(),
        }
    }

    /// The directory that [`Held::folder`] counts from.
    pub(super) fn base<'a>(&'a self, held: &'a Held) -> BorrowedFd<'a> {
        match held.home {
            Home::Live { live, .. } => self.live(live).map(|live| &live.directory),
            _ => held.directory.as_ref(),
        }
        .unwrap_or(&self.scandir)
        .as_fd()
    }

    /// Writes what the table remembers of a slot's descriptors.
    pub(super) fn remember(&mut self, slot: Slot) {
        if let Some(held) = self.held(slot) {
            let (record, fixed) = (held.record, held.fixed());
            self.table.set_fixed(record, &fixed);
        }
    }

    /// Takes note of which process belongs to a slot.
    pub(super) fn process(&mut self, pid: u32, slot: Slot) {
        // Most often behind the last one.
        match self.pids.binary_search_by_key(&pid, |(pid, _)| *pid) {
            Ok(at) => self.pids[at] = (pid, slot),
            Err(at) => self.pids.insert(at, (pid, slot)),
        }
    }

    /// Hears of children that have ended, and reaps them; `true` where more
    /// may wait. A few at a time: services that die as fast as they are
    /// started must not keep init from everything else.
    pub fn reap(&mut self, init: &mut Init) -> bool {
        for _ in 0..REAPED_MAX {
            let Some((pid, exit)) = children::peek() else { return false };
            if let Ok(at) = self.pids.binary_search_by_key(&pid, |(pid, _)| *pid) {
                let (_, slot) = self.pids.remove(at);
                self.settings_again(init, slot);
                // One that had ended before init fell may be met again, when
                // the next one has begun.
                if init.unit(slot).is_some_and(|unit| unit.state().pid == pid) {
                    self.drop_notify(slot);
                }
                init.event(clock::now(), slot, Event::Exited { pid, exit }, self);
            }
            // Only now is the news written down, so only now may it go.
            children::reap(pid);
        }
        true
    }

    /// Obeys the letters that came in at a control fifo.
    pub fn control(&mut self, init: &mut Init, slot: Slot) {
        let mut letters = [0; LETTERS_MAX];
        let Some(control) = self.held(slot).and_then(|held| held.control.as_ref()) else { return };
        let Ok(count) = rustix::io::read(control, &mut letters) else { return };
        self.settings_again(init, slot);
        for &letter in &letters[..count] {
            init.event(clock::now(), slot, Event::Control(letter), self);
        }
    }

    /// Reads a notification descriptor: a line says that the service is ready.
    pub fn notified(&mut self, init: &mut Init, slot: Slot) {
        for _ in 0..NOTICE_BYTES_MAX {
            let held = self.held.get(slot as usize % SLOTS_MAX).and_then(Option::as_deref);
            let Some(held) = held.filter(|held| held.slot == slot) else { return };
            let Some(notify) = &held.notify else { return };
            let cell = self.table.read_cell(held.record);
            match rustix::io::read(notify, &mut *cell) {
                Ok(1) if cell[0] == b'\n' => {
                    self.drop_notify(slot);
                    return init.event(clock::now(), slot, Event::Notified, self);
                }
                Ok(1) => {}
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // Closed without a line: it will never be ready.
                _ => return self.drop_notify(slot),
            }
        }
    }

    pub(super) fn drop_notify(&mut self, slot: Slot) {
        // Nobody else has this end: closing it also ends watching it.
        if self.held_mut(slot).and_then(|held| held.notify.take()).is_some() {
            self.remember(slot);
        }
    }

    pub(super) fn watch_notify(&mut self, slot: Slot, notify: OwnedFd) -> io::Result<()> {
        self.events.add(&notify, token::NOTIFY | u64::from(slot), Readiness::IN)?;
        if let Some(held) = self.held_mut(slot) {
            held.notify = Some(notify);
        }
        self.remember(slot);
        Ok(())
    }

    /// The pipe of a slot, made where there is none yet.
    pub(super) fn pipe(&mut self, slot: Slot) -> io::Result<Option<&Pipe>> {
        let logged = self.logged;
        let Some(held) = self.held(slot) else { return Ok(None) };
        let wanted = logged && held.class != engine::service::ending::Class::Logger;
        if wanted && held.pipe.is_none() {
            let pipe = Pipe::new()?;
            let Some(held) = self.held_mut(slot) else { return Ok(None) };
            held.pipe = Some(pipe);
            // Of a script somebody may wait for every line.
            if held.oneshot {
                self.new_pipes.push(slot);
            } else {
                self.late.add_pipe(slot, clock::now());
            }
            self.remember(slot);
        }
        Ok(self.held(slot).and_then(|held| held.pipe.as_ref()))
    }

    /// A plain service directory may have new settings since it was read.
    fn settings_again(&mut self, init: &mut Init, slot: Slot) {
        let Some(held) = self.held(slot) else { return };
        if held.home != Home::Scandir || held.oneshot {
            return;
        }
        let longrun = super::settings::read(self.base(held), ".");
        if let Some(Unit::Longrun(supervisor)) = init.unit_mut(slot) {
            supervisor.set_rules((&longrun).into());
        }
        if let Some(held) = self.held_mut(slot) {
            held.plain = Some(Box::new(longrun));
        }
    }

    /// Whether all that has changed about a slot may wait ([`Late`]): it has
    /// started, is to say yet that it is ready, and nobody listens. A first
    /// status never waits: whoever looks must find one.
    pub fn may_wait(&self, slot: Slot, unit: &Unit) -> bool {
        self.held(slot).is_some_and(|held| {
            held.control.is_some()
                && held.written != 0
                && held.notify.is_some()
                && held.events.letters() == b"u"
                && unit.state().phase == Phase::Up
                && fifodir::empty_for_sure(self.base(held), &event_of(held))
        })
    }

    /// Publishes what has changed about a slot: the table first, then the
    /// status file, then the event, so that whoever hears the event reads the
    /// new status. A status that comes with no event may be a little late,
    /// unless `now`.
    pub fn publish(&mut self, slot: Slot, unit: &Unit, now: bool) {
        self.save(slot, unit);
        let Some(held) = self.held_mut(slot) else { return };
        let events = std::mem::take(&mut held.events);
        if held.control.is_none() {
            return;
        }
        let silent = events.letters().is_empty();
        if std::mem::take(&mut held.quiet) && silent {
            held.written = xxh64(&status_of(held, unit).to_bytes(), 1);
        } else if silent && !now && held.written != 0 {
            self.late.add(slot, clock::now());
        } else {
            self.write_status(slot, unit);
            if let Some(held) = self.held(slot).filter(|_| !silent) {
                let _ = fifodir::notify(self.base(held), &event_of(held), events.letters());
            }
        }
    }

    /// Replaces the status file where it would say something else.
    fn write_status(&mut self, slot: Slot, unit: &Unit) {
        let Some(held) = self.held_mut(slot) else { return };
        let status = status_of(held, unit).to_bytes();
        let hash = xxh64(&status, 1);
        if std::mem::replace(&mut held.written, hash) != hash {
            let path = held.folder() + "/supervise/status";
            let Some(held) = self.held(slot) else { return };
            // A full /run must not stop supervision: the status stays old.
            let _ = files::replace(self.base(held), &path, &status, 0o644);
        }
    }

    /// Takes it that the status file of a new slot, made with its directory,
    /// says how things are.
    pub(super) fn quiet(&mut self, slot: Slot) {
        let now = clock::today().to_bytes();
        if let Some(held) = self.held_mut(slot) {
            held.dates = [now; 2];
            held.quiet = true;
        }
    }

    /// Writes the status again even where nothing has changed: its directory is new.
    pub(super) fn unwritten(&mut self, slot: Slot) {
        if let Some(held) = self.held_mut(slot) {
            held.written = 0;
        }
    }

    /// Appends a death to `supervise/death_tally`, and drops the oldest ones.
    fn tally(&mut self, slot: Slot, exit: Exit) -> io::Result<()> {
        let Some(held) = self.held(slot) else { return Ok(()) };
        let most = self.settings(held).map_or(0, |l| l.death_tally_max) as usize;
        if held.control.is_none() || most == 0 {
            return Ok(());
        }
        let path = format!("{}/supervise/death_tally", held.folder());
        let base = self.base(held);
        let death = Death { date: clock::today(), exit }.to_bytes();
        // Whatever somebody has put there, init does not wait for it.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK;
        let file = fs::openat(base, &*path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?;
        let stat = fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let whole = stat.st_size as u64 / death.len() as u64;
        if whole < most as u64 && (stat.st_size as u64).is_multiple_of(death.len() as u64) {
            rustix::io::write(&file, &death)?;
            return Ok(());
        }
        // The newest ones, and nothing of one that was cut off.
        let kept = whole.min(most as u64 - 1);
        let mut newest = vec![0; kept as usize * death.len()];
        let from = (whole - kept) * death.len() as u64;
        std::os::unix::fs::FileExt::read_exact_at(&File::from(file), &mut newest, from)?;
        newest.extend_from_slice(&death);
        files::replace(base, &path, &newest, 0o644)
    }

    /// Takes note of a program of init's own that fell: what is wrong with it
    /// nobody else would say.
    fn note_fall(&mut self, slot: Slot, unit: &Unit, exit: Exit) {
        let Some(held) = self.held(slot) else { return };
        if matches!(held.class, Class::Manager | Class::Logger) && unit.state().wanted_up {
            let how = match exit {
                Exit::Code(code) => format!("exited {code}"),
                Exit::Signal(signal) => format!("was killed by signal {signal}"),
            };
            self.notes.push(format!("the {} {how} and is started again", held.name));
        }
    }

    /// Makes or removes the file `down`.
    fn stay_down(&self, slot: Slot, down: bool) -> io::Result<()> {
        let Some(held) = self.held(slot) else { return Ok(()) };
        if held.control.is_none() {
            return Ok(());
        }
        let path = format!("{}/down", held.folder());
        let base = self.base(held);
        let changed = match (down, held.home) {
            (false, _) => fs::unlinkat(base, &*path, AtFlags::empty()),
            // As when the live directory was made: one more name of an empty
            // file costs less than a file.
            (true, Home::Live { .. }) => {
                fs::linkat(base, live_dir::EMPTY, base, &*path, AtFlags::empty())
            }
            (true, _) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
                fs::openat(base, &*path, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match changed {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::EXIST) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Words for a program: its pointers stay good as long as `words` lives.
    pub(super) fn pointers(words: &[CString]) -> Vec<*const c_char> {
        words.iter().map(|w| w.as_ptr()).chain([std::ptr::null()]).collect()
    }
}

impl World for Tree {
    fn act(&mut self, slot: Slot, unit: &Unit, action: Action) -> Option<Event> {
        match action {
            Action::Spawn(program) => {
                // The kernel writes the new process down; what it is for must
                // be written before. The number of `run` stays until it is
                // written that it has ended.
                let finish = matches!(program, Program::Finish { .. });
                if let Some(record) = self.held(slot).map(|held| held.record) {
                    if !finish {
                        self.table.pid_cell(record).store(0, Relaxed);
                    }
                    self.table.read_cell(record)[0] = 0;
                    self.save(slot, unit);
                    self.table.pid_cell(record).store(0, Relaxed);
                }
                return Some(match self.spawn(slot, program) {
                    Ok(pid) => {
                        self.process(pid, slot);
                        Event::Started { pid }
                    }
                    Err(error) => {
                        let errno = error.raw_os_error().unwrap_or(libc_eio());
                        Event::SpawnFailed { errno: errno as u16 }
                    }
                });
            }
            Action::Kill { pid, signal, group } => {
                self.save(slot, unit);
                let led = self.held(slot).is_none_or(|held| {
                    self.settings(held).is_none_or(|longrun| !longrun.same_session)
                });
                children::kill(pid, signal, group && led);
            }
            Action::Announce(event) => {
                if let Some(held) = self.held_mut(slot) {
                    let today = clock::today().to_bytes();
                    match event {
                        b'u' | b'd' | b's' => held.dates[0] = today,
                        _ => {}
                    }
                    match event {
                        b'U' | b'D' | b's' => held.dates[1] = today,
                        _ => {}
                    }
                    held.events.push(event);
                }
            }
            // What cannot be written (a full /run) is left out: keeping the
            // service up matters more.
            Action::Tally(exit) => {
                self.note_fall(slot, unit, exit);
                drop(self.tally(slot, exit));
            }
            Action::StayDown(down) => drop(self.stay_down(slot, down)),
            Action::Leave => self.left.push(slot),
        }
        None
    }

    fn save(&mut self, slot: Slot, unit: &Unit) {
        let Some(held) = self.held(slot) else { return };
        let (record, dates) = (held.record, held.dates);
        self.table.set_state(record, dates, saved(unit).as_bytes());
    }
}

/// What the table remembers of the state of a unit.
pub(super) fn saved(unit: &Unit) -> Writer {
    let mut w = Writer::new();
    match unit {
        Unit::Longrun(supervisor) => supervisor.save(&mut w),
        Unit::Oneshot(runner) => runner.save(&mut w),
    }
    w
}

/// Lets this process open as many files as it may, and says how many it might
/// before: services get that, for some of them walk through all numbers.
fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let old = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: old.maximum, maximum: old.maximum };
    setrlimit(Resource::Nofile, raised).ok()?;
    old.current
}

/// Whether this process may open as many files already, so that a child need
/// not be told.
fn is_limit(most: u64) -> bool {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current == Some(most)
}

fn libc_eio() -> i32 {
    rustix::io::Errno::IO.raw_os_error()
}

/// The fifodir of a slot.
fn event_of(held: &Held) -> CString {
    CString::new(held.folder() + "/event").expect("a name has no zero byte")
}

/// What s6's clients are to read about a longrun.
fn status_of(held: &Held, unit: &Unit) -> Status {
    let state = unit.state();
    let down = matches!(state.phase, Phase::Down | Phase::Waiting);
    let finishing = state.phase == Phase::Finishing;
    // Of a process that runs they say nothing.
    let exit = state.exit.filter(|_| state.pid == 0 || finishing);
    Status {
        changed: Date::from_bytes(held.dates[0]),
        readied: Date::from_bytes(held.dates[1]),
        pid: u64::from(state.pid),
        wait_status: exit.map_or(0, Exit::to_wait_status),
        paused: state.paused || (down && state.starts == 0),
        finishing,
        wanted_up: state.wanted_up,
        ready: down || state.phase == Phase::Ready,
    }
}
