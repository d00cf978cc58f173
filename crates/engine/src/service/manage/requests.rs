//! What clients want: goals for services, and who waits for them.

use alloc::vec::Vec;

use model::service::database::Index;
use model::service::reason::Reason;
use model::time::Moment;

use super::links::{Kind, NONE};
use super::{
    Action, Actual, Along, Ask, Closing, INIT, Manager, News, Outcome, SELF, Set, Timer, Verb,
};

/// One request that is not finished.
pub(super) struct Request {
    pub client: u32,
    pub id: u32,
    pub pid: u32,
    /// Its place in the order of all requests.
    pub order: u32,
    pub detail: bool,
    /// Services it still waits for.
    pub pending: u32,
    /// Services that did not become what they should.
    pub failed: u32,
    pub deadline: Option<Moment>,
    /// The first of its links.
    pub links: u32,
    /// What it wants up once everything it wanted down is down.
    pub then: Option<Set>,
}

impl Manager {
    pub(super) fn ask(&mut self, ask: Ask) {
        let (client, id) = (ask.client, ask.id);
        let starts = matches!(ask.verb, Verb::Up | Verb::UpAgain | Verb::Restart) || ask.prune;
        if self.closing != Closing::No && client != INIT && starts {
            let mut named = self.named(&ask.services);
            for &service in &ask.bundled {
                named.insert(service);
            }
            for &service in named.members() {
                let news = News::Failed(Reason::Shutdown);
                self.actions.push(Action::Tell { client, id, service, news });
            }
            let outcome = Outcome::Failed(named.members().len() as u32);
            self.actions.push(Action::Ended { client, id, outcome });
            return;
        }
        let place = self.add_request(&ask);
        let services = self.permitted(place, &ask);
        let mut selection = self.named(&services);
        for service in self.left_to_nobody(&ask) {
            selection.insert(service);
        }
        let named = selection.members().len();
        if ask.all {
            for service in 0..self.graph.len() as Index {
                if self.units[service as usize].actual.is_up() {
                    selection.insert(service);
                }
            }
        }
        match ask.verb {
            Verb::Up | Verb::UpAgain => {
                let named = if ask.verb == Verb::Up { &selection.members()[..named] } else { &[] };
                for &service in named {
                    self.units[service as usize].wanted = true;
                }
                let mut ups = self.graph.closure(selection.members(), Along::Needs);
                if ask.prune {
                    self.spare_controlled(&mut ups);
                    let others = self.graph.others(&ups);
                    self.want_down(place, &others, &ask);
                    self.then(place, ups);
                } else {
                    self.want_up(place, &ups);
                }
            }
            Verb::Down { .. } | Verb::DownForNow => {
                self.want_down(place, selection.members(), &ask);
                if ask.prune {
                    let downs = self.graph.closure(selection.members(), Along::NeededBy);
                    let held_back = self.graph.held_back(|service| self.is_there(service));
                    let mut ups = self.graph.others(&downs);
                    ups.retain(|&service| !held_back.contains(service));
                    self.then(place, self.graph.closure(&ups, Along::Needs));
                }
            }
            Verb::Restart => self.want_restart(place, selection.members(), ask.since),
            Verb::Reload => {
                for &service in selection.members() {
                    self.want_reload(place, service);
                }
            }
        }
        if self.request(place).pending == 0 {
            self.finished.push(place);
        }
    }

    /// Each service once, however often it was named.
    pub(super) fn named(&self, services: &[Index]) -> Set {
        let mut named = Set::new(self.graph.len());
        for &service in services {
            named.insert(service);
        }
        named
    }

    pub(super) fn add_request(&mut self, ask: &Ask) -> u32 {
        self.newest = self.newest.wrapping_add(1);
        let request = Request {
            client: ask.client,
            id: ask.id,
            pid: ask.pid,
            order: self.newest,
            detail: ask.detail,
            pending: 0,
            failed: 0,
            deadline: ask.limit.map(|limit| self.now + limit),
            links: NONE,
            then: None,
        };
        let deadline = request.deadline;
        let place = match self.requests.iter().position(Option::is_none) {
            Some(place) => {
                self.requests[place] = Some(request);
                place
            }
            None => {
                self.requests.push(Some(request));
                self.requests.len() - 1
            }
        };
        if let Some(at) = deadline {
            self.add_timer(at, Timer::Request(place as u32));
        }
        place as u32
    }

