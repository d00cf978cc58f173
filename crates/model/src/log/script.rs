//! The logging script of `s6-log`: which lines go where, and how.
//!
//! Source: s6 `s6-log.html`, "Logging script syntax", and what s6-log 2.11
//! does where the page is silent (`tests/e2e/tests/s6_log.rs` compares).

use alloc::vec::Vec;
use core::fmt;

use crate::log::policy::{FILE_BYTES_MAX, FILE_BYTES_MIN, Policy};

/// One thing to do with each line, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// `+`: select an unselected line that matches this expression.
    Select(&'a [u8]),
    /// `-`: deselect a selected line that matches it.
    Deselect(&'a [u8]),
    /// `f`: select a line if and only if nothing was done with it yet.
    Untouched,
    /// Do this with a selected line.
    Act(Action<'a>),
}

/// What is done with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action<'a> {
    /// `t`: a TAI64N label comes first.
    pub label: bool,
    /// `T`: then the local time.
    pub local_time: bool,
    /// `p`: then this and a space; nothing where it is empty.
    pub prefix: &'a [u8],
    pub target: Target<'a>,
}

/// Where a line goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `1`
    Stdout,
    /// `2`: only the first `bytes` of the line; 0: all of it.
    Alert {
        bytes: u32,
    },
    /// `=`: the file holds the last line only, cut or filled up with newlines
    /// to `bytes`; 0: as long as it is.
    Status {
        path: &'a [u8],
        bytes: u32,
    },
    Directory(Directory<'a>),
}

/// A log directory. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory<'a> {
    pub path: &'a [u8],
    pub policy: Policy,
    /// How long to wait after something went wrong.
    pub cooldown_ms: u32,
    /// Rotate this often, too; 0: only by size.
    pub period_ms: u64,
    pub processor: Option<Processor<'a>>,
}

/// What `current` goes through before it is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor<'a> {
    /// `!`: a command line for `execlineb -Pc`.
    Execline(&'a [u8]),
    /// `?`: one for `/bin/sh -c`.
    Shell(&'a [u8]),
}

/// A whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    pub steps: Vec<Step<'a>>,
    /// It ends in selections that select for nothing; they are left out.
    pub useless_end: bool,
}

/// Why words are no script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptError<'a> {
    /// No directive begins like this, or its number is none or too large.
    Unknown(&'a [u8]),
    /// More follows where the directive ends.
    Longer(&'a [u8]),
    /// The tolerance (`l`) is more than half of the file size (`s`).
    Tolerance(&'a [u8]),
    /// Nothing is ever done with a line.
    NoAction,
}

impl fmt::Display for ScriptError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unrecognized directive: {}", word.escape_ascii()),
            Self::Longer(word) => write!(f, "syntax error at directive: {}", word.escape_ascii()),
            Self::Tolerance(word) => write!(
                f,
                "directive {}: the tolerance (l) is more than half of the file size (s)",
                word.escape_ascii()
            ),
            Self::NoAction => f.write_str("no action directive specified"),
        }
    }
}

/// Settings that hold until they are changed, and two that hold once.
struct Settings<'a> {
    policy: Policy,
    cooldown_ms: u32,
    period_ms: u64,
    alert_bytes: u32,
    status_bytes: u32,
    prefix: &'a [u8],
    processor: Option<Processor<'a>>,
    label: bool,
    local_time: bool,
}

