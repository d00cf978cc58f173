//! The names of files in a log directory.
//!
//! Source: s6 `s6-log.html`, "Logdirs", and the directories that s6-log 2.11 makes.

use crate::label::{self, LABEL_BYTES};
use crate::time::Date;

/// Bytes of an archive's name: `@`, 24 digits, `.`, one letter.
pub const ARCHIVE_NAME_BYTES: usize = 27;

/// A file that once was `current`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archive {
    /// When it was rotated. The order of archives is the order of these.
    pub date: Date,
    /// `.s`: it was rotated, and processed if a processor is set. Otherwise
    /// `.u`: its writer was interrupted, and nothing processed it.
    pub finished: bool,
}

impl Archive {
    /// The archive of this file name; `None` for every other file.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (label, ending) = name.split_at_checked(ARCHIVE_NAME_BYTES - 2)?;
        let finished = match ending {
            b".s" => true,
            b".u" => false,
            _ => return None,
        };
        Some(Self { date: parse_label(label)?, finished })
    }

    pub fn name(self) -> [u8; ARCHIVE_NAME_BYTES] {
        let mut name = [b'.'; ARCHIVE_NAME_BYTES];
        name[..25].copy_from_slice(&self.date.label_text());
        name[26] = if self.finished { b's' } else { b'u' };
        name
    }
}

/// The date of a label: `@` and 24 hexadecimal digits in small letters, below
/// 2^63 (where no second is) and a thousand million nanoseconds.
pub fn parse_label(text: &[u8]) -> Option<Date> {
    let text: &[u8; LABEL_BYTES] = text.try_into().ok()?;
    let date = label::parse(text)?;
    (date.label < 1 << 63 && !text.iter().any(u8::is_ascii_uppercase)).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_archives() {
        let date = Date { label: 0x4000_0000_0002_84f1, nanos: 0x3074_7343 };
        for (name, expected) in [
            (&b"@40000000000284f130747343.s"[..], Some(Archive { date, finished: true })),
            (b"@40000000000284f130747343.u", Some(Archive { date, finished: false })),
            (b"@40000000000284f130747343.t", None),
            (b"@40000000000284f130747343.s.gz", None),
            (b"@40000000000284F130747343.s", None), // s6-log writes small letters only
            (b"@40000000000284f1ffffffff.s", None), // no such nanosecond
            (b"@40000000000284f13074734.s", None),
            (b"current", None),
            (b"", None),
        ] {
            assert_eq!(Archive::parse(name), expected, "{:?}", name.escape_ascii());
        }
        let archive = Archive { date, finished: false };
        assert_eq!(Archive::parse(&archive.name()), Some(archive));
    }
}
