//! A town: pretend init and manager around the real machines, pretend clients,
//! people who meddle, and time.

use std::time::Duration;

use engine::service::init::Unit;
use engine::service::manage::{Ask, Manager, Outcome, Verb};
use model::service::database::{Contents, Index};
use model::service::live_state::is_up;
use model::service::request::{End, Phase, Slot, SlotState};
use model::service::status::Exit;
use model::time::Moment;

use crate::judge::Judge;
use crate::laws::{Law, broken};
use crate::linux::{Linux, News};
use crate::office::{Killed, Office};
use crate::root::Root;
use crate::streets::{Home, Record, Streets};

/// Longer than anything takes once the dice rest.
pub const LONG: Duration = Duration::from_secs(3_600);

/// The patience of all stages of the end together.
pub const END_MAX: Duration = Duration::from_secs(106);

pub struct Town {
    pub root: Root,
    pub office: Office,
    manager: Slot,
}

impl Town {
    /// A town whose manager has begun its work.
    pub fn new(seed: u64, contents: Contents) -> Self {
        Self::with(seed, contents, false)
    }

    /// `first`: init is pid 1.
    pub fn with(seed: u64, contents: Contents, first: bool) -> Self {
        let count = contents.services.len();
        let tells = std::env::var_os("TELL").is_some();
        let linux = Linux::new(seed, count);
        let root = Root::new(Streets::new(linux, Judge::new(contents), tells), first);
        let manager = root.slot_of(Home::Manager).expect("there is one");
        let mut town = Self { root, office: Office::new(count), manager };
        town.until(|town| town.office.is_connected());
        town
    }

    pub fn now(&self) -> Moment {
        self.root.now()
    }

    pub fn dice(&mut self) -> &mut crate::dice::Dice {
        &mut self.root.streets.linux.dice
    }

    pub fn len(&self) -> usize {
        self.root.streets.linux.state.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The manager, which must be there.
    pub fn manager(&self) -> &Manager {
        self.office.machine.as_ref().expect("the manager is there")
    }

    pub fn is_up(&self, service: usize) -> bool {
        is_up(self.root.streets.linux.state[service])
    }

    pub fn is_longrun(&self, service: usize) -> bool {
        self.root.streets.judge.is_longrun(service)
    }

    pub fn slot(&self, service: usize) -> Option<Slot> {
        self.root.slot_of(Home::Service(service))
    }

    /// How init says that a service is.
    pub fn state(&self, service: usize) -> Option<SlotState> {
        Some(*self.root.init.unit(self.slot(service)?)?.state())
    }

    pub fn tell(&self, text: &str) {
        self.root.streets.tell(text);
    }

    // Clients and people.

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
        let ask = Ask { services, limit, prune, ..self.request(verb) };
        self.send(ask)
    }

    /// Somebody asks for a bundle.
    pub fn ask_bundle(&mut self, verb: Verb, bundled: Vec<Index>) -> usize {
        let ask = Ask { bundled, ..self.request(verb) };
        self.send(ask)
    }

    /// A controller asks for a service, as its link does.
    pub fn ask_as(&mut self, controller: Index, verb: Verb, service: Index) -> usize {
        let (controller, users) = (Some(controller), verb == Verb::Up);
        let ask = Ask { services: vec![service], controller, users, ..self.request(verb) };
        self.send(ask)
    }

    /// A request of the next client, about nothing.
    fn request(&mut self, verb: Verb) -> Ask {
        let client = self.office.wishes.len() as u32;
        Ask {
            client,
            id: 1,
            pid: 1_000 + client,
            verb,
            prune: false,
            all: false,
            detail: self.dice().percent(50),
            services: vec![],
            bundled: vec![],
            controller: None,
            users: false,
            limit: None,
            since: self.now(),
        }
    }

    fn send(&mut self, ask: Ask) -> usize {
        let client = ask.client as usize;
        let Ask { verb, services, bundled, .. } = &ask;
        self.tell(&format!("client {client} asks: {verb:?} {services:?} {bundled:?}"));
        self.office.ask(ask);
        client
    }

    pub fn outcome(&self, wish: usize) -> Option<Outcome> {
        self.office.wishes[wish].outcome
    }

    /// Requests that somebody waits for.
    pub fn waiting(&self) -> usize {
        self.office.wishes.iter().filter(|wish| wish.waits()).count()
    }

    /// Somebody writes letters into the control fifo of a slot.
    pub fn letters(&mut self, slot: Slot, letters: &[u8]) {
        let streets = &mut self.root.streets;
        if streets.tells {
            let text = String::from_utf8_lossy(letters);
            streets.tell(&format!("somebody tells {} {text}", streets.name(slot)));
        }
        if let Some(record) = streets.table.get_mut(&slot) {
            record.letters.extend(letters);
        }
    }

