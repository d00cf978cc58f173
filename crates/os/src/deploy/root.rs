//! From the ramdisk to the root file system.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::statfs;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::chroot;

/// Kinds of file systems that a ramdisk can be. Source: Linux `include/uapi/linux/magic.h`.
const RAMFS: u64 = 0x8584_58f6;
const TMPFS: u64 = 0x0102_1994;

/// Whether `/` lies in memory, so that all in it may be deleted.
pub fn is_in_memory() -> bool {
    // The type of the number differs between processors; it has 32 bits in all of them.
    statfs("/").is_ok_and(|found| matches!(found.f_type as u64 & 0xffff_ffff, RAMFS | TMPFS))
}

/// Takes what is mounted at `path` along to below `new`; away with it where there is no folder.
pub fn take_along(path: &str, new: &Path) -> io::Result<()> {
    let target = new.join(path.trim_start_matches('/'));
    let made = if target.is_dir() { Ok(()) } else { fs::create_dir(&target) };
    made.and_then(|()| Ok(mount_move(path, &target)?)).inspect_err(|_| {
        let _ = unmount(path, UnmountFlags::DETACH);
    })
}

/// Makes `new`, a mount point, the root of everything, and deletes what was in the old one, which
/// frees its memory. The current directory is `/` then.
pub fn enter(new: &Path) -> io::Result<()> {
    if is_in_memory() {
        clear(Path::new("/"), fs::metadata("/")?.dev());
    }
    std::env::set_current_dir(new)?;
    mount_move(".", "/")?;
    chroot(".")?;
    std::env::set_current_dir("/")
}

/// Deletes what is in a folder and on this device.
fn clear(folder: &Path, device: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(found) if found.dev() != device => {}
            Ok(found) if found.is_dir() => {
                clear(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_in_a_folder_is_deleted_and_links_are_not_followed() {
        let folder = std::env::temp_dir().join(format!("doorward-clear-{}", std::process::id()));
        fs::create_dir_all(folder.join("ramdisk/lib/modules")).expect("folders can be made");
        fs::write(folder.join("kept"), "x").expect("a file can be written");
        fs::write(folder.join("ramdisk/lib/modules/a.ko"), "x").expect("a file can be written");
        std::os::unix::fs::symlink("..", folder.join("ramdisk/up")).expect("a link can be made");
        let device = fs::metadata(&folder).expect("it is there").dev();

        clear(&folder.join("ramdisk"), device + 1);
        assert!(folder.join("ramdisk/lib/modules/a.ko").exists(), "it is on another device");
        clear(&folder.join("ramdisk"), device);
        assert_eq!(fs::read_dir(folder.join("ramdisk")).expect("it is there").count(), 0);
        assert!(folder.join("kept").exists());
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}
