//! A tree of services that runs: under `ward`, or under a peer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::bench::{Bench, command};
use crate::processes::{alive, children, descendants, send, watch};
use crate::services::{Services, name};

/// Whose programs keep the services up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// `ward init`, which boots, keeps a graph, and logs.
    Ward,
    /// The same in namespaces of its own, which have their own network devices.
    WardApart,
    /// `ward` as `s6-svscan`, with a live directory by `s6-rc-init`.
    WardScan,
    /// Debian's `s6-svscan`: no graph.
    S6,
    /// Debian's `runsvdir`: no graph.
    Runit,
}

pub struct Tree {
    keeper: Keeper,
    root: Child,
    pub scan: PathBuf,
    pub live: PathBuf,
    count: usize,
}

impl Tree {
    /// Starts a tree on the measured core. What it begins with is
    /// [`Services::write`]'s bundle for `Ward`, nothing for `WardScan`, and
    /// all services for the peers, which need [`Services::scan_dir`].
    pub fn start(bench: &Bench, services: &Services, keeper: Keeper) -> Self {
        let at = |name: &str| services.folder.join(name);
        let (scan, live) = (at("scan"), at("live"));
        let mut command = match keeper {
            Keeper::Ward | Keeper::WardApart => {
                let mut command = bench.applet("ward");
                if keeper == Keeper::WardApart {
                    let ward = command.get_program().to_owned();
                    command = self::command("unshare");
                    command.args(["--user", "--map-root-user", "--mount", "--net"]);
                    command.args([
                        "/bin/sh",
                        "-ec",
                        "mount -t sysfs sysfs /sys; exec \"$@\"",
                        "sh",
                    ]);
                    command.arg(ward);
                }
                command.args(["init", "--container", "-c"]).arg(at("db"));
                command.arg("-l").arg(&live).arg("-L").arg(at("log"));
                command
            }
            Keeper::WardScan => bench.applet("s6-svscan"),
            Keeper::S6 => {
                let mut command = command("s6-svscan");
                command.args(["-c", &(2 * services.count).to_string()]);
                command
            }
            Keeper::Runit => {
                let mut command = command("runsvdir");
                command.arg("-P");
                command
            }
        };
        fs::create_dir_all(&scan).expect("mkdir");
        let output = fs::File::create(at("output")).expect("a file can be written");
        command.arg(&scan).stdin(Stdio::null());
        command.stdout(output.try_clone().expect("dup")).stderr(output);
        let root = bench.cores.measured(|| command.spawn());
        let root = root.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self { keeper, root, scan, live, count: services.count }
    }

    /// Starts a tree and says how long it took until all services were up.
    pub fn start_all(bench: &Bench, services: &Services, keeper: Keeper) -> (Self, Duration) {
        let start = Instant::now();
        let tree = Self::start(bench, services, keeper);
        tree.wait_up();
        (tree, start.elapsed())
    }

    pub fn root(&self) -> u32 {
        self.root.id()
    }

    /// Waits until everything is up, as the tree's own files say.
    fn wait_up(&self) {
        if self.keeper == Keeper::Ward {
            let state = self.live.join("state");
            let all_up = |bytes: Vec<u8>| bytes.iter().all(|byte| byte & 1 != 0);
            return watch("all up", || fs::read(&state).is_ok_and(all_up));
        }
        // One after the other: one that is up stays up.
        let mut up = 0;
        watch("all up", || {
            while up < self.count && self.pid(up).is_some() {
                up += 1;
            }
            up == self.count
        });
    }

    /// The process of a service, as its status file says.
    pub fn pid(&self, number: usize) -> Option<u32> {
        let status = fs::read(self.scan.join(name(number)).join("supervise/status")).ok()?;
        let pid = match self.keeper {
            Keeper::Runit => u32::from_le_bytes(status.get(12..16)?.try_into().ok()?),
            _ => u64::from_be_bytes(status.get(24..32)?.try_into().ok()?) as u32,
        };
        (pid != 0).then_some(pid)
    }

    /// Every process of the tree.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = descendants(self.root());
        found.push(self.root());
        found
    }

    /// The processes that supervise: all but the services themselves.
    pub fn supervision(&self) -> Vec<u32> {
        let mut found = vec![self.root()];
        match self.keeper {
            Keeper::Ward | Keeper::WardApart | Keeper::WardScan => {
                let own = |pid: &u32| {
                    crate::processes::words(*pid)[..].first().is_some_and(|w| w == "ward")
                };
                found.extend(children(self.root()).into_iter().filter(own));
            }
            // The supervisors, one for each service.
            Keeper::S6 | Keeper::Runit => found.extend(children(self.root())),
        }
        found
    }

    /// Ends the tree as a power-off would, and says how long that took until
    /// nothing of it was left.
    pub fn end(mut self) -> Duration {
        let before = self.processes();
        let start = Instant::now();
        let signal = if self.keeper == Keeper::Runit { Signal::HUP } else { Signal::TERM };
        send(self.root(), signal);
        self.root.wait().expect("it is our child");
        // runsvdir leaves its supervisors behind; they end by themselves.
        watch("all dead", || !before.iter().rev().any(|&pid| alive(pid)));
        start.elapsed()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if matches!(self.root.try_wait(), Ok(Some(_))) {
            return;
        }
        // Something went wrong: end what this tree started, by number.
        let left = self.processes();
        for &pid in &left {
            send(pid, Signal::KILL);
        }
        let _ = self.root.wait();
    }
}

/// Whether a peer's program is installed.
pub fn installed(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}
