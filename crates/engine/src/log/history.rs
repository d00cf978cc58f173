//! What a log directory holds, read again: which lines somebody wants, in
//! which boot they were written, and when that really was.

use alloc::boxed::Box;
use alloc::vec::Vec;

use model::log::entry::Entry;
use model::log::line::Line;
use model::log::mark::{Boot, Mark, SERVICE};
use model::log::priority::Priority;
use model::time::Date;

/// The boots of a log, in their order, each with its last mark: what that says
/// of the wall clock is believed, for a clock is set because it was wrong.
#[derive(Debug, Default)]
pub struct Boots(Vec<Mark>);

impl Boots {
    /// Call it with marks in the order of the log.
    pub fn add(&mut self, mark: Mark) {
        match self.0.iter_mut().rfind(|known| known.boot == mark.boot) {
            Some(known) => *known = mark,
            None => self.0.push(mark),
        }
    }

    /// The same with marks that were found elsewhere, of the boot before the last one unless it is known.
    pub fn add_before_last(&mut self, mark: Mark) {
        match self.0.iter_mut().rfind(|known| known.boot == mark.boot) {
            Some(known) => *known = mark,
            None => self.0.insert(self.0.len().saturating_sub(1), mark),
        }
    }

    /// Whether a line behind this mark has the right time, as far as is known.
    pub fn agree(&self, mark: &Mark) -> bool {
        let end = self.0.iter().rfind(|end| end.boot == mark.boot);
        end.is_some_and(|end| mark.step_to(end) == 0)
    }

    /// The last boot for 0, the one before it for 1.
    pub fn back(&self, count: usize) -> Option<Boot> {
        self.0.len().checked_sub(count + 1).map(|at| self.0[at].boot)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// When a line was written whose label is `date`, behind `mark`; and whether
    /// that is another time than its label says.
    pub fn correct(&self, date: Date, mark: &Mark) -> (Date, bool) {
        let end = self.0.iter().rfind(|end| end.boot == mark.boot);
        match (end.map_or(0, |end| mark.step_to(end)), date.nanos_since_1970()) {
            (0, _) | (_, None) => (date, false),
            (step, Some(nanos)) => (Date::from_nanos(nanos.saturating_add(step)), true),
        }
    }
}

/// A file of the log, as far as it is known without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its first line, where that is a mark, and what its label says.
    pub head: Option<(Mark, Date)>,
    /// When it was rotated, which its name says.
    pub rotated: Option<Date>,
}

impl Part {
    /// Whether a line that is wanted may stand in this part. The head of the `next`
    /// one says, in the same boot, when it ended; without marks its own name does.
    pub fn may_hold(&self, next: Option<&Self>, boots: &Boots, wanted: &Wanted) -> bool {
        match (self.head, next.and_then(|next| next.head)) {
            (Some((head, begun)), Some((next, ended))) if head.boot == next.boot => {
                let begun = boots.correct(begun, &head).0;
                let ended = boots.correct(ended, &next).0;
                wanted.boot.is_none_or(|boot| boot == head.boot)
                    && wanted.since.is_none_or(|since| ended >= since)
                    && wanted.until.is_none_or(|until| begun <= until)
            }
            (None, None) => !matches!((self.rotated, wanted.since), (Some(e), Some(s)) if e < s),
            _ => true,
        }
    }
}

/// Which lines somebody wants.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Of these services, with whether each is known to be one, which it is once
    /// it was seen; of all where there are none.
    pub services: Vec<(Box<str>, bool)>,
    pub since: Option<Date>,
    pub until: Option<Date>,
    pub boot: Option<Boot>,
}

impl Wanted {
    /// Whether a line is wanted can be told from it alone.
    pub fn is_timeless(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.boot.is_none()
    }
}

/// Looks at lines in their order and lets through what is wanted.
pub struct Sieve<'m> {
    pub wanted: Wanted,
    /// Whether the text of a line is wanted.
    pub matches: &'m dyn Fn(&[u8]) -> bool,
    pub boots: Boots,
    /// Names of services stand in the lines.
    pub named: bool,
    /// The last mark before the next line.
    pub mark: Option<Mark>,
    /// The lines are new: a clock that was set in them is right from now on.
    pub live: bool,
}

impl<'m> Sieve<'m> {
    pub fn new(wanted: Wanted, matches: &'m dyn Fn(&[u8]) -> bool) -> Self {
        let (boots, named, mark, live) = (Boots::default(), false, None, false);
        Self { wanted, matches, boots, named, mark, live }
    }

    /// What is to be shown of a line. A mark is shown where it says something new.
    pub fn look<'a>(&mut self, bytes: &'a [u8]) -> Option<Entry<'a>> {
        let mut line = Line::read(bytes, self.named);
        if self.live && !self.named {
            // The first line of a log that was empty may be a mark.
            let named = Line::read(bytes, true);
            if Mark::read(&named).is_some() {
                (self.named, line) = (true, named);
            }
        }
        if let Some(mark) = Mark::read(&line) {
            let last = self.mark.replace(mark);
            if self.live {
                self.boots.add(mark);
            }
            if !last.is_some_and(|last| last.differs_from(&mark)) {
                return None;
            }
        }
        let entry = Entry::new(line);
        if !self.wants_service(line.service) || !(self.matches)(entry.line.text) {
            return None;
        }
        let boot = self.mark.map(|mark| mark.boot);
        if self.wanted.boot.is_some() && self.wanted.boot != boot {
            return None;
        }
        let (date, corrected) = match (entry.date, &self.mark) {
            (Some(date), Some(mark)) => {
                let (date, corrected) = self.boots.correct(date, mark);
                (Some(date), corrected)
            }
            (date, _) => (date, false),
        };
        let early = self.wanted.since.is_some_and(|since| date.is_none_or(|date| date < since));
        let late = self.wanted.until.is_some_and(|until| date.is_none_or(|date| date > until));
        (!early && !late).then_some(Entry { date, corrected, boot, ..entry })
    }

    /// Whether a line is wanted, as far as can be told from it alone; marks are not counted.
    pub fn counts(&mut self, bytes: &[u8]) -> bool {
        let line = Line::read(bytes, self.named);
        let mark = line.service == Some(SERVICE.as_bytes());
        let text = Priority::split(line.text).1;
        !mark && self.wants_service(line.service) && (self.matches)(text)
    }

    fn wants_service(&mut self, service: Option<&[u8]>) -> bool {
        if self.wanted.services.is_empty() {
            return true;
        }
        let Some(service) = service else { return false };
        let mut services = self.wanted.services.iter_mut();
        let found = services.find(|(name, _)| name.as_bytes() == service);
        found.map(|(_, known)| *known = true).is_some()
    }
}

#[cfg(test)]
mod tests;
