//! What init holds of one slot beside its state: descriptors and settings.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use engine::service::ending::Class;
use model::limits::{LOG_LINE_BYTES_MAX, LOG_TURN_BYTES_MAX};
use model::service::database::{Index, Longrun};
use model::service::request::Slot;
use rustix::event::PollFlags;

use crate::files;
use crate::service::table::Fixed;

/// Where a slot's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A directory of the scandir, by the slot's name.
    Scandir,
    /// A service of the live directory with this number.
    Live { live: u8, index: Index },
    /// A program of init's own: no directory.
    Own,
    /// The manager of the live directory with this number.
    Manager { live: u8 },
}

/// In the table, managers are told from services by this.
const MANAGERS: u8 = 128;

/// Both ends of a pipe that init keeps open, so that neither the writer nor
/// the reader is missed when it restarts.
pub struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

impl Pipe {
    /// A new pipe that survives `exec`. Reading never blocks.
    pub fn new() -> std::io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Self { reader, writer })
    }

    pub fn numbers(&self) -> [RawFd; 2] {
        [self.reader.as_raw_fd(), self.writer.as_raw_fd()]
    }

    /// Whoever writes there waits.
    pub fn is_full(&self) -> bool {
        files::ready(&self.writer, PollFlags::OUT).is_ok_and(|ready| ready.is_empty())
    }

    /// Where it is full, gives up the oldest lines, so that nobody waits there; says how many.
    pub fn relieve(&self) -> std::io::Result<u64> {
        if !self.is_full() {
            return Ok(0);
        }
        let mut bytes = vec![0; LOG_TURN_BYTES_MAX + LOG_LINE_BYTES_MAX];
        let mut count = rustix::io::read(&self.reader, &mut bytes[..LOG_TURN_BYTES_MAX])?;
        // On to the end of that line.
        while count > 0 && count < bytes.len() && bytes[count - 1] != b'\n' {
            match rustix::io::read(&self.reader, &mut bytes[count..count + 1]) {
                Ok(1) => count += 1,
                _ => break,
            }
        }
        let lines = bytes[..count].split_inclusive(|&byte| byte == b'\n').count();
        Ok(lines as u64)
    }
}

/// The few events of one turn, without an allocation.
#[derive(Clone, Copy, Default)]
pub struct Events {
    letters: [u8; 7],
    count: u8,
}

impl Events {
    /// Adds one. More than seven in one turn cannot be told apart any more:
    /// the last ones count.
    pub fn push(&mut self, letter: u8) {
        if usize::from(self.count) == self.letters.len() {
            self.letters.copy_within(1.., 0);
            self.count -= 1;
        }
        self.letters[usize::from(self.count)] = letter;
        self.count += 1;
    }

    pub fn letters(&self) -> &[u8] {
        &self.letters[..usize::from(self.count)]
    }
}

/// One slot.
pub struct Held {
    pub slot: Slot,
    pub record: u32,
    pub name: Box<str>,
    pub home: Home,
    pub class: Class,
    pub oneshot: bool,
    /// The settings of a plain service directory, as they were last read.
    /// Those of a live directory are in its database.
    pub plain: Option<Box<Longrun>>,
    /// Its service directory, where that is one of the scandir: it may lose
    /// its name while it is supervised.
    pub directory: Option<OwnedFd>,
    /// `supervise/control`, open at both ends: it never reads as ended.
    pub control: Option<OwnedFd>,
    /// Holds the lock of `supervise/lock`, where it has one of its own.
    pub lock: Option<OwnedFd>,
    /// What it prints goes there.
    pub pipe: Option<Pipe>,
    /// What its producers print goes there, and it reads it.
    pub input: Option<Pipe>,
    /// The slot that reads what this one prints.
    pub consumer: Option<Slot>,
    pub notify: Option<OwnedFd>,
    /// The command of a slot of init's own.
    pub words: Box<[CString]>,
    /// When it went up or down, and became ready (up or down).
    pub dates: [[u8; 12]; 2],
    /// Events not announced yet.
    pub events: Events,
    /// A hash of the status file as it was last written.
    pub written: u64,
    /// Its status file need not be written until something changes.
    pub quiet: bool,
    /// Its directory left the scandir; it is kept until it is asked to go.
    pub inactive: bool,
}

impl Held {
    pub fn new(slot: Slot, name: &str, home: Home, class: Class) -> Self {
        Self {
            slot,
            record: 0,
            name: name.into(),
            home,
            class,
            oneshot: false,
            plain: None,
            directory: None,
            control: None,
            lock: None,
            pipe: None,
            input: None,
            consumer: None,
            notify: None,
            words: Box::default(),
            dates: [[0; 12]; 2],
            events: Events::default(),
            written: 0,
            quiet: false,
            inactive: false,
        }
    }

    /// What the table remembers of it.
    pub fn fixed(&self) -> Fixed {
        let number = |fd: &Option<OwnedFd>| fd.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let numbers = |pipe: &Option<Pipe>| pipe.as_ref().map_or([-1; 2], Pipe::numbers);
        Fixed {
            slot: self.slot,
            home: match self.home {
                Home::Scandir => 0,
                Home::Own => 1,
                Home::Live { live, .. } => 2 + live,
                Home::Manager { live } => MANAGERS + live,
            },
            class: match self.class {
                Class::Service => 0,
                Class::Reader => 1,
                Class::Manager => 2,
                Class::Logger => 3,
            },
            oneshot: self.oneshot,
            control: number(&self.control),
            lock: number(&self.lock),
            pipe: numbers(&self.pipe),
            input: numbers(&self.input),
            notify: number(&self.notify),
            directory: number(&self.directory),
        }
    }

    /// The slot that an earlier program remembered. Its descriptors are open
    /// in this process and nobody else has taken them.
    pub fn from_fixed(fixed: &Fixed, name: &str) -> Self {
        let home = match fixed.home {
            0 => Home::Scandir,
            1 => Home::Own,
            live if live >= MANAGERS => Home::Manager { live: live - MANAGERS },
            live => Home::Live { live: live - 2, index: 0 },
        };
        let class = match fixed.class {
            1 => Class::Reader,
            2 => Class::Manager,
            3 => Class::Logger,
            _ => Class::Service,
        };
        let mut held = Self::new(fixed.slot, name, home, class);
        held.oneshot = fixed.oneshot;
        held.control = inherited(fixed.control);
        held.lock = inherited(fixed.lock);
        held.notify = inherited(fixed.notify);
        held.directory = inherited(fixed.directory);
        held.pipe = inherited_pipe(fixed.pipe);
        held.input = inherited_pipe(fixed.input);
        held
    }

    /// Its directory, relative to where its home begins.
    pub fn folder(&self) -> String {
        match self.home {
            Home::Live { .. } => format!("{}/{}", super::live_dir::SERVICE_DIRS, self.name),
            Home::Scandir | Home::Own | Home::Manager { .. } => ".".to_owned(),
        }
    }
}

/// A descriptor that came through `exec`, if it is open.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number < 3 {
        return None;
    }
    crate::sys::inherit::kept(number)
}

pub fn inherited_pipe(numbers: [RawFd; 2]) -> Option<Pipe> {
    let (reader, writer) = (inherited(numbers[0])?, inherited(numbers[1])?);
    Some(Pipe { reader, writer })
}
