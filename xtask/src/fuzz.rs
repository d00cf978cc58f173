//! `fuzz`: looks for bytes that hurt a target of tests/fuzz, for a bounded time.
//! With a C++ compiler libFuzzer does, otherwise a loop of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Failed, Outcome, cargo, failed, root, run, target, works};

/// What libFuzzer needs to see where the bytes went.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

pub fn chore(words: &[String]) -> Outcome {
    let wanted = arguments(words)?;
    let fuzzer = match wanted.plain || !works(Command::new("c++").arg("--version")) {
        true => Fuzzer::plain()?,
        false => Fuzzer::libfuzzer()?,
    };
    let known = fuzzer.targets()?;
    let known: Vec<&str> = known.lines().collect();
    if let Some(wrong) = wanted.targets.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(failed(format!("there is no target {wrong}; there are {}", known.join(", "))));
    }
    let chosen: Vec<&str> = match wanted.targets.is_empty() {
        true => known,
        false => wanted.targets.iter().map(String::as_str).collect(),
    };
    let each = (wanted.seconds / chosen.len().max(1) as u64).max(1);
    for name in chosen {
        println!("--- {name}, {each} s");
        // New finds go beside the corpus, not into it: a person chooses what to keep.
        let found = target().join("fuzz/found").join(name);
        fs::create_dir_all(&found).map_err(|e| failed(format!("{}: {e}", found.display())))?;
        fuzzer
            .look(name, each, &root().join("tests/fuzz/corpus").join(name), &found)
            .map_err(|_| failed(format!("{name} was hurt; the bytes lie in target/fuzz")))?;
    }
    Ok(())
}

/// What looks for bytes that hurt.
struct Fuzzer {
    program: PathBuf,
    /// It is libFuzzer, which sees where the bytes go.
    guided: bool,
}

impl Fuzzer {
    fn targets(&self) -> Result<String, Failed> {
        let mut command = Command::new(&self.program);
        command.args(self.guided.then_some("--list-targets"));
        let output = command.output();
        let output = output.map_err(|e| failed(format!("{}: {e}", self.program.display())))?;
        String::from_utf8(output.stdout).map_err(|e| failed(e.to_string()))
    }

    fn look(&self, name: &str, seconds: u64, corpus: &Path, found: &Path) -> Outcome {
        let mut command = Command::new(&self.program);
        if !self.guided {
            return run(command.arg(name).arg(seconds.to_string()).arg(corpus).arg(found));
        }
        let hurts = target().join("fuzz").join(format!("hurts-{name}-"));
        run(command
            .env("FUZZ_TARGET", name)
            .arg(found)
            .arg(corpus)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}", hurts.display()))
            .args(["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
            .args(["-verbosity=0"]))
    }

    /// Changes on dice: needs nothing but Rust, and sees nothing.
    fn plain() -> Result<Self, Failed> {
        run(cargo(None).args(["build", "--quiet", "--profile", "play", "--package", "fuzz"]))?;
        Ok(Self { program: target().join("play/fuzz"), guided: false })
    }

    /// Builds libFuzzer, a package outside the workspace: libFuzzer's own library is
    /// C++, and nothing else should have to build it. The nightly compiler adds the
    /// address sanitizer; without it the counters alone still steer.
    fn libfuzzer() -> Result<Self, Failed> {
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
        Ok(Self { program: folder.join(triple).join("release/fuzzer"), guided: true })
    }
}

/// What the command line asks for.
struct Wanted {
    /// None: all.
    targets: Vec<String>,
    /// Which they share.
    seconds: u64,
    plain: bool,
}

fn arguments(words: &[String]) -> Result<Wanted, Failed> {
    let usage = || failed("usage: cargo xtask fuzz [TARGET...] [--seconds N] [--plain]");
    let mut wanted = Wanted { targets: Vec::new(), seconds: 60, plain: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                wanted.seconds = words.next().and_then(|n| n.parse().ok()).ok_or_else(usage)?;
            }
            "--plain" => wanted.plain = true,
            option if option.starts_with('-') => return Err(usage()),
            name => wanted.targets.push(name.to_owned()),
        }
    }
    Ok(wanted)
}
