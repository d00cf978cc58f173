//! `ward manager`: keeps the graph of one live directory, and listens to all
//! who want something of it.

mod answer;
mod askers;
mod clients;
mod conditions;
mod init_link;
mod outputs;
mod record;
mod update;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure};
use engine::service::manage::{Action, Ask, Event, Graph, Manager, Outcome};
use engine::service::timeline::Timeline;
use model::service::database::Index;
use model::service::request::FromInit;
use model::time::Moment;
use os::clock;
use os::event_loop::{EventLoop, Readiness};
use os::service::live_upkeep;
use os::service::managed::LiveDir;
use os::sys::signals;
use os::trouble::Trouble;

use askers::Askers;
use clients::Clients;
use conditions::Conditions;
use init_link::InitLink;
use outputs::Outputs;
use record::Record;
use update::{RESTORER, UPDATER, Updates};

pub const COMMAND: Command = Command {
    name: "manager",
    summary: "Keep the needs of the services of a live directory (init starts it)",
    usage: "ward manager LIVE",
    options: &[],
    about: "\
Init starts one manager for each live directory and keeps it up. It knows \
what every service needs, starts and stops services in that order, and \
listens on LIVE/manager. It may be killed at any moment: all that matters is \
in LIVE/state and in init, and what `ward chart` shows in LIVE/record. Where LIVE/group holds the number of a group, \
members of that group may ask how services are.",
    run,
};

const INIT: u64 = 0;
const LISTENER: u64 = 1;
const OUTPUTS: u64 = 2;
const FIRST_CLIENT: u64 = 3;

/// Room for actions that is kept from one event to the next.
const ACTIONS_KEPT: usize = 64;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let path = args.operand().ok_or_else(|| Failure::usage("it needs a live directory"))?;
    signals::ignore_pipe();
    os::service::process::set_name(c"ward-manager");
    let mut live = LiveDir::open(&PathBuf::from(path)).map_err(Failure::refused)?;
    if let Some(lack) = &live.damage {
        let path = live.path.display();
        eprintln!("manager: {path}/state was damaged ({lack}): what is not in it counts as down");
    }
    live.take_up_stopped();
    complain(live_upkeep::adopt(&live, None));
    let mut program = Program::new(live)?;
    program.take_up_record();
    loop {
        program.turn()?;
    }
}

/// Everything the manager holds.
struct Program {
    live: LiveDir,
    graph: Manager,
    init: InitLink,
    clients: Clients,
    events: EventLoop,
    actions: Vec<Action>,
    updates: Updates,
    askers: Askers,
    timeline: Timeline,
    record: Record,
    conditions: Conditions,
    outputs: Outputs,
    /// How the stopping for an update has ended.
    stopped: Option<Outcome>,
    now: Moment,
}

impl Program {
    fn new(live: LiveDir) -> Result<Self, Failure> {
        let refused = |what: &str, error: std::io::Error| {
            Failure::refused(format!("cannot {what} of {}: {error}", live.path.display()))
        };
        let events = EventLoop::new().map_err(|e| refused("wait for the clients", e))?;
        let clients = Clients::listen(&live, &events).map_err(|e| refused("make the socket", e))?;
        let graph = Manager::new(Graph::from(&live.database()), live.bytes());
        let outputs = Outputs::new(&live, graph.graph());
        if let Some(watches) = outputs.watches() {
            events
                .add(watches, OUTPUTS, Readiness::IN)
                .map_err(|e| refused("watch the outputs", e))?;
        }
        Ok(Self {
            graph,
            outputs,
            init: InitLink::new(&live),
            clients,
            events,
            actions: Vec::new(),
            updates: Updates::default(),
            askers: Askers::default(),
            timeline: Timeline::default(),
            record: Record::default(),
            conditions: Conditions::default(),
            stopped: None,
            now: clock::now(),
            live,
        })
    }

    /// Waits once, and does all that follows.
    fn turn(&mut self) -> Result<(), Failure> {
        self.now = clock::now();
        if let Err(error) = self.init.connect_if_due(self.now, &self.live, &self.events) {
            eprintln!("init does not listen ({error}); trying again");
        }
        self.tell_watchers();
        self.flush();
        let others = [self.clients.deadline(), self.outputs.deadline(), self.record.deadline()];
        let deadline = [self.graph.deadline(), self.init.retry()].into_iter().chain(others);
        let deadline = deadline.flatten().min();
        let ready = self.events.wait(deadline).map_err(Failure::refused)?;
        self.now = clock::now();
        for (token, readiness) in ready {
            match token {
                INIT => self.hear_init(readiness),
                OUTPUTS => self.outputs.hear(self.now),
                LISTENER => self.clients.accept(&self.events, self.now),
                _ => self.hear_client((token - FIRST_CLIENT) as usize, readiness),
            }
        }
        if self.graph.deadline().is_some_and(|at| at <= self.now) {
            self.step(Event::Tick);
        }
        self.publish();
        self.record();
        while let Some(outcome) = self.stopped.take() {
            self.go_on_with_update(outcome);
        }
        self.clients.listen_again(&self.events, self.now);
        Ok(())
    }

    /// Asks the graph for something, and remembers who wanted it.
    fn ask(&mut self, ask: Ask, because: Option<String>) {
        let (pid, before) = (ask.pid, self.graph.newest());
        self.step(Event::Ask(ask));
        if self.graph.newest() != before {
            let request = self.timeline.change(before + 1);
            self.askers.note(request, pid, because, self.now);
        }
    }

