//! What a maintenance system is made of, and where it lies until it runs.
//!
//! The file `plan` of a package `levitate` has a line for each part, as those of a generation are
//! written. docs/formats/system.md is the page.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::generation::{Line, Words, Wrong};

/// Where the root directory of a maintenance system lies until the device restarts into it.
pub const ROOT: &str = "/run/maintenance";

/// Made last in it: without, a restart is a restart. In `/` it says that maintenance is what runs.
pub const MARK: &str = "maintenance";

/// In its root: what the log had at last.
pub const LOG: &str = "last-log";

/// In its root: where the system that was left behind is seen until all of it is unmounted.
pub const OLD: &str = "old";

/// Somebody is there: the device does not restart by itself any more.
pub const STAY: &str = "/run/maintenance-stays";

/// How long nobody may log in before the device restarts into the system on its flash, unless
/// something else is said.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A line of `plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The generation that is to run.
    System { path: String },
    /// A store path that it needs, and what it takes of memory.
    Store { path: String, bytes: u64 },
    /// A file of the device that is taken along: a key by which others know it.
    Carry { path: String },
    /// What its services want of memory besides.
    Spare { bytes: u64 },
    /// How long nobody may log in.
    Patience { seconds: u32 },
}

impl Line for Part {
    fn parse(line: &str) -> Result<Self, Wrong> {
        let mut words = Words::of(line);
        let part = match words.next()? {
            "system" => Self::System { path: words.store_path()? },
            "store" => Self::Store { path: words.store_path()?, bytes: words.number("size")? },
            "carry" => Self::Carry { path: plain(words.path()?)? },
            "spare" => Self::Spare { bytes: words.number("size")? },
            "patience" => Self::Patience { seconds: words.number("number of seconds")? },
            _ => return Err(Wrong::Words),
        };
        words.end(part)
    }
}

/// A path that stays below the folder it is put behind.
fn plain(path: String) -> Result<String, Wrong> {
    let is_plain = path[1..].split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_plain { Ok(path) } else { Err(Wrong::Path) }
}

impl Words<'_> {
    fn store_path(&mut self) -> Result<String, Wrong> {
        let path = self.path()?;
        let name = path.strip_prefix("/nix/store/").ok_or(Wrong::Path)?;
        let is_one = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        if is_one { Ok(path) } else { Err(Wrong::Path) }
    }
}

impl fmt::Display for Part {
    /// The line that says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { path } => write!(f, "system\t{path}"),
            Self::Store { path, bytes } => write!(f, "store\t{path}\t{bytes}"),
            Self::Carry { path } => write!(f, "carry\t{path}"),
            Self::Spare { bytes } => write!(f, "spare\t{bytes}"),
            Self::Patience { seconds } => write!(f, "patience\t{seconds}"),
        }
    }
}

/// The `plan` of a package as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub system: String,
    pub stores: alloc::vec::Vec<(String, u64)>,
    pub carried: alloc::vec::Vec<String>,
    pub spare: u64,
    pub patience: Option<Duration>,
}

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    Line(super::generation::LineError),
    /// The system, or more than one, or one that is not among the store paths.
    System,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(error) => error.fmt(f),
            Self::System => f.write_str("it names no system, or one that it does not hold"),
        }
    }
}

