//! Messages between who sends store paths and who receives them.
//!
//! Each is a byte that says which, four of its length, and its body. docs/formats/transfer.md is the page.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::nar_hash::NarHash;
use super::path_info::PathInfo;
use super::replace::{Letters, Replacements};
use super::store_path::{HASH_LETTERS, StorePath};
use crate::bytes::{ReadError, Reader, Writer};
use crate::limits::{REFERENCES_MAX, SIGNATURES_MAX, TRANSFER_MESSAGE_BYTES_MAX, WINDOW_BYTES_MAX};

/// What both sides begin with: another one is another language.
pub const VERSION: u16 = 1;

/// Bytes before the body of a message.
pub const HEAD_BYTES: usize = 5;

/// Bytes of compressed content in one message.
pub const DATA_BYTES: usize = 32 << 10;

/// A message that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMessage;

impl fmt::Display for NoMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side speaks another language")
    }
}

impl From<ReadError> for NoMessage {
    fn from(_: ReadError) -> Self {
        Self
    }
}

/// How a path comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its archive, compressed.
    Whole { window: u32 },
    /// The archive of an older path with other hashes in it: nothing is sent.
    Replaced { base: StorePath, replacements: Replacements },
    /// Orders how to make its archive of files of an older path, after hashes in them were replaced.
    Patched { base: StorePath, replacements: Replacements, window: u32 },
}

/// What the sender says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDevice<'a> {
    Hello {
        version: u16,
    },
    /// The whole closure: none of it may be collected while this goes on.
    Rely {
        paths: Vec<StorePath>,
        is_last: bool,
    },
    /// A path follows, by `Data` and `PathEnd`.
    Path {
        info: PathInfo,
        way: Way,
    },
    Data(&'a [u8]),
    PathEnd,
    /// All that came shall be in the store before anything else: `Done` says that it is.
    Commit,
    /// A path shall not be collected when this is over.
    Keep {
        name: String,
        path: StorePath,
    },
    /// How much collecting would free: `Collectable` says it.
    AskCollectable,
    /// Nothing comes yet, but somebody is there.
    Alive,
    Bye,
}

/// A kind of file system, as far as it changes what a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Other,
    Jffs2,
    Ubifs,
    Memory,
}

/// What a device is like, before anything is copied to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub version: u16,
    /// Bytes that can be written.
    pub free_bytes: u64,
    /// Files that can be made; `None`: as many as there is room for.
    pub free_files: Option<u64>,
    /// A file takes a multiple of this.
    pub block_bytes: u32,
    /// 0: it is no flash, or nobody says.
    pub erase_bytes: u32,
    /// Bytes of memory that are free.
    pub memory_bytes: u64,
    pub file_system: FileSystem,
    pub is_read_only: bool,
    /// Only what a trusted key has signed is taken.
    pub wants_signature: bool,
}

/// What the receiver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromDevice {
    Greeting(Greeting),
    /// This path is there, and whole.
    Have {
        path: StorePath,
        hash: NarHash,
        size: u64,
    },
    /// That was all.
    Ready,
    /// Another program writes to the store, this process; it will be waited for.
    Waiting {
        process: u32,
    },
    /// So many paths came into the store since the beginning.
    Done {
        paths: u32,
    },
    /// This path could not be made of what came; whole it might be.
    Again {
        path: StorePath,
        why: String,
    },
    /// It is over.
    Refused {
        why: String,
    },
    Collectable {
        bytes: u64,
    },
}

