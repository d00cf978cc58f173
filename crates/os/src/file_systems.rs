//! How full file systems are that belong to this device.

use std::fs;

use model::limits::PAGE_FILE_SYSTEMS_MAX;
use rustix::fs::statvfs;

/// One that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Where it is seen.
    pub place: String,
    pub kind: String,
    pub bytes: u64,
    /// Of them, those that anybody could still write.
    pub free: u64,
}

/// Kinds that lie on flash, on disks and in memory. One of a server may not answer for hours.
const KINDS: [&str; 10] =
    ["jffs2", "ubifs", "squashfs", "tmpfs", "ext4", "ext2", "vfat", "f2fs", "btrfs", "xfs"];

/// All of them, in the order in which they were mounted.
pub fn all() -> Vec<Fill> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        let known = KINDS.contains(&kind);
        let fill = statvfs(known.then_some(place)?).ok()?;
        let bytes = fill.f_blocks.saturating_mul(fill.f_frsize);
        let free = fill.f_bavail.saturating_mul(fill.f_frsize);
        (bytes > 0).then(|| Fill { place: place.into(), kind: kind.into(), bytes, free })
    });
    // What is mounted over another hides that.
    let mut all: Vec<Fill> = Vec::new();
    for one in found {
        all.retain(|known| known.place != one.place);
        if all.len() < PAGE_FILE_SYSTEMS_MAX {
            all.push(one);
        }
    }
    all
}
