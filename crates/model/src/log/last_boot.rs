//! What the kernel keeps over a restart, in memory that stays as it is: the end of the log, and what it
//! said itself when it crashed.

use crate::label::number;
use crate::log::kernel::SERVICE;
use crate::log::line::{self, Line};
use crate::log::mark::Mark;
use crate::time::Date;

/// Where it is found again, in the log directory: a folder with these files.
pub const FOLDER: &str = "previous-boot";
pub const LOG: &str = "log";
pub const MESSAGES: &str = "dmesg";
pub const CONSOLE: &str = "console";

/// The whole lines of a log that was kept in a ring: of the oldest one the beginning may be
/// overwritten, and memory that was not refreshed may have changed anywhere.
#[derive(Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    /// What is left of a line may look like one; but the first line that a boot writes is a mark.
    torn: bool,
}

impl<'a> Lines<'a> {
    pub fn new(kept: &'a [u8]) -> Self {
        Self { rest: kept, torn: true }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (text, rest) = self.rest.split_at(line::newline(self.rest)?);
            self.rest = &rest[1..];
            let line = Line::read(text, true);
            let whole = match core::mem::take(&mut self.torn) {
                true => Mark::read(&line).is_some(),
                false => line.service.is_some() && line.date().is_some(),
            };
            if whole {
                return Some(text);
            }
        }
    }
}

/// When the kernel said this, in nanoseconds since it began: `<6>[   12.345678] text`, where what stands
/// before the time may be missing.
pub fn said_at(line: &[u8]) -> Option<u64> {
    let place = |sign| line.iter().position(|&byte| byte == sign);
    let begin = if line.starts_with(b"<") { place(b'>')? + 1 } else { 0 };
    let time = line.get(begin..place(b']')?)?.strip_prefix(b"[")?.trim_ascii_start();
    let (secs, micros) = time.split_last_chunk::<7>()?;
    let nanos = number(micros.strip_prefix(b".")?)?.checked_mul(1000)?;
    number(secs)?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// What the kernel said in its last moments, as lines of the log: all behind `since`. Of two crashes the
/// later one tells most of the earlier again, which is left out. `mark` says when the kernel began.
pub fn last_words(kept: &[u8], since: Option<u64>, mark: &Mark, each: &mut dyn FnMut(&[u8])) {
    let mut next = since.map_or(0, |since| since.saturating_add(1));
    for text in kept.split(|&byte| byte == b'\n') {
        let Some(at) = said_at(text) else {
            // Here begins what was said at another crash.
            next = next.saturating_add(1);
            continue;
        };
        if at >= next {
            next = at;
            let date = Date::from_nanos(mark.zero.saturating_add_unsigned(at));
            each(&[&line::head(&date.label_text(), SERVICE), text].concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::time::Moment;

    const MARK: &str = "@40000000690000000000007b .logger boot 0a1b2c3d-1111-2222-3333-0123456789ab up 1.000000000";
    const LINE: &str = "@4000000069000001000001c8 dns listening";

    #[test]
    fn of_a_ring_the_torn_first_line_is_left_out_and_damage() {
        for (kept, expected) in [
            (alloc::format!("{MARK}\n{LINE}\n"), &[MARK, LINE][..]),
            (alloc::format!("00000001c8 dns listening\n{LINE}\n{MARK}\n"), &[LINE, MARK]),
            // What is left looks like a line, of a service called `listening`.
            (alloc::format!("@4000000069000001000001c8 listening on\n{LINE}\n"), &[LINE]),
            (alloc::format!("{MARK}\n@4\x00\x00\x00dns\n\n@4000 dns x\n{LINE}\n"), &[MARK, LINE]),
            (alloc::format!("{MARK}\n{LINE}"), &[MARK]),
            (alloc::format!("{MARK}\n{LINE}\n\nECC: No errors detected\n"), &[MARK, LINE]),
            (alloc::string::String::new(), &[]),
        ] {
            let found: Vec<&[u8]> = Lines::new(kept.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(found, expected, "{kept:?}");
        }
    }

    #[test]
    fn a_message_has_a_time_and_perhaps_a_number() {
        for (line, expected) in [
            ("<6>[    1.000002] eth0: up", Some(1_000_002_000)),
            ("[12345.678901] x", Some(12_345_678_901_000)),
            ("<0>[    1.500000][    T1] x", Some(1_500_000_000)),
            ("<4>[    1.500000]", Some(1_500_000_000)),
            ("Panic#1 Part1", None),
            ("<6>eth0", None),
            ("<6", None),
            ("[]", None),
            ("[   1.5] x", None),
            ("[99999999999.000000] x", None),
            ("", None),
        ] {
            assert_eq!(said_at(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn last_words_are_lines_behind_those_that_are_known() {
        let date = Date::from_unix(1_763_000_000, 0);
        let mark = Mark::new(*b"0a1b2c3d-1111-2222-3333-0123456789ab", date, Moment::from_nanos(0));
        let mark = mark.expect("a date");
        let kept = b"Oops#1 Part1\n<6>[ 1.000000] a\nPanic#2 Part1\n<6>[ 1.000000] a\n\
                     <6>[ 2.000000] b\n<6>[ 2.000000] more\n<0>[ 3.000000] c\nOops#1 Part2\n[ 0.500000] x";
        let after = |since: Option<u64>| {
            let mut found = Vec::new();
            last_words(kept, since, &mark, &mut |line| found.push(line.to_vec()));
            found
        };
        let texts = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
            lines.iter().map(|line| Line::read(line, true).text.to_vec()).collect()
        };
        let all =
            ["<6>[ 1.000000] a", "<6>[ 2.000000] b", "<6>[ 2.000000] more", "<0>[ 3.000000] c"];
        assert_eq!(texts(&after(None)), all.map(|text| text.as_bytes().to_vec()));
        assert_eq!(texts(&after(Some(1_000_000_000))), texts(&after(None))[1..]);
        assert_eq!(after(Some(u64::MAX)).len(), 0);
        let first = &after(None)[0];
        let first = Line::read(first, true);
        assert_eq!(first.date(), Some(Date::from_unix(1_763_000_001, 0)));
        assert_eq!(first.service, Some(&b"kernel"[..]));
    }
}
