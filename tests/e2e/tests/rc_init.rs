//! `s6-rc-init` and the boot: how a live directory comes to be.

use e2e::device::Device;

#[test]
fn every_boot_of_many_at_once_ends_well() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..8 {
                    let device = Device::new(&format!("boots{thread}"));
                    device.sleeper("a").bundle("default", &["a"]).start();
                    assert_eq!(device.up(), ["a"]);
                    let said = device.log();
                    assert!(said.is_empty(), "{said:?}");
                }
            });
        }
    });
}
