//! An older path, of whose files a newer one is made: read where they lie on the flash, never as a whole.

use std::io;
use std::os::fd::OwnedFd;

use engine::deploy::disk::join;
use engine::deploy::store;
use model::deploy::nar::is_name;
use model::deploy::patch;
use model::deploy::replace::{MARGIN, Replacements};
use model::deploy::store_path::StorePath;
use rustix::fs::OFlags;

use super::store_dir::StoreDir;

/// Bytes that are read at once.
const PIECE_BYTES: u64 = 32 << 10;

/// Does what a difference orders, and gives what comes of it to `put`.
pub struct Base<'a, E> {
    disk: &'a mut StoreDir,
    path: &'a StorePath,
    replacements: &'a Replacements,
    put: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    state: &'a mut State,
}

/// What of a base outlives one piece of orders.
#[derive(Default)]
pub struct State {
    file: Option<(OwnedFd, u64)>,
    read: Vec<u8>,
    replaced: Vec<u8>,
}

/// Why an order could not be obeyed.
#[derive(Debug)]
pub enum Wrong<E> {
    /// The older path is not what the sender thinks.
    Base(String),
    Put(E),
}

impl<'a, E> Base<'a, E> {
    pub fn new(
        disk: &'a mut StoreDir,
        path: &'a StorePath,
        replacements: &'a Replacements,
        state: &'a mut State,
        put: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Self {
        Self { disk, path, replacements, put, state }
    }

    /// Fills `replaced` with bytes of the file as they are once hashes are replaced; where in it those from
    /// `offset` on begin.
    fn read(&mut self, offset: u64, count: usize) -> Result<usize, Wrong<E>> {
        let wrong = |what: &str| Wrong::Base(format!("{}: {what}", self.path));
        let Some((file, size)) = &self.state.file else {
            return Err(wrong("no file of it was chosen"));
        };
        let end = offset.checked_add(count as u64).filter(|end| end <= size);
        let end = end.ok_or_else(|| wrong("a file of it is shorter than was thought"))?;
        let from = offset.saturating_sub(MARGIN as u64);
        let to = (end + MARGIN as u64).min(*size);
        self.state.read.resize((to - from) as usize, 0);
        let mut done = 0;
        while done < self.state.read.len() {
            match rustix::io::pread(file, &mut self.state.read[done..], from + done as u64) {
                Ok(0) => return Err(wrong("a file of it has become shorter")),
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(wrong(&io::Error::from(error).to_string())),
            }
        }
        self.replacements.apply(&self.state.read, &mut self.state.replaced);
        Ok((offset - from) as usize)
    }
}

impl<E> patch::Sink for Base<'_, E> {
    type Error = Wrong<E>;

    fn insert(&mut self, bytes: &[u8]) -> Result<(), Wrong<E>> {
        (self.put)(bytes).map_err(Wrong::Put)
    }

    fn open(&mut self, path: &[u8]) -> Result<(), Wrong<E>> {
        self.state.file = None;
        let sound = path.is_empty() || path.split(|byte| *byte == b'/').all(is_name);
        let opened = if sound {
            let place = join(&store::place(self.path), path);
            self.disk.open_at(&place, OFlags::RDONLY | OFlags::NONBLOCK)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        };
        let opened = opened.and_then(|file| {
            let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
            Ok((file, size))
        });
        let opened = opened.map_err(|error| {
            let name = String::from_utf8_lossy(path);
            Wrong::Base(format!("cannot read {name} of {}: {error}", self.path))
        })?;
        self.state.file = Some(opened);
        Ok(())
    }

    fn copy(&mut self, mut offset: u64, mut count: u64) -> Result<(), Wrong<E>> {
        while count > 0 {
            let now = count.min(PIECE_BYTES);
            let at = self.read(offset, now as usize)?;
            (self.put)(&self.state.replaced[at..at + now as usize]).map_err(Wrong::Put)?;
            offset += now;
            count -= now;
        }
        Ok(())
    }

    fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Wrong<E>> {
        let mut offset = offset;
        for piece in bytes.chunks(PIECE_BYTES as usize) {
            let at = self.read(offset, piece.len())?;
            let old = &mut self.state.replaced[at..at + piece.len()];
            for (old, new) in old.iter_mut().zip(piece) {
                *old = old.wrapping_add(*new);
            }
            (self.put)(old).map_err(Wrong::Put)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}
