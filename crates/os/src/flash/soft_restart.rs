//! What Linux does for a soft restart: out of the root on flash, and the proof that nothing holds it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::deploy::maintenance::{LOG, OLD, ROOT};
use rustix::mount::{MountFlags, UnmountFlags, mount_move, mount_remount, unmount};
use rustix::process::pivot_root;

use super::holders::is_claimed;
use crate::deploy::mounts;
use crate::namespace;
use crate::processes;
use crate::sys::let_go;
use crate::trouble::{Trouble, While};

/// Bytes of the log that are taken along.
const LOG_BYTES: usize = 256 << 10;

/// What the logger knows besides.
const JOURNAL: &str = crate::log::journal::NAME;

/// What the kernel shows, which goes along.
const SYSTEM: [&str; 3] = ["/dev", "/proc", "/sys"];

/// File systems that lie in memory, or nowhere. Source: `/proc/filesystems` of usual kernels.
const IN_MEMORY: [&str; 22] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// File systems on flash, each a module of the kernel that counts its mounts, also those that
/// nobody sees any more.
const ON_FLASH: [&str; 3] = ["jffs2", "squashfs", "ubifs"];

/// Threads of the kernel that work for a mounted file system: their names begin so.
const WORKERS: [&str; 2] = ["jffs2_gcd_", "ubifs_bgt"];

