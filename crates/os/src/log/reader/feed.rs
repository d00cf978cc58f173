//! A log read line by line from a place that was kept, across all its files, and on as it grows.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use engine::log::history::{Sieve, Wanted};
use model::limits::LOG_SHOWN_BYTES_MAX;
use model::log::line::{Line, newline};
use model::log::mark::Mark;
use model::log::place::{Place, of_boot};

use super::{CURRENT, File, Reader, beginning, inode};
use crate::log::lines;

/// What is read at once: room for a whole line.
const BLOCK_BYTES: usize = LOG_SHOWN_BYTES_MAX + 1;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A line was handed over, and taken.
    Taken,
    /// There is one, which was not taken.
    Left,
    /// Lines were removed before they could be read; what comes next is behind them.
    Lost,
    /// There is nothing more for now.
    End,
}

pub struct Feed {
    path: PathBuf,
    reader: Reader,
    /// What is read now.
    open: Option<Open>,
    /// Which of the reader's files comes behind it.
    next: usize,
    /// Bytes of the open file, of which the first ones were handed over.
    block: Vec<u8>,
    /// How many of them were handed over.
    used: usize,
    /// Behind the last line that was taken.
    place: Place,
    /// Files between the open one and the next were removed.
    gap: bool,
    lost: bool,
    /// What is known of the times of lines.
    pub sieve: Sieve<'static>,
}

struct Open {
    file: OwnedFd,
    inode: u64,
    /// It is `current`, as far as is known.
    grows: bool,
    /// Where the next line begins.
    offset: u64,
}

impl Feed {
    /// Goes on from `place`; with the oldest line there is where there is none, or where that is
    /// gone, which then comes as [`Next::Lost`].
    pub fn open(path: &Path, place: Option<Place>) -> io::Result<Self> {
        let mut feed = Self {
            path: path.to_owned(),
            reader: Reader::open(path, true)?,
            open: None,
            next: 0,
            block: Vec::with_capacity(BLOCK_BYTES),
            used: 0,
            place: place.unwrap_or_default(),
            gap: false,
            lost: false,
            sieve: Sieve::new(Wanted::default(), &|_| true),
        };
        feed.learn()?;
        if let Some(place) = place {
            feed.find(place)?;
        }
        Ok(feed)
    }

    /// Behind the last line that was taken.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Learns what marks say now.
    pub fn learn(&mut self) -> io::Result<()> {
        Reader::open(&self.path, true)?.learn(&mut self.sieve)
    }

    /// Goes back to a place. `false`: it is gone, and nothing has changed.
    pub fn go_back(&mut self, place: Place) -> io::Result<bool> {
        let reader = Reader::open(&self.path, true)?;
        if place != Place::default() && position(&reader, place).is_none() {
            return Ok(false);
        }
        self.reader = reader;
        self.find(place)?;
        Ok(true)
    }

    fn find(&mut self, place: Place) -> io::Result<()> {
        self.empty();
        (self.open, self.next, self.gap, self.sieve.mark) = (None, 0, false, None);
        let Some(at) = position(&self.reader, place) else {
            // Of a boot that nothing is left of, nobody expects anything.
            let heads = self.reader.files.iter().map(|file| file.head().map(|head| head.boot));
            let known = heads.into_iter().any(|boot| of_boot(boot.as_ref()) == place.boot);
            self.lost = known && place != Place::default();
            self.place = Place::default();
            return Ok(());
        };
        if self.sieve.named {
            let before = super::Place { file: at, offset: place.offset };
            self.sieve.mark = self.reader.mark_before(before)?;
        }
        self.next = at;
        self.place = place;
        self.open_next(place.offset)
    }

    fn empty(&mut self) {
        self.block.clear();
        self.used = 0;
    }

