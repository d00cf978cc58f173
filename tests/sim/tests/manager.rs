//! The graph: what clients want, and what comes of it.

use std::time::Duration;

use engine::service::manage::{Actual, Along, Graph, Outcome, Verb};
use model::service::database::{Index, Kind};
use model::service::live_state::AGAIN;
use model::service::request::Phase;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken, same};
use sim::services;
use sim::story::some_services;
use sim::town::{LONG, Town};

const ESSENTIAL_TOO: Verb = Verb::Down { essential: true };

/// What the requests lead to, one after the other.
fn serially(town: &Town, graph: &Graph, order: &[usize]) -> Vec<bool> {
    let mut up = vec![false; graph.len()];
    for &wish in order {
        let ask = &town.office.wishes[wish].ask;
        let (along, to) = match ask.verb {
            Verb::Up => (Along::Needs, true),
            _ => (Along::NeededBy, false),
        };
        for &service in graph.closure(&ask.services, along).members() {
            up[service as usize] = to;
        }
    }
    up
}

/// A database in which nothing is ever late: a service that init starts a
/// second after its last start must not count as such.
fn patient_database(dice: &mut Dice, count: usize) -> model::service::database::Contents {
    let mut contents = services::database(dice, count);
    for service in &mut contents.services {
        (service.timeout_up, service.timeout_down) = (LONG, LONG);
    }
    contents
}

fn ups(town: &Town) -> Vec<bool> {
    (0..town.len()).map(|service| town.is_up(service)).collect()
}

#[test]
fn a_hundred_clients_at_once_end_as_if_they_had_come_one_after_the_other() {
    for seed in seeds(200) {
        let mut dice = Dice::new(seed);
        let count = 5 + dice.below(20);
        let contents = patient_database(&mut dice, count);
        let graph = services::open(&contents, |db| Graph::from(db));
        let mut town = Town::new(seed, contents);
        for _ in 0..100 {
            let verb = if dice.percent(50) { Verb::Up } else { ESSENTIAL_TOO };
            let names = some_services(&mut dice, count);
            town.ask(verb, names, None);
            // One after the other: each is heard before the next comes.
            town.manager_turn(true);
            for _ in 0..dice.below(4) {
                if !town.somebody_acts(false) {
                    town.pass_time();
                }
            }
        }
        town.settle();
        let order: Vec<usize> = (0..100).collect();
        same(Law::Obeys, ups(&town), serially(&town, &graph, &order), "one after the other");
        town.check_truth("in the end");
    }
}

/// Every order of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..count {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

#[test]
fn however_often_manager_and_init_begin_anew_it_ends_like_some_order_of_the_requests() {
    for seed in seeds(1_500) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(8);
        let contents = patient_database(&mut dice, count);
        let graph = services::open(&contents, |db| Graph::from(db));
        let mut town = Town::new(seed, contents);
        let wishes = 1 + dice.below(4);
        for _ in 0..wishes {
            let verb = if dice.percent(60) { Verb::Up } else { ESSENTIAL_TOO };
            let names = some_services(&mut dice, count);
            town.ask(verb, names, None);
            for _ in 0..dice.below(40) {
                match dice.below(20) {
                    0 => town.kill_manager_in_the_middle(),
                    // A script that is cut off too often has failed.
                    1 if town.root.falls < 3 => town.let_init_fall(),
                    2 => town.hang_up_at_manager(),
                    3 => town.hang_up_at_init(),
                    _ if town.somebody_acts(false) => {}
                    _ => drop(town.pass_time()),
                }
            }
        }
        town.settle();
        let found = ups(&town);
        if !orders(wishes).iter().any(|order| serially(&town, &graph, order) == found) {
            broken(Law::Obeys, format!("{found:?} is what no order leads to\n{}", town.describe()));
        }
        town.check_truth("in the end");
    }
}

