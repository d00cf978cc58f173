//! A pretend `ward init`: the real machines of init and of its end, in a loop
//! that does what the real program does, and that may fall between two steps.

use engine::machine::Event;
use engine::service::ending::{Class, Ending, Order as EndOrder, View};
use engine::service::init::{Init, Unit};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::service::database::{Kind, Longrun, Script};
use model::service::request::{End, Phase, Slot};
use model::time::Moment;

use crate::laws::{Law, broken};
use crate::streets::{Home, Record, Streets};
use crate::wire::{Order, Told, Wire};

/// Children reaped in one turn, and letters read.
const REAPED_MAX: usize = 256;
const LETTERS_MAX: usize = 64;

pub struct Root {
    pub init: Init,
    pub streets: Streets,
    pub wire: Wire,
    ending: Option<Ending>,
    /// In the table: how everything is to end.
    mode: Option<End>,
    /// It has ended.
    pub over: Option<End>,
    /// It is pid 1.
    pub first: bool,
    /// Times that it fell.
    pub falls: u32,
}

/// Something that init can read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Children,
    Letters(Slot),
    Line(Slot),
    Wire,
}

impl Root {
    pub fn new(streets: Streets, first: bool) -> Self {
        let mut root = Self {
            init: Init::default(),
            streets,
            wire: Wire::default(),
            ending: None,
            mode: None,
            over: None,
            first,
            falls: 0,
        };
        let own = Longrun {
            notification_fd: None,
            timeout_kill: std::time::Duration::from_secs(5),
            ..Longrun::default()
        };
        root.add_longrun(Home::Logger, own.clone(), true);
        for service in 0..root.streets.judge.contents.services.len() {
            root.add_service(service);
        }
        root.add_longrun(Home::Manager, own, true);
        root
    }

    pub fn now(&self) -> Moment {
        self.streets.linux.now
    }

    /// Takes in a longrun and begins to supervise it.
    pub fn add_longrun(&mut self, home: Home, longrun: Longrun, wanted_up: bool) -> Slot {
        let supervisor = Supervisor::new(Rules::from(&longrun), wanted_up, self.now());
        let unit = Unit::Longrun(supervisor);
        let slot = self.init.add(unit.clone()).expect("there is room");
        self.streets.add(slot, home, Some(longrun), &unit);
        self.init.begin(self.now(), slot, &mut self.streets);
        slot
    }

    /// Takes in a service of the graph.
    pub fn add_service(&mut self, service: usize) -> Slot {
        let longrun = self.streets.judge.longrun(service).cloned();
        let unit = match &self.streets.judge.contents.services[service].kind {
            Kind::Longrun(longrun) => {
                Unit::Longrun(Supervisor::new(Rules::from(longrun), false, self.now()))
            }
            Kind::Oneshot(_) => Unit::Oneshot(Runner::new(self.now())),
        };
        let slot = self.init.add(unit.clone()).expect("there is room");
        self.streets.add(slot, Home::Service(service), longrun, &unit);
        slot
    }

    /// Forgets a slot.
    pub fn forget(&mut self, slot: Slot) {
        self.init.remove(slot);
        self.streets.table.remove(&slot);
        self.streets.pids.retain(|_, of| *of != slot);
    }

    /// The slot with this home.
    pub fn slot_of(&self, home: Home) -> Option<Slot> {
        let mut all = self.streets.table.iter();
        all.find(|(_, record)| record.home == home).map(|(slot, _)| *slot)
    }

    fn event(&mut self, slot: Slot, event: Event) {
        let now = self.now();
        self.streets.count();
        self.init.event(now, slot, event, &mut self.streets);
    }

    // The loop.

    fn inputs(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.streets.linux.peek().is_some() {
            inputs.push(Input::Children);
        }
        for (slot, record) in &self.streets.table {
            if !record.letters.is_empty() {
                inputs.push(Input::Letters(*slot));
            }
            if record.line {
                inputs.push(Input::Line(*slot));
            }
        }
        if self.wire.is_open().any(|c| !c.to_init.is_empty() || c.manager_gone) {
            inputs.push(Input::Wire);
        }
        inputs
    }

    /// It would do something now.
    pub fn is_awake(&mut self) -> bool {
        let now = self.now();
        self.over.is_none()
            && (!self.inputs().is_empty() || self.deadline().is_some_and(|at| at <= now))
    }

