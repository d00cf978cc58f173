//! Each device that there is, in QEMU: from a configuration to a boot from the flash, the manual's
//! quick reference by ssh, and what stays after a restart and a power cut.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use e2e::manual::{LOG, SERVICES, answers, script};
use e2e::nix::prepare_devices;
use e2e::vm::{self, LIMIT, Vm, WAY_IN};
use e2e::wait_for;

/// The services of the manual.
const CONFIGURATION: &str = r#"{ config, pkgs, ... }:
let
  inherit (pkgs.svc) bundle longrun oneshot;
  waits = name: dependencies: longrun { inherit name dependencies; run = "exec sleep 100000\n"; };
in
{
  hostname = "manual";
  logging.persistent.enable = config.hardware.ramoops != null;
  services = rec {
    burrow = waits "burrow" [ ];
    grass = oneshot { name = "grass"; up = "echo grows\n"; };
    wombat = longrun {
      name = "wombat";
      run = "echo digs\nexec sleep 100000\n";
      dependencies = [ burrow grass ];
    };
    den = waits "den" [ wombat ];
    usb = oneshot { name = "usb"; };
    plugged = waits "plugged" [ wombat usb ];
    default = bundle { name = "default"; contents = [ config.services.ssh den ]; };
  };
}
"#;

/// The partitions of all of them: name and size.
const PARTITIONS: [(&str, u32); 7] = [
    ("u-boot", 0x0008_0000),
    ("u-boot-env", 0x0004_0000),
    ("factory", 0x0004_0000),
    ("firmware", 0x0380_0000),
    ("kernel", 0x01c0_0000),
    ("rootfs", 0x01c0_0000),
    ("persist", 0x0070_0000),
];

struct Kind {
    /// The folder in devices/.
    name: &'static str,
    /// The whole flash: its name and size.
    flash: (&'static str, u32),
    erase_bytes: u32,
    /// Whether its kernel keeps something in memory over a restart.
    keeps_memory: bool,
}

const X86_64: Kind = Kind {
    name: "qemu-x86_64",
    flash: ("flash0", 0x0400_0000),
    erase_bytes: 0x1_0000,
    keeps_memory: true,
};

const MIPSEL: Kind = Kind {
    name: "qemu-mipsel",
    flash: ("flash0", 0x0400_0000),
    erase_bytes: 0x1_0000,
    keeps_memory: false,
};

const AARCH64: Kind = Kind {
    name: "qemu-aarch64",
    flash: ("0.flash", 0x0800_0000),
    erase_bytes: 0x4_0000,
    keeps_memory: true,
};

/// The device as it runs, from what was built of the configuration.
fn device(kind: &Kind) -> Vm {
    prepare_devices();
    let folder = vm::build(&format!("{WAY_IN} ({CONFIGURATION})"), kind.name);
    Vm::new(kind.name, &folder)
}

fn does_all_of_it(kind: &Kind) {
    let mut vm = device(kind);
    vm.start();
    vm.wait_open();

    assert_eq!(vm.ask("cat /proc/mtd"), partitions(kind));
    wait_for("everything", LIMIT, || vm.ask("s6-rc -a list").contains("den\n").then_some(()));
    let said = vm.ask(&script(SERVICES.iter().map(|(line, _)| *line)));
    assert_eq!(answers(&said).len(), SERVICES.len(), "{said}");
    for ((line, expected), answer) in SERVICES.iter().zip(answers(&said)) {
        // What else the device has is listed between them.
        let ours = ["burrow", "den", "grass", "plugged", "usb", "wombat"];
        let answer: BTreeSet<&str> = answer.into_iter().filter(|it| ours.contains(it)).collect();
        assert_eq!(answer, expected.iter().copied().collect(), "{line}");
    }
    let said = vm.ask(&script(LOG.iter().copied()));
    let found = answers(&said);
    let [files, link, logged, dated] = &found[..] else { panic!("{said}") };
    assert_eq!(
        (&files[..], &link[..]),
        (&["current", "lock", "state"][..], &["uncaught-logs"][..])
    );
    assert!(logged.len() == 2 && logged.iter().all(|line| line.starts_with("@40000000")), "{said}");
    assert!(dated.len() == 2 && dated.iter().all(|line| &line[10..11] == " "), "{said}");
    assert!(vm.ask("grep ' wombat digs' /run/log/current").starts_with("@40000000"));

    vm.ask("echo first > /persist/story && sync");
    vm.reboot();
    assert_eq!(vm.ask("cat /persist/story"), "first\n");
    match kind.keeps_memory {
        true => assert!(vm.ask("ward log --boot -1 -s wombat").ends_with(" wombat digs\n")),
        false => _ = vm.visit("ward log --boot -1").expect(1),
    }
    vm.ask("echo second > /persist/story && sync");
    vm.cut_power();
    vm.start();
    assert_eq!(vm.ask("cat /persist/story"), "second\n");
    let phases = vm.ask("cat /run/boot-phases");
    assert!(phases.starts_with("kernel\t"), "{phases}");
}

/// What `/proc/mtd` says.
fn partitions(kind: &Kind) -> String {
    let mut text = "dev:    size   erasesize  name\n".to_owned();
    for (number, (name, bytes)) in [kind.flash].into_iter().chain(PARTITIONS).enumerate() {
        let _ = writeln!(text, "mtd{number}: {bytes:08x} {:08x} \"{name}\"", kind.erase_bytes);
    }
    text
}

#[test]
fn the_device_that_tests_run_on_does_all_of_it() {
    does_all_of_it(&X86_64);
}

#[test]
fn the_mips_device_does_all_of_it() {
    does_all_of_it(&MIPSEL);
}

#[test]
fn the_arm_device_does_all_of_it() {
    does_all_of_it(&AARCH64);
}
