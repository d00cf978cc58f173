//! A trial: what was agreed on, how far it is, and what of it outlives a restart.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::deploy::fields::{Fields, Writing};
use crate::deploy::history::Number;
use crate::limits::{
    TRIAL_ATTEMPTS_MAX, TRIAL_BOOTS_MAX, TRIAL_DEADLINE_MAX, TRIAL_ID_BYTES_MAX, TRIAL_START_MAX,
    TRIAL_START_MIN,
};
use crate::time::Moment;

/// A trial that the next start shall go on with.
pub const PENDING: &str = "/boot/trial";

/// All about the trial that goes on, or the last one since the start.
pub const FOLDER: &str = "/run/trial";

/// How long a trial waits to be confirmed unless told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Whoever confirms a trial knows it by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    /// Letters, digits and `-`, at least 8 of them: nobody confirms by chance.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let fits = (8..=TRIAL_ID_BYTES_MAX).contains(&text.len());
        (plain && fits).then(|| Self(text.to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the new generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Services go over while the device runs.
    Live,
    /// The device has started with it.
    Started,
}

/// What was agreed on when a trial began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: Id,
    pub way: Way,
    pub number: Number,
    /// The generation on trial, and the one to go back to.
    pub new: String,
    pub old: String,
    pub deadline: Duration,
    /// Whether it waits for somebody to confirm it; otherwise it is kept once it is healthy.
    pub confirm: bool,
    pub by: String,
    pub began: Moment,
}

impl Plan {
    pub fn write(&self) -> String {
        let mut writing = Writing::default();
        let way = match self.way {
            Way::Live => "live",
            Way::Started => "started",
        };
        writing.put("id", &self.id).put("way", way).put("number", self.number);
        writing.put("new", &self.new).put("old", &self.old);
        writing.put("deadline", self.deadline.as_secs()).put("confirm", self.confirm);
        writing.put("by", &self.by).put("began", self.began.nanos()).end()
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::read(bytes)?;
        Some(Self {
            id: Id::parse(fields.first("id")?)?,
            way: match fields.first("way")? {
                "live" => Way::Live,
                "started" => Way::Started,
                _ => return None,
            },
            number: Number::parse(fields.first("number")?)?,
            new: path(fields.first("new")?)?,
            old: path(fields.first("old")?)?,
            deadline: deadline(fields)?,
            confirm: fields.number("confirm")?,
            by: fields.text("by"),
            began: Moment::from_nanos(fields.number("began")?),
        })
    }
}

fn path(text: &str) -> Option<String> {
    text.starts_with('/').then(|| text.to_string())
}

fn deadline(fields: Fields<'_>) -> Option<Duration> {
    let deadline = Duration::from_secs(fields.number("deadline")?);
    (deadline <= TRIAL_DEADLINE_MAX && !deadline.is_zero()).then_some(deadline)
}

/// A trial that goes over a restart: the file [`PENDING`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: Id,
    pub number: Number,
    pub new: String,
    pub deadline: Duration,
    /// How long a start of this device may take, before the deadline counts.
    pub start_max: Duration,
    pub confirm: bool,
    pub by: String,
    /// Starts that ended in a crash or a power cut, or go on. A restart that a person asks for
    /// takes its own away again.
    pub attempts: u32,
    /// All starts.
    pub boots: u32,
    /// Services that were up before: they have to come up again.
    pub up: Vec<String>,
}

/// What a start does about a pending trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Run the generation of the boot link.
    Plain,
    /// The same, and the trial is over: it was committed.
    Committed,
    /// The same, and the trial has failed.
    Failed { why: String },
    /// Write this down, and once that is safe run the generation on trial.
    Try(Pending),
}

impl Pending {
    pub fn write(&self) -> String {
        let mut writing = Writing::default();
        writing.put("id", &self.id).put("number", self.number).put("new", &self.new);
        writing.put("deadline", self.deadline.as_secs());
        writing.put("start-max", self.start_max.as_secs()).put("confirm", self.confirm);
        writing.put("by", &self.by);
        writing.put("attempts", self.attempts).put("boots", self.boots);
        for name in &self.up {
            writing.put("up", name);
        }
        writing.end()
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::read(bytes)?;
        Some(Self {
            id: Id::parse(fields.first("id")?)?,
            number: Number::parse(fields.first("number")?)?,
            new: path(fields.first("new")?)?,
            deadline: deadline(fields)?,
            start_max: Duration::from_secs(fields.number("start-max")?)
                .clamp(TRIAL_START_MIN, TRIAL_START_MAX),
            confirm: fields.number("confirm")?,
            by: fields.text("by"),
            attempts: fields.number("attempts")?,
            boots: fields.number("boots")?,
            up: fields.all("up").map(ToString::to_string).collect(),
        })
    }

    /// What a start of the generation `boot`, where the boot link leads, does about it.
    pub fn start(&self, boot: &str) -> Start {
        let tries = |count: u32| if count == 1 { "time" } else { "times" };
        if self.new == boot {
            return Start::Committed;
        }
        if self.attempts >= TRIAL_ATTEMPTS_MAX {
            let count = self.attempts;
            let why = format!(
                "it was started {count} {}, and each time the device fell or lost its power \
                 before anybody confirmed it",
                tries(count)
            );
            return Start::Failed { why };
        }
        if self.boots >= TRIAL_BOOTS_MAX {
            let count = self.boots;
            let why = format!("it was started {count} {} without being confirmed", tries(count));
            return Start::Failed { why };
        }
        let next = Self { attempts: self.attempts + 1, boots: self.boots + 1, ..self.clone() };
        Start::Try(next)
    }

    /// After the start that goes on was ended as a person wished.
    pub fn after_clean_end(&self) -> Self {
        Self { attempts: self.attempts.saturating_sub(1), ..self.clone() }
    }
}

