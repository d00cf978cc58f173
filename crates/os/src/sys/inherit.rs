//! What a program was started with, and passes on: descriptors by their
//! number, ignored signals, and itself (`fork(2)`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes the descriptor `number` that whoever started the program left open
/// for it. Nobody else in the program may use it; programs started from here
/// do not get it.
///
/// # Errors
/// It is not open.
pub fn descriptor(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: setting a flag; the caller says whose descriptor it is.
    unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Whether the program was started with `signal` ignored, as `nohup` does.
pub fn ignores(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks; `action` is filled where the answer is 0.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Goes on as two processes: the child's number in the first, `None` in the
/// child.
///
/// # Panics
/// In a program with several threads, of which the child would lack all but
/// this one.
pub fn fork() -> io::Result<Option<i32>> {
    assert!(alone(), "only a program of one thread can go on as two");
    // SAFETY: there is one thread, so no lock is held by a thread that the
    // child does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Whether this is the only thread, as far as the system can say.
fn alone() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |threads| threads.count() <= 1)
}

/// Takes over a descriptor that an earlier program left open for this one,
/// and that the next one is to have as well; `None` where it is not open.
pub fn kept(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl only looks; if the number is open, it is ours by the
    // agreement between the two programs.
    unsafe { (libc::fcntl(number, libc::F_GETFD) >= 0).then(|| OwnedFd::from_raw_fd(number)) }
}

/// Moves a descriptor to a number that is not below `lowest`, so that the
/// numbers below are free for other uses. Survives `exec`.
pub fn move_up(fd: OwnedFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: duplicates an open descriptor; the new one is ours alone.
    unsafe {
        match libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, lowest) {
            -1 => Err(io::Error::last_os_error()),
            new => Ok(OwnedFd::from_raw_fd(new)),
        }
    }
}

/// Descriptors 0, 1 and 2: a program here keeps them open as long as it runs.
pub fn standard_streams() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nothing in this program closes them.
    unsafe { [0, 1, 2].map(|number| BorrowedFd::borrow_raw(number)) }
}

/// The program that this one becomes gets no descriptors but 0, 1 and 2.
pub fn keep_standard_streams() {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4; // Linux include/uapi/linux/close_range.h
    // SAFETY: a flag of descriptors.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // A kernel before 5.11: one by one. What is not in the list is not open.
    for entry in std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            // SAFETY: the same flag; a number that was closed meanwhile is refused.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Makes sure that descriptors 0, 1 and 2 are open, on `device` where they were
/// not, so that no other file ever gets one of these numbers.
pub fn open_standard_streams(device: &str) -> io::Result<()> {
    // SAFETY: only asks.
    if (0..3).all(|number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0) {
        return Ok(());
    }
    loop {
        let stream = std::fs::File::options().read(true).write(true).open(device)?;
        if stream.as_raw_fd() > 2 {
            return Ok(());
        }
        std::mem::forget(stream);
    }
}

/// Puts a descriptor in the place of a standard stream.
pub fn replace_stream(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    assert!((0..3).contains(&number), "only standard streams are replaced");
    // SAFETY: both numbers are open, and nobody owns the standard streams.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_open_cannot_be_taken() {
        assert!(descriptor(1_000_000).is_err());
        assert!(descriptor(-1).is_err());
        assert!(!ignores(libc::SIGUSR2));
    }
}
