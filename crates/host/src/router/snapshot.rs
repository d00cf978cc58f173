//! A folder held in memory.
//!
//! Inside the namespaces, root is another user than the one who called, and
//! may not read what that one may: all that is needed is read before.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

enum Kind {
    Folder(Vec<Snapshot>),
    File(Vec<u8>),
    Link(PathBuf),
}

/// A file, a link, or a folder with everything in it.
pub struct Snapshot {
    name: PathBuf,
    mode: u32,
    kind: Kind,
}

impl Snapshot {
    /// Reads all of it. Links stay links; what is neither is left out.
    pub fn read(path: &Path) -> io::Result<Self> {
        let about = fs::symlink_metadata(path)?;
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let mode = about.permissions().mode() & 0o7777;
        let kind = if about.is_symlink() {
            Kind::Link(fs::read_link(path)?)
        } else if about.is_dir() {
            let mut inside = Vec::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() || kind.is_file() || kind.is_symlink() {
                    inside.push(Self::read(&entry.path())?);
                }
            }
            Kind::Folder(inside)
        } else {
            Kind::File(fs::read(path)?)
        };
        Ok(Self { name, mode, kind })
    }

    /// Writes it as `path`, which must not exist.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            Kind::Link(target) => return symlink(target, path),
            Kind::File(bytes) => fs::write(path, bytes)?,
            Kind::Folder(inside) => {
                fs::create_dir(path)?;
                for each in inside {
                    each.write(&path.join(&each.name))?;
                }
            }
        }
        // Last: the umask took some of it away, and a folder may forbid writing.
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}
