//! The step `levitate`: the package that holds a maintenance system, once it fits the device's memory.
//! docs/formats/system.md describes it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use model::deploy::maintenance::{Part, Plan, memory_of};

use super::attributes::{Attribute, Wrong, output};
use super::closure::{self, StorePath, grouped, largest};
use super::{make_folder, write};

/// Memory that the kernel has for itself, and that the usual system keeps while another one is put
/// beside it.
const RESERVE: u64 = 24 << 20;

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let system = attributes.get("maintenance")?.text()?.to_owned();
    let mut paths = closure::read(attributes)?;
    for path in &mut paths {
        path.size = memory_of_tree(Path::new(&path.path))?;
    }
    let spare = attributes.get("spare")?.number()?;
    let device = attributes.get("device")?.text()?;
    if let Some(memory) = attributes.maybe("memory") {
        fits(&paths, spare, memory.number()?, device)?;
    }
    let seconds = attributes.get("timeout")?.number()?;
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds >= 10);
    let seconds = seconds.ok_or("levitate: `timeout` should be 10 seconds or more")?;

    let mut parts = vec![Part::System { path: system }];
    parts.extend(paths.into_iter().map(|it| Part::Store { path: it.path, bytes: it.size }));
    for path in attributes.get("carried")?.texts()? {
        parts.push(Part::Carry { path: path.to_owned() });
    }
    parts.push(Part::Spare { bytes: spare });
    parts.push(Part::Patience { seconds });
    let text: String = parts.iter().map(|part| format!("{part}\n")).collect();
    Plan::parse(&text).map_err(|error| format!("levitate: the plan: {error}"))?;

    let bin = out.join("bin");
    make_folder(&bin)?;
    let link = bin.join("levitate");
    symlink(attributes.get("ward")?.text()?, &link)
        .map_err(|error| format!("{}: {error}", link.display()))?;
    write(&out.join("plan"), text)
}

/// What a file, or a folder with all in it, takes of a file system in memory.
fn memory_of_tree(path: &Path) -> Result<u64, Wrong> {
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let found = fs::symlink_metadata(path).map_err(at)?;
    if found.is_dir() {
        let mut bytes = memory_of(0);
        for entry in fs::read_dir(path).map_err(at)? {
            bytes += memory_of_tree(&entry.map_err(at)?.path())?;
        }
        return Ok(bytes);
    }
    Ok(memory_of(if found.is_file() { found.len() } else { 0 }))
}

fn fits(paths: &[StorePath], spare: u64, memory: u64, device: &str) -> Result<(), Wrong> {
    let bytes: u64 = paths.iter().map(|path| path.size).sum();
    let needed = bytes + spare + RESERVE;
    if needed <= memory {
        return Ok(());
    }
    Err(format!(
        "levitate: the maintenance system needs {} bytes of memory ({} for its files, {} for what \
         runs, {} for the kernel and for the system that makes it), and {device} has {}. The largest \
         of its files:{}",
        grouped(needed),
        grouped(bytes),
        grouped(spare),
        grouped(RESERVE),
        grouped(memory),
        largest(paths, 8)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named_with_the_largest_first() {
        let path = |name: &str, size| StorePath {
            path: format!("/nix/store/{name}"),
            size,
            hash: String::new(),
            references: Vec::new(),
        };
        let paths = [path("a-small", 1 << 20), path("b-large", 40 << 20)];
        assert_eq!(fits(&paths, 8 << 20, 128 << 20, "a device"), Ok(()));
        let wrong = fits(&paths, 8 << 20, 64 << 20, "a device").expect_err("it does not fit");
        let large = wrong.find("41,943,040  /nix/store/b-large").expect("it is named");
        assert!(large < wrong.find("a-small").expect("it is named"), "{wrong}");
        assert!(wrong.contains("a device has 67,108,864"), "{wrong}");
    }

    #[test]
    fn memory_is_counted_for_all_in_a_folder() {
        let folder = std::env::temp_dir().join(format!("doorward-tree-{}", std::process::id()));
        fs::create_dir_all(folder.join("bin")).expect("folders can be made");
        fs::write(folder.join("bin/x"), [0; 5000]).expect("a file can be written");
        symlink("x", folder.join("bin/y")).expect("a link can be made");
        // Two folders, a link, and a file of two pages.
        assert_eq!(memory_of_tree(&folder), Ok(4 * 1024 + 8192));
        fs::remove_dir_all(&folder).expect("it can be removed");
        assert!(memory_of_tree(&folder).is_err());
    }
}
