//! A log directory: `current`, its archives, `lock` and `state`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use engine::log::rotate::{self, Directory};
use model::log::archive::Archive;
use model::log::policy::Policy;
use model::time::Date;
use rustix::fs::{self, AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::clock;

/// The mode of `current` while it grows, before the umask.
const GROWING: Mode = Mode::from_raw_mode(0o666);

/// Added to it when it was closed in good order (s6 `s6-log.html`, "Logdirs").
const CLOSED: Mode = Mode::XUSR;

/// An open log directory, locked: nobody else writes there.
pub struct LogDir {
    directory: OwnedFd,
    /// Closing it would give the lock up.
    _lock: OwnedFd,
    current: OwnedFd,
    /// Bytes of `current`.
    length: u64,
    /// Its inode number.
    inode: u64,
}

impl LogDir {
    /// Opens the directory, making what is missing; `mode` is that of a new one.
    ///
    /// # Errors
    /// `WouldBlock`: another program writes there.
    pub fn open(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::mkdir(path, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = crate::files::directory(path)?;
        let made = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = fs::openat(&directory, "lock", made, Mode::from_raw_mode(0o644))?;
        match fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
        fs::openat(&directory, "state", made, Mode::from_raw_mode(0o644))?;
        let (current, inode, length) = open_current(&directory)?;
        Ok(Self { directory, _lock: lock, current, length, inode })
    }

    /// The directory itself, to name files relative to it.
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Bytes of `current` as of the last look at it or change of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The inode number and the length of `current`, as they are now.
    pub fn look(&mut self) -> io::Result<(u64, u64)> {
        self.length = fs::fstat(&self.current)?.st_size as u64;
        Ok((self.inode, self.length))
    }

    /// Appends with one write and says how much went in.
    pub fn append(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = loop {
            match rustix::io::write(&self.current, text) {
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        self.length += written as u64;
        Ok(written)
    }

    pub fn truncate(&mut self, length: u64) -> io::Result<()> {
        fs::ftruncate(&self.current, length)?;
        self.length = length;
        Ok(())
    }

    /// Ends a last line that a loss of power cut in two.
    pub fn end_last_line(&mut self) -> io::Result<()> {
        let (_, length) = self.look()?;
        if length > 0 {
            let mut last = [b'\n'];
            let file = fs::openat(&self.directory, "current", OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::pread(file, &mut last, length - 1)?;
            if last != [b'\n'] {
                self.append(b"\n")?;
            }
        }
        Ok(())
    }

    /// Makes `current` an archive, and drops the archives that are too many.
    pub fn rotate(&mut self, policy: &Policy) -> io::Result<()> {
        rotate::rotate(self, policy)
    }

    /// Drops the archives that are too many.
    pub fn trim(&mut self, policy: &Policy) -> io::Result<()> {
        let archives = self.archives()?;
        rotate::trim(self, policy, archives)
    }

    /// Drops the oldest archive, for a file system that is full; `false`:
    /// there is none.
    pub fn drop_oldest(&mut self) -> io::Result<bool> {
        let oldest = self.archives()?.into_iter().map(|(archive, _)| archive).min();
        oldest.map(|archive| self.remove(archive)).transpose().map(|done| done.is_some())
    }

    /// Marks `current` as closed in good order, before the writer leaves.
    pub fn close(mut self) -> io::Result<()> {
        self.close_current()
    }
}

/// Opens `current` to append to it, and says its inode number and length.
fn open_current(directory: &OwnedFd) -> io::Result<(OwnedFd, u64, u64)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
    let current = fs::openat(directory, "current", flags, GROWING)?;
    let found = fs::fstat(&current)?;
    let mode = Mode::from_raw_mode(found.st_mode);
    if mode.contains(CLOSED) {
        fs::fchmod(&current, mode - CLOSED)?;
    }
    Ok((current, found.st_ino, found.st_size as u64))
}

impl Directory for LogDir {
    type Error = io::Error;

    fn today(&mut self) -> Date {
        clock::today()
    }

    fn archives(&mut self) -> io::Result<Vec<(Archive, u64)>> {
        let mut archives = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            if let Some(archive) = Archive::parse(entry.file_name().to_bytes()) {
                match fs::statat(&self.directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(found) => archives.push((archive, found.st_size as u64)),
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(archives)
    }

    fn close_current(&mut self) -> io::Result<()> {
        fs::fsync(&self.current)?;
        let mode = Mode::from_raw_mode(fs::fstat(&self.current)?.st_mode);
        Ok(fs::fchmod(&self.current, mode | CLOSED)?)
    }

    fn archive_current(&mut self, archive: Archive) -> io::Result<()> {
        let directory = self.directory.as_fd();
        Ok(fs::renameat(directory, "current", directory, archive.name().as_slice())?)
    }

    fn open_current(&mut self) -> io::Result<()> {
        (self.current, self.inode, self.length) = open_current(&self.directory)?;
        Ok(())
    }

    fn remove(&mut self, archive: Archive) -> io::Result<()> {
        match fs::unlinkat(&self.directory, archive.name().as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
