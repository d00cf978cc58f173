//! Services that are up exactly while a device that matches is there.
//!
//! The machine is told which devices match, as they are found and as they come and go; what it
//! does not know it does not keep. A walk over all devices tells it everything anew, whatever
//! messages were lost. A device is its path and the number of its folder: one that is plugged in
//! again is another.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use model::controller::rule::{Pace, Rules};
use model::limits::DEVICES_OF_A_RULE_MAX;
use model::time::Moment;

use super::{Asked, Wish, doubled};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Give the service the properties of [`Hotplug::served`].
    Publish {
        service: usize,
    },
    /// Nothing is served any more.
    Withdraw {
        service: usize,
    },
    Ask {
        id: u32,
        wish: Wish,
        service: usize,
    },
    /// [`Hotplug::condition`] is another.
    Say {
        service: usize,
    },
}

/// A device that matches a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Below `/sys`.
    pub path: Box<[u8]>,
    /// The number of its folder, which no later device has.
    pub instance: u64,
    since: Moment,
    /// The walk that is under way has met it.
    seen: bool,
}

/// Why a service is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// The device that is there; with several, the one that is served.
    pub device: Option<&'a Device>,
    pub count: usize,
    pub since: Moment,
    /// It waits although a device is there.
    pub waits: Option<Wait>,
}

/// What a service waits for whose device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The device has to have been there for a while.
    Settling,
    /// It came and went too often.
    Flapping,
    /// The service failed to start, so many times.
    Failed(u32),
    /// Somebody took the service down.
    TakenDown,
}

/// All rules of one controller.
#[derive(Debug)]
pub struct Hotplug {
    pace: Pace,
    services: Vec<Service>,
    next_id: u32,
    /// A first walk is over; before that nobody knows what is not there.
    walked: bool,
    /// Walks that are to come.
    walk_at: Option<Moment>,
    walk_again_at: Option<Moment>,
    walking: bool,
}

/// A device that is going is still there for a moment after the kernel has said so: whoever
/// missed that looks twice.
const GOING_MAX: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Service {
    settle: Duration,
    restart_when_replaced: bool,
    /// In the order in which they came.
    devices: Vec<Device>,
    /// Those of which the kernel has just said that they go.
    gone: Vec<(Box<[u8]>, u64, Moment)>,
    /// Since when there is one, or none.
    since: Moment,
    /// The device whose properties the service was given.
    served: Option<(Box<[u8]>, u64)>,
    /// What it was told of the device is not true any more.
    outdated: bool,
    /// Since it was started there was no device for a moment.
    emptied: bool,
    /// What the manager says, once it did.
    told: Option<Told>,
    asked: Option<Asked>,
    /// It came up then; whether it still is, is told.
    up_since: Option<Moment>,
    failures: u32,
    retry_at: Moment,
    flaps: u32,
    hold_until: Moment,
    /// Somebody else took it down, or brought it up: that holds until devices say otherwise.
    by_hand: bool,
    said: Option<Said>,
}

/// What of a condition was said last.
type Said = (Option<(Box<[u8]>, u64)>, usize, Option<Wait>);

/// What the manager says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub up: bool,
    /// It shall be up.
    pub goal: bool,
    /// It did not become, or stay, what it should.
    pub trouble: bool,
}

impl Hotplug {
    pub fn new(now: Moment, rules: &Rules) -> Self {
        let services = rules.rules.iter().map(|rule| Service {
            settle: rule.settle,
            restart_when_replaced: rule.restart_when_replaced,
            devices: Vec::new(),
            gone: Vec::new(),
            since: now,
            served: None,
            outdated: false,
            emptied: false,
            told: None,
            asked: None,
            up_since: None,
            failures: 0,
            retry_at: now,
            flaps: 0,
            hold_until: now,
            by_hand: false,
            said: None,
        });
        let mut machine = Self {
            pace: rules.pace,
            services: services.collect(),
            next_id: 1,
            walked: false,
            walk_at: None,
            walk_again_at: None,
            walking: false,
        };
        machine.lost(now);
        machine
    }

    /// The service was given this device's properties by the controller before this one.
    pub fn adopt(&mut self, service: usize, path: &[u8], instance: u64) {
        let service = &mut self.services[service];
        // Where it is gone by now, nobody saw whether there was always another.
        (service.served, service.emptied) = (Some((path.into(), instance)), true);
    }

    /// Messages were lost, or there were none yet: only a walk can tell.
    pub fn lost(&mut self, now: Moment) {
        self.walk_at = Some(now);
        self.walk_again_at = Some(now + GOING_MAX);
    }

