//! All supervisors as one machine.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use model::service::request::{Slot, SlotState};
use model::time::Moment;

use crate::machine::{Action, Event, World};
use crate::service::oneshot::Runner;
use crate::service::supervise::Supervisor;

/// The low bits of a slot are its place in the table, the high ones count how
/// often the place was given away: old news find nobody.
const PLACE_BITS: u32 = 20;

/// Slots there can be at once.
pub const SLOTS_MAX: usize = 1 << PLACE_BITS;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    Longrun(Supervisor),
    Oneshot(Runner),
}

impl Unit {
    pub fn state(&self) -> &SlotState {
        match self {
            Self::Longrun(supervisor) => supervisor.state(),
            Self::Oneshot(runner) => runner.state(),
        }
    }

    /// No process of it is alive and none is wanted.
    pub fn at_rest(&self) -> bool {
        match self {
            Self::Longrun(supervisor) => supervisor.at_rest(),
            Self::Oneshot(runner) => runner.at_rest(),
        }
    }

    fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        match self {
            Self::Longrun(supervisor) => supervisor.step(now, event, actions),
            Self::Oneshot(runner) => runner.step(now, event, actions),
        }
    }
}

struct Place {
    slot: Slot,
    unit: Option<Unit>,
    /// Something about it has changed since [`Init::changed`] was last asked.
    changed: bool,
    /// The deadline that the heap has for it.
    timer: Option<Moment>,
}

/// Every longrun and oneshot of a tree.
#[derive(Default)]
pub struct Init {
    places: Vec<Place>,
    free: Vec<u32>,
    timers: BinaryHeap<Reverse<(Moment, Slot)>>,
    changed: Vec<Slot>,
    actions: Vec<Action>,
    /// Nothing is started any more that does not run.
    closed: bool,
}