impl Plan {
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for part in super::generation::lines::<Part>(text) {
            match part.map_err(PlanError::Line)? {
                Part::System { path } if plan.system.is_empty() => plan.system = path,
                Part::System { .. } => return Err(PlanError::System),
                Part::Store { path, bytes } => plan.stores.push((path, bytes)),
                Part::Carry { path } => plan.carried.push(path),
                Part::Spare { bytes } => plan.spare = bytes,
                Part::Patience { seconds } => {
                    plan.patience = Some(Duration::from_secs(seconds.into()));
                }
            }
        }
        let holds = plan.stores.iter().any(|(path, _)| *path == plan.system);
        if holds { Ok(plan) } else { Err(PlanError::System) }
    }

    /// What its files take of memory.
    pub fn bytes(&self) -> u64 {
        self.stores.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// What the mark holds: how long nobody may log in.
pub fn mark(patience: Duration) -> String {
    alloc::format!("{}\n", Part::Patience { seconds: patience.as_secs() as u32 })
}

/// The same, read again; what cannot be read means what is usual.
pub fn patience_of(mark: &str) -> Duration {
    match mark.lines().next().map(Part::parse) {
        Some(Ok(Part::Patience { seconds })) => Duration::from_secs(seconds.into()),
        _ => PATIENCE,
    }
}

/// What a file or folder takes of memory: whole pages, and what the kernel knows about it.
pub fn memory_of(file_bytes: u64) -> u64 {
    const PAGE: u64 = 4096;
    const INODE: u64 = 1024;
    file_bytes.div_ceil(PAGE).saturating_mul(PAGE).saturating_add(INODE)
}

/// Bytes of memory that are free for programs, of `/proc/meminfo`. Source: `proc(5)`.
pub fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// A size as people read it.
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    alloc::format!("{}.{} MB", tenths / 10, tenths % 10).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let parts = [
            Part::System { path: "/nix/store/a-system".into() },
            Part::Store { path: "/nix/store/a-system".into(), bytes: 5120 },
            Part::Store { path: "/nix/store/b-ward".into(), bytes: 1_000_000 },
            Part::Carry { path: "/persist/ssh/host_key".into() },
            Part::Spare { bytes: 8 << 20 },
            Part::Patience { seconds: 60 },
        ];
        let text: String = parts.iter().map(|part| part.to_string() + "\n").collect();
        let plan = Plan::parse(&text).expect("it is one");
        assert_eq!(plan.system, "/nix/store/a-system");
        assert_eq!(plan.bytes(), 1_005_120);
        assert_eq!(plan.carried, vec!["/persist/ssh/host_key".to_string()]);
        assert_eq!(plan.patience, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_would_leave_its_folder_is_no_plan() {
        let system = "system\t/nix/store/a\nstore\t/nix/store/a\t1\n";
        assert!(Plan::parse(system).is_ok());
        for line in [
            "carry\t/persist/../etc/passwd",
            "carry\t/persist//key",
            "carry\tpersist/key",
            "carry\t/",
            "store\t/nix/store/../../etc\t1",
            "store\t/nix/store/\t1",
            "store\t/nix/store/.links\t1",
            "store\t/etc\t1",
            "store\t/nix/store/b\t-1",
            "system\t/nix/store/b",
            "spare\tmuch",
            "patience\t1\t2",
            "other",
        ] {
            let text = system.to_string() + line + "\n";
            assert!(Plan::parse(&text).is_err(), "{line:?}");
        }
        assert_eq!(Plan::parse("system\t/nix/store/a\n"), Err(PlanError::System));
        assert_eq!(Plan::parse(""), Err(PlanError::System));
    }

    #[test]
    fn the_mark_says_how_long_nobody_may_come() {
        assert_eq!(patience_of(&mark(Duration::from_secs(5))), Duration::from_secs(5));
        for text in ["", "patience\tlong\n", "x"] {
            assert_eq!(patience_of(text), PATIENCE, "{text:?}");
        }
    }

    #[test]
    fn memory_is_counted_in_pages() {
        for (bytes, taken) in [(0, 1024), (1, 5120), (4096, 5120), (4097, 9216)] {
            assert_eq!(memory_of(bytes), taken);
        }
        let text = "MemTotal:  251000 kB\nMemAvailable:     1024 kB\n";
        assert_eq!(available(text), Some(1 << 20));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: much kB\n"), None);
        assert_eq!(megabytes(9_940_001), "10.0 MB");
        assert_eq!(megabytes(50_000), "0.1 MB");
    }
}
