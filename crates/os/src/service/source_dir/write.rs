//! Writes a compiled database, as nobody sees it half written.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::service::compile::Compiled;
use model::service::database::{Kind, Longrun};
use model::service::definition::setting_text;
use model::service::source::{Content, Directory, Entry, Role, Tree, role, top};
use rustix::fs::{self, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::files;

/// Writes what was compiled from `tree` to `destination`, which must not exist.
///
/// Modes are as they should be where the caller's umask is 0.
///
/// # Errors
/// Nothing is left behind.
pub fn write(destination: &Path, tree: &Tree, compiled: &Compiled) -> io::Result<()> {
    if destination.symlink_metadata().is_ok() {
        return Err(Errno::EXIST.into());
    }
    let name = destination.file_name().ok_or(Errno::INVAL)?;
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent_directory = files::directory(parent)?;
    let temporary = make_temporary(&parent_directory, parent)?;
    let written = Writer::new(&temporary, tree).and_then(|mut writer| {
        let done = writer
            .database(compiled)
            .and_then(|()| writer.close_folders())
            .and_then(|()| rename(&parent_directory, &temporary, name.as_ref()));
        done.inspect_err(|_| writer.reopen_folders())
    });
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    Ok(written?)
}

/// Makes a new folder beside the destination.
fn make_temporary(parent_directory: &OwnedFd, parent: &Path) -> io::Result<PathBuf> {
    let mut count = 0;
    loop {
        let name = format!(".doorward-{}-{count}", std::process::id());
        match fs::mkdirat(parent_directory, name.as_str(), Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => count += 1,
            made => return made.map(|()| parent.join(name)).map_err(io::Error::from),
        }
    }
}

/// Renames without replacing anything, even an empty folder.
fn rename(parent: &OwnedFd, temporary: &Path, name: &Path) -> Result<(), Errno> {
    let temporary = temporary.file_name().ok_or(Errno::INVAL)?;
    match fs::renameat_with(parent, temporary, parent, name, RenameFlags::NOREPLACE) {
        // The file system cannot; we have looked whether it is there.
        Err(Errno::INVAL | Errno::NOSYS) => fs::renameat(parent, temporary, parent, name),
        renamed => renamed,
    }
}

/// A small file, and where it is.
struct Written {
    text: Vec<u8>,
    path: Vec<u8>,
}

/// Each small file is compared with all that are kept, and programs rarely agree.
const SETTINGS_MAX: usize = 32;
const PROGRAMS_MAX: usize = 4;
const WRITTEN_BYTES_MAX: usize = 1024;

struct Writer<'a> {
    tree: &'a Tree,
    directory: OwnedFd,
    service_directories: OwnedFd,
    /// Of what is being written, below `servicedirs`.
    path: Vec<u8>,
    /// Settings and programs that were written: thousands of services say the
    /// same, and a link costs half of a file.
    settings: Vec<Written>,
    programs: Vec<Written>,
    /// Folders that nobody may write to, with their modes, once they are full.
    closed: Vec<(Vec<u8>, u16)>,
}

impl<'a> Writer<'a> {
    fn new(path: &Path, tree: &'a Tree) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(path, flags, Mode::empty())?;
        fs::mkdirat(&directory, "servicedirs", Mode::from_raw_mode(0o755))?;
        let service_directories = fs::openat(&directory, "servicedirs", flags, Mode::empty())?;
        Ok(Self {
            tree,
            directory,
            service_directories,
            path: Vec::new(),
            settings: Vec::new(),
            programs: Vec::new(),
            closed: Vec::new(),
        })
    }

    fn database(&mut self, compiled: &Compiled) -> Result<(), Errno> {
        for (entry, number) in compiled.contents.services.iter().zip(&compiled.directories) {
            if let Kind::Longrun(settings) = &entry.kind {
                self.service(&self.tree.directories()[*number as usize], settings)?;
            }
        }
        file(&self.directory, b"lock", 0o644, b"")?;
        file(&self.directory, b"db", 0o644, &compiled.database)
    }

