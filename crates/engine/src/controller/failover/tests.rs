//! Tests of the machine of services in turn, a step at a time; `tests/sim` throws dice.

use alloc::vec;

use core::time::Duration;

use super::*;

struct Desk {
    machine: Failover,
    now: Moment,
}

impl Desk {
    fn new(members: usize, pace: Pace) -> Self {
        let now = Moment::from_nanos(1_000_000_000_000);
        let mut desk = Self { machine: Failover::new(now, pace, members), now };
        assert_eq!((desk.asks(), desk.machine.deadline()), (vec![], None), "nothing is known yet");
        for member in 0..members {
            desk.machine.told(now, member, false, false);
        }
        desk
    }

    fn pass(&mut self, secs: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(secs);
        self
    }

    fn asks(&mut self) -> Vec<(Wish, usize)> {
        self.asked().into_iter().map(|(_, wish, member)| (wish, member)).collect()
    }

    fn asked(&mut self) -> Vec<(u32, Wish, usize)> {
        let mut orders = Vec::new();
        self.machine.decide(self.now, &mut orders);
        let asked = |order| match order {
            Order::Ask { id, wish, member } => Some((id, wish, member)),
            _ => None,
        };
        orders.into_iter().filter_map(asked).collect()
    }

    /// What is asked, which comes true.
    fn granted(&mut self) -> Vec<(Wish, usize)> {
        let asked = self.asked();
        for (id, wish, member) in &asked {
            let up = *wish != Wish::Down;
            self.machine.ended(self.now, *id, true);
            self.machine.told(self.now, *member, up, up);
        }
        asked.into_iter().map(|(_, wish, member)| (wish, member)).collect()
    }

    fn dies(&mut self, member: usize) {
        self.machine.told(self.now, member, false, true);
    }

    fn wait(&self) -> Option<u64> {
        self.machine.deadline().map(|at| at.since(self.now).as_secs())
    }
}

use Wish::{Down, Up};

#[test]
fn the_next_one_takes_over_when_one_ends() {
    let mut desk = Desk::new(3, Pace { fail_back: false, ..Pace::default() });
    assert_eq!(desk.granted(), [(Up, 0)]);
    assert_eq!((desk.granted(), desk.machine.active(), desk.wait()), (vec![], Some(0), None));
    for (dies, next) in [(0, 1), (1, 2), (2, 0)] {
        desk.pass(600).dies(dies);
        // What has died may not come back beside the next one.
        let mut asks = desk.granted();
        asks.sort_by_key(|(wish, _)| *wish == Up);
        assert_eq!(asks, [(Down, dies), (Up, next)]);
        assert_eq!((desk.granted(), desk.machine.active()), (vec![], Some(next)));
    }
}

#[test]
fn a_better_one_shows_beside_the_other_that_it_lasts() {
    let mut desk = Desk::new(2, Pace::default());
    desk.granted();
    desk.pass(600).dies(0);
    desk.granted();
    assert_eq!((desk.granted(), desk.wait()), (vec![], Some(5)), "only what is said of it changes");
    desk.pass(5).granted();
    assert_eq!(desk.wait(), Some(55));
    assert_eq!(desk.pass(55).granted(), [(Up, 0)]);
    assert_eq!((desk.asks(), desk.machine.active()), (vec![], Some(1)));
    assert_eq!((desk.machine.role(desk.now, 0), desk.wait()), (Role::OnTrial, Some(20)));
    assert_eq!(desk.pass(20).granted(), [(Down, 1)]);
    assert_eq!((desk.granted(), desk.machine.active(), desk.wait()), (vec![], Some(0), None));
}

