//! Readers of what comes from elsewhere into the store.

use std::collections::BTreeSet;
use std::convert::Infallible;

use model::deploy::lzma::Decoder;
use model::deploy::nar::{self, Reader};
use model::deploy::nar_info::NarInfo;
use model::deploy::patch;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::StorePath;
use model::deploy::transfer::{FromDevice, HEAD_BYTES, ToDevice, head};
use model::deploy::trust;
use model::deploy::xz::Xz;

/// Whom the store path is called.
fn path() -> StorePath {
    StorePath::parse("00000000000000000000000000000000-dns").expect("it is one")
}

/// Holds that no name leads out, and none comes twice.
#[derive(Default)]
struct Tree {
    names: BTreeSet<Vec<u8>>,
    left: u64,
    nodes: usize,
}

impl Tree {
    fn name(&mut self, path: &[u8]) -> Result<(), Infallible> {
        self.nodes += 1;
        assert_eq!(path.is_empty(), self.nodes == 1, "one thing is the path itself");
        let parts = path.split(|byte| *byte == b'/');
        assert!(path.is_empty() || parts.into_iter().all(nar::is_name));
        assert!(self.names.insert(path.to_vec()), "a name comes once");
        Ok(())
    }
}

impl nar::Sink for Tree {
    type Error = Infallible;
    fn folder(&mut self, path: &[u8]) -> Result<(), Infallible> {
        self.name(path)
    }
    fn file(&mut self, path: &[u8], _: bool, size: u64) -> Result<(), Infallible> {
        self.left = size;
        self.name(path)
    }
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.left -= bytes.len() as u64;
        Ok(())
    }
    fn file_end(&mut self) -> Result<(), Infallible> {
        assert_eq!(self.left, 0);
        Ok(())
    }
    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Infallible> {
        assert!(!target.is_empty());
        self.name(path)
    }
}

// A receiver unpacks archives that anybody may send, as root.
pub fn archive(bytes: &[u8]) {
    let read = |piece: usize| {
        let (mut reader, mut tree) = (Reader::default(), Tree::default());
        let all = bytes.chunks(piece.max(1)).try_for_each(|piece| reader.push(piece, &mut tree));
        (all.is_ok() && reader.end().is_ok(), tree.names)
    };
    let (whole, names) = read(bytes.len());
    assert_eq!(read(3), (whole, names), "however it comes it means the same");
}

// Files about paths lie on flash, and a power cut may leave anything there.
pub fn path_info(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(info) = PathInfo::decode(&path(), &text) {
        assert_eq!(info.encode(), text, "a file is written in one way");
    }
}

// `ward store pull` reads what a web server says.
pub fn nar_info(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(found) = NarInfo::parse(&path(), &text) {
        let text = found.info.encode();
        assert_eq!(PathInfo::decode(&path(), &text), Ok(found.info));
        assert!(!found.url.contains("..") || !found.url.split('/').any(|part| part == ".."));
    }
}

// Messages of whoever holds a key that may send.
pub fn to_receiver(bytes: &[u8]) {
    let Some((begin, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return };
    let Ok((kind, length)) = head(*begin) else { return };
    let body = &body[..length.min(body.len())];
    if let Ok(message) = ToDevice::decode(kind, body) {
        let again = message.encode();
        assert_eq!(ToDevice::decode(kind, &again[HEAD_BYTES..]), Ok(message));
    }
}

// And what a device answers, on the build machine.
pub fn from_receiver(bytes: &[u8]) {
    let Some((begin, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return };
    let Ok((kind, length)) = head(*begin) else { return };
    let body = &body[..length.min(body.len())];
    if let Ok(message) = FromDevice::decode(kind, body) {
        let again = message.encode();
        assert_eq!(FromDevice::decode(kind, &again[HEAD_BYTES..]), Ok(message));
    }
}

/// What comes out, as far as anybody would read it.
fn collect(all: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), ()> {
    |bytes| {
        all.extend_from_slice(bytes);
        if all.len() < 1 << 20 { Ok(()) } else { Err(()) }
    }
}

// Compressed bytes of a sender. The first byte chooses a window.
pub fn lzma(bytes: &[u8]) {
    let [first, bytes @ ..] = bytes else { return };
    let read = |piece: usize| {
        let mut all = Vec::new();
        let mut decoder = Decoder::new(4096 << (first % 5));
        let mut put = collect(&mut all);
        let outcome = bytes
            .chunks(piece.max(1))
            .try_for_each(|piece| decoder.push(piece, &mut put).map(drop));
        drop(put);
        (outcome.is_ok(), decoder.is_over(), all)
    };
    assert_eq!(read(bytes.len()), read(7));
}

// Compressed files of a web server.
pub fn xz(bytes: &[u8]) {
    let mut all = Vec::new();
    let mut xz = Xz::new(1 << 20, 1 << 20);
    let _ = xz.push(bytes, &mut collect(&mut all));
}

/// A file of a thousand bytes that is there.
struct Old(u64);

impl patch::Sink for Old {
    type Error = ();
    fn insert(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
    fn open(&mut self, _: &[u8]) -> Result<(), ()> {
        Ok(())
    }
    fn copy(&mut self, offset: u64, count: u64) -> Result<(), ()> {
        assert!(offset.checked_add(count).is_some());
        if offset + count <= 1000 { Ok(()) } else { Err(()) }
    }
    fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ()> {
        if offset + bytes.len() as u64 <= 1000 { Ok(()) } else { Err(()) }
    }
}

// Differences of a sender.
pub fn orders(bytes: &[u8]) {
    let read = |piece: usize| {
        let (mut reader, mut old) = (patch::Reader::default(), Old(0));
        let outcome = bytes.chunks(piece.max(1)).try_for_each(|piece| reader.push(piece, &mut old));
        outcome.is_ok() && reader.end().is_ok()
    };
    assert_eq!(read(bytes.len()), read(1));
}

// Files of keys, which people edit.
pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(keys) = trust::keys(&text) {
        let written: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        assert_eq!(trust::keys(&written.join("\n")), Ok(keys));
    }
}
