//! `ward hotplug`: a controller of services that are there for devices.

use std::io::{self, Write};
use std::path::Path;

use cli::{Args, Command, Exit, Failure};
use engine::controller::Wish;
use engine::controller::hotplug::{Hotplug, Order, Told, Wait};
use model::controller::Kind;
use model::controller::device_event::{DeviceEvent, changed_links};
use model::controller::rule::{self, Rule, Rules};
use model::limits::DEVICE_MESSAGE_BYTES_MAX;
use model::time::Moment;
use os::clock;
use os::controller::device_outputs;
use os::controller::devices::Devices;
use os::controller::kernel_events::{KernelEvents, Received};
use os::controller::manager_link::{Condition, ManagerLink, News, Verb};
use os::event_loop::{EventLoop, Readiness};
use os::service::outputs::Outputs;

use super::controllers::{self, Start};

pub const COMMAND: Command = Command {
    name: "hotplug",
    summary: "Keep services up while their devices are there, as a service",
    usage: "ward hotplug [-l LIVE] NAME",
    options: controllers::OPTIONS,
    about: "\
NAME is the controller's own name. Its source directory has a file `controller` that begins with \
`kind hotplug`, and a file for each service in `controls.d` that says which devices it is there \
for (docs/formats/controllers.md).

It listens to the kernel, goes through /sys, and then has each service up exactly while at least \
one device matches its rule. Where messages of the kernel are lost, it goes through /sys again. A \
service that fails to start is started again, ever more seldom; one whose device comes and goes \
starts once that has stayed for a while.

Exit codes: 100 wrong usage; 111 the system refused.",
    run,
};

const MANAGER: u64 = 0;
const DEVICES: u64 = 1;
const LINKS: u64 = 2;

/// Messages of the kernel between two looks at everything else.
const TURN_MAX: usize = 256;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let start = Start::new(args, Kind::Hotplug)?;
    os::service::process::set_name(c"ward-hotplug");
    let controlled = start.controlled();
    let rules = rule::parse(start.own(), &controlled).map_err(|wrong| start.wrong(&wrong))?;
    let names: Vec<&str> = controlled.iter().map(|(name, _)| *name).collect();
    let refused =
        |error: io::Error| Failure::refused(format!("cannot listen to the kernel: {error}"));
    // What happens from here on is in the messages; what was before is found by the walk.
    let devices = KernelEvents::of_devices().map_err(refused)?;
    let links = rules.rules.iter().any(Rule::asks_for_carrier);
    let links = links.then(KernelEvents::of_links).transpose().map_err(refused)?;
    let events = EventLoop::new().map_err(Failure::refused)?;
    let link = start.link()?;
    let watched = events.add(link.descriptor(), MANAGER, Readiness::IN).and_then(|()| {
        events.add(&devices, DEVICES, Readiness::IN)?;
        links.iter().try_for_each(|links| events.add(links, LINKS, Readiness::IN))
    });
    watched.map_err(Failure::refused)?;
    let machine = Hotplug::new(clock::now(), &rules);
    let mut program = Program {
        start: &start,
        rules: &rules,
        table: Devices::new(Path::new(SYS), &rules.rules),
        whys: vec![String::new(); names.len()],
        names,
        machine,
        link,
        outputs: Outputs::of(&start.live),
        kernel: [Some(devices), links],
        ready: false,
    };
    program.adopt();
    program.run(events).map_err(|error| Failure::refused(format!("cannot go on: {error}")))?;
    Ok(Exit::DONE)
}

const SYS: &str = "/sys";
const DEV: &str = "/dev";

struct Program<'a> {
    start: &'a Start,
    names: Vec<&'a str>,
    rules: &'a Rules,
    table: Devices<'a>,
    machine: Hotplug,
    link: ManagerLink,
    outputs: Outputs,
    /// Messages about devices, and about links where a rule asks for them.
    kernel: [Option<KernelEvents>; 2],
    ready: bool,
    /// Why each service did not start the last time.
    whys: Vec<String>,
}

