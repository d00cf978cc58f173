//! Source directories as plain data: file names and bytes, nothing interpreted.
//!
//! All text of a [`Tree`] lies in one buffer and every file is a few numbers
//! that point into it, so that reading a thousand services allocates a handful
//! of times.

use alloc::string::String;
use alloc::vec::Vec;

use crate::limits::SOURCE_BYTES_MAX;

/// How a file or folder of a source directory is read, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A file; its bytes are read.
    Text,
    /// A folder; the names in it are read.
    Names,
    /// A folder; the files in it are read.
    Texts,
    /// A folder; everything in it is read, to be copied.
    Copied,
    /// Its presence says it all.
    Flag,
    /// It means nothing; its presence is noted, to recognise misspellings.
    Unknown,
}

/// Every name that means something in a source directory, in the order of the
/// alphabet.
const ROLES: [(&str, Role); 35] = [
    ("consumer-for", Role::Text),
    ("contents", Role::Text),
    ("contents.d", Role::Names),
    ("controller", Role::Text),
    ("controls.d", Role::Texts),
    ("data", Role::Copied),
    ("dependencies", Role::Text),
    ("dependencies.d", Role::Names),
    ("down", Role::Text),
    ("down-signal", Role::Text),
    ("env", Role::Copied),
    ("finish", Role::Text),
    ("flag-essential", Role::Flag),
    ("flag-newpidns", Role::Flag),
    ("flag-recommended", Role::Flag),
    ("flag-timeout-killpg", Role::Flag),
    ("instance", Role::Copied),
    ("instances", Role::Copied),
    ("lock-fd", Role::Text),
    ("max-death-tally", Role::Text),
    ("nosetsid", Role::Flag),
    ("notification-fd", Role::Text),
    ("on-restart.d", Role::Texts),
    ("outputs-owner", Role::Text),
    ("pipeline-name", Role::Text),
    ("producer-for", Role::Text),
    ("reload", Role::Text),
    ("reload-signal", Role::Text),
    ("restart-wait", Role::Text),
    ("run", Role::Text),
    ("template", Role::Copied),
    ("timeout-down", Role::Text),
    ("timeout-finish", Role::Text),
    ("timeout-kill", Role::Text),
    ("timeout-up", Role::Text),
];

/// How the file called `name` is read.
pub fn role(name: &[u8]) -> Role {
    if name == b"type" || name == b"up" {
        return Role::Text;
    }
    match ROLES.binary_search_by(|(known, _)| known.as_bytes().cmp(name)) {
        Ok(at) => ROLES[at].1,
        Err(_) => Role::Unknown,
    }
}

/// Every name that [`role`] knows.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    ROLES.iter().map(|(name, _)| *name).chain(["type", "up"])
}

/// The first part of a path: `data` of `data/rules/lan`.
pub fn top(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The places of `names` in the order of their bytes; equal ones keep theirs.
///
/// Everything that is sorted by a name is sorted by this one function: each
/// kind of sorting costs six kilobytes of program.
pub(super) fn order_by_name<'a>(
    names: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = usize> {
    let mut order: Vec<(&[u8], u32)> = names.zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at as usize)
}

/// A part of the text of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    length: u32,
}

/// What is at a path below a source directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file with these bytes.
    File(Span),
    Folder,
    /// A symbolic link to this.
    Link(Span),
    /// Something whose content was not looked at.
    Present,
    /// Something that could not be read, for this reason.
    Unreadable(Span),
}

/// One file or folder below a source directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the directory of the service: `run`, `data/rules/lan`.
    path: Span,
    /// Permissions: the low twelve bits of `st_mode`, where they matter.
    pub mode: u16,
    pub content: Content,
}

/// The directory of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The number of the source argument it was found in.
    pub root: u32,
    name: Span,
    first: u32,
    end: u32,
    /// Why it could not be read.
    problem: Option<Span>,
}

/// Everything that the source directories of one compilation hold.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    roots: Vec<String>,
    text: Vec<u8>,
    entries: Vec<Entry>,
    directories: Vec<Directory>,
}

