//! Many devices, one update: a few of them first, then a while of watching, then the rest.
//!
//! Devices come in waves. In a wave several are updated at once. Once all of a wave are updated, failed
//! or cannot be reached, and one at least is updated, it soaks; then each that was updated is looked at
//! again, and the next wave begins. More failures than are allowed stop everything that has not begun.
//! What cannot be reached delays nobody: it is tried again beside all else, and for a while after it. Only a
//! wave of which nobody can be reached is waited for, as long.

use alloc::vec::Vec;
use core::time::Duration;

use model::time::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Devices that are updated at once.
    pub parallel: usize,
    /// From the end of a wave to the look at it.
    pub soak: Duration,
    /// Devices that may fail before everything stops.
    pub failures_max: usize,
    /// From one try to reach a device to the next.
    pub retry: Duration,
    /// How long those that cannot be reached are still tried once all others are done, or wait for them.
    pub patience: Duration,
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    /// It is being updated.
    Running,
    Updated,
    /// It was updated, and is being looked at again.
    Checking,
    Failed,
    /// It could not be reached; when that is tried again.
    Offline(Moment),
}

/// How an update of one device ended, or what a look at it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Updated,
    Failed,
    Offline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Ended(usize, Ending),
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answered by [`Event::Ended`].
    Update(usize),
    /// The same: whether it still runs what it was given.
    Check(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All are updated.
    Complete,
    /// None failed, but some could not be reached.
    Incomplete,
    /// Some failed, not more than may.
    Failures,
    /// Too many failed: the rest was left as it was.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Updating a wave.
    Wave,
    /// Nobody of a wave could be reached: it is tried until then.
    Nobody(Moment),
    Soaking(Moment),
    Checking,
    /// All waves had their turn: what is offline is tried until then.
    Late(Moment),
    Over,
}

#[derive(Clone, Debug)]
pub struct Rollout {
    settings: Settings,
    /// The wave of each device.
    waves: Vec<usize>,
    states: Vec<State>,
    wave: usize,
    phase: Phase,
}

impl Rollout {
    /// `waves`: the wave of each device, from 0 on. `states`: how far an earlier run came; what it left
    /// running is begun again.
    pub fn new(settings: Settings, waves: Vec<usize>, states: Vec<State>) -> Self {
        let again = |state| match state {
            State::Running | State::Offline(_) => State::Waiting,
            State::Checking => State::Updated,
            other => other,
        };
        let mut states: Vec<State> = states.into_iter().map(again).collect();
        states.resize(waves.len(), State::Waiting);
        // Waves that an earlier run went beyond need no second soak.
        let begun = (0..waves.len()).filter(|&at| states[at] != State::Waiting);
        let wave = begun.map(|at| waves[at]).max().unwrap_or(0);
        Self { settings, waves, states, wave, phase: Phase::Wave }
    }

    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The wave that is being updated or watched, from 0 on.
    pub fn wave(&self) -> usize {
        self.wave
    }

    /// Until when the wave soaks.
    pub fn soaks_until(&self) -> Option<Moment> {
        if let Phase::Soaking(until) = self.phase { Some(until) } else { None }
    }

    pub fn failures(&self) -> usize {
        self.states.iter().filter(|state| **state == State::Failed).count()
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let phase = match self.phase {
            Phase::Soaking(until) | Phase::Late(until) | Phase::Nobody(until) => Some(until),
            Phase::Over => return None,
            Phase::Wave | Phase::Checking => None,
        };
        // Nothing is begun while too many run.
        let free = self.running() < self.settings.parallel && !self.stops();
        let retry = self.states.iter().filter_map(|state| match state {
            State::Offline(at) if free => Some(*at),
            _ => None,
        });
        phase.into_iter().chain(retry).min()
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.phase != Phase::Over {
            return None;
        }
        Some(if self.stops() {
            Outcome::Stopped
        } else if self.failures() > 0 {
            Outcome::Failures
        } else if self.states.iter().all(|state| *state == State::Updated) {
            Outcome::Complete
        } else {
            Outcome::Incomplete
        })
    }

