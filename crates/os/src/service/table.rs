//! What init must not forget when it starts itself anew, in memory that
//! outlives `exec`.
//!
//! Records of one size. The first is the header; each other holds one slot,
//! one live directory, or the rest of a long name. What changes often is
//! there twice, and one byte says which of the two counts: init may fall at
//! any instruction.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;

use model::bytes::{ReadError, Reader, Writer};

use crate::sys::memory::SharedMemory;

const MAGIC: &[u8; 8] = b"wardtab\n";
/// A newer `ward` reads what an older one left, so this only grows.
const VERSION: u32 = 1;
const RECORD_BYTES: usize = 256;

const KIND: usize = 0;
const CURRENT: usize = 1;
/// What was last read of its notification descriptor.
const READ: usize = 2;
const SLOT: usize = 4;
/// The kernel writes the id of a new process here.
const PID: usize = 8;
const FIXED: usize = 12;
const STATES: [usize; 2] = [48, 124];
const STATE_BYTES: usize = 76;
const TEXT: usize = 200;
const TEXT_BYTES: usize = RECORD_BYTES - TEXT;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Free = 0,
    Slot = 1,
    Live = 2,
    Rest = 3,
}

/// What stays the same, or nearly, while a slot lives. Descriptors are -1
/// where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    pub slot: u32,
    /// What the caller takes its home and class for.
    pub home: u8,
    pub class: u8,
    pub oneshot: bool,
    pub control: RawFd,
    pub lock: RawFd,
    pub pipe: [RawFd; 2],
    pub input: [RawFd; 2],
    pub notify: RawFd,
    pub directory: RawFd,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            slot: 0,
            home: 0,
            class: 0,
            oneshot: false,
            control: -1,
            lock: -1,
            pipe: [-1; 2],
            input: [-1; 2],
            notify: -1,
            directory: -1,
        }
    }
}

/// A record that was found after a fresh start.
pub struct Found {
    pub record: u32,
    pub kind: Kind,
    pub fixed: Fixed,
    pub name: String,
    /// The process that the kernel wrote down last.
    pub pid: u32,
    /// It has said that it is ready: the end of a line was read.
    pub line: bool,
    /// When it last went up or down, and became ready.
    pub dates: [[u8; 12]; 2],
    pub state: [u8; STATE_BYTES - 24],
}

impl Found {
    /// The number of a live directory.
    pub fn live(&self) -> Option<u8> {
        (self.kind == Kind::Live).then_some(self.fixed.home)
    }
}

pub struct Table {
    memory: SharedMemory,
    free: Vec<u32>,
}

impl Table {
    pub fn new() -> io::Result<Self> {
        let mut memory = SharedMemory::new(c"ward-table", 64 * RECORD_BYTES)?;
        memory.bytes_mut()[..8].copy_from_slice(MAGIC);
        memory.bytes_mut()[8..12].copy_from_slice(&VERSION.to_le_bytes());
        Ok(Self { memory, free: (1..64).rev().collect() })
    }

