//! A disk that forgets what was not synced.
//!
//! It keeps a record of all that is done to it. `cuts` goes back to each moment, cuts the power
//! there, and shows what may be found after it: all that was synced, and of the rest any part,
//! in any order.

use std::collections::BTreeMap;

use engine::deploy::disk::{self, Kind};

use crate::dice::Dice;

/// A file, folder or link, by the number it never loses.
type Number = usize;

const ROOT: Number = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder(BTreeMap<Vec<u8>, Number>),
    File { executable: bool, bytes: Vec<u8> },
    Link(Vec<u8>),
}

/// One thing that was done.
#[derive(Clone, Debug)]
enum Act {
    /// Names in folders that change at once: to what they lead then.
    Names(Vec<(Number, Vec<u8>, Option<Number>)>),
    Append(Number, Vec<u8>),
    SyncFile(Number),
    SyncFolder(Number),
    SyncAll,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Exists,
    Missing,
    NotEmpty,
    NotThatKind,
    NoRoom,
}

#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    acts: Vec<Act>,
    /// Nodes that there were when the record begins.
    before: Vec<Node>,
    broken_sync: Option<usize>,
    syncs: usize,
    /// Bytes that still fit.
    pub room: usize,
}

/// What may be left of bytes that were not synced.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    All,
    None,
    Half,
    Zeros,
}

impl Default for Disk {
    fn default() -> Self {
        let nodes = vec![Node::Folder(BTreeMap::new())];
        Self {
            before: nodes.clone(),
            nodes,
            acts: Vec::new(),
            broken_sync: None,
            syncs: 0,
            room: usize::MAX,
        }
    }
}

impl Disk {
    /// The same, as if it had been so for ever.
    pub fn settled(self) -> Self {
        Self { before: self.nodes.clone(), nodes: self.nodes, room: self.room, ..Self::default() }
    }

    /// The same, whose sync of this number does nothing.
    pub fn without_sync(self, number: Option<usize>) -> Self {
        Self { broken_sync: number, ..self }
    }

    /// How often something was to be synced.
    pub fn syncs(&self) -> usize {
        self.syncs
    }

    /// How much was done.
    pub fn acts(&self) -> usize {
        self.acts.len()
    }

    /// Cuts the power after each act, and shows what may be found then, with the number of acts.
    /// Where few are not synced each part of them is tried, else each alone, all but each, and some
    /// on dice.
    pub fn cuts(&self, seed: u64, mut look: impl FnMut(usize, Disk)) {
        let mut dice = Dice::new(seed);
        for count in 0..=self.acts.len() {
            let loose = self.loose(count);
            let choices: Vec<Vec<bool>> = match loose.len() {
                few @ 0..=7 => (0..1_u32 << few)
                    .map(|bits| (0..few).map(|at| bits >> at & 1 == 1).collect())
                    .collect(),
                many => {
                    let alone = (0..many).map(|one| (0..many).map(|at| at == one).collect());
                    let without = (0..many).map(|one| (0..many).map(|at| at != one).collect());
                    let few = [vec![true; many], vec![false; many]];
                    let mut all: Vec<Vec<bool>> =
                        few.into_iter().chain(alone).chain(without).collect();
                    all.extend((0..16).map(|_| (0..many).map(|_| dice.percent(50)).collect()));
                    all
                }
            };
            for choice in choices {
                let bytes = match dice.below(4) {
                    0 => Bytes::All,
                    1 => Bytes::None,
                    2 => Bytes::Half,
                    _ => Bytes::Zeros,
                };
                let kept = |act: usize| match loose.iter().position(|known| *known == act) {
                    Some(at) => choice[at],
                    None => true,
                };
                look(count, self.after(count, kept, bytes));
            }
        }
    }

    /// The acts before `count` that a power cut may undo.
    fn loose(&self, count: usize) -> Vec<usize> {
        let mut loose: Vec<usize> = Vec::new();
        for (at, act) in self.acts[..count].iter().enumerate() {
            match act {
                Act::Names(_) | Act::Append(..) => loose.push(at),
                Act::SyncAll => loose.clear(),
                Act::SyncFile(file) => {
                    loose.retain(|at| !matches!(&self.acts[*at], Act::Append(of, _) if of == file));
                }
                Act::SyncFolder(folder) => loose.retain(|at| match &self.acts[*at] {
                    Act::Names(names) => names.iter().all(|(of, ..)| of != folder),
                    _ => true,
                }),
            }
        }
        loose
    }

