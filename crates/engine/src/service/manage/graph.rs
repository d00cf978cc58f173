//! The needs of a database as two compact lists per service, and what can be
//! reached over them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use model::service::database::{Database, Index, Reaction, ReactionEntry, Script};

/// What the manager goes by of one service.
#[derive(Clone, Copy, Debug)]
struct Node {
    needs_at: u32,
    needed_by_at: u32,
    timeout_up: u32,
    timeout_down: u32,
    /// The controller that starts it, [`NOBODY`]: it is not controlled.
    starter: u32,
    reload_signal: u8,
    flags: u8,
}

const NOBODY: u32 = u32::MAX;

const LONGRUN: u8 = 1;
const NOTIFIES: u8 = 1 << 1;
const ESSENTIAL: u8 = 1 << 2;
const HAS_UP: u8 = 1 << 3;
const HAS_DOWN: u8 = 1 << 4;
const HAS_RELOAD: u8 = 1 << 5;
const CONTROLLER: u8 = 1 << 6;

/// Who needs whom, and the settings that a change goes by.
pub struct Graph {
    /// One more than there are services, so that the last has an end.
    nodes: Box<[Node]>,
    numbers: Box<[Index]>,
    /// By user. There are few.
    reactions: Box<[ReactionEntry]>,
}

/// Which way a closure goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// To what is needed.
    Needs,
    /// To what needs it.
    NeededBy,
}

impl From<&Database<'_>> for Graph {
    fn from(database: &Database<'_>) -> Self {
        let mut nodes = Vec::with_capacity(database.len() + 1);
        let mut numbers = Vec::new();
        for service in database.services() {
            let needs_at = numbers.len() as u32;
            numbers.extend(service.needs());
            let needed_by_at = numbers.len() as u32;
            numbers.extend(service.needed_by());
            let mut flags = if service.essential() { ESSENTIAL } else { 0 };
            let mut reload_signal = 0;
            if let Some(longrun) = service.longrun() {
                flags |= LONGRUN;
                flags |= if longrun.notification_fd.is_some() { NOTIFIES } else { 0 };
                reload_signal = longrun.reload_signal;
            } else {
                let has = |script| service.script(script).is_some_and(|mut w| w.next().is_some());
                flags |= if has(Script::Up) { HAS_UP } else { 0 };
                flags |= if has(Script::Down) { HAS_DOWN } else { 0 };
                flags |= if service.script(Script::Reload).is_some() { HAS_RELOAD } else { 0 };
            }
            flags |= if service.controller().is_some() { CONTROLLER } else { 0 };
            nodes.push(Node {
                needs_at,
                needed_by_at,
                starter: service.started_by().unwrap_or(NOBODY),
                timeout_up: millis(service.timeout_up()),
                timeout_down: millis(service.timeout_down()),
                reload_signal,
                flags,
            });
        }
        let end = numbers.len() as u32;
        nodes.push(Node {
            needs_at: end,
            needed_by_at: end,
            starter: NOBODY,
            timeout_up: 0,
            timeout_down: 0,
            reload_signal: 0,
            flags: 0,
        });
        let reactions = database.reactions().collect();
        Self { nodes: nodes.into(), numbers: numbers.into(), reactions }
    }
}

impl Graph {
    pub fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn node(&self, index: Index) -> &Node {
        &self.nodes[index as usize]
    }

    /// What `index` needs itself.
    pub fn needs(&self, index: Index) -> &[Index] {
        let node = self.node(index);
        &self.numbers[node.needs_at as usize..node.needed_by_at as usize]
    }

    /// What needs `index` itself.
    pub fn needed_by(&self, index: Index) -> &[Index] {
        let end = self.node(index + 1).needs_at as usize;
        &self.numbers[self.node(index).needed_by_at as usize..end]
    }

    pub fn next(&self, index: Index, along: Along) -> &[Index] {
        match along {
            Along::Needs => self.needs(index),
            Along::NeededBy => self.needed_by(index),
        }
    }

    /// The controller that starts `index`, if it is controlled.
    pub fn starter(&self, index: Index) -> Option<Index> {
        let starter = self.node(index).starter;
        (starter != NOBODY).then_some(starter)
    }

    /// It starts and stops when its controller says so.
    pub fn is_controlled(&self, index: Index) -> bool {
        self.node(index).starter != NOBODY
    }

