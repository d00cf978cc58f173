//! The least that a logger can do: put something before each line, write, rotate. What this takes on
//! a machine no logger with these files can take less.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::bench::Bench;
use crate::logs::Load;

/// Bytes of `@label service0 `.
const BEFORE: [u8; 35] = [b'p'; 35];
/// Bytes of a file, and how many are kept: the defaults of `s6-log`.
const FILE_BYTES: usize = 99_999;
const FILES: usize = 10;

/// How long it takes: on the measured core, as those that write.
pub fn time(bench: &Bench, load: Load, directory: &Path) -> Duration {
    fs::create_dir(directory).expect("it is new");
    let pipes = (0..load.writers).map(|_| pipe_with(PipeFlags::CLOEXEC).expect("a pipe"));
    let (readers, writers): (Vec<File>, Vec<File>) =
        pipes.map(|(near, far)| (File::from(near), File::from(far))).unzip();
    let start = Instant::now();
    bench.cores.measured(|| {
        thread::scope(|scope| {
            scope.spawn(|| Log::new(directory).keep(readers));
            load.write(writers);
        });
    });
    start.elapsed()
}

struct Log {
    directory: PathBuf,
    current: File,
    bytes: usize,
    archives: Vec<PathBuf>,
    count: usize,
}

impl Log {
    fn new(directory: &Path) -> Self {
        let current = create(directory);
        let directory = directory.to_owned();
        Self { directory, current, bytes: 0, archives: Vec::new(), count: 0 }
    }

    fn keep(&mut self, mut pipes: Vec<File>) {
        let (mut block, mut lines) = (vec![0; 64 << 10], Vec::with_capacity(128 << 10));
        while !pipes.is_empty() {
            let mut ready: Vec<_> =
                pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
            poll(&mut ready, None).expect("these are pipes");
            let ready: Vec<bool> = ready.iter().map(|one| !one.revents().is_empty()).collect();
            let mut ready = ready.into_iter();
            pipes.retain_mut(|pipe| {
                if ready.next() != Some(true) {
                    return true;
                }
                let count = pipe.read(&mut block).expect("it can be read");
                // Writes of whole lines that fit into a pipe's buffer come whole, or end a block.
                for line in block[..count].split_inclusive(|&byte| byte == b'\n') {
                    if self.bytes + lines.len() + BEFORE.len() + line.len() > FILE_BYTES {
                        self.write(&mut lines);
                        self.rotate();
                    }
                    lines.extend_from_slice(&BEFORE);
                    lines.extend_from_slice(line);
                }
                self.write(&mut lines);
                count > 0
            });
        }
    }

    fn write(&mut self, lines: &mut Vec<u8>) {
        self.current.write_all(lines).expect("there is room");
        self.bytes += lines.len();
        lines.clear();
    }

    fn rotate(&mut self) {
        self.current.set_permissions(Permissions::from_mode(0o744)).expect("it is ours");
        let archive = self.directory.join(format!("@{:024}.s", self.count));
        fs::rename(self.directory.join("current"), &archive).expect("it is ours");
        self.archives.push(archive);
        if self.archives.len() > FILES {
            fs::remove_file(self.archives.remove(0)).expect("it is ours");
        }
        (self.current, self.bytes, self.count) = (create(&self.directory), 0, self.count + 1);
    }
}

fn create(directory: &Path) -> File {
    let path = directory.join("current");
    OpenOptions::new().append(true).create(true).open(path).expect("a directory of our own")
}
