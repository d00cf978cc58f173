//! The dependency graph: from what is wanted to the next orders.
//!
//! Every service has a goal (up or down), what it actually is, and perhaps a
//! deadline. It starts once all that it needs is up, and stops once nothing
//! that needs it is up any more. Requests only set goals and wait: there is no
//! lock, a newer request wins over an older one for the same service, and a
//! service that is stuck delays nobody but those that need it.
//!
//! All that must outlive the manager is in one byte per service
//! ([`model::service::live_state`]) and in init. What init tells of a service
//! always holds everything, so the machine compares it with what it wants
//! rather than counting events.

use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use model::service::database::{Index, Script};
use model::service::reason::Reason;
use model::service::request::SlotState;
use model::time::Moment;

mod controlled;
pub mod graph;
mod links;
mod pursue;
mod reactions;
mod requests;
mod resume;
mod script;
mod turn;
mod unit;
mod wants;

pub use graph::{Along, Graph, Set};
pub use unit::Actual;

use links::Link;
use requests::Request;
use unit::Unit;

/// What happens to the manager.
#[derive(Clone, Debug)]
pub enum Event {
    /// Init holds this service.
    Slot { service: Index },
    /// How init says it is.
    State { service: Index, state: SlotState },
    /// Init has told of everything.
    Welcome,
    /// The connection to init is gone.
    Lost,
    /// Init ends: bring everything down, then say [`Action::AllDown`].
    StopAll,
    /// A client wants something.
    Ask(Ask),
    /// A client has gone: what was not begun for it alone is left undone.
    Gone { client: u32 },
    /// A service publishes something else than before.
    Published { service: Index },
    /// The deadline has come.
    Tick,
}

/// What a client wants of some services.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Whose request it is, and which of theirs.
    pub client: u32,
    pub id: u32,
    /// The process that asks: others are told who won over them.
    pub pid: u32,
    pub verb: Verb,
    /// Bring all others to the opposite state.
    pub prune: bool,
    /// Add everything that is up to `services`.
    pub all: bool,
    /// It is told of every step, not only of failures.
    pub detail: bool,
    /// Longruns and oneshots, bundles resolved.
    pub services: Vec<Index>,
    /// Others that only bundles stand for: of these, what is up to controllers
    /// is left to them.
    pub bundled: Vec<Index>,
    /// The controller that asks.
    pub controller: Option<Index>,
    /// Start also what needs `services` and waits only for them.
    pub users: bool,
    /// When to give up.
    pub limit: Option<Duration>,
    /// When the client first asked: a restart that was finished since then is
    /// not done twice when a request is repeated.
    pub since: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Up,
    /// The same for what was up before: nobody asks for it by name now.
    UpAgain,
    /// Essential services are spared unless they are included.
    Down {
        essential: bool,
    },
    /// The same, essential or not, for those that come back: what a controller
    /// starts stays up.
    DownForNow,
    /// Stop and start again, with what needs it and is up.
    Restart,
    Reload,
}

/// What a request is told of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It was ordered to start, stop or reload.
    Starting,
    Stopping,
    /// It is so.
    Up,
    Down,
    Reloaded,
    /// It is essential and stays up.
    Spared,
    /// It will not become what was asked for.
    Failed(Reason<Index>),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// So many services are not as they were asked to be.
    Failed(u32),
    /// Its time was over.
    TimedOut,
}

/// What the manager wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store the state byte of a service. Orders that come after it must not
    /// be given before it is stored.
    Store {
        service: Index,
        byte: u8,
    },
    Want {
        service: Index,
        up: bool,
        ticket: u32,
    },
    Run {
        service: Index,
        script: Script,
        ticket: u32,
    },
    Signal {
        service: Index,
        signal: u8,
    },
    Tell {
        client: u32,
        id: u32,
        service: Index,
        news: News,
    },
    /// The newest request is the manager's own: a service is restarted or told
    /// because something that it needs has changed.
    Reacts {
        service: Index,
        need: Index,
        /// The place of that request.
        order: u32,
    },
    Ended {
        client: u32,
        id: u32,
        outcome: Outcome,
    },
    /// The answer to [`Event::StopAll`].
    AllDown,
}

/// The client that [`Event::StopAll`] counts as.
const INIT: u32 = u32::MAX;

/// The client that the manager's own requests count as.
const SELF: u32 = u32::MAX - 3;

/// How long a script has from SIGTERM to SIGKILL once its time is over.
const SCRIPT_KILL_WAIT: Duration = Duration::from_secs(2);

/// The graph and all that is going on in it.
pub struct Manager {
    graph: Graph,
    units: Vec<Unit>,
    /// Services whose next step is to be decided.
    work: VecDeque<Index>,
    /// Requests that may have nothing to wait for any more.
    finished: Vec<u32>,
    timers: BinaryHeap<Reverse<(Moment, Timer)>>,
    requests: Vec<Option<Request>>,
    links: Vec<Link>,
    free_link: u32,
    /// Counts requests: the higher number is the newer one.
    newest: u32,
    /// The ticket of the last order about a longrun.
    last_order: u32,
    connected: bool,
    /// Init has told of everything once.
    resumed: bool,
    closing: Closing,
    actions: Vec<Action>,
    now: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Service(Index),
    Request(u32),
}

/// Whether init has said that the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Stopping,
    Done,
}

