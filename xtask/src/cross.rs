//! `cross`: `ward` for the processors of routers, linked with zig, tried with an emulator.

use std::fs;
use std::process::Command;

use crate::shell::{Outcome, cargo, failed, run, target, works};

/// Rust's name, the emulator's program and arguments, and whether Rust ships a
/// standard library for it (otherwise the nightly compiler builds one).
const TARGETS: &[(&str, &[&str], bool)] = &[
    ("aarch64-unknown-linux-musl", &["qemu-aarch64-static"], true),
    ("mipsel-unknown-linux-musl", &["qemu-mipsel-static", "-cpu", "24Kc"], false),
    ("mips-unknown-linux-musl", &["qemu-mips-static", "-cpu", "24Kc"], false),
];

pub fn chore(words: &[String]) -> Outcome {
    if !works(cargo(None).args(["zigbuild", "--version"])) {
        return Err(failed("cargo-zigbuild is missing; `./setup cross` installs it"));
    }
    let nightly =
        works(Command::new("rustup").args(["component", "list", "--toolchain", "nightly"]));
    let mut built = 0;
    for (name, emulator, has_std) in TARGETS {
        if !words.is_empty() && !words.iter().any(|word| name.starts_with(word.as_str())) {
            continue;
        }
        if *has_std {
            run(&mut zigbuild(None, name))?;
        } else if nightly {
            run(Command::new("rustup").args([
                "--quiet",
                "component",
                "add",
                "rust-src",
                "--toolchain",
                "nightly",
            ]))?;
            run(zigbuild(Some("nightly"), name).arg("-Zbuild-std=std,panic_abort"))?;
        } else {
            println!("{name}: left out, it needs `rustup toolchain install nightly`");
            continue;
        }
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

fn zigbuild(toolchain: Option<&str>, name: &str) -> Command {
    let mut command = cargo(toolchain);
    command.args(["zigbuild", "--quiet", "--release", "--package", "device", "--target", name]);
    command
}