    pub fn deadline(&mut self) -> Option<Moment> {
        if self.over.is_some() {
            return None;
        }
        let ending = self.ending.as_ref().map(Ending::deadline);
        [self.init.deadline(), ending].into_iter().flatten().min()
    }

    /// One turn of the loop: some of what there is to read (or all of it),
    /// deadlines, and telling everyone.
    pub fn turn(&mut self, all: bool) {
        if self.over.is_some() {
            return;
        }
        self.streets.count();
        let mut inputs = self.inputs();
        let woken = inputs.is_empty() && self.ending.is_none();
        while !inputs.is_empty() && !self.streets.fallen {
            let some = self.streets.linux.dice.below(inputs.len());
            match inputs.swap_remove(some) {
                Input::Children => self.reap(),
                Input::Letters(slot) => self.letters(slot),
                Input::Line(slot) => self.line(slot),
                Input::Wire => self.hear(),
            }
            if !all && self.streets.linux.dice.percent(50) {
                break;
            }
        }
        if !self.streets.fallen {
            let (now, before) = (self.now(), self.streets.wants);
            let due = self.init.deadline().is_some_and(|at| at <= now);
            self.init.expire(now, &mut self.streets);
            if woken && due && self.streets.wants == before {
                broken(Law::Quiet, "init was woken for nothing");
            }
        }
        self.publish();
        self.go_down();
        self.publish();
        if self.streets.fallen {
            self.begin_anew();
        } else {
            self.check_children();
        }
    }

    /// Every child is known, or its end not heard of yet.
    fn check_children(&self) {
        for (pid, process) in &self.streets.linux.processes {
            let Some(slot) = process.slot.filter(|_| process.alive()) else { continue };
            let known = self.init.unit(slot).map(|unit| unit.state().pid);
            if known != Some(*pid) {
                let name = self.streets.name(slot);
                broken(Law::NoOrphan, format!("{pid} is of {name}, which has {known:?}"));
            }
        }
    }

    fn reap(&mut self) {
        for _ in 0..REAPED_MAX {
            let Some((pid, exit)) = self.streets.linux.peek() else { return };
            if let Some(slot) = self.streets.pids.remove(&pid) {
                // One that ended before init fell may be met again.
                let current = self.init.unit(slot).is_some_and(|unit| unit.state().pid == pid);
                if let Some(record) = self.streets.table.get_mut(&slot).filter(|_| current) {
                    record.drop_notify();
                }
                if self.streets.tells {
                    let name = self.streets.name(slot);
                    self.streets.tell(&format!("{name} has ended: {pid} {exit:?}"));
                }
                self.event(slot, Event::Exited { pid, exit });
            }
            if !self.streets.step() {
                return;
            }
            self.streets.linux.reap(pid);
        }
    }

    fn letters(&mut self, slot: Slot) {
        let Some(record) = self.streets.table.get_mut(&slot) else { return };
        let count = record.letters.len().min(LETTERS_MAX);
        let letters: Vec<u8> = record.letters.drain(..count).collect();
        let service = record.service();
        for letter in letters {
            if !self.streets.fallen {
                self.streets.judge.letter(slot, service, letter);
                self.event(slot, Event::Control(letter));
            }
        }
    }

    fn line(&mut self, slot: Slot) {
        if let Some(record) = self.streets.table.get_mut(&slot) {
            record.read = true;
            record.drop_notify();
            if self.streets.step() {
                self.event(slot, Event::Notified);
            }
        }
    }

    /// Reads what managers say, an earlier connection before a later one.
    fn hear(&mut self) {
        let open: Vec<u32> = self.wire.open().map(|(number, _)| number).collect();
        for number in open {
            while let Some(connection) = self.wire.get(number)
                && let Some(order) = connection.to_init.pop_front()
            {
                self.obey(number, order);
                if self.streets.fallen {
                    return;
                }
            }
            if self.wire.get(number).is_some_and(|connection| connection.manager_gone) {
                self.wire.close_at_init(number);
            }
        }
    }

