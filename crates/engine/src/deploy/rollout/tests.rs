//! Rollouts, step by step; those in which the dice fall are in `tests/sim`.

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