impl<'a> Settings<'a> {
    /// The action of `target`; `t` and `T` are used up by it.
    fn act(&mut self, target: Target<'a>) -> Step<'a> {
        let (label, local_time) = (self.label, self.local_time);
        (self.label, self.local_time) = (false, false);
        Step::Act(Action { label, local_time, prefix: self.prefix, target })
    }
}

impl<'a> Script<'a> {
    /// Reads a script, one directive per word.
    pub fn parse(words: &[&'a [u8]]) -> Result<Self, ScriptError<'a>> {
        let mut settings = Settings {
            policy: Policy::default(),
            cooldown_ms: 2000,
            period_ms: 0,
            alert_bytes: 200,
            status_bytes: 1001,
            prefix: b"",
            processor: None,
            label: false,
            local_time: false,
        };
        let mut steps = Vec::new();
        for word in words {
            steps.extend(directive(word, &mut settings)?);
        }
        let used = steps.iter().rposition(|step| matches!(step, Step::Act(_)));
        let used = used.ok_or(ScriptError::NoAction)? + 1;
        let useless_end = used < steps.len();
        steps.truncate(used);
        Ok(Self { steps, useless_end })
    }
}

/// Reads one directive: a step, or a change of the settings.
fn directive<'a>(
    word: &'a [u8],
    settings: &mut Settings<'a>,
) -> Result<Option<Step<'a>>, ScriptError<'a>> {
    let (&first, rest) = word.split_first().ok_or(ScriptError::Unknown(word))?;
    let alone = if rest.is_empty() { Ok(()) } else { Err(ScriptError::Longer(word)) };
    let number = || decimal(rest).ok_or(ScriptError::Unknown(word));
    let number32 = || number().and_then(|n| n.try_into().map_err(|_| ScriptError::Unknown(word)));
    let policy = &mut settings.policy;
    match first {
        b'+' => return Ok(Some(Step::Select(rest))),
        b'-' => return Ok(Some(Step::Deselect(rest))),
        b'f' => return alone.map(|()| Some(Step::Untouched)),
        b'1' => return alone.map(|()| Some(settings.act(Target::Stdout))),
        b'2' => {
            let bytes = settings.alert_bytes;
            return alone.map(|()| Some(settings.act(Target::Alert { bytes })));
        }
        b'=' if !rest.is_empty() => {
            let bytes = settings.status_bytes;
            return Ok(Some(settings.act(Target::Status { path: rest, bytes })));
        }
        b'/' | b'.' => {
            let directory = Directory {
                path: word,
                policy: settings.policy,
                cooldown_ms: settings.cooldown_ms,
                period_ms: settings.period_ms,
                processor: settings.processor,
            };
            return Ok(Some(settings.act(Target::Directory(directory))));
        }
        b'n' => policy.archives = number32()?,
        b's' => {
            policy.file_bytes = number32()?.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
            half(word, policy)?;
        }
        b'S' => policy.total_bytes = number()?,
        b'l' => {
            policy.tolerance_bytes = number32()?;
            half(word, policy)?;
        }
        b'r' => settings.cooldown_ms = number32()?,
        b'R' => settings.period_ms = number()?.saturating_mul(1000),
        b'E' => settings.alert_bytes = number32()?,
        b'^' => settings.status_bytes = number32()?,
        b'p' => settings.prefix = rest,
        b'!' => settings.processor = (!rest.is_empty()).then_some(Processor::Execline(rest)),
        b'?' => settings.processor = (!rest.is_empty()).then_some(Processor::Shell(rest)),
        b't' => {
            alone?;
            settings.label = true;
        }
        b'T' => {
            alone?;
            settings.local_time = true;
        }
        _ => return Err(ScriptError::Unknown(word)),
    }
    Ok(None)
}

/// The tolerance may be half of the file size at most.
fn half<'a>(word: &'a [u8], policy: &Policy) -> Result<(), ScriptError<'a>> {
    if policy.tolerance_bytes > policy.file_bytes / 2 {
        return Err(ScriptError::Tolerance(word));
    }
    Ok(())
}

/// A number of digits only.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let add = |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(byte)?);
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(words: &[&'a str]) -> Result<Script<'a>, ScriptError<'a>> {
        Script::parse(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_stay_and_times_are_used_up() {
        let script = parse(&["-", "+^x", "pX", "t", "E5", "2", "f", "2"]).unwrap();
        let alert = |label| {
            let target = Target::Alert { bytes: 5 };
            Step::Act(Action { label, local_time: false, prefix: b"X", target })
        };
        let expected =
            [Step::Deselect(b""), Step::Select(b"^x"), alert(true), Step::Untouched, alert(false)];
        assert_eq!(script.steps, expected);

        let script = parse(&["n3", "s5000", "l2500", "S7", "r9", "R2", "?gzip", "./d", "!", "/e"]);
        let steps = script.unwrap().steps;
        let directories: Vec<_> = steps
            .into_iter()
            .map(|step| match step {
                Step::Act(Action { target: Target::Directory(directory), .. }) => directory,
                other => panic!("{other:?}"),
            })
            .collect();
        let policy =
            Policy { archives: 3, file_bytes: 5000, tolerance_bytes: 2500, total_bytes: 7 };
        let first = Directory {
            path: b"./d",
            policy,
            cooldown_ms: 9,
            period_ms: 2000,
            processor: Some(Processor::Shell(b"gzip")),
        };
        let second = Directory { path: b"/e", processor: None, ..first.clone() };
        assert_eq!(directories, [first, second]);
    }

    #[test]
    fn what_is_no_script_is_named() {
        use ScriptError::*;
        for (words, expected) in [
            (&["x", "1"][..], Unknown(b"x")),
            (&["", "1"], Unknown(b"")),
            (&["n", "1"], Unknown(b"n")),
            (&["n5x", "1"], Unknown(b"n5x")),
            (&["n4294967296", "1"], Unknown(b"n4294967296")),
            (&["S99999999999999999999", "1"], Unknown(b"S99999999999999999999")),
            (&["="], Unknown(b"=")),
            (&["11"], Longer(b"11")),
            (&["tt", "1"], Longer(b"tt")),
            (&["s4096", "l2049", "1"], Tolerance(b"l2049")),
            (&["l2049", "s4096", "1"], Tolerance(b"s4096")),
            (&["t", "n5", "+a"], NoAction),
            (&[], NoAction),
        ] {
            assert_eq!(parse(words), Err(expected), "{words:?}");
        }
        assert!(parse(&["1", "f"]).unwrap().useless_end);
        assert!(!parse(&["1", "n5"]).unwrap().useless_end);
    }
}
