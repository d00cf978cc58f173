//! A disk as a power cut sees it: what was written is there for certain once it was synced.
//!
//! `os` implements it with Linux; `sim` with a disk that forgets what was not synced. Paths are
//! relative to the root directory of the device, without a slash before them.

use alloc::vec::Vec;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File {
        executable: bool,
        size: u64,
    },
    Link(Vec<u8>),
    /// What no store path has: a device, a socket.
    Other,
}

pub trait Disk {
    type Error;
    type File;

    /// Makes a folder. One that is there already is an error.
    fn make_folder(&mut self, path: &[u8]) -> Result<(), Self::Error>;
    /// Makes a file, empty. One that is there already is an error.
    fn create(&mut self, path: &[u8], executable: bool) -> Result<Self::File, Self::Error>;
    fn write(&mut self, file: &mut Self::File, bytes: &[u8]) -> Result<(), Self::Error>;
    fn make_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Self::Error>;
    /// Gives something another name, at once. A file or link there is replaced; a folder only where
    /// it is empty.
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Self::Error>;
    /// Removes a file, a link, or an empty folder.
    fn remove(&mut self, path: &[u8]) -> Result<(), Self::Error>;
    /// What is at a path, itself; `None`: nothing.
    fn look(&mut self, path: &[u8]) -> Result<Option<Kind>, Self::Error>;
    /// Names in a folder, in any order.
    fn list(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Reads a file as it lies on the disk; `put` says whether to go on.
    fn read(&mut self, path: &[u8], put: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Self::Error>;

    /// From now on a power cut leaves the bytes of this file as they are.
    fn sync_file(&mut self, file: &Self::File) -> Result<(), Self::Error>;
    /// The same of names in a folder: what is in it, and what is in it no more. Not of what is below.
    fn sync_folder(&mut self, path: &[u8]) -> Result<(), Self::Error>;
    /// The same of all that was done up to now.
    fn sync_all(&mut self) -> Result<(), Self::Error>;
}

/// `folder/name`; only the name where the folder is the root.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + name.len() + 1);
    path.extend_from_slice(folder);
    if !folder.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Makes a folder and those above it, as far as they are not there.
pub fn make_folders<D: Disk>(disk: &mut D, path: &[u8]) -> Result<(), D::Error> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        if disk.look(&path[..end])?.is_none() {
            disk.make_folder(&path[..end])?;
        }
    }
    Ok(())
}

/// Removes what is at a path, with all that is in it; links are not followed.
pub fn remove_all<D: Disk>(disk: &mut D, path: &[u8]) -> Result<(), D::Error> {
    let mut open = alloc::vec![path.to_vec()];
    while let Some(path) = open.last().cloned() {
        if disk.look(&path)? == Some(Kind::Folder) {
            let inside = disk.list(&path)?;
            if !inside.is_empty() {
                // Files go at once, so that no more than one folder's names are held for each level.
                for name in inside {
                    let inner = join(&path, &name);
                    match disk.look(&inner)? {
                        Some(Kind::Folder) => open.push(inner),
                        Some(_) => disk.remove(&inner)?,
                        None => {}
                    }
                }
                continue;
            }
        }
        if disk.look(&path)?.is_some() {
            disk.remove(&path)?;
        }
        open.pop();
    }
    Ok(())
}
