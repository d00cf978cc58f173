//! A service name.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

use crate::limits::NAME_BYTES_MAX;

/// The name of a service or bundle: a plain file name that can stand in a log
/// line and in a status listing without any quoting.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is no service name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    Empty,
    /// Longer than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// Holds, or begins with, a character that a name may not.
    Forbidden(char),
    /// Begins with a prefix that belongs to the system (`s6rc-`, `s6-rc-`).
    Reserved,
    /// Not UTF-8.
    NotText,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong => write!(f, "it is longer than {NAME_BYTES_MAX} bytes"),
            Self::Forbidden('.') => f.write_str("it begins with a dot"),
            Self::Forbidden(c) => write!(f, "it holds the character {c:?}"),
            Self::Reserved => f.write_str("names that begin with s6rc- or s6-rc- are reserved"),
            Self::NotText => f.write_str("it is not UTF-8"),
        }
    }
}

impl Name {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text.as_bytes()).map(|text| Self(text.into()))
    }

    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        check(bytes).map(|text| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says whether `bytes` are a name, without keeping them.
pub fn check(bytes: &[u8]) -> Result<&str, NameError> {
    let text = core::str::from_utf8(bytes).map_err(|_| NameError::NotText)?;
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if text.starts_with('.') {
        return Err(NameError::Forbidden('.'));
    }
    if let Some(c) = text.chars().find(|c| *c == '/' || c.is_whitespace() || c.is_control()) {
        return Err(NameError::Forbidden(c));
    }
    if text.starts_with("s6rc-") || text.starts_with("s6-rc-") {
        return Err(NameError::Reserved);
    }
    Ok(text)
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The one of `names` that `wanted` was most likely meant to be: at most a
/// third of its letters wrong, added, missing or exchanged.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wanted.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wanted, name, allowed), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace, exchange of neighbours) between two words;
/// `allowed + 1` where their lengths alone say that it is more.
fn distance(a: &str, b: &str, allowed: usize) -> usize {
    use alloc::vec::Vec;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > allowed {
        return allowed + 1;
    }
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut new = Vec::with_capacity(b.len() + 1);
        new.push(i);
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (old[j - 1] + same).min(old[j] + 1).min(new[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(older[j - 2] + 1);
            }
            new.push(best);
        }
        older = core::mem::replace(&mut old, new);
    }
    old[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        use NameError::*;
        for (text, expected) in [
            ("wan", Ok("wan")),
            ("wan.pppoe", Ok("wan.pppoe")),
            ("dhcpc@wan", Ok("dhcpc@wan")),
            ("", Err(Empty)),
            ("lan/dhcp", Err(Forbidden('/'))), // would leave the directory
            ("dns\n", Err(Forbidden('\n'))),   // would break the status listing
            ("my dns", Err(Forbidden(' '))),   // would break a log line
            (".hidden", Err(Forbidden('.'))),
            ("s6rc-fdholder", Err(Reserved)),
        ] {
            let found = Name::parse(text);
            assert_eq!(found, expected.map(|n| Name(n.into())), "reading {text:?}");
        }
        assert_eq!(Name::parse(&"x".repeat(241)), Err(TooLong));
        assert_eq!(Name::parse_bytes(b"\xff"), Err(NotText));
    }

    #[test]
    fn the_nearest_name_is_a_likely_slip() {
        let names = ["dnsmasq", "dropbear", "lan", "wan"];
        assert_eq!(nearest("dnsmaqs", names), Some("dnsmasq"));
        assert_eq!(nearest("dropber", names), Some("dropbear"));
        assert_eq!(nearest("wam", names), Some("wan"));
        assert_eq!(nearest("firewall", names), None);
    }
}
