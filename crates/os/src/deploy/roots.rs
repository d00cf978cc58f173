//! What must stay in the store: what the device boots and runs, and what somebody wants to keep.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use model::deploy::history::Number;
use model::deploy::paths::PathSet;
use model::deploy::store_path::{STORE, StorePath};

use crate::processes;

/// Links whose targets stay.
const LINKS: [&str; 2] = ["boot/system", "run/current-system"];

/// Folders of such links.
const FOLDERS: [&str; 2] = [GENERATIONS, "nix/var/doorward/roots"];
const GENERATIONS: &str = "boot/generations";

/// Every path that is needed by itself, without what it refers to.
pub fn find(root: &Path) -> io::Result<PathSet> {
    find_without(root, &[])
}

/// The same, as if these generations had been forgotten.
pub fn find_without(root: &Path, forgotten: &[Number]) -> io::Result<PathSet> {
    let mut found = PathSet::default();
    for link in LINKS {
        follow(root, &root.join(link), &mut found);
    }
    for folder in FOLDERS {
        let entries = match fs::read_dir(root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let is_forgotten = |number: &Number| name.to_str() == Some(&number.to_string());
            if folder == GENERATIONS && forgotten.iter().any(is_forgotten) {
                continue;
            }
            follow(root, &path, &mut found);
        }
    }
    // Only the system itself has processes.
    if root == Path::new("/") {
        in_use(&mut found)?;
    }
    Ok(found)
}

/// The store path that a link leads to, by others if need be.
fn follow(root: &Path, link: &Path, found: &mut PathSet) {
    let mut at = link.to_owned();
    for _ in 0..8 {
        let Ok(target) = fs::read_link(&at) else { return };
        let target = at.parent().unwrap_or(root).join(target);
        if let Some(path) = target.to_str().and_then(|text| StorePath::of(text).ok()) {
            found.add(path);
            return;
        }
        // A link that leads elsewhere leads there on the device.
        at = match target.strip_prefix("/") {
            Ok(below) if !target.starts_with(root) => root.join(below),
            _ => target,
        };
    }
}

/// What processes have open, run, or have in their memory.
fn in_use(found: &mut PathSet) -> io::Result<()> {
    let mut add = |bytes: &[u8]| {
        let Some(at) = bytes.windows(STORE.len()).position(|part| part == STORE.as_bytes()) else {
            return;
        };
        let end = bytes[at..].iter().position(|byte| matches!(byte, b' ' | b'\n' | 0));
        let text = &bytes[at..end.map_or(bytes.len(), |end| at + end)];
        if let Some(path) = std::str::from_utf8(text).ok().and_then(|it| StorePath::of(it).ok()) {
            found.add(path);
        }
    };
    for pid in processes::all()? {
        let links = processes::places(pid).into_iter().chain(processes::descriptors(pid));
        for target in links.filter_map(|link| fs::read_link(link).ok()) {
            add(target.as_os_str().as_bytes());
        }
        let process = Path::new("/proc").join(pid.to_string());
        // A process that has ended meanwhile needs nothing.
        let maps = fs::read(process.join("maps")).unwrap_or_default();
        maps.split(|byte| *byte == b'\n').for_each(&mut add);
        // A script is started by its interpreter, which reads on in it.
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).for_each(&mut add);
        let words = fs::read(process.join("environ")).unwrap_or_default();
        words.split(|byte| *byte == 0).for_each(&mut add);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_boots_what_runs_and_what_is_kept_stays() {
        let root = std::env::temp_dir().join(format!("doorward-roots-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in ["boot/generations", "run", "nix/var/doorward/roots"] {
            fs::create_dir_all(root.join(folder)).expect("made");
        }
        let path = |letter: &str| format!("/nix/store/{}-x", letter.repeat(32));
        symlink("generations/2", root.join("boot/system")).expect("made");
        symlink(path("a"), root.join("boot/generations/2")).expect("made");
        symlink(path("b"), root.join("boot/generations/1")).expect("made");
        symlink("/boot/system", root.join("run/current-system")).expect("made");
        symlink(path("c") + "/bin", root.join("nix/var/doorward/roots/tool")).expect("made");
        symlink("loop", root.join("nix/var/doorward/roots/loop")).expect("made");
        symlink("/etc", root.join("nix/var/doorward/roots/other")).expect("made");
        let found: Vec<String> =
            find(&root).expect("found").names().map(|path| format!("{STORE}/{path}")).collect();
        assert_eq!(found, [path("a"), path("b"), path("c")]);
        let first = [Number::parse("1").expect("a number")];
        let without = find_without(&root, &first).expect("found");
        let without: Vec<String> = without.names().map(|path| format!("{STORE}/{path}")).collect();
        assert_eq!(without, [path("a"), path("c")]);
        fs::remove_dir_all(root).expect("removed");
        let mut all = PathSet::default();
        in_use(&mut all).expect("there are processes");
    }
}
