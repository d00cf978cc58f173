//! Controllers that change their minds, in any weather, while manager and init
//! are killed: in the end everything is as they want it.

use std::time::Duration;

use engine::service::manage::{Along, Graph, Outcome, Verb};
use model::service::database::{Contents, Index, Reaction, Script};
use model::service::graph;
use model::service::live_state::AWAITED;
use model::service::request::Phase;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken, same};
use sim::services;
use sim::story::{Cast, something_happens};
use sim::town::Town;

const ESSENTIAL_TOO: Verb = Verb::Down { essential: true };

/// What controllers think: each knows what it wants, and asks where that is not so.
struct Minds {
    /// Of each controlled service: its controller, and whether it shall be up.
    wanted: Vec<Option<(Index, bool)>>,
    /// The last request for each.
    asked: Vec<Option<usize>>,
}

impl Minds {
    fn new(contents: &Contents) -> Self {
        let mut wanted = vec![None; contents.services.len()];
        for controller in &contents.controllers {
            for control in &controller.controls {
                wanted[control.service as usize] = Some((controller.service, false));
            }
        }
        Self { asked: vec![None; wanted.len()], wanted }
    }

    fn controlled(&self) -> Vec<usize> {
        (0..self.wanted.len()).filter(|&service| self.wanted[service].is_some()).collect()
    }

    fn one_changes(&mut self, dice: &mut Dice) {
        if let Some(&service) = dice.pick(&self.controlled())
            && let Some((_, up)) = &mut self.wanted[service]
        {
            *up = !*up;
        }
    }

    /// Those that run compare what is with what shall be. `false`: nobody asks
    /// for anything.
    fn look(&mut self, town: &mut Town) -> bool {
        let mut asks = false;
        for service in self.controlled() {
            let Some((controller, up)) = self.wanted[service] else { continue };
            let waits = self.asked[service].is_some_and(|wish| town.office.wishes[wish].waits());
            let runs = town.office.is_connected() && town.is_up(controller as usize);
            let Some(machine) = &town.office.machine else { return false };
            if runs && !waits && machine.goal(service as Index) != up {
                let verb = if up { Verb::Up } else { Verb::Down { essential: false } };
                self.asked[service] = Some(town.ask_as(controller, verb, service as Index));
                asks = true;
            }
        }
        asks
    }

    /// What shall be up once everybody has asked for everything.
    fn expected(&self, contents: &Contents) -> Vec<bool> {
        let mut waiting = graph::Graph::with_capacity(self.wanted.len());
        for (service, wanted) in contents.services.iter().zip(&self.wanted) {
            service.needs.iter().for_each(|need| waiting.add_edge(*need));
            wanted.iter().for_each(|(controller, _)| waiting.add_edge(*controller));
            waiting.end_node();
        }
        let mut up = vec![false; self.wanted.len()];
        for service in waiting.sort().0 {
            let needs = waiting.edges(service).iter().all(|need| up[*need as usize]);
            let wanted = self.wanted[service as usize].is_none_or(|(_, wanted)| wanted);
            up[service as usize] = needs && wanted;
        }
        up
    }
}

fn house(dice: &mut Dice) -> Contents {
    let count = 3 + dice.below(10);
    let mut contents = services::database(dice, count);
    for service in &mut contents.services {
        // One that is spared has a will of its own.
        service.essential = false;
        let long = Duration::from_secs(600);
        (service.timeout_up, service.timeout_down) = (long, long);
    }
    services::with_controllers(dice, &mut contents);
    contents
}

/// Everybody asks until nobody has to ask any more, or asking again changes nothing.
fn agree(town: &mut Town, minds: &mut Minds) {
    let mut before = Vec::new();
    for _ in 0..50 {
        town.settle();
        let now = ups(town);
        if !minds.look(town) || now == before {
            town.settle();
            return;
        }
        before = now;
    }
    broken(Law::Settles, format!("controllers ask for ever\n{}", town.describe()));
}

fn everything(town: &Town) -> Vec<Index> {
    (0..town.len() as Index).collect()
}

fn check(town: &Town, minds: &Minds, what: &str) {
    let contents = &town.root.streets.judge.contents;
    let expected = minds.expected(contents);
    for (service, expected) in expected.iter().enumerate() {
        if town.is_up(service) != *expected {
            let text = format!(
                "{what}: s{service} should be up: {expected}; {:?} of {:?}\n{}",
                minds.wanted,
                contents.controllers,
                town.describe()
            );
            broken(Law::Controlled, text);
        }
    }
    town.check_truth(what);
    check_fresh(town);
}

