//! Checks under way: what is asked over networks, and commands; nobody waits for any of them.

mod ask;
mod command;
mod way;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use engine::controller::health::Ended;
use model::controller::check::{Check, Manner, Method};
use model::time::Moment;

use self::ask::Ask;
use self::command::{Command, Orphans};
use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::service::outputs::Outputs;
use crate::sys::signals::{self, number};

/// Tokens of each check.
const TOKENS_EACH: u64 = 64;

/// How a check has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub check: usize,
    pub round: u32,
    pub good: bool,
    /// What was answered, or why nothing was.
    pub text: String,
}

/// The checks of one service.
pub struct Probes {
    events: EventLoop,
    checks: Vec<(Check, State)>,
    timeout: Duration,
    tries: u32,
    /// `NAME=VALUE`: what a command's processes are known by.
    mark: String,
    orphans: Orphans,
    /// Where hosts may be found that are outputs of services.
    outputs: Outputs,
}

enum State {
    Idle {
        /// The address that was found for the name of the host.
        peer: Option<std::net::IpAddr>,
    },
    Asking {
        round: u32,
        ask: Box<Ask>,
    },
    Running {
        round: u32,
        command: Command,
        killed: bool,
    },
}

impl Probes {
    /// `name` is what the processes of commands are known by, should this
    /// program be killed: those that an earlier one has left are killed.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(checks: &[Check], manner: &Manner, name: &str, live: &Path) -> io::Result<Self> {
        let checks: Vec<_> =
            checks.iter().map(|check| (check.clone(), State::Idle { peer: None })).collect();
        let mark = format!("WARD_CHECK={name}");
        if checks.iter().any(|(check, _)| matches!(check.method, Method::Command(_))) {
            command::kill_marked(&mark);
        }
        let (timeout, tries) = (manner.timeout, manner.tries);
        let (events, orphans) = (EventLoop::new()?, Orphans::default());
        let outputs = Outputs::of(live);
        Ok(Self { events, checks, timeout, tries, mark, orphans, outputs })
    }

    /// Readable when [`Probes::read`] has something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }

    /// Begins a check that is not under way. How it ends is told by `read` or
    /// `reap`, or here.
    pub fn begin(&mut self, at: usize, round: u32) -> Option<Outcome> {
        let token = at as u64 * TOKENS_EACH;
        let (check, state) = &mut self.checks[at];
        let State::Idle { peer } = *state else { return None };
        let outcome = |text| Some(Outcome { check: at, round, good: false, text });
        if let Method::Command(words) = &check.method {
            let started = self.orphans.adopt().and_then(|()| {
                let command = Command::start(words, &self.mark)?;
                self.events.add(&command.output, token, Readiness::IN)?;
                Ok(command)
            });
            return match started {
                Ok(command) => {
                    *state = State::Running { round, command, killed: false };
                    None
                }
                Err(error) => {
                    let name = String::from_utf8_lossy(&words[0]);
                    outcome(format!("cannot start {name}: {error}"))
                }
            };
        }
        let ask = Ask::new(check, self.timeout, self.tries, peer, token, &self.outputs);
        *state = State::Asking { round, ask: Box::new(ask) };
        self.look(at, Ask::advance)
    }

    /// Ends a check that takes too long.
    pub fn end(&mut self, at: usize) -> Ended {
        let (_, state) = &mut self.checks[at];
        match state {
            State::Idle { .. } => Ended { text: String::new(), gone: true },
            State::Asking { ask, .. } => {
                let text = ask.why_not();
                *state = State::Idle { peer: ask.peer() };
                Ended { text, gone: true }
            }
            State::Running { command, killed, .. } => {
                let text = command.why_not(self.timeout);
                *killed = true;
                command.kill();
                Ended { text, gone: false }
            }
        }
    }

    /// When `read` is to be called, if not before.
    pub fn deadline(&self) -> Option<Moment> {
        let asks = self.checks.iter().filter_map(|(_, state)| match state {
            State::Asking { ask, .. } => ask.deadline(),
            _ => None,
        });
        asks.min()
    }

    /// Hears what has come, and asks again where no answer came.
    ///
    /// # Errors
    /// The system does not say what has come.
    pub fn read(&mut self) -> io::Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for (token, _) in self.events.wait(Some(clock::now()))? {
            outcomes.extend(self.hear(token));
        }
        let now = clock::now();
        for at in 0..self.checks.len() {
            if let (_, State::Asking { ask, .. }) = &self.checks[at]
                && ask.deadline().is_some_and(|deadline| now >= deadline)
            {
                outcomes.extend(self.look(at, Ask::advance));
            }
        }
        Ok(outcomes)
    }

    fn hear(&mut self, token: u64) -> Option<Outcome> {
        let at = (token / TOKENS_EACH) as usize;
        match &mut self.checks.get_mut(at)?.1 {
            State::Idle { .. } => None,
            State::Asking { .. } => {
                let line = (token % TOKENS_EACH) as usize;
                self.look(at, |ask, check, events| ask.hear(check, line, events))
            }
            State::Running { command, .. } => {
                if !command.read() {
                    // It is not over: a child may have closed what it says it through.
                    let _ = self.events.remove(&command.output);
                }
                None
            }
        }
    }

    /// Children have ended.
    pub fn reap(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut any = false;
        for (at, (_, state)) in self.checks.iter_mut().enumerate() {
            let State::Running { round, command, killed } = state else { continue };
            let Some((good, text)) = command.end() else {
                any = true;
                continue;
            };
            let good = good && !*killed;
            outcomes.push(Outcome { check: at, round: *round, good, text });
            *state = State::Idle { peer: None };
        }
        let own = |pid| {
            self.checks.iter().any(|(_, state)| {
                matches!(state, State::Running { command, .. } if command.pid() == pid)
            })
        };
        self.orphans.sweep(own, any);
        outcomes
    }

    /// Ends all that is under way, with its processes.
    pub fn end_all(&mut self) {
        for at in 0..self.checks.len() {
            self.end(at);
        }
        let until = clock::now() + Duration::from_secs(1);
        while self.orphans.has_children() && clock::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
    }

    fn look(
        &mut self,
        at: usize,
        what: impl FnOnce(&mut Ask, &Check, &EventLoop) -> Option<(bool, String)>,
    ) -> Option<Outcome> {
        let (check, state) = &mut self.checks[at];
        let State::Asking { round, ask } = state else { return None };
        let (good, text) = what(ask, check, &self.events)?;
        let outcome = Outcome { check: at, round: *round, good, text };
        // An address that does not answer may be an old one.
        let peer = ask.peer().filter(|_| good);
        *state = State::Idle { peer };
        Some(outcome)
    }
}

