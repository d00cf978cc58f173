//! TAI64N labels in text: put before lines, and turned into dates people read.

use alloc::vec;
use alloc::vec::Vec;

use crate::calendar::Civil;
use crate::limits::STAMPED_LINE_BYTES;
use crate::log::line::{newline, newline_in_word};
use crate::time::{Date, TAI64_EPOCH};
use crate::zone::Zone;

/// Characters of a label: `@` and 24 hexadecimal digits.
pub const LABEL_BYTES: usize = 25;

/// What the seconds of a label count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// TAI: Unix time, 10, and the leap seconds that had passed. The default
    /// of s6, and of Debian's build of it.
    #[default]
    Tai,
    /// Unix time and 10 always, as programs write it that know no leap seconds.
    UnixPlusTen,
}

impl Reading {
    /// The label of a date that was taken from the clock.
    pub fn label(self, date: Date) -> Date {
        match self {
            Self::Tai => date,
            Self::UnixPlusTen => {
                let unix = date.unix().0.max(0).unsigned_abs();
                Date { label: TAI64_EPOCH + 10 + unix, nanos: date.nanos }
            }
        }
    }

    /// Unix seconds of a label, and whether it lies in a leap second.
    fn unix(self, date: Date) -> (i64, bool) {
        match self {
            Self::Tai => date.unix(),
            Self::UnixPlusTen => {
                let since = date.label.wrapping_sub(TAI64_EPOCH) as i64;
                (since.saturating_sub(10), false)
            }
        }
    }
}

