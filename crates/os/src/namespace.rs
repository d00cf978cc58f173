//! The parts of a root directory of one's own, inside new namespaces.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::pivot_root;
use rustix::thread::{
    Gid, LinkNameSpaceType, Uid, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// Where the outer `/proc` lies until there is one inside.
const LENT: &str = "/mnt";

/// Whether processes are numbered here as the machine itself numbers them.
///
/// Source: Linux `include/linux/proc_ns.h`, `PROC_PID_INIT_INO`.
pub fn is_machines() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"))
}

/// What is mounted from now on stays in this mount namespace.
pub fn keep_mounts_private() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?)
}

/// Mounts an empty file system in memory, of at most so many bytes.
pub fn mount_memory(target: &Path, mode: u32, bytes_max: u64) -> io::Result<()> {
    let data = format!("mode={mode:o},size={bytes_max}\0");
    let data = CStr::from_bytes_with_nul(data.as_bytes()).expect("one zero byte, at the end");
    Ok(mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, data)?)
}

/// Keeps the outer `/proc` in sight inside `root`, which is about to be entered:
/// the kernel mounts a new one only for those who see all of an old one.
pub fn lend_proc(root: &Path) -> io::Result<()> {
    bind(Path::new("/proc"), &root.join(&LENT[1..]))
}

/// Mounts the processes of the caller's process namespace at `/proc`, and
/// gives back the one that was lent. Makes system calls and nothing else.
pub fn exchange_proc() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None)?;
    Ok(unmount(LENT, UnmountFlags::DETACH)?)
}

/// Mounts the devices of the caller's network namespace.
pub fn mount_sys(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    Ok(mount("sysfs", target, "sysfs", flags, None)?)
}

/// Mounts terminals of its own.
pub fn mount_terminals(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    Ok(mount("devpts", target, "devpts", flags, c"newinstance,ptmxmode=0666,mode=0620")?)
}

/// Shows `source`, and what is mounted below it, at `target` too.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount_bind_recursive(source, target)?)
}

/// The same, and nobody can write to it through `target`.
pub fn bind_read_only(source: &Path, target: &Path) -> io::Result<()> {
    bind(source, target)?;
    // A mount from a namespace with more rights keeps its restrictions, and
    // a change that does not repeat them is refused. What is said of access
    // times stays as it is where nothing is said (`mount(2)`).
    let kept = statvfs(target)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (said, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        if kept.contains(said) {
            flags |= flag;
        }
    }
    Ok(mount_remount(target, flags, c"")?)
}

/// Makes `root`, a mount point, the root of everything in this mount
/// namespace, and forgets the old one. The current directory is `/` then.
pub fn enter_root(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    // The old root on top of the new one, at the same place, and away with it
    // (`pivot_root(2)`): no directory is needed to keep it in.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

/// What is made from now on can be written by its owner, read by all.
pub fn usual_umask() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

/// Becomes user and group 0 of this user namespace, in no other group.
pub fn become_root() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    Ok(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?)
}

/// Moves this thread, and those that it starts from now on, into the network namespace at `path`.
pub fn enter_network(path: &Path) -> io::Result<()> {
    let namespace = std::fs::File::open(path)?;
    let kind = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?)
}
