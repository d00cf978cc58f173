//! The processes of this system, as `/proc` shows them. Source: `proc(5)`.
//!
//! Any of them may end between two looks: what cannot be read then is left out.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

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
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// The links to what one runs, to where it is, and to its root directory.
pub fn places(pid: u32) -> [PathBuf; 3] {
    ["exe", "cwd", "root"].map(|name| PathBuf::from(format!("/proc/{pid}/{name}")))
}

/// All that one holds, as `fstat(2)` shows it: what it runs, its directories, and what it has open and mapped.
pub fn held(pid: u32) -> Vec<rustix::fs::Stat> {
    let mut found = Vec::new();
    // From a directory that is open the way is shorter: it is gone hundreds of times.
    let open = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{pid}{name}"), flags, Mode::empty()).ok()
    };
    let mut look = |folder: &OwnedFd, name: &CStr| {
        found.extend(rustix::fs::statat(folder, name, AtFlags::empty()));
    };
    let Some(process) = open("") else { return found };
    for name in [c"exe", c"cwd", c"root"] {
        look(&process, name);
    }
    if let Some(folder) = open("/fd")
        && let Ok(names) = Dir::read_from(&folder)
    {
        names.flatten().for_each(|entry| look(&folder, entry.file_name()));
    }
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    if let Some(folder) = open("/map_files") {
        for name in files_of(&maps).into_iter().filter_map(|name| CString::new(name).ok()) {
            look(&folder, &name);
        }
    }
    found
}

/// One piece of each file in `/proc/PID/maps`, as it is called in `map_files`: to look at every piece takes longer
/// than all the rest.
fn files_of(maps: &[u8]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let pieces = maps.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (device, inode) = (words.nth(2)?.to_owned(), words.next()?.to_owned());
        let plain = |address: &str| address.trim_start_matches('0').to_owned();
        (inode != "0" && seen.insert((device, inode)))
            .then(|| format!("{}-{}", plain(start), plain(end)))
    });
    pieces.collect()
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
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn this_one_is_among_them_with_its_name_and_what_it_holds() {
        let own = std::process::id();
        assert!(all().unwrap().contains(&own));
        let stat = stat(own).unwrap();
        assert_eq!(name(own).unwrap(), stat.name);
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        let program = fs::metadata("/proc/self/exe").unwrap();
        let folder = fs::File::open(std::env::temp_dir()).unwrap();
        let held: Vec<_> = held(own).iter().map(|held| (held.st_dev, held.st_ino)).collect();
        let count = |about: fs::Metadata| {
            held.iter().filter(|held| **held == (about.dev(), about.ino())).count()
        };
        // It runs it, and has it mapped.
        assert_eq!(count(program), 2);
        assert_eq!(count(folder.metadata().unwrap()), 1);
        assert!(!is_kernels(own) && is_kernels(u32::MAX));
        assert!(descriptors(own).any(|link| link.ends_with("0")));
    }

    #[test]
    fn of_each_file_that_is_mapped_one_piece_is_looked_at() {
        let maps = b"00400000-00401000 r--p 00000000 1f:06 17 /bin/x y\n\
                     00401000-00500000 r-xp 00001000 1f:06 17 /bin/x y\n\
                     00500000-00501000 rw-p 00000000 00:00 0 [heap]\n\
                     7f0000-7f1000 rw-s 00000000 00:05 17 /dev/mtd5 (deleted)\nnonsense\n";
        assert_eq!(files_of(maps), ["400000-401000", "7f0000-7f1000"]);
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
