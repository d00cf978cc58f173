//! Tests of the machine of devices, a step at a time; `tests/sim` throws dice.

use alloc::vec;

use model::controller::rule;

use super::*;

const DISK: &[u8] = b"/devices/usb1/1-1/block/sda";

fn told(up: bool, goal: bool) -> Told {
    Told { up, goal, trouble: false }
}

struct Desk {
    machine: Hotplug,
    now: Moment,
}

impl Desk {
    fn new(rule: &str) -> Self {
        let text = ["subsystem block\n", rule].concat();
        let rules = rule::parse("kind hotplug", &[("disk", &*text)]).expect("well made");
        let now = Moment::from_nanos(1_000_000_000_000);
        let mut desk = Self { machine: Hotplug::new(now, &rules), now };
        assert!(desk.machine.walk_is_due(now));
        desk.machine.walk(now);
        desk.machine.walk_ended(now);
        // Once more, a moment later.
        desk.machine.walk(now + GOING_MAX);
        desk.machine.walk_ended(now + GOING_MAX);
        assert!(!desk.machine.walk_is_due(now + GOING_MAX));
        desk.machine.told(now, 0, told(false, false));
        assert_eq!(desk.decide(), vec![Order::Say { service: 0 }]);
        desk
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(millis);
        self
    }

    fn decide(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        self.machine.decide(self.now, &mut orders);
        orders
    }

    /// What is asked now.
    fn asks(&mut self) -> Vec<(u32, Wish)> {
        let asked = |order| match order {
            Order::Ask { id, wish, .. } => Some((id, wish)),
            _ => None,
        };
        self.decide().into_iter().filter_map(asked).collect()
    }

    /// The one wish that there is, and that it comes true.
    fn granted(&mut self) -> Wish {
        let asks = self.asks();
        let [(id, wish)] = asks[..] else { panic!("{asks:?}") };
        self.machine.ended(self.now, id, true);
        let up = wish != Wish::Down;
        self.machine.told(self.now, 0, told(up, up));
        wish
    }

    fn comes(&mut self, instance: u64) {
        self.machine.present(self.now, 0, DISK, instance);
    }

    fn goes(&mut self) {
        self.machine.removed(self.now, DISK);
    }
}

#[test]
fn a_service_comes_and_goes_with_its_device() {
    let mut desk = Desk::new("");
    desk.comes(1);
    let orders = desk.decide();
    assert_eq!(
        orders[..2],
        [Order::Publish { service: 0 }, Order::Ask { id: 1, wish: Wish::Up, service: 0 }]
    );
    desk.machine.ended(desk.now, 1, true);
    assert_eq!(desk.asks(), [], "it is told in a moment");
    desk.machine.told(desk.now, 0, told(true, true));
    assert_eq!(desk.machine.served(0), Some(DISK));
    // The same again changes nothing.
    desk.comes(1);
    assert_eq!((desk.asks(), desk.machine.deadline()), (vec![], None));
    desk.pass(20_000).goes();
    assert_eq!(desk.granted(), Wish::Down);
    assert_eq!((desk.machine.served(0), desk.machine.deadline()), (None, None));
}

#[test]
fn nothing_is_asked_before_all_is_known() {
    let rules = rule::parse("", &[("disk", "subsystem block")]).expect("well made");
    let now = Moment::from_nanos(1);
    let mut machine = Hotplug::new(now, &rules);
    let mut orders = Vec::new();
    machine.told(now, 0, told(true, true));
    machine.decide(now, &mut orders);
    assert_eq!((orders.len(), machine.deadline()), (0, Some(now)), "first it has to look");
    machine.walk(now);
    machine.walk_ended(now);
    machine.decide(now, &mut orders);
    assert_eq!(orders[0], Order::Ask { id: 1, wish: Wish::Down, service: 0 });
}

#[test]
fn it_stays_up_while_one_of_several_is_there() {
    for (rule, restarts) in [("replaced keep", false), ("replaced restart", true)] {
        let mut desk = Desk::new(rule);
        desk.comes(1);
        desk.machine.present(desk.now, 0, b"/devices/b", 2);
        assert_eq!(desk.granted(), Wish::Up);
        desk.pass(5).goes();
        if restarts {
            assert_eq!(desk.granted(), Wish::Down);
            assert_eq!(desk.granted(), Wish::Up);
        } else {
            assert_eq!(desk.decide()[0], Order::Publish { service: 0 });
        }
        assert_eq!(desk.machine.served(0), Some(&b"/devices/b"[..]), "{rule}");
        assert_eq!(desk.asks(), [], "{rule}");
    }
}

#[test]
fn what_was_gone_for_a_moment_starts_again() {
    let mut desk = Desk::new("");
    desk.comes(1);
    assert_eq!(desk.granted(), Wish::Up);
    // Both messages are read before anything is decided.
    desk.pass(60_000).goes();
    desk.comes(2);
    assert_eq!((desk.granted(), desk.granted()), (Wish::Down, Wish::Up));
    // A message from before what is known says that it went: it is still the same.
    desk.pass(60_000).goes();
    desk.comes(2);
    assert_eq!(desk.asks(), []);
    // Nobody saw it go: messages were lost.
    desk.pass(60_000);
    desk.machine.walk(desk.now);
    desk.comes(3);
    desk.machine.walk_ended(desk.now);
    assert_eq!((desk.granted(), desk.granted()), (Wish::Down, Wish::Up));
}

#[test]
fn a_device_that_goes_while_its_service_starts_ends_that() {
    let mut desk = Desk::new("");
    desk.comes(1);
    assert_eq!(desk.asks(), [(1, Wish::Up)]);
    desk.goes();
    assert_eq!(desk.asks(), [(2, Wish::Down)]);
    // What became of the start is of no interest.
    desk.machine.ended(desk.now, 1, false);
    desk.machine.ended(desk.now, 2, true);
    assert_eq!((desk.asks(), desk.machine.deadline()), (vec![], None));
}

