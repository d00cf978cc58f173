//! Services in turn, with the real manager and init.

use std::time::Duration;

use e2e::device::{PATIENCE, signal};
use e2e::house::House;
use e2e::process::switches;
use e2e::wait_for;
use rustix::process::Signal;

const PACE: &str = "back-off 200\nback-off-max 1000\nfail-back-after 1500\ndwell 700\n\
                    start-limit 3000\n";

/// `first` and `second` come up as long as there is no file of their name with `-dead`; they end when
/// there is.
fn house(what: &str, own: &str) -> House {
    let house = House::new(what);
    for name in ["first", "second"] {
        let dead = house.join(format!("{name}-dead"));
        house.longrun(
            name,
            &format!(
                "test -e {0} && exit 1; echo >&3; while ! test -e {0}; do sleep 0.05; done",
                dead.display()
            ),
        );
        house.set(name, "notification-fd", "3\n").set(name, "timeout-up", "1000\n");
    }
    house.sleeper("user-of-first").needs("user-of-first", &["first"]);
    let controls = [("first", "order 1\n"), ("second", "order 2\n")];
    house.controller("round-robin", "wan", &format!("{PACE}{own}"), &controls);
    house.bundle("default", &["wan", "user-of-first"]);
    house.boot("");
    house
}

fn kill(house: &House, name: &str, dead: bool) {
    let path = house.join(format!("{name}-dead"));
    match dead {
        true => std::fs::write(path, "").expect("written"),
        false => std::fs::remove_file(path).expect("it was there"),
    }
}

fn up(house: &House) -> Vec<String> {
    let up = house.up().into_iter();
    up.filter(|name| ["first", "second"].contains(&&**name)).collect()
}

fn wait_alone(house: &House, name: &str) {
    let alone = || up(house) == [name];
    wait_for(&format!("{name} alone"), PATIENCE, || alone().then_some(()));
    house.wait_output("wan", "active", Some(name));
}

#[test]
fn the_next_one_takes_over_and_the_first_one_comes_back() {
    let house = house("turn", "");
    wait_alone(&house, "first");
    house.wait_up("user-of-first", true);
    // What it says is what the controller says.
    let says = house.join("services/outputs-live/first/router");
    for router in ["192.0.2.1\n", "192.0.2.2\n"] {
        std::fs::write(&says, router).expect("written");
        house.wait_output("wan", "router", Some(router));
    }
    kill(&house, "first", true);
    house.wait_output("wan", "active", Some("second"));
    house.wait_output("wan", "router", None);
    house.wait_up("first", false);
    assert!(!house.up().contains(&"user-of-first".to_owned()), "it went with what it needs");
    house.ward("why first").expect(1).has("failed");
    // It is tried in vain beside the second one, which nothing happens to.
    let second = house.wait_pid("second");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(house.pid("second"), Some(second));
    kill(&house, "first", false);
    // Both are up for a while.
    wait_for("both", PATIENCE, || (up(&house).len() == 2).then_some(()));
    assert_eq!(house.pid("second"), Some(second));
    wait_alone(&house, "first");
    house.wait_up("user-of-first", true);
    // Nothing happens any more, and nobody is woken up.
    std::thread::sleep(Duration::from_secs(2));
    let controller = house.wait_pid("wan");
    let before = switches(controller);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(controller), before, "it was woken up");
}

#[test]
fn with_both_dead_whatever_lives_first_serves() {
    let house = house("turn-dead", "overlap no\n");
    wait_alone(&house, "first");
    kill(&house, "first", true);
    wait_alone(&house, "second");
    kill(&house, "second", true);
    house.wait_output("wan", "active", Some(""));
    kill(&house, "second", false);
    wait_alone(&house, "second");
    kill(&house, "first", false);
    // Only one at a time.
    wait_for("the first", PATIENCE, || {
        let up = up(&house);
        assert!(up.len() < 2, "{up:?}");
        (up == ["first"]).then_some(())
    });
}

#[test]
fn killed_the_controller_leaves_all_as_it_is() {
    let house = house("turn-killed", "fail-back no\n");
    wait_alone(&house, "first");
    kill(&house, "first", true);
    wait_alone(&house, "second");
    kill(&house, "first", false);
    let second = house.wait_pid("second");
    for _ in 0..3 {
        let controller = house.wait_pid("wan");
        signal(controller, Signal::KILL);
        let another = || house.pid("wan").filter(|pid| *pid != controller);
        wait_for("another controller", PATIENCE, another);
        signal(house.manager_pid(), Signal::KILL);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!((up(&house), house.pid("second")), (vec!["second".to_owned()], Some(second)));
    // While nobody watched, it died.
    let controller = house.wait_pid("wan");
    signal(controller, Signal::STOP);
    kill(&house, "second", true);
    std::thread::sleep(Duration::from_millis(300));
    signal(controller, Signal::KILL);
    wait_alone(&house, "first");
    // Taken down, it takes along what it has started.
    house.rc("-d change wan").expect(0);
    wait_for("none", PATIENCE, || up(&house).is_empty().then_some(()));
}
