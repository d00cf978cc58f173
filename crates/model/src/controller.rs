//! What controllers are told: whom they control, and when.
//!
//! A controller is a longrun whose source directory has a file `controller`
//! (its kind, and settings) and a folder `controls.d` with a file for each
//! service that it controls. The compiler reads all of them, so that a
//! controller only starts with settings that mean something.

use alloc::string::String;
use core::fmt;

pub mod check;
pub mod settings;

pub use settings::{Setting, Settings};

/// What a controller goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Devices that come and go.
    Hotplug = 1,
    /// One service of several, in turn.
    RoundRobin = 2,
    /// Whether a service does what it should.
    HealthCheck = 3,
    /// A program of the user's own; its settings are its own business.
    Other = 4,
}

impl Kind {
    pub const ALL: [(&'static str, Self); 4] = [
        ("hotplug", Self::Hotplug),
        ("round-robin", Self::RoundRobin),
        ("health-check", Self::HealthCheck),
        ("other", Self::Other),
    ];

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }
}

/// Which of a controller's files something is wrong in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `controller`.
    Own,
    /// The file in `controls.d` of the service with this place in the list.
    Controlled(usize),
}

/// What is wrong in the settings of a controller, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub place: Place,
    /// Counted from 1; 0 where no line is meant.
    pub line: u32,
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
