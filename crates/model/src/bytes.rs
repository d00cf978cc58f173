//! The bounded reader and writer under every binary format.

use alloc::vec::Vec;
use core::fmt;

/// Why bytes could not be read: they end too early, or say something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The bytes end before the value does.
    Short,
    /// A length or a kind that cannot be.
    Impossible,
    /// Bytes are left over behind the last value.
    Trailing,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "it ends too early",
            Self::Impossible => "it holds an impossible value",
            Self::Trailing => "it goes on behind its end",
        })
    }
}

/// Reads little-endian values from the front of a slice, never beyond it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(ReadError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(ReadError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, ReadError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, ReadError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn bool(&mut self) -> Result<bool, ReadError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ReadError::Impossible),
        }
    }

    /// Bytes behind their 16-bit length.
    pub fn short_bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// UTF-8 text behind its 16-bit length.
    pub fn text(&mut self) -> Result<&'a str, ReadError> {
        core::str::from_utf8(self.short_bytes()?).map_err(|_| ReadError::Impossible)
    }

    /// Says that nothing may follow.
    pub fn end(&self) -> Result<(), ReadError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ReadError::Trailing) }
    }
}

/// Appends little-endian values to a buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Bytes behind their 16-bit length; what does not fit is cut off.
    pub fn short_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let length = bytes.len().min(usize::from(u16::MAX));
        self.u16(length as u16).put(&bytes[..length])
    }

    /// Text behind its 16-bit length, cut at a character where it is too long.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let end = text.floor_char_boundary(usize::from(u16::MAX).min(text.len()));
        self.short_bytes(&text.as_bytes()[..end])
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes out what was written before `at`; what came after it stays.
    pub fn take_before(&mut self, at: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(at);
        core::mem::replace(&mut self.bytes, rest)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_comes_out_and_the_rest_stays() {
        for at in 0..=3 {
            let mut writer = Writer::new();
            writer.put(b"abc");
            assert_eq!(writer.take_before(at), b"abc"[..at]);
            assert_eq!(writer.as_bytes(), &b"abc"[at..]);
        }
    }
}
