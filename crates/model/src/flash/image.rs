//! The image in a kernel partition: the one that the boot loader U-Boot calls "legacy", of the
//! type "multi": kernel, initial file system and command line in one, each with its length.
//!
//! Source: U-Boot `include/image.h`, `struct image_header` (64 bytes, big-endian) and
//! `IH_TYPE_MULTI`: behind the header the lengths, ended by a zero, then the parts, each filled up
//! to a multiple of four bytes but for the last one.

use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{ReadError, Reader};
use crate::limits::IMAGE_PARTS_MAX;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the name, which ends at the first zero.
pub const NAME_BYTES_MAX: usize = 32;

const MAGIC: u32 = 0x2705_1956;
/// When it was made: the same always, so that the same parts give the same bytes.
const TIME: u32 = 1;
const OS_LINUX: u8 = 5;
const TYPE_MULTI: u8 = 4;
const COMPRESSION_NONE: u8 = 0;

/// The processor that an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    Mips,
    Arm64,
    X86_64,
}

impl Processor {
    fn number(self) -> u8 {
        match self {
            Self::Mips => 5,
            Self::Arm64 => 22,
            Self::X86_64 => 24,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        [Self::Mips, Self::Arm64, Self::X86_64].into_iter().find(|it| it.number() == number)
    }
}

/// Why bytes are no image that can be booted, or parts cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// There is no image: other bytes, or an erased flash.
    Absent { erased: bool },
    /// The header is not as it was written.
    HeaderDamaged,
    /// What follows the header is not as it was written.
    ContentDamaged,
    /// It says that it is longer than what is there.
    Short { bytes: usize, needed: usize },
    /// An image of another kind: a field of its header, and what is in it.
    OtherKind { field: &'static str, value: u8 },
    /// The lengths of its parts cannot be.
    Lengths,
    /// Parts to be written: none, too many, one that is empty or all together too long.
    Parts,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { erased: true } => f.write_str("it is erased"),
            Self::Absent { erased: false } => f.write_str("there is no image in it"),
            Self::HeaderDamaged => f.write_str("the header of its image is damaged"),
            Self::ContentDamaged => f.write_str("its image is damaged"),
            Self::Short { bytes, needed } => {
                write!(f, "its image is cut off: {bytes} of {needed} bytes are there")
            }
            Self::OtherKind { field, value } => {
                write!(f, "its image is of another kind: its {field} is {value}")
            }
            Self::Lengths => {
                f.write_str("the parts of its image are not as long as they should be")
            }
            Self::Parts => write!(
                f,
                "an image is made of one to {IMAGE_PARTS_MAX} parts, none of them empty, and all \
                 together below 4 GiB"
            ),
        }
    }
}

/// An image that is whole: both checksums and every length are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    pub processor: Processor,
    pub name: &'a [u8],
    /// Kernel, initial file system, command line.
    pub parts: Vec<&'a [u8]>,
    /// All of it, with the header; what follows in the partition does not belong to it.
    pub bytes: usize,
}

impl<'a> Image<'a> {
    /// Reads the image at the beginning of a partition.
    pub fn parse(partition: &'a [u8]) -> Result<Self, ImageError> {
        let absent = || ImageError::Absent { erased: partition.iter().all(|byte| *byte == 0xff) };
        let Some((header, rest)) = partition.split_first_chunk::<HEADER_BYTES>() else {
            return Err(absent());
        };
        let header = Header::read(header).map_err(|_| ImageError::HeaderDamaged)?;
        if header.magic != MAGIC {
            return Err(absent());
        }
        if !header.sound {
            return Err(ImageError::HeaderDamaged);
        }
        let size = header.size as usize;
        let content = rest.get(..size).ok_or(ImageError::Short {
            bytes: partition.len(),
            needed: size.saturating_add(HEADER_BYTES),
        })?;
        if checksum(content) != header.content_checksum {
            return Err(ImageError::ContentDamaged);
        }
        let [os, processor, kind, compression] = header.kind;
        for (field, value, expected) in [
            ("operating system", os, OS_LINUX),
            ("type", kind, TYPE_MULTI),
            ("compression", compression, COMPRESSION_NONE),
        ] {
            if value != expected {
                return Err(ImageError::OtherKind { field, value });
            }
        }
        let processor = Processor::of_number(processor)
            .ok_or(ImageError::OtherKind { field: "processor", value: processor })?;
        let parts = parts(content).map_err(|_| ImageError::Lengths)?;
        Ok(Self { processor, name: header.name, parts, bytes: HEADER_BYTES + size })
    }
}

