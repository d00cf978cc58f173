//! What an image says of itself: for which device it is, what lies where in it, and by which
//! digests it is known to be whole. `docs/formats/image.md` has its bytes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use xxhash_rust::xxh64::xxh64;

use super::image::crc32;
use crate::bytes::{ReadError, Reader, Writer};
use crate::digest::{Digest, Hasher};
use crate::limits::{
    DEVICE_NAME_BYTES_MAX, ERASE_BYTES_MAX, IMAGE_MANIFEST_BYTES_MAX, IMAGE_PARTS_MAX,
    PARTITION_NAME_BYTES_MAX,
};

/// Bytes at the very end of the file, by which a manifest is found.
pub const FOOTER_BYTES: usize = 32;
/// Bytes before the manifest, by which JFFS2 passes over all of it.
pub const NODE_BYTES: usize = 12;

const MAGIC: [u8; 8] = *b"\x89wardimg";
const VERSION: u32 = 1;
/// A number in a signature that says how it was made.
const ED25519: u8 = 1;

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The device, as its maker calls it.
    pub device: String,
    /// The store path of the system in it; empty where there is none.
    pub generation: String,
    /// The partition that the image is for, and its size in bytes.
    pub partition: String,
    pub size: u64,
    /// Bytes of the flash that are erased at once.
    pub erase_bytes: u32,
    /// Bytes of the image, without the manifest.
    pub bytes: u64,
    /// What lies in it, in this order. All else in the image is as if it were erased.
    pub parts: Vec<Part>,
    pub signature: Option<Signature>,
}

/// One partition inside of that of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// Where it begins in the image, and its size.
    pub offset: u64,
    pub size: u64,
    /// Bytes of what the image has in it.
    pub bytes: u64,
    pub digest: Digest,
    /// What is behind these bytes must be erased, as a file system would find in it what is old.
    pub rest_erased: bool,
}

/// Who answers for an image: a signature over all that the manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub key: [u8; 32],
    pub bytes: [u8; 64],
}

/// Why there is no manifest to be trusted where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// A version that came later.
    Version(u32),
    /// It is not as it was written.
    Damaged(ReadError),
    /// It was written so, and cannot be: what of it.
    Impossible(&'static str),
    /// The file is not as long as the image that it is.
    Length { bytes: u64, expected: u64 },
}

impl From<ReadError> for ManifestError {
    fn from(error: ReadError) -> Self {
        Self::Damaged(error)
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "its manifest has version {version}, and only {VERSION} is known here")
            }
            Self::Damaged(error) => write!(f, "its manifest is damaged: {error}"),
            Self::Impossible(what) => write!(f, "its manifest says what cannot be: {what}"),
            Self::Length { bytes, expected } => {
                write!(f, "it holds {bytes} bytes before its manifest, which says {expected}")
            }
        }
    }
}

/// The end of a file with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Bytes of all that is behind the image.
    trailer_bytes: u32,
    body_bytes: u32,
    checksum: u64,
}

impl Footer {
    /// Reads the end of a file; none where it does not end with a manifest.
    pub fn parse(bytes: &[u8; FOOTER_BYTES]) -> Result<Option<Self>, ManifestError> {
        let mut reader = Reader::new(bytes);
        let (trailer_bytes, body_bytes) = (reader.u32()?, reader.u32()?);
        let (checksum, version) = (reader.u64()?, reader.u32()?);
        let zero = reader.u32()?;
        if reader.take(MAGIC.len())? != MAGIC {
            return Ok(None);
        }
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let least = body_bytes as u64 + (NODE_BYTES + FOOTER_BYTES) as u64;
        let possible = body_bytes as usize <= IMAGE_MANIFEST_BYTES_MAX
            && trailer_bytes <= ERASE_BYTES_MAX
            && least <= u64::from(trailer_bytes)
            && zero == 0;
        match possible {
            true => Ok(Some(Self { trailer_bytes, body_bytes, checksum })),
            false => Err(ReadError::Impossible.into()),
        }
    }

    /// Bytes of the image in a file of so many.
    pub fn image_bytes(&self, file: u64) -> Result<u64, ManifestError> {
        file.checked_sub(self.trailer_bytes.into()).ok_or(ReadError::Short.into())
    }

    /// Where in such a file the manifest lies, and how long it is.
    pub fn body(&self, file: u64) -> Result<(u64, usize), ManifestError> {
        Ok((self.image_bytes(file)? + NODE_BYTES as u64, self.body_bytes as usize))
    }

