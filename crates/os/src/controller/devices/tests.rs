//! Rules held against a pretend `/sys`.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use engine::controller::hotplug::Hotplug;
use model::controller::rule;

use super::*;

struct Sys(PathBuf);

impl Sys {
    fn new(what: &str) -> Self {
        let root = std::env::temp_dir().join(format!("doorward-sys-{what}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).expect("mkdir");
        Self(root)
    }

    /// A device of this class, with attributes.
    fn add(&self, path: &str, subsystem: &str, files: &[(&str, &str)]) {
        let folder = self.0.join(&path[1..]);
        fs::create_dir_all(&folder).expect("mkdir");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("written");
        }
        let class = self.0.join("class").join(subsystem);
        fs::create_dir_all(&class).expect("mkdir");
        let name = folder.file_name().expect("it has a name");
        symlink(Path::new("../..").join(&path[1..]), class.join(name)).expect("link");
        symlink(&class, folder.join("subsystem")).expect("link");
    }
}

impl Drop for Sys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> Moment {
    Moment::from_nanos(1_000_000_000)
}

fn walked(sys: &Sys, rules: &[&str]) -> (Vec<Rule>, Hotplug) {
    let controlled: Vec<_> = rules.iter().map(|rule| ("it", *rule)).collect();
    let rules = rule::parse("", &controlled).expect("well made");
    let mut machine = Hotplug::new(now(), &rules);
    Devices::new(&sys.0, &rules.rules).walk(now(), &mut machine);
    (rules.rules, machine)
}

fn paths(machine: &Hotplug, service: usize) -> Vec<String> {
    let devices = machine.devices(service).iter();
    devices.map(|device| String::from_utf8_lossy(&device.path).into_owned()).collect()
}

#[test]
fn a_walk_finds_what_matches_and_only_that() {
    let sys = Sys::new("walk");
    let stick = "/devices/pci0/usb1/1-1";
    fs::create_dir_all(sys.0.join(&stick[1..])).expect("mkdir");
    fs::write(sys.0.join(&stick[1..]).join("idVendor"), "0951\n").expect("written");
    let disk = format!("{stick}/1-1:1.0/host0/block/sda");
    sys.add(&disk, "block", &[("uevent", "MAJOR=8\nDEVNAME=sda\nDEVTYPE=disk\n"), ("size", "5\n")]);
    sys.add(&format!("{disk}/sda1"), "block", &[("uevent", "DEVTYPE=partition\nPARTNAME=b\n")]);
    sys.add("/devices/virtual/net/lo", "net", &[("uevent", "INTERFACE=lo\n"), ("carrier", "1\n")]);
    // What leads nowhere, in a circle, or out of here, is no device.
    for (name, target) in [("none", "../../devices/x"), ("self", "."), ("out", "../../../../etc")] {
        symlink(target, sys.0.join("class/block").join(name)).expect("link");
    }
    symlink("../../devices", sys.0.join("devices/pci0/loop")).expect("link");
    let (_, machine) = walked(
        &sys,
        &[
            "subsystem block\nparent-attr idVendor=0951",
            "subsystem block\nattr size=5",
            "property PARTNAME=b",
            "carrier yes",
            "subsystem usb",
            "subsystem b*\nparent-attr size=?",
        ],
    );
    let (part, lo) = (format!("{disk}/sda1"), "/devices/virtual/net/lo".to_owned());
    let expected = [
        vec![disk.clone(), part.clone()],
        vec![disk.clone()],
        vec![part.clone()],
        vec![lo],
        vec![],
        vec![part],
    ];
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(paths(&machine, at), *expected, "rule {at}");
    }
}

#[test]
fn messages_are_only_a_reason_to_look() {
    let sys = Sys::new("messages");
    let (rules, mut machine) = walked(&sys, &["subsystem net\nproperty INTERFACE=wan"]);
    let devices = Devices::new(&sys.0, &rules);
    let mut hear = |text: &str| {
        let event = DeviceEvent::read(text.as_bytes()).expect("a message");
        let walk = devices.hear(now(), &mut machine, &event);
        (paths(&machine, 0), walk)
    };
    let wan = "/devices/virtual/net/wan";
    // It is gone by now.
    assert_eq!(hear("add@/devices/virtual/net/wan\0SUBSYSTEM=net\0").0, [""; 0]);
    sys.add(wan, "net", &[("uevent", "INTERFACE=wan\n")]);
    assert_eq!(hear("add@/devices/virtual/net/wan\0SUBSYSTEM=queues\0").0, [""; 0]);
    assert_eq!(hear("add@/devices/virtual/net/wan\0SUBSYSTEM=net\0").0, [wan]);
    // It is another thing by now.
    fs::write(sys.0.join(&wan[1..]).join("uevent"), "INTERFACE=lan\n").expect("written");
    assert_eq!(hear("change@/devices/virtual/net/wan\0").0, [""; 0]);
    fs::write(sys.0.join(&wan[1..]).join("uevent"), "INTERFACE=wan\n").expect("written");
    assert_eq!(hear("bind@/devices/virtual/net/wan\0").0, [wan]);
    // The folder is still there while the message says that the device goes.
    assert_eq!(hear("remove@/devices/virtual/net/wan\0").0, [""; 0]);
    assert!(hear("move@/devices/virtual/net/wan\0").1, "from where it does not say");
}
