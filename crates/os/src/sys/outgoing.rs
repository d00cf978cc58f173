//! What the other side of a connection has not yet confirmed (`tcp(7)`, `SIOCOUTQ`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes that were sent and have not arrived.
pub fn count(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one int.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ as _, &mut count) } {
        0 => Ok(usize::try_from(count).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}
