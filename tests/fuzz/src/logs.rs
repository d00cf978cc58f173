//! Readers of what lies in log directories and comes out of pipes.

use engine::log::history::{Sieve, Wanted};
use engine::log::keep::{Keeper, Room};
use engine::log::split::{Rest, first_line, first_piece};
use engine::log::step::{World, recover};
use model::limits::{LOG_LINE_BYTES_MAX, LOG_TURN_BYTES_MAX};
use model::log::archive::{Archive, parse_label};
use model::log::journal::{RECORD_BYTES, Record};
use model::log::last_boot as kept;
use model::log::line::Line;
use model::log::mark::{BOOT_BYTES, Mark};
use model::log::script::{Script, Step, Target};
use model::log::when::When;
use model::zone::Zone;
use xxhash_rust::xxh64::xxh64;

// s6-log reads its script from the command line: words of anything.
pub fn log_script(bytes: &[u8]) {
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let Ok(script) = Script::parse(&words) else { return };
    assert!(matches!(script.steps.last(), Some(Step::Act(_))), "it ends with an action");
    for step in &script.steps {
        if let Step::Act(action) = step
            && let Target::Directory(directory) = &action.target
        {
            assert!(matches!(directory.path.first(), Some(b'/' | b'.')));
        }
    }
}

// The logger and s6-log find files of any name in their directories.
pub fn log_names(bytes: &[u8]) {
    for name in bytes.split(|byte| *byte == b'\n') {
        if let Some(archive) = Archive::parse(name) {
            assert_eq!(archive.name(), name);
            assert_eq!(parse_label(&name[..25]), Some(archive.date));
        }
    }
}

/// A log and a pipe that say of themselves what a journal does not expect.
struct Pretend<'a> {
    record: Record,
    rest: &'a [u8],
    length: u64,
}

impl Pretend<'_> {
    fn number(&mut self) -> usize {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        usize::from(*first)
    }
}

impl World for Pretend<'_> {
    type Error = ();

    fn record(&mut self) -> Record {
        self.record
    }

    fn set_record(&mut self, record: Record) {
        self.record = record;
    }

    fn oppose(&mut self, _count: usize) {}

    fn taken(&mut self, count: usize) -> usize {
        self.number().min(count)
    }

    fn log(&mut self) -> Result<(u64, u64), ()> {
        let same = self.number().is_multiple_of(2);
        Ok((if same { self.record.file } else { !self.record.file }, self.length))
    }

    fn append(&mut self, text: &[u8]) -> Result<usize, ()> {
        Ok(text.len())
    }

    fn truncate(&mut self, length: u64) -> Result<(), ()> {
        assert!(length <= self.length, "a log is never made longer");
        self.length = length;
        Ok(())
    }

    fn whole_lines(&mut self, before: u64, count: usize) -> Result<(u32, u32), ()> {
        let added = self.length.saturating_sub(before) as u32;
        Ok((added.min(self.number() as u32), self.number().min(count) as u32))
    }

    fn take(&mut self, _pipe: u64, from: usize, until: usize) -> Result<usize, ()> {
        assert!(from < until && until <= LOG_TURN_BYTES_MAX);
        Ok(self.number().min(until - from))
    }

    fn set_lost(&mut self, _pipe: u64, _lines: u64) {}
}

