//! The logger's journal as a file, and one step of the logger in this world.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use engine::log::split::{Rest, first_piece};
use engine::log::step::World;
use model::log::journal::{
    EXPECTED_AT, JOURNAL_BYTES, KERNEL, RECORD_BYTES, Record, TAKEN_AT, count_taken, losses,
    next_record, set_loss, set_next_record,
};
use model::log::line::newline;
use rustix::fs::{self, AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::log::log_dir::LogDir;
use crate::log::pipes::{Glass, Pipe};
use crate::sys::mapping::Mapping;

pub(crate) const NAME: &str = ".journal";

/// Its name where it lies beside the socket of init.
const NAME_BESIDE: &str = "log-journal";

/// The mapped file `.journal` of a log directory.
pub struct Journal(Mapping);

impl Journal {
    /// Opens it in `directory`. JFFS2 has no files that can be changed through a mapping: there it lies
    /// in memory, beside the socket `init`. That is enough, for it is about pipes, which a power cut
    /// takes along.
    pub fn open(directory: &OwnedFd, init: &Path) -> io::Result<Self> {
        match Self::open_in(directory, NAME) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV)) => {
                let _ = fs::unlinkat(directory, NAME, AtFlags::empty());
                let beside = crate::files::directory(init.parent().unwrap_or(init))?;
                Self::open_in(&beside, NAME_BESIDE)
            }
            opened => opened,
        }
    }

    fn open_in(directory: &OwnedFd, name: &str) -> io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
        // A file system that cannot reserve space gets it written.
        match fs::fallocate(&file, FallocateFlags::empty(), 0, JOURNAL_BYTES as u64) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let length = fs::fstat(&file)?.st_size as usize;
                let missing = vec![0; JOURNAL_BYTES.saturating_sub(length)];
                let mut file = std::fs::File::from(file.try_clone()?);
                io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
                io::Write::write_all(&mut file, &missing)?;
            }
            result => result?,
        }
        Ok(Self(Mapping::new(std::os::fd::AsFd::as_fd(&file), JOURNAL_BYTES)?))
    }

    /// What was under way; an idle record where none was ever whole.
    pub fn record(&self) -> Record {
        Record::from_bytes(&self.0.bytes()[..RECORD_BYTES]).unwrap_or_default()
    }

    /// Lines that are lost and not told of, with the inode numbers of their pipes.
    pub fn losses(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        losses(self.0.bytes())
    }

    /// The same of one pipe.
    pub fn lost(&self, pipe: u64) -> u64 {
        self.losses().find(|(inode, _)| *inode == pipe).map_or(0, |(_, lines)| lines)
    }

    /// Whether a pipe begins with the bytes that the step under way has yet to take from it.
    pub fn left_in(&self, glass: &mut Glass, pipe: &Pipe, buffer: &mut [u8]) -> io::Result<bool> {
        let count = self.record().taken as usize;
        let done = count_taken(&self.expected()[..count], &self.0.bytes()[TAKEN_AT..]);
        let left = &self.expected()[done..count];
        let seen = glass.look(pipe, &mut buffer[..left.len()])?;
        Ok(buffer[..seen] == *left)
    }

    pub fn set_lost(&mut self, pipe: u64, lines: u64) {
        set_loss(self.0.bytes_mut(), pipe, lines);
    }

    /// What was known of pipes and of the kernel belongs to another boot.
    pub fn forget(&mut self) {
        self.0.bytes_mut()[RECORD_BYTES..EXPECTED_AT].fill(0);
    }

    /// The number of the kernel's record that comes next.
    pub fn next_record(&self) -> u64 {
        next_record(self.0.bytes())
    }

    /// The first area: bytes as they lie in the pipe.
    pub fn expected(&self) -> &[u8] {
        &self.0.bytes()[EXPECTED_AT..TAKEN_AT]
    }

    pub fn expected_mut(&mut self) -> &mut [u8] {
        &mut self.0.bytes_mut()[EXPECTED_AT..TAKEN_AT]
    }
}

/// One step: the log, the journal, and the pipe that is read.
pub struct Step<'a> {
    pub log: &'a mut LogDir,
    pub journal: &'a mut Journal,
    /// `None`: the pipe that the record names is gone.
    pub pipe: Option<BorrowedFd<'a>>,
}

impl World for Step<'_> {
    type Error = io::Error;

    fn record(&mut self) -> Record {
        self.journal.record()
    }

    fn set_record(&mut self, record: Record) {
        let journal = &mut self.journal.0;
        journal.order();
        journal.bytes_mut()[..RECORD_BYTES].copy_from_slice(&record.to_bytes());
        journal.order();
    }

    fn oppose(&mut self, count: usize) {
        let (before, taken) = self.journal.0.bytes_mut().split_at_mut(TAKEN_AT);
        // Word by word, also where that is more than was asked for.
        let (expected, _) = before[EXPECTED_AT..].as_chunks::<8>();
        let (taken, _) = taken.as_chunks_mut::<8>();
        for (taken, expected) in taken.iter_mut().zip(expected).take(count.div_ceil(8)) {
            *taken = (!u64::from_ne_bytes(*expected)).to_ne_bytes();
        }
    }

    fn taken(&mut self, count: usize) -> usize {
        count_taken(&self.journal.expected()[..count], &self.journal.0.bytes()[TAKEN_AT..])
    }

    fn log(&mut self) -> io::Result<(u64, u64)> {
        Ok((self.log.inode(), self.log.length()))
    }

    fn append(&mut self, text: &[u8]) -> io::Result<usize> {
        if text.is_empty() { Ok(0) } else { self.log.append(text) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.log.truncate(length)
    }

    fn whole_lines(&mut self, before: u64, count: usize) -> io::Result<(u32, u32)> {
        self.log.look()?;
        let added = self.log.read_from(before)?;
        let (mut written, mut taken) = (0, 0);
        while let Some(end) = newline(&added[written..])
            && let Some(piece) = first_piece(&self.journal.expected()[taken..count], Rest::Ended)
        {
            written += end + 1;
            taken += piece.taken;
        }
        Ok((written as u32, taken as u32))
    }

    /// The bytes are there, and only the logger reads, so this does not wait;
    /// were it otherwise, it would be an error, since the pipe does not block.
    fn take(&mut self, inode: u64, from: usize, until: usize) -> io::Result<usize> {
        if inode == KERNEL {
            // They stay where they are: it is remembered which was the last.
            let last = self.journal.expected()[..until].split(|&byte| byte == b'\n').rev().nth(1);
            let last = last.and_then(model::label::number);
            let journal = self.journal.0.bytes_mut();
            set_next_record(journal, last.map_or(0, |last| last.saturating_add(1)));
            journal.copy_within(EXPECTED_AT + from..EXPECTED_AT + until, TAKEN_AT + from);
            return Ok(until - from);
        }
        let Some(pipe) = self.pipe else { return Ok(0) };
        let area = &mut self.journal.0.bytes_mut()[TAKEN_AT..][from..until];
        loop {
            match rustix::io::read(pipe, &mut *area) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn set_lost(&mut self, pipe: u64, lines: u64) {
        self.journal.set_lost(pipe, lines);
    }
}
