//! The machine, one deed after the other: what it does, and what it does not.

use super::*;

const S: u64 = 1_000_000_000;

/// What the machine did.
#[derive(Default)]
struct Deeds {
    /// What is ended is not gone.
    lasting: bool,
    begun: Vec<(usize, u32)>,
    ended: Vec<usize>,
    asked: Vec<(Order, String)>,
}

impl World for Deeds {
    fn begin(&mut self, check: usize, round: u32) {
        self.begun.push((check, round));
    }

    fn end(&mut self, check: usize) -> Ended {
        self.ended.push(check);
        Ended { text: "no answer".into(), gone: !self.lasting }
    }

    fn ask(&mut self, order: Order, because: &str) {
        self.asked.push((order, because.into()));
    }
}

struct Trial {
    machine: Machine,
    deeds: Deeds,
    now: Moment,
}

fn manner() -> Manner {
    Manner { jitter: Duration::ZERO, grace: Duration::ZERO, ..Manner::default() }
}

fn at(secs: u64) -> Moment {
    Moment::from_nanos(secs * S)
}

impl Trial {
    fn new(manner: Manner, on_sick: OnSick, keeps_up: bool, count: usize) -> Self {
        let names = (0..count).map(|at| format!("icmp {at}").into());
        let machine = Machine::new(manner, on_sick, keeps_up, names, at(100), 1);
        Self { machine, deeds: Deeds::default(), now: at(100) }
    }

    fn hear(&mut self, event: Event) {
        self.machine.step(self.now, event, &mut self.deeds);
    }

    fn service(&mut self, up: bool, since: Moment) {
        let start = since.nanos() as u32;
        self.hear(Event::Service(Service { up, serves: up, wanted: true, start, since }));
    }

    /// Waits for the next round, and answers what is said of each check: nothing is silence.
    fn round(&mut self, answers: &[Option<bool>]) {
        while self.deeds.begun.is_empty() {
            self.now = self.machine.deadline().expect("a round will come");
            self.hear(Event::Tick);
            assert!(self.deeds.asked.is_empty(), "{:?}", self.deeds.asked);
        }
        for (check, round) in std::mem::take(&mut self.deeds.begun) {
            if let Some(good) = answers[check] {
                self.hear(Event::Answered { check, round, good, text: format!("says {good}") });
            }
        }
        if answers.contains(&None) {
            self.now = self.machine.deadline().expect("it does not wait for ever");
            self.hear(Event::Tick);
        }
    }

    /// Says that all has failed that was begun.
    fn fail(&mut self) {
        while self.deeds.begun.is_empty() && self.deeds.asked.is_empty() {
            self.now = self.machine.deadline().expect("a round will come");
            self.hear(Event::Tick);
        }
        for (check, round) in std::mem::take(&mut self.deeds.begun) {
            let text = "ö".repeat(5000);
            self.hear(Event::Answered { check, round, good: false, text });
        }
    }

    fn asked(&mut self) -> Vec<(Order, String)> {
        std::mem::take(&mut self.deeds.asked)
    }
}

extern crate std;

#[test]
fn three_bad_rounds_in_a_row_are_a_restart_that_says_why() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 2);
    trial.service(true, at(100));
    for _ in 0..3 {
        trial.round(&[Some(true), Some(false)]);
    }
    assert_eq!(trial.machine.health().0, Health::Healthy);
    let last = trial.now;
    trial.round(&[None, Some(false)]);
    trial.round(&[None, Some(false)]);
    assert_eq!(trial.machine.summary(), "yes: 2 of 3 bad rounds in a row");
    trial.round(&[None, None]);
    let took = trial.now - last;
    assert_eq!(took, Duration::from_millis(6500));
    assert!(took <= manner().detection_max());
    let expected = "3 bad rounds in a row; icmp 0: no answer; icmp 1: no answer";
    assert_eq!(trial.asked(), [(Order::Restart, expected.into())]);
    assert_eq!(trial.machine.deadline(), None, "nothing is asked of what is going down");
}

#[test]
fn one_good_round_in_between_is_enough_and_a_quorum_can_want_more() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 2);
    trial.service(true, at(100));
    for answers in [[None, None], [None, None], [None, Some(true)]].iter().cycle().take(30) {
        trial.round(answers);
    }
    let mut trial = Trial::new(Manner { quorum: 2, ..manner() }, OnSick::Restart, false, 2);
    trial.service(true, at(100));
    for _ in 0..3 {
        trial.round(&[None, Some(true)]);
    }
    assert_eq!(trial.asked().len(), 1);
}

#[test]
fn a_service_that_came_up_has_its_grace_until_it_was_good_once() {
    let grace = Duration::from_secs(60);
    let mut trial = Trial::new(Manner { grace, ..manner() }, OnSick::Down, false, 1);
    trial.service(true, at(100));
    while trial.now < at(160) {
        trial.round(&[Some(false)]);
    }
    trial.round(&[Some(false)]);
    trial.round(&[Some(false)]);
    assert_eq!(trial.asked().len(), 1);
    trial.service(false, trial.now);
    trial.service(true, trial.now);
    trial.round(&[Some(true)]);
    for _ in 0..3 {
        trial.round(&[Some(false)]);
    }
    assert_eq!(trial.asked()[0].0, Order::Down);
}

