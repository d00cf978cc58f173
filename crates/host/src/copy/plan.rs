//! What is sent, and whether there is room for it: decided before the first byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cli::Failure;
use engine::deploy::disk::{Disk, Kind, join};
use engine::deploy::store;
use model::deploy::closure::{self, NoOrder};
use model::deploy::nar_hash::NarHash;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::StorePath;
use model::deploy::transfer::{FileSystem, Greeting};
use model::limits::WINDOW_BYTES_MAX;
use os::deploy::store_dir::StoreDir;

use super::closure as local;
use super::parcel::Older;
use crate::nix::call::Nix;

/// What a device has: the hash and the size of each path.
pub type Had = BTreeMap<StorePath, (NarHash, u64)>;

/// The least memory that a receiver gets along with.
const MEMORY_MIN: u64 = 1 << 20;
/// What it needs beside the window.
const MEMORY_BESIDE: u64 = 1 << 20;

pub struct Plan {
    /// What is missing, needs first.
    pub missing: Vec<PathInfo>,
    /// For each an older path to make it of, where there is one.
    pub older: BTreeMap<StorePath, Older>,
    pub window: u32,
    pub need: Need,
}

/// What paths take on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub bytes: u64,
    pub files: u64,
}

impl Plan {
    /// `root`: what the store of this machine lies in.
    pub fn new(
        nix: &Nix,
        root: &Path,
        closure: &[PathInfo],
        greeting: &Greeting,
        had: &Had,
    ) -> Result<Self, Failure> {
        let order = closure::order(closure, |path| had.contains_key(path));
        let order = order.map_err(|error| match error {
            NoOrder::Circle(path) => Failure::refused(format!("{path} refers to itself by others")),
            NoOrder::Missing { path, by } => {
                Failure::refused(format!("{by} refers to {path}, which is not on this machine"))
            }
        })?;
        let missing: Vec<PathInfo> = order.into_iter().map(|at| closure[at].clone()).collect();
        let mut need = Need::default();
        let mut disk = StoreDir::open(root).map_err(Failure::refused)?;
        disk.trusts_memory = true;
        for info in &missing {
            let one = needed(&mut disk, info, greeting).map_err(Failure::refused)?;
            need.bytes += one.bytes;
            need.files += one.files;
        }
        if !missing.is_empty() {
            // What a flash needs to move things around while they are written.
            need.bytes += 2 * u64::from(greeting.erase_bytes);
        }
        let older = older(nix, &missing, had)?;
        Ok(Self { missing, older, window: window(greeting), need })
    }

    /// What all of it is, unpacked.
    pub fn size(&self) -> u64 {
        self.missing.iter().map(|info| info.size).sum()
    }

    /// Everything that must not be collected meanwhile.
    pub fn relied(&self, closure: &[PathInfo]) -> Vec<StorePath> {
        let mut all: BTreeSet<StorePath> = closure.iter().map(|info| info.path.clone()).collect();
        all.extend(self.older.values().map(|older| older.path.clone()));
        all.into_iter().collect()
    }

    /// What keeps it from fitting.
    pub fn objection(&self, greeting: &Greeting) -> Option<String> {
        let Need { bytes, files } = self.need;
        if self.missing.is_empty() {
            return None;
        }
        if bytes > greeting.free_bytes {
            let (needs, has) = (shown(bytes), shown(greeting.free_bytes));
            return Some(format!("needs {needs}, have {has}"));
        }
        if let Some(free) = greeting.free_files.filter(|free| files > *free) {
            return Some(format!("needs {files} files, and only {free} can be made"));
        }
        let memory = greeting.memory_bytes;
        let beside = if greeting.file_system == FileSystem::Memory { bytes } else { 0 };
        if memory > 0 && memory < MEMORY_MIN + MEMORY_BESIDE + beside {
            let (needs, has) = (shown(MEMORY_MIN + MEMORY_BESIDE + beside), shown(memory));
            return Some(format!("needs {needs} of memory, have {has}"));
        }
        None
    }
}

/// The window that a device has memory for.
fn window(greeting: &Greeting) -> u32 {
    let memory = if greeting.memory_bytes == 0 { 8 << 20 } else { greeting.memory_bytes };
    let quarter = u32::try_from(memory / 4).unwrap_or(u32::MAX);
    quarter.clamp(64 << 10, WINDOW_BYTES_MAX)
}