/// Makes an image. The same parts give the same bytes; a name that is too long is cut off.
pub fn write(processor: Processor, name: &str, parts: &[&[u8]]) -> Result<Vec<u8>, ImageError> {
    let possible = (1..=IMAGE_PARTS_MAX).contains(&parts.len());
    if !possible || parts.iter().any(|part| part.is_empty()) {
        return Err(ImageError::Parts);
    }
    let mut content = Vec::new();
    for part in parts {
        let length = u32::try_from(part.len()).map_err(|_| ImageError::Parts)?;
        content.extend(length.to_be_bytes());
    }
    content.extend(0_u32.to_be_bytes());
    for part in parts {
        // What is before is filled up; nothing follows the last one.
        content.resize(content.len().next_multiple_of(4), 0);
        content.extend_from_slice(part);
    }
    let size = u32::try_from(content.len()).map_err(|_| ImageError::Parts)?;

    let mut image = Vec::with_capacity(HEADER_BYTES + content.len());
    // Zero where the checksum of the header comes.
    for word in [MAGIC, 0, TIME, size, 0, 0, checksum(&content)] {
        image.extend(word.to_be_bytes());
    }
    image.extend([OS_LINUX, processor.number(), TYPE_MULTI, COMPRESSION_NONE]);
    let name = &name.as_bytes()[..name.floor_char_boundary(NAME_BYTES_MAX)];
    image.extend_from_slice(name);
    image.resize(HEADER_BYTES, 0);
    let sum = checksum(&image);
    image[4..8].copy_from_slice(&sum.to_be_bytes());
    image.extend(content);
    Ok(image)
}

struct Header<'a> {
    magic: u32,
    /// The header's own checksum is right.
    sound: bool,
    size: u32,
    content_checksum: u32,
    /// Operating system, processor, type, compression.
    kind: [u8; 4],
    name: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(header: &'a [u8; HEADER_BYTES]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(header);
        let magic = word(&mut reader)?;
        let own_checksum = word(&mut reader)?;
        let _time = word(&mut reader)?;
        let size = word(&mut reader)?;
        let (_load, _entry) = (word(&mut reader)?, word(&mut reader)?);
        let content_checksum = word(&mut reader)?;
        let kind = [reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?];
        let name = reader.take(NAME_BYTES_MAX)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // It was made when its own place held zeros.
        let mut blank = *header;
        blank[4..8].fill(0);
        let sound = checksum(&blank) == own_checksum;
        Ok(Self { magic, sound, size, content_checksum, kind, name })
    }
}

/// The parts, which must fill `content` to its end.
fn parts(content: &[u8]) -> Result<Vec<&[u8]>, ReadError> {
    let mut reader = Reader::new(content);
    let mut lengths = Vec::new();
    loop {
        match word(&mut reader)? {
            0 => break,
            _ if lengths.len() == IMAGE_PARTS_MAX => return Err(ReadError::Impossible),
            length => lengths.push(length as usize),
        }
    }
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let read = content.len() - reader.left();
        reader.take(read.next_multiple_of(4) - read)?;
        parts.push(reader.take(length)?);
    }
    // Other writers fill up the last one, too.
    let read = content.len() - reader.left();
    let _ = reader.take(read.next_multiple_of(4) - read);
    reader.end()?;
    if parts.is_empty() { Err(ReadError::Impossible) } else { Ok(parts) }
}

/// The next four bytes, which are big-endian here.
fn word(reader: &mut Reader<'_>) -> Result<u32, ReadError> {
    reader.u32().map(u32::swap_bytes)
}

