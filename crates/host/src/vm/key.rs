//! The key that trials log in with: made once, for all of them.
//!
//! It must be there before a device is built that lets it in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::Failure;

use crate::places;

/// The private half, with the public one beside it in `.pub`.
pub fn file() -> Result<PathBuf, Failure> {
    let folder = places::trials();
    let file = folder.join("key");
    if !public(&file).exists() {
        make(&folder, &file)?;
    }
    Ok(file)
}

/// Where the public half of a key lies.
pub fn public(private: &Path) -> PathBuf {
    private.with_extension("pub")
}

fn make(folder: &Path, file: &Path) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::refused(format!("cannot make the key {}: {error}", file.display()))
    };
    fs::create_dir_all(folder).map_err(|error| refused(&error))?;
    // Two trials may begin at once.
    let lock = File::create(folder.join("key.lock")).map_err(|error| refused(&error))?;
    lock.lock().map_err(|error| refused(&error))?;
    if public(file).exists() {
        return Ok(());
    }
    // A half that somebody left.
    let _ = fs::remove_file(file);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "doorward-trials", "-f"]).arg(file);
    let output = keygen.stdin(Stdio::null()).output().map_err(|error| {
        refused(&error).hint("it is made by ssh-keygen (package openssh-client)")
    })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(refused(&String::from_utf8_lossy(&output.stderr).trim())),
    }
}
