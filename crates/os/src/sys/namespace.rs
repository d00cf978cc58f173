//! Namespaces: leaving the machine's own, and starting programs in new ones
//! (`unshare(2)`, `pid_namespaces(7)`).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves this process into new user, mount, network, host name and message
/// namespaces. The children it starts from now on live in a new process
/// namespace; the first of them is its pid 1.
///
/// # Errors
/// Refused where the process has a second thread, or where the system's
/// settings allow no (more) user namespaces. Nothing has changed then.
pub fn leave_all() -> io::Result<()> {
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWPID;
    // SAFETY: no flag of these ends the sharing of descriptors, which is what
    // makes the call unsafe; the rest is the kernel's to check.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Starts `command` as the leader of a new session, with `/proc` mounted anew
/// for its process namespace. It is killed when the thread that calls this ends.
pub fn spawn_first(command: &mut Command) -> io::Result<Child> {
    let prepare = || {
        setsid()?;
        crate::namespace::exchange_proc()?;
        Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
    };
    // SAFETY: between fork and exec only system calls are made; nothing is
    // allocated and no lock is taken.
    unsafe { command.pre_exec(prepare) }.spawn()
}

/// Starts `command` as the leader of a new session, whose terminal is its
/// standard input.
pub fn spawn_on_terminal(command: &mut Command) -> io::Result<Child> {
    let prepare = || {
        setsid()?;
        Ok(ioctl_tiocsctty(io::stdin())?)
    };
    // SAFETY: as above; `stdin()` is only asked for its number.
    unsafe { command.pre_exec(prepare) }.spawn()
}
