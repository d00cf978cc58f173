//! Going on where the program before this one stopped.

use engine::machine::Event;
use engine::service::init::{Init, Unit};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::bytes::Reader;
use model::service::request::{Phase, Slot};

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
        let lives: Vec<u8> = found.iter().filter_map(Found::live).collect();
        let (mut slots, mut homeless) = (Vec::new(), Vec::new());
        for found in found.iter().filter(|found| found.kind == Kind::Slot) {
            if self.held(found.fixed.slot).is_some() {
                // It was being given another name: both records say the same.
                self.table.remove(found.record);
                continue;
            }
            match self.resume_slot(init, found, &lives) {
                Some((slot, placed)) => {
                    slots.push((slot, found));
                    homeless.extend((!placed).then_some(slot));
                }
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
        troubles.extend(self.settle_all_in(init));
        for slot in homeless {
            self.dismiss(init, slot);
        }
        troubles
    }

    /// Takes up one slot; `false`: its live directory was given up already, and
    /// it only has to end.
    fn resume_slot(
        &mut self,
        init: &mut Init,
        found: &Found,
        lives: &[u8],
    ) -> Option<(Slot, bool)> {
        let mut held = Held::from_fixed(&found.fixed, &found.name);
        held.record = found.record;
        held.dates = found.dates;
        let placed = self.resume_service(&mut held);
        if !placed && matches!(held.home, Home::Live { live, .. } if lives.contains(&live)) {
            self.table.remove(found.record);
            return None;
        }
        if held.home == Home::Scandir && !held.oneshot {
            held.plain = Some(Box::new(settings::read(self.base(&held), ".")));
        }
        let mut state = Reader::new(&found.state);
        let unit = match self.settings(&held) {
            _ if held.oneshot => Unit::Oneshot(Runner::load(&mut state).ok()?),
            longrun => {
                let rules = Rules::from(&longrun.unwrap_or_default());
                Unit::Longrun(Supervisor::load(rules, &mut state).ok()?)
            }
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
        Some((slot, placed))
    }
}
