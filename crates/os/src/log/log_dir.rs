//! A log directory: `current`, its archives, `lock` and `state`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use engine::log::keep::{Keeper, is_remainder};
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
    /// Bytes that were written since the directory was opened.
    position: i64,
    /// All archives with their sizes: nobody else makes any.
    archives: Vec<(Archive, u64)>,
    /// The archive that holds what was kept of those that are gone.
    remainder: Option<Archive>,
}

/// The name of a remainder that is not finished.
const NEXT_REMAINDER: &str = "remainder";

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
        let archived = match unclosed {
            Unclosed::GoesOn => finish_closed(&directory)?,
            Unclosed::IsArchived(_) => tidy_up(&directory)?,
        };
        fs::openat(&directory, "state", made, GROWING)?;
        let (current, inode, length) = open_current(&directory)?;
        let archives = archives(&directory)?;
        let remainder = None;
        let _lock = lock;
        let position = 0;
        let mut log =
            Self { directory, _lock, current, length, inode, position, archives, remainder };
        if unclosed == Unclosed::GoesOn {
            log.find_remainder()?;
        }
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

    /// Whether it lies in a file system that has no disk (`TMPFS_MAGIC` and `RAMFS_MAGIC`, Linux
    /// `include/uapi/linux/magic.h`).
    pub fn is_in_memory(&self) -> io::Result<bool> {
        let kind = fs::fstatfs(&self.directory)?.f_type as u32;
        Ok([0x0102_1994, 0x8584_58f6].contains(&kind))
    }

    /// Its inode number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Bytes of `current` as of the last look at it or change of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where in the log `current` ends: bytes from where it ended when the directory was opened.
    pub fn position(&self) -> i64 {
        self.position
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
        self.position += written as i64;
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
        self.position += length as i64 - self.length as i64;
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

    /// Makes `current` an archive.
    pub fn turn_over(&mut self) -> io::Result<()> {
        rotate::turn_over(self)
    }

    /// The oldest archive, where those beside the remainder are more than `policy` lets be; and from where to
    /// where in the log it reaches.
    pub fn excess(&self, policy: &Policy) -> Option<(Archive, [i64; 2])> {
        let whole = self.archives.iter().filter(|(archive, _)| Some(*archive) != self.remainder);
        let (oldest, size) = whole.clone().min()?;
        let sizes = whole.clone().map(|(_, size)| *size as i64).sum::<i64>();
        let start = self.position - self.length as i64 - sizes;
        let all: u64 = self.archives.iter().map(|(_, size)| size).sum();
        let too_much = policy.total_bytes != 0 && all > policy.total_bytes;
        let excess = too_much || whole.count() > policy.archives as usize;
        excess.then_some((*oldest, [start, start + *size as i64]))
    }

    pub fn has_remainder(&self) -> bool {
        self.remainder.is_some()
    }

    /// Replaces an archive and the remainder by a new remainder: what of them is to be kept. They are read
    /// through `buffer`.
    pub fn condense(
        &mut self,
        oldest: Archive,
        mut keeper: Keeper<'_>,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        for archive in [Some(oldest), self.remainder].into_iter().flatten() {
            let file = match self.open_archive(archive) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let size = fs::fstat(&file)?.st_size as u64;
            lines::backward_through(buffer, &file, size, &mut |_, block| {
                keeper.look(block);
                Ok(true)
            })?;
        }
        let kept = keeper.finish();
        if kept.is_empty() {
            self.remove(oldest)?;
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let mut file =
                std::fs::File::from(fs::openat(&self.directory, NEXT_REMAINDER, flags, GROWING)?);
            if let Err(error) = io::Write::write_all(&mut file, &kept) {
                remove(&self.directory, NEXT_REMAINDER)?;
                return Err(error);
            }
            fs::fsync(&file)?;
            let mode = Mode::from_raw_mode(fs::fstat(&file)?.st_mode);
            fs::fchmod(&file, mode | CLOSED)?;
            // Whoever is killed behind this leaves two remainders, of which the later one holds the earlier.
            fs::renameat(
                &self.directory,
                NEXT_REMAINDER,
                &self.directory,
                oldest.name().as_slice(),
            )?;
            let size = kept.len() as u64;
            self.archives.iter_mut().filter(|(a, _)| *a == oldest).for_each(|(_, s)| *s = size);
        }
        let next = (!kept.is_empty()).then_some(oldest);
        match std::mem::replace(&mut self.remainder, next) {
            Some(remainder) => self.remove(remainder),
            None => Ok(()),
        }
    }

    /// Finds what an earlier writer kept.
    fn find_remainder(&mut self) -> io::Result<()> {
        self.archives.sort_unstable();
        remove(&self.directory, NEXT_REMAINDER)?;
        for (archive, _) in self.archives.iter().take(2).copied().collect::<Vec<_>>() {
            let file = self.open_archive(archive)?;
            let mut begin = [0; 128];
            let count = lines::read_all(&file, &mut begin, 0)?;
            if !is_remainder(&begin[..count]) {
                break;
            }
            if let Some(earlier) = self.remainder.replace(archive) {
                self.remove(earlier)?;
            }
        }
        Ok(())
    }

    fn open_archive(&self, archive: Archive) -> io::Result<OwnedFd> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(fs::openat(&self.directory, archive.name().as_slice(), flags, Mode::empty())?)
    }

    /// Makes `current` an archive, and drops the archives that are too many.
    pub fn rotate(&mut self, policy: &Policy) -> io::Result<()> {
        rotate::rotate(self, policy)
    }

    /// Drops the archives that are too many.
    pub fn trim(&mut self, policy: &Policy) -> io::Result<()> {
        rotate::trim(self, policy)
    }

    /// Drops the oldest archive, for a file system that is full; `false`:
    /// there is none.
    pub fn drop_oldest(&mut self) -> io::Result<bool> {
        let none = Policy { archives: 0, ..Policy::default() };
        let oldest = self.excess(&none).map(|(oldest, _)| oldest).or_else(|| self.remainder.take());
        oldest.map(|archive| self.remove(archive)).transpose().map(|done| done.is_some())
    }

    /// Whether the directory holds a file of this name.
    pub fn holds(&self, name: &str) -> io::Result<bool> {
        Ok(mode_of(&self.directory, name)?.is_some())
    }

    /// Calls `current` `previous` from now on, for a processor to read, and
    /// begins a new `current`.
    pub fn set_aside(&mut self) -> io::Result<()> {
        if self.holds(PREVIOUS)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.close_current()?;
        fs::renameat(&self.directory, "current", &self.directory, PREVIOUS)?;
        self.open_current()
    }

    /// What a processor has begun to make.
    pub fn forget_processed(&self) -> io::Result<()> {
        remove(&self.directory, PROCESSED)?;
        remove(&self.directory, NEW_STATE)
    }

    /// Archives what a processor made of `previous`, and keeps its new state.
    pub fn finish_processing(&mut self, policy: &Policy) -> io::Result<()> {
        // Where something failed behind this, it has its name already.
        if self.holds(PROCESSED)? {
            finish_processed(&self.directory)?;
        }
        self.archives = archives(&self.directory)?;
        self.trim(policy)
    }

    /// Archives `previous` as it is: there is no processor any more.
    pub fn archive_previous(&mut self, policy: &Policy) -> io::Result<()> {
        if self.holds(PREVIOUS)? {
            archive(&self.directory, PREVIOUS, true)?;
        }
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
    let done = finish_closed(directory)?;
    if !done {
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

/// Finishes what a processor was done with, where only names were left to change; `true`: there was something.
fn finish_closed(directory: &OwnedFd) -> io::Result<bool> {
    let done = mode_of(directory, PROCESSED)?.is_some_and(|mode| mode.contains(CLOSED));
    if done {
        finish_processed(directory)?;
    }
    Ok(done)
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

    fn archives(&self) -> &[(Archive, u64)] {
        &self.archives
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
