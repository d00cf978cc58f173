//! What the live directory says of one service: s6's `supervise/status` and
//! `supervise/death_tally`, byte for byte.
//!
//! Source: s6 `s6-supervise.html`, and the files of a running s6 2.11.

use core::fmt;

use crate::time::Date;

/// Bytes of `supervise/status`.
pub const STATUS_BYTES: usize = 35;

/// Bytes of one death in `supervise/death_tally`.
pub const DEATH_BYTES: usize = 14;

/// `supervise/status`: what s6's clients read to know how a longrun is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When the service last went up or down.
    pub changed: Date,
    /// When it last became ready; meaningful while `ready`.
    pub readied: Date,
    /// The process of `run` or `finish`, 0 where there is none.
    pub pid: u64,
    /// How `run` last ended, as `waitpid(2)` reports it.
    pub wait_status: u16,
    pub paused: bool,
    /// The process is `finish`.
    pub finishing: bool,
    pub wanted_up: bool,
    pub ready: bool,
}

impl Status {
    pub fn to_bytes(self) -> [u8; STATUS_BYTES] {
        let mut bytes = [0; STATUS_BYTES];
        bytes[..12].copy_from_slice(&self.changed.to_bytes());
        bytes[12..24].copy_from_slice(&self.readied.to_bytes());
        bytes[24..32].copy_from_slice(&self.pid.to_be_bytes());
        bytes[32..34].copy_from_slice(&self.wait_status.to_be_bytes());
        bytes[34] = u8::from(self.paused)
            | u8::from(self.finishing) << 1
            | u8::from(self.wanted_up) << 2
            | u8::from(self.ready) << 3;
        bytes
    }

    /// `None` where the bytes are not [`STATUS_BYTES`] long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STATUS_BYTES] = bytes.try_into().ok()?;
        let date = |at: usize| Date::from_bytes(core::array::from_fn(|i| bytes[at + i]));
        let flags = bytes[34];
        Some(Self {
            changed: date(0),
            readied: date(12),
            pid: u64::from_be_bytes(core::array::from_fn(|i| bytes[24 + i])),
            wait_status: u16::from_be_bytes([bytes[32], bytes[33]]),
            paused: flags & 1 != 0,
            finishing: flags & 2 != 0,
            wanted_up: flags & 4 != 0,
            ready: flags & 8 != 0,
        })
    }

    /// `run` itself is alive.
    pub fn up(self) -> bool {
        self.pid != 0 && !self.finishing
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(u8),
    Signal(u8),
}

/// What it did, as a sentence goes on: `exited 1`, `was killed by signal 9`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

impl Exit {
    /// From the status word of `waitpid(2)`: the low seven bits hold the
    /// signal, the next eight the exit code.
    pub fn from_wait_status(status: u16) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Code((status >> 8) as u8),
            signal => Self::Signal(signal),
        }
    }

    pub fn to_wait_status(self) -> u16 {
        match self {
            Self::Code(code) => u16::from(code) << 8,
            Self::Signal(signal) => u16::from(signal & 0x7f),
        }
    }
}

/// One entry of `supervise/death_tally`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub date: Date,
    pub exit: Exit,
}

impl Death {
    pub fn to_bytes(self) -> [u8; DEATH_BYTES] {
        let mut bytes = [0; DEATH_BYTES];
        bytes[..12].copy_from_slice(&self.date.to_bytes());
        (bytes[12], bytes[13]) = match self.exit {
            Exit::Code(code) => (code, 0),
            Exit::Signal(signal) => (128u8.wrapping_add(signal), signal),
        };
        bytes
    }

    pub fn from_bytes(bytes: [u8; DEATH_BYTES]) -> Self {
        let exit = if bytes[13] == 0 { Exit::Code(bytes[12]) } else { Exit::Signal(bytes[13]) };
        Self { date: Date::from_bytes(core::array::from_fn(|i| bytes[i])), exit }
    }
}

/// The deaths of a `supervise/death_tally`, the oldest first. A last entry
/// that is not whole is still being written, and left out.
pub fn deaths(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Death> + ExactSizeIterator {
    let (entries, _) = bytes.as_chunks::<DEATH_BYTES>();
    entries.iter().map(|entry| Death::from_bytes(*entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_reads_back() {
        let status = Status {
            changed: Date::from_unix(1_795_000_000, 5),
            readied: Date::from_unix(1_795_000_001, 6),
            pid: 4711,
            wait_status: 0x7d00,
            paused: true,
            finishing: false,
            wanted_up: true,
            ready: true,
        };
        assert_eq!(Status::from_bytes(&status.to_bytes()), Some(status));
        assert_eq!(status.to_bytes()[34], 1 | 4 | 8);
        assert_eq!(Status::from_bytes(&[0; 18]), None); // daemontools' file
        assert_eq!(Exit::from_wait_status(status.wait_status), Exit::Code(125));
        assert_eq!(Exit::from_wait_status(0x8b), Exit::Signal(11)); // with a core
    }
}
