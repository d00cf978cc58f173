//! Services in turn, whose lines go and come back.

use std::time::Duration;

use engine::controller::health::{Ended, Event, Machine, Order, Service, World};
use model::controller::check::{Manner, OnSick};
use model::controller::uplink::Pace;
use model::time::Moment;
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};
use sim::uplinks::Uplinks;

const SECOND: Duration = Duration::from_secs(1);

fn pace(seed: u64) -> Pace {
    let mut dice = Dice::new(seed);
    Pace {
        overlap: dice.percent(60),
        start_limit: dice.millis(5_000, 30_000),
        back_off_max: Duration::from_secs(60),
        ..Pace::default()
    }
}

#[test]
fn where_a_line_is_fit_one_serves_and_in_the_end_it_is_the_first() {
    for seed in seeds(1_000) {
        let members = 2 + (seed % 3) as usize;
        let mut uplinks = Uplinks::new(seed, members, pace(seed));
        // Half of the stories have nobody killed.
        uplinks.strict = seed % 2 == 0;
        for _ in 0..80 {
            let member = uplinks.dice().below(members);
            match uplinks.dice().below(100) {
                0..60 => {
                    let fit = uplinks.dice().percent(60);
                    uplinks.set_fit(member, fit);
                }
                60..65 if !uplinks.strict => uplinks.kill(),
                65..70 if !uplinks.strict => {
                    let now = uplinks.now;
                    uplinks.clerk.kill(now);
                }
                70..75 if !uplinks.strict => {
                    let (now, up) = (uplinks.now, uplinks.dice().percent(50));
                    uplinks.clerk.meddle(now, member, up);
                }
                75..78 => (0..members).for_each(|member| uplinks.set_fit(member, false)),
                // The line flaps.
                78..82 => {
                    for fit in [false, true, false, true] {
                        uplinks.set_fit(member, fit);
                        let pause = uplinks.dice().millis(100, 12_000);
                        uplinks.run_for(pause);
                    }
                }
                _ => {}
            }
            let pause = uplinks.dice().millis(100, 30_000);
            uplinks.run_for(pause);
            if uplinks.dice().percent(20) {
                let pause = uplinks.next_serves_in() + SECOND;
                uplinks.run_for(pause);
                uplinks.check_that_one_serves();
            }
        }
        (0..members).for_each(|member| uplinks.set_fit(member, true));
        let pause = uplinks.comes_back_in();
        uplinks.run_for(pause);
        uplinks.check_that_it_came_back();
    }
}

#[test]
fn nothing_changes_in_a_day_in_which_nothing_fails() {
    for seed in seeds(50) {
        let mut uplinks = Uplinks::new(seed, 3, pace(seed));
        uplinks.run_for(24 * 3600 * SECOND);
        if uplinks.changes != 1 {
            broken(Law::Steady, format!("{} changes in a day", uplinks.changes));
        }
        // The others may fail as they like.
        for _ in 0..100 {
            let member = 1 + uplinks.dice().below(2);
            let fit = uplinks.dice().percent(50);
            uplinks.set_fit(member, fit);
            uplinks.run_for(60 * SECOND);
        }
        if uplinks.changes != 1 {
            broken(Law::Steady, format!("{} changes by those in reserve", uplinks.changes));
        }
    }
}

#[test]
fn a_dead_line_is_tried_ever_more_seldom_and_disturbs_nobody_beside_another() {
    for seed in seeds(100) {
        let pace = Pace { overlap: true, ..pace(seed) };
        let mut uplinks = Uplinks::new(seed, 2, pace);
        uplinks.run_for(60 * SECOND);
        uplinks.set_fit(0, false);
        uplinks.run_for(60 * SECOND);
        let (changes, starts) = (uplinks.changes, uplinks.clerk.services[0].starts);
        uplinks.run_for(3600 * SECOND);
        if uplinks.changes != changes || uplinks.active() != Some(1) {
            broken(Law::Steady, format!("{} changes by a dead line", uplinks.changes - changes));
        }
        let starts = uplinks.clerk.services[0].starts - starts;
        if starts > 60 {
            broken(Law::Patience, format!("{starts} starts of a dead line in an hour"));
        }
    }
}

