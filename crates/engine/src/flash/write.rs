//! Writes an image into a flash: only blocks that differ, and none counts that was not read again.
//!
//! The machine gives one order at a time and is told how it went. It keeps nothing that must outlive
//! it: whoever begins again finds by comparing what is done already.

use alloc::vec::Vec;
use core::time::Duration;

use model::limits::BLOCK_TRIES_MAX;
use model::time::Moment;

/// One erase block, counted from the beginning of the partition.
pub type Block = u32;
/// As many bytes of the image, counted from its beginning.
pub type Piece = u32;

/// What a flash can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// What is written over must be erased before.
    pub erases: bool,
    /// But for bits that are only cleared.
    pub clears: bool,
    /// Some of its blocks are bad, and it remembers which.
    pub marks_bad: bool,
}

/// A span of blocks, and what it shall hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub first: Block,
    pub blocks: u32,
    /// The pieces of the image that go there, to good blocks one after the other.
    pub piece: Piece,
    pub pieces: u32,
    /// So many blocks from the first one on hold nothing else: those behind the pieces are erased.
    pub covers: u32,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say whether the block is marked as bad; answered by [`Event::Looked`].
    Look(Block),
    /// Compare the block with a piece, or with an erased block; answered by [`Event::Compared`].
    Compare { block: Block, piece: Option<Piece> },
    /// Erase it; answered by [`Event::Done`] or [`Event::Failed`], as are those that follow.
    Erase(Block),
    /// Write the piece. Where the block was not erased, only what differs may be written.
    Write { block: Block, piece: Piece, erased: bool },
    /// Mark it as bad, for ever.
    Mark(Block),
}

/// How an order went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Looked {
        bad: bool,
    },
    /// `corrected`: bits that the flash has mended while it was read.
    Compared {
        difference: Difference,
        corrected: u32,
    },
    Done,
    /// The system refused; an `errno(3)`. `worn` where that is the flash's own fault.
    Failed {
        errno: u16,
        worn: bool,
    },
    /// The image could not be read, or is not what it was.
    ImageFailed,
}

/// How a block differs from what it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    Same,
    /// Clearing bits makes it the same.
    Clears,
    Other,
    /// It could not be read, or has damage that could not be mended.
    Unreadable,
}

/// How bytes of a flash differ from those of an image.
pub fn difference(flash: &[u8], image: &[u8]) -> Difference {
    if flash.len() != image.len() {
        return Difference::Other;
    }
    const WORD: usize = size_of::<u128>();
    let ((words, tail), (image_words, image_tail)) =
        (flash.as_chunks::<WORD>(), image.as_chunks::<WORD>());
    let mut other = 0;
    for (flash, image) in words.iter().zip(image_words) {
        other |= u128::from_ne_bytes(*flash) ^ u128::from_ne_bytes(*image);
    }
    if other == 0 && tail == image_tail {
        return Difference::Same;
    }
    // Bits that are wanted where there are none.
    match flash.iter().zip(image).any(|(flash, image)| image & !flash != 0) {
        true => Difference::Other,
        false => Difference::Clears,
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The flash was read, and is as the image.
    Done,
    /// It was told to stop, between two blocks.
    Stopped,
    /// A part does not fit: so many of its blocks are good. Nothing was changed.
    NoRoom { part: usize, good: u32 },
    /// It cannot go on at this block.
    Failed { block: Block, why: Why },
}

/// Why it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Erase {
        errno: u16,
    },
    Write {
        errno: u16,
    },
    Read {
        errno: u16,
    },
    /// However often it is written, it does not read as it should.
    Differs,
    Look {
        errno: u16,
    },
    Mark {
        errno: u16,
    },
    /// So many blocks became bad that the others of the part do not suffice.
    NoRoomLeft,
    /// So many that it is not the blocks.
    TooManyBad,
    Image,
}

/// What was done, in blocks but for the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Were as they should be.
    pub same: u32,
    pub erased: u32,
    pub written: u32,
    /// Writes that had to be done again.
    pub repeated: u32,
    /// Were bad before, and have become bad.
    pub bad: u32,
    pub marked: u32,
    /// Bits that the flash mended.
    pub corrected: u32,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub blocks: u32,
    pub of: u32,
    /// Blocks in a second, times a thousand.
    pub rate: u64,
    /// How long it still takes, if it goes on like this.
    pub left: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before anything is changed: which blocks are bad?
    Look,
    Compare,
    Erase,
    Write {
        erased: bool,
    },
    /// What was written, or erased.
    Again,
    Mark,
}

/// Blocks that may be marked in one run: what makers allow for the whole life of a flash, and
/// room for small ones.
fn marks_max(blocks: u32) -> u32 {
    blocks / 50 + 4
}

