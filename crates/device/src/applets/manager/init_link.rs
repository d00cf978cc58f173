//! The connection to init.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use engine::service::manage::Action;
use model::bytes::{Reader, Writer};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::database::Index;
use model::service::request::{FromInit, PROTOCOL, Role, Slot, ToInit};
use model::time::Moment;
use os::event_loop::{EventLoop, Readiness};
use os::service::live_dir;
use os::service::managed::LiveDir;
use os::socket::Connection;

use super::{INIT, longer};

/// Init that is away for this long is worth a line in the log.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// How far init has told of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Listing,
    Welcome,
}

pub struct InitLink {
    connection: Option<Connection>,
    stage: Stage,
    /// When to try again, and how long to wait the next time.
    retry: Option<Moment>,
    wait: Duration,
    /// Which service a slot is, sorted.
    slots: Vec<(Slot, Index)>,
    slot_of: Vec<Slot>,
    filling: Writer,
    waiting: VecDeque<Vec<u8>>,
    wants_room: bool,
    buffer: Vec<u8>,
}

impl InitLink {
    pub fn new(live: &LiveDir) -> Self {
        Self {
            connection: None,
            stage: Stage::Greeting,
            retry: Some(Moment::ZERO),
            wait: Duration::ZERO,
            slots: Vec::new(),
            slot_of: vec![Slot::MAX; live.bytes().len()],
            filling: Writer::new(),
            waiting: VecDeque::new(),
            wants_room: false,
            buffer: vec![0; MESSAGE_BYTES_MAX],
        }
    }

    pub fn retry(&self) -> Option<Moment> {
        self.retry
    }

    /// Init is there and has told how everything is.
    pub fn is_welcome(&self) -> bool {
        self.connection.is_some() && self.stage == Stage::Welcome
    }

    /// Connects where that is due. Where init does not listen, or has no
    /// room, it is tried again later; the error is given when that has gone
    /// on for longer than init takes to start itself anew, and only once.
    pub fn connect_if_due(
        &mut self,
        now: Moment,
        live: &LiveDir,
        events: &EventLoop,
    ) -> io::Result<()> {
        if self.retry.is_none_or(|at| at > now) {
            return Ok(());
        }
        if let Err(error) = self.connect(live, events) {
            self.connection = None;
            let before = self.wait;
            self.put_off(now);
            return if before < TOLD_AFTER && self.wait >= TOLD_AFTER {
                Err(error)
            } else {
                Ok(())
            };
        }
        self.retry = None;
        Ok(())
    }

    fn connect(&mut self, live: &LiveDir, events: &EventLoop) -> io::Result<()> {
        let socket: PathBuf = live.path.join("scandir").join(live_dir::INIT);
        let connection = Connection::connect(&socket)?;
        connection.set_nonblocking()?;
        events.add(&connection, INIT, Readiness::IN)?;
        let path = live.path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let mut hello = Writer::new();
        let role = Role::Manager { live: path };
        ToInit::Hello { protocol: PROTOCOL, role }.write(&mut hello);
        connection.send(hello.as_bytes())?;
        self.connection = Some(connection);
        self.stage = Stage::Greeting;
        self.wants_room = false;
        Ok(())
    }

    fn put_off(&mut self, now: Moment) {
        self.wait = longer(self.wait);
        self.retry = Some(now + self.wait);
    }

    /// Forgets the connection, and all that was not yet sent.
    pub fn lose(&mut self, now: Moment) {
        if self.connection.take().is_some() {
            self.filling = Writer::new();
            self.waiting.clear();
            self.slots.clear();
            self.put_off(now);
        }
    }

