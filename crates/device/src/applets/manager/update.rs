//! Going over to another database while everything runs.
//!
//! The new database is checked before anything stops; what must stop is
//! stopped in the order of needs; then init takes the new live directory, and
//! one link is exchanged. Up to the moment at which init takes it nothing has
//! happened that is not undone. From then on a manager that is killed finds in
//! the new directory all it needs to go on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::service::manage::{Ask, Event, Graph, Manager, Outcome, Verb};
use engine::service::update::{self, Conversion, Plan};
use model::service::database::{Database, Entry, Index};
use model::service::live_state::{AGAIN, STARTING, UP};
use model::service::manager_request::FromManager;
use model::service::name::nearest;
use model::service::request::ToInit;
use model::time::Moment;
use os::service::database_file::{DatabaseFile, DatabaseFileError};
use os::service::live_dir::{self, MOVED, Making, SERVICE_DIRS};
use os::service::live_upkeep;
use os::service::managed::LiveDir;
use os::trouble::Trouble;

use super::Program;

/// Who asks the graph to stop what an update stops.
pub(super) const UPDATER: u32 = u32::MAX - 1;
/// Who asks it to start again what was stopped in vain.
const RESTORER: u32 = u32::MAX - 2;

/// How long init may take to answer.
const INIT_ANSWER_MAX: Duration = Duration::from_secs(30);

/// How often services may come up again while they are being stopped.
const ROUNDS_MAX: u32 = 5;

// Exit codes of s6-rc-update.
const UNKNOWN_NAME: u8 = 3;
const BAD_DATABASE: u8 = 4;
const WRONG_TYPE: u8 = 5;
const NAMED_TWICE: u8 = 6;
const NOT_SWITCHED: u8 = 9;
const TIMED_OUT: u8 = 10;
const REFUSED: u8 = 111;

/// Why an update is not begun.
pub(super) struct Refusal {
    exit: u8,
    why: String,
    hint: String,
}

impl Refusal {
    fn new(exit: u8, why: String) -> Self {
        Self { exit, why, hint: String::new() }
    }
}

/// An update that is under way.
pub(super) struct Update {
    client: usize,
    id: u32,
    pid: u32,
    directory: PathBuf,
    file: DatabaseFile,
    conversions: Vec<Conversion>,
    manner: update::Manner,
    detail: bool,
    deadline: Option<Moment>,
    /// Bits of services of the new database that start again.
    again: Vec<u8>,
    /// What was stopped for it.
    stopped: Vec<Index>,
    rounds: u32,
    /// Everything is ready, but init is away.
    waits_for_init: bool,
}

/// What a client asks for.
pub(super) struct Wanted {
    pub number: usize,
    pub id: u32,
    pub directory: PathBuf,
    pub manner: update::Manner,
    pub detail: bool,
    pub limit: Option<Duration>,
}

impl Update {
    pub(super) fn client(&self) -> u32 {
        self.client as u32
    }
}

impl Program {
    pub(super) fn begin_update(&mut self, wanted: Wanted) {
        let (number, id) = (wanted.number, wanted.id);
        if !self.permits(number, id, true) {
            return;
        }
        let Some(client) = self.clients.get(number) else { return };
        let (pid, told) = (client.pid, std::mem::take(&mut client.conversions));
        if let Some(update) = &mut self.update {
            if update.directory == wanted.directory {
                // Its client was cut off and comes again.
                (update.client, update.id, update.pid) = (number, id, pid);
                return;
            }
            let why = "another update is under way";
            return self.refuse(number, id, REFUSED, why, "wait until it has ended");
        }
        match self.prepare(wanted, pid, &told) {
            Ok(update) => {
                self.update = Some(update);
                self.stop_for_update();
            }
            Err(refusal) => self.refuse(number, id, refusal.exit, &refusal.why, &refusal.hint),
        }
    }

    /// Checks everything that can be checked before something happens.
    fn prepare(
        &self,
        wanted: Wanted,
        pid: u32,
        told: &[(String, Option<String>, bool)],
    ) -> Result<Update, Refusal> {
        let directory = wanted.directory;
        let bad = |why: &dyn std::fmt::Display| {
            Refusal::new(BAD_DATABASE, format!("cannot use {}: {why}", directory.display()))
        };
        let file = DatabaseFile::read(&directory).map_err(|error| match error {
            DatabaseFileError::Refused(_) => {
                Refusal::new(REFUSED, format!("cannot read {}/db: {error}", directory.display()))
            }
            DatabaseFileError::NotADatabase => bad(&error),
        })?;
        let new = file.database().map_err(|error| bad(&error))?;
        for service in new.services().take_while(|service| service.is_longrun()) {
            let run = directory.join(SERVICE_DIRS).join(service.name()).join("run");
            if !run.is_file() {
                return Err(bad(&format!("{} is missing", run.display())));
            }
        }
        let conversions = conversions(&self.live.database(), &new, told)?;
        let again = vec![0; new.len()];
        Ok(Update {
            client: wanted.number,
            id: wanted.id,
            pid,
            conversions,
            manner: wanted.manner,
            detail: wanted.detail,
            deadline: wanted.limit.map(|limit| self.now + limit),
            again,
            stopped: Vec::new(),
            rounds: 0,
            waits_for_init: false,
            directory,
            file,
        })
    }