/// The machine.
pub struct Writer {
    chip: Chip,
    parts: Vec<Part>,
    /// Nothing is changed; only told.
    dry: bool,
    /// In the order in which they were found.
    bad: Vec<Block>,
    phase: Phase,
    /// The part, how far in it in blocks, and pieces of it that are in their places.
    part: usize,
    offset: u32,
    placed: u32,
    /// Failures of the block.
    tries: u32,
    stop: bool,
    outcome: Option<Outcome>,
    tally: Tally,
    settled: u32,
    of: u32,
    began: Option<Moment>,
    latest: Moment,
}

impl Writer {
    /// Writes the parts in this order.
    pub fn new(chip: Chip, parts: Vec<Part>, dry: bool) -> Self {
        let all = |part: &Part| part.covers.min(part.blocks).max(part.pieces);
        let mut writer = Self {
            chip,
            dry,
            bad: Vec::new(),
            phase: if chip.marks_bad { Phase::Look } else { Phase::Compare },
            part: 0,
            offset: 0,
            placed: 0,
            tries: 0,
            stop: false,
            outcome: None,
            tally: Tally::default(),
            settled: 0,
            of: parts.iter().map(all).sum(),
            began: None,
            latest: Moment::ZERO,
            parts,
        };
        match writer.phase {
            Phase::Look => writer.look_on(),
            _ => writer.begin(),
        }
        writer
    }

    /// What to do next; nothing once there is an outcome.
    pub fn order(&self) -> Option<Order> {
        let part = match self.outcome {
            Some(_) => return None,
            None => self.parts.get(self.part)?,
        };
        let block = part.first + self.offset;
        let piece = self.piece(part);
        Some(match self.phase {
            Phase::Look => Order::Look(block),
            Phase::Compare | Phase::Again => Order::Compare { block, piece },
            Phase::Write { erased } => match piece {
                Some(piece) => Order::Write { block, piece, erased },
                None => Order::Erase(block),
            },
            Phase::Erase => Order::Erase(block),
            Phase::Mark => Order::Mark(block),
        })
    }

    /// The piece for the block; none where it should be erased.
    fn piece(&self, part: &Part) -> Option<Piece> {
        (self.placed < part.pieces).then(|| part.piece + self.placed)
    }

    /// How the last order went.
    pub fn heard(&mut self, now: Moment, event: Event) {
        self.began.get_or_insert(now);
        self.latest = now;
        let Some(part) = self.parts.get(self.part).copied() else { return };
        if self.outcome.is_some() {
            return;
        }
        let block = part.first + self.offset;
        match (self.phase, event) {
            (_, Event::ImageFailed) => self.fail(block, Why::Image),
            (Phase::Look, Event::Looked { bad }) => {
                if bad {
                    self.bad.push(block);
                    self.tally.bad += 1;
                }
                self.offset += 1;
                self.look_on();
            }
            (Phase::Look, Event::Failed { errno, .. }) => self.fail(block, Why::Look { errno }),
            (Phase::Compare, Event::Compared { difference, corrected }) => {
                self.tally.corrected = self.tally.corrected.saturating_add(corrected);
                self.compared(difference, self.piece(&part).is_some());
            }
            // What cannot be read is written anew.
            (Phase::Compare, Event::Failed { worn: true, .. }) => {
                self.compared(Difference::Unreadable, self.piece(&part).is_some());
            }
            (Phase::Erase, Event::Done) => {
                self.tally.erased += 1;
                self.phase = match self.piece(&part) {
                    Some(_) => Phase::Write { erased: true },
                    None => Phase::Again,
                };
            }
            (Phase::Erase, Event::Failed { errno, worn }) => {
                self.failed(&part, Why::Erase { errno }, worn);
            }
            (Phase::Write { .. }, Event::Done) => self.phase = Phase::Again,
            (Phase::Write { .. }, Event::Failed { errno, worn }) => {
                self.failed(&part, Why::Write { errno }, worn);
            }
            (Phase::Again, Event::Compared { difference: Difference::Same, corrected }) => {
                self.tally.corrected = self.tally.corrected.saturating_add(corrected);
                self.tally.written += u32::from(self.piece(&part).is_some());
                self.settle();
            }
            (Phase::Again, Event::Compared { .. }) => self.failed(&part, Why::Differs, true),
            (Phase::Compare | Phase::Again, Event::Failed { errno, worn }) => {
                self.failed(&part, Why::Read { errno }, worn);
            }
            (Phase::Mark, Event::Done) => {
                self.bad.push(block);
                self.tally.marked += 1;
                match self.good(&part, self.offset) < part.pieces - self.placed {
                    true => self.fail(block, Why::NoRoomLeft),
                    false => self.next(),
                }
            }
            (Phase::Mark, Event::Failed { errno, .. }) => self.fail(block, Why::Mark { errno }),
            // Nothing that was asked.
            (_, Event::Looked { .. } | Event::Compared { .. } | Event::Done) => {}
        }
    }

