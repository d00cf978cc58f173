//! A device in QEMU that `doorward vm` runs: its console, its flash, visits by ssh, and programs
//! in the networks around it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Said};
use crate::machine::is_root;
use crate::peer_tree::children;
use crate::process::{send, words};
use crate::{Folder, doorward, nix, stdout, wait_for};

/// How long anything may take here: a processor that is emulated, while others use the real one.
pub const LIMIT: Duration = Duration::from_secs(120);
/// A boot that has said nothing after this time will not: it is tried again.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const BOOTS_MAX: usize = 3;

/// What of examples/configuration.nix is down while all is well: the second uplink, and a disk that is
/// not plugged in.
const IN_RESERVE: [&str; 3] = ["dhcp-client-eth2", "link-eth2", "usb"];

/// Whether nothing else is, as `s6-rc -da list` has it.
pub fn all_is_up(down: &str) -> Option<()> {
    down.lines().all(|name| IN_RESERVE.contains(&name)).then_some(())
}

/// What `doorward` says when the device lets somebody in.
const OPEN: &str = "log in with: ";
/// And before it starts: whose namespaces the neighbours live in.
const NEIGHBOURS: &str = "provider2 of process ";

/// The folder that a device of devices/ was built into. `modules` are what its configuration imports,
/// as Nix has a list; beside them, the key of trials lets in.
pub fn build(modules: &str, device: &str) -> PathBuf {
    let folder = Folder::new(device);
    let words = ["-d", device, "-A", "outputs.vm"];
    let paths = nix::built(&folder.write("c.nix", configuration(modules)), &words);
    nix::on_disk(paths.first().expect("one path"))
}

/// A module with what a small device needs to be visited: an address at home, and ssh there.
pub const WAY_IN: &str = r#"({ config, pkgs, ... }: {
  services.int = pkgs.svc.network.address.build {
    interface = config.hardware.networkInterfaces.lan; address = "192.168.7.1"; prefixLength = 24;
  };
  services.ssh = pkgs.svc.ssh.build { address = "192.168.7.1"; dependencies = [ config.services.int ]; };
})"#;

/// The text of that configuration.
pub fn configuration(modules: &str) -> String {
    let key = stdout(Command::new(doorward()).args(["vm", "key"]));
    format!(
        "{{ imports = [ {modules} ]; users.root.openssh.authorizedKeys.keys = [ \"{}\" ]; }}",
        key.trim()
    )
}

/// A device. Its flash is kept as long as this is, whatever happens to QEMU.
pub struct Vm {
    name: String,
    description: PathBuf,
    options: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    folder: Folder,
    running: Option<Child>,
    /// How much of the console was waited for.
    read: usize,
    /// How often it has let somebody in by the last start.
    opened: usize,
}

