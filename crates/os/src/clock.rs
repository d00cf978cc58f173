//! The two clocks.

use model::time::{Date, Moment};
use rustix::time::{ClockId, clock_gettime};

/// Now, on the clock that decisions are made by (`CLOCK_BOOTTIME`).
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Today, on the wall clock; before 1970 counts as 1970.
pub fn today() -> Date {
    let time = clock_gettime(ClockId::Realtime);
    Date::from_unix(u64::try_from(time.tv_sec).unwrap_or(0), time.tv_nsec as u32)
}
