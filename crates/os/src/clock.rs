//! The two clocks.

use std::time::Duration;

use model::time::{Date, Moment};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::wall_clock;

/// Two clocks were read at once when this program was not kept waiting between.
const AT_ONCE: Duration = Duration::from_millis(10);

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

/// Both clocks, read at once, unless this program is kept waiting time and again.
pub fn both() -> (Date, Moment) {
    let mut tries = 0;
    loop {
        let (before, today) = (now(), today());
        tries += 1;
        if now().since(before) < AT_ONCE || tries == 10 {
            return (today, before);
        }
    }
}
