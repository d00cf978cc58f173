//! A mark: the line by which the logger says which boot this is, and how far
//! the wall clock is from the clock that never jumps.
//!
//! `@label .logger boot ID up SECONDS`, with ` step SECONDS` behind it where
//! the wall clock was just set. No service can be called so, since names do
//! not begin with a dot: what a service prints is never taken for a mark.

use alloc::vec::Vec;

use crate::label::number;
use crate::log::line::{Line, Lines, head};
use crate::time::{Date, Moment};

/// What stands in the place of the service.
pub const SERVICE: &str = ".logger";

/// Bytes of a boot's number, as `/proc/sys/kernel/random/boot_id` has it.
pub const BOOT_BYTES: usize = 36;

/// Which boot it is.
pub type Boot = [u8; BOOT_BYTES];

/// A clock that moved by less than this was not set, but is as exact as
/// looking at one clock after the other can be: nanoseconds.
pub const STEP_NANOS_MIN: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub boot: Boot,
    /// What the wall clock said, or would have said, when the kernel began:
    /// nanoseconds since 1970 TAI.
    pub zero: i64,
}

impl Mark {
    /// `None` for dates that are too far away to count with.
    pub fn new(boot: Boot, today: Date, now: Moment) -> Option<Self> {
        let up = i64::try_from(now.nanos()).ok()?;
        Some(Self { boot, zero: today.nanos_since_1970()?.checked_sub(up)? })
    }

    /// By how many nanoseconds the wall clock was set between here and
    /// `later`, a mark of the same boot; 0 where it was not.
    pub fn step_to(&self, later: &Self) -> i64 {
        let step = later.zero.saturating_sub(self.zero);
        if step.unsigned_abs() > STEP_NANOS_MIN { step } else { 0 }
    }

    /// Whether `later` says something new.
    pub fn differs_from(&self, later: &Self) -> bool {
        self.boot != later.boot || self.step_to(later) != 0
    }

    /// Appends the line. `step`: the clock was just set by so many nanoseconds.
    pub fn write(&self, today: Date, step: i64, log: &mut Lines) {
        let up = today.nanos_since_1970().unwrap_or(0).saturating_sub(self.zero);
        let mut text = b"boot ".to_vec();
        text.extend_from_slice(&self.boot);
        text.extend_from_slice(b" up ");
        append_seconds(up, &mut text);
        if step != 0 {
            text.extend_from_slice(if step > 0 { b" step +" } else { b" step -" });
            append_seconds(step.saturating_abs(), &mut text);
        }
        log.push(&head(&today.label_text(), SERVICE), &text, false);
    }

    /// The mark that a line is.
    pub fn read(line: &Line<'_>) -> Option<Self> {
        if line.service != Some(SERVICE.as_bytes()) {
            return None;
        }
        let mut words = line.text.split(|&byte| byte == b' ');
        let mut next = |word: &[u8]| (words.next()? == word).then(|| words.next()).flatten();
        let boot: Boot = next(b"boot")?.try_into().ok()?;
        let (secs, nanos) = next(b"up")?.split_last_chunk::<10>()?;
        let nanos = number(nanos.strip_prefix(b".")?)?;
        let up = number(secs)?.checked_mul(1_000_000_000)?.checked_add(nanos)?;
        if !boot.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-') {
            return None;
        }
        Self::new(boot, line.date()?, Moment::from_nanos(up))
    }
}

/// Seconds with nine digits behind the point.
fn append_seconds(nanos: i64, out: &mut Vec<u8>) {
    let nanos = nanos.unsigned_abs();
    crate::label::append(nanos / 1_000_000_000, 1, out);
    out.push(b'.');
    crate::label::append(nanos % 1_000_000_000, 9, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Boot = *b"0a1b2c3d-1111-2222-3333-0123456789ab";

    #[test]
    fn a_mark_reads_back_and_is_an_ordinary_line() {
        let today = Date::from_unix(1_763_000_000, 5);
        let mark = Mark::new(BOOT, today, Moment::from_nanos(12_345_678_901)).unwrap();
        for (step, ending) in [
            (0, &b""[..]),
            (1_500_000_000, b" step +1.500000000"),
            (-1_500_000_001, b" step -1.500000001"),
        ] {
            let mut log = Lines::new(0);
            mark.write(today, step, &mut log);
            let mut expected = today.label_text().to_vec();
            expected.extend_from_slice(b" .logger boot 0a1b2c3d-1111-2222-3333-0123456789ab");
            expected.extend_from_slice(b" up 12.345678901");
            expected.extend_from_slice(ending);
            expected.push(b'\n');
            assert_eq!(log.as_bytes(), expected);
            let line = Line::read(&expected[..expected.len() - 1], true);
            assert_eq!(Mark::read(&line), Some(mark));
        }
    }

    #[test]
    fn what_is_no_mark_is_none() {
        let label = Date::from_unix(1_763_000_000, 5).label_text();
        let label = core::str::from_utf8(&label).unwrap();
        let boot = core::str::from_utf8(&BOOT).unwrap();
        for text in [
            alloc::format!("{label} logger boot {boot} up 1.000000000"), // a service's
            alloc::format!("{label} .logger boot {boot} up 1.00000000"),
            alloc::format!("{label} .logger boot {boot} up .000000000"),
            alloc::format!("{label} .logger boot {boot} up +1.000000000"),
            alloc::format!("{label} .logger boot {boot} up 99999999999.000000000"),
            alloc::format!("{label} .logger boot {boot}x up 1.000000000"),
            alloc::format!("{label} .logger boot {boot}"),
            alloc::format!("{label} .logger boot"),
            alloc::format!("@4{} .logger boot {boot} up 1.000000000", "f".repeat(23)),
        ] {
            assert_eq!(Mark::read(&Line::read(text.as_bytes(), true)), None, "{text}");
        }
    }

    #[test]
    fn a_clock_was_set_when_it_moved_by_more_than_a_second() {
        let mark = |zero| Mark { boot: BOOT, zero };
        for (zero, step) in
            [(0, 0), (1_000_000_000, 0), (1_000_000_001, 1_000_000_001), (i64::MIN, i64::MIN)]
        {
            assert_eq!(mark(0).step_to(&mark(zero)), step);
        }
    }
}
