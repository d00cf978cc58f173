//! What is up to controllers, and what of a request is left to them.

use alloc::vec;
use alloc::vec::Vec;

use model::service::database::Index;
use model::service::reason::Reason;

use super::{Along, Ask, Manager, Set, Verb};

impl Manager {
    /// It is up, or on its way.
    pub(super) fn is_there(&self, service: Index) -> bool {
        self.units[service as usize].goal
    }

    /// The services that a request names and may change, with those that go
    /// along. A controller that is being stopped would bring back what is
    /// stopped together with it, and none can bring up what another keeps down.
    pub(super) fn permitted(&mut self, place: u32, ask: &Ask) -> Vec<Index> {
        let mut services = ask.services.clone();
        if let Some(controller) = ask.controller {
            let stops = !self.is_there(controller);
            let starts = matches!(ask.verb, Verb::Up | Verb::UpAgain);
            let mut failed: Vec<(Index, Reason<Index>)> = Vec::new();
            services.retain(|&service| {
                let reason = if stops {
                    Some(Reason::NotControlled(controller))
                } else if starts {
                    self.kept_down(service).map(Reason::Need)
                } else if ask.verb == Verb::Restart && !self.is_there(service) {
                    Some(Reason::NotUp)
                } else {
                    None
                };
                failed.extend(reason.map(|reason| (service, reason)));
                reason.is_none()
            });
            for (service, reason) in failed {
                self.fail_one(place, service, reason);
            }
        }
        if ask.users { self.with_awaited(self.with_users(&services)) } else { services }
    }

    /// `services`, and of what needs them whatever somebody asked for by the
    /// name of a bundle, unless it needs another controlled service that is
    /// not there. What that needs comes along, asked for or not.
    fn with_awaited(&self, mut services: Vec<Index>) -> Vec<Index> {
        let named = self.graph.closure(&services, Along::Needs);
        let there = |service| self.is_there(service) || named.contains(service);
        let held_back = self.graph.held_back(there);
        let users = self.graph.closure(&services, Along::NeededBy);
        let comes = |user: &Index| {
            let awaited = self.units[*user as usize].awaited && !self.graph.is_controlled(*user);
            awaited && !there(*user) && !held_back.contains(*user)
        };
        let before = services.len();
        services.extend(users.members().iter().copied().filter(comes));
        if services.len() == before { services } else { self.with_users(&services) }
    }

    /// A controlled service that is not there, among those that `service` needs.
    fn kept_down(&self, service: Index) -> Option<Index> {
        let needs = self.graph.closure(self.graph.needs(service), Along::Needs);
        let mut needs = needs.members().iter().copied();
        needs.find(|&need| self.graph.is_controlled(need) && !self.is_there(need))
    }

    /// Of the services that only bundles stand for: those that are up to
    /// nobody else. What is left to controllers is remembered.
    pub(super) fn left_to_nobody(&mut self, ask: &Ask) -> Vec<Index> {
        let mut left = ask.bundled.clone();
        let starts = matches!(ask.verb, Verb::Up | Verb::Restart);
        if !(starts || ask.verb == Verb::Reload) || left.is_empty() {
            return left;
        }
        if starts {
            let up_to_others = self.graph.held_back(|_| false);
            for &service in left.iter().filter(|&&service| up_to_others.contains(service)) {
                self.units[service as usize].awaited = true;
                self.store(service);
            }
        }
        let named = self.graph.closure(&ask.services, Along::Needs);
        let there = |service| self.is_there(service) || named.contains(service);
        let held_back = self.graph.held_back(there);
        left.retain(|&service| !held_back.contains(service));
        // What waits for all of a bundle waits for its services, and for those that were named.
        if ask.users {
            self.with_awaited(self.with_users(&[&left, &ask.services[..]].concat()))
        } else {
            left
        }
    }

    /// Whoever wants nothing else up than some services means those that it
    /// can say something about: what their controllers have brought up stays,
    /// with what needs it.
    pub(super) fn spare_controlled(&self, ups: &mut Set) {
        let controlled: Vec<(Index, bool)> = (0..self.graph.len() as Index)
            .filter(|&service| self.is_there(service))
            .filter_map(|service| Some((service, self.graph.starter(service)?)))
            .map(|(service, starter)| (service, ups.contains(starter) || ups.contains(service)))
            .collect();
        let those = |stay: bool| -> Vec<Index> {
            controlled
                .iter()
                .filter(|(_, stays)| *stays == stay)
                .map(|(service, _)| *service)
                .collect()
        };
        // What needs one that goes, goes as well.
        let go = self.graph.closure(&those(false), Along::NeededBy);
        let mut users = self.graph.closure(&those(true), Along::NeededBy).into_members();
        users.retain(|&user| self.is_there(user) && !go.contains(user));
        for &service in self.graph.closure(&users, Along::Needs).members() {
            ups.insert(service);
        }
    }

    /// What stops where `services` shall stop: with what needs them, what is
    /// started by controllers among all these, and so on. Second, the essential
    /// services that were spared.
    pub(super) fn with_controlled(&self, services: &[Index], essential: bool) -> (Set, Vec<Index>) {
        let mut first = services.to_vec();
        loop {
            let (downs, spared) = match essential {
                true => (self.graph.closure(&first, Along::NeededBy), vec![]),
                false => self.graph.stopping(&first, |service| self.is_there(service)),
            };
            if !downs.members().iter().any(|&service| self.graph.is_controller(service)) {
                return (downs, spared);
            }
            let named = self.named(&first);
            let goes_along = |&service: &Index| {
                let starter = self.graph.starter(service);
                starter.is_some_and(|starter| downs.contains(starter))
                    && !downs.contains(service)
                    && !named.contains(service)
                    && self.is_there(service)
            };
            let before = first.len();
            first.extend((0..self.graph.len() as Index).filter(goes_along));
            if first.len() == before {
                return (downs, spared);
            }
        }
    }
}