// The logger reads its journal when it starts, whatever a power cut made of it.
// Once with the checksum that belongs to it.
pub fn log_journal(bytes: &[u8]) {
    let Some((record, rest)) = bytes.split_at_checked(RECORD_BYTES) else {
        return assert!(Record::from_bytes(bytes).is_err());
    };
    let mut record = record.to_vec();
    let sum = xxh64(&record[..RECORD_BYTES - 8], 0);
    record[RECORD_BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
    let Ok(record) = Record::from_bytes(&record) else { return };
    assert_eq!(Record::from_bytes(&record.to_bytes()), Ok(record));
    let length = rest.first().map_or(0, |first| record.before.wrapping_add(u64::from(*first)));
    let mut world = Pretend { record, rest, length };
    recover(&mut world, record.boot).expect("nothing here fails");
    assert!(!world.record.under_way, "a step is over once it was recovered");
}

// `ward log` reads what memory holds after a crash: the log, and behind a zero byte what the kernel said.
pub fn last_boot(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (log, kernel) = bytes.split_at(end);
    let mut mark = None;
    for line in kept::Lines::new(log) {
        let read = Line::read(line, true);
        assert!(read.service.is_some() && read.date().is_some(), "each can be shown");
        mark = mark.or(Mark::read(&read));
    }
    let mark = mark.unwrap_or(Mark { boot: [b'0'; BOOT_BYTES], zero: 0 });
    kept::last_words(kernel, None, &mark, &mut |line| {
        let line = Line::read(line, true);
        assert_eq!(line.service, Some(&b"kernel"[..]));
        assert!(kept::said_at(line.text).is_some(), "each has its time");
    });
}

// The logger cuts what services print, s6-log what comes in.
pub fn log_lines(bytes: &[u8]) {
    let [limit, bytes @ ..] = bytes else { return };
    let mut left = bytes;
    while let Some(piece) = first_piece(left, Rest::Ended) {
        assert!(piece.taken > 0 && piece.text.len() <= LOG_LINE_BYTES_MAX);
        assert_eq!(left[..piece.text.len()], *piece.text);
        left = &left[piece.taken..];
    }
    assert!(left.is_empty(), "what has ended is all taken");
    let (mut left, limit) = (bytes, usize::from(*limit));
    while let Some(piece) = first_line(left, limit) {
        assert!(piece.taken > 0 && (limit == 0 || piece.text.len() <= limit));
        assert!(!piece.text.contains(&b'\n') && !piece.text.contains(&0));
        left = &left[piece.taken..];
    }
    assert!(limit == 0 || left.len() <= limit);
}

// `ward log` reads whatever lies in a log directory, and a terminal shows what it makes of that.
pub fn log_history(bytes: &[u8]) {
    let [flags, bytes @ ..] = bytes else { return };
    let wanted = match flags & 1 {
        0 => Wanted::default(),
        _ => Wanted { services: vec![("dns".into(), false)], ..Wanted::default() },
    };
    let mut sieve = Sieve::new(wanted, &|_| true);
    (sieve.named, sieve.live) = (flags & 2 != 0, flags & 4 != 0);
    let lines = || bytes.split(|byte| *byte == b'\n');
    let marks = lines().filter_map(|line| Mark::read(&Line::read(line, true)));
    marks.for_each(|mark| sieve.boots.add(mark));
    for line in lines() {
        let (mut text, mut object) = (Vec::new(), Vec::new());
        let Some(entry) = sieve.look(line) else { continue };
        entry.append_text(&Zone::UTC, false, &mut text);
        let text = std::str::from_utf8(&text).expect("what is shown is text");
        let text = text.strip_suffix('\n').expect("one line");
        assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
        entry.append_json(&mut object);
        let object = std::str::from_utf8(&object).expect("an object is text");
        let object = object.strip_suffix('\n').expect("one line");
        assert!(!object.contains(|c: char| c < ' '), "{object:?}");
        crate::ships::shipped(&entry);
    }
}

// The logger looks through archives that have to go.
pub fn log_keep(bytes: &[u8]) {
    let [each, all, cut, bytes @ ..] = bytes else { return };
    let room = Room { each: usize::from(*each) * 8, all: usize::from(*all) * 16 };
    let mut done = |service: &[u8]| service.ends_with(b"0");
    let mut keeper = Keeper::new(room, &mut done);
    let cut = bytes.len() * usize::from(*cut) / 256;
    // A block begins where a line does.
    let cut = bytes[..cut].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    keeper.look(&bytes[cut..]);
    keeper.look(&bytes[..cut]);
    let kept = keeper.finish();
    if kept.is_empty() {
        return;
    }
    let lines = |bytes| <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n').collect::<Vec<_>>();
    let (kept, all) = (lines(&kept), lines(bytes));
    let is_mark = |line: &&&[u8]| Mark::read(&Line::read(line.trim_ascii_end(), true)).is_some();
    let plain = kept[1..].iter().filter(|line| !is_mark(line));
    assert!(plain.clone().map(|line| line.len()).sum::<usize>() <= room.all);
    // In their order, and each as often as it was there.
    let mut rest = all.iter();
    assert!(plain.into_iter().all(|line| rest.any(|other| other == line)), "{kept:?}");
}

// What somebody wrote behind `--since`.
pub fn log_when(bytes: &[u8]) {
    if let Some(when) = When::parse(bytes) {
        for zone in [Zone::UTC, Zone::from_rule(b"CET-1CEST,M3.5.0,M10.5.0/3").unwrap()] {
            assert!(when.resolve(1_764_000_000, 5, &zone).nanos < 1_000_000_000);
        }
    }
}
