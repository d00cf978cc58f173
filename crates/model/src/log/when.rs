//! A time as people write it: which lines of a log they want.

use crate::calendar::{DAY_SECS, date, days_before};
use crate::label;
use crate::time::Date;
use crate::zone::Zone;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `2026-11-25`, with ` 18:00` or ` 18:00:30`: days since 1970, and seconds
    /// of the day, on the clocks of the place.
    Day(i64, u32),
    /// `18:00` or `18:00:30`, today.
    Today(u32),
    /// `-10m` or `10m ago`: seconds.
    Ago(u64),
    /// `@4000…`
    Label(Date),
    /// `boot`: when this system began.
    Boot,
}

impl When {
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"boot" {
            return Some(Self::Boot);
        }
        if text.starts_with(b"@") {
            return label::parse(text.try_into().ok()?).map(Self::Label);
        }
        if let Some(span) = text.strip_prefix(b"-").or_else(|| text.strip_suffix(b" ago")) {
            return span_secs(span).map(Self::Ago);
        }
        let mut parts = Numbers(text);
        let first = parts.next()?;
        if parts.0.starts_with(b":") {
            return Some(Self::Today(parts.clock_secs(first)?));
        }
        let days = parts.days(first)?;
        if parts.0.is_empty() {
            return Some(Self::Day(days, 0));
        }
        if !parts.eat(b' ') && !parts.eat(b'T') {
            return None;
        }
        let hour = parts.next()?;
        Some(Self::Day(days, parts.clock_secs(hour)?))
    }

    /// The date that is meant: `unix` are the seconds since 1970 now, `up`
    /// those since this system began.
    pub fn resolve(self, unix: u64, up: u64, zone: &Zone) -> Date {
        let (days, of_day) = match self {
            Self::Label(date) => return date,
            Self::Ago(secs) => return Date::from_unix(unix.saturating_sub(secs), 0),
            Self::Boot => return Date::from_unix(unix.saturating_sub(up), 0),
            Self::Day(days, of_day) => (days, of_day),
            Self::Today(of_day) => {
                let now = unix as i64;
                ((now + i64::from(zone.east(now))).div_euclid(DAY_SECS), of_day)
            }
        };
        let local = days * DAY_SECS + i64::from(of_day);
        // Right where the clocks were not just put forward or back; near that, one
        // of the two readings.
        let guess = local - i64::from(zone.east(local));
        let secs = local - i64::from(zone.east(guess));
        Date::from_unix(secs.max(0).unsigned_abs(), 0)
    }
}

/// `10m`, `2h`, `90s`, `1d`, `90`.
fn span_secs(text: &[u8]) -> Option<u64> {
    let mut parts = Numbers(text);
    let count = parts.next()?;
    let unit = match parts.0 {
        b"" | b"s" => 1,
        b"m" => 60,
        b"h" => 3_600,
        b"d" => 86_400,
        _ => return None,
    };
    Some(u64::from(count) * unit)
}

/// What is left of a text with numbers and marks between them.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn eat(&mut self, mark: u8) -> bool {
        let rest = self.0.strip_prefix(&[mark]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A number of up to nine digits.
    fn next(&mut self) -> Option<u32> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        let value = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
        (1..=9).contains(&digits).then(|| number.iter().fold(0, value))
    }

    /// What follows the hour: `:00` or `:00:30`, and nothing else.
    fn clock_secs(&mut self, hour: u32) -> Option<u32> {
        let minute = self.eat(b':').then(|| self.next())??;
        let second = if self.eat(b':') { self.next()? } else { 0 };
        let real = hour < 24 && minute < 60 && second < 60 && self.0.is_empty();
        real.then(|| hour * 3_600 + minute * 60 + second)
    }

    /// What follows the year: `-11-25`; days since 1970.
    fn days(&mut self, year: u32) -> Option<i64> {
        let month = self.eat(b'-').then(|| self.next())??;
        let day = self.eat(b'-').then(|| self.next())??;
        let known = (1..=9_999).contains(&year) && (1..=12).contains(&month) && day <= 31;
        if !known {
            return None;
        }
        let (year, month, day) = (i64::from(year), month as u8, day as u8);
        let days = days_before(year, month) + i64::from(day) - 1;
        // The 31st of February is another date, and none.
        (date(days) == (year, month, day)).then_some(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_whole_or_not_at_all() {
        use When::*;
        for (text, expected) in [
            ("2026-11-25 18:00", Some(Day(20_782, 64_800))),
            ("2026-11-25T18:00:30", Some(Day(20_782, 64_830))),
            ("2026-11-25", Some(Day(20_782, 0))),
            ("2024-02-29", Some(Day(19_782, 0))),
            ("18:00", Some(Today(64_800))),
            ("0:05:09", Some(Today(309))),
            ("-10m", Some(Ago(600))),
            ("10m ago", Some(Ago(600))),
            ("-2h", Some(Ago(7_200))),
            ("-1d", Some(Ago(86_400))),
            ("-90", Some(Ago(90))),
            ("boot", Some(Boot)),
            ("@400000000000000a00000000", Some(Label(Date::from_unix(0, 0)))),
            ("", None),
            ("-", None),
            ("-m", None),
            ("-+5", None),
            ("10m", None), // from when on?
            ("2023-02-29", None),
            ("2026-13-01", None),
            ("2026-11-25 24:00", None),
            ("2026-11-25 18", None),
            ("18:60", None),
            ("999999999:00", None),
            ("18:00:", None),
            ("18:00:00:00", None),
            ("18:00:99", None),
            ("2026-11", None),
            ("2026-11-25 18:00 ", None),
            ("@4000", None),
            ("-99999999999999999999d", None),
        ] {
            assert_eq!(When::parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_one_of_the_place() {
        let berlin = Zone::from_rule(b"CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (text, unix) in [
            ("2024-01-15 12:00", 1_705_316_400),
            ("2024-07-15 12:00", 1_721_037_600),
            ("2024-03-31 01:59:59", 1_711_846_799),
            ("2024-03-31 03:00", 1_711_846_800),
            ("00:00", 1_711_839_600), // today, in winter still
            ("12:00", 1_711_879_200), // and in summer
            ("-10m", 1_711_849_400),
            ("boot", 1_711_849_900),
        ] {
            let found = When::parse(text.as_bytes()).unwrap().resolve(1_711_850_000, 100, &berlin);
            assert_eq!(found.unix().0, unix, "{text}");
        }
    }
}