#[test]
fn a_manager_that_is_killed_all_the_time_does_what_one_that_lives_does() {
    for seed in seeds(1_500) {
        let mut dice = Dice::new(seed);
        let count = 3 + dice.below(10);
        let mut town = Town::new(seed, patient_database(&mut dice, count));
        let names = some_services(&mut dice, count);
        let wish = town.ask(Verb::Up, names.clone(), None);
        let graph = services::open(&town.root.streets.judge.contents, |db| Graph::from(db));
        for _ in 0..60 {
            if dice.percent(30) {
                town.kill_manager_in_the_middle();
            } else if !town.somebody_acts(false) {
                town.pass_time();
            }
        }
        town.settle();
        same(Law::Obeys, town.outcome(wish), Some(Outcome::Done), "the request");
        let up = graph.closure(&names, Along::Needs);
        for service in 0..count {
            let what = format!("s{service}");
            same(Law::Obeys, town.is_up(service), up.contains(service as Index), what);
            let starts = town.state(service).map_or(0, |state| state.starts);
            if !town.is_longrun(service) && starts > 1 {
                broken(Law::OnceEach, format!("s{service} ran {starts} times"));
            }
        }
        town.check_truth("in the end");
    }
}

#[test]
fn a_stuck_service_delays_only_what_needs_it() {
    // 0 never becomes ready; 1 needs it; 2 and 3 stand beside them.
    let mut town = Town::new(1, services::plain(4, &[&[], &[0], &[], &[2]]));
    town.root.streets.linux.weather.mute = 100;
    let stuck = town.ask(Verb::Up, vec![1], None);
    town.run(Duration::from_secs(60));
    town.root.streets.linux.weather.mute = 0;
    let beside = town.ask(Verb::Up, vec![3], None);
    town.run(Duration::from_secs(5));
    assert_eq!(town.outcome(beside), Some(Outcome::Done));
    assert_eq!(town.outcome(stuck), None, "it has no limit, so it may wait");

    // Who sets a limit does not wait longer, and what was begun goes on.
    let limited = town.ask(Verb::Up, vec![1], Some(Duration::from_millis(500)));
    town.run(Duration::from_secs(5));
    assert_eq!(town.outcome(limited), Some(Outcome::TimedOut));
    assert_eq!(town.manager().actual(0), Actual::Starting);

    // A newer request wins, and the older one is told at once.
    let down = town.ask(ESSENTIAL_TOO, vec![0], None);
    town.manager_turn(true);
    assert_eq!(town.outcome(stuck), Some(Outcome::Failed(2)));
    town.run(Duration::from_secs(5));
    assert_eq!(town.outcome(down), Some(Outcome::Done));
    town.check_truth("in the end");
}

#[test]
fn whatever_is_stuck_all_that_does_not_need_it_comes_up_beside_it() {
    for seed in seeds(500) {
        let mut dice = Dice::new(seed);
        let count = 4 + dice.below(10);
        let contents = patient_database(&mut dice, count);
        let graph = services::open(&contents, |db| Graph::from(db));
        let stuck = dice.below(count) as Index;
        let mut town = Town::new(seed, contents);
        let weather = &mut town.root.streets.linux.weather;
        (weather.mute, weather.script_hangs) = (100, 100);
        // What it needs comes up before it gets stuck.
        let needs = graph.closure(graph.needs(stuck), Along::Needs).into_members();
        let weather = town.root.streets.linux.weather;
        town.root.streets.linux.weather = Default::default();
        town.ask(Verb::Up, needs, None);
        town.settle();
        town.root.streets.linux.weather = weather;
        let late = town.ask(Verb::Up, vec![stuck], None);
        town.run(Duration::from_secs(1));
        town.root.streets.linux.weather = Default::default();

        let users = graph.closure(&[stuck], Along::NeededBy);
        let beside = graph.others(&users);
        let begun = town.now();
        let wish = town.ask(Verb::Up, beside, None);
        town.until(|town| town.outcome(wish).is_some());
        same(Law::Apart, town.outcome(wish), Some(Outcome::Done), "all beside it");
        let took = town.now() - begun;
        // Each takes under 60 ms, one behind the other.
        if took > Duration::from_millis(100 * count as u64) {
            broken(Law::Apart, format!("it took {took:?}"));
        }
        let idle = town.outcome(late) == Some(Outcome::Done);
        if !idle && town.is_up(stuck as usize) {
            broken(Law::Apart, "what is stuck is up");
        }
    }
}

