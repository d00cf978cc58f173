//! A place in a log: which file, and how many bytes of it. A shipper keeps the place up to which
//! everything was delivered.

use alloc::vec::Vec;

use xxhash_rust::xxh64::xxh64;

use crate::bytes::{ReadError, Reader, Writer};
use crate::label;
use crate::log::mark::Boot;

/// Bytes of a place in a file.
pub const PLACE_BYTES: usize = 24;

/// Files change their names when they are finished, and inode numbers are used again after a
/// restart: a file is known by its first line, which has a time in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of its first line.
    pub file: u64,
    /// Of the number of the boot whose mark that line is; 0 where it is none.
    pub boot: u64,
    /// Where the next line begins.
    pub offset: u64,
}

/// What a file is known by.
pub fn of_line(line: &[u8]) -> u64 {
    xxh64(line, 0)
}

/// The same for a boot.
pub fn of_boot(boot: Option<&Boot>) -> u64 {
    boot.map_or(0, |boot| xxh64(boot, 0))
}

impl Place {
    /// A line of text: two numbers of 16 digits, and the offset.
    pub fn append(&self, out: &mut Vec<u8>) {
        for number in [self.file, self.boot] {
            label::append_hex(&number.to_be_bytes(), out);
            out.push(b' ');
        }
        label::append(self.offset, 1, out);
        out.push(b'\n');
    }

    /// Reads what [`Place::append`] has written.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text.strip_suffix(b"\n")?).ok()?;
        let mut words = text.split(' ');
        let mut hex = || {
            let word = words.next()?;
            let plain = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(word, 16).ok()).flatten()
        };
        let (file, boot) = (hex()?, hex()?);
        let offset = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        let offset = offset.parse().ok()?;
        words.next().is_none().then_some(Self { file, boot, offset })
    }

    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Writer::new();
        bytes.u64(self.file).u64(self.boot).u64(self.offset);
        bytes.into_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let place = Self { file: reader.u64()?, boot: reader.u64()?, offset: reader.u64()? };
        reader.end()?;
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_anything_else_is_none() {
        for place in [
            Place::default(),
            Place { file: u64::MAX, boot: 1, offset: 12_345 },
            Place { file: of_line(b"x"), boot: of_boot(Some(&[b'0'; 36])), offset: u64::MAX },
        ] {
            let mut text = Vec::new();
            place.append(&mut text);
            assert_eq!(Place::parse(&text), Some(place));
            assert_eq!(Place::from_bytes(&place.to_bytes()), Ok(place));
        }
        for text in [
            &b""[..],
            b"\n",
            b"0000000000000000 0000000000000000 5",
            b"0000000000000000 0000000000000000 5 6\n",
            b"0000000000000000 0000000000000000 +5\n",
            b"0000000000000000 0000000000000000 99999999999999999999\n",
            b"+000000000000000 0000000000000000 5\n",
            b"0000000000000000  5\n",
            b"\xff\n",
        ] {
            assert_eq!(Place::parse(text), None, "{}", text.escape_ascii());
        }
    }
}
