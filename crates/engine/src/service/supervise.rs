//! Keeps one longrun in its wanted state.
//!
//! Source of the control letters, the order of events and the meaning of exit
//! code 125: s6 `s6-supervise.html`, `s6-svc.html`, `servicedir.html`.

use alloc::vec::Vec;
use core::time::Duration;

use model::bytes::{ReadError, Reader, Writer};
use model::service::database::Longrun;
use model::service::request::{GaveUp, Phase, SlotState};
use model::service::status::Exit;
use model::time::Moment;

use crate::machine::{Action, Event, Program};

/// A `finish` that exits with this says: do not start it again.
const PERMANENT_FAILURE: Exit = Exit::Code(125);

/// The longest wait after a program could not be started. The peer waits this
/// long from the first time on.
const SPAWN_WAIT_MAX: Duration = Duration::from_secs(60);

// Signals have the numbers of Linux `asm-generic/signal.h` in every file and
// message; `os` translates where a processor has its own (MIPS).
const SIGKILL: u8 = 9;
const SIGCONT: u8 = 18;
const SIGSTOP: u8 = 19;

/// A span that takes little room: there is one supervisor per service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Millis(u32);

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(u64::from(millis.0))
    }
}

/// The settings of a longrun that its supervisor goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    timeout_kill: Millis,
    timeout_finish: Millis,
    restart_wait: Millis,
    down_signal: u8,
    reload_signal: u8,
    kill_group: bool,
    has_finish: bool,
}

impl From<&Longrun> for Rules {
    fn from(longrun: &Longrun) -> Self {
        Self {
            timeout_kill: longrun.timeout_kill.into(),
            timeout_finish: longrun.timeout_finish.into(),
            restart_wait: longrun.restart_wait.into(),
            down_signal: longrun.down_signal,
            reload_signal: longrun.reload_signal,
            kill_group: longrun.kill_group,
            has_finish: longrun.has_finish,
        }
    }
}

/// One longrun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    rules: Rules,
    state: SlotState,
    /// When `run` was last started: the next start keeps its distance.
    started: Moment,
    /// Starts that failed, one after the other.
    spawn_failures: u8,
    /// The process group of the `run` that `finish` cleans up after.
    group: u32,
    /// End supervision once the service is down.
    leaving: bool,
    /// Init ends and does not wait any more: no `finish` is run.
    hurried: bool,
}

impl Supervisor {
    pub fn new(rules: Rules, wanted_up: bool, now: Moment) -> Self {
        Self {
            rules,
            state: SlotState { wanted_up, since: now, ..SlotState::default() },
            started: Moment::ZERO,
            spawn_failures: 0,
            group: 0,
            leaving: false,
            hurried: false,
        }
    }

    pub fn state(&self) -> &SlotState {
        &self.state
    }

    /// The manager's order that comes next has this number.
    pub fn set_ticket(&mut self, ticket: u32) {
        self.state.ticket = ticket;
    }