/// Whatever is to be restarted with its needs runs since after them.
fn check_fresh(town: &Town) {
    for reaction in &town.root.streets.judge.contents.reactions {
        let (user, need) = (reaction.user as usize, reaction.need as usize);
        if reaction.reaction != Reaction::Restart || !town.is_up(user) || !town.is_longrun(need) {
            continue;
        }
        let (Some(of_user), Some(of_need)) = (town.state(user), town.state(need)) else { continue };
        let script = of_user.ticket & 3;
        let ran = of_user.ticket != 0 && (town.is_longrun(user) || script == Script::Up as u32);
        if ran && town.is_up(need) && of_user.since < of_need.since {
            let text = format!("s{user} was not restarted with s{need}\n{}", town.describe());
            broken(Law::Fresh, text);
        }
    }
}

#[test]
fn whatever_controllers_want_meanwhile_in_the_end_everything_is_as_they_want_it() {
    for seed in seeds(1_500) {
        let mut dice = Dice::new(seed);
        let contents = house(&mut dice);
        let mut minds = Minds::new(&contents);
        let mut town = Town::new(seed, contents);
        let all = everything(&town);
        let cast = Cast { meddler: false, ..Cast::some(&mut dice) };
        let bad = dice.percent(60);
        if bad {
            town.root.streets.linux.weather = sim::linux::Weather::bad(&mut dice);
        }
        town.ask_bundle(Verb::Up, all.clone());
        for _ in 0..80 {
            match dice.below(12) {
                0 => minds.one_changes(&mut dice),
                1..=3 => _ = minds.look(&mut town),
                4 => _ = town.ask_bundle(Verb::Up, all.clone()),
                5 if bad => something_happens(&mut town, cast),
                6 if cast.killer => town.kill_manager_in_the_middle(),
                7 if dice.percent(20) => {
                    let some = dice.below(town.len()) as Index;
                    town.ask(Verb::Restart, vec![some], None);
                }
                8 if dice.percent(30) => {
                    let some = dice.below(town.len()) as Index;
                    town.publish(some);
                }
                _ if town.somebody_acts(false) => {}
                _ => drop(town.pass_time()),
            }
        }
        town.calm();
        town.settle();
        // Somebody may have named one whose controller is not up.
        let controlled = minds.controlled().into_iter().map(|service| service as Index).collect();
        town.ask(ESSENTIAL_TOO, controlled, None);
        agree(&mut town, &mut minds);
        town.ask_bundle(Verb::Up, all);
        agree(&mut town, &mut minds);
        check(&town, &minds, "in the end");

        // They go on like that.
        for _ in 0..6 {
            minds.one_changes(&mut dice);
            if dice.percent(30) {
                town.kill_manager();
                town.until(|town| town.office.is_connected());
            }
            minds.look(&mut town);
            agree(&mut town, &mut minds);
            check(&town, &minds, "after a change");
        }
    }
}

#[test]
fn what_is_controlled_starts_neither_with_a_bundle_nor_with_everything_else() {
    for seed in seeds(500) {
        let mut dice = Dice::new(seed);
        let contents = house(&mut dice);
        let minds = Minds::new(&contents);
        let mut town = Town::new(seed, contents);
        let all = everything(&town);
        if dice.percent(50) {
            town.ask_bundle(Verb::Up, all);
        } else {
            let none = town.ask_all(ESSENTIAL_TOO, vec![], None, true);
            town.settle();
            same(Law::Obeys, town.outcome(none), Some(Outcome::Done), "everything else");
        }
        if dice.percent(30) {
            town.kill_manager_in_the_middle();
        }
        town.settle();
        check(&town, &minds, "after the boot");
        for service in 0..town.len() {
            let starts = town.state(service).map_or(0, |state| state.starts);
            if !town.is_up(service) && starts != 0 {
                broken(Law::Controlled, format!("s{service} was started by nobody's wish"));
            }
        }
    }
}

