//! A pretend log and a pretend server, which is down, cuts connections, forgets and refuses.

use super::*;
use alloc::vec::Vec;

const SECOND: Duration = Duration::from_secs(1);

/// How the server takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// Nobody listens.
    Down,
    /// It takes the batch and the connection ends before it has said so.
    Cuts,
    /// Its system has it, and the program never reads it.
    Forgets,
    /// Nothing comes back.
    Silent,
}

/// Lines are numbers; a place is how many there were before.
struct Pretend {
    log: usize,
    /// Those before it were removed.
    oldest: usize,
    read: usize,
    start: usize,
    room: usize,
    kept: usize,
    mood: Mood,
    answers: bool,
    refused: Option<usize>,
    got: Vec<usize>,
    given_up: Vec<usize>,
    tries: usize,
    connected: bool,
    urgent: Option<usize>,
}

impl Pretend {
    fn new(log: usize) -> Self {
        Self {
            log,
            oldest: 0,
            read: 0,
            start: 0,
            room: 10,
            kept: 0,
            mood: Mood::Well,
            answers: true,
            refused: None,
            got: Vec::new(),
            given_up: Vec::new(),
            tries: 0,
            connected: false,
            urgent: None,
        }
    }
}

impl World for Pretend {
    type Place = usize;

    fn collect(&mut self, lines_max: usize) -> Held {
        let room = self.room.min(lines_max.max(self.read - self.start));
        self.read = self.log.min(self.start + room);
        let urgent = self.urgent.is_some_and(|line| (self.start..self.read).contains(&line));
        Held { lines: self.read - self.start, full: self.read - self.start == self.room, urgent }
    }

    fn start(&self) -> usize {
        self.start
    }

    fn go_back(&mut self, place: usize) -> bool {
        if place < self.oldest {
            return false;
        }
        (self.start, self.read) = (place, place);
        true
    }

    fn refresh(&mut self) {
        self.go_back(self.start);
    }

    fn keep(&mut self) {
        self.kept = self.read;
        self.start = self.read;
    }

    fn give_up(&mut self) {
        self.given_up.extend(self.start..self.read);
        self.keep();
    }

    fn connect(&mut self) -> Option<Event> {
        self.tries += 1;
        self.connected = self.mood != Mood::Down;
        Some(if self.connected { Event::Connected } else { Event::Broken })
    }

    fn send(&mut self) -> Option<Event> {
        let batch = self.start..self.read;
        if self.refused.is_some_and(|line| batch.contains(&line)) {
            return Some(Event::Refused);
        }
        if matches!(self.mood, Mood::Well | Mood::Cuts) {
            self.got.extend(batch);
        }
        match self.mood {
            Mood::Down | Mood::Cuts => Some(Event::Broken),
            Mood::Silent => None,
            Mood::Well | Mood::Forgets if self.answers => Some(Event::Delivered),
            Mood::Well | Mood::Forgets => Some(Event::Sent),
        }
    }

    fn has_arrived(&mut self) -> bool {
        self.mood != Mood::Silent
    }

    fn is_connected(&self) -> bool {
        self.connected
    }

    fn be_late(&mut self) {}

    fn close(&mut self) {
        self.connected = false;
    }
}

const ANSWERED: Manner =
    Manner { patience: Duration::ZERO, pause: Duration::ZERO, doubt: Duration::ZERO, lines_max: 8 };
const UNANSWERED: Manner = Manner { doubt: Duration::from_secs(2), ..ANSWERED };

struct Trial {
    now: Moment,
    ship: Ship<usize>,
    world: Pretend,
}

impl Trial {
    fn new(manner: Manner, log: usize) -> Self {
        let mut world = Pretend::new(log);
        world.answers = manner.doubt.is_zero();
        Self { now: Moment::from_nanos(1), ship: Ship::new(manner), world }
    }

    fn hear(&mut self, event: Event) {
        self.ship.step(self.now, event, &mut self.world);
    }

    fn say(&mut self, lines: usize) {
        self.world.log += lines;
        if self.ship.listens() {
            self.hear(Event::Grown);
        }
    }

    /// Lets time pass; says at which seconds it tried to connect.
    fn pass(&mut self, span: Duration) -> Vec<u64> {
        let (begun, end) = (self.now, self.now + span);
        let (mut tries, mut turns) = (Vec::new(), 0);
        while let Some(deadline) = self.ship.deadline().filter(|deadline| *deadline <= end) {
            turns = if deadline > self.now { 0 } else { turns + 1 };
            assert!(turns < 3, "it turns on the spot");
            self.now = self.now.max(deadline);
            let before = self.world.tries;
            self.hear(Event::Tick);
            tries.extend((before < self.world.tries).then_some((self.now - begun).as_secs()));
        }
        self.now = end;
        tries
    }

