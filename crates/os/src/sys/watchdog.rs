//! Orders to a watchdog (Linux `Documentation/watchdog/watchdog-api.rst`).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets the seconds without a pat after which the machine restarts; the answer is what it took.
pub fn set_timeout(device: impl AsFd, seconds: u32) -> io::Result<u32> {
    let mut number = c_int::try_from(seconds).map_err(|_| io::ErrorKind::InvalidInput)?;
    // `WDIOC_SETTIMEOUT`, which processors write differently.
    let code = rustix::ioctl::opcode::read_write::<c_int>(b'W', 6);
    // SAFETY: the kernel reads and writes one number, which outlives the call.
    match unsafe { libc::ioctl(device.as_fd().as_raw_fd(), code as _, &raw mut number) } {
        0 => Ok(number.unsigned_abs()),
        _ => Err(io::Error::last_os_error()),
    }
}