/// A message with its head.
fn framed(kind: u8, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(kind).u32(0);
    body(&mut writer);
    let mut bytes = writer.into_bytes();
    let length = (bytes.len() - HEAD_BYTES) as u32;
    bytes[1..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The kind, and the length of the body, that a head announces.
pub fn head(bytes: [u8; HEAD_BYTES]) -> Result<(u8, usize), NoMessage> {
    let [kind, length @ ..] = bytes;
    let length = u32::from_le_bytes(length) as usize;
    if length <= TRANSFER_MESSAGE_BYTES_MAX { Ok((kind, length)) } else { Err(NoMessage) }
}

fn put_path(writer: &mut Writer, path: &StorePath) {
    writer.text(path.as_str());
}

fn path(reader: &mut Reader<'_>) -> Result<StorePath, NoMessage> {
    StorePath::parse(reader.text()?).map_err(|_| NoMessage)
}

fn hash(reader: &mut Reader<'_>) -> Result<NarHash, NoMessage> {
    Ok(NarHash(reader.take(32)?.try_into().map_err(|_| NoMessage)?))
}

/// A number of things that has its bound, and of which each takes so many bytes at least.
fn count(reader: &mut Reader<'_>, most: usize, bytes: usize) -> Result<usize, NoMessage> {
    let count = usize::from(reader.u16()?);
    if count <= most && count * bytes <= reader.left() { Ok(count) } else { Err(NoMessage) }
}

fn put_base(writer: &mut Writer, base: &StorePath, replacements: &Replacements) {
    put_path(writer, base);
    writer.u16(replacements.pairs().len() as u16);
    for (old, new) in replacements.pairs() {
        writer.put(old).put(new);
    }
}

fn base(reader: &mut Reader<'_>) -> Result<(StorePath, Replacements), NoMessage> {
    let path = path(reader)?;
    let count = count(reader, REFERENCES_MAX, 2 * HASH_LETTERS)?;
    let mut pairs: Vec<(Letters, Letters)> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut letters = || -> Result<Letters, NoMessage> {
            reader.take(HASH_LETTERS)?.try_into().map_err(|_| NoMessage)
        };
        pairs.push((letters()?, letters()?));
    }
    Ok((path, Replacements::new(pairs).ok_or(NoMessage)?))
}

fn window(reader: &mut Reader<'_>) -> Result<u32, NoMessage> {
    Ok(reader.u32()?).and_then(|it| if it <= WINDOW_BYTES_MAX { Ok(it) } else { Err(NoMessage) })
}

impl ToDevice<'_> {
    /// The message, with its head. A list that is too long for one is the caller's mistake, and is cut.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { version } => framed(1, |w| {
                w.put(b"doorward").u16(*version);
            }),
            Self::Rely { paths, is_last } => framed(2, |w| {
                w.bool(*is_last).u16(paths.len().min(REFERENCES_MAX) as u16);
                paths.iter().take(REFERENCES_MAX).for_each(|path| put_path(w, path));
            }),
            Self::Path { info, way } => framed(3, |w| {
                put_path(w, &info.path);
                w.put(&info.hash.0).u64(info.size).u16(info.references.len() as u16);
                info.references.iter().for_each(|path| put_path(w, path));
                w.u16(info.signatures.len() as u16);
                for signature in &info.signatures {
                    w.text(signature);
                }
                match way {
                    Way::Whole { window } => {
                        w.u8(1).u32(*window);
                    }
                    Way::Replaced { base, replacements } => put_base(w.u8(2), base, replacements),
                    Way::Patched { base, replacements, window } => {
                        put_base(w.u8(3).u32(*window), base, replacements);
                    }
                }
            }),
            Self::Data(bytes) => framed(4, |w| {
                w.put(bytes);
            }),
            Self::PathEnd => framed(5, |_| {}),
            Self::Commit => framed(6, |_| {}),
            Self::Keep { name, path } => framed(7, |w| put_path(w.text(name), path)),
            Self::AskCollectable => framed(8, |_| {}),
            Self::Alive => framed(9, |_| {}),
            Self::Bye => framed(10, |_| {}),
        }
    }
}

