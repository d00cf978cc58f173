//! Going over to another database while everything runs.
//!
//! The new database is checked before anything stops; what must stop is
//! stopped in the order of needs; then init takes the new live directory, and
//! one link is exchanged. Until init takes it nothing has happened that is not
//! undone: what was stopped is written down in the old live directory, and
//! started again, by the next manager if need be. From then on a manager that
//! is killed finds in the new directory all it needs to go on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::Failure;
use engine::service::manage::{Ask, Graph, Manager, Outcome, Verb};
use engine::service::update::{self, Conversion, Plan};
use model::service::database::{Database, Entry, Index};
use model::service::live_state::{AGAIN, STARTING, UP, WANTED};
use model::service::manager_request::FromManager;
use model::service::request::ToInit;
use model::time::Moment;
use os::event_loop::Readiness;
use os::service::database_file::DatabaseFile;
use os::service::live_dir::{self, MOVED, Making, SERVICE_DIRS};
use os::service::live_upkeep;
use os::service::managed::LiveDir;
use os::service::manager_client;
use os::trouble::Trouble;

use super::conditions::Conditions;
use super::outputs::Outputs;
use super::{OUTPUTS, Program};
use crate::applets::plan::{self, NOT_SWITCHED, OUT_OF_TIME};

/// Who asks the graph to stop what an update stops.
pub(super) const UPDATER: u32 = u32::MAX - 1;
/// Who asks it to start again what was stopped in vain.
pub(super) const RESTORER: u32 = u32::MAX - 2;

/// How long init may take to answer.
const INIT_ANSWER_MAX: Duration = Duration::from_secs(30);

/// How often services may come up again while they are being stopped.
const ROUNDS_MAX: u32 = 5;

/// What a client asks for.
pub(super) struct Wanted {
    pub number: usize,
    pub id: u32,
    pub pid: u32,
    pub directory: PathBuf,
    pub conversions: Vec<manager_client::Conversion>,
    pub manner: update::Manner,
    pub detail: bool,
    /// It was asked for before, and may have been done.
    pub repeated: bool,
    pub deadline: Option<Moment>,
}

impl Wanted {
    fn is_the_same(&self, other: &Self) -> bool {
        self.directory == other.directory
            && self.conversions == other.conversions
            && self.manner == other.manner
    }
}

/// An update that is under way.
struct Update {
    wanted: Wanted,
    /// Who waits for it, and under which of their numbers.
    clients: Vec<(usize, u32)>,
    file: DatabaseFile,
    conversions: Vec<Conversion>,
    rounds: u32,
    /// Everything is ready, but init is away.
    waits_for_init: bool,
}

/// A service that was stopped for an update and is to be up again.
struct Stopped {
    service: Index,
    /// [`WANTED`], where it was.
    wanted: u8,
    /// The request that stopped it, in the order of all.
    order: u32,
}

/// All that the manager holds of updates.
#[derive(Default)]
pub(super) struct Updates {
    current: Option<Update>,
    /// Others, that begin once it has ended.
    next: Vec<Wanted>,
    stopped: Vec<Stopped>,
}

impl Updates {
    /// Who is told about what an update does.
    pub(super) fn clients(&self) -> impl Iterator<Item = (usize, u32)> {
        self.current.iter().flat_map(|update| update.clients.iter().copied())
    }

    /// A client has gone. What it began goes on.
    pub(super) fn forget(&mut self, number: usize) {
        if let Some(update) = &mut self.current {
            update.clients.retain(|(client, _)| *client != number);
        }
        self.next.retain(|wanted| wanted.number != number);
    }
}

impl Program {
    pub(super) fn begin_update(&mut self, wanted: Wanted) {
        if !self.permits(wanted.number, wanted.id, true) {
            return;
        }
        if let Some(update) = &mut self.updates.current {
            if update.wanted.is_the_same(&wanted) {
                update.clients.push((wanted.number, wanted.id));
            } else {
                self.updates.next.push(wanted);
            }
            return;
        }
        let (number, id) = (wanted.number, wanted.id);
        let prepared = self.prepare(wanted);
        match prepared {
            Ok(update) if update.wanted.repeated && self.live.is_of(&update.file) => {
                // It was done before a manager that was killed could say so.
                let clients = update.clients.clone();
                self.updates.current = None;
                self.bring_back(&update.wanted, &clients);
            }
            Ok(update) => {
                self.updates.current = Some(update);
                self.stop_for_update();
            }
            Err(failure) => self.refuse_for(number, id, &failure),
        }
    }

    fn refuse_for(&mut self, number: usize, id: u32, failure: &Failure) {
        let hint = failure.hint.as_deref().unwrap_or_default();
        self.refuse(number, id, failure.exit.0, &failure.message, hint);
    }

