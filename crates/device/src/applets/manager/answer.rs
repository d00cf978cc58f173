//! What clients ask for.

use std::time::Duration;

use engine::service::manage::{Ask, Manager, Verb as Goal};
use engine::service::timeline::{self, Timeline};
use engine::service::update;
use model::bytes::Reader;
use model::limits::{MESSAGE_BYTES_MAX, SERVICES_MAX};
use model::service::database::{Entry, Index};
use model::service::manager_request::{
    FromManager, Manner, PROTOCOL, Run, ServiceStatus, ToManager, Verb,
};
use model::service::name::nearest;
use model::time::Moment;
use os::event_loop::Readiness;
use os::service::managed::LiveDir;
use os::service::manager_client::Conversion;
use os::trouble::Trouble;

use super::clients::{Told, Watched};
use super::record::past;
use super::update::Wanted;
use super::{Program, conditions};

/// Exit codes of s6-rc.
const UNKNOWN_NAME: u8 = 3;
const REFUSED: u8 = 111;

impl Program {
    pub(super) fn hear_client(&mut self, number: usize, readiness: Readiness) {
        if !readiness.intersects(Readiness::IN | Readiness::HUP | Readiness::ERR) {
            return; // There is room to write, which the next flush uses.
        }
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        // One in a turn: others are waiting.
        match self.clients.receive(number, &mut buffer) {
            Ok(None) => {}
            Ok(Some(length)) if self.obey_client(number, &buffer[..length]) => {}
            // It has gone, or lost its mind.
            Ok(Some(_)) | Err(()) => self.lose_client(number),
        }
    }

    /// `false`: this client cannot be understood.
    fn obey_client(&mut self, number: usize, bytes: &[u8]) -> bool {
        let mut reader = Reader::new(bytes);
        while reader.left() > 0 {
            let Ok(message) = ToManager::read(&mut reader) else { return false };
            let Some(client) = self.clients.get(number) else { return true };
            if client.lost {
                return false;
            }
            let first = !std::mem::replace(&mut client.greeted, true);
            match message {
                ToManager::Hello { protocol } => {
                    if !first {
                        return false;
                    }
                    client.tell(&FromManager::Welcome { protocol: PROTOCOL });
                    if protocol != PROTOCOL {
                        client.greeted = false;
                        return true;
                    }
                }
                _ if first => return false,
                ToManager::Name { name } => self.add_name(number, name),
                ToManager::Ask { id, verb, manner, limit, since } => {
                    self.change(number, id, verb, manner, limit, since);
                }
                ToManager::Status { id } => self.tell_status(number, id),
                ToManager::Convert { old, new, restart } => {
                    // Only those may that an update is for, and each service once.
                    if !client.may_control || client.conversions.len() >= SERVICES_MAX {
                        return false;
                    }
                    let (old, new) = (old.to_owned(), new.map(str::to_owned));
                    client.conversions.push(Conversion { old, new, restart });
                }
                ToManager::Update { id, database, manner, as_is, repeated, limit } => {
                    let wanted = Wanted {
                        number,
                        id,
                        pid: client.pid,
                        directory: database.into(),
                        conversions: std::mem::take(&mut client.conversions),
                        manner: update::Manner { essential: manner.essential, as_is },
                        detail: manner.detail,
                        repeated,
                        deadline: time_limit(limit).map(|limit| self.now + limit),
                    };
                    self.begin_update(wanted);
                }
                ToManager::Watch { id } => self.watch(number, id),
                ToManager::Controller { name } => self.meet_controller(number, name),
                ToManager::Conditions { service } => {
                    // It may have been one in an earlier database.
                    let Some(controller) = client.controller else { continue };
                    let database = self.live.database();
                    let mut controls = database.service(controller).controls();
                    let service = controls.find(|(index, _)| self.live.name(*index) == service);
                    let service = service.map(|(index, _)| index);
                    self.conditions.begin(number, controller, service);
                }
                ToManager::Condition(condition) => self.conditions.add(number, &condition),
                ToManager::Because { text } => client.because = Some(text.to_owned()),
                ToManager::History { id } => self.tell_history(number, id),
            }
        }
        true
    }