/// The date that a label says, `None` where this is none: digits are missing,
/// or it says more than 999,999,999 nanoseconds, which TAI64N forbids.
pub fn parse(text: &[u8; LABEL_BYTES]) -> Option<Date> {
    let mut bytes = [0; 12];
    let (at, digits) = text.split_first()?;
    if *at != b'@' {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    let date = Date::from_bytes(bytes);
    (date.nanos < 1_000_000_000).then_some(date)
}

/// Appends `YYYY-MM-DD HH:MM:SS.nnnnnnnnn`, as clocks of the zone showed it.
///
/// Nothing is appended, and the answer is false, for dates before 1970 and
/// those whose year is no 32-bit number: s6 leaves these alone too, or crashes.
pub fn append_local(date: Date, reading: Reading, zone: &Zone, out: &mut Vec<u8>) -> bool {
    const UNIX_MAX: i64 = 67_767_976_233_532_799; // in the year 2,147,483,647
    let (unix, leap) = reading.unix(date);
    if !(0..=UNIX_MAX).contains(&unix) || date.label >> 63 != 0 {
        return false;
    }
    let civil = Civil::from_secs(unix + i64::from(zone.east(unix)));
    append(civil.year.unsigned_abs(), 4, out);
    for (mark, value) in [(b'-', civil.month), (b'-', civil.day), (b' ', civil.hour)] {
        out.push(mark);
        append(value.into(), 2, out);
    }
    for (mark, value) in [(b':', civil.minute), (b':', civil.second + u8::from(leap))] {
        out.push(mark);
        append(value.into(), 2, out);
    }
    out.push(b'.');
    append(date.nanos.into(), 9, out);
    true
}

/// Appends a number in at least `width` digits.
pub fn append(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Appends each byte as two digits.
pub fn append_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
}

/// The number that these digits are; nothing else may stand there.
pub fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Puts a label before each line of a stream.
#[derive(Debug, Default)]
pub struct Stamper {
    /// What is there of a line that has not ended.
    held: Vec<u8>,
    /// The line has its label, and its beginning is out.
    begun: bool,
}

impl Stamper {
    /// Takes the next bytes of the stream and appends what can go out: lines
    /// that ended, each labelled with the time that `now` gives then, and what
    /// is too long to be kept.
    pub fn push(&mut self, mut bytes: &[u8], now: &mut dyn FnMut() -> Date, out: &mut Vec<u8>) {
        while let Some(end) = newline(bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            self.begin(now, out);
            out.extend_from_slice(line);
            self.begun = false;
            bytes = rest;
        }
        if self.begun || self.held.len() + bytes.len() > STAMPED_LINE_BYTES {
            self.begin(now, out);
            out.extend_from_slice(bytes);
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    /// Ends the stream, and its last line with a newline where it has none.
    pub fn end(&mut self, now: &mut dyn FnMut() -> Date, out: &mut Vec<u8>) {
        if self.begun || !self.held.is_empty() {
            self.begin(now, out);
            out.push(b'\n');
            self.begun = false;
        }
    }

    fn begin(&mut self, now: &mut dyn FnMut() -> Date, out: &mut Vec<u8>) {
        if !self.begun {
            out.extend_from_slice(&now().label_text());
            out.push(b' ');
            out.append(&mut self.held);
            self.begun = true;
        }
    }
}

/// Turns the label at the start of each line of a stream into a local date.
#[derive(Debug)]
pub struct Localizer<'z> {
    zone: &'z Zone,
    reading: Reading,
    /// The start of a line: what may yet become a label.
    held: Vec<u8>,
    /// The start of the line is out, the rest passes as it is.
    inside: bool,
    /// The last label, and the date that it became: many lines have the same.
    last: [u8; LABEL_BYTES],
    date: [u8; DATE_BYTES],
    date_bytes: usize,
    /// Where lines are put together.
    room: Vec<u8>,
}

/// Bytes of the longest date, in the year 2,147,483,647, and what makes it whole words.
const DATE_BYTES: usize = 40;

/// Copies what goes up to the first newline, and that, or all of it: how many bytes, and whether there was one.
/// There is room for all of it.
fn copy_line(from: &[u8], to: &mut [u8]) -> (usize, bool) {
    let (words, end) = from.as_chunks::<8>();
    let (to_words, _) = to.as_chunks_mut::<8>();
    let mut at = 0;
    while at < words.len() {
        to_words[at] = words[at];
        if let Some(found) = newline_in_word(words[at]) {
            return (8 * at + found + 1, true);
        }
        at += 1;
    }
    let start = 8 * at;
    for (at, &byte) in end.iter().enumerate() {
        to[start + at] = byte;
        if byte == b'\n' {
            return (start + at + 1, true);
        }
    }
    (from.len(), false)
}

impl<'z> Localizer<'z> {
    pub fn new(zone: &'z Zone, reading: Reading) -> Self {
        Self {
            zone,
            reading,
            held: Vec::new(),
            inside: false,
            last: [0; LABEL_BYTES],
            date: [0; DATE_BYTES],
            date_bytes: 0,
            room: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream and appends what can go out.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.held.is_empty() {
                let taken = self.lines(bytes, out);
                bytes = &bytes[taken..];
                if taken > 0 {
                    continue;
                }
            }
            if self.held.len() < LABEL_BYTES && (first == b'@') == self.held.is_empty() {
                if first == b'\n' {
                    self.inside = true; // too short a line: let it pass
                    self.end(out);
                } else {
                    self.held.push(first);
                    bytes = rest;
                }
            } else {
                // A label counts once something follows it, as s6 has it.
                self.inside = true;
                let held = core::mem::take(&mut self.held);
                if held[..].try_into().is_ok_and(|label| self.translate(label)) {
                    out.extend_from_slice(&self.date[..self.date_bytes]);
                } else {
                    out.extend_from_slice(&held);
                }
            }
        }
    }

    /// Takes what is whole: labels, and the lines behind them. How many bytes that were.
    ///
    /// Byte for byte once: calls that copy a few dozen bytes took most of the time of a log.
    fn lines(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut room = core::mem::take(&mut self.room);
        // Every label has a byte behind it, at least.
        let most = bytes.len() + bytes.len() / (LABEL_BYTES + 1) * (DATE_BYTES - LABEL_BYTES);
        if room.len() < most + DATE_BYTES {
            room = vec![0; most + DATE_BYTES];
        }
        let (mut from, mut to) = (0, 0);
        loop {
            if self.inside {
                let (copied, ended) = copy_line(&bytes[from..], &mut room[to..]);
                (from, to) = (from + copied, to + copied);
                self.inside = !ended;
                if !ended {
                    break;
                }
            } else if let Some((label, rest)) = bytes[from..].split_first_chunk()
                && !rest.is_empty()
                && self.translate(label)
                && let Some(room) = room[to..].first_chunk_mut()
            {
                *room = self.date;
                (from, to) = (from + LABEL_BYTES, to + self.date_bytes);
                self.inside = true;
            } else {
                break;
            }
        }
        out.extend_from_slice(&room[..to]);
        self.room = room;
        from
    }

    /// Makes the date of a label; `false`: it is none.
    fn translate(&mut self, label: &[u8; LABEL_BYTES]) -> bool {
        // Word by word, which `memcmp` of musl is not.
        let ((words, end), (last, last_end)) = (label.as_chunks::<8>(), self.last.as_chunks::<8>());
        let same =
            words.iter().zip(last).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b));
        if !same || end != last_end {
            let Some(date) = parse(label) else { return false };
            let mut text = Vec::with_capacity(DATE_BYTES);
            if !append_local(date, self.reading, self.zone, &mut text) {
                return false;
            }
            self.date[..text.len()].copy_from_slice(&text);
            self.date_bytes = text.len();
            self.last = *label;
        }
        true
    }

    /// Ends the stream: appends what was waiting to become a label.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &[u8], step: usize) -> Vec<u8> {
        let zone = Zone::UTC;
        let (mut out, mut filter) = (Vec::new(), Localizer::new(&zone, Reading::Tai));
        for piece in text.chunks(step) {
            filter.push(piece, &mut out);
        }
        filter.end(&mut out);
        out
    }

    #[test]
    fn labels_at_the_start_of_a_line_become_dates() {
        for (text, expected) in [
            (&b"@40000000586846a40000000a x\n"[..], &b"2016-12-31 23:59:60.000000010 x\n"[..]),
            (b"@400000000000000a00000000x", b"1970-01-01 00:00:00.000000000x"),
            (b"@400000000000000a00000000", b"@400000000000000a00000000"), // nothing follows
            (b"@400000000000000900000000\n", b"@400000000000000900000000\n"), // before 1970
            (b"@400000000000000a3b9aca00 \n", b"@400000000000000a3b9aca00 \n"), // 10^9 ns
            (b"@4000\n@\n\n@@@", b"@4000\n@\n\n@@@"),
            (b"a @400000000000000a00000000\n", b"a @400000000000000a00000000\n"),
        ] {
            for step in [1, 2, 7, 100] {
                assert_eq!(local(text, step), expected, "{text:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn lines_get_one_label_each_however_long_they_are() {
        let mut count = 0;
        let mut now = || {
            count += 1;
            Date { label: TAI64_EPOCH, nanos: count }
        };
        let (mut stamper, mut out) = (Stamper::default(), Vec::new());
        stamper.push(b"a\nb", &mut now, &mut out);
        assert_eq!(out, b"@400000000000000000000001 a\n", "b may become longer");
        stamper.push(&[b'c'; STAMPED_LINE_BYTES], &mut now, &mut out);
        stamper.push(b"d\n", &mut now, &mut out);
        stamper.push(b"e", &mut now, &mut out);
        stamper.end(&mut now, &mut out);
        assert!(out.ends_with(b"cd\n@400000000000000000000003 e\n"));
        assert_eq!(out.iter().filter(|&&b| b == b'@').count(), 3);
    }

    #[test]
    fn the_other_reading_knows_no_leap_seconds() {
        let date = Date::from_unix(1_700_000_000, 5);
        assert_eq!(date.label - TAI64_EPOCH - 1_700_000_000, 37);
        let label = Reading::UnixPlusTen.label(date);
        assert_eq!(label.label - TAI64_EPOCH - 1_700_000_000, 10);
        let mut out = Vec::new();
        assert!(append_local(label, Reading::UnixPlusTen, &Zone::UTC, &mut out));
        assert_eq!(out, b"2023-11-14 22:13:20.000000005");
    }
}
