//! Network cards whose other end is a program: Linux `include/uapi/linux/if_tun.h`.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

/// Where they are made.
const DEVICE: &str = "/dev/net/tun";

/// Whether this system has such cards, and the caller may use them.
pub fn usable() -> io::Result<()> {
    File::options().read(true).write(true).open(DEVICE).map(drop)
}

/// Takes the program's end of the card `name` of this network namespace, which is made where it
/// is not there. Whole packets are read and written, with all their checksums.
///
/// # Errors
/// - `NotFound`: this system has no such cards.
/// - `PermissionDenied`: the caller may not use them, or not in this network namespace.
pub fn take(name: &str) -> io::Result<OwnedFd> {
    // The card belongs to the namespace that this is opened in.
    let device = File::options().read(true).write(true).open(DEVICE)?;
    let mut request = MaybeUninit::<libc::ifreq>::zeroed();
    // SAFETY: zeros are a request; its name stays ended by one, and the kernel reads and writes
    // no more than the request.
    unsafe {
        let request = request.assume_init_mut();
        let places = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
        for (place, byte) in places.zip(name.bytes()) {
            *place = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        if libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw mut *request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(device.into())
}