    /// Whether it is time for a walk.
    pub fn walk_is_due(&self, now: Moment) -> bool {
        [self.walk_at, self.walk_again_at].into_iter().flatten().any(|at| at <= now)
    }

    /// Begins to tell of all devices that are there.
    pub fn walk(&mut self, now: Moment) {
        self.walking = true;
        self.walk_at = None;
        self.walk_again_at = self.walk_again_at.filter(|at| *at > now);
        for device in self.services.iter_mut().flat_map(|service| &mut service.devices) {
            device.seen = false;
        }
    }

    /// `service` matches this device.
    pub fn present(&mut self, now: Moment, service: usize, path: &[u8], instance: u64) {
        let pace = self.pace;
        let service = &mut self.services[service];
        if self.walking
            && let Some(gone) = service.gone(now, path, instance)
        {
            // Its folder is what is left of it.
            self.walk_again_at = self.walk_again_at.max(Some(gone + GOING_MAX));
            return;
        }
        service.present(now, &pace, path, instance);
    }

    /// No device at `path` matches `service`, or none is there any more.
    pub fn absent(&mut self, now: Moment, service: usize, path: &[u8]) {
        let pace = self.pace;
        self.services[service].remove(now, &pace, |device| *device.path == *path);
    }

    /// The device at `path` is gone, and all below it.
    pub fn removed(&mut self, now: Moment, path: &[u8]) {
        let pace = self.pace;
        for service in &mut self.services {
            service.note_gone(now, path);
            service.remove(now, &pace, |device| below(&device.path, path).is_some());
        }
    }

    /// A device is elsewhere now, and all below it.
    pub fn moved(&mut self, old: &[u8], new: &[u8]) {
        for service in &mut self.services {
            let served = service.served.as_ref().map(|(path, _)| path);
            service.outdated |= served.is_some_and(|path| below(path, old).is_some());
            let served = service.served.iter_mut().map(|(path, _)| path);
            for path in service.devices.iter_mut().map(|device| &mut device.path).chain(served) {
                if let Some(rest) = below(path, old) {
                    *path = [new, rest].concat().into();
                }
            }
        }
    }

    /// All devices were told of.
    pub fn walk_ended(&mut self, now: Moment) {
        let pace = self.pace;
        (self.walked, self.walking) = (true, false);
        for service in &mut self.services {
            service.remove_unseen(now, &pace, |device| !device.seen);
        }
    }

    /// How many services there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// The devices that match `service`.
    pub fn devices(&self, service: usize) -> &[Device] {
        &self.services[service].devices
    }

    /// The device that is served.
    pub fn served(&self, service: usize) -> Option<&[u8]> {
        self.services[service].served.as_ref().map(|(path, _)| &**path)
    }

    /// Something about this device is otherwise now.
    pub fn changed(&mut self, path: &[u8]) {
        for service in &mut self.services {
            service.outdated |=
                service.served.as_ref().is_some_and(|(served, _)| **served == *path);
        }
    }

