//! What clients of init ask, and what it tells them.

use std::os::fd::AsFd;
use std::path::Path;

use engine::machine::{Event, World};
use engine::service::init::Unit;
use model::limits::MESSAGE_BYTES_MAX;
use model::service::request::{FromInit, Slot, ToInit};
use os::event_loop::Readiness;
use os::service::held::Home;
use os::sys::crash;

use super::program::Program;
use super::server::{OWN_SLOT, Part, messages, part_of, same_protocol};

impl Program {
    pub fn hear_client(&mut self, event: u64, readiness: Readiness) {
        let Some(server) = &mut self.server else { return };
        let Some(number) = server.client_of(event) else {
            return server.accept(&self.tree.events, os::clock::now());
        };
        if !readiness.intersects(Readiness::IN | Readiness::HUP | Readiness::ERR) {
            return; // There is room to write, which the next flush uses.
        }
        // One in a turn: services and others are waiting.
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(MESSAGE_BYTES_MAX, 0);
        if let Some(length) = server.receive(number, &mut buffer)
            && !messages(&buffer[..length], |message| self.obey(number, message))
            && let Some(server) = &mut self.server
        {
            server.drop(number);
        }
        self.buffer = buffer;
    }

    fn part(&mut self, number: usize) -> Option<Part> {
        self.server.as_mut()?.client(number).map(|client| client.part)
    }