    /// The table that the program before this one left. What of it is damaged
    /// is not in the answer.
    ///
    /// # Errors
    /// `InvalidData` where it is none. The descriptor stays open.
    pub fn resume(file: OwnedFd) -> io::Result<(Self, Vec<Found>)> {
        let memory = SharedMemory::from_file(file)?;
        let bytes = memory.bytes();
        let known = bytes.len() >= 64 * RECORD_BYTES
            && bytes.len().is_multiple_of(RECORD_BYTES)
            && bytes[..8] == *MAGIC
            && bytes[8..12] <= *VERSION.to_le_bytes().as_slice();
        if !known {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "that is no table of init"));
        }
        let mut table = Self { memory, free: Vec::new() };
        let mut found = Vec::new();
        let mut rests = Vec::new();
        for record in 1..(table.memory.bytes().len() / RECORD_BYTES) as u32 {
            let kind = match table.bytes(record)[KIND] {
                1 => Kind::Slot,
                2 => Kind::Live,
                3 => {
                    rests.push(record);
                    continue;
                }
                _ => Kind::Free,
            };
            match table.read(record, kind) {
                Ok(whole) if kind != Kind::Free => found.push(whole),
                // Whatever made init fall has damaged it: one is lost, not all.
                _ => {
                    table.bytes_mut(record)[KIND] = Kind::Free as u8;
                    table.free.push(record);
                }
            }
        }
        // The rest of a name whose record was not finished, or was freed first.
        for rest in rests {
            let used = found.iter().any(|f| table.rest_of(f.record) == Some(rest));
            if !used {
                table.bytes_mut(rest)[KIND] = Kind::Free as u8;
                table.free.push(rest);
            }
        }
        table.free.sort_unstable_by(|a, b| b.cmp(a));
        Ok((table, found))
    }

    pub fn file(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Adds a record. It counts only once all of it is there.
    pub fn add(&mut self, kind: Kind, fixed: &Fixed, name: &str, state: &[u8]) -> io::Result<u32> {
        let record = self.prepare(fixed, name)?;
        self.set_state(record, [[0; 12]; 2], state);
        self.bytes_mut(record)[KIND] = kind as u8;
        Ok(record)
    }

    /// Gives the slot of a record another name, and it another record. For a
    /// moment both are there, and say the same.
    ///
    /// # Errors
    /// The old record stays as it was.
    pub fn rename(&mut self, old: u32, fixed: &Fixed, name: &str) -> io::Result<u32> {
        let record = self.prepare(fixed, name)?;
        let known: [u8; RECORD_BYTES] = self.bytes(old).try_into().expect("all are of that size");
        let bytes = self.bytes_mut(record);
        bytes[CURRENT..SLOT].copy_from_slice(&known[CURRENT..SLOT]);
        bytes[PID..FIXED].copy_from_slice(&known[PID..FIXED]);
        bytes[STATES[0]..TEXT].copy_from_slice(&known[STATES[0]..TEXT]);
        bytes[KIND] = Kind::Slot as u8;
        self.remove(old);
        Ok(record)
    }

    /// A new record with all but its kind and its state.
    fn prepare(&mut self, fixed: &Fixed, name: &str) -> io::Result<u32> {
        if name.len() > TEXT_BYTES - 8 + RECORD_BYTES - 8 {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is too long"));
        }
        let record = self.take()?;
        let rest = match name.len() > TEXT_BYTES - 8 {
            true => self.take()?,
            false => 0,
        };
        let bytes = self.bytes_mut(record);
        bytes.fill(0);
        bytes[TEXT..TEXT + 2].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes[TEXT + 4..TEXT + 8].copy_from_slice(&rest.to_le_bytes());
        let head = name.len().min(TEXT_BYTES - 8);
        bytes[TEXT + 8..TEXT + 8 + head].copy_from_slice(&name.as_bytes()[..head]);
        if rest != 0 {
            let tail = &name.as_bytes()[head..];
            let bytes = self.bytes_mut(rest);
            bytes[8..8 + tail.len()].copy_from_slice(tail);
            bytes[KIND] = Kind::Rest as u8;
        }
        self.set_fixed(record, fixed);
        Ok(record)
    }

    pub fn set_fixed(&mut self, record: u32, fixed: &Fixed) {
        let mut w = Writer::new();
        w.u8(fixed.home).u8(fixed.class).bool(fixed.oneshot).u8(0);
        let fds = [
            fixed.control,
            fixed.lock,
            fixed.pipe[0],
            fixed.pipe[1],
            fixed.input[0],
            fixed.input[1],
            fixed.notify,
            fixed.directory,
        ];
        for fd in fds {
            w.u32(fd as u32);
        }
        let bytes = self.bytes_mut(record);
        bytes[SLOT..SLOT + 4].copy_from_slice(&fixed.slot.to_le_bytes());
        bytes[FIXED..FIXED + w.len()].copy_from_slice(w.as_bytes());
    }

    /// Remembers the state of a slot: the old one, or the new one, never both.
    pub fn set_state(&mut self, record: u32, dates: [[u8; 12]; 2], state: &[u8]) {
        let bytes = self.bytes_mut(record);
        let other = 1 - usize::from(bytes[CURRENT] & 1);
        let at = STATES[other];
        bytes[at..at + 12].copy_from_slice(&dates[0]);
        bytes[at + 12..at + 24].copy_from_slice(&dates[1]);
        let length = state.len().min(STATE_BYTES - 24);
        bytes[at + 24..at + 24 + length].copy_from_slice(&state[..length]);
        // A handler of a fault runs on this processor and sees the stores in
        // this order; the compiler must keep it.
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
        bytes[CURRENT] = other as u8;
    }

    /// Where the kernel writes the id of this slot's next process.
    pub fn pid_cell(&self, record: u32) -> &AtomicU32 {
        self.memory.cell(record as usize * RECORD_BYTES + PID)
    }

    /// Where the kernel writes what is read of this slot's notification
    /// descriptor, one byte after the other: what is read is not lost.
    pub fn read_cell(&mut self, record: u32) -> &mut [u8] {
        &mut self.bytes_mut(record)[READ..READ + 1]
    }

    /// Gives a record free.
    pub fn remove(&mut self, record: u32) {
        let rest = self.rest_of(record);
        self.bytes_mut(record)[KIND] = Kind::Free as u8;
        self.free.push(record);
        if let Some(rest) = rest {
            self.bytes_mut(rest)[KIND] = Kind::Free as u8;
            self.free.push(rest);
        }
    }

    /// The last times, in nanoseconds of `CLOCK_BOOTTIME`, at which init
    /// started itself anew after a fault; adds `now`.
    pub fn count_fault(&mut self, now: u64) -> [u64; 8] {
        let at = 16;
        let bytes = &mut self.memory.bytes_mut()[at..at + 64];
        bytes.copy_within(8..64, 0);
        bytes[56..64].copy_from_slice(&now.to_le_bytes());
        let mut r = Reader::new(bytes);
        std::array::from_fn(|_| r.u64().unwrap_or(0))
    }

    /// Two descriptors that init keeps for itself, beside the slots.
    pub fn own_pipe(&self) -> [RawFd; 2] {
        let mut r = Reader::new(&self.memory.bytes()[80..88]);
        [r.u32().unwrap_or(0) as RawFd - 1, r.u32().unwrap_or(0) as RawFd - 1]
    }

    pub fn set_own_pipe(&mut self, pipe: [RawFd; 2]) {
        let mut w = Writer::new();
        w.u32((pipe[0] + 1) as u32).u32((pipe[1] + 1) as u32);
        self.memory.bytes_mut()[80..88].copy_from_slice(w.as_bytes());
    }

    /// The descriptor that holds the lock of the scandir.
    pub fn own_lock(&self) -> RawFd {
        Reader::new(&self.memory.bytes()[104..108]).u32().unwrap_or(0) as RawFd - 1
    }

    pub fn set_own_lock(&mut self, lock: RawFd) {
        self.memory.bytes_mut()[104..108].copy_from_slice(&(lock + 1).to_le_bytes());
    }

    /// A number that is set once: the limit of open files that init was given.
    pub fn limit(&self) -> u64 {
        Reader::new(&self.memory.bytes()[96..104]).u64().unwrap_or(0)
    }

    pub fn set_limit(&mut self, limit: u64) {
        self.memory.bytes_mut()[96..104].copy_from_slice(&limit.to_le_bytes());
    }

    /// A byte of the header that says what init is doing as a whole.
    pub fn mode(&self) -> u8 {
        self.memory.bytes()[88]
    }

    pub fn set_mode(&mut self, mode: u8) {
        self.memory.bytes_mut()[88] = mode;
    }

    fn take(&mut self) -> io::Result<u32> {
        if self.free.is_empty() {
            let records = self.memory.bytes().len() / RECORD_BYTES;
            self.memory.grow(2 * records * RECORD_BYTES)?;
            self.free.extend((records as u32..2 * records as u32).rev());
        }
        Ok(self.free.pop().expect("records were just added"))
    }

    fn bytes(&self, record: u32) -> &[u8] {
        &self.memory.bytes()[record as usize * RECORD_BYTES..][..RECORD_BYTES]
    }

    fn bytes_mut(&mut self, record: u32) -> &mut [u8] {
        &mut self.memory.bytes_mut()[record as usize * RECORD_BYTES..][..RECORD_BYTES]
    }

    fn rest_of(&self, record: u32) -> Option<u32> {
        let rest = Reader::new(&self.bytes(record)[TEXT + 4..TEXT + 8]).u32().unwrap_or(0);
        (rest != 0).then_some(rest)
    }

    fn read(&self, record: u32, kind: Kind) -> Result<Found, ReadError> {
        let bytes = self.bytes(record);
        let mut r = Reader::new(&bytes[SLOT..]);
        let slot = r.u32()?;
        let pid = r.u32()?;
        let (home, class, oneshot, _) = (r.u8()?, r.u8()?, r.bool()?, r.u8()?);
        let mut fd = || r.u32().map(|fd| fd as RawFd);
        let fixed = Fixed {
            slot,
            home,
            class,
            oneshot,
            control: fd()?,
            lock: fd()?,
            pipe: [fd()?, fd()?],
            input: [fd()?, fd()?],
            notify: fd()?,
            directory: fd()?,
        };
        let length = usize::from(Reader::new(&bytes[TEXT..]).u16()?);
        let mut name = bytes[TEXT + 8..][..length.min(TEXT_BYTES - 8)].to_vec();
        if let Some(rest) = self.rest_of(record) {
            let room = self.memory.bytes().len() / RECORD_BYTES;
            let tail = length.saturating_sub(TEXT_BYTES - 8);
            if rest as usize >= room || tail > RECORD_BYTES - 8 {
                return Err(ReadError::Impossible);
            }
            name.extend_from_slice(&self.bytes(rest)[8..8 + tail]);
        }
        let name = String::from_utf8(name).map_err(|_| ReadError::Impossible)?;
        let at = STATES[usize::from(bytes[CURRENT] & 1)];
        let date = |at: usize| std::array::from_fn(|i| bytes[at + i]);
        Ok(Found {
            record,
            kind,
            fixed,
            name,
            pid,
            line: bytes[READ] == b'\n',
            dates: [date(at), date(at + 12)],
            state: std::array::from_fn(|i| bytes[at + 24 + i]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_again() {
        let mut table = Table::new().unwrap();
        let fixed = Fixed { slot: 70_000, home: 3, control: 17, ..Fixed::default() };
        let long = "x".repeat(240);
        let first = table.add(Kind::Slot, &fixed, "dns", b"").unwrap();
        let gone = table.add(Kind::Slot, &fixed, &long, b"").unwrap();
        table.remove(gone);
        for _ in 0..100 {
            table.add(Kind::Slot, &Fixed::default(), &long, b"new").unwrap();
        }
        let dates = [[5; 12], [7; 12]];
        table.set_state(first, dates, b"one");
        table.set_state(first, dates, b"two");
        table.pid_cell(first).store(4711, std::sync::atomic::Ordering::Relaxed);
        table.set_own_pipe([5, 6]);
        table.set_own_lock(9);
        // A record that was written over: it alone is lost.
        let broken = table.add(Kind::Slot, &fixed, "broken", &[]).unwrap();
        table.bytes_mut(broken)[TEXT + 8] = 0xff;
        table.read_cell(first)[0] = b'\n';
        table.set_mode(2);

        let file = table.file().try_clone_to_owned().unwrap();
        let (again, found) = Table::resume(file).unwrap();
        assert_eq!(found.len(), 101);
        let record = found.iter().find(|f| f.record == first).unwrap();
        assert_eq!((record.fixed, record.name.as_str(), record.pid), (fixed, "dns", 4711));
        assert_eq!((record.dates, &record.state[..3]), (dates, b"two".as_slice()));
        assert!(record.line);
        let new = |f: &&Found| f.name == long && &f.state[..3] == b"new" && !f.line;
        assert_eq!(found.iter().filter(new).count(), 100);
        assert_eq!((again.own_pipe(), again.own_lock(), again.mode()), ([5, 6], 9, 2));
    }

    #[test]
    fn a_file_that_is_no_table_is_refused() {
        let other = SharedMemory::new(c"other", 64 * RECORD_BYTES).unwrap();
        let file = other.as_fd().try_clone_to_owned().unwrap();
        assert!(Table::resume(file).is_err());
    }
}
