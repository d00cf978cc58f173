//! The floor: bare loops that only start, end or wait for processes, or make
//! files.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, linkat, mkdirat, mknodat, open, openat, symlinkat,
};

use crate::bench::command;

/// Starts `count` processes (`posix_spawn`), then kills and reaps them; how
/// long each half took.
pub fn start_and_kill(program: &Path, count: usize) -> (Duration, Duration) {
    let mut command = command(program);
    let start = Instant::now();
    let mut children: Vec<Child> = (0..count).map(|_| started(&mut command)).collect();
    let up = start.elapsed();

    let start = Instant::now();
    for child in &mut children {
        child.kill().expect("it is our child");
    }
    for child in &mut children {
        child.wait().expect("it is our child");
    }
    (up, start.elapsed())
}

/// Runs a program `count` times to its end, one after the other.
pub fn run(program: &Path, count: usize) -> Duration {
    let mut command = command(program);
    let start = Instant::now();
    for _ in 0..count {
        started(&mut command).wait().expect("it is our child");
    }
    start.elapsed()
}

/// Makes, for `count` services, the names that a peer's programs look for in a
/// live directory and in a scan directory, and opens what listens.
pub fn names(folder: &Path, count: usize) -> Duration {
    std::fs::create_dir(folder).expect("mkdir");
    std::fs::write(folder.join("empty"), "").expect("a file can be written");
    let start = Instant::now();
    let opened = make_names(folder, count).expect("files can be made in memory");
    let time = start.elapsed();
    // Init keeps them, so closing them is not part of it.
    drop(opened);
    time
}

fn make_names(folder: &Path, count: usize) -> rustix::io::Result<Vec<OwnedFd>> {
    let at = open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (all, own) = (Mode::from_raw_mode(0o755), Mode::from_raw_mode(0o700));
    let mut opened = Vec::new();
    for number in 0..count {
        let path = |file: &str| format!("s{number:05}/{file}");
        let link = |file: &str| linkat(&at, "empty", &at, path(file), AtFlags::empty());
        mkdirat(&at, path(""), all)?;
        symlinkat("../../compiled/servicedirs/program/run", &at, path("run"))?;
        link("down")?;
        mkdirat(&at, path("supervise"), own)?;
        mknodat(&at, path("supervise/control"), FileType::Fifo, own, 0)?;
        link("supervise/lock")?;
        link("supervise/status")?;
        mkdirat(&at, path("event"), own)?;
        symlinkat(path(""), &at, format!("{number:05}"))?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        opened.push(openat(&at, path("supervise/control"), flags, Mode::empty())?);
    }
    Ok(opened)
}

fn started(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"))
}
