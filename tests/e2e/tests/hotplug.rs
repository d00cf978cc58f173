//! Services that are there for devices: network devices that come and go in a network namespace
//! of the test's own, where the kernel sends its messages about them.

use std::time::Duration;

use e2e::client::Client;
use e2e::device::PATIENCE;
use e2e::house::House;
use e2e::process::{memory, switches};
use e2e::wait_for;
use rustix::process::Signal;

fn house(what: &str) -> Plugs {
    Plugs(House::new(what))
}

struct Plugs(House);

impl std::ops::Deref for Plugs {
    type Target = House;
    fn deref(&self) -> &House {
        &self.0
    }
}

impl Plugs {
    fn controller(&self, own: &str, rules: &[(&str, &str)]) -> &Self {
        self.0.controller("hotplug", "plugs", own, rules);
        self
    }

    fn boot(&self, before: &str) -> &Self {
        if !self.source("default").exists() {
            self.bundle("default", &["plugs"]);
        }
        self.0.boot(before);
        self
    }
}

const BRIDGES: &str = "subsystem net\ndevtype bridge\n";

#[test]
fn a_service_is_up_while_at_least_one_device_matches() {
    let house = house("hotplug");
    house.sleeper("bridged").sleeper("any").sleeper("user").needs("user", &["bridged"]);
    house.controller("", &[("bridged", BRIDGES), ("any", "property INTERFACE=never")]);
    house.bundle("default", &["plugs", "user"]);
    house.boot("");
    // Neither it nor what needs it comes at boot; the boot itself is done.
    assert_eq!(house.up(), ["plugs"]);
    house.ip("link add br0 type bridge");
    house.wait_up("user", true);
    house.wait_output("bridged", "ifname", Some("br0"));
    house.wait_output("bridged", "devpath", Some("/devices/virtual/net/br0"));
    let pid = house.wait_pid("bridged");
    // Another one comes, and the first one goes.
    house.ip("link add br1 type bridge");
    house.ip("link del br0");
    house.wait_output("bridged", "ifname", Some("br1"));
    // It is called otherwise now.
    house.ip("link set br1 name br2");
    house.wait_output("bridged", "ifname", Some("br2"));
    assert_eq!(house.pid("bridged"), Some(pid), "it was up all the time");
    house.ward("why bridged").expect(0);
    house.ip("link del br2");
    house.wait_up("bridged", false);
    assert_eq!(house.up(), ["plugs"]);
    // What is plugged in again is another device.
    house.ip("link add br2 type bridge");
    house.wait_up("user", true);
    assert_ne!(house.pid("bridged"), Some(pid));
}

#[test]
fn what_was_there_before_counts_and_a_controller_that_is_killed_comes_back_to_it() {
    let house = house("hotplug-before");
    house.sleeper("bridged").sleeper("gone");
    house.controller("", &[("bridged", BRIDGES), ("gone", "property INTERFACE=tap*")]);
    house.boot("ip link add br0 type bridge; ip tuntap add tap0 mode tap");
    house.wait_up("bridged", true);
    house.wait_up("gone", true);
    let pids = house.pids();
    // Killed, it misses that one goes and another comes.
    let controller = house.wait_pid("plugs");
    house.ip("link add br1 type bridge");
    e2e::device::signal(controller, Signal::STOP);
    house.ip("link del tap0");
    house.ip("link del br0");
    e2e::device::signal(controller, Signal::KILL);
    house.wait_up("gone", false);
    house.wait_output("bridged", "ifname", Some("br1"));
    // Nobody saw whether there was always a bridge: it starts again on the other one.
    house.wait_up("bridged", true);
    // Killed again, with nothing that changed in between.
    let bridged = house.pid("bridged");
    let again = house.wait_pid("plugs");
    assert_ne!(again, pids["plugs"]);
    e2e::device::signal(again, Signal::KILL);
    wait_for("another controller", PATIENCE, || house.pid("plugs").filter(|pid| *pid != again));
    house.ip("link add tap1 type bridge");
    house.wait_up("gone", true);
    assert_eq!(house.pid("bridged"), bridged, "nothing had changed for it");
    // And the manager.
    e2e::device::signal(house.manager_pid(), Signal::KILL);
    house.ip("link del tap1");
    house.wait_up("gone", false);
}

