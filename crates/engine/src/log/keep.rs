//! What is kept of an archive that has to go: the last lines of services that have said little since. So a
//! flood from one service takes no other's last words along.
//!
//! They stand in one file, the remainder, which is the oldest of all archives and begins with a line that says
//! how much is missing in it and behind it: `@label .logger dropped N lines`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use model::label::{LABEL_BYTES, number};
use model::log::line::{Line, newline, one};
use model::log::mark::{Mark, SERVICE};

/// Begins the text of a remainder's first line; ` lines` ends it.
const DROPPED: &[u8] = b"dropped ";

/// Where one service stands in the log, as far as this logger has seen. Positions are bytes from where this
/// logger began.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// The end of what it said last.
    last: i64,
    /// It has said enough behind this.
    enough_from: i64,
    /// The same, once it has said so many bytes more.
    next: (i64, usize),
}

impl Default for Recent {
    fn default() -> Self {
        Self { last: i64::MIN, enough_from: i64::MIN, next: (i64::MIN, 0) }
    }
}

impl Recent {
    /// It said something that takes `bytes` in the log, from `at` on. `enough`: bytes of its last lines that
    /// are worth keeping.
    pub fn said(&mut self, at: i64, bytes: usize, enough: usize) {
        if self.next.1 == 0 {
            self.next.0 = at;
        }
        self.next.1 += bytes;
        if self.next.1 >= enough {
            self.enough_from = self.next.0;
            self.next.1 = 0;
        }
        self.last = at + bytes as i64;
    }

    /// Nothing that it said before `end` need be kept.
    pub fn has_enough_behind(&self, end: i64) -> bool {
        self.enough_from >= end
    }

    /// What it said between `start` and `end` may have to be kept.
    pub fn needs(&self, start: i64, end: i64) -> bool {
        self.last > start && !self.has_enough_behind(end)
    }
}

/// Of a line that has none: no logger wrote it.
const NO_LABEL: &[u8; LABEL_BYTES] = b"@400000000000000000000000";

/// How much is kept, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub each: usize,
    pub all: usize,
}

/// Chooses among the lines of a remainder and of an archive that has to go, which it is given from their end
/// on: first of the archive, then of the remainder.
pub struct Keeper<'d> {
    room: Room,
    /// Whether a service has enough behind both.
    done: &'d mut dyn FnMut(&[u8]) -> bool,
    /// With the bytes that each may still have.
    services: Vec<(Box<[u8]>, usize)>,
    dropped: u64,
    /// What is kept, the last line first.
    bytes: Vec<u8>,
    lines: Vec<(usize, Option<Mark>)>,
}

impl<'d> Keeper<'d> {
    pub fn new(room: Room, done: &'d mut dyn FnMut(&[u8]) -> bool) -> Self {
        let (services, bytes, lines) = (Vec::new(), Vec::new(), Vec::new());
        Self { room, done, services, dropped: 0, bytes, lines }
    }

    /// Looks at lines that stand before those of the last call. What is left of a line without newline is not
    /// kept.
    pub fn look(&mut self, block: &[u8]) {
        let mut starts = alloc::vec![0];
        while let Some(end) = starts.last().and_then(|&at| Some(at + newline(&block[at..])? + 1)) {
            starts.push(end);
        }
        let mut end = block.len();
        let mut at = 0;
        for start in starts.into_iter().rev() {
            let whole = &block[start..end];
            end = start;
            let Some(text) = whole.strip_suffix(b"\n") else {
                self.drop_lines(u64::from(!whole.is_empty()));
                continue;
            };
            let line = Line::read(text, true);
            let service = line.service.unwrap_or_default();
            if service == SERVICE.as_bytes() {
                if let Some(mark) = Mark::read(&line) {
                    self.keep(whole, Some(mark));
                    continue;
                } else if let Some(count) = dropped_lines(&line) {
                    self.drop_lines(count);
                    continue;
                }
            }
            if self.services.get(at).is_none_or(|(name, _)| **name != *service) {
                let known = self.services.iter().position(|(name, _)| **name == *service);
                at = known.unwrap_or_else(|| self.add(service));
            }
            let own = &mut self.services[at].1;
            if whole.len() <= *own && whole.len() <= self.room.all {
                *own -= whole.len();
                self.room.all -= whole.len();
                self.keep(whole, None);
            } else {
                // None that is older stays, either.
                *own = 0;
                self.drop_lines(1);
            }
        }
    }

