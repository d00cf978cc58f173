//! Callers who speak HTTP: each asks for one thing, is answered, and has to go. How many there are, how
//! long a head is and how long anybody takes are bounded.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::http::{Refusal, Request};
use model::limits::{PAGE_CALLERS_MAX, REQUEST_HEAD_BYTES_MAX};
use model::time::Moment;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};
use rustix::net::{SocketAddrUnix, sockopt};

use crate::event_loop::{EventLoop, Readiness};

/// How long a caller may take to ask, and to take what is answered.
const ASKING_MAX: Duration = Duration::from_secs(10);
const TAKING_MAX: Duration = Duration::from_secs(20);
/// How long what a caller still says is listened to after the answer: closing at once would throw away
/// what it has not read yet (RFC 9112, 9.6).
const PARTING_MAX: Duration = Duration::from_secs(1);
/// Whoever has been here that long has to make room where there is none.
const STAY_MIN: Duration = Duration::from_secs(2);
/// How long nobody is let in where that has failed.
const REST: Duration = Duration::from_millis(200);

/// Where callers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Address(SocketAddr),
    /// A socket of the UNIX domain: whoever may write to it.
    Path(PathBuf),
}

impl Place {
    /// An absolute path, or an address with its port.
    pub fn parse(text: &str) -> Option<Self> {
        match text.starts_with('/') {
            true => Some(Self::Path(text.into())),
            false => text.parse().ok().map(Self::Address),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// A socket that callers come to.
struct Door {
    socket: OwnedFd,
    /// Browsers do not get here by a name that somebody has made to lead here.
    is_local: bool,
}

/// What becomes of a caller.
enum State {
    /// What it has said so far.
    Asking(Vec<u8>),
    /// Its answer is being made.
    Waiting {
        head_only: bool,
    },
    Taking {
        answer: Vec<u8>,
        taken: usize,
    },
    Parting,
}

struct Caller {
    socket: OwnedFd,
    is_local: bool,
    state: State,
    since: Moment,
    until: Moment,
}

/// An answer without its length, and without what all have.
pub struct Answer {
    pub status: &'static str,
    pub kind: &'static str,
    /// Further lines of the head.
    pub more: &'static str,
    pub body: Vec<u8>,
}

/// Somebody who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker(usize);

/// A request, and whether its caller came by a local socket.
pub struct Asked {
    pub asker: Asker,
    pub request: Request,
    pub is_local: bool,
}

/// All callers. Its events have the tokens from `first` on, as many as [`Server::tokens`] says.
pub struct Server {
    doors: Vec<Door>,
    callers: Vec<Option<Caller>>,
    first: u64,
    rests_until: Option<Moment>,
    /// Lines of the head that every answer has.
    common: &'static str,
}

impl Server {
    pub fn open(
        places: &[Place],
        common: &'static str,
        first: u64,
    ) -> Result<Self, (Place, io::Error)> {
        let mut doors = Vec::new();
        for place in places {
            let socket = match place {
                Place::Address(address) => listen(address),
                Place::Path(path) => listen_at(path),
            };
            let socket = socket.map_err(|error| (place.clone(), error))?;
            doors.push(Door { socket, is_local: matches!(place, Place::Path(_)) });
        }
        Ok(Self { doors, callers: Vec::new(), first, rests_until: None, common })
    }

    pub fn watch(&self, events: &EventLoop) -> io::Result<()> {
        let mut doors = self.doors.iter().zip(self.first..);
        doors.try_for_each(|(door, token)| events.add(&door.socket, token, Readiness::IN))
    }

    /// When [`Server::tick`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        let callers = self.callers.iter().flatten().map(|caller| caller.until);
        callers.chain(self.rests_until).min()
    }

    /// Lets go of whoever takes too long.
    pub fn tick(&mut self, events: &EventLoop, now: Moment) {
        for at in 0..self.callers.len() {
            if self.callers[at].as_ref().is_some_and(|caller| caller.until <= now) {
                self.callers[at] = None;
            }
        }
        if self.rests_until.is_some_and(|at| at <= now) {
            self.rests_until = self.watch(events).is_err().then(|| now + REST);
        }
    }

    /// Something has happened; a request where one is whole now.
    pub fn hear(&mut self, events: &EventLoop, token: u64, now: Moment) -> Option<Asked> {
        let at = usize::try_from(token - self.first).ok()?;
        match at.checked_sub(self.doors.len()) {
            None => {
                self.accept(events, at, now);
                None
            }
            Some(at) => self.go_on(events, at, now),
        }
    }

    fn accept(&mut self, events: &EventLoop, door: usize, now: Moment) {
        // As many as there is room for; the others come with the next turn.
        for _ in 0..PAGE_CALLERS_MAX {
            let Door { socket, is_local } = &self.doors[door];
            let accepted = net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
            let socket = match accepted {
                Ok(socket) => socket,
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.doors.iter().for_each(|door| drop(events.remove(&door.socket)));
                    self.rests_until = Some(now + REST);
                    return;
                }
            };
            let is_local = *is_local;
            let Some(at) = self.room(now) else { continue };
            let token = self.first + (self.doors.len() + at) as u64;
            if events.add(&socket, token, Readiness::IN).is_ok() {
                let (state, until) = (State::Asking(Vec::new()), now + ASKING_MAX);
                self.callers[at] = Some(Caller { socket, is_local, state, since: now, until });
            }
        }
    }

    /// A place for one more: a free one, or that of who has been here longest without getting anywhere.
    fn room(&mut self, now: Moment) -> Option<usize> {
        if let Some(free) = self.callers.iter().position(Option::is_none) {
            return Some(free);
        }
        if self.callers.len() < PAGE_CALLERS_MAX {
            self.callers.push(None);
            return Some(self.callers.len() - 1);
        }
        let stays = |caller: &Caller| match caller.state {
            State::Asking(_) | State::Parting => false,
            State::Waiting { .. } | State::Taking { .. } => now.since(caller.since) < STAY_MIN,
        };
        let callers = self.callers.iter().enumerate();
        let callers = callers.filter_map(|(at, caller)| Some((at, caller.as_ref()?)));
        let gone = callers.filter(|(_, caller)| !stays(caller)).min_by_key(|(_, it)| it.since)?.0;
        self.callers[gone] = None;
        Some(gone)
    }

    fn go_on(&mut self, events: &EventLoop, at: usize, now: Moment) -> Option<Asked> {
        let caller = self.callers.get_mut(at)?.as_mut()?;
        let mut block = [0_u8; 2048];
        match &mut caller.state {
            State::Asking(said) => {
                let room = block.len().min(REQUEST_HEAD_BYTES_MAX + 4 - said.len());
                let read = match receive(&caller.socket, &mut block[..room]) {
                    Ok(Some(0)) | Err(_) => {
                        self.callers[at] = None;
                        return None;
                    }
                    Ok(None) => return None,
                    Ok(Some(read)) => read,
                };
                said.extend_from_slice(&block[..read]);
                match Request::read(said) {
                    Ok(None) => {}
                    Ok(Some(request)) => {
                        caller.state = State::Waiting { head_only: request.head_only };
                        caller.until = now + TAKING_MAX;
                        // While it waits, only its end is of interest.
                        let token = self.first + (self.doors.len() + at) as u64;
                        let _ = events.modify(&caller.socket, token, Readiness::empty());
                        let is_local = caller.is_local;
                        return Some(Asked { asker: Asker(at), request, is_local });
                    }
                    Err(refusal) => {
                        caller.state = State::Waiting { head_only: false };
                        self.answer(events, Asker(at), refused(refusal), now);
                    }
                }
            }
            // It has gone.
            State::Waiting { .. } => self.callers[at] = None,
            State::Taking { .. } => self.send(events, at, now),
            State::Parting => {
                // What comes is not read for ever: `until` stays as it is.
                match receive(&caller.socket, &mut block) {
                    Ok(Some(0)) | Err(_) => self.callers[at] = None,
                    Ok(_) => {}
                }
            }
        }
        None
    }

    /// Answers whoever waits; one who has gone meanwhile gets nothing.
    pub fn answer(&mut self, events: &EventLoop, asker: Asker, answer: Answer, now: Moment) {
        let Some(Some(caller)) = self.callers.get_mut(asker.0) else { return };
        let State::Waiting { head_only } = caller.state else { return };
        let Answer { status, kind, more, body } = answer;
        let length = body.len();
        let common = self.common;
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{common}{more}\r\n"
        )
        .into_bytes();
        if !head_only {
            bytes.extend_from_slice(&body);
        }
        caller.state = State::Taking { answer: bytes, taken: 0 };
        caller.until = now + TAKING_MAX;
        self.send(events, asker.0, now);
    }