    pub fn is_controller(&self, index: Index) -> bool {
        self.node(index).flags & CONTROLLER != 0
    }

    /// What is controlled and not `there`, with all that needs it.
    pub fn held_back(&self, there: impl Fn(Index) -> bool) -> Set {
        let absent: Vec<Index> = (0..self.len() as Index)
            .filter(|&index| self.is_controlled(index) && !there(index))
            .collect();
        self.closure(&absent, Along::NeededBy)
    }

    /// What is done when `need` runs afresh, and by whom.
    pub fn reactions(&self, need: Index) -> impl Iterator<Item = (Index, Reaction)> {
        let all = self.reactions.iter().filter(move |reaction| reaction.need == need);
        all.map(|reaction| (reaction.user, reaction.reaction))
    }

    pub fn is_longrun(&self, index: Index) -> bool {
        self.node(index).flags & LONGRUN != 0
    }

    /// It says itself when it is ready.
    pub fn notifies(&self, index: Index) -> bool {
        self.node(index).flags & NOTIFIES != 0
    }

    pub fn essential(&self, index: Index) -> bool {
        self.node(index).flags & ESSENTIAL != 0
    }

    /// A oneshot has something to run for this.
    pub fn has_script(&self, index: Index, script: Script) -> bool {
        let flag = match script {
            Script::Up => HAS_UP,
            Script::Down => HAS_DOWN,
            Script::Reload => HAS_RELOAD,
        };
        self.node(index).flags & flag != 0
    }

    pub fn reload_signal(&self, index: Index) -> u8 {
        self.node(index).reload_signal
    }

    /// Zero: no limit.
    pub fn timeout_up(&self, index: Index) -> Duration {
        Duration::from_millis(u64::from(self.node(index).timeout_up))
    }

    /// Zero: no limit.
    pub fn timeout_down(&self, index: Index) -> Duration {
        Duration::from_millis(u64::from(self.node(index).timeout_down))
    }

    /// `from` and all that can be reached from it, each once.
    pub fn closure(&self, from: &[Index], along: Along) -> Set {
        let mut set = Set::new(self.len());
        for &index in from {
            set.insert(index);
        }
        let mut next = 0;
        while let Some(&index) = set.members.get(next) {
            next += 1;
            for &other in self.next(index, along) {
                set.insert(other);
            }
        }
        set
    }

    /// What stops where `from` shall stop: with all that needs it, except
    /// essential services that are up, and what those need. The second set
    /// holds the essential services that were spared.
    pub fn stopping(&self, from: &[Index], up: impl Fn(Index) -> bool) -> (Set, Vec<Index>) {
        let set = self.closure(from, Along::NeededBy);
        let spared: Vec<Index> =
            set.members().iter().copied().filter(|&i| self.essential(i) && up(i)).collect();
        if spared.is_empty() {
            return (set, spared);
        }
        let kept = self.closure(&spared, Along::Needs);
        (set.without(&kept), spared)
    }

    /// All services but these.
    pub fn others(&self, set: &Set) -> Vec<Index> {
        (0..self.len() as Index).filter(|&i| !set.contains(i)).collect()
    }
}

/// Some of the services: quick to ask, and in the order they were put in.
pub struct Set {
    bits: Vec<u64>,
    members: Vec<Index>,
}

impl Set {
    /// An empty set of at most `len` services.
    pub fn new(len: usize) -> Self {
        Self { bits: vec![0; len.div_ceil(64)], members: Vec::new() }
    }

    pub fn contains(&self, index: Index) -> bool {
        self.bits.get(index as usize / 64).is_some_and(|bits| bits >> (index % 64) & 1 != 0)
    }

    pub fn insert(&mut self, index: Index) -> bool {
        let Some(bits) = self.bits.get_mut(index as usize / 64) else { return false };
        let new = *bits >> (index % 64) & 1 == 0;
        if new {
            *bits |= 1 << (index % 64);
            self.members.push(index);
        }
        new
    }

    pub fn members(&self) -> &[Index] {
        &self.members
    }

    pub fn into_members(self) -> Vec<Index> {
        self.members
    }

    pub fn without(self, other: &Self) -> Self {
        let mut left = Self { bits: vec![0; self.bits.len()], members: Vec::new() };
        for index in self.members {
            if !other.contains(index) {
                left.insert(index);
            }
        }
        left
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