    /// Hands over the next line that is whole, without its newline. It is taken where the answer is `true`.
    pub fn next(
        &mut self,
        each: &mut dyn FnMut(&mut Sieve<'static>, &[u8]) -> bool,
    ) -> io::Result<Next> {
        loop {
            if self.open.is_none() && !self.go_on()? {
                return Ok(Next::End);
            }
            if std::mem::take(&mut self.lost) {
                return Ok(Next::Lost);
            }
            let Some(open) = &mut self.open else { continue };
            let left = &self.block[self.used..];
            let (end, taken) = match newline(left) {
                Some(end) => (end, end + 1),
                None if left.len() >= LOG_SHOWN_BYTES_MAX => {
                    (LOG_SHOWN_BYTES_MAX, LOG_SHOWN_BYTES_MAX)
                }
                None => {
                    self.block.drain(..self.used);
                    self.used = 0;
                    let filled = self.block.len();
                    self.block.resize(BLOCK_BYTES, 0);
                    let at = open.offset + filled as u64;
                    let count = lines::read(&open.file, &mut self.block[filled..], at);
                    self.block.truncate(filled + *count.as_ref().unwrap_or(&0));
                    if count? > 0 {
                        continue;
                    }
                    if open.grows {
                        if inode(&self.reader.directory, CURRENT)? == Some(open.inode) {
                            return Ok(Next::End);
                        }
                        self.relist()?;
                        continue;
                    }
                    if filled == 0 {
                        self.open = None;
                        continue;
                    }
                    (filled, filled)
                }
            };
            let line = &self.block[self.used..][..end];
            let mark = Mark::read(&Line::read(line, true));
            if mark.is_some_and(|mark| !self.sieve.named || !self.sieve.boots.agree(&mark)) {
                Reader::open(&self.path, true)?.learn(&mut self.sieve)?;
            }
            if !each(&mut self.sieve, line) {
                return Ok(Next::Left);
            }
            if open.offset == 0 {
                self.place = beginning(&self.block).0.unwrap_or_default();
            }
            open.offset += taken as u64;
            self.used += taken;
            self.place.offset = open.offset;
            return Ok(Next::Taken);
        }
    }

    /// Opens the next file; `false`: there is none.
    fn go_on(&mut self) -> io::Result<bool> {
        if self.next >= self.reader.files.len() {
            let current = inode(&self.reader.directory, CURRENT)?;
            if current.is_none() || self.reader.has_current {
                return Ok(false);
            }
            self.relist()?;
            if self.next >= self.reader.files.len() {
                return Ok(false);
            }
        }
        self.empty();
        self.lost |= std::mem::take(&mut self.gap);
        self.open_next(0)?;
        Ok(true)
    }

    fn open_next(&mut self, offset: u64) -> io::Result<()> {
        let at = self.next;
        self.next += 1;
        match (self.reader.file(at)?, self.reader.files.get(at)) {
            (Some(file), Some(found)) => {
                let grows = self.reader.grows(at);
                self.open = Some(Open { file, inode: found.inode, grows, offset });
            }
            _ => self.lost = true,
        }
        Ok(())
    }

    /// Lists the files anew: what is read is `current` no longer.
    fn relist(&mut self) -> io::Result<()> {
        let newest = self.reader.files.iter().filter_map(|file| file.archive).max();
        self.reader = Reader::open(&self.path, true)?;
        let files = &self.reader.files;
        let own = self.open.as_ref().map(|open| open.inode);
        match files.iter().position(|file| Some(file.inode) == own) {
            Some(at) => self.next = at + 1,
            None => {
                self.gap = own.is_some();
                let old = |file: &File| file.archive.is_some() && file.archive <= newest;
                self.next = files.partition_point(old);
            }
        }
        if let Some(open) = &mut self.open {
            open.grows = self.next == files.len() && self.reader.has_current;
        }
        Ok(())
    }
}

/// The file that a place lies in.
fn position(reader: &Reader, place: Place) -> Option<usize> {
    let same = |file: &File| {
        let begins = file.begins.is_some_and(|begins| begins.file == place.file);
        begins && file.length >= place.offset
    };
    reader.files.iter().rposition(same)
}
