//! Lines of a key and a value: how the settings of controllers are written.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::service::name::nearest;

/// One line: `KEY VALUE`. The value is the rest of the line, without blanks
/// around it; it may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Counted from 1.
    pub line: u32,
    pub key: &'a str,
    pub value: &'a str,
}

/// The settings of one file, in order. Empty lines, and lines that begin with
/// `#`, are none.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    text: &'a str,
}

impl<'a> Settings<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    pub fn iter(&self) -> impl Iterator<Item = Setting<'a>> + use<'a> {
        let lines = self.text.lines().enumerate();
        lines.filter_map(|(at, line)| {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                return None;
            }
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            Some(Setting { line: at as u32 + 1, key, value: value.trim_start() })
        })
    }
}

impl Setting<'_> {
    /// The value as a number of milliseconds, as everywhere in source directories.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn millis(&self) -> Result<Duration, String> {
        self.number().map(|millis| Duration::from_millis(millis.into()))
    }

    /// The value as a number.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn number(&self) -> Result<u32, String> {
        let Self { key, value, .. } = self;
        value.parse().map_err(|_| format!("{key} takes a number below 2^32, not `{value}`"))
    }

    /// The value as yes or no.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn yes(&self) -> Result<bool, String> {
        match self.value {
            "yes" => Ok(true),
            "no" => Ok(false),
            value => Err(format!("{} takes yes or no, not `{value}`", self.key)),
        }
    }

    /// That there is no such setting, and which of `known` it may mean.
    pub fn unknown(&self, known: &[&str]) -> String {
        let near = nearest(self.key, known.iter().copied());
        match near {
            Some(near) => format!("there is no setting `{}`; did you mean `{near}`?", self.key),
            None => format!("there is no setting `{}`; there are {}", self.key, known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_line_is_a_key_and_the_rest_of_it() {
        let text = "# what\n\n interval  5000\ncheck icmp 9.9.9.9  via wan \nalone\r\n";
        let found: Vec<_> = Settings::new(text).iter().collect();
        assert_eq!(
            found,
            [
                Setting { line: 3, key: "interval", value: "5000" },
                Setting { line: 4, key: "check", value: "icmp 9.9.9.9  via wan" },
                Setting { line: 5, key: "alone", value: "" },
            ]
        );
        assert_eq!(found[0].millis(), Ok(Duration::from_secs(5)));
        assert!(found[1].number().unwrap_err().contains("takes a number"));
        assert!(found[0].yes().unwrap_err().contains("yes or no"));
        assert!(found[0].unknown(&["grace", "intervals"]).contains("did you mean `intervals`?"));
        assert!(found[2].unknown(&["x"]).contains("there are x"));
    }
}
