//! Who uses a partition of the flash: what would break when it is written to.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::partitions::Partition;
use crate::processes;

/// Numbers of the kinds of device files. Source: Linux `Documentation/admin-guide/devices.txt`.
const MTD_MAJOR: u32 = 90;
const MTDBLOCK_MAJOR: u32 = 31;

/// Somebody who uses a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// It is mounted here.
    Mount(String),
    /// It is mounted, or used in another way, where this program does not see it.
    Hidden,
    Swap,
    /// What lies over it: `ubi0`, `loop3`.
    Device(String),
    /// A process has it open, or mapped.
    Process {
        pid: u32,
        name: String,
    },
    /// A process has a file open that lies in it, though it is mounted nowhere any more.
    Inside {
        pid: u32,
        name: String,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(path) => write!(f, "mounted at {path}"),
            Self::Hidden => f.write_str("used by the kernel, perhaps mounted where nobody sees it"),
            Self::Swap => f.write_str("used as swap"),
            Self::Device(name) => write!(f, "used by {name}"),
            Self::Process { pid, name } => write!(f, "open in {name} (process {pid})"),
            Self::Inside { pid, name } => {
                write!(f, "unmounted, but files of it are open in {name} (process {pid})")
            }
        }
    }
}

/// Who uses blocks of `target`, each with the partition by which they do.
pub fn holders<'a>(
    target: &'a Partition,
    all: &'a [Partition],
) -> io::Result<Vec<(&'a Partition, Holder)>> {
    let mut found = BTreeSet::new();
    let overlapping: Vec<&Partition> =
        all.iter().filter(|other| target.overlaps(other, all)).collect();
    let is_ours = |number: u32| overlapping.iter().any(|partition| partition.number == number);
    let mut note = |number: u32, holder: Holder| {
        if is_ours(number) {
            found.insert((number, holder));
        }
    };
    // Most of a small device's are the kernel's: looking into each takes longer than reading the flash.
    let mut pids = processes::all()?;
    pids.retain(|pid| !processes::is_kernels(*pid));
    mounts(&pids, &mut note)?;
    for line in fs::read_to_string("/proc/swaps").unwrap_or_default().lines() {
        if let Some(number) = line.split_whitespace().next().and_then(block_device) {
            note(number, Holder::Swap);
        }
    }
    devices(&mut note);
    processes(&pids, &mut note);
    // Whoever uses files of what is mounted is not worth a word.
    let mounted: BTreeSet<u32> = found
        .iter()
        .filter(|(_, holder)| matches!(holder, Holder::Mount(_)))
        .map(|(number, _)| *number)
        .collect();
    found.retain(|(number, holder)| {
        !matches!(holder, Holder::Inside { .. }) || !mounted.contains(number)
    });
    for partition in &overlapping {
        let known = found.iter().any(|(number, _)| *number == partition.number);
        if !known && is_claimed(Path::new(&format!("/dev/mtdblock{}", partition.number))) {
            found.insert((partition.number, Holder::Hidden));
        }
    }
    let with_partition = |(number, holder)| {
        let of = overlapping.iter().find(|partition| partition.number == number)?;
        Some((*of, holder))
    };
    Ok(found.into_iter().filter_map(with_partition).collect())
}

/// Mounted file systems, in each mount namespace that a process lives in.
fn mounts(pids: &[u32], note: &mut impl FnMut(u32, Holder)) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    let mut read = |process: &str| -> io::Result<()> {
        let namespace = fs::read_link(format!("/proc/{process}/ns/mnt"))?;
        if seen.insert(namespace) {
            for (number, path) in
                mounted(&fs::read_to_string(format!("/proc/{process}/mountinfo"))?)
            {
                note(number, Holder::Mount(path.to_owned()));
            }
        }
        Ok(())
    };
    read("self")?;
    for pid in pids {
        // One that has just ended has nothing mounted.
        let _ = read(&pid.to_string());
    }
    Ok(())
}

/// Partitions and where they are mounted: JFFS2 and what lies on block devices have the same
/// numbers there. Source: Linux `Documentation/filesystems/proc.rst`, `fs/super.c`.
fn mounted(mountinfo: &str) -> impl Iterator<Item = (u32, &str)> {
    mountinfo.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (major, minor) = words.nth(2)?.split_once(':')?;
        let path = words.nth(1)?;
        (major.parse() == Ok(MTDBLOCK_MAJOR)).then_some((minor.parse().ok()?, path))
    })
}

