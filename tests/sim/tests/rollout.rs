//! Rollouts in which devices fail, vanish and come back as the dice fall.

use std::time::Duration;

use engine::deploy::rollout::{Action, Ending, Event, Outcome, Rollout, Settings, State};
use model::time::Moment;
use sim::dice::{Dice, seeds};

const SETTINGS: Settings = Settings {
    parallel: 2,
    soak: Duration::from_secs(600),
    failures_max: 0,
    retry: Duration::from_secs(60),
    patience: Duration::from_secs(3600),
};

#[test]
fn whatever_happens_no_more_are_begun_than_may_be_and_it_ends() {
    for seed in seeds(3000) {
        let mut dice = Dice::new(seed);
        let settings =
            Settings { parallel: 1 + dice.below(4), failures_max: dice.below(3), ..SETTINGS };
        let mut waves: Vec<usize> = (0..1 + dice.below(12)).map(|_| dice.below(3)).collect();
        waves[0] = 0;
        let mut rollout = Rollout::new(settings, waves.clone(), vec![]);
        let mut busy: Vec<(Moment, usize, Ending)> = Vec::new();
        let mut now = Moment::ZERO;
        let mut event = Event::Tick;
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
                    Action::Update(device) => (device, false),
                    Action::Check(device) => (device, true),
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
                busy.push((now + dice.millis(1000, 300_000), device, ending));
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
            event = Event::Tick;
            if next == Some(at) {
                let (_, device, ending) = busy.remove(0);
                event = Event::Ended(device, ending);
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
