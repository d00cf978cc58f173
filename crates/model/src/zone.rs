//! A time zone: how far its clocks are from UTC, as TZif files and TZ strings say.

use alloc::vec::Vec;

use crate::calendar::{DAY_SECS, date, days_before, is_leap};
use crate::limits::ZONE_TRANSITIONS_MAX;

/// How far the clocks of a place were, are and will be from UTC.
///
/// Sources: RFC 8536 (TZif); POSIX.1-2017 8.3, `TZ`, and RFC 8536 3.3.1 for
/// what a footer may hold beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of UTC before the first change.
    first: i32,
    /// Unix seconds of each change, ascending, and seconds east from then on.
    changes: Vec<(i64, i32)>,
    /// What holds after the last change; without one, the last change.
    rule: Option<Rule>,
}

impl Zone {
    pub const UTC: Self = Self { first: 0, changes: Vec::new(), rule: None };

    /// Reads a TZif file of version 1 to 3 (or later: they only add).
    /// Its leap seconds are passed over: time here does not count them.
    pub fn from_tzif(bytes: &[u8]) -> Option<Self> {
        let first = Header::read(bytes)?;
        if first.version == 0 {
            return first.body(bytes.get(Header::BYTES..)?, 4).map(|(zone, _)| zone);
        }
        let second = bytes.get(Header::BYTES + first.body_bytes(4)?..)?;
        let header = Header::read(second)?;
        let (mut zone, end) = header.body(second.get(Header::BYTES..)?, 8)?;
        let footer = end.strip_prefix(b"\n")?;
        let footer = &footer[..footer.iter().position(|&b| b == b'\n')?];
        if !footer.is_empty() {
            zone.rule = Some(Rule::parse(footer)?);
        }
        Some(zone)
    }

    /// Reads a TZ string such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn from_rule(text: &[u8]) -> Option<Self> {
        let rule = Rule::parse(text)?;
        Some(Self { first: rule.standard, changes: Vec::new(), rule: Some(rule) })
    }

    /// Seconds east of UTC at a Unix time.
    pub fn east(&self, unix: i64) -> i32 {
        // Two billion years each way: beyond them sums would overflow.
        let unix = unix.clamp(-(1 << 56), 1 << 56);
        let past = self.changes.partition_point(|&(at, _)| at <= unix);
        match (&self.rule, past.checked_sub(1)) {
            (Some(rule), _) if past == self.changes.len() => rule.east(unix),
            (_, Some(last)) => self.changes[last].1,
            (_, None) => self.first,
        }
    }
}

/// The counts that a TZif file begins with.
struct Header {
    version: u8,
    utc_flags: usize,
    standard_flags: usize,
    leaps: usize,
    changes: usize,
    types: usize,
    letters: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"TZif")?;
        let count = |i: usize| Some(be(rest.get(16 + 4 * i..20 + 4 * i)?) as usize);
        let header = Self {
            version: *rest.first()?,
            utc_flags: count(0)?,
            standard_flags: count(1)?,
            leaps: count(2)?,
            changes: count(3)?,
            types: count(4)?,
            letters: count(5)?,
        };
        let sane = header.changes <= ZONE_TRANSITIONS_MAX && (1..=256).contains(&header.types);
        sane.then_some(header)
    }

    /// Bytes of what follows, where times have `width` bytes.
    fn body_bytes(&self, width: usize) -> Option<usize> {
        let times = self.changes.checked_mul(width + 1)?;
        let leaps = self.leaps.checked_mul(width + 4)?;
        [self.types * 6, self.letters, leaps, self.standard_flags, self.utc_flags]
            .into_iter()
            .try_fold(times, usize::checked_add)
    }

    /// The zone without its rule, and the bytes behind it.
    fn body<'a>(&self, bytes: &'a [u8], width: usize) -> Option<(Zone, &'a [u8])> {
        let (body, end) = bytes.split_at_checked(self.body_bytes(width)?)?;
        let (times, rest) = body.split_at(self.changes * width);
        let (indices, rest) = rest.split_at(self.changes);
        let types = rest.get(..self.types * 6)?;
        let east = |index: usize| -> Option<i32> {
            let east = be(types.get(index * 6..index * 6 + 4)?) as u32 as i32;
            // RFC 8536 3.2 asks for -25 h to 26 h; a week keeps sums safe.
            (i64::from(east).abs() < 7 * DAY_SECS).then_some(east)
        };
        let time = |bytes: &[u8]| {
            if width == 4 { i64::from(be(bytes) as u32 as i32) } else { be(bytes) as i64 }
        };
        let changes = times
            .chunks_exact(width)
            .zip(indices)
            .map(|(at, &index)| Some((time(at), east(usize::from(index))?)))
            .collect::<Option<Vec<_>>>()?;
        if !changes.is_sorted_by(|a, b| a.0 < b.0) {
            return None;
        }
        // Before the first change: the first type that is not summer time.
        let winter = (0..self.types).find(|i| types[i * 6 + 4] == 0).unwrap_or(0);
        Some((Zone { first: east(winter)?, changes, rule: None }, end))
    }
}

