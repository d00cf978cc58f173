//! Everything together in an unkind world: nothing bad while the dice fall,
//! everything well once they rest.

use std::time::Duration;

use engine::service::manage::{Outcome, Verb};
use model::service::database::{Index, Kind, Longrun};
use model::service::request::End;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken, same};
use sim::linux::Weather;
use sim::services;
use sim::story::{Cast, something_happens};
use sim::streets::Home;
use sim::town::{END_MAX, LONG, Town};

/// A town of services, plain ones beside them, in bad weather.
fn town(seed: u64, dice: &mut Dice) -> Town {
    let count = 3 + dice.below(8);
    let contents = services::database(dice, count);
    let mut town = Town::with(seed, contents, dice.percent(50));
    town.root.streets.linux.weather = Weather::bad(dice);
    for _ in 0..dice.below(3) {
        let longrun = Longrun { has_finish: dice.percent(50), ..Longrun::default() };
        let plain = town.root.add_longrun(Home::Plain, longrun, dice.percent(80));
        if dice.percent(50) {
            let longrun = Longrun { has_finish: dice.percent(30), ..Longrun::default() };
            town.root.add_longrun(Home::Reader { of: plain }, longrun, true);
        }
    }
    town
}

#[test]
fn nothing_bad_happens_in_bad_weather_and_all_is_well_after_it() {
    for seed in seeds(6_000) {
        let mut dice = Dice::new(seed);
        let mut town = town(seed, &mut dice);
        let cast = Cast::some(&mut dice);
        for _ in 0..300 {
            something_happens(&mut town, cast);
        }
        town.calm();
        town.settle();

        // Init waits a while between starts, longer than some have time for.
        town.rest(Duration::from_secs(100));
        let all: Vec<Index> = (0..town.len() as Index).collect();
        let up = town.ask(Verb::Up, all.clone(), None);
        town.settle();
        if town.outcome(up) != Some(Outcome::Done) || !(0..town.len()).all(|s| town.is_up(s)) {
            broken(Law::Settles, format!("not all is up\n{}", town.describe()));
        }
        town.check_truth("all up");
        let down = town.ask(Verb::Down { essential: true }, all, None);
        town.settle();
        if town.outcome(down) != Some(Outcome::Done) || (0..town.len()).any(|s| town.is_up(s)) {
            broken(Law::Settles, format!("not all is down\n{}", town.describe()));
        }
        town.check_truth("all down");
    }
}

#[test]
fn the_end_comes_in_order_and_in_time_whatever_is_going_on() {
    for seed in seeds(3_000) {
        let mut dice = Dice::new(seed);
        let mut town = town(seed, &mut dice);
        let cast = Cast::some(&mut dice);
        for _ in 0..dice.below(150) {
            something_happens(&mut town, cast);
        }
        let end = *dice.pick(&[End::Reboot, End::PowerOff, End::Halt, End::Exit]).unwrap();
        town.shut_down(end);
        for _ in 0..dice.below(100) {
            something_happens(&mut town, cast);
        }
        town.root.streets.falls_after = None;
        let begun = town.now();
        town.until(|town| town.root.over.is_some() || town.now() - begun > LONG / 2);
        same(Law::EndsInTime, town.root.over, Some(end), "how it ended");
        let took = town.now() - begun;
        if took > END_MAX {
            broken(Law::EndsInTime, format!("it took {took:?}"));
        }
    }
}

#[test]
fn in_good_weather_the_end_kills_nobody_and_stops_everything_in_order() {
    for seed in seeds(500) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(12);
        let mut contents = services::database(&mut dice, count);
        for service in &mut contents.services {
            (service.timeout_up, service.timeout_down) = (LONG, LONG);
            if let Kind::Longrun(longrun) = &mut service.kind {
                (longrun.timeout_kill, longrun.timeout_finish) = (Duration::ZERO, Duration::ZERO);
            }
        }
        let mut town = Town::with(seed, contents, dice.percent(50));
        let plain = town.root.add_longrun(Home::Plain, Longrun::default(), true);
        town.root.add_longrun(Home::Reader { of: plain }, Longrun::default(), true);
        town.ask(Verb::Up, (0..count as Index).collect(), None);
        town.settle();
        town.shut_down(End::Halt);
        town.init_turn(true);
        town.until(|town| town.root.over.is_some());
        same(Law::NothingLeft, town.root.streets.linux.kills, 0, "killed");
        if (0..count).any(|service| town.is_up(service)) {
            broken(Law::EndOrder, format!("something was left up\n{}", town.describe()));
        }
    }
}
