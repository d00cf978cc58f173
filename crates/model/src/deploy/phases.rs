//! When a device that starts has come how far.
//!
//! A file in memory has a line for each: `NAME`, a tab, and seconds since the kernel began.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;
use core::time::Duration;

use crate::time::Moment;

/// What has been reached. The last two exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first instruction of `ward`, in the ramdisk.
    Kernel,
    /// The root file system is mounted.
    Root,
    /// The `ward` of the generation begins.
    Generation,
    /// All that comes before the first service is done.
    Init,
    /// The first bundle is up.
    Up,
    /// It is not, and nothing more is being done for it.
    Failed,
}

/// Names in the file, and what the time until then was spent on.
const PHASES: [(Phase, &str, &str); 6] = [
    (Phase::Kernel, "kernel", "kernel"),
    (Phase::Root, "root", "ramdisk"),
    (Phase::Generation, "generation", "hand-over"),
    (Phase::Init, "init", "early boot"),
    (Phase::Up, "up", "services"),
    (Phase::Failed, "failed", "services"),
];

impl Phase {
    pub fn name(self) -> &'static str {
        PHASES[self as usize].1
    }

    /// What the time until then was spent on.
    pub fn spent_on(self) -> &'static str {
        PHASES[self as usize].2
    }

    /// The line that says when it was reached.
    pub fn line(self, at: Moment) -> String {
        let milliseconds = at.nanos() / 1_000_000;
        format!("{}\t{}.{:03}\n", self.name(), milliseconds / 1000, milliseconds % 1000)
    }
}

/// Whether the file says how it ended.
pub fn is_over(file: &str) -> bool {
    read(file).any(|(phase, _)| matches!(phase, Phase::Up | Phase::Failed))
}

/// How long a start that is over has taken, as far as that was noted.
pub fn took(file: &str) -> Option<Duration> {
    let last = read(file).last().filter(|(phase, _)| matches!(phase, Phase::Up | Phase::Failed));
    let first = read(file).next()?;
    Some(Duration::from_millis(last?.1.saturating_sub(first.1)))
}

/// One line for people, of all that the file holds; `None` where that is nothing.
///
/// In a ramdisk the time counts from the kernel's start, elsewhere from the first phase.
pub fn report(file: &str) -> Option<String> {
    let (last, end) = read(file).last()?;
    let (first, begin) = read(file).next()?;
    // What was before the first phase counts only where it is known what that was.
    let (since, whole, skipped) =
        if first == Phase::Kernel { ("the kernel", 0, 0) } else { ("ward", begin, 1) };
    let mut text = format!("{} {} after {since} began", last.name(), seconds(end, whole));
    let (mut before, mut mark) = (whole, ':');
    for (phase, at) in read(file).skip(skipped) {
        let _ = write!(text, "{mark} {} {}", PHASES[phase as usize].2, seconds(at, before));
        (before, mark) = (at, ',');
    }
    Some(text)
}

/// A span between two numbers of milliseconds.
fn seconds(end: u64, begin: u64) -> String {
    let span = end.saturating_sub(begin);
    format!("{}.{:03} s", span / 1000, span % 1000)
}

/// The phases in the file, by name, and the milliseconds after which they were reached.
pub fn reached(file: &str) -> impl Iterator<Item = (&'static str, u64)> {
    read(file).map(|(phase, at)| (phase.name(), at))
}

/// The phases in the file, with milliseconds. Lines that nobody wrote are passed over.
pub fn read(file: &str) -> impl Iterator<Item = (Phase, u64)> {
    file.lines().filter_map(|line| {
        let (name, at) = line.split_once('\t')?;
        let (whole, part) = at.split_once('.')?;
        let (phase, ..) = PHASES.iter().find(|(_, known, _)| *known == name)?;
        let digits = part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        let part = part.parse::<u16>().ok().filter(|_| digits)?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(1000)?;
        Some((*phase, whole.checked_add(part.into())?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::from_nanos(milliseconds * 1_000_000 + 999_999)
    }

    #[test]
    fn what_was_noted_is_told_in_one_line() {
        let mut file = String::new();
        assert_eq!(report(&file), None);
        for (phase, milliseconds) in [
            (Phase::Kernel, 2107),
            (Phase::Root, 2320),
            (Phase::Generation, 2320),
            (Phase::Init, 2441),
        ] {
            file += &phase.line(at(milliseconds));
        }
        assert!(!is_over(&file));
        file += &Phase::Up.line(at(13_008));
        assert!(is_over(&file));
        assert_eq!(took(&file), Some(Duration::from_millis(13_008 - 2107)));
        assert_eq!(file.lines().next(), Some("kernel\t2.107"));
        let expected = "up 13.008 s after the kernel began: kernel 2.107 s, ramdisk 0.213 s, \
                        hand-over 0.000 s, early boot 0.121 s, services 10.567 s";
        assert_eq!(report(&file).as_deref(), Some(expected));
    }

    #[test]
    fn without_a_ramdisk_time_counts_from_the_generation_on() {
        let file = "generation\t90.000\ninit\t90.030\nfailed\t91.000\n";
        let expected = "failed 1.000 s after ward began: early boot 0.030 s, services 0.970 s";
        assert_eq!(report(file).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        for file in ["", "up", "up\t1", "up\t1.5", "up\t1.+05", "on\t1.000", "up\tx.000"] {
            assert_eq!(report(file), None, "{file:?}");
        }
        assert_eq!(report("up\t99999999999999999999.000\n"), None);
        assert_eq!(report("up\t18446744073709551.999\n"), None);
    }
}
