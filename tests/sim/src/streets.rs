//! The world of init: what it wants done, and the table that outlives it.

use std::collections::{BTreeMap, VecDeque};

use engine::machine::{Action, Event, Program, World};
use engine::service::ending::Class;
use engine::service::init::Unit;
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::bytes::{Reader, Writer};
use model::service::database::Longrun;
use model::service::request::Slot;

use crate::judge::Judge;
use crate::laws::{Law, broken};
use crate::linux::Linux;

/// Bytes that the table has for the state of a slot.
const STATE_BYTES: usize = 52;

/// So many deeds at one moment, for each slot, mean that somebody spins.
const DEEDS_MAX: u32 = 200;

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A service of the graph.
    Service(usize),
    /// A service directory of the scandir.
    Plain,
    /// Reads what a plain service says.
    Reader {
        of: Slot,
    },
    Manager,
    Logger,
}

/// What is kept of a slot while init falls: its record in the table, and what
/// lies in its fifo and its pipes.
pub struct Record {
    pub home: Home,
    /// `None`: a oneshot.
    pub longrun: Option<Longrun>,
    saved: [u8; STATE_BYTES],
    /// The kernel writes the number of its next process here.
    pub cell: u32,
    /// The process that has the other end of its notification descriptor.
    notify: Option<u64>,
    /// That process has written a line there.
    pub line: bool,
    /// The kernel writes what is read of it here, so that it is not lost.
    pub read: bool,
    /// What lies in its control fifo.
    pub letters: VecDeque<u8>,
    /// A reader: init holds its pipe open.
    pub input_open: bool,
}

impl Record {
    pub fn class(&self) -> Class {
        match self.home {
            Home::Service(_) | Home::Plain => Class::Service,
            Home::Reader { .. } => Class::Reader,
            Home::Manager => Class::Manager,
            Home::Logger => Class::Logger,
        }
    }

    pub fn service(&self) -> Option<usize> {
        match self.home {
            Home::Service(service) => Some(service),
            _ => None,
        }
    }

    /// The unit as it was saved.
    pub fn load(&self) -> Unit {
        let mut reader = Reader::new(&self.saved);
        match &self.longrun {
            Some(longrun) => Unit::Longrun(
                Supervisor::load(Rules::from(longrun), &mut reader).expect("it was saved"),
            ),
            None => Unit::Oneshot(Runner::load(&mut reader).expect("it was saved")),
        }
    }

    pub fn drop_notify(&mut self) {
        (self.notify, self.line) = (None, false);
    }

    /// A process writes to its notification descriptor.
    pub fn hear_line(&mut self, birth: u64) {
        self.line |= self.notify == Some(birth);
    }
}

pub struct Streets {
    pub linux: Linux,
    pub judge: Judge,
    pub table: BTreeMap<Slot, Record>,
    /// Which slot each process belongs to; init must find it out anew.
    pub pids: BTreeMap<u32, Slot>,
    /// Slots whose supervision has ended.
    pub left: Vec<Slot>,
    /// Init falls after so many more steps.
    pub falls_after: Option<u32>,
    /// It has: nothing that it does now happens.
    pub fallen: bool,
    deeds: u32,
    /// What machines of init have wanted done, ever.
    pub wants: u32,
    pub tells: bool,
}

impl Streets {
    pub fn new(linux: Linux, judge: Judge, tells: bool) -> Self {
        Self {
            linux,
            judge,
            table: BTreeMap::new(),
            pids: BTreeMap::new(),
            left: Vec::new(),
            falls_after: None,
            fallen: false,
            deeds: 0,
            wants: 0,
            tells,
        }
    }

    /// A step of init, between two of which it may fall. `false`: it has.
    pub fn step(&mut self) -> bool {
        match &mut self.falls_after {
            _ if self.fallen => {}
            Some(0) => (self.falls_after, self.fallen) = (None, true),
            Some(left) => *left -= 1,
            None => {}
        }
        !self.fallen
    }

    /// Something happens at this moment.
    pub fn count(&mut self) {
        self.deeds += 1;
        if self.deeds > DEEDS_MAX * (4 + self.table.len() as u32) {
            broken(Law::NoSpin, format!("{} things happened at once", self.deeds));
        }
    }

    /// Time goes on.
    pub fn pass(&mut self) {
        self.deeds = 0;
    }