    /// What is found when only these acts were kept.
    fn after(&self, count: usize, kept: impl Fn(usize) -> bool, bytes: Bytes) -> Disk {
        let mut nodes = self.before.clone();
        // Nodes made later: they exist, but nothing may lead to them, and nothing be in them.
        nodes.extend(self.nodes[nodes.len()..].iter().map(|node| match node {
            Node::Folder(_) => Node::Folder(BTreeMap::new()),
            Node::File { executable, .. } => {
                Node::File { executable: *executable, bytes: Vec::new() }
            }
            Node::Link(target) => Node::Link(target.clone()),
        }));
        for (at, act) in self.acts[..count].iter().enumerate() {
            match act {
                Act::Names(names) if kept(at) => {
                    for (folder, name, to) in names {
                        let Node::Folder(inside) = &mut nodes[*folder] else { continue };
                        match to {
                            Some(to) => inside.insert(name.clone(), *to),
                            None => inside.remove(name),
                        };
                    }
                }
                Act::Append(file, new) => {
                    let Node::File { bytes: all, .. } = &mut nodes[*file] else { continue };
                    match (kept(at), bytes) {
                        (true, _) | (false, Bytes::All) => all.extend(new),
                        (false, Bytes::None) => {}
                        (false, Bytes::Half) => all.extend(&new[..new.len() / 2]),
                        (false, Bytes::Zeros) => all.extend(vec![0; new.len()]),
                    }
                }
                _ => {}
            }
        }
        Disk { before: nodes.clone(), nodes, room: self.room, ..Disk::default() }
    }

    fn find(&self, path: &[u8]) -> Option<Number> {
        let mut at = ROOT;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let Node::Folder(inside) = &self.nodes[at] else { return None };
            at = *inside.get(part)?;
        }
        Some(at)
    }

    /// The folder that a path is in, and its name there.
    fn place(&self, path: &[u8]) -> Result<(Number, Vec<u8>), Refusal> {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = cut.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        let folder = self.find(folder).ok_or(Refusal::Missing)?;
        match &self.nodes[folder] {
            Node::Folder(_) => Ok((folder, name.to_vec())),
            _ => Err(Refusal::NotThatKind),
        }
    }

    fn add(&mut self, path: &[u8], node: Node) -> Result<Number, Refusal> {
        let (folder, name) = self.place(path)?;
        if self.find(path).is_some() {
            return Err(Refusal::Exists);
        }
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.name(vec![(folder, name, Some(number))]);
        Ok(number)
    }

    fn name(&mut self, names: Vec<(Number, Vec<u8>, Option<Number>)>) {
        for (folder, name, to) in &names {
            let Node::Folder(inside) = &mut self.nodes[*folder] else { continue };
            match to {
                Some(to) => inside.insert(name.clone(), *to),
                None => inside.remove(name),
            };
        }
        self.acts.push(Act::Names(names));
    }

    fn sync(&mut self, act: Act) {
        if self.broken_sync != Some(self.syncs) {
            self.acts.push(act);
        }
        self.syncs += 1;
    }

    fn is_filled(&self, number: Number) -> bool {
        matches!(&self.nodes[number], Node::Folder(inside) if !inside.is_empty())
    }
}

impl disk::Disk for Disk {
    type Error = Refusal;
    type File = Number;

    fn make_folder(&mut self, path: &[u8]) -> Result<(), Refusal> {
        self.add(path, Node::Folder(BTreeMap::new())).map(drop)
    }

    fn create(&mut self, path: &[u8], executable: bool) -> Result<Number, Refusal> {
        self.add(path, Node::File { executable, bytes: Vec::new() })
    }

    fn write(&mut self, file: &mut Number, new: &[u8]) -> Result<(), Refusal> {
        self.room = self.room.checked_sub(new.len()).ok_or(Refusal::NoRoom)?;
        let Node::File { bytes, .. } = &mut self.nodes[*file] else {
            return Err(Refusal::NotThatKind);
        };
        bytes.extend(new);
        self.acts.push(Act::Append(*file, new.to_vec()));
        Ok(())
    }

