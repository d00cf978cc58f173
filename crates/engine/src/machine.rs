//! How a machine meets the world.

use model::service::database::Script;
use model::service::request::Slot;
use model::service::status::Exit;

use crate::service::init::Unit;

/// A program that a slot can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `run` of a longrun.
    Run,
    /// `finish` of a longrun, told how `run` ended and which process group it led.
    Finish { exit: Exit, group: u32 },
    /// A script of a oneshot.
    Script(Script),
}

/// What a supervisor wants done. `World::act` does it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a program; answered by [`Event::Started`] or [`Event::SpawnFailed`].
    Spawn(Program),
    /// Send a signal to the process `pid`, or to the group it leads.
    Kill { pid: u32, signal: u8, group: bool },
    /// Tell everyone who listens at the `event` directory.
    Announce(u8),
    /// `run` has ended: remember the death.
    Tally(Exit),
    /// Make, or remove, the file `down`.
    StayDown(bool),
    /// Supervision of this slot has ended.
    Leave,
}

/// What happens to one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A letter of s6's control language (`s6-svc.html`).
    Control(u8),
    /// Run a script; void where the ticket is the last one.
    Run {
        script: Script,
        ticket: u32,
    },
    /// Send a signal to whatever runs.
    Signal(u8),
    /// Init ends and it had its time: SIGKILL for whatever runs, and nothing
    /// comes after it.
    Kill,
    Started {
        pid: u32,
    },
    /// The system could not start the program; an `errno(3)`.
    SpawnFailed {
        errno: u16,
    },
    /// `run` wrote a line to its notification descriptor.
    Notified,
    /// The process `pid` has ended.
    Exited {
        pid: u32,
        exit: Exit,
    },
    /// The deadline has come.
    Tick,
}

/// Where machines live: Linux (`os`) or a pretend world (`sim`).
pub trait World {
    /// Does what `slot` wants; `unit` is how it is now, before the answer. A
    /// spawn is answered by the event that says how it went. What a process is
    /// started or signalled for is written down before.
    fn act(&mut self, slot: Slot, unit: &Unit, action: Action) -> Option<Event>;

    /// Writes down how `slot` is, where it outlives a fall of init. What comes
    /// of one event is written before the next is heard.
    fn save(&mut self, slot: Slot, unit: &Unit);
}
