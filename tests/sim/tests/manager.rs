//! The graph in an unkind world: nothing bad while the dice fall, everything
//! well once they rest. `SEED=n` replays one story.

use std::time::Duration;

use engine::service::manage::{Actual, Along, Graph, Outcome, Verb};
use model::service::database::Index;
use model::service::live_state::is_up;
use model::service::request::Phase;
use sim::dice::{Dice, seeds};
use sim::services;
use sim::town::{Town, Weather};

const LONG: Duration = Duration::from_secs(3_600);

fn some_services(dice: &mut Dice, count: usize) -> Vec<Index> {
    let wanted = 1 + dice.below(3);
    (0..wanted).map(|_| dice.below(count) as Index).collect()
}

fn some_verb(dice: &mut Dice) -> Verb {
    match dice.below(10) {
        0..=4 => Verb::Up,
        5..=7 => Verb::Down { essential: dice.percent(50) },
        8 => Verb::Restart,
        _ => Verb::Reload,
    }
}

/// One step of a story: somebody does something, or time passes.
fn something_happens(town: &mut Town) {
    let count = town.slots.len();
    match town.streets.dice.below(100) {
        0..=9 => {
            let verb = some_verb(&mut town.streets.dice);
            let names = some_services(&mut town.streets.dice, count);
            let limit = town.streets.dice.percent(30).then(|| town.streets.dice.millis(1, 2_000));
            let prune = town.streets.dice.percent(10) && verb != Verb::Reload;
            town.ask_all(verb, names, limit, prune && verb != Verb::Restart);
        }
        10..=11 => {
            let wish = town.streets.dice.below(town.wishes.len());
            if wish < town.wishes.len() {
                town.leave(wish);
            }
        }
        12..=13 => town.kill_in_the_middle(),
        14 => {
            town.lose_connection();
            if town.streets.dice.percent(50) {
                town.pass_time();
            }
            town.connect();
        }
        15 => {
            let service = town.streets.dice.below(count);
            town.drop_slot(service);
        }
        16..=69 => {
            town.deliver();
        }
        _ => {
            town.pass_time();
        }
    }
}

#[test]
fn nothing_bad_happens_in_bad_weather_and_all_is_well_after_it() {
    for seed in seeds(20_000) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(8);
        let mut town = Town::new(seed, services::database(&mut dice, count));
        let bad =
            |dice: &mut Dice, most| if dice.percent(60) { dice.below(most) as u32 } else { 0 };
        town.streets.weather = Weather {
            spawn_fails: bad(&mut dice, 25),
            mute: bad(&mut dice, 25),
            dies: bad(&mut dice, 40),
            permanent: bad(&mut dice, 40),
            stubborn: bad(&mut dice, 50),
            script_fails: bad(&mut dice, 40),
            script_hangs: bad(&mut dice, 30),
        };
        for _ in 0..300 {
            something_happens(&mut town);
        }
        town.calm();
        town.run(LONG);
        let waits = town.waiting() != 0;
        assert!(!waits, "seed {seed}: a request waits for ever\n{}", town.describe());
        let manager = town.manager.as_ref().unwrap();
        for service in 0..count as Index {
            let settled = matches!(manager.actual(service), Actual::Up | Actual::Down);
            assert!(settled, "seed {seed}: s{service} is {:?} for ever", manager.actual(service));
        }

        // Init waits a while between starts, longer than some have time for.
        town.rest(Duration::from_secs(100));
        let all: Vec<Index> = (0..count as Index).collect();
        let up = town.ask(Verb::Up, all.clone(), None);
        town.run(LONG);
        let done = town.wishes[up].outcome == Some(Outcome::Done);
        assert!(done, "seed {seed}: not all is up\n{}", town.describe());
        assert!(town.bytes.iter().all(|&byte| is_up(byte)), "seed {seed}: {:?}", town.bytes);
        town.check_truth("all up");
        let down = town.ask(Verb::Down { essential: true }, all, None);
        town.run(LONG);
        assert_eq!(town.wishes[down].outcome, Some(Outcome::Done), "seed {seed}: all down");
        assert!(town.bytes.iter().all(|&byte| !is_up(byte)), "seed {seed}: {:?}", town.bytes);
        town.check_truth("all down");
    }
}

/// What the requests lead to, one after the other.
fn serially(town: &Town, graph: &Graph) -> Vec<bool> {
    let mut up = vec![false; graph.len()];
    for wish in &town.wishes {
        let (along, to) = match wish.ask.verb {
            Verb::Up => (Along::Needs, true),
            _ => (Along::NeededBy, false),
        };
        for &service in graph.closure(&wish.ask.services, along).members() {
            up[service as usize] = to;
        }
    }
    up
}

#[test]
fn a_hundred_clients_at_once_end_as_if_they_had_come_one_after_the_other() {
    for seed in seeds(400) {
        let mut dice = Dice::new(seed);
        let count = 5 + dice.below(20);
        let mut contents = services::database(&mut dice, count);
        for service in &mut contents.services {
            // A service that init starts a second after its last start must
            // not be called late here.
            (service.timeout_up, service.timeout_down) = (LONG, LONG);
        }
        let graph = services::open(&contents, |db| Graph::from(db));
        let mut town = Town::new(seed, contents);
        for _ in 0..100 {
            let verb = if dice.percent(50) { Verb::Up } else { Verb::Down { essential: true } };
            let names = some_services(&mut dice, count);
            town.ask(verb, names, None);
            for _ in 0..dice.below(4) {
                if !town.deliver() {
                    town.pass_time();
                }
            }
        }
        town.run(LONG);
        assert_eq!(town.waiting(), 0, "seed {seed}: a request waits for ever");
        let up: Vec<bool> = town.bytes.iter().map(|&byte| is_up(byte)).collect();
        assert_eq!(up, serially(&town, &graph), "seed {seed}");
        town.check_truth("in the end");
    }
}

