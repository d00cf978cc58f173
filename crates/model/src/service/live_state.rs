//! One byte of `LIVE/state`: all that outlives the manager about one service.
//!
//! The file has one byte per longrun and oneshot, in the order of the
//! database. Bits 0 and 1 are the peer's; the others let a manager that was
//! killed in the middle of a change go on where it was. The layout is in
//! `docs/formats/live-directory.md`.

/// The service is up.
pub const UP: u8 = 1;
/// Somebody asked for it by name, or by the name of a bundle.
pub const WANTED: u8 = 1 << 1;
/// It was ordered to start; with [`UP`] clear.
pub const STARTING: u8 = 1 << 2;
/// It was ordered to stop. With [`UP`] clear: what a failed start left is
/// being ended.
pub const STOPPING: u8 = 1 << 3;
/// It is being restarted: once it is down it starts again.
pub const AGAIN: u8 = 1 << 4;

/// Somebody asked for it by the name of a bundle, and it is controlled or needs
/// what is: it comes and goes with that.
pub const AWAITED: u8 = 1 << 5;

/// The low bits of the number of the last script that was ordered stand here:
/// they say whether init has heard of it.
pub const RUN_SHIFT: u32 = 6;

/// The script that a ticket is for stands in its low bits, the number of the
/// run above them.
pub const TICKET_SCRIPT_BITS: u32 = 2;

pub fn is_up(byte: u8) -> bool {
    byte & UP != 0
}