    /// A service publishes something else than before.
    pub fn publish(&mut self, service: Index) {
        let root = &mut self.root;
        if let Err(Killed) = self.office.publish(&mut root.streets, &mut root.wire, service) {
            self.kill_manager();
        }
    }

    /// `kill -9` of the manager.
    pub fn kill_manager(&mut self) {
        if let Some((pid, _)) = self.root.streets.linux.of(self.manager) {
            self.tell("the manager is killed");
            self.root.streets.linux.dies(pid, Exit::Signal(9));
            self.office.is_gone(&mut self.root.wire);
        }
    }

    /// Lets the manager act, and kills it after some of its deeds.
    pub fn kill_manager_in_the_middle(&mut self) {
        self.office.dies_after = Some(self.dice().below(12) as u32);
        self.manager_turn(false);
        self.kill_manager();
    }

    /// Init falls after some more of its steps.
    pub fn let_init_fall(&mut self) {
        let steps = self.dice().below(25) as u32;
        self.root.streets.falls_after = Some(steps);
    }

    /// Init forgets a service that is down, and hangs up.
    pub fn drop_slot(&mut self, service: usize) {
        let Some(slot) = self.slot(service) else { return };
        let rests = self.root.init.unit(slot).is_some_and(Unit::at_rest);
        if rests && self.root.streets.linux.state[service] == 0 {
            self.hang_up_at_init();
            self.root.forget(slot);
        }
    }

    /// Init closes the connection: the manager reads too slowly.
    pub fn hang_up_at_init(&mut self) {
        let open: Vec<u32> = self.root.wire.open().map(|(number, _)| number).collect();
        open.into_iter().for_each(|number| self.root.wire.close_at_init(number));
    }

    pub fn hang_up_at_manager(&mut self) {
        self.office.hang_up(&mut self.root.streets, &mut self.root.wire);
    }

    pub fn shut_down(&mut self, end: End) {
        self.root.shut_down(end);
    }

    // Turns and time.

    pub fn init_turn(&mut self, all: bool) {
        self.root.turn(all);
    }

    pub fn manager_turn(&mut self, all: bool) {
        if self.office.machine.is_none() || !self.root.streets.linux.can_act(self.manager) {
            return;
        }
        let listens = self.root.over.is_none();
        let root = &mut self.root;
        if let Err(Killed) = self.office.turn(&mut root.streets, &mut root.wire, listens, all) {
            self.kill_manager();
        }
    }

    fn init_is_awake(&mut self) -> bool {
        self.root.is_awake()
    }

    fn manager_is_awake(&mut self) -> bool {
        let now = self.now();
        self.root.streets.linux.can_act(self.manager)
            && self.office.is_awake(&mut self.root.wire, now)
    }

    /// Somebody who has something to do takes a turn. `false`: nobody has.
    pub fn somebody_acts(&mut self, all: bool) -> bool {
        match (self.init_is_awake(), self.manager_is_awake()) {
            (false, false) => return false,
            (true, false) => self.init_turn(all),
            (false, true) => self.manager_turn(all),
            (true, true) if self.dice().percent(50) => self.init_turn(all),
            (true, true) => self.manager_turn(all),
        }
        true
    }

    /// Goes to the next moment at which something happens. `false`: never.
    pub fn pass_time(&mut self) -> bool {
        self.readers_end();
        let now = self.now();
        let init = self.root.deadline();
        let manager = match self.root.streets.linux.can_act(self.manager) {
            true => self.office.deadline(),
            false => None,
        };
        let linux = self.root.streets.linux.next_at();
        let next = [linux, init, manager, self.office.patience()].into_iter().flatten().min();
        let Some(next) = next else { return false };
        if next > now {
            self.root.streets.pass();
        }
        self.root.streets.linux.now = now.max(next);
        while let Some(news) = self.root.streets.linux.happen() {
            self.happened(news);
        }
        self.office.give_up(self.now());
        true
    }

    fn happened(&mut self, news: News) {
        match news {
            News::Spoke { slot, birth } => {
                if slot == self.manager {
                    self.office.begins(&self.root.streets);
                } else if let Some(record) = self.root.streets.table.get_mut(&slot) {
                    record.hear_line(birth);
                }
            }
            News::Died { slot } if slot == self.manager => {
                self.office.is_gone(&mut self.root.wire);
            }
            News::Died { .. } => {}
        }
    }

