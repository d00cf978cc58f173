//! Collecting what nobody needs, and verifying what is there.

use std::path::Path;

use engine::deploy::archive::{self, NoArchive};
use engine::deploy::collect::{self, References};
use engine::deploy::disk::Disk;
use engine::deploy::store::{self, Contents};
use model::deploy::history::Number;
use model::deploy::store_path::StorePath;

use super::lease::{self, Right};
use super::roots;
use super::store_dir::StoreDir;
use crate::trouble::{Trouble, While};

/// What each path refers to.
pub fn references(disk: &mut StoreDir, contents: &Contents) -> Result<References, Trouble> {
    collect::references(disk, contents).map_err(|error| match error {
        NoArchive::Disk(trouble) => trouble,
        _ => Trouble {
            what: "read a path that nobody has described".into(),
            error: std::io::ErrorKind::InvalidData.into(),
        },
    })
}

/// What a collection did.
#[derive(Debug, Default)]
pub struct Collected {
    /// Paths that are gone, or would be, with the bytes of their archives.
    pub gone: Vec<(StorePath, u64)>,
    /// Somebody is just beginning to bring something: nothing was done.
    pub is_busy: bool,
    /// Bytes that are free now and were not before.
    pub freed: u64,
}

/// Removes what nobody needs, or only finds it. It can be done beside a copy. What these generations
/// need counts as if they had been forgotten.
pub fn run(
    root: &Path,
    is_dry: bool,
    forgotten: &[Number],
    told: &mut dyn FnMut(&StorePath),
) -> Result<Collected, Trouble> {
    let mut disk = StoreDir::open(root)?;
    let _change = lease::take(root, Right::Change).to(|| "lock the store")?;
    // As long as this is held nobody's half paths lie beside the store.
    let alone = lease::try_take(root, Right::Receive).to(|| "lock the store")?.ok();
    let leased = lease::leased(root).to(|| "find out what copies need")?;
    if leased.everything && !is_dry {
        return Ok(Collected { is_busy: true, ..Collected::default() });
    }
    let before = disk.room()?.bytes;
    let contents = store::contents(&mut disk)?;
    let references = references(&mut disk, &contents)?;
    let mut roots = roots::find_without(root, forgotten).to(|| "find out what is needed")?;
    leased.paths.names().for_each(|path| roots.add(path.clone()));
    let groups = collect::garbage(&references, &roots);
    let mut collected = Collected::default();
    for path in groups.iter().flatten() {
        let size = match contents.get(path) {
            Some(Some(info)) => info.size,
            _ => archive::hash(&mut disk, &store::place(path)).map_or(0, |(_, size)| size),
        };
        collected.gone.push(((*path).clone(), size));
    }
    if is_dry {
        return Ok(collected);
    }
    if alone.is_some() {
        collect::tidy(&mut disk)?;
    }
    if !groups.is_empty() {
        collect::remove(&mut disk, &groups, told)?;
    }
    if alone.is_some() {
        collect::tidy(&mut disk)?;
    }
    disk.sync_all()?;
    collected.freed = disk.room()?.bytes.saturating_sub(before);
    Ok(collected)
}

/// What is wrong with a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is not what it was.
    Changed,
    /// It cannot be read.
    Unreadable(String),
    /// It refers to this, which is not there.
    Lacks(StorePath),
    /// It is there, and nobody has said what it should be.
    Unknown,
}

/// Looks at every path as it lies on the disk. `told` hears of each, with what is wrong; what is not as
/// it was is forgotten where `repair` says so, so that the next copy brings it again.
pub fn verify(
    root: &Path,
    repair: bool,
    told: &mut dyn FnMut(&StorePath, &[Finding]),
) -> Result<(), Trouble> {
    let mut disk = StoreDir::open(root)?;
    let contents = store::contents(&mut disk)?;
    for (path, info) in contents.all() {
        let mut findings = Vec::new();
        match info {
            None => findings.push(Finding::Unknown),
            Some(info) => {
                match archive::hash(&mut disk, &store::place(path)) {
                    Ok(found) if found == (info.hash, info.size) => {}
                    Err(NoArchive::Disk(trouble)) => {
                        findings.push(Finding::Unreadable(trouble.to_string()));
                    }
                    _ => findings.push(Finding::Changed),
                }
                let lacks = info.references.iter().filter(|needs| !contents.has(needs));
                findings.extend(lacks.cloned().map(Finding::Lacks));
            }
        }
        let is_broken =
            |finding: &Finding| !matches!(finding, Finding::Unknown | Finding::Lacks(_));
        if repair && findings.iter().any(is_broken) {
            let _change = lease::take(root, Right::Change).to(|| "lock the store")?;
            disk.remove(&store::info_place(path))?;
        }
        told(path, &findings);
    }
    Ok(())
}
