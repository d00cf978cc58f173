//! How services are, as `ward status` and `ward why` show it: from the
//! manager, or from files alone where it is away.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use cli::Failure;
use model::service::database::{Database, Index, Script};
use model::service::live_state::{AWAITED, STARTING, STOPPING, WANTED, is_up};
use model::service::manager_request::{Asked, Condition, FromManager, ServiceStatus};
use model::service::reason::Reason;
use model::service::request::{GaveUp, Phase, SlotState};
use model::service::status::Exit;
use model::time::{Date, Moment};
use os::clock;
use os::service::client;
use os::service::database_file::DatabaseFile;
use os::service::live_dir::SERVICE_DIRS;
use os::service::manager_client::{AskError, Asking, HISTORY, Heard, Wish};

use super::history::History;
use crate::applets::peers::s6_rc::list::{open, read_database, read_state};

/// What is known of one service.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub byte: u8,
    /// It shall be up.
    pub goal: bool,
    pub state: Option<SlotState>,
    pub trouble: Option<Reason<String>>,
    /// When its starting or stopping is given up.
    pub limit: Option<Moment>,
    /// The number of the request that last said what it shall be; 0: none.
    pub request: u32,
    /// What its controllers go by.
    pub conditions: Vec<Known>,
}

/// One thing that a controller goes by.
#[derive(Clone, Debug)]
pub struct Known {
    pub controller: String,
    pub label: String,
    pub value: String,
    pub holds: bool,
    pub since: Moment,
}

/// A request for a change.
#[derive(Clone, Debug)]
pub struct Request {
    number: u32,
    /// The program, its words, and what started it.
    pub by: String,
    pub at: Moment,
}

/// A database and how its services are.
pub struct Services<'a> {
    pub database: Database<'a>,
    pub seen: Vec<Seen>,
    requests: Vec<Request>,
    /// The manager has said so; otherwise files have.
    pub fresh: bool,
    /// Who asks may not ask the manager.
    denied: bool,
    pub now: Moment,
}

/// Reads the database of a live directory and hands what is known to `with`.
pub fn look<T>(
    live: &Path,
    with: impl FnOnce(&Services<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let file: DatabaseFile = read_database(live)?;
    with(&asked(live, open(&file)?, None)?)
}

/// The same, with what the manager remembers: of the same moment.
pub fn look_back<T>(
    live: &Path,
    with: impl FnOnce(&Services<'_>, &History) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let file: DatabaseFile = read_database(live)?;
    let mut history = History::default();
    let services = asked(live, open(&file)?, Some(&mut history))?;
    with(&services, &history)
}

fn asked<'a>(
    live: &Path,
    database: Database<'a>,
    history: Option<&mut History>,
) -> Result<Services<'a>, Failure> {
    let mut told = Told::new(database.len());
    let asked = ask_manager(live, &database, &mut told, history);
    let (fresh, denied) = (matches!(asked, Ok(true)), is_denied(&asked));
    if !fresh {
        told.read_files(live, &database)?;
    }
    Ok(Services::new(database, told, fresh, denied))
}

fn is_denied(asked: &Result<bool, AskError>) -> bool {
    matches!(asked, Err(AskError::Io(error)) if error.kind() == ErrorKind::PermissionDenied)
}

/// `false`: the manager knows other services.
fn ask_manager(
    live: &Path,
    database: &Database<'_>,
    told: &mut Told,
    mut history: Option<&mut History>,
) -> Result<bool, AskError> {
    let asking = Asking {
        live,
        names: &[],
        wish: if history.is_some() { Wish::StatusAndHistory } else { Wish::Status },
        limit: Some(Duration::from_secs(2)),
        followed: &[],
        ticks: false,
        patient: false,
    };
    let now = clock::now();
    // Both answers say who asked for something, each by numbers of its own: the end tells which it was.
    let mut askers = Vec::new();
    let answered = asking.ask(&mut |heard| {
        let Heard::Manager(message) = heard else { return };
        match (message, &mut history) {
            (FromManager::Asked(Asked { request: number, by, at }), _) => {
                askers.push(Request { number, by: by.to_owned(), at });
            }
            (FromManager::StatusEnd { id: HISTORY }, Some(history)) => {
                history.askers = askers.drain(..).map(|it| (it.number, it.by)).collect();
            }
            (FromManager::StatusEnd { .. }, _) => told.requests = std::mem::take(&mut askers),
            (_, Some(history)) => {
                told.hear(database, message);
                history.hear(database, message, now);
            }
            _ => told.hear(database, message),
        }
    });
    answered.map(|_| told.is_whole())
}

