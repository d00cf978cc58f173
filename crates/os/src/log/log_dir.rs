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
use crate::log::lines;

/// The mode of `current` while it grows, before the umask.
const GROWING: Mode = Mode::from_raw_mode(0o666);

/// What a processor reads, what it made of it, and what it wants to know next
/// time (s6 `s6-log.html`, "Rotation").
pub const PREVIOUS: &str = "previous";
pub const PROCESSED: &str = "processed";
pub const NEW_STATE: &str = "newstate";

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
    /// All archives with their sizes: nobody else makes any.
    archives: Vec<(Archive, u64)>,
}

/// What becomes of a `current` that nobody closed in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclosed<'a> {
    /// It goes on: its writer keeps a journal, and has finished what was begun.
    GoesOn,
    /// It becomes an archive `.u`, what a processor was doing is undone, and
    /// archives that are too many are dropped.
    IsArchived(&'a Policy),
}

impl LogDir {
    /// Opens the directory, making what is missing; `mode` is that of a new one.
    ///
    /// # Errors
    /// `WouldBlock`: another program writes there.
    pub fn open(path: &Path, mode: u32, unclosed: Unclosed<'_>) -> io::Result<Self> {
        match fs::mkdir(path, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = crate::files::directory(path)?;
        // A fifo that somebody put there must not keep its writer waiting.
        let made = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let lock = fs::openat(&directory, "lock", made, GROWING)?;
        match fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
        let archived = unclosed != Unclosed::GoesOn && tidy_up(&directory)?;
        fs::openat(&directory, "state", made, GROWING)?;
        let (current, inode, length) = open_current(&directory)?;
        let archives = archives(&directory)?;
        let mut log = Self { directory, _lock: lock, current, length, inode, archives };
        if let Unclosed::IsArchived(policy) = unclosed
            && archived
        {
            log.trim(policy)?;
        }
        Ok(log)
    }

    /// The directory itself, to name files relative to it.
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Bytes of `current` as of the last look at it or change of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Looks how long `current` is now.
    pub fn look(&mut self) -> io::Result<u64> {
        self.length = fs::fstat(&self.current)?.st_size as u64;
        Ok(self.length)
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

    /// What `current` holds from `offset` on, as of the last look at its length.
    pub fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, "current", flags, Mode::empty())?;
        let mut bytes = vec![0; self.length.saturating_sub(offset) as usize];
        let count = lines::read_all(&file, &mut bytes, offset)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub fn truncate(&mut self, length: u64) -> io::Result<()> {
        fs::ftruncate(&self.current, length)?;
        self.length = length;
        Ok(())
    }

    /// Ends a last line that a loss of power cut in two.
    pub fn end_last_line(&mut self) -> io::Result<()> {
        let length = self.look()?;
        if length > 0 && self.read_from(length - 1)? != b"\n" {
            self.append(b"\n")?;
        }
        Ok(())
    }

    /// Makes `current` an archive, and drops the archives that are too many.
    pub fn rotate(&mut self, policy: &Policy) -> io::Result<()> {
        rotate::rotate(self, policy)
    }

    /// Drops the archives that are too many.
    pub fn trim(&mut self, policy: &Policy) -> io::Result<()> {
        rotate::trim(self, policy, self.archives.clone())
    }

    /// Drops the oldest archive, for a file system that is full; `false`:
    /// there is none.
    pub fn drop_oldest(&mut self) -> io::Result<bool> {
        let oldest = self.archives.iter().map(|(archive, _)| *archive).min();
        oldest.map(|archive| self.remove(archive)).transpose().map(|done| done.is_some())
    }

    /// Whether the directory holds a file of this name.
    pub fn holds(&self, name: &str) -> io::Result<bool> {
        Ok(mode_of(&self.directory, name)?.is_some())
    }

    /// Calls `current` `previous` from now on, for a processor to read, and
    /// begins a new `current`.
    pub fn set_aside(&mut self) -> io::Result<()> {
        self.close_current()?;
        fs::renameat(&self.directory, "current", &self.directory, PREVIOUS)?;
        self.open_current()
    }

    /// Archives what a processor made of `previous`, and keeps its new state.
    pub fn finish_processing(&mut self, policy: &Policy) -> io::Result<()> {
        finish_processed(&self.directory)?;
        self.archives = archives(&self.directory)?;
        self.trim(policy)
    }

    /// Archives `previous` as it is: there is no processor any more.
    pub fn archive_previous(&mut self, policy: &Policy) -> io::Result<()> {
        archive(&self.directory, PREVIOUS, true)?;
        self.archives = archives(&self.directory)?;
        self.trim(policy)
    }

    /// Marks `current` as closed in good order, before the writer leaves.
    pub fn close(mut self) -> io::Result<()> {
        self.close_current()
    }
}

/// Brings a directory in order that its writer did not leave in order; `true`:
/// there is a new archive.
fn tidy_up(directory: &OwnedFd) -> io::Result<bool> {
    let unclosed = mode_of(directory, "current")?.is_some_and(|mode| !mode.contains(CLOSED));
    let done = mode_of(directory, PROCESSED)?.is_some_and(|mode| mode.contains(CLOSED));
    if done {
        // The processor was done, and only names were left to change.
        finish_processed(directory)?;
    } else {
        remove(directory, PROCESSED)?;
        remove(directory, NEW_STATE)?;
    }
    if unclosed {
        // What the last processor knew does not fit what comes next.
        remove(directory, "state")?;
        if mode_of(directory, PREVIOUS)?.is_some() {
            archive(directory, PREVIOUS, false)?;
        }
        archive(directory, "current", false)?;
    }
    Ok(done || unclosed)
}

/// Gives what a processor made its final names. It counts as made once
/// `processed` is marked as closed; all this can be done again if it is cut off.
fn finish_processed(directory: &OwnedFd) -> io::Result<()> {
    let read_only = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let processed = fs::openat(directory, PROCESSED, read_only, Mode::empty())?;
    let mode = Mode::from_raw_mode(fs::fstat(&processed)?.st_mode);
    if !mode.contains(CLOSED) {
        fs::fsync(&processed)?;
        match fs::openat(directory, NEW_STATE, read_only, Mode::empty()) {
            Ok(state) => fs::fsync(state)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        fs::fchmod(&processed, mode | CLOSED)?;
    }
    match fs::renameat(directory, NEW_STATE, directory, "state") {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    remove(directory, PREVIOUS)?;
    archive(directory, PROCESSED, true)
}

/// Makes the file `name` the newest archive.
fn archive(directory: &OwnedFd, name: &str, finished: bool) -> io::Result<()> {
    let date = rotate::next_date(clock::today(), &archives(directory)?);
    let archive = Archive { date, finished };
    Ok(fs::renameat(directory, name, directory, archive.name().as_slice())?)
}

/// The mode of a file, `None` where there is none.
fn mode_of(directory: &OwnedFd, name: &str) -> io::Result<Option<Mode>> {
    match fs::statat(directory, name, AtFlags::empty()) {
        Ok(found) => Ok(Some(Mode::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file; that it is not there is fine.
fn remove(directory: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<()> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// All archives with their sizes, in any order.
pub fn archives(directory: &OwnedFd) -> io::Result<Vec<(Archive, u64)>> {
    let mut archives = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if let Some(archive) = Archive::parse(entry.file_name().to_bytes()) {
            match fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => archives.push((archive, found.st_size as u64)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(archives)
}

/// Opens `current` to append to it, and says its inode number and length.
fn open_current(directory: &OwnedFd) -> io::Result<(OwnedFd, u64, u64)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
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

    fn length(&self) -> u64 {
        self.length
    }

    fn archives(&mut self) -> io::Result<Vec<(Archive, u64)>> {
        Ok(self.archives.clone())
    }

    fn close_current(&mut self) -> io::Result<()> {
        fs::fsync(&self.current)?;
        let mode = Mode::from_raw_mode(fs::fstat(&self.current)?.st_mode);
        Ok(fs::fchmod(&self.current, mode | CLOSED)?)
    }

    fn archive_current(&mut self, archive: Archive) -> io::Result<()> {
        let directory = self.directory.as_fd();
        fs::renameat(directory, "current", directory, archive.name().as_slice())?;
        self.archives.push((archive, self.length));
        Ok(())
    }

    fn open_current(&mut self) -> io::Result<()> {
        (self.current, self.inode, self.length) = open_current(&self.directory)?;
        Ok(())
    }

    fn remove(&mut self, archive: Archive) -> io::Result<()> {
        remove(&self.directory, archive.name().as_slice())?;
        self.archives.retain(|(other, _)| *other != archive);
        Ok(())
    }
}
