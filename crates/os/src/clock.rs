//! The two clocks.

use model::time::{Date, Moment};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::wall_clock;

/// Now, on the clock that decisions are made by (`CLOCK_BOOTTIME`).
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Today, on the wall clock; before 1970 counts as 1970.
pub fn today() -> Date {
    let since = wall_clock::since_1970();
    Date::from_unix(since.as_secs(), since.subsec_nanos())
}