#[test]
fn what_was_asked_of_an_earlier_start_counts_for_nothing() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 1);
    trial.service(true, at(100));
    trial.round(&[Some(false)]);
    trial.round(&[Some(false)]);
    trial.now = trial.machine.deadline().unwrap();
    trial.hear(Event::Tick);
    let (check, round) = trial.deeds.begun.pop().unwrap();
    trial.service(true, at(150));
    assert_eq!(trial.deeds.ended, [0]);
    trial.hear(Event::Answered { check, round, good: false, text: String::new() });
    assert_eq!(trial.asked(), []);
    trial.round(&[Some(false)]);
    trial.round(&[Some(false)]);
    assert_eq!(trial.machine.checks()[0].failures, 2);
}

#[test]
fn restarts_wait_longer_and_longer_until_it_was_healthy_for_a_while() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 1);
    let mut times = Vec::new();
    let fall = |trial: &mut Trial, times: &mut Vec<Moment>| {
        trial.now = trial.now + Duration::from_millis(1);
        trial.service(true, trial.now);
        while trial.deeds.asked.is_empty() {
            trial.fail();
        }
        times.push(trial.now);
        trial.asked();
        trial.service(false, trial.now);
    };
    for _ in 0..9 {
        fall(&mut trial, &mut times);
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(gaps, [10, 20, 40, 80, 160, 300, 300, 300]);
    trial.service(true, trial.now);
    let healthy = trial.now;
    while trial.now - healthy < manner().calm + Duration::from_secs(10) {
        trial.round(&[Some(true)]);
    }
    fall(&mut trial, &mut times);
    fall(&mut trial, &mut times);
    assert_eq!((times[10] - times[9]).as_secs(), 10);
}

#[test]
fn a_check_that_does_not_end_is_not_begun_again_and_has_failed() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 1);
    trial.deeds.lasting = true;
    trial.service(true, at(100));
    trial.round(&[None]);
    // The next round waits for what was killed, but not for ever.
    trial.hear(Event::Tick);
    assert_eq!(trial.deeds.begun, []);
    let round = trial.machine.round;
    trial.hear(Event::Answered { check: 0, round, good: true, text: String::new() });
    assert_eq!(trial.machine.checks()[0].good, Some(false), "it came too late");
    trial.round(&[None]);
    while trial.deeds.asked.is_empty() {
        assert_eq!(trial.deeds.begun, []);
        trial.now = trial.machine.deadline().unwrap();
        trial.hear(Event::Tick);
    }
    assert_eq!(trial.deeds.ended, [0, 0]);
    assert!(trial.asked()[0].1.contains("the one before does not end"));
}

#[test]
fn a_manager_that_comes_back_is_told_again_only_what_is_still_to_be_done() {
    let sick = || {
        let mut trial = Trial::new(manner(), OnSick::Restart, false, 1);
        trial.service(true, at(100));
        for _ in 0..3 {
            trial.round(&[None]);
        }
        assert_eq!(trial.asked().len(), 1);
        trial.hear(Event::Again);
        assert_eq!(trial.asked(), []);
        trial
    };
    let mut trial = sick();
    trial.service(true, at(100));
    assert_eq!(trial.asked()[0].0, Order::Restart);
    let mut trial = sick();
    trial.service(true, at(110));
    assert_eq!(trial.asked(), [], "it was done before the manager fell");
    assert!(trial.machine.deadline().is_some());
    let mut trial = sick();
    trial.service(false, at(110));
    assert_eq!(trial.asked(), []);
    // While no manager is there, checks go on and count.
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 1);
    trial.service(true, at(100));
    trial.round(&[None]);
    trial.hear(Event::Again);
    trial.round(&[None]);
    trial.round(&[None]);
    trial.service(true, at(100));
    assert_eq!(trial.asked(), [], "a round is under way");
    trial.round(&[None]);
    assert_eq!(trial.asked().len(), 1);
}

#[test]
fn who_alone_starts_a_service_keeps_it_up() {
    let mut trial = Trial::new(manner(), OnSick::Restart, true, 1);
    let news =
        |up, wanted, since| Event::Service(Service { up, serves: up, wanted, start: 1, since });
    trial.hear(news(false, false, at(90)));
    assert_eq!(trial.asked()[0].0, Order::Up);
    trial.hear(news(false, true, at(90)));
    for wait in [10, 20, 40] {
        trial.hear(Event::Done { good: false });
        assert_eq!(trial.asked(), []);
        let before = trial.now;
        trial.now = trial.machine.deadline().unwrap();
        assert_eq!((trial.now - before).as_secs(), wait);
        trial.hear(Event::Tick);
        assert_eq!(trial.asked()[0].0, Order::Up);
    }
    trial.hear(news(false, false, at(90)));
    trial.hear(Event::Done { good: false });
    assert_eq!(trial.machine.deadline(), None, "somebody stopped it meanwhile");
    trial.hear(news(true, true, at(112)));
    trial.round(&[Some(true)]);
    trial.hear(news(false, false, at(115)));
    assert_eq!(trial.machine.deadline(), None, "somebody stopped it");
}

#[test]
fn long_texts_are_cut() {
    let mut trial = Trial::new(manner(), OnSick::Restart, false, 9);
    trial.service(true, at(100));
    for _ in 0..3 {
        trial.fail();
    }
    assert!(trial.machine.checks()[0].text.len() <= CHECK_TEXT_BYTES_MAX);
    let because = &trial.asked()[0].1;
    assert!(because.len() <= BECAUSE_BYTES_MAX && because.contains("icmp 0: öö"), "{because}");
}
