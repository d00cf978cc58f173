//! Messages on the control socket of init.
//!
//! A datagram of the `SOCK_SEQPACKET` socket `SCANDIR/.s6-svscan/init` holds
//! one message or several, one behind the other. Both ends are the same
//! program, but not always the same release: each connection begins with a
//! [`ToInit::Hello`] that names the version.

use crate::bytes::{ReadError, Reader, Writer};
use crate::service::database::Script;
use crate::service::status::Exit;
use crate::time::Moment;

/// Changes with every change of a message.
pub const PROTOCOL: u16 = 3;

/// A longrun or oneshot that init holds. A slot keeps its number until its
/// service leaves; a number is not used again while init runs.
pub type Slot = u32;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// The manager of the live directory `live` (a real path): is told of
    /// every change of its slots.
    Manager { live: &'a str },
    /// The logger: is given the reading end of every service's pipe.
    Logger,
    /// Asks for one thing and reads the [`FromInit::Reply`].
    Client,
}

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Reboot,
    PowerOff,
    Halt,
    /// Leave with exit code 0: outside pid 1, and in containers.
    Exit,
    /// Reboot the machine also where maintenance was prepared.
    Hard,
    /// Go on in the maintenance system that lies in memory. Nobody asks for that: it is what a
    /// reboot becomes where one was prepared.
    Maintenance,
}

/// From a client to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToInit<'a> {
    Hello {
        protocol: u16,
        role: Role<'a>,
    },
    /// Keep this longrun up, or down. `ticket` comes back in its state: news
    /// that do not hold it are older than this order.
    Want {
        slot: Slot,
        up: bool,
        ticket: u32,
    },
    /// Run this script of a oneshot. `ticket` comes back in its state; the
    /// script runs once for each new ticket.
    Run {
        slot: Slot,
        script: Script,
        ticket: u32,
    },
    /// Send a signal to the process of a slot, for a oneshot to its group.
    Signal {
        slot: Slot,
        signal: u8,
    },
    /// Supervise the database of the live directory `live`. Services of the
    /// live directory `previous` that `live/moved` names go over to it as
    /// they are; the others leave.
    Take {
        live: &'a str,
        previous: Option<&'a str>,
    },
    /// Forget the live directory; its longruns must be down.
    Release {
        live: &'a str,
    },
    /// Stop everything in order, then end.
    Shutdown {
        end: End,
    },
    /// Start anew from the program file, keeping every child.
    Reexec {
        program: Option<&'a str>,
    },
    /// The manager answers [`FromInit::StopAll`]: nothing is up any more, or
    /// nothing more can be stopped in order.
    AllDown,
    /// From the logger: it writes, and will say so again within so many milliseconds, or it hangs; 0: it
    /// has nothing to write.
    Writing {
        millis: u32,
    },
    /// Make a mistake that the processor notices, to show that it is survived.
    Fault,
    /// The watchdog that init looks after has somebody else now, who took its descriptor.
    WatchdogTaken,
}

/// What a slot is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No process, and none wanted (or the last start failed for good).
    #[default]
    Down,
    /// `run`, or a script of a oneshot, is alive; not (yet) ready.
    Up,
    /// `run` is alive and has said that it serves.
    Ready,
    /// `run` was told to end.
    Stopping,
    /// `run` has ended, `finish` is alive.
    Finishing,
    /// No process; the next start is at `deadline`.
    Waiting,
}

/// Why nothing more is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// `finish` exited 125: permanent failure.
    Permanent,
    /// The program cannot be started at all; an `errno(3)`. Init tries again
    /// later, but no request waits for it.
    Spawn(u16),
}

/// Everything init tells of a slot. Each message holds all of it, so the last
/// one says how things are, and none that was missed is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    pub wanted_up: bool,
    pub paused: bool,
    pub phase: Phase,
    pub gave_up: Option<GaveUp>,
    /// Counts starts of `run`, or of scripts; news of older ones are void.
    pub starts: u32,
    /// The ticket of the last order: of the script that was run last, or of
    /// the last [`ToInit::Want`]; 0 before the first.
    pub ticket: u32,
    /// The process of `run`, `finish` or the script; 0: none.
    pub pid: u32,
    /// How the last `run` ended, also while the next one runs; of a script
    /// only once it has ended.
    pub exit: Option<Exit>,
    /// Since when it is in this phase.
    pub since: Moment,
    /// When init acts next without being asked: restart, SIGKILL.
    pub deadline: Option<Moment>,
}