impl<'a> ToDevice<'a> {
    /// Reads the body of a message of this kind.
    pub fn decode(kind: u8, body: &'a [u8]) -> Result<Self, NoMessage> {
        let mut reader = Reader::new(body);
        let message = match kind {
            1 => {
                if reader.take(8)? != b"doorward" {
                    return Err(NoMessage);
                }
                // A later version may say more.
                return Ok(Self::Hello { version: reader.u16()? });
            }
            2 => {
                let is_last = reader.bool()?;
                let count = count(&mut reader, REFERENCES_MAX, HASH_LETTERS)?;
                let paths: Result<_, _> = (0..count).map(|_| path(&mut reader)).collect();
                Self::Rely { paths: paths?, is_last }
            }
            3 => {
                let (name, hash, size) = (path(&mut reader)?, hash(&mut reader)?, reader.u64()?);
                let many = count(&mut reader, REFERENCES_MAX, HASH_LETTERS)?;
                let references: Result<_, _> = (0..many).map(|_| path(&mut reader)).collect();
                let many = count(&mut reader, SIGNATURES_MAX, 2)?;
                let signatures: Result<_, _> =
                    (0..many).map(|_| reader.text().map(String::from)).collect();
                let (references, signatures) = (references?, signatures?);
                let info = PathInfo { path: name, hash, size, references, signatures };
                let info = info.checked().map_err(|_| NoMessage)?;
                let way = match reader.u8()? {
                    1 => Way::Whole { window: window(&mut reader)? },
                    2 => {
                        let (base, replacements) = base(&mut reader)?;
                        Way::Replaced { base, replacements }
                    }
                    3 => {
                        let window = window(&mut reader)?;
                        let (base, replacements) = base(&mut reader)?;
                        Way::Patched { base, replacements, window }
                    }
                    _ => return Err(NoMessage),
                };
                Self::Path { info, way }
            }
            4 => return Ok(Self::Data(body)),
            5 => Self::PathEnd,
            6 => Self::Commit,
            7 => {
                let name = reader.text()?;
                if !is_root_name(name) {
                    return Err(NoMessage);
                }
                Self::Keep { name: name.into(), path: path(&mut reader)? }
            }
            8 => Self::AskCollectable,
            9 => Self::Alive,
            10 => Self::Bye,
            _ => return Err(NoMessage),
        };
        reader.end()?;
        Ok(message)
    }
}

/// Whether a root that keeps a path from being collected can have this name: a plain file name.
pub fn is_root_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._=".contains(&byte);
    (1..=200).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