#[test]
fn a_manager_that_is_killed_all_the_time_does_what_one_that_lives_does() {
    for seed in seeds(3_000) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(10);
        let mut town = Town::new(seed, services::database(&mut dice, count));
        let names = some_services(&mut dice, count);
        let wish = town.ask(Verb::Up, names.clone(), None);
        let graph = services::open(&town.contents, |db| Graph::from(db));
        for _ in 0..60 {
            if dice.percent(40) {
                town.kill_in_the_middle();
            } else if !town.deliver() {
                town.pass_time();
            }
        }
        town.run(LONG);
        assert_eq!(town.wishes[wish].outcome, Some(Outcome::Done), "seed {seed}");
        let ups = graph.closure(&names, Along::Needs);
        for service in 0..count {
            let up = is_up(town.bytes[service]);
            assert_eq!(up, ups.contains(service as Index), "seed {seed}: s{service}");
            if let (Some(slot), false) = (town.slots[service], town.is_longrun(service)) {
                let runs = town.init.unit(slot).unwrap().state().starts;
                assert!(runs <= 1, "seed {seed}: s{service} ran {runs} times");
            }
        }
        town.check_truth("in the end");
    }
}

#[test]
fn a_stuck_service_delays_only_what_needs_it() {
    // 0 never becomes ready; 1 needs it; 2 and 3 stand beside them.
    let mut town = Town::new(1, services::plain(4, &[&[], &[0], &[], &[2]]));
    town.streets.weather.mute = 100;
    let stuck = town.ask(Verb::Up, vec![1], None);
    town.run(Duration::from_secs(60));
    town.streets.weather.mute = 0;
    let beside = town.ask(Verb::Up, vec![3], None);
    town.run(Duration::from_secs(5));
    assert_eq!(town.wishes[beside].outcome, Some(Outcome::Done));
    assert_eq!(town.wishes[stuck].outcome, None, "it has no limit, so it may wait");

    // Who sets a limit does not wait longer, and what was begun goes on.
    let limited = town.ask(Verb::Up, vec![1], Some(Duration::from_millis(500)));
    town.run(Duration::from_secs(5));
    assert_eq!(town.wishes[limited].outcome, Some(Outcome::TimedOut));
    assert_eq!(town.manager.as_ref().unwrap().actual(0), Actual::Starting);

    // A newer request wins, and the older one is told at once.
    let down = town.ask(Verb::Down { essential: true }, vec![0], None);
    assert_eq!(town.wishes[stuck].outcome, Some(Outcome::Failed(2)));
    town.run(Duration::from_secs(5));
    assert_eq!(town.wishes[down].outcome, Some(Outcome::Done));
    town.check_truth("in the end");
}

#[test]
fn init_hears_that_all_is_down_even_where_something_does_not_stop() {
    for seed in seeds(200) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(8);
        let mut town = Town::new(seed, services::database(&mut dice, count));
        town.ask(Verb::Up, (0..count as Index).collect(), None);
        town.run(LONG);
        town.streets.weather.stubborn = 50;
        town.streets.weather.script_hangs = 20;
        town.event(engine::service::manage::Event::StopAll);
        let late = town.ask(Verb::Up, vec![0], None);
        assert_eq!(town.wishes[late].outcome, Some(Outcome::Failed(1)), "seed {seed}");
        town.run(LONG);
        assert_eq!(town.all_down, 1, "seed {seed}");
    }
}

#[test]
fn what_init_holds_down_comes_back_when_it_is_asked_for() {
    let mut town = Town::new(1, services::plain(2, &[&[], &[0]]));
    let up = town.ask(Verb::Up, vec![1], None);
    town.run(LONG);
    assert_eq!(town.wishes[up].outcome, Some(Outcome::Done));

    // `s6-svc -d`: the graph does not care.
    let slot = town.slots[0].unwrap();
    town.init_event(slot, engine::machine::Event::Control(b'd'));
    town.run(LONG);
    assert!(is_up(town.bytes[0]) && is_up(town.bytes[1]));
    assert_eq!(town.init.unit(slot).unwrap().state().phase, Phase::Down);

    let again = town.ask(Verb::Up, vec![1], None);
    town.run(LONG);
    assert_eq!(town.wishes[again].outcome, Some(Outcome::Done));
    town.check_truth("it is back");
}

#[test]
fn a_restart_takes_along_what_needs_the_service_and_is_up() {
    // 1 and 2 need 0; 2 is down.
    let mut town = Town::new(1, services::plain(3, &[&[], &[0], &[0]]));
    town.ask(Verb::Up, vec![1], None);
    town.run(LONG);
    let starts = |town: &Town, service: usize| {
        town.init.unit(town.slots[service].unwrap()).unwrap().state().starts
    };
    let restart = town.ask(Verb::Restart, vec![0], None);
    town.run(LONG);
    assert_eq!(town.wishes[restart].outcome, Some(Outcome::Done));
    assert_eq!([starts(&town, 0), starts(&town, 1), starts(&town, 2)], [2, 2, 0]);

    // Asked for again, as a client does whose manager was killed: done already.
    let ask = town.wishes[restart].ask.clone();
    town.wishes[restart].outcome = None;
    town.event(engine::service::manage::Event::Ask(ask));
    town.run(LONG);
    assert_eq!(town.wishes[restart].outcome, Some(Outcome::Done));
    assert_eq!([starts(&town, 0), starts(&town, 1)], [2, 2]);
}
