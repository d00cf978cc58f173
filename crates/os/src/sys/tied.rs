//! Programs that end with the one that started them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Starts `command`, which gets `lent` under the numbers that they have here. It is killed when
/// the thread that calls this ends.
pub fn spawn(mut command: Command, lent: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let numbers: Vec<RawFd> = lent.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = rustix::process::getpid();
    let prepare = move || {
        for number in &numbers {
            // SAFETY: clears a flag of a descriptor that is open as long as `lent` lives.
            if unsafe { libc::fcntl(*number, libc::F_SETFD, 0) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before that.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock
    // is taken.
    unsafe { command.pre_exec(prepare) }.spawn()
}
