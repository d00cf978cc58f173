//! The watchdog of the hardware: whoever has its descriptor feeds it. One program may open it, so that
//! another one takes over by taking the descriptor.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::{processes, sys};

/// How the files of watchdogs are called: `/dev/watchdog`, `/dev/watchdog0`.
const NAME: &str = "/dev/watchdog";

/// A watchdog that runs. Dropped, it goes on running, and nobody feeds it.
pub struct Watchdog(OwnedFd);

impl Watchdog {
    /// Opens a watchdog, which begins to run by that.
    ///
    /// # Errors
    /// `ResourceBusy`: another program has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().write(true).open(path)?.into()))
    }

    /// Takes a watchdog over from the process that has one, which keeps it as well; and which
    /// process that is. Needs Linux 5.6.
    pub fn take() -> io::Result<(Self, u32)> {
        let (pid, number) = holder().ok_or(io::ErrorKind::NotFound)?;
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(process.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
        let taken = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
        // The process may have closed it, and opened something else, meanwhile.
        match is_watchdog(taken.as_raw_fd()) {
            true => Ok((Self(taken), pid)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// One that the program before this one has left open for it.
    pub fn inherited(number: RawFd) -> Option<Self> {
        if is_watchdog(number) { sys::inherit::kept(number).map(Self) } else { None }
    }

    /// Starts the time anew. That it is not to end when it is closed is part of it.
    pub fn pat(&self) -> io::Result<()> {
        rustix::io::write(&self.0, b"\0")?;
        Ok(())
    }

    /// Sets the seconds after which it bites; the answer is what it took.
    pub fn set_timeout(&self, seconds: u32) -> io::Result<u32> {
        sys::watchdog::set_timeout(&self.0, seconds)
    }

    /// Ends it, where it can be ended.
    pub fn end(self) {
        // The letter before it is closed says so (the page named in `sys::watchdog`).
        let _ = rustix::io::write(&self.0, b"V");
    }

    /// The number that the program this one becomes knows it by.
    pub fn hand_on(&self) -> io::Result<RawFd> {
        rustix::io::fcntl_setfd(&self.0, rustix::io::FdFlags::empty())?;
        Ok(self.0.as_raw_fd())
    }
}

/// Whether any process has one open.
pub fn is_held() -> bool {
    holder().is_some()
}

fn is_watchdog(number: RawFd) -> bool {
    leads_to_watchdog(Path::new(&format!("/proc/self/fd/{number}")))
}

fn leads_to_watchdog(link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|path| path.to_string_lossy().starts_with(NAME))
}

/// The process that has a watchdog open, and the number of its descriptor.
fn holder() -> Option<(u32, RawFd)> {
    let own = std::process::id();
    processes::all().ok()?.into_iter().filter(|pid| *pid != own).find_map(|pid| {
        let mut open = processes::descriptors(pid).filter(|link| leads_to_watchdog(link));
        let number = open.find_map(|link| link.file_name()?.to_str()?.parse().ok())?;
        Some((pid, number))
    })
}
