//! A scan directory that `s6-svscan` runs, and that is gone when dropped:
//! Debian's, or in test programs whose name ends in `_on_ward` our own, so
//! that the same tests say the same of both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Folder, debian, wait_for};

/// Long enough for a loaded machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct PeerTree {
    folder: Folder,
    svscan: Option<Child>,
}

impl PeerTree {
    pub fn new(what: &str) -> Self {
        Self { folder: Folder::new(what), svscan: None }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an executable file.
    pub fn script(&self, name: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.folder.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// A service with this `run`; more files of it may follow before the start.
    pub fn service(&self, name: &str, run: &str) -> PathBuf {
        self.script(format!("scan/{name}/run"), run);
        self.dir(name)
    }

    /// A service that sleeps.
    pub fn sleeper(&self, name: &str) -> PathBuf {
        self.service(name, "#!/bin/sh\nexec sleep 1000\n")
    }

    pub fn file(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, text)
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.path().join("scan").join(name)
    }

    /// Starts `s6-svscan` and waits until every service is supervised.
    pub fn start(&mut self) -> &Self {
        let scan = self.path().join("scan");
        fs::create_dir_all(&scan).expect("mkdir");
        let log = fs::File::create(self.path().join("svscan.log")).expect("a log");
        let child = svscan()
            .arg(&scan)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn()
            .expect("s6-svscan starts");
        self.svscan = Some(child);
        wait_for("the control fifo", PATIENCE, || {
            debian("s6-svscanctl")
                .arg(&scan)
                .stderr(Stdio::null())
                .status()
                .ok()
                .filter(|status| status.success())
        });
        for entry in fs::read_dir(&scan).expect("the scan directory can be read").flatten() {
            if entry.path().join("run").exists() {
                wait_for("a supervisor", PATIENCE, || {
                    let supervised = debian("s6-svok").arg(entry.path()).status().ok()?.success();
                    (supervised && entry.path().join("supervise/status").exists()).then_some(())
                });
            }
        }
        self
    }
}

/// The supervisor that this test program is about.
fn svscan() -> Command {
    let program = std::env::current_exe().expect("a test knows its program");
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // Cargo puts a hash behind the name.
    let ours = name.rsplit_once('-').is_some_and(|(name, _)| name.ends_with("_on_ward"));
    if ours { crate::applet("s6-svscan") } else { debian("s6-svscan") }
}

impl Drop for PeerTree {
    fn drop(&mut self) {
        let Some(mut svscan) = self.svscan.take() else { return };
        let supervisors = children(svscan.id());
        let services: Vec<u32> = supervisors.iter().flat_map(|pid| children(*pid)).collect();
        let scan = self.path().join("scan");
        let _ = debian("s6-svscanctl").arg("-t").arg(&scan).stderr(Stdio::null()).status();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if matches!(svscan.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A service that does not listen: end what this tree started, by number.
        let _ = svscan.kill();
        for pid in supervisors.into_iter().chain(services) {
            let _ =
                Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = svscan.wait();
    }
}

/// The processes whose parent is `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Numbers that look random and are the same every time (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}