    fn obey(&mut self, number: u32, order: Order) {
        if self.streets.tells {
            self.streets.tell(&format!("init hears {order:?}"));
        }
        let (slot, event) = match order {
            Order::Hello => return self.greet(number),
            Order::AllDown => {
                if let Some(connection) = self.wire.get(number) {
                    connection.busy = false;
                }
                return;
            }
            Order::Want { slot, up, .. } => (slot, Event::Control(if up { b'U' } else { b'D' })),
            Order::Run { slot, script, ticket } => (slot, Event::Run { script, ticket }),
            Order::Signal { slot, signal } => (slot, Event::Signal(signal)),
        };
        let Some(service) = self.streets.table.get(&slot).and_then(Record::service) else { return };
        if self.init.is_closed() {
            return;
        }
        let unit = self.init.unit(slot);
        let stops = match order {
            Order::Want { up, .. } => !up,
            Order::Run { script: Script::Down, ticket, .. } => {
                unit.is_some_and(|unit| unit.at_rest() && unit.state().ticket != ticket)
            }
            _ => false,
        };
        if matches!(order, Order::Want { up: true, .. }) {
            self.streets.judge.ordered_up(slot);
        }
        if stops {
            self.streets.judge.ordered_down(&self.streets.linux, service);
        }
        if let (Order::Want { ticket, .. }, Some(Unit::Longrun(supervisor))) =
            (order, self.init.unit_mut(slot))
        {
            supervisor.set_ticket(ticket);
        }
        self.event(slot, event);
        if !self.streets.fallen && !matches!(order, Order::Signal { .. }) {
            self.streets.judge.obeyed(service);
        }
    }

    /// Tells a new manager everything.
    fn greet(&mut self, number: u32) {
        let Some(connection) = self.wire.get(number) else { return };
        connection.greeted = true;
        let slots = self.streets.table.iter();
        let services = slots.filter_map(|(slot, record)| Some((*slot, record.service()?)));
        let services: Vec<(Slot, usize)> = services.collect();
        connection
            .filling
            .extend(services.iter().map(|&(slot, service)| Told::Slot { slot, service }));
        for &(slot, _) in &services {
            if let Some(unit) = self.init.unit(slot) {
                connection.filling.push(Told::State { slot, state: *unit.state() });
            }
        }
        connection.filling.push(Told::Welcome);
        if self.ending.is_some() {
            connection.busy = true;
            connection.filling.push(Told::StopAll);
        }
    }

    /// Tells everyone what has changed, and forgets those that left.
    fn publish(&mut self) {
        if self.streets.fallen {
            return;
        }
        let changed = self.init.changed();
        for &slot in &changed {
            let Some(unit) = self.init.unit(slot) else { continue };
            let state = *unit.state();
            if let Some(service) = self.streets.table.get(&slot).and_then(Record::service) {
                self.streets.judge.told(service, &state);
                for (_, connection) in self.wire.open().filter(|(_, c)| c.greeted) {
                    connection.filling.push(Told::State { slot, state });
                }
            }
        }
        self.init.reuse(changed);
        for slot in std::mem::take(&mut self.streets.left) {
            if !self.streets.step() {
                return;
            }
            let service = self.streets.table.get(&slot).and_then(Record::service).is_some();
            if !self.init.unit(slot).is_none_or(Unit::at_rest) {
                self.streets.left.push(slot);
            } else if service && self.ending.is_none() {
                // The graph counts on it.
                let now = self.now();
                self.init.stay(now, slot, &mut self.streets);
            } else {
                self.forget(slot);
            }
        }
        let step = self.streets.step();
        for (_, connection) in self.wire.open() {
            let told = std::mem::take(&mut connection.filling);
            if step && !connection.manager_gone {
                connection.to_manager.extend(told);
            }
        }
    }

    // The end.

    /// Begins to bring everything down.
    pub fn shut_down(&mut self, end: End) {
        self.streets.tell(&format!("everything is to come down: {end:?}"));
        self.mode = Some(end);
        match &mut self.ending {
            Some(ending) => ending.set_end(end),
            None => self.ending = Some(Ending::new(end, self.now())),
        }
    }

    pub fn is_ending(&self) -> bool {
        self.mode.is_some()
    }

    fn go_down(&mut self) {
        if self.streets.fallen {
            return;
        }
        let Some(mut ending) = self.ending.take() else { return };
        while !self.streets.fallen
            && let Some(order) = ending.next(self.now(), &self.view())
        {
            self.streets.tell(&format!("the end: {order:?}"));
            if ending.is_past_managers() {
                self.init.close();
            }
            match order {
                EndOrder::AskManagers => {
                    for (_, connection) in self.wire.open().filter(|(_, c)| c.greeted) {
                        if !std::mem::replace(&mut connection.busy, true) {
                            connection.filling.push(Told::StopAll);
                        }
                    }
                }
                EndOrder::Down(class) => self.bring_down(class),
                EndOrder::Kill(class) => {
                    for slot in self.of_class(class) {
                        self.event(slot, Event::Kill);
                    }
                }
                EndOrder::SignalAll(signal) => self.streets.linux.kill_everyone(signal),
                EndOrder::Finish(end) => {
                    self.streets.judge.over(&self.streets.linux, self.first);
                    self.over = Some(end);
                    let open: Vec<u32> = self.wire.open().map(|(number, _)| number).collect();
                    open.into_iter().for_each(|number| self.wire.close_at_init(number));
                    return;
                }
            }
        }
        self.ending = Some(ending);
    }

