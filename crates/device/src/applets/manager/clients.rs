//! Who wants something of the manager.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use engine::service::manage::{News, Outcome};
use model::bytes::Writer;
use model::limits::{
    MANAGER_BACKLOG_BYTES_MAX, MANAGER_CLIENTS_MAX, MANAGER_LOOKERS_MAX, MESSAGE_BYTES_MAX,
};
use model::service::database::Index;
use model::service::manager_request::{FromManager, Step};
use model::service::reason::Reason;
use model::service::request::SlotState;
use model::time::Moment;
use os::door::Door;
use os::event_loop::{EventLoop, Readiness};
use os::service::live_dir::{self, MANAGER};
use os::service::managed::LiveDir;
use os::service::manager_client::Conversion;
use os::socket::Connection;

use super::{FIRST_CLIENT, LISTENER};

/// One program that is connected.
pub struct Client {
    connection: Connection,
    pub pid: u32,
    /// Root, and the user that this tree runs as. Others may only look.
    pub may_control: bool,
    pub greeted: bool,
    /// What the next request is about.
    pub names: Vec<Index>,
    /// What only bundles stand for.
    pub bundled: Vec<Index>,
    /// The first name that nobody has.
    pub unknown: Option<String>,
    /// For the next update.
    pub conversions: Vec<Conversion>,
    /// The controller that it is.
    pub controller: Option<Index>,
    /// Why it makes its next request.
    pub because: Option<String>,
    /// What it is told of, as it was told last.
    pub watched: Vec<Watched>,
    /// It asked how these are while nobody knew.
    pub curious: Option<(u32, Vec<Index>)>,
    filling: Writer,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    waiting_bytes_max: usize,
    wants_room: bool,
    /// It reads too slowly: nothing more is kept for it.
    pub lost: bool,
}

/// A service that somebody watches.
pub struct Watched {
    pub service: Index,
    /// What was told of it last; nothing yet.
    pub told: Option<Told>,
}

/// What is told of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub byte: u8,
    pub goal: bool,
    pub state: Option<SlotState>,
    pub trouble: Option<Reason<Index>>,
    pub limit: Option<Moment>,
    pub request: u32,
}

pub struct Clients {
    door: Door,
    clients: Vec<Option<Client>>,
    /// Bytes that may wait for each of them.
    waiting_bytes_max: usize,
}

impl Clients {
    /// Listens at `LIVE/manager`.
    pub fn listen(live: &LiveDir, events: &EventLoop) -> io::Result<Self> {
        let waiting_bytes_max = MANAGER_BACKLOG_BYTES_MAX + live.status_bytes_max();
        Ok(Self { door: open_door(&live.path, events)?, clients: Vec::new(), waiting_bytes_max })
    }