/// From init to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromInit<'a> {
    /// There is this slot: one per service, before [`FromInit::Welcome`], and
    /// again all of them after a `Take` (then ended by `Welcome` as well).
    Slot { slot: Slot, longrun: bool, name: &'a str },
    /// All slots have been told. For a logger: their pipes, too.
    Welcome { protocol: u16 },
    /// The state of a slot, at first and whenever it changes.
    State { slot: Slot, state: SlotState },
    /// To the logger, with one descriptor: the reading end of this slot's
    /// pipe. Again where the slot has another name.
    Pipe { slot: Slot, name: &'a str },
    /// To the logger: the slot is no more.
    PipeEnded { slot: Slot },
    /// To the logger: while there was none, so many lines of this slot were
    /// given up, the oldest in its pipe.
    Lost { slot: Slot, lines: u64 },
    /// The answer to anything that a [`Role::Client`] asks; empty: done.
    Reply { error: &'a str },
    /// To a manager: bring everything down, then say [`ToInit::AllDown`].
    StopAll,
}

impl<'a> ToInit<'a> {
    pub fn write(&self, w: &mut Writer) {
        match *self {
            Self::Hello { protocol, role } => {
                w.u8(0).u16(protocol);
                match role {
                    Role::Manager { live } => w.u8(0).text(live),
                    Role::Logger => w.u8(1),
                    Role::Client => w.u8(2),
                };
            }
            Self::Want { slot, up, ticket } => {
                w.u8(1).u32(slot).bool(up).u32(ticket);
            }
            Self::Run { slot, script, ticket } => {
                w.u8(2).u32(slot).u8(script as u8).u32(ticket);
            }
            Self::Signal { slot, signal } => {
                w.u8(3).u32(slot).u8(signal);
            }
            Self::Take { live, previous } => {
                w.u8(4).text(live).text(previous.unwrap_or(""));
            }
            Self::Release { live } => {
                w.u8(5).text(live);
            }
            Self::Shutdown { end } => {
                w.u8(6).u8(end as u8);
            }
            Self::Reexec { program } => {
                w.u8(7).text(program.unwrap_or(""));
            }
            Self::AllDown => {
                w.u8(8);
            }
            Self::Fault => {
                w.u8(9);
            }
            Self::Writing { millis } => {
                w.u8(10).u32(millis);
            }
            Self::WatchdogTaken => {
                w.u8(20);
            }
        }
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Ok(match r.u8()? {
            0 => {
                let protocol = r.u16()?;
                let role = match r.u8()? {
                    0 => Role::Manager { live: r.text()? },
                    1 => Role::Logger,
                    2 => Role::Client,
                    _ => return Err(ReadError::Impossible),
                };
                Self::Hello { protocol, role }
            }
            1 => Self::Want { slot: r.u32()?, up: r.bool()?, ticket: r.u32()? },
            2 => {
                let slot = r.u32()?;
                let script = match r.u8()? {
                    0 => Script::Up,
                    1 => Script::Down,
                    2 => Script::Reload,
                    _ => return Err(ReadError::Impossible),
                };
                Self::Run { slot, script, ticket: r.u32()? }
            }
            3 => Self::Signal { slot: r.u32()?, signal: r.u8()? },
            4 => Self::Take { live: r.text()?, previous: some(r.text()?) },
            5 => Self::Release { live: r.text()? },
            6 => Self::Shutdown {
                end: match r.u8()? {
                    0 => End::Reboot,
                    1 => End::PowerOff,
                    2 => End::Halt,
                    3 => End::Exit,
                    4 => End::Hard,
                    _ => return Err(ReadError::Impossible),
                },
            },
            7 => Self::Reexec { program: some(r.text()?) },
            8 => Self::AllDown,
            9 => Self::Fault,
            10 => Self::Writing { millis: r.u32()? },
            20 => Self::WatchdogTaken,
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl<'a> FromInit<'a> {
    pub fn write(&self, w: &mut Writer) {
        match *self {
            Self::Slot { slot, longrun, name } => {
                w.u8(0).u32(slot).bool(longrun).text(name);
            }
            Self::Welcome { protocol } => {
                w.u8(1).u16(protocol);
            }
            Self::State { slot, state } => {
                w.u8(2).u32(slot);
                state.write(w);
            }
            Self::Pipe { slot, name } => {
                w.u8(3).u32(slot).text(name);
            }
            Self::PipeEnded { slot } => {
                w.u8(4).u32(slot);
            }
            Self::Reply { error } => {
                w.u8(5).text(error);
            }
            Self::StopAll => {
                w.u8(6);
            }
            Self::Lost { slot, lines } => {
                w.u8(7).u32(slot).u64(lines);
            }
        }
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Slot { slot: r.u32()?, longrun: r.bool()?, name: r.text()? },
            1 => Self::Welcome { protocol: r.u16()? },
            2 => Self::State { slot: r.u32()?, state: SlotState::read(r)? },
            3 => Self::Pipe { slot: r.u32()?, name: r.text()? },
            4 => Self::PipeEnded { slot: r.u32()? },
            5 => Self::Reply { error: r.text()? },
            6 => Self::StopAll,
            7 => Self::Lost { slot: r.u32()?, lines: r.u64()? },
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl SlotState {
    pub fn write(&self, w: &mut Writer) {
        w.u8(u8::from(self.wanted_up) | u8::from(self.paused) << 1).u8(self.phase as u8);
        match self.gave_up {
            None => w.u16(0),
            Some(GaveUp::Permanent) => w.u16(u16::MAX),
            Some(GaveUp::Spawn(errno)) => w.u16(errno.clamp(1, u16::MAX - 1)),
        };
        w.u32(self.starts).u32(self.ticket).u32(self.pid);
        match self.exit {
            None => w.bool(false).u16(0),
            Some(exit) => w.bool(true).u16(exit.to_wait_status()),
        };
        w.u64(self.since.nanos()).u64(self.deadline.map_or(0, Moment::nanos));
    }

    pub fn read(r: &mut Reader<'_>) -> Result<Self, ReadError> {
        let flags = r.u8()?;
        if flags > 3 {
            return Err(ReadError::Impossible);
        }
        let phase = match r.u8()? {
            0 => Phase::Down,
            1 => Phase::Up,
            2 => Phase::Ready,
            3 => Phase::Stopping,
            4 => Phase::Finishing,
            5 => Phase::Waiting,
            _ => return Err(ReadError::Impossible),
        };
        let gave_up = match r.u16()? {
            0 => None,
            u16::MAX => Some(GaveUp::Permanent),
            errno => Some(GaveUp::Spawn(errno)),
        };
        let (starts, ticket, pid) = (r.u32()?, r.u32()?, r.u32()?);
        let (ended, status) = (r.bool()?, r.u16()?);
        let exit = ended.then(|| Exit::from_wait_status(status));
        let since = Moment::from_nanos(r.u64()?);
        let deadline = r.u64()?;
        Ok(Self {
            wanted_up: flags & 1 != 0,
            paused: flags & 2 != 0,
            phase,
            gave_up,
            starts,
            ticket,
            pid,
            exit,
            since,
            deadline: (deadline != 0).then(|| Moment::from_nanos(deadline)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_one_behind_the_other() {
        let asked = [
            ToInit::Hello { protocol: PROTOCOL, role: Role::Manager { live: "/run/s6-rc:x" } },
            ToInit::Want { slot: 7, up: true, ticket: 5 },
            ToInit::Run { slot: 8, script: Script::Down, ticket: 9 },
            ToInit::Signal { slot: 7, signal: 15 },
            ToInit::Take { live: "/run/s6-rc:y", previous: None },
            ToInit::Take { live: "/run/s6-rc:y", previous: Some("/run/s6-rc:x") },
            ToInit::Release { live: "/run/s6-rc:y" },
            ToInit::Shutdown { end: End::Halt },
            ToInit::Reexec { program: None },
            ToInit::AllDown,
            ToInit::Fault,
            ToInit::Writing { millis: 10_000 },
            ToInit::Shutdown { end: End::Hard },
            ToInit::WatchdogTaken,
        ];
        let mut w = Writer::new();
        asked.iter().for_each(|message| message.write(&mut w));
        let mut r = Reader::new(w.as_bytes());
        for message in asked {
            assert_eq!(ToInit::read(&mut r), Ok(message));
        }
        assert_eq!(r.end(), Ok(()));

        let state = SlotState {
            wanted_up: true,
            phase: Phase::Waiting,
            gave_up: Some(GaveUp::Spawn(2)),
            starts: 3,
            exit: Some(Exit::Signal(9)),
            since: Moment::from_nanos(5),
            deadline: Some(Moment::from_nanos(6)),
            ..SlotState::default()
        };
        let told = [
            FromInit::Slot { slot: 7, longrun: true, name: "dns" },
            FromInit::Welcome { protocol: PROTOCOL },
            FromInit::State { slot: 7, state },
            FromInit::Pipe { slot: 7, name: "dns" },
            FromInit::PipeEnded { slot: 7 },
            FromInit::Reply { error: "no" },
            FromInit::StopAll,
            FromInit::Lost { slot: 7, lines: 12 },
        ];
        let mut w = Writer::new();
        told.iter().for_each(|message| message.write(&mut w));
        let mut r = Reader::new(w.as_bytes());
        for message in told {
            assert_eq!(FromInit::read(&mut r), Ok(message));
        }
        assert_eq!(r.end(), Ok(()));
    }
}
