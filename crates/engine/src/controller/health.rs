//! Whether a service does what it should: asks in rounds, counts, and has it restarted.
//!
//! A round begins every check at once and ends when all of them have, or when
//! the timeout has come. It is good where enough of them succeeded. So many
//! bad ones in a row make the service sick; so many good ones make it healthy.
//! What is sick is restarted, the next time after a wait, and after twice that
//! the time after.
//!
//! Nothing is asked while the service is not up. What was asked of an earlier
//! start of it counts for nothing.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use model::controller::check::{Manner, OnSick};
use model::limits::CHECK_TEXT_BYTES_MAX;
use model::time::Moment;

/// What was killed has so long to be gone until the next round, which counts
/// it as failed otherwise.
const GONE_MAX: Duration = Duration::from_secs(1);

/// Bytes of a reason: what `ward why` shows in a line or two.
const BECAUSE_BYTES_MAX: usize = 2 * CHECK_TEXT_BYTES_MAX;

/// What is told to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Up,
    Down,
    Restart,
}

/// What the machine has done.
pub trait World {
    /// Begins a check; how it ends is told by [`Event::Answered`].
    fn begin(&mut self, check: usize, round: u32);

    /// Ends one that takes too long.
    fn end(&mut self, check: usize) -> Ended;

    /// Asks the manager; how it went is told by [`Event::Done`].
    fn ask(&mut self, order: Order, because: &str);
}

/// What came of a check that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why it took so long, as far as that is known.
    pub text: String,
    /// Nothing is left of it. Otherwise [`Event::Answered`] tells when that is so.
    pub gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// How the service is, says the manager: at first, and whenever that has changed.
    Service(Service),
    /// A check has ended.
    Answered { check: usize, round: u32, good: bool, text: String },
    /// What was asked last was done, or came to nothing.
    Done { good: bool },
    /// Another manager is there: it may never have heard what was asked.
    Again,
    /// The deadline has come.
    Tick,
}

/// How the checked service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// It came up and was not taken down since.
    pub up: bool,
    /// It is up, and its process runs, where it has one.
    pub serves: bool,
    /// It shall be up, or was to be and failed.
    pub wanted: bool,
    /// Counts its starts: what was asked of another one counts for nothing.
    pub start: u32,
    /// Since when it is like this.
    pub since: Moment,
}

/// Whether the service does what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody can say yet.
    Unknown,
    Healthy,
    Sick,
}

/// What is known of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What is asked.
    pub what: Box<str>,
    /// Its last result: `None` before the first since the service came up.
    pub good: Option<bool>,
    /// Since when results are like the last one.
    pub since: Moment,
    /// What it said last.
    pub text: String,
    /// Failures since the service came up.
    pub failures: u32,
    /// Failures since the last success.
    pub in_a_row: u32,
    /// The round it was begun in, until it has ended.
    busy: Option<u32>,
    /// It has a result in this round.
    has_result: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The service is not up, or will not be for long.
    Resting,
    Pausing {
        until: Moment,
    },
    Asking {
        since: Moment,
        until: Moment,
    },
}

/// What the manager shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    None,
    /// It is told then.
    Due {
        order: Order,
        at: Moment,
    },
    /// It was told.
    Told {
        order: Order,
    },
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    manner: Manner,
    on_sick: OnSick,
    /// Nobody else starts the service.
    keeps_up: bool,
    checks: Vec<Seen>,
    service: Option<Service>,
    /// The manager that is there now has said so.
    heard: bool,
    phase: Phase,
    round: u32,
    health: Health,
    /// Since when.
    since: Moment,
    /// Rounds in a row that ended like the last one.
    good: u32,
    bad: u32,
    /// A round was good since the service came up.
    was_good: bool,
    wish: Wish,
    /// Why it is sick, as it was told.
    reason: String,
    /// No restart before that.
    earliest: Moment,
    /// The wait behind the next one.
    wait: Duration,
    /// What changes with each round has changed.
    changed: bool,
    seed: u64,
}

