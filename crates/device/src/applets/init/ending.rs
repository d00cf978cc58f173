//! How a tree comes down: the orders of `engine::service::ending`, carried out.

use engine::machine::Event;
use engine::service::ending::{Class, Ending, Order, View};
use model::service::request::{End, FromInit, Slot};
use os::clock;
use os::sys::children;

use super::program::Program;
use super::{Kind, early};

impl Program {
    /// Whether this is pid 1 of a machine (or what looks like one).
    pub fn is_machine(&self) -> bool {
        self.first && self.config.kind == Kind::Init && !self.config.container
    }

    /// Begins to bring everything down, or changes how that is to end.
    pub fn shut_down(&mut self, end: End) {
        let end = match end {
            // What was prepared for is no end of the machine, so a container can do it as well.
            End::Reboot if self.may_levitate() => End::Maintenance,
            _ if !self.is_machine() => End::Exit,
            // The kernel does not survive the end of pid 1.
            End::Exit | End::Hard => End::Reboot,
            end => end,
        };
        if end == End::Maintenance && self.watchdog.is_none() {
            self.take_watchdog();
        }
        match &mut self.ending {
            Some(ending) => ending.set_end(end),
            None => {
                self.say(&format!("bringing everything down ({})", end_name(end)));
                self.tree.table.set_mode(end as u8 + 1);
                self.ending = Some(Ending::new(end, clock::now()));
            }
        }
    }

    /// Does what is next; the way the program ends once all is down.
    pub fn go_down(&mut self) -> Option<End> {
        let mut ending = self.ending.take()?;
        let mut finished = None;
        while let Some(order) = ending.next(clock::now(), &self.view()) {
            if ending.is_past_managers() {
                self.init.close();
            }
            match order {
                Order::AskManagers => self.ask_managers(),
                Order::Down(class) => {
                    self.tell_who_is_late(class);
                    self.bring_down(class);
                }
                Order::Kill(class) => self.kill(class),
                Order::SignalAll(signal) => children::kill_everyone(signal),
                Order::Finish(end) => {
                    finished = Some(end);
                    break;
                }
            }
        }
        self.ending = Some(ending);
        finished
    }

    fn of_class(&self, class: Class) -> Vec<Slot> {
        self.tree.all().filter(|held| held.class == class).map(|held| held.slot).collect()
    }

    fn alive(&self, class: Class) -> bool {
        self.tree.all().any(|held| {
            held.class == class && self.init.unit(held.slot).is_some_and(|unit| !unit.at_rest())
        })
    }

    fn view(&self) -> View {
        // A manager that is being restarted will connect and must be asked.
        let managers = self.alive(Class::Manager);
        let connected = self.server.as_ref().is_none_or(|server| server.has_manager());
        View {
            managers_away: managers && !connected && self.alive(Class::Service),
            managers_busy: self.server.as_ref().is_some_and(|server| server.busy()),
            services_alive: self.alive(Class::Service),
            readers_alive: self.alive(Class::Reader),
            managers_alive: managers,
            logger_alive: self.alive(Class::Logger),
            processes_alive: self.first && children::any(),
        }
    }

    fn ask_managers(&mut self) {
        let Some(server) = &mut self.server else { return };
        for client in server.clients() {
            client.ask_to_stop();
        }
    }

    fn bring_down(&mut self, class: Class) {
        for slot in self.of_class(class) {
            if class == Class::Reader {
                self.tree.let_finish(&mut self.init, slot);
            } else {
                for letter in *b"dx" {
                    self.init.event(clock::now(), slot, Event::Control(letter), &mut self.tree);
                }
                if self.tree.held(slot).is_some_and(|held| held.oneshot) {
                    self.init.event(clock::now(), slot, Event::Signal(15), &mut self.tree);
                }
            }
        }
    }

    /// Services that are up once the managers had their time are ended out of order: what others of them have
    /// made may stay behind.
    fn tell_who_is_late(&mut self, class: Class) {
        if class != Class::Service || !self.alive(Class::Manager) {
            return;
        }
        let mut text = "ended out of order, as they did not come down in time:".to_owned();
        for held in self.tree.all().filter(|held| held.class == class) {
            if self.init.unit(held.slot).is_some_and(|unit| !unit.at_rest()) {
                text += " ";
                text += &held.name;
            }
        }
        if self.is_machine() {
            early::say(&text);
        }
        self.say(&text);
    }

    fn kill(&mut self, class: Class) {
        for slot in self.of_class(class) {
            self.init.event(clock::now(), slot, Event::Kill, &mut self.tree);
        }
    }
}

impl super::server::Client {
    /// Asks a manager to bring its services down.
    pub fn ask_to_stop(&mut self) {
        if matches!(self.part, super::server::Part::Manager { .. }) && !self.busy {
            self.busy = true;
            self.tell(&FromInit::StopAll);
        }
    }
}

pub fn end_name(end: End) -> &'static str {
    match end {
        End::Reboot | End::Hard => "reboot",
        End::Maintenance => "into maintenance",
        End::PowerOff => "power off",
        End::Halt => "halt",
        End::Exit => "exit",
    }
}

/// The end that the table's mode byte speaks of.
pub fn end_of_mode(mode: u8) -> Option<End> {
    let all = [End::Reboot, End::PowerOff, End::Halt, End::Exit, End::Maintenance];
    all.into_iter().find(|e| *e as u8 + 1 == mode)
}
