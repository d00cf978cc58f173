//! From what a request wants to the goals of services.

use alloc::vec::Vec;

use model::service::database::{Index, Script};
use model::service::reason::Reason;
use model::service::request::Phase;
use model::time::Moment;

use super::links::Kind;
use super::requests::Request;
use super::script::script_of;
use super::{Action, Actual, Along, Ask, Manager, News, SELF, Set, Verb};

impl Manager {
    /// Wants a set up that is closed under needs.
    pub(super) fn want_up(&mut self, place: u32, ups: &Set) {
        let &mut Request { order, pid, .. } = self.request(place);
        let superseded = self.barred(ups, order);
        for &service in ups.members() {
            if superseded.contains(service) {
                self.fail_one(
                    place,
                    service,
                    Reason::Superseded { up: false, pid: self.units[service as usize].claim_pid },
                );
                continue;
            }
            let unit = &mut self.units[service as usize];
            if unit.claim < order {
                (unit.claim, unit.claim_pid) = (order, pid);
            }
            if !unit.goal {
                let news = News::Failed(Reason::Superseded { up: true, pid });
                self.settle(service, Kind::Goal, news);
                self.units[service as usize].goal = true;
            }
            let unit = &mut self.units[service as usize];
            if unit.actual == Actual::Up
                && !unit.again
                && unit.held_down()
                && self.graph.is_longrun(service)
            {
                let was = self.outline(service);
                let unit = &mut self.units[service as usize];
                unit.actual = Actual::Reviving;
                unit.ordered = false;
                self.changed(service, was);
            }
            if self.units[service as usize].is_simply_up() {
                // It was to stop, and what it needs is still to be restarted.
                self.follow_restart(service);
            }
            self.store(service);
            if !self.units[service as usize].is_simply_up() {
                self.link(place, service, Kind::Goal);
                self.queue(service);
            }
        }
    }

    /// Those of a set that a newer request wants down, and what needs them:
    /// what is wanted up in the second step of an older request stands back.
    pub(super) fn barred(&self, ups: &Set, order: u32) -> Set {
        let newer = |unit: &super::Unit| unit.claim > order && !unit.goal;
        let first: Vec<Index> = (ups.members().iter().copied())
            .filter(|&service| newer(&self.units[service as usize]))
            .collect();
        if first.is_empty() { Set::new(0) } else { self.graph.closure(&first, Along::NeededBy) }
    }

    /// Wants services down, and all that needs them.
    pub(super) fn want_down(&mut self, place: u32, services: &[Index], ask: &Ask) {
        let downs = match ask.verb {
            Verb::DownForNow => self.graph.closure(services, Along::NeededBy),
            Verb::Down { essential: true } => self.with_controlled(services, true).0,
            _ => {
                let (downs, spared) = self.with_controlled(services, false);
                for service in spared {
                    let &mut Request { client, id, .. } = self.request(place);
                    self.actions.push(Action::Tell { client, id, service, news: News::Spared });
                }
                downs
            }
        };
        // What a controller takes down comes back with it.
        let comes_back = ask.verb == Verb::DownForNow || ask.controller.is_some();
        let &mut Request { order, pid, .. } = self.request(place);
        for &service in downs.members() {
            let unit = &mut self.units[service as usize];
            (unit.claim, unit.claim_pid) = (order, pid);
            unit.trouble = None;
            unit.awaited &= comes_back;
            if unit.actual == Actual::Down && !unit.goal {
                self.store(service);
                continue;
            }
            if unit.goal {
                let news = News::Failed(Reason::Superseded { up: false, pid });
                self.settle(service, Kind::Goal, news);
            }
            let was = self.outline(service);
            let unit = &mut self.units[service as usize];
            unit.goal = false;
            unit.again = false;
            unit.wanted = false;
            let down = unit.actual == Actual::Down;
            if unit.actual == Actual::Reviving && !unit.ordered {
                unit.actual = Actual::Up;
            }
            self.changed(service, was);
            if !down {
                self.link(place, service, Kind::Goal);
            }
        }
    }

    pub(super) fn want_restart(&mut self, place: u32, services: &[Index], since: Moment) {
        let &mut Request { client, order, pid, .. } = self.request(place);
        let stale: Vec<Index> = (services.iter().copied())
            .filter(|&service| {
                let actual = self.units[service as usize].actual;
                // Of what starts, clients find it as they want it.
                let half = client == SELF && actual == Actual::Starting;
                half || actual.is_up() && !self.is_fresh(service, since)
            })
            .collect();
        for &service in services {
            self.units[service as usize].wanted |= client != SELF;
        }
        let ups = self.graph.closure(services, Along::Needs);
        self.want_up(place, &ups);
        let all = self.graph.closure(&stale, Along::NeededBy);
        for &service in all.members() {
            let was = self.outline(service);
            let unit = &mut self.units[service as usize];
            // What is down, or surely will be, starts after its needs anyway.
            if matches!(unit.actual, Actual::Down | Actual::Failing) || !unit.goal {
                continue;
            }
            (unit.claim, unit.claim_pid) = (order, pid);
            if unit.actual == Actual::Reviving && !unit.ordered {
                unit.actual = Actual::Up;
            }
            unit.again = true;
            self.changed(service, was);
            if !self.waits(place, service) {
                self.link(place, service, Kind::Goal);
            }
        }
    }

    /// It has been started since the request was first made.
    pub(super) fn is_fresh(&self, service: Index, since: Moment) -> bool {
        let state = &self.units[service as usize].state;
        let started = if self.graph.is_longrun(service) {
            matches!(state.phase, Phase::Up | Phase::Ready)
        } else {
            state.phase == Phase::Down && script_of(state.ticket) == Script::Up as u32
        };
        started && state.since > since
    }

    pub(super) fn want_reload(&mut self, place: u32, service: Index) {
        if !self.connected {
            // What init holds, and which script it ran last, is not known yet.
            return self.link(place, service, Kind::LaterReload);
        }
        let unit = &self.units[service as usize];
        let longrun = self.graph.is_longrun(service);
        match unit.actual {
            // Whatever starts now reads its settings afresh.
            Actual::Starting | Actual::Reviving if unit.goal => {
                self.link(place, service, Kind::Goal);
            }
            Actual::Up if longrun && unit.has_slot => {
                let signal = self.graph.reload_signal(service);
                self.actions.push(Action::Signal { service, signal });
                self.tell(place, service, News::Reloaded);
            }
            Actual::Up if !longrun && !self.graph.has_script(service, Script::Reload) => {
                self.fail_one(place, service, Reason::NoReload);
            }
            Actual::Up if !unit.has_slot => self.fail_one(place, service, Reason::Unknown),
            Actual::Up => {
                self.link(place, service, Kind::Reload);
                let was = self.outline(service);
                self.begin_script(service, Script::Reload, was);
            }
            Actual::Reloading => self.link(place, service, Kind::NextReload),
            _ => self.fail_one(place, service, Reason::NotUp),
        }
    }

    /// Asks for the reloads that were wanted while init was away.
    pub(super) fn reload_now(&mut self, service: Index) {
        while let Some(place) = self.take_link(service, Kind::LaterReload) {
            self.want_reload(place, service);
            if self.request(place).pending == 0 {
                self.finished.push(place);
            }
        }
    }
}
