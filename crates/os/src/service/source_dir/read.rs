//! Reads source directories: few system calls, bounded, and never waiting.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use model::limits::{SERVICES_MAX, SOURCE_DEPTH_MAX, SOURCE_FILE_BYTES_MAX};
use model::service::source::{Content, Role, Tree, role};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, fstat, open, openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::PathError;

/// Reads the source directories `roots`.
///
/// What lies in them and cannot be read becomes part of the tree, for the
/// compiler to name with all other mistakes.
///
/// # Errors
/// One of `roots` itself cannot be read.
pub fn read(roots: &[PathBuf]) -> Result<Tree, PathError> {
    let mut reader = Reader { tree: Tree::default(), buffer: vec![0; 64 << 10], path: Vec::new() };
    for root in roots {
        reader.tree.add_root(root.to_string_lossy().into_owned());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(root, flags, Mode::empty())
            .and_then(|directory| reader.root(&directory))
            .map_err(|error| PathError { path: root.clone(), error: error.into() })?;
    }
    reader.tree.sort();
    Ok(reader.tree)
}

/// Bytes for the names of a folder: some 1,000 of a root, some 100 of a service.
const ROOT_NAMES_BYTES: usize = 32 << 10;
const NAMES_BYTES: usize = 4 << 10;

struct Reader {
    tree: Tree,
    /// For the bytes of files.
    buffer: Vec<u8>,
    /// Of what is being read, below the directory of the service.
    path: Vec<u8>,
}

