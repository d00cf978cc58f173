//! The status page of a device as tests ask it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::device::Device;
use crate::{applet, wait_for};

/// Where the page is in a network of its own ([`crate::alone`]).
pub const ADDRESS: &str = "127.0.0.1:8080";

/// `ward status-page` at work, ended when dropped.
pub struct Served(pub Child);

impl Served {
    /// That of a device, with these words; back once it listens.
    pub fn start(device: &Device, words: &[&str]) -> Self {
        let mut command = applet("ward");
        command.args(["status-page", "-r", "1", "-l"]).arg(device.live());
        command.arg("-d").arg(device.join("logs")).args(words);
        Self::run(command)
    }

    /// A command that says on its standard output that it is ready.
    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ward runs");
        let mut ready = [0];
        let read = child.stdout.as_mut().expect("it is piped").read(&mut ready);
        assert_eq!((read.expect("a pipe"), ready[0]), (1, b'\n'), "it listens");
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn has(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in\n{}", self.body);
        self
    }

    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} in\n{}", self.body);
        self
    }
}

/// What the page answers to these bytes; `None`: it hangs up.
pub fn say(bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(ADDRESS).expect("it listens");
    let _ = stream.write_all(bytes);
    answer(stream)
}

/// The answer that comes over a connection.
pub fn answer(mut stream: impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("it is text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, head: head.into(), body: body.into() })
}

/// A page.
pub fn get(path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n");
    say(request.as_bytes()).expect("an answer")
}

/// Lets everybody into the folder of a device: one who is not root goes through it.
pub fn open_folder(device: &Device) {
    let status = Command::new("chmod").arg("a+rx").arg(device.join("")).status();
    assert!(status.expect("chmod runs").success());
}

/// Memory that is shared with nobody, or divided by all who share it: kB.
pub fn proportional_memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it is ours");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("proc(5) has it");
    line.trim().strip_suffix(" kB").and_then(|it| it.parse().ok()).expect("a number")
}

/// How long a page may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `web` needs `net` and `rules`, whose script fails; `talk` says what [`talk`] tells it.
pub fn house(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("net").oneshot("rules", "sh -c \"exit 3\"").sleeper("web");
    device.needs("web", &["net", "rules"]).sleeper("spare");
    let said = device.join("said");
    let run =
        format!("exec 2>&1\nmkfifo {0} 2>/dev/null\nwhile :; do cat {0}; done", said.display());
    device.longrun("talk", &run).bundle("default", &["net", "talk"]).start();
    wait_for("what it reads", PATIENCE, || said.exists().then_some(()));
    device
}

/// Has that service say something.
pub fn talk(device: &Device, text: &[u8]) {
    fs::write(device.join("said"), text).expect("talk reads it");
}
