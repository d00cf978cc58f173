//! `flashcp` on flash as Linux has it, in the virtual router.

use e2e::vm::{self, Vm};

const CONFIGURATION: &str = r#"{ config, pkgs, ... }:
let svc = config.system.service; in
{
  hostname = "flashes";
  hardware.kernel.modules = [ "mtdram" "nandsim" "block2mtd" "loop" ];
  hardware.vm.memory = 512;
  defaultProfile.packages = [ pkgs.mtdutils ];
  services = rec {
    int = svc.network.address.build {
      interface = config.hardware.networkInterfaces.lan;
      address = "192.168.7.1";
      prefixLength = 24;
    };
    ssh = svc.ssh.build { address = "192.168.7.1"; dependencies = [ int ]; };
  };
}
"#;

fn device() -> Vm {
    let folder = vm::build(&format!("({CONFIGURATION})"), "qemu-x86_64");
    let mut vm = Vm::new("flashes", &folder);
    vm.start();
    vm.wait_open();
    vm
}

#[test]
fn explore() {
    let vm = device();
    let line = std::fs::read_to_string("/tmp/flashk/script").unwrap();
    for part in line.split("\n===\n") {
        let said = vm.visit(part);
        println!("--- {:?}\n{}{}", said.code, said.out, said.err);
    }
}
