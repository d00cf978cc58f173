//! Asking the manager of a live directory, until it has answered.
//!
//! A manager that is killed comes back: the request is then repeated as it
//! was, which leads to the same end.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
pub use model::service::conversion::Conversion;
use model::service::manager_request::{FromManager, Manner, PROTOCOL, Step, ToManager, Verb};
use model::time::Moment;

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::service::live_dir::MANAGER;
use crate::service::script_output::ScriptOutput;
use crate::socket::Connection;

/// How long the manager may be away before it counts as not there.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Wish<'a> {
    Change {
        verb: Verb,
        manner: Manner,
    },
    Status,
    /// When services were brought up and down, and how those that are named last ended.
    History,
    /// Both at once, of all services: neither can change before the other is told.
    /// `StatusEnd` ends each of them, the latter with [`HISTORY`].
    StatusAndHistory,
    Update {
        database: &'a str,
        manner: Manner,
        as_is: bool,
        conversions: &'a [Conversion],
    },
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// As of s6-rc, or of s6-rc-update.
    pub exit: u8,
    /// Services that are not as they should be.
    pub failed: u32,
}

/// Why there is no end.
#[derive(Debug)]
pub enum AskError {
    /// There is no such live directory, or it cannot be reached.
    Io(io::Error),
    /// The manager says no.
    Refused { exit: u8, why: String, hint: String },
    /// The manager did not come (back).
    Away,
    /// The manager is of another release.
    Protocol(u16),
    /// The time is over and the manager has not said so itself.
    TimedOut,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot reach the manager: {error}"),
            Self::Refused { why, .. } => f.write_str(why),
            Self::Away => write!(
                f,
                "the manager has not answered for {} seconds; is init running?",
                AWAY_MAX.as_secs()
            ),
            Self::Protocol(found) => write!(
                f,
                "the manager speaks version {found} of the protocol and this program {PROTOCOL}"
            ),
            Self::TimedOut => f.write_str("the time is over and the manager does not answer"),
        }
    }
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is heard while waiting.
pub enum Heard<'a> {
    Manager(FromManager<'a>),
    /// A line that a followed oneshot has printed.
    Line(&'a [u8]),
    /// Nothing for a second: time to show that it goes on.
    Quiet,
}

/// A request to the manager of `live`.
pub struct Asking<'a> {
    pub live: &'a Path,
    pub names: &'a [&'a str],
    pub wish: Wish<'a>,
    /// Give up after this long.
    pub limit: Option<Duration>,
    /// Oneshots whose output is shown.
    pub followed: &'a [&'a str],
    /// Say [`Heard::Quiet`] while nothing happens.
    pub ticks: bool,
    /// Wait for a manager that is away; otherwise that is the end.
    pub patient: bool,
}

/// One request, over all connections that it takes.
struct Meeting {
    since: Moment,
    deadline: Option<Moment>,
    /// The manager has spoken in this connection.
    welcome: bool,
    /// It has in an earlier one, and was killed before it answered.
    repeated: bool,
}

/// The number of the question for the history, where there is another one.
pub const HISTORY: u32 = 2;

const MANAGER_TOKEN: u64 = 0;
const LOG_TOKEN: u64 = 1;