#[test]
fn failed_starts_are_repeated_ever_more_seldom_until_it_lasts() {
    let mut desk = Desk::new("");
    desk.comes(1);
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        let asks = desk.asks();
        desk.machine.ended(desk.now, asks[0].0, false);
        assert_eq!(desk.asks(), [], "not at once");
        let wait = desk.machine.deadline().expect("it tries again").since(desk.now);
        assert_eq!(wait, Duration::from_secs(expected));
        desk.pass(expected * 1000);
    }
    assert_eq!(desk.granted(), Wish::Up);
    // It falls over: at once is no better; after it has lasted it counts from one.
    desk.pass(11_000);
    desk.machine.told(desk.now, 0, told(false, true));
    assert_eq!(desk.machine.deadline().map(|at| at.since(desk.now)), Some(Duration::from_secs(1)));
    assert_eq!(desk.machine.condition(desk.now, 0).waits, Some(Wait::Failed(1)));
    // Another device is another try.
    desk.goes();
    desk.comes(2);
    assert_eq!(desk.asks().len(), 1);
}

#[test]
fn one_that_comes_and_goes_has_to_stay_for_a_while() {
    let mut desk = Desk::new("");
    let mut waits = Vec::new();
    for instance in 0..8 {
        desk.comes(instance);
        desk.decide();
        let wait = desk.machine.services[0].start_at().since(desk.now);
        waits.push(wait.as_secs());
        desk.pass(100).goes();
        while let [(id, _)] = desk.asks()[..] {
            desk.machine.ended(desk.now, id, true);
        }
        desk.pass(100);
    }
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 15, 15]);
    desk.comes(9);
    assert_eq!(desk.asks(), []);
    assert_eq!(desk.machine.condition(desk.now, 0).waits, Some(Wait::Flapping));
    assert_eq!(desk.pass(15_000).granted(), Wish::Up);
    desk.pass(20_000).goes();
    assert_eq!(desk.granted(), Wish::Down);
    desk.comes(10);
    assert_eq!(desk.granted(), Wish::Up, "it was calm");
}

#[test]
fn a_device_settles_first_where_the_rule_says_so() {
    let mut desk = Desk::new("settle 200");
    desk.comes(1);
    assert_eq!(desk.asks(), []);
    assert_eq!(desk.machine.condition(desk.now, 0).waits, Some(Wait::Settling));
    let wait = desk.machine.deadline().map(|at| at.since(desk.now));
    assert_eq!(wait, Some(Duration::from_millis(200)));
    assert_eq!(desk.pass(200).granted(), Wish::Up);
}

#[test]
fn what_somebody_takes_down_stays_so_until_the_device_goes() {
    let mut desk = Desk::new("");
    desk.comes(1);
    assert_eq!(desk.granted(), Wish::Up);
    desk.pass(1000);
    desk.machine.told(desk.now, 0, told(false, false));
    assert_eq!((desk.asks(), desk.machine.deadline()), (vec![], None));
    assert_eq!(desk.machine.condition(desk.now, 0).waits, Some(Wait::TakenDown));
    desk.pass(60_000).goes();
    desk.comes(2);
    assert_eq!(desk.granted(), Wish::Up);
    desk.pass(60_000).goes();
    assert_eq!(desk.granted(), Wish::Down);
    // And what somebody brings up without a device is his business.
    desk.machine.told(desk.now, 0, told(true, true));
    assert_eq!(desk.asks(), []);
}

#[test]
fn another_manager_is_asked_again() {
    let mut desk = Desk::new("");
    desk.comes(1);
    assert_eq!(desk.asks(), [(1, Wish::Up)]);
    desk.machine.again();
    assert_eq!((desk.asks(), desk.machine.deadline()), (vec![], None));
    desk.machine.told(desk.now, 0, told(false, true));
    assert_eq!(desk.asks(), [(2, Wish::Up)]);
}

#[test]
fn a_controller_that_was_killed_goes_on() {
    for (instance, expected) in [(1, None), (2, Some(Wish::Down))] {
        let rules = rule::parse("", &[("disk", "subsystem block")]).expect("well made");
        let now = Moment::from_nanos(1);
        let mut desk = Desk { machine: Hotplug::new(now, &rules), now };
        desk.machine.adopt(0, DISK, 1);
        desk.machine.walk(now);
        desk.comes(instance);
        desk.machine.walk_ended(now);
        desk.machine.told(now, 0, told(true, true));
        assert_eq!(desk.asks().first().map(|(_, wish)| *wish), expected);
    }
}

#[test]
fn devices_keep_their_services_under_another_name() {
    let mut desk = Desk::new("");
    desk.comes(1);
    assert_eq!(desk.granted(), Wish::Up);
    desk.machine.moved(b"/devices/usb1", b"/devices/usb2");
    assert_eq!(desk.machine.served(0), Some(&b"/devices/usb2/1-1/block/sda"[..]));
    let publish = Order::Publish { service: 0 };
    assert_eq!(desk.decide()[0], publish, "it is told");
    desk.machine.changed(b"/devices/usb2/1-1/block/sda");
    assert_eq!(desk.decide(), [publish]);
    assert_eq!(desk.decide(), []);
    desk.machine.removed(desk.now, b"/devices/usb");
    assert_eq!(desk.asks(), [], "a name that begins alike is another");
    desk.machine.removed(desk.now, b"/devices/usb2/1-1");
    assert_eq!(desk.granted(), Wish::Down);
}
