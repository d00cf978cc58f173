//! The `ward` that ships: built together with a standard library made for size.
//!
//! The one that comes with Rust carries what prints backtraces: a reader of
//! debug information, an unwinder and its tables, a third of `ward`. The flag
//! that builds another is not stable, so the stable compiler has to be told to
//! take it; without the sources of the library (the component `rust-src`) the
//! plain one is used, and that is said.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Failed, cargo, failed, run, target};

/// The processor that tests, `run` and `bench` build for.
pub const HERE: &str = "x86_64-unknown-linux-musl";

/// The names that people know some of its commands by (`crates/host/src/main.rs`).
pub const NAMES: [&str; 3] = ["liminix-rebuild", "min-collect-garbage", "min-copy-closure"];

/// A program that somebody has built already, such as a test that calls a chore: where builds
/// are told to look for theirs (`DOORWARD_PROGRAMS`).
fn given(triple: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DOORWARD_PROGRAMS")?;
    let program = Path::new(&folder).join(triple).join("release").join(name);
    program.exists().then_some(program)
}

/// Builds `ward` for a device, optimised, and gives its path.
pub fn release(triple: &str) -> Result<PathBuf, Failed> {
    if let Some(program) = given(triple, "ward") {
        return Ok(program);
    }
    let mut command = cargo(None);
    command.args(["build", "--quiet", "--release", "--package", "device", "--target", triple]);
    if !for_size(&mut command)? {
        eprintln!(
            "the standard library's sources are missing (`rustup component add rust-src`): \
             ward becomes a third larger"
        );
    }
    run(&mut command)?;
    Ok(target().join(triple).join("release/ward"))
}

/// Builds the `doorward` that Nix runs inside of builds, where there is no C library to find, and
/// gives its path. It is a whole `doorward` for people, too: target/bin has it, for their PATH.
pub fn builder() -> Result<PathBuf, Failed> {
    let program = match given(HERE, "doorward") {
        Some(program) => program,
        None => built()?,
    };
    let folder = target().join("bin");
    let linked = std::fs::create_dir_all(&folder).and_then(|()| {
        [&["doorward"][..], &NAMES].concat().iter().try_for_each(|name| {
            let partial = folder.join(format!(".{name}.{}", std::process::id()));
            symlink(&program, &partial)?;
            std::fs::rename(partial, folder.join(name))
        })
    });
    linked.map_err(|error| failed(format!("{}: {error}", folder.display())))?;
    Ok(program)
}

fn built() -> Result<PathBuf, Failed> {
    run(cargo(None).args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "host",
        "--target",
        HERE,
    ]))?;
    Ok(target().join(HERE).join("release/doorward"))
}

/// Lets a command of cargo build a `ward` for devices; `false` where the sources of the standard
/// library are not there, and it becomes larger.
pub fn for_size(command: &mut Command) -> Result<bool, Failed> {
    let built = with_library(command)?;
    if built {
        command.args(["--features", "device/for-size"]);
    }
    Ok(built)
}

/// Lets a command of cargo take in the standard library, too; `false` where its sources are not there.
pub fn with_library(command: &mut Command) -> Result<bool, Failed> {
    let printed = Command::new("rustc").args(["--print", "sysroot"]).output();
    let printed = printed.map_err(|error| failed(format!("cannot start rustc: {error}")))?;
    let sysroot = String::from_utf8_lossy(&printed.stdout);
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    if !sources.exists() {
        return Ok(false);
    }
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
        // Where in the sources each of some thousand checks stands is a twentieth of `ward`. What a
        // panic says is still said.
        .arg("--config")
        .arg("target.'cfg(target_env = \"musl\")'.rustflags=[\"-Zlocation-detail=none\"]");
    Ok(true)
}
