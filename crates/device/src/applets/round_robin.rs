//! `ward round-robin`: a controller of services of which one at a time serves.

use std::io::{self, Write};
use std::os::fd::AsFd;

use cli::{Args, Command, Exit, Failure};
use engine::controller::Wish;
use engine::controller::failover::{Failover, Order, Role};
use model::controller::Kind;
use model::controller::uplink;
use model::time::Moment;
use os::clock;
use os::controller::manager_link::{Condition, ManagerLink, News, State, Verb};
use os::event_loop::{EventLoop, Readiness};
use os::service::outputs::{Outputs, Watches};

use super::controllers::{self, Start};

pub const COMMAND: Command = Command {
    name: "round-robin",
    summary: "Keep one of several services up, the next when it ends, as a service",
    usage: "ward round-robin [-l LIVE] NAME",
    options: controllers::OPTIONS,
    about: "\
NAME is the controller's own name. Its source directory has a file `controller` that begins with \
`kind round-robin`, and a file for each service in `controls.d`, where `order NUMBER` says which \
comes first (docs/formats/controllers.md).

The first one is brought up. When it ends (its process exits, it is taken down, or it does not \
come up in time) the next one is, and so on in turn. A better one is tried again after a while, \
beside the one that serves unless `overlap no` is said, and takes over once it has shown that it \
lasts; one that keeps failing is tried ever more seldom while another serves.

What the one that serves says for others, NAME says, too: its outputs are that one's, and `active`, \
which is its name.

Exit codes: 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let start = Start::new(args, Kind::RoundRobin)?;
    os::service::process::set_name(c"ward-failover");
    let controlled = start.controlled();
    let uplinks = uplink::parse(start.own(), &controlled).map_err(|wrong| start.wrong(&wrong))?;
    let member = |at: &usize| Member { name: controlled[*at].0, starts: None, why: String::new() };
    let members: Vec<Member> = uplinks.order.iter().map(member).collect();
    let events = EventLoop::new().map_err(Failure::refused)?;
    let link = start.link()?;
    events.add(link.descriptor(), 0, Readiness::IN).map_err(Failure::refused)?;
    let changes = Watches::new().map_err(Failure::refused)?;
    events.add(changes.as_fd(), 0, Readiness::IN).map_err(Failure::refused)?;
    let mut machine = Failover::new(clock::now(), uplinks.pace, members.len());
    let outputs = Outputs::of(&start.live);
    if let Ok(Some(before)) = outputs.get(&start.name, ACTIVE)
        && let Some(at) = members.iter().position(|member| member.name.as_bytes() == before)
    {
        machine.adopt(at);
    }
    let start = &start;
    let mut program = Program { start, members, machine, link, outputs, changes, ready: false };
    program.run(events).map_err(|error| Failure::refused(format!("cannot go on: {error}")))?;
    Ok(Exit::DONE)
}

/// The output that says who serves.
const ACTIVE: &str = "active";

struct Member<'a> {
    name: &'a str,
    /// How often it was started, as the manager told last.
    starts: Option<u32>,
    /// Why it did not come up the last time.
    why: String,
}

struct Program<'a> {
    start: &'a Start,
    /// In the order of preference.
    members: Vec<Member<'a>>,
    machine: Failover,
    link: ManagerLink,
    outputs: Outputs,
    /// Of the outputs of those that serve, or did.
    changes: Watches,
    ready: bool,
}