    pub(super) fn request(&mut self, place: u32) -> &mut Request {
        self.requests[place as usize].as_mut().expect("a place is kept until its request ends")
    }

    pub(super) fn then(&mut self, place: u32, ups: Set) {
        self.request(place).then = Some(ups);
    }

    /// A request waits for nothing more: on to its second step, or the end.
    pub(super) fn stage_done(&mut self, place: u32) {
        let Some(request) = self.requests[place as usize].as_mut() else { return };
        if request.pending != 0 {
            return;
        }
        if request.failed == 0
            && let Some(ups) = request.then.take()
        {
            self.want_up(place, &ups);
            if self.request(place).pending == 0 {
                self.finished.push(place);
            }
            return;
        }
        let outcome = match request.failed {
            0 => Outcome::Done,
            failed => Outcome::Failed(failed),
        };
        self.end(place, outcome);
    }

    pub(super) fn end(&mut self, place: u32, outcome: Outcome) {
        let Some(request) = self.requests[place as usize].take() else { return };
        self.free_links(request.links);
        if request.client == INIT {
            self.closing = Closing::Done;
            self.actions.push(Action::AllDown);
        } else if request.client != SELF {
            let (client, id) = (request.client, request.id);
            self.actions.push(Action::Ended { client, id, outcome });
        }
    }

    /// The time of a request is over.
    pub(super) fn give_up(&mut self, place: u32) {
        self.withdraw(place);
        self.end(place, Outcome::TimedOut);
    }

    pub(super) fn gone(&mut self, client: u32) {
        for place in 0..self.requests.len() {
            if self.requests[place].as_ref().is_some_and(|request| request.client == client) {
                self.withdraw(place as u32);
                if let Some(request) = self.requests[place].take() {
                    self.free_links(request.links);
                }
            }
        }
    }

    /// Leaves undone what was not begun and nobody else wants.
    pub(super) fn withdraw(&mut self, place: u32) {
        let mut at = self.request(place).links;
        let mut left = Vec::new();
        while at != NONE {
            let link = &mut self.links[at as usize];
            if !core::mem::replace(&mut link.done, true) {
                left.push((link.service, at, link.kind));
            }
            at = link.next_own;
        }
        // All of them first: what is given up for one service must not be told
        // of another a second time.
        for &(service, link, _) in &left {
            self.unlink(service, link);
        }
        for &(service, _, kind) in &left {
            let unit = &self.units[service as usize];
            let begun = match unit.actual {
                Actual::Down | Actual::Up => false,
                Actual::Reviving => unit.ordered,
                _ => true,
            };
            let reason = if begun { Reason::StillChanging } else { Reason::NotBegun };
            self.fail_one(place, service, reason);
            if kind == Kind::Goal && !self.has_link(service, Kind::Goal) {
                self.forget_goal(service);
            }
        }
    }

    /// Nobody waits for a service any more: where nothing was begun, nothing is.
    pub(super) fn forget_goal(&mut self, service: Index) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        match unit.actual {
            Actual::Down | Actual::Failing if unit.goal && !unit.again => {
                unit.goal = false;
                unit.wanted = false;
                self.changed(service, was);
                self.fail_dependents(service);
            }
            Actual::Up | Actual::Reloading => {
                unit.goal = true;
                unit.again = false;
                self.changed(service, was);
                self.keep_needs(service);
            }
            Actual::Reviving if !unit.ordered => {
                unit.actual = Actual::Up;
                unit.goal = true;
                unit.again = false;
                self.changed(service, was);
                self.keep_needs(service);
            }
            _ => {}
        }
    }

    /// Init ends: everything goes down, essential or not.
    pub(super) fn stop_all(&mut self) {
        match self.closing {
            Closing::No => {
                self.closing = Closing::Stopping;
                self.ask(Ask {
                    client: INIT,
                    id: 0,
                    pid: 1,
                    verb: Verb::Down { essential: true },
                    prune: false,
                    all: false,
                    detail: false,
                    services: (0..self.graph.len() as Index).collect(),
                    bundled: Vec::new(),
                    controller: None,
                    users: false,
                    limit: None,
                    since: self.now,
                });
            }
            Closing::Stopping => {}
            Closing::Done => self.actions.push(Action::AllDown),
        }
    }
}
