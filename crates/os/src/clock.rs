//! The two clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use model::time::{Date, Moment};
use rustix::time::{ClockId, clock_gettime};

/// Now, on the clock that decisions are made by (`CLOCK_BOOTTIME`).
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Today, on the wall clock; before 1970 counts as 1970.
pub fn today() -> Date {
    // Through the C library, which finds the kernel's page of clocks without a
    // system call; a program that asks once cannot earn that back elsewhere.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::from_unix(since.as_secs(), since.subsec_nanos())
}