    /// Stops it once the block that is being written is whole.
    pub fn stop(&mut self) {
        self.stop = true;
        if self.outcome.is_none() && matches!(self.phase, Phase::Look | Phase::Compare) {
            self.outcome = Some(Outcome::Stopped);
        }
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    pub fn progress(&self) -> Progress {
        let millis = self.began.map_or(0, |began| self.latest.since(began).as_millis() as u64);
        let (done, left) = (u64::from(self.settled), u64::from(self.of - self.settled));
        Progress {
            blocks: self.settled,
            of: self.of,
            rate: (done * 1_000_000).checked_div(millis).unwrap_or(0),
            left: (left * millis).checked_div(done).map(Duration::from_millis),
        }
    }

    /// Goes on looking for bad blocks, and begins once all were seen.
    fn look_on(&mut self) {
        while let Some(part) = self.parts.get(self.part) {
            if self.offset < part.blocks {
                return;
            }
            (self.part, self.offset) = (self.part + 1, 0);
        }
        self.begin();
    }

    /// Every part must fit before the first one is touched.
    fn begin(&mut self) {
        for (number, part) in self.parts.iter().enumerate() {
            let good = self.good(part, 0);
            if good < part.pieces {
                self.outcome = Some(Outcome::NoRoom { part: number, good });
                return;
            }
        }
        (self.part, self.offset, self.phase) = (0, 0, Phase::Compare);
        self.next_part();
    }

    /// Blocks of a part that are not bad, from one on.
    fn good(&self, part: &Part, from: u32) -> u32 {
        let span = part.first + from..part.first + part.blocks;
        let bad = self.bad.iter().filter(|block| span.contains(block)).count();
        (span.end - span.start) - bad as u32
    }

    fn compared(&mut self, difference: Difference, has_piece: bool) {
        let clears = self.chip.clears && difference == Difference::Clears;
        let writes_over = has_piece && (clears || !self.chip.erases);
        match difference {
            Difference::Same => {
                self.tally.same += 1;
                self.settle();
            }
            _ if self.dry => {
                self.tally.erased += u32::from(!writes_over);
                self.tally.written += u32::from(has_piece);
                self.settle();
            }
            _ if writes_over => self.phase = Phase::Write { erased: false },
            _ => self.phase = Phase::Erase,
        }
    }

    /// The block is as it should be.
    fn settle(&mut self) {
        let part = &self.parts[self.part];
        self.placed += u32::from(self.placed < part.pieces);
        self.settled = (self.settled + 1).min(self.of);
        self.next();
    }

    /// Goes to the next block.
    fn next(&mut self) {
        (self.offset, self.tries, self.phase) = (self.offset + 1, 0, Phase::Compare);
        self.next_part();
        if self.stop && self.outcome.is_none() {
            self.outcome = Some(Outcome::Stopped);
        }
    }

    /// Steps over bad blocks, and over the end of a part.
    fn next_part(&mut self) {
        while let Some(part) = self.parts.get(self.part) {
            let over = self.placed == part.pieces && self.offset >= part.covers;
            if over || self.offset >= part.blocks {
                if self.placed < part.pieces {
                    self.fail(part.first + part.blocks, Why::NoRoomLeft);
                    return;
                }
                (self.part, self.offset, self.placed) = (self.part + 1, 0, 0);
            } else if self.bad.contains(&(part.first + self.offset)) {
                self.offset += 1;
            } else {
                return;
            }
        }
        self.settled = self.of;
        self.outcome = Some(Outcome::Done);
    }

    /// The block has failed: it is tried again, then marked, where the flash has others.
    fn failed(&mut self, part: &Part, why: Why, worn: bool) {
        let block = part.first + self.offset;
        self.tries += 1;
        if !worn {
            // Another block would not fare better.
            self.fail(block, why);
        } else if self.tries < BLOCK_TRIES_MAX {
            self.tally.repeated += 1;
            self.phase = match self.chip.erases {
                true => Phase::Erase,
                false => Phase::Write { erased: false },
            };
        } else if !self.chip.marks_bad {
            self.fail(block, why);
        } else if self.tally.marked >= self.marks_max() {
            self.fail(block, Why::TooManyBad);
        } else {
            self.phase = Phase::Mark;
        }
    }

    fn marks_max(&self) -> u32 {
        marks_max(self.parts.iter().map(|part| part.blocks).sum())
    }

    fn fail(&mut self, block: Block, why: Why) {
        self.outcome = Some(Outcome::Failed { block, why });
    }
}

#[cfg(test)]
mod tests;
