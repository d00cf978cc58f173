//! `run`, `bench` and `sim`: chores that hand over to a program of the workspace.

use std::process::Command;

use crate::shell::{Outcome, cargo, failed, root, run, target};
use crate::ward;

/// Builds `ward` for the device and `doorward` for here, and boots `examples/router`.
pub fn chore(words: &[String]) -> Outcome {
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    run(cargo(None).args(["build", "--quiet", "--release", "--package", "host"]))?;
    let ward = ward::release(ward::HERE)?;
    let mut doorward = Command::new(target().join("release/doorward"));
    doorward.arg("run").arg("--ward").arg(ward);
    doorward.arg("examples/router").args(words);
    run(&mut doorward)
}

/// Builds what builds are made with, and fetches the packages; with words also `doorward build`.
pub fn build(words: &[String]) -> Outcome {
    ward::release(ward::HERE)?;
    let doorward = ward::builder()?;
    if words.is_empty() {
        run(Command::new(&doorward).args(["packages", "fetch", "amd64"]))?;
        println!("{}: ready; docs/guide/configuration.md goes on from here", doorward.display());
        return Ok(());
    }
    run(Command::new(&doorward).arg("build").args(words))
}

/// Runs the bench, if this workspace has one.
pub fn bench(words: &[String]) -> Outcome {
    if !root().join("tests/bench/Cargo.toml").exists() {
        return Err(failed("there is no tests/bench"));
    }
    ward::release(ward::HERE)?;
    run(cargo(None).args(["run", "--quiet", "--release", "--package", "bench", "--"]).args(words))
}

/// Plays the simulation: many times the seeds of `make test`, or one of them as
/// a story.
pub fn sim(words: &[String]) -> Outcome {
    let usage = || failed("usage: cargo xtask sim [--seed N] [--times N] [TEST]");
    let mut command = cargo(None);
    command.args(["test", "--profile", "play", "--package", "sim", "--tests"]);
    let (mut seed, mut times, mut test) = (None, 20, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).ok_or_else(usage);
        match word.as_str() {
            "--seed" => seed = Some(number()?),
            "--times" => times = number()?,
            option if option.starts_with('-') => return Err(usage()),
            name => test = Some(name),
        }
    }
    command.env("SEEDS", times.to_string()).arg("--").args(test);
    if let Some(seed) = seed {
        command.env("SEED", seed.to_string()).env("TELL", "1").arg("--nocapture");
    }
    run(&mut command)
}
