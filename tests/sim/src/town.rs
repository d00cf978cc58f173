//! A town: the real machines of init and the manager, and around them pretend
//! processes, pretend sockets and pretend clients.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use engine::machine::{Action as Deed, Event as InitEvent, Program, World};
use engine::service::init::{Init, Unit};
use engine::service::manage::{Action, Ask, Event, Graph, Manager, News, Outcome, Verb};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::service::database::{Contents, Index, Kind, Script};
use model::service::live_state::is_up;
use model::service::request::{Phase, Slot};
use model::service::status::Exit;
use model::time::Moment;

use crate::dice::{Dice, current_seed};
use crate::services;

/// How unkind the world is, in chances of a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub spawn_fails: u32,
    /// A longrun never says that it is ready.
    pub mute: u32,
    /// A longrun dies by itself.
    pub dies: u32,
    /// A `finish` says that there is no going on.
    pub permanent: u32,
    /// SIGTERM does not end it.
    pub stubborn: u32,
    /// A script exits with 1.
    pub script_fails: u32,
    /// A script does not end.
    pub script_hangs: u32,
}

/// What happens in the world when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Speaks(u32),
    Ends(u32, u16),
}

struct Process {
    slot: Slot,
    program: Program,
    told_to_end: bool,
}

/// Linux, as init meets it.
pub struct Streets {
    pub dice: Dice,
    pub weather: Weather,
    now: Moment,
    pids: u32,
    processes: BTreeMap<u32, Process>,
    fates: BinaryHeap<Reverse<(Moment, Fate)>>,
    /// Programs that were started, for the town to judge.
    started: Vec<(Slot, Program)>,
    errors: Vec<String>,
}

impl Streets {
    fn at(&mut self, wait: Duration, fate: Fate) {
        self.fates.push(Reverse((self.now + wait, fate)));
    }

    fn ends(&mut self, pid: u32, wait: Duration, exit: Exit) {
        self.at(wait, Fate::Ends(pid, exit.to_wait_status()));
    }

    fn spawn(&mut self, slot: Slot, program: Program) -> InitEvent {
        if self.dice.percent(self.weather.spawn_fails) {
            let errno = *self.dice.pick(&[2, 4, 11, 13]).expect("there are some");
            return InitEvent::SpawnFailed { errno };
        }
        self.pids += 1;
        let pid = self.pids;
        let alone = !self.processes.values().any(|p| p.slot == slot);
        if !alone {
            self.errors.push(format!("two processes of slot {slot} at once"));
        }
        self.processes.insert(pid, Process { slot, program, told_to_end: false });
        self.started.push((slot, program));
        let (weather, quick) = (self.weather, self.dice.millis(1, 60));
        match program {
            Program::Run => {
                if !self.dice.percent(weather.mute) {
                    self.at(quick, Fate::Speaks(pid));
                }
                if self.dice.percent(weather.dies) {
                    let wait = self.dice.millis(1, 2_000);
                    self.ends(pid, wait, Exit::Code(1));
                }
            }
            Program::Finish { .. } => {
                let code = if self.dice.percent(weather.permanent) { 125 } else { 0 };
                self.ends(pid, quick, Exit::Code(code));
            }
            Program::Script(_) => {
                if !self.dice.percent(weather.script_hangs) {
                    let code = u8::from(self.dice.percent(weather.script_fails));
                    self.ends(pid, quick, Exit::Code(code));
                }
            }
        }
        InitEvent::Started { pid }
    }
}

impl World for Streets {
    fn act(&mut self, slot: Slot, _unit: &Unit, deed: Deed) -> Option<InitEvent> {
        match deed {
            Deed::Spawn(program) => return Some(self.spawn(slot, program)),
            Deed::Kill { pid, signal, .. } if self.processes.contains_key(&pid) => {
                let stubborn = self.dice.percent(self.weather.stubborn);
                let wait = self.dice.millis(0, 40);
                match signal {
                    9 => self.ends(pid, wait, Exit::Signal(9)),
                    15 if stubborn => {
                        self.processes.get_mut(&pid).expect("it is there").told_to_end = true;
                    }
                    // Some programs say that all went well when they are told to end.
                    15 if self.dice.percent(30) => self.ends(pid, wait, Exit::Code(0)),
                    15 => self.ends(pid, wait, Exit::Signal(15)),
                    _ => {}
                }
            }
            _ => {}
        }
        None
    }
}

