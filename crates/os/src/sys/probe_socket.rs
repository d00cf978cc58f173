//! Sockets that go through one interface, and hear nothing but echoes (`socket(7)`, `raw(7)`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const ICMP_FILTER: libc::c_int = 1; // Linux include/uapi/linux/icmp.h
const ICMP6_FILTER: libc::c_int = 1; // Linux include/uapi/linux/icmpv6.h

/// Whatever comes and goes through this socket does so through `interface`.
///
/// # Errors
/// There is no such interface, or the system does not let this process choose.
pub fn bind_to_interface(socket: BorrowedFd<'_>, interface: &str) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, interface.as_bytes())
}

/// A raw socket of ICMP hears answers to echoes and nothing else.
pub fn only_echoes(socket: BorrowedFd<'_>, is_4: bool) -> io::Result<()> {
    if is_4 {
        // A bit for each type that is kept away; 0 is the answer to an echo.
        return set(socket, libc::SOL_RAW, ICMP_FILTER, &(!1u32).to_ne_bytes());
    }
    let mut away = [u32::MAX; 8];
    away[129 / 32] &= !(1 << (129 % 32));
    let bytes: Vec<u8> = away.iter().flat_map(|word| word.to_ne_bytes()).collect();
    set(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &bytes)
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
