//! Reads a log directory while somebody else may write there: all archives and
//! `current` as one log, from where it is wanted.

pub mod feed;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::log::history::{Part, Sieve};
use model::log::archive::Archive;
use model::log::line::{Line, newline};
use model::log::mark::Mark;
use model::log::packed;
use model::log::place::{Place as Kept, of_boot, of_line};
use model::time::Date;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::log::lines::{self, Each};
use crate::log::log_dir::{PREVIOUS, archives};
use crate::log::ship::flash::{self, FILE_BYTES_MAX};
use crate::log::tail::Tail;

const CURRENT: &str = "current";

/// A link to the log on flash that is a copy of this one.
pub const OLDER: &str = "older";

/// Bytes from the beginning of a file in which a mark ends, if it begins with one.
const HEAD_BYTES: usize = 256;

/// How often the directory is looked at anew when somebody rotates meanwhile.
const LOOKS_MAX: usize = 100;

/// One file of the log.
struct File {
    /// Nothing for `previous` and `current`.
    archive: Option<Archive>,
    /// It is one of a log on flash.
    is_packed: bool,
    /// It lies in the folder of what is older.
    is_older: bool,
    inode: u64,
    length: u64,
    part: Part,
    /// Where it begins; `None` where it does not yet.
    begins: Option<Kept>,
    /// What may get another name is held open. Archives are opened when it is their turn:
    /// there may be more of them than descriptors, and one that is gone by then is gone.
    held: Option<OwnedFd>,
}

/// A place in the log: a file, by its number, and bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    file: usize,
    offset: u64,
}

/// What following brings.
pub enum News<'a> {
    Line(&'a [u8]),
    /// There is nothing more for now.
    Idle,
    /// Files were removed before they could be read.
    Lost,
}

pub struct Reader {
    directory: OwnedFd,
    /// The log on flash that is a copy of this one, and goes back further.
    older: Option<OwnedFd>,
    /// The oldest first.
    files: Vec<File>,
    /// The last one is `current`, which is not there at all times.
    has_current: bool,
    /// Somebody will follow: of `current`, only whole lines are read.
    follows: bool,
}

impl Reader {
    pub fn open(path: &Path, follows: bool) -> io::Result<Self> {
        let directory = crate::files::directory(path)?;
        let (files, has_current) = list(&directory)?;
        Ok(Self { directory, older: None, files, has_current, follows })
    }

    /// The same, behind what its copy on flash has of the time before.
    pub fn open_all(path: &Path, follows: bool) -> io::Result<Self> {
        let mut reader = Self::open(path, follows)?;
        // Without flash, or where it was taken away, there is just less to see.
        if let Ok(older) = crate::files::directory_at(&reader.directory, OLDER) {
            let mut files = packed_files(&older, true)?;
            cut(&older, &mut files, &reader)?;
            files.append(&mut reader.files);
            (reader.files, reader.older) = (files, Some(older));
        }
        Ok(reader)
    }

    /// Tells `sieve` what marks say: whether services are named, and when boots ended.
    pub fn learn(&self, sieve: &mut Sieve<'_>) -> io::Result<()> {
        sieve.named = self.files.iter().any(|file| file.part.head.is_some());
        if !sieve.named {
            return Ok(());
        }
        for (at, file) in self.files.iter().enumerate() {
            let (head, next) = (file.head(), self.files.get(at + 1).and_then(File::head));
            head.into_iter().for_each(|head| sieve.boots.add(head));
            let goes_on = |head: Mark| next.is_some_and(|next| next.boot == head.boot);
            if head.is_some_and(goes_on) {
                continue; // Nothing ends here.
            }
            // Back to where this boot is found again: its last mark, and all of later boots.
            let mut marks = Vec::new();
            self.marks_back(at, file.length, &mut |mark| {
                marks.push(mark);
                head.is_none_or(|head| head.boot != mark.boot)
            })?;
            marks.into_iter().rev().for_each(|mark| sieve.boots.add(mark));
        }
        Ok(())
    }

