//! Modules of the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

/// Loads the module that the file `NAME.ko` in `folder` is; `.ko` may be said. One that is loaded
/// already is fine.
pub fn load(folder: &Path, name: &str, parameters: &str) -> io::Result<()> {
    let name = name.strip_suffix(".ko").unwrap_or(name);
    let file = File::open(folder.join(format!("{name}.ko")))?;
    match finit_module(file, &CString::new(parameters)?, 0) {
        Err(error) if error != Errno::EXIST => Err(error.into()),
        _ => Ok(()),
    }
}