    fn service(&mut self, directory: &Directory, settings: &Longrun) -> Result<(), Errno> {
        self.path.clear();
        self.path.extend_from_slice(self.tree.name(directory));
        self.folder(0o755)?;
        self.path.push(b'/');
        let length = self.path.len();
        let (mut has_template, mut has_instances) = (false, false);
        for entry in self.tree.entries(directory) {
            let path = self.tree.path(entry);
            has_template |= path == b"template";
            has_instances |= path == b"instance" || path == b"instances";
            self.path.truncate(length);
            self.path.extend_from_slice(path);
            self.entry(entry, path, settings)?;
        }
        if has_template && !has_instances {
            // What the instances of a service that has a template live in.
            for name in ["instance", "instances"] {
                self.path.truncate(length);
                self.path.extend_from_slice(name.as_bytes());
                self.folder(0o755)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, path: &[u8], settings: &Longrun) -> Result<(), Errno> {
        let into = &self.service_directories;
        match entry.content {
            Content::File(text) if path == b"run" || path == b"finish" => {
                self.shared_file(0o755, self.tree.text(text))
            }
            _ if role(top(path)) == Role::Copied => match entry.content {
                Content::File(text) => {
                    file(into, &self.path, entry.mode & 0o777, self.tree.text(text))
                }
                Content::Link(target) => fs::symlinkat(self.tree.text(target), into, &*self.path),
                Content::Folder => self.folder(entry.mode & 0o777),
                Content::Present | Content::Unreadable(_) => Ok(()),
            },
            _ => match setting_text(path, settings) {
                Some(text) => self.shared_file(0o644, text.as_bytes()),
                None => Ok(()),
            },
        }
    }

    /// Writes a file that no one will ever change, or links to an equal one.
    fn shared_file(&mut self, mode: u16, text: &[u8]) -> Result<(), Errno> {
        let into = &self.service_directories;
        let (written, written_max) = match mode {
            0o755 => (&mut self.programs, PROGRAMS_MAX),
            _ => (&mut self.settings, SETTINGS_MAX),
        };
        if let Some(equal) = written.iter().find(|written| written.text == text) {
            let flags = fs::AtFlags::empty();
            if fs::linkat(into, &*equal.path, into, &*self.path, flags).is_ok() {
                return Ok(());
            }
            // No links on this file system, or too many of this one.
        }
        file(into, &self.path, mode, text)?;
        if written.len() < written_max && text.len() <= WRITTEN_BYTES_MAX {
            written.push(Written { text: text.into(), path: self.path.clone() });
        }
        Ok(())
    }

    /// Makes the folder at `path`; one that its owner may not write to later
    /// stays open until it is full.
    fn folder(&mut self, mode: u16) -> Result<(), Errno> {
        let open = mode | 0o700;
        let raw = Mode::from_raw_mode(open.into());
        fs::mkdirat(&self.service_directories, &*self.path, raw)?;
        if open != mode {
            self.closed.push((self.path.clone(), mode));
        }
        Ok(())
    }

    /// The innermost first: behind a closed folder nothing can be reached.
    fn close_folders(&self) -> Result<(), Errno> {
        for (path, mode) in self.closed.iter().rev() {
            let mode = Mode::from_raw_mode((*mode).into());
            fs::chmodat(&self.service_directories, &**path, mode, fs::AtFlags::empty())?;
        }
        Ok(())
    }

    /// So that everything can be removed.
    fn reopen_folders(&self) {
        for (path, _) in &self.closed {
            let mode = Mode::from_raw_mode(0o700);
            let _ = fs::chmodat(&self.service_directories, &**path, mode, fs::AtFlags::empty());
        }
    }
}

fn file(into: &OwnedFd, path: &[u8], mode: u16, mut bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(into, path, flags, Mode::from_raw_mode(mode.into()))?;
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
