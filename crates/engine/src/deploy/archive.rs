//! The archive of what lies on a disk, and what lies on a disk made of an archive.

use alloc::vec::Vec;

use model::deploy::nar::{self, Sink, Writer};
use model::deploy::nar_hash::{NarHash, Sha256};
use model::limits::NAR_DEPTH_MAX;

use super::disk::{Disk, Kind, join};

/// Why a tree has no archive.
#[derive(Debug, PartialEq, Eq)]
pub enum NoArchive<E> {
    Disk(E),
    /// There is nothing at the path.
    Nothing,
    /// Something in it is no file, folder or link.
    Kind,
    /// Folders too deep inside each other.
    Depth,
    /// A file had another length than was said of it.
    Changed,
    /// Who was given the bytes wants no more.
    Enough,
}

impl<E> From<E> for NoArchive<E> {
    fn from(error: E) -> Self {
        Self::Disk(error)
    }
}

/// Gives the archive of what is at `path` to `put`, which says whether to go on. Of each folder on the way,
/// no more than its names is held.
pub fn write<D: Disk>(
    disk: &mut D,
    path: &[u8],
    put: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<(), NoArchive<D::Error>> {
    let mut all = |bytes: &[u8]| if put(bytes) { Ok(()) } else { Err(NoArchive::Enough) };
    let mut writer = Writer::begin(&mut all)?;
    // Folders that are open: their paths, and names still to come, the next one last.
    let mut open: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    let mut next = path.to_vec();
    loop {
        let mut is_folder = false;
        match disk.look(&next)?.ok_or(NoArchive::Nothing)? {
            Kind::Folder => {
                if open.len() >= NAR_DEPTH_MAX {
                    return Err(NoArchive::Depth);
                }
                writer.folder()?;
                let mut names = disk.list(&next)?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                open.push((core::mem::take(&mut next), names));
                is_folder = true;
            }
            Kind::File { executable, size } => {
                writer.file(executable, size)?;
                let (mut left, mut outcome) = (size, Ok(()));
                disk.read(&next, &mut |bytes| {
                    outcome = match left.checked_sub(bytes.len() as u64) {
                        Some(rest) => {
                            left = rest;
                            writer.bytes(bytes)
                        }
                        None => Err(NoArchive::Changed),
                    };
                    outcome.is_ok()
                })?;
                outcome?;
                if left > 0 {
                    return Err(NoArchive::Changed);
                }
                writer.file_end(size)?;
            }
            Kind::Link(target) => writer.link(&target)?,
            Kind::Other => return Err(NoArchive::Kind),
        }
        if !is_folder && !open.is_empty() {
            writer.entry_end()?;
        }
        loop {
            let Some((folder, names)) = open.last_mut() else { return Ok(()) };
            if let Some(name) = names.pop() {
                writer.entry(&name)?;
                next = join(folder, &name);
                break;
            }
            writer.folder_end()?;
            open.pop();
            if !open.is_empty() {
                writer.entry_end()?;
            }
        }
    }
}

/// The hash of the archive of what is at `path`, and its bytes.
pub fn hash<D: Disk>(disk: &mut D, path: &[u8]) -> Result<(NarHash, u64), NoArchive<D::Error>> {
    let (mut hash, mut size) = (Sha256::default(), 0_u64);
    write(disk, path, &mut |bytes| {
        hash.push(bytes);
        size += bytes.len() as u64;
        true
    })?;
    Ok((hash.end(), size))
}

/// Why an archive did not become a tree.
#[derive(Debug, PartialEq, Eq)]
pub enum NoTree<E> {
    Disk(E),
    Archive(nar::NarError),
}

/// Makes a tree of an archive as it comes.
pub struct Unpacker<D: Disk> {
    reader: nar::Reader,
    top: Vec<u8>,
    file: Option<D::File>,
}

impl<D: Disk> Unpacker<D> {
    /// `top`: where it comes to lie; there is nothing there yet.
    pub fn new(top: Vec<u8>) -> Self {
        Self { reader: nar::Reader::default(), top, file: None }
    }

    pub fn push(&mut self, disk: &mut D, bytes: &[u8]) -> Result<(), NoTree<D::Error>> {
        let mut onto = Onto { disk, top: &self.top, file: &mut self.file };
        self.reader.push(bytes, &mut onto).map_err(|stop| match stop {
            nar::Stop::Archive(error) => NoTree::Archive(error),
            nar::Stop::Sink(error) => NoTree::Disk(error),
        })
    }

    pub fn end(self) -> Result<(), NoTree<D::Error>> {
        self.reader.end().map_err(NoTree::Archive)
    }
}

struct Onto<'a, D: Disk> {
    disk: &'a mut D,
    top: &'a [u8],
    file: &'a mut Option<D::File>,
}

impl<D: Disk> Sink for Onto<'_, D> {
    type Error = D::Error;

    fn folder(&mut self, path: &[u8]) -> Result<(), D::Error> {
        self.disk.make_folder(&join(self.top, path))
    }

    fn file(&mut self, path: &[u8], executable: bool, _size: u64) -> Result<(), D::Error> {
        *self.file = Some(self.disk.create(&join(self.top, path), executable)?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), D::Error> {
        match self.file {
            Some(file) => self.disk.write(file, bytes),
            None => Ok(()),
        }
    }

    fn file_end(&mut self) -> Result<(), D::Error> {
        *self.file = None;
        Ok(())
    }

    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), D::Error> {
        self.disk.make_link(&join(self.top, path), target)
    }
}