impl Tree {
    /// The source directories, as messages call them.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(String::as_str)
    }

    /// Begins the source directory called `path` in messages.
    pub fn add_root(&mut self, path: String) {
        self.roots.push(path);
    }

    /// Begins the directory of a service in the root added last.
    pub fn add_directory(&mut self, name: &[u8]) {
        let name = self.add_text(name);
        let first = self.entries.len() as u32;
        let root = self.roots.len().saturating_sub(1) as u32;
        self.directories.push(Directory { root, name, first, end: first, problem: None });
    }

    /// Adds an entry to the directory added last. `path` begins with the name
    /// of the entry.
    pub fn add_entry(&mut self, path: &[u8], mode: u32, content: Content) {
        let path = self.add_text(path);
        let Some(directory) = self.directories.last_mut() else { return };
        self.entries.push(Entry { path, mode: (mode & 0o7777) as u16, content });
        directory.end = self.entries.len() as u32;
    }

    /// Says why the directory added last could not be read.
    pub fn add_problem(&mut self, reason: &str) {
        let reason = self.add_text(reason.as_bytes());
        if let Some(directory) = self.directories.last_mut() {
            directory.problem = Some(reason);
        }
    }

    /// Keeps `bytes`. What would go beyond [`SOURCE_BYTES_MAX`] is dropped:
    /// readers ask [`Tree::is_full`] and stop.
    pub fn add_text(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        let left = (SOURCE_BYTES_MAX + 4096).saturating_sub(start);
        self.text.extend_from_slice(&bytes[..bytes.len().min(left)]);
        self.text_since(start)
    }

    /// Where the text ends that was kept so far.
    pub fn mark(&self) -> usize {
        self.text.len()
    }

    /// All that was kept since [`Tree::mark`] was `start`.
    pub fn text_since(&self, start: usize) -> Span {
        Span { start: start as u32, length: (self.text.len() - start) as u32 }
    }

    /// Forgets all that was kept since [`Tree::mark`] was `start`.
    pub fn forget_since(&mut self, start: usize) {
        self.text.truncate(start);
    }

    /// Files and folders so far.
    pub fn entries_len(&self) -> usize {
        self.entries.len()
    }

    /// It holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.text.len() > SOURCE_BYTES_MAX || self.entries.len() > crate::limits::SOURCE_ENTRIES_MAX
    }

    /// Sorts everything that was added, so that the order in which a file
    /// system names its files changes nothing. Call it once, at the end.
    pub fn sort(&mut self) {
        let text = &self.text;
        let of = |span: Span| &text[span.start as usize..][..span.length as usize];
        for directory in &self.directories {
            let entries = &mut self.entries[directory.first as usize..directory.end as usize];
            if !entries.is_sorted_by_key(|entry| of(entry.path)) {
                let order = order_by_name(entries.iter().map(|entry| of(entry.path)));
                let sorted: Vec<Entry> = order.map(|at| entries[at]).collect();
                entries.copy_from_slice(&sorted);
            }
        }
        // Those of each root already lie together.
        let mut sorted = Vec::with_capacity(self.directories.len());
        for directories in self.directories.chunk_by(|a, b| a.root == b.root) {
            let order = order_by_name(directories.iter().map(|directory| of(directory.name)));
            sorted.extend(order.map(|at| directories[at]));
        }
        self.directories = sorted;
    }

    pub fn text(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..][..span.length as usize]
    }

    /// The directories of all services, by source argument, then by name.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    pub fn name(&self, directory: &Directory) -> &[u8] {
        self.text(directory.name)
    }

    pub fn root(&self, directory: &Directory) -> &str {
        self.roots.get(directory.root as usize).map_or("", String::as_str)
    }

    /// Why the directory could not be read, if it could not.
    pub fn problem(&self, directory: &Directory) -> Option<&[u8]> {
        directory.problem.map(|reason| self.text(reason))
    }

    /// What the directory of a service holds, by path.
    pub fn entries(&self, directory: &Directory) -> &[Entry] {
        &self.entries[directory.first as usize..directory.end as usize]
    }

    pub fn path(&self, entry: &Entry) -> &[u8] {
        self.text(entry.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_has_its_role() {
        assert!(ROLES.is_sorted_by_key(|(name, _)| name));
        for name in known_names() {
            assert_ne!(role(name.as_bytes()), Role::Unknown, "{name}");
        }
        assert_eq!(role(b"run "), Role::Unknown);
        assert_eq!(role(b"data"), Role::Copied);
    }

    #[test]
    fn the_order_of_reading_does_not_matter() {
        let mut tree = Tree::default();
        tree.add_root("a".into());
        for (name, files) in [("z", ["up", "type"]), ("b", ["type", "up"])] {
            tree.add_directory(name.as_bytes());
            for file in files {
                let text = tree.add_text(b"oneshot");
                tree.add_entry(file.as_bytes(), 0o644, Content::File(text));
            }
        }
        tree.sort();
        let names: Vec<&[u8]> = tree.directories().iter().map(|d| tree.name(d)).collect();
        assert_eq!(names, [b"b", b"z"]);
        for directory in tree.directories() {
            let paths: Vec<&[u8]> = tree.entries(directory).iter().map(|e| tree.path(e)).collect();
            assert_eq!(paths, [&b"type"[..], b"up"]);
        }
    }
}