impl Machine {
    /// `seed` is where the jitter comes from.
    pub fn new(
        manner: Manner,
        on_sick: OnSick,
        keeps_up: bool,
        checks: impl IntoIterator<Item = Box<str>>,
        now: Moment,
        seed: u64,
    ) -> Self {
        let seen = |what| Seen {
            what,
            good: None,
            since: now,
            text: String::new(),
            failures: 0,
            in_a_row: 0,
            busy: None,
            has_result: false,
        };
        Self {
            manner,
            on_sick,
            keeps_up,
            checks: checks.into_iter().map(seen).collect(),
            service: None,
            heard: false,
            phase: Phase::Resting,
            round: 0,
            health: Health::Unknown,
            since: now,
            good: 0,
            bad: 0,
            was_good: false,
            wish: Wish::None,
            reason: String::new(),
            earliest: Moment::ZERO,
            wait: manner.wait,
            changed: true,
            seed,
        }
    }

    /// When it wants to hear [`Event::Tick`].
    pub fn deadline(&self) -> Option<Moment> {
        let round = match self.phase {
            Phase::Resting => None,
            Phase::Pausing { until } if self.is_any_left() => Some(until + GONE_MAX),
            Phase::Pausing { until } | Phase::Asking { until, .. } => Some(until),
        };
        let wish = match self.wish {
            // Until a manager is there, there is nobody to tell.
            Wish::Due { order, at } if self.can_tell(order) => Some(at),
            Wish::None | Wish::Due { .. } | Wish::Told { .. } => None,
        };
        [round, wish].into_iter().flatten().min()
    }

    pub fn health(&self) -> (Health, Moment) {
        (self.health, self.since)
    }

    pub fn checks(&self) -> &[Seen] {
        &self.checks
    }

    /// Whether something is to be told that was not told before.
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// How it goes, in a few words.
    pub fn summary(&self) -> String {
        let Manner { threshold, rise, .. } = self.manner;
        let word = match self.health {
            Health::Unknown => "not known yet",
            Health::Healthy => "yes",
            Health::Sick => "no",
        };
        let rest = match (self.health, self.phase, self.wish) {
            (_, _, Wish::Told { order: Order::Restart }) => "it is being restarted".into(),
            (_, _, Wish::Told { order: Order::Down }) => "it is being stopped".into(),
            (_, _, Wish::Told { order: Order::Up }) => "it is being started".into(),
            (_, _, Wish::Due { order: Order::Restart, .. }) => {
                "it was restarted a short time ago, and the next restart waits".into()
            }
            (_, _, Wish::Due { order: Order::Up, .. }) => "it is started again soon".into(),
            (_, Phase::Resting, _) => "the service is not up".into(),
            _ if self.bad > 0 => {
                format!("{} of {threshold} bad rounds in a row", self.bad.min(threshold))
            }
            (Health::Healthy, ..) => return word.into(),
            _ => format!("{} of {rise} good rounds in a row", self.good),
        };
        format!("{word}: {rest}")
    }

    pub fn step(&mut self, now: Moment, event: Event, world: &mut impl World) {
        match event {
            Event::Service(service) => self.hear_service(now, service, world),
            Event::Answered { check, round, good, text } => {
                self.hear_answer(now, check, round, good, text, world);
            }
            Event::Done { good } => self.hear_done(now, good),
            Event::Again => {
                // What it says of the service decides whether that is still to be told.
                if let Wish::Told { order } = self.wish {
                    self.wish = Wish::Due { order, at: now };
                }
                self.heard = false;
            }
            Event::Tick => {}
        }
        self.go_on(now, world);
    }

    /// Does what is due.
    fn go_on(&mut self, now: Moment, world: &mut impl World) {
        if let Wish::Due { order, at } = self.wish
            && now >= at
            && self.can_tell(order)
        {
            self.tell(now, order, world);
        }
        match self.phase {
            Phase::Pausing { until }
                if now >= until && (!self.is_any_left() || now >= until + GONE_MAX) =>
            {
                self.begin_round(now, world);
            }
            Phase::Asking { since, until } if now >= until => {
                for check in 0..self.checks.len() {
                    if !self.checks[check].has_result {
                        let text = self.end(check, world);
                        self.count(now, check, false, text);
                    }
                }
                self.end_round(now, since, world);
            }
            _ => {}
        }
    }

