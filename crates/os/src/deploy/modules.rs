//! Modules of the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

/// Loads the module that the file `NAME.ko` in `folder` is; `.ko` may be said. One that the kernel
/// has already needs no file.
pub fn load(folder: &Path, name: &str, parameters: &str) -> io::Result<()> {
    let name = name.strip_suffix(".ko").unwrap_or(name);
    let file = match File::open(folder.join(format!("{name}.ko"))) {
        // The kernel writes its name so.
        Err(_) if Path::new("/sys/module").join(name.replace('-', "_")).exists() => return Ok(()),
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
