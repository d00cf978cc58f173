//! Store paths as they come in: beside the store first, and under their names once they are whole.
//!
//! A path counts when it is in the store under its name. So what a power cut leaves there must be whole,
//! and all that it refers to be there: each rename is preceded by a sync of what it moves, and of the
//! renames that it relies on.

use alloc::vec::Vec;

use model::deploy::nar::NarError;
use model::deploy::nar_hash::{NarHash, Sha256};
use model::deploy::path_info::PathInfo;
use model::deploy::paths::PathSet;
use model::deploy::store_path::StorePath;

use super::archive::{self, NoArchive, NoTree, Unpacker};
use super::disk::{Disk, join, make_folders, remove_all};
use super::store::{self, INCOMING, INFO, STORE};

/// Why a path is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The disk refuses.
    Disk(E),
    /// The archive is none.
    Archive(NarError),
    /// It has more bytes than was said.
    Larger,
    /// It is whole, and not what was said.
    Hash { expected: NarHash, found: NarHash },
    /// It refers to this, which is not there.
    Missing(StorePath),
    /// What was written is not what is read: the flash, or the memory, is not to be trusted.
    ReadBack(StorePath),
}

struct Incoming<D: Disk> {
    info: PathInfo,
    hash: Sha256,
    size: u64,
    unpacker: Unpacker<D>,
}

pub struct Receiver<D: Disk> {
    pub disk: D,
    /// What is in the store, whole, and known.
    present: PathSet,
    incoming: Option<Incoming<D>>,
    /// What is whole beside the store, in the order in which it came.
    staged: Vec<PathInfo>,
    committed: u32,
}

impl<D: Disk> Receiver<D> {
    /// Begins, and removes what one before left behind.
    ///
    /// Who calls it has seen to it that nobody else writes to the store.
    pub fn new(mut disk: D, present: PathSet) -> Result<Self, D::Error> {
        if disk.look(INCOMING)?.is_some() {
            remove_all(&mut disk, INCOMING)?;
        }
        Ok(Self { disk, present, incoming: None, staged: Vec::new(), committed: 0 })
    }

    /// Whether a path is there already, or will be with the next commit.
    pub fn has(&self, path: &StorePath) -> bool {
        self.present.has(path) || self.staged.iter().any(|info| info.path == *path)
    }

    /// What came, and is not in the store yet: paths, and bytes of their archives.
    pub fn staged(&self) -> (usize, u64) {
        (self.staged.len(), self.staged.iter().map(|info| info.size).sum())
    }

    /// Paths that came into the store.
    pub fn committed(&self) -> u32 {
        self.committed
    }

    /// Begins with a path. What was begun before and not ended is dropped.
    pub fn begin(&mut self, info: PathInfo) -> Result<(), Fault<D::Error>> {
        self.abort().map_err(Fault::Disk)?;
        let missing = info.references.iter().find(|it| **it != info.path && !self.has(it));
        if let Some(missing) = missing {
            return Err(Fault::Missing(missing.clone()));
        }
        make_folders(&mut self.disk, INCOMING).map_err(Fault::Disk)?;
        let unpacker = Unpacker::new(store::staging(&info.path));
        self.incoming = Some(Incoming { info, hash: Sha256::default(), size: 0, unpacker });
        Ok(())
    }

    /// Takes the next bytes of its archive.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault<D::Error>> {
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        incoming.size += bytes.len() as u64;
        if incoming.size > incoming.info.size {
            return Err(Fault::Larger);
        }
        incoming.hash.push(bytes);
        incoming.unpacker.push(&mut self.disk, bytes).map_err(fault)
    }

    /// Ends it: it is whole, or dropped.
    pub fn end(&mut self) -> Result<(), Fault<D::Error>> {
        let Some(incoming) = self.incoming.take() else { return Ok(()) };
        let path = incoming.info.path.clone();
        let outcome = self.finish(incoming);
        if outcome.is_err() {
            remove_all(&mut self.disk, &store::staging(&path)).map_err(Fault::Disk)?;
        }
        outcome
    }

    fn finish(&mut self, incoming: Incoming<D>) -> Result<(), Fault<D::Error>> {
        let Incoming { info, hash, size: _, unpacker } = incoming;
        let found = hash.end();
        unpacker.end().map_err(fault)?;
        if found != info.hash {
            return Err(Fault::Hash { expected: info.hash, found });
        }
        make_folders(&mut self.disk, INFO).map_err(Fault::Disk)?;
        // What is there under its name, if anything is, must not seem to be this.
        if self.disk.look(&store::place(&info.path)).map_err(Fault::Disk)?.is_none() {
            store::put_info(&mut self.disk, &info).map_err(Fault::Disk)?;
        }
        self.staged.push(info);
        Ok(())
    }

    /// Drops what was begun and not ended.
    pub fn abort(&mut self) -> Result<(), D::Error> {
        match self.incoming.take() {
            Some(incoming) => {
                // A file that is open would keep its room.
                let path = store::staging(&incoming.info.path);
                drop(incoming);
                remove_all(&mut self.disk, &path)
            }
            None => Ok(()),
        }
    }

    /// Moves all that is whole into the store. When this is done no power cut takes it away.
    ///
    /// # Errors
    /// What was moved stays: it is whole, and so is what it refers to. The rest is dropped.
    pub fn commit(&mut self) -> Result<(), Fault<D::Error>> {
        let staged = core::mem::take(&mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        self.disk.sync_all().map_err(Fault::Disk)?;
        for info in &staged {
            let read = archive::hash(&mut self.disk, &store::staging(&info.path));
            match read {
                Ok(found) if found == (info.hash, info.size) => {}
                Err(NoArchive::Disk(error)) => return Err(Fault::Disk(error)),
                _ => return Err(Fault::ReadBack(info.path.clone())),
            }
        }
        let mut moved = PathSet::default();
        for info in staged {
            if info.references.iter().any(|it| *it != info.path && moved.has(it)) {
                self.disk.sync_folder(STORE).map_err(Fault::Disk)?;
                moved.clear();
            }
            self.enter(&info).map_err(Fault::Disk)?;
            moved.add(info.path.clone());
            self.present.add(info.path);
            self.committed += 1;
        }
        self.disk.sync_folder(STORE).map_err(Fault::Disk)
    }

    /// Gives a path its name in the store. What was there under it, and was not whole, or known to
    /// nobody, goes.
    fn enter(&mut self, info: &PathInfo) -> Result<(), D::Error> {
        let (from, to) = (store::staging(&info.path), store::place(&info.path));
        if self.disk.look(&to)?.is_none() {
            return self.disk.rename(&from, &to);
        }
        let old = join(INCOMING, b".replaced");
        self.disk.rename(&to, &old)?;
        self.disk.rename(&from, &to)?;
        // What is left of the old one must not get its name again.
        self.disk.sync_folder(STORE)?;
        store::put_info(&mut self.disk, info)?;
        self.disk.sync_all()?;
        remove_all(&mut self.disk, &old)
    }
}

fn fault<E>(error: NoTree<E>) -> Fault<E> {
    match error {
        NoTree::Disk(error) => Fault::Disk(error),
        NoTree::Archive(error) => Fault::Archive(error),
    }
}