#[test]
fn a_day_behind_lines_that_lose_a_fifth_of_all_packets_changes_nothing() {
    for seed in seeds(10) {
        let mut uplinks = Uplinks::new(seed, 2, Pace::default());
        let mut checks = [Checks::new(&uplinks, 0), Checks::new(&uplinks, 1)];
        checks.iter_mut().for_each(|checks| checks.loss = 20);
        let mut silent_at = None;
        let end = uplinks.now + 24 * 3600 * SECOND;
        while uplinks.now < end {
            step(&mut uplinks, &mut checks);
        }
        if uplinks.changes != 1 {
            broken(Law::Steady, format!("{} changes in a day", uplinks.changes));
        }
        // The provider goes silent: packets are dropped while the link is still up.
        checks[0].loss = 100;
        let silent = uplinks.now;
        while silent_at.is_none() {
            step(&mut uplinks, &mut checks);
            silent_at = (uplinks.active() == Some(1)).then_some(uplinks.now);
            let taken = uplinks.now.since(silent);
            // Noticed within seven seconds, and four are what a start takes here at most.
            if taken > 12 * SECOND {
                broken(Law::NextServes, format!("{taken:?} after the first line went silent"));
            }
        }
        // While it is silent, its trials end by themselves and disturb nobody.
        let changes = uplinks.changes;
        let end = uplinks.now + 3600 * SECOND;
        while uplinks.now < end {
            step(&mut uplinks, &mut checks);
        }
        if uplinks.changes != changes {
            broken(Law::Steady, format!("{} changes by a silent line", uplinks.changes - changes));
        }
        checks[0].loss = 20;
        let end = uplinks.now + uplinks.comes_back_in();
        while uplinks.now < end {
            step(&mut uplinks, &mut checks);
        }
        if uplinks.active() != Some(0) {
            broken(Law::ComesBack, format!("{:?} serves", uplinks.active()));
        }
    }
}

/// Until the next thing that happens anywhere, a tenth of a second at most.
fn step(uplinks: &mut Uplinks, checks: &mut [Checks; 2]) {
    for (member, checks) in checks.iter_mut().enumerate() {
        checks.look(uplinks, member);
    }
    let deadlines = checks.iter().filter_map(Checks::deadline);
    let next = deadlines.min().map_or(SECOND / 10, |at| at.since(uplinks.now));
    uplinks.run_for(next.clamp(SECOND / 1000, SECOND / 10));
}

/// The health check of one member, which asks for `down` when that is sick.
struct Checks {
    machine: Machine,
    dice: Dice,
    /// So many packets of a hundred are lost, each way.
    loss: u32,
    answers: Vec<(Moment, usize, u32)>,
    told: Option<Service>,
    asked: bool,
}

const TARGETS: usize = 3;

impl Checks {
    fn new(uplinks: &Uplinks, member: u64) -> Self {
        let targets = (0..TARGETS).map(|_| "a target".into());
        let machine =
            Machine::new(Manner::default(), OnSick::Down, false, targets, uplinks.now, member);
        let dice = Dice::new(sim::dice::current_seed() * 2 + member);
        Self { machine, dice, loss: 0, answers: Vec::new(), told: None, asked: false }
    }

    fn deadline(&self) -> Option<Moment> {
        let answers = self.answers.iter().map(|(at, ..)| *at);
        answers.chain(self.machine.deadline()).min()
    }

    fn look(&mut self, uplinks: &mut Uplinks, member: usize) {
        let now = uplinks.now;
        let one = &uplinks.clerk.services[member];
        let up = uplinks.clerk.is_up(member);
        let service = Service { up, serves: up, wanted: one.goal, start: one.starts, since: now };
        let same = |told: &Service| Service { since: now, ..*told } == service;
        let mut events = Vec::new();
        if !self.told.as_ref().is_some_and(same) {
            self.told = Some(service);
            events.push(Event::Service(service));
        }
        self.answers.sort_unstable();
        while self.answers.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, check, round) = self.answers.remove(0);
            events.push(Event::Answered { check, round, good: true, text: String::new() });
        }
        if self.machine.deadline().is_some_and(|at| at <= now) {
            events.push(Event::Tick);
        }
        if std::mem::take(&mut self.asked) {
            events.push(Event::Done { good: true });
        }
        for event in events {
            let (loss, dice, answers) = (self.loss, &mut self.dice, &mut self.answers);
            let mut line = Line { now, loss, dice, answers, down: false };
            self.machine.step(now, event, &mut line);
            if line.down {
                self.asked = true;
                uplinks.clerk.meddle(now, member, false);
            }
        }
    }
}

/// What a check asks over.
struct Line<'a> {
    now: Moment,
    loss: u32,
    dice: &'a mut Dice,
    answers: &'a mut Vec<(Moment, usize, u32)>,
    down: bool,
}

impl World for Line<'_> {
    fn begin(&mut self, check: usize, round: u32) {
        let Manner { timeout, tries, .. } = Manner::default();
        // Each question may be lost, and each answer.
        for number in 0..tries {
            if !self.dice.percent(self.loss) && !self.dice.percent(self.loss) {
                let delay = timeout / tries * number + self.dice.millis(5, 60);
                self.answers.push((self.now + delay, check, round));
                return;
            }
        }
    }

    fn end(&mut self, check: usize) -> Ended {
        self.answers.retain(|(_, other, _)| *other != check);
        Ended { text: String::new(), gone: true }
    }

    fn ask(&mut self, order: Order, _because: &str) {
        self.down |= order == Order::Down;
    }
}
