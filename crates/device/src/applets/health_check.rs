//! `ward health-check`: has a service restarted that does not do what it should.

use std::io::Write;
use std::os::fd::AsFd;

use cli::{Args, Command, Exit, Failure};
use engine::controller::health::{Ended, Event, Health, Machine, Order, Seen, Service, World};
use model::controller::Kind;
use model::controller::check::{self, HEALTHY, OnSick};
use model::service::request::Phase;
use os::clock;
use os::controller::manager_link::{Condition, ManagerLink, News, State, Verb};
use os::controller::probe::{self, Outcome, Probes};
use os::event_loop::{EventLoop, Readiness};
use os::sys::signals::{self, number};

use super::controllers::{OPTIONS, Start};

pub const COMMAND: Command = Command {
    name: "health-check",
    summary: "Have a service restarted that does not do what it should",
    usage: "ward health-check [-l LIVE] NAME",
    options: OPTIONS,
    about: "\
NAME is a controller of the kind health-check: what it asks, and how often, stands in the file \
`controller` of its source directory. `ward why` shows each check of a service with its last \
result; `ward probe` makes one by hand.

Exit codes: 0 told to end; 100 wrong usage; 111 the system refused.",
    run,
};

const SIGNALS: u64 = 0;
const LINK: u64 = 1;
const PROBES: u64 = 2;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let start = Start::new(args, Kind::HealthCheck)?;
    let plan = check::parse(start.own(), &start.controlled()).map_err(|it| start.wrong(&it))?;
    let (index, _) = start.controller().controls().next().expect("the parser saw one service");
    let keeps_up = start.controller().starts(index);
    let longrun = start.database().service(index).longrun();
    // The phase in which it is to be asked; none where it is no process.
    let serving = longrun.map(|longrun| match longrun.notification_fd {
        Some(_) => Phase::Ready,
        None => Phase::Up,
    });
    // Who else starts the service has something to put in its place.
    let usual = if keeps_up { OnSick::Restart } else { OnSick::Down };
    let on_sick = plan.on_sick.unwrap_or(usual);

    let mut events = EventLoop::new().map_err(Failure::refused)?;
    let told = probe::signals().map_err(Failure::refused)?;
    events.add(&told, SIGNALS, Readiness::IN).map_err(Failure::refused)?;
    let link = start.link()?;
    events.add(link.descriptor(), LINK, Readiness::IN).map_err(Failure::refused)?;
    let mark = format!("{} {}", start.live.display(), start.name);
    let probes =
        Probes::new(&plan.checks, &plan.manner, &mark, &start.live).map_err(Failure::refused)?;
    events.add(probes.descriptor(), PROBES, Readiness::IN).map_err(Failure::refused)?;
    let seed = probe::seed().map_err(Failure::refused)?;
    let names = plan.checks.iter().map(|check| check.text.clone());
    let mut machine = Machine::new(plan.manner, on_sick, keeps_up, names, clock::now(), seed);
    let service = plan.service;
    let mut hands = Hands { service: &service, probes, link, asked: 0, outcomes: Vec::new() };
    let (mut is_ready, mut health) = (false, Health::Unknown);
    loop {
        let deadlines = [machine.deadline(), hands.link.deadline(), hands.probes.deadline()];
        events.wait(deadlines.into_iter().flatten().min()).map_err(Failure::refused)?;
        while let Some(signal) = signals::next(told.as_fd()).map_err(Failure::refused)? {
            if signal != number::CHLD {
                hands.probes.end_all();
                return Ok(Exit::DONE);
            }
        }
        hands.link.tick();
        let mut news = hands.link.read();
        let mut outcomes = hands.probes.reap();
        outcomes.extend(hands.probes.read().map_err(Failure::refused)?);
        hands.outcomes.append(&mut outcomes);
        // What is said while there is nobody to hear it is said again.
        let again = news.contains(&News::Again);
        let mut told = Vec::new();
        for news in news.drain(..) {
            match news {
                News::Again => {
                    hands.link.watch(&[&service]);
                    told.push(Event::Again);
                }
                News::State(state) if *state.service == *service => {
                    told.push(Event::Service(seen(&state, serving)));
                }
                News::State(_) => {}
                News::Ended { id, ok, why } if id == hands.asked => {
                    if !ok {
                        eprintln!("nothing came of what was asked for {service}: {why}");
                    }
                    // Where the manager has gone, the next one is asked.
                    if hands.link.connected() && !again {
                        told.push(Event::Done { good: ok });
                    }
                }
                News::Ended { .. } => {}
            }
        }
        let now = clock::now();
        let heard = told.iter().any(|event| matches!(event, Event::Service(_)));
        for event in told {
            machine.step(now, event, &mut hands);
        }
        while let Some(Outcome { check, round, good, text }) = hands.outcomes.pop() {
            machine.step(now, Event::Answered { check, round, good, text }, &mut hands);
        }
        if machine.deadline().is_some_and(|deadline| clock::now() >= deadline) {
            machine.step(clock::now(), Event::Tick, &mut hands);
        }
        if machine.take_changed() || again {
            show(&machine, &mut hands.link, &service);
        }
        if machine.health().0 != health {
            health = machine.health().0;
            say(&machine, &service);
        }
        if heard && !std::mem::replace(&mut is_ready, true) {
            start.ready();
        }
    }
}