    fn drop_lines(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    fn add(&mut self, service: &[u8]) -> usize {
        let room = if (self.done)(service) { 0 } else { self.room.each };
        self.services.push((service.into(), room));
        self.services.len() - 1
    }

    fn keep(&mut self, line: &[u8], mark: Option<Mark>) {
        self.lines.push((self.bytes.len(), mark));
        self.bytes.extend_from_slice(line);
    }

    /// The next remainder; empty, where nothing is to be kept.
    pub fn finish(mut self) -> Vec<u8> {
        let mut kept = Vec::new();
        let (mut said, mut next) = (None::<Mark>, None);
        let mut end = self.bytes.len();
        self.lines.reverse();
        // The first is the last that was looked at.
        for (start, mark) in self.lines {
            let line = &self.bytes[start..end];
            end = start;
            if let Some(mark) = mark {
                next = Some((line, mark));
                continue;
            }
            if kept.is_empty() {
                append_dropped(self.dropped, line, &mut kept);
            }
            if let Some((line, mark)) = next.take()
                && said.is_none_or(|said| said.differs_from(&mark))
            {
                kept.extend_from_slice(line);
                said = Some(mark);
            }
            kept.extend_from_slice(line);
        }
        kept
    }
}

/// Appends the first line of a remainder, with the label of the line that follows.
fn append_dropped(dropped: u64, line: &[u8], kept: &mut Vec<u8>) {
    let mut text = DROPPED.to_vec();
    model::label::append(dropped, 1, &mut text);
    text.extend_from_slice(b" lines");
    let label = Line::read(line, true).label.unwrap_or(NO_LABEL);
    kept.append(&mut one(label, SERVICE, &text));
}

/// Whether an archive that begins so is a remainder.
pub fn is_remainder(bytes: &[u8]) -> bool {
    newline(bytes).is_some_and(|end| dropped_lines(&Line::read(&bytes[..end], true)).is_some())
}

fn dropped_lines(line: &Line<'_>) -> Option<u64> {
    let own = line.service == Some(SERVICE.as_bytes());
    let count = line.text.strip_prefix(DROPPED)?.strip_suffix(b" lines").filter(|_| own)?;
    number(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use model::log::line::Lines;
    use model::time::{Date, Moment};

    fn line(secs: u64, text: &str) -> String {
        let label = Date::from_unix(secs, 0).label_text();
        format!("{} {text}\n", core::str::from_utf8(&label).unwrap())
    }

    fn mark(secs: u64, up: u64, boot: u8) -> String {
        let mut lines = Lines::new(0);
        let today = Date::from_unix(secs, 0);
        let mark = Mark::new([b'0' + boot; 36], today, Moment::from_nanos(up * 1_000_000_000));
        mark.unwrap().write(today, 0, &mut lines);
        String::from_utf8(lines.as_bytes().to_vec()).unwrap()
    }

    fn kept(remainder: &str, archive: &str, each: usize, all: usize, done: &[&str]) -> String {
        let mut done = |service: &[u8]| done.iter().any(|name| name.as_bytes() == service);
        let mut keeper = Keeper::new(Room { each, all }, &mut done);
        // In blocks of two lines.
        for text in [archive, remainder] {
            let lines: Vec<_> = text.split_inclusive('\n').collect();
            lines.rchunks(2).for_each(|block| keeper.look(block.concat().as_bytes()));
        }
        String::from_utf8(keeper.finish()).unwrap()
    }

    #[test]
    fn the_last_lines_of_each_service_stay_with_the_marks_that_date_them() {
        let first = [
            mark(100, 1, 1),
            line(101, "dns begun"),
            line(102, "flood 1"),
            line(103, "ntp set"),
            line(104, "flood 2"),
            mark(104, 5, 1), // the same clock: nothing new
            line(105, "dns served"),
        ]
        .concat();
        let rest = kept("", &first, 1000, 1000, &["flood"]);
        let lines = [
            line(101, ".logger dropped 2 lines"),
            mark(100, 1, 1),
            line(101, "dns begun"),
            line(103, "ntp set"),
            line(105, "dns served"),
        ];
        assert_eq!(rest, lines.concat());
        assert!(is_remainder(rest.as_bytes()) && is_remainder(&rest.as_bytes()[..80]));
        assert!(!is_remainder(b"\n") && !is_remainder(b"") && !is_remainder(first.as_bytes()));

        // Later: what is lost of the flood adds up, and each has its share.
        let second =
            [mark(200, 7, 1), line(201, "flood 3"), line(202, "dns served"), line(202, "flood 4")];
        let two = line(0, "dns served").len() * 2;
        let next = kept(&rest, &second.concat(), two, 1000, &["flood"]);
        let lines = [
            line(103, ".logger dropped 5 lines"),
            mark(100, 1, 1),
            line(103, "ntp set"),
            line(105, "dns served"),
            mark(200, 7, 1), // the clock was set
            line(202, "dns served"),
        ];
        assert_eq!(next, lines.concat());

        assert_eq!(kept(&next, "", 1000, 1000, &["flood", "dns", "ntp"]), "", "nothing is left");
    }

    #[test]
    fn all_of_it_has_a_bound_and_older_lines_do_not_slip_in() {
        let lines: Vec<_> = (0..50).map(|i| line(i, &format!("s{} text", i % 10))).collect();
        let one = lines[0].len();
        let rest = kept("", &lines.concat(), 1000, 5 * one, &[]);
        assert_eq!(rest, line(45, ".logger dropped 45 lines") + &lines[45..].concat());
        // A long last line, a short one before it: that is not the last.
        let archive = line(1, "dns short")
            + &line(2, &format!("dns {}", "x".repeat(500)))
            + &line(3, "ntp x");
        assert_eq!(
            kept("", &archive, 100, 1000, &[]),
            line(3, ".logger dropped 2 lines") + &line(3, "ntp x")
        );
    }

    #[test]
    fn a_service_has_enough_once_its_later_lines_are_as_many_as_are_kept() {
        let mut recent = Recent::default();
        assert!(!recent.needs(0, 1000), "it has said nothing");
        recent.said(500, 100, 200);
        assert!(recent.needs(0, 1000) && recent.needs(550, 1000) && !recent.needs(600, 1000));
        recent.said(2000, 100, 200);
        assert!(!recent.has_enough_behind(600), "some of it stands before that");
        recent.said(2100, 100, 200);
        assert!(!recent.has_enough_behind(600));
        recent.said(2200, 100, 200);
        assert!(recent.has_enough_behind(2100) && !recent.has_enough_behind(2101));
        assert!(recent.needs(0, 2101) && !recent.needs(0, 2100));
        recent.said(3000, 1000, 200);
        assert!(recent.has_enough_behind(3000));
    }
}
