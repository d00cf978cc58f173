//! The logger's journal: what it was doing when it was killed.
//!
//! The file `.journal` of a log directory holds one [`Record`], then two areas
//! of [`LOG_TURN_BYTES_MAX`] bytes. The first holds bytes as they lie in a
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
    /// Lines that were given up since the log last said so, because it could
    /// not be written and a service would have been blocked.
    pub lost: u64,
    /// `false`: nothing is under way.
    pub under_way: bool,
}

/// Bytes of a record, its checksum included.
pub const RECORD_BYTES: usize = 64;

/// Where the area of expected bytes begins: a page of its own for the record.
pub const EXPECTED_AT: usize = 4096;

/// Where the area of taken bytes begins.
pub const TAKEN_AT: usize = EXPECTED_AT + LOG_TURN_BYTES_MAX;

/// Bytes of the whole file.
pub const JOURNAL_BYTES: usize = TAKEN_AT + LOG_TURN_BYTES_MAX;

const MAGIC: u32 = u32::from_le_bytes(*b"dwj1");

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
}