/// How long a start may take on a device whose last one has taken so long.
pub fn start_max(last: Duration) -> Duration {
    last.saturating_mul(4).clamp(TRIAL_START_MIN, TRIAL_START_MAX)
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has changed yet.
    Beginning,
    /// The device goes over to the new generation.
    Switching,
    /// Services have to show that they work.
    Checking,
    /// All is well here; the host has to call.
    Awaiting,
    /// The boot link is being changed.
    Committing,
    Committed,
    /// The device goes back to the old generation.
    Returning,
    /// It is back.
    Returned,
    /// Going back did not work: the device restarts, and then runs the old generation.
    Restarting,
}

const PHASES: [(Phase, &str); 9] = [
    (Phase::Beginning, "beginning"),
    (Phase::Switching, "switching"),
    (Phase::Checking, "checking"),
    (Phase::Awaiting, "awaiting"),
    (Phase::Committing, "committing"),
    (Phase::Committed, "committed"),
    (Phase::Returning, "returning"),
    (Phase::Returned, "returned"),
    (Phase::Restarting, "restarting"),
];

impl Phase {
    pub fn name(self) -> &'static str {
        PHASES[self as usize].1
    }

    pub fn parse(text: &str) -> Option<Self> {
        PHASES.iter().find(|(_, name)| *name == text).map(|(phase, _)| *phase)
    }

    /// Nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Committed | Self::Returned)
    }
}

/// What of a trial outlives the process that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub since: Moment,
    /// When this phase has been going on for too long.
    pub until: Option<Moment>,
    /// How often its owner has begun this phase again after being killed.
    pub resumed: u32,
    /// It was confirmed before it was healthy.
    pub confirmed: bool,
    /// Why it goes back.
    pub reason: String,
    /// What did not go well, and does not count.
    pub warnings: Vec<String>,
}

impl Progress {
    pub fn new(now: Moment) -> Self {
        Self {
            phase: Phase::Beginning,
            since: now,
            until: None,
            resumed: 0,
            confirmed: false,
            reason: String::new(),
            warnings: Vec::new(),
        }
    }

    pub fn write(&self) -> String {
        let mut writing = Writing::default();
        writing.put("phase", self.phase.name()).put("since", self.since.nanos());
        if let Some(until) = self.until {
            writing.put("until", until.nanos());
        }
        writing.put("resumed", self.resumed).put("confirmed", self.confirmed);
        writing.put("reason", &self.reason);
        for warning in &self.warnings {
            writing.put("warning", warning);
        }
        writing.end()
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::read(bytes)?;
        Some(Self {
            phase: Phase::parse(fields.first("phase")?)?,
            since: Moment::from_nanos(fields.number("since")?),
            until: fields.number("until").map(Moment::from_nanos),
            resumed: fields.number("resumed")?,
            confirmed: fields.number("confirmed")?,
            reason: fields.text("reason"),
            warnings: fields.all("warning").map(ToString::to_string).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending {
            id: Id::parse("0123-abcd").expect("it is one"),
            number: Number::FIRST,
            new: "/nix/store/new".into(),
            deadline: DEADLINE,
            start_max: TRIAL_START_MIN,
            confirm: true,
            by: "somebody".into(),
            attempts: 0,
            boots: 0,
            up: ["sshd".into(), "dns".into()].into(),
        }
    }

    #[test]
    fn all_three_files_read_back() {
        let pending = pending();
        assert_eq!(Pending::read(pending.write().as_bytes()), Some(pending.clone()));
        let plan = Plan {
            id: pending.id.clone(),
            way: Way::Live,
            number: Number::FIRST,
            new: "/nix/store/new".into(),
            old: "/nix/store/old".into(),
            deadline: DEADLINE,
            confirm: false,
            by: String::new(),
            began: Moment::from_nanos(7),
        };
        assert_eq!(Plan::read(plan.write().as_bytes()), Some(plan));
        for (phase, name) in PHASES {
            assert_eq!((phase.name(), Phase::parse(name)), (name, Some(phase)));
            let mut progress = Progress::new(Moment::from_nanos(5));
            progress.phase = phase;
            progress.until = Some(Moment::from_nanos(6));
            progress.warnings.push("wan is not up".into());
            assert_eq!(Progress::read(progress.write().as_bytes()), Some(progress));
        }
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        let whole = pending().write();
        for (was, is) in [
            ("attempts\t0", "attempts\t-1"),
            ("/nix/store/new", "nix/store/new"),
            ("deadline\t90", "deadline\t0"),
            ("deadline\t90", "deadline\t99999999"),
            ("0123-abcd", "0123"),
            ("0123-abcd", "0123 abcd"),
            ("number\t1", "number\t01"),
            ("end\n", ""),
        ] {
            assert!(whole.contains(was));
            assert_eq!(Pending::read(whole.replace(was, is).as_bytes()), None, "{is:?}");
        }
    }

    #[test]
    fn crashes_are_counted_and_restarts_that_were_wished_are_not() {
        let (boot, mut now) = ("/nix/store/old", pending());
        for attempt in 1..=TRIAL_ATTEMPTS_MAX {
            let Start::Try(next) = now.start(boot) else { panic!("attempt {attempt}") };
            assert_eq!(next.attempts, attempt);
            now = next;
        }
        assert!(matches!(now.start(boot), Start::Failed { .. }));
        assert_eq!(now.start("/nix/store/new"), Start::Committed);

        let mut clean = pending();
        let mut starts = 0;
        while let Start::Try(next) = clean.start(boot) {
            clean = next.after_clean_end();
            starts += 1;
        }
        assert_eq!((starts, clean.attempts), (TRIAL_BOOTS_MAX, 0), "not for ever, either");
    }
}
