//! Following the output of services, as `s6-rc` does for its oneshots.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::log::request::{FromLogger, ToLogger};

use crate::socket::Connection;

/// What the logger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// A line of a followed service, without its newline; `cut`: it was too
    /// long, and its rest comes next.
    Line { service: &'a str, text: &'a [u8], cut: bool },
    /// All that was written before this [`Follower::sync`] has been told.
    Synced(u32),
}

/// A conversation with the logger.
pub struct Follower {
    connection: Connection,
    syncs: u32,
}

/// Where [`Follower::next`] keeps what came but was not yet told.
pub struct Inbox {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: vec![0; MESSAGE_BYTES_MAX], at: 0, end: 0 }
    }
}

impl Follower {
    /// Connects to the logger whose socket is `path`: `log`, beside init's.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self { connection: Connection::connect(path)?, syncs: 0 })
    }

    /// Asks for all lines of these services that are logged from now on. A
    /// service need not exist yet.
    pub fn follow(&mut self, names: &[&str]) -> io::Result<()> {
        let mut w = Writer::new();
        for name in names {
            if w.len() + name.len() + 3 > MESSAGE_BYTES_MAX {
                self.connection.send(w.as_bytes())?;
                w = Writer::new();
            }
            ToLogger::Follow { name }.write(&mut w);
        }
        if w.is_empty() { Ok(()) } else { self.connection.send(w.as_bytes()) }
    }

    /// Asks the logger to read everything that the followed services have
    /// written so far, or that one of them has. [`News::Synced`] with this
    /// number comes behind it; ask again only then.
    pub fn sync(&mut self, name: Option<&str>) -> io::Result<u32> {
        self.syncs += 1;
        let number = self.syncs;
        let mut w = Writer::new();
        match name {
            None => ToLogger::Sync { number }.write(&mut w),
            Some(name) => ToLogger::SyncOne { number, name }.write(&mut w),
        }
        self.connection.send(w.as_bytes())?;
        Ok(number)
    }

    /// Makes [`Follower::next`] say `WouldBlock` where there is nothing to read.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.connection.set_nonblocking()
    }

    /// The next news; waits for it. When the descriptor is readable, call it
    /// until it says `WouldBlock` (see [`Follower::set_nonblocking`]): one
    /// datagram brings several.
    ///
    /// # Errors
    /// `UnexpectedEof`: the logger has ended, or let this listener go because
    /// it read too slowly. What it logged is in the log, in any case.
    pub fn next<'a>(&mut self, inbox: &'a mut Inbox) -> io::Result<News<'a>> {
        if inbox.at == inbox.end {
            (inbox.at, inbox.end) = (0, 0);
            inbox.end = self.connection.receive(&mut inbox.bytes)?;
            if inbox.end == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut reader = Reader::new(&inbox.bytes[inbox.at..inbox.end]);
        let message = FromLogger::read(&mut reader).map_err(|_| io::ErrorKind::InvalidData)?;
        inbox.at = inbox.end - reader.left();
        Ok(match message {
            FromLogger::Line { name, text, cut } => News::Line { service: name, text, cut },
            FromLogger::Synced { number } => News::Synced(number),
        })
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