/// What the manager says, as the machine sees it.
fn seen(state: &State, serving: Option<Phase>) -> Service {
    Service {
        up: state.up,
        serves: state.up && serving.is_none_or(|phase| phase == state.phase),
        wanted: state.goal || state.trouble.is_some(),
        start: state.starts,
        since: state.since,
    }
}

/// Tells the manager how all checks stand.
fn show(machine: &Machine, link: &mut ManagerLink, service: &str) {
    let (health, since) = machine.health();
    let summary = machine.summary();
    let values: Vec<String> = machine.checks().iter().map(value).collect();
    let mut conditions =
        vec![Condition { label: HEALTHY, value: &summary, holds: health != Health::Sick, since }];
    conditions.extend(machine.checks().iter().zip(&values).map(|(check, value)| Condition {
        label: &check.what,
        value,
        holds: check.good != Some(false),
        since: check.since,
    }));
    link.conditions(service, &conditions);
}

fn value(check: &Seen) -> String {
    let Seen { good, text, failures, in_a_row, .. } = check;
    match good {
        None => "not asked yet".into(),
        Some(true) if *failures == 0 => text.clone(),
        Some(true) => format!("{text} (failed {failures} times before)"),
        Some(false) => format!("{text} ({in_a_row} in a row, {failures} in all)"),
    }
}

/// Tells the log.
fn say(machine: &Machine, service: &str) {
    match machine.health().0 {
        Health::Unknown => {}
        Health::Healthy => eprintln!("{service} is healthy"),
        Health::Sick => eprintln!("{service} is sick"),
    }
}

/// What the machine acts with.
struct Hands<'a> {
    service: &'a str,
    probes: Probes,
    link: ManagerLink,
    /// The number of what was asked of the manager last.
    asked: u32,
    outcomes: Vec<Outcome>,
}

impl World for Hands<'_> {
    fn begin(&mut self, check: usize, round: u32) {
        let outcome = self.probes.begin(check, round);
        self.outcomes.extend(outcome);
    }

    fn end(&mut self, check: usize) -> Ended {
        self.probes.end(check)
    }

    fn ask(&mut self, order: Order, because: &str) {
        let service = self.service;
        let (verb, word) = match order {
            Order::Up => (Verb::Up, "start"),
            Order::Down => (Verb::Down, "stop"),
            Order::Restart => (Verb::Restart, "restart"),
        };
        let because = if because.is_empty() { "its health check keeps it up" } else { because };
        eprintln!("asks to {word} {service}: {because}");
        self.asked = self.asked.wrapping_add(1).max(1);
        self.link.ask(self.asked, verb, service, because);
    }
}