/// A number, most significant byte first.
fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &b| sum << 8 | u64::from(b))
}

/// What a TZ string says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// Seconds east of UTC.
    standard: i32,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    east: i32,
    start: Turn,
    end: Turn,
}

/// When in each year the clocks change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    day: Day,
    /// Seconds after that day began, on the clocks before the change.
    at: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    /// 1..=365, February 29 not counted.
    Julian(u16),
    /// 0..=365, February 29 counted.
    OfYear(u16),
    /// Month 1..=12, week 1..=5 (5: the last), weekday 0..=6 from Sunday.
    OfWeek(u8, u8, u8),
}

/// Of a rule that names a summer time but not when: the second Sunday of March
/// and the first of November, as the C library takes it.
const TURNS_DEFAULT: (Turn, Turn) =
    (Turn { day: Day::OfWeek(3, 2, 0), at: 7_200 }, Turn { day: Day::OfWeek(11, 1, 0), at: 7_200 });

impl Rule {
    fn east(&self, unix: i64) -> i32 {
        let Some(summer) = &self.summer else { return self.standard };
        let standard = i64::from(self.standard);
        let (year, ..) = date(unix.saturating_add(standard).div_euclid(DAY_SECS));
        let start = summer.start.secs(year) - standard;
        let end = summer.end.secs(year) - i64::from(summer.east);
        let is_summer = if start < end {
            start <= unix && unix < end
        } else {
            !(end <= unix && unix < start) // south of the equator
        };
        if is_summer { summer.east } else { self.standard }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut text = Text(text);
        text.name()?;
        let standard = -text.time(24)?;
        if text.0.is_empty() {
            return Some(Self { standard, summer: None });
        }
        text.name()?;
        let east = match text.0.first() {
            None | Some(b',') => standard + 3_600,
            Some(_) => -text.time(24)?,
        };
        let (start, end) =
            if text.0.is_empty() { TURNS_DEFAULT } else { (text.turn()?, text.turn()?) };
        text.0.is_empty().then_some(Self { standard, summer: Some(Summer { east, start, end }) })
    }
}

impl Turn {
    /// Seconds from 1970 to it, both on the clocks of the place.
    fn secs(&self, year: i64) -> i64 {
        let first = days_before(year, 1);
        let day = match self.day {
            Day::OfYear(day) => first + i64::from(day),
            Day::Julian(day) => first + i64::from(day) - 1 + i64::from(day > 59 && is_leap(year)),
            Day::OfWeek(month, week, weekday) => {
                let first = days_before(year, month);
                let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let length = days_before(next_year, next) - first;
                // 1970-01-01 was a Thursday.
                let ahead = (i64::from(weekday) - first - 4).rem_euclid(7);
                let day = ahead + 7 * (i64::from(week) - 1);
                first + if day < length { day } else { day - 7 }
            }
        };
        day * DAY_SECS + i64::from(self.at)
    }
}

