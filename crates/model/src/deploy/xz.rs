//! The frame around LZMA2 that `xz` writes, as Nix's binary caches have it.
//!
//! Its own checksums are passed over: what comes out is held against the hash of the archive.
//! Source: "The .xz File Format", version 1.2.1.

use alloc::vec::Vec;

use super::lzma::{Decoder, LzmaError, Stop};

const MAGIC: &[u8; 6] = b"\xfd7zXZ\0";
const STREAM_HEADER_BYTES: usize = 12;
/// The number of the filter LZMA2.
const LZMA2: u8 = 0x21;

enum Part {
    StreamHeader,
    BlockHeader,
    Block(Decoder),
    /// Padding and checksum behind a block: so many bytes.
    Behind(usize),
    /// The index, and all behind it.
    Index,
}

/// Reads an xz file as it comes.
pub struct Xz {
    part: Part,
    head: Vec<u8>,
    check_bytes: usize,
    /// Bytes of the block that were read.
    block: usize,
    window_max: u32,
    /// More memory than what comes out of it is never needed.
    size: u64,
}

impl Xz {
    /// `size`: bytes that will come out of it.
    pub fn new(window_max: u32, size: u64) -> Self {
        Self {
            part: Part::StreamHeader,
            head: Vec::new(),
            check_bytes: 0,
            block: 0,
            window_max,
            size,
        }
    }

    /// Whether all was read that has content.
    pub fn is_over(&self) -> bool {
        matches!(self.part, Part::Index)
    }

    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        while let Some(first) = bytes.first() {
            match &mut self.part {
                Part::Index => return Ok(()),
                Part::StreamHeader => {
                    if !self.take(&mut bytes, STREAM_HEADER_BYTES) {
                        return Ok(());
                    }
                    if !self.head.starts_with(MAGIC) || self.head[6] != 0 || self.head[7] > 15 {
                        return Err(LzmaError::Corrupt.into());
                    }
                    self.check_bytes = match self.head[7] {
                        0 => 0,
                        kind => 4 << ((kind - 1) / 3),
                    };
                    self.head.clear();
                    self.part = Part::BlockHeader;
                }
                Part::BlockHeader => {
                    let length = self.head.first().unwrap_or(first);
                    if *length == 0 {
                        self.part = Part::Index;
                        return Ok(());
                    }
                    if !self.take(&mut bytes, (usize::from(*length) + 1) * 4) {
                        return Ok(());
                    }
                    let window = window(&self.head).ok_or(LzmaError::Corrupt)?;
                    let window = window.min(self.size.max(1));
                    let window = u32::try_from(window).ok().filter(|it| *it <= self.window_max);
                    self.part = Part::Block(Decoder::new(window.ok_or(LzmaError::Window)?));
                    self.head.clear();
                    self.block = 0;
                }
                Part::Block(decoder) => {
                    let count = decoder.push(bytes, put)?;
                    bytes = &bytes[count..];
                    self.block += count;
                    if decoder.is_over() {
                        let padding = self.block.wrapping_neg() % 4;
                        self.part = Part::Behind(padding + self.check_bytes);
                    }
                }
                Part::Behind(left) => {
                    let count = bytes.len().min(*left);
                    bytes = &bytes[count..];
                    *left -= count;
                    if *left == 0 {
                        self.part = Part::BlockHeader;
                    }
                }
            }
        }
        Ok(())
    }

    /// Collects `count` bytes in `head`; whether they are there.
    fn take(&mut self, bytes: &mut &[u8], count: usize) -> bool {
        let now = bytes.len().min(count - self.head.len());
        self.head.extend_from_slice(&bytes[..now]);
        *bytes = &bytes[now..];
        self.head.len() == count
    }
}

/// Bytes of the window that a block wants.
fn window(head: &[u8]) -> Option<u64> {
    let flags = *head.get(1)?;
    // One filter, and nothing that is not known.
    if flags & 0x3f != 0 {
        return None;
    }
    let mut rest = &head[2..];
    for _ in 0..(flags >> 6).count_ones() {
        // Sizes that need not be there.
        let end = rest.iter().position(|byte| byte & 0x80 == 0)?;
        rest = &rest[end + 1..];
    }
    let [LZMA2, 1, bits, ..] = rest else { return None };
    match bits {
        0..=39 => Some((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
        40 => Some(u64::from(u32::MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    /// `xz` of ten lines "hello, store".
    const FILE: &[u8] = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4F\x02\0!\x01\x16\0\0\0t/\xe5\xa3\xe0\0\x81\0\x14]\
        \x004\x19I\xee\x8d\xef\x8ck\x43\xc1\x0f8\xa8\xb6\xb2\xa7\x84\x8c\0\0\0\x09\xbc^\x82|\x05\xd0:\0\x01\
        0\x82\x01\0\0\0\xe7W\xb5\xb4\xb1\xc4g\xfb\x02\0\0\0\0\x04YZ";

    fn unpacked(bytes: &[u8], window_max: u32, piece: usize) -> Result<Option<Vec<u8>>, LzmaError> {
        let mut out = Vec::new();
        let mut xz = Xz::new(window_max, 130);
        for piece in bytes.chunks(piece) {
            let mut put = |bytes: &[u8]| {
                out.extend_from_slice(bytes);
                Ok::<(), Infallible>(())
            };
            xz.push(piece, &mut put).map_err(|stop| match stop {
                Stop::Lzma(error) => error,
                Stop::Put(never) => match never {},
            })?;
        }
        Ok(xz.is_over().then_some(out))
    }

    #[test]
    fn a_file_of_xz_is_unpacked_in_pieces_of_any_size() {
        let text = b"hello, store\n".repeat(10);
        for piece in [1, 5, 1000] {
            assert_eq!(unpacked(FILE, 4096, piece), Ok(Some(text.clone())));
        }
        // It asks for 8 MiB; what comes out of it is less.
        assert_eq!(unpacked(FILE, 100, 1000), Err(LzmaError::Window));
        for end in 0..52 {
            assert_eq!(unpacked(&FILE[..end], 4096, 1000), Ok(None), "cut at {end}");
        }
        for at in [0, 5, 6, 7, 13, 14, 15, 24] {
            let mut damaged = FILE.to_vec();
            damaged[at] ^= 0x41;
            assert_ne!(unpacked(&damaged, 4096, 1000), Ok(Some(text.clone())), "byte {at}");
        }
    }
}
