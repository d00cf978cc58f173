//! How full file systems are that belong to this device.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use engine::doctor::FileSystem;
use model::limits::PAGE_FILE_SYSTEMS_MAX;
use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use crate::deploy::mounts::{self, Mount};

/// Kinds that lie on flash, on disks and in memory. One of a server may not answer for hours.
const KINDS: [&str; 10] =
    ["jffs2", "ubifs", "squashfs", "tmpfs", "ext4", "ext2", "vfat", "f2fs", "btrfs", "xfs"];

/// Kinds of which it is no matter how full they are, and those whose server may be silent.
const PASSED_OVER: [&str; 9] =
    ["devtmpfs", "overlay", "nfs", "nfs4", "cifs", "9p", "fuse", "efivarfs", "hugetlbfs"];

/// All of the known kinds, in the order in which they were mounted.
pub fn all() -> Vec<FileSystem> {
    let mut all: Vec<FileSystem> = Vec::new();
    for mount in mounts::all().into_iter().filter(|mount| KINDS.contains(&mount.kind.as_str())) {
        let Some((one, _)) = look(mount) else { continue };
        // What is mounted over another hides that.
        all.retain(|known| known.place != one.place);
        if all.len() < PAGE_FILE_SYSTEMS_MAX {
            all.push(one);
        }
    }
    all
}

/// Those that can be written, each once.
pub fn writable() -> Vec<FileSystem> {
    let (mut found, mut seen): (Vec<FileSystem>, Vec<u64>) = (Vec::new(), Vec::new());
    for mount in mounts::all() {
        if PASSED_OVER.contains(&mount.kind.as_str()) || mount.kind.starts_with("fuse.") {
            continue;
        }
        let Ok(device) = fs::metadata(&mount.point).map(|meta| meta.dev()) else { continue };
        let Some((one, room)) = look(mount) else { continue };
        if !room.f_flag.contains(StatVfsMountFlags::RDONLY) && !seen.contains(&device) {
            seen.push(device);
            found.push(one);
        }
    }
    found
}

/// Bytes that are free where a path lies.
pub fn free(path: &Path) -> Option<u64> {
    statvfs(path).ok().map(|room| bytes_free(&room))
}

/// `None`: what has no size is a window into the kernel.
fn look(mount: Mount) -> Option<(FileSystem, StatVfs)> {
    let room = statvfs(&mount.point).ok()?;
    let one = FileSystem {
        place: mount.point.display().to_string(),
        kind: mount.kind,
        bytes: room.f_blocks.saturating_mul(room.f_frsize),
        free: bytes_free(&room),
        nodes: room.f_files,
        nodes_free: room.f_favail,
    };
    (one.bytes > 0).then_some((one, room))
}

/// Those that anybody could still write.
fn bytes_free(room: &StatVfs) -> u64 {
    room.f_bavail.saturating_mul(room.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_this_system_are_looked_at_without_harm() {
        for one in all().into_iter().chain(writable()) {
            assert!(one.free <= one.bytes && one.bytes > 0, "{one:?}");
        }
    }
}
