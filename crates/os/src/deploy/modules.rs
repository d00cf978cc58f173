//! Modules of the kernel.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

/// Has a folder for each module that is loaded.
const LOADED: &str = "/sys/module";

/// Has the kernel use a piece of memory as flash. Source: Linux `drivers/mtd/devices/phram.c`.
pub fn use_as_flash(
    folder: &Path,
    name: &str,
    (begin, bytes): (u64, u64),
    erase_bytes: u64,
) -> io::Result<()> {
    let piece = format!("{name},{begin},{bytes},{erase_bytes}");
    let loaded = Path::new(LOADED).join("phram/parameters/phram");
    match loaded.exists() {
        // The module takes one piece when it is loaded, and more this way.
        true => fs::write(loaded, piece),
        false => load(folder, "phram", &format!("phram={piece}")),
    }
}

/// Loads the module that the file `NAME.ko` in `folder` is; `.ko` may be said. One that the kernel
/// has already needs no file.
pub fn load(folder: &Path, name: &str, parameters: &str) -> io::Result<()> {
    let name = name.strip_suffix(".ko").unwrap_or(name);
    let file = match File::open(folder.join(format!("{name}.ko"))) {
        // The kernel writes its name so.
        Err(_) if Path::new(LOADED).join(name.replace('-', "_")).exists() => return Ok(()),
        file => file?,
    };
    match finit_module(file, &CString::new(parameters)?, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // The file is there: this is about what it refers to (`init_module(2)`).
        Err(Errno::NOENT) => {
            let why = "it needs another module, which is to be loaded before it";
            Err(io::Error::new(io::ErrorKind::NotFound, why))
        }
        Err(error) => Err(error.into()),
    }
}
