//! The health check's machine among pretend targets, a pretend network, a
//! service that falls sick, and a manager that dies.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::controller::health::{Ended, Event, Health, Machine, Order, Service, World};
use model::controller::check::{Manner, OnSick};
use model::time::Moment;

use crate::dice::Dice;
use crate::laws::{Law, broken};

/// Good answers of a round that does not count while it has none: it began too early.
const EARLY: u32 = u32::MAX;

/// How the way to the targets is.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// So many packets of a hundred are lost, on the way there and back alike.
    pub loss: u32,
    /// What an answer takes, at least and at most.
    pub delay: (u64, u64),
    /// Nothing comes back at all.
    pub silent: bool,
}

impl Network {
    pub const GOOD: Self = Self { loss: 0, delay: (5, 30), silent: false };
}

/// What a check is, and how it is just now.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// A program: it answers by ending, and may take a while to die.
    pub is_command: bool,
    /// It alone does not answer.
    pub is_dead: bool,
    /// A command: what is killed of it never goes away.
    pub is_stuck: bool,
}

#[derive(Clone, Debug)]
enum Coming {
    /// A check ends by itself, or what was killed of it is gone. With the number of its start.
    Ends {
        check: usize,
        begun: u64,
        round: u32,
        good: bool,
    },
    /// The manager has done what it was asked for.
    Done {
        order: Order,
        manager: u64,
    },
    /// Another manager is there.
    Manager,
    /// What the manager says of the service arrives.
    News {
        service: Service,
        manager: u64,
    },
    Ended {
        good: bool,
        manager: u64,
    },
    Told {
        manager: u64,
    },
}

/// A check that was begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    number: u64,
    round: u32,
    killed: Option<Moment>,
}

impl Begun {
    /// It was killed, and does not go away.
    fn is_stuck(self, now: Moment) -> bool {
        self.killed.is_some_and(|killed| now - killed >= Duration::from_secs(1))
    }
}

/// All of it but the machine.
pub struct Surgery {
    pub now: Moment,
    pub dice: Dice,
    pub network: Network,
    pub targets: Vec<Target>,
    pub manner: Manner,
    coming: BTreeMap<(Moment, u64), Coming>,
    order: u64,
    begun: Vec<Option<Begun>>,
    /// Of the service: how it is.
    pub service: Service,
    /// It has gone bad, and another start cures that, or not.
    pub sick: bool,
    pub incurable: bool,
    /// Which manager is there; `None`: none.
    pub manager: Option<u64>,
    managers: u64,
    /// The next requests fail.
    pub failing: bool,
    /// What the machine was told last of the service.
    told: Option<Service>,
    /// Rounds of the service as the machine knows it: number, and good answers; only those that
    /// count.
    rounds: Vec<(u32, u32)>,
    was_good: bool,
    /// What did not die at first has ended since the last good round.
    was_stuck: bool,
    /// Orders, and when they were given.
    pub asked: Vec<(Order, Moment)>,
    /// Restarts since nothing was healthy for long.
    last_restart: Option<(Moment, u64)>,
    /// What was asked last, of which manager, for which start.
    last_asked: Option<(Order, Option<u64>, u32)>,
    pub steps: u64,
}

/// The machine, and its world.
pub struct Story {
    pub machine: Machine,
    pub keeps_up: bool,
    pub world: Surgery,
}

impl Surgery {
    fn send(&mut self, after: Duration, what: Coming) {
        self.order += 1;
        self.coming.insert((self.now + after, self.order), what);
    }

    /// When a probe is answered, if ever: asked again and again, as `ward` asks.
    fn answered(&mut self) -> Option<Duration> {
        let Manner { timeout, tries, .. } = self.manner;
        let mut first: Option<Duration> = None;
        for number in 0..tries {
            let at = timeout / tries * number;
            if first.is_some_and(|first| first <= at) {
                break; // No reason to ask again.
            }
            let Network { loss, delay, silent } = self.network;
            if silent || self.dice.percent(loss) || self.dice.percent(loss) {
                continue;
            }
            let arrives = at + self.dice.millis(delay.0, delay.1);
            first = Some(first.map_or(arrives, |first| first.min(arrives)));
        }
        first
    }

    /// The manager says how the service is.
    fn tell(&mut self) {
        if let Some(manager) = self.manager {
            let service = self.service;
            self.send(Duration::from_millis(1), Coming::News { service, manager });
        }
    }

    /// The service comes up anew, by whatever cause.
    pub fn start_service(&mut self) {
        self.service.start += 1;
        (self.service.up, self.service.serves, self.service.since) = (true, true, self.now);
        self.sick = self.incurable;
        self.tell();
    }

    pub fn stop_service(&mut self, wanted: bool) {
        (self.service.up, self.service.serves) = (false, false);
        (self.service.wanted, self.service.since) = (wanted, self.now);
        self.tell();
    }

