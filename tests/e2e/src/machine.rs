//! A device that is mistreated: it may belong to somebody else, be started by
//! any command, and what is asked of it may go wrong.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Instant;

use crate::device::Device;
pub use crate::device::PATIENCE;
use crate::peer_tree::children;
use crate::process::{send, words};
use crate::{applets, stdout, wait_for};

/// A user and a group that nobody else is.
pub const SOMEBODY: u32 = 64_998;

/// Adds to a [`Device`]; its database is called `db`.
pub struct Machine {
    device: Device,
    /// More words for `ward init`.
    options: Vec<String>,
    /// It belongs to [`SOMEBODY`], not to the caller.
    given_away: bool,
}

impl Deref for Machine {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl Machine {
    /// A machine with an empty bundle `default`, not started.
    pub fn new(what: &str) -> Self {
        let device = Device::in_memory(what);
        device.bundle("default", &[]);
        Self { device, options: Vec::new(), given_away: false }
    }

    pub fn init_socket(&self) -> PathBuf {
        self.scandir().join(".s6-svscan/init")
    }

    /// Another option for `ward init`.
    pub fn option(&mut self, words: &[&str]) {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Makes a user who is not root its owner: the caller, unless that is root.
    pub fn give_away(&mut self) {
        self.given_away = is_root();
    }

    /// A program as the owner of the machine runs it.
    pub fn as_owner(&self, program: impl AsRef<OsStr>) -> Command {
        if self.given_away { as_user(SOMEBODY, &[], program) } else { Command::new(program) }
    }

    /// Compiles, starts init and waits until it takes orders.
    pub fn boot(&self) -> u32 {
        self.compile_to("db");
        self.boot_by(self.as_owner(applets().join("init")))
    }

    /// Starts init by a command that gets its words, on the database that is
    /// there, and waits until it takes orders.
    pub fn boot_by(&self, mut command: Command) -> u32 {
        if self.given_away {
            let owner = format!("{SOMEBODY}:{SOMEBODY}");
            stdout(Command::new("chown").args(["-R", &owner]).arg(self.join(".")));
        }
        self.init_words(&mut command, &self.join("db"));
        command.args(&self.options);
        self.run(command);
        self.init_pid()
    }

    /// Waits until services are up; asks by files alone.
    pub fn wait_up(&self, names: &[&str]) {
        let mut last = String::new();
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            last = self.list();
            if names.iter().all(|name| last.lines().any(|line| line == *name)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{names:?} are not all up: {last:?}\n{}", self.said());
    }

    /// What is up, one name a line; empty where that cannot be told.
    pub fn list(&self) -> String {
        self.rc("-a list").out
    }

    /// Changes services, which must succeed.
    pub fn change(&self, words: &str) {
        let said = self.rc(words);
        assert_eq!(said.code, 0, "{words}: {}\n{}", said.err, self.said());
    }

    /// The process of the logger, once there is one.
    pub fn logger_pid(&self) -> u32 {
        wait_for("the logger", PATIENCE, || self.own_now("logger"))
    }

    /// The process of the manager or the logger, if there is one.
    pub fn own_now(&self, applet: &str) -> Option<u32> {
        let mut all = children(self.init_pid()).into_iter();
        all.find(|pid| words(*pid).get(1).is_some_and(|word| word == applet))
    }

    /// What init has said before it had a log, and the log.
    pub fn said(&self) -> String {
        let lines: Vec<String> = self.log().into_iter().map(|line| line + "\n").collect();
        self.console() + &lines.concat()
    }

    /// Waits until the log or the console holds this.
    pub fn wait_said(&self, what: &str) {
        let limit = Instant::now() + PATIENCE;
        while !self.said().contains(what) {
            assert!(Instant::now() < limit, "nobody said {what:?}:\n{}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Ends it as a person would, and says how that went.
    pub fn end(&self) -> ExitStatus {
        send("TERM", self.init_pid());
        wait_for("the end of init", PATIENCE, || self.ended())
    }
}

/// Whether this is root, who may become anybody else.
pub fn is_root() -> bool {
    os::socket::own_user() == 0
}

/// A program as another user runs it, who is in the group of the same number
/// and in `groups`. For root only.
pub fn as_user(user: u32, groups: &[u32], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.to_string(), "--regid", &user.to_string()]);
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    match groups.is_empty() {
        true => command.arg("--clear-groups"),
        false => command.args(["--groups", &groups.join(",")]),
    };
    command.arg(program.as_ref());
    command
}

/// Makes a file executable.
pub fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}
