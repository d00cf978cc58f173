//! Files of a log on flash: records, each of which is a place in the log that was read, and the
//! lines before it, compressed. `lz4cat` reads them: the lines of a record are one frame, and the
//! place lies in one that is skipped.
//!
//! Source: "LZ4 Frame Format Description", version 1.6.

use alloc::vec::Vec;

use lz4_flex::block;
use xxhash_rust::xxh32::xxh32;

use crate::bytes::{ReadError, Reader, Writer};
use crate::log::archive::parse_label;
use crate::log::place::{PLACE_BYTES, Place};
use crate::time::Date;

/// Bytes of the lines of a record, at most: one block.
pub const RECORD_TEXT_MAX: usize = 64 << 10;

const ENDING: &[u8] = b".lz4";

/// Bytes of a file's name: `@`, 24 digits, and the ending.
pub const NAME_BYTES: usize = 29;

/// One of the sixteen for frames that are skipped.
const SKIPPED: u32 = 0x184d_2a5d;
const FRAME: u32 = 0x184d_2204;

/// Version 1, blocks that stand alone, the size of the content before it and a checksum behind it;
/// blocks of 64 KiB.
const DESCRIPTOR: [u8; 2] = [0x6c, 0x40];

/// A block that is not compressed.
const PLAIN: u32 = 1 << 31;

/// The name of a file that was begun then; names grow, whatever the clock does.
pub fn name(date: Date) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name[..NAME_BYTES - ENDING.len()].copy_from_slice(&date.label_text());
    name[NAME_BYTES - ENDING.len()..].copy_from_slice(ENDING);
    name
}

/// When the file of this name was begun; `None` for every other file.
pub fn parse_name(name: &[u8]) -> Option<Date> {
    parse_label(name.strip_suffix(ENDING)?)
}

/// Appends a record. There are at most [`RECORD_TEXT_MAX`] bytes of text.
pub fn append(place: Place, text: &[u8], out: &mut Vec<u8>) {
    let mut w = Writer::new();
    let place = place.to_bytes();
    w.u32(SKIPPED).u32(PLACE_BYTES as u32 + 4).put(&place).u32(xxh32(&place, 0));
    w.u32(FRAME).put(&descriptor(text.len()));
    let packed = block::compress(text);
    match packed.len() < text.len() {
        true => w.u32(packed.len() as u32).put(&packed),
        false => w.u32(text.len() as u32 | PLAIN).put(text),
    };
    w.u32(0).u32(xxh32(text, 0));
    out.extend_from_slice(w.as_bytes());
}

/// What stands behind the number of a frame: its descriptor, the size, and their checksum.
fn descriptor(length: usize) -> Vec<u8> {
    let mut w = Writer::new();
    w.put(&DESCRIPTOR).u64(length as u64);
    let check = xxh32(w.as_bytes(), 0) >> 8;
    w.u8(check as u8);
    w.into_bytes()
}

/// Reads the record that bytes begin with: the place behind it, its text, and how many bytes it has. What was not
/// written to its end is none.
pub fn read(bytes: &[u8]) -> Result<(Place, Vec<u8>, usize), ReadError> {
    let mut r = Reader::new(bytes);
    let is = |right: bool| right.then_some(()).ok_or(ReadError::Impossible);
    is(r.u32()? == SKIPPED)?;
    is(r.u32()? == PLACE_BYTES as u32 + 4)?;
    let place = r.take(PLACE_BYTES)?;
    is(r.u32()? == xxh32(place, 0))?;
    is(r.u32()? == FRAME)?;
    is(r.take(DESCRIPTOR.len())? == DESCRIPTOR)?;
    let length = usize::try_from(r.u64()?).unwrap_or(usize::MAX);
    is(length <= RECORD_TEXT_MAX)?;
    is(Some(&r.u8()?) == descriptor(length).last())?;
    let size = r.u32()?;
    let block = r.take((size & !PLAIN) as usize)?;
    let text = match size & PLAIN {
        0 => block::decompress(block, length).map_err(|_| ReadError::Impossible)?,
        _ => block.to_vec(),
    };
    is(text.len() == length)?;
    is(r.u32()? == 0)?;
    is(r.u32()? == xxh32(&text, 0))?;
    Ok((Place::from_bytes(place)?, text, bytes.len() - r.left()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_torn_or_damaged_one_is_none() {
        let noise: Vec<u8> =
            (0..300_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let words = b"@400000000000000a00000000 dns up\n".repeat(20);
        for text in [&b""[..], b"x", &words, &noise, &alloc::vec![b'y'; RECORD_TEXT_MAX]] {
            let place = Place { file: 1, boot: 2, offset: text.len() as u64 };
            let mut bytes = Vec::new();
            append(place, text, &mut bytes);
            let length = bytes.len();
            assert!(length < 80 + text.len());
            bytes.extend_from_slice(b"next");
            assert_eq!(read(&bytes), Ok((place, text.to_vec(), length)));
            for end in 0..length {
                assert!(read(&bytes[..end]).is_err(), "{end} of {length} bytes");
            }
            for at in 0..length {
                bytes[at] ^= 0x10;
                assert!(read(&bytes).is_err(), "byte {at} of {length}");
                bytes[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn only_whole_names_are_names() {
        let date = Date::from_unix(1_763_000_000, 5);
        assert_eq!(parse_name(&name(date)), Some(date));
        for name in [&b"@400000000000000a00000000.s"[..], b"@400000000000000A00000000.lz4", b".lz4"]
        {
            assert_eq!(parse_name(name), None);
        }
    }
}
