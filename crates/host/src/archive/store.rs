//! The folder of downloaded packages, and the lock that says what is in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::Failure;

use super::apt::Apt;
use super::lock::{Lock, Package, Packages, replace};
use super::resolve;

/// Downloaded packages: `ARCHITECTURE/FILE.deb`, `lock.json` with exactly those that are there,
/// and `bootstrap/busybox`, which unpacks them inside of builds.
pub struct Store {
    pub(super) folder: PathBuf,
}

/// What became of the packages of one architecture.
pub enum Fetched {
    /// They were there.
    There,
    /// This many were downloaded.
    Downloaded(usize),
    /// The archive has some in other versions than the lock file, and this many were downloaded.
    Moved(usize, Vec<Move>),
}

/// A package in another version than before.
pub struct Move {
    pub name: String,
    /// Before; `None`: it was not there.
    pub from: Option<String>,
    /// Now; `None`: it is not there any more.
    pub to: Option<String>,
}

/// What differs between the packages of two locks, by name.
pub fn moves(before: &Packages, now: &Packages) -> Vec<Move> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let version =
        |packages: &Packages, name| packages.get(name).map(|it: &Package| it.version.clone());
    let all = names.into_iter().map(|name| Move {
        name: name.clone(),
        from: version(before, name),
        to: version(now, name),
    });
    all.filter(|it| it.from != it.to).collect()
}

impl Store {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub fn apt(&self, architecture: &str) -> Result<Apt, Failure> {
        Apt::new(architecture, &self.folder.join("apt"))
    }

    /// Keeps other fetchers out of the folder, for as long as the file is open.
    pub(super) fn alone(&self) -> Result<fs::File, Failure> {
        let path = self.folder.join("busy");
        fs::create_dir_all(&self.folder).map_err(|error| refused(&self.folder, &error))?;
        let file = fs::File::create(&path).map_err(|error| refused(&path, &error))?;
        file.lock().map_err(|error| refused(&path, &error))?;
        Ok(file)
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.folder.join("lock.json")
    }

    /// Sees to it that all packages of `architecture` are there.
    ///
    /// An archive keeps a version until a newer one mends it. Where one is gone, the newest
    /// versions are taken: their checksums come with the archive's signature, and a build with
    /// them beats none. With `locked` that is an error instead.
    pub fn fetch(
        &self,
        lock: &Lock,
        wanted: &Path,
        architecture: &str,
        locked: bool,
    ) -> Result<Fetched, Failure> {
        let Some(packages) = lock.0.get(architecture) else {
            return Err(Failure::refused(format!(
                "the lock file has no packages for {architecture}"
            ))
            .hint("`doorward packages lock` adds them"));
        };
        let _alone = self.alone()?;
        let kept = Lock::read_if_there(&self.lock_path())?;
        // What was taken for want of the locked ones goes on to count, unless more is wanted by now.
        let names = resolve::wanted(wanted, architecture)?;
        let moved = kept.0.get(architecture).filter(|kept| {
            *kept != packages && !locked && names.iter().all(|name| kept.contains_key(name))
        });
        for known in [Some(packages), moved].into_iter().flatten() {
            if self.missing(architecture, known)?.is_empty() {
                self.keep(architecture, known)?;
                return Ok(Fetched::There);
            }
        }
        let apt = self.apt(architecture)?;
        apt.update()?;
        let gone = gone(&apt, packages)?;
        if gone.is_empty() {
            let count = self.download(&apt, architecture, packages)?;
            return Ok(Fetched::Downloaded(count));
        }
        if locked {
            return Err(Failure::not_achieved(format!(
                "the archive no longer has {}",
                gone.join(", ")
            ))
            .hint("`doorward packages lock` takes the newest versions"));
        }
        let newest = resolve::resolve(&apt, &names)?;
        let count = self.download(&apt, architecture, &newest)?;
        let mut moved = moves(packages, &newest);
        moved.retain(|it| it.to.is_some());
        Ok(Fetched::Moved(count, moved))
    }

