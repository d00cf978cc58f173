//! The link of a controller to the manager: never waits, and connects again by
//! itself after a manager was killed.
//!
//! A controller knows what its services should be and compares that with what
//! the link tells. Whatever is said while there is no manager is lost, and
//! [`News::Again`] says when to say all of it again.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::live_state::is_up;
pub use model::service::manager_request::Condition;
use model::service::manager_request::{
    FromManager, Manner, PROTOCOL, ServiceStatus, Step, ToManager, Verb as Order,
};
use model::service::request::Phase;
use model::service::status::Exit;
use model::time::Moment;

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::service::live_dir::MANAGER;
use crate::socket::Connection;

/// The first and the longest wait until it connects again.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Messages of the manager in a turn, and datagrams that wait for it to read.
/// Beyond the latter it counts as gone: everything is said anew.
const TURN_MAX: usize = 64;
const UNSENT_MAX: usize = 1024;

/// What is asked of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// With all that needs it, except what depends on another service that its
    /// controller keeps down.
    Up,
    /// What needs it first.
    Down,
    /// Together with what needs it and is up.
    Restart,
}

/// What the manager says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A watched service is like this: at first, and at each change.
    State(State),
    /// What was asked for under this number has ended. 0: the manager does not
    /// know a service that shall be watched, or this controller.
    Ended { id: u32, ok: bool, why: String },
    /// There is a (new) connection, also at first: say which services are
    /// watched, the conditions, and ask again for what is not as it should be.
    Again,
}

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub service: String,
    /// As the graph sees it: it came up and was not taken down since. The
    /// process of a longrun may be dead and wait to be started again.
    pub up: bool,
    /// It shall be up.
    pub goal: bool,
    /// A longrun: its process runs, and has said that it serves where it does so.
    pub ready: bool,
    pub phase: Phase,
    /// Counts how often its process, or a script, was started.
    pub starts: u32,
    /// How that ended, if it did since it was started last.
    pub exit: Option<Exit>,
    /// Since when it is in this phase.
    pub since: Moment,
    /// Why it last did not become what was asked for; forgotten once it does.
    pub trouble: Option<String>,
}

pub struct ManagerLink {
    socket: PathBuf,
    name: String,
    /// Watches the connection, so that there is one descriptor for ever.
    events: EventLoop,
    connection: Option<Connection>,
    /// What is written until the next datagram is full, or sent.
    filling: Writer,
    unsent: VecDeque<Vec<u8>>,
    wants_room: bool,
    news: VecDeque<News>,
    /// What was asked for and has not ended, with what went wrong so far.
    asked: Vec<(u32, String)>,
    retry: Option<Moment>,
    wait: Duration,
}

