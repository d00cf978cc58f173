//! Ends of children (`waitid(2)`), and signals to them.

use std::io;
use std::mem::MaybeUninit;

use model::service::status::Exit;

/// A child that has ended, not yet reaped. `None`: none has, or there is none.
///
/// It stays there until [`reap`]: a fall between the two loses nothing.
pub fn peek() -> Option<(u32, Exit)> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid fills `info`, or leaves the zeros it was made with.
    unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) != 0 {
            return None;
        }
        let info = info.assume_init();
        let pid = info.si_pid();
        let status = info.si_status();
        let exit = match info.si_code {
            libc::CLD_EXITED => Exit::Code(status as u8),
            _ => Exit::Signal(super::signals::portable(status)),
        };
        (pid > 0).then_some((pid as u32, exit))
    }
}

/// Takes an ended child away.
pub fn reap(pid: u32) {
    // SAFETY: waits for one child, without blocking; no memory is passed.
    unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Sends `signal` (numbered as in `asm-generic/signal.h`) to a process, or to
/// the group that it leads. One that is gone is no error.
pub fn kill(pid: u32, signal: u8, group: bool) {
    let Ok(target) = i32::try_from(pid) else { return };
    if target < 2 {
        return; // never everyone, never init
    }
    let target = if group { -target } else { target };
    // SAFETY: numbers only.
    unsafe { libc::kill(target, super::signals::native(signal)) };
}

/// Sends a signal to every process but this one. For pid 1 only.
pub fn kill_everyone(signal: u8) {
    // SAFETY: numbers only; the kernel leaves out the caller and pid 1.
    unsafe { libc::kill(-1, super::signals::native(signal)) };
}

/// Whether there is any child, alive or ended.
pub fn any() -> bool {
    // SAFETY: as in `peek`.
    unsafe {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        libc::waitid(
            libc::P_ALL,
            0,
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
        ) == 0
    }
}

/// Becomes the parent of every orphan below (`PR_SET_CHILD_SUBREAPER`), as
/// pid 1 is by nature.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
