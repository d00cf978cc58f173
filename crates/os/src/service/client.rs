//! What programs ask of a supervised service directory, and tell it: the
//! files and the fifo in `supervise/` (docs/compat.md).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::limits::DEATH_TALLY_MAX;
use model::service::status::{DEATH_BYTES, Death, STATUS_BYTES, Status, deaths as deaths_in};
use rustix::fs::{self, Access, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::ask;

/// Why a command did not reach a supervisor.
#[derive(Debug)]
pub enum ControlError {
    /// There is no supervisor.
    NotSupervised,
    /// The system refused.
    Refused(io::Error),
}

/// Whether a supervisor runs on the service directory `dir`: it holds a lock
/// on `supervise/lock`. A directory that is not there is not supervised.
pub fn supervised(dir: &Path) -> io::Result<bool> {
    locked(dir, "supervise/lock")
}

/// Whether a supervisor of many runs on the scan directory `dir`.
pub fn scanned(dir: &Path) -> io::Result<bool> {
    locked(dir, ".s6-svscan/lock")
}

fn locked(dir: &Path, file: &str) -> io::Result<bool> {
    let lock = match open(dir, file, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(lock) => lock,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let held = ask::locked_by_another(lock.as_fd())?;
    leave(lock);
    Ok(held)
}

/// Reads `supervise/status`.
///
/// # Errors
/// `InvalidData` where the file is not one of a supervisor.
pub fn status(dir: &Path) -> io::Result<Status> {
    let file = open(dir, "supervise/status", OFlags::RDONLY | OFlags::NONBLOCK)?;
    // One byte more than there may be: a longer file is another program's.
    let mut bytes = [0; STATUS_BYTES + 1];
    let length = rustix::io::read(&file, &mut bytes)?;
    leave(file);
    Status::from_bytes(&bytes[..length]).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "supervise/status is not a status of s6")
    })
}

/// Whether the service is started when its supervisor starts: there is no
/// `down` file. What cannot be seen does not keep it down.
pub fn normally_up(dir: &Path) -> bool {
    fs::access(dir.join("down"), Access::EXISTS).is_err()
}

/// Whether the service says when it is ready.
pub fn notifies(dir: &Path) -> io::Result<bool> {
    match fs::access(dir.join("notification-fd"), Access::EXISTS) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process group of a service's process; `None` where it cannot be named.
pub fn process_group(pid: u64) -> Option<u64> {
    let group = ask::process_group(i32::try_from(pid).ok()?)?;
    u64::try_from(group).ok()
}

/// Sends letters to the supervisor of a service directory.
pub fn control(dir: &Path, letters: &[u8]) -> Result<(), ControlError> {
    send(dir, "supervise/control", letters)
}

/// Sends letters to the supervisor of a scan directory.
pub fn control_scan(dir: &Path, letters: &[u8]) -> Result<(), ControlError> {
    send(dir, ".s6-svscan/control", letters)
}

/// All of `letters` in one write, so that nobody's come between them.
fn send(dir: &Path, fifo: &str, letters: &[u8]) -> Result<(), ControlError> {
    let refused = |error: Errno| ControlError::Refused(error.into());
    let fifo = match open(dir, fifo, OFlags::WRONLY | OFlags::NONBLOCK) {
        Ok(fifo) => fifo,
        // Nobody has it open for reading.
        Err(Errno::NXIO) => return Err(ControlError::NotSupervised),
        // Never supervised, where the directory itself is there.
        Err(Errno::NOENT) if fs::access(dir, Access::EXISTS).is_ok() => {
            return Err(ControlError::NotSupervised);
        }
        Err(error) => return Err(refused(error)),
    };
    if letters.is_empty() {
        return Ok(());
    }
    let written = match rustix::io::write(&fifo, letters) {
        Err(Errno::AGAIN) => 0,
        written => written.map_err(refused)?,
    };
    if written < letters.len() {
        // Full: the supervisor has not come round to it yet.
        rustix::io::ioctl_fionbio(&fifo, false).map_err(refused)?;
        File::from(fifo).write_all(&letters[written..]).map_err(ControlError::Refused)?;
    }
    Ok(())
}

/// Reads `supervise/death_tally`, the oldest first.
///
/// # Errors
/// `InvalidData` where there are more than a supervisor may keep.
pub fn deaths(dir: &Path) -> io::Result<Vec<Death>> {
    let file = File::from(open(dir, "supervise/death_tally", OFlags::RDONLY | OFlags::NONBLOCK)?);
    let bytes_max = DEATH_TALLY_MAX as usize * DEATH_BYTES;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "supervise/death_tally is longer than a supervisor writes it",
        ));
    }
    Ok(deaths_in(&bytes).collect())
}

/// Forgets all deaths.
pub fn clear_deaths(dir: &Path) -> io::Result<()> {
    // The supervisor appends with the file open: it is emptied, not replaced.
    open(dir, "supervise/death_tally", OFlags::WRONLY | OFlags::NONBLOCK | OFlags::TRUNC)?;
    Ok(())
}

fn open(dir: &Path, file: impl AsRef<OsStr>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path: PathBuf = dir.join(file.as_ref());
    fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Leaves a descriptor to the end of the process. The programs that read a
/// status live for a tenth of a millisecond; closing costs them a system call.
fn leave(fd: OwnedFd) {
    std::mem::forget(fd);
}
