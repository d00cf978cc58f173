//! A pretend manager, as controllers see it: it takes its time, overtakes its own requests, and
//! is killed.

use std::collections::VecDeque;
use std::time::Duration;

use engine::controller::Wish;
use model::time::Moment;

use crate::dice::Dice;

/// What the manager says, in order; a while after it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    State {
        service: usize,
        up: bool,
        goal: bool,
        trouble: bool,
    },
    Ended {
        id: u32,
        ok: bool,
    },
    /// It is gone: nothing that was said before means anything.
    Gone,
    /// There is one again.
    Again,
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Down,
    /// It comes up then, if it may.
    Starting(Moment),
    Up,
    /// It is down then.
    Stopping(Moment),
}

#[derive(Clone, Debug)]
pub struct Service {
    pub goal: bool,
    pub phase: Phase,
    pub trouble: bool,
    /// How often it was started.
    pub starts: u32,
    asked: Option<u32>,
    said: Option<(bool, bool, bool)>,
}

/// How services behave.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Milliseconds that a start takes at most, and a stop.
    pub start: u64,
    pub stop: u64,
    /// Of a hundred starts, so many fail.
    pub fails: u32,
}

pub struct Clerk {
    pub services: Vec<Service>,
    /// Whether a start of each succeeds, whatever the dice say; those that cannot hang where `hangs`.
    pub fit: Vec<bool>,
    pub hangs: bool,
    pub weather: Weather,
    pub dice: Dice,
    news: VecDeque<(Moment, News)>,
    /// There is none until then.
    back: Option<Moment>,
}

impl Clerk {
    pub fn new(dice: Dice, services: usize, weather: Weather) -> Self {
        let service = Service {
            goal: false,
            phase: Phase::Down,
            trouble: false,
            starts: 0,
            asked: None,
            said: None,
        };
        Self {
            services: vec![service; services],
            fit: vec![true; services],
            hangs: false,
            weather,
            dice,
            news: VecDeque::new(),
            back: None,
        }
    }

    pub fn is_up(&self, service: usize) -> bool {
        self.services[service].phase == Phase::Up
    }

    pub fn is_there(&self) -> bool {
        self.back.is_none()
    }

    /// A controller asks; what was asked of the service before is overtaken.
    pub fn ask(&mut self, now: Moment, id: u32, wish: Wish, service: usize) {
        if !self.is_there() {
            return self.say(now, News::Ended { id, ok: false });
        }
        let one = &mut self.services[service];
        let before = one.asked.replace(id);
        one.goal = wish != Wish::Down;
        one.trouble = false;
        if let Some(before) = before {
            self.say(now, News::Ended { id: before, ok: false });
        }
        self.pursue(now, service);
    }

    /// Somebody else wants it so.
    pub fn meddle(&mut self, now: Moment, service: usize, up: bool) {
        if self.is_there() {
            let one = &mut self.services[service];
            (one.goal, one.trouble) = (up, false);
            if let Some(before) = one.asked.take() {
                self.say(now, News::Ended { id: before, ok: false });
            }
            self.pursue(now, service);
        }
    }

    /// It ends by itself. The graph has it up; whoever looks at its process does not.
    pub fn fall(&mut self, now: Moment, service: usize) {
        let one = &mut self.services[service];
        if one.phase == Phase::Up {
            (one.phase, one.goal, one.trouble) = (Phase::Down, false, true);
            self.pursue(now, service);
        }
    }

    /// It is killed, and comes back. Services stay as they are, or go on to where they were going.
    pub fn kill(&mut self, now: Moment) {
        if self.is_there() {
            for one in &mut self.services {
                (one.asked, one.said) = (None, None);
            }
            self.news.clear();
            self.news.push_back((now, News::Gone));
            self.back = Some(now + self.dice.millis(5, 2_000));
        }
    }

    /// A controller connects: it is told how everything is.
    pub fn connect(&mut self, now: Moment) {
        self.news.clear();
        for one in &mut self.services {
            (one.said, one.asked) = (None, None);
        }
        if self.is_there() {
            self.news.push_back((now, News::Again));
            (0..self.services.len()).for_each(|service| self.tell(now, service));
        }
    }

    pub fn next(&self) -> Option<Moment> {
        let phases = self.services.iter().filter_map(|one| match one.phase {
            Phase::Starting(at) | Phase::Stopping(at) => Some(at),
            _ => None,
        });
        phases.chain(self.back).chain(self.news.front().map(|(at, _)| *at)).min()
    }

    /// What has come to be by now.
    pub fn step(&mut self, now: Moment) {
        if self.back.is_some_and(|back| back <= now) {
            self.back = None;
            self.connect(now);
        }
        for service in 0..self.services.len() {
            match self.services[service].phase {
                Phase::Starting(at) if at <= now => {
                    let fails = self.dice.percent(self.weather.fails) || !self.fit[service];
                    let one = &mut self.services[service];
                    if fails && self.hangs && !self.fit[service] {
                        // It tries for ever.
                        one.phase = Phase::Starting(now + Duration::from_secs(1));
                        continue;
                    }
                    if fails {
                        (one.phase, one.goal, one.trouble) = (Phase::Down, false, true);
                    } else {
                        one.phase = Phase::Up;
                    }
                    self.end(now, service, !fails);
                }
                Phase::Stopping(at) if at <= now => {
                    self.services[service].phase = Phase::Down;
                    if !self.services[service].goal {
                        self.end(now, service, true);
                    }
                }
                _ => continue,
            }
            self.pursue(now, service);
        }
    }

    pub fn hear(&mut self, now: Moment) -> Option<News> {
        let (at, news) = *self.news.front()?;
        (at <= now).then(|| {
            self.news.pop_front();
            news
        })
    }

    fn pursue(&mut self, now: Moment, service: usize) {
        let start = now + self.dice.millis(1, self.weather.start);
        let stop = now + self.dice.millis(1, self.weather.stop);
        let one = &mut self.services[service];
        match one.phase {
            Phase::Down if one.goal => {
                one.phase = Phase::Starting(start);
                one.starts += 1;
            }
            Phase::Starting(_) if !one.goal => one.phase = Phase::Stopping(stop),
            Phase::Up if !one.goal => one.phase = Phase::Stopping(stop),
            Phase::Up | Phase::Down => self.end(now, service, true),
            _ => {}
        }
        self.tell(now, service);
    }

    fn end(&mut self, now: Moment, service: usize, ok: bool) {
        if let Some(id) = self.services[service].asked.take() {
            // Sometimes the answer is ahead of the news.
            if self.dice.percent(50) {
                self.tell(now, service);
            }
            self.say(now, News::Ended { id, ok });
        }
    }

    fn tell(&mut self, now: Moment, service: usize) {
        let one = &mut self.services[service];
        // As the graph has it: what stops is up until it is down.
        let up = matches!(one.phase, Phase::Up | Phase::Stopping(_));
        let (goal, trouble) = (one.goal, one.trouble);
        if self.back.is_none() && one.said.replace((up, goal, trouble)) != Some((up, goal, trouble))
        {
            self.say(now, News::State { service, up, goal, trouble });
        }
    }

    fn say(&mut self, now: Moment, news: News) {
        let last = self.news.back().map_or(now, |(at, _)| *at);
        let at = (now + self.dice.millis(0, 3)).max(last);
        self.news.push_back((at, news));
    }
}
