//! Files, folders and links that must be there. What is right already is not touched: this is done at
//! each start, and flash wears.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink,
};
use std::path::{Path, PathBuf};

use model::deploy::generation::{CURRENT, Entry};

/// Sees to it that `entry` is there, below `root`; whether anything had to be done for it.
///
/// # Errors
/// What was there stays. A folder with something in it makes no room for a link or a file.
pub fn put(root: &Path, entry: &Entry) -> io::Result<bool> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let path = below(entry.path());
    let found = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    match entry {
        Entry::Directory { mode, user, group, .. } => {
            let is_there = found.as_ref().is_some_and(Metadata::is_dir);
            if !is_there {
                if found.is_some_and(|found| found.is_symlink()) {
                    fs::remove_file(&path)?;
                }
                // Nobody may enter what does not have its permissions yet.
                fs::DirBuilder::new().mode(0o700).create(&path)?;
            }
            Ok(permit(&path, *mode, *user, *group)? || !is_there)
        }
        Entry::Link { target, .. } => {
            if found.as_ref().is_some_and(Metadata::is_symlink)
                && fs::read_link(&path)? == Path::new(target)
            {
                return Ok(false);
            }
            replace(&path, found, |new| symlink(target, new))?;
            Ok(true)
        }
        Entry::Copy { source, mode, user, group, .. } => {
            let bytes = fs::read(below(source))?;
            let same = |found: &Metadata| {
                found.is_file()
                    && found.len() == bytes.len() as u64
                    && fs::read(&path).is_ok_and(|there| there == bytes)
            };
            if found.as_ref().is_some_and(same) {
                return permit(&path, *mode, *user, *group);
            }
            replace(&path, found, |new| {
                let mut file =
                    File::options().write(true).create_new(true).mode(0o600).open(new)?;
                file.write_all(&bytes)?;
                fchown(&file, Some(*user), Some(*group))?;
                file.set_permissions(Permissions::from_mode(*mode))?;
                // A power cut after the rename must not leave an empty file.
                file.sync_all()
            })?;
            Ok(true)
        }
    }
}

/// Takes away what `entry` of the generation in the folder `generation` has put below `root`; whether
/// it did. What somebody has changed since stays, and so does a folder with something in it.
pub fn take_away(root: &Path, entry: &Entry, generation: &Path) -> io::Result<bool> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let path = below(entry.path());
    let is_as_it_was = match entry {
        Entry::Directory { .. } => {
            let is_empty = fs::remove_dir(&path);
            return Ok(is_empty.is_ok());
        }
        Entry::Link { target, .. } => fs::read_link(&path).is_ok_and(|it| it == Path::new(target)),
        Entry::Copy { source, .. } => {
            let source = match source.strip_prefix(CURRENT) {
                Some(rest) => generation.join(rest.trim_start_matches('/')),
                None => below(source),
            };
            fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
                && fs::read(source)? == fs::read(&path)?
        }
    };
    if is_as_it_was {
        fs::remove_file(&path)?;
    }
    Ok(is_as_it_was)
}

/// Makes a link at `path` lead to `target`, whatever was there.
pub fn link(path: &str, target: &Path) -> io::Result<()> {
    let (path, target) = (path.to_owned(), target.to_string_lossy().into_owned());
    put(Path::new("/"), &Entry::Link { path, target }).map(drop)
}

/// Makes the folders above `path`, and tells whether it, or what is above it, can be written to.
pub fn is_writable(path: &Path) -> io::Result<()> {
    let above = path.parent().unwrap_or(path);
    fs::create_dir_all(above)?;
    let place = if path.is_dir() { path } else { above };
    Ok(rustix::fs::access(place, rustix::fs::Access::WRITE_OK)?)
}

/// Gives a file or folder its owner and permissions, if it has others.
fn permit(path: &Path, mode: u32, user: u32, group: u32) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let is_owned = (found.uid(), found.gid()) == (user, group);
    if !is_owned {
        lchown(path, Some(user), Some(group))?;
    }
    let is_permitted = found.mode() & 0o7777 == mode;
    if !is_permitted || !is_owned {
        // Another owner takes some permissions away (`chown(2)`).
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(!is_owned || !is_permitted)
}

/// Makes something beside `path`, and then it takes its place at once.
fn replace(
    path: &Path,
    found: Option<Metadata>,
    make: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let made = make(&new).or_else(|error| match error.kind() {
        // Left there by a start that was cut off.
        ErrorKind::AlreadyExists => fs::remove_file(&new).and_then(|()| make(&new)),
        _ => Err(error),
    });
    let done = made.and_then(|()| {
        if found.is_some_and(|found| found.is_dir()) {
            fs::remove_dir(path)?;
        }
        fs::rename(&new, path)
    });
    done.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests;
