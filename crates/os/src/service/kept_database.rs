//! The database of a live directory in memory that outlives `exec`: init goes
//! on with what it has taken, whatever becomes of the file meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use model::limits::DATABASE_BYTES_MAX;
use model::service::database::{Database, DatabaseError};
use rustix::fs::{self, Mode, OFlags};

use crate::sys::inherit;
use crate::sys::memory::SharedMemory;

/// A database that was checked.
pub struct KeptDatabase(SharedMemory);

impl KeptDatabase {
    /// Reads the database of the live directory `directory`, and checks it.
    pub fn read(directory: &OwnedFd) -> io::Result<Self> {
        // A pipe in its place must not keep init waiting for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(fs::openat(directory, "compiled/db", flags, Mode::empty())?);
        let about = file.metadata()?;
        let size = usize::try_from(about.len()).unwrap_or(usize::MAX);
        if !about.is_file() || size == 0 || size > DATABASE_BYTES_MAX {
            return Err(refused(DatabaseError::NotADatabase));
        }
        let mut memory = SharedMemory::new(c"ward-database", size)?;
        file.read_exact(memory.bytes_mut())?;
        Self::checked(memory)
    }

    /// What the program before this one kept behind the descriptor `number`.
    ///
    /// # Errors
    /// There is none.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        let file = match number {
            ..3 => None,
            _ => inherit::kept(number),
        };
        Self::checked(SharedMemory::from_file(file.ok_or(io::ErrorKind::NotFound)?)?)
    }

    fn checked(memory: SharedMemory) -> io::Result<Self> {
        Database::open(memory.bytes()).map_err(refused)?;
        Ok(Self(memory))
    }

    pub fn open(&self) -> Database<'_> {
        Database::reopen(self.0.bytes())
    }

    /// The number of the descriptor that holds it.
    pub fn number(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn refused(error: DatabaseError) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_not_kept() {
        let folder = std::env::temp_dir().join(format!("kept-database-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("compiled")).unwrap();
        let directory = crate::files::directory(&folder).unwrap();
        for bytes in [&b""[..], b"ward.svc.db\n", &[0; 5000]] {
            std::fs::write(folder.join("compiled/db"), bytes).unwrap();
            assert!(KeptDatabase::read(&directory).is_err(), "{} bytes", bytes.len());
        }
        std::fs::remove_dir_all(folder).unwrap();
        assert!(KeptDatabase::inherited(-1).is_err());
        // Standard output is no memory, and stays open.
        assert!(KeptDatabase::inherited(1).is_err());
        assert!(inherit::standard_streams()[1].try_clone_to_owned().is_ok());
    }
}
