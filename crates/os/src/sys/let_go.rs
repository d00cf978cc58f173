//! What keeps files in use without being a process: swap, and files used as disks.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Ends the use of a file or device as swap (`swapoff(2)`).
pub fn end_swap(path: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads a string that ends.
    match unsafe { libc::swapoff(path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has a loop device let go of its file: at once, or once nobody has it open any more.
///
/// Source: Linux `include/uapi/linux/loop.h`.
pub fn free_loop(device: impl AsFd) -> io::Result<()> {
    const LOOP_CLR_FD: u32 = 0x4c01;
    // SAFETY: an order without an argument.
    match unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_CLR_FD as _, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
