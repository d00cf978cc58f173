//! What clients ask for.

use std::time::Duration;

use engine::service::manage::{Ask, Verb as Goal};
use engine::service::update;
use model::bytes::Reader;
use model::limits::{MESSAGE_BYTES_MAX, SERVICES_MAX};
use model::service::database::{Entry, Index};
use model::service::manager_request::{
    FromManager, Manner, PROTOCOL, ServiceStatus, ToManager, Verb,
};
use model::service::name::nearest;
use model::time::Moment;
use os::event_loop::Readiness;
use os::service::manager_client::Conversion;
use os::trouble::Trouble;

use super::Program;
use super::update::Wanted;

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
            Some(Entry::Bundle(bundle)) => client.names.extend(database.bundle(bundle).contents()),
            None => drop(client.unknown.get_or_insert_with(|| name.to_owned())),
        }
        // Nobody needs to name a service more often than there are services.
        if client.names.len() > 2 * database.len() {
            client.names.sort_unstable();
            client.names.dedup();
        }
    }

    pub(super) fn refuse(&mut self, number: usize, id: u32, exit: u8, why: &str, hint: &str) {
        if let Some(client) = self.clients.get(number) {
            client.names.clear();
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
        let mut services: Vec<Index> = std::mem::take(&mut client.names);
        let pid = client.pid;
        if manner.users {
            services = self.graph.with_users(&services);
        }
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
            limit: time_limit(limit),
            since,
        };
        self.ask(ask);
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
        let mut services = std::mem::take(&mut client.names);
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
            let trouble = self.graph.trouble(service);
            client.tell(&FromManager::Service(ServiceStatus {
                name: self.live.name(service),
                byte: self.graph.byte(service),
                goal: self.graph.goal(service),
                state: self.graph.state(service).copied(),
                trouble: trouble.map(|reason| reason.map(|other| self.live.name(other))),
                limit: self.graph.limit(service),
                request: self.graph.claim(service),
            }));
        }
        client.tell(&FromManager::StatusEnd { id });
    }
}

fn time_limit(millis: u32) -> Option<Duration> {
    (millis != 0).then(|| Duration::from_millis(u64::from(millis)))
}
