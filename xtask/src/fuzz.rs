//! `fuzz`: libFuzzer on the targets of tests/fuzz, for a bounded time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{Outcome, cargo, failed, root, run, target, works};

/// What libFuzzer needs to see where the bytes went.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

pub fn chore(words: &[String]) -> Outcome {
    let (targets, seconds) = arguments(words)?;
    let fuzzer = build()?;
    let known = String::from_utf8(
        Command::new(&fuzzer)
            .arg("--list-targets")
            .output()
            .map_err(|e| failed(format!("{}: {e}", fuzzer.display())))?
            .stdout,
    )
    .map_err(|e| failed(e.to_string()))?;
    let known: Vec<&str> = known.lines().collect();
    if let Some(wrong) = targets.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(failed(format!("there is no target {wrong}; there are {}", known.join(", "))));
    }
    let chosen: Vec<&str> = match targets.is_empty() {
        true => known,
        false => targets.iter().map(String::as_str).collect(),
    };
    let each = (seconds / chosen.len().max(1) as u64).max(1);
    for name in chosen {
        println!("--- {name}, {each} s");
        // New finds go beside the corpus, not into it: a person chooses what to keep.
        let found = target().join("fuzz/found").join(name);
        fs::create_dir_all(&found).map_err(|e| failed(format!("{}: {e}", found.display())))?;
        run(Command::new(&fuzzer)
            .env("FUZZ_TARGET", name)
            .arg(&found)
            .arg(root().join("tests/fuzz/corpus").join(name))
            .arg(format!("-max_total_time={each}"))
            .arg(format!("-artifact_prefix={}/crash-{name}-", target().join("fuzz").display()))
            .args(["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
            .args(["-verbosity=0"]))
        .map_err(|_| failed(format!("{name} was hurt; the bytes lie in target/fuzz")))?;
    }
    Ok(())
}

/// Targets by name (none: all), and how many seconds they share.
fn arguments(words: &[String]) -> Result<(Vec<String>, u64), crate::shell::Failed> {
    let usage = || failed("usage: cargo xtask fuzz [TARGET...] [--seconds N]");
    let (mut targets, mut seconds) = (Vec::new(), 60);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                seconds = words.next().and_then(|n| n.parse().ok()).ok_or_else(usage)?;
            }
            option if option.starts_with('-') => return Err(usage()),
            name => targets.push(name.to_owned()),
        }
    }
    Ok((targets, seconds))
}

/// Builds the fuzzer, a package outside the workspace: libFuzzer's own library is
/// C++, and nothing else should have to build it. The nightly compiler adds the
/// address sanitizer; without it the counters alone still steer.
fn build() -> Result<PathBuf, crate::shell::Failed> {
    let triple = "x86_64-unknown-linux-gnu";
    let nightly = works(cargo(Some("nightly")).arg("--version"));
    let folder = target().join("fuzz");
    let mut flags = COVERAGE.to_owned();
    if nightly {
        flags.push_str(" -Zsanitizer=address");
    }
    run(cargo(nightly.then_some("nightly"))
        .env("RUSTFLAGS", flags)
        .args(["build", "--quiet", "--release", "--target", triple])
        .arg("--manifest-path")
        .arg(root().join("tests/fuzz/libfuzzer/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder))?;
    Ok(folder.join(triple).join("release/fuzzer"))
}
