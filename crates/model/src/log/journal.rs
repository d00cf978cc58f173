//! The logger's journal: what it was doing when it was killed.
//!
//! The file `.journal` of a log directory holds one [`Record`], then which record of the kernel's comes
//! next, then how many lines of which pipe are lost and not told of, then two areas of [`LOG_TURN_BYTES_MAX`] bytes. The first holds bytes as they lie in a
//! service's pipe. The second holds the opposite of each of them (`!byte`),
//! until the very read that takes them from the pipe puts them there: so each
//! byte of the second area says whether its like was taken.

use crate::bytes::{ReadError, Reader, Writer};
use crate::limits::LOG_TURN_BYTES_MAX;

/// One step: append `written` bytes to `current`, then take `taken` bytes
/// from a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Which boot it was; a pipe of another one is another pipe.
    pub boot: u64,
    /// The inode number of the pipe.
    pub pipe: u64,
    /// The inode number of `current`.
    pub file: u64,
    /// Bytes of `current` before the step.
    pub before: u64,
    /// Bytes that the step appends.
    pub written: u32,
    /// Bytes that the step takes from the pipe.
    pub taken: u32,
    /// After the step: lines of this pipe that were given up, because the log
    /// could not be written and a service would have been blocked, and that
    /// the log does not tell of.
    pub lost: u64,
    /// `false`: nothing is under way.
    pub under_way: bool,
}

/// Bytes of a record, its checksum included.
pub const RECORD_BYTES: usize = 64;

/// Where it is said which record of the kernel's comes next.
const NEXT_AT: usize = RECORD_BYTES;
const NEXT_BYTES: usize = 16;

/// Where it is said what is lost: the inode number of a pipe, and lines.
const LOST_AT: usize = NEXT_AT + NEXT_BYTES;
const LOST_BYTES: usize = 16;

/// Stands in the place of a pipe for the kernel's records, whose numbers lie in the two areas then, a line each.
pub const KERNEL: u64 = u64::MAX;

/// Where the area of expected bytes begins: a page of its own for the record.
pub const EXPECTED_AT: usize = 4096;

/// Where the area of taken bytes begins.
pub const TAKEN_AT: usize = EXPECTED_AT + LOG_TURN_BYTES_MAX;

/// Bytes of the whole file.
pub const JOURNAL_BYTES: usize = TAKEN_AT + LOG_TURN_BYTES_MAX;

const MAGIC: u32 = u32::from_le_bytes(*b"dwj2");

impl Record {
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut w = Writer::new();
        w.u32(MAGIC).u64(self.boot).u64(self.pipe).u64(self.file).u64(self.before);
        w.u32(self.written).u32(self.taken).u64(self.lost).u32(u32::from(self.under_way));
        let sum = xxhash_rust::xxh64::xxh64(w.as_bytes(), 0);
        w.u64(sum);
        core::array::from_fn(|i| w.as_bytes()[i])
    }

    /// # Errors
    /// A record that was half written when its writer was killed: what it
    /// would have said was not begun.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        let bytes = bytes.get(..RECORD_BYTES).ok_or(ReadError::Short)?;
        let mut r = Reader::new(bytes);
        if r.u32()? != MAGIC {
            return Err(ReadError::Impossible);
        }
        let (boot, pipe, file, before) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let (written, taken, lost) = (r.u32()?, r.u32()?, r.u64()?);
        let under_way = match r.u32()? {
            0 => false,
            1 => true,
            _ => return Err(ReadError::Impossible),
        };
        let sum = xxhash_rust::xxh64::xxh64(&bytes[..RECORD_BYTES - 8], 0);
        if r.u64()? != sum || taken as usize > LOG_TURN_BYTES_MAX {
            return Err(ReadError::Impossible);
        }
        Ok(Self { boot, pipe, file, before, written, taken, lost, under_way })
    }
}

/// The number of the kernel's record that comes next.
pub fn next_record(journal: &[u8]) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|at| journal[NEXT_AT + at]))
}

pub fn set_next_record(journal: &mut [u8], number: u64) {
    journal[NEXT_AT..NEXT_AT + 8].copy_from_slice(&number.to_le_bytes());
}

/// Lines that are lost and not told of, with the inode numbers of their pipes.
pub fn losses(journal: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let (entries, _) = journal[LOST_AT..EXPECTED_AT].as_chunks::<LOST_BYTES>();
    entries.iter().map(read_loss).filter(|(_, lines)| *lines > 0)
}

/// Says how many lines of a pipe are lost; 0: nothing is left to be told. Of more pipes than there is
/// room for, nothing is said.
pub fn set_loss(journal: &mut [u8], pipe: u64, lines: u64) {
    let (entries, _) = journal[LOST_AT..EXPECTED_AT].as_chunks_mut::<LOST_BYTES>();
    let known = entries.iter().position(|entry| matches!(read_loss(entry), (p, 1..) if p == pipe));
    let free = || entries.iter().position(|entry| read_loss(entry).1 == 0);
    if let Some(at) = known.or_else(|| free().filter(|_| lines > 0)) {
        // Whose it is before how much it is: a kill in between leaves 0 there.
        entries[at][..8].copy_from_slice(&pipe.to_le_bytes());
        entries[at][8..].copy_from_slice(&lines.to_le_bytes());
    }
}

fn read_loss(entry: &[u8; LOST_BYTES]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| entry[at + i]));
    (number(0), number(8))
}

/// How many of the bytes `expected` were taken from the pipe, as `taken` says.
pub fn count_taken(expected: &[u8], taken: &[u8]) -> usize {
    expected.iter().zip(taken).take_while(|(expected, taken)| expected == taken).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_torn_one_does_not() {
        let record = Record {
            boot: 1,
            pipe: 2,
            file: 3,
            before: 4,
            written: 50,
            taken: 6,
            lost: 7,
            under_way: true,
        };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Ok(record));
        let older = Record { before: 1 << 40, under_way: false, ..record }.to_bytes();
        for torn_at in 0..RECORD_BYTES {
            let mut torn = older;
            torn[..torn_at].copy_from_slice(&bytes[..torn_at]);
            if torn != older && torn != bytes {
                assert!(Record::from_bytes(&torn).is_err(), "torn at {torn_at}");
            }
            assert_eq!(Record::from_bytes(&bytes[..torn_at]), Err(ReadError::Short));
        }
    }

    #[test]
    fn losses_are_known_by_their_pipes_until_they_are_told() {
        let mut journal = alloc::vec![0; EXPECTED_AT];
        set_loss(&mut journal, 7, 0);
        set_loss(&mut journal, 7, 3);
        set_loss(&mut journal, 8, 1 << 40);
        set_loss(&mut journal, 7, 5);
        assert_eq!(losses(&journal).collect::<alloc::vec::Vec<_>>(), [(7, 5), (8, 1 << 40)]);
        set_loss(&mut journal, 7, 0);
        set_loss(&mut journal, 9, 2);
        assert_eq!(losses(&journal).collect::<alloc::vec::Vec<_>>(), [(9, 2), (8, 1 << 40)]);
        for pipe in 0..1000 {
            set_loss(&mut journal, pipe, 1);
        }
        assert_eq!(losses(&journal).count(), (EXPECTED_AT - LOST_AT) / LOST_BYTES);
    }
}
