//! Other processors: `ward` must keep building for them. `cross` links it with zig and tries it
//! with an emulator; `check` does that for those that tests have devices of, and only asks the
//! compiler about the others.

use std::fs;
use std::process::Command;

use crate::shell::{Outcome, cargo, failed, run, target, works};
use crate::ward;

/// Rust's name, and the emulator's program and arguments. Rust ships no
/// standard library for MIPS: it is built along.
const TARGETS: &[(&str, &[&str])] = &[
    ("aarch64-unknown-linux-musl", &["qemu-aarch64-static"]),
    ("mipsel-unknown-linux-musl", &["qemu-mipsel-static", "-cpu", "24Kc"]),
    ("mips-unknown-linux-musl", &["qemu-mips-static", "-cpu", "24Kc"]),
];

/// Those that the tests of whole programs run devices of.
const DEVICES: [&str; 2] = ["aarch64", "mipsel"];

/// The other processors, by Rust's name.
pub fn triples() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|(name, _)| *name)
}

pub fn check() -> Outcome {
    // Without linking, which needs nothing but Rust.
    for (name, _) in TARGETS.iter().filter(|(name, _)| !is_one_of(name, &DEVICES)) {
        let mut command = cargo(None);
        command.args(["check", "--quiet", "--package", "device", "--target", name]);
        if !ward::for_size(&mut command)? {
            return Err(failed("it needs `rustup component add rust-src`"));
        }
        run(&mut command)?;
    }
    build(&DEVICES)
}

fn is_one_of(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.starts_with(word))
}

pub fn chore(words: &[String]) -> Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    build(&words)
}

/// Builds for the processors whose names begin so; without words for all.
fn build(words: &[&str]) -> Outcome {
    if !works(cargo(None).args(["zigbuild", "--help"])) {
        return Err(failed("cargo-zigbuild is missing; `./setup` installs it"));
    }
    let is_wanted = |name: &str| words.is_empty() || is_one_of(name, words);
    let wanted: Vec<_> = TARGETS.iter().filter(|(name, _)| is_wanted(name)).collect();
    if wanted.is_empty() {
        return Err(failed("there are no such processors"));
    }
    // All by one call, which has work for more than one core.
    let mut command = cargo(None);
    command.args(["zigbuild", "--quiet", "--release", "--package", "device"]);
    for (name, _) in &wanted {
        command.args(["--target", name]);
    }
    ward::for_size(&mut command)?;
    run(&mut command)?;
    for (name, emulator) in wanted {
        let ward = target().join(name).join("release/ward");
        let bytes = fs::metadata(&ward).map_err(|e| failed(e.to_string()))?.len();
        let tried = match works(Command::new(emulator[0]).arg("--version")) {
            true => {
                run(Command::new(emulator[0]).args(&emulator[1..]).arg(&ward).arg("--version"))?;
                "runs"
            }
            false => "not tried: no emulator",
        };
        println!("{name}: {bytes} bytes, {tried}");
    }
    Ok(())
}