    fn plan(&self, update: &Update) -> Result<Plan, Refusal> {
        let (old, new) = (self.live.database(), update.file.reopen());
        let bytes = self.live.bytes();
        update::plan(&old, &new, bytes, &update.conversions, update.manner).map_err(|lost| {
            let name = self.live.name(lost.0);
            let why = format!("{name} is essential, and the new database does not have it");
            Refusal { exit: NOT_SWITCHED, why, hint: "-e stops essential services, too".into() }
        })
    }

    /// Stops what must stop before the databases can be exchanged; where that
    /// is nothing, exchanges them.
    fn stop_for_update(&mut self) {
        let Some(update) = &self.update else { return };
        let plan = match self.plan(update) {
            Ok(plan) => plan,
            Err(refusal) => return self.fail_update(refusal),
        };
        let now = self.now;
        let Some(update) = &mut self.update else { return };
        for (again, byte) in update.again.iter_mut().zip(&plan.bytes) {
            if byte & AGAIN != 0 {
                *again |= byte;
            }
        }
        update.rounds += 1;
        if plan.stop.is_empty() {
            update.waits_for_init = !self.graph.connected();
            if !update.waits_for_init {
                self.switch(&plan);
            }
            return;
        }
        if update.rounds > ROUNDS_MAX {
            let why = "services are started as often as they are stopped".to_owned();
            return self.fail_update(Refusal::new(NOT_SWITCHED, why));
        }
        update.stopped.extend(&plan.stop);
        let ask = Ask {
            client: UPDATER,
            id: update.id,
            pid: update.pid,
            verb: Verb::Down { essential: true },
            prune: false,
            all: false,
            detail: update.detail,
            services: plan.stop,
            limit: update.deadline.map(|at| at.since(now).max(Duration::from_millis(1))),
            since: now,
        };
        self.step(Event::Ask(ask));
    }

    /// What was to stop has stopped, or not.
    pub(super) fn go_on_with_update(&mut self, outcome: Outcome) {
        let refusal = match outcome {
            Outcome::Done => return self.stop_for_update(),
            Outcome::Failed(_) => {
                Refusal::new(NOT_SWITCHED, "not everything that must stop has stopped".into())
            }
            Outcome::TimedOut => Refusal::new(TIMED_OUT, "the time is over".into()),
        };
        self.fail_update(refusal);
    }

    /// Init is there (again): an update that waited for it goes on.
    pub(super) fn resume_update(&mut self) {
        if self.update.as_ref().is_some_and(|update| update.waits_for_init) {
            self.stop_for_update();
        }
    }

    /// Leaves the old database in use, and starts what was stopped.
    fn fail_update(&mut self, refusal: Refusal) {
        let Some(update) = self.update.take() else { return };
        self.refuse(update.client, update.id, refusal.exit, &refusal.why, &refusal.hint);
        if !update.stopped.is_empty() {
            let ask = Ask {
                client: RESTORER,
                id: 0,
                pid: std::process::id(),
                verb: Verb::Up,
                prune: false,
                all: false,
                detail: false,
                services: update.stopped,
                limit: None,
                since: self.now,
            };
            self.step(Event::Ask(ask));
        }
    }

    /// Exchanges the databases.
    fn switch(&mut self, plan: &Plan) {
        let Some(update) = self.update.take() else { return };
        let mut bytes = plan.bytes.clone();
        for (byte, again) in bytes.iter_mut().zip(&update.again) {
            if *byte & (UP | STARTING) == 0 {
                *byte |= again;
            }
        }
        let new = update.file.reopen();
        let made = self.make_live(&new, &update.directory, plan, &bytes);
        let taken = made.and_then(|real| match self.have_taken(&real) {
            Ok(rest) => Ok((real, rest)),
            Err(why) => {
                let _ = std::fs::remove_dir_all(&real);
                Err(why)
            }
        });
        match taken {
            Ok((real, rest)) => self.go_over(update, &real, &bytes, &rest),
            Err(why) => {
                self.update = Some(update);
                self.fail_update(Refusal::new(NOT_SWITCHED, why));
            }
        }
    }