    pub fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        if let Event::Ended(device, ending) = event {
            self.ended(now, device, ending);
        }
        if self.stops() {
            if self.running() == 0 {
                self.phase = Phase::Over;
            }
            return;
        }
        // At most one round for each wave, and one for each of its phases.
        while self.advance(now, actions) {}
        self.begin(now, actions);
    }

    fn ended(&mut self, now: Moment, device: usize, ending: Ending) {
        let Some(state) = self.states.get_mut(device) else { return };
        *state = match (*state, ending) {
            (State::Running | State::Checking, Ending::Updated) => State::Updated,
            (State::Running, Ending::Offline) => State::Offline(now + self.settings.retry),
            // One that was updated and is gone is no good news.
            (State::Running | State::Checking, _) => State::Failed,
            (other, _) => other,
        };
    }

    /// Goes to the next phase, where this one is over.
    fn advance(&mut self, now: Moment, actions: &mut Vec<Action>) -> bool {
        let next = match self.phase {
            Phase::Wave | Phase::Nobody(_) if !self.was_tried() => return false,
            Phase::Wave if self.is_gone() => Phase::Nobody(now + self.settings.patience),
            Phase::Nobody(until) if self.is_gone() => match now < until {
                true => return false,
                false => Phase::Over,
            },
            Phase::Nobody(_) => Phase::Wave,
            Phase::Wave if self.is_last() => Phase::Late(now + self.settings.patience),
            Phase::Wave if self.in_wave().any(|state| state == State::Updated) => {
                Phase::Soaking(now + self.settings.soak)
            }
            // There is nothing to watch.
            Phase::Wave => {
                self.wave += 1;
                Phase::Wave
            }
            Phase::Soaking(until) if now < until => return false,
            Phase::Soaking(_) => {
                for device in 0..self.states.len() {
                    if self.waves[device] == self.wave && self.states[device] == State::Updated {
                        self.states[device] = State::Checking;
                        actions.push(Action::Check(device));
                    }
                }
                Phase::Checking
            }
            Phase::Checking if self.states.contains(&State::Checking) => return false,
            Phase::Checking => {
                self.wave += 1;
                Phase::Wave
            }
            Phase::Late(until) => {
                let left = self.states.iter().any(|state| matches!(state, State::Offline(_)));
                if self.running() > 0 || left && now < until {
                    return false;
                }
                Phase::Over
            }
            Phase::Over => return false,
        };
        self.phase = next;
        true
    }

    /// Begins what may begin, the earlier waves first.
    fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        for wave in 0..=self.wave {
            for device in 0..self.states.len() {
                let due = match self.states[device] {
                    State::Waiting => true,
                    State::Offline(retry) => now >= retry,
                    _ => false,
                };
                if self.waves[device] == wave && due && self.running() < self.settings.parallel {
                    self.states[device] = State::Running;
                    actions.push(Action::Update(device));
                }
            }
        }
    }

    fn running(&self) -> usize {
        let busy = |state: &&State| matches!(state, State::Running | State::Checking);
        self.states.iter().filter(busy).count()
    }

    fn stops(&self) -> bool {
        self.failures() > self.settings.failures_max
    }

    fn is_last(&self) -> bool {
        self.waves.iter().all(|wave| *wave <= self.wave)
    }

    fn in_wave(&self) -> impl Iterator<Item = State> {
        let states = self.states.iter().zip(&self.waves);
        states.filter(|(_, wave)| **wave == self.wave).map(|(state, _)| *state)
    }

    /// Everyone in the wave had a try.
    fn was_tried(&self) -> bool {
        self.in_wave().all(|state| !matches!(state, State::Waiting | State::Running))
    }

    /// Nobody of it was reached, which says nothing of the update to those who come later.
    fn is_gone(&self) -> bool {
        let gone = self.in_wave().all(|state| matches!(state, State::Offline(_)));
        gone && self.in_wave().next().is_some() && !self.is_last()
    }
}

#[cfg(test)]
mod tests;
