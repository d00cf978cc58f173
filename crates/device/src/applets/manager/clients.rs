//! Who wants something of the manager.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use engine::service::manage::{News, Outcome};
use model::bytes::Writer;
use model::limits::{MANAGER_BACKLOG_BYTES_MAX, MANAGER_CLIENTS_MAX, MESSAGE_BYTES_MAX};
use model::service::database::Index;
use model::service::manager_request::{FromManager, Step};
use model::time::Moment;
use os::event_loop::{EventLoop, Readiness};
use os::service::live_dir::MANAGER;
use os::service::managed::LiveDir;
use os::service::manager_client::Conversion;
use os::socket::{Connection, Listener};

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
    /// The first name that nobody has.
    pub unknown: Option<String>,
    /// For the next update.
    pub conversions: Vec<Conversion>,
    /// It asked how these are while nobody knew.
    pub curious: Option<(u32, Vec<Index>)>,
    filling: Writer,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    wants_room: bool,
}

pub struct Clients {
    listener: Listener,
    listening: bool,
    /// When to listen again after descriptors had run out.
    retry: Option<Moment>,
    clients: Vec<Option<Client>>,
}

impl Clients {
    /// Listens at `LIVE/manager`.
    pub fn listen(live: &LiveDir, events: &EventLoop) -> io::Result<Self> {
        let listener = bind(&live.path)?;
        events.add(&listener, LISTENER, Readiness::IN)?;
        Ok(Self { listener, listening: true, retry: None, clients: Vec::new() })
    }

    /// Listens in another live directory, and lets everybody go but `keep`:
    /// they come again and find the new one.
    pub fn go_over(
        &mut self,
        live: &LiveDir,
        events: &EventLoop,
        keep: &[usize],
    ) -> io::Result<()> {
        let listener = bind(&live.path)?;
        if self.listening {
            let _ = events.remove(&self.listener);
        }
        self.listener = listener;
        self.listening = true;
        for (number, client) in self.clients.iter_mut().enumerate() {
            if !keep.contains(&number) {
                *client = None;
            }
        }
        events.add(&self.listener, LISTENER, Readiness::IN)
    }

    pub fn retry(&self) -> Option<Moment> {
        self.retry
    }

    /// Lets callers in, as long as there is room.
    pub fn accept(&mut self, events: &EventLoop, now: Moment) {
        loop {
            match self.listener.accept() {
                Ok(Some(connection)) => self.add(connection, events),
                Ok(None) => return,
                // No descriptors, no memory: waiting for what cannot be taken
                // would spin.
                Err(_) => {
                    let _ = events.remove(&self.listener);
                    self.listening = false;
                    self.retry = Some(now + Duration::from_millis(200));
                    return;
                }
            }
        }
    }

    pub fn listen_again(&mut self, events: &EventLoop, now: Moment) {
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            let added = events.add(&self.listener, LISTENER, Readiness::IN);
            self.listening = added.is_ok();
            if !self.listening {
                self.retry = Some(now + Duration::from_secs(1));
            }
        }
    }

    fn add(&mut self, connection: Connection, events: &EventLoop) {
        let Ok(peer) = connection.peer() else { return };
        let may_control = peer.uid == 0 || peer.uid == os::socket::own_user();
        let number = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
        if number >= MANAGER_CLIENTS_MAX
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
            unknown: None,
            conversions: Vec::new(),
            curious: None,
            filling: Writer::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            wants_room: false,
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
    pub fn tell(&mut self, message: &FromManager<'_>) {
        let before = self.filling.len();
        message.write(&mut self.filling);
        if self.filling.len() > MESSAGE_BYTES_MAX {
            // It goes into the next datagram instead.
            let bytes = std::mem::take(&mut self.filling).into_bytes();
            self.filling.put(&bytes[before..]);
            self.queue(bytes[..before].to_vec());
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
        if self.waiting_bytes > MANAGER_BACKLOG_BYTES_MAX { Err(()) } else { Ok(()) }
    }
}

/// Makes the socket: for the owner, and where `group` names one for those in
/// it, who may then only look.
fn bind(live: &Path) -> io::Result<Listener> {
    let path = live.join(MANAGER);
    let group = std::fs::read_to_string(live.join("group")).ok();
    let group = group.and_then(|text| text.trim().parse::<u32>().ok());
    let listener = Listener::bind(&path, 0o600)?;
    if let Some(group) = group {
        std::os::unix::fs::chown(&path, None, Some(group))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(&path, mode)?;
    }
    Ok(listener)
}
