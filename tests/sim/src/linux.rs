//! Linux, as init meets it: processes that end on dice, signals, zombies, and
//! one file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use engine::machine::Program;
use engine::service::ending::Class;
use model::service::request::Slot;
use model::service::status::Exit;
use model::time::Moment;

use crate::dice::Dice;
use crate::laws::{Law, broken};

/// How unkind the world is, in chances of a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A program cannot be started.
    pub spawn_fails: u32,
    /// A longrun never says that it is ready.
    pub mute: u32,
    /// It says so only after seconds.
    pub slow: u32,
    /// A longrun dies by itself.
    pub dies: u32,
    /// A longrun is stopped (SIGSTOP) by somebody.
    pub stops: u32,
    /// A `finish` says that there is no going on.
    pub permanent: u32,
    /// A `finish` does not end.
    pub finish_hangs: u32,
    /// The down signal does not end it.
    pub stubborn: u32,
    /// The kernel holds it for seconds after SIGKILL.
    pub held: u32,
    /// A script exits with 1.
    pub script_fails: u32,
    /// A script does not end.
    pub script_hangs: u32,
    /// A longrun leaves a process behind.
    pub orphans: u32,
    /// The manager, or the logger, dies by itself.
    pub own_dies: u32,
}

impl Weather {
    /// Some things go wrong sometimes, others never.
    pub fn bad(dice: &mut Dice) -> Self {
        let mut up_to = |most| if dice.percent(60) { dice.below(most) as u32 } else { 0 };
        Self {
            spawn_fails: up_to(25),
            mute: up_to(25),
            slow: up_to(40),
            dies: up_to(40),
            stops: up_to(15),
            permanent: up_to(40),
            finish_hangs: up_to(40),
            stubborn: up_to(50),
            held: up_to(30),
            script_fails: up_to(40),
            script_hangs: up_to(30),
            orphans: up_to(30),
            own_dies: up_to(30),
        }
    }
}

/// What a process does when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Speaks,
    Stops,
    Ends(u16),
    Killed,
}

/// What has happened to a process.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// It wrote a line to its notification descriptor.
    Spoke {
        slot: Slot,
        birth: u64,
    },
    Died {
        slot: Slot,
    },
}

pub struct Process {
    /// Tells it from one that had its number before.
    pub birth: u64,
    /// `None`: one that a service left behind.
    pub slot: Option<Slot>,
    pub program: Program,
    class: Class,
    /// Init has sent it a signal that is to end it.
    pub told: bool,
    pub killed: bool,
    stopped: bool,
    /// It was told while it was stopped.
    pending: bool,
    /// What it did not come to do while it was stopped.
    postponed: Vec<Fate>,
    /// It has ended and is not reaped.
    pub dead: Option<Exit>,
}

impl Process {
    pub fn alive(&self) -> bool {
        self.dead.is_none()
    }
}

pub struct Linux {
    pub dice: Dice,
    pub weather: Weather,
    pub now: Moment,
    /// `LIVE/state`.
    pub state: Vec<u8>,
    pub processes: BTreeMap<u32, Process>,
    /// How many were sent SIGKILL.
    pub kills: u32,
    zombies: VecDeque<u32>,
    fates: BinaryHeap<Reverse<(Moment, u64, u32, Fate)>>,
    births: u64,
}

const SIGKILL: u8 = 9;
const SIGCONT: u8 = 18;
const SIGSTOP: u8 = 19;
/// Those that a longrun of the pretend world takes as an order to end.
const DOWN_SIGNALS: [u8; 3] = [2, 3, 15];

impl Linux {
    pub fn new(seed: u64, services: usize) -> Self {
        Self {
            dice: Dice::new(seed),
            weather: Weather::default(),
            now: Moment::from_nanos(1),
            state: vec![0; services],
            processes: BTreeMap::new(),
            kills: 0,
            zombies: VecDeque::new(),
            fates: BinaryHeap::new(),
            births: 0,
        }
    }

    fn at(&mut self, pid: u32, wait: Duration, fate: Fate) {
        let birth = self.processes[&pid].birth;
        self.fates.push(Reverse((self.now + wait, birth, pid, fate)));
    }

    fn ends(&mut self, pid: u32, wait: Duration, exit: Exit) {
        self.at(pid, wait, Fate::Ends(exit.to_wait_status()));
    }

    /// A number that nobody has, often one that somebody had a moment ago.
    fn free_pid(&mut self) -> u32 {
        let first = 100 + self.dice.below(50) as u32;
        (first..).find(|pid| !self.processes.contains_key(pid)).expect("there are enough")
    }

