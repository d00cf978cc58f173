//! Oneshots: one script at a time, each with a ticket of its own.

use model::service::database::{Index, Script};
use model::service::live_state::TICKET_SCRIPT_BITS;
use model::service::reason::Reason;
use model::service::request::GaveUp;
use model::service::status::Exit;

use super::links::{Kind, NONE};
use super::{Action, Actual, Manager, News, SCRIPT_KILL_WAIT};

/// `EINTR`: init fell before the script began.
const INTERRUPTED: u16 = 4;
/// How often such a script is tried again.
const TRIES_MAX: u8 = 3;

const SIGTERM: u8 = 15;
const SIGKILL: u8 = 9;

/// The ticket of the script that is run after the one with ticket `last`.
pub(super) fn next_ticket(last: u32, script: Script) -> u32 {
    let number = (last >> TICKET_SCRIPT_BITS).wrapping_add(1) & (u32::MAX >> TICKET_SCRIPT_BITS);
    number.max(1) << TICKET_SCRIPT_BITS | script as u32
}

/// What a ticket was given for.
pub(super) fn script_of(ticket: u32) -> u32 {
    ticket & ((1 << TICKET_SCRIPT_BITS) - 1)
}

impl Manager {
    /// Runs a script as soon as none runs. The new ticket is stored before
    /// init can hear of it, so that another manager recognises it.
    pub(super) fn begin_script(&mut self, service: Index, script: Script, was: (bool, bool)) {
        let unit = &mut self.units[service as usize];
        let (actual, limit) = match script {
            Script::Up => (Actual::Starting, self.graph.timeout_up(service)),
            Script::Down => (Actual::Stopping, self.graph.timeout_down(service)),
            Script::Reload => (Actual::Reloading, self.graph.timeout_up(service)),
        };
        unit.actual = actual;
        unit.ticket = next_ticket(unit.state.ticket, script);
        unit.sent = false;
        unit.late = false;
        unit.tries = 0;
        self.changed(service, was);
        self.set_deadline(service, limit);
        self.pursue_script(service);
    }

    pub(super) fn pursue_script(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        if unit.ticket == 0 {
            return;
        }
        if unit.state.ticket == unit.ticket {
            if !unit.busy() {
                self.script_ended(service);
            }
            return;
        }
        match unit.actual {
            Actual::Starting | Actual::Stopping | Actual::Reloading
                if !unit.sent && !unit.busy() =>
            {
                unit.sent = true;
                let (ticket, script) = (unit.ticket, script_at(unit.actual));
                self.actions.push(Action::Run { service, script, ticket });
            }
            // Given up before init had heard of it.
            Actual::Failing if !unit.sent => self.script_over(service, Actual::Down),
            Actual::Lingering if !unit.sent => self.still_up(service),
            _ => {}
        }
    }

    fn script_ended(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        let result = match (unit.state.gave_up, unit.state.exit) {
            (Some(GaveUp::Spawn(errno)), _) => Err(Reason::Spawn(errno)),
            (_, Some(Exit::Code(0))) => Ok(()),
            (_, Some(exit)) => Err(Reason::Script(exit)),
            (_, None) => Err(Reason::Spawn(INTERRUPTED)),
        };
        let running =
            matches!(unit.actual, Actual::Starting | Actual::Stopping | Actual::Reloading);
        if result == Err(Reason::Spawn(INTERRUPTED)) && running && unit.tries < TRIES_MAX {
            unit.tries += 1;
            unit.ticket = next_ticket(unit.ticket, script_at(unit.actual));
            unit.sent = false;
            self.store(service);
            return self.pursue_script(service);
        }
        match (unit.actual, result) {
            (Actual::Starting, Ok(())) => self.script_over(service, Actual::Up),
            (Actual::Starting, Err(reason)) => {
                self.abandon(service, reason);
                self.script_over(service, Actual::Down);
            }
            (Actual::Stopping, Ok(())) | (Actual::Failing, _) => {
                self.script_over(service, Actual::Down);
            }
            (Actual::Stopping, Err(reason)) => {
                self.not_stopped(service, reason);
                self.script_over(service, Actual::Up);
            }
            // Late, but stopped.
            (Actual::Lingering, Ok(())) => self.script_over(service, Actual::Down),
            (Actual::Lingering, Err(_)) => self.still_up(service),
            (Actual::Reloading, result) => {
                self.script_over(service, Actual::Up);
                let news = result.map_or_else(News::Failed, |()| News::Reloaded);
                self.reloaded(service, news);
            }
            (Actual::Down | Actual::Up | Actual::Reviving, _) => {}
        }
    }