    /// Checks everything that can be checked before something happens.
    fn prepare(&self, wanted: Wanted) -> Result<Update, Failure> {
        let directory = wanted.directory.display().to_string();
        let file = DatabaseFile::read(&wanted.directory)
            .map_err(|error| plan::unreadable(&directory, &error))?;
        let new = file.database().map_err(|error| plan::unusable(&directory, &error))?;
        for service in new.services().take_while(|service| service.is_longrun()) {
            let run = wanted.directory.join(SERVICE_DIRS).join(service.name()).join("run");
            if !run.is_file() {
                let why = format!("{} is missing", run.display());
                return Err(plan::unusable(&directory, &why));
            }
        }
        // The names of one that was done already are those of the new database.
        let done = wanted.repeated && self.live.is_of(&file);
        let told = if done { &[] } else { &wanted.conversions[..] };
        let conversions = plan::resolve(told, &self.live.database(), &new)?;
        let clients = vec![(wanted.number, wanted.id)];
        let (rounds, waits_for_init) = (0, false);
        Ok(Update { wanted, clients, file, conversions, rounds, waits_for_init })
    }

    /// The state bytes, where what an update has stopped is to start again.
    fn bytes_for_update(&self) -> Vec<u8> {
        let mut bytes = self.live.bytes().to_vec();
        for stopped in &self.updates.stopped {
            bytes[stopped.service as usize] |= AGAIN | stopped.wanted;
        }
        bytes
    }

    /// Stops what must stop before the databases can be exchanged; where that
    /// is nothing, exchanges them.
    fn stop_for_update(&mut self) {
        self.remember_stopped();
        let Some(update) = &self.updates.current else { return };
        let (old, new) = (self.live.database(), update.file.reopen());
        let bytes = self.bytes_for_update();
        let manner = update.wanted.manner;
        let plan = match plan::plan(&old, &new, &bytes, &update.conversions, manner) {
            Ok(plan) => plan,
            Err(failure) => return self.fail_update(failure),
        };
        let now = self.now;
        let Some(update) = &mut self.updates.current else { return };
        update.rounds += 1;
        update.waits_for_init = !plan.busy && !self.graph.connected();
        if update.waits_for_init {
            return;
        }
        if !plan.busy {
            return self.switch(&plan);
        }
        if update.rounds > ROUNDS_MAX {
            let why = "services are started as often as they are stopped";
            return self.fail_update(Failure::new(NOT_SWITCHED, why));
        }
        let ask = Ask {
            client: UPDATER,
            id: 0,
            pid: update.wanted.pid,
            verb: Verb::DownForNow,
            prune: false,
            all: false,
            detail: update.wanted.detail,
            services: plan.stop,
            bundled: Vec::new(),
            controller: None,
            users: false,
            limit: update.wanted.deadline.map(|at| left(at, now)),
            since: now,
        };
        let order = self.graph.newest() + 1;
        let named = |stopped: &Stopped| ask.services.binary_search(&stopped.service).is_ok();
        self.updates.stopped.retain(|stopped| !named(stopped));
        for &service in &ask.services {
            let wanted = bytes[service as usize] & WANTED;
            self.updates.stopped.push(Stopped { service, wanted, order });
        }
        // Before any of them stops.
        if let Err(error) = self.note_stopped() {
            let path = self.live.path.display();
            let why = format!("cannot write into {path}: {error}");
            return self.fail_update(Failure::refused(why));
        }
        self.ask(ask, None);
    }

    /// Forgets of what was stopped whatever comes up again, and what somebody
    /// else wants down since.
    pub(super) fn remember_stopped(&mut self) {
        let (graph, before) = (&self.graph, self.updates.stopped.len());
        self.updates.stopped.retain(|stopped| {
            let byte = graph.byte(stopped.service);
            let comes_up = byte & (UP | STARTING) != 0 && graph.goal(stopped.service);
            !comes_up && !graph.stopped_since(stopped.service, stopped.order)
        });
        if self.updates.stopped.len() != before {
            let _ = self.note_stopped();
        }
    }

    fn note_stopped(&self) -> std::io::Result<()> {
        let mut note = Vec::new();
        if !self.updates.stopped.is_empty() {
            note.resize(self.live.bytes().len(), 0);
        }
        for stopped in &self.updates.stopped {
            note[stopped.service as usize] = AGAIN | stopped.wanted;
        }
        self.live.note_stopped(&note)
    }

    /// What was to stop has stopped, or not.
    pub(super) fn go_on_with_update(&mut self, outcome: Outcome) {
        let failure = match outcome {
            Outcome::Done => return self.stop_for_update(),
            Outcome::Failed(_) => {
                Failure::new(NOT_SWITCHED, "not everything that must stop has stopped")
            }
            Outcome::TimedOut => Failure::new(OUT_OF_TIME, "the time is over"),
        };
        self.fail_update(failure);
    }