/// What the manager tells of all services, message by message.
#[derive(Default)]
pub struct Told {
    seen: Vec<Seen>,
    requests: Vec<Request>,
    known: usize,
    /// The service that was told last.
    last: Option<Index>,
}

impl Told {
    pub fn new(services: usize) -> Self {
        Self { seen: vec![Seen::default(); services], ..Self::default() }
    }

    pub fn hear(&mut self, database: &Database<'_>, message: FromManager<'_>) {
        let status = match message {
            FromManager::Service(status) => status,
            FromManager::Asked(Asked { request: number, by, at }) => {
                return self.requests.push(Request { number, by: by.to_owned(), at });
            }
            FromManager::Condition { controller, condition } => {
                let Condition { label, value, holds, since } = condition;
                let (label, value) = (label.to_owned(), value.to_owned());
                let controller = controller.to_owned();
                if let Some(index) = self.last {
                    let seen: &mut Seen = &mut self.seen[index as usize];
                    seen.conditions.push(Known { controller, label, value, holds, since });
                }
                return;
            }
            _ => return,
        };
        let ServiceStatus { name, byte, goal, state, trouble, limit, request } = status;
        if let Some(model::service::database::Entry::Service(index)) = database.find(name) {
            let trouble = trouble.map(|reason| reason.map(str::to_owned));
            let conditions = Vec::new();
            self.seen[index as usize] =
                Seen { byte, goal, state, trouble, limit, request, conditions };
            self.last = Some(index);
            self.known += 1;
        }
    }

    /// Whether it was told of as many services as there are.
    pub fn is_whole(&self) -> bool {
        self.known == self.seen.len()
    }

    /// What `state` and the supervise directories say instead.
    pub fn read_files(&mut self, live: &Path, database: &Database<'_>) -> Result<(), Failure> {
        read_files(live, database, &mut self.seen)
    }
}

/// What `state` and the supervise directories say.
fn read_files(live: &Path, database: &Database<'_>, seen: &mut [Seen]) -> Result<(), Failure> {
    let state = read_state(live, database.len())?;
    let (now, today) = (clock::now(), clock::today());
    for (service, byte) in database.services().zip(state) {
        let mut known = Seen { byte, goal: is_up(byte), ..Seen::default() };
        let folder = live.join(SERVICE_DIRS).join(service.name());
        if service.is_longrun()
            && let Ok(status) = client::status(&folder)
        {
            let age = Duration::from_secs(seconds_between(status.changed, today));
            known.state = Some(SlotState {
                wanted_up: status.wanted_up,
                paused: status.paused,
                phase: match (status.pid, status.finishing, status.ready) {
                    (0, _, _) if status.wanted_up => Phase::Waiting,
                    (0, _, _) => Phase::Down,
                    (_, true, _) => Phase::Finishing,
                    (_, false, true) => Phase::Ready,
                    (_, false, false) => Phase::Up,
                },
                pid: status.pid as u32,
                exit: (status.pid == 0 || status.finishing)
                    .then(|| Exit::from_wait_status(status.wait_status)),
                since: Moment::from_nanos(now.nanos().saturating_sub(age.as_nanos() as u64)),
                ..SlotState::default()
            });
        }
        seen[service.index() as usize] = known;
    }
    Ok(())
}

fn seconds_between(from: Date, to: Date) -> u64 {
    to.label.saturating_sub(from.label)
}

/// How a service is in one word, and how that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Good,
    Busy,
    Bad,
    Quiet,
}