/// The number in `/dev/mtdblock3`.
fn block_device(path: &str) -> Option<u32> {
    path.strip_prefix("/dev/mtdblock")?.parse().ok()
}

/// What the kernel has put over partitions.
fn devices(note: &mut impl FnMut(u32, Holder)) {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries("/sys/class/ubi") {
        if let Ok(number) = fs::read_to_string(entry.path().join("mtd_num"))
            && let Ok(number) = number.trim_end().parse()
        {
            note(number, Holder::Device(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    for entry in entries("/sys/block") {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        let name = || Holder::Device(entry.file_name().to_string_lossy().into_owned());
        if let Some(number) = block_device(file.trim_end()) {
            note(number, name());
        }
        // Such as device mapper, over the block device.
        for below in entries(&entry.path().join("slaves").to_string_lossy()) {
            let below = format!("/dev/{}", below.file_name().to_string_lossy());
            if let Some(number) = block_device(&below) {
                note(number, name());
            }
        }
    }
}

/// Processes that have a device file open or mapped, whatever it is called, or files of what
/// lies in it.
fn processes(pids: &[u32], note: &mut impl FnMut(u32, Holder)) {
    let own = std::process::id();
    for &pid in pids {
        for about in processes::held(pid) {
            let name = || processes::name(pid).unwrap_or_default();
            match partition_of(about.st_mode, about.st_rdev) {
                // What this program has opened itself to write to.
                Some(_) if pid == own => {}
                Some(number) => note(number, Holder::Process { pid, name: name() }),
                None if rustix::fs::major(about.st_dev) == MTDBLOCK_MAJOR => {
                    let number = rustix::fs::minor(about.st_dev);
                    note(number, Holder::Inside { pid, name: name() });
                }
                None => {}
            }
        }
    }
}

/// The partition that a device file stands for.
pub fn partition_of(mode: u32, device: u64) -> Option<u32> {
    const KIND: u32 = 0o170_000;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match (mode & KIND, major) {
        // Each has two: one to write to, and one only to read.
        (0o020_000, MTD_MAJOR) => Some(minor / 2),
        (0o060_000, MTDBLOCK_MAJOR) => Some(minor),
        _ => None,
    }
}

/// Whether something in the kernel has a block device for itself, such as a mounted file system
/// (`open(2)`, `O_EXCL`).
pub fn is_claimed(device: &Path) -> bool {
    let flags = rustix::fs::OFlags::EXCL.bits() as i32;
    let opened = fs::File::options().read(true).custom_flags(flags).open(device);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_flash_are_found_by_their_numbers() {
        let text = "22 1 31:6 / / rw,relatime shared:1 - jffs2 mtd:rootfs rw\n\
                    23 22 0:5 / /dev rw - devtmpfs none rw\n\
                    24 22 31:7 / /persist rw - jffs2 mtd7 rw\n\
                    25 22 31:7 /a\\040b /mnt/x\\040y rw - squashfs /dev/mtdblock7 rw\n\
                    26 22 8:31 / /disk rw - ext4 /dev/sdb15 rw\nnonsense\n";
        let found: Vec<_> = mounted(text).collect();
        assert_eq!(found, [(6, "/"), (7, "/persist"), (7, "/mnt/x\\040y")]);
    }

    #[test]
    fn device_files_stand_for_partitions() {
        let device = |major, minor| rustix::fs::makedev(major, minor);
        for (mode, device, expected) in [
            (0o020_600, device(90, 6), Some(3)),
            (0o020_400, device(90, 7), Some(3)),
            (0o060_600, device(31, 3), Some(3)),
            (0o060_600, device(90, 6), None),
            (0o020_600, device(31, 3), None),
            (0o100_600, device(90, 6), None),
        ] {
            assert_eq!(partition_of(mode, device), expected, "{mode:o}");
        }
    }

    #[test]
    fn numbers_of_block_devices() {
        assert_eq!(block_device("/dev/mtdblock12"), Some(12));
        assert_eq!(block_device("/dev/mtdblock"), None);
        assert_eq!(block_device("/dev/mtd1"), None);
    }
}
