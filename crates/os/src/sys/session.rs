//! Sessions, process groups, and whose terminal it is.

use std::io;

use rustix::process;

/// Makes this process the leader of a new session (`setsid(2)`).
///
/// # Errors
/// Refused to a process that leads a process group already.
pub fn lead_session() -> io::Result<()> {
    process::setsid()?;
    Ok(())
}

/// Makes this process the leader of a new process group (`setpgid(2)`).
pub fn lead_group() -> io::Result<()> {
    Ok(process::setpgid(None, None)?)
}

/// Makes this process's group the foreground group of a terminal
/// (`tcsetpgrp(3)`).
///
/// From the background the kernel stops the asking group with SIGTTOU until
/// somebody continues it; with `grab` that signal is held back meanwhile.
///
/// # Errors
/// The descriptor is not the terminal of this process's session.
pub fn take_foreground(terminal: i32, grab: bool) -> io::Result<()> {
    // SAFETY: plain calls on numbers; ignoring a signal runs none of our code.
    unsafe {
        let before = grab.then(|| libc::signal(libc::SIGTTOU, libc::SIG_IGN));
        let done = libc::tcsetpgrp(terminal, libc::getpgrp());
        let error = io::Error::last_os_error();
        if let Some(before) = before {
            libc::signal(libc::SIGTTOU, before);
        }
        if done == 0 { Ok(()) } else { Err(error) }
    }
}
