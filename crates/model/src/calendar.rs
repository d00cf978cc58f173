//! Days and hours of the calendar, from seconds.

/// A second of the Gregorian calendar, in some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1..=12
    pub month: u8,
    /// 1..=31
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 60 in a leap second.
    pub second: u8,
}

/// Seconds of a day without leap second.
pub const DAY_SECS: i64 = 86_400;

impl Civil {
    /// The second that lies `secs` after 1970-01-01 00:00:00, with no leap
    /// seconds between.
    pub fn from_secs(secs: i64) -> Self {
        let (days, rest) = (secs.div_euclid(DAY_SECS), secs.rem_euclid(DAY_SECS));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        Self { year, month, day, hour: hour as u8, minute: minute as u8, second: second as u8 }
    }
}

/// Year, month (1..=12) and day (1..=31) of the day `days` after 1970-01-01.
pub fn date(days: i64) -> (i64, u8, u8) {
    // Years that begin in March have their leap day last, and months of a
    // regular pattern: 153 days for each five.
    let from_march = days + 719_468; // since 0000-03-01
    let era = from_march.div_euclid(146_097); // of 400 years
    let of_era = from_march.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month as u8, day as u8)
}

/// Days from 1970-01-01 to the first of a month (1..=12).
pub fn days_before(year: i64, month: u8) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let leap_day = i64::from(month > 2 && is_leap(year));
    let months = BEFORE[usize::from(month.clamp(1, 12) - 1)];
    (year - 1970) * 365 + leap_days - 477 + months + leap_day
}

pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1_600, 1, 1);
        for days in days_before(1_600, 1)..days_before(2_600, 1) {
            assert_eq!(date(days), (year, month, day), "day {days}");
            let length = match month {
                2 => 28 + u8::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day == 1 {
                assert_eq!(days_before(year, month), days);
            }
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!(date(0), (1970, 1, 1));
    }
}
