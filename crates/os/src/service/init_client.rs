//! Asking init for one thing.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::request::{FromInit, PROTOCOL, Role, ToInit};

use crate::clock;
use crate::socket::Connection;

/// A connection as [`Role::Client`].
pub struct Client(Connection);

/// Why what was asked for is not so.
#[derive(Debug)]
pub enum AskError {
    /// Init cannot be reached, or went away.
    Io(io::Error),
    /// Init says no, and why.
    Refused(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot speak with init: {error}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Client {
    /// Connects to the init that listens at `socket`.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let connection = Connection::connect(socket)?;
        let mut w = Writer::new();
        ToInit::Hello { protocol: PROTOCOL, role: Role::Client }.write(&mut w);
        connection.send(w.as_bytes())?;
        Ok(Self(connection))
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, message: &ToInit<'_>) -> Result<(), AskError> {
        let mut w = Writer::new();
        message.write(&mut w);
        self.0.send(w.as_bytes()).map_err(AskError::Io)?;
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let length = self.0.receive(&mut buffer).map_err(AskError::Io)?;
        if length == 0 {
            return Err(AskError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        match FromInit::read(&mut Reader::new(&buffer[..length])) {
            Ok(FromInit::Reply { error: "" }) => Ok(()),
            Ok(FromInit::Reply { error }) => Err(AskError::Refused(error.to_owned())),
            _ => Err(AskError::Io(io::ErrorKind::InvalidData.into())),
        }
    }
}

/// Asks the init that listens at `socket`, and asks again where it goes away
/// before it answers: it starts itself anew, and remembers what it has done.
///
/// # Errors
/// It was away for `limit`, or says no.
pub fn ask(socket: &Path, message: &ToInit<'_>, limit: Duration) -> Result<(), AskError> {
    let until = clock::now() + limit;
    loop {
        let answer = Client::connect(socket).map_err(AskError::Io).and_then(|mut c| c.ask(message));
        match answer {
            Err(AskError::Io(_)) if clock::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            answer => return answer,
        }
    }
}