/// Signals that a program with probes reads.
pub fn signals() -> io::Result<OwnedFd> {
    signals::read_from(&[number::CHLD, number::TERM, number::INT, number::HUP])
}

/// Where the jitter of a health check comes from: another one on each device.
pub fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Makes one check, here and now.
pub fn once(check: &Check, manner: &Manner, name: &str, live: &Path) -> io::Result<Outcome> {
    const SIGNALS: u64 = 0;
    const PROBES: u64 = 1;
    let mut events = EventLoop::new()?;
    let told = signals()?;
    events.add(&told, SIGNALS, Readiness::IN)?;
    let mut probes = Probes::new(std::slice::from_ref(check), manner, name, live)?;
    events.add(probes.descriptor(), PROBES, Readiness::IN)?;
    let until = clock::now() + manner.timeout;
    let mut outcome = probes.begin(0, 1);
    while outcome.is_none() {
        if clock::now() >= until {
            let Ended { text, .. } = probes.end(0);
            outcome = Some(Outcome { check: 0, round: 1, good: false, text });
            break;
        }
        let deadline = probes.deadline().map_or(until, |deadline| deadline.min(until));
        events.wait(Some(deadline))?;
        let mut ended = false;
        while let Some(signal) = signals::next(told.as_fd())? {
            ended |= signal != number::CHLD;
        }
        if ended {
            probes.end_all();
            return Err(io::ErrorKind::Interrupted.into());
        }
        outcome = probes.reap().pop().or(probes.read()?.pop());
    }
    probes.end_all();
    Ok(outcome.expect("the loop ends with one"))
}
