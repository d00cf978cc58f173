//! `Moment` (monotonic) and `Date` (wall clock), never mixed.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the clock that never jumps: nanoseconds of `CLOCK_BOOTTIME`
/// (`clock_gettime(2)`). Every decision is made on these.
///
/// One more than the nanoseconds is kept, so that an `Option<Moment>` takes no
/// more memory: every service has several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl Moment {
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The end of time, after 584 years, is one nanosecond early.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    pub const fn nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to here, zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos().saturating_sub(earlier.nanos()))
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Moment").field(&self.nanos()).finish()
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The far end of time where the sum would overflow.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A point on the wall clock, as TAI64N counts it: only printed and stored,
/// never compared to decide something.
///
/// Source: <https://cr.yp.to/libtai/tai64.html>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The TAI64 label: 2^62 + TAI seconds since 1970-01-01 00:00:00 TAI.
    pub label: u64,
    /// 0..1,000,000,000
    pub nanos: u32,
}

/// TAI64 labels count from here: 2^62 is the second that began 1970 TAI.
pub const TAI64_EPOCH: u64 = 1 << 62;

/// Unix seconds at which one more leap second had passed.
/// Source: IERS Bulletin C; there were 27 up to 2026, the last at the end of 2016.
const LEAP_SECONDS: [u64; 27] = [
    78_796_800,
    94_694_400,
    126_230_400,
    157_766_400,
    189_302_400,
    220_924_800,
    252_460_800,
    283_996_800,
    315_532_800,
    362_793_600,
    394_329_600,
    425_865_600,
    489_024_000,
    567_993_600,
    631_152_000,
    662_688_000,
    709_948_800,
    741_484_800,
    773_020_800,
    820_454_400,
    867_715_200,
    915_148_800,
    1_136_073_600,
    1_230_768_000,
    1_341_100_800,
    1_435_708_800,
    1_483_228_800,
];

/// TAI was this far ahead of UTC when leap seconds began (1972-01-01).
const TAI_AHEAD: u64 = 10;

impl Date {
    /// The date of a Unix time (seconds and nanoseconds since 1970 UTC).
    pub fn from_unix(secs: u64, nanos: u32) -> Self {
        let leaps = LEAP_SECONDS.partition_point(|&at| at <= secs) as u64;
        Self { label: TAI64_EPOCH + secs + TAI_AHEAD + leaps, nanos }
    }

    /// Whole Unix seconds, and whether the date lies inside a leap second
    /// (which Unix time cannot say: it repeats the second before).
    pub fn unix(self) -> (i64, bool) {
        // No clock says so, but a label in a log may stand beyond all seconds.
        let tai = (self.label.wrapping_sub(TAI64_EPOCH) as i64).saturating_sub(TAI_AHEAD as i64);
        let mut secs = tai;
        for (count, &at) in LEAP_SECONDS.iter().enumerate() {
            let starts = at as i64 + count as i64;
            if tai < starts {
                break;
            }
            if tai == starts {
                return (at as i64 - 1, true);
            }
            secs = tai - count as i64 - 1;
        }
        (secs, false)
    }

    /// Nanoseconds since 1970-01-01 00:00:00 TAI, for 292 years each way.
    pub fn nanos_since_1970(self) -> Option<i64> {
        let secs = self.label.wrapping_sub(TAI64_EPOCH) as i64;
        secs.checked_mul(1_000_000_000)?.checked_add(i64::from(self.nanos))
    }

    /// The date that lies so many nanoseconds after 1970-01-01 00:00:00 TAI.
    pub fn from_nanos(nanos: i64) -> Self {
        let secs = nanos.div_euclid(1_000_000_000);
        let label = TAI64_EPOCH.wrapping_add_signed(secs);
        Self { label, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }

    /// The 12 bytes of an external TAI64N label, most significant first.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.label.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self {
            label: u64::from_be_bytes(core::array::from_fn(|i| bytes[i])),
            nanos: u32::from_be_bytes(core::array::from_fn(|i| bytes[8 + i])),
        }
    }

    /// `@` and 24 hexadecimal digits.
    pub fn label_text(self) -> [u8; 25] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'@'; 25];
        for (i, byte) in self.to_bytes().into_iter().enumerate() {
            text[1 + 2 * i] = DIGITS[usize::from(byte >> 4)];
            text[2 + 2 * i] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_may_be_missing_takes_no_more_memory() {
        assert_eq!(size_of::<Option<Moment>>(), size_of::<u64>());
        for nanos in [0, 1, 1 << 40, u64::MAX - 1] {
            assert_eq!(Moment::from_nanos(nanos).nanos(), nanos);
        }
        assert_eq!(Moment::from_nanos(u64::MAX), Moment::from_nanos(u64::MAX - 1));
        let (early, late) = (Moment::from_nanos(5), Moment::from_nanos(7));
        assert_eq!((late - early, early - late), (Duration::from_nanos(2), Duration::ZERO));
        assert!(Moment::ZERO < early && early < late && late + Duration::MAX > late);
    }

    #[test]
    fn unix_time_survives_the_way_to_tai_and_back() {
        for secs in [0, 1, 78_796_799, 78_796_800, 1_483_228_799, 1_483_228_800, 1_795_000_000] {
            let date = Date::from_unix(secs, 7);
            assert_eq!(date.unix(), (secs as i64, false), "{secs}");
            assert_eq!(Date::from_bytes(date.to_bytes()), date);
        }
        // The leap second itself has a label of its own.
        let before = Date::from_unix(1_483_228_799, 0);
        let leap = Date { label: before.label + 1, nanos: 0 };
        assert_eq!(leap.unix(), (1_483_228_799, true));
        assert_eq!(Date { label: before.label + 2, nanos: 0 }.unix(), (1_483_228_800, false));
    }

    #[test]
    fn a_date_is_a_number_of_nanoseconds_unless_it_is_too_far_away() {
        for nanos in [0, 1, -1, -1_000_000_000, 1_763_000_000_000_000_005, i64::MAX, i64::MIN + 1] {
            let date = Date::from_nanos(nanos);
            assert!(date.nanos < 1_000_000_000);
            if nanos != i64::MIN + 1 {
                assert_eq!(date.nanos_since_1970(), Some(nanos));
            }
        }
        assert_eq!(Date { label: u64::MAX >> 1, nanos: 0 }.nanos_since_1970(), None);
        assert_eq!(Date { label: 0, nanos: 0 }.nanos_since_1970(), None);
    }
}