/// A request as its client sees it.
pub struct Wish {
    pub ask: Ask,
    pub outcome: Option<Outcome>,
    failures: u32,
    gone: bool,
}

/// Everything.
pub struct Town {
    pub streets: Streets,
    pub contents: Contents,
    pub init: Init,
    pub slots: Vec<Option<Slot>>,
    pub manager: Option<Manager>,
    /// `LIVE/state`.
    pub bytes: Vec<u8>,
    pub wishes: Vec<Wish>,
    pub now: Moment,
    connected: bool,
    to_init: VecDeque<Action>,
    /// What init says on connecting comes first and in order.
    hello: VecDeque<Event>,
    to_manager: Vec<Event>,
    /// Since its last start a service has served, and was not told to stop.
    served: Vec<bool>,
    actions: Vec<Action>,
    pub all_down: u32,
    /// Tell every step: `TELL=1`.
    tells: bool,
}

impl Town {
    pub fn new(seed: u64, contents: Contents) -> Self {
        let streets = Streets {
            dice: Dice::new(seed),
            weather: Weather::default(),
            now: Moment::from_nanos(1),
            pids: 100,
            processes: BTreeMap::new(),
            fates: BinaryHeap::new(),
            started: Vec::new(),
            errors: Vec::new(),
        };
        let count = contents.services.len();
        let mut town = Self {
            streets,
            init: Init::default(),
            slots: vec![None; count],
            manager: None,
            bytes: vec![0; count],
            wishes: Vec::new(),
            now: Moment::from_nanos(1),
            connected: false,
            to_init: VecDeque::new(),
            hello: VecDeque::new(),
            to_manager: Vec::new(),
            served: vec![false; count],
            actions: Vec::new(),
            all_down: 0,
            tells: std::env::var_os("TELL").is_some(),
            contents,
        };
        for service in 0..count {
            town.add_slot(service);
        }
        town.start_manager();
        town
    }

    fn add_slot(&mut self, service: usize) {
        let unit = match &self.contents.services[service].kind {
            Kind::Longrun(longrun) => {
                Unit::Longrun(Supervisor::new(Rules::from(longrun), false, self.now))
            }
            Kind::Oneshot(_) => Unit::Oneshot(Runner::new(self.now)),
        };
        self.slots[service] = self.init.add(unit);
    }

    pub fn is_longrun(&self, service: usize) -> bool {
        matches!(self.contents.services[service].kind, Kind::Longrun(_))
    }

    fn service_of(&self, slot: Slot) -> Option<usize> {
        self.slots.iter().position(|known| *known == Some(slot))
    }