impl Asking<'_> {
    /// Asks, and waits for the end.
    pub fn ask(&self, heard: &mut dyn FnMut(Heard<'_>)) -> Result<Ending, AskError> {
        let since = clock::now();
        let deadline = self.limit.map(|limit| since + limit);
        let mut scripts = ScriptOutput::follow(self.live, self.followed);
        let mut wait = Duration::from_millis(1);
        let mut away = since + AWAY_MAX;
        let mut meeting = Meeting { since, deadline, welcome: false, repeated: false };
        loop {
            match self.once(&mut meeting, &mut scripts, heard) {
                Ok(ending) => return Ok(ending),
                // The manager comes back, and at most as late as init starts it again.
                Err(AskError::Io(error)) if self.patient && comes_back(&error) => {
                    if std::mem::take(&mut meeting.welcome) {
                        meeting.repeated = true;
                        wait = Duration::from_millis(1);
                        away = clock::now() + AWAY_MAX;
                    }
                    if !self.live.exists() {
                        return Err(AskError::Io(error));
                    }
                }
                Err(error) => return Err(error),
            }
            let now = clock::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(AskError::TimedOut);
            }
            if now >= away {
                return Err(AskError::Away);
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(100));
        }
    }

    fn once(
        &self,
        meeting: &mut Meeting,
        scripts: &mut ScriptOutput<'_>,
        heard: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Ending, AskError> {
        let deadline = meeting.deadline;
        let connection = Connection::connect(&self.live.join(MANAGER))?;
        let left = deadline.map(|deadline| deadline.since(clock::now()));
        if left == Some(Duration::ZERO) {
            return Err(AskError::TimedOut);
        }
        self.send(&connection, meeting, left)?;
        let simple = scripts.descriptor().is_none() && deadline.is_none() && !self.ticks;
        let mut events = None;
        if !simple {
            connection.set_nonblocking()?;
            let new = EventLoop::new()?;
            new.add(&connection, MANAGER_TOKEN, Readiness::IN)?;
            if let Some(lines) = scripts.descriptor() {
                new.add(lines, LOG_TOKEN, Readiness::IN)?;
            }
            events = Some(new);
        }
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let mut ends = if matches!(self.wish, Wish::StatusAndHistory) { 2 } else { 1 };
        loop {
            if let Some(events) = &mut events {
                self.wait(events, deadline, scripts, heard)?;
            }
            loop {
                let length = match connection.receive(&mut buffer) {
                    Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                };
                meeting.welcome = true;
                if let Some(ending) = self.hear(&buffer[..length], &mut ends, scripts, heard)? {
                    scripts.finish(&mut |line| heard(Heard::Line(line)));
                    return Ok(ending);
                }
            }
        }
    }

    /// Waits for the manager, passing on lines of the log meanwhile.
    fn wait(
        &self,
        events: &mut EventLoop,
        deadline: Option<Moment>,
        scripts: &mut ScriptOutput<'_>,
        heard: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), AskError> {
        // The manager ends a request in time itself; this is for one that cannot.
        let last = deadline.map(|deadline| deadline + Duration::from_secs(2));
        let tick = self.ticks.then(|| clock::now() + Duration::from_secs(1));
        let until = [last, tick].into_iter().flatten().min();
        let ready = events.wait(until)?;
        if ready.iter().any(|(token, _)| *token == LOG_TOKEN) {
            scripts.pass(&mut |line| heard(Heard::Line(line)));
        }
        if ready.is_empty() {
            if last.is_some_and(|last| clock::now() >= last) {
                return Err(AskError::TimedOut);
            }
            heard(Heard::Quiet);
        }
        Ok(())
    }

    fn send(
        &self,
        connection: &Connection,
        meeting: &Meeting,
        left: Option<Duration>,
    ) -> io::Result<()> {
        let mut w = Writer::new();
        ToManager::Hello { protocol: PROTOCOL }.write(&mut w);
        let room = |w: &mut Writer, more: usize| -> io::Result<()> {
            if w.len() + more + 64 > MESSAGE_BYTES_MAX {
                connection.send(w.as_bytes())?;
                *w = Writer::new();
            }
            Ok(())
        };
        for name in self.names {
            room(&mut w, name.len())?;
            ToManager::Name { name }.write(&mut w);
        }
        let limit =
            left.map_or(0, |left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1));
        let id = 1;
        match self.wish {
            Wish::Change { verb, manner } => {
                ToManager::Ask { id, verb, manner, limit, since: meeting.since }.write(&mut w);
            }
            Wish::Status => ToManager::Status { id }.write(&mut w),
            Wish::History => ToManager::History { id }.write(&mut w),
            // In one message, so that the manager does nothing else in between.
            Wish::StatusAndHistory => {
                ToManager::Status { id }.write(&mut w);
                ToManager::History { id: HISTORY }.write(&mut w);
            }
            Wish::Update { database, manner, as_is, conversions } => {
                for Conversion { old, new, restart } in conversions {
                    let new = new.as_deref();
                    room(&mut w, old.len() + new.map_or(0, str::len))?;
                    ToManager::Convert { old, new, restart: *restart }.write(&mut w);
                }
                room(&mut w, database.len())?;
                let repeated = meeting.repeated;
                ToManager::Update { id, database, manner, as_is, repeated, limit }.write(&mut w);
            }
        }
        connection.send(w.as_bytes())
    }

    /// Reads the messages of a datagram; the end, if it is among them.
    fn hear(
        &self,
        datagram: &[u8],
        ends: &mut u8,
        scripts: &mut ScriptOutput<'_>,
        heard: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Option<Ending>, AskError> {
        let mut reader = Reader::new(datagram);
        let mut ending = None;
        while reader.left() > 0 {
            let message = FromManager::read(&mut reader)
                .map_err(|error| io::Error::other(format!("the manager is confused: {error}")))?;
            match message {
                FromManager::Welcome { protocol } if protocol != PROTOCOL => {
                    return Err(AskError::Protocol(protocol));
                }
                FromManager::Ended { exit, failed, .. } => ending = Some(Ending { exit, failed }),
                FromManager::StatusEnd { id } => {
                    heard(Heard::Manager(FromManager::StatusEnd { id }));
                    *ends -= 1;
                    if *ends == 0 {
                        ending = Some(Ending { exit: 0, failed: 0 });
                        break;
                    }
                }
                FromManager::Refused { exit, why, hint, .. } => {
                    let (why, hint) = (why.to_owned(), hint.to_owned());
                    return Err(AskError::Refused { exit, why, hint });
                }
                // What a script printed comes before the news that it has ended.
                FromManager::Step { name, step, .. } if ends_a_script(&step) => {
                    scripts.ended(name, &mut |line| heard(Heard::Line(line)));
                    heard(Heard::Manager(message));
                }
                _ => heard(Heard::Manager(message)),
            }
        }
        Ok(ending)
    }
}

/// Whether the manager may only be away for a moment.
fn comes_back(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        UnexpectedEof | NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | NotConnected
    )
}

fn ends_a_script(step: &Step<'_>) -> bool {
    matches!(step, Step::Up | Step::Down | Step::Reloaded | Step::Failed(_))
}