    /// There is a manager, and no round under way that may tell otherwise.
    fn can_tell(&self, order: Order) -> bool {
        self.heard && (order == Order::Up || !matches!(self.phase, Phase::Asking { .. }))
    }

    fn hear_service(&mut self, now: Moment, service: Service, world: &mut impl World) {
        use Order::{Down, Restart, Up};
        use Wish::{Due, Told};
        let before = self.service.replace(service);
        self.heard = true;
        let like = |old: Service| (old.up, old.serves, old.start);
        let same = before.is_some_and(|old| like(old) == like(service));
        if !same {
            self.forget(now);
            self.rest(world);
        }
        self.wish = match self.wish {
            // What was to be reached is reached, by whomever.
            Due { order: Up, .. } | Told { order: Up } if service.up => Wish::None,
            Told { order: Restart | Down } if service.serves && !same => Wish::None,
            Told { order: Down } if !service.up => Wish::None,
            Due { order: Restart | Down, .. } if !same => Wish::None,
            wish => wish,
        };
        let is_idle = matches!(self.phase, Phase::Resting);
        if service.serves && is_idle && !matches!(self.wish, Told { .. }) {
            self.phase = Phase::Pausing { until: now + self.jitter() };
        }
        // Where somebody has stopped it, it stays stopped until this program starts anew.
        let fell = before.is_none() || service.wanted;
        if !service.up && self.keeps_up && self.wish == Wish::None && fell {
            self.wish = Due { order: Up, at: now.max(self.earliest) };
        }
    }

    fn hear_done(&mut self, now: Moment, good: bool) {
        let Wish::Told { .. } = self.wish else { return };
        self.changed = true;
        self.wish = Wish::None;
        let Some(service) = self.service else { return };
        if service.serves {
            // Nothing came of it: the service is asked on.
            self.phase = Phase::Pausing { until: now + self.jitter() };
            self.bad = 0;
        } else if !good && !service.up && self.keeps_up && service.wanted {
            self.wish = Wish::Due { order: Order::Up, at: now + self.next_wait() };
        }
    }

    fn begin_round(&mut self, now: Moment, world: &mut impl World) {
        self.round = self.round.wrapping_add(1);
        self.phase = Phase::Asking { since: now, until: now + self.manner.timeout };
        for at in 0..self.checks.len() {
            let check = &mut self.checks[at];
            check.has_result = false;
            match check.busy {
                None => {
                    check.busy = Some(self.round);
                    world.begin(at, self.round);
                }
                // Never two of one kind at once.
                Some(_) => self.count(now, at, false, "the one before does not end".into()),
            }
        }
        self.end_if_over(now, world);
    }

    fn hear_answer(
        &mut self,
        now: Moment,
        at: usize,
        round: u32,
        good: bool,
        text: String,
        world: &mut impl World,
    ) {
        let Some(check) = self.checks.get_mut(at) else { return };
        if check.busy != Some(round) {
            return;
        }
        check.busy = None;
        let asks = matches!(self.phase, Phase::Asking { .. });
        if asks && round == self.round && !check.has_result {
            self.count(now, at, good, text);
            self.end_if_over(now, world);
        }
    }

    fn count(&mut self, now: Moment, at: usize, good: bool, mut text: String) {
        cut(&mut text, CHECK_TEXT_BYTES_MAX);
        let check = &mut self.checks[at];
        check.has_result = true;
        let other = check.good != Some(good);
        if other {
            check.good = Some(good);
            check.since = now;
        }
        // What changes with each good answer is no news.
        self.changed |= other || !good;
        if other || !good || check.text != text {
            check.text = text;
        }
        if good {
            check.in_a_row = 0;
        } else {
            check.failures = check.failures.saturating_add(1);
            check.in_a_row = check.in_a_row.saturating_add(1);
        }
    }

    fn end(&mut self, at: usize, world: &mut impl World) -> String {
        let Ended { text, gone } = world.end(at);
        if gone {
            self.checks[at].busy = None;
        }
        text
    }

    /// A check that was ended is not gone yet.
    fn is_any_left(&self) -> bool {
        self.checks.iter().any(|check| check.busy.is_some())
    }

