//! Partitions that are added to a device (`BLKPG`).

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Source: Linux `include/uapi/linux/blkpg.h`.
const BLKPG_ADD_PARTITION: c_int = 1;
const NAME_BYTES: usize = 64;

#[repr(C)]
struct Partition {
    start: c_longlong,
    length: c_longlong,
    /// Nobody looks at it for MTD.
    number: c_int,
    name: [c_char; NAME_BYTES],
    volume: [c_char; NAME_BYTES],
}

#[repr(C)]
struct Request {
    operation: c_int,
    flags: c_int,
    data_bytes: c_int,
    data: *mut c_void,
}

/// Adds a partition to a device that is open for writing.
pub fn add(device: impl AsFd, name: &str, start: u64, length: u64) -> io::Result<()> {
    let span = |bytes: u64| c_longlong::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: span(start)?,
        length: span(length)?,
        number: 0,
        name: [0; NAME_BYTES],
        volume: [0; NAME_BYTES],
    };
    // The last byte stays zero.
    if name.len() >= NAME_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in partition.name.iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    let request = Request {
        operation: BLKPG_ADD_PARTITION,
        flags: 0,
        data_bytes: size_of::<Partition>() as c_int,
        data: (&raw mut partition).cast(),
    };
    // `_IO(0x12, 105)`, which processors write differently.
    let code = rustix::ioctl::opcode::none(0x12, 105);
    // SAFETY: both structures are laid out as the kernel has them, and outlive the call.
    match unsafe { libc::ioctl(device.as_fd().as_raw_fd(), code as _, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
