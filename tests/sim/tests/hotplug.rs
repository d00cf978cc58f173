//! Services that are up for devices, in bad weather.

use std::time::Duration;

use sim::dice::seeds;
use sim::laws::{Law, broken};
use sim::plugs::Plugs;

const SECOND: Duration = Duration::from_secs(1);

/// The longest hold, the longest wait after a failed start, both of start and stop, a second for
/// an answer ahead of its news, and two until a manager or a controller is back.
const CONVERGES: Duration = Duration::from_secs(15 + 60 + 5 + 1 + 4);

#[test]
fn devices_have_their_services_whatever_was_lost() {
    for seed in seeds(3_000) {
        let mut plugs = Plugs::new(seed, 3, "");
        for _ in 0..60 {
            match plugs.dice().below(100) {
                0..70 => plugs.something_happens(),
                70..75 => plugs.kill(),
                75..80 => {
                    let now = plugs.now;
                    plugs.clerk.kill(now);
                }
                80..85 => plugs.lose_messages(),
                85..90 => {
                    let (now, service) = (plugs.now, plugs.dice().below(3));
                    plugs.clerk.fall(now, service);
                }
                // A burst, of which some is lost.
                90..93 => (0..20).for_each(|_| plugs.something_happens()),
                _ => {
                    let pause = plugs.dice().millis(1_000, 20_000);
                    plugs.run_for(pause);
                }
            }
            let pause = plugs.dice().millis(0, 300);
            plugs.run_for(pause);
        }
        plugs.clerk.weather.fails = 0;
        plugs.run_for(CONVERGES);
        plugs.check();
    }
}

#[test]
fn a_device_without_trouble_has_its_service_at_once() {
    for seed in seeds(300) {
        let mut plugs = Plugs::new(seed, 1, "");
        plugs.clerk.weather.fails = 0;
        plugs.run_for(SECOND);
        for _ in 0..5 {
            plugs.plug("/0-0");
            plugs.run_for(4 * SECOND);
            plugs.check();
            plugs.run_for(20 * SECOND);
            plugs.unplug("/0-0");
            plugs.run_for(2 * SECOND);
            plugs.check();
            plugs.run_for(20 * SECOND);
        }
    }
}

#[test]
fn what_fails_or_flaps_is_started_ever_more_seldom() {
    for seed in seeds(300) {
        let flaps = seed % 2 == 0;
        let mut plugs = Plugs::new(seed, 1, "");
        plugs.clerk.weather.fails = if flaps { 0 } else { 100 };
        plugs.plug("/0-0");
        for _ in 0..600 {
            if flaps {
                plugs.unplug("/0-0");
                plugs.run_for(SECOND / 2);
                plugs.plug("/0-0");
            }
            plugs.run_for(SECOND);
        }
        let starts = plugs.starts[0].len();
        if starts > 30 {
            broken(Law::Patience, format!("{starts} starts in ten minutes"));
        }
    }
}

#[test]
fn what_people_want_holds_until_devices_say_otherwise() {
    for seed in seeds(500) {
        let mut plugs = Plugs::new(seed, 1, "");
        plugs.clerk.weather.fails = 0;
        let there = plugs.dice().percent(50);
        if there {
            plugs.plug("/0-0");
        }
        plugs.run_for(20 * SECOND);
        plugs.check();
        let now = plugs.now;
        plugs.clerk.meddle(now, 0, !there);
        plugs.run_for(100 * SECOND);
        assert_eq!(plugs.clerk.is_up(0), !there, "seed {seed}: it is his business");
        if there {
            plugs.unplug("/0-0");
            plugs.run_for(5 * SECOND);
        }
        plugs.plug("/0-0");
        plugs.run_for(5 * SECOND);
        assert!(plugs.clerk.is_up(0), "seed {seed}: a device has come");
        plugs.unplug("/0-0");
        plugs.run_for(5 * SECOND);
        plugs.check();
    }
}
