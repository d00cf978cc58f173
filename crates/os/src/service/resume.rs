//! Going on where the program before this one stopped.

use engine::machine::Event;
use engine::service::init::{Init, Unit};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::bytes::Reader;
use model::service::request::Phase;

use crate::clock;
use crate::event_loop::Readiness;
use crate::service::held::{Held, Home};
use crate::service::settings;
use crate::service::table::{Found, Kind};
use crate::service::tree::{Tree, token};
use crate::trouble::Trouble;

impl Tree {
    /// Takes up every slot that the table remembers: their processes run on,
    /// their descriptors are open. What cannot be taken up is in the answer.
    pub fn resume(&mut self, init: &mut Init, found: Vec<Found>) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        for live in found.iter().filter(|found| found.kind == Kind::Live) {
            if let Err(trouble) = self.resume_live(live) {
                troubles.push(trouble);
            }
        }
        let mut slots = Vec::new();
        for found in found.iter().filter(|found| found.kind == Kind::Slot) {
            match self.resume_slot(init, found) {
                Some(slot) => slots.push((slot, found)),
                None => troubles.push(Trouble {
                    what: format!("go on with {}", found.name),
                    error: std::io::Error::other("its place in the database is gone"),
                }),
            }
        }
        self.resume_joints();
        for (slot, found) in slots {
            let Some(state) = init.unit(slot).map(|unit| *unit.state()) else { continue };
            let unheard = !matches!(state.phase, Phase::Down | Phase::Waiting) && state.pid == 0;
            let pid = if unheard { found.pid } else { state.pid };
            if pid != 0 {
                self.process(pid, slot);
            }
            init.resume(clock::now(), slot, pid, self);
            if found.line && init.unit(slot).is_some_and(|unit| unit.state().phase == Phase::Up) {
                init.event(clock::now(), slot, Event::Notified, self);
            }
        }
        troubles
    }

    fn resume_slot(&mut self, init: &mut Init, found: &Found) -> Option<u32> {
        let mut held = Held::from_fixed(&found.fixed, &found.name);
        held.record = found.record;
        held.dates = found.dates;
        if !self.resume_service(&mut held) {
            self.table.remove(found.record);
            return None;
        }
        if held.home == Home::Scandir && !held.oneshot {
            held.plain = Some(Box::new(settings::read(self.base(&held), ".")));
        }
        let mut state = Reader::new(&found.state);
        let unit = match &self.settings(&held) {
            Some(longrun) => {
                Unit::Longrun(Supervisor::load(Rules::from(longrun), &mut state).ok()?)
            }
            None => Unit::Oneshot(Runner::load(&mut state).ok()?),
        };
        let slot = held.slot;
        if !init.restore(slot, unit) {
            return None;
        }
        if let Some(control) = &held.control {
            let token = token::CONTROL | u64::from(slot);
            let _ = self.events.add(control, token, Readiness::IN);
        }
        if let Some(notify) = &held.notify {
            let _ = self.events.add(notify, token::NOTIFY | u64::from(slot), Readiness::IN);
        }
        if held.pipe.is_some() {
            self.new_pipes.push(slot);
        }
        self.keep(held);
        Some(slot)
    }
}
