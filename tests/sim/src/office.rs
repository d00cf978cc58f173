//! A pretend `ward manager`: the real machine of the graph in a process that
//! init supervises, its connection to init, and the clients that ask it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use engine::service::manage::{Action, Ask, Event, Graph, Manager, News, Outcome};
use model::service::database::Index;
use model::service::request::Slot;
use model::time::Moment;

use crate::laws::{Law, broken};
use crate::services;
use crate::streets::Streets;
use crate::wire::{Order, Told, Wire};

/// A request as its client sees it.
pub struct Wish {
    pub ask: Ask,
    pub outcome: Option<Outcome>,
    failures: u32,
    /// Services of which the last word has been said.
    settled: BTreeSet<Index>,
    /// Its client has gone.
    pub gone: bool,
    /// The manager that there is has been asked.
    sent: bool,
    /// When its client gives up by itself.
    deadline: Option<Moment>,
}

impl Wish {
    pub fn waits(&self) -> bool {
        self.outcome.is_none() && !self.gone
    }
}

/// What clients are told with the manager's next turn.
enum Mail {
    News(u32, Index, News),
    End(u32, Outcome),
}

/// How far init has told of its slots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Listing,
    Welcome,
}

pub struct Office {
    /// `None`: its process is not there, or has only just begun.
    pub machine: Option<Manager>,
    pub wishes: Vec<Wish>,
    /// Clients that have closed their connection, and the manager has not read so.
    leaving: VecDeque<u32>,
    connection: Option<u32>,
    stage: Stage,
    retry: Option<Moment>,
    wait: Duration,
    service_of: BTreeMap<Slot, usize>,
    slot_of: Vec<Option<Slot>>,
    outbox: Vec<Order>,
    mail: Vec<Mail>,
    actions: Vec<Action>,
    /// It is killed after so many more deeds.
    pub dies_after: Option<u32>,
}

/// Datagrams of init that are read in one turn.
const READ_MAX: usize = 16;

/// The manager was killed in the middle of something.
pub struct Killed;

impl Office {
    pub fn new(services: usize) -> Self {
        Self {
            machine: None,
            wishes: Vec::new(),
            leaving: VecDeque::new(),
            connection: None,
            stage: Stage::Greeting,
            retry: None,
            wait: Duration::ZERO,
            service_of: BTreeMap::new(),
            slot_of: vec![None; services],
            outbox: Vec::new(),
            mail: Vec::new(),
            actions: Vec::new(),
            dies_after: None,
        }
    }

    /// Its process comes to its work: it knows the state bytes and nothing else.
    pub fn begins(&mut self, streets: &Streets) {
        let bytes = &streets.linux.state;
        let contents = &streets.judge.contents;
        self.machine = Some(services::open(contents, |db| Manager::new(Graph::from(db), bytes)));
        self.retry = Some(streets.linux.now);
        self.wait = Duration::ZERO;
    }

    /// Its process is gone. What it has not sent was never said.
    pub fn is_gone(&mut self, wire: &mut Wire) {
        if let Some(number) = self.connection.take() {
            wire.close_at_manager(number);
        }
        self.machine = None;
        self.retry = None;
        self.outbox.clear();
        self.mail.clear();
        self.leaving.clear();
        self.dies_after = None;
        for wish in &mut self.wishes {
            wish.sent = false;
            if wish.outcome.is_none() {
                wish.failures = 0;
                wish.settled.clear();
            }
        }
    }

    // Clients.

    pub fn ask(&mut self, ask: Ask) {
        let deadline = ask.limit.map(|limit| ask.since + limit);
        self.wishes.push(Wish {
            ask,
            outcome: None,
            failures: 0,
            settled: BTreeSet::new(),
            gone: false,
            sent: false,
            deadline,
        });
    }

    /// A client goes without waiting for the end.
    pub fn leave(&mut self, client: usize) {
        if let Some(wish) = self.wishes.get_mut(client).filter(|wish| wish.waits()) {
            wish.gone = true;
            if wish.sent {
                self.leaving.push_back(client as u32);
            }
        }
    }

    fn unsent(&self) -> Vec<usize> {
        let waits = |at: &usize| self.wishes[*at].waits() && !self.wishes[*at].sent;
        (0..self.wishes.len()).filter(waits).collect()
    }

    // Its loop.

    /// It would do something now, were it not stopped.
    pub fn is_awake(&mut self, wire: &mut Wire, now: Moment) -> bool {
        if self.machine.is_none() {
            return false;
        }
        let connection = self.connection.and_then(|number| wire.get(number));
        connection.is_some_and(|c| !c.to_manager.is_empty() || c.init_gone)
            || !self.unsent().is_empty()
            || !self.leaving.is_empty()
            || self.deadline().is_some_and(|at| at <= now)
    }