impl Program<'_> {
    fn run(&mut self, mut events: EventLoop) -> io::Result<()> {
        loop {
            self.link.tick();
            self.hear_manager();
            self.decide();
            let active = self.machine.active();
            if self.changes.read().iter().any(|at| active == Some(*at as usize)) {
                self.pass_on(active);
            }
            let deadlines = [self.machine.deadline(), self.link.deadline()];
            events.wait(deadlines.into_iter().flatten().min())?;
        }
    }

    fn hear_manager(&mut self) {
        let (again, news) = controllers::news(&mut self.link);
        if again {
            self.machine.again();
        }
        let now = clock::now();
        for news in news {
            match news {
                News::Again => {
                    let names: Vec<&str> = self.members.iter().map(|member| member.name).collect();
                    self.link.watch(&names);
                    (0..self.members.len()).for_each(|member| self.say(now, member));
                }
                News::State(state) => self.told(now, &state),
                News::Ended { id, ok, why } => {
                    if !ok && let Some(at) = self.machine.asked_by(id) {
                        eprintln!("{} is not as it should be: {why}", self.members[at].name);
                        self.members[at].why = why;
                    }
                    self.machine.ended(now, id, ok);
                }
            }
        }
    }

    fn told(&mut self, now: Moment, state: &State) {
        let named = |member: &Member| member.name == state.service;
        let Some(at) = self.members.iter().position(named) else { return };
        let database = self.start.database();
        let longrun = match database.find(&state.service) {
            Some(model::service::database::Entry::Service(index)) => {
                database.service(index).longrun().is_some()
            }
            _ => false,
        };
        // A longrun whose process has ended is up for the graph: it will be started again.
        let up = state.up && (state.ready || !longrun);
        let goal = state.goal || state.up;
        let before = self.members[at].starts.replace(state.starts);
        if longrun && up && before.is_some_and(|before| before != state.starts) {
            // It ended, and was started again before anybody was told.
            self.machine.told(now, at, false, goal);
            self.decide();
        }
        self.machine.told(now, at, up, goal);
    }

    fn decide(&mut self) {
        let now = clock::now();
        let mut orders = Vec::new();
        self.machine.decide(now, &mut orders);
        for order in orders {
            self.obey(now, order);
        }
    }

    fn obey(&mut self, now: Moment, order: Order) {
        match order {
            Order::Ask { id, wish, member } => {
                let active = self.machine.active().map(|at| self.members[at].name);
                let (verb, because) = match (wish, active) {
                    (Wish::Down, Some(active)) => (Verb::Down, format!("{active} serves")),
                    (Wish::Down, None) => (Verb::Down, "it is another one's turn".to_owned()),
                    (Wish::Up, Some(_)) => (Verb::Up, "it is better than what serves".to_owned()),
                    (Wish::Up, None) => (Verb::Up, "it is its turn".to_owned()),
                };
                self.link.ask(id, verb, self.members[member].name, &because);
                // Whoever needs one of them waits for that one.
                if !self.ready {
                    self.is_ready();
                }
            }
            Order::Active { member } => {
                let name = member.map(|at| self.members[at].name);
                match name {
                    Some(name) => eprintln!("{name} serves"),
                    None => eprintln!("none serves"),
                }
                let value = name.unwrap_or_default().as_bytes();
                if let Some(at) = member {
                    // It goes with the service. Where it is not there, there is nothing to be told.
                    let _ = self.changes.add(&self.outputs.path(self.members[at].name), at as u32);
                }
                self.pass_on(member);
                if let Err(error) = self.outputs.set(&self.start.name, ACTIVE, value) {
                    eprintln!("cannot publish that: {error}");
                }
                if !self.ready {
                    self.is_ready();
                }
            }
            Order::Say { member } => self.say(now, member),
        }
    }

    /// Says what the one that serves says, and nothing else.
    fn pass_on(&self, active: Option<usize>) {
        let said = active.map(|at| self.outputs.list(self.members[at].name)).unwrap_or_default();
        let is_own = |key: &str| key == ACTIVE;
        for (key, _) in self.outputs.list(&self.start.name) {
            if !is_own(&key) && !said.iter().any(|(other, _)| *other == key) {
                let _ = self.outputs.forget(&self.start.name, &key);
            }
        }
        for (key, value) in said.iter().filter(|(key, _)| !is_own(key)) {
            if let Err(error) = self.outputs.set(&self.start.name, key, value) {
                eprintln!("cannot pass {key} on: {error}");
            }
        }
    }

    fn is_ready(&mut self) {
        self.ready = true;
        self.start.ready();
    }

    /// Tells people what it goes by.
    fn say(&mut self, now: Moment, member: usize) {
        let role = self.machine.role(now, member);
        let Member { name, why, .. } = &self.members[member];
        let failed = |times: u32| match (times, &why[..]) {
            (1, "") => "failed, and is left alone for a while".to_owned(),
            (1, why) => format!("failed, and is left alone for a while: {why}"),
            (times, "") => format!("failed {times} times, and is left alone for a while"),
            (times, why) => format!("failed {times} times, and is left alone for a while: {why}"),
        };
        let value = match role {
            Role::Active => "it serves".to_owned(),
            Role::Starting => "it is its turn".to_owned(),
            Role::OnTrial => "better than what serves: has to show that it lasts".to_owned(),
            Role::Reserve => "in reserve".to_owned(),
            Role::Failed(times) => failed(times),
        };
        let holds = matches!(role, Role::Active | Role::Starting | Role::OnTrial);
        let condition = Condition { label: "turn", value: &value, holds, since: now };
        self.link.conditions(name, &[condition]);
    }
}