    fn obey(&mut self, number: usize, message: ToInit<'_>) {
        let Some(part) = self.part(number) else { return };
        match (part, message) {
            (Part::Unknown, ToInit::Hello { protocol, role }) => {
                let part = part_of(role, |live| self.tree.find_live(live));
                match part.filter(|_| same_protocol(protocol)) {
                    Some(part) => self.greet(number, part),
                    None => self.reply(number, "this init does not serve that"),
                }
            }
            (Part::Manager { live }, ToInit::Want { slot, up, ticket })
                if self.owns(live, slot) =>
            {
                if let Some(Unit::Longrun(supervisor)) = self.init.unit_mut(slot) {
                    supervisor.set_ticket(ticket);
                }
                let letter = if up { b'U' } else { b'D' };
                self.init.event(os::clock::now(), slot, Event::Control(letter), &mut self.tree);
            }
            (Part::Manager { live }, ToInit::Run { slot, script, ticket })
                if self.owns(live, slot) =>
            {
                let event = Event::Run { script, ticket };
                self.init.event(os::clock::now(), slot, event, &mut self.tree);
            }
            (Part::Manager { live }, ToInit::Signal { slot, signal }) if self.owns(live, slot) => {
                self.init.event(os::clock::now(), slot, Event::Signal(signal), &mut self.tree);
            }
            (Part::Manager { .. }, ToInit::AllDown) => {
                if let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) {
                    client.busy = false;
                }
            }
            (Part::Manager { .. } | Part::Client, ToInit::Take { live, previous }) => {
                self.take(number, live, previous);
            }
            (Part::Manager { .. } | Part::Client, ToInit::Release { live }) => {
                let outcome = self.tree.release(&mut self.init, live);
                self.answer(number, outcome.map_err(|trouble| trouble.to_string()));
            }
            (Part::Logger, ToInit::Writing { millis }) => self.relief.logger_writes(millis),
            (Part::Client, ToInit::Shutdown { end }) => {
                self.shut_down(end);
                self.reply(number, "");
            }
            (Part::Client, ToInit::Reexec { program }) => self.reexec(number, program),
            (Part::Client, ToInit::WatchdogTaken) => {
                // It goes on running: whoever asks has it, too.
                self.watchdog = None;
                self.reply(number, "");
            }
            (Part::Client, ToInit::Fault) => crash::fault(),
            _ => self.reply(number, "that cannot be asked for here"),
        }
    }

    fn owns(&self, live: u8, slot: Slot) -> bool {
        self.tree
            .held(slot)
            .is_some_and(|held| matches!(held.home, Home::Live { live: of, .. } if of == live))
    }

    fn reply(&mut self, number: usize, error: &str) {
        if let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) {
            client.tell(&FromInit::Reply { error });
        }
    }

    fn answer(&mut self, number: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.reply(number, ""),
            Err(error) => self.reply(number, &error),
        }
    }

    /// Tells a new client all that its part is about.
    fn greet(&mut self, number: usize, part: Part) {
        if let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) {
            client.part = part;
        }
        match part {
            Part::Manager { live } => {
                self.tell_all(number, live);
                if self.ending.is_some()
                    && let Some(client) = self.server.as_mut().and_then(|s| s.client(number))
                {
                    client.ask_to_stop();
                }
            }
            Part::Logger => {
                self.tree.new_pipes.clear();
                self.tree.late.take_pipes();
                self.tree.ended_pipes.clear();
                let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) else {
                    return;
                };
                if self.voice.is_some() {
                    client.tell(&FromInit::Pipe { slot: OWN_SLOT, name: "init" });
                }
                for held in self.tree.all().filter(|held| held.pipe.is_some()) {
                    client.tell(&FromInit::Pipe { slot: held.slot, name: &held.name });
                }
                self.tell_losses(number);
                if let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) {
                    client.welcome();
                }
            }
            Part::Client | Part::Unknown => {}
        }
    }

    /// Tells a manager every slot of its live directory.
    fn tell_all(&mut self, number: usize, live: u8) {
        let Some(served) = self.tree.live(live) else { return };
        let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) else {
            return;
        };
        for &slot in &served.slots {
            if let Some(held) = self.tree.held(slot) {
                client.tell(&FromInit::Slot { slot, longrun: !held.oneshot, name: &held.name });
            }
        }
        for &slot in &served.slots {
            if let Some(unit) = self.init.unit(slot) {
                client.tell_state(slot, *unit.state());
            }
        }
        client.welcome();
    }

    fn take(&mut self, number: usize, live: &str, previous: Option<&str>) {
        let before = previous.and_then(|previous| self.tree.find_live(previous));
        let taken = self.tree.take(&mut self.init, live, previous);
        let new = match taken {
            Ok(new) => new,
            Err(trouble) => return self.reply(number, &trouble.to_string()),
        };
        self.reply(number, "");
        let mut heirs = Vec::new();
        for (number, client) in self.server.iter_mut().flat_map(|server| server.clients_numbered())
        {
            if before.is_some_and(|old| client.part == Part::Manager { live: old }) {
                client.part = Part::Manager { live: new };
                heirs.push(number);
            }
        }
        for heir in heirs {
            self.tell_all(heir, new);
        }
    }

    /// Starts this program, or a newer one, in place of itself.
    fn reexec(&mut self, number: usize, program: Option<&str>) {
        let path = program.unwrap_or("/proc/self/exe");
        self.reply(number, "");
        self.publish_late();
        self.publish();
        let error = crash::execute_program(Path::new(path));
        self.say(&format!("cannot start {path} in place of this program: {error}"));
    }

    /// Tells everyone what has changed.
    pub fn publish(&mut self) {
        let changed = self.init.changed();
        for &slot in &changed {
            if let Some(unit) = self.init.unit(slot)
                && self.tree.may_wait(slot, unit)
            {
                self.tree.save(slot, unit);
                self.tree.late.add(slot, os::clock::now());
            } else {
                self.tell_of(slot);
                self.publish_slot(slot, false);
            }
        }
        self.init.reuse(changed);
        for note in std::mem::take(&mut self.tree.notes) {
            self.say(&note);
        }
        if self.ending.is_some() {
            self.hurry_pipes();
        }
        if !self.tree.left.is_empty() {
            // What a slot has said is handed over before it goes.
            self.hurry_pipes();
            self.tell_pipes();
            self.flush();
            self.say_farewell();
        }
        self.tell_pipes();
        self.flush();
    }

    fn flush(&mut self) {
        let Some(server) = &mut self.server else { return };
        let (tree, voice) = (&self.tree, &self.voice);
        server.flush(&tree.events, &|slot| {
            let pipe = match slot {
                OWN_SLOT => voice.as_ref(),
                _ => tree.held(slot).and_then(|held| held.pipe.as_ref()),
            };
            pipe.map(|pipe| pipe.reader.as_fd())
        });
    }

    /// Pipes that the logger was to get later it gets with the next messages.
    fn hurry_pipes(&mut self) {
        let mut late = self.tree.late.take_pipes();
        self.tree.new_pipes.append(&mut late);
    }

    /// Tells what was left for later.
    pub fn publish_late(&mut self) {
        self.hurry_pipes();
        for slot in self.tree.late.take() {
            if self.tree.held(slot).is_some_and(|held| !held.events.letters().is_empty()) {
                self.tell_of(slot);
            }
            self.publish_slot(slot, true);
        }
    }

    fn publish_slot(&mut self, slot: Slot, now: bool) {
        if let Some(unit) = self.init.unit(slot) {
            self.tree.publish(slot, unit, now);
        }
    }

    /// Tells the manager of a slot.
    fn tell_of(&mut self, slot: Slot) {
        let (Some(unit), Some(held)) = (self.init.unit(slot), self.tree.held(slot)) else { return };
        let Home::Live { live, .. } = held.home else { return };
        let Some(server) = &mut self.server else { return };
        for client in server.clients().filter(|client| client.part == (Part::Manager { live })) {
            client.tell_state(slot, *unit.state());
        }
    }

    /// Forgets the slots whose supervision has ended.
    fn say_farewell(&mut self) {
        for slot in std::mem::take(&mut self.tree.left) {
            if self.init.unit(slot).is_some_and(|unit| !unit.at_rest()) {
                self.tree.left.push(slot);
            } else if self.ending.is_none() && self.tree.is_counted_on(slot) {
                self.init.stay(os::clock::now(), slot, &mut self.tree);
            } else {
                self.init.remove(slot);
                self.tree.forget(slot);
            }
        }
    }

    /// Hands the pipes that are new, or have another name, to the logger, and
    /// tells it which are no more.
    fn tell_pipes(&mut self) {
        let ended = std::mem::take(&mut self.tree.ended_pipes);
        let new = std::mem::take(&mut self.tree.new_pipes);
        let Some(server) = &mut self.server else { return };
        for client in server.clients().filter(|client| client.part == Part::Logger) {
            for &slot in &ended {
                client.tell(&FromInit::PipeEnded { slot });
            }
            for &slot in &new {
                if let Some(held) = self.tree.held(slot) {
                    client.tell(&FromInit::Pipe { slot, name: &held.name });
                }
            }
        }
    }
}