impl Program<'_> {
    fn run(&mut self, mut events: EventLoop) -> io::Result<()> {
        let mut orders = Vec::new();
        loop {
            // Whatever came before it was subscribed is found by the first walk.
            self.hear_kernel()?;
            let now = clock::now();
            if self.machine.walk_is_due(now) {
                self.table.walk(now, &mut self.machine);
            }
            self.link.tick();
            self.hear_manager();
            let now = clock::now();
            self.machine.decide(now, &mut orders);
            for order in orders.drain(..) {
                self.obey(now, order);
            }
            if !self.ready && self.machine.is_ready() {
                self.ready = true;
                self.start.ready();
            }
            let deadlines = [self.machine.deadline(), self.link.deadline()];
            events.wait(deadlines.into_iter().flatten().min())?;
        }
    }

    /// Goes on with what the controller before this one has begun.
    fn adopt(&mut self) {
        for (at, name) in self.names.iter().enumerate() {
            if let Some((path, instance)) = self.told_before(name) {
                self.machine.adopt(at, &path, instance);
            } else if let Some(link) = &self.rules.rules[at].link {
                self.set_link(at, link, None);
            }
        }
    }

    /// The device that a service was told of.
    fn told_before(&self, service: &str) -> Option<(Vec<u8>, u64)> {
        let get = |key| self.outputs.get(service, key).ok().flatten();
        let instance = String::from_utf8(get(device_outputs::INSTANCE)?).ok()?.parse().ok()?;
        Some((get(device_outputs::PATH)?, instance))
    }

    fn hear_kernel(&mut self) -> io::Result<()> {
        let mut buffer = [0; DEVICE_MESSAGE_BYTES_MAX];
        for (at, kernel) in self.kernel.iter().enumerate() {
            let Some(kernel) = kernel else { continue };
            for _ in 0..TURN_MAX {
                let now = clock::now();
                match kernel.read(&mut buffer)? {
                    Received::Message(length) if at == 0 => {
                        let Some(event) = DeviceEvent::read(&buffer[..length]) else { continue };
                        if self.table.hear(now, &mut self.machine, &event) {
                            self.machine.lost(now);
                        }
                        self.machine.changed(event.path);
                    }
                    Received::Message(length) => {
                        for name in changed_links(&buffer[..length]) {
                            self.table.hear_link(now, &mut self.machine, name);
                        }
                    }
                    Received::Lost => self.machine.lost(now),
                    Received::Nothing => break,
                }
            }
        }
        Ok(())
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
                    self.link.watch(&self.names);
                    (0..self.names.len()).for_each(|service| self.say(now, service));
                }
                News::State(state) => {
                    let Some(at) = self.names.iter().position(|name| *name == state.service) else {
                        continue;
                    };
                    let (up, goal, trouble) = (state.up, state.goal, state.trouble.is_some());
                    self.machine.told(now, at, Told { up, goal, trouble });
                }
                News::Ended { id, ok, why } => {
                    if !ok && let Some(at) = self.machine.asked_by(id) {
                        eprintln!("{} is not as it should be: {why}", self.names[at]);
                        self.whys[at] = why;
                    }
                    self.machine.ended(now, id, ok);
                }
            }
        }
    }

    fn obey(&mut self, now: Moment, order: Order) {
        match order {
            Order::Publish { service } => self.publish(service),
            Order::Withdraw { service } => {
                if let Some(link) = &self.rules.rules[service].link {
                    self.set_link(service, link, None);
                }
            }
            Order::Say { service } => self.say(now, service),
            Order::Ask { id, wish, service } => {
                let device = self.machine.served(service).map(String::from_utf8_lossy);
                let (verb, because) = match (wish, device) {
                    (Wish::Down, _) if self.machine.devices(service).is_empty() => {
                        (Verb::Down, "no device matches".to_owned())
                    }
                    (Wish::Down, _) => (Verb::Down, "its device is another one now".to_owned()),
                    (Wish::Up, device) => {
                        (Verb::Up, format!("{} is there", device.unwrap_or_default()))
                    }
                };
                self.link.ask(id, verb, self.names[service], &because);
            }
        }
    }

    fn publish(&self, service: usize) {
        let Some(path) = self.machine.served(service) else { return };
        // It is gone again, which a message says in a moment.
        let Some(values) = device_outputs::values(Path::new(SYS), path) else { return };
        let name = self.names[service];
        if let Err(error) = device_outputs::publish(&self.outputs, name, &values) {
            eprintln!("cannot tell {name} about its device: {error}");
        }
        if let Some(link) = &self.rules.rules[service].link {
            let node = values.iter().find(|(name, _)| *name == "devname");
            self.set_link(service, link, node.map(|(_, node)| &node[..]));
        }
    }

    fn set_link(&self, service: usize, link: &str, node: Option<&[u8]>) {
        if let Err(error) = device_outputs::link(Path::new(DEV), link, node) {
            eprintln!("cannot set the link {DEV}/{link} of {}: {error}", self.names[service]);
        }
    }

    /// Tells people what it goes by.
    fn say(&mut self, now: Moment, service: usize) {
        let found = self.machine.condition(now, service);
        let path = found.device.map(|device| String::from_utf8_lossy(&device.path).into_owned());
        let device = match (path, found.count) {
            (None, _) => "none matches".to_owned(),
            (Some(path), 1) => path,
            (Some(path), count) => format!("{path}, and {} more", count - 1),
        };
        let why = &self.whys[service];
        let waits = found.waits.map(|wait| match wait {
            Wait::Settling => "the device has just come".to_owned(),
            Wait::Flapping => "the device comes and goes; it has to stay for a while".to_owned(),
            Wait::TakenDown => "taken down by request, until the device comes anew".to_owned(),
            Wait::Failed(1) => format!("failed, tried again soon: {why}"),
            Wait::Failed(times) => format!("failed {times} times, tried again: {why}"),
        });
        let (holds, since) = (found.device.is_some(), found.since);
        let mut conditions = vec![Condition { label: "device", value: &device, holds, since }];
        if let Some(waits) = &waits {
            conditions.push(Condition { label: "start", value: waits, holds: false, since: now });
        }
        self.link.conditions(self.names[service], &conditions);
    }
}
