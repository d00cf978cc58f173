//! Rollouts in which devices fail, vanish and come back as the dice fall.

use alloc::vec;

use super::*;

const SETTINGS: Settings = Settings {
    parallel: 2,
    soak: Duration::from_secs(600),
    failures_max: 0,
    retry: Duration::from_secs(60),
    patience: Duration::from_secs(3600),
};

fn second(seconds: u64) -> Moment {
    Moment::from_nanos(seconds * 1_000_000_000)
}

fn step(rollout: &mut Rollout, at: u64, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    rollout.step(second(at), event, &mut actions);
    actions
}

use Action::{Check, Update};
use Event::{Ended, Tick};

#[test]
fn the_first_wave_is_watched_before_the_rest_begins() {
    let mut rollout = Rollout::new(SETTINGS, vec![0, 1, 1, 1], vec![]);
    assert_eq!(step(&mut rollout, 0, Tick), [Update(0)]);
    assert_eq!(step(&mut rollout, 20, Ended(0, Ending::Updated)), []);
    assert_eq!(rollout.deadline(), Some(second(620)));
    assert_eq!(step(&mut rollout, 619, Tick), []);
    assert_eq!(step(&mut rollout, 620, Tick), [Check(0)]);
    assert_eq!(step(&mut rollout, 621, Ended(0, Ending::Updated)), [Update(1), Update(2)]);
    assert_eq!(step(&mut rollout, 640, Ended(2, Ending::Updated)), [Update(3)]);
    assert_eq!(step(&mut rollout, 650, Ended(3, Ending::Updated)), []);
    assert_eq!(rollout.outcome(), None);
    assert_eq!(step(&mut rollout, 660, Ended(1, Ending::Updated)), []);
    assert_eq!((rollout.outcome(), rollout.deadline()), (Some(Outcome::Complete), None));
}

#[test]
fn a_first_one_that_is_gone_after_its_soak_stops_the_rest() {
    let mut rollout = Rollout::new(SETTINGS, vec![0, 1], vec![]);
    step(&mut rollout, 0, Tick);
    step(&mut rollout, 20, Ended(0, Ending::Updated));
    assert_eq!(step(&mut rollout, 620, Tick), [Check(0)]);
    assert_eq!(step(&mut rollout, 630, Ended(0, Ending::Offline)), []);
    assert_eq!(rollout.outcome(), Some(Outcome::Stopped));
    assert_eq!(rollout.states(), [State::Failed, State::Waiting]);
}

#[test]
fn what_cannot_be_reached_delays_nobody_and_is_tried_again() {
    let mut rollout = Rollout::new(SETTINGS, vec![0, 0, 1], vec![]);
    assert_eq!(step(&mut rollout, 0, Tick), [Update(0), Update(1)]);
    step(&mut rollout, 5, Ended(0, Ending::Offline));
    step(&mut rollout, 20, Ended(1, Ending::Updated));
    assert_eq!(step(&mut rollout, 65, Tick), [Update(0)]);
    step(&mut rollout, 70, Ended(0, Ending::Offline));
    assert_eq!(step(&mut rollout, 620, Tick), [Check(1), Update(0)]);
    step(&mut rollout, 621, Ended(0, Ending::Offline));
    assert_eq!(step(&mut rollout, 622, Ended(1, Ending::Updated)), [Update(2)]);
    step(&mut rollout, 630, Ended(2, Ending::Updated));
    assert_eq!(rollout.outcome(), None);
    assert_eq!(step(&mut rollout, 681, Tick), [Update(0)]);
    let mut late = rollout.clone();
    step(&mut rollout, 690, Ended(0, Ending::Updated));
    assert_eq!(rollout.outcome(), Some(Outcome::Complete));
    step(&mut late, 4230, Ended(0, Ending::Offline));
    assert_eq!(late.outcome(), Some(Outcome::Incomplete));
}

#[test]
fn a_first_wave_of_which_nobody_is_there_is_waited_for_and_then_given_up() {
    let mut rollout = Rollout::new(SETTINGS, vec![0, 1], vec![]);
    step(&mut rollout, 0, Tick);
    let mut now = 5;
    while rollout.outcome().is_none() {
        assert!(step(&mut rollout, now, Ended(0, Ending::Offline)).is_empty());
        let Some(deadline) = rollout.deadline() else { break };
        now = deadline.nanos() / 1_000_000_000;
        let begun = step(&mut rollout, now, Tick);
        assert!(begun.is_empty() || begun == [Update(0)], "{begun:?}");
    }
    assert_eq!((rollout.outcome(), now), (Some(Outcome::Incomplete), 3605));
    assert_eq!(rollout.states()[1], State::Waiting);
}

