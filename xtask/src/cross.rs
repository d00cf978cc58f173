//! Other processors: `ward` must keep building for them (`check` asks the
//! compiler), and `cross` links it with zig and tries it with an emulator.

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

/// The other processors, by Rust's name.
pub fn triples() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|(name, _)| *name)
}

/// Compiles for all of them, without linking: that needs nothing but Rust.
pub fn check() -> Outcome {
    for (name, _) in TARGETS {
        let mut command = cargo(None);
        command.args(["check", "--quiet", "--package", "device", "--target", name]);
        if !ward::for_size(&mut command)? {
            return Err(failed("it needs `rustup component add rust-src`"));
        }
        run(&mut command)?;
    }
    Ok(())
}

pub fn chore(words: &[String]) -> Outcome {
    if !works(cargo(None).args(["zigbuild", "--help"])) {
        return Err(failed("cargo-zigbuild is missing; `./setup` installs it"));
    }
    let mut built = 0;
    for (name, emulator) in TARGETS {
        if !words.is_empty() && !words.iter().any(|word| name.starts_with(word.as_str())) {
            continue;
        }
        let mut command = cargo(None);
        command.args(["zigbuild", "--quiet", "--release", "--package", "device"]);
        command.args(["--target", name]);
        ward::for_size(&mut command)?;
        run(&mut command)?;
        built += 1;
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
    match built {
        0 => Err(failed("nothing was built")),
        _ => Ok(()),
    }
}
