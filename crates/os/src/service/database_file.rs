//! The file `db` of a compiled database.

use std::fmt;
use std::io;
use std::path::Path;

use model::limits::DATABASE_BYTES_MAX;
use model::service::database::{Database, DatabaseError};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// The bytes of a database that was read, but not looked at yet.
#[derive(PartialEq, Eq)]
pub struct DatabaseFile {
    bytes: Vec<u8>,
}

/// Why the file could not be read.
#[derive(Debug)]
pub enum DatabaseFileError {
    Refused(io::Error),
    /// It is no file, or larger than any database.
    NotADatabase,
}

impl fmt::Display for DatabaseFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::NotADatabase => DatabaseError::NotADatabase.fmt(f),
        }
    }
}

impl From<rustix::io::Errno> for DatabaseFileError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Refused(error.into())
    }
}

impl DatabaseFile {
    /// Reads the file `db` of the compiled database in `directory`.
    ///
    /// Read and not mapped: a mapped file that is cut short under its reader
    /// kills it.
    pub fn read(directory: &Path) -> Result<Self, DatabaseFileError> {
        // A pipe in its place must not keep us waiting for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = open(directory.join("db"), flags, Mode::empty())?;
        let stat = fstat(&file)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || size > DATABASE_BYTES_MAX {
            return Err(DatabaseFileError::NotADatabase);
        }
        // One byte more, to see a file that has grown.
        let mut bytes = Vec::with_capacity(size + 1);
        while bytes.len() <= size {
            if rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))? == 0 {
                break;
            }
        }
        Ok(Self { bytes })
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Checks the bytes and opens them.
    pub fn database(&self) -> Result<Database<'_>, DatabaseError> {
        Database::open(&self.bytes)
    }

    /// Opens again what [`DatabaseFile::database`] has accepted before.
    ///
    /// # Panics
    /// Where it was never accepted.
    pub fn reopen(&self) -> Database<'_> {
        Database::reopen(&self.bytes)
    }
}
