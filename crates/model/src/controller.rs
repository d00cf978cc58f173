//! What controllers are told: whom they control, and when.
//!
//! A controller is a longrun whose source directory has a file `controller`
//! (its kind, and settings) and a folder `controls.d` with a file for each
//! service that it controls. The compiler reads all of them, so that a
//! controller only starts with settings that mean something.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub mod check;
pub mod device_event;
pub mod pattern;
pub mod rule;
pub mod settings;
pub mod uplink;

pub use settings::{Setting, Settings};

use crate::service::name::nearest;

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

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize - 1].0
    }

    /// It starts and stops what it controls; a health check only where no
    /// other controller does.
    pub fn starts(self) -> bool {
        self != Self::HealthCheck
    }
}

/// What kind of controller the text of a file `controller` speaks of: its
/// first setting.
///
/// # Errors
/// Why that cannot be told.
pub fn kind_of(own: &str) -> Result<Kind, Wrong> {
    let wrong = |line, what| Err(Wrong { place: Place::Own, line, what });
    let Some(first) = Settings::new(own).iter().next() else {
        return wrong(0, "it is empty; its first setting must be `kind`".into());
    };
    if first.key != "kind" {
        let what = format!("the first setting must be `kind`, and is `{}`", first.key);
        return wrong(first.line, what);
    }
    let known = || Kind::ALL.iter().map(|(name, _)| *name);
    match (Kind::parse(first.value), nearest(first.value, known())) {
        (Some(kind), _) => Ok(kind),
        (None, Some(near)) => {
            let what = format!("there is no kind `{}`; did you mean `{near}`?", first.value);
            wrong(first.line, what)
        }
        (None, None) => {
            let known: Vec<&str> = known().collect();
            let what =
                format!("there is no kind `{}`; there are {}", first.value, known.join(", "));
            wrong(first.line, what)
        }
    }
}

/// Everything that is wrong in the settings of a controller: its own, and
/// those of each service that it controls.
pub fn check_all(kind: Kind, own: &str, controlled: &[(&str, &str)]) -> Vec<Wrong> {
    // Each kind has a parser, whose mistakes these are.
    match kind {
        Kind::Hotplug => rule::parse(own, controlled).err().unwrap_or_default(),
        Kind::RoundRobin => uplink::parse(own, controlled).err().unwrap_or_default(),
        Kind::HealthCheck => check::parse(own, controlled).err().unwrap_or_default(),
        Kind::Other => Vec::new(),
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
