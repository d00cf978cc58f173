//! `ward ship`: the log, to a server.

pub mod batch;
pub mod flash;
pub mod stream;

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use engine::log::ship::{Event, Held, Manner, Ship, World};
use model::limits::SHIPPED_LINES_MAX;
use model::log::entry::Entry;
use model::log::line::{self, Line, Lines, newline};
use model::log::mark::{Mark, SERVICE};
use model::log::place::Place;
use model::log::target::{self, Target};
use model::time::Moment;
use rustix::net::{SendFlags, SocketFlags, SocketType};

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::files;
use crate::log::reader::OLDER;
use crate::log::reader::feed::{Feed, Next};
use crate::log::ship::batch::{Batch, Form};
use crate::log::ship::flash::Flash;
use crate::log::ship::stream::Stream;
use crate::log::tail::Tail;
use crate::resolver;
use crate::sys::signals;

/// What is done.
pub struct Plan<'a> {
    pub log: &'a Path,
    /// The file that says how far it was.
    pub cursor: Option<&'a Path>,
    pub target: Target<'a>,
    /// What this device is called, where that is not its host name.
    pub host: Option<&'a [u8]>,
    /// Of a directory: bytes that it may hold, and how long lines may wait to be written.
    pub total: u64,
    pub interval: Duration,
    /// Tells a person what has changed.
    pub say: &'a dyn Fn(&str),
}

/// What could not be done at all.
#[derive(Debug)]
pub enum Failure {
    Log(io::Error),
    Cursor(io::Error),
    Target(io::Error),
    System(io::Error),
}

/// A server whose connection ends may not have read what its system had since then.
const DOUBT: Duration = Duration::from_secs(2);

/// Datagrams at once, and the pause behind them: nobody says when there are too many.
const DATAGRAMS: usize = 32;
const DATAGRAM_PAUSE: Duration = Duration::from_millis(10);

/// What stands in the log's place where it has a hole.
const MISSING: &[u8] = b"<4>lines are missing here: they were removed before they were sent";
const REFUSED: &[u8] = b"<4>a line is missing here: it was not taken";

const SIGNALS: u64 = 0;
const LOG: u64 = 1;
const WIRE: u64 = 2;

/// Bytes of a file with a place.
const CURSOR_BYTES_MAX: usize = 128;

/// Sends until it is told to end.
pub fn run(plan: &Plan<'_>) -> Result<(), Failure> {
    signals::ignore_pipe();
    let told =
        signals::read_from(&[signals::number::TERM, signals::number::HUP, signals::number::INT]);
    let told = told.map_err(Failure::System)?;
    // Before the first look at the directory, so that nothing happens between.
    let tail = Tail::watch(plan.log).map_err(Failure::Log)?;
    let mut events = EventLoop::new().map_err(Failure::System)?;
    let add = |fd, token| events.add(fd, token, Readiness::IN);
    add(told.as_fd(), SIGNALS).map_err(Failure::System)?;
    add(tail.as_fd(), LOG).map_err(Failure::System)?;
    let manner = manner(plan);
    let mut ship = Ship::new(manner);
    let mut route = Route::new(plan)?;
    let mut listens = true;
    ship.step(clock::now(), Event::Grown, &mut route);
    loop {
        if let Some(failure) = route.failure.take() {
            return Err(failure);
        }
        if ship.is_over() {
            return Ok(());
        }
        if ship.listens() != listens {
            listens = !listens;
            let interest = if listens { Readiness::IN } else { Readiness::empty() };
            events.modify(tail.as_fd(), LOG, interest).map_err(Failure::System)?;
        }
        route.watch(&events).map_err(Failure::System)?;
        for (token, _) in events.wait(ship.deadline()).map_err(Failure::System)? {
            let event = match token {
                SIGNALS => {
                    signals::next(told.as_fd()).map_err(Failure::System)?.map(|_| Event::End)
                }
                LOG => {
                    tail.drain().map_err(Failure::Log)?;
                    Some(Event::Grown)
                }
                _ => route.go_on(),
            };
            if let Some(event) = event {
                ship.step(clock::now(), event, &mut route);
            }
        }
        if ship.deadline().is_some_and(|deadline| clock::now() >= deadline) {
            ship.step(clock::now(), Event::Tick, &mut route);
        }
    }
}

