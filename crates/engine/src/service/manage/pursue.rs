//! Longruns: orders to init, each with a ticket, and what its answers mean.

use model::service::database::Index;
use model::service::reason::Reason;
use model::service::request::{GaveUp, Phase, SlotState};

use super::links::Kind;
use super::{Action, Actual, Manager, News};

impl Manager {
    /// Init says how a service is.
    pub(super) fn observe(&mut self, service: Index, state: SlotState) {
        let longrun = self.graph.is_longrun(service);
        let unit = &mut self.units[service as usize];
        unit.state = state;
        unit.has_slot = true;
        if !self.connected {
            return;
        }
        if longrun && unit.asked.is_some() && state.ticket == unit.ticket {
            let up = unit.asked.take();
            unit.confirmed = order(unit.actual, unit.ordered) == up;
        }
        self.pursue(service);
        self.serves(service);
    }

    /// Gives init the order that is due, if any, and judges what it said.
    pub(super) fn pursue(&mut self, service: Index) {
        if !self.connected || !self.units[service as usize].has_slot {
            return;
        }
        if !self.graph.is_longrun(service) {
            return self.pursue_script(service);
        }
        let unit = &mut self.units[service as usize];
        let Some(up) = order(unit.actual, unit.ordered) else { return };
        if !unit.confirmed {
            if unit.asked != Some(up) {
                self.want(service, up);
            }
            return;
        }
        if up { self.judge_start(service) } else { self.judge_stop(service) }
    }

    fn want(&mut self, service: Index, up: bool) {
        self.last_order = self.last_order.wrapping_add(1).max(1);
        let ticket = self.last_order;
        let unit = &mut self.units[service as usize];
        unit.confirmed = false;
        unit.asked = Some(up);
        unit.ticket = ticket;
        self.actions.push(Action::Want { service, up, ticket });
    }

    fn judge_start(&mut self, service: Index) {
        let notifies = self.graph.notifies(service);
        let unit = &mut self.units[service as usize];
        match unit.state.gave_up {
            Some(GaveUp::Permanent) => return self.not_started(service, Reason::Permanent),
            Some(GaveUp::Spawn(errno)) => return self.not_started(service, Reason::Spawn(errno)),
            None => {}
        }
        if !unit.state.wanted_up {
            // Somebody else said `s6-svc -d`. Once that may be an old thought.
            if core::mem::replace(&mut unit.insisted, true) {
                return self.not_started(service, Reason::HeldDown);
            }
            return self.want(service, true);
        }
        let ready = match unit.state.phase {
            Phase::Ready => true,
            Phase::Up => !notifies,
            Phase::Down | Phase::Stopping | Phase::Finishing | Phase::Waiting => false,
        };
        if ready {
            let was = self.outline(service);
            let unit = &mut self.units[service as usize];
            unit.actual = Actual::Up;
            unit.ordered = false;
            self.changed(service, was);
            self.reached(service);
        }
    }

    /// A longrun does not come up: it is ordered down and counts as down.
    pub(super) fn not_started(&mut self, service: Index, reason: Reason<Index>) {
        let revived = self.units[service as usize].actual == Actual::Reviving;
        self.abandon(service, reason);
        if !revived {
            self.end_start(service);
        } else if self.units[service as usize].actual == Actual::Reviving {
            // Nobody wants it any more: it waits for its end where it was.
            self.units[service as usize].ordered = false;
            self.become_up(service);
        }
    }

    fn judge_stop(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        let over = unit.state.phase == Phase::Down;
        if unit.state.wanted_up || matches!(unit.state.phase, Phase::Up | Phase::Ready) {
            // Somebody else said `s6-svc -u`, or `-o`.
            if !core::mem::replace(&mut unit.insisted, true) {
                return self.want(service, false);
            }
            match unit.actual {
                Actual::Failing => self.ended(service),
                _ => {
                    self.become_up(service);
                    self.stays_up(service, Reason::HeldUp);
                }
            }
        } else if over {
            self.ended(service);
        }
    }

    /// Nothing of it runs any more.
    fn ended(&mut self, service: Index) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.actual = Actual::Down;
        unit.late = false;
        self.changed(service, was);
        self.reached(service);
    }

    pub(super) fn become_up(&mut self, service: Index) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.actual = Actual::Up;
        unit.deadline = None;
        self.changed(service, was);
    }

    /// The deadline of a service has come.
    pub(super) fn overdue(&mut self, service: Index) {
        if !self.graph.is_longrun(service) {
            return self.script_overdue(service);
        }
        let unit = &self.units[service as usize];
        let down = Reason::NotStopped(self.graph.timeout_down(service));
        match unit.actual {
            Actual::Starting | Actual::Reviving => {
                self.not_started(service, Reason::NotReady(self.graph.timeout_up(service)));
            }
            // Init has not even heard that it is to be ended: what it needs
            // must not go before it.
            Actual::Failing if unit.asked.is_some() => {
                self.set_deadline(service, self.graph.timeout_down(service));
            }
            Actual::Failing => {
                let was = self.outline(service);
                let unit = &mut self.units[service as usize];
                unit.late = true;
                unit.again = false;
                let goal = unit.goal;
                self.changed(service, was);
                if !goal {
                    self.settle(service, Kind::Goal, News::Failed(down));
                }
            }
            // It was to come back anyway: init starts it as soon as it can.
            Actual::Stopping if unit.again => {
                let was = self.outline(service);
                self.units[service as usize].again = false;
                self.changed(service, was);
                self.keep_needs(service);
            }
            Actual::Stopping if !unit.goal => {
                let was = self.outline(service);
                let unit = &mut self.units[service as usize];
                unit.actual = Actual::Lingering;
                unit.trouble = Some(down);
                self.changed(service, was);
                self.settle(service, Kind::Goal, News::Failed(down));
                self.keep_needs(service);
            }
            _ => {}
        }
    }
}

/// What init is to be told about a longrun, `None`: nothing.
fn order(actual: Actual, ordered: bool) -> Option<bool> {
    match actual {
        Actual::Starting => Some(true),
        Actual::Reviving => ordered.then_some(true),
        Actual::Failing | Actual::Stopping | Actual::Lingering => Some(false),
        Actual::Down | Actual::Up | Actual::Reloading => None,
    }
}