impl<'a> Services<'a> {
    pub fn new(database: Database<'a>, told: Told, fresh: bool, denied: bool) -> Self {
        let Told { seen, requests, .. } = told;
        Self { database, seen, requests, fresh, denied, now: clock::now() }
    }

    /// What was told, to be used again.
    pub fn into_told(self) -> Told {
        Told { seen: self.seen, requests: self.requests, ..Told::default() }
    }

    /// Why the manager has not been heard, if it has not.
    pub fn unheard(&self) -> Option<&'static str> {
        match (self.fresh, self.denied) {
            (true, _) => None,
            (false, false) => Some("the manager is away"),
            (false, true) => {
                Some("only root, the owner and the group of `ward init -g` may ask the manager")
            }
        }
    }

    /// Warns where the manager has not been heard.
    pub fn warn(&self) {
        if let Some(why) = self.unheard() {
            eprintln!("ward: warning: {why}; this is what files say");
        }
    }

    /// Whether the manager may not be asked by this user.
    pub fn denied(&self) -> bool {
        self.denied
    }

    pub fn name(&self, index: Index) -> &str {
        self.database.service(index).name()
    }

    /// `up`, `starting`, `waiting`, …
    pub fn word(&self, index: Index) -> (&'static str, Mood) {
        let seen = &self.seen[index as usize];
        let phase = seen.state.map_or(Phase::Down, |state| state.phase);
        let longrun = self.database.service(index).is_longrun();
        if is_up(seen.byte) {
            return match (longrun, phase) {
                _ if seen.byte & STOPPING != 0 => ("stopping", Mood::Busy),
                (false, Phase::Up) => ("reloading", Mood::Busy),
                (false, _) | (true, Phase::Ready | Phase::Up) => ("up", Mood::Good),
                (true, Phase::Waiting) => ("restarting", Mood::Bad),
                (true, Phase::Stopping | Phase::Finishing) => ("restarting", Mood::Busy),
                (true, Phase::Down) if seen.state.is_none() && !self.fresh => ("up", Mood::Good),
                (true, Phase::Down) => ("failed", Mood::Bad),
            };
        }
        match () {
            _ if seen.byte & STARTING != 0 => ("starting", Mood::Busy),
            _ if seen.byte & STOPPING != 0 => ("stopping", Mood::Busy),
            _ if seen.goal => ("waiting", Mood::Busy),
            _ if seen.trouble.is_some() => ("failed", Mood::Bad),
            _ => ("down", Mood::Quiet),
        }
    }

    /// What else there is to say, empty where nothing is.
    pub fn remark(&self, index: Index) -> String {
        let seen = &self.seen[index as usize];
        let oneshot = !self.database.service(index).is_longrun();
        let mut said: Vec<String> = Vec::new();
        if let Some(state) = &seen.state {
            let age = span(self.now.since(state.since));
            match state.phase {
                Phase::Ready => said.push(format!("ready for {age}")),
                Phase::Up if is_up(seen.byte) => said.push(format!("for {age}")),
                Phase::Up => said.push(format!("running for {age}, not ready yet")),
                Phase::Stopping => said.push(format!("told to end {age} ago")),
                Phase::Finishing => said.push(format!("cleaning up for {age}")),
                Phase::Down if oneshot && is_up(seen.byte) => said.push(format!("for {age}")),
                Phase::Waiting | Phase::Down => {}
            }
            if let Some(limit) = seen.limit.filter(|_| seen.byte & (STARTING | STOPPING) != 0) {
                said.push(format!("given up in {}", span(limit.since(self.now))));
            }
            if state.pid != 0 {
                said.push(format!("process {}", state.pid));
            }
            if state.paused {
                said.push("paused".into());
            }
            if let Some(exit) = state.exit.filter(|_| state.pid == 0 && state.phase != Phase::Up) {
                said.extend(ended(exit, seen, oneshot));
            }
            match state.gave_up {
                Some(GaveUp::Permanent) if seen.trouble.is_none() => {
                    said.push("its finish script gave up (125)".into());
                }
                Some(GaveUp::Spawn(errno)) if seen.trouble.is_none() => {
                    said.push(self.reason(index, Reason::Spawn(errno)));
                }
                _ => {}
            }
            if let (Phase::Waiting, Some(at)) = (state.phase, state.deadline) {
                said.push(format!("next start in {}", span(at.since(self.now))));
            }
        }
        if let Some(reason) = &seen.trouble {
            said.push(self.reason(index, reason.as_ref()));
        }
        if seen.goal && !is_up(seen.byte) && seen.byte & STARTING == 0 && seen.trouble.is_none() {
            let needs: Vec<&str> = self.missing(index).map(|need| self.name(need)).collect();
            if !needs.is_empty() {
                said.push(format!("for {}", needs.join(", ")));
            }
        }
        let starter = self.database.service(index).started_by();
        match (starter, self.held_back(index)) {
            (Some(starter), _) if is_up(seen.byte) => {
                said.push(format!("controlled by {}", self.name(starter)));
            }
            (Some(starter), _) => said.push(format!("left to {}", self.name(starter))),
            (None, Some(need)) => said.push(format!("comes with {}", self.name(need))),
            (None, None) => {}
        }
        said.join(", ")
    }

    /// A reason in words; of a program that cannot be started also which.
    pub fn reason(&self, index: Index, reason: Reason<&str>) -> String {
        let service = self.database.service(index);
        let script = if is_up(self.seen[index as usize].byte) { Script::Down } else { Script::Up };
        let first = service.script(script).and_then(|mut words| words.next());
        match (reason, first) {
            (Reason::Spawn(_), Some(word)) => {
                format!("{reason} ({})", String::from_utf8_lossy(word))
            }
            _ => reason.to_string(),
        }
    }

    /// What it needs and is not up.
    pub fn missing(&self, index: Index) -> impl Iterator<Item = Index> {
        let needs = self.database.service(index).needs();
        needs.filter(|need| !is_up(self.seen[*need as usize].byte))
    }

    /// The controlled service that keeps it down: it was asked for, and comes
    /// with that.
    pub fn held_back(&self, index: Index) -> Option<Index> {
        let seen = &self.seen[index as usize];
        if is_up(seen.byte) || seen.goal || seen.byte & AWAITED == 0 {
            return None;
        }
        let mut looked = vec![false; self.database.len()];
        let mut left: Vec<Index> = self.missing(index).collect();
        while let Some(need) = left.pop() {
            if self.database.service(need).started_by().is_some() {
                return Some(need);
            }
            if !std::mem::replace(&mut looked[need as usize], true) {
                left.extend(self.missing(need));
            }
        }
        None
    }

    /// What its controllers go by, a line each.
    pub fn conditions(&self, index: Index) -> impl Iterator<Item = String> {
        let seen = &self.seen[index as usize];
        let several = self.database.service(index).controlled_by().count() > 1;
        seen.conditions.iter().map(move |known| {
            let Known { controller, label, value, holds, since } = known;
            let mark = if *holds { '✓' } else { '✗' };
            let by = if several { format!(" ({controller})") } else { String::new() };
            format!("{mark} {label}: {value}, for {}{by}", span(self.now.since(*since)))
        })
    }

    /// The request that last said what it shall be, where that is known.
    pub fn request(&self, index: Index) -> Option<&Request> {
        let number = self.seen[index as usize].request;
        self.requests.iter().find(|request| request.number == number)
    }

    pub fn is_wanted(&self, index: Index) -> bool {
        self.seen[index as usize].byte & WANTED != 0
    }
}

/// How its process ended, where that says more than that it is down.
fn ended(exit: Exit, seen: &Seen, oneshot: bool) -> Option<String> {
    match exit {
        Exit::Code(0) if !seen.goal || oneshot => None,
        // That is how stopping ends.
        Exit::Signal(15) if !seen.goal && seen.trouble.is_none() => None,
        Exit::Code(code) => Some(format!("last exited {code}")),
        Exit::Signal(signal) => Some(format!("last killed by signal {signal}")),
    }
}

/// `12 s`, `3 min`, `2 h`, `5 d`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=9 => format!("{}.{} s", seconds, span.subsec_millis() / 100),
        10..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
