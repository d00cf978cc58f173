//! Who talks to init, and what they are told.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::Path;

use model::bytes::{Reader, Writer};
use model::limits::{MESSAGE_BYTES_MAX, MESSAGE_DESCRIPTORS_MAX};
use model::service::request::{FromInit, PROTOCOL, Role, Slot, SlotState, ToInit};
use model::time::Moment;
use os::door::Door;
use os::event_loop::{EventLoop, Readiness};
use os::socket::Connection;

/// Connections at once; each manager, the logger, and a few who ask.
const CLIENTS_MAX: usize = 64;

/// Bytes that wait for a manager or the logger. One that reads so slowly is
/// let go: it comes again and is told everything anew.
const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// The same for those who ask: all they get is short answers.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// The slot under which init's own words are logged.
pub const OWN_SLOT: Slot = Slot::MAX;

/// What a client is to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Has not said yet.
    Unknown,
    Manager {
        live: u8,
    },
    Logger,
    Client,
}

/// One datagram that waits, and the slots whose pipes go with it.
struct Waiting {
    bytes: Vec<u8>,
    pipes: Vec<Slot>,
}

pub struct Client {
    connection: Connection,
    pub part: Part,
    /// A manager that was asked to bring everything down and has not said so.
    pub busy: bool,
    /// The datagram that is being filled.
    filling: Writer,
    pipes: Vec<Slot>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    watching_room: bool,
    /// It reads too slowly: nothing more is kept for it.
    lost: bool,
    /// Who came earlier has a lower one.
    number: u64,
}

/// The control socket.
pub struct Server {
    door: Door,
    clients: Vec<Option<Client>>,
    callers: u64,
    first_token: u64,
}

impl Server {
    /// Listens at `path`; tokens from `first_token` on are its own.
    pub fn new(path: &Path, events: &EventLoop, first_token: u64) -> std::io::Result<Self> {
        let door = Door::open(path, 0o600, events, first_token)?;
        Ok(Self { door, clients: Vec::new(), callers: 0, first_token })
    }

    /// When [`Server::listen_again`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        self.door.deadline()
    }

    pub fn listen_again(&mut self, events: &EventLoop, now: Moment) {
        self.door.listen_again(events, now);
    }

    /// The client of a token; `None` for the listener itself.
    pub fn client_of(&self, token: u64) -> Option<usize> {
        usize::try_from(token - self.first_token).ok()?.checked_sub(1)
    }

    /// Lets a caller in who may be: root, and the user that this tree runs as.
    pub fn accept(&mut self, events: &EventLoop, now: Moment) {
        let Some(connection) = self.door.accept(events, now) else { return };
        let own = os::socket::own_user();
        if !connection.peer().is_ok_and(|peer| peer.uid == 0 || peer.uid == own) {
            return;
        }
        let Some(place) = self.place() else { return };
        let token = self.first_token + 1 + place as u64;
        if events.add(&connection, token, Readiness::IN).is_err() {
            return;
        }
        let client = Client {
            connection,
            part: Part::Unknown,
            busy: false,
            filling: Writer::new(),
            pipes: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            watching_room: false,
            lost: false,
            number: self.callers,
        };
        self.callers += 1;
        if place == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[place] = Some(client);
    }

    /// A place for one more. Where there is none, whoever asked first and is
    /// still there has been answered long ago, and goes: those who forget to
    /// leave must not keep the manager out.
    fn place(&mut self) -> Option<usize> {
        let free = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
        if free < CLIENTS_MAX {
            return Some(free);
        }
        let asks = |(_, client): &(usize, &mut Client)| {
            matches!(client.part, Part::Unknown | Part::Client)
        };
        let oldest = self.clients_numbered().filter(asks).min_by_key(|(_, client)| client.number);
        let oldest = oldest.map(|(place, _)| place)?;
        self.drop(oldest);
        Some(oldest)
    }

    /// The next datagram of a client; `None` where there is none, or it left.
    pub fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Option<usize> {
        let client = self.clients.get(number)?.as_ref()?;
        match client.connection.receive(buffer) {
            Ok(0) => self.drop(number),
            Ok(length) => return Some(length),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.drop(number),
        }
        None
    }

    pub fn drop(&mut self, number: usize) {
        if let Some(client) = self.clients.get_mut(number) {
            // Closing the only descriptor also ends watching it.
            *client = None;
        }
    }

    pub fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(number)?.as_mut()
    }

    pub fn clients(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut().flatten()
    }

    /// Every client with its number.
    pub fn clients_numbered(&mut self) -> impl Iterator<Item = (usize, &mut Client)> {
        self.clients.iter_mut().enumerate().filter_map(|(n, client)| Some((n, client.as_mut()?)))
    }

    /// Whether a manager has not yet said that all is down.
    pub fn busy(&self) -> bool {
        self.clients.iter().flatten().any(|client| client.busy)
    }

    /// Whether any manager is connected.
    pub fn has_manager(&self) -> bool {
        self.clients.iter().flatten().any(|c| matches!(c.part, Part::Manager { .. }))
    }

    /// Sends what was told since the last time. `pipe` gives the reading end
    /// of a slot's pipe.
    pub fn flush<'a>(
        &mut self,
        events: &EventLoop,
        pipe: &impl Fn(Slot) -> Option<BorrowedFd<'a>>,
    ) {
        for number in 0..self.clients.len() {
            let token = self.first_token + 1 + number as u64;
            let Some(client) = &mut self.clients[number] else { continue };
            if !client.send(pipe) {
                self.drop(number);
                continue;
            }
            let wants_room = !client.waiting.is_empty();
            if wants_room != client.watching_room {
                client.watching_room = wants_room;
                let interest =
                    if wants_room { Readiness::IN | Readiness::OUT } else { Readiness::IN };
                let _ = events.modify(&client.connection, token, interest);
            }
        }
    }
}

