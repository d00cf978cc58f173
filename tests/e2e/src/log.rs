//! `ward log` as tests call it, and logs that are written for it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use model::log::archive::Archive;
use model::log::line::Lines;
use model::log::mark::{Boot, Mark};
use model::time::{Date, Moment};

use crate::client::{Client, Said};
use crate::pretend_init::PretendInit;
use crate::process::{send, switches};
use crate::{Folder, applet, wait_for};

pub const LONG: Duration = Duration::from_secs(60);
pub const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// `ward log -d DIRECTORY` with these words, which is somewhere.
pub fn log(directory: &Path, words: &[&str]) -> Command {
    let mut command = applet("ward");
    command.args(["log", "-d"]).arg(directory).args(["-l", "/nowhere"]).args(words);
    command.env("TZ", BERLIN).env_remove("NO_COLOR");
    command
}

pub fn said(directory: &Path, words: &[&str]) -> Said {
    Client::run(&mut log(directory, words))
}

/// The lines it prints without their times; it must succeed.
pub fn texts(directory: &Path, words: &[&str]) -> Vec<String> {
    let said = said(directory, words).expect(0);
    assert_eq!(said.err, "", "{words:?}");
    said.out.lines().map(|line| text(line).to_owned()).collect()
}

pub fn text(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap_or_else(|| panic!("no time: {line:?}"))
}

/// A logger that has written so many lines in turn, in small files.
pub fn written(lines: usize) -> PretendInit {
    let mut init = PretendInit::new(&["a", "b"], &["-s", "4096", "-n", "1000"]);
    init.start_logger();
    for i in 0..lines {
        init.write(i % 2, format!("line {i}\n"));
    }
    wait_for("all lines", LONG, || (init.lines().len() == lines).then_some(()));
    init
}

/// `ward ship` with these words, from a log directory to a target.
pub fn shipper(directory: &Path, target: impl AsRef<OsStr>, words: &[&str]) -> Command {
    let mut command = applet("ward");
    command.args(["ship", "-d"]).arg(directory).args(words).arg(target);
    command
}

/// That at work, ended when dropped.
pub struct Shipper(pub Child);

impl Shipper {
    pub fn start(directory: &Path, target: impl AsRef<OsStr>, words: &[&str]) -> Self {
        Self(shipper(directory, target, words).spawn().expect("ward runs"))
    }

    /// Tells it to end, which it must.
    pub fn end(mut self) {
        send("TERM", self.0.id());
        let ended = wait_for("its end", LONG, || self.0.try_wait().unwrap());
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child whose lines arrive one by one.
pub struct Follower(pub Child, pub BufReader<ChildStdout>);

impl Follower {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ward runs");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self(child, output)
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it prints text");
        assert!(line.ends_with('\n'), "it ended: {line:?}");
        text(line.trim_end_matches('\n')).to_owned()
    }
}

impl Follower {
    /// Waits until it sleeps, and says how often it has.
    pub fn wait_rest(&self) -> u64 {
        let pid = self.0.id();
        wait_for("rest", LONG, || {
            let before = switches(pid);
            std::thread::sleep(Duration::from_millis(200));
            (switches(pid) == before).then_some(before)
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn boot(number: u8) -> Boot {
    core::array::from_fn(|_| b'0' + number)
}

/// A directory whose files were written by hand.
pub struct Pages(pub Folder, u64);

impl Default for Pages {
    fn default() -> Self {
        Self(Folder::new("log"), 0)
    }
}

impl Pages {
    /// An archive, later than those before it.
    pub fn archive(&mut self, text: &str) {
        self.1 += 1;
        let date = Date::from_unix(1_000_000_000 + self.1, 0);
        let name = Archive { date, finished: self.1.is_multiple_of(2) }.name();
        self.0.write(std::str::from_utf8(&name).unwrap(), text);
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Seconds on the wall, and since the kernel began.
pub fn mark(number: u8, wall: u64, up: u64) -> String {
    let today = Date::from_unix(wall, 0);
    let now = Moment::from_nanos(up * 1_000_000_000);
    let mut log = Lines::new(0);
    Mark::new(boot(number), today, now).unwrap().write(today, 0, &mut log);
    String::from_utf8(log.as_bytes().to_vec()).unwrap()
}

pub fn line(wall: u64, text: &str) -> String {
    let label = Date::from_unix(wall, 0).label_text();
    format!("{} {text}\n", std::str::from_utf8(&label).unwrap())
}