    /// The next datagram; `None` where there is none.
    ///
    /// # Errors
    /// Init is gone.
    pub fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(connection) = &self.connection else { return Ok(None) };
        match connection.receive(&mut self.buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(Some(self.buffer[..length].to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Init begins to list its slots. `true`: it had done so before on this
    /// connection, and all that is known is void.
    pub fn begin_list(&mut self) -> bool {
        let before = std::mem::replace(&mut self.stage, Stage::Listing);
        if before != Stage::Listing {
            self.slots.clear();
            self.slot_of.fill(Slot::MAX);
        }
        before == Stage::Welcome
    }

    pub fn add_slot(&mut self, slot: Slot, service: Index) {
        // Init tells them in the order of the database, so this is an append.
        let at = self.slots.partition_point(|known| known.0 < slot);
        self.slots.insert(at, (slot, service));
        self.slot_of[service as usize] = slot;
    }

    pub fn service_of(&self, slot: Slot) -> Option<Index> {
        let at = self.slots.binary_search_by_key(&slot, |known| known.0).ok()?;
        Some(self.slots[at].1)
    }

    pub fn welcome(&mut self) {
        self.stage = Stage::Welcome;
        self.wait = Duration::ZERO;
    }

    /// The live directory is another one from now on; init lists its slots next.
    pub fn go_over(&mut self, services: usize) {
        self.slots.clear();
        self.slot_of = vec![Slot::MAX; services];
        self.filling = Writer::new();
        self.waiting.clear();
    }

    /// Passes on an order, with the next [`InitLink::flush`].
    pub fn order(&mut self, action: Action) {
        let slot_of = |service: Index| self.slot_of[service as usize];
        let message = match action {
            Action::Want { service, up, ticket } => {
                ToInit::Want { slot: slot_of(service), up, ticket }
            }
            Action::Run { service, script, ticket } => {
                ToInit::Run { slot: slot_of(service), script, ticket }
            }
            Action::Signal { service, signal } => ToInit::Signal { slot: slot_of(service), signal },
            _ => return,
        };
        self.say(&message);
    }

    pub fn all_down(&mut self) {
        self.say(&ToInit::AllDown);
    }

    fn say(&mut self, message: &ToInit<'_>) {
        if self.connection.is_none() {
            return;
        }
        // No order is longer than this.
        const ORDER_BYTES_MAX: usize = 32;
        message.write(&mut self.filling);
        if self.filling.len() > MESSAGE_BYTES_MAX - ORDER_BYTES_MAX {
            self.waiting.push_back(std::mem::take(&mut self.filling).into_bytes());
        }
    }

    /// Sends all orders since the last time as one datagram.
    pub fn flush(&mut self, events: &EventLoop) {
        let Some(connection) = &self.connection else { return };
        if !self.filling.is_empty() {
            self.waiting.push_back(std::mem::take(&mut self.filling).into_bytes());
        }
        while let Some(next) = self.waiting.front() {
            match connection.send(next) {
                Ok(()) => drop(self.waiting.pop_front()),
                // If init is gone, reading says so.
                Err(_) => break,
            }
        }
        let wants_room = !self.waiting.is_empty();
        if wants_room != self.wants_room {
            self.wants_room = wants_room;
            let interest = if wants_room { Readiness::IN | Readiness::OUT } else { Readiness::IN };
            let _ = events.modify(connection, INIT, interest);
        }
    }

    /// Asks init and waits for its answer, at most until `limit`: the answer,
    /// and what stands behind it in the same datagram. The datagrams before
    /// are added to `others`.
    pub fn ask(
        &mut self,
        message: &ToInit<'_>,
        limit: Moment,
        others: &mut Vec<Vec<u8>>,
    ) -> io::Result<(String, Vec<u8>)> {
        let mut wait = EventLoop::new()?;
        let connection = self.connection.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        wait.add(connection, INIT, Readiness::IN)?;
        // Orders that were given before come before.
        let mut w = std::mem::take(&mut self.filling);
        if !self.waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        message.write(&mut w);
        connection.send(w.as_bytes())?;
        loop {
            while let Some(datagram) = self.receive()? {
                if let Some((before, answer, rest)) = split_at_reply(&datagram) {
                    others.push(before);
                    return Ok((answer, rest));
                }
                others.push(datagram);
            }
            if os::clock::now() >= limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            wait.wait(Some(limit))?;
        }
    }
}

/// The messages before an answer, the answer, and those behind it.
fn split_at_reply(datagram: &[u8]) -> Option<(Vec<u8>, String, Vec<u8>)> {
    let mut reader = Reader::new(datagram);
    loop {
        let start = datagram.len() - reader.left();
        if start == datagram.len() {
            return None;
        }
        if let FromInit::Reply { error } = FromInit::read(&mut reader).ok()? {
            let end = datagram.len() - reader.left();
            return Some((datagram[..start].into(), error.to_owned(), datagram[end..].into()));
        }
    }
}