    /// Starts a program, or says why not (`errno(3)`).
    pub fn spawn(&mut self, slot: Slot, class: Class, program: Program) -> Result<u32, u16> {
        if class == Class::Service && self.dice.percent(self.weather.spawn_fails) {
            return Err(*self.dice.pick(&[2, 4, 11, 13]).expect("there are some"));
        }
        let other = self.processes.iter().find(|(_, p)| p.slot == Some(slot) && p.alive());
        if let Some((pid, other)) = other {
            let first = other.program;
            broken(
                Law::OneProcess,
                format!("slot {slot} starts {program:?} beside {first:?} {pid}"),
            );
        }
        let pid = self.free_pid();
        self.add(pid, Some(slot), class, program);
        match (program, class) {
            (Program::Run, Class::Service) => self.decide_service(pid),
            (Program::Run, _) => self.decide_own(pid),
            (Program::Finish { .. }, _) => {
                let wait = self.dice.millis(1, 60);
                let code = if self.dice.percent(self.weather.permanent) { 125 } else { 0 };
                if !self.dice.percent(self.weather.finish_hangs) {
                    self.ends(pid, wait, Exit::Code(code));
                }
            }
            (Program::Script(_), _) => {
                let wait = self.dice.millis(1, 60);
                let code = u8::from(self.dice.percent(self.weather.script_fails));
                if !self.dice.percent(self.weather.script_hangs) {
                    self.ends(pid, wait, Exit::Code(code));
                }
            }
        }
        Ok(pid)
    }

    fn add(&mut self, pid: u32, slot: Option<Slot>, class: Class, program: Program) {
        self.births += 1;
        let process = Process {
            birth: self.births,
            slot,
            program,
            class,
            told: false,
            killed: false,
            stopped: false,
            pending: false,
            postponed: Vec::new(),
            dead: None,
        };
        self.processes.insert(pid, process);
    }

    fn decide_service(&mut self, pid: u32) {
        let weather = self.weather;
        if !self.dice.percent(weather.mute) {
            let slow = self.dice.percent(weather.slow);
            let wait = if slow { self.dice.millis(100, 4_000) } else { self.dice.millis(1, 60) };
            self.at(pid, wait, Fate::Speaks);
        }
        if self.dice.percent(weather.dies) {
            let wait = self.dice.millis(1, 2_000);
            self.ends(pid, wait, Exit::Code(1));
        }
        if self.dice.percent(weather.stops) {
            let wait = self.dice.millis(1, 500);
            self.at(pid, wait, Fate::Stops);
        }
        if self.dice.percent(weather.orphans) {
            let orphan = self.free_pid();
            self.add(orphan, None, Class::Service, Program::Run);
            let wait = self.dice.millis(1, 20_000);
            self.ends(orphan, wait, Exit::Code(0));
        }
    }

    /// The manager begins its work a while after it was started, and so on.
    fn decide_own(&mut self, pid: u32) {
        let wait = self.dice.millis(0, 20);
        self.at(pid, wait, Fate::Speaks);
        if self.dice.percent(self.weather.own_dies) {
            let wait = self.dice.millis(1, 10_000);
            self.ends(pid, wait, Exit::Signal(11));
        }
        if self.dice.percent(self.weather.stops) {
            let wait = self.dice.millis(1, 10_000);
            self.at(pid, wait, Fate::Stops);
        }
    }

    /// Sends a signal from init to a process of `slot`.
    pub fn kill(&mut self, slot: Slot, pid: u32, signal: u8) {
        let Some(process) = self.processes.get(&pid) else {
            broken(
                Law::NoVoidSignal,
                format!("slot {slot} sends {signal} to {pid}: nobody has it"),
            );
        };
        if process.slot != Some(slot) {
            let whose = process.slot;
            broken(
                Law::NoVoidSignal,
                format!("slot {slot} sends {signal} to {pid}, which is of {whose:?}"),
            );
        }
        self.signal(pid, signal);
    }

    /// Sends a signal to every process there is.
    pub fn kill_everyone(&mut self, signal: u8) {
        let all: Vec<u32> = self.processes.keys().copied().collect();
        for pid in all {
            self.signal(pid, signal);
        }
    }