/// Bytes as people read them.
pub fn shown(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A page of memory, which JFFS2 and UBIFS write as one node.
const PAGE_BYTES: usize = 4096;
/// Bytes before the content of a node, and of a name. Source: Linux `include/uapi/linux/jffs2.h`,
/// `jffs2_raw_inode`, `jffs2_raw_dirent`; UBIFS has about the same.
const NODE_BYTES: u64 = 68;
const NAME_NODE_BYTES: u64 = 40;

/// What a path takes on a device, with the file about it.
fn needed(
    disk: &mut StoreDir,
    info: &PathInfo,
    greeting: &Greeting,
) -> Result<Need, os::trouble::Trouble> {
    let is_flash = matches!(greeting.file_system, FileSystem::Jffs2 | FileSystem::Ubifs);
    let block = u64::from(greeting.block_bytes.max(512));
    let about = info.encode().len() as u64;
    let mut need = match is_flash {
        true => Need { bytes: about + 2 * NODE_BYTES + NAME_NODE_BYTES + 60, files: 1 },
        false => Need { bytes: about.next_multiple_of(block), files: 1 },
    };
    let mut open = vec![store::place(&info.path)];
    while let Some(path) = open.pop() {
        need.files += 1;
        let name = path.len() - path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let node = if is_flash { NODE_BYTES + NAME_NODE_BYTES + name as u64 } else { 0 };
        need.bytes += node;
        match disk.look(&path)? {
            Some(Kind::Folder) => {
                open.extend(disk.list(&path)?.iter().map(|name| join(&path, name)));
                need.bytes += if is_flash { 0 } else { block };
            }
            Some(Kind::File { size, .. }) if is_flash => {
                let mut page = Vec::new();
                let mut bytes = 0;
                let mut count = |page: &mut Vec<u8>| {
                    // It stores what it cannot make smaller as it is. LZ4 is a little worse than what kernels use.
                    let packed = lz4_flex::block::compress(page).len().min(page.len());
                    bytes += (packed as u64).next_multiple_of(4) + NODE_BYTES;
                    page.clear();
                };
                disk.read(&path, &mut |mut more| {
                    while !more.is_empty() {
                        let now = more.len().min(PAGE_BYTES - page.len());
                        page.extend_from_slice(&more[..now]);
                        more = &more[now..];
                        if page.len() == PAGE_BYTES {
                            count(&mut page);
                        }
                    }
                    true
                })?;
                if size > 0 && !page.is_empty() {
                    count(&mut page);
                }
                need.bytes += bytes;
            }
            Some(Kind::File { size, .. }) => need.bytes += size.next_multiple_of(block),
            Some(Kind::Link(target)) => {
                need.bytes += if is_flash { target.len() as u64 } else { 0 }
            }
            _ => {}
        }
    }
    Ok(need)
}

/// Finds for each path an older one with its name, or nearly, that both sides have.
fn older(
    nix: &Nix,
    missing: &[PathInfo],
    had: &Had,
) -> Result<BTreeMap<StorePath, Older>, Failure> {
    let mut chosen: BTreeMap<StorePath, &StorePath> = BTreeMap::new();
    for info in missing {
        let distance = |path: &&StorePath| had[*path].1.abs_diff(info.size);
        let named = had.keys().filter(|path| path.name() == info.path.name());
        let near = || had.keys().filter(|path| path.stem() == info.path.stem());
        let best = named.min_by_key(distance).or_else(|| near().min_by_key(distance));
        if let Some(best) = best {
            chosen.insert(info.path.clone(), best);
        }
    }
    let wanted: BTreeSet<&StorePath> = chosen.values().copied().collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let here = local::here(nix, &wanted)?;
    let same = |path: &&StorePath| {
        let info = here.iter().find(|info| info.path == **path)?;
        (info.hash == had[*path].0)
            .then(|| Older { path: info.path.clone(), references: info.references.clone() })
    };
    Ok(chosen.into_iter().filter_map(|(path, old)| Some((path, same(&old)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::deploy::nar_hash::sha256;
    use model::deploy::transfer::VERSION;

    fn greeting() -> Greeting {
        Greeting {
            version: VERSION,
            free_bytes: 1 << 20,
            free_files: Some(10),
            block_bytes: 4096,
            erase_bytes: 0,
            memory_bytes: 64 << 20,
            file_system: FileSystem::Other,
            is_read_only: false,
            wants_signature: false,
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_is_there() {
        let path = StorePath::parse(&format!("{}-x", "a".repeat(32))).unwrap();
        let info =
            PathInfo { path, hash: sha256(b""), size: 9, references: vec![], signatures: vec![] };
        let plan = |bytes, files| Plan {
            missing: vec![info.clone()],
            older: BTreeMap::new(),
            window: 4096,
            need: Need { bytes, files },
        };
        let says = |plan: Plan, greeting: Greeting| plan.objection(&greeting);
        assert_eq!(says(plan(1 << 20, 10), greeting()), None);
        let objection = says(plan(3_250_586, 1), greeting());
        assert_eq!(objection.as_deref(), Some("needs 3.1 MiB, have 1.0 MiB"));
        let objection = says(plan(1, 11), greeting());
        assert_eq!(objection.as_deref(), Some("needs 11 files, and only 10 can be made"));
        let little = Greeting { memory_bytes: 1 << 20, ..greeting() };
        let objection = says(plan(1, 1), little);
        assert_eq!(objection.as_deref(), Some("needs 2.0 MiB of memory, have 1.0 MiB"));
        assert_eq!(says(Plan { missing: vec![], ..plan(1 << 40, 1) }, greeting()), None);
    }

    #[test]
    fn the_window_follows_the_memory() {
        for (memory, expected) in
            [(0, 2 << 20), (100_000, 64 << 10), (8 << 20, 2 << 20), (1 << 40, WINDOW_BYTES_MAX)]
        {
            assert_eq!(window(&Greeting { memory_bytes: memory, ..greeting() }), expected);
        }
    }
}