    fn end_if_over(&mut self, now: Moment, world: &mut impl World) {
        if let Phase::Asking { since, .. } = self.phase
            && self.checks.iter().all(|check| check.has_result)
        {
            self.end_round(now, since, world);
        }
    }

    fn end_round(&mut self, now: Moment, since: Moment, world: &mut impl World) {
        let good = self.checks.iter().filter(|check| check.good == Some(true)).count();
        let is_good = good >= self.manner.quorum as usize;
        let pause = if is_good { self.manner.interval } else { self.manner.retry };
        let next = since + pause + if is_good { self.jitter() } else { Duration::ZERO };
        self.phase = Phase::Pausing { until: now.max(next) };
        if is_good {
            self.was_good = true;
            self.good = self.good.saturating_add(1);
            self.changed |= self.bad > 0 || self.health != Health::Healthy;
            self.bad = 0;
            // What begins to answer is not restarted for what it was.
            if let Wish::Due { order: Order::Restart | Order::Down, .. } = self.wish {
                self.wish = Wish::None;
            }
        } else {
            self.good = 0;
            if self.was_good || self.is_old_enough(since) {
                self.bad = self.bad.saturating_add(1);
            }
        }
        if self.bad >= self.manner.threshold {
            self.be_sick(now, world);
        } else if self.good >= self.manner.rise && self.health != Health::Healthy {
            self.turn(now, Health::Healthy);
        }
    }

    /// Bad rounds that begin now count.
    fn is_old_enough(&self, now: Moment) -> bool {
        self.service.is_some_and(|service| now >= service.since + self.manner.grace)
    }

    fn be_sick(&mut self, now: Moment, world: &mut impl World) {
        if self.health != Health::Sick {
            self.turn(now, Health::Sick);
        }
        if self.wish == Wish::None {
            let (order, at) = match self.on_sick {
                OnSick::Down => (Order::Down, now),
                OnSick::Restart => (Order::Restart, now.max(self.earliest)),
            };
            self.wish = Wish::Due { order, at };
        }
        self.go_on(now, world);
    }

    fn turn(&mut self, now: Moment, health: Health) {
        if self.health == Health::Healthy && now - self.since >= self.manner.calm {
            self.wait = self.manner.wait;
            self.earliest = now;
        }
        self.health = health;
        self.since = now;
        self.changed = true;
    }

    fn tell(&mut self, now: Moment, order: Order, world: &mut impl World) {
        // A manager that comes in the middle of it hears the same as the one before.
        if order == Order::Up {
            self.reason.clear();
        } else if self.bad > 0 || self.reason.is_empty() {
            self.reason = self.because();
        }
        self.wish = Wish::Told { order };
        if order == Order::Restart {
            self.earliest = now + self.next_wait();
        }
        self.changed = true;
        self.rest(world);
        world.ask(order, &self.reason);
    }

    fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(self.manner.wait_max);
        wait
    }

    /// Why the service is sick.
    fn because(&self) -> String {
        let mut text = format!("{} bad rounds in a row", self.bad);
        for check in self.checks.iter().filter(|check| check.good == Some(false)) {
            let _ = write!(text, "; {}: {}", check.what, check.text);
        }
        cut(&mut text, BECAUSE_BYTES_MAX);
        text
    }

    /// Nothing is asked any more.
    fn rest(&mut self, world: &mut impl World) {
        if let Phase::Asking { .. } = self.phase {
            for at in 0..self.checks.len() {
                if !self.checks[at].has_result {
                    self.end(at, world);
                }
            }
        }
        self.phase = Phase::Resting;
    }

    /// What was known is known of an earlier start.
    fn forget(&mut self, now: Moment) {
        self.turn(now, Health::Unknown);
        (self.good, self.bad, self.was_good) = (0, 0, false);
        for check in &mut self.checks {
            (check.good, check.since) = (None, now);
            (check.failures, check.in_a_row) = (0, 0);
            check.text.clear();
        }
    }

    /// Anything from zero to the jitter that is wanted.
    fn jitter(&mut self) -> Duration {
        // SplitMix64, as in tests/sim.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let most = u64::try_from(self.manner.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(z % most.saturating_add(1).max(1))
    }
}

/// Takes away what is too much of a text.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - 3));
        text.push('…');
    }
}

#[cfg(test)]
mod tests;