/// Takes the end of the log along.
pub fn keep_log(directory: &Path) -> io::Result<()> {
    let to = Path::new(ROOT).join(LOG);
    fs::create_dir_all(&to)?;
    let mut names: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.as_encoded_bytes().starts_with(b"@"))
        .collect();
    // The newest first.
    names.sort();
    names.push("current".into());
    let mut left = LOG_BYTES;
    for name in names.iter().rev().take(2) {
        let bytes = fs::read(directory.join(name))?;
        let end = match bytes.len() <= left {
            true => &bytes[..],
            // Its beginning is left out, with the line that would be torn.
            false => {
                let end = &bytes[bytes.len() - left..];
                &end[end.iter().position(|&b| b == b'\n').map_or(end.len(), |at| at + 1)..]
            }
        };
        left -= end.len();
        fs::write(to.join(name), end)?;
    }
    // Which message of the kernel was the last one: it is the same kernel.
    match fs::copy(directory.join(JOURNAL), to.join(JOURNAL)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts what was taken along to where the new system's log goes on from it.
pub fn put_log(directory: &Path) -> io::Result<()> {
    let from = Path::new("/").join(LOG);
    fs::create_dir_all(directory)?;
    if !directory.join("current").exists() {
        for entry in fs::read_dir(&from)?.flatten() {
            fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
    }
    fs::remove_dir_all(from)
}

/// Ends all swap but that in memory.
pub fn end_swap() -> Result<(), Trouble> {
    for path in swaps() {
        let name = CString::new(path.as_str()).unwrap_or_default();
        let_go::end_swap(&name).to(|| format!("end the swap in {path}"))?;
    }
    Ok(())
}

fn swaps() -> Vec<String> {
    let list = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let paths = list.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    paths.filter(|path| !path.starts_with("/dev/zram")).map(str::to_owned).collect()
}

/// Takes devices, processes and what else the kernel shows along to the new root.
pub fn take_along() -> Result<(), Trouble> {
    for path in SYSTEM {
        if mounts::is_mount_point(Path::new(path)).to(|| format!("look at {path}"))? {
            mount_move(path, format!("{ROOT}{path}")).to(|| format!("take {path} along"))?;
        }
    }
    Ok(())
}

/// Makes the new root the root; the old one is below it then.
pub fn enter() -> Result<(), Trouble> {
    std::env::set_current_dir(ROOT)
        .and_then(|()| Ok(pivot_root(".", OLD)?))
        .and_then(|()| std::env::set_current_dir("/"))
        .to(|| format!("make {ROOT} the root directory"))
}

/// Has all loop devices let go of their files.
pub fn free_loops() {
    for name in loops() {
        if let Ok(device) = File::open(format!("/dev/{name}")) {
            let _ = let_go::free_loop(device);
        }
    }
}

/// Loop devices that hold a file.
fn loops() -> Vec<String> {
    let all = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let used = all.filter(|entry| entry.path().join("loop/backing_file").exists());
    used.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Unmounts the old root and all that is mounted in it, the last first; what is left. `between` is called
/// before each, which may take its time.
pub fn unmount_old(between: impl Fn()) -> Vec<PathBuf> {
    let old = Path::new("/").join(OLD);
    let mounted = |old: &Path| -> Vec<PathBuf> {
        mounts::all().into_iter().map(|m| m.point).filter(|point| point.starts_with(old)).collect()
    };
    for point in mounted(&old).iter().rev() {
        between();
        let _ = unmount(point, UnmountFlags::empty());
    }
    let left = mounted(&old);
    if left.is_empty() {
        let _ = fs::remove_dir(old);
    }
    left
}

/// People put an image where they arrive: what was only as large as the system may grow now.
pub fn give_room() -> Result<(), Trouble> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount("/", flags, c"size=50%").to(|| "let the root directory grow")
}

/// What holds flash, or anything else that is not memory: one sentence for each. Nothing: it may be
/// written to.
pub fn holders() -> Vec<String> {
    let mut found: Vec<String> = mounts::all()
        .into_iter()
        .filter(|mount| !IN_MEMORY.contains(&mount.kind.as_str()))
        .map(|mount| format!("{} ({}) is mounted", mount.point.display(), mount.kind))
        .collect();
    found.extend(swaps().into_iter().map(|path| format!("{path} is swap")));
    // The rest is the whole machine's, of which a container is only a part.
    if !namespace::is_machines() {
        return found;
    }
    found.extend(loops().into_iter().map(|name| format!("/dev/{name} holds a file")));
    for kind in ON_FLASH {
        let count = fs::read_to_string(format!("/sys/module/{kind}/refcnt")).unwrap_or_default();
        if count.trim().parse().is_ok_and(|count: u32| count > 0) {
            found.push(format!("a file system of the kind {kind} is in use, and cannot be seen"));
        }
    }
    found.extend(attached_to_flash());
    for (pid, name) in named() {
        if WORKERS.iter().any(|worker| name.starts_with(worker)) {
            found.push(format!("{name} (process {pid}) works for a file system"));
        }
    }
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_block = entry.file_type().is_ok_and(|kind| kind.is_block_device());
        if !is_block || !["mtdblock", "ubiblock"].iter().any(|begin| name.starts_with(begin)) {
            continue;
        }
        if is_claimed(&entry.path()) {
            found.push(format!("/dev/{name} is in use"));
        }
    }
    found
}

/// What UBI has taken. Source: Linux `Documentation/ABI/stable/sysfs-class-ubi`.
fn attached_to_flash() -> Vec<String> {
    let all = fs::read_dir("/sys/class/ubi").into_iter().flatten().flatten();
    let attached = all.filter_map(|entry| {
        let number = fs::read_to_string(entry.path().join("mtd_num")).ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(format!("{name} is attached to /dev/mtd{}", number.trim()))
    });
    attached.collect()
}

/// Processes that have something of these file systems open, or run from there.
pub fn users(points: &[PathBuf]) -> Vec<String> {
    let found = points.iter().filter_map(|point| fs::metadata(point).ok());
    let devices: BTreeSet<u64> = found.map(|found| found.dev()).collect();
    let uses = |pid: u32| processes::held(pid).iter().any(|held| devices.contains(&held.st_dev));
    let using = named().into_iter().filter(|(pid, _)| uses(*pid));
    using.map(|(pid, name)| format!("{name} (process {pid})")).collect()
}

/// All processes and their names.
fn named() -> Vec<(u32, String)> {
    let all = processes::all().unwrap_or_default();
    all.into_iter().filter_map(|pid| Some((pid, processes::name(pid)?))).collect()
}