    /// Where to begin so that all is there which `sieve` wants: of lines that are wanted whenever
    /// they were written, just the `last` ones.
    pub fn start(&self, sieve: &mut Sieve<'_>, last: Option<usize>) -> io::Result<Place> {
        let place = match last {
            Some(count) if sieve.wanted.is_timeless() => self.last_lines(sieve, count)?,
            _ => self.first_wanted(sieve)?,
        };
        if sieve.named {
            sieve.mark = self.mark_before(place)?;
        }
        Ok(place)
    }

    /// The last mark before a place: its own file begins with one, unless that is damaged.
    fn mark_before(&self, place: Place) -> io::Result<Option<Mark>> {
        let (mut at, mut end, mut found) = (place.file, place.offset, None);
        while found.is_none() && at < self.files.len() {
            found = self.last_mark(at, end)?;
            if at == 0 || self.files[at].part.head.is_some() {
                break;
            }
            at -= 1;
            end = self.files[at].length;
        }
        Ok(found)
    }

    /// The place of the line that is the `count`th from the end.
    fn last_lines(&self, sieve: &mut Sieve<'_>, count: usize) -> io::Result<Place> {
        let (mut left, mut place) = (count, self.end());
        for at in (0..self.files.len()).rev() {
            if left == 0 {
                break;
            }
            let Some(open) = self.file(at)? else { continue };
            let growing = self.grows(at);
            lines::backward(&open, self.files[at].length, &mut |start, block| {
                let mut found = Vec::new();
                let mut offset = start;
                for line in block.split_inclusive(|&byte| byte == b'\n') {
                    let text = line.strip_suffix(b"\n");
                    if !(growing && text.is_none()) && sieve.counts(text.unwrap_or(line)) {
                        found.push(offset);
                    }
                    offset += line.len() as u64;
                }
                let enough = found.len().checked_sub(left);
                place = Place { file: at, offset: enough.map_or(start, |before| found[before]) };
                left = left.saturating_sub(found.len());
                Ok(left > 0)
            })?;
        }
        Ok(place)
    }

    /// The end of all lines.
    fn end(&self) -> Place {
        let Some((last, rest)) = self.files.split_last() else { return Place::default() };
        Place { file: rest.len(), offset: last.length }
    }

    /// The first place from which on something may be wanted.
    fn first_wanted(&self, sieve: &Sieve<'_>) -> io::Result<Place> {
        let Some(at) = (0..self.files.len()).find(|&at| self.may_hold(at, sieve)) else {
            return Ok(self.end());
        };
        let file = &self.files[at];
        let (Some(since), Some(open)) = (sieve.wanted.since, self.file(at)?) else {
            return Ok(Place { file: at, offset: 0 });
        };
        // Labels grow where no clock was set meanwhile.
        let head = file.head();
        let end = match self.files.get(at + 1) {
            _ if !sieve.named => None,
            Some(next) => next.head(),
            None => self.last_mark(at, file.length)?,
        };
        let steady = match (head, end) {
            (Some(head), Some(end)) => !head.differs_from(&end),
            _ => !sieve.named,
        };
        let mut early = |line: &[u8]| {
            let date = Line::read(line, sieve.named).date()?;
            let date = head.map_or(date, |head| sieve.boots.correct(date, &head).0);
            Some(date < since)
        };
        let offset = if steady { lines::bisect(&open, file.length, &mut early)? } else { 0 };
        Ok(Place { file: at, offset })
    }

    /// Of this file only whole lines are read: more will come.
    fn grows(&self, at: usize) -> bool {
        self.follows && self.has_current && at + 1 == self.files.len()
    }

    fn may_hold(&self, at: usize, sieve: &Sieve<'_>) -> bool {
        let next = self.files.get(at + 1).map(|next| &next.part);
        self.files[at].part.may_hold(next, &sieve.boots, &sieve.wanted)
    }