    pub fn condition(&self, now: Moment, service: usize) -> Condition<'_> {
        let service = &self.services[service];
        let device = service.serving().or(service.devices.first());
        let (count, since) = (service.devices.len(), service.since);
        Condition { device, count, since, waits: service.waits(now) }
    }

    /// The manager says how a service is.
    pub fn told(&mut self, now: Moment, service: usize, told: Told) {
        let pace = self.pace;
        let service = &mut self.services[service];
        let before = service.told.replace(told);
        let asked = service.asked;
        service.asked = asked.filter(|asked| !asked.is_over(told.up));
        if let Some(before) = before
            && asked.is_none()
        {
            let fell = (before.up || before.goal) && !told.up && (told.goal || told.trouble);
            if before.goal != told.goal && !fell {
                // Not by us, or it would be asked for.
                service.by_hand = told.goal == service.devices.is_empty();
            } else if fell && before != told {
                service.failed(now, &pace);
            }
        }
        if told.up {
            service.up_since.get_or_insert(now);
        }
    }

    /// Whether all is known that there is to know, and was acted upon.
    pub fn is_ready(&self) -> bool {
        self.walked && self.services.iter().all(|service| service.told.is_some())
    }

    /// Whose request this is, unless another took its place.
    pub fn asked_by(&self, id: u32) -> Option<usize> {
        let asked =
            |service: &Service| id != 0 && service.asked.is_some_and(|asked| asked.id == id);
        self.services.iter().position(asked)
    }

    /// A request has ended.
    pub fn ended(&mut self, now: Moment, id: u32, ok: bool) {
        let pace = self.pace;
        // An older one was overtaken by what was asked since.
        let Some(at) = self.asked_by(id) else { return };
        let service = &mut self.services[at];
        let Some(asked) = service.asked.take() else { return };
        if !ok {
            service.failed(now, &pace);
            return;
        }
        service.asked = asked.granted(now, service.told.is_some_and(|told| told.up));
        service.up_since = asked.wants_up().then_some(now);
    }

    /// The manager is another one: what was asked is forgotten, and it will say how things are.
    pub fn again(&mut self) {
        for service in &mut self.services {
            (service.asked, service.told) = (None, None);
        }
    }

    /// What is to be done now.
    pub fn decide(&mut self, now: Moment, orders: &mut Vec<Order>) {
        if !self.walked {
            return;
        }
        for (at, service) in self.services.iter_mut().enumerate() {
            if let Some(wish) = service.decide(now, at, orders) {
                let id = self.next_id;
                self.next_id = id.wrapping_add(1).max(1);
                service.asked = Some(Asked::new(now, id, wish));
                orders.push(Order::Ask { id, wish, service: at });
            }
            let (served, waits) =
                (service.serving().or(service.devices.first()), service.waits(now));
            let now_said =
                (served.map(|d| (d.path.clone(), d.instance)), service.devices.len(), waits);
            if service.said.as_ref() != Some(&now_said) {
                service.said = Some(now_said);
                orders.push(Order::Say { service: at });
            }
        }
    }

    /// When there is something to be done that no news tells.
    pub fn deadline(&self) -> Option<Moment> {
        let walks = [self.walk_at, self.walk_again_at].into_iter().flatten();
        let services = self.services.iter().filter(|_| self.walked).filter_map(Service::deadline);
        walks.chain(services).min()
    }

    /// The services that are, or come, up: those that end with a controller that is taken down.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let services = self.services.iter().enumerate();
        services.filter(|(_, service)| service.is_or_comes_up()).map(|(at, _)| at)
    }
}

impl Service {
    fn present(&mut self, now: Moment, pace: &Pace, path: &[u8], instance: u64) {
        if let Some(known) = self.devices.iter_mut().find(|device| *device.path == *path) {
            known.seen = true;
            if known.instance == instance {
                return;
            }
            self.remove_unseen(now, pace, |device| *device.path == *path);
        }
        if self.devices.is_empty() {
            self.came(now, pace);
        }
        if self.devices.len() < DEVICES_OF_A_RULE_MAX {
            self.devices.push(Device { path: path.into(), instance, since: now, seen: true });
        }
    }

    /// From none to one.
    fn came(&mut self, now: Moment, pace: &Pace) {
        if now.since(self.since) >= pace.healthy {
            self.flaps = 0;
        }
        // Twice is a person who plugs something in again.
        let wait = doubled(pace.hold, self.flaps.saturating_sub(1), pace.hold_max);
        self.hold_until = now + wait;
        (self.since, self.by_hand) = (now, false);
        (self.failures, self.retry_at) = (0, now);
    }

    fn remove(&mut self, now: Moment, pace: &Pace, gone: impl Fn(&Device) -> bool) {
        let before = self.devices.len();
        self.devices.retain(|device| !gone(device));
        if before == 0 || !self.devices.is_empty() {
            return;
        }
        self.flaps = if now.since(self.since) < pace.healthy { self.flaps + 1 } else { 0 };
        (self.since, self.by_hand, self.emptied) = (now, false, true);
        (self.failures, self.retry_at) = (0, now);
    }

    /// Nobody saw them go, nor whether there was always another.
    fn remove_unseen(&mut self, now: Moment, pace: &Pace, gone: impl Fn(&Device) -> bool) {
        self.emptied |= self.serving().is_some_and(&gone);
        self.remove(now, pace, gone);
    }

    fn note_gone(&mut self, now: Moment, path: &[u8]) {
        if !self.gone.is_empty() {
            self.gone.retain(|(_, _, at)| now < *at + GOING_MAX);
        }
        for device in self.devices.iter().filter(|device| below(&device.path, path).is_some()) {
            self.gone.push((device.path.clone(), device.instance, now));
        }
    }

    /// When the kernel has said that this device goes, if it has just said so.
    fn gone(&self, now: Moment, path: &[u8], instance: u64) -> Option<Moment> {
        let mut gone = self.gone.iter().rev();
        let (_, _, at) = gone.find(|(p, i, _)| **p == *path && *i == instance)?;
        (now < *at + GOING_MAX).then_some(*at)
    }

