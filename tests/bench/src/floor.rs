//! The floor: bare loops that only start, end or wait for processes.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

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

fn started(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"))
}