impl Manager {
    /// Takes up the work where the state bytes say it was left; a byte that
    /// is missing counts as 0. Nothing is ordered before [`Event::Welcome`].
    pub fn new(graph: Graph, bytes: &[u8]) -> Self {
        let mut manager = Self {
            units: Vec::with_capacity(graph.len()),
            graph,
            work: VecDeque::new(),
            finished: Vec::new(),
            timers: BinaryHeap::new(),
            requests: Vec::new(),
            links: Vec::new(),
            free_link: links::NONE,
            newest: 0,
            last_order: 0,
            connected: false,
            resumed: false,
            closing: Closing::No,
            actions: Vec::new(),
            now: Moment::ZERO,
        };
        manager.restore(bytes);
        manager
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes one event. What it leads to is added to `actions`, in order.
    /// Several events may come before the actions are carried out.
    pub fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        self.now = now;
        self.actions = core::mem::take(actions);
        match event {
            Event::Slot { service } => self.slot(service),
            Event::State { service, state } => self.observe(service, state),
            Event::Welcome => self.welcome(),
            Event::Lost => self.lost(),
            Event::StopAll => self.stop_all(),
            Event::Ask(ask) => self.ask(ask),
            Event::Gone { client } => self.gone(client),
            Event::Published { service } => self.published(service),
            Event::Tick => self.expire(),
        }
        self.turn();
        *actions = core::mem::take(&mut self.actions);
    }

    /// When to call with [`Event::Tick`].
    pub fn deadline(&mut self) -> Option<Moment> {
        while let Some(&Reverse((at, timer))) = self.timers.peek() {
            if self.is_current(at, timer) {
                return Some(at);
            }
            self.timers.pop();
        }
        None
    }

    /// What a service is, as far as the graph goes.
    pub fn actual(&self, service: Index) -> Actual {
        self.units[service as usize].actual
    }

    /// What init last said of it; `None`: init does not hold it.
    pub fn state(&self, service: Index) -> Option<&SlotState> {
        let unit = &self.units[service as usize];
        unit.has_slot.then_some(&unit.state)
    }

    /// Whether it shall be up.
    pub fn goal(&self, service: Index) -> bool {
        self.units[service as usize].goal
    }

    /// `services`, and of what needs them whatever waits only for them: all
    /// that it needs is up, or among these. What is controlled is up to its
    /// controller.
    pub fn with_users(&self, services: &[Index]) -> Vec<Index> {
        let mut there = self.graph.closure(services, Along::Needs);
        for service in 0..self.graph.len() as Index {
            if self.units[service as usize].goal {
                there.insert(service);
            }
        }
        let mut found = services.to_vec();
        let mut next = 0;
        while let Some(&service) = found.get(next) {
            next += 1;
            for &user in self.graph.needed_by(service) {
                let needs = self.graph.needs(user);
                let waits = !there.contains(user) && !self.graph.is_controlled(user);
                if waits && needs.iter().all(|&need| there.contains(need)) {
                    there.insert(user);
                    found.push(user);
                }
            }
        }
        found
    }

    /// Why it last did not become what was asked for; forgotten once it does.
    pub fn trouble(&self, service: Index) -> Option<Reason<Index>> {
        self.units[service as usize].trouble
    }

    /// The place of the newest request in the order of all.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// The place of the newest request that said what it shall be; 0: none has.
    pub fn claim(&self, service: Index) -> u32 {
        self.units[service as usize].claim
    }

    /// When its starting or stopping is given up.
    pub fn limit(&self, service: Index) -> Option<Moment> {
        self.units[service as usize].deadline
    }

    /// Somebody asked for it to be down in a request that is newer than `order`.
    pub fn stopped_since(&self, service: Index, order: u32) -> bool {
        let unit = &self.units[service as usize];
        unit.claim > order && !unit.goal
    }

    /// The byte that the state file has for it.
    pub fn byte(&self, service: Index) -> u8 {
        self.units[service as usize].byte
    }

    /// Nobody waits for anything and nothing is under way.
    pub fn at_rest(&self) -> bool {
        self.work.is_empty()
            && self.requests.iter().all(Option::is_none)
            && self.units.iter().all(Unit::settled)
    }

    /// Whether init has told of everything since it was last connected.
    pub fn connected(&self) -> bool {
        self.connected
    }

    fn is_current(&self, at: Moment, timer: Timer) -> bool {
        match timer {
            Timer::Service(service) => {
                self.connected && self.units[service as usize].deadline == Some(at)
            }
            Timer::Request(place) => self
                .requests
                .get(place as usize)
                .and_then(Option::as_ref)
                .is_some_and(|request| request.deadline == Some(at)),
        }
    }

    /// Acts on every deadline that has come.
    fn expire(&mut self) {
        while let Some(at) = self.deadline()
            && at <= self.now
        {
            match self.timers.pop() {
                Some(Reverse((_, Timer::Service(service)))) => {
                    self.units[service as usize].deadline = None;
                    self.overdue(service);
                }
                Some(Reverse((_, Timer::Request(place)))) => self.give_up(place),
                None => break,
            }
            self.turn();
        }
    }

    /// Sets the deadline of a service `limit` from now; zero: none.
    fn set_deadline(&mut self, service: Index, limit: Duration) {
        let deadline = (limit != Duration::ZERO).then(|| self.now + limit);
        self.units[service as usize].deadline = deadline;
        if let Some(at) = deadline {
            self.add_timer(at, Timer::Service(service));
        }
    }

    fn add_timer(&mut self, at: Moment, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
        // Deadlines that were called off must not pile up.
        if self.timers.len() > 64 + 2 * (self.units.len() + self.requests.len()) {
            let all = core::mem::take(&mut self.timers).into_vec();
            let mut current: Vec<_> = all
                .into_iter()
                .filter(|Reverse((at, timer))| self.is_current(*at, *timer))
                .collect();
            current.sort_unstable();
            current.dedup();
            self.timers = current.into();
        }
    }
}
