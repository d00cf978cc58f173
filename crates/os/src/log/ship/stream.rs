//! A connection to a server (`tcp(7)`), which nobody waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine::log::ship::Event;
use model::log::answer::{Answer, Outcome};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::event_loop::Readiness;
use crate::sys::outgoing;

/// Bytes that a server says at once.
const HEARD_BYTES: usize = 4096;

/// How often that is read at once.
const HEARD_MAX: usize = 16;

pub struct Stream {
    socket: OwnedFd,
    connected: bool,
    /// Bytes that were sent of what is under way; `None`: nothing is.
    sent: Option<usize>,
    /// What the server says to that, where it says anything.
    answer: Option<Answer>,
    /// Nothing more can be sent over it.
    pub is_over: bool,
}

/// A socket for this address.
pub fn socket(to: &SocketAddr, kind: SocketType, flags: SocketFlags) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(net::socket_with(family, kind, flags | SocketFlags::CLOEXEC, None)?)
}

impl Stream {
    pub fn connect(to: &SocketAddr) -> io::Result<Self> {
        let socket = socket(to, SocketType::STREAM, SocketFlags::NONBLOCK)?;
        match net::connect(&socket, to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { socket, connected: false, sent: None, answer: None, is_over: false })
    }

    /// What to wait for.
    pub fn interest(&self) -> Readiness {
        match !self.connected || self.sent.is_some() {
            true => Readiness::IN | Readiness::OUT,
            false => Readiness::IN,
        }
    }

    /// Begins to send.
    pub fn begin(&mut self, is_answered: bool) {
        self.sent = Some(0);
        self.answer = is_answered.then(Answer::default);
    }

    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        !self.connected || self.sent.is_some() || self.answer.is_some()
    }

    /// Goes on with what can be done; `parts` are what is sent, one behind the other.
    pub fn go_on(&mut self, parts: &[&[u8]]) -> io::Result<Option<Event>> {
        if !self.connected {
            // Nothing can be said about a connection that is being made but whether it can be written to.
            sockopt::socket_error(&self.socket)??;
            return match net::getpeername(&self.socket) {
                Ok(_) => {
                    self.connected = true;
                    Ok(Some(Event::Connected))
                }
                Err(Errno::NOTCONN) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        if let Some(event) = self.hear()? {
            return Ok(Some(event));
        }
        while let Some(sent) = self.sent {
            let mut before = sent;
            let rest = parts.iter().find_map(|part| {
                let rest = part.get(before..).filter(|rest| !rest.is_empty());
                before = before.saturating_sub(part.len());
                rest
            });
            let Some(rest) = rest else {
                self.sent = None;
                return Ok(self.answer.is_none().then_some(Event::Sent));
            };
            match net::send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => self.sent = Some(sent + count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Reads what the server says.
    fn hear(&mut self) -> io::Result<Option<Event>> {
        let mut heard = [0; HEARD_BYTES];
        // One that never ends is not listened to for ever: the rest is heard next time.
        for _ in 0..HEARD_MAX {
            let count = match net::recv(&self.socket, &mut heard, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let outcome = match &mut self.answer {
                Some(answer) if count > 0 => answer.push(&heard[..count]),
                Some(answer) => answer.end(),
                None if count > 0 => continue,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            let (status, keeps) = match outcome {
                Outcome::Over { status, keeps } => (status, keeps),
                Outcome::Unfinished => continue,
                Outcome::Wrong => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.is_over |= !keeps || self.sent.take().is_some();
            self.answer = None;
            return match status {
                200..300 => Ok(Some(Event::Delivered)),
                400 | 413 | 422 => Ok(Some(Event::Refused)),
                _ => Err(io::Error::other(format!("the server answers {status}"))),
            };
        }
        Ok(None)
    }

    /// Whether the other side's system has all that was sent.
    pub fn has_arrived(&self) -> bool {
        outgoing::count(self.socket.as_fd()).is_ok_and(|count| count == 0)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
