//! Turns `current` into an archive, and drops the oldest archives.

use alloc::vec::Vec;

use model::log::archive::Archive;
use model::log::policy::Policy;
use model::time::Date;

/// A log directory.
pub trait Directory {
    type Error;

    fn today(&mut self) -> Date;

    /// All archives with their sizes in bytes, in any order.
    fn archives(&self) -> &[(Archive, u64)];

    /// Marks `current` as closed in good order, and makes it last.
    fn close_current(&mut self) -> Result<(), Self::Error>;

    /// Gives `current` the name of this archive.
    fn archive_current(&mut self, archive: Archive) -> Result<(), Self::Error>;

    /// Makes `current` where it is missing, and opens it as one that grows.
    fn open_current(&mut self) -> Result<(), Self::Error>;

    fn remove(&mut self, archive: Archive) -> Result<(), Self::Error>;
}

/// Makes `current` an archive and begins a new one. Killed at any point, it
/// leaves every line in `current` or in one archive; whoever opens the
/// directory next begins with [`Directory::open_current`].
pub fn turn_over<D: Directory>(directory: &mut D) -> Result<(), D::Error> {
    directory.close_current()?;
    let date = next_date(directory.today(), directory.archives());
    directory.archive_current(Archive { date, finished: true })?;
    directory.open_current()
}

/// Makes `current` an archive, and removes the archives that are too many.
pub fn rotate<D: Directory>(directory: &mut D, policy: &Policy) -> Result<(), D::Error> {
    turn_over(directory)?;
    trim(directory, policy)
}

/// Removes the oldest archives until the rest is within `policy`.
pub fn trim<D: Directory>(directory: &mut D, policy: &Policy) -> Result<(), D::Error> {
    let mut archives: Vec<_> = directory.archives().to_vec();
    archives.sort_unstable();
    let mut total: u64 = archives.iter().map(|(_, size)| size).sum();
    let mut kept = archives.len();
    for (archive, size) in archives {
        let too_many = kept > policy.archives as usize;
        let too_much = policy.total_bytes != 0 && total > policy.total_bytes;
        if !too_many && !too_much {
            break;
        }
        directory.remove(archive)?;
        kept -= 1;
        total -= size;
    }
    Ok(())
}

/// The date of the next archive: today, but later than every archive there
/// is, so that a clock which was set back neither repeats a name nor makes
/// the newest archive look like the oldest.
pub fn next_date(today: Date, archives: &[(Archive, u64)]) -> Date {
    let newest = archives.iter().map(|(archive, _)| archive.date).max();
    match newest {
        Some(newest) if newest >= today => match newest.nanos {
            999_999_999 => Date { label: newest.label + 1, nanos: 0 },
            nanos => Date { nanos: nanos + 1, ..newest },
        },
        _ => today,
    }
}

#[cfg(test)]
mod tests;