    fn make_live(
        &self,
        new: &Database<'_>,
        directory: &Path,
        plan: &Plan,
        bytes: &[u8],
    ) -> Result<PathBuf, String> {
        let old = self.live.database();
        let mut brought: Vec<&str> =
            plan.moved.iter().map(|(_, is)| new.service(*is).name()).collect();
        brought.sort_unstable();
        let told = |trouble: Trouble| trouble.to_string();
        let places = live_upkeep::places(&self.live.path).map_err(told)?;
        let making = Making {
            live: &self.live.link(),
            compiled: directory,
            database: *new,
            scandir: &places.scandir,
            prefix: &places.prefix,
            brought: &|name| brought.binary_search(&name).is_ok(),
            state: bytes,
        };
        let real = live_dir::make(&making).map_err(told)?;
        let mut moved = String::new();
        for &(was, is) in &plan.moved {
            moved += old.service(was).name();
            moved.push(' ');
            moved += new.service(is).name();
            moved.push('\n');
        }
        let written = std::fs::File::create(real.join(MOVED))
            .and_then(|mut file| file.write_all(moved.as_bytes()))
            .and_then(|()| live_upkeep::copy_group(&self.live.path, &real));
        match written {
            Ok(()) => Ok(real),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&real);
                Err(format!("cannot write into {}: {error}", real.display()))
            }
        }
    }

    /// Has init take the new live directory; gives what it says behind its answer.
    fn have_taken(&mut self, real: &Path) -> Result<Vec<u8>, String> {
        let (Some(live), Some(previous)) = (real.to_str(), self.live.path.to_str()) else {
            return Err("the live directory is not UTF-8".into());
        };
        let take = ToInit::Take { live, previous: Some(previous) };
        let mut others = Vec::new();
        let limit = os::clock::now() + INIT_ANSWER_MAX;
        let answer = self.init.ask(&take, limit, &mut others);
        match answer {
            Ok((error, rest)) if error.is_empty() => Ok(rest),
            Ok((error, rest)) => {
                others.push(rest);
                others.iter().for_each(|datagram| self.hear_datagram(datagram));
                Err(error)
            }
            Err(error) => {
                others.iter().for_each(|datagram| self.hear_datagram(datagram));
                self.lose_init();
                Err(format!("init does not answer: {error}"))
            }
        }
    }

    /// Init serves the new live directory: everything else follows it.
    fn go_over(&mut self, update: Update, real: &Path, bytes: &[u8], rest: &[u8]) {
        let live = match LiveDir::open(real) {
            Ok(live) => live,
            Err(trouble) => {
                // A new manager, started for the new directory, will try again.
                eprintln!("manager: {trouble}");
                std::process::exit(111);
            }
        };
        let before = std::mem::replace(&mut self.live, live);
        self.graph = Manager::new(Graph::from(&self.live.database()), self.live.bytes());
        self.init.go_over(self.live.bytes().len());
        super::complain(live_upkeep::adopt(&self.live, Some(&before)));
        if let Err(error) = self.clients.go_over(&self.live, &self.events, update.client) {
            eprintln!("manager: cannot listen in {}: {error}", real.display());
            std::process::exit(111);
        }
        self.hear_datagram(rest);
        let client = update.client as u32;
        self.clients.tell(client, &FromManager::Switched { id: update.id });
        let services: Vec<Index> = (0..bytes.len() as Index)
            .filter(|index| bytes[*index as usize] & (AGAIN | STARTING) != 0)
            .collect();
        let ask = Ask {
            client,
            id: update.id,
            pid: update.pid,
            verb: Verb::Up,
            prune: false,
            all: false,
            detail: update.detail,
            services,
            limit: update.deadline.map(|at| at.since(self.now).max(Duration::from_millis(1))),
            since: self.now,
        };
        self.step(Event::Ask(ask));
    }
}

/// What the names of a conversion file stand for.
fn conversions(
    old: &Database<'_>,
    new: &Database<'_>,
    told: &[(String, Option<String>, bool)],
) -> Result<Vec<Conversion>, Refusal> {
    let mut found: Vec<Conversion> = Vec::new();
    for (was, is, restart) in told {
        let index = match old.find(was) {
            Some(Entry::Service(index)) => index,
            Some(Entry::Bundle(_)) => {
                let why = format!("{was} is a bundle; only services can be converted");
                return Err(Refusal::new(WRONG_TYPE, why));
            }
            None => return Err(unknown(was, "old", old)),
        };
        if found.iter().any(|conversion| conversion.old == index) {
            return Err(Refusal::new(NAMED_TWICE, format!("{was} is converted twice")));
        }
        let new = match is {
            Some(is) => Some(new.find(is).ok_or_else(|| unknown(is, "new", new))?),
            None => None,
        };
        if new.is_some() && found.iter().any(|conversion| conversion.new == new) {
            let why = format!("two services become {}", is.as_deref().unwrap_or_default());
            return Err(Refusal::new(NAMED_TWICE, why));
        }
        found.push(Conversion { old: index, new, restart: *restart });
    }
    Ok(found)
}

fn unknown(name: &str, which: &str, database: &Database<'_>) -> Refusal {
    let near = nearest(name, database.names());
    Refusal {
        exit: UNKNOWN_NAME,
        why: format!("there is no service {name} in the {which} database"),
        hint: near.map(|near| format!("did you mean {near}?")).unwrap_or_default(),
    }
}