    fn make_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Refusal> {
        self.add(path, Node::Link(target.to_vec())).map(drop)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Refusal> {
        let number = self.find(from).ok_or(Refusal::Missing)?;
        if self.find(to).is_some_and(|there| self.is_filled(there)) {
            return Err(Refusal::NotEmpty);
        }
        let ((from, old), (to, new)) = (self.place(from)?, self.place(to)?);
        self.name(vec![(from, old, None), (to, new, Some(number))]);
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), Refusal> {
        let number = self.find(path).ok_or(Refusal::Missing)?;
        if self.is_filled(number) {
            return Err(Refusal::NotEmpty);
        }
        let (folder, name) = self.place(path)?;
        self.name(vec![(folder, name, None)]);
        Ok(())
    }

    fn look(&mut self, path: &[u8]) -> Result<Option<Kind>, Refusal> {
        Ok(self.find(path).map(|number| match &self.nodes[number] {
            Node::Folder(_) => Kind::Folder,
            Node::File { executable, bytes } => {
                Kind::File { executable: *executable, size: bytes.len() as u64 }
            }
            Node::Link(target) => Kind::Link(target.clone()),
        }))
    }

    fn list(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        match &self.nodes[self.find(path).ok_or(Refusal::Missing)?] {
            Node::Folder(inside) => Ok(inside.keys().cloned().collect()),
            _ => Err(Refusal::NotThatKind),
        }
    }

    fn read(&mut self, path: &[u8], put: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Refusal> {
        match &self.nodes[self.find(path).ok_or(Refusal::Missing)?] {
            Node::File { bytes, .. } => {
                bytes.chunks(7).all(put);
                Ok(())
            }
            _ => Err(Refusal::NotThatKind),
        }
    }

    fn sync_file(&mut self, file: &Number) -> Result<(), Refusal> {
        self.sync(Act::SyncFile(*file));
        Ok(())
    }

    fn sync_folder(&mut self, path: &[u8]) -> Result<(), Refusal> {
        let folder = self.find(path).ok_or(Refusal::Missing)?;
        self.sync(Act::SyncFolder(folder));
        Ok(())
    }

    fn sync_all(&mut self) -> Result<(), Refusal> {
        self.sync(Act::SyncAll);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::deploy::disk::Disk as _;
    use std::collections::BTreeSet;

    /// Everything that a reader may find at `path` after a cut at the end.
    fn found(disk: &Disk, path: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
        let mut all = BTreeSet::new();
        for seed in 0..8 {
            disk.cuts(seed, |count, mut after| {
                if count == disk.acts() {
                    let mut bytes = Vec::new();
                    let read = after.read(path, &mut |more| {
                        bytes.extend(more);
                        true
                    });
                    all.insert(read.is_ok().then_some(bytes));
                }
            });
        }
        all
    }

    fn some(texts: &[&[u8]]) -> BTreeSet<Option<Vec<u8>>> {
        texts.iter().map(|text| Some(text.to_vec())).collect()
    }

    #[test]
    fn what_was_not_synced_may_be_lost_and_what_was_is_there() {
        let mut disk = Disk::default();
        let mut file = disk.create(b"a", false).unwrap();
        disk.write(&mut file, b"abcd").unwrap();
        let mut expected = some(&[b"abcd", b"", b"ab", b"\0\0\0\0"]);
        expected.insert(None);
        assert_eq!(found(&disk, b"a"), expected);
        disk.sync_file(&file).unwrap();
        assert_eq!(found(&disk, b"a").len(), 2, "its name may be lost");
        disk.sync_folder(b"").unwrap();
        assert_eq!(found(&disk, b"a"), some(&[b"abcd"]));
    }

    #[test]
    fn a_rename_is_done_or_not_and_may_come_before_the_bytes() {
        let mut disk = Disk::default();
        let mut old = disk.create(b"a", false).unwrap();
        disk.write(&mut old, b"old").unwrap();
        disk.sync_all().unwrap();
        let mut disk = disk.settled();
        let mut new = disk.create(b"b", false).unwrap();
        disk.write(&mut new, b"new!").unwrap();
        disk.rename(b"b", b"a").unwrap();
        assert_eq!(found(&disk, b"a"), some(&[b"old", b"new!", b"", b"ne", b"\0\0\0\0"]));

        let mut disk = disk.clone().without_sync(Some(0));
        disk.sync_all().unwrap();
        assert_eq!(found(&disk, b"a").len(), 5, "a sync that does nothing");
        disk.sync_all().unwrap();
        assert_eq!(found(&disk, b"a"), some(&[b"new!"]));
    }
}
