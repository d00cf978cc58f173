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

/// Appends one line to `log`. `cut`: it goes on in the next one.
pub fn write(log: &mut Vec<u8>, label: &[u8; LABEL_BYTES], service: &str, text: &[u8], cut: bool) {
    log.extend_from_slice(label);
    log.push(b' ');
    log.extend_from_slice(service.as_bytes());
    log.push(b' ');
    log.extend_from_slice(text);
    if cut {
        log.extend_from_slice(CONTINUED);
    }
    log.push(b'\n');
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
    first_of(bytes, [b'\n', b'\n'])
}

/// Where the first newline or NUL is: what ends a line for `s6-log`.
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    first_of(bytes, [b'\n', 0])
}

/// Where the first of two bytes is. Looks at eight bytes at a time.
///
/// Source of the test for a zero byte in a word: Sean Eron Anderson, "Bit
/// Twiddling Hacks", "Determine if a word has a zero byte".
#[inline]
fn first_of(bytes: &[u8], wanted: [u8; 2]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let holds_zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let masks = wanted.map(|byte| u64::from_ne_bytes([byte; 8]));
    let (words, _) = bytes.as_chunks::<8>();
    let without = words.iter().take_while(|word| {
        let word = u64::from_ne_bytes(**word);
        holds_zero(word ^ masks[0]) | holds_zero(word ^ masks[1]) == 0
    });
    let start = 8 * without.count();
    let near = &bytes[start..];
    near.iter().position(|byte| wanted.contains(byte)).map(|at| start + at)
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
        let mut log = Vec::new();
        write(&mut log, &label, "ppp", b"Connect: ppp0", false);
        write(&mut log, &label, "ppp", b"LCP", true);
        assert_eq!(
            log,
            b"@40000000000284f100000005 ppp Connect: ppp0\n\
              @40000000000284f100000005 ppp LCP [continued]\n"
        );
    }
}
