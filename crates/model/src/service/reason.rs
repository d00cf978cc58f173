//! Why a service did not become what was asked for.

use core::fmt;
use core::time::Duration;

use crate::bytes::{ReadError, Reader, Writer};
use crate::service::status::Exit;

/// Why a request did not get its way with one service. `N` names another
/// service: by its number in the manager, by its name in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<N> {
    /// A newer request, of the process `pid`, wants the opposite.
    Superseded { up: bool, pid: u32 },
    /// Something it needs is not up.
    Need(N),
    /// Something that needs it did not stop.
    NeededBy(N),
    /// `timeout-up` was over before it was ready.
    NotReady(Duration),
    /// `timeout-down` was over before it had ended.
    NotStopped(Duration),
    /// Its `finish` said that starting it again is in vain (exit code 125).
    Permanent,
    /// The program cannot be started; an `errno(3)`.
    Spawn(u16),
    /// Its script ended like this.
    Script(Exit),
    /// Its script did not end in time and was killed.
    ScriptTimeout(Duration),
    /// Somebody else told init to keep it down (`s6-svc -d`).
    HeldDown,
    /// Somebody else told init to keep it up (`s6-svc -u`).
    HeldUp,
    /// Init does not hold it.
    Unknown,
    /// It cannot be reloaded: it is not up.
    NotUp,
    /// It cannot be reloaded: it has no reload script.
    NoReload,
    /// The time of the request was over while it was still starting or stopping.
    StillChanging,
    /// The time of the request was over before its turn came.
    NotBegun,
    /// The machine goes down.
    Shutdown,
    /// The controller that asks is to be down itself.
    NotControlled(N),
}

impl<N> Reason<N> {
    /// The same reason with the other service named in another way.
    pub fn map<M>(self, name: impl FnOnce(N) -> M) -> Reason<M> {
        match self {
            Self::Superseded { up, pid } => Reason::Superseded { up, pid },
            Self::Need(n) => Reason::Need(name(n)),
            Self::NeededBy(n) => Reason::NeededBy(name(n)),
            Self::NotReady(limit) => Reason::NotReady(limit),
            Self::NotStopped(limit) => Reason::NotStopped(limit),
            Self::Permanent => Reason::Permanent,
            Self::Spawn(errno) => Reason::Spawn(errno),
            Self::Script(exit) => Reason::Script(exit),
            Self::ScriptTimeout(limit) => Reason::ScriptTimeout(limit),
            Self::HeldDown => Reason::HeldDown,
            Self::HeldUp => Reason::HeldUp,
            Self::Unknown => Reason::Unknown,
            Self::NotUp => Reason::NotUp,
            Self::NoReload => Reason::NoReload,
            Self::StillChanging => Reason::StillChanging,
            Self::NotBegun => Reason::NotBegun,
            Self::Shutdown => Reason::Shutdown,
            Self::NotControlled(n) => Reason::NotControlled(name(n)),
        }
    }
}

impl Reason<alloc::string::String> {
    /// The same reason, with the name borrowed.
    pub fn as_ref(&self) -> Reason<&str> {
        match self {
            Self::Need(name) => Reason::Need(name),
            Self::NeededBy(name) => Reason::NeededBy(name),
            Self::NotControlled(name) => Reason::NotControlled(name),
            other => other.clone().map(|_| ""),
        }
    }
}

