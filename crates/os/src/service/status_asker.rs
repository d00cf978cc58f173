//! Asking the manager once how all services are, and were, without waiting for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::manager_request::{FromManager, PROTOCOL, ToManager};

use crate::service::live_dir::MANAGER;
use crate::socket::Connection;

/// A question that is under way.
pub struct StatusAsker {
    connection: Connection,
    buffer: Vec<u8>,
}

impl StatusAsker {
    /// Asks the manager of a live directory.
    pub fn begin(live: &Path) -> io::Result<Self> {
        let connection = Connection::connect_nonblocking(&live.join(MANAGER))?;
        let mut w = Writer::new();
        ToManager::Hello { protocol: PROTOCOL }.write(&mut w);
        ToManager::Status { id: 1 }.write(&mut w);
        connection.send(w.as_bytes())?;
        Ok(Self { connection, buffer: vec![0; MESSAGE_BYTES_MAX] })
    }

    /// Once that is answered: asks when services were brought up and down.
    pub fn ask_history(&mut self) -> io::Result<()> {
        let mut w = Writer::new();
        ToManager::History { id: 2 }.write(&mut w);
        self.connection.send(w.as_bytes())
    }

    /// Hands over what has come; whether that is all.
    ///
    /// # Errors
    /// Nothing more will come.
    pub fn hear(&mut self, each: &mut dyn FnMut(FromManager<'_>)) -> io::Result<bool> {
        loop {
            let length = match self.connection.receive(&mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut reader = Reader::new(&self.buffer[..length]);
            while reader.left() > 0 {
                match FromManager::read(&mut reader) {
                    Ok(FromManager::StatusEnd { .. }) => return Ok(true),
                    Ok(FromManager::Welcome { protocol }) if protocol != PROTOCOL => {
                        return Err(io::Error::other("the manager is of another release"));
                    }
                    Ok(FromManager::Refused { why, .. }) => return Err(io::Error::other(why)),
                    Ok(message) => each(message),
                    Err(error) => return Err(io::Error::other(error.to_string())),
                }
            }
        }
    }
}

impl AsFd for StatusAsker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
