//! What a device has in its store, and where.

use alloc::string::String;
use alloc::vec::Vec;

use model::deploy::path_info::PathInfo;
use model::deploy::paths::Paths;
use model::deploy::store_path::StorePath;
use model::limits::PATH_INFO_BYTES_MAX;

use super::disk::{Disk, join};

/// Store paths.
pub const STORE: &[u8] = b"nix/store";
/// What is on its way there, and on its way out. It lies in the same folder, so that a rename is one step.
pub const INCOMING: &[u8] = b"nix/store/.incoming";
/// A file for each path that came whole.
pub const INFO: &[u8] = b"nix/var/doorward/info";
/// Links to paths that shall stay, beside generations.
pub const ROOTS: &[u8] = b"nix/var/doorward/roots";

/// Where a path lies.
pub fn place(path: &StorePath) -> Vec<u8> {
    join(STORE, path.as_str().as_bytes())
}

/// Where it lies before it counts.
pub fn staging(path: &StorePath) -> Vec<u8> {
    join(INCOMING, path.as_str().as_bytes())
}

/// The file about it.
pub fn info_place(path: &StorePath) -> Vec<u8> {
    join(INFO, path.as_str().as_bytes())
}

/// All paths that are there, with what is known of them. `None`: only that they are there.
pub type Contents = Paths<Option<PathInfo>>;

/// Reads what the store holds.
pub fn contents<D: Disk>(disk: &mut D) -> Result<Contents, D::Error> {
    let mut found = Contents::default();
    if disk.look(STORE)?.is_none() {
        return Ok(found);
    }
    for name in disk.list(STORE)? {
        let Some(path) = core::str::from_utf8(&name).ok().and_then(|it| StorePath::parse(it).ok())
        else {
            continue;
        };
        let info = info(disk, &path)?;
        found.insert(path, info);
    }
    Ok(found)
}

/// What is known of a path, whether it is there or not.
pub fn info<D: Disk>(disk: &mut D, path: &StorePath) -> Result<Option<PathInfo>, D::Error> {
    let place = info_place(path);
    if disk.look(&place)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    disk.read(&place, &mut |more| {
        bytes.extend_from_slice(more);
        bytes.len() <= PATH_INFO_BYTES_MAX
    })?;
    // A file that a power cut has halved is none.
    Ok(String::from_utf8(bytes).ok().and_then(|text| PathInfo::decode(path, &text).ok()))
}

/// Writes the file about a path. It says nothing as long as the path is not there, and so needs no
/// care of its own: whoever moves the path there has synced it before.
pub fn put_info<D: Disk>(disk: &mut D, info: &PathInfo) -> Result<(), D::Error> {
    let place = info_place(&info.path);
    if disk.look(&place)?.is_some() {
        disk.remove(&place)?;
    }
    let mut file = disk.create(&place, false)?;
    disk.write(&mut file, info.encode().as_bytes())
}
