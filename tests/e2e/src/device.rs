//! A device with services for one test: written, compiled, booted by
//! `ward init` in a folder of its own, asked and changed, and gone when dropped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Said};
use crate::json::Json;
use crate::peer_tree::children;
use crate::{Folder, applet, debian, path_with_applets, wait_for};

/// Long enough for a loaded machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What runs where a test has no other wish: it sleeps, and goes at once when told.
pub const SLEEP: &str = "exec sleep 100000";

pub struct Device {
    folder: Folder,
    init: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl Device {
    /// An empty device: nothing is written, nothing runs.
    pub fn new(what: &str) -> Self {
        Self::within(Folder::new(what))
    }

    /// The same in memory, for tests of so many files that a disk would take
    /// longer than what is tested.
    pub fn in_memory(what: &str) -> Self {
        Self::within(Folder::in_memory(what))
    }

    fn within(folder: Folder) -> Self {
        fs::create_dir(folder.join("src")).expect("mkdir");
        Self { folder, init: Mutex::new(None), databases: AtomicU32::new(0) }
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    pub fn live(&self) -> PathBuf {
        self.join("live")
    }

    pub fn scandir(&self) -> PathBuf {
        self.join("scan")
    }

    /// A longrun whose `run` is this shell script.
    pub fn longrun(&self, name: &str, script: &str) -> &Self {
        self.set(name, "type", "longrun\n");
        self.set(name, "run", &format!("#!/bin/sh\n{script}\n"))
    }

    pub fn sleeper(&self, name: &str) -> &Self {
        self.longrun(name, SLEEP)
    }

    /// A oneshot whose `up` is this line.
    pub fn oneshot(&self, name: &str, up: &str) -> &Self {
        self.set(name, "type", "oneshot\n");
        self.set(name, "up", up)
    }

    pub fn bundle(&self, name: &str, contents: &[&str]) -> &Self {
        self.set(name, "type", "bundle\n");
        let _ = fs::create_dir(self.source(name).join("contents.d"));
        for what in contents {
            self.set(name, &format!("contents.d/{what}"), "");
        }
        self
    }

    pub fn needs(&self, name: &str, needs: &[&str]) -> &Self {
        for need in needs {
            self.set(name, &format!("dependencies.d/{need}"), "");
        }
        self
    }

    /// Writes one file of a service.
    pub fn set(&self, name: &str, file: &str, text: &str) -> &Self {
        self.folder.write(Path::new("src").join(name).join(file), text);
        self
    }

    pub fn source(&self, name: &str) -> PathBuf {
        self.join("src").join(name)
    }

    /// Takes a service, or a file of one, away from the sources.
    pub fn remove(&self, what: &str) -> &Self {
        let path = self.source(what);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("it was there");
        self
    }

    /// Compiles the sources as they are now into a new database.
    pub fn compile(&self) -> PathBuf {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        self.compile_to(&format!("db{number}"))
    }

    /// The same, under this name.
    pub fn compile_to(&self, name: &str) -> PathBuf {
        let database = self.join(name);
        let source = self.join("src");
        Client::run(applet("s6-rc-compile").arg(&database).arg(source)).expect(0);
        database
    }

    /// Compiles and boots; back once the boot is over, however it went.
    pub fn start(&self) -> &Self {
        self.begin();
        self.wait_booted();
        // The logger starts beside the boot; before that there is no output to follow.
        let listens = self.scandir().join(".s6-svscan/log");
        wait_for("the logger", PATIENCE, || listens.exists().then_some(()));
        self
    }

    /// Compiles, and begins to boot.
    pub fn begin(&self) -> &Self {
        if !self.source("default").exists() {
            self.bundle("default", &[]);
        }
        self.begin_on(&self.compile())
    }

    /// Begins to boot this database, under the name that is given.
    pub fn begin_on(&self, database: &Path) -> &Self {
        let mut command = applet("init");
        self.init_words(&mut command, database);
        self.run(command)
    }

    /// What `ward init` is told, but for the scandir.
    pub fn init_words(&self, command: &mut Command, database: &Path) {
        command.args(["--container", "-c"]).arg(database).arg("-l").arg(self.live());
        command.arg("-L").arg(self.join("logs"));
    }

    /// Begins without services, log and boot.
    pub fn start_svscan(&self) -> &Self {
        fs::create_dir_all(self.scandir()).expect("mkdir");
        self.run(applet("s6-svscan"))
    }

    /// Starts init, or a command that becomes it with the words it is given,
    /// and waits until it says that it runs.
    pub fn run(&self, mut command: Command) -> &Self {
        let (heard, hears) = rustix::pipe::pipe().expect("a pipe");
        let console = File::create(self.join("console")).expect("a new file");
        command.arg("-d").arg(hears.as_raw_fd().to_string()).arg(self.scandir());
        command.env("PATH", path()).stdin(Stdio::null());
        command.stdout(console.try_clone().expect("dup")).stderr(console);
        *self.lock() = Some(command.spawn().expect("ward can be started"));
        drop(hears);
        let mut byte = [0];
        let read = rustix::io::read(&heard, &mut byte);
        assert_eq!((read, byte), (Ok(1), *b"\n"), "init says that it runs: {}", self.console());
        self
    }

    pub fn wait_booted(&self) {
        // A process is known by its words only once it has begun; the live
        // directory is there only once that one had.
        let begun = || self.live().join("state").exists();
        let booting = || children(self.init_pid()).into_iter().any(|pid| is_applet(pid, "boot"));
        wait_for("the end of the boot", PATIENCE, || (begun() && !booting()).then_some(()));
    }

    /// How init has ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.lock().as_mut().expect("it was started").try_wait().expect("it is our child")
    }

    pub fn init_pid(&self) -> u32 {
        self.lock().as_ref().expect("it was started").id()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.init.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn manager_pid(&self) -> u32 {
        let managers = || children(self.init_pid()).into_iter().find(|p| is_applet(*p, "manager"));
        wait_for("the manager", PATIENCE, managers)
    }

    /// What init itself prints where nothing is logged yet.
    pub fn console(&self) -> String {
        fs::read_to_string(self.join("console")).unwrap_or_default()
    }

    /// `s6-rc -l LIVE` with these words.
    pub fn rc(&self, words: &str) -> Said {
        Client::run(&mut self.command("s6-rc", words))
    }

    /// `ward APPLET -l LIVE` and the rest of these words.
    pub fn ward(&self, words: &str) -> Said {
        Client::run(&mut self.ward_command(words))
    }

    /// An applet with `-l LIVE` before the other words.
    pub fn command(&self, name: &str, words: &str) -> Command {
        let mut command = applet(name);
        command.arg("-l").arg(self.live()).args(words.split_whitespace());
        command.env("PATH", path());
        command
    }

    pub fn ward_command(&self, words: &str) -> Command {
        let mut words = words.split_whitespace();
        let mut command = applet("ward");
        command.args(words.next()).arg("-l").arg(self.live()).args(words);
        command.env("PATH", path());
        command
    }

    /// What `s6-rc -a list` says.
    pub fn up(&self) -> Vec<String> {
        self.rc("-a list").expect(0).out.lines().map(str::to_owned).collect()
    }

    /// Waits until init and s6-rc think the same of every service. Init writes
    /// the files that this compares once it has nothing else to do.
    pub fn wait_same(&self) {
        wait_for("files that say the same", PATIENCE, || (self.rc("diff").code == 0).then_some(()));
    }

    /// The supervised folder of a longrun.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.live().join("servicedirs").join(name)
    }

    /// What Debian's `s6-svstat -o` says of a longrun.
    pub fn svstat(&self, name: &str, fields: &str) -> String {
        self.ask_svstat(name, fields).expect(0).out.trim().to_owned()
    }

    fn ask_svstat(&self, name: &str, fields: &str) -> Said {
        Client::run(debian("s6-svstat").args(["-o", fields]).arg(self.dir(name)))
    }

    /// The process of a longrun, as Debian's `s6-svstat` has it: none where it
    /// does not run, or where nobody supervises it yet.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.ask_svstat(name, "pid").out.trim().parse().ok()
    }

