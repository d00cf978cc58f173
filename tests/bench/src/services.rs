//! The services that are measured, as source directories for `ward` and as a
//! scan directory for the peers.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::Folder;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::bench::{Bench, path_text};
use crate::program::Program;

/// A folder in memory with everything one measurement needs.
pub struct Services {
    pub folder: Folder,
    pub count: usize,
}

/// What one service is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A longrun that only pauses.
    Longrun,
    /// A longrun that says that it is ready; each needs the one before it.
    Chain,
    /// A longrun that writes to the fifo `told` when it starts.
    Telling,
    /// A oneshot that does nothing.
    Oneshot,
    /// A oneshot that runs Debian's `true`, which is linked dynamically.
    DebianOneshot,
}

impl Services {
    /// Writes `count` source directories and the bundle `default`.
    pub fn write(count: usize, kind: Kind) -> Self {
        let folder = Folder::in_memory("bench");
        let told = folder.join("told");
        if kind == Kind::Telling {
            mknodat(CWD, &told, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mkfifo");
        }
        let program = match kind {
            Kind::Longrun => Program::Pause,
            Kind::Chain => Program::ReadyThenPause,
            Kind::Telling => Program::TellThenPause(&told),
            Kind::Oneshot | Kind::DebianOneshot => Program::Exit,
        };
        let file = folder.join("program");
        program.write(&file).expect("a program can be written");
        for number in 0..count {
            let name = name(number);
            let at = |file: &str| folder.join("src").join(&name).join(file);
            let run = match kind {
                Kind::Oneshot => format!("{}\n", path_text(&file)),
                Kind::DebianOneshot => "/bin/true\n".to_owned(),
                _ => String::new(),
            };
            if run.is_empty() {
                put(&at("type"), b"longrun\n");
                put(&at("run"), &program.bytes());
            } else {
                put(&at("type"), b"oneshot\n");
                put(&at("up"), run.as_bytes());
            }
            if kind == Kind::Chain {
                put(&at("notification-fd"), b"3\n");
                if let Some(before) = number.checked_sub(1) {
                    put(&at("dependencies.d").join(self::name(before)), b"");
                }
            }
            put(&folder.join("src/default/contents.d").join(&name), b"");
        }
        put(&folder.join("src/default/type"), b"bundle\n");
        Self { folder, count }
    }

    pub fn compile(self, bench: &Bench) -> Self {
        let (database, source) = (self.folder.join("db"), self.folder.join("src"));
        e2e::stdout(bench.applet("s6-rc-compile").arg(database).arg(source));
        self
    }

    /// Makes what a peer's program scans: one service directory each.
    pub fn scan_dir(&self) -> PathBuf {
        let scan = self.folder.join("scan");
        for number in 0..self.count {
            let run = scan.join(name(number)).join("run");
            fs::create_dir_all(scan.join(name(number))).expect("mkdir");
            fs::hard_link(self.folder.join("program"), run).expect("link");
        }
        scan
    }
}

pub fn name(number: usize) -> String {
    format!("s{number:05}")
}

pub fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("mkdir");
    fs::write(path, bytes).expect("a file can be written");
}