#[test]
fn a_second_run_goes_on_where_the_first_one_was_cut_off() {
    let states = vec![State::Updated, State::Running, State::Failed, State::Waiting];
    let settings = Settings { failures_max: 1, ..SETTINGS };
    let mut rollout = Rollout::new(settings, vec![0, 1, 1, 2], states);
    assert_eq!(step(&mut rollout, 0, Tick), [Update(1)]);
    step(&mut rollout, 20, Ended(1, Ending::Updated));
    assert_eq!(step(&mut rollout, 620, Tick), [Check(1)]);
    assert_eq!(step(&mut rollout, 621, Ended(1, Ending::Updated)), [Update(3)]);
    step(&mut rollout, 640, Ended(3, Ending::Updated));
    assert_eq!(rollout.outcome(), Some(Outcome::Failures));
}

/// A generator of chance (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % end
    }
}

#[test]
fn whatever_happens_no_more_are_begun_than_may_be_and_it_ends() {
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let settings = Settings {
            parallel: 1 + dice.below(4) as usize,
            failures_max: dice.below(3) as usize,
            ..SETTINGS
        };
        let mut waves: Vec<usize> =
            (0..1 + dice.below(12)).map(|_| dice.below(3) as usize).collect();
        waves[0] = 0;
        let mut rollout = Rollout::new(settings, waves.clone(), vec![]);
        let mut busy: Vec<(Moment, usize, Ending)> = Vec::new();
        let mut now = Moment::ZERO;
        let mut event = Tick;
        let mut looked = vec![false; waves.len()];
        let mut turns = 0;
        let calm = dice.below(2) == 0;
        while rollout.outcome().is_none() {
            let failures = rollout.failures();
            let mut actions = Vec::new();
            rollout.step(now, event, &mut actions);
            for action in actions {
                assert!(
                    rollout.failures() <= settings.failures_max,
                    "seed {seed}: begun after the stop"
                );
                let (device, checks) = match action {
                    Update(device) => (device, false),
                    Check(device) => (device, true),
                };
                // Whoever is in a later wave finds the earlier ones looked at, or failed, or gone.
                for earlier in 0..waves.len() {
                    let state = rollout.states()[earlier];
                    let seen = looked[earlier]
                        || matches!(state, State::Failed | State::Offline(_) | State::Running)
                        || state == State::Updated && waves[earlier] < rollout.wave();
                    assert!(
                        waves[earlier] >= waves[device] || seen,
                        "seed {seed}: {device} before {earlier}"
                    );
                }
                looked[device] |= checks;
                let ending = match dice.below(if calm { 40 } else { 6 }) {
                    0 => Ending::Failed,
                    1 => Ending::Offline,
                    _ => Ending::Updated,
                };
                busy.push((now + Duration::from_secs(1 + dice.below(300)), device, ending));
                let updates =
                    rollout.states().iter().filter(|state| **state == State::Running).count();
                assert!(checks || updates <= settings.parallel, "seed {seed}: too many at once");
            }
            assert!(rollout.failures() <= failures + 1);
            busy.sort();
            let next = busy.first().map(|(at, _, _)| *at);
            let deadline = rollout.deadline();
            let Some(at) = [next, deadline].into_iter().flatten().min() else {
                assert!(rollout.outcome().is_some(), "seed {seed}: nothing will ever happen");
                break;
            };
            assert!(
                deadline != Some(now) || at > now || next == Some(now),
                "seed {seed}: it spins"
            );
            now = now.max(at);
            event = Tick;
            if next == Some(at) {
                let (_, device, ending) = busy.remove(0);
                event = Ended(device, ending);
            }
            turns += 1;
            assert!(turns < 10_000, "seed {seed}: it does not end");
        }
        let stopped = rollout.outcome() == Some(Outcome::Stopped);
        assert_eq!(stopped, rollout.failures() > settings.failures_max, "seed {seed}");
        let open = rollout.states().contains(&State::Waiting);
        let gone = rollout.outcome() == Some(Outcome::Incomplete);
        assert!(stopped || gone || !open, "seed {seed}: somebody was forgotten");
    }
}