    /// Reads what lies there. `file` are the bytes of all.
    pub fn manifest(&self, body: &[u8], file: u64) -> Result<Manifest, ManifestError> {
        if xxh64(body, VERSION.into()) != self.checksum {
            return Err(ReadError::Impossible.into());
        }
        let manifest = Manifest::read(body)?;
        manifest.check()?;
        let bytes = self.image_bytes(file)?;
        match bytes == manifest.bytes {
            true => Ok(manifest),
            false => Err(ManifestError::Length { bytes, expected: manifest.bytes }),
        }
    }
}

impl Manifest {
    /// The manifest of a file that lies in memory, if it has one.
    pub fn of_file(file: &[u8]) -> Result<Option<Self>, ManifestError> {
        let Some((_, footer)) = file.split_last_chunk::<FOOTER_BYTES>() else { return Ok(None) };
        let Some(footer) = Footer::parse(footer)? else { return Ok(None) };
        let (offset, length) = footer.body(file.len() as u64)?;
        let body = file.get(offset as usize..).and_then(|rest| rest.get(..length));
        let body = body.ok_or(ReadError::Short)?;
        footer.manifest(body, file.len() as u64).map(Some)
    }

    fn read(body: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(body);
        let (device, generation) = (reader.text()?.into(), reader.text()?.into());
        let (partition, size) = (reader.text()?.into(), reader.u64()?);
        let (erase_bytes, bytes) = (reader.u32()?, reader.u64()?);
        let count = usize::from(reader.u8()?);
        if count > IMAGE_PARTS_MAX {
            return Err(ReadError::Impossible);
        }
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            parts.push(Part {
                name: reader.text()?.into(),
                offset: reader.u64()?,
                size: reader.u64()?,
                bytes: reader.u64()?,
                digest: Digest(array(&mut reader)?),
                rest_erased: reader.bool()?,
            });
        }
        let signature = match reader.u8()? {
            0 => None,
            ED25519 => Some(Signature { key: array(&mut reader)?, bytes: array(&mut reader)? }),
            _ => return Err(ReadError::Impossible),
        };
        reader.end()?;
        Ok(Self { device, generation, partition, size, erase_bytes, bytes, parts, signature })
    }

    /// What a signature is made over: which form of a manifest this is, and everything before the
    /// signature. Nothing else that the same key signs begins like this.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.put(&MAGIC).u32(VERSION).put(&self.unsigned());
        w.into_bytes()
    }

    /// Whose signature there is, and the signature.
    pub fn signed(&self) -> Option<(&[u8; 32], &[u8; 64])> {
        self.signature.as_ref().map(|Signature { key, bytes }| (key, bytes))
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.text(&self.device).text(&self.generation).text(&self.partition);
        w.u64(self.size).u32(self.erase_bytes).u64(self.bytes);
        w.u8(self.parts.len() as u8);
        for part in &self.parts {
            w.text(&part.name).u64(part.offset).u64(part.size).u64(part.bytes);
            w.put(&part.digest.0).bool(part.rest_erased);
        }
        w.into_bytes()
    }

    /// All that goes behind the image: whole erase blocks, so that the file is made of such.
    ///
    /// # Errors
    /// Where the manifest would not be accepted when it is read.
    pub fn trailer(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let mut w = Writer::new();
        w.put(&self.unsigned());
        match &self.signature {
            None => w.u8(0),
            Some(Signature { key, bytes }) => w.u8(ED25519).put(key).put(bytes),
        };
        let body = w.into_bytes();
        if body.len() > IMAGE_MANIFEST_BYTES_MAX {
            return Err(ManifestError::Impossible("it is too long"));
        }
        let least = (NODE_BYTES + body.len() + FOOTER_BYTES) as u32;
        let whole = least.next_multiple_of(self.erase_bytes);

        let mut w = Writer::new();
        w.put(&node(whole)).put(&body);
        let mut trailer = w.into_bytes();
        trailer.resize(whole as usize - FOOTER_BYTES, 0xff);
        let mut w = Writer::new();
        w.u32(whole).u32(body.len() as u32).u64(xxh64(&body, VERSION.into()));
        w.u32(VERSION).u32(0).put(&MAGIC);
        trailer.extend_from_slice(w.as_bytes());
        Ok(trailer)
    }

    /// Holds what it says against itself.
    fn check(&self) -> Result<(), ManifestError> {
        let wrong = |what| Err(ManifestError::Impossible(what));
        let erase = u64::from(self.erase_bytes);
        if !is_text(&self.device, DEVICE_NAME_BYTES_MAX) {
            return wrong("the name of the device");
        }
        if !self.generation.is_empty() && !is_text(&self.generation, 1024) {
            return wrong("the store path of its system");
        }
        if !is_text(&self.partition, PARTITION_NAME_BYTES_MAX) {
            return wrong("the name of the partition");
        }
        if !(1..=ERASE_BYTES_MAX).contains(&self.erase_bytes) {
            return wrong("the size of a block");
        }
        let whole = |bytes: u64| bytes.is_multiple_of(erase);
        if self.bytes > self.size || self.bytes == 0 || !whole(self.bytes) || !whole(self.size) {
            return wrong("its size");
        }
        if self.parts.is_empty() || self.parts.len() > IMAGE_PARTS_MAX {
            return wrong("how many parts there are");
        }
        let mut end = 0;
        for part in &self.parts {
            if !is_text(&part.name, PARTITION_NAME_BYTES_MAX) {
                return wrong("the name of a part");
            }
            let behind = part.offset.checked_add(part.size);
            let Some(behind) = behind.filter(|behind| *behind <= self.size) else {
                return wrong("a part that is not in its partition");
            };
            if part.offset < end || !whole(part.offset) || !whole(part.size) {
                return wrong("where a part begins or ends");
            }
            if part.bytes > part.size || part.offset + part.bytes > self.bytes {
                return wrong("the size of a part");
            }
            end = behind;
        }
        Ok(())
    }
}