    /// Readers whose pipe nobody can write to any more come to its end.
    fn readers_end(&mut self) {
        let streets = &mut self.root.streets;
        let ended = |(slot, record): (&Slot, &Record)| match record.home {
            Home::Reader { of } if !record.input_open => {
                let (pid, _) = streets.linux.of(*slot)?;
                streets.linux.of(of).is_none().then_some(pid)
            }
            _ => None,
        };
        let ended: Vec<u32> = streets.table.iter().filter_map(ended).collect();
        ended.into_iter().for_each(|pid| streets.linux.ends_soon(pid));
    }

    /// Runs until nothing more happens, or for `limit`. `false`: the latter.
    pub fn run(&mut self, limit: Duration) -> bool {
        let end = self.now() + limit;
        loop {
            while self.somebody_acts(true) {}
            if self.now() >= end {
                return false;
            }
            if !self.pass_time() {
                return true;
            }
        }
    }

    /// Runs until something holds, which it must.
    pub fn until(&mut self, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.now() + LONG;
        while !holds(self) {
            if !self.somebody_acts(true) && (self.now() >= end || !self.pass_time()) {
                broken(
                    Law::Settles,
                    format!("what was waited for never comes\n{}", self.describe()),
                );
            }
        }
    }

    /// Nothing is asked for a while.
    pub fn rest(&mut self, span: Duration) {
        let end = self.now() + span;
        self.run(span);
        self.root.streets.linux.now = self.now().max(end);
        self.root.streets.pass();
    }

    // Judging.

    /// No more faults: what was stuck comes loose, and what init forgot is
    /// known again.
    pub fn calm(&mut self) {
        self.tell("the dice rest");
        self.root.streets.falls_after = None;
        self.office.dies_after = None;
        self.root.streets.table.values_mut().for_each(|record| record.letters.clear());
        self.root.streets.linux.calm();
        for service in 0..self.len() {
            if self.slot(service).is_none() {
                self.root.add_service(service);
                self.hang_up_at_init();
            }
        }
    }

    /// Runs until all is settled, and holds that against the laws.
    pub fn settle(&mut self) {
        if !self.run(LONG) {
            broken(Law::Quiet, format!("it goes on for ever\n{}", self.describe()));
        }
        if self.waiting() != 0 {
            broken(Law::Ends, format!("a request waits for ever\n{}", self.describe()));
        }
        if !self.office.is_connected() {
            broken(Law::Settles, "the manager has no connection to init");
        }
        if !self.manager().at_rest() {
            broken(Law::Settles, format!("something is under way for ever\n{}", self.describe()));
        }
        if let Some(slot) = self.leaving() {
            broken(Law::Leaves, format!("{} was told to go", self.root.streets.name(slot)));
        }
    }

    /// A slot that is down and was told to go, and is still there.
    fn leaving(&self) -> Option<Slot> {
        let leaves = |unit: &Unit| matches!(unit, Unit::Longrun(s) if s.is_leaving());
        let mut all = self.root.init.slots();
        all.find(|(_, unit)| leaves(unit) && unit.at_rest()).map(|(slot, _)| slot)
    }

    /// What the files say is what init says.
    pub fn check_truth(&self, what: &str) {
        for service in 0..self.len() {
            let (Some(state), byte) = (self.state(service), self.root.streets.linux.state[service])
            else {
                continue;
            };
            let true_state = if !self.is_longrun(service) {
                let served = self.root.streets.judge.has_served(service);
                state.phase == Phase::Down && (!is_up(byte) || served)
            } else if is_up(byte) {
                state.wanted_up && matches!(state.phase, Phase::Up | Phase::Ready)
            } else {
                !state.wanted_up && state.phase == Phase::Down
            };
            if !true_state || byte & !3 & 0x1f != 0 {
                let text = format!("{what}: s{service} has {byte:#x}, init says {state:?}");
                broken(Law::Truth, text);
            }
        }
    }

    /// Every service in a few lines, for messages.
    pub fn describe(&self) -> String {
        let mut text = format!("at {:?}\n", self.now());
        for service in 0..self.len() {
            let init = self.state(service);
            let entry = &self.root.streets.judge.contents.services[service];
            let byte = self.root.streets.linux.state[service];
            text +=
                &format!("s{service} byte {byte:#x} needs {:?}\n   init {init:?}\n", entry.needs);
            let Some(manager) = &self.office.machine else { continue };
            let index = service as Index;
            let (actual, goal) = (manager.actual(index), manager.goal(index));
            let (known, trouble) = (manager.state(index), manager.trouble(index));
            text += &format!("   {actual:?} goal {goal} {trouble:?}\n   known {known:?}\n");
        }
        for wish in self.office.wishes.iter().filter(|wish| wish.waits()) {
            text += &format!("waits: {:?}\n", wish.ask);
        }
        text
    }
}
