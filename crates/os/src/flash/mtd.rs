//! Partitions of the flash by their names.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use model::flash::partition::number_of;

use crate::sys::blkpg;

/// The number of the flash or partition of this name.
fn find(name: &str) -> io::Result<u32> {
    let list = fs::read_to_string("/proc/mtd")?;
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("no partition is called {name}"));
    number_of(&list, name).ok_or_else(none)
}

/// What to mount for `source`: of `mtd:NAME`, which JFFS2 understands itself, other file systems
/// need the block device.
pub fn source(kind: &str, source: &str) -> io::Result<String> {
    match source.strip_prefix("mtd:") {
        Some(name) if kind != "jffs2" => Ok(format!("/dev/mtdblock{}", find(name)?)),
        _ => Ok(source.to_owned()),
    }
}

/// Adds a partition to a flash; one of this name that is there already stays as it is.
///
/// The kernel has no word for a partition that cannot be written to: `read_only` takes the
/// permission to write from its device files, which keeps everybody but root from it.
pub fn add_partition(
    flash: &str,
    name: &str,
    offset: u64,
    bytes: u64,
    read_only: bool,
) -> io::Result<()> {
    let device = format!("/dev/mtd{}", find(flash)?);
    if find(name).is_err() {
        let device = fs::File::options().read(true).write(true).open(device)?;
        blkpg::add(device, name, offset, bytes)?;
    }
    if read_only {
        let number = find(name)?;
        let only_read = fs::Permissions::from_mode(0o444);
        fs::set_permissions(format!("/dev/mtd{number}"), only_read.clone())?;
        // It is there if the module for it is.
        let _ = fs::set_permissions(format!("/dev/mtdblock{number}"), only_read);
    }
    Ok(())
}