/// CRC-32 as zlib has it, which U-Boot uses.
fn checksum(bytes: &[u8]) -> u32 {
    !crc32(!0, bytes)
}

/// The same without what zlib does before and after.
pub(super) fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8);
    bytes.iter().fold(sum, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const PARTS: [&[u8]; 3] = [b"kernel", b"initramfs", b"console=ttyS0"];

    fn written() -> Vec<u8> {
        write(Processor::X86_64, "router", &PARTS).expect("parts as they should be")
    }

    #[test]
    fn the_checksum_is_the_one_of_zlib() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_is_written_is_read_again_whatever_follows_in_the_partition() {
        let image = written();
        let mut partition = image.clone();
        partition.resize(65_536, 0xff);
        let expected = Image {
            processor: Processor::X86_64,
            name: b"router",
            parts: PARTS.to_vec(),
            bytes: image.len(),
        };
        assert_eq!(Image::parse(&partition), Ok(expected.clone()));
        assert_eq!(Image::parse(&image), Ok(expected));
    }

    #[test]
    fn the_bytes_are_those_that_mkimage_writes() {
        let image = write(Processor::Mips, "a name of more than thirty-two bytes", &[b"k", b"i2"]);
        let image = image.expect("parts as they should be");
        assert_eq!(image[..4], [0x27, 0x05, 0x19, 0x56]);
        assert_eq!(image[8..16], [0, 0, 0, 1, 0, 0, 0, 18]);
        assert_eq!(image[28..32], [5, 5, 4, 0]);
        assert_eq!(image[32..64], *b"a name of more than thirty-two b");
        assert_eq!(image[64..], *b"\0\0\0\x01\0\0\0\x02\0\0\0\0k\0\0\0i2");
    }

    #[test]
    fn a_last_part_that_is_filled_up_is_read_too() {
        let mut image = written();
        let content = image.split_off(HEADER_BYTES);
        let mut content = content.clone();
        content.resize(content.len().next_multiple_of(4), 0);
        assert_eq!(parts(&content), Ok(PARTS.to_vec()));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let image = written();
        for place in 0..image.len() {
            let mut changed = image.clone();
            changed[place] ^= 0x10;
            assert!(Image::parse(&changed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let image = written();
        for length in 0..image.len() {
            assert!(Image::parse(&image[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_no_image_is_told_from_what_is_erased() {
        let none = |bytes: &[u8]| Image::parse(bytes).expect_err("it is none");
        assert_eq!(none(&[0xff; 100]), ImageError::Absent { erased: true });
        assert_eq!(none(&[0; 100]), ImageError::Absent { erased: false });
        assert_eq!(none(b"short"), ImageError::Absent { erased: false });
    }

    #[test]
    fn an_image_of_another_kind_says_what_is_other() {
        for (place, field) in
            [(28, "operating system"), (29, "processor"), (30, "type"), (31, "compression")]
        {
            let mut image = written();
            image[place] = 99;
            image[4..8].fill(0);
            let sum = checksum(&image[..HEADER_BYTES]);
            image[4..8].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(Image::parse(&image), Err(ImageError::OtherKind { field, value: 99 }));
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        for (content, why) in [
            (words(&[]), "no list"),
            (words(&[0]), "no part"),
            (words(&[4, 0]), "the part is missing"),
            (words(&[4, 0, 7, 7]), "more than the part"),
            (words(&[u32::MAX, 0, 7]), "longer than everything"),
            (words(&[1; IMAGE_PARTS_MAX + 1]), "a list without an end"),
        ] {
            let content: Vec<u8> = content;
            assert!(parts(&content).is_err(), "{why}");
        }
    }

    #[test]
    fn parts_that_cannot_be_told_apart_are_not_written() {
        for parts in [vec![], vec![&b""[..]], vec![b"k", b"", b"c"], vec![b"k"; 99]] {
            assert_eq!(write(Processor::Arm64, "", &parts), Err(ImageError::Parts));
        }
    }
}