fn manner(plan: &Plan<'_>) -> Manner {
    let plain = Manner {
        patience: Duration::ZERO,
        pause: Duration::ZERO,
        doubt: Duration::ZERO,
        lines_max: SHIPPED_LINES_MAX,
    };
    match plan.target {
        Target::SyslogTcp(_) => Manner { doubt: DOUBT, ..plain },
        Target::SyslogUdp(_) => {
            Manner { doubt: DOUBT, pause: DATAGRAM_PAUSE, lines_max: DATAGRAMS, ..plain }
        }
        Target::Http { .. } => plain,
        // A batch is as many lines as fit into one write.
        Target::Directory(_) => Manner { patience: plan.interval, lines_max: 1 << 16, ..plain },
    }
}

/// The way out.
enum Wire {
    Stream(Stream),
    Datagrams(OwnedFd),
    Flash(Flash),
}

/// From the log to the server.
struct Route<'a> {
    plan: &'a Plan<'a>,
    feed: Feed,
    batch: Batch,
    /// The folder of the cursor.
    folder: Option<OwnedFd>,
    /// What is said before the next line.
    note: Option<&'static [u8]>,
    /// The batch begins with a note.
    noted: Option<&'static [u8]>,
    wire: Option<Wire>,
    /// The last mark before the batch.
    mark: Option<Mark>,
    /// What stands before the batch.
    head: Vec<u8>,
    /// What the event loop waits for, of the wire.
    interest: Option<Readiness>,
    /// Tries so far, each with the next address.
    tries: usize,
    /// The cursor is right.
    is_kept: bool,
    /// It is known that it does not work.
    trouble: bool,
    /// Since when it works again.
    well: Option<Moment>,
    failure: Option<Failure>,
}

impl<'a> Route<'a> {
    fn new(plan: &'a Plan<'a>) -> Result<Self, Failure> {
        let mut place = None;
        let mut folder = None;
        if let Some(path) = plan.cursor {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            let _ = DirBuilder::new().mode(0o755).create(parent);
            folder = Some(files::directory(parent).map_err(Failure::Cursor)?);
            match files::read_up_to(path, CURSOR_BYTES_MAX) {
                // One that is damaged says nothing.
                Ok(text) => place = Place::parse(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::Cursor(error)),
            }
        }
        let mut wire = None;
        if let Target::Directory(path) = plan.target {
            let flash = Flash::open(Path::new(path), plan.total).map_err(Failure::Target)?;
            place = flash.place;
            // Who reads the log finds there what is older.
            let link = plan.log.join(OLDER);
            if std::fs::read_link(&link).is_ok_and(|old| old != Path::new(path)) {
                let _ = std::fs::remove_file(&link);
            }
            let _ = std::os::unix::fs::symlink(path, link);
            wire = Some(Wire::Flash(flash));
        }
        let feed = Feed::open(plan.log, place).map_err(Failure::Log)?;
        let form = match plan.target {
            Target::SyslogUdp(_) => Form::Datagrams,
            Target::Http { form: target::Form::Lines, .. } => Form::Objects,
            Target::Http { form: target::Form::Loki, .. } => Form::Streams,
            Target::SyslogTcp(_) => Form::Stream,
            Target::Directory(_) => Form::Plain,
        };
        let is_plain = form == Form::Plain;
        let mut batch = Batch::new(form, if is_plain { plan.total } else { u64::MAX });
        batch.clear(feed.place());
        Ok(Self {
            plan,
            feed,
            batch,
            folder,
            note: None,
            noted: None,
            wire,
            mark: None,
            head: Vec::new(),
            interest: None,
            tries: 0,
            is_kept: true,
            trouble: false,
            well: None,
            failure: None,
        })
    }

