//! What the logger and init say to each other.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use engine::log::lease::Lease;
use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::request::{FromInit, PROTOCOL, Role, Slot, ToInit};

use super::{Collector, INIT};
use crate::clock;
use crate::event_loop::Readiness;
use crate::log::pipes::Pipe;
use crate::socket::Connection;

/// How long to wait after a connection to init that came to nothing.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);

impl Collector {
    /// Connects to init, which then tells of all pipes there are.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        let connection = Connection::connect(&self.init_path)?;
        connection.set_nonblocking()?;
        let mut hello = Writer::new();
        ToInit::Hello { protocol: PROTOCOL, role: Role::Logger }.write(&mut hello);
        connection.send(hello.as_bytes())?;
        self.events.add(&connection, INIT, Readiness::IN)?;
        self.init = Some(connection);
        self.reconnect = None;
        self.named = Some(Vec::new());
        Ok(())
    }

    /// All pipes have been told.
    fn welcome(&mut self) {
        let Some(mut named) = self.named.take() else { return };
        // A pipe that this init does not name belonged to one that is gone.
        named.sort_unstable();
        let missing = |pipe: &&Pipe| named.binary_search(&pipe.slot).is_err();
        let gone: Vec<_> = self.pipes.iter().filter(missing).map(|pipe| pipe.slot).collect();
        gone.into_iter().for_each(|slot| self.end_pipe(slot));
        if !self.begun {
            self.begun = true;
            if self.recover().and_then(|()| self.log.end_last_line()).is_err() {
                return self.stall();
            }
        }
        if !self.journal.record().under_way {
            self.count_relieved();
        }
        if self.stalled.is_none() && self.tell_losses().is_err() {
            self.stall();
        }
    }

    /// What init has given up is lost, beside what loggers had given up before.
    pub(super) fn count_relieved(&mut self) {
        for (slot, lines) in std::mem::take(&mut self.relieved) {
            if let Some(at) = self.find(slot) {
                let pipe = &mut self.pipes[at];
                pipe.lost = pipe.lost.saturating_add(lines);
                self.journal.set_lost(pipe.inode, pipe.lost);
            }
        }
    }

    pub(super) fn connect_again(&mut self, tries: u32) -> io::Result<()> {
        match self.connect() {
            Err(error) if tries >= 30 => Err(error),
            Err(_) => {
                let wait = Duration::from_millis(50 << tries.min(4));
                self.reconnect = Some((clock::now() + wait, tries + 1));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn hear_init(&mut self) {
        let Some(connection) = self.init.take() else { return };
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        loop {
            match self.receive(&connection, &mut buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.init = Some(connection);
                    return;
                }
                Err(_) => break,
            }
        }
        // Init is starting anew, and keeps the pipes; it will listen again. One
        // that could not even tell of them (no descriptors are left) is not
        // asked again at once.
        let _ = self.events.remove(&connection);
        if let Some(lease) = &mut self.lease {
            *lease = Lease::default();
        }
        let wait = if self.named.is_some() { RECONNECT_WAIT } else { Duration::ZERO };
        self.reconnect = Some((clock::now() + wait, 0));
    }

    /// Receives one datagram and does what it says.
    fn receive(&mut self, connection: &Connection, buffer: &mut [u8]) -> io::Result<()> {
        let (length, descriptors) = connection.receive_descriptors(buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut descriptors = descriptors.into_iter();
        let mut reader = Reader::new(&buffer[..length]);
        while reader.left() > 0 {
            let message = FromInit::read(&mut reader)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message {
                FromInit::Pipe { slot, name } => {
                    if let Some(named) = &mut self.named {
                        named.push(slot);
                    }
                    let end = descriptors.next().ok_or(io::ErrorKind::InvalidData)?;
                    self.add_pipe(slot, name, end)?;
                }
                FromInit::PipeEnded { slot } => self.end_pipe(slot),
                FromInit::Lost { slot, lines } => self.relieved.push((slot, lines)),
                FromInit::Welcome { .. } => self.welcome(),
                _ => {}
            }
        }
        Ok(())
    }

    fn add_pipe(&mut self, slot: Slot, name: &str, end: OwnedFd) -> io::Result<()> {
        let mut pipe = Pipe::new(slot, name, end)?;
        pipe.followed = self.listeners.follow(name);
        pipe.lost = self.journal.lost(pipe.inode);
        if let Some(at) = self.find(slot) {
            if self.pipes[at].inode == pipe.inode {
                self.pipes[at].name = pipe.name;
                self.pipes[at].followed = pipe.followed;
                // Naming it has ended what was asked for of it.
                self.pipes[at].unfinished = false;
                self.enqueue(slot);
                return Ok(());
            }
            self.drop_pipe(at);
        }
        let interest = Readiness::IN | Readiness::ET;
        self.events.add(&pipe.end, u64::from(slot), interest)?;
        let at = self.pipes.partition_point(|other| other.slot < slot);
        self.pipes.insert(at, pipe);
        Ok(())
    }

    fn end_pipe(&mut self, slot: Slot) {
        if let Some(at) = self.find(slot) {
            self.pipes[at].ended = true;
            self.enqueue(slot);
        }
    }
}