impl<'a> Reason<&'a str> {
    pub fn write(&self, w: &mut Writer) {
        let kind = |w: &mut Writer, kind: u8, number: u32| {
            w.u8(kind).u32(number);
        };
        match *self {
            Self::Superseded { up: false, pid } => kind(w, 0, pid),
            Self::Superseded { up: true, pid } => kind(w, 1, pid),
            Self::Need(name) => {
                w.u8(2).text(name);
            }
            Self::NeededBy(name) => {
                w.u8(3).text(name);
            }
            Self::NotReady(limit) => kind(w, 4, millis(limit)),
            Self::NotStopped(limit) => kind(w, 5, millis(limit)),
            Self::Permanent => kind(w, 6, 0),
            Self::Spawn(errno) => kind(w, 7, u32::from(errno)),
            Self::Script(exit) => kind(w, 8, u32::from(exit.to_wait_status())),
            Self::ScriptTimeout(limit) => kind(w, 9, millis(limit)),
            Self::HeldDown => kind(w, 10, 0),
            Self::HeldUp => kind(w, 11, 0),
            Self::Unknown => kind(w, 12, 0),
            Self::NotUp => kind(w, 13, 0),
            Self::NoReload => kind(w, 14, 0),
            Self::StillChanging => kind(w, 15, 0),
            Self::NotBegun => kind(w, 16, 0),
            Self::Shutdown => kind(w, 17, 0),
            Self::NotControlled(name) => {
                w.u8(18).text(name);
            }
        }
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        let kind = r.u8()?;
        match kind {
            2 => return Ok(Self::Need(r.text()?)),
            3 => return Ok(Self::NeededBy(r.text()?)),
            18 => return Ok(Self::NotControlled(r.text()?)),
            _ => {}
        }
        let number = r.u32()?;
        let limit = Duration::from_millis(u64::from(number));
        let short = u16::try_from(number).map_err(|_| ReadError::Impossible);
        Ok(match kind {
            0 | 1 => Self::Superseded { up: kind == 1, pid: number },
            4 => Self::NotReady(limit),
            5 => Self::NotStopped(limit),
            6 => Self::Permanent,
            7 => Self::Spawn(short?),
            8 => Self::Script(Exit::from_wait_status(short?)),
            9 => Self::ScriptTimeout(limit),
            10 => Self::HeldDown,
            11 => Self::HeldUp,
            12 => Self::Unknown,
            13 => Self::NotUp,
            14 => Self::NoReload,
            15 => Self::StillChanging,
            16 => Self::NotBegun,
            17 => Self::Shutdown,
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl fmt::Display for Reason<&str> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Superseded { up, pid } => {
                let what = if up { "start" } else { "stop" };
                write!(f, "superseded by a newer request to {what} it (process {pid})")
            }
            Self::Need(name) => write!(f, "it needs {name}, which is not up"),
            Self::NeededBy(name) => write!(f, "{name} needs it and did not stop"),
            Self::NotReady(limit) => {
                write!(f, "it was not ready after {} ms (its timeout-up)", limit.as_millis())
            }
            Self::NotStopped(limit) => {
                write!(f, "it had not ended after {} ms (its timeout-down)", limit.as_millis())
            }
            Self::Permanent => f.write_str("its finish script said that it cannot go on (125)"),
            Self::Spawn(errno) => {
                write!(f, "its program cannot be started: {}", errno_text(errno))
            }
            Self::Script(exit) => write!(f, "its script {exit}"),
            Self::ScriptTimeout(limit) => {
                write!(f, "its script was still running after {} ms", limit.as_millis())
            }
            Self::HeldDown => f.write_str("somebody keeps it down with s6-svc"),
            Self::HeldUp => f.write_str("somebody keeps it up with s6-svc"),
            Self::Unknown => f.write_str("init does not hold it"),
            Self::NotUp => f.write_str("it is not up"),
            Self::NoReload => f.write_str("it has no reload script"),
            Self::StillChanging => f.write_str("the time is over and it is still changing"),
            Self::NotBegun => f.write_str("the time was over before its turn came"),
            Self::Shutdown => f.write_str("the machine goes down"),
            Self::NotControlled(name) => {
                write!(f, "its controller {name} is down, or being stopped")
            }
        }
    }
}

/// The errors that starting a program has, in words (`execve(2)`, `fork(2)`).
fn errno_text(errno: u16) -> ErrnoText {
    ErrnoText(errno)
}

struct ErrnoText(u16);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            2 => "no such file, or its interpreter is missing",
            4 => "init was interrupted",
            5 => "input/output error",
            7 => "its arguments are too long",
            8 => "it is no program",
            11 => "too many processes",
            12 => "no memory",
            13 => "permission denied",
            20 => "a part of its path is no directory",
            23 | 24 => "too many open files",
            26 => "it is being written",
            40 => "too many symbolic links",
            errno => return write!(f, "errno {errno}"),
        };
        f.write_str(text)
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
