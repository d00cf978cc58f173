//! The manual's quick reference: its rows, and what they say.
//!
//! `den` needs `wombat`, that needs `burrow` and `grass`. `plugged` needs `wombat` and `usb`, which
//! something else starts when there is a reason.

/// A command line, and the lines that it prints. Lists have the order of the database, what needs
/// leads to the opposite one.
pub type Row = (&'static str, &'static [&'static str]);

pub const SERVICES: &[Row] = &[
    ("s6-rc -a list", &["burrow", "den", "wombat", "grass"]),
    ("s6-rc -da list", &["plugged", "usb"]),
    ("s6-rc-db dependencies wombat", &["grass", "burrow"]),
    ("s6-rc-db all-dependencies wombat", &["grass", "wombat", "burrow"]),
    ("s6-rc-db -d dependencies wombat", &["plugged", "den"]),
    ("s6-rc-db -d all-dependencies wombat", &["wombat", "plugged", "den"]),
    ("s6-rc -d change wombat", &[]),
    ("s6-rc -a list", &["burrow", "grass"]),
    ("s6-rc -u change wombat", &[]),
    ("s6-rc -a list", &["burrow", "wombat", "grass"]),
    ("s6-rc-up-tree wombat", &[]),
    ("s6-rc -a list", &["burrow", "den", "wombat", "grass"]),
    ("s6-rc-up-tree usb", &[]),
    ("s6-rc -da list", &[]),
];

/// The log. Each service says something when it begins.
pub const LOG: &[&str] = &[
    "ls /run/uncaught-logs/",
    "readlink /run/log",
    "tail -2 /run/uncaught-logs/current",
    "tail -2 /run/uncaught-logs/current  | s6-tai64nlocal",
];

/// A shell script that runs them, each behind itself.
pub fn script<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().map(|line| format!("cat <<'END'\n# {line}\nEND\n{line}\n")).collect()
}

/// What such a script has printed, by line.
pub fn answers(said: &str) -> Vec<Vec<&str>> {
    let parts = said.strip_prefix("# ").unwrap_or(said).split("\n# ");
    parts.map(|part| part.lines().skip(1).collect()).collect()
}
