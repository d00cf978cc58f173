//! Services in turn, whose lines go and come back, and the controller that has one of them up.

use std::time::Duration;

use engine::controller::failover::{Failover, Order};
use model::controller::uplink::Pace;
use model::time::Moment;

use crate::clerk::{Clerk, News, Phase, Weather};
use crate::dice::Dice;
use crate::laws::{Law, broken};

pub struct Uplinks {
    pub now: Moment,
    pub clerk: Clerk,
    pub pace: Pace,
    machine: Option<Failover>,
    start_at: Moment,
    /// What the controller has published.
    active: Option<usize>,
    /// Since when each line is fit, or not.
    since: Vec<Moment>,
    /// When one that has lost its line ends.
    falls_at: Vec<Option<Moment>>,
    /// Since when two are up, or none.
    two_since: Option<Moment>,
    none_since: Option<Moment>,
    /// How often it was another that serves.
    pub changes: u32,
    /// Nothing is killed, and nobody meddles: one serves.
    pub strict: bool,
    tells: bool,
}

impl Uplinks {
    pub fn new(seed: u64, members: usize, pace: Pace) -> Self {
        let now = Moment::from_nanos(1_000_000_000_000);
        let mut clerk = Clerk::new(
            Dice::new(seed + 2_000_000),
            members,
            Weather { start: 4_000, stop: 500, fails: 0 },
        );
        clerk.hangs = clerk.dice.percent(50);
        Self {
            now,
            clerk,
            pace,
            machine: None,
            start_at: now,
            active: None,
            since: vec![now; members],
            falls_at: vec![None; members],
            two_since: None,
            none_since: Some(now),
            changes: 0,
            strict: true,
            tells: std::env::var_os("TELL").is_some(),
        }
    }