    fn signal(&mut self, pid: u32, signal: u8) {
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.alive()) else {
            return;
        };
        match signal {
            SIGKILL => {
                (process.told, process.killed) = (true, true);
                self.kills += 1;
                let held = self.dice.percent(self.weather.held);
                let wait = if held { self.dice.millis(500, 9_000) } else { self.dice.millis(0, 2) };
                self.at(pid, wait, Fate::Killed);
            }
            SIGSTOP => process.stopped = true,
            SIGCONT => {
                process.stopped = false;
                let postponed = std::mem::take(&mut process.postponed);
                if std::mem::take(&mut process.pending) {
                    self.asked_to_end(pid);
                }
                for fate in postponed {
                    let wait = self.dice.millis(0, 3);
                    self.at(pid, wait, fate);
                }
            }
            _ if DOWN_SIGNALS.contains(&signal) => {
                process.told = true;
                if process.stopped {
                    process.pending = true;
                } else {
                    self.asked_to_end(pid);
                }
            }
            _ => {}
        }
    }

    fn asked_to_end(&mut self, pid: u32) {
        let class = self.processes[&pid].class;
        // Readers end when there is nothing more to read.
        let deaf = class == Class::Reader
            || class == Class::Service && self.dice.percent(self.weather.stubborn);
        let wait = self.dice.millis(0, 40);
        if !deaf {
            // Some programs say that all went well when they are told to end.
            let exit = if self.dice.percent(30) { Exit::Code(0) } else { Exit::Signal(15) };
            self.ends(pid, wait, exit);
        }
    }

    /// Lets a process end soon, whatever it was about to do.
    pub fn ends_soon(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid).filter(|process| process.alive()) {
            process.stopped = false;
            let wait = self.dice.millis(1, 5);
            self.ends(pid, wait, Exit::Code(0));
        }
    }

    /// A process falls dead.
    pub fn dies(&mut self, pid: u32, exit: Exit) {
        if let Some(process) = self.processes.get_mut(&pid).filter(|process| process.alive()) {
            process.dead = Some(exit);
            self.zombies.push_back(pid);
        }
    }

    /// The living process of a slot.
    pub fn of(&self, slot: Slot) -> Option<(u32, &Process)> {
        let mut all = self.processes.iter().map(|(pid, process)| (*pid, process));
        all.find(|(_, process)| process.slot == Some(slot) && process.alive())
    }

    /// It can do something: it lives and is not stopped.
    pub fn can_act(&self, slot: Slot) -> bool {
        self.of(slot).is_some_and(|(_, process)| !process.stopped)
    }

    /// The process that ended first and is not reaped.
    pub fn peek(&self) -> Option<(u32, Exit)> {
        let pid = *self.zombies.front()?;
        Some((pid, self.processes[&pid].dead?))
    }

    pub fn reap(&mut self, pid: u32) {
        self.zombies.retain(|zombie| *zombie != pid);
        self.processes.remove(&pid);
    }

    /// When the next thing happens.
    pub fn next_at(&mut self) -> Option<Moment> {
        while let Some(&Reverse((at, birth, pid, _))) = self.fates.peek() {
            let lives = |p: &Process| p.birth == birth && p.alive();
            if self.processes.get(&pid).is_some_and(lives) {
                return Some(at);
            }
            self.fates.pop();
        }
        None
    }

    /// Lets the next thing happen whose time has come.
    pub fn happen(&mut self) -> Option<News> {
        while self.next_at().is_some_and(|at| at <= self.now) {
            let Some(Reverse((_, birth, pid, fate))) = self.fates.pop() else { break };
            let process = self.processes.get_mut(&pid).expect("fates are of the living");
            let slot = process.slot;
            match fate {
                Fate::Stops => process.stopped = self.weather.stops != 0,
                Fate::Speaks | Fate::Ends(_) if process.stopped => process.postponed.push(fate),
                Fate::Speaks => {
                    if let Some(slot) = slot {
                        return Some(News::Spoke { slot, birth });
                    }
                }
                Fate::Ends(_) | Fate::Killed => {
                    self.dies(
                        pid,
                        match fate {
                            Fate::Ends(status) => Exit::from_wait_status(status),
                            _ => Exit::Signal(SIGKILL),
                        },
                    );
                    if let Some(slot) = slot {
                        return Some(News::Died { slot });
                    }
                }
            }
        }
        None
    }

    /// No more faults; whatever was stuck comes loose.
    pub fn calm(&mut self) {
        self.weather = Weather::default();
        let stuck = |p: &Process| {
            p.alive() && (p.told || !matches!(p.program, Program::Run) || p.slot.is_none())
        };
        let all: Vec<u32> = self.processes.keys().copied().collect();
        for pid in all {
            self.signal(pid, SIGCONT);
            let process = &self.processes[&pid];
            if stuck(process) {
                self.ends_soon(pid);
            } else if process.alive() && process.class == Class::Service {
                let wait = self.dice.millis(1, 5);
                self.at(pid, wait, Fate::Speaks);
            }
        }
    }
}
