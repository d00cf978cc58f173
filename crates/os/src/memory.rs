//! How much memory there is left.

use std::fs;

use model::deploy::maintenance;

/// Bytes that programs can have without taking them from others; `None`: the kernel does not say.
pub fn available() -> Option<u64> {
    maintenance::available(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// Bytes that there are.
pub fn total() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}