    pub fn dice(&mut self) -> &mut Dice {
        &mut self.clerk.dice
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            for round in 0.. {
                if round > 1_000 {
                    broken(Law::NoSpin, format!("the controller of uplinks at {:?}", self.now));
                }
                if !self.turn() {
                    break;
                }
            }
            self.watch();
            let next = [
                self.clerk.next(),
                self.machine.as_ref().and_then(|machine| machine.deadline()),
                self.machine.is_none().then_some(self.start_at),
                self.falls_at.iter().flatten().min().copied(),
            ];
            match next.into_iter().flatten().min() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
        }
        self.now = end;
        self.watch();
    }

    fn turn(&mut self) -> bool {
        let now = self.now;
        let mut busy = 0;
        if self.machine.is_none() && self.start_at <= now {
            let mut machine = Failover::new(now, self.pace, self.clerk.services.len());
            if let Some(active) = self.active {
                machine.adopt(active);
            }
            self.machine = Some(machine);
            self.clerk.connect(now);
            busy += 1;
        }
        for at in 0..self.falls_at.len() {
            if self.falls_at[at].is_some_and(|when| when <= now) {
                self.falls_at[at] = None;
                self.clerk.fall(now, at);
                busy += 1;
            }
        }
        self.clerk.step(now);
        while let Some(news) = self.clerk.hear(now) {
            busy += 1;
            self.note(&news);
            let Some(machine) = &mut self.machine else { continue };
            match news {
                News::State { service, up, goal, .. } => {
                    machine.told(now, service, up, goal || up);
                }
                News::Ended { id, ok } => machine.ended(now, id, ok),
                News::Gone | News::Again => machine.again(),
            }
        }
        let mut orders = Vec::new();
        if let Some(machine) = &mut self.machine {
            machine.decide(now, &mut orders);
            if let Some(deadline) = machine.deadline()
                && deadline <= now
            {
                broken(Law::NoSpin, format!("{deadline:?} is over at {now:?}: {machine:?}"));
            }
        }
        for order in orders {
            self.note(&order);
            match order {
                Order::Ask { id, wish, member } => {
                    busy += 1;
                    self.clerk.ask(now, id, wish, member);
                }
                Order::Active { member } => {
                    self.changes += u32::from(self.active != member);
                    self.active = member;
                }
                Order::Say { .. } => {}
            }
        }
        busy > 0
    }

    fn note(&self, what: &dyn std::fmt::Debug) {
        if self.tells {
            let millis = self.now.nanos() / 1_000_000 - 1_000_000;
            eprintln!("{millis:9} {what:?}");
        }
    }

    /// A line goes, or comes back.
    pub fn set_fit(&mut self, member: usize, fit: bool) {
        if self.clerk.fit[member] == fit {
            return;
        }
        self.note(&format!("{member} is fit: {fit}"));
        self.clerk.fit[member] = fit;
        self.since[member] = self.now;
        // It takes its program, or its check, a while to find out.
        let falls = self.now + self.clerk.dice.millis(10, 8_000);
        self.falls_at[member] = (!fit).then_some(falls);
    }

    /// The controller is killed.
    pub fn kill(&mut self) {
        self.machine = None;
        self.start_at = self.now + self.clerk.dice.millis(1, 1_500);
    }

    pub fn active(&self) -> Option<usize> {
        self.active
    }

    /// The longest from a line that is fit to a service that is up, where nothing else is: all
    /// others are tried before, and one back-off. What is killed comes back in two seconds.
    pub fn next_serves_in(&self) -> Duration {
        let members = self.clerk.services.len() as u32;
        (self.pace.start_limit + Duration::from_secs(3)) * members
            + self.pace.back_off
            + Duration::from_secs(10)
    }

    /// The longest until the preferred one is up again.
    pub fn comes_back_in(&self) -> Duration {
        let better = self.pace.fail_back_after + self.pace.back_off_max + self.pace.back_off;
        self.next_serves_in() * 2 + better + self.pace.dwell + self.pace.start_limit
    }

    fn watch(&mut self) {
        let up: Vec<usize> =
            (0..self.clerk.services.len()).filter(|at| self.clerk.is_up(*at)).collect();
        let since = |known: Option<Moment>, is: bool| is.then(|| known.unwrap_or(self.now));
        self.two_since = since(self.two_since, up.len() > 1);
        let fit = |at: usize| self.clerk.fit[at];
        self.none_since = since(self.none_since, !up.iter().any(|at| fit(*at)));
        if !self.strict {
            return;
        }
        let two = self.two_since.map(|since| self.now.since(since)).unwrap_or_default();
        let most = if self.pace.overlap { self.pace.dwell } else { Duration::ZERO };
        if up.len() > 2 || two > most + Duration::from_millis(100) {
            broken(Law::OneServes, format!("{up:?} are up for {two:?}"));
        }
    }

    /// Whether one serves, where it could for long enough.
    pub fn check_that_one_serves(&self) {
        let Some(none) = self.none_since else { return };
        let limit = self.next_serves_in();
        for (at, fit) in self.clerk.fit.iter().enumerate() {
            let since = self.since[at].max(none);
            if *fit && self.now.since(since) > limit {
                let what =
                    format!("{at} is fit for {:?}: {:?}", self.now.since(since), self.machine);
                broken(Law::NextServes, what);
            }
        }
    }

    /// Whether the first one is up alone.
    pub fn check_that_it_came_back(&self) {
        let up: Vec<bool> = self.clerk.services.iter().map(|one| one.phase == Phase::Up).collect();
        let first = (0..up.len()).map(|at| at == 0);
        if self.active != Some(0) || !first.eq(up.iter().copied()) {
            broken(Law::ComesBack, format!("{:?} are up: {:?}", up, self.machine));
        }
        let deadline = self.machine.as_ref().and_then(Failover::deadline);
        if deadline.is_some() || self.clerk.next().is_some() {
            broken(Law::Quiet, format!("something goes on at {deadline:?}: {:?}", self.machine));
        }
    }
}
