//! A device that tries a generation, on dice: it runs the old or the new one, never neither.

use std::time::Duration;

use engine::deploy::activate::{RESTART_MAX, RETURN_MAX, SWITCH_MAX};
use model::deploy::trial::{DEADLINE, Way};
use sim::dice::seeds;
use sim::laws::{Law, broken};
use sim::trial::{CALM, Device, Mood, NEW, OLD};

/// The longest that a trial may take in a world that is kind from now on, with all its starts.
const OVER_MAX: Duration = Duration::from_secs(
    (SWITCH_MAX.as_secs() + DEADLINE.as_secs() + RETURN_MAX.as_secs() + RESTART_MAX.as_secs()) * 5,
);

fn way_of(seed: u64) -> Way {
    if seed.is_multiple_of(3) { Way::Started } else { Way::Live }
}

#[test]
fn a_trial_ends_with_the_old_or_the_new_generation_whatever_happens() {
    let mut kept = 0;
    for seed in seeds(6000) {
        let mood = Mood { kill: 2, cut: 1, reboot: 1, fail: 10, hang: 10, good: 70, confirm: 80 };
        let mut device = Device::new(seed, mood);
        device.activate(way_of(seed), !seed.is_multiple_of(5));
        for _ in 0..150 {
            device.second();
            if device.dice.percent(2) && !device.is_over() && device.activate(Way::Live, true) {
                broken(Law::OneGeneration, "two trials at once");
            }
        }
        device.mood = Mood { good: mood.good, confirm: 0, ..CALM };
        let calm = device.now;
        while !device.is_over() {
            device.second();
            if device.now.since(calm) > OVER_MAX {
                broken(Law::GoesBack, format!("after {} s", OVER_MAX.as_secs()));
            }
        }
        device.judge_at_rest();
        kept += u32::from(device.flash.boot() == NEW);
    }
    if std::env::var_os("SEED").is_none() {
        assert!((300..5700).contains(&kept), "both happen: {kept}");
    }
}

#[test]
fn in_a_kind_world_a_good_generation_is_kept_and_a_bad_one_is_not() {
    for seed in seeds(300) {
        let good = if seed.is_multiple_of(2) { 100 } else { 0 };
        let mut device = Device::new(seed, Mood { good, ..CALM });
        let way = way_of(seed);
        device.activate(way, true);
        while !device.is_over() {
            device.second();
        }
        device.judge_at_rest();
        assert_eq!(device.flash.boot(), if good > 0 { NEW } else { OLD }, "seed {seed}");
        let expected = match way {
            Way::Live => 0,
            Way::Started if good > 0 => 1,
            Way::Started => 2,
        };
        assert_eq!(device.restarts, expected, "seed {seed}: a live trial needs no restart");
    }
}

#[test]
fn without_a_confirmation_it_is_over_within_its_deadline_and_the_way_back() {
    for seed in seeds(300) {
        let mut device = Device::new(seed, Mood { confirm: 0, hang: 20, ..CALM });
        device.activate(Way::Live, true);
        let most = SWITCH_MAX + DEADLINE + RETURN_MAX + RESTART_MAX * 2 + Duration::from_secs(10);
        let begun = device.now;
        while !device.is_over() {
            device.second();
            if device.now.since(begun) > most {
                broken(Law::GoesBack, format!("after {} s", most.as_secs()));
            }
        }
        device.judge_at_rest();
        assert_eq!(device.flash.boot(), OLD, "seed {seed}");
    }
}