    /// A process dies and is started again, of which the graph knows nothing.
    pub fn crash_service(&mut self) {
        if self.service.up {
            self.service.serves = false;
            self.service.since = self.now;
            self.tell();
            self.start_service();
        }
    }

    pub fn kill_manager(&mut self) {
        if self.manager.take().is_some() {
            let after = self.dice.millis(10, 3_000);
            self.send(after, Coming::Manager);
        }
    }
}

impl World for Surgery {
    fn begin(&mut self, check: usize, round: u32) {
        if self.begun[check].is_some() {
            broken(Law::OneCheck, format!("check {check} is begun again in round {round}"));
        }
        if !self.told.is_some_and(|told| told.serves) {
            broken(Law::OnlyWhileUp, format!("check {check} is begun"));
        }
        let since = self.told.map_or(Moment::ZERO, |told| told.since);
        let counts = self.was_good || self.now >= since + self.manner.grace;
        if self.rounds.last().is_none_or(|last| last.0 != round) {
            let early = self.rounds.last().is_some_and(|last| last.1 == EARLY);
            if early {
                self.rounds.pop();
            }
            self.rounds.push((round, if counts { 0 } else { EARLY }));
        }
        self.order += 1;
        let number = self.order;
        self.begun[check] = Some(Begun { number, round, killed: None });
        let Target { is_command, is_dead, .. } = self.targets[check];
        let bad = is_dead || self.sick;
        if is_command && bad && self.dice.percent(50) {
            // It ends quickly, and says no.
            let after = self.dice.millis(1, 50);
            return self.send(after, Coming::Ends { check, begun: number, round, good: false });
        }
        if !bad && let Some(after) = self.answered() {
            self.send(after, Coming::Ends { check, begun: number, round, good: true });
        }
    }

    fn end(&mut self, check: usize) -> Ended {
        let text = "no answer".to_owned();
        let Some(begun) = &mut self.begun[check] else { return Ended { text, gone: true } };
        let Target { is_command, is_stuck, .. } = self.targets[check];
        if !is_command {
            self.begun[check] = None;
            return Ended { text, gone: true };
        }
        begun.killed = Some(self.now);
        let Begun { number, round, .. } = *begun;
        if !is_stuck {
            let after = self.dice.millis(0, 20);
            self.send(after, Coming::Ends { check, begun: number, round, good: false });
        }
        Ended { text, gone: false }
    }

    fn ask(&mut self, order: Order, because: &str) {
        let Manner { threshold, quorum, wait, calm, .. } = self.manner;
        let start = self.told.map_or(0, |told| told.start);
        let before = self.last_asked.replace((order, self.manager, start));
        // Of what the manager was told that died nobody knows what came of it.
        let again = before
            .is_some_and(|(asked, to, of)| asked == order && to != self.manager && of == start);
        if order != Order::Up && !(again && because.contains("bad rounds in a row")) {
            // Whoever counts for himself what the machine was answered comes to the same.
            let is_bad = |round: &&(u32, u32)| round.1 < quorum; // An early one is not.
            let first = self.rounds.iter().rev().take_while(is_bad).last();
            // Numbers that are missing are rounds in which everything was stuck.
            let bad = first.map_or(0, |first| self.rounds[self.rounds.len() - 1].0 - first.0 + 1);
            // Of those that are not begun because the one before is still there, it sees nothing.
            let stuck = |it: &&Option<Begun>| it.is_some_and(|begun| begun.is_stuck(self.now));
            let left = self.begun.iter().filter(stuck).count();
            let is_stuck = self.was_stuck || self.targets.len() - left < quorum as usize;
            if bad < threshold && !is_stuck || !because.contains("bad rounds in a row") {
                let rounds = &self.rounds[self.rounds.len().saturating_sub(5)..];
                let what = format!("{order:?} after {bad} bad rounds: {rounds:?}: {because}");
                broken(Law::NoCause, what);
            }
        }
        self.asked.push((order, self.now));
        let Some(manager) = self.manager else { return };
        if order == Order::Restart {
            if let Some((last, to)) = self.last_restart
                && self.now - last < wait.min(calm)
                && to == manager
            {
                broken(Law::BackOff, format!("two restarts within {:?}", self.now - last));
            }
            self.last_restart = Some((self.now, manager));
        }
        if order != Order::Down {
            self.service.wanted = true;
        }
        let after = self.dice.millis(1, 500);
        self.send(after, Coming::Done { order, manager });
    }
}