    /// No script runs any more: the service is up or down.
    pub(super) fn script_over(&mut self, service: Index, actual: Actual) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.actual = actual;
        unit.late = false;
        self.changed(service, was);
        self.units[service as usize].ticket = 0;
        self.reached(service);
    }

    /// The down script failed: the service stays up, unless it was to come
    /// back anyway.
    fn not_stopped(&mut self, service: Index, reason: Reason<Index>) {
        let unit = &self.units[service as usize];
        if !unit.goal || unit.again {
            self.stays_up(service, reason);
        }
    }

    /// The down script was cut off and did not do its work. If nobody asks
    /// for another try, the service is to stay up.
    fn still_up(&mut self, service: Index) {
        let unit = &mut self.units[service as usize];
        unit.goal |= unit.waiters == NONE;
        self.script_over(service, Actual::Up);
    }

    /// The time of a script is over.
    pub(super) fn script_overdue(&mut self, service: Index) {
        let up = Reason::ScriptTimeout(self.graph.timeout_up(service));
        let down = Reason::ScriptTimeout(self.graph.timeout_down(service));
        let unit = &mut self.units[service as usize];
        let late = core::mem::replace(&mut unit.late, true);
        match unit.actual {
            Actual::Starting => {
                unit.late = false;
                self.abandon(service, up);
                self.end_script(service, Actual::Failing);
            }
            Actual::Stopping => {
                unit.late = false;
                let was = self.outline(service);
                let unit = &mut self.units[service as usize];
                if !unit.goal || unit.again {
                    unit.again = false;
                    unit.trouble = Some(down);
                    self.changed(service, was);
                    self.settle(service, Kind::Goal, News::Failed(down));
                    self.keep_needs(service);
                }
                self.end_script(service, Actual::Lingering);
            }
            // Init has not even heard of it.
            Actual::Failing | Actual::Lingering if unit.state.ticket != unit.ticket => {
                unit.late = late;
                self.set_deadline(service, SCRIPT_KILL_WAIT);
            }
            Actual::Failing | Actual::Lingering => {
                unit.late = late;
                let was = self.outline(service);
                self.units[service as usize].late = true;
                self.changed(service, was);
                self.actions.push(Action::Signal { service, signal: SIGKILL });
            }
            Actual::Reloading if !late => {
                self.settle(service, Kind::Reload, News::Failed(up));
                self.actions.push(Action::Signal { service, signal: SIGTERM });
                self.set_deadline(service, SCRIPT_KILL_WAIT);
            }
            Actual::Reloading => self.actions.push(Action::Signal { service, signal: SIGKILL }),
            Actual::Down | Actual::Up | Actual::Reviving => {}
        }
    }

    /// Ends a script: SIGTERM now, SIGKILL later.
    fn end_script(&mut self, service: Index, next: Actual) {
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.actual = next;
        let never_ran = !unit.sent && unit.state.ticket != unit.ticket;
        self.changed(service, was);
        if !never_ran {
            self.actions.push(Action::Signal { service, signal: SIGTERM });
            self.set_deadline(service, SCRIPT_KILL_WAIT);
        }
        self.pursue_script(service);
    }

    /// A signal that was on its way when the connection broke is lost: the
    /// script that is being ended is told once more.
    pub(super) fn end_script_again(&mut self, service: Index) {
        let unit = &self.units[service as usize];
        let ends = match unit.actual {
            Actual::Failing | Actual::Lingering => true,
            Actual::Reloading => unit.late,
            _ => false,
        };
        if !unit.oneshot || !ends || !unit.busy() || unit.state.ticket != unit.ticket {
            return;
        }
        let was = self.outline(service);
        let unit = &mut self.units[service as usize];
        unit.late = unit.actual == Actual::Reloading;
        self.changed(service, was);
        self.actions.push(Action::Signal { service, signal: SIGTERM });
        self.set_deadline(service, SCRIPT_KILL_WAIT);
    }

    /// Everybody who waited for a reload is told; those who asked while it
    /// ran want another.
    fn reloaded(&mut self, service: Index, news: News) {
        self.settle(service, Kind::Reload, news);
        if self.promote_reloads(service) {
            if self.units[service as usize].actual == Actual::Up {
                let was = self.outline(service);
                self.begin_script(service, Script::Reload, was);
            } else {
                self.settle(service, Kind::Reload, News::Failed(Reason::NotUp));
            }
        }
    }
}

fn script_at(actual: Actual) -> Script {
    match actual {
        Actual::Stopping | Actual::Lingering => Script::Down,
        Actual::Reloading => Script::Reload,
        _ => Script::Up,
    }
}
