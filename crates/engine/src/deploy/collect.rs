//! What nobody needs goes: paths first that refer to others, so that none is left without what it needs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::deploy::closure::reachable;
use model::deploy::store_path::{ALPHABET, HASH_LETTERS, StorePath};

use super::archive::{self, NoArchive};
use super::disk::{Disk, Kind, join, make_folders, remove_all};
use super::store::{self, Contents, INCOMING, INFO, STORE};

/// What each path refers to, as far as it is there.
pub type References = BTreeMap<StorePath, Vec<StorePath>>;

/// Finds out what each path refers to: what is known, or else what stands in its files.
pub fn references<D: Disk>(
    disk: &mut D,
    contents: &Contents,
) -> Result<References, NoArchive<D::Error>> {
    let mut found = References::new();
    for (path, info) in contents {
        let references = match info {
            Some(info) => info.references.clone(),
            None => mentioned(disk, path, contents)?,
        };
        found.insert(path.clone(), references);
    }
    Ok(found)
}

/// Paths whose hashes stand in the files of another: how Nix finds out what one refers to.
fn mentioned<D: Disk>(
    disk: &mut D,
    path: &StorePath,
    contents: &Contents,
) -> Result<Vec<StorePath>, NoArchive<D::Error>> {
    let by_hash: BTreeMap<&[u8], &StorePath> =
        contents.keys().map(|path| (path.hash(), path)).collect();
    let mut found = BTreeSet::new();
    let mut last = [0_u8; HASH_LETTERS];
    let mut run = 0_usize;
    archive::write(disk, &store::place(path), &mut |bytes| {
        for byte in bytes {
            if !ALPHABET.contains(byte) {
                run = 0;
                continue;
            }
            last.rotate_left(1);
            last[HASH_LETTERS - 1] = *byte;
            run += 1;
            if run >= HASH_LETTERS
                && let Some(path) = by_hash.get(&last[..])
            {
                found.insert((*path).clone());
            }
        }
        true
    })?;
    Ok(found.into_iter().collect())
}

/// What none of `roots` leads to, in groups: each refers to nothing but later groups, what stays, and
/// itself.
pub fn garbage<'a>(
    references: &'a References,
    roots: impl IntoIterator<Item = &'a StorePath>,
) -> Vec<Vec<&'a StorePath>> {
    let needed = reachable(roots, |path| references.get(path));
    let mut left: BTreeSet<&StorePath> =
        references.keys().filter(|path| !needed.contains(path)).collect();
    // How many that go refer to each.
    let mut users: BTreeMap<&StorePath, usize> = BTreeMap::new();
    for path in &left {
        for needs in references[*path].iter().filter(|needs| needs != path) {
            *users.entry(needs).or_default() += 1;
        }
    }
    let mut groups = Vec::new();
    while !left.is_empty() {
        let unused = |path: &&StorePath| users.get(*path).is_none_or(|count| *count == 0);
        let mut group: Vec<&StorePath> = left.iter().copied().filter(unused).collect();
        if group.is_empty() {
            // They refer to each other in a circle, which only what was guessed does.
            group = left.iter().copied().collect();
        }
        for path in &group {
            left.remove(path);
            for needs in references[*path].iter().filter(|needs| needs != path) {
                if let Some(count) = users.get_mut(needs) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        groups.push(group);
    }
    groups
}

/// Removes these groups of paths. After a power cut each is there, whole, with all it needs, or is not.
///
/// `told` hears of each path that is gone.
pub fn remove<D: Disk>(
    disk: &mut D,
    groups: &[Vec<&StorePath>],
    mut told: impl FnMut(&StorePath),
) -> Result<(), D::Error> {
    make_folders(disk, INCOMING)?;
    for group in groups {
        for path in group {
            let gone = gone(path);
            if disk.look(&gone)?.is_some() {
                remove_all(disk, &gone)?;
            }
            disk.rename(&store::place(path), &gone)?;
        }
        // Nothing in them may be missing while a power cut can bring their names back, and nothing
        // that they need may lose its name before they do.
        disk.sync_folder(STORE)?;
        for path in group {
            remove_all(disk, &gone(path))?;
            let info = store::info_place(path);
            if disk.look(&info)?.is_some() {
                disk.remove(&info)?;
            }
            told(path);
        }
    }
    Ok(())
}

/// Where a path lies on its way out.
fn gone(path: &StorePath) -> Vec<u8> {
    let mut name = b".gone-".to_vec();
    name.extend_from_slice(path.as_str().as_bytes());
    join(INCOMING, &name)
}

/// Removes what was left behind: half paths of copies and collections that were cut off, and files
/// about paths that are not there.
///
/// Who calls it has seen to it that nobody else writes to the store.
pub fn tidy<D: Disk>(disk: &mut D) -> Result<(), D::Error> {
    if disk.look(INCOMING)?.is_some() {
        remove_all(disk, INCOMING)?;
    }
    if disk.look(INFO)?.is_none() {
        return Ok(());
    }
    for name in disk.list(INFO)? {
        if disk.look(&join(STORE, &name))?.is_none()
            && disk.look(&join(INFO, &name))? != Some(Kind::Folder)
        {
            disk.remove(&join(INFO, &name))?;
        }
    }
    Ok(())
}