    pub fn deadline(&mut self) -> Option<Moment> {
        let machine = self.machine.as_mut().and_then(Manager::deadline);
        [machine, self.retry].into_iter().flatten().min()
    }

    /// When a client gives up that nobody answers.
    pub fn patience(&self) -> Option<Moment> {
        if self.machine.is_some() {
            return None;
        }
        self.wishes.iter().filter(|wish| wish.waits()).filter_map(|wish| wish.deadline).min()
    }

    /// Clients whose time is over while the manager is away.
    pub fn give_up(&mut self, now: Moment) {
        if self.machine.is_none() {
            for wish in self.wishes.iter_mut().filter(|wish| wish.waits()) {
                if wish.deadline.is_some_and(|at| at <= now) {
                    wish.outcome = Some(Outcome::TimedOut);
                }
            }
        }
    }

    /// One turn: some of what there is to read (or all of it), then deadlines,
    /// then all that is to be said.
    pub fn turn(
        &mut self,
        streets: &mut Streets,
        wire: &mut Wire,
        listens: bool,
        all: bool,
    ) -> Result<(), Killed> {
        streets.count();
        let now = streets.linux.now;
        if self.retry.is_some_and(|at| at <= now) {
            self.connect(wire, listens, now);
        }
        for _ in 0..READ_MAX {
            let told = self.connection.and_then(|number| wire.get(number));
            match told.map(|connection| (connection.to_manager.pop_front(), connection.init_gone)) {
                Some((Some(told), _)) => self.hear(streets, told)?,
                Some((None, true)) => {
                    self.lose(wire, now);
                    self.step(streets, Event::Lost)?;
                }
                _ => break,
            }
            if !all && streets.linux.dice.percent(30) {
                break;
            }
        }
        let mut unsent = self.unsent();
        while !unsent.is_empty() && (all || streets.linux.dice.percent(70)) {
            let client = unsent.swap_remove(streets.linux.dice.below(unsent.len()));
            let wish = &mut self.wishes[client];
            wish.sent = true;
            wish.ask.limit = wish.deadline.map(|at| at.since(now).max(Duration::from_millis(1)));
            let ask = wish.ask.clone();
            self.step(streets, Event::Ask(ask))?;
        }
        while let Some(client) = self.leaving.pop_front() {
            self.step(streets, Event::Gone { client })?;
        }
        if self.machine.as_mut().and_then(Manager::deadline).is_some_and(|at| at <= now) {
            self.step(streets, Event::Tick)?;
        }
        self.flush(wire)
    }

    fn connect(&mut self, wire: &mut Wire, listens: bool, now: Moment) {
        if !listens {
            return self.put_off(now);
        }
        let number = wire.connect();
        if let Some(connection) = wire.get(number) {
            connection.to_init.push_back(Order::Hello);
        }
        self.connection = Some(number);
        self.stage = Stage::Greeting;
        self.retry = None;
    }

    fn put_off(&mut self, now: Moment) {
        self.wait = (self.wait * 2).clamp(Duration::from_millis(10), Duration::from_secs(2));
        self.retry = Some(now + self.wait);
    }

    /// The connection is gone, with all that was not sent.
    fn lose(&mut self, wire: &mut Wire, now: Moment) {
        if let Some(number) = self.connection.take() {
            wire.close_at_manager(number);
        }
        self.outbox.clear();
        self.service_of.clear();
        self.put_off(now);
    }

    /// It loses the connection from its side.
    pub fn hang_up(&mut self, streets: &mut Streets, wire: &mut Wire) {
        if self.machine.is_some() && self.connection.is_some() {
            self.lose(wire, streets.linux.now);
            let _ = self.step(streets, Event::Lost);
        }
    }

    /// The manager sees that a service publishes something else.
    pub fn publish(
        &mut self,
        streets: &mut Streets,
        wire: &mut Wire,
        service: Index,
    ) -> Result<(), Killed> {
        self.step(streets, Event::Published { service })?;
        self.flush(wire)
    }

    pub fn is_connected(&self) -> bool {
        self.machine.as_ref().is_some_and(Manager::connected)
    }

    fn hear(&mut self, streets: &mut Streets, told: Told) -> Result<(), Killed> {
        match told {
            Told::Slot { slot, service } => {
                if std::mem::replace(&mut self.stage, Stage::Listing) != Stage::Listing {
                    self.service_of.clear();
                    self.slot_of.fill(None);
                }
                self.service_of.insert(slot, service);
                self.slot_of[service] = Some(slot);
                self.step(streets, Event::Slot { service: service as Index })
            }
            Told::State { slot, state } => match self.service_of.get(&slot) {
                Some(&service) => {
                    self.step(streets, Event::State { service: service as Index, state })
                }
                None => Ok(()),
            },
            Told::Welcome => {
                self.stage = Stage::Welcome;
                self.wait = Duration::ZERO;
                self.step(streets, Event::Welcome)
            }
            Told::StopAll => self.step(streets, Event::StopAll),
        }
    }

