//! A maintenance system in memory, made of store paths while the system on flash runs.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::deploy::maintenance::{MARK, OLD, Plan, ROOT, mark, patience_of};
use model::limits::CARRIED_BYTES_MAX;
use rustix::fs::statvfs;
use rustix::mount::{UnmountFlags, unmount};

use crate::deploy::{mounts, root};
use crate::namespace;
use crate::trouble::{Trouble, While};

/// What there is in a root directory besides the store.
const FOLDERS: [&str; 7] = ["boot", "dev", "nix", "nix/store", "proc", "run", "sys"];

/// What was made.
#[derive(Debug, Default)]
pub struct Made {
    /// Bytes of memory that it takes.
    pub bytes: u64,
    /// Files of the device that were taken along, and those that were not there.
    pub carried: Vec<String>,
    pub missing: Vec<String>,
}

/// Whether a restart of this device goes into a maintenance system that lies ready.
pub fn is_ready() -> bool {
    Path::new(ROOT).join(MARK).is_file()
}

/// Whether this is a maintenance system: its root directory has the mark, and lies in memory.
pub fn runs_here() -> bool {
    root::is_in_memory() && Path::new("/").join(MARK).is_file()
}

/// How long nobody may log in to the maintenance system that runs here.
pub fn patience() -> Duration {
    patience_of(&fs::read_to_string(Path::new("/").join(MARK)).unwrap_or_default())
}

/// Makes a maintenance system in place of one that may be there. Until all of it is there a restart
/// is a restart.
///
/// # Errors
/// Nothing is left of it then.
pub fn make(plan: &Plan, carry: bool, patience: Duration, bytes_max: u64) -> Result<Made, Trouble> {
    remove()?;
    let top = Path::new(ROOT);
    let made = fs::create_dir_all(top)
        .and_then(|()| namespace::mount_memory(top, 0o755, bytes_max))
        .to(|| format!("mount memory at {ROOT}"))
        .and_then(|()| fill(top, plan, carry, patience));
    if made.is_err() {
        let _ = remove();
    }
    made
}

fn fill(top: &Path, plan: &Plan, carry: bool, patience: Duration) -> Result<Made, Trouble> {
    for folder in FOLDERS.iter().chain([&OLD]) {
        fs::create_dir(top.join(folder)).to(|| format!("make {ROOT}/{folder}"))?;
    }
    for (path, _) in &plan.stores {
        copy_tree(Path::new(path), &below(top, path)).to(|| format!("copy {path} into memory"))?;
    }
    symlink(&plan.system, top.join("boot/system")).to(|| format!("make {ROOT}/boot/system"))?;
    let mut made = Made::default();
    for path in plan.carried.iter().filter(|_| carry) {
        match carry_file(Path::new(path), &below(top, path)) {
            Ok(()) => made.carried.push(path.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                made.missing.push(path.clone());
            }
            Err(error) => return Err(error).to(|| format!("take {path} along")),
        }
    }
    made.bytes = statvfs(top)
        .map(|found| found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize)
        .to(|| format!("look at {ROOT}"))?;
    crate::files::directory(top)
        .and_then(|folder| {
            crate::files::replace(folder, MARK, self::mark(patience).as_bytes(), 0o644)
        })
        .to(|| format!("make {ROOT}/{MARK}"))?;
    Ok(made)
}

fn below(top: &Path, path: &str) -> PathBuf {
    top.join(path.trim_start_matches('/'))
}

/// Removes a maintenance system, whole or not; whether there was one.
pub fn remove() -> Result<bool, Trouble> {
    let top = Path::new(ROOT);
    // Without the mark it is none, whatever happens next.
    let _ = fs::remove_file(top.join(MARK));
    let mut found = false;
    // Two may have been begun, one over the other.
    while mounts::is_mount_point(top).unwrap_or(false) {
        found = true;
        let gone = unmount(top, UnmountFlags::empty())
            // Somebody stands in it: its memory is free once that one leaves.
            .or_else(|_| unmount(top, UnmountFlags::DETACH));
        gone.to(|| format!("unmount {ROOT}"))?;
    }
    let _ = fs::remove_dir(top);
    Ok(found)
}

/// Copies a file, a link, or a folder with all in it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !found.is_dir() {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        return file.set_permissions(found.permissions());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, found.permissions())
}

/// Copies a secret file, which nobody but root may read over there either.
fn carry_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    File::open(from)?.take(CARRIED_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > CARRIED_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a key"));
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    file.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_with_links_and_permissions() {
        let folder = std::env::temp_dir().join(format!("doorward-copy-{}", std::process::id()));
        let from = folder.join("from");
        fs::create_dir_all(from.join("bin")).expect("folders can be made");
        fs::write(from.join("bin/ward"), "program").expect("a file can be written");
        fs::set_permissions(from.join("bin/ward"), Permissions::from_mode(0o555)).expect("chmod");
        symlink("ward", from.join("bin/reboot")).expect("a link can be made");
        symlink("/nowhere", from.join("gone")).expect("a link can be made");
        copy_tree(&from, &folder.join("to")).expect("it can be copied");
        let to = folder.join("to");
        assert_eq!(fs::read(to.join("bin/reboot")).expect("it is there"), b"program");
        assert_eq!(fs::read_link(to.join("gone")).expect("a link"), Path::new("/nowhere"));
        let mode = fs::metadata(to.join("bin/ward")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o555);

        let key = folder.join("key");
        fs::write(&key, "secret").expect("a file can be written");
        fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("chmod");
        let there = to.join("persist/ssh/key");
        carry_file(&key, &there).expect("it can be copied");
        let mode = fs::metadata(&there).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&key, vec![0; CARRIED_BYTES_MAX + 1]).expect("a file can be written");
        assert!(carry_file(&key, &to.join("large")).is_err());
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}
