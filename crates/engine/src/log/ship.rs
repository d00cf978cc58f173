//! Sends a log somewhere else: when lines are taken together, when they count as delivered, when
//! it is tried again.
//!
//! One batch is under way at a time. The place in the log up to which all was delivered is kept
//! after each: whoever goes on from there loses nothing, and sends at most that batch twice. Of a
//! stream without answers (syslog over TCP) nobody knows what the program at the other end has
//! read of what its kernel has: when such a connection ends, what was sent just before is sent
//! again.

use alloc::collections::VecDeque;
use core::time::Duration;

use model::time::Moment;

/// What a kind of target asks for.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Lines wait so long for others; not at all where it is zero.
    pub patience: Duration,
    /// Between two batches.
    pub pause: Duration,
    /// What was delivered is in doubt for so long, should the connection end; zero: it is not.
    pub doubt: Duration,
    /// Lines in one batch.
    pub lines_max: usize,
}

/// What the batch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub lines: usize,
    /// No other line fits in.
    pub full: bool,
    /// One of them should not wait.
    pub urgent: bool,
}

/// What is done at once answers with the event that tells how it went; the rest brings it later.
pub trait World {
    /// A place in the log.
    type Place: Copy;

    /// Adds lines to the batch until it holds `lines_max` of them, or all there are.
    fn collect(&mut self, lines_max: usize) -> Held;

    /// Where the batch begins.
    fn start(&self) -> Self::Place;

    /// Empties the batch; the next one begins at `place`. `false`: that place is gone from the
    /// log, and the batch stays as it is.
    fn go_back(&mut self, place: Self::Place) -> bool;

    /// Makes the batch anew of the same lines where these are still there: what is known of their
    /// times may have changed.
    fn refresh(&mut self);

    /// The batch was delivered: remembers that, and empties it.
    fn keep(&mut self);

    /// The same for one that was refused, of which something is told.
    fn give_up(&mut self);

    fn is_connected(&self) -> bool;

    fn connect(&mut self) -> Option<Event>;

    fn send(&mut self) -> Option<Event>;

    /// Whether all that was sent has arrived.
    fn has_arrived(&mut self) -> bool;

    /// It takes too long.
    fn be_late(&mut self);

    fn close(&mut self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There may be more lines.
    Grown,
    Connected,
    /// The batch is on its way, and there will be no answer.
    Sent,
    Delivered,
    /// The other side does not want this batch, and never will.
    Refused,
    /// The connection is lost, or was not made, or the other side cannot take anything now.
    Broken,
    /// The deadline has come.
    Tick,
    /// This program shall end.
    End,
}

/// Between two tries at first, and at most: each is twice as long as the one before.
pub const WAIT_MIN: Duration = Duration::from_secs(1);
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Time for a connection to be made.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Time for a batch to be delivered.
const DELIVER_MAX: Duration = Duration::from_secs(60);

/// Between two looks whether all has arrived.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Time for what is under way at the end.
const END_MAX: Duration = Duration::from_secs(2);

/// Batches that can be in doubt at once.
const DOUBTFUL_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There are no lines.
    Idle,
    /// There are some, which wait for others.
    Collecting {
        until: Moment,
    },
    /// Until the next try.
    Waiting {
        until: Moment,
    },
    Connecting {
        until: Moment,
    },
    Sending {
        until: Moment,
    },
    /// All is sent, and has not arrived yet.
    Looking {
        next: Moment,
        wait: Duration,
        until: Moment,
    },
    /// Between two batches.
    Pausing {
        until: Moment,
    },
    Over,
}

/// The machine.
pub struct Ship<P> {
    manner: Manner,
    state: State,
    /// Lines of the batch.
    lines: usize,
    /// Since when its first line waits.
    since: Option<Moment>,
    /// Lines that a batch may have now: fewer while those are looked for that are refused.
    lines_max: usize,
    /// Before the next try.
    wait: Duration,
    /// Since when it works.
    well: Option<Moment>,
    /// It did not work the last time.
    failed: bool,
    /// When batches were delivered that are in doubt, and where each begins.
    doubtful: VecDeque<(Moment, P)>,
    ending: Option<Moment>,
}

