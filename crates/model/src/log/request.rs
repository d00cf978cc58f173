//! Messages on the socket of the logger: following the output of services.
//!
//! The `SOCK_SEQPACKET` socket `SCANDIR/.s6-svscan/log` stands beside init's. A
//! datagram holds one message or several, one behind the other.

use crate::bytes::{ReadError, Reader, Writer};

/// From a listener to the logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToLogger<'a> {
    /// From now on, send the lines of this service, too. It need not exist yet.
    Follow { name: &'a str },
    /// Read everything that the followed services have written so far, also
    /// a last line without newline, then answer [`FromLogger::Synced`].
    Sync { number: u32 },
    /// The same for one of them; of a service that is not followed, nothing.
    SyncOne { number: u32, name: &'a str },
}

/// From the logger to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromLogger<'a> {
    /// One line of a followed service, without newline, or one piece of a
    /// line that was too long for the log (`cut`).
    Line { name: &'a str, text: &'a [u8], cut: bool },
    /// All lines up to the question with this number have been sent.
    Synced { number: u32 },
}

impl<'a> ToLogger<'a> {
    pub fn write(&self, w: &mut Writer) {
        match *self {
            Self::Follow { name } => w.u8(0).text(name),
            Self::Sync { number } => w.u8(1).u32(number),
            Self::SyncOne { number, name } => w.u8(2).u32(number).text(name),
        };
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Follow { name: r.text()? },
            1 => Self::Sync { number: r.u32()? },
            2 => Self::SyncOne { number: r.u32()?, name: r.text()? },
            _ => return Err(ReadError::Impossible),
        })
    }
}

impl<'a> FromLogger<'a> {
    pub fn write(&self, w: &mut Writer) {
        match *self {
            Self::Line { name, text, cut } => w.u8(0).text(name).short_bytes(text).bool(cut),
            Self::Synced { number } => w.u8(1).u32(number),
        };
    }

    pub fn read(r: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(match r.u8()? {
            0 => Self::Line { name: r.text()?, text: r.short_bytes()?, cut: r.bool()? },
            1 => Self::Synced { number: r.u32()? },
            _ => return Err(ReadError::Impossible),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_one_behind_the_other() {
        let asked = [
            ToLogger::Follow { name: "dns" },
            ToLogger::Sync { number: 7 },
            ToLogger::SyncOne { number: 8, name: "dns" },
        ];
        let mut w = Writer::new();
        asked.iter().for_each(|message| message.write(&mut w));
        let mut r = Reader::new(w.as_bytes());
        assert_eq!(asked.map(Ok), asked.map(|_| ToLogger::read(&mut r)));
        assert_eq!(r.end(), Ok(()));

        let told = [
            FromLogger::Line { name: "dns", text: b"\xff\0", cut: true },
            FromLogger::Synced { number: 7 },
        ];
        let mut w = Writer::new();
        told.iter().for_each(|message| message.write(&mut w));
        let mut r = Reader::new(w.as_bytes());
        assert_eq!(told.map(Ok), told.map(|_| FromLogger::read(&mut r)));
        assert_eq!(r.end(), Ok(()));
    }
}
