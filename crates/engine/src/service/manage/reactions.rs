//! What services do when something that they need runs afresh, or publishes
//! something else.

use alloc::vec::Vec;

use model::service::database::{Index, Reaction, Script};
use model::service::request::Phase;

use super::links::Kind;
use super::script::script_of;
use super::{Action, Actual, Ask, Closing, Manager, SELF, Verb};

const DOWN: u32 = Script::Down as u32;

impl Manager {
    /// Init says something about a service: where it is a longrun that serves
    /// anew without having been asked to, others may want to know.
    pub(super) fn serves(&mut self, service: Index) {
        let notifies = self.graph.notifies(service);
        let unit = &mut self.units[service as usize];
        let (phase, starts) = (unit.state.phase, unit.state.starts);
        let serves = phase == Phase::Ready || (phase == Phase::Up && !notifies);
        if !serves || !unit.has_slot || unit.oneshot {
            return;
        }
        if !matches!(unit.actual, Actual::Up | Actual::Reloading) || unit.again {
            return;
        }
        let before = core::mem::replace(&mut unit.served, starts);
        if before == starts {
            return;
        }
        let since = unit.state.since;
        let knows = before != 0;
        self.react(service, |manager, user| {
            // A new manager, or one that had lost init, sees it by the times.
            knows || manager.began(user).is_some_and(|began| began < since)
        });
    }

    /// A service publishes something else than before.
    pub(super) fn published(&mut self, service: Index) {
        if self.units[service as usize].actual.is_up() {
            self.react(service, |_, _| true);
        }
    }

    /// Since when a service that is up, or starts, runs as it does.
    fn began(&self, service: Index) -> Option<model::time::Moment> {
        let unit = &self.units[service as usize];
        let (phase, ticket) = (unit.state.phase, unit.state.ticket);
        let is_up = match unit.oneshot {
            false => matches!(phase, Phase::Up | Phase::Ready),
            // One that never ran a script has nothing to begin.
            true => {
                matches!(phase, Phase::Up | Phase::Down) && ticket != 0 && script_of(ticket) != DOWN
            }
        };
        (unit.has_slot && is_up).then_some(unit.state.since)
    }

    fn react(&mut self, need: Index, concerned: impl Fn(&Self, Index) -> bool) {
        if self.closing != Closing::No || !self.connected {
            return;
        }
        let reactions: Vec<(Index, Reaction)> = self.graph.reactions(need).collect();
        for (user, reaction) in reactions {
            let unit = &self.units[user as usize];
            // What starts later finds everything as it is.
            let starts = unit.actual == Actual::Starting;
            let runs = starts || unit.actual.is_up();
            if !runs || !unit.goal || unit.again || !concerned(self, user) {
                continue;
            }
            let verb = match reaction {
                Reaction::Ignore => continue,
                // One reload for all that has happened until it begins.
                Reaction::Notify if self.has_link(user, Kind::NextReload) => continue,
                // It cannot be told yet, and has perhaps looked already.
                Reaction::Notify if !starts => Verb::Reload,
                Reaction::Notify => Verb::Restart,
                Reaction::Restart => Verb::Restart,
            };
            self.ask(Ask {
                client: SELF,
                id: 0,
                pid: 0,
                verb,
                prune: false,
                all: false,
                detail: false,
                services: Vec::from([user]),
                bundled: Vec::new(),
                controller: None,
                users: false,
                limit: None,
                since: self.now,
            });
            self.actions.push(Action::Reacts { service: user, need, order: self.newest });
        }
    }
}