/// What is left of a TZ string.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Three letters or more, or anything between `<` and `>`.
    fn name(&mut self) -> Option<()> {
        let length = if self.eat(b'<') {
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-');
            let length = self.0.iter().take_while(|b| is_name(b)).count();
            (self.0.get(length) == Some(&b'>')).then_some(length + 1)?
        } else {
            self.0.iter().take_while(|b| b.is_ascii_alphabetic()).count()
        };
        self.0 = &self.0[length..];
        (length >= 3).then_some(())
    }

    fn number(&mut self, max: u16) -> Option<u16> {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let number: u16 = core::str::from_utf8(number).ok()?.parse().ok()?;
        (number <= max).then_some(number)
    }

    /// `[+-]hours[:minutes[:seconds]]`
    fn time(&mut self, hours_max: u16) -> Option<i32> {
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        let mut secs = i32::from(self.number(hours_max)?) * 3_600;
        if self.eat(b':') {
            secs += i32::from(self.number(59)?) * 60;
            if self.eat(b':') {
                secs += i32::from(self.number(59)?);
            }
        }
        Some(if negative { -secs } else { secs })
    }

    /// `,day[/time]`
    fn turn(&mut self) -> Option<Turn> {
        if !self.eat(b',') {
            return None;
        }
        let day = if self.eat(b'J') {
            Day::Julian(self.number(365).filter(|&day| day > 0)?)
        } else if self.eat(b'M') {
            let month = self.number(12).filter(|&month| month > 0)?;
            let week = self.eat(b'.').then(|| self.number(5)).flatten().filter(|&w| w > 0)?;
            let weekday = self.eat(b'.').then(|| self.number(6)).flatten()?;
            Day::OfWeek(month as u8, week as u8, weekday as u8)
        } else {
            Day::OfYear(self.number(365)?)
        };
        let at = if self.eat(b'/') { self.time(167)? } else { 7_200 };
        Some(Turn { day, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_turns_on_its_days_in_both_halves_of_the_world() {
        let berlin = Zone::from_rule(b"CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let sydney = Zone::from_rule(b"AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        for (unix, in_berlin, in_sydney) in [
            (1_711_846_799, 1, 11), // 2024-03-31 00:59:59 UTC
            (1_711_846_800, 2, 11),
            (1_712_419_199, 2, 11), // 2024-04-06 15:59:59 UTC
            (1_712_419_200, 2, 10),
            (1_729_990_799, 2, 11), // 2024-10-27 00:59:59 UTC
            (1_729_990_800, 1, 11),
            (1_735_689_599, 1, 11), // the end of the year
            (1_735_689_600, 1, 11),
        ] {
            assert_eq!(berlin.east(unix), in_berlin * 3_600, "Berlin at {unix}");
            assert_eq!(sydney.east(unix), in_sydney * 3_600, "Sydney at {unix}");
        }
    }

    #[test]
    fn a_tz_string_is_read_whole_or_not_at_all() {
        for (text, winter) in [
            (&b"UTC0"[..], Some(0)),
            (b"<+0330>-3:30", Some(12_600)),
            (b"EST5EDT", Some(-18_000)),
            (b"IST-1GMT0,M10.5.0,M3.5.0/1", Some(0)), // winter is the other one
            (b"XXX3:30:15EDT,J60/0,300/-1", Some(-12_615)),
            (b"", None),
            (b"UTC", None),
            (b"AB5", None),
            (b"UTC25", None),
            (b"UTC0x", None),
            (b"CET-1CEST,M3.5.0", None),
            (b"CET-1CEST,M13.5.0,M10.5.0", None),
            (b"CET-1CEST,M3.5.0,M10.5.0/3,", None),
        ] {
            let east = Zone::from_rule(text).map(|zone| zone.east(1_700_000_000));
            assert_eq!(east, winter, "{:?}", core::str::from_utf8(text));
        }
    }

    #[test]
    fn a_file_that_ends_early_is_no_zone() {
        let mut file = b"TZif2".to_vec();
        file.resize(44, 0);
        (file[39], file[43]) = (1, 4); // one type, four letters
        file.extend_from_slice(b"\0\0\x0e\x10\0\0LMT\0");
        let second = file.clone();
        file.extend_from_slice(&second);
        file.extend_from_slice(b"\nXXX-1\n");
        assert_eq!(Zone::from_tzif(&file).unwrap().east(0), 3_600);
        for end in 0..file.len() {
            assert_eq!(Zone::from_tzif(&file[..end]), None, "cut at {end}");
        }
        file[43] = 0xff;
        assert_eq!(Zone::from_tzif(&file), None, "more letters than bytes");
    }
}
