//! One service after the other: what to do next, and what follows for those
//! around it.

use alloc::vec;
use alloc::vec::Vec;

use model::service::database::{Index, Script};
use model::service::reason::Reason;

use super::links::{Kind, NONE};
use super::{Action, Actual, Manager, News};

impl Manager {
    /// Decides until there is nothing to decide. Costs in proportion to what
    /// has changed.
    pub(super) fn turn(&mut self) {
        loop {
            if let Some(place) = self.finished.pop() {
                self.stage_done(place);
            } else if self.connected
                && let Some(service) = self.work.pop_front()
            {
                self.units[service as usize].queued = false;
                self.decide(service);
            } else {
                return;
            }
        }
    }

    pub(super) fn queue(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        if !unit.queued {
            unit.queued = true;
            self.work.push_back(service);
        }
    }

    /// The table: from what a service is and shall be to its next step.
    fn decide(&mut self, service: Index) {
        let unit = &self.units[service as usize];
        let longrun = self.graph.is_longrun(service);
        let leave = !unit.goal || unit.again;
        match unit.actual {
            Actual::Down if unit.goal && unit.unmet == 0 => self.start(service),
            Actual::Failing | Actual::Stopping | Actual::Lingering
                if longrun && unit.goal && !unit.again && unit.unmet == 0 =>
            {
                self.start(service);
            }
            Actual::Up | Actual::Reviving if leave && unit.live == 0 => self.stop(service),
            Actual::Up | Actual::Reviving if !leave && unit.unmet != 0 => {
                self.follow_restart(service);
            }
            Actual::Reviving if !leave && !unit.ordered && unit.unmet == 0 => self.revive(service),
            Actual::Starting if leave => self.call_off(service),
            // Somebody asks again for what did not work the last time.
            Actual::Lingering if longrun && !unit.goal && unit.waiters != NONE => {
                self.stop(service);
            }
            Actual::Failing if longrun && !unit.goal && unit.late && unit.waiters != NONE => {
                let was = self.outline(service);
                self.units[service as usize].late = false;
                self.changed(service, was);
                self.set_deadline(service, self.graph.timeout_down(service));
            }
            // It waits for others, for init, or for nothing.
            _ => {}
        }
    }

    /// What it needs is up and to be restarted: it came up meanwhile, or a
    /// manager was killed before it could say so. It goes along.
    pub(super) fn follow_restart(&mut self, service: Index) {
        let waits = |need: &Index| {
            let need = &self.units[*need as usize];
            need.again && matches!(need.actual, Actual::Up | Actual::Reviving | Actual::Reloading)
        };
        if self.graph.needs(service).iter().any(waits) {
            let was = self.outline(service);
            self.units[service as usize].again = true;
            self.changed(service, was);
        }
    }

    fn start(&mut self, service: Index) {
        self.progress(service, News::Starting);
        let was = self.outline(service);
        let longrun = self.graph.is_longrun(service);
        let unit = &mut self.units[service as usize];
        unit.trouble = None;
        unit.again = false;
        unit.late = false;
        unit.insisted = false;
        unit.confirmed = false;
        if !longrun && !self.graph.has_script(service, Script::Up) {
            unit.actual = Actual::Up;
            self.changed(service, was);
            self.reached(service);
        } else if !unit.has_slot {
            self.changed(service, was);
            self.abandon(service, Reason::Unknown);
        } else if longrun {
            unit.actual = Actual::Starting;
            self.changed(service, was);
            self.set_deadline(service, self.graph.timeout_up(service));
            self.pursue(service);
        } else {
            self.begin_script(service, Script::Up, was);
        }
    }

    fn stop(&mut self, service: Index) {
        self.progress(service, News::Stopping);
        let was = self.outline(service);
        let longrun = self.graph.is_longrun(service);
        let unit = &mut self.units[service as usize];
        unit.trouble = None;
        unit.insisted = false;
        unit.confirmed = false;
        unit.ordered = false;
        let nothing_to_do =
            if longrun { !unit.has_slot } else { !self.graph.has_script(service, Script::Down) };
        if nothing_to_do {
            unit.actual = Actual::Down;
            self.changed(service, was);
            self.reached(service);
        } else if !unit.has_slot {
            self.stays_up(service, Reason::Unknown);
        } else if longrun {
            unit.actual = Actual::Stopping;
            self.changed(service, was);
            self.set_deadline(service, self.graph.timeout_down(service));
            self.pursue(service);
        } else {
            self.begin_script(service, Script::Down, was);
        }
    }

    /// Brings back a longrun that is up here but held down by init.
    fn revive(&mut self, service: Index) {
        self.progress(service, News::Starting);
        let unit = &mut self.units[service as usize];
        unit.trouble = None;
        unit.ordered = true;
        unit.confirmed = false;
        unit.insisted = false;
        self.set_deadline(service, self.graph.timeout_up(service));
        self.pursue(service);
    }

    /// It was starting, and shall be down now.
    fn call_off(&mut self, service: Index) {
        if self.graph.is_longrun(service) {
            self.progress(service, News::Stopping);
            self.end_start(service);
            return;
        }
        let unit = &self.units[service as usize];
        if !unit.sent && unit.state.ticket != unit.ticket {
            return self.script_over(service, Actual::Down);
        }
        // A script that was cut off half-way leaves half of its work: it may
        // end by itself, but no longer than stopping may take.
        let limit = self.graph.timeout_down(service);
        if !limit.is_zero() && unit.deadline.is_none_or(|at| at > self.now + limit) {
            self.set_deadline(service, limit);
        }
    }

