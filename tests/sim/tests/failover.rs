//! Services in turn, whose lines go and come back.

use std::time::Duration;

use model::controller::uplink::Pace;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};
use sim::uplinks::Uplinks;

const SECOND: Duration = Duration::from_secs(1);

fn pace(seed: u64) -> Pace {
    let mut dice = Dice::new(seed);
    Pace {
        overlap: dice.percent(60),
        start_limit: dice.millis(5_000, 30_000),
        back_off_max: Duration::from_secs(60),
        ..Pace::default()
    }
}

#[test]
fn where_a_line_is_fit_one_serves_and_in_the_end_it_is_the_first() {
    for seed in seeds(1_000) {
        let members = 2 + (seed % 3) as usize;
        let mut uplinks = Uplinks::new(seed, members, pace(seed));
        // Half of the stories have nobody killed.
        uplinks.strict = seed % 2 == 0;
        for _ in 0..80 {
            let member = uplinks.dice().below(members);
            match uplinks.dice().below(100) {
                0..60 => {
                    let fit = uplinks.dice().percent(60);
                    uplinks.set_fit(member, fit);
                }
                60..65 if !uplinks.strict => uplinks.kill(),
                65..70 if !uplinks.strict => {
                    let now = uplinks.now;
                    uplinks.clerk.kill(now);
                }
                70..75 if !uplinks.strict => {
                    let (now, up) = (uplinks.now, uplinks.dice().percent(50));
                    uplinks.clerk.meddle(now, member, up);
                }
                75..78 => (0..members).for_each(|member| uplinks.set_fit(member, false)),
                // The line flaps.
                78..82 => {
                    for fit in [false, true, false, true] {
                        uplinks.set_fit(member, fit);
                        let pause = uplinks.dice().millis(100, 12_000);
                        uplinks.run_for(pause);
                    }
                }
                _ => {}
            }
            let pause = uplinks.dice().millis(100, 30_000);
            uplinks.run_for(pause);
            if uplinks.dice().percent(20) {
                let pause = uplinks.next_serves_in() + SECOND;
                uplinks.run_for(pause);
                uplinks.check_that_one_serves();
            }
        }
        (0..members).for_each(|member| uplinks.set_fit(member, true));
        let pause = uplinks.comes_back_in();
        uplinks.run_for(pause);
        uplinks.check_that_it_came_back();
    }
}

#[test]
fn nothing_changes_in_a_day_in_which_nothing_fails() {
    for seed in seeds(50) {
        let mut uplinks = Uplinks::new(seed, 3, pace(seed));
        uplinks.run_for(24 * 3600 * SECOND);
        if uplinks.changes != 1 {
            broken(Law::Steady, format!("{} changes in a day", uplinks.changes));
        }
        // The others may fail as they like.
        for _ in 0..100 {
            let member = 1 + uplinks.dice().below(2);
            let fit = uplinks.dice().percent(50);
            uplinks.set_fit(member, fit);
            uplinks.run_for(60 * SECOND);
        }
        if uplinks.changes != 1 {
            broken(Law::Steady, format!("{} changes by those in reserve", uplinks.changes));
        }
    }
}

#[test]
fn a_dead_line_is_tried_ever_more_seldom_and_disturbs_nobody_beside_another() {
    for seed in seeds(100) {
        let pace = Pace { overlap: true, ..pace(seed) };
        let mut uplinks = Uplinks::new(seed, 2, pace);
        uplinks.run_for(60 * SECOND);
        uplinks.set_fit(0, false);
        uplinks.run_for(60 * SECOND);
        let (changes, starts) = (uplinks.changes, uplinks.clerk.services[0].starts);
        uplinks.run_for(3600 * SECOND);
        if uplinks.changes != changes || uplinks.active() != Some(1) {
            broken(Law::Steady, format!("{} changes by a dead line", uplinks.changes - changes));
        }
        let starts = uplinks.clerk.services[0].starts - starts;
        if starts > 60 {
            broken(Law::Patience, format!("{starts} starts of a dead line in an hour"));
        }
    }
}
