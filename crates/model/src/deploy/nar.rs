//! The archive of a store path as Nix writes it (NAR): a reader and a writer that hold no more than a name.
//!
//! Each word is its length in 8 bytes, its bytes, and zero bytes up to a multiple of 8. Source: Dolstra,
//! "The Purely Functional Software Deployment Model", figure 5.2; Nix, `libutil/archive.cc`.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::{NAR_DEPTH_MAX, NAR_LINK_BYTES_MAX, NAR_NAME_BYTES_MAX};

const MAGIC: &[u8] = b"nix-archive-1";

/// Who is told what an archive holds. A path is relative, and empty for what the store path itself is.
pub trait Sink {
    type Error;
    fn folder(&mut self, path: &[u8]) -> Result<(), Self::Error>;
    fn file(&mut self, path: &[u8], executable: bool, size: u64) -> Result<(), Self::Error>;
    /// The next bytes of the file that was told last.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    fn file_end(&mut self) -> Result<(), Self::Error>;
    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Self::Error>;
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NarError {
    /// A word that does not belong here.
    Word,
    /// Something longer than anything is.
    TooLong,
    /// A name that is empty, means another folder, or has a slash or a zero byte.
    Name,
    /// Names that are not in their order, or one twice.
    Order,
    /// Folders too deep inside each other.
    Depth,
    /// It ends too early.
    Short,
    /// It goes on behind its end.
    Trailing,
}

impl fmt::Display for NarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word => "the archive has a word that does not belong there",
            Self::TooLong => "the archive has a word longer than any is",
            Self::Name => "the archive has a name that no file in the store has",
            Self::Order => "the names in the archive are not in their order",
            Self::Depth => "the archive has folders too deep inside each other",
            Self::Short => "the archive ends too early",
            Self::Trailing => "the archive goes on behind its end",
        })
    }
}

/// Why reading ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<E> {
    Archive(NarError),
    Sink(E),
}