impl FromDevice {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Greeting(greeting) => framed(64, |w| {
                w.put(b"doorward").u16(greeting.version).u64(greeting.free_bytes);
                w.u64(greeting.free_files.unwrap_or(u64::MAX));
                w.u32(greeting.block_bytes).u32(greeting.erase_bytes).u64(greeting.memory_bytes);
                w.u8(greeting.file_system as u8);
                w.bool(greeting.is_read_only).bool(greeting.wants_signature);
            }),
            Self::Have { path, hash, size } => framed(65, |w| {
                put_path(w, path);
                w.put(&hash.0).u64(*size);
            }),
            Self::Ready => framed(66, |_| {}),
            Self::Waiting { process } => framed(67, |w| {
                w.u32(*process);
            }),
            Self::Done { paths } => framed(68, |w| {
                w.u32(*paths);
            }),
            Self::Again { path, why } => framed(69, |w| {
                put_path(w, path);
                w.text(why);
            }),
            Self::Refused { why } => framed(70, |w| {
                w.text(why);
            }),
            Self::Collectable { bytes } => framed(71, |w| {
                w.u64(*bytes);
            }),
        }
    }

    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, NoMessage> {
        let mut reader = Reader::new(body);
        let message = match kind {
            64 => {
                if reader.take(8)? != b"doorward" {
                    return Err(NoMessage);
                }
                let greeting = Greeting {
                    version: reader.u16()?,
                    free_bytes: reader.u64()?,
                    free_files: Some(reader.u64()?).filter(|count| *count != u64::MAX),
                    block_bytes: reader.u32()?,
                    erase_bytes: reader.u32()?,
                    memory_bytes: reader.u64()?,
                    file_system: match reader.u8()? {
                        1 => FileSystem::Jffs2,
                        2 => FileSystem::Ubifs,
                        3 => FileSystem::Memory,
                        _ => FileSystem::Other,
                    },
                    is_read_only: reader.bool()?,
                    wants_signature: reader.bool()?,
                };
                // A later version may say more.
                return Ok(Self::Greeting(greeting));
            }
            65 => {
                let (path, hash) = (path(&mut reader)?, hash(&mut reader)?);
                Self::Have { path, hash, size: reader.u64()? }
            }
            66 => Self::Ready,
            67 => Self::Waiting { process: reader.u32()? },
            68 => Self::Done { paths: reader.u32()? },
            69 => Self::Again { path: path(&mut reader)?, why: reader.text()?.into() },
            70 => Self::Refused { why: reader.text()?.into() },
            71 => Self::Collectable { bytes: reader.u64()? },
            _ => return Err(NoMessage),
        };
        reader.end()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::nar_hash::sha256;
    use alloc::vec;

    fn path(letter: u8) -> StorePath {
        let mut text = String::from_utf8(vec![letter; HASH_LETTERS]).expect("text");
        text += "-name";
        StorePath::parse(&text).expect("it is one")
    }

    fn info() -> PathInfo {
        PathInfo {
            path: path(b'b'),
            hash: sha256(b"x"),
            size: 77,
            references: vec![path(b'a'), path(b'b')],
            signatures: vec!["k:AAAA".into()],
        }
    }

    #[test]
    fn what_one_side_says_the_other_understands() {
        let base = path(b'c');
        let replacements = Replacements::new(vec![([b'a'; 32], [b'b'; 32])]).expect("sound");
        for message in [
            ToDevice::Hello { version: VERSION },
            ToDevice::Rely { paths: vec![path(b'a'), path(b'b')], is_last: true },
            ToDevice::Path { info: info(), way: Way::Whole { window: 1 << 20 } },
            ToDevice::Path {
                info: info(),
                way: Way::Replaced { base: base.clone(), replacements: replacements.clone() },
            },
            ToDevice::Path { info: info(), way: Way::Patched { base, replacements, window: 7 } },
            ToDevice::Data(b"abc"),
            ToDevice::PathEnd,
            ToDevice::Commit,
            ToDevice::Keep { name: "install-tcpdump".into(), path: path(b'a') },
            ToDevice::AskCollectable,
            ToDevice::Alive,
            ToDevice::Bye,
        ] {
            let bytes = message.encode();
            let (begin, body) = bytes.split_first_chunk().expect("a head");
            let (kind, length) = head(*begin).expect("a head");
            assert_eq!(length, body.len());
            assert_eq!(ToDevice::decode(kind, body), Ok(message));
            if kind != 4 {
                for end in 0..body.len() {
                    assert!(ToDevice::decode(kind, &body[..end]).is_err(), "kind {kind}, {end}");
                }
            }
        }
        let greeting = Greeting {
            version: VERSION,
            free_bytes: 5,
            free_files: None,
            block_bytes: 4096,
            erase_bytes: 65_536,
            memory_bytes: 9,
            file_system: FileSystem::Jffs2,
            is_read_only: false,
            wants_signature: true,
        };
        for message in [
            FromDevice::Greeting(greeting),
            FromDevice::Have { path: path(b'a'), hash: sha256(b""), size: 3 },
            FromDevice::Ready,
            FromDevice::Waiting { process: 12 },
            FromDevice::Done { paths: 3 },
            FromDevice::Again { path: path(b'a'), why: "x".into() },
            FromDevice::Refused { why: "no room".into() },
            FromDevice::Collectable { bytes: 1 << 40 },
        ] {
            let bytes = message.encode();
            let (begin, body) = bytes.split_first_chunk().expect("a head");
            let (kind, _) = head(*begin).expect("a head");
            assert_eq!(FromDevice::decode(kind, body), Ok(message));
        }
    }

    #[test]
    fn hostile_messages_are_none() {
        assert!(head([4, 0, 0, 0, 255]).is_err(), "a length beyond all bounds");
        assert!(ToDevice::decode(0, b"").is_err());
        assert!(ToDevice::decode(5, b"x").is_err());
        for name in ["", ".", "..", "a/b", ".hidden", "a\0"] {
            let bytes = ToDevice::Keep { name: name.into(), path: path(b'a') }.encode();
            assert!(ToDevice::decode(7, &bytes[HEAD_BYTES..]).is_err(), "{name:?}");
        }
        let bytes = ToDevice::Path { info: info(), way: Way::Whole { window: u32::MAX } }.encode();
        assert!(ToDevice::decode(3, &bytes[HEAD_BYTES..]).is_err(), "a window of 4 GB");
        let huge = PathInfo { size: u64::MAX, ..info() };
        let bytes = ToDevice::Path { info: huge, way: Way::Whole { window: 1 } }.encode();
        assert!(ToDevice::decode(3, &bytes[HEAD_BYTES..]).is_err(), "more bytes than there are");
        let bytes = ToDevice::Path { info: info(), way: Way::Whole { window: 1 } }.encode();
        let at = bytes.windows(5).position(|part| part == b"-name").expect("there") + 1;
        let mut hostile = bytes.clone();
        hostile[at..at + 4].copy_from_slice(b"../x");
        assert!(ToDevice::decode(3, &hostile[HEAD_BYTES..]).is_err(), "a path out of the store");
    }
}