    /// Init is there (again): an update that waited for it goes on.
    pub(super) fn resume_update(&mut self) {
        if self.updates.current.as_ref().is_some_and(|update| update.waits_for_init) {
            self.stop_for_update();
        }
    }

    /// Leaves the old database in use, and starts what was stopped.
    fn fail_update(&mut self, failure: Failure) {
        let Some(update) = self.updates.current.take() else { return };
        for (number, id) in update.clients {
            self.refuse_for(number, id, &failure);
        }
        self.remember_stopped();
        let services: Vec<Index> = self.updates.stopped.iter().map(|s| s.service).collect();
        if !services.is_empty() {
            let pid = std::process::id();
            self.ask(again(RESTORER, 0, pid, services, self.now), None);
        }
        for wanted in std::mem::take(&mut self.updates.next) {
            self.begin_update(wanted);
        }
    }

    /// All that was stopped in vain is up again, or will not be.
    pub(super) fn restored(&mut self) {
        if self.updates.current.is_none() {
            self.updates.stopped.clear();
            let _ = self.note_stopped();
        }
    }

    /// Exchanges the databases.
    fn switch(&mut self, plan: &Plan) {
        let Some(update) = self.updates.current.take() else { return };
        let new = update.file.reopen();
        let made = self.make_live(&new, &update.wanted.directory, plan, &plan.bytes);
        let taken = made.and_then(|real| match self.have_taken(&real) {
            Ok(rest) => Ok((real, rest)),
            Err(why) => {
                let _ = std::fs::remove_dir_all(&real);
                Err(why)
            }
        });
        match taken {
            Ok((real, rest)) => self.go_over(&update, &real, &rest),
            Err(why) => {
                self.updates.current = Some(update);
                self.fail_update(Failure::new(NOT_SWITCHED, why));
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
            readers: live_dir::readers(&self.live.path),
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
            .and_then(|mut file| file.write_all(moved.as_bytes()));
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
            // Nobody knows whether it was taken: the next manager, started for
            // the one that init serves, does.
            Err(error) => {
                eprintln!("manager: init does not answer: {error}");
                std::process::exit(111);
            }
        }
    }

    /// Init serves the new live directory: everything else follows it.
    fn go_over(&mut self, update: &Update, real: &Path, rest: &[u8]) {
        let live = match LiveDir::open(real) {
            Ok(live) => live,
            Err(trouble) => {
                // A new manager, started for the new directory, will try again.
                eprintln!("{trouble}");
                std::process::exit(111);
            }
        };
        let before = std::mem::replace(&mut self.live, live);
        self.timeline.renumber(self.graph.newest(), &|was| match self
            .live
            .database()
            .find(before.name(was))
        {
            Some(Entry::Service(is)) => Some(is),
            _ => None,
        });
        self.record.touch(self.now);
        self.graph = Manager::new(Graph::from(&self.live.database()), self.live.bytes());
        self.outputs = Outputs::new(&self.live, self.graph.graph());
        if let Some(watches) = self.outputs.watches() {
            let _ = self.events.add(watches, OUTPUTS, Readiness::IN);
        }
        self.init.go_over(self.live.bytes().len());
        self.updates = Updates::default();
        self.conditions = Conditions::default();
        super::complain(live_upkeep::adopt(&self.live, Some(&before)));
        let keep: Vec<usize> = update.clients.iter().map(|(number, _)| *number).collect();
        if let Err(error) = self.clients.go_over(&self.live, &self.events, &keep) {
            eprintln!("cannot listen in {}: {error}", real.display());
            std::process::exit(111);
        }
        self.hear_datagram(rest);
        self.bring_back(&update.wanted, &update.clients);
    }

    /// The new database is in use: what was up before comes up, and those who
    /// asked wait for that.
    fn bring_back(&mut self, wanted: &Wanted, clients: &[(usize, u32)]) {
        let bytes = self.live.bytes();
        let services: Vec<Index> = (0..bytes.len() as Index)
            .filter(|index| bytes[*index as usize] & (AGAIN | STARTING) != 0)
            .collect();
        for &(number, id) in clients {
            let client = number as u32;
            self.clients.tell(client, &FromManager::Switched { id });
            let ask = Ask {
                detail: wanted.detail,
                limit: wanted.deadline.map(|at| left(at, self.now)),
                ..again(client, id, wanted.pid, services.clone(), self.now)
            };
            self.ask(ask, None);
        }
    }
}

/// Asks for services that were up before.
fn again(client: u32, id: u32, pid: u32, services: Vec<Index>, now: Moment) -> Ask {
    Ask {
        client,
        id,
        pid,
        verb: Verb::UpAgain,
        prune: false,
        all: false,
        detail: false,
        services,
        bundled: Vec::new(),
        controller: None,
        users: false,
        limit: None,
        since: now,
    }
}

/// A time limit of zero would be none.
fn left(deadline: Moment, now: Moment) -> Duration {
    deadline.since(now).max(Duration::from_millis(1))
}
