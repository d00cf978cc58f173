//! Holds what init does against the laws, as it does it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::machine::Program;
use engine::service::ending::Class;
use model::service::database::{Contents, Index, Kind, Longrun, Script};
use model::service::live_state::is_up;
use model::service::request::{Phase, Slot, SlotState};
use model::service::status::Exit;
use model::time::Moment;

use crate::laws::{Law, broken};
use crate::linux::Linux;

/// What was seen of a service of the graph.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    slot: Option<Slot>,
    /// Since its last start it has served, and it was not told to stop.
    served: bool,
    /// It had served when its down script was ordered.
    serves_still: bool,
    /// Since when it is ordered down.
    down_since: Option<Moment>,
    /// Somebody gave it orders behind the manager's back.
    meddled: bool,
}

/// What was seen of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    started: Option<Moment>,
    /// It was told `once` since.
    once: bool,
    /// When its program could not be started, unless it was told to since.
    failed: Option<Moment>,
}

/// The least time from one start that fails to the next try.
const RETRY_MIN: Duration = Duration::from_secs(1);

pub struct Judge {
    pub contents: Contents,
    services: Vec<Service>,
    slots: BTreeMap<Slot, Seen>,
    /// How often the script of each order was run.
    runs: BTreeMap<(Slot, u32), u32>,
    /// Classes that were told to go, since init last began.
    told_to_go: Vec<Class>,
}

impl Judge {
    pub fn new(contents: Contents) -> Self {
        let services = vec![Service::default(); contents.services.len()];
        let (slots, runs) = (BTreeMap::new(), BTreeMap::new());
        Self { contents, services, slots, runs, told_to_go: Vec::new() }
    }

    pub fn is_longrun(&self, service: usize) -> bool {
        matches!(self.contents.services[service].kind, Kind::Longrun(_))
    }

    pub fn longrun(&self, service: usize) -> Option<&Longrun> {
        match &self.contents.services[service].kind {
            Kind::Longrun(longrun) => Some(longrun),
            Kind::Oneshot(_) => None,
        }
    }

    fn has_script(&self, service: usize, script: Script) -> bool {
        match &self.contents.services[service].kind {
            Kind::Longrun(_) => false,
            Kind::Oneshot(oneshot) if script == Script::Up => !oneshot.up.is_empty(),
            Kind::Oneshot(oneshot) => !oneshot.down.is_empty(),
        }
    }

    /// This slot holds that service from now on.
    pub fn settle_in(&mut self, service: usize, slot: Slot) {
        self.services[service].slot = Some(slot);
        self.runs.retain(|(of, _), _| *of != slot);
        self.slots.remove(&slot);
    }

    /// It has served, or has nothing to do on its way up.
    pub fn has_served(&self, service: usize) -> bool {
        let empty = !self.is_longrun(service) && !self.has_script(service, Script::Up);
        self.services[service].served || empty
    }

    /// Somebody gives a slot a letter of the control language.
    pub fn letter(&mut self, slot: Slot, service: Option<usize>, letter: u8) {
        let seen = self.slots.entry(slot).or_default();
        seen.once |= letter == b'o';
        if matches!(letter, b'u' | b'U' | b'o') {
            seen.failed = None;
        }
        if let Some(service) = service {
            self.services[service].meddled = true;
        }
    }

    /// The manager stores a byte.
    pub fn stored(&self, service: Index, old: u8, new: u8) {
        if is_up(new) && !is_up(old) && !self.has_served(service as usize) {
            broken(Law::ServedOnce, format!("s{service} counts as up and has never served"));
        }
    }

    /// Init tries to start `run`, perhaps in vain.
    pub fn tries(&mut self, linux: &Linux, slot: Slot, fails: bool) {
        let seen = self.slots.entry(slot).or_default();
        let before = std::mem::replace(&mut seen.failed, fails.then_some(linux.now));
        if let Some(before) = before.filter(|at| linux.now < *at + RETRY_MIN) {
            let after = linux.now - before;
            broken(
                Law::Gap,
                format!("slot {slot} could not start and tries again after {after:?}"),
            );
        }
    }