#[test]
fn who_stops_a_controller_stops_what_it_starts_and_who_kills_it_does_not() {
    for seed in seeds(500) {
        let mut dice = Dice::new(seed);
        let contents = house(&mut dice);
        let mut minds = Minds::new(&contents);
        for (_, up) in minds.wanted.iter_mut().flatten() {
            *up = true;
        }
        let graph = services::open(&contents, |db| Graph::from(db));
        let Some(controller) = contents.controllers.first().map(|entry| entry.service) else {
            continue;
        };
        let reacts = !contents.reactions.is_empty();
        let mut town = Town::new(seed, contents);
        let all = everything(&town);
        town.ask_bundle(Verb::Up, all.clone());
        agree(&mut town, &mut minds);
        check(&town, &minds, "all is up");

        // Killed, it comes back, and nothing else has noticed.
        let starts = |town: &Town| -> Vec<u32> {
            (0..town.len()).map(|s| town.state(s).map_or(0, |state| state.starts)).collect()
        };
        let before = starts(&town);
        let slot = town.slot(controller as usize).expect("init holds it");
        town.letters(slot, b"k");
        agree(&mut town, &mut minds);
        if !reacts {
            let mut after = starts(&town);
            after[controller as usize] -= 1;
            same(Law::Controlled, after, before, "a controller was killed");
        }
        check(&town, &minds, "it was killed");

        // Stopped, it takes along what it starts, however much it asks.
        let mut gone = graph.closure(&[controller], Along::NeededBy).into_members();
        loop {
            let more = graph.closure(&gone, Along::NeededBy).into_members();
            let more: Vec<Index> = (0..town.len() as Index)
                .filter(|&s| {
                    more.contains(&s) || graph.starter(s).is_some_and(|k| gone.contains(&k))
                })
                .collect();
            if more.len() == gone.len() {
                break;
            }
            gone = more;
        }
        town.ask(ESSENTIAL_TOO, vec![controller], None);
        for _ in 0..dice.below(20) {
            minds.asked.fill(None);
            // It is still running, and thinks that what goes should not.
            for service in minds.controlled() {
                if minds.wanted[service].is_some_and(|(by, _)| by == controller) {
                    town.ask_as(controller, Verb::Up, service as Index);
                }
            }
            if !town.somebody_acts(false) {
                town.pass_time();
            }
        }
        town.settle();
        for service in 0..town.len() {
            let what = format!("s{service} after s{controller} was stopped");
            same(Law::Controlled, town.is_up(service), !gone.contains(&(service as Index)), what);
        }
        // And back.
        town.ask_bundle(Verb::Up, all);
        agree(&mut town, &mut minds);
        check(&town, &minds, "it is back");
    }
}

/// 0 controls 2, which 3 needs; 1 controls 4, which 3 needs, too; 5 needs nothing
/// and is controlled by 1.
fn two_controllers() -> Contents {
    let mut contents = services::plain(6, &[&[], &[], &[], &[2, 4], &[], &[4]]);
    for (controller, controlled) in [(0, &[2][..]), (1, &[4, 5])] {
        contents.controllers.push(model::service::database::ControllerEntry {
            service: controller,
            kind: model::controller::Kind::Other,
            own: "kind other\n".into(),
            controls: controlled
                .iter()
                .map(|&service| model::service::database::ControlEntry {
                    service,
                    text: String::new(),
                })
                .collect(),
        });
    }
    contents
}

fn ups(town: &Town) -> Vec<usize> {
    (0..town.len()).filter(|&service| town.is_up(service)).collect()
}

#[test]
fn what_needs_two_controlled_services_comes_with_the_second_and_goes_with_the_first() {
    let mut town = Town::new(1, two_controllers());
    let boot = town.ask_bundle(Verb::Up, vec![0, 1, 2, 3, 4, 5]);
    town.settle();
    assert_eq!((town.outcome(boot), ups(&town)), (Some(Outcome::Done), vec![0, 1]));
    town.ask_as(0, Verb::Up, 2);
    town.settle();
    assert_eq!(ups(&town), [0, 1, 2]);
    // 5 needs 4, which its controller has not brought up.
    let early = town.ask_as(1, Verb::Up, 5);
    town.settle();
    assert_eq!((town.outcome(early), ups(&town)), (Some(Outcome::Failed(1)), vec![0, 1, 2]));
    town.ask_as(1, Verb::Up, 4);
    town.settle();
    // 5 is controlled: it does not come by itself.
    assert_eq!(ups(&town), [0, 1, 2, 3, 4]);
    town.ask_as(0, Verb::Down { essential: false }, 2);
    town.settle();
    assert_eq!(ups(&town), [0, 1, 4]);
    // A person may name it.
    let named = town.ask(Verb::Up, vec![3], None);
    town.settle();
    assert_eq!((town.outcome(named), ups(&town)), (Some(Outcome::Done), vec![0, 1, 2, 3, 4]));
    // A check has nothing to restart where nothing is.
    let restart = town.ask_as(1, Verb::Restart, 5);
    town.settle();
    assert_eq!(
        (town.outcome(restart), ups(&town)),
        (Some(Outcome::Failed(1)), vec![0, 1, 2, 3, 4])
    );
    // Whoever wants nothing but the controllers leaves them what they started.
    town.ask_all(Verb::Up, vec![0, 1], None, true);
    town.settle();
    assert_eq!(ups(&town), [0, 1, 2, 3, 4]);
    town.ask_all(Verb::Up, vec![0], None, true);
    town.settle();
    assert_eq!(ups(&town), [0, 2]);
}

