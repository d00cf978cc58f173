//! The processes of this system, as `/proc` shows them. Source: `proc(5)`.
//!
//! Any of them may end between two looks: what cannot be read then is left out.

use std::fs;
use std::io;
use std::path::PathBuf;

/// The numbers of all.
///
/// # Errors
/// `/proc` cannot be read: nobody can say then that a process is not there.
pub fn all() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// Whether one is a thread of the kernel's own, or has ended: it runs no program, and holds nothing that can be
/// seen here.
pub fn is_kernels(pid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// What one is called.
pub fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// The links to the files that one has open: the name of each is the number of its descriptor.
pub fn descriptors(pid: u32) -> impl Iterator<Item = PathBuf> {
    entries(pid, "fd")
}

/// The links to what one runs, to where it is, and to its root directory.
pub fn places(pid: u32) -> [PathBuf; 3] {
    ["exe", "cwd", "root"].map(|name| PathBuf::from(format!("/proc/{pid}/{name}")))
}

/// The links to all that one holds: those, and what it has open and mapped.
pub fn held(pid: u32) -> impl Iterator<Item = PathBuf> {
    places(pid).into_iter().chain(descriptors(pid)).chain(entries(pid, "map_files"))
}

fn entries(pid: u32, folder: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(format!("/proc/{pid}/{folder}")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// What one is called, and what started it or adopted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub name: String,
    pub parent: u32,
}

pub fn stat(pid: u32) -> Option<Stat> {
    read_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in parentheses, and may hold others, and bytes that are no text.
pub fn read_stat(line: &[u8]) -> Option<Stat> {
    let line = String::from_utf8_lossy(line);
    let (_, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Stat { name: name.to_owned(), parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_one_is_among_them_with_its_name_and_what_it_holds() {
        let own = std::process::id();
        assert!(all().unwrap().contains(&own));
        let stat = stat(own).unwrap();
        assert_eq!(name(own).unwrap(), stat.name);
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        let program = fs::read_link("/proc/self/exe").unwrap();
        assert!(held(own).any(|link| fs::read_link(link).is_ok_and(|path| path == program)));
        assert!(!is_kernels(own) && is_kernels(u32::MAX));
        assert!(descriptors(own).any(|link| link.ends_with("0")));
    }

    #[test]
    fn names_may_hold_anything() {
        let named = |line: &[u8]| read_stat(line).map(|stat| (stat.name, stat.parent));
        assert_eq!(named(b"81 (sh (x) y) S 80 81 "), Some(("sh (x) y".into(), 80)));
        assert_eq!(named(b"12 (a) b) (c) S 7 12 12"), Some(("a) b) (c".into(), 7)));
        assert_eq!(named(b"81 (a\xff) R 7 1"), Some(("a\u{fffd}".into(), 7)));
        for line in [&b""[..], b"12 (a", b"1 (x", b"1 (x) S", b"1 (x) S y", b"1"] {
            assert_eq!(named(line), None, "{}", line.escape_ascii());
        }
    }
}
