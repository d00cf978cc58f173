//! Messages on the socket of the manager, `LIVE/manager`.
//!
//! As on the socket of init: a datagram holds one message or several, one
//! behind the other, and a connection begins with [`ToManager::Hello`].

use crate::bytes::{ReadError, Reader, Writer};
use crate::service::reason::Reason;
use crate::service::request::SlotState;
use crate::service::status::Exit;
use crate::time::Moment;

/// Changes with every change of a message. One that is new, and told only to
/// those who ask for it, changes nothing for the others.
pub const PROTOCOL: u16 = 2;

/// What shall become of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Up = 0,
    Down = 1,
    Restart = 2,
    Reload = 3,
}

/// How a request is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Add everything that is up to the names.
    pub all: bool,
    /// Bring all others to the opposite state.
    pub prune: bool,
    /// Stop essential services, too.
    pub essential: bool,
    /// Tell of every step, not only of failures.
    pub detail: bool,
    /// Of the services that need the names: start those that only wait for them.
    pub users: bool,
}

/// From a client to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToManager<'a> {
    Hello {
        protocol: u16,
    },
    /// The next message is about this service or bundle, too.
    Name {
        name: &'a str,
    },
    /// Change the services that were named. `since`: when it was first asked
    /// for. `limit`: milliseconds, 0 for none.
    Ask {
        id: u32,
        verb: Verb,
        manner: Manner,
        limit: u32,
        since: Moment,
    },
    /// Say how the services that were named are; all of them, if none was.
    Status {
        id: u32,
    },
    /// In the next update: `old` is called `new` (or as before), and
    /// restarted in any case or not.
    Convert {
        old: &'a str,
        new: Option<&'a str>,
        restart: bool,
    },
    /// Go over to the compiled database in the directory `database`.
    /// `as_is`: the same services in another format; nothing is restarted.
    /// `repeated`: it was asked before and no answer came, so that it may have
    /// been done.
    Update {
        id: u32,
        database: &'a str,
        manner: Manner,
        as_is: bool,
        repeated: bool,
        limit: u32,
    },
    /// Say how the services that were named are, and again whenever that
    /// changes. They take the place of those that were watched before.
    Watch {
        id: u32,
    },
    /// This connection is the one of the controller `name`: the next messages
    /// are about what it controls.
    Controller {
        name: &'a str,
    },
    /// What follows of [`ToManager::Condition`] is about this service, and
    /// takes the place of all that was said before.
    Conditions {
        service: &'a str,
    },
    Condition(Condition<'a>),
    /// Why the next [`ToManager::Ask`] is made, for people.
    Because {
        text: &'a str,
    },
    /// Say when the services that were named were brought up and down, and how
    /// their processes ended; all of them, if none was.
    History {
        id: u32,
    },
}

/// What a controller goes by for one service, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// What is looked at.
    pub label: &'a str,
    /// How it is.
    pub value: &'a str,
    /// The service shall be up, as far as this goes.
    pub holds: bool,
    /// Since when it is so.
    pub since: Moment,
}

/// What happened to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Starting,
    Stopping,
    Up,
    Down,
    Reloaded,
    /// It is essential and stays as it is.
    Spared,
    Failed(Reason<&'a str>),
}

/// How the manager sees one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceStatus<'a> {
    pub name: &'a str,
    /// The state byte (`live_state.rs`).
    pub byte: u8,
    /// It shall be up.
    pub goal: bool,
    /// What init says; `None`: init does not hold it.
    pub state: Option<SlotState>,
    /// Why it is not what it should be.
    pub trouble: Option<Reason<&'a str>>,
    /// When its starting or stopping is given up.
    pub limit: Option<Moment>,
    /// The number of the request that last said what it shall be; 0: none.
    pub request: u32,
}

/// A request, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    pub request: u32,
    /// The program, its words, and what started it.
    pub by: &'a str,
    pub at: Moment,
}

/// How it went when a service was brought up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanEnd {
    Going = 0,
    Done = 1,
    Failed = 2,
}

/// One time that a service was brought up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    pub name: &'a str,
    pub up: bool,
    pub end: SpanEnd,
    /// The request that it belongs to; `FromManager::Asked` before it has the same number.
    pub change: u32,
    pub asked: Option<Moment>,
    pub begun: Moment,
    pub ended: Moment,
}

/// The last end of a service's process, or of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    pub name: &'a str,
    pub begun: Option<Moment>,
    pub ended: Moment,
    pub exit: Exit,
}

