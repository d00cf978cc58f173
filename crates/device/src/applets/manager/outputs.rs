//! The directories of outputs: made before a service starts, removed once it is
//! down; and what changes in those that others react to.

use std::time::Duration;

use engine::service::manage::{Event, Graph};
use model::account::User;
use model::service::database::Index;
use model::service::live_state::{AGAIN, STARTING, STOPPING, UP};
use model::time::Moment;
use os::account::{Accounts, number};
use os::service::managed::LiveDir;
use os::service::outputs::{self, Watches};

use super::{Program, complain_of};

/// Whoever says several things says them within this time.
const PAUSE: Duration = Duration::from_millis(100);

/// One that is not down, whatever it is doing.
const ACTIVE: u8 = UP | STARTING | STOPPING;

pub struct Outputs {
    folder: outputs::Outputs,
    /// `None`: the system has no more of these.
    watches: Option<Watches>,
    /// What those said that others react to, when these were told.
    known: Vec<(Index, u64)>,
    /// Those that may say something else now, since the time that is given.
    changed: Vec<(Index, Moment)>,
}

impl Outputs {
    pub fn new(live: &LiveDir, graph: &Graph) -> Self {
        let mut outputs = Self {
            folder: outputs::Outputs::of(&live.link()),
            watches: Watches::new().ok(),
            known: Vec::new(),
            changed: Vec::new(),
        };
        // A manager that was killed may have left something to do.
        let there = outputs.folder.services();
        for (service, byte) in (0..).zip(live.bytes()) {
            if byte & ACTIVE == 0 {
                if !there.iter().any(|name| name == live.name(service)) {
                    continue;
                }
                outputs.stored(live, graph, service, ACTIVE, *byte);
            } else {
                outputs.stored(live, graph, service, 0, STARTING);
                outputs.stored(live, graph, service, STARTING, *byte);
            }
        }
        outputs
    }

    pub fn watches(&self) -> Option<&Watches> {
        self.watches.as_ref()
    }

    /// A state byte has changed.
    pub fn stored(&mut self, live: &LiveDir, graph: &Graph, service: Index, old: u8, new: u8) {
        let matters = || graph.reactions(service).next().is_some();
        if old & STARTING == 0 && new & STARTING != 0 {
            let name = live.name(service);
            let owner = live.database().service(service).outputs_owner();
            let made = self.folder.make(name, owner.and_then(user));
            complain_of("make the outputs", name, made);
            if let (Some(watches), true) = (&mut self.watches, matters()) {
                let _ = watches.add(&self.folder.path(name), service);
            }
        } else if old & ACTIVE != 0 && new & ACTIVE == 0 {
            self.known.retain(|(other, _)| *other != service);
            let name = live.name(service);
            complain_of("remove the outputs", name, self.folder.remove(name));
        }
        // Whoever starts from here on finds what is there now.
        if old & UP == 0 && new & UP != 0 && new & AGAIN == 0 && matters() {
            self.known.retain(|(other, _)| *other != service);
            self.known.push((service, self.folder.digest(live.name(service))));
        }
    }

    pub fn deadline(&self) -> Option<Moment> {
        self.changed.iter().map(|(_, since)| *since + PAUSE).min()
    }

    /// Something has happened in some of the directories.
    pub fn hear(&mut self, now: Moment) {
        let Some(watches) = &mut self.watches else { return };
        for service in watches.read() {
            if !self.changed.iter().any(|(other, _)| *other == service) {
                self.changed.push((service, now));
            }
        }
    }

    /// A service that others react to and that says something else by now.
    fn published(&mut self, live: &LiveDir, now: Moment) -> Option<Index> {
        loop {
            let at = self.changed.iter().position(|(_, since)| *since + PAUSE <= now)?;
            let (service, _) = self.changed.swap_remove(at);
            // What is not up has told nobody yet.
            let known = self.known.iter_mut().find(|(other, _)| *other == service);
            let Some((_, known)) = known else { continue };
            let says = self.folder.digest(live.name(service));
            if std::mem::replace(known, says) != says {
                return Some(service);
            }
        }
    }
}

impl Program {
    pub(super) fn publish(&mut self) {
        while let Some(service) = self.outputs.published(&self.live, self.now) {
            self.step(Event::Published { service });
        }
    }
}

fn user(name: &str) -> Option<User> {
    if let Some(user) = number(name.as_bytes()) {
        return Some(User { user, group: user });
    }
    let found = Accounts::default().user(name.as_bytes()).ok().flatten();
    if found.is_none() {
        eprintln!("there is no user {name} whose outputs these could be");
    }
    found
}
