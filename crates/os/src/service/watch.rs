//! Waits until services are as somebody wants them.
//!
//! Listens to each service's `event` fifodir first and reads its status then,
//! so that nothing that happens in between is missed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::time::Moment;

use crate::event_loop::{EventLoop, Readiness};
use crate::service::client;
use crate::service::fifodir::Subscription;
use crate::sys::inherit;
use crate::sys::signals::{self, next};

/// How a service shall be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    pub up: bool,
    /// Up: it said that it serves. Down: `finish` has ended too.
    pub ready: bool,
    /// It must have been down before it counts as up.
    pub restarted: bool,
}

/// Of several services, how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    #[default]
    All,
    One,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Reached,
    TimedOut,
    /// So many that should have come up failed for good.
    Failed(usize),
    /// A supervisor ended, and its service will not get there.
    SupervisorEnded,
    /// This signal came for the waiting program.
    Signal(i32),
}

/// Why a service cannot be watched.
#[derive(Debug)]
pub enum WatchError {
    NotSupervised,
    Refused(io::Error),
}

impl<E: Into<io::Error>> From<E> for WatchError {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A service that is listened to.
pub struct Watched {
    subscription: Subscription,
    goal: Goal,
    state: State,
}

/// What is known of a service, from its status and every event since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    up: bool,
    ready: bool,
    was_down: bool,
    failed: bool,
    ended: bool,
}

impl Watched {
    /// Begins to listen to the service directory `dir`.
    pub fn new(dir: &Path, goal: Goal) -> Result<Self, WatchError> {
        let subscription = match Subscription::new(&dir.join("event")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
                return Err(WatchError::NotSupervised);
            }
            subscription => subscription?,
        };
        let state = State::of(dir)?.ok_or(WatchError::NotSupervised)?;
        Ok(Self { subscription, goal, state })
    }
}

impl State {
    /// As the supervisor wrote it last; `None` where there is no supervisor.
    fn of(dir: &Path) -> io::Result<Option<Self>> {
        if !client::supervised(dir)? {
            return Ok(None);
        }
        let status = client::status(dir)?;
        let (up, ready) = (status.up(), status.ready);
        Ok(Some(Self { up, ready, was_down: !up, failed: false, ended: false }))
    }

    /// Takes one event. Source: s6 `s6-supervise.html`.
    fn take(&mut self, event: u8) {
        match event {
            b'u' => (self.up, self.ready) = (true, false),
            b'U' => (self.up, self.ready) = (true, true),
            b'd' => (self.up, self.ready, self.was_down) = (false, false, true),
            b'D' => (self.up, self.ready, self.was_down) = (false, true, true),
            b'O' => self.failed = true,
            b'x' => self.ended = true,
            b's' => self.ended = false,
            _ => {}
        }
    }

    fn reached(self, goal: Goal) -> bool {
        self.up == goal.up && (!goal.ready || self.ready) && (!goal.restarted || self.was_down)
    }

    /// It will not reach `goal` any more.
    fn lost(self, goal: Goal) -> bool {
        !self.reached(goal) && (self.ended || (self.failed && goal.up))
    }
}

/// Whether the services are as wanted already, so that nobody need listen.
/// What cannot be told counts as no: listening will say why.
pub fn reached_already<T: AsRef<Path>>(dirs: &[T], goal: Goal, quorum: Quorum) -> bool {
    let states: Option<Vec<_>> =
        dirs.iter().map(|dir| Some((State::of(dir.as_ref()).ok()??, goal))).collect();
    states.is_some_and(|states| judge(states.into_iter(), quorum) == Some(Outcome::Reached))
}

/// What `states` mean for who waits; `None`: go on waiting.
fn judge(states: impl Iterator<Item = (State, Goal)> + Clone, quorum: Quorum) -> Option<Outcome> {
    let mut services = 0;
    let (mut reached, mut ended, mut failed) = (0, 0, 0);
    // Waiting for one to restart still waits for each of them to go down.
    let mut all_were_down = true;
    for (state, goal) in states {
        services += 1;
        reached += usize::from(state.reached(goal));
        if state.lost(goal) {
            *(if state.ended { &mut ended } else { &mut failed }) += 1;
        }
        all_were_down &= state.was_down || !goal.restarted || state.ended;
    }
    let enough = match quorum {
        Quorum::All => reached == services,
        Quorum::One => (reached > 0 && all_were_down) || services == 0,
    };
    if enough {
        return Some(Outcome::Reached);
    }
    match quorum {
        Quorum::All if ended > 0 => Some(Outcome::SupervisorEnded),
        // All the others get their time, so that the count is right.
        Quorum::All if failed > 0 && reached + failed == services => Some(Outcome::Failed(failed)),
        Quorum::One if ended + failed < services => None,
        Quorum::One if failed > 0 => Some(Outcome::Failed(failed)),
        Quorum::One => Some(Outcome::SupervisorEnded),
        Quorum::All => None,
    }
}