/// From the manager to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromManager<'a> {
    Welcome {
        protocol: u16,
    },
    /// A step of a request.
    Step {
        id: u32,
        name: &'a str,
        step: Step<'a>,
    },
    /// A request is over. The exit code is the one of s6-rc or s6-rc-update;
    /// `failed` counts the services that are not as they should be.
    Ended {
        id: u32,
        exit: u8,
        failed: u32,
    },
    /// A request cannot be begun, and why; `hint` may help.
    Refused {
        id: u32,
        exit: u8,
        why: &'a str,
        hint: &'a str,
    },
    Service(ServiceStatus<'a>),
    /// One of the requests that services name, before any of these.
    Asked(Asked<'a>),
    /// What a controller goes by for the service that was told last.
    Condition {
        controller: &'a str,
        condition: Condition<'a>,
    },
    /// All services were told.
    StatusEnd {
        id: u32,
    },
    /// The new database is in use from now on.
    Switched {
        id: u32,
    },
    Span(Span<'a>),
    Run(Run<'a>),
    /// Older ones were forgotten.
    SpansCut,
}

impl Manner {
    fn to_byte(self) -> u8 {
        [self.all, self.prune, self.essential, self.detail, self.users]
            .into_iter()
            .enumerate()
            .fold(0, |byte, (bit, set)| byte | u8::from(set) << bit)
    }

    fn from_byte(byte: u8) -> Result<Self, ReadError> {
        if byte > 31 {
            return Err(ReadError::Impossible);
        }
        let bit = |n: u8| byte >> n & 1 != 0;
        Ok(Self { all: bit(0), prune: bit(1), essential: bit(2), detail: bit(3), users: bit(4) })
    }
}

impl<'a> ToManager<'a> {
    pub fn write(&self, w: &mut Writer) {
        match *self {
            Self::Hello { protocol } => {
                w.u8(0).u16(protocol);
            }
            Self::Name { name } => {
                w.u8(1).text(name);
            }
            Self::Ask { id, verb, manner, limit, since } => {
                w.u8(2).u32(id).u8(verb as u8).u8(manner.to_byte()).u32(limit).u64(since.nanos());
            }
            Self::Status { id } => {
                w.u8(3).u32(id);
            }
            Self::Convert { old, new, restart } => {
                w.u8(4).text(old).text(new.unwrap_or("")).bool(restart);
            }
            Self::Update { id, database, manner, as_is, repeated, limit } => {
                w.u8(5).u32(id).text(database).u8(manner.to_byte()).bool(as_is);
                w.bool(repeated).u32(limit);
            }
            Self::Watch { id } => {
                w.u8(6).u32(id);
            }
            Self::Controller { name } => {
                w.u8(7).text(name);
            }
            Self::Conditions { service } => {
                w.u8(8).text(service);
            }
            Self::Condition(condition) => condition.write(w.u8(9)),
            Self::Because { text } => {
                w.u8(10).text(text);
            }
            Self::History { id } => {
                w.u8(11).u32(id);
            }
        }
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Hello { protocol: r.u16()? },
            1 => Self::Name { name: r.text()? },
            2 => Self::Ask {
                id: r.u32()?,
                verb: match r.u8()? {
                    0 => Verb::Up,
                    1 => Verb::Down,
                    2 => Verb::Restart,
                    3 => Verb::Reload,
                    _ => return Err(ReadError::Impossible),
                },
                manner: Manner::from_byte(r.u8()?)?,
                limit: r.u32()?,
                since: Moment::from_nanos(r.u64()?),
            },
            3 => Self::Status { id: r.u32()? },
            4 => {
                let (old, new) = (r.text()?, r.text()?);
                let new = (!new.is_empty()).then_some(new);
                Self::Convert { old, new, restart: r.bool()? }
            }
            5 => Self::Update {
                id: r.u32()?,
                database: r.text()?,
                manner: Manner::from_byte(r.u8()?)?,
                as_is: r.bool()?,
                repeated: r.bool()?,
                limit: r.u32()?,
            },
            6 => Self::Watch { id: r.u32()? },
            7 => Self::Controller { name: r.text()? },
            8 => Self::Conditions { service: r.text()? },
            9 => Self::Condition(Condition::read(r)?),
            10 => Self::Because { text: r.text()? },
            11 => Self::History { id: r.u32()? },
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl<'a> Condition<'a> {
    fn write(&self, w: &mut Writer) {
        w.text(self.label).text(self.value).bool(self.holds).u64(self.since.nanos());
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let (label, value, holds) = (r.text()?, r.text()?, r.bool()?);
        Ok(Self { label, value, holds, since: Moment::from_nanos(r.u64()?) })
    }
}

impl<'a> Step<'a> {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Starting => w.u8(0),
            Self::Stopping => w.u8(1),
            Self::Up => w.u8(2),
            Self::Down => w.u8(3),
            Self::Reloaded => w.u8(4),
            Self::Spared => w.u8(5),
            Self::Failed(reason) => {
                reason.write(w.u8(6));
                w
            }
        };
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Starting,
            1 => Self::Stopping,
            2 => Self::Up,
            3 => Self::Down,
            4 => Self::Reloaded,
            5 => Self::Spared,
            6 => Self::Failed(Reason::read(r)?),
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl<'a> ServiceStatus<'a> {
    fn write(&self, w: &mut Writer) {
        w.text(self.name).u8(self.byte).bool(self.goal).bool(self.state.is_some());
        if let Some(state) = &self.state {
            state.write(w);
        }
        w.bool(self.trouble.is_some());
        if let Some(trouble) = &self.trouble {
            trouble.write(w);
        }
        // No moment is 0: that is when the machine started.
        w.u64(self.limit.map_or(0, Moment::nanos)).u32(self.request);
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let name = r.text()?;
        let (byte, goal) = (r.u8()?, r.bool()?);
        let state = if r.bool()? { Some(SlotState::read(r)?) } else { None };
        let trouble = if r.bool()? { Some(Reason::read(r)?) } else { None };
        let limit = r.u64()?;
        let limit = (limit != 0).then(|| Moment::from_nanos(limit));
        Ok(Self { name, byte, goal, state, trouble, limit, request: r.u32()? })
    }
}

impl<'a> Span<'a> {
    fn write(&self, w: &mut Writer) {
        w.text(self.name).bool(self.up).u8(self.end as u8).u32(self.change);
        w.u64(self.asked.map_or(0, Moment::nanos));
        w.u64(self.begun.nanos()).u64(self.ended.nanos());
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let (name, up) = (r.text()?, r.bool()?);
        let end = match r.u8()? {
            0 => SpanEnd::Going,
            1 => SpanEnd::Done,
            2 => SpanEnd::Failed,
            _ => return Err(ReadError::Impossible),
        };
        let (change, asked) = (r.u32()?, moment(r.u64()?));
        let (begun, ended) = (Moment::from_nanos(r.u64()?), Moment::from_nanos(r.u64()?));
        Ok(Self { name, up, end, change, asked, begun, ended })
    }
}

impl<'a> Run<'a> {
    fn write(&self, w: &mut Writer) {
        w.text(self.name).u64(self.begun.map_or(0, Moment::nanos)).u64(self.ended.nanos());
        w.u16(self.exit.to_wait_status());
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let (name, begun, ended) = (r.text()?, moment(r.u64()?), Moment::from_nanos(r.u64()?));
        Ok(Self { name, begun, ended, exit: Exit::from_wait_status(r.u16()?) })
    }
}

/// No moment is 0: that is when the machine started.
fn moment(nanos: u64) -> Option<Moment> {
    (nanos != 0).then(|| Moment::from_nanos(nanos))
}

impl<'a> FromManager<'a> {
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Welcome { protocol } => {
                w.u8(0).u16(*protocol);
            }
            Self::Step { id, name, step } => step.write(w.u8(1).u32(*id).text(name)),
            Self::Ended { id, exit, failed } => {
                w.u8(2).u32(*id).u8(*exit).u32(*failed);
            }
            Self::Refused { id, exit, why, hint } => {
                w.u8(3).u32(*id).u8(*exit).text(why).text(hint);
            }
            Self::Service(status) => status.write(w.u8(4)),
            Self::Asked(Asked { request, by, at }) => {
                w.u8(7).u32(*request).text(by).u64(at.nanos());
            }
            Self::Condition { controller, condition } => {
                condition.write(w.u8(8).text(controller));
            }
            Self::StatusEnd { id } => {
                w.u8(5).u32(*id);
            }
            Self::Switched { id } => {
                w.u8(6).u32(*id);
            }
            Self::Span(span) => span.write(w.u8(9)),
            Self::Run(run) => run.write(w.u8(10)),
            Self::SpansCut => {
                w.u8(11);
            }
        }
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Welcome { protocol: r.u16()? },
            1 => Self::Step { id: r.u32()?, name: r.text()?, step: Step::read(r)? },
            2 => Self::Ended { id: r.u32()?, exit: r.u8()?, failed: r.u32()? },
            3 => Self::Refused { id: r.u32()?, exit: r.u8()?, why: r.text()?, hint: r.text()? },
            4 => Self::Service(ServiceStatus::read(r)?),
            5 => Self::StatusEnd { id: r.u32()? },
            6 => Self::Switched { id: r.u32()? },
            7 => Self::Asked(Asked {
                request: r.u32()?,
                by: r.text()?,
                at: Moment::from_nanos(r.u64()?),
            }),
            8 => Self::Condition { controller: r.text()?, condition: Condition::read(r)? },
            9 => Self::Span(Span::read(r)?),
            10 => Self::Run(Run::read(r)?),
            11 => Self::SpansCut,
            _ => return Err(ReadError::Impossible),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn messages_read_back_one_behind_the_other() {
        let manner = Manner { all: true, detail: true, ..Manner::default() };
        let since = Moment::from_nanos(7);
        let condition = Condition { label: "link", value: "up", holds: true, since };
        let asked = [
            ToManager::Hello { protocol: PROTOCOL },
            ToManager::Name { name: "dns" },
            ToManager::Ask { id: 1, verb: Verb::Restart, manner, limit: 500, since },
            ToManager::Status { id: 2 },
            ToManager::Convert { old: "dns", new: Some("resolver"), restart: true },
            ToManager::Convert { old: "lan", new: None, restart: true },
            ToManager::Update {
                id: 3,
                database: "/db",
                manner,
                as_is: false,
                repeated: true,
                limit: 0,
            },
            ToManager::Watch { id: 4 },
            ToManager::Controller { name: "uplinks" },
            ToManager::Conditions { service: "wan" },
            ToManager::Condition(condition),
            ToManager::Because { text: "9.9.9.9 does not answer" },
            ToManager::History { id: 5 },
        ];
        let mut w = Writer::new();
        asked.iter().for_each(|message| message.write(&mut w));
        let mut r = Reader::new(w.as_bytes());
        for message in asked {
            assert_eq!(ToManager::read(&mut r), Ok(message));
        }
        assert_eq!(r.end(), Ok(()));

        let reasons = [
            Reason::Superseded { up: true, pid: 4711 },
            Reason::Need("lan"),
            Reason::NeededBy("dns"),
            Reason::NotReady(Duration::from_millis(20_000)),
            Reason::NotStopped(Duration::from_millis(5)),
            Reason::Permanent,
            Reason::Spawn(2),
            Reason::Script(Exit::Code(3)),
            Reason::Script(Exit::Signal(9)),
            Reason::ScriptTimeout(Duration::from_millis(1)),
            Reason::HeldDown,
            Reason::HeldUp,
            Reason::Unknown,
            Reason::NotUp,
            Reason::NoReload,
            Reason::StillChanging,
            Reason::NotBegun,
            Reason::Shutdown,
            Reason::NotControlled("uplinks"),
        ];
        for reason in reasons {
            let state = Some(SlotState { pid: 5, ..SlotState::default() });
            let (name, byte, goal) = ("dns", 5, true);
            let told = [
                FromManager::Welcome { protocol: PROTOCOL },
                FromManager::Step { id: 1, name, step: Step::Failed(reason) },
                FromManager::Step { id: 1, name, step: Step::Up },
                FromManager::Ended { id: 1, exit: 2, failed: 3 },
                FromManager::Refused { id: 1, exit: 3, why: "no", hint: "try" },
                FromManager::Service(ServiceStatus {
                    name,
                    byte,
                    goal,
                    state,
                    trouble: Some(reason),
                    limit: Some(since),
                    request: 4,
                }),
                FromManager::Asked(Asked { request: 4, by: "s6-rc", at: since }),
                FromManager::Service(ServiceStatus {
                    name,
                    byte,
                    goal,
                    state: None,
                    trouble: None,
                    limit: None,
                    request: 0,
                }),
                FromManager::Condition { controller: "uplinks", condition },
                FromManager::StatusEnd { id: 1 },
                FromManager::Switched { id: 1 },
                FromManager::Span(Span {
                    name,
                    up: true,
                    end: SpanEnd::Failed,
                    change: 3,
                    asked: None,
                    begun: since,
                    ended: since,
                }),
                FromManager::Run(Run {
                    name,
                    begun: Some(since),
                    ended: since,
                    exit: Exit::Signal(9),
                }),
                FromManager::SpansCut,
            ];
            let mut w = Writer::new();
            told.iter().for_each(|message| message.write(&mut w));
            let mut r = Reader::new(w.as_bytes());
            for message in told {
                assert_eq!(FromManager::read(&mut r), Ok(message));
            }
            assert_eq!(r.end(), Ok(()));
        }
    }
}
