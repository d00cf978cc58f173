//! What a database says of controllers, and of services that are to know when
//! something that they need runs afresh.

use super::{ControllerKind, Database, Index, Service, u32_at};
use alloc::string::String;
use alloc::vec::Vec;

/// One controller of the file: service (4), kind (4), its text (8), the first
/// of the services that it controls (4), and how many there are (4).
pub(super) const CONTROLLER_BYTES: usize = 24;
/// Service (4), controller (4), text (8).
pub(super) const CONTROL_BYTES: usize = 16;
/// User (4), need (4), reaction (4).
pub(super) const REACTION_BYTES: usize = 12;

/// A longrun that says when others are up, as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerEntry {
    pub service: Index,
    pub kind: ControllerKind,
    /// The text of its file `controller`.
    pub own: String,
    /// Ascending, without repetition.
    pub controls: Vec<ControlEntry>,
}

/// A service that is controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlEntry {
    pub service: Index,
    /// What concerns it: the text of its file in `controls.d`.
    pub text: String,
}

/// `user` needs `need`, and does this when that runs afresh or says something
/// new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactionEntry {
    pub user: Index,
    pub need: Index,
    pub reaction: Reaction,
}

/// What a service does when something that it needs has been restarted by
/// itself, or publishes something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// Nothing, as it is with s6-rc.
    #[default]
    Ignore = 0,
    /// It is told: its reload signal, or its reload script.
    Notify = 1,
    /// It is restarted, with all that needs it.
    Restart = 2,
}

impl Reaction {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ignore" => Self::Ignore,
            "notify" => Self::Notify,
            "restart" => Self::Restart,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        ["ignore", "notify", "restart"][self as usize]
    }
}

/// A controller of a database.
#[derive(Clone, Copy)]
pub struct Controller<'a> {
    database: Database<'a>,
    at: usize,
}

impl<'a> Controller<'a> {
    /// The longrun that it is.
    pub fn service(&self) -> Service<'a> {
        self.database.service(u32_at(self.database.bytes, self.at))
    }

    pub fn kind(&self) -> ControllerKind {
        kind(u32_at(self.database.bytes, self.at + 4)).expect("opening checked every kind")
    }

    /// The text of its file `controller`.
    pub fn own(&self) -> &'a str {
        self.database.text(self.at + 8)
    }

    /// What it controls, ascending, each with the text that concerns it.
    pub fn controls(&self) -> impl ExactSizeIterator<Item = (Index, &'a str)> + use<'a> {
        let database = self.database;
        let first = u32_at(database.bytes, self.at + 16) as usize;
        let count = u32_at(database.bytes, self.at + 20) as usize;
        (first..first + count).map(move |number| {
            let at = database.parts.controls_at + number * CONTROL_BYTES;
            (u32_at(database.bytes, at), database.text(at + 8))
        })
    }

    /// It starts and stops this service, one of those that it controls.
    pub fn starts(&self, service: Index) -> bool {
        self.database.service(service).started_by() == Some(self.service().index())
    }

    pub(super) fn entry(&self) -> ControllerEntry {
        ControllerEntry {
            service: self.service().index(),
            kind: self.kind(),
            own: self.own().into(),
            controls: self
                .controls()
                .map(|(service, text)| ControlEntry { service, text: text.into() })
                .collect(),
        }
    }
}

impl<'a> Database<'a> {
    /// All controllers, by the numbers of their services.
    pub fn controllers(&self) -> impl ExactSizeIterator<Item = Controller<'a>> + use<'a> {
        let database = *self;
        (0..self.parts.controllers).map(move |number| {
            let at = database.parts.controllers_at + number * CONTROLLER_BYTES;
            Controller { database, at }
        })
    }

    /// By user, then by need; none where a need is ignored.
    pub fn reactions(&self) -> impl ExactSizeIterator<Item = ReactionEntry> + use<'a> {
        let database = *self;
        (0..self.parts.reactions).map(move |number| {
            let at = database.parts.reactions_at + number * REACTION_BYTES;
            let word = |offset| u32_at(database.bytes, at + offset);
            let reaction = if word(8) == 1 { Reaction::Notify } else { Reaction::Restart };
            ReactionEntry { user: word(0), need: word(4), reaction }
        })
    }

    pub(super) fn check_controllers(&self) -> Option<()> {
        let longruns = self.parts.longruns as u32;
        let services = self.parts.services as u32;
        let (mut last, mut controls) = (None, 0);
        for number in 0..self.parts.controllers {
            let at = self.parts.controllers_at + number * CONTROLLER_BYTES;
            let word = |offset| u32_at(self.bytes, at + offset);
            (word(0) < longruns && last.is_none_or(|last| last < word(0))).then_some(())?;
            last = Some(word(0));
            kind(word(4))?;
            self.checked_text(at + 8)?;
            (word(16) as usize == controls).then_some(())?;
            controls = controls.checked_add(word(20) as usize)?;
            (controls <= self.parts.controls).then_some(())?;
            let mut last = None;
            for control in controls - word(20) as usize..controls {
                let at = self.parts.controls_at + control * CONTROL_BYTES;
                let service = u32_at(self.bytes, at);
                (service < services && last.is_none_or(|last| last < service)).then_some(())?;
                last = Some(service);
                (u32_at(self.bytes, at + 4) == word(0)).then_some(())?;
                self.checked_text(at + 8)?;
            }
        }
        (controls == self.parts.controls).then_some(())?;
        let mut last = None;
        for number in 0..self.parts.reactions {
            let at = self.parts.reactions_at + number * REACTION_BYTES;
            let word = |offset| u32_at(self.bytes, at + offset);
            let edge = (word(0), word(4));
            (edge.0 < services && edge.1 < services).then_some(())?;
            (last.is_none_or(|last| last < edge) && matches!(word(8), 1 | 2)).then_some(())?;
            last = Some(edge);
        }
        Some(())
    }
}

impl<'a> Service<'a> {
    /// The controller that it is, if it is one.
    pub fn controller(&self) -> Option<Controller<'a>> {
        let (mut low, mut high) = (0, self.database.parts.controllers);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = self.database.parts.controllers_at + middle * CONTROLLER_BYTES;
            match u32_at(self.database.bytes, at).cmp(&self.index) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
                core::cmp::Ordering::Equal => {
                    return Some(Controller { database: self.database, at });
                }
            }
        }
        None
    }

    /// What it controls, each with the text that concerns it.
    pub fn controls(&self) -> impl Iterator<Item = (Index, &'a str)> + use<'a> {
        self.controller().into_iter().flat_map(|controller| controller.controls())
    }

    /// Its controllers. One of them starts it: [`Service::started_by`].
    pub fn controlled_by(&self) -> impl Iterator<Item = Controller<'a>> + use<'a> {
        let (database, index) = (self.database, self.index);
        (0..database.parts.controls).filter_map(move |number| {
            let at = database.parts.controls_at + number * CONTROL_BYTES;
            let controller = u32_at(database.bytes, at + 4);
            (u32_at(database.bytes, at) == index)
                .then(|| database.service(controller).controller())
                .flatten()
        })
    }

    /// The controller that starts it; `None`: it is not controlled.
    pub fn started_by(&self) -> Option<Index> {
        let starter = u32_at(self.database.bytes, self.at + 72);
        (starter != u32::MAX).then_some(starter)
    }
}

fn kind(number: u32) -> Option<ControllerKind> {
    ControllerKind::ALL.iter().map(|(_, kind)| *kind).find(|kind| *kind as u32 == number)
}
