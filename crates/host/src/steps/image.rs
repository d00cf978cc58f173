//! The step `image`: a generation as the root file system of a device.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use model::deploy::generation::{self, Entry};
use model::deploy::nar_hash::NarHash;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path;

use super::attributes::{Attribute, Wrong, output};
use super::closure::{self, StorePath, grouped};
use super::{make_folder, write};

/// Blocks that a JFFS2 keeps free to be able to write at all, at least.
/// Source: Linux `fs/jffs2/build.c`, `jffs2_calc_trigger_levels`.
const FREE_BLOCKS_MIN: u64 = 5;

/// What the kernel opens before anything can make it.
const DEVICES: [(&str, &str, u32, u32, u32); 2] =
    [("/dev/console", "c", 0o600, 5, 1), ("/dev/null", "c", 0o666, 1, 3)];

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let generation = attributes.get("generation")?.path()?;
    let paths = closure::read(attributes)?;
    let busybox = attributes.get("busybox")?.path()?;
    let work = env::var_os("NIX_BUILD_TOP").map_or_else(env::temp_dir, PathBuf::from);
    let tree = work.join("tree");

    let mounts = attributes.get("mounts")?.texts()?;
    let file = generation.join("filesystem");
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let entries = fs::read_to_string(&file).map_err(|error| at(&error))?;
    let entries: Result<Vec<Entry>, _> = generation::lines(&entries).collect();
    let mut entries = entries.map_err(|error| at(&error))?;
    // What lies in memory, or in another partition, is made by early boot.
    entries.retain(|entry| !mounts.iter().any(|mount| lies_in(entry.path(), mount)));
    build_tree(&tree, generation, &paths, &entries, busybox)?;

    let erase_size = attributes.get("eraseSize")?.number()?;
    let mut command = Command::new(attributes.get("tool")?.path()?);
    let free = match attributes.get("type")?.text()? {
        "jffs2" => {
            // It gives devices the time of the file in their place, or else the time of day.
            for (path, ..) in DEVICES {
                write(&tree.join(&path[1..]), "")?;
            }
            settle(&tree.join("dev"), busybox)?;
            let table = work.join("table");
            write(&table, device_table(&entries))?;
            command.arg("-l").arg("-U").arg(format!("--eraseblock={erase_size}"));
            command.arg("-D").arg(table).arg("-r").arg(&tree).arg("-o").arg(&out);
            // It begins to clean up, and to refuse, well before it is full.
            let size = attributes.maybe("partition").map_or(Ok(0), |size| size.number())?;
            (size / 25).max(FREE_BLOCKS_MIN * erase_size)
        }
        "squashfs" => {
            let table = work.join("table");
            write(&table, pseudo_files(&tree, &entries)?)?;
            command.arg(&tree).arg(&out).args([
                "-noappend",
                "-no-progress",
                "-quiet",
                "-no-xattrs",
                "-no-exports", // For NFS.
            ]);
            command.args(["-root-uid", "0", "-root-gid", "0", "-root-mode", "755"]);
            command.args(["-all-time", "1", "-mkfs-time", "1"]);
            command.arg("-comp").arg(attributes.get("compression")?.text()?);
            // Half of a MiB: 2.4 % smaller than with a quarter; a whole one would save 1 % more
            // and cost the device as much memory again for each block that it reads.
            command.args(["-b", "512K", "-pf"]).arg(table);
            if let Some(filter) = attributes.maybe("filter") {
                command.arg("-Xbcj").arg(filter.text()?);
            }
            0
        }
        _ => return Err(attributes.get("type")?.unknown()),
    };
    run(&mut command)?;
    let size = fs::metadata(&out).map_err(|error| format!("{}: {error}", out.display()))?.len();
    match attributes.maybe("partition") {
        Some(partition) => fits(size, free, partition.number()?, &paths),
        None => Ok(()),
    }
}

/// Refuses what is too large for its partition, and says what is large in it.
fn fits(size: u64, free: u64, partition: u64, paths: &[StorePath]) -> Result<(), Wrong> {
    if size + free <= partition {
        return Ok(());
    }
    let spare =
        if free > 0 { format!(", of which {} stay free", grouped(free)) } else { "".into() };
    Err(format!(
        "the root file system has {} bytes, and its partition {}{spare}: {} too many\n\
         The largest parts of it, before they are compressed:{}",
        grouped(size),
        grouped(partition),
        grouped(size + free - partition),
        closure::largest(paths, 10)
    ))
}