    /// Everything came, in order, and nothing twice in a row but these.
    fn assert_got(&self, twice: Option<core::ops::Range<usize>>) {
        let mut expected: Vec<usize> = (0..self.world.log).collect();
        if let Some(range) = twice {
            let at = expected.iter().position(|line| *line == range.end);
            let at = at.unwrap_or(expected.len());
            expected.splice(at..at, range);
        }
        assert_eq!(self.world.got, expected);
        assert_eq!(self.world.kept, self.world.log);
        assert_eq!(self.ship.deadline(), None, "it rests");
    }
}

#[test]
fn what_there_is_goes_in_batches_and_then_it_rests() {
    for manner in [ANSWERED, UNANSWERED] {
        let mut trial = Trial::new(manner, 30);
        trial.hear(Event::Grown);
        trial.assert_got(None);
        assert_eq!(trial.world.tries, 1);
        trial.say(1);
        trial.say(20);
        trial.assert_got(None);
        assert_eq!(trial.world.tries, 1, "the connection stays");
    }
}

#[test]
fn a_server_that_is_down_is_tried_ever_more_seldom_and_gets_everything_in_the_end() {
    let mut trial = Trial::new(ANSWERED, 3);
    trial.world.mood = Mood::Down;
    trial.hear(Event::Grown);
    assert!(!trial.ship.listens(), "the log may grow without waking it up");
    assert_eq!(trial.pass(200 * SECOND), [1, 3, 7, 15, 31, 63, 123, 183]);
    trial.world.mood = Mood::Well;
    trial.world.log += 20;
    assert_eq!(trial.pass(60 * SECOND), [43]);
    trial.assert_got(None);
    // The next time it begins with the shortest wait again.
    trial.hear(Event::Broken);
    trial.world.mood = Mood::Down;
    trial.say(1);
    assert_eq!(trial.pass(3 * SECOND), [1, 3]);
}

#[test]
fn what_was_cut_off_comes_again_and_nothing_else() {
    let mut trial = Trial::new(ANSWERED, 8);
    trial.hear(Event::Grown);
    trial.world.mood = Mood::Cuts;
    trial.say(5);
    trial.world.mood = Mood::Well;
    trial.say(4);
    trial.pass(SECOND);
    // The end of a connection that nothing is sent over is no news.
    trial.hear(Event::Broken);
    assert_eq!(trial.ship.deadline(), None);
    trial.say(1);
    trial.assert_got(Some(8..13));
}

#[test]
fn what_only_the_other_system_had_comes_again_when_the_connection_ends() {
    let mut trial = Trial::new(UNANSWERED, 8);
    trial.hear(Event::Grown);
    trial.pass(3 * SECOND);
    trial.world.mood = Mood::Forgets;
    trial.say(5);
    trial.say(3);
    assert_eq!(trial.world.kept, 16);
    trial.world.mood = Mood::Well;
    trial.hear(Event::Broken);
    trial.pass(SECOND);
    trial.assert_got(None);
    // Had it been read, it would have come twice, but only what was sent in the last two seconds.
    trial.pass(3 * SECOND);
    trial.say(2);
    trial.hear(Event::Broken);
    trial.pass(SECOND);
    trial.assert_got(Some(16..18));
    trial.pass(3 * SECOND);
    trial.hear(Event::Broken);
    assert_eq!(trial.ship.deadline(), None);
    // What is gone from the log cannot come again.
    trial.say(1);
    trial.world.oldest = trial.world.log;
    trial.hear(Event::Broken);
    trial.pass(SECOND);
    trial.assert_got(Some(16..18));
}

