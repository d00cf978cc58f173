//! A pattern for the values of a device: `*`, `?`, `[…]`, and `\` before what is meant as it is.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// A pattern that is well made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.as_bytes();
        if rest.is_empty() {
            return Err("the pattern is empty; `*` stands for anything".into());
        }
        while !rest.is_empty() {
            rest = match one(rest) {
                Some((_, after)) => after,
                None if rest[0] == b'[' => {
                    return Err(format!(
                        "`{text}` has a `[` without its `]`; `\\[` is the character"
                    ));
                }
                None => return Err(format!("`{text}` ends in a `\\` that nothing follows")),
            };
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that alone matches, where there is just one.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(['*', '?', '[', '\\'])).then_some(&self.0)
    }

    /// Whether all of `value` is as the pattern says. Takes time as length times length at most.
    pub fn matches(&self, value: &[u8]) -> bool {
        let (mut pattern, mut value) = (self.0.as_bytes(), value);
        // Behind the last `*`, and what it has not taken so far.
        let mut again: Option<(&[u8], &[u8])> = None;
        loop {
            match one(pattern) {
                None if value.is_empty() => return true,
                Some((One::Any, rest)) => {
                    (pattern, again) = (rest, Some((rest, value)));
                    continue;
                }
                Some((part, rest)) if value.first().is_some_and(|byte| part.takes(*byte)) => {
                    (pattern, value) = (rest, &value[1..]);
                    continue;
                }
                _ => {}
            }
            match again {
                Some((behind, [_, left @ ..])) => {
                    (pattern, value, again) = (behind, left, Some((behind, left)));
                }
                _ => return false,
            }
        }
    }
}

/// What stands for one byte, or for any number of them.
enum One<'a> {
    Any,
    Each,
    Byte(u8),
    Set { set: &'a [u8], but: bool },
}

impl One<'_> {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::Each => true,
            Self::Byte(own) => *own == byte,
            Self::Set { set, but } => {
                let mut set = *set;
                let mut found = false;
                while let [first, rest @ ..] = set {
                    if let [b'-', last, rest @ ..] = rest {
                        found |= (*first..=*last).contains(&byte);
                        set = rest;
                    } else {
                        found |= *first == byte;
                        set = rest;
                    }
                }
                found != *but
            }
        }
    }
}

/// The first part, and what follows; `None` where there is none, or it has no end.
fn one(pattern: &[u8]) -> Option<(One<'_>, &[u8])> {
    match pattern {
        [] | [b'\\'] => None,
        [b'\\', byte, rest @ ..] => Some((One::Byte(*byte), rest)),
        [b'*', rest @ ..] => Some((One::Any, rest)),
        [b'?', rest @ ..] => Some((One::Each, rest)),
        [b'[', rest @ ..] => {
            let (but, rest) = match rest {
                [b'!' | b'^', rest @ ..] => (true, rest),
                _ => (false, rest),
            };
            // A `]` that comes first is one of the set.
            let end = 1 + rest.get(1..)?.iter().position(|byte| *byte == b']')?;
            Some((One::Set { set: &rest[..end], but }, &rest[end + 1..]))
        }
        [byte, rest @ ..] => Some((One::Byte(*byte), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values() {
        for (pattern, value, expected) in [
            ("usb", "usb", true),
            ("usb", "usb1", false),
            ("usb*", "usb", true),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("*/usb*/net/*", "/devices/pci/usb1/1-1/net/eth0", true),
            ("[0-9a-f][0-9a-f]", "7f", true),
            ("[0-9a-f]", "g", false),
            ("[!0-9]x", "ax", true),
            ("[^0-9]x", "1x", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("caf\u{e9}", "caf\u{e9}", true),
        ] {
            let found = Pattern::parse(pattern).expect("well made").matches(value.as_bytes());
            assert_eq!(found, expected, "{pattern} and {value}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_what_may_help() {
        for (text, expected) in
            [("", "is empty"), ("[abc", "without its `]`"), ("[]", "without"), ("a\\", "ends in")]
        {
            let error = Pattern::parse(text).expect_err("it is not well made");
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(Pattern::parse("usb").map(|p| p.literal().is_some()), Ok(true));
        assert_eq!(Pattern::parse("us?").map(|p| p.literal().is_some()), Ok(false));
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::parse(&"*a".repeat(100)).expect("well made");
        assert!(!pattern.matches(&[b'b'; 4000]));
        assert!(!pattern.matches(&[b'a'; 99]));
        assert!(pattern.matches(&[b'a'; 4000]));
    }
}