    /// Hands over lines from `place` on, without files that hold nothing that is
    /// wanted. Answers where `current` was left, nothing where it was told to stop.
    pub fn read(
        &self,
        sieve: &mut Sieve<'_>,
        place: Place,
        each: &mut dyn FnMut(&mut Sieve<'_>, &[u8]) -> io::Result<bool>,
    ) -> io::Result<Option<u64>> {
        let mut end = Some(0);
        for at in place.file..self.files.len() {
            let whole = self.grows(at);
            let to = if whole { u64::MAX } else { self.files[at].length };
            let from = if at == place.file { place.offset } else { 0 };
            end = Some(from);
            // What is followed has to be read to its end, whatever it holds.
            if !whole && !self.may_hold(at, sieve) {
                continue;
            }
            end = self.lines(at, from, to, whole, &mut |line| each(sieve, line))?;
            if end.is_none() {
                break;
            }
        }
        Ok(end)
    }

    /// Hands over lines as they are written, from `offset` of `current` on,
    /// which [`Reader::read`] has answered. Comes back when nobody reads what it
    /// writes any more, or where it was told to stop.
    pub fn follow(
        mut self,
        tail: &Tail,
        offset: u64,
        each: &mut dyn FnMut(News<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let mut offset = offset;
        loop {
            if self.has_current {
                let last = self.files.len() - 1;
                let mut line = |line: &[u8]| each(News::Line(line));
                match self.lines(last, offset, u64::MAX, true, &mut line)? {
                    Some(end) => offset = end,
                    None => return Ok(()),
                }
            }
            let inode = inode(&self.directory, CURRENT)?;
            let own = self.files.last().filter(|_| self.has_current).map(|file| file.inode);
            if inode != own && inode.is_some() {
                if !self.go_over(offset, each)? {
                    return Ok(());
                }
                offset = 0;
                continue;
            }
            if !each(News::Idle)? || !tail.wait()? {
                return Ok(());
            }
        }
    }

    /// Reads the rest of what was `current`, and all files between that and the
    /// newest, which is left to be read.
    fn go_over(
        &mut self,
        offset: u64,
        each: &mut dyn FnMut(News<'_>) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (files, has_current) = list(&self.directory)?;
        let old = std::mem::replace(&mut self.files, files);
        let had_current = std::mem::replace(&mut self.has_current, has_current);
        let last = old.last().filter(|_| had_current);
        let own = old.iter().filter(|file| !file.is_older);
        let newest = own.filter_map(|file| file.archive).max();
        let is_old = |file: &File| file.archive.is_some() && file.archive <= newest;
        let mut first = self.files.partition_point(is_old);
        if let Some(last) = last
            && let Some(open) = &last.held
        {
            let mut line = |line: &[u8]| each(News::Line(line));
            if lines::forward(open, offset, u64::MAX, false, &mut line)?.is_none() {
                return Ok(false);
            }
            match self.files.iter().position(|file| file.inode == last.inode) {
                Some(at) => first = at + 1,
                // A processor has made an archive of it, and of the one before, which come next: the
                // oldest go first, and there are older ones. The log of everything has no processors.
                None if last.part.head.is_none() && (first > 0 || newest.is_none()) => {
                    first += old.iter().filter(|file| file.archive.is_none()).count();
                }
                None if !each(News::Lost)? => return Ok(false),
                None => {}
            }
        }
        for at in first..self.files.len() - usize::from(self.has_current) {
            let mut line = |line: &[u8]| each(News::Line(line));
            if self.lines(at, 0, u64::MAX, false, &mut line)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where [`Reader::read`] has come to in `current`, as a place that can be kept; `None`: there is nothing
    /// there yet that it would be known by.
    pub fn kept(&self, offset: u64) -> Option<Kept> {
        let current = self.files.last().filter(|_| self.has_current)?;
        Some(Kept { offset, ..current.begins? })
    }

    /// Opens a file of the log; `None` where it is gone.
    fn file(&self, at: usize) -> io::Result<Option<OwnedFd>> {
        match &self.files[at] {
            File { held: Some(held), .. } => Ok(Some(held.try_clone()?)),
            File { archive: Some(archive), is_packed, is_older, .. } => {
                let directory = self.older.as_ref().filter(|_| *is_older);
                let directory = directory.unwrap_or(&self.directory);
                let found = match is_packed {
                    true => unpack(directory, *archive)?,
                    false => open(directory, &archive.name())?,
                };
                Ok(found.map(|(open, ..)| open))
            }
            _ => Ok(None),
        }
    }

    /// [`lines::forward`] in a file; nothing of one that is gone.
    fn lines(
        &self,
        at: usize,
        from: u64,
        to: u64,
        whole: bool,
        each: Each<'_>,
    ) -> io::Result<Option<u64>> {
        match self.file(at)? {
            Some(open) => lines::forward(&open, from, to, whole, each),
            None => Ok(Some(from)),
        }
    }

    /// Hands over the marks of a file before `end`, the last one first, while more are wanted.
    fn marks_back(
        &self,
        at: usize,
        end: u64,
        each: &mut dyn FnMut(Mark) -> bool,
    ) -> io::Result<()> {
        let Some(open) = self.file(at)? else { return Ok(()) };
        lines::backward(&open, end, &mut |_, block| {
            let lines = block.rsplit(|&byte| byte == b'\n');
            let mut marks = lines.filter_map(|line| Mark::read(&Line::read(line, true)));
            Ok(marks.all(&mut *each))
        })
    }

    /// The last mark of a file before `end`.
    fn last_mark(&self, at: usize, end: u64) -> io::Result<Option<Mark>> {
        let mut found = None;
        self.marks_back(at, end, &mut |mark| {
            found = Some(mark);
            false
        })?;
        Ok(found)
    }
}

impl File {
    fn head(&self) -> Option<Mark> {
        self.part.head.map(|(mark, _)| mark)
    }

    /// Looks at an open file; one that is no archive is held.
    fn new(archive: Option<Archive>, found: (OwnedFd, u64, u64)) -> io::Result<Self> {
        let (open, inode, length) = found;
        let mut head = [0; HEAD_BYTES];
        let count = lines::read_all(&open, &mut head, 0)?;
        let (begins, head) = beginning(&head[..count]);
        let part = Part { head, rotated: archive.map(|archive| archive.date) };
        let held = archive.is_none().then_some(open);
        let (is_packed, is_older) = (false, false);
        Ok(Self { archive, is_packed, is_older, inode, length, part, begins, held })
    }
}

/// What the first bytes of a file say of it: what it is known by, and the mark it begins with.
fn beginning(bytes: &[u8]) -> (Option<Kept>, Option<(Mark, Date)>) {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let end = newline(head);
    let line = end.map(|end| Line::read(&head[..end], true));
    let mark = line.and_then(|line| Some((Mark::read(&line)?, line.date()?)));
    let end = end.or((head.len() == HEAD_BYTES).then_some(HEAD_BYTES));
    let boot = of_boot(mark.as_ref().map(|(mark, _)| &mark.boot));
    (end.map(|end| Kept { file: of_line(&head[..end]), boot, offset: 0 }), mark)
}

/// All files of the log as they were at one moment, the oldest first, and whether
/// the last one is `current`.
fn list(directory: &OwnedFd) -> io::Result<(Vec<File>, bool)> {
    let mut looks = 0;
    loop {
        // What is `current` now may be an archive by the time that these are listed.
        let current = open(directory, CURRENT.as_bytes())?;
        let previous = open(directory, PREVIOUS.as_bytes())?;
        let mut archives = archives(directory)?;
        let inodes = [&current, &previous].map(|found| found.as_ref().map(|found| found.1));
        looks += 1;
        if [inode(directory, CURRENT)?, inode(directory, PREVIOUS)?] != inodes && looks < LOOKS_MAX
        {
            continue;
        }
        archives.sort_unstable();
        let mut files = packed_files(directory, false)?;
        for (archive, _) in archives {
            if let Some(found) = open(directory, &archive.name())? {
                files.push(File::new(Some(archive), found)?);
            }
        }
        for found in previous.into_iter().chain(current) {
            files.push(File::new(None, found)?);
        }
        return Ok((files, inodes[0].is_some()));
    }
}

/// Opens a regular file to read it, and says its inode number and length.
fn open(directory: &OwnedFd, name: &[u8]) -> io::Result<Option<(OwnedFd, u64, u64)>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = match fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        result => result?,
    };
    let found = fs::fstat(&open)?;
    let regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    Ok(regular.then_some((open, found.st_ino, found.st_size as u64)))
}

/// All files of a log on flash.
fn packed_files(directory: &OwnedFd, is_older: bool) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for (archive, _) in flash::list(directory)? {
        if let Some(found) = unpack(directory, archive)? {
            let mut file = File::new(Some(archive), found)?;
            // Its name says when it was begun.
            (file.is_packed, file.is_older, file.part.rotated) = (true, is_older, None);
            files.push(file);
        }
    }
    Ok(files)
}

/// Drops of older files what `newer` has as well: all from the line on that it begins with.
fn cut(older: &OwnedFd, files: &mut Vec<File>, newer: &Reader) -> io::Result<()> {
    let mut first = None;
    if let Some(at) = newer.files.iter().position(|file| file.length > 0) {
        newer.lines(at, 0, u64::MAX, true, &mut |line| {
            first = Some(line.to_vec());
            Ok(false)
        })?;
    }
    let Some(first) = first else { return Ok(()) };
    for at in (0..files.len()).rev() {
        let Some(archive) = files[at].archive else { continue };
        let Some((text, ..)) = unpack(older, archive)? else { continue };
        let mut end = 0;
        let stopped = lines::forward(&text, 0, u64::MAX, false, &mut |line| {
            let found = line == first;
            end += if found { 0 } else { line.len() as u64 + 1 };
            Ok(!found)
        })?;
        if stopped.is_none() {
            files.truncate(at + 1);
            files[at].length = end;
            return Ok(());
        }
    }
    // It is a copy without gaps: where that line is not in it, it begins behind it, or ends before.
    let mut last = None;
    if let Some(archive) = files.last().and_then(|file| file.archive) {
        each_record(older, archive, &mut |place, _| {
            last = Some(place.file);
            Ok(())
        })?;
    }
    let is_newer = |file: &File| file.begins.is_some_and(|begins| Some(begins.file) == last);
    if newer.files.iter().any(is_newer) {
        files.clear();
    }
    Ok(())
}

/// The text of a file of a log on flash, as a file in memory; up to what is not whole.
fn unpack(directory: &OwnedFd, archive: Archive) -> io::Result<Option<(OwnedFd, u64, u64)>> {
    let memory = fs::memfd_create("log", fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(memory.try_clone()?);
    let mut length = 0;
    let inode = each_record(directory, archive, &mut |_, text| {
        length += text.len() as u64;
        file.write_all(text)
    })?;
    Ok(inode.map(|inode| (memory, inode, length)))
}

/// Hands over the records of such a file; answers its inode number.
fn each_record(
    directory: &OwnedFd,
    archive: Archive,
    each: &mut dyn FnMut(Kept, &[u8]) -> io::Result<()>,
) -> io::Result<Option<u64>> {
    let Some((file, inode, length)) = open(directory, &packed::name(archive.date))? else {
        return Ok(None);
    };
    let mut bytes = vec![0; length.min(FILE_BYTES_MAX) as usize];
    let count = lines::read_all(&file, &mut bytes, 0)?;
    let mut rest = &bytes[..count];
    while let Ok((place, text, taken)) = packed::read(rest) {
        each(place, &text)?;
        rest = &rest[taken..];
    }
    Ok(Some(inode))
}

/// The inode number of a regular file.
fn inode(directory: &OwnedFd, name: &str) -> io::Result<Option<u64>> {
    match fs::statat(directory, name, AtFlags::empty()) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
            Ok(Some(found.st_ino))
        }
        Ok(_) | Err(Errno::NOENT | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