#[test]
fn what_reacts_to_what_others_publish_does_so_once_and_only_while_they_are_up() {
    let mut contents = services::plain(3, &[&[], &[0], &[0]]);
    let reaction = Reaction::Restart;
    contents.reactions.push(model::service::database::ReactionEntry { user: 1, need: 0, reaction });
    let mut town = Town::new(1, contents);
    town.publish(0);
    town.settle();
    assert!(ups(&town).is_empty());
    town.ask(Verb::Up, vec![1, 2], None);
    town.settle();
    let starts = |town: &Town| [0, 1, 2].map(|s| town.state(s).expect("it is held").starts);
    town.publish(0);
    town.publish(0);
    town.settle();
    same(Law::Fresh, starts(&town), [1, 2, 1], "two at once");
    town.publish(0);
    town.settle();
    same(Law::Fresh, starts(&town), [1, 3, 1], "and later once more");
}

#[test]
fn what_a_bundle_was_asked_for_comes_with_all_that_it_needs() {
    // 0 controls 1; 3 needs 1, and 2, which nobody names; 4 needs 3 and is in no bundle; 5 needs
    // 1 and something that nobody wants.
    let mut contents = services::plain(7, &[&[], &[], &[], &[1, 2], &[3], &[1, 6], &[]]);
    contents.controllers.push(model::service::database::ControllerEntry {
        service: 0,
        kind: model::controller::Kind::Other,
        own: "kind other\n".into(),
        controls: vec![model::service::database::ControlEntry { service: 1, text: String::new() }],
    });
    let mut town = Town::new(1, contents);
    town.ask_bundle(Verb::Up, vec![0, 1, 3]);
    town.settle();
    assert_eq!(ups(&town), [0]);
    for _ in 0..2 {
        town.kill_manager();
        town.until(|town| town.office.is_connected());
        town.ask_as(0, Verb::Up, 1);
        town.settle();
        same(Law::Controlled, ups(&town), vec![0, 1, 2, 3, 4], "it has come");
        town.ask_as(0, Verb::Down { essential: false }, 1);
        town.settle();
        same(Law::Controlled, ups(&town), vec![0, 2], "it has gone");
        // An update looks at this.
        let waits = town.root.streets.linux.state[3] & AWAITED != 0;
        same(Law::Controlled, waits, true, "what was asked for waits");
    }
    // Whoever stops it wants it no more.
    town.ask(ESSENTIAL_TOO, vec![2, 3], None);
    town.settle();
    town.ask_as(0, Verb::Up, 1);
    town.settle();
    assert_eq!(ups(&town), [0, 1]);
}

#[test]
fn what_reacts_to_a_need_is_told_or_restarted_when_it_runs_afresh() {
    for (reaction, killed) in
        [(Reaction::Notify, false), (Reaction::Restart, false), (Reaction::Restart, true)]
    {
        // 1 reacts to 0, 2 does not.
        let mut contents = services::plain(3, &[&[], &[0], &[0]]);
        contents.reactions.push(model::service::database::ReactionEntry {
            user: 1,
            need: 0,
            reaction,
        });
        let mut town = Town::new(1, contents);
        town.ask(Verb::Up, vec![1, 2], None);
        town.settle();
        let starts = |town: &Town| [0, 1, 2].map(|s| town.state(s).expect("it is held").starts);
        assert_eq!(starts(&town), [1, 1, 1]);
        town.rest(Duration::from_secs(5));
        if killed {
            town.kill_manager();
        }
        town.letters(town.slot(0).expect("init holds it"), b"k");
        if killed {
            // It dies and comes back while there is no manager.
            town.until(|town| {
                town.state(0).is_some_and(|s| s.starts == 2 && s.phase == Phase::Ready)
            });
        }
        town.settle();
        let restarted = u32::from(reaction == Reaction::Restart);
        same(Law::Fresh, starts(&town), [2, 1 + restarted, 1], format!("{reaction:?}"));
        check_fresh(&town);
    }
}
