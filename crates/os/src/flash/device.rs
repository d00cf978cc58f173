//! One partition of the flash, open: its blocks compared, erased, written and marked.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use engine::flash::plan::{Inside, Target};
use engine::flash::write::{Chip, Difference, Event, Order, difference};
use model::limits::ERASE_BYTES_MAX;
use rustix::io::Errno;

use super::holders::partition_of;
use super::image_file::ImageFile;
use super::partitions::{self, Partition};
use crate::sys::mtd;

/// Bytes that are compared first: what differs at its beginning need not be read to its end. The rest is read
/// at once, as each call costs the kernel a buffer and, on slow machines, as much as what it reads.
const LOOK_BYTES: usize = 16 << 10;
const ERASED: u8 = 0xff;

/// A partition that is open for writing, or only to be looked at.
pub struct Flash {
    file: File,
    partition: Partition,
    chip: Chip,
    /// Bytes that are programmed at once.
    write_bytes: usize,
    counts: bool,
    block: Vec<u8>,
    image: Vec<u8>,
    /// The piece that `image` holds.
    held: Option<Option<u32>>,
}

/// The partition that a word names: `mtd:NAME`, `/dev/mtdN`, or another path to such a file.
pub fn find<'a>(word: &str, all: &'a [Partition]) -> io::Result<&'a Partition> {
    let other = |kind, text: String| Err(io::Error::new(kind, text));
    let number = match word.strip_prefix("mtd:") {
        Some(name) => {
            let mut called = all.iter().filter(|partition| partition.name == name);
            return match (called.next(), called.next()) {
                (Some(found), None) => Ok(found),
                (None, _) => other(
                    io::ErrorKind::NotFound,
                    format!("no partition is called {name}; /proc/mtd lists those that there are"),
                ),
                (Some(one), Some(two)) => other(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "several partitions are called {name}: /dev/mtd{} and /dev/mtd{}",
                        one.number, two.number
                    ),
                ),
            };
        }
        None => {
            let about = Path::new(word).metadata()?;
            const KIND: u32 = 0o170_000;
            match partition_of(about.mode(), about.rdev()) {
                Some(number) if about.mode() & KIND == 0o020_000 => number,
                Some(number) => {
                    return other(
                        io::ErrorKind::InvalidInput,
                        format!(
                            "it is a block device, over which flash is not written block by \
                                 block; /dev/mtd{number} is the partition"
                        ),
                    );
                }
                None => {
                    return other(
                        io::ErrorKind::InvalidInput,
                        "it is no partition of a flash".into(),
                    );
                }
            }
        }
    };
    let known = all.iter().find(|partition| partition.number == number);
    known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the kernel does not list it"))
}