    /// Tells the graph, and does what it wants.
    fn step(&mut self, event: Event) {
        let mut actions = std::mem::take(&mut self.actions);
        self.graph.step(self.now, event, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Store { service, byte } => {
                    let old = self.live.bytes()[service as usize];
                    self.note_change(service, old, byte);
                    self.live.store(service, byte);
                    self.outputs.stored(&self.live, self.graph.graph(), service, old, byte);
                }
                Action::Want { .. } | Action::Run { .. } | Action::Signal { .. } => {
                    self.init.order(action);
                }
                Action::Reacts { service, need, order } => {
                    let because = format!(
                        "the manager, because {} has changed and {} says so in on-restart.d",
                        self.live.name(need),
                        self.live.name(service)
                    );
                    let request = self.timeline.change(order);
                    self.askers.note(request, 0, Some(because), self.now);
                }
                Action::AllDown => self.init.all_down(),
                Action::Tell { client: UPDATER, service, news, .. } => {
                    for (client, id) in self.updates.clients() {
                        self.clients.tell_step(&self.live, client as u32, id, service, news);
                    }
                }
                Action::Tell { client, id, service, news } => {
                    self.clients.tell_step(&self.live, client, id, service, news);
                }
                Action::Ended { client: UPDATER, outcome, .. } => self.stopped = Some(outcome),
                Action::Ended { client: RESTORER, .. } => self.restored(),
                Action::Ended { client, id, outcome } => self.clients.tell_end(client, id, outcome),
            }
        }
        // A large request comes rarely: its room is not kept.
        if actions.capacity() <= ACTIONS_KEPT {
            self.actions = actions;
        }
    }

    fn hear_init(&mut self, readiness: Readiness) {
        if readiness.contains(Readiness::OUT) {
            self.init.flush(&self.events);
        }
        // Not for ever: clients want to be heard, too.
        for _ in 0..16 {
            match self.init.receive() {
                Ok(Some(datagram)) => {
                    self.hear_datagram(&datagram);
                    if os::socket::is_last(datagram.len()) {
                        return;
                    }
                }
                Ok(None) => return,
                // It may be starting itself anew, or end: the next connection tells.
                Err(_) => return self.lose_init(),
            }
        }
    }

    fn lose_init(&mut self) {
        self.init.lose(self.now);
        self.step(Event::Lost);
    }

    fn hear_datagram(&mut self, datagram: &[u8]) {
        let mut reader = model::bytes::Reader::new(datagram);
        while reader.left() > 0 {
            let Ok(message) = FromInit::read(&mut reader) else {
                eprintln!("init speaks another language; trying again");
                return self.lose_init();
            };
            self.obey_init(message);
        }
    }

    fn obey_init(&mut self, message: FromInit<'_>) {
        match message {
            FromInit::Slot { slot, longrun, name } => {
                if self.init.begin_list() {
                    self.step(Event::Lost);
                }
                if let Some(service) = self.live.find(name, longrun) {
                    self.init.add_slot(slot, service);
                    self.step(Event::Slot { service });
                }
            }
            FromInit::State { slot, state } => {
                if let Some(service) = self.init.service_of(slot) {
                    self.timeline.told(self.now, service, self.graph.state(service), &state);
                    self.step(Event::State { service, state });
                }
            }
            FromInit::Welcome { .. } => {
                self.init.welcome();
                self.step(Event::Welcome);
                self.resume_update();
                self.tell_the_curious();
            }
            FromInit::StopAll => self.step(Event::StopAll),
            FromInit::Reply { error } if !error.is_empty() => {
                eprintln!("init says: {error}");
                if !self.init.is_welcome() {
                    self.lose_init();
                }
            }
            FromInit::Reply { .. }
            | FromInit::Pipe { .. }
            | FromInit::PipeEnded { .. }
            | FromInit::Lost { .. } => {}
        }
    }

    /// Remembers when a service was brought up or down, for `ward chart`.
    fn note_change(&mut self, service: Index, old: u8, byte: u8) {
        let order = self.graph.claim(service);
        let asked = self.askers.at(self.timeline.change(order));
        // What asks right now is noted once it is done.
        let asked = match order {
            0 => None,
            _ if order == self.graph.newest() => Some(asked.unwrap_or(self.now)),
            _ => asked,
        };
        self.timeline.stored(self.now, service, (old, byte), order, asked);
        self.record.touch(self.now);
    }

    fn lose_client(&mut self, number: usize) {
        self.clients.remove(number);
        self.conditions.forget(number);
        self.updates.forget(number);
        self.step(Event::Gone { client: number as u32 });
    }

    fn flush(&mut self) {
        self.init.flush(&self.events);
        for client in self.clients.flush(&self.events) {
            self.lose_client(client as usize);
        }
    }
}

/// Says what could not be done; the manager goes on without it. The log puts
/// its name before what it says.
fn complain(troubles: Vec<Trouble>) {
    for trouble in troubles {
        eprintln!("{trouble}");
    }
}

/// The same of one thing that concerns one service.
fn complain_of(what: &str, service: &str, done: std::io::Result<()>) {
    if let Err(error) = done {
        eprintln!("cannot {what} of {service}: {error}");
    }
}

/// 10 milliseconds, doubled each time, at most two seconds.
fn longer(wait: Duration) -> Duration {
    (wait * 2).clamp(Duration::from_millis(10), Duration::from_secs(2))
}