#[test]
fn one_that_does_not_last_disturbs_nobody() {
    let mut desk = Desk::new(2, Pace::default());
    desk.granted();
    desk.pass(600).dies(0);
    desk.granted();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let from = desk.now;
        loop {
            let wait = desk.wait().expect("it is tried again").max(1);
            if desk.pass(wait).granted() == [(Up, 0)] {
                break;
            }
        }
        waits.push(desk.now.since(from).as_secs());
        desk.asks();
        desk.pass(3).dies(0);
        assert_eq!(desk.granted(), [(Down, 0)]);
        assert_eq!(desk.machine.active(), Some(1));
    }
    assert_eq!(waits, [60, 60, 60, 60, 80, 160, 300, 300, 300]);
}

#[test]
fn the_one_on_trial_serves_when_the_other_ends() {
    let mut desk = Desk::new(2, Pace::default());
    desk.granted();
    desk.pass(600).dies(0);
    desk.granted();
    desk.pass(60).granted();
    desk.asks();
    desk.pass(1).dies(1);
    assert_eq!(desk.granted(), [(Down, 1)]);
    assert_eq!(desk.machine.active(), Some(0));
}

#[test]
fn where_only_one_may_run_the_other_one_ends_first() {
    let mut desk = Desk::new(3, Pace { overlap: false, ..Pace::default() });
    desk.granted();
    desk.pass(600).dies(0);
    assert_eq!(desk.granted(), [(Down, 0)]);
    assert_eq!(desk.granted(), [(Up, 1)]);
    desk.granted();
    assert_eq!(desk.pass(60).granted(), [(Down, 1)]);
    let asked = desk.asked();
    assert_eq!(asked[0].2, 0);
    desk.machine.ended(desk.now, asked[0].0, false);
    // The one that served goes on, not the one behind it.
    assert_eq!(desk.granted(), [(Up, 1)]);
    desk.asks();
    assert_eq!(desk.machine.active(), Some(1));
}

#[test]
fn what_takes_too_long_has_failed() {
    let mut desk = Desk::new(2, Pace::default());
    assert_eq!(desk.asks(), [(Up, 0)]);
    assert_eq!(desk.wait(), Some(30));
    let mut asks = desk.pass(30).asks();
    asks.sort_by_key(|(wish, _)| *wish == Up);
    assert_eq!(asks, [(Down, 0), (Up, 1)]);
}

#[test]
fn with_nothing_left_each_is_tried_again_soon() {
    let mut desk = Desk::new(2, Pace::default());
    for _ in 0..20 {
        for member in [0, 1] {
            let asked = desk.asked();
            assert_eq!(asked[0].2, member);
            desk.machine.ended(desk.now, asked[0].0, false);
        }
        assert_eq!((desk.asks(), desk.wait()), (vec![], Some(5)));
        desk.pass(5);
    }
    assert_eq!(desk.granted(), [(Up, 0)]);
}

#[test]
fn a_controller_that_was_killed_goes_on() {
    for (up, adopted, active) in
        [(vec![1], None, 1), (vec![1], Some(0), 1), (vec![0, 1], Some(1), 1), (vec![0, 1], None, 0)]
    {
        let now = Moment::from_nanos(1);
        let mut desk = Desk { machine: Failover::new(now, Pace::default(), 2), now };
        if let Some(adopted) = adopted {
            desk.machine.adopt(adopted);
        }
        for member in 0..2 {
            let up = up.contains(&member);
            desk.machine.told(now, member, up, up);
        }
        let asks = desk.asks();
        assert_eq!(desk.machine.active(), Some(active), "{up:?} {adopted:?}");
        // Both are up: the better one goes on showing that it lasts, or the worse one ends.
        let expected = if (up.len(), active) == (2, 0) { vec![(Down, 1)] } else { vec![] };
        assert_eq!(asks, expected, "{up:?} {adopted:?}");
    }
}

#[test]
fn another_manager_is_asked_again() {
    let mut desk = Desk::new(2, Pace::default());
    assert_eq!(desk.asks(), [(Up, 0)]);
    desk.machine.again();
    assert_eq!(desk.asks(), []);
    desk.machine.told(desk.now, 0, false, true);
    desk.machine.told(desk.now, 1, false, false);
    assert_eq!(desk.asks(), [(Up, 0)]);
}
