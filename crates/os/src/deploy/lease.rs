//! Who writes to the store, and what nobody may take away meanwhile.
//!
//! All of it lies in memory: a restart ends every copy. The lock of a file ends with the process that
//! holds it, however that comes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::deploy::paths::PathSet;
use model::deploy::store_path::StorePath;
use model::limits::STORE_PATHS_MAX;
use rustix::fs::{FlockOperation, flock};

/// Where locks and leases lie, below the root directory.
const FOLDER: &str = "run/doorward";

/// Bytes of a lease: that many names.
const LEASE_BYTES_MAX: u64 = STORE_PATHS_MAX as u64 * 256;

/// Something that one process does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To bring paths to the store: held as long as a copy takes.
    Receive,
    /// To change which paths there are: held for a moment.
    Change,
}

/// A right that is held until this is dropped.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

fn folder(root: &Path) -> PathBuf {
    root.join(FOLDER)
}

fn open(root: &Path, name: &str) -> io::Result<File> {
    let folder = folder(root);
    fs::create_dir_all(&folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(name))
}

/// Takes a right, if nobody has it; or else the number of the process that does (0: it does not say).
pub fn try_take(root: &Path, right: Right) -> io::Result<Result<Held, u32>> {
    let name = match right {
        Right::Receive => "receive.lock",
        Right::Change => "change.lock",
    };
    let mut file = open(root, name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(Ok(Held { _file: file }))
        }
        Err(rustix::io::Errno::AGAIN) => {
            let mut text = String::new();
            let _ = file.take(16).read_to_string(&mut text);
            Ok(Err(text.trim().parse().unwrap_or(0)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes a right, and waits for it.
pub fn take(root: &Path, right: Right) -> io::Result<Held> {
    let name = match right {
        Right::Receive => "receive.lock",
        Right::Change => "change.lock",
    };
    let mut file = open(root, name)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(Held { _file: file })
}

/// Paths that stay as long as this is not dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
    new: PathBuf,
}

/// What leases say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// Somebody does not know yet what it needs: nothing may go.
    pub everything: bool,
    pub paths: PathSet,
}

impl Lease {
    /// Has everything stay.
    pub fn everything(root: &Path) -> io::Result<Self> {
        let folder = folder(root).join("leases");
        fs::create_dir_all(&folder)?;
        let path = folder.join(std::process::id().to_string());
        let new = path.with_extension("new");
        let file = placed(&path, &new, "*\n")?;
        Ok(Self { file, path, new })
    }

    /// Has only these stay.
    pub fn narrow<'a>(&mut self, paths: impl IntoIterator<Item = &'a StorePath>) -> io::Result<()> {
        let text: String = paths.into_iter().map(|path| format!("{path}\n")).collect();
        self.file = placed(&self.path, &self.new, &text)?;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Puts a file there that is locked from its first moment on.
fn placed(path: &Path, new: &Path, text: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(new)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(text.as_bytes())?;
    fs::rename(new, path)?;
    Ok(file)
}

/// What all leases say. Those of processes that are gone are removed.
pub fn leased(root: &Path) -> io::Result<Leased> {
    let mut all = Leased::default();
    let entries = match fs::read_dir(folder(root).join("leases")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            let _ = fs::remove_file(&path);
            continue;
        }
        let mut text = String::new();
        file.take(LEASE_BYTES_MAX).read_to_string(&mut text)?;
        for line in text.lines() {
            match StorePath::parse(line) {
                Ok(path) => all.paths.add(path),
                Err(_) => all.everything = true,
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_stays_until_the_lease_ends_and_a_right_is_had_once() {
        let root = std::env::temp_dir().join(format!("doorward-lease-{}", std::process::id()));
        let path = StorePath::parse(&format!("{}-x", "a".repeat(32))).expect("it is one");
        assert_eq!(leased(&root).expect("readable"), Leased::default());
        let mut lease = Lease::everything(&root).expect("it can be made");
        assert!(leased(&root).expect("readable").everything);
        lease.narrow([&path]).expect("it can be changed");
        let found = leased(&root).expect("readable");
        assert_eq!((found.everything, found.paths), (false, PathSet::from_iter([path])));
        // Somebody who died holds nothing.
        fs::write(root.join("run/doorward/leases/1"), "*\n").expect("written");
        assert!(!leased(&root).expect("readable").everything);
        drop(lease);
        assert_eq!(leased(&root).expect("readable"), Leased::default());

        let held = try_take(&root, Right::Receive).expect("it can be tried").expect("free");
        let other = try_take(&root, Right::Receive).expect("it can be tried");
        assert_eq!(other.expect_err("it is held"), std::process::id());
        assert!(try_take(&root, Right::Change).expect("it can be tried").is_ok());
        drop(held);
        assert!(try_take(&root, Right::Receive).expect("it can be tried").is_ok());
        fs::remove_dir_all(root).expect("it can be removed");
    }
}