/// Waits until `watched` are as wanted, `deadline` comes, or one of the
/// signals does that [`signals::read_from`] blocked for `signals`; SIGCHLD
/// only means that a child can be reaped, which `reap` does.
pub fn wait(
    watched: &mut [Watched],
    quorum: Quorum,
    deadline: Option<Moment>,
    signals: impl AsFd,
    mut reap: impl FnMut(),
) -> io::Result<Outcome> {
    let verdict = |watched: &[Watched]| judge(watched.iter().map(|w| (w.state, w.goal)), quorum);
    if let Some(outcome) = verdict(watched) {
        return Ok(outcome);
    }
    let mut events = EventLoop::new()?;
    for (token, one) in watched.iter().enumerate() {
        events.add(&one.subscription, token as u64, Readiness::IN)?;
    }
    events.add(&signals, u64::MAX, Readiness::IN)?;
    loop {
        for (token, _) in events.wait(deadline)? {
            if token == u64::MAX {
                while let Some(signal) = next(signals.as_fd())? {
                    if signal != libc::SIGCHLD {
                        return Ok(Outcome::Signal(signal));
                    }
                    reap();
                }
                continue;
            }
            let mut buffer = [0; 256];
            let found = watched[token as usize].subscription.read(&mut buffer)?;
            // One by one: who waits for the first of several states wants to
            // know of a state that lasted only until the next event.
            for event in found {
                watched[token as usize].state.take(*event);
                if let Some(outcome) = verdict(watched) {
                    return Ok(outcome);
                }
            }
        }
        if deadline.is_some_and(|deadline| crate::clock::now() >= deadline) {
            return Ok(Outcome::TimedOut);
        }
    }
}

/// Blocks the signals that end a program which waits, and SIGCHLD, so that it
/// can take its fifos away before it dies of them ([`die_of`]).
pub fn ending_signals() -> io::Result<OwnedFd> {
    let mut wanted = vec![libc::SIGCHLD];
    // A blocked signal comes even where it is ignored; nohup must go on to work.
    wanted.extend(
        [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].into_iter().filter(|s| !inherit::ignores(*s)),
    );
    signals::read_from(&wanted)
}

/// Dies of a signal that [`ending_signals`] held back; what waits for this
/// program learns the truth.
pub fn die_of(signal: i32) {
    signals::unblock_all();
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Goal = Goal { up: true, ready: false, restarted: false };
    const READY: Goal = Goal { up: true, ready: true, restarted: false };
    const DOWN: Goal = Goal { up: false, ready: false, restarted: false };
    const FINISHED: Goal = Goal { up: false, ready: true, restarted: false };
    const RESTARTED: Goal = Goal { up: true, ready: false, restarted: true };

    /// One service that was up, after `events`.
    fn after(events: &str) -> State {
        let mut state =
            State { up: true, ready: false, was_down: false, failed: false, ended: false };
        events.bytes().for_each(|event| state.take(event));
        state
    }

    fn all(goal: Goal, events: &[&str]) -> Option<Outcome> {
        judge(events.iter().map(|e| (after(e), goal)), Quorum::All)
    }

    fn one(goal: Goal, events: &[&str]) -> Option<Outcome> {
        judge(events.iter().map(|e| (after(e), goal)), Quorum::One)
    }

    #[test]
    fn events_lead_to_the_goal_or_away_from_it() {
        use Outcome::*;
        for (goal, events, expected) in [
            (UP, "", Some(Reached)),
            (READY, "", None),
            (READY, "U", Some(Reached)),
            (READY, "Ud", None),
            (DOWN, "d", Some(Reached)),
            (FINISHED, "d", None),
            (FINISHED, "dD", Some(Reached)),
            (RESTARTED, "", None),
            (RESTARTED, "dD", None),
            (RESTARTED, "dDu", Some(Reached)),
            (UP, "dO", Some(Failed(1))),
            (UP, "dODu", Some(Reached)),      // somebody started it again
            (FINISHED, "dOD", Some(Reached)), // to fail for good is to be down
            (FINISHED, "dO", None),
            (FINISHED, "dDx", Some(Reached)),
            (FINISHED, "x", Some(SupervisorEnded)),
            (READY, "dDx", Some(SupervisorEnded)),
            (READY, "xsuU", Some(Reached)), // and its successor came in time
            (UP, "d?", None),               // an event of a later version
        ] {
            assert_eq!(all(goal, &[events]), expected, "{goal:?} after {events:?}");
        }
    }

    #[test]
    fn all_of_several_waits_for_the_last_and_counts_failures() {
        use Outcome::*;
        assert_eq!(all(UP, &["", "d"]), None);
        assert_eq!(all(UP, &["", "du"]), Some(Reached));
        assert_eq!(all(UP, &["dO", "d"]), None);
        assert_eq!(all(UP, &["dO", "dOD", ""]), Some(Failed(2)));
        assert_eq!(all(UP, &["dDx", "d"]), Some(SupervisorEnded));
        assert_eq!(all(UP, &[]), Some(Reached));
    }

    #[test]
    fn one_of_several_gives_up_only_when_none_is_left() {
        use Outcome::*;
        assert_eq!(one(DOWN, &["", ""]), None);
        assert_eq!(one(DOWN, &["", "d"]), Some(Reached));
        assert_eq!(one(UP, &["dO", "d"]), None);
        assert_eq!(one(UP, &["dO", "dx"]), Some(Failed(1)));
        assert_eq!(one(UP, &["dx", "dx"]), Some(SupervisorEnded));
        assert_eq!(one(RESTARTED, &["dDu", ""]), None); // the other was not down yet
        assert_eq!(one(RESTARTED, &["dDu", "d"]), Some(Reached));
        assert_eq!(one(UP, &[]), Some(Reached));
    }
}
