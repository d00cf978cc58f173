//! Devices that come and go, a kernel that tells of them and forgets, and the controller that has
//! services up for them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use engine::controller::Wish;
use engine::controller::hotplug::{Hotplug, Order, Told};
use model::controller::rule::{self, Rules};
use model::time::Moment;

use crate::clerk::{Clerk, News, Phase, Weather};
use crate::dice::Dice;
use crate::laws::{Law, broken};

/// What the kernel tells.
#[derive(Clone, Debug)]
enum Message {
    Add(String),
    Remove(String),
    Move { old: String, new: String },
}

/// Messages that the kernel keeps for one that does not read.
const KEPT_MAX: usize = 12;

/// A device, in the world as it is.
#[derive(Clone, Copy, Debug)]
struct Device {
    instance: u64,
    /// The kernel has told that it goes, and its folder goes then.
    leaves: Option<Moment>,
}

pub struct Plugs {
    pub now: Moment,
    pub clerk: Clerk,
    rules: Rules,
    devices: BTreeMap<String, Device>,
    next_instance: u64,
    /// `None`: nobody has subscribed.
    messages: Option<VecDeque<(Moment, Message)>>,
    lost: bool,
    machine: Option<Hotplug>,
    /// When the controller starts again.
    start_at: Moment,
    /// The outputs of each service.
    published: Vec<Option<(String, u64)>>,
    /// How often each was started when it was last without a device.
    starts_when_empty: Vec<u32>,
    /// The device that each was started for.
    started_for: Vec<Option<u64>>,
    pub starts: Vec<Vec<Moment>>,
    tells: bool,
}

/// `A` device of rule N is called `N-…`.
fn concerns(path: &str, service: usize) -> bool {
    path.starts_with(&format!("/{service}-"))
}

impl Plugs {
    pub fn new(seed: u64, services: usize, settings: &str) -> Self {
        let mut dice = Dice::new(seed);
        let weather = Weather { start: 3_000, stop: 500, fails: 20 };
        let rule = ["subsystem x\n", if dice.percent(50) { "settle 100" } else { "" }].concat();
        let controlled: Vec<(&str, &str)> = (0..services).map(|_| ("it", &*rule)).collect();
        let rules = rule::parse(settings, &controlled).expect("well made");
        let now = Moment::from_nanos(1_000_000_000_000);
        Self {
            now,
            clerk: Clerk::new(Dice::new(seed + 1_000_000), services, weather),
            rules,
            devices: BTreeMap::new(),
            next_instance: 1,
            messages: None,
            lost: false,
            machine: None,
            start_at: now,
            published: vec![None; services],
            starts_when_empty: vec![0; services],
            started_for: vec![None; services],
            starts: vec![Vec::new(); services],
            tells: std::env::var_os("TELL").is_some(),
        }
    }

