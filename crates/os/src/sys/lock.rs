//! Locks on files that a process keeps over `exec` (`fcntl(2)`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::time::Duration;

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until it is free.
    Ever,
    /// At most this long.
    For(Duration),
}

/// For opening a file that may be a fifo without waiting for its other end.
pub const NONBLOCK: i32 = libc::O_NONBLOCK;

/// Leaves a file open for good, over `exec` too: as `descriptor`, or as any.
///
/// # Errors
/// There can be no such descriptor. The file is open no longer.
pub fn leave_open(file: File, descriptor: Option<i32>) -> io::Result<BorrowedFd<'static>> {
    let raw = match descriptor {
        Some(wanted) if wanted != file.as_raw_fd() => {
            // SAFETY: a plain call on numbers. What was open as `wanted` is
            // what the caller means to replace.
            if unsafe { libc::dup2(file.as_raw_fd(), wanted) } == -1 {
                return Err(io::Error::last_os_error());
            }
            wanted
        }
        _ => {
            let raw = file.into_raw_fd();
            // SAFETY: a plain call on numbers.
            if unsafe { libc::fcntl(raw, libc::F_SETFD, 0) } == -1 {
                return Err(io::Error::last_os_error());
            }
            raw
        }
    };
    // SAFETY: it is open, and nothing owns it that could close it.
    Ok(unsafe { BorrowedFd::borrow_raw(raw) })
}

/// Takes the lock on a whole file; `shared` ones tolerate each other.
///
/// The lock belongs to the process, whatever program it becomes, until the
/// process closes any descriptor of this file. A file must be open for
/// writing to be locked alone.
///
/// # Errors
/// `WouldBlock` where another process keeps the lock for too long.
pub fn take(file: BorrowedFd<'_>, shared: bool, wait: Wait) -> io::Result<()> {
    match wait {
        Wait::No => call(file, shared, libc::F_SETLK),
        Wait::Ever => call(file, shared, libc::F_SETLKW),
        Wait::For(limit) => {
            let quick = call(file, shared, libc::F_SETLK);
            if limit.is_zero() || !quick.as_ref().is_err_and(is_busy) {
                return quick;
            }
            let alarm = Alarm::after(limit);
            let taken = call(file, shared, libc::F_SETLKW);
            drop(alarm);
            match taken {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                other => other,
            }
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn call(file: BorrowedFd<'_>, shared: bool, command: i32) -> io::Result<()> {
    // SAFETY: all zero is a `flock` that means the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = if shared { libc::F_RDLCK } else { libc::F_WRLCK } as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the kernel reads one `flock`.
    if unsafe { libc::fcntl(file.as_raw_fd(), command, &lock) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // POSIX lets a busy lock be either of two errors.
    match error.raw_os_error() {
        Some(libc::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(error),
    }
}

/// The structure of that name as this system call wants it, whatever width the
/// C library gives its times: seconds and microseconds, of the interval first.
fn itimerval(interval: Duration, first: Duration) -> [libc::c_long; 4] {
    let secs = |span: Duration| libc::c_long::try_from(span.as_secs()).unwrap_or(libc::c_long::MAX);
    let micros = |span: Duration| span.subsec_micros() as libc::c_long;
    [secs(interval), micros(interval), secs(first), micros(first)]
}

/// Interrupts a call that blocks, after a time, until it is dropped.
struct Alarm {
    before: libc::sigaction,
}

impl Alarm {
    fn after(limit: Duration) -> Self {
        extern "C" fn nothing(_: libc::c_int) {}
        // It rings again, in case the first comes before the call that blocks.
        let again = Duration::from_millis(10);
        let timer = itimerval(again, limit.max(Duration::from_micros(1)));
        // SAFETY: the handler does nothing, and all structures are whole. No
        // SA_RESTART: the call is to be interrupted.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            let mut before = std::mem::zeroed();
            libc::sigaction(libc::SIGALRM, &action, &mut before);
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGALRM);
            libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
            libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, timer.as_ptr(), 0usize);
            Self { before }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: a timer of zeros is one that never rings; `before` was filled.
        unsafe {
            let never = itimerval(Duration::ZERO, Duration::ZERO);
            libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, never.as_ptr(), 0usize);
            libc::sigaction(libc::SIGALRM, &self.before, std::ptr::null_mut());
        }
    }
}