impl<P: Copy> Ship<P> {
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            state: State::Idle,
            lines: 0,
            since: None,
            lines_max: manner.lines_max,
            wait: WAIT_MIN,
            well: None,
            failed: false,
            doubtful: VecDeque::with_capacity(DOUBTFUL_MAX),
            ending: None,
        }
    }

    /// Whether news of the log make a difference now.
    pub fn listens(&self) -> bool {
        matches!(self.state, State::Idle | State::Collecting { .. })
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When it wants to hear [`Event::Tick`].
    pub fn deadline(&self) -> Option<Moment> {
        let own = match self.state {
            State::Over => return None,
            State::Idle => None,
            State::Looking { next, until, .. } => Some(next.min(until)),
            State::Collecting { until }
            | State::Waiting { until }
            | State::Connecting { until }
            | State::Sending { until }
            | State::Pausing { until } => Some(until),
        };
        [own, self.ending].into_iter().flatten().min()
    }

    pub fn step(&mut self, now: Moment, event: Event, world: &mut impl World<Place = P>) {
        let mut next = Some(event);
        while let Some(event) = next {
            next = self.hear(now, event, world);
        }
    }

    fn hear<W: World<Place = P>>(
        &mut self,
        now: Moment,
        event: Event,
        world: &mut W,
    ) -> Option<Event> {
        use State::*;
        match (event, self.state) {
            (_, Over) => None,
            (Event::Grown, Idle | Collecting { .. }) => self.go(now, world),
            (Event::Connected, Connecting { .. }) => {
                if core::mem::take(&mut self.failed) {
                    world.refresh();
                }
                self.go(now, world)
            }
            (Event::Sent, Sending { until }) => {
                self.state = Looking { next: now, wait: LOOK_MIN, until };
                self.look(now, world)
            }
            (Event::Delivered, Sending { .. }) => self.deliver(now, world),
            (Event::Refused, Sending { .. }) => self.refuse(now, world),
            (Event::Broken, Idle | Collecting { .. } | Pausing { .. }) => {
                world.close();
                if self.go_back(now, world) {
                    self.wait(now);
                }
                None
            }
            (Event::Broken, Connecting { .. } | Sending { .. } | Looking { .. }) => {
                self.fail(now, world);
                None
            }
            (Event::End, state) => {
                self.ending = Some(now + END_MAX);
                match state {
                    Idle | Collecting { .. } | Pausing { .. } => return self.go(now, world),
                    Waiting { .. } => self.state = Over,
                    _ => {}
                }
                None
            }
            (Event::Tick, _) if self.ending.is_some_and(|end| now >= end) => {
                self.state = Over;
                None
            }
            (Event::Tick, Collecting { until } | Waiting { until } | Pausing { until })
                if now >= until =>
            {
                self.go(now, world)
            }
            (Event::Tick, Connecting { until } | Sending { until } | Looking { until, .. })
                if now >= until =>
            {
                world.be_late();
                self.fail(now, world);
                None
            }
            (Event::Tick, Looking { next, .. }) if now >= next => self.look(now, world),
            // Too late, or nothing that is waited for.
            _ => None,
        }
    }

    /// Takes what there is, and sends it when it is time.
    fn go<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) -> Option<Event> {
        let held = world.collect(self.lines_max);
        self.lines = held.lines;
        if held.lines == 0 {
            self.since = None;
            self.state = if self.ending.is_some() { State::Over } else { State::Idle };
            return None;
        }
        let until = *self.since.get_or_insert(now) + self.manner.patience;
        let enough = held.full || held.urgent || held.lines >= self.lines_max;
        if !enough && now < until && self.ending.is_none() {
            self.state = State::Collecting { until };
            None
        } else if world.is_connected() {
            self.state = State::Sending { until: now + DELIVER_MAX };
            world.send()
        } else {
            self.state = State::Connecting { until: now + CONNECT_MAX };
            world.connect()
        }
    }

    fn look<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) -> Option<Event> {
        if world.has_arrived() {
            return self.deliver(now, world);
        }
        if let State::Looking { wait, until, .. } = self.state {
            let (next, wait) = (now + wait, (wait * 2).min(LOOK_MAX));
            self.state = State::Looking { next, wait, until };
        }
        None
    }

    fn deliver<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) -> Option<Event> {
        if !self.manner.doubt.is_zero() {
            if self.doubtful.len() == DOUBTFUL_MAX {
                self.doubtful.pop_front();
            }
            self.doubtful.push_back((now, world.start()));
        }
        world.keep();
        self.well.get_or_insert(now);
        self.lines_max = (self.lines_max * 2).min(self.manner.lines_max);
        self.since = None;
        if self.manner.pause.is_zero() {
            return self.go(now, world);
        }
        self.state = State::Pausing { until: now + self.manner.pause };
        None
    }

    /// Looks for the line that is meant, by halves; and goes on without it.
    fn refuse<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) -> Option<Event> {
        if self.lines > 1 && world.go_back(world.start()) {
            self.lines_max = self.lines / 2;
            return self.go(now, world);
        }
        world.give_up();
        self.since = None;
        // Who refuses everything gets a line now and then.
        self.wait(now);
        None
    }

    fn fail<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) {
        world.close();
        self.go_back(now, world);
        self.wait(now);
    }

    /// Goes back to what is in doubt; `false`: nothing is.
    fn go_back<W: World<Place = P>>(&mut self, now: Moment, world: &mut W) -> bool {
        let doubt = self.manner.doubt;
        let first = self.doubtful.iter().find(|(then, _)| now - *then <= doubt).copied();
        self.doubtful.clear();
        if let Some((_, place)) = first {
            world.go_back(place);
        }
        first.is_some()
    }

    fn wait(&mut self, now: Moment) {
        self.failed = true;
        // What was delivered and came to nothing was no success.
        if self.well.take().is_some_and(|well| now - well >= self.manner.doubt) {
            self.wait = WAIT_MIN;
        }
        self.state = match self.ending {
            Some(_) => State::Over,
            None => State::Waiting { until: now + self.wait },
        };
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}

#[cfg(test)]
mod tests;