impl Story {
    pub fn new(
        seed: u64,
        manner: Manner,
        on_sick: OnSick,
        keeps_up: bool,
        targets: Vec<Target>,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let now = Moment::from_nanos(1_000_000_000_000);
        let names = (0..targets.len()).map(|at| format!("icmp {at}").into());
        let machine = Machine::new(manner, on_sick, keeps_up, names, now, dice.throw());
        let service = Service { up: false, serves: false, wanted: false, start: 0, since: now };
        let world = Surgery {
            now,
            dice,
            network: Network::GOOD,
            begun: vec![None; targets.len()],
            targets,
            manner,
            coming: BTreeMap::new(),
            order: 0,
            service,
            sick: false,
            incurable: false,
            manager: None,
            managers: 0,
            failing: false,
            told: None,
            rounds: Vec::new(),
            was_good: false,
            was_stuck: false,
            asked: Vec::new(),
            last_restart: None,
            last_asked: None,
            steps: 0,
        };
        let mut story = Self { machine, keeps_up, world };
        story.world.send(Duration::ZERO, Coming::Manager);
        story
    }

    pub fn health(&self) -> Health {
        self.machine.health().0
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// The same, or until something is so; says whether it is.
    pub fn run_until(&mut self, span: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let end = self.world.now + span;
        let (mut at, mut times) = (self.world.now, 0);
        while !is_so(self) {
            let coming = self.world.coming.keys().next().map(|key| key.0);
            let deadline = self.machine.deadline().map(|it| it.max(self.world.now));
            let Some(next) = [coming, deadline].into_iter().flatten().min().filter(|it| *it <= end)
            else {
                self.world.now = end;
                return is_so(self);
            };
            times = if next == at { times + 1 } else { 0 };
            if times > 1_000 {
                broken(Law::NoSpin, format!("a thousand steps at {next:?}"));
            }
            (at, self.world.now) = (next, next);
            self.world.steps += 1;
            match self.world.coming.pop_first() {
                Some(((when, _), coming)) if when <= next => self.happen(coming),
                Some((key, coming)) => {
                    self.world.coming.insert(key, coming);
                    self.step(Event::Tick);
                }
                None => self.step(Event::Tick),
            }
        }
        true
    }

    fn step(&mut self, event: Event) {
        self.machine.step(self.world.now, event, &mut self.world);
    }

    fn happen(&mut self, coming: Coming) {
        let world = &mut self.world;
        match coming {
            Coming::Ends { check, begun, round, good } => {
                let Some(known) = world.begun[check].filter(|known| known.number == begun) else {
                    return;
                };
                // What it said while it was killed is nothing.
                let good = good && known.killed.is_none();
                world.was_stuck |= known.is_stuck(world.now);
                if good
                    && let Some(last) = world.rounds.last_mut()
                    && last.0 == round
                {
                    last.1 = if last.1 == EARLY { 1 } else { last.1 + 1 };
                    if last.1 >= world.manner.quorum {
                        (world.was_good, world.was_stuck) = (true, false);
                    }
                }
                world.begun[check] = None;
                let text = if good { "answered" } else { "no answer" }.to_owned();
                self.step(Event::Answered { check, round: known.round, good, text });
            }
            Coming::Done { order, manager } => {
                if world.manager != Some(manager) && world.dice.percent(50) {
                    return; // It died before it did that.
                }
                let failing = world.failing;
                match order {
                    _ if failing && order != Order::Down => world.stop_service(true),
                    Order::Down => world.stop_service(false),
                    Order::Restart => {
                        world.stop_service(true);
                        world.start_service();
                    }
                    Order::Up if !world.service.up => world.start_service(),
                    Order::Up => {}
                }
                let good = !failing || order == Order::Down;
                world.send(Duration::from_millis(1), Coming::Ended { good, manager });
            }
            Coming::Manager => {
                world.managers += 1;
                world.manager = Some(world.managers);
                let manager = world.managers;
                world.send(Duration::ZERO, Coming::Told { manager });
            }
            Coming::Told { manager } => {
                if world.manager == Some(manager) {
                    self.step(Event::Again);
                    self.world.tell();
                }
            }
            Coming::News { service, manager } => {
                // What is over already may be left out.
                let is_over = service != world.service && world.dice.percent(50);
                if world.manager != Some(manager) || is_over {
                    return;
                }
                let like = |it: Service| (it.up, it.serves, it.start);
                if world.told.map(like) != Some(like(service)) {
                    world.rounds.clear();
                    world.was_good = false;
                }
                world.told = Some(service);
                self.step(Event::Service(service));
            }
            Coming::Ended { good, manager } => {
                if world.manager == Some(manager) {
                    self.step(Event::Done { good });
                }
            }
        }
    }
}

impl Surgery {
    /// All is well from now on, and what was stuck ends.
    pub fn calm(&mut self) {
        self.network = Network::GOOD;
        (self.sick, self.failing) = (false, false);
        for check in 0..self.targets.len() {
            self.targets[check].is_dead = false;
            self.targets[check].is_stuck = false;
            if let Some(Begun { number, round, killed: Some(_) }) = self.begun[check] {
                let ends = Coming::Ends { check, begun: number, round, good: false };
                self.send(Duration::ZERO, ends);
            }
        }
    }
}
