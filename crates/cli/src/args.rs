//! The arguments of a command, read from left to right.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

use crate::failure::Failure;

pub use lexopt::Arg;

/// Arguments as POSIX `getopt` reads them: options first; the first word that
/// is none, or `--`, ends them, so that a command behind them keeps its own.
pub struct Args {
    /// The name the command was called by.
    pub name: String,
    /// The path that the program was called by, where that matters.
    pub called: PathBuf,
    parser: lexopt::Parser,
}

impl Args {
    pub fn new(name: &str, words: impl IntoIterator<Item = OsString>) -> Self {
        let words: Vec<OsString> = words.into_iter().collect();
        Self {
            name: name.to_owned(),
            called: PathBuf::new(),
            parser: lexopt::Parser::from_args(words),
        }
    }

    /// The same, of a program that was called by this path.
    pub fn called_by(self, path: impl Into<PathBuf>) -> Self {
        Self { called: path.into(), ..self }
    }

    /// The next option: `Some("u")` for `-u` (also inside `-uwU`), `Some("help")` for
    /// `--help`, `None` once operands begin.
    pub fn option(&mut self) -> Result<Option<String>, Failure> {
        // Looking first keeps the operands, and all behind them, unread.
        if let Some(mut raw) = self.parser.try_raw_args() {
            let operand = match raw.peek() {
                None => return Ok(None),
                Some(word) if word == "--" => {
                    raw.next();
                    return Ok(None);
                }
                Some(word) => word == "-" || !word.as_encoded_bytes().starts_with(b"-"),
            };
            if operand {
                return Ok(None);
            }
        }
        Ok(match self.parser.next()? {
            Some(Arg::Short(c)) => Some(c.to_string()),
            Some(Arg::Long(name)) => Some(name.to_owned()),
            Some(Arg::Value(_)) | None => None,
        })
    }

    /// The value of the option just read: glued to it or the next word.
    pub fn value(&mut self) -> Result<OsString, Failure> {
        Ok(self.parser.value()?)
    }

    /// The value of the option just read, as text.
    pub fn text(&mut self) -> Result<String, Failure> {
        self.value()?.into_string().map_err(|word| Failure::usage(format!("{word:?} is not UTF-8")))
    }

    /// The value of the option just read, as a number or the like.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, Failure> {
        let text = self.text()?;
        text.parse().map_err(|_| Failure::usage(format!("{text:?} is not a number in range")))
    }

    /// All that is left, unread. Call it once the options have ended.
    pub fn rest(&mut self) -> Vec<OsString> {
        self.parser.raw_args().map(Iterator::collect).unwrap_or_default()
    }

    /// The next operand, if there is one.
    pub fn operand(&mut self) -> Option<OsString> {
        self.parser.raw_args().ok()?.next()
    }

    /// An option that nobody knows.
    pub fn unknown(&self, option: &str) -> Failure {
        let dashes = if option.chars().count() == 1 { "-" } else { "--" };
        Failure::usage(format!("{} has no option {dashes}{option}", self.name))
    }
}

/// The UTF-8 text of an argument.
pub fn text(word: &OsStr) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::usage(format!("{word:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new("test", line.split(' ').map(OsString::from))
    }

    #[test]
    fn options_end_where_operands_begin() {
        let mut args = args("-uwU -T 5 --verbose prog -x --");
        assert_eq!(args.option().unwrap().as_deref(), Some("u"));
        assert_eq!(args.option().unwrap().as_deref(), Some("w"));
        assert_eq!(args.text().unwrap(), "U");
        assert_eq!(args.option().unwrap().as_deref(), Some("T"));
        assert_eq!(args.parsed::<u32>().unwrap(), 5);
        assert_eq!(args.option().unwrap().as_deref(), Some("verbose"));
        assert_eq!(args.option().unwrap(), None);
        assert_eq!(args.rest(), ["prog", "-x", "--"]);
    }

    #[test]
    fn two_dashes_end_options_and_go_away() {
        let mut args = args("-a -- -b");
        assert_eq!(args.option().unwrap().as_deref(), Some("a"));
        assert_eq!(args.option().unwrap(), None);
        assert_eq!(args.operand().unwrap(), "-b");
        assert_eq!(args.operand(), None);
    }
}
