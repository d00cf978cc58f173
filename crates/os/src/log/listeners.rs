//! Programs that follow the output of services as the logger writes it.

use std::io;
use std::path::Path;

use engine::log::split::{Rest, first_piece};
use model::bytes::{Reader, Writer};
use model::limits::{LOG_FOLLOWED_MAX, LOG_LISTENERS_MAX, MESSAGE_BYTES_MAX};
use model::log::request::{FromLogger, ToLogger};
use model::service::request::Slot;
use model::time::Moment;

use crate::clock;
use crate::door::Door;
use crate::event_loop::{EventLoop, Readiness};
use crate::log::pipes::Pipe;
use crate::socket::Connection;

/// Tokens of the event loop from here on are the listeners'.
pub const FIRST: u64 = 1 << 32;

/// The token of the socket that they connect to.
const SOCKET: u64 = FIRST;

/// One program that follows.
struct Follower {
    token: u64,
    connection: Connection,
    /// Services, sorted.
    names: Vec<Box<str>>,
    /// The answer it waits for.
    sync: Option<Sync>,
}

/// A question whether everything was told.
struct Sync {
    number: u32,
    /// `None`: about every service that is followed.
    name: Option<Box<str>>,
}

pub struct Listeners {
    door: Door,
    followers: Vec<Follower>,
    next_token: u64,
}

impl Listeners {
    /// Listens beside the socket of init.
    pub fn open(init: &Path, events: &EventLoop) -> io::Result<Self> {
        let door = Door::open(&init.with_file_name("log"), 0o600, events, SOCKET)?;
        Ok(Self { door, followers: Vec::new(), next_token: FIRST + 1 })
    }

    /// When [`Listeners::listen_again`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        self.door.deadline()
    }

    pub fn listen_again(&mut self, events: &EventLoop, now: Moment) {
        self.door.listen_again(events, now);
    }

    /// Whether somebody follows the service `name`.
    pub fn follow(&self, name: &str) -> bool {
        self.followers.iter().any(|follower| follower.follows(name))
    }

    /// Whether somebody waits for all that `pipe` holds, unfinished or not.
    pub fn wants_all(&self, pipe: &Pipe) -> bool {
        pipe.followed && self.followers.iter().any(|follower| follower.waits_for(&pipe.name))
    }

    /// Reads what came for `token`; gives the services to look at now.
    pub fn hear(
        &mut self,
        token: u64,
        _readiness: Readiness,
        events: &EventLoop,
        pipes: &mut [Pipe],
    ) -> Vec<Slot> {
        if token == SOCKET {
            self.accept(events);
            return Vec::new();
        }
        let Some(at) = self.followers.iter().position(|follower| follower.token == token) else {
            return Vec::new();
        };
        let mut wanted = Vec::new();
        let follower = &mut self.followers[at];
        if follower.hear().is_err() {
            self.remove(at, events);
        } else {
            let waits = |pipe: &&mut Pipe| follower.waits_for(&pipe.name);
            wanted.extend(pipes.iter_mut().filter(waits).map(|pipe| pipe.slot));
        }
        for pipe in pipes {
            pipe.followed = self.follow(&pipe.name);
        }
        wanted
    }

    fn accept(&mut self, events: &EventLoop) {
        while let Some(connection) = self.door.accept(events, clock::now()) {
            let own = rustix::process::geteuid().as_raw();
            let allowed = connection.peer().is_ok_and(|peer| peer.uid == 0 || peer.uid == own);
            if !allowed || self.followers.len() >= LOG_LISTENERS_MAX {
                continue;
            }
            let token = self.next_token;
            self.next_token += 1;
            // More room for bursts, where the system allows it.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&connection, 1 << 20);
            if events.add(&connection, token, Readiness::IN).is_ok() {
                self.followers.push(Follower { token, connection, names: Vec::new(), sync: None });
            }
        }
    }

    /// Sends the lines in `bytes`, which were just logged, to all who follow.
    pub fn tell(&mut self, events: &EventLoop, pipe: &Pipe, bytes: &[u8], rest: Rest) {
        let mut at = 0;
        while at < self.followers.len() {
            let follower = &self.followers[at];
            if follower.follows(&pipe.name) && follower.tell(&pipe.name, bytes, rest).is_err() {
                self.remove(at, events); // It is gone, or too slow.
            } else {
                at += 1;
            }
        }
    }

    /// Answers those whose services have all been read to the end.
    pub fn answer_syncs(&mut self, pipes: &[Pipe], events: &EventLoop) {
        let mut at = 0;
        while at < self.followers.len() {
            let follower = &mut self.followers[at];
            let busy = |pipe: &Pipe| pipe.queued && follower.waits_for(&pipe.name);
            if let Some(number) = follower.sync.as_ref().map(|sync| sync.number)
                && !pipes.iter().any(busy)
            {
                follower.sync = None;
                let mut w = Writer::new();
                FromLogger::Synced { number }.write(&mut w);
                // Its next question may wait already.
                if follower.connection.send(w.as_bytes()).is_err() {
                    self.remove(at, events);
                    continue;
                }
            }
            at += 1;
        }
    }

    fn remove(&mut self, at: usize, events: &EventLoop) {
        let follower = self.followers.remove(at);
        let _ = events.remove(&follower.connection);
    }
}

impl Follower {
    fn follows(&self, name: &str) -> bool {
        self.names.binary_search_by(|own| (**own).cmp(name)).is_ok()
    }

    /// Its question is about this service, too.
    fn waits_for(&self, name: &str) -> bool {
        let meant = |sync: &Sync| sync.name.as_deref().is_none_or(|meant| meant == name);
        self.sync.as_ref().is_some_and(meant) && self.follows(name)
    }

    /// Reads one datagram, for services are waiting; an error: it has to go.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let length = match self.connection.receive(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut reader = Reader::new(&buffer[..length]);
        while reader.left() > 0 {
            match ToLogger::read(&mut reader).map_err(|_| io::ErrorKind::InvalidData)? {
                ToLogger::Follow { name } => self.add(name)?,
                ToLogger::Sync { number } => self.sync = Some(Sync { number, name: None }),
                ToLogger::SyncOne { number, name } => {
                    self.sync = Some(Sync { number, name: Some(name.into()) });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str) -> io::Result<()> {
        if self.names.len() >= LOG_FOLLOWED_MAX {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if let Err(at) = self.names.binary_search_by(|own| (**own).cmp(name)) {
            self.names.insert(at, name.into());
        }
        Ok(())
    }

    /// Sends lines, as many as fit in each datagram.
    fn tell(&self, name: &str, bytes: &[u8], rest: Rest) -> io::Result<()> {
        let mut message = Writer::new();
        let mut taken = 0;
        while let Some(piece) = first_piece(&bytes[taken..], rest) {
            let size = name.len() + piece.text.len() + 8;
            if message.len() + size > MESSAGE_BYTES_MAX {
                self.connection.send(message.as_bytes())?;
                message = Writer::new();
            }
            FromLogger::Line { name, text: piece.text, cut: piece.cut }.write(&mut message);
            taken += piece.taken;
        }
        if message.is_empty() { Ok(()) } else { self.connection.send(message.as_bytes()) }
    }
}
