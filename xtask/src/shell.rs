//! Running other programs, and saying how that went.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a chore did not succeed, and with which code it ends. The message is
/// empty where the program that failed has said it already.
#[derive(Debug)]
pub struct Failed {
    pub message: String,
    pub code: u8,
}

pub type Outcome = Result<(), Failed>;

/// A chore that fails with this message.
pub fn failed(message: impl Into<String>) -> Failed {
    Failed { message: message.into(), code: 1 }
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The cargo that runs this chore, or the one of another toolchain.
pub fn cargo(toolchain: Option<&str>) -> Command {
    match toolchain {
        None => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        Some(name) => {
            // Through rustup's own `cargo`, which the variable speaks to.
            let mut command = Command::new("cargo");
            command.env("RUSTUP_TOOLCHAIN", name).env_remove("CARGO").env_remove("RUSTC");
            command
        }
    }
}

/// Runs a command to its end. Its output is the user's to read.
pub fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| {
        failed(format!("cannot start {}: {error}", command.get_program().display()))
    })?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failed { message: String::new(), code: code as u8 }),
        None => Err(failed(format!("{} was killed: {status}", command.get_program().display()))),
    }
}

/// Whether a command starts and succeeds; its output is dropped.
pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
