//! `s6-rc-init` and the boot: how a live directory comes to be.

use e2e::machine::Machine;

#[test]
fn every_boot_of_many_at_once_ends_well() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..8 {
                    let machine = Machine::new(&format!("boots{thread}"));
                    machine.sleeper("a").bundle("default", &["a"]).start();
                    assert_eq!(machine.up(), ["a"]);
                    let said = machine.log();
                    assert!(said.is_empty(), "{said:?}");
                }
            });
        }
    });
}