/// A word that can be shown, of a bounded length.
fn is_text(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], ReadError> {
    reader.take(N)?.try_into().map_err(|_| ReadError::Short)
}

/// The head of a node that JFFS2 passes over, whose block it then erases: a root file system that
/// another program wrote together with the manifest is clean.
///
/// Source: Linux `include/uapi/linux/jffs2.h`, `JFFS2_NODETYPE_PADDING`.
fn node(bytes: u32) -> [u8; NODE_BYTES] {
    let mut w = Writer::new();
    w.u16(0x1985).u16(0x2004).u32(bytes);
    let sum = crc32(0, w.as_bytes());
    w.u32(sum);
    let mut node = [0; NODE_BYTES];
    node.copy_from_slice(w.as_bytes());
    node
}

/// Lines for people, without a word of the signature: who has signed it is said by whoever has the keys.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "device     {}", self.device)?;
        if !self.generation.is_empty() {
            writeln!(f, "system     {}", self.generation)?;
        }
        writeln!(f, "partition  {}, {} bytes", self.partition, self.size)?;
        writeln!(f, "image      {} bytes, in blocks of {}", self.bytes, self.erase_bytes)?;
        self.parts.iter().try_for_each(|part| {
            let Part { name, offset, size, bytes, digest, .. } = part;
            writeln!(f, "part       {name}: {bytes} of {size} bytes at {offset}, sha256 {digest}")
        })
    }
}

/// What in an image is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// This part has another digest.
    Part(String),
    /// What should be erased, here, is not.
    Between(u64),
    /// It ends here.
    Short(u64),
    /// It goes on behind its end.
    Long,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(name) => write!(f, "its part {name} is damaged"),
            Self::Between(place) => {
                write!(f, "it is damaged: there is something at {place}, between its parts")
            }
            Self::Short(bytes) => write!(f, "it is cut off: only {bytes} bytes are there"),
            Self::Long => f.write_str("it goes on behind its end"),
        }
    }
}

/// Holds an image, which comes piece by piece, against its manifest: every byte of it counts.
pub struct Checker<'a> {
    manifest: &'a Manifest,
    place: u64,
    /// The part that the next byte is in, or before.
    part: usize,
    hasher: Hasher,
}

impl<'a> Checker<'a> {
    pub fn new(manifest: &'a Manifest) -> Self {
        Self { manifest, place: 0, part: 0, hasher: Hasher::default() }
    }

    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), Damage> {
        if bytes.len() as u64 > self.manifest.bytes - self.place {
            return Err(Damage::Long);
        }
        while !bytes.is_empty() {
            let (inside, until) = match self.manifest.parts.get(self.part) {
                None => (false, self.manifest.bytes),
                Some(part) if self.place < part.offset => (false, part.offset),
                Some(part) => (true, part.offset + part.bytes),
            };
            let count = (until - self.place).min(bytes.len() as u64) as usize;
            let (head, rest) = bytes.split_at(count);
            match inside {
                true => self.hasher.update(head),
                false => {
                    if let Some(at) = head.iter().position(|byte| *byte != 0xff) {
                        return Err(Damage::Between(self.place + at as u64));
                    }
                }
            }
            self.place += count as u64;
            bytes = rest;
            if inside && self.place == until {
                self.end_part()?;
            }
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Damage> {
        let part = &self.manifest.parts[self.part];
        self.part += 1;
        match core::mem::take(&mut self.hasher).finish() == part.digest {
            true => Ok(()),
            false => Err(Damage::Part(part.name.clone())),
        }
    }

    /// All of it was there.
    pub fn finish(mut self) -> Result<(), Damage> {
        if self.place < self.manifest.bytes {
            return Err(Damage::Short(self.place));
        }
        // Parts of no bytes at the very end.
        while self.part < self.manifest.parts.len() {
            self.end_part()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
