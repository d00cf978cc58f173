//! Soft restarts among processes that do not end, file systems that stay in use, and calls that fail:
//! they end in maintenance with nothing on the flash, or in a restart of the machine.

use std::time::Duration;

use engine::flash::soft_restart::{Order, Outcome, SoftRestart};
use model::time::Moment;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};

/// Longer than any order and pause may take together.
const BITES_AFTER: Duration = Duration::from_secs(2);

/// A restart may take this long: somebody waits.
const TIME_MAX: Duration = Duration::from_secs(15);

/// What can be in the way.
#[derive(Default)]
struct Weather {
    /// So often out of a hundred a call fails.
    failing: u32,
    /// So often a process does not hear the first signal, or is held by the kernel.
    deaf: u32,
    stuck: u32,
    /// So often something stays in use for a while, or for good.
    busy: u32,
    held: u32,
}

struct Process {
    ends_at: Option<Moment>,
    deaf: bool,
    stuck: bool,
    /// It has a file on flash open.
    uses_flash: bool,
}

/// A device between two systems.
struct Device {
    dice: Dice,
    now: Moment,
    swap: bool,
    entered: bool,
    processes: Vec<Process>,
    loops: bool,
    mounted: usize,
    /// What keeps a file system in use until then, unseen.
    busy_until: Moment,
    /// A file system that nobody sees any more is held until then.
    unseen_until: Moment,
    failing: u32,
    fed: Moment,
    said: Vec<Order>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Maintenance,
    Restart,
}

impl Device {
    fn new(seed: u64, weather: &Weather) -> Self {
        let mut dice = Dice::new(seed);
        let mut processes = Vec::new();
        for _ in 0..dice.below(4) {
            let (deaf, stuck) = (dice.percent(weather.deaf), dice.percent(weather.stuck));
            let uses_flash = dice.percent(60);
            processes.push(Process { ends_at: None, deaf, stuck, uses_flash });
        }
        let until = |dice: &mut Dice, busy, held| match (dice.percent(busy), dice.percent(held)) {
            (_, true) => Moment::from_nanos(u64::MAX),
            (true, false) => Moment::ZERO + dice.millis(0, 6_000),
            _ => Moment::ZERO,
        };
        Self {
            busy_until: until(&mut dice, weather.busy, weather.held),
            unseen_until: until(&mut dice, weather.busy, weather.held),
            swap: dice.percent(30),
            entered: false,
            processes,
            loops: dice.percent(30),
            mounted: 1 + dice.below(5),
            failing: weather.failing,
            now: Moment::ZERO,
            fed: Moment::ZERO,
            said: Vec::new(),
            dice,
        }
    }

    fn flash_is_free(&self) -> bool {
        let used = self.processes.iter().any(|process| process.uses_flash);
        self.mounted == 0 && !self.swap && !self.loops && !used && self.unseen_until <= self.now
    }

    fn live(&mut self, time: Duration) {
        self.now = self.now + time;
        let now = self.now;
        self.processes.retain(|process| process.ends_at.is_none_or(|at| at > now));
    }

    /// Carries an order out, as Linux does on a bad day.
    fn act(&mut self, order: Order) -> Outcome {
        let time = self.dice.millis(0, 200);
        self.live(time);
        let fails = self.dice.percent(self.failing);
        match order {
            _ if fails => return Outcome::Failed,
            Order::EndSwap => self.swap = false,
            Order::Enter => self.entered = true,
            Order::Signal(signal) => {
                for process in &mut self.processes {
                    let hears = signal == 9 || !process.deaf;
                    if hears && !process.stuck && process.ends_at.is_none() {
                        process.ends_at = Some(self.now + self.dice.millis(0, 800));
                    }
                }
            }
            Order::FreeLoops => self.loops = false,
            Order::Unmount => {
                let used = self.processes.iter().any(|process| process.uses_flash);
                if used || self.loops || self.busy_until > self.now {
                    return Outcome::Failed;
                }
                self.mounted = 0;
            }
            Order::Prove if !self.flash_is_free() => return Outcome::Failed,
            _ => {}
        }
        Outcome::Done
    }

    /// One half of it; `None`: the program becomes the other.
    fn play(&mut self, mut machine: SoftRestart) -> Option<End> {
        loop {
            if self.now.since(self.fed) > BITES_AFTER {
                broken(
                    Law::Fed,
                    format!("not for {:?}: {:?}", self.now.since(self.fed), self.said),
                );
            }
            self.fed = self.now;
            if self.now.since(Moment::ZERO) > TIME_MAX {
                broken(Law::RestartEnds, format!("it never ends: {:?}", self.said));
            }
            let order = machine.next(self.now, !self.processes.is_empty());
            self.said.push(order);
            match order {
                Order::Wait(until) => {
                    let wait = until.since(self.now).max(Duration::from_nanos(1));
                    self.live(wait);
                }
                Order::Serve => {
                    if !self.flash_is_free() || !self.entered {
                        broken(Law::FlashIsFree, format!("services start: {:?}", self.said));
                    }
                    return Some(End::Maintenance);
                }
                Order::Reboot(_) => return Some(End::Restart),
                Order::Become => match self.act(order) {
                    Outcome::Done => return None,
                    failed => machine.done(self.now, failed),
                },
                order => {
                    let outcome = self.act(order);
                    if self.mounted == 0 && !self.entered {
                        broken(Law::FlashIsFree, "the old root goes before it is left");
                    }
                    machine.done(self.now, outcome);
                }
            }
        }
    }

    fn restart(&mut self) -> End {
        let end = self.play(SoftRestart::leave());
        end.or_else(|| self.play(SoftRestart::arrive(self.now))).expect("the second half ends")
    }
}

#[test]
fn it_ends_in_maintenance_or_in_the_old_system_and_never_between() {
    let mut ends = [0; 2];
    for seed in seeds(20_000) {
        let mut dice = Dice::new(!seed);
        let mut chance = |most| dice.below(most) as u32;
        let weather = Weather {
            failing: chance(15),
            deaf: chance(60),
            stuck: chance(30),
            busy: chance(60),
            held: chance(20),
        };
        let mut device = Device::new(seed, &weather);
        let end = device.restart();
        let failed = device.said.iter().any(|order| matches!(order, Order::Reboot(_)));
        if failed != (end == End::Restart) {
            broken(Law::RestartEnds, format!("{end:?} after {:?}", device.said));
        }
        ends[usize::from(end == End::Restart)] += 1;
    }
    // Both are played, unless one seed alone is.
    assert!(ends.iter().sum::<u32>() < 1_000 || ends.iter().all(|count| *count > 100), "{ends:?}");
}

#[test]
fn it_comes_to_maintenance_where_nothing_stays_in_its_way() {
    for seed in seeds(20_000) {
        // Processes that have to be killed, and what is in use for a while, are no reason to give up.
        let weather = Weather { deaf: 50, busy: 40, ..Weather::default() };
        let mut device = Device::new(seed, &weather);
        let patience = Moment::ZERO + Duration::from_secs(3);
        device.busy_until = device.busy_until.min(patience);
        device.unseen_until = device.unseen_until.min(patience);
        if device.restart() != End::Maintenance {
            broken(Law::Arrives, format!("{:?}", device.said));
        }
    }
}