impl Flash {
    /// Opens a partition, `to_write` or only to compare.
    pub fn open(partition: &Partition, to_write: bool) -> io::Result<Self> {
        let path = format!("/dev/mtd{}", partition.number);
        let file = File::options().read(true).write(to_write).open(path)?;
        let info = mtd::info(&file)?;
        let wrong = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidData, text));
        if to_write && info.flags & mtd::WRITABLE == 0 {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it can only be read"));
        }
        if !(1..=ERASE_BYTES_MAX).contains(&info.erase_bytes) || info.write_bytes == 0 {
            return wrong("the kernel does not say how it is erased");
        }
        let marks_bad = matches!(info.kind, mtd::NAND | mtd::NAND_MLC);
        let chip = Chip {
            erases: info.flags & mtd::NO_ERASE == 0,
            clears: info.flags & mtd::BIT_WRITABLE != 0 && info.write_bytes == 1,
            marks_bad,
        };
        let size = info.erase_bytes as usize;
        Ok(Self {
            counts: mtd::statistics(&file).is_ok(),
            file,
            partition: {
                let mut partition = partition.clone();
                partition.erase_bytes = info.erase_bytes;
                partition
            },
            chip,
            write_bytes: info.write_bytes as usize,
            block: vec![0; size],
            image: vec![0; size],
            held: None,
        })
    }

    pub fn chip(&self) -> Chip {
        self.chip
    }

    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The partition and what lies in it, as one needs to know to plan.
    pub fn target(&self, all: &[Partition]) -> Target {
        let inside = self.partition.inside(all);
        let inside = inside.map(|(offset, inner)| Inside {
            name: inner.name.clone(),
            offset,
            bytes: inner.bytes,
        });
        Target {
            name: self.partition.name.clone(),
            bytes: self.partition.bytes,
            erase_bytes: self.partition.erase_bytes,
            inside: inside.collect(),
        }
    }

    /// Does what the machine wants.
    pub fn act(&mut self, order: Order, image: &ImageFile) -> Event {
        let done = |result: io::Result<()>| result.map_or_else(failed, |()| Event::Done);
        match order {
            Order::Look(block) => match mtd::is_bad(&self.file, self.offset(block)) {
                Ok(bad) => Event::Looked { bad },
                Err(error) => failed(error),
            },
            Order::Compare { block, piece } => {
                if self.hold(piece, image).is_err() {
                    return Event::ImageFailed;
                }
                self.compare(block).unwrap_or_else(failed)
            }
            Order::Erase(block) => {
                let bytes = self.partition.erase_bytes.into();
                done(mtd::erase(&self.file, self.offset(block), bytes))
            }
            Order::Write { block, piece, erased } => {
                if self.hold(Some(piece), image).is_err() {
                    return Event::ImageFailed;
                }
                done(self.write(block, erased))
            }
            Order::Mark(block) => done(mtd::mark_bad(&self.file, self.offset(block))),
        }
    }

    /// Why the image could not be read, where that is what happened.
    pub fn image_trouble(&mut self, image: &ImageFile, piece: u32) -> Option<io::Error> {
        self.hold(Some(piece), image).err()
    }

    fn offset(&self, block: u32) -> u64 {
        u64::from(block) * u64::from(self.partition.erase_bytes)
    }

    /// Reads a piece of the image, unless it was the last one that was read.
    fn hold(&mut self, piece: Option<u32>, image: &ImageFile) -> io::Result<()> {
        if self.held != Some(piece) {
            self.held = None;
            match piece {
                Some(piece) => image.read(piece, &mut self.image)?,
                None => self.image.fill(ERASED),
            }
            self.held = Some(piece);
        }
        Ok(())
    }

    fn compare(&mut self, block: u32) -> io::Result<Event> {
        let before = self.statistics();
        let start = self.offset(block);
        let first = LOOK_BYTES.next_multiple_of(self.write_bytes).min(self.block.len());
        let mut all = Difference::Same;
        for span in [0..first, first..self.block.len()] {
            let (flash, image) = (&mut self.block[span.clone()], &self.image[span.clone()]);
            self.file.read_exact_at(flash, start + span.start as u64)?;
            all = all.max(difference(flash, image));
            // More of it changes nothing.
            if all == Difference::Other || all == Difference::Clears && !self.chip.clears {
                break;
            }
        }
        let after = self.statistics();
        if after.failed != before.failed {
            all = Difference::Unreadable;
        }
        let corrected = after.corrected.wrapping_sub(before.corrected);
        Ok(Event::Compared { difference: all, corrected })
    }

    fn statistics(&self) -> mtd::Statistics {
        match self.counts {
            true => mtd::statistics(&self.file).unwrap_or_default(),
            false => mtd::Statistics::default(),
        }
    }

    /// Writes what is held. Where the block was erased, what is erased in the image is left so;
    /// where not, what is the same already, if all of it was read.
    fn write(&mut self, block: u32, erased: bool) -> io::Result<()> {
        let start = self.offset(block);
        let step = match self.write_bytes {
            // Smaller pieces would be more calls than they save.
            small @ 0..2048 => 2048_usize.next_multiple_of(small.max(1)),
            page => page,
        };
        if !erased {
            self.file.read_exact_at(&mut self.block, start)?;
        }
        let needed = |place: usize| {
            let span = place..(place + step).min(self.image.len());
            match erased {
                true => !is_erased(&self.image[span]),
                false => self.image[span.clone()] != self.block[span],
            }
        };
        let mut place = 0;
        while place < self.image.len() {
            let mut end = place;
            while end < self.image.len() && needed(end) {
                end += step;
            }
            let span = place..end.min(self.image.len());
            if !span.is_empty() {
                self.file.write_all_at(&self.image[span.clone()], start + span.start as u64)?;
            }
            place = end.max(place + step);
        }
        Ok(())
    }
}

fn is_erased(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == u64::MAX)
        && tail.iter().all(|byte| *byte == ERASED)
}

/// What is the flash's own fault: it could not erase, program or mend.
fn failed(error: io::Error) -> Event {
    let errno = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
    let worn = [Errno::IO, Errno::BADMSG, Errno::UCLEAN].map(Errno::raw_os_error).contains(&errno);
    Event::Failed { errno: errno as u16, worn }
}

/// All partitions that the kernel knows.
pub fn all() -> io::Result<Vec<Partition>> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no flash here"),
        _ => error,
    };
    partitions::all().map_err(missing)
}