    fn add_name(&mut self, number: usize, name: &str) {
        if self.live.database().find(name).is_none() {
            self.live.refresh();
        }
        let database = self.live.database();
        let Some(client) = self.clients.get(number) else { return };
        match database.find(name) {
            Some(Entry::Service(index)) => client.names.push(index),
            Some(Entry::Bundle(bundle)) => {
                client.bundled.extend(database.bundle(bundle).contents());
            }
            None => drop(client.unknown.get_or_insert_with(|| name.to_owned())),
        }
        // Nobody needs to name a service more often than there are services.
        for names in [&mut client.names, &mut client.bundled] {
            if names.len() > 2 * database.len() {
                names.sort_unstable();
                names.dedup();
            }
        }
    }

    pub(super) fn refuse(&mut self, number: usize, id: u32, exit: u8, why: &str, hint: &str) {
        if let Some(client) = self.clients.get(number) {
            client.take_names();
            client.because = None;
            client.unknown = None;
            client.conversions.clear();
            client.tell(&FromManager::Refused { id, exit, why, hint });
        }
    }

    /// Whether the client may ask for this; if not, it is told.
    pub(super) fn permits(&mut self, number: usize, id: u32, control: bool) -> bool {
        let Some(client) = self.clients.get(number) else { return false };
        let may_control = client.may_control;
        if control && !may_control {
            let why = "only root and the owner of the services may change them";
            self.refuse(number, id, REFUSED, why, "");
            return false;
        }
        // What cannot be stored must not be done: the next manager would not
        // know of it.
        if control
            && !self.live.is_whole()
            && let Err(trouble) = self.store_all()
        {
            self.refuse(number, id, REFUSED, &trouble.to_string(), "");
            return false;
        }
        let Some(client) = self.clients.get(number) else { return false };
        let Some(name) = client.unknown.take() else { return true };
        // Looking for it takes a while, which is not everybody's to spend.
        let names = self.live.database().names().take(if may_control { usize::MAX } else { 0 });
        let hint = match nearest(&name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => String::new(),
        };
        self.refuse(number, id, UNKNOWN_NAME, &format!("there is no service {name}"), &hint);
        false
    }

    fn change(
        &mut self,
        number: usize,
        id: u32,
        verb: Verb,
        manner: Manner,
        limit: u32,
        since: Moment,
    ) {
        if !self.permits(number, id, true) {
            return;
        }
        let Some(client) = self.clients.get(number) else { return };
        let services: Vec<Index> = std::mem::take(&mut client.names);
        let bundled = std::mem::take(&mut client.bundled);
        let pid = client.pid;
        let (because, controller) = (client.because.take(), client.controller);
        let because = match (because, controller) {
            (Some(text), Some(controller)) => {
                Some(conditions::cut(&format!("{}: {text}", self.live.name(controller))))
            }
            (Some(text), None) => Some(conditions::cut(&text)),
            (None, _) => None,
        };
        let ask = Ask {
            client: number as u32,
            id,
            pid,
            verb: match verb {
                Verb::Up => Goal::Up,
                Verb::Down => Goal::Down { essential: manner.essential },
                Verb::Restart => Goal::Restart,
                Verb::Reload => Goal::Reload,
            },
            prune: manner.prune && matches!(verb, Verb::Up | Verb::Down),
            all: manner.all,
            detail: manner.detail,
            services,
            bundled,
            controller,
            users: manner.users,
            limit: time_limit(limit),
            since,
        };
        self.ask(ask, because);
        // It may want down what an update has stopped and would start again.
        self.remember_stopped();
    }

    fn store_all(&mut self) -> Result<(), Trouble> {
        let all = 0..self.live.bytes().len() as Index;
        let bytes: Vec<u8> = all.map(|service| self.graph.byte(service)).collect();
        self.live.store_all(&bytes)?;
        eprintln!("manager: somebody damaged {}/state; it is mended", self.live.path.display());
        Ok(())
    }

    fn tell_status(&mut self, number: usize, id: u32) {
        if !self.permits(number, id, false) {
            return;
        }
        let Some(client) = self.clients.get(number) else { return };
        let mut services = client.take_names();
        if services.is_empty() {
            services = (0..self.live.bytes().len() as Index).collect();
        }
        // Init is starting anew, and will tell in a moment how everything is.
        if !self.init.is_welcome() && client.curious.is_none() {
            client.curious = Some((id, services));
            return;
        }
        self.tell_how_they_are(number, id, services);
    }

    /// Init has told how everything is: so are those told who asked meanwhile.
    pub(super) fn tell_the_curious(&mut self) {
        for (number, id, services) in self.clients.curious() {
            self.tell_how_they_are(number, id, services);
        }
    }

