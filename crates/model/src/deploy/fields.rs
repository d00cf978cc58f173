//! Lines of a name and a value with a tab between them, the last one `end`: small files about
//! generations and trials. What was cut off has no end, and is not read.

use alloc::string::String;
use core::fmt::Display;

use crate::limits::{FIELD_BYTES_MAX, FIELD_FILE_BYTES_MAX};

const END: &str = "end";

/// A file that is being written.
#[derive(Debug, Default)]
pub struct Writing(String);

impl Writing {
    /// Adds a line. Of what cannot be in one blanks are left; a long value loses its end.
    pub fn put(&mut self, name: &str, value: impl Display) -> &mut Self {
        let value = plain(&alloc::format!("{value}"), FIELD_BYTES_MAX);
        if self.0.len() + name.len() + value.len() + 2 + END.len() < FIELD_FILE_BYTES_MAX {
            self.0.extend([name, "\t", &value, "\n"]);
        }
        self
    }

    /// The bytes of the file.
    pub fn end(&mut self) -> String {
        let mut text = core::mem::take(&mut self.0);
        text.extend([END, "\n"]);
        text
    }
}

/// One line of people's text: no control characters, and no more bytes than this.
pub fn plain(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if plain.len() + c.len_utf8() > most {
            break;
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

/// A file that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    /// `None`: it is cut off, too large, or of another kind.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > FIELD_FILE_BYTES_MAX {
            return None;
        }
        let text = core::str::from_utf8(bytes).ok()?.strip_suffix("end\n")?;
        let whole = text.is_empty() || text.ends_with('\n');
        let is_plain = |line: &str| {
            let value = line.split_once('\t').map_or("", |(_, value)| value);
            value.len() <= FIELD_BYTES_MAX && !value.contains(char::is_control)
        };
        (whole && text.split('\n').all(is_plain)).then_some(Self(text))
    }

    /// The values of a name, in order.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.0.lines().filter_map(move |line| {
            let (found, value) = line.split_once('\t')?;
            (found == name).then_some(value)
        })
    }

    /// The first value of a name.
    pub fn first(self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The same, as text of its own; empty where there is none.
    pub fn text(self, name: &str) -> String {
        self.first(name).unwrap_or_default().into()
    }

    /// The first value of a name, as a number.
    pub fn number<T: core::str::FromStr>(self, name: &str) -> Option<T> {
        self.first(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn what_was_written_is_read_and_what_was_cut_off_is_not() {
        let text = Writing::default().put("by", "a\tb\nc").put("line", 1).put("line", 2).end();
        let fields = Fields::read(text.as_bytes()).expect("it is whole");
        assert_eq!(fields.first("by"), Some("a b c"));
        assert_eq!(fields.all("line").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((fields.number::<u8>("line"), fields.number::<u8>("by")), (Some(1), None));
        for cut in 0..text.len() {
            assert!(Fields::read(&text.as_bytes()[..cut]).is_none(), "cut at {cut}");
        }
        let long = ["line\t", &"x".repeat(FIELD_BYTES_MAX + 1), "\nend\n"].concat();
        for text in ["xend\n", "a\tb\tc\nend\n", "a\tb\x1b[2J\nend\n", &long] {
            assert!(Fields::read(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn nothing_that_is_written_is_too_large_to_be_read() {
        let mut writing = Writing::default();
        let long = "ä".repeat(FIELD_BYTES_MAX);
        for _ in 0..FIELD_FILE_BYTES_MAX / 100 {
            writing.put("line", &long);
        }
        let text = writing.end();
        let fields = Fields::read(text.as_bytes()).expect("it fits");
        assert_eq!(fields.first("line").map(str::len), Some(FIELD_BYTES_MAX));
    }
}