#[test]
fn a_server_that_takes_everything_and_ends_is_tried_ever_more_seldom() {
    let mut trial = Trial::new(UNANSWERED, 1);
    let mut waits = Vec::new();
    trial.hear(Event::Grown);
    for _ in 0..4 {
        trial.hear(Event::Broken);
        waits.extend(trial.pass(trial.ship.deadline().unwrap() - trial.now));
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    trial.pass(3 * SECOND);
    trial.say(1);
    trial.hear(Event::Broken);
    assert_eq!(trial.pass(5 * SECOND), [1]);
}

#[test]
fn one_that_says_nothing_is_left_after_a_minute() {
    for manner in [ANSWERED, UNANSWERED] {
        let mut trial = Trial::new(manner, 5);
        trial.world.mood = Mood::Silent;
        trial.hear(Event::Grown);
        trial.hear(Event::Sent);
        assert_eq!(trial.pass(62 * SECOND), [61]);
        trial.world.mood = Mood::Well;
        trial.pass(70 * SECOND);
        trial.assert_got(None);
    }
}

#[test]
fn a_line_that_is_refused_is_found_and_passed_over() {
    let mut trial = Trial::new(ANSWERED, 30);
    trial.world.refused = Some(13);
    trial.hear(Event::Grown);
    trial.pass(SECOND);
    assert_eq!(trial.world.given_up, [13]);
    let expected: Vec<usize> = (0..30).filter(|line| *line != 13).collect();
    assert_eq!(trial.world.got, expected);
    // Its batch is gone from the log, and cannot be made smaller.
    trial.world.refused = Some(31);
    trial.world.oldest = 40;
    trial.say(4);
    trial.pass(SECOND);
    assert_eq!(trial.world.given_up, [13, 30, 31, 32, 33]);
}

#[test]
fn lines_wait_for_others_until_it_is_time_or_one_is_urgent() {
    let manner = Manner { patience: 900 * SECOND, lines_max: 1000, ..ANSWERED };
    let mut trial = Trial::new(manner, 1);
    trial.hear(Event::Grown);
    trial.pass(500 * SECOND);
    trial.say(2);
    trial.pass(399 * SECOND);
    assert_eq!(trial.world.got, []);
    trial.pass(2 * SECOND);
    trial.assert_got(None);
    trial.say(25);
    assert_eq!(trial.world.got.len(), 23, "two that are full");
    trial.world.urgent = Some(28);
    trial.say(1);
    trial.assert_got(None);
    trial.say(1);
    assert_eq!(trial.world.got.len(), 29);
    trial.hear(Event::End);
    assert_eq!(trial.world.got.len(), 30);
    assert!(trial.ship.is_over());
}

#[test]
fn between_two_batches_there_is_a_pause() {
    let mut trial = Trial::new(Manner { pause: SECOND, ..ANSWERED }, 20);
    trial.hear(Event::Grown);
    assert_eq!(trial.world.got.len(), 8);
    trial.pass(SECOND);
    assert_eq!(trial.world.got.len(), 16);
    trial.pass(2 * SECOND);
    trial.assert_got(None);
}

#[test]
fn it_ends_soon_whatever_the_server_does() {
    for (mood, lines) in
        [(Mood::Well, 5), (Mood::Well, 0), (Mood::Silent, 5), (Mood::Down, 5), (Mood::Cuts, 5)]
    {
        for manner in [ANSWERED, UNANSWERED, Manner { pause: SECOND, ..ANSWERED }] {
            let mut trial = Trial::new(manner, lines);
            trial.world.mood = mood;
            trial.hear(Event::Grown);
            trial.hear(Event::End);
            trial.pass(2 * SECOND);
            assert!(trial.ship.is_over(), "{mood:?}");
            assert_eq!(trial.world.kept == lines, mood == Mood::Well || lines == 0);
            assert_eq!(trial.ship.deadline(), None);
        }
    }
}

#[test]
fn whatever_comes_in_whatever_order_nothing_is_lost_and_it_heals() {
    for seed in 1..3_000_u64 {
        let manner =
            [ANSWERED, UNANSWERED, Manner { pause: SECOND, ..ANSWERED }][seed as usize % 3];
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut throw = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let mut trial = Trial::new(manner, 0);
        for _ in 0..40 {
            // A server that forgets without the connection ending loses what nobody can know of.
            trial.world.mood =
                [Mood::Well, Mood::Down, Mood::Cuts, Mood::Silent][throw(4) as usize];
            match throw(6) {
                0 => trial.hear(Event::Broken),
                1 => trial.pass(throw(70) as u32 * SECOND).clear(),
                2 => {
                    // Killed, and started again.
                    trial.ship = Ship::new(manner);
                    let kept = trial.world.kept;
                    trial.world.go_back(kept);
                    trial.hear(Event::Grown);
                }
                3 => {
                    let event = [Event::Sent, Event::Delivered, Event::Connected, Event::Tick];
                    // Nobody says so who does not have it.
                    let event = event[throw(4) as usize];
                    if !matches!(event, Event::Sent | Event::Delivered) {
                        trial.hear(event);
                    }
                }
                _ => trial.say(throw(12) as usize),
            }
        }
        trial.world.mood = Mood::Well;
        trial.hear(Event::Grown);
        trial.pass(200 * SECOND);
        let mut got = trial.world.got.clone();
        got.sort_unstable();
        got.dedup();
        assert!(got.iter().copied().eq(0..trial.world.log), "seed {seed}: lines are lost");
        assert_eq!(trial.world.kept, trial.world.log, "seed {seed}: did not heal");
    }
}
