//! A whole machine in a folder: `ward init` with its logger and its manager,
//! on services that the test writes. Gone when dropped.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::peer_tree::children;
use crate::process::{send, words};
use crate::{Folder, applet, applets, path_with_applets, stdout, wait_for};

/// Long enough for a loaded machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A user and a group that nobody else is.
pub const SOMEBODY: u32 = 64_998;

pub struct Machine {
    folder: Folder,
    init: Option<Child>,
    /// More words for `ward init`.
    options: Vec<String>,
    /// It belongs to [`SOMEBODY`], not to the caller.
    given_away: bool,
}

impl Machine {
    /// A machine with an empty bundle `default`, not started.
    pub fn new(what: &str) -> Self {
        let folder = Folder::in_memory(what);
        let machine = Self { folder, init: None, options: Vec::new(), given_away: false };
        machine.bundle("default", &[]);
        fs::create_dir(machine.path("run")).expect("mkdir");
        machine
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    pub fn scan(&self) -> PathBuf {
        self.path("scan")
    }

    pub fn live(&self) -> PathBuf {
        self.path("run/s6-rc")
    }

    pub fn service_dir(&self, name: &str) -> PathBuf {
        self.live().join("servicedirs").join(name)
    }

    pub fn init_socket(&self) -> PathBuf {
        self.scan().join(".s6-svscan/init")
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

    /// Writes one file of a service.
    pub fn file(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        self.folder.write(Path::new("source").join(name), text);
    }

    /// A longrun with the lines of a shell script.
    pub fn longrun(&self, name: &str, run: &str) {
        self.file(format!("{name}/type"), "longrun\n");
        self.file(format!("{name}/run"), format!("#!/bin/sh\n{run}\n"));
    }

    /// A longrun that sleeps.
    pub fn sleeper(&self, name: &str) {
        self.longrun(name, "exec sleep 100000");
    }

    pub fn oneshot(&self, name: &str, up: &str, down: &str) {
        self.file(format!("{name}/type"), "oneshot\n");
        self.file(format!("{name}/up"), up);
        self.file(format!("{name}/down"), down);
    }

    pub fn needs(&self, name: &str, need: &str) {
        self.file(format!("{name}/dependencies.d/{need}"), "");
    }

    /// Adds to a bundle.
    pub fn bundle(&self, name: &str, contents: &[&str]) {
        self.file(format!("{name}/type"), "bundle\n");
        fs::create_dir_all(self.path(format!("source/{name}/contents.d"))).expect("mkdir");
        for member in contents {
            self.file(format!("{name}/contents.d/{member}"), "");
        }
    }

    /// Compiles the services, as they are now, to the database `name`.
    pub fn compile(&self, name: &str) -> PathBuf {
        let database = self.path(name);
        stdout(applet("s6-rc-compile").arg(&database).arg(self.path("source")));
        database
    }

    /// Compiles, starts init and waits until it takes orders.
    pub fn start(&mut self) -> u32 {
        self.compile("db");
        self.start_by(self.as_owner(applets().join("init")))
    }

    /// Starts init by a command that gets its words, on the database `db`,
    /// and waits until it takes orders.
    pub fn start_by(&mut self, command: Command) -> u32 {
        let pid = self.spawn(command);
        self.wait_until_served();
        pid
    }

    /// Starts init by a command that gets its words.
    pub fn spawn(&mut self, mut command: Command) -> u32 {
        let said = fs::File::create(self.path("console")).expect("a file can be made");
        if self.given_away {
            let owner = format!("{SOMEBODY}:{SOMEBODY}");
            stdout(Command::new("chown").args(["-R", &owner]).arg(self.folder.path()));
        }
        command.arg("--container").arg("-c").arg(self.path("db")).arg("-l").arg(self.live());
        command.arg("-L").arg(self.path("log")).args(&self.options).arg(self.scan());
        command.env("PATH", path_with_applets()).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("dup")).stderr(said);
        let child = command.spawn().expect("init can be started");
        let pid = child.id();
        self.init = Some(child);
        pid
    }

    pub fn wait_until_served(&self) {
        wait_for("the socket of init", PATIENCE, || self.init_socket().exists().then_some(()));
    }

    /// Waits until a bundle or service is up; asks by files alone.
    pub fn wait_up(&self, names: &[&str]) {
        let mut last = String::new();
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            last = self.up();
            if names.iter().all(|name| last.lines().any(|line| line == *name)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{names:?} are not all up: {last:?}\n{}", self.said());
    }

    /// What is up, one name a line; empty where there is no live directory.
    pub fn up(&self) -> String {
        let output = self.rc(&["-a", "list"]);
        String::from_utf8(output.stdout).expect("names are text")
    }

    /// `s6-rc` with these words.
    pub fn rc(&self, words: &[&str]) -> Output {
        self.ask("s6-rc", words)
    }

    /// An applet that takes `-l LIVE`, with these words.
    pub fn ask(&self, name: &str, words: &[&str]) -> Output {
        let mut command = applet(name);
        command.arg("-l").arg(self.live()).args(words).stdin(Stdio::null());
        command.output().expect("ward runs")
    }

    /// Changes services, which must succeed.
    pub fn change(&self, words: &[&str]) {
        let output = self.rc(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}\n{}", self.said());
    }

    pub fn init(&self) -> u32 {
        self.init.as_ref().expect("it was started").id()
    }

    /// The exit code or signal of init, if it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.init.as_mut().expect("it was started").try_wait().expect("it is our child")
    }

    /// The process of the manager, once there is one.
    pub fn manager(&self) -> u32 {
        self.own("manager")
    }

    /// The process of the logger, once there is one.
    pub fn logger(&self) -> u32 {
        self.own("logger")
    }

    fn own(&self, applet: &str) -> u32 {
        wait_for(applet, PATIENCE, || self.own_now(applet))
    }

    /// The process of the manager or the logger, if there is one.
    pub fn own_now(&self, applet: &str) -> Option<u32> {
        let mut all = children(self.init()).into_iter();
        all.find(|pid| words(*pid).get(1).is_some_and(|word| word == applet))
    }

    /// The process of a longrun, once it runs.
    pub fn process(&self, name: &str) -> u32 {
        wait_for(name, PATIENCE, || self.process_now(name))
    }

    pub fn process_now(&self, name: &str) -> Option<u32> {
        let output = applet("s6-svstat").args(["-o", "pid"]).arg(self.service_dir(name)).output();
        String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
    }

    /// What init has said before it had a log, and the newest of the log.
    pub fn said(&self) -> String {
        let read = |name| {
            String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
        };
        read("console") + &read("log/current")
    }

    /// Waits until the log or the console holds this.
    pub fn wait_said(&self, what: &str) {
        let limit = Instant::now() + PATIENCE;
        while !self.said().contains(what) {
            assert!(Instant::now() < limit, "nobody said {what:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a person would, and says how that went.
    pub fn end(&mut self) -> std::process::ExitStatus {
        send("TERM", self.init());
        let status = wait_for("the end of init", PATIENCE, || self.ended());
        self.init = None;
        status
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let Some(mut init) = self.init.take() else { return };
        let mut all = children(init.id());
        send("TERM", init.id());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Ok(Some(_)) = init.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        all.extend(children(init.id()));
        let _ = init.kill();
        // By number, and only what this init has started.
        all.into_iter().for_each(|pid| send("KILL", pid));
        let _ = init.wait();
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
