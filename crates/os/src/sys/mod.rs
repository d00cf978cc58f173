//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod account;
pub mod allocator;
pub mod arena;
pub mod ask;
pub mod blkpg;
pub mod children;
pub mod crash;
pub mod entry;
pub mod exec;

pub mod inherit;
pub mod lock;
pub mod mapping;
pub mod memory;
pub mod namespace;
pub mod notice;
pub mod outgoing;
pub mod probe_socket;
pub mod processor;
pub mod reboot;
pub mod regex;
pub mod rlimit;
pub mod session;
pub mod signals;
pub mod spawn;
pub mod tap;
pub mod tied;
#[cfg(feature = "for-size")]
mod unwinder;
pub mod wall_clock;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that an earlier program left open for this one;
/// `None` where it is not open.
pub fn inherit(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl only looks; if the number is open, it is ours by the
    // agreement between the two programs.
    unsafe { (libc::fcntl(number, libc::F_GETFD) >= 0).then(|| OwnedFd::from_raw_fd(number)) }
}

/// Moves a descriptor to a number that is not below `lowest`, so that the
/// numbers below are free for other uses. Survives `exec`.
pub fn move_up(fd: OwnedFd, lowest: RawFd) -> std::io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    // SAFETY: duplicates an open descriptor; the new one is ours alone.
    unsafe {
        match libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, lowest) {
            -1 => Err(std::io::Error::last_os_error()),
            new => Ok(OwnedFd::from_raw_fd(new)),
        }
    }
}

/// Descriptors 0, 1 and 2: a program here keeps them open as long as it runs.
pub fn standard_streams() -> (
    std::os::fd::BorrowedFd<'static>,
    std::os::fd::BorrowedFd<'static>,
    std::os::fd::BorrowedFd<'static>,
) {
    use std::os::fd::BorrowedFd;
    // SAFETY: nothing in this program closes them.
    unsafe { (BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)) }
}
