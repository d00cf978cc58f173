//! SIGIO when a writer fills a pipe (`fcntl(2)`, `O_ASYNC`).
//!
//! An edge-triggered `epoll(7)` is not told of a write that begins while the
//! pipe holds something and then blocks because it is full (seen on Linux
//! 6.18; `pipe_write` wakes readers before it waits only if the pipe was
//! empty). Whoever leaves an unfinished line in a pipe asks for SIGIO, too:
//! that is sent in every case.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The signal that is sent.
pub const SIGNAL: i32 = libc::SIGIO;

/// Asks for [`SIGNAL`] at every write into the pipe that `end` reads, or stops
/// asking. `end` never blocks any more. Who shares its description shares both.
pub fn ask(end: BorrowedFd<'_>, wanted: bool) -> io::Result<()> {
    let fd = end.as_raw_fd();
    let flags = libc::O_NONBLOCK | if wanted { libc::O_ASYNC } else { 0 };
    // SAFETY: these commands take integers and touch no memory of ours.
    unsafe {
        if wanted && libc::fcntl(fd, libc::F_SETOWN, libc::getpid()) != 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::fcntl(fd, libc::F_SETFL, flags) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
