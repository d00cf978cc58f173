//! Beginning, and beginning again: after the manager was killed, and after
//! the connection to init was lost.

use alloc::vec::Vec;

use model::service::database::{Index, Script};
use model::service::live_state::{RUN_SHIFT, TICKET_SCRIPT_BITS};
use model::service::reason::Reason;

use super::links::Kind;
use super::script::{next_ticket, script_of};
use super::unit::Unit;
use super::{Actual, Along, Manager, News, Timer};

/// More than one manager can have given without init hearing of any.
const ORDERS_ON_THEIR_WAY_MAX: u32 = 1 << 16;

impl Manager {
    /// Every service as its byte says.
    pub(super) fn restore(&mut self, bytes: &[u8]) {
        for index in 0..self.graph.len() {
            let byte = bytes.get(index).copied().unwrap_or(0);
            let oneshot = !self.graph.is_longrun(index as Index);
            self.units.push(Unit::restore(byte, oneshot));
        }
        // What comes back takes along what was only wanted for its sake: that
        // is written nowhere.
        let is_wanted = |index: &Index| self.units[*index as usize].goal;
        let wanted: Vec<Index> = (0..self.graph.len() as Index).filter(is_wanted).collect();
        for &need in self.graph.closure(&wanted, Along::Needs).members() {
            self.units[need as usize].goal = true;
        }
        for index in 0..self.graph.len() as Index {
            let count = |found: &dyn Fn(&Unit) -> bool, list: &[Index]| {
                list.iter().filter(|&&other| found(&self.units[other as usize])).count() as u32
            };
            let unmet = count(&|unit| !unit.met(), self.graph.needs(index));
            let live = count(&Unit::holds_needs, self.graph.needed_by(index));
            self.units[index as usize].unmet = unmet;
            self.units[index as usize].live = live;
        }
    }

    pub(super) fn slot(&mut self, service: Index) {
        self.units[service as usize].has_slot = true;
    }

    /// Nothing that was ordered is certain any more, and nothing new is known.
    pub(super) fn lost(&mut self) {
        self.connected = false;
        for unit in &mut self.units {
            unit.has_slot = false;
            unit.asked = None;
            unit.confirmed = false;
            unit.sent = false;
        }
    }

    /// Compares what init says with what is wanted, service by service.
    pub(super) fn welcome(&mut self) {
        let first = !core::mem::replace(&mut self.resumed, true);
        self.connected = true;
        if first {
            // Beyond all orders of the manager before: its last ones may be
            // on their way still.
            let longruns = self.units.iter().filter(|unit| !unit.oneshot);
            let highest = longruns.map(|unit| unit.state.ticket).max().unwrap_or(0);
            self.last_order = highest.wrapping_add(ORDERS_ON_THEIR_WAY_MAX);
        }
        let mut unsettled = Vec::new();
        for service in 0..self.graph.len() as Index {
            let unit = &mut self.units[service as usize];
            if unit.settled() && unit.unmet == 0 && (self.graph.is_longrun(service) || !first) {
                continue;
            }
            unsettled.push(service);
            if let Some(at) = unit.deadline {
                self.add_timer(at, Timer::Service(service));
            } else if first {
                self.set_first_deadline(service);
            }
            if !self.units[service as usize].has_slot {
                self.without_slot(service);
            } else if first && !self.graph.is_longrun(service) {
                self.recognise(service);
            }
            // Before any order: what is needed must not be told to stop first.
            self.end_script_again(service);
        }
        unsettled.sort_by_key(|&service| self.units[service as usize].actual != Actual::Failing);
        for service in unsettled {
            self.pursue(service);
            self.queue(service);
        }
        for service in 0..self.graph.len() as Index {
            self.reload_now(service);
        }
        for service in 0..self.graph.len() as Index {
            self.serves(service);
        }
    }

    /// A new manager cannot know how long it has been going on.
    fn set_first_deadline(&mut self, service: Index) {
        let limit = match self.units[service as usize].actual {
            Actual::Starting => self.graph.timeout_up(service),
            Actual::Failing | Actual::Stopping => self.graph.timeout_down(service),
            _ => return,
        };
        self.set_deadline(service, limit);
    }

    /// Init does not hold a service (any more): nothing of it runs.
    fn without_slot(&mut self, service: Index) {
        let longrun = self.graph.is_longrun(service);
        match self.units[service as usize].actual {
            Actual::Starting => {
                self.abandon(service, Reason::Unknown);
                self.script_over(service, Actual::Down);
            }
            Actual::Reviving => self.abandon(service, Reason::Unknown),
            Actual::Failing => self.script_over(service, Actual::Down),
            Actual::Stopping | Actual::Lingering if longrun => {
                self.script_over(service, Actual::Down);
            }
            Actual::Stopping | Actual::Lingering => {
                self.stays_up(service, Reason::Unknown);
                self.script_over(service, Actual::Up);
            }
            Actual::Reloading => {
                self.script_over(service, Actual::Up);
                self.settle(service, Kind::Reload, News::Failed(Reason::Unknown));
                self.promote_reloads(service);
                self.settle(service, Kind::Reload, News::Failed(Reason::Unknown));
            }
            Actual::Down | Actual::Up => {}
        }
    }

    /// A script that an earlier manager ordered: whether init has heard of it
    /// is told by the number of the run.
    fn recognise(&mut self, service: Index) {
        let unit = &self.units[service as usize];
        let last = unit.state.ticket;
        let stored = u32::from(unit.byte >> RUN_SHIFT);
        let low_bits = |ticket: u32| (ticket >> TICKET_SCRIPT_BITS) & 3;
        let arrived =
            |script| last != 0 && low_bits(last) == stored && script_of(last) == script as u32;
        let ticket = match unit.actual {
            Actual::Starting if arrived(Script::Up) => last,
            Actual::Starting => next_ticket(last, Script::Up),
            Actual::Stopping if arrived(Script::Down) => last,
            Actual::Stopping => next_ticket(last, Script::Down),
            Actual::Failing if unit.busy() => last,
            Actual::Up if unit.busy() && script_of(last) == Script::Reload as u32 => last,
            Actual::Up if low_bits(next_ticket(last, Script::Reload)) == stored => {
                if !self.graph.has_script(service, Script::Reload) {
                    return;
                }
                next_ticket(last, Script::Reload)
            }
            Actual::Failing => return self.script_over(service, Actual::Down),
            _ => return,
        };
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.ticket = ticket;
        let limit = match unit.actual {
            Actual::Up => {
                unit.actual = Actual::Reloading;
                self.graph.timeout_up(service)
            }
            _ => return self.store(service),
        };
        self.changed(service, was);
        self.set_deadline(service, limit);
    }
}