#[test]
fn what_init_holds_down_comes_back_when_it_is_asked_for() {
    let mut town = Town::new(1, services::plain(2, &[&[], &[0]]));
    let up = town.ask(Verb::Up, vec![1], None);
    town.settle();
    assert_eq!(town.outcome(up), Some(Outcome::Done));

    // `s6-svc -d`: the graph does not care.
    town.letters(town.slot(0).unwrap(), b"d");
    town.settle();
    assert!(town.is_up(0) && town.is_up(1));
    assert_eq!(town.state(0).unwrap().phase, Phase::Down);

    let again = town.ask(Verb::Up, vec![1], None);
    town.settle();
    assert_eq!(town.outcome(again), Some(Outcome::Done));
    town.check_truth("it is back");
}

#[test]
fn a_restart_takes_along_what_needs_the_service_and_is_up() {
    // 1 and 2 need 0; 2 is down.
    let mut town = Town::new(1, services::plain(3, &[&[], &[0], &[0]]));
    town.ask(Verb::Up, vec![1], None);
    town.settle();
    let starts = |town: &Town, service: usize| town.state(service).unwrap().starts;
    let restart = town.ask(Verb::Restart, vec![0], None);
    town.settle();
    assert_eq!(town.outcome(restart), Some(Outcome::Done));
    assert_eq!([starts(&town, 0), starts(&town, 1), starts(&town, 2)], [2, 2, 0]);

    // Asked for again, as a client does whose manager was killed: done already.
    let mut ask = town.office.wishes[restart].ask.clone();
    ask.client = town.office.wishes.len() as u32;
    town.office.ask(ask);
    town.settle();
    assert_eq!(town.outcome(restart + 1), Some(Outcome::Done));
    assert_eq!([starts(&town, 0), starts(&town, 1)], [2, 2]);
}

#[test]
fn who_gives_up_waiting_leaves_nothing_half_wanted() {
    // 0 was held down and comes back slowly, 2 does not end when it is told to.
    let mut town = Town::new(1, services::plain(3, &[&[], &[0], &[1]]));
    town.ask(Verb::Up, vec![1], None);
    town.settle();
    town.letters(town.slot(0).unwrap(), b"d");
    town.settle();
    let weather = &mut town.root.streets.linux.weather;
    (weather.mute, weather.stubborn) = (100, 100);
    town.ask(Verb::Up, vec![2], None);
    town.run(Duration::from_millis(100));
    assert_eq!(town.manager().actual(0), Actual::Reviving);
    let limit = Duration::from_millis(500);
    let down = town.ask(ESSENTIAL_TOO, vec![0], Some(limit));
    town.run(Duration::from_secs(1));
    assert_eq!(town.outcome(down), Some(Outcome::TimedOut));
    town.calm();
    town.settle();
    assert_eq!(ups(&town), [true, true, false]);
}

#[test]
fn what_fails_for_good_while_nobody_wants_it_can_be_asked_for_again() {
    let mut contents = services::plain(2, &[&[], &[0]]);
    for service in &mut contents.services {
        if let Kind::Longrun(longrun) = &mut service.kind {
            longrun.has_finish = true;
        }
    }
    let mut town = Town::new(1, contents);
    town.ask(Verb::Up, vec![1], None);
    town.settle();
    let weather = &mut town.root.streets.linux.weather;
    (weather.mute, weather.dies, weather.permanent, weather.stubborn) = (100, 100, 100, 100);
    town.letters(town.slot(0).unwrap(), b"k");
    town.settle();
    assert!(town.state(0).unwrap().gave_up.is_some());
    // It is brought back, and not wanted any more before it fails again.
    town.ask(Verb::Up, vec![0], None);
    town.manager_turn(true);
    town.init_turn(true);
    town.ask(ESSENTIAL_TOO, vec![0], None);
    town.run(Duration::from_secs(10));
    assert!(town.state(0).unwrap().gave_up.is_some());
    let up = town.ask(Verb::Up, vec![1], None);
    town.calm();
    town.settle();
    same(Law::Obeys, town.outcome(up), Some(Outcome::Done), "asked for again");
    assert_eq!(ups(&town), [true, true]);
}

#[test]
fn what_comes_back_after_a_kill_takes_along_what_it_needs() {
    let mut town = Town::new(1, services::plain(2, &[&[], &[0]]));
    // So a manager leaves them that is killed in the middle of a restart whose
    // first half took long.
    town.root.streets.linux.state = vec![0, AGAIN];
    town.kill_manager();
    town.settle();
    assert_eq!(ups(&town), [true, true]);
}
