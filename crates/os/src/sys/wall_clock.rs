//! The wall clock, for a program that asks once.

#[cfg(target_pointer_width = "64")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970; zero before that.
///
/// The kernel's page of clocks (`vdso(7)`) answers without a system call, but
/// finding it costs more than one, which a command that asks once does not
/// earn back: the first time, the kernel itself is asked.
pub fn since_1970() -> Duration {
    #[cfg(target_pointer_width = "64")]
    {
        static ASKED: AtomicBool = AtomicBool::new(false);
        if !ASKED.swap(true, Relaxed) {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: fills `time`, which both sides lay out alike on 64 bits.
            unsafe {
                libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut time);
            }
            return Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), time.tv_nsec as u32);
        }
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_tell_the_same_time() {
        let (first, second) = (since_1970(), since_1970());
        assert!(
            first <= second && second - first < Duration::from_secs(60),
            "{first:?} {second:?}"
        );
        assert!(first > Duration::from_secs(1_700_000_000));
    }
}