    /// What `ward status --json` says of every service.
    pub fn status(&self) -> BTreeMap<String, Json> {
        let all = Json::parse(&self.ward("status --json").out);
        let named = |one: &Json| Some((one.text("name")?.to_owned(), one.clone()));
        all.items().iter().filter_map(named).collect()
    }

    /// The processes of all longruns that run.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        let status = self.status().into_iter();
        status.filter_map(|(name, one)| Some((name, one.number("pid")? as u32))).collect()
    }

    pub fn wait_pid(&self, name: &str) -> u32 {
        wait_for(name, PATIENCE, || self.pid(name))
    }

    /// What services have logged, as `service text`, oldest first.
    pub fn log(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.join("logs"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.retain(|path| path.extension().is_some_and(|e| e == "s" || e == "u"));
        files.sort();
        files.push(self.join("logs/current"));
        let text = files.iter().filter_map(|path| fs::read(path).ok()).collect::<Vec<_>>().concat();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned()));
        lines.filter(|line| !line.starts_with(".logger boot ")).collect()
    }

    /// Waits until this line, as `service text`, is logged.
    pub fn wait_log(&self, line: &str) {
        wait_for(line, PATIENCE, || self.log().iter().any(|l| l == line).then_some(()));
    }

    /// The lines of one of the files that services of a test write.
    pub fn notes(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Ends init and waits for it.
    pub fn stop(&self) {
        let Some(mut init) = self.lock().take() else { return };
        let mut orphans = children(init.id());
        signal(init.id(), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if matches!(init.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // Something does not listen: end what this device started, by number.
        orphans.extend(children(init.id()));
        let _ = init.kill();
        let _ = init.wait();
        orphans.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        assert!(std::thread::panicking(), "init did not end: {}", self.console());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log\n{}\n--- console\n{}", self.log().join("\n"), self.console());
        }
        self.stop();
    }
}

/// `PATH` of init and of clients: applets, execline where Debian has it, the usual.
pub fn path() -> OsString {
    let mut path = path_with_applets();
    path.push(":/usr/lib/execline/bin");
    path
}

pub fn signal(pid: u32, signal: Signal) {
    // One that is gone already has ended as well.
    let _ = kill_process(Pid::from_raw(pid as i32).expect("no process has number 0"), signal);
}

pub fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it is in parentheses and may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

/// Whether a process is `ward APPLET`.
fn is_applet(pid: u32, applet: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.starts_with(format!("ward\0{applet}\0").as_bytes())
}
