//! Moves bytes from a service's pipe to the log: each exactly once, whenever
//! the logger may be killed.
//!
//! The bytes stay in the pipe, which init holds, until the log has them. A
//! step is: look at the pipe without taking anything; write into the journal
//! what will be done; append to the log; take the bytes. Whoever comes after
//! a kill finds in the journal which step was under way, sees at the length
//! of the log whether it was written, and at the journal's second area which
//! bytes were taken (see [`model::log::journal`]).
//!
//! What is in the log and ends in a newline stays: of a step that was written
//! only in part, the whole lines are kept. So who reads while the logger writes,
//! and takes nothing but whole lines, sees each of them once.

use model::log::journal::Record;

/// What a step needs of the world.
pub trait World {
    type Error;

    /// The journal's record; an idle one where it holds none that is whole.
    fn record(&mut self) -> Record;

    /// Replaces the journal's record.
    fn set_record(&mut self, record: Record);

    /// Fills the first `count` bytes of the journal's second area with the
    /// opposite of the first area's.
    fn oppose(&mut self, count: usize);

    /// How many of the first `count` bytes the two areas have in common.
    fn taken(&mut self, count: usize) -> usize;

    /// The inode number and the length of the log, as far as they are known.
    fn log(&mut self) -> Result<(u64, u64), Self::Error>;

    /// Appends to the log in one go and says how much of `text` it holds now.
    fn append(&mut self, text: &[u8]) -> Result<usize, Self::Error>;

    /// Shortens the log.
    fn truncate(&mut self, length: u64) -> Result<(), Self::Error>;

    /// Of what was appended from `before` on: bytes of the whole lines, and how
    /// many of the first `count` bytes of the journal's first area they hold.
    fn whole_lines(&mut self, before: u64, count: usize) -> Result<(u32, u32), Self::Error>;

    /// Takes bytes from the pipe of inode number `pipe`, at most until the
    /// second area holds `until` of them, and puts them there from `from` on.
    /// Says how many; 0 where that pipe is gone.
    fn take(&mut self, pipe: u64, from: usize, until: usize) -> Result<usize, Self::Error>;

    /// Remembers in the journal how many lines of this pipe are lost and not told of.
    fn set_lost(&mut self, pipe: u64, lines: u64);
}

/// Why a step was not made. Nothing was taken from the pipe, or the journal
/// still knows of it: call [`recover`] before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck<E> {
    /// The log took no whole line (a full disk says so at the next try).
    Short,
    World(E),
}

impl<E> From<E> for Stuck<E> {
    fn from(error: E) -> Self {
        Self::World(error)
    }
}

/// Appends `text` to the log, then takes the first `count` bytes of the
/// journal's first area from the pipe of `plan`, which also gives the boot.
///
/// Where there is no text, the bytes are given up; where nothing is taken, the
/// text tells of what was given up. The lines that are lost then are those of
/// `plan`.
///
/// Says how many bytes were taken: less than `count` where the log took only a part.
pub fn step<W: World>(
    world: &mut W,
    plan: Record,
    count: usize,
    text: &[u8],
) -> Result<usize, Stuck<W::Error>> {
    let (file, before) = world.log()?;
    let (written, taken) = (text.len() as u32, count as u32);
    let record = Record { file, before, written, taken, under_way: true, ..plan };
    world.oppose(count);
    world.set_record(record);
    match world.append(text) {
        Ok(length) if length == text.len() => finish(world, record, 0),
        failed => match keep_whole_lines(world, record)? {
            Some(part) => finish(world, part, 0),
            None => {
                world.set_record(Record { under_way: false, ..plan });
                failed?;
                Err(Stuck::Short)
            }
        },
    }
}

/// Cuts off the line that was written in part. Answers what is left of the
/// step, nothing where it wrote no whole line. The journal keeps the record as
/// it was: whoever comes after a kill counts the same lines again.
fn keep_whole_lines<W: World>(
    world: &mut W,
    record: Record,
) -> Result<Option<Record>, Stuck<W::Error>> {
    let (written, taken) = world.whole_lines(record.before, record.taken as usize)?;
    world.truncate(record.before + u64::from(written))?;
    Ok((written > 0).then_some(Record { written, taken, ..record }))
}

/// Ends the step that was under way, if one was. `boot` is this boot.
pub fn recover<W: World>(world: &mut W, boot: u64) -> Result<(), Stuck<W::Error>> {
    let record = world.record();
    if !record.under_way {
        return Ok(());
    }
    let (file, length) = world.log()?;
    let done = world.taken(record.taken as usize);
    let end = record.before.saturating_add(u64::from(record.written));
    let same = file == record.file;
    let left = match same && (record.before..end).contains(&length) {
        true => keep_whole_lines(world, record)?,
        false => None,
    };
    // Bytes are taken only after the log was written, so one byte taken says
    // that it was, even where somebody has since moved the log away.
    let written = done > 0 || (same && length >= end);
    if let Some(record) = left.or(written.then_some(record))
        && record.boot == boot
    {
        return finish(world, record, done).map(drop);
    }
    world.set_record(Record { under_way: false, ..record });
    Ok(())
}

/// Takes the bytes that are not yet taken: `done` of them are.
fn finish<W: World>(world: &mut W, record: Record, done: usize) -> Result<usize, Stuck<W::Error>> {
    let (mut done, count) = (done, record.taken as usize);
    while done < count {
        match world.take(record.pipe, done, count)? {
            0 => break, // The pipe is gone, and its bytes with it.
            more => done += more,
        }
    }
    if record.pipe != 0 && (record.written == 0 || count == 0) {
        world.set_lost(record.pipe, record.lost);
    }
    world.set_record(Record { under_way: false, ..record });
    Ok(count)
}

#[cfg(test)]
mod tests;
