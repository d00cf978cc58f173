//! What nobody needs goes: paths first that refer to others, so that none is left without what it needs.

use alloc::vec::Vec;

use model::deploy::paths::{PathSet, Paths};
use model::deploy::store_path::{ALPHABET, HASH_LETTERS, StorePath};

use super::archive::{self, NoArchive};
use super::disk::{Disk, Kind, join, make_folders, remove_all};
use super::store::{self, Contents, INCOMING, INFO, STORE};

/// What each path refers to, as far as it is there.
pub type References = Paths<Vec<StorePath>>;

/// Finds out what each path refers to: what is known, or else what stands in its files.
pub fn references<D: Disk>(
    disk: &mut D,
    contents: &Contents,
) -> Result<References, NoArchive<D::Error>> {
    let mut found = References::default();
    for (path, info) in contents.all() {
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
    let mut found = PathSet::default();
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
                && let Some(path) = contents.by_hash(&last)
            {
                found.add(path.clone());
            }
        }
        true
    })?;
    Ok(found.names().cloned().collect())
}

/// What none of `roots` leads to, in groups: each refers to nothing but later groups, what stays, and
/// itself.
pub fn garbage<'a>(references: &'a References, roots: &PathSet) -> Vec<Vec<&'a StorePath>> {
    let all = references.all();
    // What each refers to beside itself, by places in the list.
    let needs = |at: usize| {
        let (_, needs) = &all[at];
        needs.iter().filter_map(|path| references.place(path)).filter(move |need| *need != at)
    };
    let mut stays = alloc::vec![false; all.len()];
    let mut open: Vec<usize> = roots.names().filter_map(|path| references.place(path)).collect();
    while let Some(at) = open.pop() {
        if !core::mem::replace(&mut stays[at], true) {
            open.extend(needs(at));
        }
    }
    let mut left: Vec<usize> = (0..all.len()).filter(|at| !stays[*at]).collect();
    // How many that go refer to each.
    let mut users = alloc::vec![0_usize; all.len()];
    left.iter().flat_map(|at| needs(*at)).for_each(|need| users[need] += 1);
    let mut groups = Vec::new();
    while !left.is_empty() {
        let mut group: Vec<usize> = left.iter().copied().filter(|at| users[*at] == 0).collect();
        if group.is_empty() {
            // They refer to each other in a circle, which only what was guessed does.
            group.clone_from(&left);
        }
        left.retain(|at| !group.contains(at));
        for need in group.iter().flat_map(|at| needs(*at)) {
            users[need] = users[need].saturating_sub(1);
        }
        groups.push(group.into_iter().map(|at| &all[at].0).collect());
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