    /// Has the event loop wait for what the wire waits for.
    fn watch(&mut self, events: &EventLoop) -> io::Result<()> {
        let (socket, wanted) = match &self.wire {
            None | Some(Wire::Flash(_)) => return Ok(()),
            Some(Wire::Stream(stream)) => (stream.as_fd(), stream.interest()),
            // Only what went wrong is told.
            Some(Wire::Datagrams(socket)) => (socket.as_fd(), Readiness::empty()),
        };
        match self.interest.replace(wanted) {
            None => events.add(socket, WIRE, wanted),
            Some(interest) if interest != wanted => events.modify(socket, WIRE, wanted),
            Some(_) => Ok(()),
        }
    }

    fn go_on(&mut self) -> Option<Event> {
        let stream = match self.wire.as_mut()? {
            Wire::Stream(stream) => stream,
            Wire::Datagrams(socket) => {
                let error = rustix::net::sockopt::socket_error(socket).ok()?.err()?;
                return Some(self.broken(&error.into()));
            }
            Wire::Flash(_) => return None,
        };
        let is_busy = stream.is_busy();
        match stream.go_on(&self.batch.parts(&self.head)) {
            Ok(event) => {
                if stream.is_over {
                    self.close();
                }
                event
            }
            Err(error) if is_busy => Some(self.broken(&error)),
            // Servers end what nobody uses.
            Err(_) => Some(Event::Broken),
        }
    }

    fn broken(&mut self, error: &io::Error) -> Event {
        self.well = None;
        if !std::mem::replace(&mut self.trouble, true) {
            (self.plan.say)(&format!("cannot send: {error}; trying again"));
        }
        Event::Broken
    }

    fn begin(&mut self) -> io::Result<()> {
        let server = match self.plan.target {
            Target::SyslogTcp(server) | Target::SyslogUdp(server) | Target::Http { server, .. } => {
                server
            }
            Target::Directory(path) => {
                let flash = Flash::open(Path::new(path), self.plan.total)?;
                self.wire = Some(Wire::Flash(flash));
                return Ok(());
            }
        };
        let addresses = resolver::addresses(server.host)?;
        let address = addresses[self.tries % addresses.len()];
        self.tries = self.tries.wrapping_add(1);
        let address = SocketAddr::new(address, server.port);
        self.wire = Some(match self.batch.form {
            Form::Datagrams => {
                let socket = stream::socket(&address, SocketType::DGRAM, SocketFlags::empty())?;
                rustix::net::connect(&socket, &address)?;
                Wire::Datagrams(socket)
            }
            _ => Wire::Stream(Stream::connect(&address)?),
        });
        Ok(())
    }

    /// Sends each line by itself.
    fn send_datagrams(&self, socket: &OwnedFd) -> io::Result<()> {
        let mut start = 0;
        for &end in &self.batch.ends {
            rustix::net::send(socket, &self.batch.text[start..end], SendFlags::NOSIGNAL)?;
            start = end;
        }
        Ok(())
    }

    fn collect_lines(&mut self, lines_max: usize) -> io::Result<()> {
        while self.batch.held().lines < lines_max {
            if let Some(note) = self.note {
                let mut line = line::one(&clock::today().label_text(), SERVICE, note);
                line.pop();
                if !self.batch.add(&line, &Entry::new(Line::read(&line, true))) {
                    break;
                }
                self.noted = self.note.take();
            }
            let batch = &mut self.batch;
            let taken = self.feed.next(&mut |sieve, line| {
                // What the mark is behind which a line stands is known only once it was taken.
                let mark = sieve.mark;
                let entry = sieve.look(line).or_else(|| {
                    // Flash has all marks, too: they are what times are known by.
                    let plain = batch.form == Form::Plain;
                    plain.then(|| Entry::new(Line::read(line, sieve.named)))
                });
                let taken = entry.is_none_or(|entry| batch.add(line, &entry));
                if !taken {
                    sieve.mark = mark;
                }
                taken
            })?;
            match taken {
                Next::Taken => {}
                Next::Lost => self.note = Some(MISSING),
                Next::Left | Next::End => break,
            }
        }
        Ok(())
    }
}