    /// Its settings, when the service directory or the database has new ones.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub fn deadline(&self) -> Option<Moment> {
        self.state.deadline
    }

    /// Nothing of it runs and nothing is wanted to.
    pub fn at_rest(&self) -> bool {
        self.state.phase == Phase::Down
    }

    /// It goes once it is down.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// It was told to go, and its place is to be kept: supervision begins anew.
    pub fn stay(&mut self, actions: &mut Vec<Action>) {
        self.leaving = false;
        actions.push(Action::Announce(b's'));
    }

    /// `run` is alive.
    fn running(&self) -> bool {
        matches!(self.state.phase, Phase::Up | Phase::Ready | Phase::Stopping)
    }

    /// Begins: announces itself, and starts the service if it is wanted.
    pub fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        actions.push(Action::Announce(b's'));
        self.settle(now, actions);
    }

    /// Takes one event. What it leads to is in `actions`, in order.
    pub fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Control(letter) => self.control(now, letter, actions),
            Event::Signal(signal) => self.signal(signal, false, actions),
            Event::Kill => self.kill(now, actions),
            Event::Started { pid } => self.started(now, pid, actions),
            Event::SpawnFailed { errno } => self.spawn_failed(now, errno, actions),
            Event::Notified if self.state.phase == Phase::Up => {
                self.enter(Phase::Ready, now);
                actions.push(Action::Announce(b'U'));
            }
            Event::Exited { pid, exit } if pid == self.state.pid && pid != 0 => {
                self.exited(now, exit, actions);
            }
            Event::Tick if self.state.deadline.is_some_and(|deadline| deadline <= now) => {
                self.tick(now, actions);
            }
            // A line after the down signal, news of a dead process, a tick too
            // early, a script for a longrun: nothing changes.
            Event::Notified | Event::Exited { .. } | Event::Tick | Event::Run { .. } => {}
        }
    }

    fn enter(&mut self, phase: Phase, now: Moment) {
        self.state.phase = phase;
        self.state.since = now;
    }

    /// Obeys one letter of the control language.
    fn control(&mut self, now: Moment, letter: u8, actions: &mut Vec<Action>) {
        match letter {
            b'u' | b'U' => {
                self.state.wanted_up = true;
                self.state.gave_up = None;
                self.spawn_failures = 0;
                self.settle(now, actions);
            }
            b'o' => {
                self.state.wanted_up = false;
                self.state.gave_up = None;
                if matches!(self.state.phase, Phase::Down | Phase::Waiting) {
                    self.start(now, actions);
                }
            }
            b'd' | b'D' => {
                self.state.wanted_up = false;
                self.terminate(now, actions);
                self.settle(now, actions);
            }
            b'O' | b'Q' => {
                self.state.wanted_up = false;
                self.settle(now, actions);
            }
            b'x' => {
                self.leaving = true;
                self.settle(now, actions);
            }
            b'r' => self.terminate(now, actions),
            b'l' => self.signal(self.rules.reload_signal, false, actions),
            b'p' | b'P' => {
                self.state.paused |= self.running();
                self.signal(SIGSTOP, letter == b'P', actions);
            }
            b'c' | b'C' => {
                self.state.paused = false;
                self.signal(SIGCONT, letter == b'C', actions);
            }
            b'K' => self.signal(SIGKILL, true, actions),
            _ => {
                if let Some(signal) = signal_of(letter) {
                    self.signal(signal, false, actions);
                }
            }
        }
        match letter {
            b'U' => actions.push(Action::StayDown(false)),
            b'D' | b'Q' => actions.push(Action::StayDown(true)),
            _ => {}
        }
    }

    /// Signals `run`, if it is alive.
    fn signal(&self, signal: u8, group: bool, actions: &mut Vec<Action>) {
        if self.running() && signal != 0 {
            actions.push(Action::Kill { pid: self.state.pid, signal, group });
        }
    }

    /// Tells `run` to end, and bounds how long it may take.
    fn terminate(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.running() {
            return;
        }
        self.signal(self.rules.down_signal, false, actions);
        self.signal(SIGCONT, false, actions);
        self.state.paused = false;
        if self.state.phase != Phase::Stopping {
            self.enter(Phase::Stopping, now);
            self.state.deadline = after(now, self.rules.timeout_kill.into());
        }
    }

    /// Ends `run` or `finish` at once.
    fn kill(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.state.wanted_up = false;
        self.hurried = true;
        if self.state.pid != 0 {
            let pid = self.state.pid;
            actions.push(Action::Kill { pid, signal: SIGKILL, group: true });
        }
        self.settle(now, actions);
    }

    /// Nothing runs: does what the wanted state asks for next.
    fn settle(&mut self, now: Moment, actions: &mut Vec<Action>) {
        match self.state.phase {
            Phase::Down | Phase::Waiting => {}
            Phase::Up | Phase::Ready | Phase::Stopping | Phase::Finishing => return,
        }
        if !self.state.wanted_up {
            self.state.deadline = None;
            if self.state.phase == Phase::Waiting {
                self.enter(Phase::Down, now);
            }
            if self.leaving {
                actions.push(Action::Announce(b'x'));
                actions.push(Action::Leave);
            }
            return;
        }
        let earliest = match (self.spawn_failures, self.state.starts) {
            (0, 0) => now,
            (0, _) => self.started + self.rules.restart_wait.into(),
            (failures, _) => self.state.since + spawn_wait(failures),
        };
        if earliest <= now {
            self.start(now, actions);
        } else {
            if self.state.phase == Phase::Down {
                self.enter(Phase::Waiting, now);
            }
            self.state.deadline = Some(earliest);
        }
    }

    fn start(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.state.deadline = None;
        self.state.paused = false;
        self.state.pid = 0;
        self.enter(Phase::Up, now);
        actions.push(Action::Spawn(Program::Run));
    }

    fn started(&mut self, now: Moment, pid: u32, actions: &mut Vec<Action>) {
        self.state.pid = pid;
        if self.state.phase == Phase::Finishing {
            return;
        }
        self.started = now;
        self.spawn_failures = 0;
        self.state.gave_up = None;
        self.state.starts = self.state.starts.wrapping_add(1);
        self.state.since = now;
        actions.push(Action::Announce(b'u'));
    }

    fn spawn_failed(&mut self, now: Moment, errno: u16, actions: &mut Vec<Action>) {
        self.state.pid = 0;
        if self.state.phase == Phase::Finishing {
            // A `finish` that cannot run must not keep the service from going on.
            return self.finished(now, None, actions);
        }
        self.spawn_failures = self.spawn_failures.saturating_add(1);
        self.state.gave_up = lasting(errno).then_some(GaveUp::Spawn(errno));
        self.enter(Phase::Waiting, now);
        self.state.deadline = Some(now + spawn_wait(self.spawn_failures));
        self.settle(now, actions);
    }

    fn exited(&mut self, now: Moment, exit: Exit, actions: &mut Vec<Action>) {
        let group = core::mem::take(&mut self.state.pid);
        if self.state.phase == Phase::Finishing {
            return self.finished(now, Some(exit), actions);
        }
        self.group = group;
        self.state.exit = Some(exit);
        self.state.paused = false;
        actions.push(Action::Tally(exit));
        actions.push(Action::Announce(b'd'));
        if self.rules.has_finish && !self.hurried {
            self.enter(Phase::Finishing, now);
            self.state.deadline = after(now, self.rules.timeout_finish.into());
            actions.push(Action::Spawn(Program::Finish { exit, group }));
        } else {
            self.finished(now, None, actions);
        }
    }

    /// `run` and `finish` are both over.
    fn finished(&mut self, now: Moment, exit: Option<Exit>, actions: &mut Vec<Action>) {
        self.enter(Phase::Down, now);
        self.state.deadline = None;
        self.group = 0;
        if exit == Some(PERMANENT_FAILURE) {
            self.state.wanted_up = false;
            self.state.gave_up = Some(GaveUp::Permanent);
            actions.push(Action::Announce(b'O'));
        }
        actions.push(Action::Announce(b'D'));
        self.settle(now, actions);
    }

    /// Acts on a deadline that has come.
    fn tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.state.deadline = None;
        match self.state.phase {
            Phase::Waiting => {
                if self.state.wanted_up {
                    self.start(now, actions);
                } else {
                    self.settle(now, actions);
                }
            }
            Phase::Stopping => self.signal(SIGKILL, self.rules.kill_group, actions),
            Phase::Finishing => {
                let pid = self.state.pid;
                actions.push(Action::Kill { pid, signal: SIGKILL, group: true });
            }
            Phase::Down | Phase::Up | Phase::Ready => {}
        }
    }

    /// Appends what must survive a crash of init.
    pub fn save(&self, w: &mut Writer) {
        self.state.write(w);
        w.u64(self.started.nanos()).u8(self.spawn_failures).u32(self.group).bool(self.leaving);
    }

    /// What [`Supervisor::save`] wrote, with the settings as they are now.
    pub fn load(rules: Rules, r: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            rules,
            state: SlotState::read(r)?,
            started: Moment::from_nanos(r.u64()?),
            spawn_failures: r.u8()?,
            group: r.u32()?,
            leaving: r.bool()?,
            hurried: false,
        })
    }

    /// Goes on where init fell. Between asking for a process and hearing of
    /// it, the kernel wrote down its number: `spawned`, or 0 where there is
    /// none; while it is a `finish` that was asked for, perhaps still that of
    /// the `run` before it.
    pub fn resume(&mut self, now: Moment, spawned: u32, actions: &mut Vec<Action>) {
        match self.state.phase {
            Phase::Down | Phase::Waiting => return self.settle(now, actions),
            _ if self.state.pid != 0 => {}
            Phase::Finishing if spawned == 0 || spawned == self.group => {
                let exit = self.state.exit.unwrap_or(Exit::Code(0));
                actions.push(Action::Spawn(Program::Finish { exit, group: self.group }));
            }
            _ if spawned != 0 => self.started(now, spawned, actions),
            _ => return self.start(now, actions),
        }
        // What was due may have been written down and not done.
        match self.state.phase {
            Phase::Stopping => {
                self.signal(self.rules.down_signal, false, actions);
                self.signal(SIGCONT, false, actions);
                self.state.deadline = after(now, self.rules.timeout_kill.into());
            }
            Phase::Finishing => self.state.deadline = after(now, self.rules.timeout_finish.into()),
            _ => {}
        }
    }
}

