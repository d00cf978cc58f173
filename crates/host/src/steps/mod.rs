//! What Nix has `doorward` do inside of builds: from attributes in a file to a store path.
//!
//! Nothing here asks the machine for anything: all that is read was named by the expressions in
//! nix/, and the same attributes give the same bytes.

pub mod attributes;
pub mod closure;
pub mod firmware;
pub mod image;
pub mod kernel;
pub mod layout;
pub mod levitate;
pub mod manifest;
pub mod modules;
pub mod services;
pub mod system;
pub mod vm;

use std::fs;
use std::path::Path;

use attributes::Wrong;

/// The bytes of a file.
fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file.
fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Wrong> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes a folder, and those above it.
fn make_folder(path: &Path) -> Result<(), Wrong> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}
