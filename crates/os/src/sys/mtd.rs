//! What only flash can do: erase, remember bad blocks, count what it mended (`MEM…`).
//!
//! Source: Linux `include/uapi/mtd/mtd-abi.h`.

use std::ffi::{c_longlong, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::ioctl::{Opcode, opcode};

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Info {
    pub kind: u8,
    pub flags: u32,
    pub bytes: u32,
    pub erase_bytes: u32,
    pub write_bytes: u32,
    pub spare_bytes: u32,
    padding: u64,
}

/// Kinds.
pub const NAND: u8 = 4;
pub const NAND_MLC: u8 = 8;
/// Flags: it can be written to, bit by bit, without being erased.
pub const WRITABLE: u32 = 0x400;
pub const BIT_WRITABLE: u32 = 0x800;
pub const NO_ERASE: u32 = 0x1000;

#[repr(C)]
struct Span {
    start: u64,
    bytes: u64,
}

/// What the flash has counted since it was found.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Bits that it mended, and places where it could not.
    pub corrected: u32,
    pub failed: u32,
    pub bad_blocks: u32,
    pub reserved_blocks: u32,
}

/// What the partition is.
pub fn info(flash: impl AsFd) -> io::Result<Info> {
    let mut info = Info::default();
    call(flash, opcode::read::<Info>(b'M', 1), (&raw mut info).cast())?;
    Ok(info)
}

/// Erases whole blocks.
pub fn erase(flash: impl AsFd, start: u64, bytes: u64) -> io::Result<()> {
    let mut span = Span { start, bytes };
    call(flash, opcode::write::<Span>(b'M', 20), (&raw mut span).cast()).map(drop)
}

/// Whether the block that begins here is marked as bad.
pub fn is_bad(flash: impl AsFd, offset: u64) -> io::Result<bool> {
    let mut offset = offset as c_longlong;
    call(flash, opcode::write::<c_longlong>(b'M', 11), (&raw mut offset).cast()).map(|it| it != 0)
}

/// Marks it as bad, for ever.
pub fn mark_bad(flash: impl AsFd, offset: u64) -> io::Result<()> {
    let mut offset = offset as c_longlong;
    call(flash, opcode::write::<c_longlong>(b'M', 12), (&raw mut offset).cast()).map(drop)
}

pub fn statistics(flash: impl AsFd) -> io::Result<Statistics> {
    let mut statistics = Statistics::default();
    call(flash, opcode::read::<Statistics>(b'M', 18), (&raw mut statistics).cast())?;
    Ok(statistics)
}

/// `argument` must be what the code is for.
fn call(flash: impl AsFd, code: Opcode, argument: *mut c_void) -> io::Result<i32> {
    // SAFETY: each caller passes the structure that its code is made of, which outlives the call.
    match unsafe { libc::ioctl(flash.as_fd().as_raw_fd(), code as _, argument) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}