/// `None` where zero means never.
fn after(now: Moment, span: Duration) -> Option<Moment> {
    (span != Duration::ZERO).then(|| now + span)
}

/// 1, 2, 4 … 60 seconds.
fn spawn_wait(failures: u8) -> Duration {
    Duration::from_secs(1 << u32::from(failures.saturating_sub(1)).min(6)).min(SPAWN_WAIT_MAX)
}

/// Whether trying again without a change elsewhere is in vain: the file is
/// missing or no program, rather than memory or processes short.
pub(super) fn lasting(errno: u16) -> bool {
    const SHORTAGES: [u16; 7] = [
        4,   // EINTR
        11,  // EAGAIN
        12,  // ENOMEM
        23,  // ENFILE
        24,  // EMFILE
        26,  // ETXTBSY: somebody is writing the program just now
        105, // ENOBUFS
    ];
    !SHORTAGES.contains(&errno)
}

/// The signal of a control letter that only sends one.
fn signal_of(letter: u8) -> Option<u8> {
    Some(match letter {
        b'h' => 1,
        b'i' => 2,
        b'q' => 3,
        b'b' => 6,
        b'k' => SIGKILL,
        b'1' => 10,
        b'2' => 12,
        b'a' => 14,
        b't' => 15,
        b'y' => 28,
        _ => return None,
    })
}