    /// Sends what there is room for.
    fn send(&mut self, events: &EventLoop, at: usize, now: Moment) {
        let token = self.first + (self.doors.len() + at) as u64;
        let Some(Some(caller)) = self.callers.get_mut(at) else { return };
        let State::Taking { answer, taken } = &mut caller.state else { return };
        while *taken < answer.len() {
            match net::send(&caller.socket, &answer[*taken..], SendFlags::NOSIGNAL) {
                Ok(sent) => *taken += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = events.modify(&caller.socket, token, Readiness::OUT);
                    return;
                }
                Err(_) => return self.callers[at] = None,
            }
        }
        let parted = net::shutdown(&caller.socket, Shutdown::Write).is_ok();
        if parted && events.modify(&caller.socket, token, Readiness::IN).is_ok() {
            (caller.state, caller.until) = (State::Parting, now + PARTING_MAX);
        } else {
            self.callers[at] = None;
        }
    }
}

fn refused(refusal: Refusal) -> Answer {
    let status = refusal.status();
    let more = if refusal == Refusal::Method { "Allow: GET, HEAD\r\n" } else { "" };
    plain(status, more)
}

/// An answer that is its status.
pub fn plain(status: &'static str, more: &'static str) -> Answer {
    Answer { status, kind: "text/plain; charset=utf-8", more, body: format!("{status}\n").into() }
}

/// `None`: there is nothing now.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<Option<usize>> {
    match net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((read, _)) => Ok(Some(read)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

fn listen(address: &SocketAddr) -> io::Result<OwnedFd> {
    let is_old = address.is_ipv4();
    let family = if is_old { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // The address may come later than this, go, and come back.
    match is_old {
        true => sockopt::set_ip_freebind(&socket, true)?,
        false => {
            sockopt::set_ipv6_v6only(&socket, true)?;
            sockopt::set_ipv6_freebind(&socket, true)?;
        }
    }
    net::bind(&socket, address)?;
    net::listen(&socket, 64)?;
    Ok(socket)
}

/// Listens at a path, in the place of a socket that an earlier program left there. It gets its name last.
fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let partial = path.with_file_name(format!(".{}.partial", name.display()));
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    net::bind(&socket, &SocketAddrUnix::new(&partial)?)?;
    std::fs::set_permissions(&partial, PermissionsExt::from_mode(0o660))?;
    net::listen(&socket, 64)?;
    std::fs::rename(&partial, path)?;
    Ok(socket)
}
