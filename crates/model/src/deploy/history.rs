//! Numbered generations: where they are named, and what is kept of each.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::deploy::fields::{Fields, Writing};
use crate::limits::{GENERATION_NUMBER_MAX, RECORD_LINES_MAX};

/// The generation that the next start runs: a link that only commit changes.
pub const BOOT: &str = "/boot/system";

/// Links to generations, by their numbers, and beside each its record.
pub const FOLDER: &str = "/boot/generations";

/// Who wanted the one that was there from the beginning.
pub const IMAGE: &str = "the image";

/// What stands in the reason of one that did not fail by itself.
pub const WANTED_BACK: &str = "wanted it back";

/// The number of a generation on this device, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(u32);

impl Number {
    pub const FIRST: Self = Self(1);

    pub fn new(number: u32) -> Option<Self> {
        (1..=GENERATION_NUMBER_MAX).contains(&number).then_some(Self(number))
    }

    /// Reads it as it is written: digits, the first of which is not 0.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        Self::new(text.parse().ok().filter(|_| plain)?)
    }

    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    pub fn number(self) -> u32 {
        self.0
    }

    /// The link that names its store path.
    pub fn link(self) -> String {
        format!("{FOLDER}/{self}")
    }

    /// The file that says what became of it.
    pub fn record(self) -> String {
        format!("{FOLDER}/{self}.record")
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being tried, or was when the power went.
    Trial,
    /// It was kept.
    Committed,
    /// The device went back.
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Committed => "committed",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Trial, Self::Committed, Self::Failed].into_iter().find(|it| it.name() == text)
    }
}

/// What is kept of a generation beside its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub outcome: Outcome,
    /// Seconds since 1970, as the device's clock said.
    pub made: u64,
    /// When `outcome` became what it is.
    pub ended: u64,
    /// Who wanted it, and from where.
    pub by: String,
    /// The generation that ran before.
    pub from: Option<Number>,
    /// What it was made for.
    pub why: String,
    /// The transaction of its trial.
    pub id: String,
    /// Why it failed.
    pub reason: String,
    /// The last lines of the log by then.
    pub lines: Vec<String>,
}

impl Record {
    /// Its bytes. Of too many lines the last are kept.
    pub fn write(&self) -> String {
        let mut writing = Writing::default();
        writing.put("outcome", self.outcome.name()).put("made", self.made).put("ended", self.ended);
        writing.put("by", &self.by);
        if let Some(from) = self.from {
            writing.put("from", from);
        }
        writing.put("why", &self.why).put("id", &self.id).put("reason", &self.reason);
        for line in &self.lines[self.lines.len().saturating_sub(RECORD_LINES_MAX)..] {
            writing.put("line", line);
        }
        writing.end()
    }

    /// `None`: these bytes are no record.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::read(bytes)?;
        Some(Self {
            outcome: Outcome::parse(fields.first("outcome")?)?,
            made: fields.number("made").unwrap_or(0),
            ended: fields.number("ended").unwrap_or(0),
            by: fields.text("by"),
            from: fields.first("from").and_then(Number::parse),
            why: fields.text("why"),
            id: fields.text("id"),
            reason: fields.text("reason"),
            lines: fields.all("line").take(RECORD_LINES_MAX).map(ToString::to_string).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn numbers_are_written_in_one_way() {
        for (text, expected) in [
            ("1", Some(1)),
            ("42", Some(42)),
            ("999999", Some(999_999)),
            ("1000000", None),
            ("0", None),
            ("01", None),
            ("+1", None),
            ("", None),
            ("1.record", None),
        ] {
            assert_eq!(Number::parse(text).map(Number::number), expected, "{text:?}");
        }
        assert_eq!(Number::new(GENERATION_NUMBER_MAX).and_then(Number::next), None);
    }

    #[test]
    fn a_record_reads_back_and_keeps_the_last_lines() {
        let mut record = Record {
            outcome: Outcome::Failed,
            made: 5,
            ended: 9,
            by: "me@here".into(),
            from: Number::new(3),
            why: "doorward rebuild".into(),
            id: "x-1".into(),
            reason: "nobody\tcalled".into(),
            lines: (0..RECORD_LINES_MAX + 5).map(|at| format!("line {at}")).collect(),
        };
        let found = Record::read(record.write().as_bytes()).expect("it was written");
        record.reason = "nobody called".into();
        record.lines.drain(..5);
        assert_eq!(found, record);
        for bytes in [&b"end\n"[..], b"outcome\tlost\nend\n", b"", b"\xffend\n"] {
            assert_eq!(Record::read(bytes), None, "{bytes:?}");
        }
        let bare = Record::read(b"outcome\ttrial\nend\n").expect("the rest may be missing");
        assert_eq!((bare.outcome, bare.from, bare.lines), (Outcome::Trial, None, vec![]));
    }
}
