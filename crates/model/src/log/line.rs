//! A line in a log: `@label service text` in the log of everything,
//! `@label text` in others.

use alloc::vec::Vec;

use crate::label;
use crate::limits::{LOG_LINE_BYTES_MAX, NAME_BYTES_MAX};
use crate::time::Date;

/// Ends a piece of a line that was too long; the next line of the same
/// service goes on where it was cut.
pub const CONTINUED: &[u8] = b" [continued]";

/// Bytes of a label.
pub const LABEL_BYTES: usize = 25;

/// Bytes that one line can take in the log, its newline included.
pub const WRITTEN_LINE_BYTES_MAX: usize =
    LABEL_BYTES + 1 + NAME_BYTES_MAX + 1 + LOG_LINE_BYTES_MAX + CONTINUED.len() + 1;

/// Lines as the log has them, one behind the other.
pub struct Lines {
    /// Longer than it is used.
    bytes: Vec<u8>,
    used: usize,
}

impl Lines {
    /// With room for `room` bytes, and for one line that does not fit there.
    pub fn new(room: usize) -> Self {
        Self { bytes: alloc::vec![0; room + WRITTEN_LINE_BYTES_MAX], used: 0 }
    }

    pub fn clear(&mut self) {
        self.used = 0;
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// All of it for something else; there are no lines any more.
    pub fn room(&mut self) -> &mut [u8] {
        self.clear();
        &mut self.bytes
    }

    /// Appends a line; the caller sees to it that there is room. `head`: its label and its service, each with
    /// a space behind it. `cut`: it goes on in the next one.
    pub fn push(&mut self, head: &[u8], text: &[u8], cut: bool) {
        let end = if cut { CONTINUED } else { b"" };
        for part in [head, text, end, b"\n"] {
            let place = &mut self.bytes[self.used..][..part.len()];
            copy(place, part);
            self.used += part.len();
        }
    }
}

/// Copies between slices of the same length. Most lines are so short that it matters how a copy begins:
/// this one needs half the time of `memcpy` in musl.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    let (wide, rest) = to.as_chunks_mut::<16>();
    let (from_wide, from_rest) = from.as_chunks::<16>();
    wide.iter_mut().zip(from_wide).for_each(|(to, from)| *to = *from);
    rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

/// What stands before the text of each line of one service at one time.
pub fn head(label: &[u8; LABEL_BYTES], service: &str) -> Vec<u8> {
    [&label[..], b" ", service.as_bytes(), b" "].concat()
}

/// One line as the log has it.
pub fn one(label: &[u8; LABEL_BYTES], service: &str, text: &[u8]) -> Vec<u8> {
    [&head(label, service), text, b"\n"].concat()
}

/// A line as it was found, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What stands in the place of a label.
    pub label: Option<&'a [u8; LABEL_BYTES]>,
    pub service: Option<&'a [u8]>,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart. `named`: a service follows its label. What has no
    /// label is text.
    #[inline]
    pub fn read(bytes: &'a [u8], named: bool) -> Self {
        let plain = Self { label: None, service: None, text: bytes };
        let Some((label, rest)) = bytes.split_first_chunk::<LABEL_BYTES>() else { return plain };
        let (Some(text), b'@') = (rest.strip_prefix(b" "), label[0]) else { return plain };
        let label = Some(label);
        if !named {
            return Self { label, service: None, text };
        }
        match text.iter().position(|&byte| byte == b' ') {
            Some(end) => Self { label, service: Some(&text[..end]), text: &text[end + 1..] },
            None => Self { label, service: None, text },
        }
    }

    /// `None` without a label, and where what stands in its place is none.
    pub fn date(&self) -> Option<Date> {
        self.label.and_then(label::parse)
    }
}

/// Where the first newline is.
pub fn newline(bytes: &[u8]) -> Option<usize> {
    first_of(bytes, b'\n', b'\n')
}

/// Where the first newline or NUL is: what ends a line for `s6-log`.
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    first_of(bytes, b'\n', 0)
}

/// Where the first newline of these is.
#[inline(always)]
pub fn newline_in_word(bytes: [u8; 8]) -> Option<usize> {
    first_in_word(bytes, b'\n', b'\n')
}

/// Where the first of two bytes is. Looks at eight bytes at a time.
#[inline(always)]
fn first_of(bytes: &[u8], one: u8, other: u8) -> Option<usize> {
    let (words, end) = bytes.as_chunks::<8>();
    // A plain loop: what iterators become of it, where code is made to be small, takes twice as long.
    let mut at = 0;
    while at < words.len() {
        if let Some(found) = first_in_word(words[at], one, other) {
            return Some(8 * at + found);
        }
        at += 1;
    }
    let found = end.iter().position(|&byte| byte == one || byte == other);
    found.map(|at| bytes.len() - end.len() + at)
}

/// The same, of eight.
///
/// Source of the test for a zero byte in a word: Sean Eron Anderson, "Bit
/// Twiddling Hacks", "Determine if a word has a zero byte".
#[inline(always)]
fn first_in_word(bytes: [u8; 8], one: u8, other: u8) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The first byte is the lowest: what follows a zero byte may be taken for one.
    let word = u64::from_le_bytes(bytes);
    let (a, b) = (word ^ (LOW * one as u64), word ^ (LOW * other as u64));
    let found = (a.wrapping_sub(LOW) & !a | b.wrapping_sub(LOW) & !b) & HIGH;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_is_found_wherever_it_stands() {
        for length in 0..40 {
            assert_eq!(newline(&alloc::vec![0x8a; length]), None);
            assert_eq!(newline(&alloc::vec![0; length]), None);
            assert_eq!(line_end(&alloc::vec![0x80; length]), None);
            for at in 0..length {
                let mut bytes = alloc::vec![0x0b; length];
                bytes[at] = b'\n';
                assert_eq!(newline(&bytes), Some(at));
                assert_eq!(line_end(&bytes), Some(at));
                bytes[at] = 0;
                assert_eq!(line_end(&bytes), Some(at));
                bytes[at] = b'\n';
                bytes[length - 1] = b'\n';
                assert_eq!(newline(&bytes), Some(at), "the first of two");
            }
        }
    }

    #[test]
    fn a_line_names_its_time_and_its_service() {
        let label = crate::time::Date { label: 0x4000_0000_0002_84f1, nanos: 5 }.label_text();
        let mut log = Lines::new(0);
        let head = head(&label, "ppp");
        log.push(&head, b"Connect: ppp0", false);
        log.push(&head, b"LCP", true);
        assert_eq!(
            log.as_bytes(),
            b"@40000000000284f100000005 ppp Connect: ppp0\n\
              @40000000000284f100000005 ppp LCP [continued]\n"
        );
    }
}