    fn of_class(&self, class: Class) -> Vec<Slot> {
        let all = self.streets.table.iter();
        all.filter(|(_, record)| record.class() == class).map(|(slot, _)| *slot).collect()
    }

    fn bring_down(&mut self, class: Class) {
        let table = &self.streets.table;
        let class_of = |slot: Slot| table.get(&slot).map(Record::class);
        self.streets.judge.goes(&self.streets.linux, class, class_of);
        for slot in self.of_class(class) {
            if class == Class::Reader {
                self.let_finish(slot);
                continue;
            }
            for letter in *b"dx" {
                self.event(slot, Event::Control(letter));
            }
            if self.streets.table.get(&slot).is_some_and(|record| record.longrun.is_none()) {
                self.event(slot, Event::Signal(15));
            }
        }
    }

    /// Lets a reader end by itself once nobody writes any more.
    fn let_finish(&mut self, slot: Slot) {
        for letter in *b"Ox" {
            self.event(slot, Event::Control(letter));
        }
        if !self.streets.fallen
            && let Some(record) = self.streets.table.get_mut(&slot)
        {
            record.input_open = false;
        }
    }

    fn alive(&self, class: Class) -> bool {
        self.of_class(class)
            .into_iter()
            .any(|slot| self.init.unit(slot).is_some_and(|unit| !unit.at_rest()))
    }

    fn view(&self) -> View {
        let managers = self.alive(Class::Manager);
        let connected = self.wire.is_open().any(|connection| connection.greeted);
        View {
            managers_away: managers && !connected && self.alive(Class::Service),
            managers_busy: self.wire.is_open().any(|connection| connection.busy),
            services_alive: self.alive(Class::Service),
            readers_alive: self.alive(Class::Reader),
            managers_alive: managers,
            logger_alive: self.alive(Class::Logger),
            processes_alive: self.first && !self.streets.linux.processes.is_empty(),
        }
    }

    // Falling.

    /// A fault, or a newer program in its place: everything goes on from the table.
    pub fn begin_anew(&mut self) {
        self.falls += 1;
        loop {
            self.streets.tell("init begins anew");
            self.streets.fallen = false;
            self.streets.pids.clear();
            self.streets.left.clear();
            self.streets.judge.begins_anew();
            let open: Vec<u32> = self.wire.open().map(|(number, _)| number).collect();
            open.into_iter().for_each(|number| self.wire.close_at_init(number));
            self.init = Init::default();
            for (slot, record) in &self.streets.table {
                assert!(self.init.restore(*slot, record.load()), "each slot is there once");
            }
            self.ending = self.mode.map(|end| Ending::new(end, self.now()));
            self.resume();
            if !self.streets.fallen {
                return self.check_children();
            }
        }
    }

    fn resume(&mut self) {
        let now = self.now();
        let slots: Vec<Slot> = self.streets.table.keys().copied().collect();
        let mut spawned = Vec::new();
        for slot in slots {
            let state = *self.init.unit(slot).expect("it was restored").state();
            let unheard = !matches!(state.phase, Phase::Down | Phase::Waiting) && state.pid == 0;
            let pid = if unheard { self.streets.table[&slot].cell } else { state.pid };
            if pid != 0 {
                self.streets.pids.insert(pid, slot);
            }
            spawned.push((slot, pid));
        }
        for (slot, pid) in spawned {
            self.init.resume(now, slot, pid, &mut self.streets);
            if self.streets.table[&slot].read && self.init.unit(slot).is_some_and(hears_lines) {
                self.event(slot, Event::Notified);
            }
            if self.streets.fallen {
                return;
            }
        }
    }

    /// Starts a newer program in place of itself, as `ward reexec` does.
    pub fn reexec(&mut self) {
        self.publish();
        self.begin_anew();
    }
}

fn hears_lines(unit: &Unit) -> bool {
    unit.state().phase == Phase::Up
}