impl ManagerLink {
    /// The link of the controller `name` of a live directory. It connects at
    /// once where the manager is there.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn open(live: &Path, name: &str) -> io::Result<Self> {
        let mut link = Self {
            socket: live.join(MANAGER),
            name: name.to_owned(),
            events: EventLoop::new()?,
            connection: None,
            filling: Writer::new(),
            unsent: VecDeque::new(),
            wants_room: false,
            news: VecDeque::new(),
            asked: Vec::new(),
            retry: None,
            wait: RETRY_MIN,
        };
        link.connect();
        Ok(link)
    }

    /// Stays the same for ever; readable when [`ManagerLink::read`] has
    /// something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }

    /// When to call [`ManagerLink::tick`], and then [`ManagerLink::read`].
    pub fn deadline(&self) -> Option<Moment> {
        if self.news.is_empty() { self.retry } else { Some(clock::now()) }
    }

    /// Connects again where it is time.
    pub fn tick(&mut self) {
        if self.retry.is_some_and(|at| at <= clock::now()) {
            self.connect();
        }
    }

    /// Whether there is a manager now.
    pub fn connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Wants to be told how these are, now and at each change. They take the
    /// place of those that were watched before.
    pub fn watch(&mut self, services: &[&str]) {
        for name in services {
            self.say(&ToManager::Name { name });
        }
        self.say(&ToManager::Watch { id: 0 });
        self.send();
    }

    /// What people are shown beside a service; takes the place of what was
    /// said of it before.
    pub fn conditions(&mut self, service: &str, conditions: &[Condition<'_>]) {
        self.say(&ToManager::Conditions { service });
        for condition in conditions {
            self.say(&ToManager::Condition(*condition));
        }
        self.send();
    }

    /// Asks for something under a number of the caller's, which is not 0 and
    /// not in use. It ends with [`News::Ended`] in any case.
    pub fn ask(&mut self, id: u32, verb: Verb, service: &str, because: &str) {
        if self.connection.is_none() {
            let why = "the manager is away".to_owned();
            return self.news.push_back(News::Ended { id, ok: false, why });
        }
        let (verb, users) = match verb {
            Verb::Up => (Order::Up, true),
            Verb::Down => (Order::Down, false),
            Verb::Restart => (Order::Restart, false),
        };
        self.asked.push((id, String::new()));
        let manner = Manner { users, ..Manner::default() };
        self.say(&ToManager::Name { name: service });
        self.say(&ToManager::Because { text: because });
        self.say(&ToManager::Ask { id, verb, manner, limit: 0, since: clock::now() });
        self.send();
    }

    /// What the manager has said since; empty: nothing more for now.
    pub fn read(&mut self) -> Vec<News> {
        self.send();
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        for _ in 0..TURN_MAX {
            let Some(connection) = &self.connection else { break };
            match connection.receive(&mut buffer) {
                Ok(0) => self.lose(),
                Ok(length) if self.hear(&buffer[..length]) => {}
                Ok(_) => self.lose(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.lose(),
            }
        }
        self.news.drain(..).collect()
    }

    fn connect(&mut self) {
        let connected = Connection::connect_nonblocking(&self.socket).and_then(|connection| {
            self.events.add(&connection, 0, Readiness::IN)?;
            Ok(connection)
        });
        match connected {
            Ok(connection) => {
                self.connection = Some(connection);
                self.retry = None;
                self.say(&ToManager::Hello { protocol: PROTOCOL });
                let name = std::mem::take(&mut self.name);
                self.say(&ToManager::Controller { name: &name });
                self.name = name;
                self.news.push_back(News::Again);
                self.send();
            }
            // It is being started, or will be.
            Err(_) => self.try_later(),
        }
    }

    fn try_later(&mut self) {
        self.retry = Some(clock::now() + self.wait);
        self.wait = (self.wait * 2).min(RETRY_MAX);
    }

    /// The manager has gone: what it was asked for, it may have done or not.
    fn lose(&mut self) {
        self.connection = None;
        self.filling = Writer::new();
        self.unsent.clear();
        self.wants_room = false;
        for (id, _) in self.asked.drain(..) {
            let why = "the manager has gone".to_owned();
            self.news.push_back(News::Ended { id, ok: false, why });
        }
        self.try_later();
    }

    fn say(&mut self, message: &ToManager<'_>) {
        if self.connection.is_none() {
            return;
        }
        let before = self.filling.len();
        message.write(&mut self.filling);
        if self.filling.len() > MESSAGE_BYTES_MAX {
            // It goes into the next datagram instead.
            let full = self.filling.take_before(before);
            self.unsent.push_back(full);
        }
    }

    /// Sends as much as the manager takes.
    fn send(&mut self) {
        if !self.filling.is_empty() {
            let bytes = std::mem::take(&mut self.filling).into_bytes();
            self.unsent.push_back(bytes);
        }
        while let (Some(connection), Some(next)) = (&self.connection, self.unsent.front()) {
            match connection.send(next) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.lose(),
            }
        }
        if self.unsent.len() > UNSENT_MAX {
            return self.lose();
        }
        let wants_room = !self.unsent.is_empty();
        if let Some(connection) = &self.connection
            && wants_room != self.wants_room
        {
            self.wants_room = wants_room;
            let interest = if wants_room { Readiness::IN | Readiness::OUT } else { Readiness::IN };
            let _ = self.events.modify(connection, 0, interest);
        }
    }

    /// `false`: it cannot be understood.
    fn hear(&mut self, datagram: &[u8]) -> bool {
        let mut reader = Reader::new(datagram);
        while reader.left() > 0 {
            let Ok(message) = FromManager::read(&mut reader) else { return false };
            match message {
                // Another release, which is just about to take over, or this one is old.
                FromManager::Welcome { protocol } if protocol != PROTOCOL => return false,
                FromManager::Welcome { .. } => self.wait = RETRY_MIN,
                FromManager::Service(status) => self.news.push_back(News::State(state(&status))),
                FromManager::Step { id, name, step: Step::Failed(reason) } => {
                    let asked = self.asked.iter_mut().find(|(asked, _)| *asked == id);
                    if let Some((_, why)) = asked
                        && why.is_empty()
                    {
                        *why = format!("{name}: {reason}");
                    }
                }
                FromManager::Ended { id, exit, .. } => self.ended(id, exit == 0, None),
                FromManager::Refused { id, why, .. } => self.ended(id, false, Some(why)),
                FromManager::Step { .. }
                | FromManager::Asked(_)
                | FromManager::Span(_)
                | FromManager::Run(_)
                | FromManager::SpansCut
                | FromManager::Condition { .. }
                | FromManager::StatusEnd { .. }
                | FromManager::Switched { .. } => {}
            }
        }
        true
    }

    fn ended(&mut self, id: u32, ok: bool, why: Option<&str>) {
        let asked = self.asked.iter().position(|(asked, _)| *asked == id);
        let failed = asked.map(|at| self.asked.swap_remove(at).1).unwrap_or_default();
        let why = why.map_or(failed, str::to_owned);
        self.news.push_back(News::Ended { id, ok, why });
    }
}

fn state(status: &ServiceStatus<'_>) -> State {
    let slot = status.state.unwrap_or_default();
    State {
        service: status.name.to_owned(),
        up: is_up(status.byte),
        goal: status.goal,
        ready: slot.phase == Phase::Ready,
        phase: slot.phase,
        starts: slot.starts,
        exit: slot.exit,
        since: slot.since,
        trouble: status.trouble.map(|reason| reason.to_string()),
    }
}