impl Vm {
    /// A device that was built into a folder, not started. `name` is that of its console where
    /// the test fails.
    pub fn new(name: &str, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            description: folder.join("vm.json"),
            options: Vec::new(),
            environment: Vec::new(),
            folder: Folder::new("vm"),
            running: None,
            read: 0,
            opened: 0,
        }
    }

    /// More words for `doorward vm`.
    pub fn option(&mut self, words: &[&str]) {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// A variable of its environment.
    pub fn environment(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.push((name, value.into()));
    }

    /// Starts it on its flash, and waits until its console says something.
    pub fn start(&mut self) {
        for boot in 1.. {
            self.run();
            let start = Instant::now();
            while self.console().len() <= self.read && start.elapsed() < SILENCE_MAX {
                if self.ended().is_some() {
                    panic!("it did not start:\n{}", self.said());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if self.console().len() > self.read {
                return;
            }
            assert!(boot < BOOTS_MAX, "{boot} boots said nothing:\n{}", self.said());
            self.stop();
        }
    }

    /// Starts `doorward vm` and nothing more.
    pub fn run(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let said = fs::File::options().append(true).create(true).open(self.folder.join("said"));
        let said = said.expect("a file can be made");
        self.opened = self.count_open();
        self.read = 0;
        let printed = fs::File::create(self.folder.join("printed")).expect("a file can be made");
        let mut command = Command::new(doorward());
        command.arg("vm").arg(&self.description).envs(self.environment.clone());
        command.arg("--flash").arg(self.flash()).arg("--console").arg(self.folder.join("console"));
        command.arg("--qmp").arg(self.folder.join("qmp")).args(&self.options);
        command.stdin(Stdio::null()).stdout(printed).stderr(said);
        // The console of the start before this one is not for this one.
        let _ = fs::remove_file(self.folder.join("console"));
        self.running = Some(command.spawn().expect("doorward runs"));
    }

    pub fn flash(&self) -> PathBuf {
        self.folder.join("flash")
    }

    /// What the device has said since the last start.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.folder.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What `doorward` has said, in all starts.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }

    /// What it has printed for programs since the last start.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder.join("printed")).unwrap_or_default()
    }

    /// Waits until the console says this, behind what was waited for before.
    ///
    /// # Panics
    /// When it does not, with how the console ends.
    #[track_caller]
    pub fn wait_console(&mut self, what: &str) {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let console = self.console();
            if let Some(place) = console.get(self.read..).and_then(|rest| rest.find(what)) {
                self.read += place + what.len();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no {what:?} on the console:\n{}\n{}", last(&self.console()), self.said());
    }

    /// Waits until `doorward` has said this.
    #[track_caller]
    pub fn wait_said(&self, what: &str) {
        let start = Instant::now();
        while !self.said().contains(what) {
            let rest = || format!("{}\n{}", self.said(), last(&self.console()));
            assert!(start.elapsed() < LIMIT, "nobody said {what:?}:\n{}", rest());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn count_open(&self) -> usize {
        self.said().matches(OPEN).count()
    }

    /// Waits until ssh lets somebody in, after the last start.
    #[track_caller]
    pub fn wait_open(&self) {
        let start = Instant::now();
        while self.count_open() <= self.opened {
            let rest = || format!("{}\n{}", self.said(), last(&self.console()));
            assert!(start.elapsed() < LIMIT, "nobody can log in:\n{}", rest());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command line for the device's shell, by ssh.
    pub fn ssh(&self, line: &str) -> Command {
        self.wait_open();
        let said = self.said();
        let words = said.rsplit_once(OPEN).map(|(_, rest)| rest.lines().next().unwrap_or_default());
        let mut words = words.unwrap_or_default().split(' ');
        let mut command = Command::new(words.next().unwrap_or("ssh"));
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5"]);
        command.args(words).args(["--", line]);
        command
    }

    /// Runs one to its end.
    pub fn visit(&self, line: &str) -> Said {
        Client::run(&mut self.ssh(line))
    }

    /// What a command prints that must succeed.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        self.visit(line).expect(0).out
    }

    /// Has it restart itself, and waits until it lets somebody in again.
    #[track_caller]
    pub fn reboot(&mut self) {
        let mut visit = self.ssh("reboot");
        self.opened = self.count_open();
        // It may end before the visit does.
        let _ = visit.stdin(Stdio::null()).output();
        self.wait_open();
    }

    /// Where a port of it is on this machine, once it lets somebody in: `53 (udp)`, for one.
    pub fn forwarded(&self, port: &str) -> SocketAddr {
        self.wait_open();
        let said = self.said();
        let line = said.lines().rev().find_map(|line| {
            line.strip_prefix("doorward: port ")?.strip_prefix(port)?.strip_prefix(" is at ")
        });
        line.and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no {port}:\n{said}"))
    }

    /// A program of this machine, in one of the networks around the device: `home`, `client`,
    /// `provider` or `provider2`.
    pub fn beside(&self, network: &str, words: &[&str]) -> Command {
        self.wait_said(NEIGHBOURS);
        let said = self.said();
        let process = said.rsplit_once(NEIGHBOURS).and_then(|(_, rest)| rest.lines().next());
        let mut command = Command::new("nsenter");
        command.args(["--target", process.expect("a process is named")]);
        command.args(["--mount", "--net", "--pid"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["ip", "netns", "exec", network]).args(words);
        command
    }

    /// The process of QEMU.
    pub fn qemu(&self) -> u32 {
        let doorward = self.process();
        wait_for("QEMU", LIMIT, || {
            let is_it = |pid: &u32| words(*pid)[0].starts_with("qemu-");
            children(doorward).into_iter().find(is_it)
        })
    }

    /// Cuts the power, at once. What is in the flash stays.
    pub fn cut_power(&mut self) {
        send("KILL", self.qemu());
        self.wait_end();
    }

    /// Gives an order to QEMU: QEMU's `qapi/`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn order(&self, name: &str, arguments: Value) -> Value {
        let path = self.folder.join("qmp");
        let stream = wait_for("QEMU's socket", LIMIT, || UnixStream::connect(&path).ok());
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        let mut ask = |words: Value| {
            writeln!(&stream, "{words}").expect("QEMU listens");
            loop {
                let line = lines.next().expect("QEMU answers").expect("QEMU answers");
                let answer: Value = serde_json::from_str(&line).expect("QEMU speaks JSON");
                assert!(answer.get("error").is_none(), "{words}: {answer}");
                if let Some(found) = answer.get("return") {
                    return found.clone();
                }
            }
        };
        ask(json!({ "execute": "qmp_capabilities" }));
        ask(json!({ "execute": name, "arguments": arguments }))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.try_wait().expect("it is a child")
    }

    /// Waits until it has ended by itself.
    pub fn wait_end(&mut self) -> ExitStatus {
        let status = wait_for("the end of doorward", LIMIT, || self.ended());
        self.running = None;
        status
    }

    /// Has `doorward` end it: the power is cut.
    pub fn stop(&mut self) -> ExitStatus {
        send("TERM", self.process());
        self.wait_end()
    }

    /// The process of `doorward`.
    pub fn process(&self) -> u32 {
        self.running.as_ref().expect("it was started").id()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = nix::target().join(format!("console-{}.log", self.name));
            let _ = fs::write(&kept, self.console());
            eprintln!("the console of {} is in {}", self.name, kept.display());
        }
        if let Some(mut doorward) = self.running.take() {
            // QEMU and the neighbours go with it.
            let _ = doorward.kill();
            let _ = doorward.wait();
        }
    }
}

/// The end of a text, for a message.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Root file systems of two systems, and where they lie in the flash.
pub struct Roots {
    pub images: [Vec<u8>; 2],
    pub place: u64,
}

impl Roots {
    /// Of what two devices were built into.
    pub fn of(folders: &[PathBuf; 2]) -> Self {
        let images = folders.each_ref().map(|folder| {
            let firmware = fs::read(folder.join("firmware.bin")).expect("an image");
            let manifest = model::flash::manifest::Manifest::of_file(&firmware)
                .expect("whole")
                .expect("it is there");
            let part = manifest.parts.iter().find(|part| part.name == "rootfs").expect("a root");
            firmware[part.offset as usize..][..part.bytes as usize].to_vec()
        });
        let text = fs::read_to_string(folders[0].join("vm.json")).expect("a description");
        let description: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let place = description["flash"]["partitions"]["rootfs"]["offset"].as_u64();
        Self { images, place: place.expect("it has a place") }
    }

    /// Which of them is in a flash; none while one is half written.
    pub fn found(&self, flash: &Path) -> Option<usize> {
        let file = fs::File::open(flash).expect("a flash");
        self.images.iter().position(|image| {
            let mut bytes = vec![0; image.len()];
            file.read_exact_at(&mut bytes, self.place).expect("it is as large");
            bytes == *image
        })
    }

    pub fn put(&self, which: usize, flash: &Path) {
        let file = fs::File::options().write(true).open(flash).expect("a flash");
        file.write_all_at(&self.images[which], self.place).expect("it is as large");
    }
}
