//! A machine over time: idle it does nothing, and after many changes, falls
//! and updates it holds no more than before.

use std::path::Path;
use std::time::Duration;

use e2e::machine::{Machine, PATIENCE};
use e2e::process::{descriptors, memory, send, switches};
use e2e::{applet, stdout, wait_for};

/// A machine with services of every kind.
fn house(what: &str) -> Machine {
    let machine = Machine::new(what);
    machine.sleeper("web");
    machine.longrun("ready", "echo >&3; echo speaks; exec sleep 100000");
    machine.file("ready/notification-fd", "3\n");
    machine.longrun("source", "while sleep 100000; do echo line; done");
    machine.file("source/producer-for", "sink");
    machine.longrun("sink", "exec cat >/dev/null");
    machine.file("sink/consumer-for", "source");
    machine.file("sink/pipeline-name", "pipe");
    machine.oneshot("net", "echo net comes", "echo net goes");
    machine.needs("web", "net");
    machine.bundle("default", &["web", "ready", "pipe"]);
    machine
}

const ALL: &[&str] = &["web", "ready", "source", "sink", "net"];

#[test]
fn an_idle_machine_does_not_wake_up() {
    let mut machine = house("idle");
    machine.start();
    machine.wait_up(ALL);
    // A line that is not finished waits, too.
    machine.wait_said("ready speaks");
    let all = [machine.init(), machine.manager(), machine.logger()];
    let at_rest = wait_for("rest", PATIENCE, || {
        let before = all.map(switches);
        std::thread::sleep(Duration::from_millis(500));
        (all.map(switches) == before).then_some(before)
    });
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(all.map(switches), at_rest, "wake-ups of init, manager and logger in 4 seconds");
}

/// What init, manager and logger hold: descriptors, and kilobytes of memory.
fn holding(machine: &Machine) -> [(usize, u64); 3] {
    let all = [machine.init(), machine.manager(), machine.logger()];
    all.map(|pid| (descriptors(pid), memory(pid)))
}

/// One round of what happens to a machine in a year.
fn live_a_little(machine: &Machine, newer: &Path) {
    for name in ["web", "ready", "source", "sink"] {
        let dir = machine.service_dir(name);
        stdout(applet("s6-svc").args(["-wr", "-T", "60000", "-r"]).arg(dir));
    }
    machine.change(&["-t", "60000", "-d", "change", "net", "sink"]);
    machine.change(&["-t", "60000", "-u", "change", "default"]);
    stdout(applet("restart").arg("-l").arg(machine.live()).arg("web"));
    stdout(applet("status").arg("-l").arg(machine.live()));
    // Services come and go with the database.
    stdout(applet("s6-rc-update").arg("-l").arg(machine.live()).arg(newer));
    machine.change(&["-t", "60000", "-u", "change", "default"]);
}

/// One of the ways in which a part of it falls.
fn fall(machine: &Machine, number: usize) {
    match number % 4 {
        0 => drop(stdout(applet("reexec").arg("-s").arg(machine.scan()))),
        1 => drop(stdout(applet("reexec").args(["--fault", "-s"]).arg(machine.scan()))),
        2 => send("KILL", machine.manager()),
        _ => send("KILL", machine.logger()),
    }
    machine.change(&["-t", "60000", "-d", "change", "net"]);
    machine.change(&["-t", "60000", "-u", "change", "default"]);
}

#[test]
fn after_many_changes_falls_and_updates_it_holds_no_more_than_before() {
    let mut machine = house("soak");
    for name in ["web", "ready", "source", "sink"] {
        machine.file(format!("{name}/restart-wait"), "1\n");
    }
    let init = machine.start();
    machine.wait_up(ALL);
    // The same, and twenty services more that go as they have come.
    for i in 0..10 {
        machine.sleeper(&format!("guest{i}"));
        machine.oneshot(&format!("errand{i}"), "echo comes", "echo goes");
    }
    let guests: Vec<String> = (0..10).map(|i| format!("guest{i}")).collect();
    let guests: Vec<&str> = guests.iter().map(String::as_str).collect();
    machine.bundle("default", &guests);
    let databases = [machine.compile("more"), machine.path("db")];
    let live = |rounds: usize| (0..rounds).for_each(|i| live_a_little(&machine, &databases[i % 2]));
    // Once for what is there from then on.
    (0..4).for_each(|number| fall(&machine, number));
    live(10);
    let before = wait_for("rest", PATIENCE, || rested(&machine));
    live(60);
    expect_no_more(&machine, before, "after changes and updates");
    for number in 0..12 {
        fall(&machine, number);
        live(2);
    }
    live(10);
    expect_no_more(&machine, before, "after falls");
    assert_eq!(machine.init(), init);
}

fn expect_no_more(machine: &Machine, before: [(usize, u64); 3], when: &str) {
    let after = wait_for("rest", PATIENCE, || rested(machine));
    for ((before, after), name) in before.iter().zip(after).zip(["init", "manager", "logger"]) {
        assert_eq!(before.0, after.0, "{when}: descriptors of {name}");
        assert!(after.1 <= before.1 + 100, "{when}: kB of {name}: {} then {}", before.1, after.1);
    }
    eprintln!("{when}: {before:?} {after:?}");
}

/// What they hold, once that is the same for a while.
fn rested(machine: &Machine) -> Option<[(usize, u64); 3]> {
    let before = holding(machine);
    std::thread::sleep(Duration::from_millis(300));
    (holding(machine) == before).then_some(before)
}
