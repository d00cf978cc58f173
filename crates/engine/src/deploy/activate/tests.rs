//! Trials step by step: what is kept, what is not, and that no phase lasts for ever.

use super::*;
use alloc::vec;
use model::deploy::history::Number;
use model::deploy::trial::DEADLINE;

fn id() -> Id {
    Id::parse("right-one").expect("it is one")
}

fn trial(way: Way, confirm: bool) -> Trial {
    let plan = Plan {
        id: id(),
        way,
        number: Number::FIRST,
        new: "/new".into(),
        old: "/old".into(),
        deadline: DEADLINE,
        confirm,
        by: "me".into(),
        began: at(0),
    };
    Trial::new(&plan, Progress::new(at(0)))
}

fn at(seconds: u64) -> Moment {
    Moment::from_nanos(1) + Duration::from_secs(seconds)
}

fn step(trial: &mut Trial, seconds: u64, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    trial.step(at(seconds), event, &mut actions);
    actions
}

fn switched() -> Event {
    Event::Switched { warnings: vec![] }
}

#[test]
fn what_is_confirmed_in_time_is_kept() {
    let mut trial = trial(Way::Live, true);
    assert_eq!(step(&mut trial, 0, Event::Begin), [Action::Save, Action::Switch]);
    assert_eq!(step(&mut trial, 30, switched()), [Action::Save, Action::Check]);
    assert_eq!(step(&mut trial, 35, Event::Healthy), [Action::Save]);
    let other = Event::Confirm { id: Id::parse("wrong-one").expect("it is one") };
    assert_eq!(step(&mut trial, 40, other), []);
    assert_eq!(step(&mut trial, 119, Event::Tick), []);
    let right = Event::Confirm { id: id() };
    assert_eq!(step(&mut trial, 119, right), [Action::Save, Action::Commit]);
    assert_eq!(step(&mut trial, 119, Event::RollBack { by: "me".into() }), [], "too late");
    assert_eq!(step(&mut trial, 120, Event::Committed), [Action::Save, Action::End]);
}

#[test]
fn the_deadline_counts_from_when_services_had_gone_over() {
    let mut trial = trial(Way::Live, true);
    step(&mut trial, 0, Event::Begin);
    step(&mut trial, 100, switched());
    step(&mut trial, 150, Event::Healthy);
    assert_eq!(trial.deadline(), Some(at(190)));
    assert_eq!(step(&mut trial, 190, Event::Tick), [Action::Save, Action::Return]);
    assert!(trial.progress().reason.starts_with("nobody confirmed it within 90 s"));
    let late = Event::Confirm { id: id() };
    assert_eq!(trial.answer(&id()), Answer::Late);
    assert_eq!(step(&mut trial, 191, late), []);
    assert_eq!(step(&mut trial, 192, Event::Returned), [Action::Save, Action::End]);
}

#[test]
fn what_is_confirmed_early_is_kept_once_it_is_healthy() {
    let mut trial = trial(Way::Live, true);
    step(&mut trial, 0, Event::Begin);
    assert_eq!(step(&mut trial, 1, Event::Confirm { id: id() }), [Action::Save]);
    step(&mut trial, 2, switched());
    assert_eq!(step(&mut trial, 3, Event::Healthy), [Action::Save, Action::Commit]);
}

#[test]
fn nobody_needs_to_confirm_what_was_begun_so() {
    let mut trial = trial(Way::Started, false);
    assert_eq!(step(&mut trial, 0, Event::Begin), [Action::Save, Action::Check]);
    assert_eq!(step(&mut trial, 3, Event::Healthy), [Action::Save, Action::Commit]);
}

#[test]
fn a_generation_that_the_device_started_with_is_left_by_a_restart() {
    let mut trial = trial(Way::Started, true);
    step(&mut trial, 0, Event::Begin);
    step(&mut trial, 1, Event::NotYet { why: "sshd is down".into() });
    assert_eq!(step(&mut trial, 90, Event::Tick), [Action::Save, Action::Restart]);
    assert!(trial.progress().reason.ends_with("sshd is down"), "{}", trial.progress().reason);
    assert_eq!(step(&mut trial, 150, Event::Tick), [Action::Save, Action::RestartAtOnce]);
}

#[test]
fn who_is_killed_again_and_again_gives_up_and_says_so() {
    let mut trial = trial(Way::Live, true);
    step(&mut trial, 0, Event::Begin);
    for _ in 0..TRIAL_RESUMES_MAX {
        assert_eq!(step(&mut trial, 1, Event::Begin), [Action::Save, Action::Switch]);
    }
    assert_eq!(step(&mut trial, 1, Event::Begin), [Action::Save, Action::Return]);
    for _ in 0..TRIAL_RESUMES_MAX {
        assert_eq!(step(&mut trial, 1, Event::Begin), [Action::Save, Action::Return]);
    }
    assert_eq!(step(&mut trial, 1, Event::Begin), [Action::Save, Action::Restart]);
}

#[test]
fn every_phase_that_waits_ends_by_itself() {
    for (phase, events) in [
        (Phase::Switching, vec![]),
        (Phase::Checking, vec![switched()]),
        (Phase::Awaiting, vec![switched(), Event::Healthy]),
        (Phase::Committing, vec![Event::Confirm { id: id() }, switched(), Event::Healthy]),
        (Phase::Returning, vec![Event::SwitchFailed { why: "no".into() }]),
    ] {
        let mut trial = trial(Way::Live, true);
        step(&mut trial, 0, Event::Begin);
        for event in events {
            step(&mut trial, 0, event);
        }
        assert_eq!(trial.phase(), phase);
        let until = trial.deadline().expect("it has one");
        let mut actions = Vec::new();
        trial.step(until, Event::Tick, &mut actions);
        assert_ne!(trial.phase(), phase);
        assert_eq!(actions.len(), 2, "{phase:?}: {actions:?}");
    }
}