    /// Tells the graph, and does what it wants, perhaps only in part.
    fn step(&mut self, streets: &mut Streets, event: Event) -> Result<(), Killed> {
        let Some(machine) = &mut self.machine else { return Ok(()) };
        streets.count();
        if streets.tells {
            streets.tell(&format!("manager: {event:?}"));
        }
        let mut actions = std::mem::take(&mut self.actions);
        machine.step(streets.linux.now, event, &mut actions);
        let mut lives = true;
        for action in actions.drain(..) {
            streets.count();
            lives = lives && self.lives();
            if lives {
                if streets.tells {
                    streets.tell(&format!("    {action:?}"));
                }
                self.carry_out(streets, action);
            }
        }
        self.actions = actions;
        if lives { Ok(()) } else { Err(Killed) }
    }

    fn lives(&mut self) -> bool {
        match &mut self.dies_after {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        true
    }

    fn carry_out(&mut self, streets: &mut Streets, action: Action) {
        let slot = |service: Index| self.slot_of[service as usize].unwrap_or(Slot::MAX);
        match action {
            Action::Store { service, byte } => {
                let old = streets.linux.state[service as usize];
                streets.judge.stored(service, old, byte);
                streets.linux.state[service as usize] = byte;
            }
            Action::Want { service, up, ticket } => {
                streets.judge.decided(service, up, streets.linux.now);
                self.outbox.push(Order::Want { slot: slot(service), up, ticket });
            }
            Action::Run { service, script, ticket } => {
                self.outbox.push(Order::Run { slot: slot(service), script, ticket });
            }
            Action::Signal { service, signal } => {
                self.outbox.push(Order::Signal { slot: slot(service), signal });
            }
            Action::Reacts { .. } => {}
            Action::AllDown => self.outbox.push(Order::AllDown),
            Action::Tell { client, service, news, .. } => {
                self.mail.push(Mail::News(client, service, news));
            }
            Action::Ended { client, outcome, .. } => self.mail.push(Mail::End(client, outcome)),
        }
    }

    /// Sends what is to be said, perhaps only in part.
    fn flush(&mut self, wire: &mut Wire) -> Result<(), Killed> {
        for order in std::mem::take(&mut self.outbox) {
            if !self.lives() {
                return Err(Killed);
            }
            let connection = self.connection.and_then(|number| wire.get(number));
            if let Some(connection) = connection.filter(|connection| !connection.init_gone) {
                connection.to_init.push_back(order);
            }
        }
        for mail in std::mem::take(&mut self.mail) {
            if !self.lives() {
                return Err(Killed);
            }
            match mail {
                Mail::News(client, service, news) => self.deliver_news(client, service, news),
                Mail::End(client, outcome) => self.deliver_end(client, outcome),
            }
        }
        Ok(())
    }

    fn deliver_news(&mut self, client: u32, service: Index, news: News) {
        let wish = &mut self.wishes[client as usize];
        let before = match news {
            News::Starting | News::Stopping => wish.settled.contains(&service),
            _ => !wish.settled.insert(service),
        };
        // Pruning has two steps, and an essential service may come in both.
        if before && !wish.ask.prune {
            let ask = &wish.ask;
            broken(Law::EndsOnce, format!("s{service} is {news:?} for {ask:?}, and was settled"));
        }
        if wish.outcome.is_some() {
            broken(Law::EndsOnce, format!("{:?} has ended and is told {news:?}", wish.ask));
        }
        wish.failures += u32::from(matches!(news, News::Failed(_)));
    }

    fn deliver_end(&mut self, client: u32, outcome: Outcome) {
        let wish = &mut self.wishes[client as usize];
        // Its end may have crossed with its going.
        if wish.gone {
            return;
        }
        let told = wish.failures;
        if let Some(before) = wish.outcome.replace(outcome) {
            broken(Law::EndsOnce, format!("{:?} ends as {before:?} and {outcome:?}", wish.ask));
        }
        let wrong = match outcome {
            Outcome::Failed(failed) => failed != told,
            Outcome::Done => told != 0,
            Outcome::TimedOut => false,
        };
        if wrong {
            let ask = &wish.ask;
            broken(
                Law::EndsOnce,
                format!("{ask:?} ends as {outcome:?}, {told} failures were told"),
            );
        }
        // The client closes its connection.
        self.leaving.push_back(client);
    }
}
