//! Files that QEMU is lent as open ones: nothing of a run has a name that could be left behind.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use cli::Failure;
use os::sys::memory;

/// A file that is gone when nobody holds it any more.
pub fn unnamed() -> Result<File, Failure> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("doorward-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.and_then(|file| fs::remove_file(&path).map(|()| file));
    file.map_err(|error| Failure::refused(format!("cannot make {}: {error}", path.display())))
}

/// The same of so many bytes, all zero, in memory.
pub fn memory(bytes: u64) -> Result<File, Failure> {
    let file = memory::unnamed(c"memory", bytes).map(File::from);
    file.map_err(|error| Failure::refused(format!("cannot reserve {bytes} bytes: {error}")))
}

/// Its name for the program that it is lent to.
pub fn name(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}