/// Whether a path is below another: not that one itself.
fn lies_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The root directory as a folder. Owners and permissions are given by the tables.
fn build_tree(
    tree: &Path,
    generation: &Path,
    paths: &[StorePath],
    entries: &[Entry],
    busybox: &Path,
) -> Result<(), Wrong> {
    let store = tree.join("nix/store");
    for folder in [&store, &tree.join("boot"), &tree.join("dev")] {
        make_folder(folder)?;
    }
    let mut copy = Command::new(busybox.join("bin/cp"));
    copy.arg("-a").args(paths.iter().map(|path| &path.path)).arg(&store);
    run(&mut copy)?;
    describe(tree, paths)?;
    for entry in entries {
        let place = tree.join(&entry.path()[1..]);
        let made = match entry {
            Entry::Directory { .. } => fs::create_dir_all(&place),
            Entry::Link { target, .. } => symlink(target, &place),
            Entry::Copy { source, .. } => {
                // The link that it is named by exists on the device only.
                let below = source.strip_prefix(generation::CURRENT).unwrap_or(source);
                fs::copy(generation.join(below.trim_start_matches('/')), &place).map(drop)
            }
        };
        made.map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let link = tree.join("boot/system");
    symlink(generation, &link).map_err(|error| format!("{}: {error}", link.display()))?;
    let folders = ["", "nix", "nix/store", "nix/var", "nix/var/doorward", INFO, "boot", "dev"];
    for folder in folders.map(|folder| tree.join(folder)) {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&folder, mode).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    settle(tree, busybox)
}

/// Where a device looks for what is known of its store paths.
const INFO: &str = "nix/var/doorward/info";

/// Writes down what each path should be, so that a new device knows what it has.
fn describe(tree: &Path, paths: &[StorePath]) -> Result<(), Wrong> {
    let folder = tree.join(INFO);
    make_folder(&folder)?;
    for path in paths {
        let odd = || format!("{}: what Nix says of it makes no sense", path.path);
        let name = |path: &str| store_path::StorePath::parse_full(path).map_err(|_| odd());
        let references: Result<_, Wrong> = path.references.iter().map(|path| name(path)).collect();
        let info = PathInfo {
            path: name(&path.path)?,
            hash: NarHash::parse(&path.hash).ok_or_else(odd)?,
            size: path.size,
            references: references?,
            signatures: Vec::new(),
        };
        let info = info.checked().map_err(|_| odd())?;
        write(&folder.join(info.path.as_str()), info.encode())?;
    }
    Ok(())
}

/// Takes the time of the build away: it says nothing, and would make each image another one.
fn settle(folder: &Path, busybox: &Path) -> Result<(), Wrong> {
    let mut touch = Command::new(busybox.join("bin/find"));
    touch.arg(folder).arg("-exec").arg(busybox.join("bin/touch"));
    touch.args(["-h", "-d", "@1", "{}", "+"]);
    run(&mut touch)
}

/// For `mkfs.jffs2`: path, type, mode, user, group, major and minor number.
fn device_table(entries: &[Entry]) -> String {
    let mut table = String::new();
    for entry in entries {
        let (kind, path, mode, user, group) = match entry {
            Entry::Directory { path, mode, user, group } => ("d", path, mode, user, group),
            Entry::Copy { path, mode, user, group, .. } => ("f", path, mode, user, group),
            Entry::Link { .. } => continue,
        };
        let _ = writeln!(table, "{path} {kind} {mode:o} {user} {group} - - - - -");
    }
    for (path, kind, mode, major, minor) in DEVICES {
        let _ = writeln!(table, "{path} {kind} {mode:o} 0 0 {major} {minor} - - -");
    }
    table
}

/// For `mksquashfs`: path, `m` for what is there, mode, user, group. Its option that gives
/// everything to root would overrule these, so each file is named.
fn pseudo_files(tree: &Path, entries: &[Entry]) -> Result<String, Wrong> {
    let mut table = String::new();
    let mut line = |path: &str, rest: std::fmt::Arguments<'_>| {
        let path = path.trim_start_matches('/').replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(table, "\"{path}\" {rest}");
    };
    let mut owned = BTreeSet::new();
    for entry in entries {
        if let Entry::Directory { path, mode, user, group }
        | Entry::Copy { path, mode, user, group, .. } = entry
        {
            line(path, format_args!("m {mode:o} {user} {group}"));
            owned.insert(path.as_str());
        }
    }
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let (place, about) = (entry.path(), entry.metadata().map_err(wrong)?);
            let path = &place.to_string_lossy()[tree.as_os_str().len()..];
            if !owned.contains(path) {
                line(path, format_args!("m {:o} 0 0", about.permissions().mode() & 0o7777));
            }
            if about.is_dir() {
                folders.push(place);
            }
        }
    }
    for (path, kind, mode, major, minor) in DEVICES {
        line(path, format_args!("{kind} {mode:o} 0 0 {major} {minor}"));
    }
    Ok(table)
}

fn run(command: &mut Command) -> Result<(), Wrong> {
    let name = command.get_program().to_owned();
    let status = command.status().map_err(|error| format!("{}: {error}", name.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", name.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_names_the_largest_paths() {
        let path = |name: &str, size| StorePath {
            path: name.to_owned(),
            size,
            hash: String::new(),
            references: Vec::new(),
        };
        let paths = [path("/nix/store/a", 1_000), path("/nix/store/b", 4_000_000)];
        assert_eq!(fits(900, 100, 1_000, &paths), Ok(()));
        let wrong = fits(901, 100, 1_000, &paths).expect_err("one byte too many");
        assert!(
            wrong.contains(
                "has 901 bytes, and its partition 1,000, of which 100 stay free: 1 too many"
            ),
            "{wrong}"
        );
        assert!(
            wrong.ends_with("\n   4,000,000  /nix/store/b\n       1,000  /nix/store/a"),
            "{wrong}"
        );
    }

    #[test]
    fn what_is_mounted_is_not_in_the_image() {
        for (path, mount, inside) in [
            ("/run/var", "/run", true),
            ("/run", "/run", false),
            ("/runner", "/run", false),
            ("/persist/ssh/key", "/persist", true),
        ] {
            assert_eq!(lies_in(path, mount), inside, "{path} in {mount}");
        }
    }
}
