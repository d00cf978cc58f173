//! Mounting and unmounting.

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::trouble::{Trouble, While};

/// Words that are flags of the system call, with what they add and take away; all others are for
/// the file system. Source: `mount(8)`.
const FLAGS: [(&str, MountFlags, MountFlags); 24] = {
    const NONE: MountFlags = MountFlags::empty();
    [
        ("", NONE, NONE),
        ("defaults", NONE, NONE),
        ("nofail", NONE, NONE), // nothing here waits for a mount
        ("ro", MountFlags::RDONLY, NONE),
        ("rw", NONE, MountFlags::RDONLY),
        ("nosuid", MountFlags::NOSUID, NONE),
        ("suid", NONE, MountFlags::NOSUID),
        ("nodev", MountFlags::NODEV, NONE),
        ("dev", NONE, MountFlags::NODEV),
        ("noexec", MountFlags::NOEXEC, NONE),
        ("exec", NONE, MountFlags::NOEXEC),
        ("sync", MountFlags::SYNCHRONOUS, NONE),
        ("async", NONE, MountFlags::SYNCHRONOUS),
        ("dirsync", MountFlags::DIRSYNC, NONE),
        ("noatime", MountFlags::NOATIME, NONE),
        ("atime", NONE, MountFlags::NOATIME),
        ("nodiratime", MountFlags::NODIRATIME, NONE),
        ("relatime", MountFlags::RELATIME, NONE),
        ("strictatime", MountFlags::STRICTATIME, NONE),
        ("lazytime", MountFlags::LAZYTIME, NONE),
        ("silent", MountFlags::SILENT, NONE),
        ("nosymfollow", MountFlags::NOSYMFOLLOW, NONE),
        ("bind", MountFlags::BIND, NONE),
        ("rbind", MountFlags::BIND.union(MountFlags::REC), NONE),
    ]
};

/// The flags that options are, and the others as they were. Of two that contradict the later counts.
fn read_options(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for word in options.split(',') {
        match FLAGS.iter().find(|(name, ..)| *name == word) {
            Some((_, add, remove)) => flags = flags.difference(*remove).union(*add),
            None => data.push(word),
        }
    }
    (flags, data.join(","))
}

/// Mounts a file system of this kind, with options as `mount(8)` has them, and makes the folder
/// for it. Where something is mounted already nothing is done.
pub fn mount_at(kind: &str, source: &str, target: &Path, options: &str) -> io::Result<()> {
    if !target.is_dir() {
        fs::create_dir_all(target)?;
    }
    if is_mount_point(target)? {
        return Ok(());
    }
    let (flags, data) = read_options(options);
    mount(source, target, kind, flags, &*CString::new(data)?)?;
    if flags.contains(MountFlags::BIND) && flags.difference(MountFlags::REC) != MountFlags::BIND {
        // The kernel looks at the other flags only then (`mount(2)`).
        mount_remount(target, flags.difference(MountFlags::REC), c"")?;
    }
    Ok(())
}

/// Whether something is mounted at this path. No /proc is needed for that.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Kernels before 5.8 do not tell: then what is on another device than its folder.
    Ok(fs::metadata(path)?.dev() != fs::metadata(path.join(".."))?.dev())
}

/// Unmounts all that can be, the last first; the rest, and the root, can only be read then.
///
/// # Errors
/// The root file system can still be written to.
pub fn unmount_all() -> Result<(), Trouble> {
    let _ = std::env::set_current_dir("/");
    for Mount { point, .. } in all().iter().rev().filter(|mount| mount.point != Path::new("/")) {
        if unmount(point, UnmountFlags::empty()).is_err() {
            let _ = mount_remount(point, MountFlags::RDONLY, c"");
        }
    }
    mount_remount("/", MountFlags::RDONLY, c"").to(|| "make the root file system read-only")
}

/// Something that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    /// What file system it is.
    pub kind: String,
}

/// All that is mounted, in the kernel's order.
pub fn all() -> Vec<Mount> {
    read_list(&fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// Source: `proc(5)`, `/proc/PID/mountinfo`.
fn read_list(list: &[u8]) -> Vec<Mount> {
    let read = |line: &[u8]| {
        let mut words = line.split(|&b| b == b' ');
        let point = plain(words.nth(4)?);
        // Before it are as many words as there happen to be.
        let kind = words.skip_while(|word| *word != b"-").nth(1).unwrap_or_default();
        Some(Mount { point, kind: String::from_utf8_lossy(kind).into_owned() })
    };
    list.split(|&b| b == b'\n').filter_map(read).collect()
}

/// A path of that list: blanks and backslashes are three octal digits behind a backslash.
fn plain(mut word: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(word.len());
    while let [first, rest @ ..] = word {
        let digits = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                path.push(byte);
                word = &rest[3..];
            }
            None => {
                path.push(*first);
                word = rest;
            }
        }
    }
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_for_the_file_system() {
        let flag = |words: &str| read_options(words).0;
        for (options, flags, data) in [
            ("", MountFlags::empty(), ""),
            ("nosuid,nodev,mode=0755", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755"),
            (
                "size=1m,ro,uid=0,,noatime",
                MountFlags::RDONLY | MountFlags::NOATIME,
                "size=1m,uid=0",
            ),
            ("ro,rw", MountFlags::empty(), ""),
            ("rw,ro", MountFlags::RDONLY, ""),
            ("defaults,sync,dirsync", MountFlags::SYNCHRONOUS | MountFlags::DIRSYNC, ""),
            ("rbind", MountFlags::BIND | MountFlags::REC, ""),
            ("NOSUID,compr=none", MountFlags::empty(), "NOSUID,compr=none"),
        ] {
            assert_eq!(read_options(options), (flags, data.to_owned()), "{options:?}");
        }
        for (no, yes) in [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
            assert_ne!(flag(no), MountFlags::empty());
            assert_eq!(flag(&format!("{no},{yes}")), MountFlags::empty());
        }
    }

    #[test]
    fn mount_points_are_listed_with_their_plain_names() {
        let list = b"21 1 0:19 / / rw - tmpfs root rw\n\
                     22 21 0:20 / /a\\040b\\134 rw,nosuid shared:1 - tmpfs none rw\n\
                     nonsense\n\
                     23 21 0:21 / /c\\09 rw - proc proc rw\n";
        let found = read_list(list);
        let expected = [("/", "tmpfs"), ("/a b\\", "tmpfs"), ("/c\\09", "proc")];
        let expected =
            expected.map(|(point, kind)| Mount { point: point.into(), kind: kind.into() });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_root_is_a_mount_point_and_a_new_folder_is_none() {
        assert!(is_mount_point(Path::new("/")).expect("it can be looked at"));
        assert!(is_mount_point(Path::new("/proc")).expect("it can be looked at"));
        assert!(!is_mount_point(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("it is there"));
    }
}