    /// The packages whose file is not there as it should be.
    fn missing(&self, architecture: &str, packages: &Packages) -> Result<Vec<String>, Failure> {
        let folder = self.folder.join(architecture);
        let mut missing = Vec::new();
        for (name, package) in packages {
            let path = folder.join(&package.file);
            // Checksums are for what comes from outside: Nix checks them again in any case.
            if fs::metadata(&path).map(|about| about.len()).ok() != Some(package.size) {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    /// Downloads what is missing, checks it, and says in the lock that it is there.
    pub fn download(
        &self,
        apt: &Apt,
        architecture: &str,
        packages: &Packages,
    ) -> Result<usize, Failure> {
        let missing = self.missing(architecture, packages)?;
        if !missing.is_empty() {
            let words: Vec<String> =
                missing.iter().map(|name| format!("{name}={}", packages[name].version)).collect();
            let from = apt.download(&words)?;
            let to = self.folder.join(architecture);
            fs::create_dir_all(&to).map_err(|error| refused(&to, &error))?;
            for name in &missing {
                let package = &packages[name];
                let file = from.join(&package.file);
                check(&file, &package.sha256)?;
                let place = to.join(&package.file);
                fs::rename(&file, &place).map_err(|error| refused(&place, &error))?;
            }
        }
        self.keep(architecture, packages)?;
        Ok(missing.len())
    }

    fn keep(&self, architecture: &str, packages: &Packages) -> Result<(), Failure> {
        if let Some(busybox) = packages.get("busybox-static") {
            self.bootstrap(&self.folder.join(architecture).join(&busybox.file))?;
        }
        let path = self.lock_path();
        let mut kept = Lock::read_if_there(&path)?;
        if kept.0.insert(architecture.to_owned(), packages.clone()).as_ref() == Some(packages) {
            return Ok(());
        }
        kept.write(&path)
    }

    /// Takes the one program out of its package that can take all others out of theirs.
    fn bootstrap(&self, package: &Path) -> Result<(), Failure> {
        let folder = self.folder.join("bootstrap");
        let place = folder.join("busybox");
        // The name of the package that it is from: a newer one replaces it.
        let note = self.folder.join("bootstrap-from");
        let name = package.file_name().unwrap_or_default().as_encoded_bytes();
        if place.exists() && fs::read(&note).is_ok_and(|from| from == name) {
            return Ok(());
        }
        let cannot = |error: io::Error| Failure::refused(format!("cannot unpack busybox: {error}"));
        let mut unpack = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(package)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let tar = unpack.stdout.take().expect("it was asked for");
        let busybox = Command::new("tar")
            .args(["-xO", "./bin/busybox"])
            .stdin(tar)
            .output()
            .map_err(cannot)?;
        unpack.wait().map_err(cannot)?;
        if !busybox.status.success() || busybox.stdout.is_empty() {
            return Err(Failure::refused("cannot unpack busybox: its package holds none"));
        }
        fs::create_dir_all(&folder).map_err(|error| refused(&folder, &error))?;
        replace(&place, &busybox.stdout).map_err(|error| refused(&place, &error))?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&place, executable).map_err(|error| refused(&place, &error))?;
        replace(&note, name).map_err(|error| refused(&note, &error))
    }
}

/// Locked packages that the archive no longer has with the same bytes.
fn gone(apt: &Apt, packages: &Packages) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = packages.keys().cloned().collect();
    let stanzas = apt.show(&names)?;
    let is_there = |name: &str, package: &Package| {
        stanzas.iter().any(|stanza| {
            stanza.field("Package") == Some(name)
                && stanza.field("SHA256") == Some(package.sha256.as_str())
        })
    };
    let gone = packages.iter().filter(|(name, package)| !is_there(name, package));
    Ok(gone.map(|(name, package)| format!("{name} {}", package.version)).collect())
}

/// Compares a file with its checksum; a wrong one is taken away.
fn check(file: &Path, sha256: &str) -> Result<(), Failure> {
    let output = Command::new("sha256sum").arg(file).output();
    let output = output.map_err(|e| Failure::refused(format!("cannot run sha256sum: {e}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // It begins with a backslash where the name of the file holds something odd.
    let found = said.trim_start_matches('\\').split(' ').next().unwrap_or_default();
    if found == sha256 {
        return Ok(());
    }
    let _ = fs::remove_file(file);
    Err(Failure::refused(format!("{} is not what the lock file says: {found}", file.display())))
}

pub(super) fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}