    pub fn dice(&mut self) -> &mut Dice {
        &mut self.clerk.dice
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let next = [
                self.clerk.next(),
                self.machine.as_ref().and_then(|machine| machine.deadline()),
                self.machine.is_none().then_some(self.start_at),
                self.messages.as_ref().and_then(|kept| Some(kept.front()?.0)),
                self.devices.values().filter_map(|device| device.leaves).min(),
            ];
            let next = next.into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
        }
        self.now = end;
    }

    /// Everything that is to happen now.
    fn settle(&mut self) {
        for round in 0.. {
            if round > 1_000 {
                broken(Law::NoSpin, format!("the controller of devices at {:?}", self.now));
            }
            if !self.turn() {
                return;
            }
        }
    }

    fn turn(&mut self) -> bool {
        let now = self.now;
        let gone = |device: &Device| device.leaves.is_some_and(|at| at <= now);
        let left = self.devices.iter().filter(|(_, device)| gone(device));
        let left: Vec<String> = left.map(|(path, _)| path.clone()).collect();
        let mut busy = left.len();
        for path in left {
            self.devices.remove(&path);
            self.note_empty(&path);
        }
        if self.machine.is_none() && self.start_at <= now {
            self.begin();
            busy += 1;
        }
        let phases: Vec<Phase> = self.clerk.services.iter().map(|one| one.phase).collect();
        self.clerk.step(now);
        self.note_starts(&phases);
        busy += self.hear_manager() + self.hear_kernel();
        if self.machine.as_ref().is_some_and(|machine| machine.walk_is_due(now)) {
            self.walk();
            busy += 1;
        }
        let mut orders = Vec::new();
        if let Some(machine) = &mut self.machine {
            machine.decide(now, &mut orders);
            if let Some(deadline) = machine.deadline()
                && deadline <= now
            {
                broken(Law::NoSpin, format!("{deadline:?} is over at {now:?}: {machine:?}"));
            }
        }
        busy += orders.iter().filter(|order| !matches!(order, Order::Say { .. })).count();
        for order in orders {
            self.obey(order);
        }
        busy > 0
    }

    fn begin(&mut self) {
        self.note(&"begins");
        let mut machine = Hotplug::new(self.now, &self.rules);
        for (service, published) in self.published.iter().enumerate() {
            if let Some((path, instance)) = published {
                machine.adopt(service, path.as_bytes(), *instance);
            }
        }
        self.machine = Some(machine);
        self.messages = Some(VecDeque::new());
        self.clerk.connect(self.now);
    }

    fn hear_manager(&mut self) -> usize {
        let mut count = 0;
        while let Some(news) = self.clerk.hear(self.now) {
            count += 1;
            self.note(&news);
            let Some(machine) = &mut self.machine else { continue };
            match news {
                News::State { service, up, goal, trouble } => {
                    machine.told(self.now, service, Told { up, goal, trouble });
                }
                News::Ended { id, ok } => machine.ended(self.now, id, ok),
                News::Gone | News::Again => machine.again(),
            }
        }
        count
    }

    fn hear_kernel(&mut self) -> usize {
        let Some(kept) = &mut self.messages else { return 0 };
        let mut heard = Vec::new();
        while kept.front().is_some_and(|(at, _)| *at <= self.now) {
            heard.extend(kept.pop_front());
        }
        if kept.is_empty()
            && std::mem::take(&mut self.lost)
            && let Some(machine) = &mut self.machine
        {
            machine.lost(self.now);
        }
        let Some(machine) = &mut self.machine else { return heard.len() };
        let count = heard.len();
        for (_, message) in heard {
            match message {
                Message::Remove(path) => machine.removed(self.now, path.as_bytes()),
                Message::Add(path) => look(self.now, machine, &self.devices, &path),
                Message::Move { old, new } => {
                    machine.moved(old.as_bytes(), new.as_bytes());
                    look(self.now, machine, &self.devices, &new);
                }
            }
        }
        count
    }

    fn walk(&mut self) {
        self.note(&"walks");
        let Some(machine) = &mut self.machine else { return };
        machine.walk(self.now);
        self.devices.keys().for_each(|path| look(self.now, machine, &self.devices, path));
        machine.walk_ended(self.now);
    }

    fn obey(&mut self, order: Order) {
        self.note(&order);
        let machine = self.machine.as_ref().expect("it gave the order");
        match order {
            Order::Publish { service } => {
                let path = machine.served(service).map(String::from_utf8_lossy);
                let path = path.expect("there is one to publish").into_owned();
                if let Some(device) = self.devices.get(&path) {
                    self.published[service] = Some((path, device.instance));
                }
            }
            Order::Ask { id, wish, service } => {
                let phase = self.clerk.services[service].phase;
                let phases: Vec<Phase> = self.clerk.services.iter().map(|one| one.phase).collect();
                if wish != Wish::Down && phase == Phase::Down && self.clerk.is_there() {
                    self.starts[service].push(self.now);
                }
                if wish != Wish::Down {
                    let published = self.published[service].as_ref();
                    self.started_for[service] = published.map(|(_, instance)| *instance);
                }
                self.clerk.ask(self.now, id, wish, service);
                self.note_starts(&phases);
            }
            Order::Withdraw { .. } | Order::Say { .. } => {}
        }
    }

    /// The outputs of a service end with it.
    fn note_starts(&mut self, before: &[Phase]) {
        for (service, before) in before.iter().enumerate() {
            let is_down = self.clerk.services[service].phase == Phase::Down;
            if is_down && *before != Phase::Down {
                self.published[service] = None;
            }
        }
    }

    /// What happens, where `TELL` is set.
    fn note(&self, what: &dyn std::fmt::Debug) {
        if self.tells {
            let millis = self.now.nanos() / 1_000_000 - 1_000_000;
            eprintln!("{millis:9} {what:?}");
        }
    }

    fn tell(&mut self, message: Message) {
        self.note(&message);
        let at = self.now + self.clerk.dice.millis(0, 5);
        let Some(kept) = &mut self.messages else { return };
        if kept.len() >= KEPT_MAX {
            self.lost = true;
            return;
        }
        let last = kept.back().map_or(at, |(last, _)| *last);
        kept.push_back((at.max(last), message));
    }

    /// Something is plugged in, pulled out, or called otherwise.
    pub fn something_happens(&mut self) {
        let paths: Vec<String> = self.devices.keys().cloned().collect();
        let (services, percent) = (self.clerk.services.len(), self.clerk.dice.below(100));
        let place = format!("/{}-{}", self.clerk.dice.below(services), self.clerk.dice.below(2));
        match (percent, self.clerk.dice.pick(&paths).cloned()) {
            (0..45, _) if !self.devices.contains_key(&place) => self.plug(&place),
            (45..90, Some(path)) => self.unplug(&path),
            (90..100, Some(old)) if !self.devices.contains_key(&place) => {
                let mut device = self.devices.remove(&old).expect("it was listed");
                // What is about to go does not get another name.
                if device.leaves.is_some() {
                    self.devices.insert(old, device);
                    return;
                }
                device.leaves = None;
                self.devices.insert(place.clone(), device);
                // It is still the same if it gets its name back.
                self.tell(Message::Move { old, new: place });
            }
            _ => {}
        }
    }

    pub fn plug(&mut self, path: &str) {
        let device = Device { instance: self.next_instance, leaves: None };
        self.next_instance += 1;
        self.devices.insert(path.to_owned(), device);
        self.tell(Message::Add(path.to_owned()));
    }

    pub fn unplug(&mut self, path: &str) {
        let leaves = self.now + self.clerk.dice.millis(0, 2);
        if let Some(device) = self.devices.get_mut(path)
            && device.leaves.is_none()
        {
            device.leaves = Some(leaves);
            self.tell(Message::Remove(path.to_owned()));
        }
    }

    fn note_empty(&mut self, path: &str) {
        for service in 0..self.clerk.services.len() {
            let others = self.devices.keys().any(|path| concerns(path, service));
            if concerns(path, service) && !others {
                self.starts_when_empty[service] = self.clerk.services[service].starts;
            }
        }
    }

    fn has_device(&self, service: usize) -> bool {
        let stays = |device: &Device| device.leaves.is_none();
        self.devices.iter().any(|(path, device)| stays(device) && concerns(path, service))
    }

    /// The controller is killed.
    pub fn kill(&mut self) {
        self.note(&"killed");
        (self.machine, self.messages, self.lost) = (None, None, false);
        self.start_at = self.now + self.clerk.dice.millis(1, 1_500);
    }

    /// No more messages than there are: the kernel has lost one.
    pub fn lose_messages(&mut self) {
        if let Some(kept) = &mut self.messages
            && !kept.is_empty()
        {
            kept.clear();
            self.lost = true;
        }
    }

    /// Whether all is as it should be, for a while after the last that happened.
    pub fn check(&self) {
        for service in 0..self.clerk.services.len() {
            let (up, wanted) = (self.clerk.is_up(service), self.has_device(service));
            if up != wanted {
                let what = format!("service {service} is up: {up}; {:?}", self.devices);
                broken(Law::Follows, what);
            }
            if !up {
                continue;
            }
            // A device that has got its name back is the same.
            let told = self.published[service].as_ref().map(|(_, instance)| *instance);
            let same = told.is_some() && told == self.started_for[service];
            let starts = self.clerk.services[service].starts;
            if !same && starts <= self.starts_when_empty[service] {
                broken(Law::Current, format!("service {service} ran while no device was there"));
            }
            let published = &self.published[service];
            let is = |(path, instance): &(String, u64)| {
                self.devices.get(path).is_some_and(|device| device.instance == *instance)
            };
            if !published.as_ref().is_some_and(is) {
                let what =
                    format!("service {service} was told of {published:?}: {:?}", self.devices);
                broken(Law::Current, what);
            }
        }
        let deadline = self.machine.as_ref().and_then(|machine| machine.deadline());
        if deadline.is_some() || self.clerk.next().is_some() {
            broken(Law::Quiet, format!("something goes on at {deadline:?}: {:?}", self.machine));
        }
    }
}

fn look(now: Moment, machine: &mut Hotplug, devices: &BTreeMap<String, Device>, path: &str) {
    for service in 0..machine.len() {
        match devices.get(path) {
            Some(device) if concerns(path, service) => {
                machine.present(now, service, path.as_bytes(), device.instance);
            }
            _ => machine.absent(now, service, path.as_bytes()),
        }
    }
}
