//! Runs the scripts of one oneshot, one at a time.

use alloc::vec::Vec;

use model::bytes::{ReadError, Reader, Writer};
use model::service::database::Script;
use model::service::request::{GaveUp, Phase, SlotState};
use model::time::Moment;

use crate::machine::{Action, Event, Program};

/// One oneshot. Its state is `Up` while a script runs and `Down` otherwise;
/// whether the service is up is the manager's to know. Time limits are the
/// manager's too: it ends a script with a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runner {
    state: SlotState,
}

impl Runner {
    pub fn new(now: Moment) -> Self {
        Self { state: SlotState { since: now, ..SlotState::default() } }
    }

    pub fn state(&self) -> &SlotState {
        &self.state
    }

    pub fn at_rest(&self) -> bool {
        self.state.phase == Phase::Down
    }

    /// Takes one event. A script that is asked for while another runs is not
    /// run: the manager asks for one after the other.
    pub fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Run { script, ticket } if self.at_rest() && ticket != self.state.ticket => {
                self.state = SlotState {
                    phase: Phase::Up,
                    starts: self.state.starts.wrapping_add(1),
                    ticket,
                    since: now,
                    ..SlotState::default()
                };
                actions.push(Action::Spawn(Program::Script(script)));
            }
            Event::Started { pid } => self.state.pid = pid,
            Event::SpawnFailed { errno } => {
                self.rest(now);
                self.state.gave_up = Some(GaveUp::Spawn(errno));
            }
            Event::Exited { pid, exit } if pid == self.state.pid && pid != 0 => {
                self.rest(now);
                self.state.exit = Some(exit);
            }
            Event::Signal(signal) if self.state.pid != 0 && signal != 0 => {
                actions.push(Action::Kill { pid: self.state.pid, signal, group: true });
            }
            Event::Kill if self.state.pid != 0 => {
                actions.push(Action::Kill { pid: self.state.pid, signal: SIGKILL, group: true });
            }
            _ => {}
        }
    }

    fn rest(&mut self, now: Moment) {
        self.state.phase = Phase::Down;
        self.state.pid = 0;
        self.state.since = now;
    }

    /// Appends what must survive a crash of init.
    pub fn save(&self, w: &mut Writer) {
        self.state.write(w);
    }

    /// What [`Runner::save`] wrote.
    pub fn load(r: &mut Reader<'_>) -> Result<Self, ReadError> {
        // A script has no deadline here; one that nobody acts on would wake
        // init for ever.
        Ok(Self { state: SlotState { deadline: None, ..SlotState::read(r)? } })
    }

    /// Init fell between asking for a process and hearing of it. A script
    /// that never began counts as one that could not be started: the manager
    /// decides whether to ask again.
    pub fn resume(&mut self, now: Moment, spawned: u32) {
        if self.state.phase == Phase::Up && self.state.pid == 0 {
            if spawned != 0 {
                self.state.pid = spawned;
            } else {
                self.rest(now);
                self.state.gave_up = Some(GaveUp::Spawn(INTERRUPTED));
            }
        }
    }
}

const SIGKILL: u8 = 9;

/// `EINTR`: what a start is told that init's own fall cut short.
const INTERRUPTED: u16 = 4;

/// The script in words, for messages.
pub fn script_name(script: Script) -> &'static str {
    match script {
        Script::Up => "up",
        Script::Down => "down",
        Script::Reload => "reload",
    }
}