    fn serving(&self) -> Option<&Device> {
        let (path, instance) = self.served.as_ref()?;
        self.devices.iter().find(|d| d.path == *path && d.instance == *instance)
    }

    /// The first device that has been there long enough.
    fn settled(&self, now: Moment) -> Option<&Device> {
        self.devices.iter().find(|device| now >= device.since + self.settle)
    }

    fn is_or_comes_up(&self) -> bool {
        self.told.is_some_and(|told| told.up || told.goal)
            || self.asked.is_some_and(|asked| asked.wants_up())
    }

    fn failed(&mut self, now: Moment, pace: &Pace) {
        let was_up = self.up_since.take().map(|since| now.since(since));
        if was_up.is_some_and(|time| time >= pace.healthy) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + doubled(pace.retry, self.failures, pace.retry_max);
    }

    fn decide(&mut self, now: Moment, at: usize, orders: &mut Vec<Order>) -> Option<Wish> {
        let told = self.told?;
        self.asked = self.asked.filter(|asked| now < asked.until);
        let coming = self.asked.map(|asked| asked.wish);
        if self.devices.is_empty() {
            if self.served.take().is_some() {
                orders.push(Order::Withdraw { service: at });
            }
            let down = !(told.up || told.goal) && coming.is_none() || coming == Some(Wish::Down);
            let late = coming.is_some() || now >= self.retry_at;
            return (!down && late && !self.by_hand).then_some(Wish::Down);
        }
        if self.serving().is_some() {
            // What looked like its end was older news.
            self.emptied = false;
            if core::mem::take(&mut self.outdated) {
                orders.push(Order::Publish { service: at });
            }
        }
        match coming {
            Some(Wish::Up) if self.serving().is_none() => {
                // What starts there starts for a device that is gone.
                if !self.emptied && !self.restart_when_replaced {
                    self.serve(now, at, orders);
                }
                self.emptied.then_some(Wish::Down)
            }
            Some(Wish::Up) => None,
            Some(Wish::Down) => None,
            None if told.up => match self.served {
                None => {
                    self.serve(now, at, orders);
                    None
                }
                Some(_) => self.replace(now, at, orders),
            },
            // It is being started for a device that is gone.
            None if told.goal && self.emptied && self.served.is_some() => Some(Wish::Down),
            None if self.by_hand || now < self.start_at() => None,
            None => {
                self.serve(now, at, orders);
                Some(Wish::Up)
            }
        }
    }

    /// Serves another device where the one that was served is gone.
    fn replace(&mut self, now: Moment, at: usize, orders: &mut Vec<Order>) -> Option<Wish> {
        if self.serving().is_some() {
            return None;
        }
        if self.emptied || self.restart_when_replaced {
            // It comes up again for the other one. Down first: its outputs end with it.
            let now = self.emptied || now >= self.start_at();
            return now.then_some(Wish::Down);
        }
        self.serve(now, at, orders);
        None
    }

    fn serve(&mut self, now: Moment, at: usize, orders: &mut Vec<Order>) {
        let device = self.settled(now).or(self.devices.first());
        self.served = device.map(|device| (device.path.clone(), device.instance));
        (self.emptied, self.outdated) = (false, false);
        orders.push(Order::Publish { service: at });
    }

    /// Before that it is not started.
    fn start_at(&self) -> Moment {
        let settled = self.devices.iter().map(|device| device.since + self.settle).min();
        settled.unwrap_or(self.since).max(self.hold_until).max(self.retry_at)
    }

    fn waits(&self, now: Moment) -> Option<Wait> {
        let told = self.told?;
        if self.devices.is_empty() || told.up || self.asked.is_some() {
            None
        } else if self.by_hand {
            Some(Wait::TakenDown)
        } else if now < self.retry_at {
            Some(Wait::Failed(self.failures))
        } else if now < self.hold_until {
            Some(Wait::Flapping)
        } else if now < self.start_at() {
            Some(Wait::Settling)
        } else {
            None
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let told = self.told?;
        if let Some(asked) = self.asked {
            return Some(asked.until);
        }
        if self.by_hand {
            return None;
        }
        let up = told.up || told.goal;
        if self.devices.is_empty() {
            return up.then_some(self.retry_at);
        }
        let stale = self.served.is_some() && self.serving().is_none();
        (!told.up || stale).then(|| self.start_at())
    }
}

/// What of `path` lies below `parent`: the rest, with its slash; nothing where it is the same.
fn below<'a>(path: &'a [u8], parent: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(parent)?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

#[cfg(test)]
mod tests;