impl World for Route<'_> {
    type Place = Place;

    fn collect(&mut self, lines_max: usize) -> Held {
        if self.batch.ends.is_empty() {
            self.mark = self.feed.sieve.mark;
            // It may have got its name meanwhile.
            self.batch.host = match self.plan.host {
                Some(host) => host.to_vec(),
                None => rustix::system::uname().nodename().to_bytes().to_vec(),
            };
        }
        if let Err(error) = self.collect_lines(lines_max) {
            self.failure = Some(Failure::Log(error));
        }
        self.batch.held()
    }

    fn start(&self) -> Place {
        self.batch.start
    }

    fn go_back(&mut self, place: Place) -> bool {
        let gone = match self.feed.go_back(place) {
            Ok(there) => !there,
            Err(error) => {
                self.failure = Some(Failure::Log(error));
                true
            }
        };
        if !gone {
            self.note = self.noted.take().filter(|_| place == self.batch.start).or(self.note);
            self.batch.clear(place);
        }
        !gone
    }

    fn refresh(&mut self) {
        match self.feed.learn() {
            Ok(()) => {
                self.go_back(self.batch.start);
            }
            Err(error) => self.failure = Some(Failure::Log(error)),
        }
    }

    fn keep(&mut self) {
        if self.trouble {
            // What is in doubt may be trouble again in a moment, and is not worth two lines each time.
            let now = clock::now();
            if now - *self.well.get_or_insert(now) >= manner(self.plan).doubt {
                self.trouble = false;
                (self.plan.say)("sending again");
            }
        }
        let place = self.feed.place();
        self.batch.clear(place);
        self.noted = None;
        if let (Some(folder), Some(path)) = (&self.folder, self.plan.cursor) {
            let mut text = Vec::new();
            place.append(&mut text);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // It goes on without: to end would have it send the same again and again.
            let kept = files::replace(folder, &name, &text, 0o600);
            if let Err(error) = &kept
                && self.is_kept
            {
                (self.plan.say)(&format!("cannot keep how far it was sent: {error}"));
            }
            self.is_kept = kept.is_ok();
        }
    }

    fn give_up(&mut self) {
        let trouble = std::mem::take(&mut self.trouble);
        self.keep();
        self.trouble = trouble;
        self.note = Some(REFUSED);
    }

    fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    fn connect(&mut self) -> Option<Event> {
        match self.begin() {
            Ok(()) if matches!(self.wire, Some(Wire::Stream(_))) => None,
            Ok(()) => Some(Event::Connected),
            Err(error) => Some(self.broken(&error)),
        }
    }

    fn send(&mut self) -> Option<Event> {
        self.head.clear();
        if let Target::Http { server, path, .. } = self.plan.target {
            let length: usize = self.batch.parts(b"").iter().map(|part| part.len()).sum();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n"
            );
            self.head = head.into_bytes();
        }
        let is_answered = !self.head.is_empty();
        match self.wire.as_mut()? {
            Wire::Stream(stream) => {
                stream.begin(is_answered);
                self.go_on()
            }
            Wire::Datagrams(socket) => {
                let socket = socket.try_clone().ok()?;
                match self.send_datagrams(&socket) {
                    Ok(()) => Some(Event::Delivered),
                    Err(error) => Some(self.broken(&error)),
                }
            }
            Wire::Flash(flash) => {
                let text = &self.batch.text;
                let first = Line::read(&text[..newline(text).unwrap_or(0)], true);
                if let (Some(mark), Some(date)) = (self.mark, first.date())
                    && Mark::read(&first).is_none()
                {
                    let mut head = Lines::new(0);
                    mark.write(date, 0, &mut head);
                    self.head = head.as_bytes().to_vec();
                }
                match flash.write(self.feed.place(), &self.head, text) {
                    Ok(()) => Some(Event::Delivered),
                    // Less of it may fit.
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                        self.broken(&error);
                        Some(Event::Refused)
                    }
                    Err(error) => Some(self.broken(&error)),
                }
            }
        }
    }

    fn has_arrived(&mut self) -> bool {
        matches!(&self.wire, Some(Wire::Stream(stream)) if stream.has_arrived())
    }

    fn be_late(&mut self) {
        self.broken(&io::ErrorKind::TimedOut.into());
    }

    fn close(&mut self) {
        self.wire = None;
        self.interest = None;
    }
}