    fn tell_how_they_are(&mut self, number: usize, id: u32, services: Vec<Index>) {
        let Some(client) = self.clients.get(number) else { return };
        for asked in self.askers.all() {
            client.tell(&FromManager::Asked(asked));
        }
        for service in services {
            let told = how_it_is(&self.graph, &self.timeline, service);
            client.tell(&FromManager::Service(status(&self.live, service, told)));
            for (controller, condition) in self.conditions.of(service) {
                let controller = self.live.name(controller);
                client.tell(&FromManager::Condition { controller, condition });
            }
        }
        client.tell(&FromManager::StatusEnd { id });
    }

    /// When services were brought up and down, and how they last ended.
    fn tell_history(&mut self, number: usize, id: u32) {
        if !self.permits(number, id, false) {
            return;
        }
        let Some(client) = self.clients.get(number) else { return };
        let services = client.take_names();
        let names: Vec<&str> = services.iter().map(|&it| self.live.name(it)).collect();
        // Of all, where none is named.
        let wanted = |message: &FromManager<'_>| match message {
            FromManager::Span(span) => names.is_empty() || names.contains(&span.name),
            _ => true,
        };
        past(&self.live, &self.askers, &self.timeline)
            .filter(wanted)
            .for_each(|message| client.tell(&message));
        let runs = self.timeline.last_runs();
        for run in runs.filter(|run| services.is_empty() || services.contains(&run.service)) {
            let &timeline::Run { service, begun, ended, exit } = run;
            let name = self.live.name(service);
            client.tell(&FromManager::Run(Run { name, begun, ended, exit }));
        }
        client.tell(&FromManager::StatusEnd { id });
    }

    /// From now on, somebody is told of every change of some services.
    fn watch(&mut self, number: usize, id: u32) {
        if !self.permits(number, id, false) {
            return;
        }
        let Some(client) = self.clients.get(number) else { return };
        let mut services = client.take_names();
        services.sort_unstable();
        services.dedup();
        let watched = services.into_iter().map(|service| Watched { service, told: None });
        client.watched = watched.collect();
    }

    /// Tells those who watch services what has changed.
    pub(super) fn tell_watchers(&mut self) {
        // Init is starting anew, and will tell in a moment how everything is.
        if !self.init.is_welcome() {
            return;
        }
        for number in self.clients.watchers() {
            let Some(client) = self.clients.get(number) else { continue };
            let mut watched = std::mem::take(&mut client.watched);
            for Watched { service, told } in &mut watched {
                let is = how_it_is(&self.graph, &self.timeline, *service);
                if *told != Some(is) {
                    *told = Some(is);
                    client.tell(&FromManager::Service(status(&self.live, *service, is)));
                }
            }
            client.watched = watched;
        }
    }

    /// A client says that it is a controller.
    fn meet_controller(&mut self, number: usize, name: &str) {
        let Some(client) = self.clients.get(number) else { return };
        let found = match self.live.database().find(name) {
            Some(Entry::Service(index)) => {
                self.live.database().service(index).controller().map(|_| index)
            }
            _ => None,
        };
        match found {
            Some(index) if client.may_control => client.controller = Some(index),
            Some(_) => {
                let why = "only root and the owner of the services may control them";
                self.refuse(number, 0, REFUSED, why, "");
            }
            None => {
                let why = format!("there is no controller {name}");
                self.refuse(number, 0, UNKNOWN_NAME, &why, "");
            }
        }
    }
}

fn how_it_is(graph: &Manager, timeline: &Timeline, service: Index) -> Told {
    let claim = graph.claim(service);
    Told {
        byte: graph.byte(service),
        goal: graph.goal(service),
        state: graph.state(service).copied(),
        trouble: graph.trouble(service),
        limit: graph.limit(service),
        request: if claim == 0 { 0 } else { timeline.change(claim) },
    }
}

fn status(live: &LiveDir, service: Index, told: Told) -> ServiceStatus<'_> {
    let Told { byte, goal, state, trouble, limit, request } = told;
    let trouble = trouble.map(|reason| reason.map(|other| live.name(other)));
    ServiceStatus { name: live.name(service), byte, goal, state, trouble, limit, request }
}

fn time_limit(millis: u32) -> Option<Duration> {
    (millis != 0).then(|| Duration::from_millis(u64::from(millis)))
}