    pub fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}", current_seed());
    }

    // The manager and its socket.

    /// A manager knows the state bytes and nothing else.
    pub fn start_manager(&mut self) {
        let bytes = &self.bytes;
        self.manager =
            Some(services::open(&self.contents, |db| Manager::new(Graph::from(db), bytes)));
        self.connect();
        for at in 0..self.wishes.len() {
            if self.wishes[at].outcome.is_none() && !self.wishes[at].gone {
                self.wishes[at].failures = 0;
                let ask = self.wishes[at].ask.clone();
                self.event(Event::Ask(ask));
            }
        }
    }

    /// `kill -9`, perhaps in the middle of what it was doing: what it has
    /// sent is delivered, the rest was never said.
    pub fn kill_manager(&mut self) {
        self.manager = None;
        if self.tells {
            eprintln!("the manager is killed");
        }
        self.drop_connection();
    }

    /// The connection goes; what was sent to init arrives there still.
    fn drop_connection(&mut self) {
        while !self.to_init.is_empty() {
            self.deliver_to_init();
        }
        self.connected = false;
        self.hello.clear();
        self.to_manager.clear();
    }

    pub fn lose_connection(&mut self) {
        self.drop_connection();
        self.event(Event::Lost);
    }

    pub fn connect(&mut self) {
        self.connected = true;
        self.hello.clear();
        self.to_manager.clear();
        let _ = self.init.changed();
        for service in 0..self.slots.len() {
            if let Some(unit) = self.slots[service].and_then(|slot| self.init.unit(slot)) {
                let (service, state) = (service as Index, *unit.state());
                self.hello.push_back(Event::Slot { service });
                self.hello.push_back(Event::State { service, state });
            }
        }
        self.hello.push_back(Event::Welcome);
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Gives the manager an event and does what it wants, perhaps only in part.
    fn event_until(&mut self, event: Event, dies_after: usize) {
        let Some(manager) = &mut self.manager else { return };
        let mut actions = std::mem::take(&mut self.actions);
        if self.tells {
            eprintln!("{:?} {event:?}", self.now);
        }
        manager.step(self.now, event, &mut actions);
        if self.tells {
            actions.iter().for_each(|action| eprintln!("    {action:?}"));
        }
        for action in actions.drain(..).take(dies_after) {
            self.carry_out(action);
        }
        self.actions = actions;
    }

    pub fn event(&mut self, event: Event) {
        self.event_until(event, usize::MAX);
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Store { service, byte } => self.store(service as usize, byte),
            Action::Want { .. } | Action::Run { .. } | Action::Signal { .. } => {
                if self.connected {
                    self.to_init.push_back(action);
                }
            }
            Action::Tell { client, news, .. } => self.hear(client, news),
            Action::Ended { client, outcome, .. } => self.hear_end(client, outcome),
            Action::AllDown => self.all_down += 1,
        }
    }

    fn store(&mut self, service: usize, byte: u8) {
        if is_up(byte) && !is_up(self.bytes[service]) && !self.has_served(service) {
            self.fail(&format!("s{service} counts as up and has never served"));
        }
        self.bytes[service] = byte;
    }

    fn hear(&mut self, client: u32, news: News) {
        let wish = &mut self.wishes[client as usize];
        wish.failures += u32::from(matches!(news, News::Failed(_)));
        if wish.outcome.is_some() {
            self.fail("a request that has ended is told more");
        }
    }

    fn hear_end(&mut self, client: u32, outcome: Outcome) {
        let wish = &mut self.wishes[client as usize];
        let twice = wish.outcome.replace(outcome).is_some();
        let (gone, told) = (wish.gone, wish.failures);
        if twice || gone {
            self.fail(if gone { "a client that has gone is answered" } else { "ended twice" });
        }
        match outcome {
            Outcome::Failed(failed) if failed != told => self.fail("failures were not all told"),
            Outcome::Done if told != 0 => self.fail("failures were told, and yet all is done"),
            _ => {}
        }
    }

    // Clients.

    pub fn ask(&mut self, verb: Verb, services: Vec<Index>, limit: Option<Duration>) -> usize {
        self.ask_all(verb, services, limit, false)
    }

    pub fn ask_all(
        &mut self,
        verb: Verb,
        services: Vec<Index>,
        limit: Option<Duration>,
        prune: bool,
    ) -> usize {
        let client = self.wishes.len() as u32;
        let ask = Ask {
            client,
            id: 1,
            pid: 1000 + client,
            verb,
            prune,
            all: false,
            detail: self.streets.dice.percent(50),
            services,
            limit,
            since: self.now,
        };
        self.wishes.push(Wish { ask: ask.clone(), outcome: None, failures: 0, gone: false });
        self.event(Event::Ask(ask));
        client as usize
    }

    pub fn leave(&mut self, wish: usize) {
        if self.wishes[wish].outcome.is_none() {
            self.event(Event::Gone { client: wish as u32 });
            self.wishes[wish].gone = true;
        }
    }

    pub fn waiting(&self) -> usize {
        self.wishes.iter().filter(|wish| wish.outcome.is_none() && !wish.gone).count()
    }

    // Init.

    fn deliver_to_init(&mut self) {
        let Some(order) = self.to_init.pop_front() else { return };
        let (service, event) = match order {
            Action::Want { service, up, ticket } => {
                let slot = self.slots[service as usize];
                if let Some(Unit::Longrun(s)) = slot.and_then(|slot| self.init.unit_mut(slot)) {
                    s.set_ticket(ticket);
                }
                (service, InitEvent::Control(if up { b'u' } else { b'd' }))
            }
            Action::Run { service, script, ticket } => (service, InitEvent::Run { script, ticket }),
            Action::Signal { service, signal } => (service, InitEvent::Signal(signal)),
            _ => return,
        };
        if self.tells {
            eprintln!("  init hears {order:?}");
        }
        self.judge_order(service as usize, order);
        let Some(slot) = self.slots[service as usize] else { return };
        self.init_event(slot, event);
    }

    pub fn init_event(&mut self, slot: Slot, event: InitEvent) {
        self.streets.now = self.now;
        self.init.event(self.now, slot, event, &mut self.streets);
        self.after_init();
    }

    fn after_init(&mut self) {
        if let Some(error) = self.streets.errors.pop() {
            self.fail(&error);
        }
        let started = std::mem::take(&mut self.streets.started);
        for (slot, program) in started {
            if let Some(service) = self.service_of(slot) {
                self.judge_start(service, program);
            }
        }
        for slot in self.init.changed() {
            let (Some(service), Some(unit)) = (self.service_of(slot), self.init.unit(slot)) else {
                continue;
            };
            let state = *unit.state();
            let ready = match state.phase {
                Phase::Ready => self.is_longrun(service),
                Phase::Up => self.is_longrun(service) && !self.notifies(service),
                Phase::Down if !self.is_longrun(service) && state.exit == Some(Exit::Code(0)) => {
                    let script = state.ticket & 3;
                    if script == Script::Down as u32 {
                        self.served[service] = false;
                    }
                    script == Script::Up as u32
                }
                _ => false,
            };
            self.served[service] |= ready && (state.wanted_up || !self.is_longrun(service));
            if self.connected {
                self.to_manager.push(Event::State { service: service as Index, state });
            }
        }
    }

    fn notifies(&self, service: usize) -> bool {
        match &self.contents.services[service].kind {
            Kind::Longrun(longrun) => longrun.notification_fd.is_some(),
            Kind::Oneshot(_) => false,
        }
    }

    /// It has nothing to do on its way up.
    fn is_empty(&self, service: usize) -> bool {
        match &self.contents.services[service].kind {
            Kind::Longrun(_) => false,
            Kind::Oneshot(oneshot) => oneshot.up.is_empty(),
        }
    }

    fn has_served(&self, service: usize) -> bool {
        self.served[service] || self.is_empty(service)
    }

    /// Needs order: nothing starts before what it needs has served.
    fn judge_start(&self, service: usize, program: Program) {
        if !matches!(program, Program::Run | Program::Script(Script::Up)) {
            return;
        }
        for &need in &self.contents.services[service].needs {
            let need = need as usize;
            let served = self.served[need] || self.is_empty(need) && is_up(self.bytes[need]);
            if !served {
                self.fail(&format!("s{service} starts before s{need}, which it needs, is ready"));
            }
        }
    }

    /// Needs order: nothing is told to stop while what needs it is up.
    fn judge_order(&mut self, service: usize, order: Action) {
        let stops = match order {
            Action::Want { up, .. } => !up,
            Action::Run { script, .. } => script == Script::Down,
            _ => false,
        };
        if !stops {
            return;
        }
        for other in 0..self.contents.services.len() {
            if self.contents.services[other].needs.contains(&(service as u32))
                && is_up(self.bytes[other])
            {
                self.fail(&format!("s{service} stops while s{other}, which needs it, is up"));
            }
        }
        if self.is_longrun(service) {
            self.served[service] = false;
        }
    }

    // Time and chance.

    /// Delivers one message. `false`: there is none.
    pub fn deliver(&mut self) -> bool {
        let hello = usize::from(!self.hello.is_empty());
        let choices = self.to_init.len() + hello + self.to_manager.len();
        if choices == 0 || self.manager.is_none() {
            return false;
        }
        if self.streets.dice.below(choices) < self.to_init.len() {
            self.deliver_to_init();
        } else if let Some(event) = self.next_to_manager() {
            self.event(event);
        }
        true
    }

    /// The next thing the manager hears: services may overtake each other,
    /// news of one service never does.
    fn next_to_manager(&mut self) -> Option<Event> {
        if let Some(event) = self.hello.pop_front() {
            return Some(event);
        }
        let of = |event: &Event| match event {
            Event::State { service, .. } => *service,
            _ => 0,
        };
        let some = of(self.to_manager.get(self.streets.dice.below(self.to_manager.len()))?);
        let first = self.to_manager.iter().position(|event| of(event) == some)?;
        Some(self.to_manager.remove(first))
    }

    /// Delivers one message to the manager and kills it while it acts on it.
    pub fn kill_in_the_middle(&mut self) {
        if let Some(event) = self.next_to_manager() {
            let after = self.streets.dice.below(6);
            self.event_until(event, after);
        }
        self.kill_manager();
        self.start_manager();
    }

    /// Goes to the next moment at which something happens. `false`: never.
    pub fn pass_time(&mut self) -> bool {
        let fate = self.streets.fates.peek().map(|Reverse((at, _))| *at);
        let manager = self.manager.as_mut().and_then(Manager::deadline);
        let Some(next) = [fate, manager, self.init.deadline()].into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        self.streets.now = self.now;
        while let Some(&Reverse((at, fate))) = self.streets.fates.peek()
            && at <= self.now
        {
            self.streets.fates.pop();
            self.happen(fate);
        }
        self.init.expire(self.now, &mut self.streets);
        self.after_init();
        if manager.is_some_and(|at| at <= self.now) {
            self.event(Event::Tick);
        }
        true
    }

    fn happen(&mut self, fate: Fate) {
        let (pid, event) = match fate {
            Fate::Speaks(pid) => (pid, InitEvent::Notified),
            Fate::Ends(pid, status) => {
                (pid, InitEvent::Exited { pid, exit: Exit::from_wait_status(status) })
            }
        };
        let slot = match fate {
            Fate::Speaks(_) => self.streets.processes.get(&pid).map(|process| process.slot),
            Fate::Ends(..) => self.streets.processes.remove(&pid).map(|process| process.slot),
        };
        let speaks_in_vain = matches!(fate, Fate::Speaks(_))
            && slot.and_then(|slot| self.service_of(slot)).is_none_or(|s| !self.notifies(s));
        if let Some(slot) = slot
            && !speaks_in_vain
        {
            self.init_event(slot, event);
        }
    }

    /// Runs until nothing more happens, or for `limit`.
    pub fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        loop {
            while self.deliver() {}
            if self.now >= end || !self.pass_time() {
                return;
            }
        }
    }

    /// Nothing is asked for a while.
    pub fn rest(&mut self, span: Duration) {
        self.run(span);
        self.now = self.now + span;
    }

    /// No more faults; whoever did not listen to SIGTERM does now.
    pub fn calm(&mut self) {
        self.streets.weather = Weather::default();
        let stuck: Vec<u32> = (self.streets.processes.iter())
            .filter(|(_, p)| p.told_to_end || matches!(p.program, Program::Script(_)))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in stuck {
            self.streets.now = self.now;
            self.streets.ends(pid, Duration::from_millis(1), Exit::Code(0));
        }
        for service in 0..self.slots.len() {
            if self.slots[service].is_none() {
                self.add_slot(service);
            }
        }
        self.lose_connection();
        self.connect();
    }

    /// Init forgets a service that is down; it is known again after [`Town::calm`].
    pub fn drop_slot(&mut self, service: usize) {
        let rests =
            self.slots[service].and_then(|slot| self.init.unit(slot)).is_some_and(Unit::at_rest);
        if rests && self.bytes[service] == 0 {
            self.lose_connection();
            if let Some(slot) = self.slots[service].take() {
                self.init.remove(slot);
            }
            self.connect();
        }
    }

    /// Every service in one line, for messages.
    pub fn describe(&self) -> String {
        let Some(manager) = &self.manager else { return "there is no manager".into() };
        let mut text = format!("at {:?}\n", self.now);
        for service in 0..self.slots.len() {
            let index = service as Index;
            let init = self.slots[service].and_then(|slot| self.init.unit(slot));
            text += &format!(
                "s{service} {:?} goal {} byte {:#x} needs {:?} {:?}\n   known {:?}\n   init {:?}\n",
                manager.actual(index),
                manager.goal(index),
                self.bytes[service],
                self.contents.services[service].needs,
                manager.trouble(index),
                manager.state(index),
                init.map(Unit::state),
            );
        }
        for wish in self.wishes.iter().filter(|wish| wish.outcome.is_none() && !wish.gone) {
            text += &format!("waits: {:?}\n", wish.ask);
        }
        text
    }

    /// What the files say is what init says.
    pub fn check_truth(&self, what: &str) {
        for service in 0..self.slots.len() {
            let Some(unit) = self.slots[service].and_then(|slot| self.init.unit(slot)) else {
                continue;
            };
            let (state, byte) = (unit.state(), self.bytes[service]);
            let true_state = if !self.is_longrun(service) {
                state.phase == Phase::Down && (!is_up(byte) || self.has_served(service))
            } else if is_up(byte) {
                state.wanted_up && matches!(state.phase, Phase::Up | Phase::Ready)
            } else {
                !state.wanted_up && state.phase == Phase::Down
            };
            if !true_state || byte & !3 & 0x3f != 0 {
                self.fail(&format!("{what}: s{service} has {byte:#x}, init says {state:?}"));
            }
        }
    }
}
