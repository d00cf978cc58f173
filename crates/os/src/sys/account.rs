//! Which user and groups this process runs as.

use std::io;

use rustix::process;

/// Changes the groups, then the group, then the user of this process, each
/// where it is given: in this order, because the user is what allows it.
///
/// The group (or our own, where none is given) becomes the first of `groups`.
///
/// # Errors
/// Names what was refused. What came before it has been changed.
pub fn become_user(
    user: Option<u32>,
    group: Option<u32>,
    groups: Option<&[u32]>,
) -> Result<(), (&'static str, io::Error)> {
    if let Some(groups) = groups {
        let first = group.unwrap_or_else(|| process::getegid().as_raw());
        let all: Vec<u32> =
            [first].into_iter().chain(groups.iter().copied().filter(|&g| g != first)).collect();
        // SAFETY: the kernel reads `all.len()` numbers from `all`.
        check(unsafe { libc::setgroups(all.len(), all.as_ptr()) })
            .map_err(|e| ("change the supplementary groups", e))?;
    }
    if let Some(group) = group {
        // SAFETY: a plain call on a number.
        check(unsafe { libc::setgid(group) }).map_err(|e| ("change the group", e))?;
    }
    if let Some(user) = user {
        // SAFETY: a plain call on a number.
        check(unsafe { libc::setuid(user) }).map_err(|e| ("change the user", e))?;
    }
    Ok(())
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// No program that this process becomes has more rights than it has now (`PR_SET_NO_NEW_PRIVS`).
pub fn give_up_more() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}
