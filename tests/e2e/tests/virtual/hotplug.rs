//! Devices that are plugged into a router in QEMU: a USB disk before the boot and one after it, a
//! network device, and all of them pulled out again.

use e2e::vm::{self, LIMIT, Vm, WAY_IN};
use e2e::{shown, wait_for};
use serde_json::json;

const CONFIGURATION: &str = r#"{ config, pkgs, lib, ... }:
let
  svc = config.system.service;
  inherit (pkgs.svc) bundle longrun oneshot;
  waits = name: dependencies: longrun { inherit name dependencies; run = "exec sleep 100000\n"; };
  disk = serial: svc.uevent-rule.build {
    service = oneshot { name = serial; up = "test -b $(ward output get ${serial} devname)\n"; };
    terms = { subsystem = "block"; devtype = "disk"; parentAttrs.serial = serial; };
    symlink = "disk-${serial}";
  };
in
{
  hostname = "plugs";
  boot.modules = [ "xhci_pci" "usb_storage" "sd_mod" ];
  hardware.vm.arguments = [
    "-device" "qemu-xhci,id=usb" "-device" "pcie-root-port,id=socket"
    "-blockdev" "driver=null-co,node-name=early,size=16777216,read-zeroes=on"
    "-device" "usb-storage,bus=usb.0,drive=early,serial=early"
  ];
  services = rec {
    early = disk "early";
    backup = disk "backup";
    share = waits "share" [ backup ];
    card = svc.uevent-rule.build {
      service = oneshot { name = "card"; };
      terms = { subsystem = "net"; attrs.address = "52:54:00:00:00:77"; };
    };
  };
}
"#;

#[test]
fn what_is_plugged_in_has_its_service_and_what_is_pulled_out_has_none() {
    let folder = vm::build(&format!("{WAY_IN} ({CONFIGURATION})"), "qemu-x86_64");
    let mut vm = Vm::new("hotplug", &folder);
    vm.start();
    vm.wait_open();
    let wait_up = |vm: &Vm, name: &str, up: bool| {
        let line = format!("{name}\n");
        wait_for(&format!("{name} up: {up}"), LIMIT, || {
            (format!("\n{}", vm.ask("s6-rc -a list")).contains(&format!("\n{line}")) == up)
                .then_some(())
        });
    };
    // It was there before anybody listened.
    wait_up(&vm, "early", true);
    for absent in ["backup", "share", "card"] {
        wait_up(&vm, absent, false);
    }
    assert!(vm.ask("ward output get early devname").starts_with("/dev/sd"));
    let node = vm.ask("ward output get early devname");
    assert_eq!(vm.ask("readlink /dev/disk-early").trim(), node.trim());

    vm.order(
        "blockdev-add",
        json!({ "driver": "null-co", "node-name": "backup", "size": 8 << 20 }),
    );
    let stick = json!({ "driver": "usb-storage", "id": "stick", "bus": "usb.0", "drive": "backup", "serial": "backup" });
    vm.order("device_add", stick.clone());
    // What needs it comes along.
    wait_up(&vm, "share", true);
    let step = &shown::blocks("docs/guide/controllers.md", "virtual/hotplug.rs")[0][0];
    shown::compare(step, &vm.ask(&step.command));
    let first = vm.ask("ward output get backup instance");
    let card = json!({ "driver": "virtio-net-pci", "id": "card", "bus": "socket", "mac": "52:54:00:00:00:77" });
    vm.order("device_add", card);
    wait_up(&vm, "card", true);
    assert!(vm.ask("ward output get card ifname").starts_with("eth"));

    vm.order("device_del", json!({ "id": "stick" }));
    wait_up(&vm, "share", false);
    wait_up(&vm, "backup", false);
    assert_eq!(vm.visit("readlink /dev/disk-backup").code, 1);
    vm.order("device_add", stick);
    wait_up(&vm, "share", true);
    assert_ne!(vm.ask("ward output get backup instance"), first, "it is another one");
    vm.order("device_del", json!({ "id": "card" }));
    wait_up(&vm, "card", false);
    // The controller is killed, and nothing changes but its number.
    let pid = vm.ask("s6-svstat -o pid /run/service/hotplug");
    vm.ask(&format!("kill -9 {pid}"));
    vm.ask(&format!(
        "until [ $(s6-svstat -o pid /run/service/hotplug) -gt {} ]; do usleep 10000; done",
        pid.trim()
    ));
    wait_up(&vm, "early", true);
    wait_up(&vm, "share", true);
    assert!(vm.ask("ward why backup").contains("/block/sd"));
}