    /// Orders a longrun down that did not get up.
    pub(super) fn end_start(&mut self, service: Index) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.confirmed = false;
        unit.insisted = false;
        unit.late = false;
        unit.actual = Actual::Failing;
        self.changed(service, was);
        self.set_deadline(service, self.graph.timeout_down(service));
        self.pursue(service);
    }

    /// It has become what was asked for, or the opposite of what is asked for
    /// by now; the latter leads to the next step.
    pub(super) fn reached(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        unit.deadline = None;
        let up = unit.actual.is_up();
        if unit.goal == up && !unit.again {
            if !up {
                unit.wanted = false;
                self.store(service);
            }
            self.settle(service, Kind::Goal, if up { News::Up } else { News::Down });
        }
        self.queue(service);
    }

    /// Gives up bringing it up. What needs it and waits for it gives up, too.
    pub(super) fn abandon(&mut self, service: Index, reason: Reason<Index>) {
        if !self.units[service as usize].goal {
            return;
        }
        self.drop_goal(service, reason);
        self.fail_dependents(service);
    }

    /// Whatever waits for this service to come up, waits in vain.
    pub(super) fn fail_dependents(&mut self, service: Index) {
        let mut failed = vec![service];
        while let Some(need) = failed.pop() {
            for at in 0..self.graph.needed_by(need).len() {
                let other = self.graph.needed_by(need)[at];
                let unit = &self.units[other as usize];
                let waits = unit.goal
                    && match unit.actual {
                        Actual::Down | Actual::Failing | Actual::Stopping | Actual::Lingering => {
                            true
                        }
                        Actual::Reviving => !unit.ordered,
                        Actual::Up | Actual::Reloading | Actual::Starting => false,
                    };
                if waits {
                    self.drop_goal(other, Reason::Need(need));
                    failed.push(other);
                }
            }
        }
    }

    /// It shall stay what it is, and whoever waited is told why.
    fn drop_goal(&mut self, service: Index, reason: Reason<Index>) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.trouble = Some(reason);
        unit.again = false;
        if unit.actual == Actual::Reviving {
            unit.actual = Actual::Up;
            unit.ordered = false;
            unit.deadline = None;
        } else {
            unit.goal = false;
            unit.wanted = false;
        }
        self.changed(service, was);
        self.settle(service, Kind::Goal, News::Failed(reason));
    }

    /// It does not stop: it stays up, and so does what it needs.
    pub(super) fn stays_up(&mut self, service: Index, reason: Reason<Index>) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.again = false;
        unit.goal = true;
        unit.trouble = Some(reason);
        self.changed(service, was);
        self.settle(service, Kind::Goal, News::Failed(reason));
        self.keep_needs(service);
    }

    /// What it needs cannot be stopped while it is up.
    pub(super) fn keep_needs(&mut self, service: Index) {
        let mut kept = vec![service];
        while let Some(user) = kept.pop() {
            for at in 0..self.graph.needs(user).len() {
                let need = self.graph.needs(user)[at];
                let unit = &self.units[need as usize];
                let waits = (!unit.goal || unit.again)
                    && matches!(unit.actual, Actual::Up | Actual::Reviving | Actual::Reloading);
                if waits {
                    let reason = Reason::NeededBy(user);
                    let was = self.outline(need);
                    let unit = &mut self.units[need as usize];
                    unit.goal = true;
                    unit.again = false;
                    unit.trouble = Some(reason);
                    self.changed(need, was);
                    self.settle(need, Kind::Goal, News::Failed(reason));
                    kept.push(need);
                }
            }
        }
    }

    /// What others see of a service, to compare with after a change.
    pub(super) fn outline(&self, service: Index) -> (bool, bool) {
        let unit = &self.units[service as usize];
        (unit.met(), unit.holds_needs())
    }

    /// Tells the neighbours what has changed about a service and stores its byte.
    pub(super) fn changed(&mut self, service: Index, was: (bool, bool)) {
        let is = self.outline(service);
        let mut freed: Vec<Index> = Vec::new();
        if was.0 != is.0 {
            for &other in self.graph.needed_by(service) {
                let unit = &mut self.units[other as usize];
                unit.unmet = if is.0 { unit.unmet.saturating_sub(1) } else { unit.unmet + 1 };
                if unit.unmet == 0 || unit.actual.is_up() {
                    freed.push(other);
                }
            }
        }
        if was.1 != is.1 {
            for &other in self.graph.needs(service) {
                let live = &mut self.units[other as usize].live;
                *live = if is.1 { *live + 1 } else { live.saturating_sub(1) };
                if *live == 0 {
                    freed.push(other);
                }
            }
        }
        for other in freed {
            self.queue(other);
        }
        self.store(service);
        self.queue(service);
    }

    /// Stores the byte of a service where it has changed.
    pub(super) fn store(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        let byte = unit.to_byte();
        if byte != unit.byte {
            unit.byte = byte;
            self.actions.push(Action::Store { service, byte });
        }
    }
}