    /// Init has started a program.
    pub fn started(
        &mut self,
        linux: &Linux,
        (slot, class): (Slot, Class),
        service: Option<usize>,
        longrun: Option<&Longrun>,
        program: Program,
    ) {
        if matches!(program, Program::Finish { .. }) {
            return;
        }
        if self.told_to_go.contains(&class) {
            broken(Law::NoStartAtEnd, format!("slot {slot}, a {class:?}, starts {program:?}"));
        }
        if let Some(longrun) = longrun {
            let seen = self.slots.entry(slot).or_default();
            let once = std::mem::take(&mut seen.once);
            let before = seen.started.replace(linux.now);
            let earliest = before.map(|at| at + longrun.restart_wait);
            if !once && earliest.is_some_and(|earliest| linux.now < earliest) {
                let (before, now) = (before.unwrap_or_default(), linux.now);
                broken(Law::Gap, format!("slot {slot} starts again after {:?}", now - before));
            }
        }
        let Some(service) = service else { return };
        let seen = &mut self.services[service];
        match program {
            Program::Script(Script::Down) => seen.serves_still = std::mem::take(&mut seen.served),
            Program::Script(Script::Up) => seen.serves_still = false,
            _ => {}
        }
        if !matches!(program, Program::Run | Program::Script(Script::Up)) {
            return;
        }
        if self.services[service].meddled {
            return;
        }
        for &need in &self.contents.services[service].needs {
            let need = need as usize;
            let serves = self.has_served(need) && is_up(linux.state[need]);
            if !serves && !self.services[need].meddled {
                broken(
                    Law::NeedsFirst,
                    format!("s{service} starts before s{need}, which it needs, is ready"),
                );
            }
        }
    }

    /// Init begins to run a script that was ordered.
    pub fn run(&mut self, slot: Slot, ticket: u32) {
        let runs = self.runs.entry((slot, ticket)).or_default();
        *runs += 1;
        if *runs > 1 {
            broken(Law::OnceEach, format!("slot {slot} runs the script of order {ticket} twice"));
        }
    }

    /// What the manager orders of a service counts from here on.
    pub fn obeyed(&mut self, service: usize) {
        self.services[service].meddled = false;
    }

    /// The manager orders a slot up.
    pub fn ordered_up(&mut self, slot: Slot) {
        self.slots.entry(slot).or_default().failed = None;
    }

    /// The manager decides that a longrun shall be up, or down. It may say so
    /// several times; the time that it gives runs from the first.
    pub fn decided(&mut self, service: Index, up: bool, now: Moment) {
        let since = &mut self.services[service as usize].down_since;
        *since = if up { None } else { since.or(Some(now)) };
    }

    /// The manager orders a service down.
    pub fn ordered_down(&mut self, linux: &Linux, service: usize) {
        for (other, entry) in self.contents.services.iter().enumerate() {
            if !entry.needs.contains(&(service as Index)) {
                continue;
            }
            let seen = self.services[other];
            // What does not end in time is not waited for.
            let late = seen.down_since.is_none_or(|at| linux.now >= at + entry.timeout_down);
            let runs = seen.slot.and_then(|slot| linux.of(slot)).filter(|(_, process)| {
                let finish = matches!(process.program, Program::Finish { .. });
                if finish { !late } else { !process.told }
            });
            if is_up(linux.state[other]) || runs.is_some() && !seen.meddled {
                broken(
                    Law::NeedsLast,
                    format!("s{service} stops while s{other}, which needs it, is up or runs"),
                );
            }
        }
        let longrun = self.is_longrun(service);
        let seen = &mut self.services[service];
        // What a oneshot is for is there until its down script begins.
        seen.served &= !longrun;
    }

    /// Init says how a service is.
    pub fn told(&mut self, service: usize, state: &SlotState) {
        let notifies = self.longrun(service).is_some_and(|l| l.notification_fd.is_some());
        let longrun = self.is_longrun(service);
        let seen = &mut self.services[service];
        if longrun {
            let ready = state.phase == Phase::Ready || state.phase == Phase::Up && !notifies;
            seen.served |= ready && state.wanted_up;
        } else if state.phase == Phase::Down {
            let well = state.exit == Some(Exit::Code(0));
            match state.ticket & 3 {
                script if script == Script::Up as u32 => seen.served |= well,
                script if script == Script::Down as u32 => {
                    seen.served |= std::mem::take(&mut seen.serves_still) && !well;
                }
                _ => {}
            }
        }
    }

    /// A class is told to go.
    pub fn goes(&mut self, linux: &Linux, class: Class, class_of: impl Fn(Slot) -> Option<Class>) {
        let before = |class| match class {
            Class::Service => 0,
            Class::Reader => 1,
            Class::Manager => 2,
            Class::Logger => 3,
        };
        for (pid, process) in linux.processes.iter().filter(|(_, process)| process.alive()) {
            let Some(of) = process.slot.and_then(&class_of) else { continue };
            if before(of) < before(class) && !process.killed {
                let program = process.program;
                broken(
                    Law::EndOrder,
                    format!("{class:?} goes while {program:?} {pid}, a {of:?}, runs"),
                );
            }
        }
        self.told_to_go.push(class);
    }

    /// Init begins anew.
    pub fn begins_anew(&mut self) {
        self.told_to_go.clear();
        // What was not written down is tried again.
        self.slots.values_mut().for_each(|seen| seen.failed = None);
    }

    /// Init ends.
    pub fn over(&self, linux: &Linux, everyone: bool) {
        for (pid, process) in &linux.processes {
            let mine = process.slot.is_some() || everyone;
            if process.alive() && mine && !process.killed {
                let program = process.program;
                broken(Law::NothingLeft, format!("{program:?} {pid} runs on"));
            }
        }
    }
}