impl Init {
    /// Takes in a unit. `None`: there are [`SLOTS_MAX`] already.
    pub fn add(&mut self, unit: Unit) -> Option<Slot> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < SLOTS_MAX => {
                let slot = self.places.len() as Slot;
                self.places.push(Place { slot, unit: None, changed: false, timer: None });
                slot
            }
            None => return None,
        };
        let place = &mut self.places[place as usize];
        place.unit = Some(unit);
        let slot = place.slot;
        self.touch(slot);
        Some(slot)
    }

    /// Puts a unit back where it was before init started itself anew.
    /// `false`: that place is taken, or can never have been.
    pub fn restore(&mut self, slot: Slot, unit: Unit) -> bool {
        let index = (slot & (SLOTS_MAX as u32 - 1)) as usize;
        while self.places.len() <= index {
            let number = self.places.len() as u32;
            self.places.push(Place { slot: number, unit: None, changed: false, timer: None });
            self.free.push(number);
        }
        if self.places[index].unit.is_some() {
            return false;
        }
        self.free.retain(|&place| place as usize != index);
        self.places[index].slot = slot;
        self.places[index].unit = Some(unit);
        self.touch(slot);
        true
    }

    /// Forgets a unit. Its number does not come back for a long time.
    pub fn remove(&mut self, slot: Slot) -> Option<Unit> {
        let place = self.place_mut(slot)?;
        let unit = place.unit.take();
        place.slot = slot.wrapping_add(1 << PLACE_BITS);
        place.changed = false;
        place.timer = None;
        self.free.push(slot & (SLOTS_MAX as u32 - 1));
        unit
    }

    pub fn unit(&self, slot: Slot) -> Option<&Unit> {
        let place = self.places.get((slot & (SLOTS_MAX as u32 - 1)) as usize)?;
        if place.slot == slot { place.unit.as_ref() } else { None }
    }

    pub fn unit_mut(&mut self, slot: Slot) -> Option<&mut Unit> {
        self.place_mut(slot)?.unit.as_mut()
    }

    fn place_mut(&mut self, slot: Slot) -> Option<&mut Place> {
        let place = self.places.get_mut((slot & (SLOTS_MAX as u32 - 1)) as usize)?;
        (place.slot == slot && place.unit.is_some()).then_some(place)
    }

    /// Every slot that holds a unit, in the order of their places.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &Unit)> {
        self.places.iter().filter_map(|place| Some((place.slot, place.unit.as_ref()?)))
    }

    /// Begins supervision of a longrun that was just added.
    pub fn begin(&mut self, now: Moment, slot: Slot, world: &mut impl World) {
        self.with(slot, |unit, actions| {
            if let Unit::Longrun(supervisor) = unit {
                supervisor.begin(now, actions);
            }
        });
        self.carry_out(now, slot, world);
    }

    /// From here on nobody's word starts anything: init ends. What is kept up
    /// until its turn comes still is.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Tells a slot what happened, and does all that follows. An event for a
    /// slot that is gone is void.
    pub fn event(&mut self, now: Moment, slot: Slot, event: Event, world: &mut impl World) {
        let starts = matches!(event, Event::Run { .. } | Event::Control(b'u' | b'U' | b'o'));
        if self.closed && starts {
            return;
        }
        self.with(slot, |unit, actions| unit.step(now, event, actions));
        self.carry_out(now, slot, world);
    }

    /// See [`Supervisor::stay`].
    pub fn stay(&mut self, now: Moment, slot: Slot, world: &mut impl World) {
        self.with(slot, |unit, actions| {
            if let Unit::Longrun(supervisor) = unit {
                supervisor.stay(actions);
            }
        });
        self.carry_out(now, slot, world);
    }

    /// See [`Supervisor::resume`].
    pub fn resume(&mut self, now: Moment, slot: Slot, spawned: u32, world: &mut impl World) {
        self.with(slot, |unit, actions| match unit {
            Unit::Longrun(supervisor) => supervisor.resume(now, spawned, actions),
            Unit::Oneshot(runner) => runner.resume(now, spawned),
        });
        self.carry_out(now, slot, world);
    }

    /// Runs `change` on a unit; its actions wait in `self.actions`.
    fn with(&mut self, slot: Slot, change: impl FnOnce(&mut Unit, &mut Vec<Action>)) {
        let mut actions = core::mem::take(&mut self.actions);
        actions.clear();
        if let Some(unit) = self.unit_mut(slot) {
            change(unit, &mut actions);
        }
        self.actions = actions;
        self.touch(slot);
    }

    /// Does what waits in `self.actions`, and what follows from it.
    fn carry_out(&mut self, now: Moment, slot: Slot, world: &mut impl World) {
        let mut actions = core::mem::take(&mut self.actions);
        let mut next = 0;
        while let Some(&action) = actions.get(next) {
            next += 1;
            let Some(unit) = self.unit(slot) else { break };
            let answer = world.act(slot, unit, action);
            if let (Some(answer), Some(unit)) = (answer, self.unit_mut(slot)) {
                unit.step(now, answer, &mut actions);
                self.touch(slot);
            }
        }
        if let Some(unit) = self.unit(slot) {
            world.save(slot, unit);
        }
        actions.clear();
        self.actions = actions;
    }

    /// Says that everyone is to be told of this slot again.
    pub fn note(&mut self, slot: Slot) {
        self.touch(slot);
    }

    /// Notes that a slot may have changed, and when it wants to be woken.
    fn touch(&mut self, slot: Slot) {
        let Some(place) = self.place_mut(slot) else { return };
        let deadline = place.unit.as_ref().and_then(|unit| unit.state().deadline);
        let timer = core::mem::replace(&mut place.timer, deadline);
        let known = core::mem::replace(&mut place.changed, true);
        if !known {
            self.changed.push(slot);
        }
        if let Some(deadline) = deadline
            && timer != Some(deadline)
        {
            self.timers.push(Reverse((deadline, slot)));
            self.drop_old_timers();
        }
    }

    /// Keeps the heap from growing with deadlines that were called off.
    fn drop_old_timers(&mut self) {
        if self.timers.len() > 64 + 2 * self.places.len() {
            let timers = core::mem::take(&mut self.timers).into_vec();
            let current = timers.into_iter().filter(|Reverse((at, slot))| {
                self.unit(*slot).is_some_and(|unit| unit.state().deadline == Some(*at))
            });
            let mut current: Vec<_> = current.collect();
            current.sort_unstable();
            current.dedup();
            self.timers = current.into();
        }
    }

    /// When the next slot wants to be woken.
    pub fn deadline(&mut self) -> Option<Moment> {
        while let Some(&Reverse((at, slot))) = self.timers.peek() {
            if self.unit(slot).is_some_and(|unit| unit.state().deadline == Some(at)) {
                return Some(at);
            }
            self.timers.pop();
        }
        None
    }

    /// Wakes every slot whose deadline has come.
    pub fn expire(&mut self, now: Moment, world: &mut impl World) {
        while let Some(at) = self.deadline()
            && at <= now
        {
            let Some(Reverse((_, slot))) = self.timers.pop() else { break };
            if let Some(place) = self.place_mut(slot) {
                place.timer = None;
            }
            self.event(now, slot, Event::Tick, world);
        }
    }

    /// The slots about which something may have changed since the last call.
    pub fn changed(&mut self) -> Vec<Slot> {
        let mut changed = core::mem::take(&mut self.changed);
        changed.retain(|&slot| match self.place_mut(slot) {
            Some(place) => core::mem::replace(&mut place.changed, false),
            None => false,
        });
        changed
    }

    /// Gives the buffer of [`Init::changed`] back, so that it need not be
    /// made anew.
    pub fn reuse(&mut self, mut buffer: Vec<Slot>) {
        if self.changed.is_empty() {
            buffer.clear();
            self.changed = buffer;
        }
    }
}

#[cfg(test)]
mod tests;
