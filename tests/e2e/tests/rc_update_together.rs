//! Updates beside each other, and beside people who start and stop services.

use std::fs;
use std::path::PathBuf;

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE};
use e2e::wait_for;

/// `a`, `b` and `c`, and `slow`, which ends only once there is a file `end`.
fn device(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("a").sleeper("b").sleeper("c").needs("c", &["b"]);
    let end = device.join("end");
    let run = format!(
        "trap 'while ! [ -e {} ]; do sleep 0.01; done; exit' TERM\necho up\n\
         while :; do sleep 0.02; done",
        end.display()
    );
    device.longrun("slow", &run).bundle("default", &["a", "c", "slow"]).start();
    device.wait_log("slow up");
    device
}

/// A database in which everything is new.
fn changed(device: &Device, version: u32) -> PathBuf {
    for name in ["a", "b", "c", "slow"] {
        device.set(name, "data/version", &version.to_string());
    }
    device.compile()
}

fn update(device: &Device, to: &PathBuf) -> Client {
    Client::start(device.command("s6-rc-update", "").arg(to))
}

/// Waits until an update has stopped all but `slow`.
fn wait_stopped(device: &Device) {
    wait_for("all but one stopped", PATIENCE, || (device.up() == ["slow"]).then_some(()));
}

fn in_use(device: &Device) -> PathBuf {
    fs::read_link(device.live().join("compiled")).unwrap()
}

fn done(said: Said) {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
}

#[test]
fn the_same_update_asked_for_twice_is_done_once() {
    let device = device("twice");
    let new = changed(&device, 2);
    let first = update(&device, &new);
    wait_stopped(&device);
    let others: Vec<Client> = (0..5).map(|_| update(&device, &new)).collect();
    fs::write(device.join("end"), "").unwrap();
    done(first.finish());
    others.into_iter().for_each(|client| done(client.finish()));
    assert_eq!((in_use(&device), device.up().len()), (new, 4));
}

#[test]
fn another_update_waits_for_its_turn() {
    let device = device("turn");
    let (second, third) = (changed(&device, 2), changed(&device, 3));
    let first = update(&device, &second);
    wait_stopped(&device);
    let mut next = update(&device, &third);
    // It is not refused, and does not get in between.
    device.rc("-t 1000 -u change a").expect(0);
    assert!(next.is_running());
    fs::write(device.join("end"), "").unwrap();
    // The next one may stop what the first has yet to start: that is told.
    let first = first.finish();
    assert!(first.code == 0 || first.err.contains("superseded by a newer request"), "{first:?}");
    done(next.finish());
    assert_eq!((in_use(&device), device.up().len()), (third, 4));
}

#[test]
fn one_that_waits_begins_when_the_one_before_fails() {
    let device = device("after-failure");
    device.set("slow", "timeout-down", "60000");
    let (second, third) = (changed(&device, 2), device.join("no-database"));
    let first = Client::start(device.command("s6-rc-update", "-t 1500").arg(&second));
    wait_stopped(&device);
    let next = update(&device, &third);
    first.finish().expect(10);
    next.finish().expect(111);
    fs::write(device.join("end"), "").unwrap();
    wait_for("all are back", PATIENCE, || (device.up().len() == 4).then_some(()));
}

#[test]
fn what_somebody_stops_during_an_update_stays_down() {
    let device = device("stopped");
    let new = changed(&device, 2);
    let client = update(&device, &new);
    wait_stopped(&device);
    // They are down for the update; now they are meant to be.
    device.rc("-d change a").expect(0);
    device.ward("stop b").expect(0);
    fs::write(device.join("end"), "").unwrap();
    done(client.finish());
    assert_eq!((in_use(&device), device.up()), (new, vec!["slow".to_owned()]));

    // The same where the update fails in the end.
    fs::remove_file(device.join("end")).unwrap();
    device.rc("-u change a c").expect(0);
    let third = changed(&device, 3);
    let client = Client::start(device.command("s6-rc-update", "-t 2000").arg(&third));
    wait_stopped(&device);
    device.rc("-d change b").expect(0);
    client.finish().expect(10);
    fs::write(device.join("end"), "").unwrap();
    wait_for("the others are back", PATIENCE, || (device.up() == ["a", "slow"]).then_some(()));
    assert!(!device.live().join("stopped").exists(), "nothing is left to be done");
}

#[test]
fn what_somebody_starts_during_an_update_is_up_in_the_new_database() {
    let device = device("started");
    device.rc("-d change a").expect(0);
    device.sleeper("d");
    let new = changed(&device, 2);
    let client = update(&device, &new);
    wait_for("all but one stopped", PATIENCE, || (device.up() == ["slow"]).then_some(()));
    // It is stopped once more and comes back, whatever its request says.
    device.rc("-u change a");
    fs::write(device.join("end"), "").unwrap();
    done(client.finish());
    let up = || device.up() == ["a", "b", "c", "slow"];
    wait_for("a as well", PATIENCE, || up().then_some(()));
    assert_eq!(in_use(&device), new);
}