impl Reader {
    fn root(&mut self, root: &OwnedFd) -> Result<(), Errno> {
        let mut names = [MaybeUninit::uninit(); ROOT_NAMES_BYTES];
        let mut names = RawDir::new(root, &mut names);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type());
            let may_be_directory =
                matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown);
            if !may_be_directory || name.to_bytes().starts_with(b".") {
                continue;
            }
            if self.tree.is_full() || self.tree.directories().len() > SERVICES_MAX {
                return Ok(()); // The compiler says so.
            }
            match folder(root, name) {
                Err(Errno::NOTDIR) => {}
                opened => {
                    self.tree.add_directory(name.to_bytes());
                    if let Err(error) = opened.and_then(|directory| self.service(&directory)) {
                        self.tree.add_problem(&reason(error));
                    }
                }
            }
        }
        Ok(())
    }

    fn service(&mut self, directory: &OwnedFd) -> Result<(), Errno> {
        let mut names = [MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(directory, &mut names);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type());
            if name.to_bytes().starts_with(b".") || self.tree.is_full() {
                continue;
            }
            self.path.clear();
            self.path.extend_from_slice(name.to_bytes());
            let role = role(name.to_bytes());
            match role {
                Role::Flag | Role::Unknown => self.add(0, Content::Present),
                Role::Text => {
                    let content = match self.text(directory, name, kind) {
                        Ok(content) => content,
                        Err(error) => self.unreadable(&reason(error)),
                    };
                    self.add(0, content);
                }
                Role::Names | Role::Texts | Role::Copied => match folder(directory, name) {
                    Err(Errno::NOTDIR) => self.add(0, Content::Present),
                    Err(error) => self.add_unreadable(&reason(error)),
                    Ok(folder) if role == Role::Copied => self.copied(&folder, 1),
                    Ok(folder) => self.names(&folder, role == Role::Texts),
                },
            }
        }
        Ok(())
    }

    /// Adds the folder at `path`, and the names in it; with the bytes of the
    /// files, where `texts` are wanted.
    fn names(&mut self, folder: &OwnedFd, texts: bool) {
        let length = self.path.len();
        let mut names = [MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(folder, &mut names);
        while let Some(entry) = names.next() {
            let Ok(entry) = entry else {
                return self.add_unreadable("its names cannot be read");
            };
            let name = entry.file_name().to_bytes();
            if !name.starts_with(b".") && !self.tree.is_full() {
                self.descend(name);
                let content = match texts {
                    false => Content::Present,
                    true => self
                        .text(folder, entry.file_name(), entry.file_type())
                        .unwrap_or_else(|error| self.unreadable(&reason(error))),
                };
                self.add(0, content);
                self.path.truncate(length);
            }
        }
        self.add(0, Content::Folder);
    }

    /// Adds the folder at `path`, and everything below it.
    fn copied(&mut self, folder: &OwnedFd, depth: usize) {
        if let Err(error) = self.try_copied(folder, depth) {
            self.add_unreadable(&reason(error));
        }
    }

    fn try_copied(&mut self, folder: &OwnedFd, depth: usize) -> Result<(), Errno> {
        let mode = fstat(folder)?.st_mode;
        let length = self.path.len();
        let mut names = Box::new([MaybeUninit::uninit(); NAMES_BYTES]);
        let mut names = RawDir::new(folder, &mut *names);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || self.tree.is_full() {
                continue;
            }
            self.descend(name.to_bytes());
            self.copied_entry(folder, name, entry.file_type(), depth);
            self.path.truncate(length);
        }
        self.add(mode, Content::Folder);
        Ok(())
    }

    fn copied_entry(&mut self, folder: &OwnedFd, name: &CStr, kind: FileType, depth: usize) {
        let kind = match kind {
            FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(error) => return self.add_unreadable(&reason(error)),
            },
            known => known,
        };
        let read = match kind {
            FileType::Directory if depth >= SOURCE_DEPTH_MAX => {
                return self.add_unreadable("it lies too deep");
            }
            FileType::Directory => self::folder(folder, name).map(|below| {
                self.copied(&below, depth + 1);
                None
            }),
            FileType::Symlink => readlinkat(folder, name, Vec::new()).map(|target| {
                let target = self.tree.add_text(target.to_bytes());
                Some((0, Content::Link(target)))
            }),
            FileType::RegularFile => open_file(folder, name).and_then(|file| {
                let mode = fstat(&file)?.st_mode;
                Ok(Some((mode, self.bytes(&file)?)))
            }),
            other => return self.add_unreadable(not_a_file(other)),
        };
        match read {
            Ok(Some((mode, content))) => self.add(mode, content),
            Ok(None) => {}
            Err(error) => self.add_unreadable(&reason(error)),
        }
    }

    /// The bytes of a file that may also be reached through a link.
    fn text(&mut self, folder: &OwnedFd, name: &CStr, kind: FileType) -> Result<Content, Errno> {
        let kind = match kind {
            // Opening a device does something to it, so we look first.
            FileType::Symlink | FileType::Unknown => {
                FileType::from_raw_mode(statat(folder, name, AtFlags::empty())?.st_mode)
            }
            known => known,
        };
        match kind {
            FileType::RegularFile => self.bytes(&open_file(folder, name)?),
            FileType::Directory => Ok(Content::Folder),
            other => Ok(self.unreadable(not_a_file(other))),
        }
    }

    fn bytes(&mut self, file: &OwnedFd) -> Result<Content, Errno> {
        let start = self.tree.mark();
        let mut ended = false;
        loop {
            match rustix::io::read(file, &mut self.buffer[..]) {
                Ok(count) => {
                    // Of a regular file: less than there is room for is the end.
                    ended = count < self.buffer.len();
                    self.tree.add_text(&self.buffer[..count]);
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.tree.forget_since(start);
                    return Err(error);
                }
            }
            if self.tree.mark() - start > SOURCE_FILE_BYTES_MAX {
                self.tree.forget_since(start);
                return Ok(self.unreadable("it is larger than 16 MiB"));
            }
            if ended || self.tree.is_full() {
                return Ok(Content::File(self.tree.text_since(start)));
            }
        }
    }

    fn descend(&mut self, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    fn add(&mut self, mode: u32, content: Content) {
        self.tree.add_entry(&self.path, mode, content);
    }

    fn unreadable(&mut self, reason: &str) -> Content {
        Content::Unreadable(self.tree.add_text(reason.as_bytes()))
    }

    fn add_unreadable(&mut self, reason: &str) {
        let content = self.unreadable(reason);
        self.add(0, content);
    }
}

fn folder(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Does not wait where a pipe has taken the place of the file.
fn open_file(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn reason(error: Errno) -> String {
    io::Error::from(error).to_string()
}

fn not_a_file(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "it is a named pipe",
        FileType::Socket => "it is a socket",
        _ => "it is a device",
    }
}
