//! Archives as they should be, and as they should not.

use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::convert::Infallible;

/// Writes down what it is told, and puts the archive together again.
struct Copy<F> {
    told: String,
    writer: Writer<F>,
    open: Vec<Vec<u8>>,
    size: u64,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<F: FnMut(&[u8]) -> Result<(), Infallible>> Copy<F> {
    /// Opens the entry of a path, and closes what it is not in.
    fn enter(&mut self, path: &[u8]) -> Result<(), Infallible> {
        while let Some(last) = self.open.last() {
            let inside = last.is_empty() || path.starts_with(&[&last[..], b"/"].concat());
            if inside && !path.is_empty() {
                break;
            }
            self.writer.folder_end()?;
            let last = self.open.pop().unwrap_or_default();
            if !last.is_empty() {
                self.writer.entry_end()?;
            }
        }
        if !path.is_empty() {
            self.writer.entry(path.rsplit(|b| *b == b'/').next().unwrap_or(path))?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Infallible> {
        if self.open.is_empty() { Ok(()) } else { self.writer.entry_end() }
    }
}

impl<F: FnMut(&[u8]) -> Result<(), Infallible>> Sink for Copy<F> {
    type Error = Infallible;

    fn folder(&mut self, path: &[u8]) -> Result<(), Infallible> {
        self.told += &format!("folder {:?}\n", text(path));
        self.enter(path)?;
        self.open.push(path.to_vec());
        self.writer.folder()
    }

    fn file(&mut self, path: &[u8], executable: bool, size: u64) -> Result<(), Infallible> {
        self.told += &format!("file {:?} {executable} {size}\n", text(path));
        self.enter(path)?;
        self.size = size;
        self.writer.file(executable, size)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.writer.bytes(bytes)
    }

    fn file_end(&mut self) -> Result<(), Infallible> {
        self.writer.file_end(self.size)?;
        self.leave()
    }

    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Infallible> {
        self.told += &format!("link {:?} {}\n", text(path), text(target));
        self.enter(path)?;
        self.writer.link(target)?;
        self.leave()
    }
}

/// What is told of an archive that comes in pieces of `piece` bytes, and the archive again.
fn read(archive: &[u8], piece: usize) -> Result<(String, Vec<u8>), NarError> {
    let mut again = Vec::new();
    let put = |bytes: &[u8]| {
        again.extend_from_slice(bytes);
        Ok(())
    };
    let Ok(writer) = Writer::begin(put);
    let mut copy = Copy { told: String::new(), writer, open: Vec::new(), size: 0 };
    let mut reader = Reader::default();
    for piece in archive.chunks(piece) {
        reader.push(piece, &mut copy).map_err(|stop| match stop {
            Stop::Archive(error) => error,
            Stop::Sink(never) => match never {},
        })?;
    }
    reader.end()?;
    let Ok(()) = copy.enter(b"");
    let told = core::mem::take(&mut copy.told);
    drop(copy);
    Ok((told, again))
}

fn words(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        let Ok::<(), Infallible>(()) = put_word(
            &mut |part: &[u8]| {
                bytes.extend_from_slice(part);
                Ok(())
            },
            word,
        );
    }
    bytes
}

fn tree() -> Vec<u8> {
    words(&[
        b"nix-archive-1",
        b"(",
        b"type",
        b"directory",
        b"entry",
        b"(",
        b"name",
        b"bin",
        b"node",
        b"(",
        b"type",
        b"directory",
        b"entry",
        b"(",
        b"name",
        b"sh",
        b"node",
        b"(",
        b"type",
        b"regular",
        b"executable",
        b"",
        b"contents",
        b"#!/bin/x\n",
        b")",
        b")",
        b")",
        b")",
        b"entry",
        b"(",
        b"name",
        b"empty",
        b"node",
        b"(",
        b"type",
        b"regular",
        b"contents",
        b"",
        b")",
        b")",
        b"entry",
        b"(",
        b"name",
        b"none",
        b"node",
        b"(",
        b"type",
        b"directory",
        b")",
        b")",
        b"entry",
        b"(",
        b"name",
        b"up",
        b"node",
        b"(",
        b"type",
        b"symlink",
        b"target",
        b"../..",
        b")",
        b")",
        b")",
    ])
}

#[test]
fn an_archive_is_read_in_pieces_of_any_size_and_written_again() {
    let archive = tree();
    for piece in [1, 3, 8, 9, 64, 4096] {
        let (told, again) = read(&archive, piece).expect("it is one");
        assert_eq!(
            told,
            "folder \"\"\nfolder \"bin\"\nfile \"bin/sh\" true 9\nfile \"empty\" false 0\n\
             folder \"none\"\nlink \"up\" ../..\n"
        );
        assert_eq!(again, archive);
    }
    let file =
        words(&[b"nix-archive-1", b"(", b"type", b"regular", b"contents", b"12345678", b")"]);
    let (told, again) = read(&file, 5).expect("it is one");
    assert_eq!((told.as_str(), again), ("file \"\" false 8\n", file));
}

#[test]
fn what_is_no_archive_is_refused() {
    let archive = tree();
    for end in 0..archive.len() {
        assert_eq!(read(&archive[..end], 4096), Err(NarError::Short), "cut at {end}");
    }
    assert_eq!(read(&[&archive[..], b"x"].concat(), 4096), Err(NarError::Trailing));
    let entry = |names: &[&[u8]]| {
        let mut all = vec![&b"nix-archive-1"[..], b"(", b"type", b"directory"];
        for name in names {
            all.extend([&b"entry"[..], b"(", b"name", name, b"node"]);
            all.extend([&b"("[..], b"type", b"symlink", b"target", b"x", b")", b")"]);
        }
        all.push(b")");
        read(&words(&all), 4096).map(drop)
    };
    assert_eq!(entry(&[b"a", b"b"]), Ok(()));
    for (names, expected) in [
        (&[&b"b"[..], b"a"][..], NarError::Order),
        (&[b"a", b"a"], NarError::Order),
        (&[b".."], NarError::Name),
        (&[b"."], NarError::Name),
        (&[b""], NarError::Name),
        (&[b"a/b"], NarError::Name),
        (&[b"/etc"], NarError::Name),
        (&[b"a\0b"], NarError::Name),
        (&[&[b'x'; 256]], NarError::TooLong),
    ] {
        assert_eq!(entry(names), Err(expected), "{names:?}");
    }
    for kind in [&b"device"[..], b"fifo", b"Regular", b"regular\0"] {
        let archive = words(&[b"nix-archive-1", b"(", b"type", kind, b")"]);
        assert!(read(&archive, 4096).is_err(), "{kind:?}");
    }
    let mut deep = words(&[b"nix-archive-1"]);
    for _ in 0..=NAR_DEPTH_MAX {
        deep.extend(words(&[b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node"]));
    }
    assert_eq!(read(&deep, 4096), Err(NarError::Depth));
    // Padding is zero, or two archives would be one tree.
    let mut archive = tree();
    let at = archive.windows(9).position(|part| part == b"#!/bin/x\n").expect("it is there") + 9;
    archive[at] = 1;
    assert_eq!(read(&archive, 4096), Err(NarError::Word));
}
