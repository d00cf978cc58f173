//! A log on flash: few writes, each of which is whole or does not count, and never more than was allowed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::log::rotate::next_date;
use model::log::archive::Archive;
use model::log::packed;
use model::log::place::Place;
use rustix::fs::{self, AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::clock;
use crate::log::lines;

/// Text of one file: what reads it has all of that in memory.
const FILE_TEXT_MAX: usize = 1 << 20;

/// A file is at most this part of everything, so that little goes at once when there is too much.
const FILE_PART: u64 = 4;

/// Where there is less room than was allowed, it is reckoned with this, at least.
const ROOM_MIN: u64 = 64 << 10;

/// Bytes of a file that are looked at: what is not compressible at all has a little more than its text.
pub const FILE_BYTES_MAX: u64 = 2 << 20;

pub struct Flash {
    directory: OwnedFd,
    /// Closing it would give the lock up.
    _lock: OwnedFd,
    /// When each file was begun, and its bytes; the oldest first, the last one grows.
    files: Vec<(Archive, u64)>,
    current: Option<OwnedFd>,
    /// Bytes of text in it.
    text: usize,
    /// What all may have: what was allowed, or what there was room for.
    total: u64,
    /// What the log was read up to.
    pub place: Option<Place>,
}

impl Flash {
    /// Opens the directory, making it where it is missing, and cuts off what a loss of power has
    /// left of a write.
    ///
    /// # Errors
    /// `WouldBlock`: another program writes there.
    pub fn open(path: &Path, total: u64) -> io::Result<Self> {
        match fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = crate::files::directory(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let lock = fs::openat(&directory, "lock", flags, Mode::from_raw_mode(0o644))?;
        match fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
        let files = list(&directory)?;
        let mut flash =
            Self { directory, _lock: lock, files, current: None, text: 0, total, place: None };
        while flash.place.is_none() && !flash.files.is_empty() {
            flash.resume()?;
        }
        Ok(flash)
    }

    /// Goes on with the last file. One in which nothing is whole is dropped.
    fn resume(&mut self) -> io::Result<()> {
        let Some((last, length)) = self.files.last_mut() else { return Ok(()) };
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &packed::name(last.date)[..], flags, Mode::empty())?;
        let mut bytes = vec![0; (*length).min(FILE_BYTES_MAX) as usize];
        let count = lines::read_all(&file, &mut bytes, 0)?;
        let (mut whole, mut text) = (0, 0);
        while let Ok((place, lines, taken)) = packed::read(&bytes[whole..count]) {
            (self.place, text, whole) = (Some(place), text + lines.len(), whole + taken);
        }
        if self.place.is_none() {
            return self.remove(self.files.len() - 1);
        }
        if whole as u64 != *length {
            fs::ftruncate(&file, whole as u64)?;
            *length = whole as u64;
        }
        (self.current, self.text) = (Some(file), text);
        Ok(())
    }

    /// Writes lines, of which the last one ends at `place`; `head` stands before them in a new file.
    /// The oldest files go where there is no room.
    ///
    /// # Errors
    /// Nothing was written. The oldest files may be gone.
    pub fn write(&mut self, place: Place, head: &[u8], text: &[u8]) -> io::Result<()> {
        let length = self.files.last().map_or(0, |(_, length)| *length);
        if self.current.is_none()
            || self.text + text.len() > FILE_TEXT_MAX
            || length >= self.total / FILE_PART
        {
            return self.begin(place, &[head, text].concat());
        }
        let mut record = Vec::new();
        packed::append(place, text, &mut record);
        match self.append(&record) {
            // All others are gone, and the newest lines count for more.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.remove(0)?;
                return self.begin(place, &[head, text].concat());
            }
            written => written?,
        }
        self.text += text.len();
        self.place = Some(place);
        Ok(())
    }

    /// Begins a new file. It counts once its first record is whole.
    fn begin(&mut self, place: Place, text: &[u8]) -> io::Result<()> {
        let date = next_date(clock::today(), &self.files);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
        let name = packed::name(date);
        let mode = Mode::from_raw_mode(0o640);
        let open = || fs::openat(&self.directory, &name[..], flags, mode);
        let file = match open() {
            // There is no room for a name.
            Err(Errno::NOSPC) if !self.files.is_empty() => {
                self.remove(0)?;
                fs::openat(&self.directory, &name[..], flags, mode)?
            }
            result => result?,
        };
        self.files.push((Archive { date, finished: true }, 0));
        self.current = Some(file);
        self.text = text.len();
        let mut record = Vec::new();
        packed::append(place, text, &mut record);
        if let Err(error) = self.append(&record) {
            let _ = self.remove(self.files.len() - 1);
            return Err(error);
        }
        fs::fsync(&self.directory)?;
        self.place = Some(place);
        Ok(())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let sizes = self.files.iter().map(|(_, length)| length);
        let mut all = sizes.sum::<u64>() + record.len() as u64;
        while all > self.total && self.files.len() > 1 {
            all -= self.files[0].1;
            self.remove(0)?;
        }
        loop {
            let (Some(file), Some((_, length))) = (&self.current, self.files.last_mut()) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let error = match write_all(file, record) {
                Ok(()) => {
                    *length += record.len() as u64;
                    return Ok(());
                }
                Err(error) => error,
            };
            fs::ftruncate(file, *length)?;
            // There is less room than was allowed: files become smaller, so that less goes at once.
            let sizes = self.files.iter().map(|(_, length)| length);
            self.total = self.total.min(sizes.sum::<u64>().max(ROOM_MIN));
            if error.kind() != io::ErrorKind::StorageFull || self.files.len() == 1 {
                return Err(error);
            }
            self.remove(0)?;
        }
    }

    fn remove(&mut self, at: usize) -> io::Result<()> {
        let (archive, _) = self.files[at];
        let name = packed::name(archive.date);
        match fs::unlinkat(&self.directory, &name[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.files.remove(at);
        if at == self.files.len() {
            self.current = None;
        }
        Ok(())
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fs::fdatasync(file)?)
}

/// All files of a log on flash: when they were begun, as if they were archives, and their bytes; the oldest first.
pub fn list(directory: &OwnedFd) -> io::Result<Vec<(Archive, u64)>> {
    let mut files = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if let Some(date) = packed::parse_name(entry.file_name().to_bytes())
            && let Ok(found) = fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
        {
            files.push((Archive { date, finished: true }, found.st_size as u64));
        }
    }
    files.sort_unstable();
    Ok(files)
}