    pub fn add(&mut self, slot: Slot, home: Home, longrun: Option<Longrun>, unit: &Unit) {
        let record = Record {
            home,
            longrun,
            saved: [0; STATE_BYTES],
            cell: 0,
            notify: None,
            line: false,
            read: false,
            letters: VecDeque::new(),
            input_open: true,
        };
        if let Home::Service(service) = home {
            self.judge.settle_in(service, slot);
        }
        self.table.insert(slot, record);
        self.write_down(slot, unit);
    }

    fn write_down(&mut self, slot: Slot, unit: &Unit) {
        let mut w = Writer::new();
        match unit {
            Unit::Longrun(supervisor) => supervisor.save(&mut w),
            Unit::Oneshot(runner) => runner.save(&mut w),
        }
        if let Some(record) = self.table.get_mut(&slot) {
            record.saved = [0; STATE_BYTES];
            record.saved[..w.len()].copy_from_slice(w.as_bytes());
        }
    }

    fn spawn(&mut self, slot: Slot, unit: &Unit, program: Program) -> Option<Event> {
        let record = self.table.get_mut(&slot)?;
        // The number of `run` stays until it is written that it has ended.
        let finish = matches!(program, Program::Finish { .. });
        record.cell = if finish { record.cell } else { 0 };
        record.read = false;
        if !self.step() {
            return None;
        }
        self.write_down(slot, unit);
        if !self.step() {
            return None;
        }
        let record = self.table.get_mut(&slot)?;
        record.cell = 0;
        let notifies = record.longrun.as_ref().is_some_and(|l| l.notification_fd.is_some());
        if program == Program::Run && notifies {
            record.drop_notify();
        }
        if !self.step() {
            return None;
        }
        let (class, service) = (self.table[&slot].class(), self.table[&slot].service());
        let started = self.linux.spawn(slot, class, program);
        if self.tells {
            self.tell(&format!("{} starts {program:?}: {started:?}", self.name(slot)));
        }
        if program == Program::Run {
            self.judge.tries(&self.linux, slot, started.is_err());
        }
        let pid = match started {
            Ok(pid) => pid,
            Err(errno) => return Some(Event::SpawnFailed { errno }),
        };
        let longrun = self.table[&slot].longrun.as_ref();
        self.judge.started(&self.linux, (slot, class), service, longrun, program);
        if let Program::Script(_) = program {
            self.judge.run(slot, unit.state().ticket);
        }
        let record = self.table.get_mut(&slot)?;
        record.cell = pid;
        if program == Program::Run && notifies {
            record.notify = Some(self.linux.processes[&pid].birth);
        }
        if !self.step() {
            return None;
        }
        self.pids.insert(pid, slot);
        Some(Event::Started { pid })
    }

    /// A slot as it is called in a story.
    pub fn name(&self, slot: Slot) -> String {
        match self.table.get(&slot).map(|record| record.home) {
            Some(Home::Service(service)) => format!("s{service}"),
            Some(Home::Plain) => format!("plain {slot}"),
            Some(Home::Reader { of }) => format!("log of {of}"),
            Some(Home::Manager) => "manager".into(),
            Some(Home::Logger) => "logger".into(),
            None => format!("slot {slot}"),
        }
    }

    pub fn tell(&self, text: &str) {
        if self.tells {
            eprintln!("{:11.3} {text}", self.linux.now.nanos() as f64 / 1e9);
        }
    }
}

impl World for Streets {
    fn act(&mut self, slot: Slot, unit: &Unit, action: Action) -> Option<Event> {
        self.count();
        self.wants += 1;
        if !self.step() {
            return None;
        }
        match action {
            Action::Spawn(program) => return self.spawn(slot, unit, program),
            Action::Kill { pid, signal, .. } => {
                if self.tells {
                    self.tell(&format!("{} is sent {signal}", self.name(slot)));
                }
                // What it is killed for is written before.
                self.write_down(slot, unit);
                if self.step() {
                    self.linux.kill(slot, pid, signal);
                }
            }
            Action::Leave => self.left.push(slot),
            Action::Announce(_) | Action::Tally(_) | Action::StayDown(_) => {}
        }
        None
    }

    fn save(&mut self, slot: Slot, unit: &Unit) {
        self.count();
        if self.step() {
            self.write_down(slot, unit);
        }
    }
}
