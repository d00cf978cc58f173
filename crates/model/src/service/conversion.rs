//! The conversion file of s6-rc-update: which service goes on under which name.
//!
//! Source: s6-rc `s6-rc-update.html`, "The conversion file".

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::service::execline;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    pub old: String,
    /// `None`: it keeps its name.
    pub new: Option<String>,
    /// It is restarted in any case.
    pub restart: bool,
}

/// Why a line cannot be read; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionError {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.why)
    }
}

/// Reads the lines of a conversion file.
pub fn parse(text: &[u8]) -> Result<Vec<Conversion>, ConversionError> {
    let mut found = Vec::new();
    for (line, words) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let wrong = |why: &str| ConversionError { line, why: why.into() };
        let words = execline::parse(words).map_err(|error| wrong(&error.fault.to_string()))?;
        let words: Result<Vec<&str>, _> = words.iter().map(|w| core::str::from_utf8(w)).collect();
        let words = words.map_err(|_| wrong("it is not UTF-8"))?;
        let (old, new, restart) = match words[..] {
            [] => continue,
            [old, "restart"] => (old, None, true),
            [old, "->", new] => (old, Some(new.into()), false),
            [old, "->", new, "restart"] => (old, Some(new.into()), true),
            _ => {
                return Err(wrong("a line is `OLD -> NEW`, `OLD -> NEW restart` or `OLD restart`"));
            }
        };
        found.push(Conversion { old: old.into(), new, restart });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_becomes_of_one_service() {
        let text = b"dns -> resolver\n\n# words of execline\n\"a b\" -> c restart\nlan restart";
        let found = parse(text).unwrap();
        let expected =
            [("dns", Some("resolver"), false), ("a b", Some("c"), true), ("lan", None, true)];
        let expected = expected.map(|(old, new, restart)| Conversion {
            old: old.into(),
            new: new.map(Into::into),
            restart,
        });
        assert_eq!(found, expected);
        for (text, line) in
            [("a", 1), ("\na -> b c", 2), ("a restart\n\"", 2), ("\"\\0xff\" restart", 1)]
        {
            assert_eq!(parse(text.as_bytes()).unwrap_err().line, line, "{text:?}");
        }
    }
}