    /// Listens in another live directory, and lets everybody go but `keep`:
    /// they come again and find the new one.
    pub fn go_over(
        &mut self,
        live: &LiveDir,
        events: &EventLoop,
        keep: &[usize],
    ) -> io::Result<()> {
        self.door = open_door(&live.path, events)?;
        self.waiting_bytes_max = MANAGER_BACKLOG_BYTES_MAX + live.status_bytes_max();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if !keep.contains(&number) {
                *client = None;
            }
        }
        Ok(())
    }

    /// When [`Clients::listen_again`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        self.door.deadline()
    }

    /// Lets callers in, as long as there is room.
    pub fn accept(&mut self, events: &EventLoop, now: Moment) {
        // Not for ever: those who are here want to be heard.
        for _ in 0..MANAGER_LOOKERS_MAX {
            let Some(connection) = self.door.accept(events, now) else { return };
            self.add(connection, events);
        }
    }

    pub fn listen_again(&mut self, events: &EventLoop, now: Moment) {
        self.door.listen_again(events, now);
    }

    fn add(&mut self, connection: Connection, events: &EventLoop) {
        let Ok(peer) = connection.peer() else { return };
        let may_control = peer.uid == 0 || peer.uid == os::socket::own_user();
        let number = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
        let lookers = || self.clients.iter().flatten().filter(|other| !other.may_control).count();
        // Those who may only look must leave room for those who change things.
        if number >= MANAGER_CLIENTS_MAX
            || (!may_control && lookers() >= MANAGER_LOOKERS_MAX)
            || events.add(&connection, FIRST_CLIENT + number as u64, Readiness::IN).is_err()
        {
            return;
        }
        let client = Client {
            connection,
            pid: peer.pid as u32,
            may_control,
            greeted: false,
            names: Vec::new(),
            bundled: Vec::new(),
            unknown: None,
            conversions: Vec::new(),
            controller: None,
            because: None,
            watched: Vec::new(),
            curious: None,
            filling: Writer::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_bytes_max: self.waiting_bytes_max,
            wants_room: false,
            lost: false,
        };
        if number == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[number] = Some(client);
    }

    pub fn get(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(number)?.as_mut()
    }

    /// The next datagram of a client. `Err`: it has gone.
    pub fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Result<Option<usize>, ()> {
        let Some(client) = self.get(number) else { return Ok(None) };
        match client.connection.receive(buffer) {
            Ok(0) => Err(()),
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// Lets a client go. Closing its only descriptor also ends watching it.
    pub fn remove(&mut self, number: usize) {
        if let Some(client) = self.clients.get_mut(number) {
            *client = None;
        }
    }

    /// Those who wait to hear how services are.
    pub fn curious(&mut self) -> Vec<(usize, u32, Vec<Index>)> {
        let clients = self.clients.iter_mut().enumerate();
        let asked = clients.filter_map(|(number, client)| {
            let (id, services) = client.as_mut()?.curious.take()?;
            Some((number, id, services))
        });
        asked.collect()
    }

    /// Those who watch services.
    pub fn watchers(&self) -> Vec<usize> {
        let clients = self.clients.iter().enumerate();
        let watches = |client: &Client| !client.watched.is_empty();
        clients.filter(|(_, c)| c.as_ref().is_some_and(watches)).map(|(number, _)| number).collect()
    }

    pub fn tell(&mut self, number: u32, message: &FromManager<'_>) {
        if let Some(client) = self.get(number as usize) {
            client.tell(message);
        }
    }

    pub fn tell_step(&mut self, live: &LiveDir, client: u32, id: u32, service: Index, news: News) {
        let step = match news {
            News::Starting => Step::Starting,
            News::Stopping => Step::Stopping,
            News::Up => Step::Up,
            News::Down => Step::Down,
            News::Reloaded => Step::Reloaded,
            News::Spared => Step::Spared,
            News::Failed(reason) => Step::Failed(reason.map(|other| live.name(other))),
        };
        self.tell(client, &FromManager::Step { id, name: live.name(service), step });
    }

    pub fn tell_end(&mut self, client: u32, id: u32, outcome: Outcome) {
        let (exit, failed) = match outcome {
            Outcome::Done => (0, 0),
            Outcome::Failed(failed) => (1, failed),
            Outcome::TimedOut => (2, 0),
        };
        self.tell(client, &FromManager::Ended { id, exit, failed });
    }

    /// Sends what was told since the last time. Gives the clients that are to
    /// be let go.
    pub fn flush(&mut self, events: &EventLoop) -> Vec<u32> {
        let mut gone = Vec::new();
        for number in 0..self.clients.len() {
            let Some(client) = &mut self.clients[number] else { continue };
            if client.send(events, FIRST_CLIENT + number as u64).is_err() {
                gone.push(number as u32);
            }
        }
        gone
    }
}

impl Client {
    /// All that was named, bundles resolved.
    pub fn take_names(&mut self) -> Vec<Index> {
        let mut names = std::mem::take(&mut self.names);
        names.append(&mut self.bundled);
        names
    }

    pub fn tell(&mut self, message: &FromManager<'_>) {
        self.lost |= self.waiting_bytes > self.waiting_bytes_max;
        if self.lost {
            return;
        }
        let before = self.filling.len();
        message.write(&mut self.filling);
        if self.filling.len() > MESSAGE_BYTES_MAX {
            // It goes into the next datagram instead.
            let full = self.filling.take_before(before);
            self.queue(full);
        }
    }

    fn queue(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back(bytes);
        }
    }

    /// # Errors
    /// The client is gone, or reads too slowly to wait for.
    fn send(&mut self, events: &EventLoop, token: u64) -> Result<(), ()> {
        if self.lost {
            return Err(());
        }
        if self.filling.is_empty() && self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.filling).into_bytes();
        self.queue(bytes);
        while let Some(next) = self.waiting.front() {
            match self.connection.send(next) {
                Ok(()) => {
                    self.waiting_bytes -= next.len();
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(()),
            }
        }
        let wants_room = !self.waiting.is_empty();
        if wants_room != self.wants_room {
            self.wants_room = wants_room;
            let interest = if wants_room { Readiness::IN | Readiness::OUT } else { Readiness::IN };
            let _ = events.modify(&self.connection, token, interest);
        }
        Ok(())
    }
}

/// Makes the socket: for the owner, and where `group` (or the file of lookers)
/// names one for those in it, who may then only look.
fn open_door(live: &Path, events: &EventLoop) -> io::Result<Door> {
    let path = live.join(MANAGER);
    let door = Door::open(&path, 0o600, events, LISTENER)?;
    if let Some(group) = live_dir::readers(live).or_else(|| live_dir::lookers(live)) {
        std::os::unix::fs::chown(&path, None, Some(group))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(&path, mode)?;
    }
    Ok(door)
}