impl Client {
    /// Adds a message to what the next [`Server::flush`] sends.
    pub fn tell(&mut self, message: &FromInit<'_>) {
        let most = match self.part {
            Part::Manager { .. } | Part::Logger => BACKLOG_BYTES_MAX,
            Part::Client | Part::Unknown => ANSWERS_BYTES_MAX,
        };
        self.lost |= self.waiting_bytes > most;
        if self.lost {
            return;
        }
        let before = self.filling.len();
        message.write(&mut self.filling);
        if let FromInit::Pipe { slot, .. } = message {
            self.pipes.push(*slot);
        }
        let full =
            self.filling.len() > MESSAGE_BYTES_MAX || self.pipes.len() > MESSAGE_DESCRIPTORS_MAX;
        if full {
            // It goes into the next datagram instead.
            let bytes = self.filling.take_before(before);
            let mut pipes = std::mem::take(&mut self.pipes);
            if let FromInit::Pipe { .. } = message {
                self.pipes.extend(pipes.pop());
            }
            self.queue(bytes, pipes);
        }
    }

    pub fn tell_state(&mut self, slot: Slot, state: SlotState) {
        self.tell(&FromInit::State { slot, state });
    }

    pub fn welcome(&mut self) {
        self.tell(&FromInit::Welcome { protocol: PROTOCOL });
    }

    fn queue(&mut self, bytes: Vec<u8>, pipes: Vec<Slot>) {
        if !bytes.is_empty() {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back(Waiting { bytes, pipes });
        }
    }

    /// Sends what there is room for; `false`: this client is no more.
    fn send<'a>(&mut self, pipe: &impl Fn(Slot) -> Option<BorrowedFd<'a>>) -> bool {
        if self.lost {
            return false;
        }
        if !self.filling.is_empty() {
            let bytes = std::mem::take(&mut self.filling).into_bytes();
            let pipes = std::mem::take(&mut self.pipes);
            self.queue(bytes, pipes);
        }
        while let Some(next) = self.waiting.front() {
            let sent = if next.pipes.is_empty() {
                self.connection.send(&next.bytes)
            } else {
                match next.pipes.iter().map(|slot| pipe(*slot)).collect::<Option<Vec<_>>>() {
                    Some(pipes) => self.connection.send_descriptors(&next.bytes, &pipes),
                    // A slot left meanwhile: the logger asks anew and is told
                    // how things are by then.
                    None => return false,
                }
            };
            match sent {
                Ok(()) => {
                    self.waiting_bytes -= next.bytes.len();
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

/// The messages of a datagram, up to the first that cannot be read; then
/// `false`, for the client has lost its mind.
pub fn messages<'a>(bytes: &'a [u8], mut each: impl FnMut(ToInit<'a>)) -> bool {
    let mut r = Reader::new(bytes);
    while r.left() > 0 {
        match ToInit::read(&mut r) {
            Ok(message) => each(message),
            Err(_) => return false,
        }
    }
    true
}

/// Whether both ends speak the same language.
pub fn same_protocol(protocol: u16) -> bool {
    protocol == PROTOCOL
}

/// The part that a role asks for; the live directory is looked up by the caller.
pub fn part_of(role: Role<'_>, live: impl Fn(&str) -> Option<u8>) -> Option<Part> {
    Some(match role {
        Role::Manager { live: path } => Part::Manager { live: live(path)? },
        Role::Logger => Part::Logger,
        Role::Client => Part::Client,
    })
}