impl<E> From<NarError> for Stop<E> {
    fn from(error: NarError) -> Self {
        Self::Archive(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Magic,
    /// `(`, which begins a node.
    Open,
    TypeWord,
    Kind,
    /// `executable` or `contents`.
    Regular,
    /// The empty word behind `executable`.
    Executable,
    Contents,
    /// The length of a file, and its bytes.
    Bytes {
        executable: bool,
    },
    TargetWord,
    Target,
    /// `)` behind a file or link.
    Close,
    /// `entry` or `)`.
    Entry,
    EntryOpen,
    NameWord,
    Name,
    NodeWord,
    /// `)` behind the node of an entry.
    EntryClose,
    End,
}

enum Part {
    /// Bytes of a length that are there.
    Length,
    /// Bytes of a word that are missing.
    Word {
        left: usize,
    },
    /// Bytes of a file that are missing.
    File {
        left: u64,
    },
    Padding {
        left: usize,
        is_file: bool,
    },
}

/// Reads an archive as it comes, in pieces of any size.
pub struct Reader {
    expect: Expect,
    part: Part,
    word: Vec<u8>,
    /// Where in the tree it is.
    path: Vec<u8>,
    /// For each folder it is in: bytes of `path` before the name of what is inside, and the last name.
    open: Vec<(usize, Vec<u8>)>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            expect: Expect::Magic,
            part: Part::Length,
            word: Vec::new(),
            path: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl Reader {
    /// Takes the next bytes.
    pub fn push<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), Stop<S::Error>> {
        while !bytes.is_empty() {
            if self.expect == Expect::End {
                return Err(NarError::Trailing.into());
            }
            match &mut self.part {
                Part::Length => {
                    let count = bytes.len().min(8 - self.word.len());
                    self.word.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    if let Ok(length) = <[u8; 8]>::try_from(&self.word[..]) {
                        self.word.clear();
                        self.begin(u64::from_le_bytes(length), sink)?;
                    }
                }
                Part::Word { left } => {
                    let count = bytes.len().min(*left);
                    self.word.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                    *left -= count;
                    if *left == 0 {
                        self.word_end(sink)?;
                    }
                }
                Part::File { left } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    sink.bytes(&bytes[..count]).map_err(Stop::Sink)?;
                    bytes = &bytes[count..];
                    *left -= count as u64;
                    if *left == 0 {
                        self.file_end(sink)?;
                    }
                }
                Part::Padding { left, is_file } => {
                    let (count, is_file) = (bytes.len().min(*left), *is_file);
                    if bytes[..count].iter().any(|byte| *byte != 0) {
                        return Err(NarError::Word.into());
                    }
                    bytes = &bytes[count..];
                    *left -= count;
                    if *left == 0 {
                        self.after_padding(is_file, sink)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub fn end(&self) -> Result<(), NarError> {
        if self.expect == Expect::End { Ok(()) } else { Err(NarError::Short) }
    }

    /// A length was read.
    fn begin<S: Sink>(&mut self, length: u64, sink: &mut S) -> Result<(), Stop<S::Error>> {
        if let Expect::Bytes { executable } = self.expect {
            sink.file(&self.path, executable, length).map_err(Stop::Sink)?;
            self.part = Part::File { left: length };
            self.word.push((length % 8) as u8); // What the padding is to be.
            return if length == 0 { self.file_end(sink) } else { Ok(()) };
        }
        let most = match self.expect {
            Expect::Target => NAR_LINK_BYTES_MAX,
            Expect::Name => NAR_NAME_BYTES_MAX,
            _ => MAGIC.len(),
        };
        let left = usize::try_from(length).ok().filter(|length| *length <= most);
        let left = left.ok_or(NarError::TooLong)?;
        self.part = Part::Word { left };
        if left == 0 { self.word_end(sink) } else { Ok(()) }
    }

    fn word_end<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop<S::Error>> {
        let left = self.word.len().wrapping_neg() % 8;
        self.part = Part::Padding { left, is_file: false };
        if left == 0 { self.after_padding(false, sink) } else { Ok(()) }
    }

    fn file_end<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop<S::Error>> {
        sink.file_end().map_err(Stop::Sink)?;
        let over = self.word.pop().unwrap_or(0);
        let left = usize::from(over.wrapping_neg() % 8);
        self.part = Part::Padding { left, is_file: true };
        if left == 0 { self.after_padding(true, sink) } else { Ok(()) }
    }

    fn after_padding<S: Sink>(
        &mut self,
        is_file: bool,
        sink: &mut S,
    ) -> Result<(), Stop<S::Error>> {
        self.part = Part::Length;
        if is_file {
            self.expect = Expect::Close;
            return Ok(());
        }
        let mut word = core::mem::take(&mut self.word);
        let outcome = self.step(&word, sink);
        word.clear();
        self.word = word;
        outcome
    }

    /// A word was read, with its padding.
    fn step<S: Sink>(&mut self, word: &[u8], sink: &mut S) -> Result<(), Stop<S::Error>> {
        self.expect = match (self.expect, word) {
            (Expect::Magic, MAGIC) => Expect::Open,
            (Expect::Open, b"(") => Expect::TypeWord,
            (Expect::TypeWord, b"type") => Expect::Kind,
            (Expect::Kind, b"regular") => Expect::Regular,
            (Expect::Kind, b"symlink") => Expect::TargetWord,
            (Expect::Kind, b"directory") => {
                if self.open.len() >= NAR_DEPTH_MAX {
                    return Err(NarError::Depth.into());
                }
                sink.folder(&self.path).map_err(Stop::Sink)?;
                self.open.push((self.path.len(), Vec::new()));
                Expect::Entry
            }
            (Expect::Regular, b"executable") => Expect::Executable,
            (Expect::Regular, b"contents") => Expect::Bytes { executable: false },
            (Expect::Executable, b"") => Expect::Contents,
            (Expect::Contents, b"contents") => Expect::Bytes { executable: true },
            (Expect::TargetWord, b"target") => Expect::Target,
            (Expect::Target, target) => {
                if target.is_empty() || target.contains(&0) {
                    return Err(NarError::Name.into());
                }
                sink.link(&self.path, target).map_err(Stop::Sink)?;
                Expect::Close
            }
            (Expect::Close, b")") => self.closed(),
            (Expect::Entry, b"entry") => Expect::EntryOpen,
            (Expect::Entry, b")") => {
                self.open.pop();
                self.closed()
            }
            (Expect::EntryOpen, b"(") => Expect::NameWord,
            (Expect::NameWord, b"name") => Expect::Name,
            (Expect::Name, name) => {
                if !is_name(name) {
                    return Err(NarError::Name.into());
                }
                let (before, last) = self.open.last_mut().ok_or(NarError::Word)?;
                if &last[..] >= name {
                    return Err(NarError::Order.into());
                }
                last.clear();
                last.extend_from_slice(name);
                self.path.truncate(*before);
                if *before > 0 {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(name);
                Expect::NodeWord
            }
            (Expect::NodeWord, b"node") => Expect::Open,
            (Expect::EntryClose, b")") => Expect::Entry,
            _ => return Err(NarError::Word.into()),
        };
        Ok(())
    }

    /// A node has ended: what comes behind it.
    fn closed(&mut self) -> Expect {
        match self.open.last() {
            Some((before, _)) => {
                self.path.truncate(*before);
                Expect::EntryClose
            }
            None => Expect::End,
        }
    }
}

/// Whether a file in the store can have this name.
pub fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| !matches!(byte, b'/' | 0);
    name.len() <= NAR_NAME_BYTES_MAX
        && !matches!(name, b"" | b"." | b"..")
        && name.iter().all(plain)
}

/// Puts an archive together, word by word. Who calls it walks the tree, names in the order of their bytes.
pub struct Writer<F> {
    put: F,
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> Writer<F> {
    /// `put` is given all bytes, one after the other.
    pub fn begin(mut put: F) -> Result<Self, E> {
        put_word(&mut put, MAGIC)?;
        Ok(Self { put })
    }

    fn words(&mut self, words: &[&[u8]]) -> Result<(), E> {
        words.iter().try_for_each(|word| put_word(&mut self.put, word))
    }

    /// A file's bytes follow, by `bytes`, and then `file_end`.
    pub fn file(&mut self, executable: bool, size: u64) -> Result<(), E> {
        self.words(&[b"(", b"type", b"regular"])?;
        if executable {
            self.words(&[b"executable", b""])?;
        }
        self.words(&[b"contents"])?;
        (self.put)(&size.to_le_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), E> {
        (self.put)(bytes)
    }

    pub fn file_end(&mut self, size: u64) -> Result<(), E> {
        (self.put)(&[0; 8][..(size.wrapping_neg() % 8) as usize])?;
        self.words(&[b")"])
    }

    pub fn link(&mut self, target: &[u8]) -> Result<(), E> {
        self.words(&[b"(", b"type", b"symlink", b"target", target, b")"])
    }

    /// Entries follow, each by `entry`, its node, `entry_end`; and then `folder_end`.
    pub fn folder(&mut self) -> Result<(), E> {
        self.words(&[b"(", b"type", b"directory"])
    }

    pub fn entry(&mut self, name: &[u8]) -> Result<(), E> {
        self.words(&[b"entry", b"(", b"name", name, b"node"])
    }

    pub fn entry_end(&mut self) -> Result<(), E> {
        self.words(&[b")"])
    }

    pub fn folder_end(&mut self) -> Result<(), E> {
        self.words(&[b")"])
    }
}

fn put_word<E>(put: &mut impl FnMut(&[u8]) -> Result<(), E>, word: &[u8]) -> Result<(), E> {
    put(&(word.len() as u64).to_le_bytes())?;
    put(word)?;
    put(&[0; 8][..word.len().wrapping_neg() % 8])
}

#[cfg(test)]
mod tests;