#[test]
fn taken_down_it_takes_its_services_along() {
    let house = house("hotplug-down");
    house.sleeper("bridged");
    house.controller("", &[("bridged", BRIDGES)]);
    house.boot("ip link add br0 type bridge");
    house.wait_up("bridged", true);
    house.rc("-d change plugs").expect(0);
    house.wait_up("bridged", false);
    house.rc("-u change plugs").expect(0);
    house.wait_up("bridged", true);
    // What a person takes down stays down until the device comes anew.
    house.rc("-d change bridged").expect(0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(house.up(), ["plugs"]);
    house.ward("why bridged").expect(1).has("taken down by request");
    house.ip("link del br0");
    house.ip("link add br0 type bridge");
    house.wait_up("bridged", true);
}

#[test]
fn a_cable_is_told_of_without_any_device_event() {
    let house = house("hotplug-cable");
    house.sleeper("plugged").sleeper("unplugged");
    let rule = "property INTERFACE=v0\ncarrier";
    let rules = [("plugged", format!("{rule} yes")), ("unplugged", format!("{rule} no"))];
    let rules: Vec<(&str, &str)> = rules.iter().map(|(name, rule)| (*name, &**rule)).collect();
    house.controller("hold 0\nhold-max 0", &rules);
    house.boot("ip link add v0 type veth peer name v1; ip link set v0 up");
    house.wait_up("unplugged", true);
    for _ in 0..3 {
        house.ip("link set v1 up");
        house.wait_up("plugged", true);
        house.wait_up("unplugged", false);
        house.ip("link set v1 down");
        house.wait_up("plugged", false);
        house.wait_up("unplugged", true);
    }
}

#[test]
fn failed_starts_are_tried_again_and_flapping_devices_wait() {
    let house = house("hotplug-fail");
    let flag = house.join("may-start");
    house.oneshot(
        "disk",
        &format!("/bin/sh -c \"echo try >> {0}.tries; test -e {0}\"", flag.display()),
    );
    house.controller("retry 50\nretry-max 200\nhold 60000\nhold-max 60000", &[("disk", BRIDGES)]);
    house.boot("ip link add br0 type bridge");
    wait_for("four tries", PATIENCE, || (house.notes("may-start.tries").len() >= 4).then_some(()));
    std::fs::write(&flag, "").expect("written");
    house.wait_up("disk", true);
    for _ in 0..2 {
        house.ip("link del br0");
        house.wait_up("disk", false);
        house.ip("link add br0 type bridge");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(house.up(), ["plugs"]);
    house.ward("why disk").expect(1).has("comes and goes");
}

#[test]
fn lost_messages_are_made_up_for_by_another_look() {
    let house = house("hotplug-lost");
    house.sleeper("bridged").sleeper("gone");
    house.controller("", &[("bridged", BRIDGES), ("gone", "property INTERFACE=tap0")]);
    house.boot("ip tuntap add tap0 mode tap");
    house.wait_up("gone", true);
    let controller = house.wait_pid("plugs");
    e2e::device::signal(controller, Signal::STOP);
    house.ip("link del tap0");
    // More messages than there is room for, and then one that counts.
    let script = "for i in $(seq 3000); do echo change > /sys/class/net/lo/uevent; done
                  ip link add br0 type bridge
                  for i in $(seq 3000); do echo change > /sys/class/net/lo/uevent; done";
    Client::run(house.inside("sh").args(["-c", script])).expect(0);
    let before = lost(&house);
    e2e::device::signal(controller, Signal::CONT);
    house.wait_up("gone", false);
    house.wait_up("bridged", true);
    assert!(before > 0, "no message was lost");
}

/// Messages about devices that the kernel had no room for.
fn lost(house: &Plugs) -> u64 {
    let table = Client::run(house.inside("cat").arg("/proc/net/netlink")).expect(0).out;
    // Protocol 15, and the column of drops: netlink(7), Linux net/netlink/af_netlink.c.
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let devices = lines.filter(|words| words.get(1) == Some(&"15"));
    devices.filter_map(|words| words.get(8)?.parse::<u64>().ok()).sum()
}

#[test]
fn a_hundred_rules_need_little_memory_and_nothing_while_nothing_happens() {
    let house = house("hotplug-hundred");
    let names: Vec<String> = (0..100).map(|n| format!("service-{n:02}")).collect();
    let rules: Vec<String> = (0..100)
        .map(|n| format!("subsystem net\nproperty INTERFACE=tap{n}\nparent-attr idVendor=09*\nor\nsubsystem net\nproperty INTERFACE=br{n}\nattr mtu=15??\n"))
        .collect();
    for name in &names {
        house.oneshot(name, "");
    }
    let rules: Vec<(&str, &str)> =
        names.iter().zip(&rules).map(|(name, rule)| (&**name, &**rule)).collect();
    house.controller("", &rules);
    house.boot("for i in $(seq 0 49); do ip link add br$i type bridge; done");
    let fifty = || (house.up().len() == 51).then_some(());
    wait_for("fifty services", PATIENCE, fifty);
    let controller = house.wait_pid("plugs");
    let kilobytes = memory(controller);
    eprintln!("{kilobytes} kB for 100 rules");
    assert!(kilobytes <= 300, "{kilobytes} kB");
    // Answers were waited for, and it looked twice.
    std::thread::sleep(Duration::from_secs(2));
    let before = switches(controller);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(controller), before, "it was woken up");
}

#[test]
fn from_the_kernels_message_to_the_start_it_takes_milliseconds() {
    let house = house("hotplug-quick");
    let (before, started) = (house.join("before"), house.join("started"));
    house.oneshot("bridged", &format!("/bin/sh -c \"date +%s%N > {}\"", started.display()));
    house.controller("hold 0\nhold-max 0", &[("bridged", BRIDGES)]).boot("");
    let script = format!("date +%s%N > {}; exec ip link add br0 type bridge", before.display());
    let nanos = |path: &std::path::Path| -> u64 {
        let text = std::fs::read_to_string(path).expect("it was written");
        text.trim().parse().expect("a number")
    };
    let mut taken: Vec<Duration> = (0..21)
        .map(|_| {
            Client::run(house.inside("sh").args(["-c", &script])).expect(0);
            house.wait_up("bridged", true);
            house.ip("link del br0");
            house.wait_up("bridged", false);
            Duration::from_nanos(nanos(&started) - nanos(&before))
        })
        .collect();
    taken.sort();
    // With the starts of `ip`, which makes the kernel say so, and of `sh` and `date`.
    eprintln!("{:?}, at best {:?}", taken[taken.len() / 2], taken[0]);
    assert!(taken[taken.len() / 2] < Duration::from_millis(100), "{taken:?}");
}
