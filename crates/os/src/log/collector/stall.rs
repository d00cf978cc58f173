//! While the log cannot be written: lines stay in the pipes as long as these have room.

use std::io;
use std::time::Duration;

use engine::log::rotate::Directory;
use engine::log::split::{Rest, first_piece};
use engine::log::step::Stuck;
use model::log::journal::Record;
use model::log::line::head;
use model::log::loss;
use model::log::mark::SERVICE;
use model::time::Moment;

use super::Collector;
use crate::clock;

/// The first wait after the log could not be written; each further one is
/// twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// So long the log may not be writable before lines are given up, the oldest of pipes that are full; so
/// often is looked then whether any is.
const PATIENCE: Duration = Duration::from_secs(1);
const RELIEF: Duration = Duration::from_millis(250);

pub(super) struct Stall {
    /// When to try again, and how long to wait after that.
    pub(super) retry: (Moment, Duration),
    /// When to make room in pipes that are full.
    pub(super) relief: Moment,
}

impl Collector {
    /// The log cannot be written: waits, leaving everything in the pipes as long as they have room.
    pub(super) fn stall(&mut self) {
        let now = clock::now();
        let stall =
            self.stalled.get_or_insert(Stall { retry: (now, RETRY_MIN), relief: now + PATIENCE });
        let wait = stall.retry.1;
        stall.retry = (now + wait, (wait * 2).min(RETRY_MAX));
    }

    /// Tries again: the step that failed, a rotation, the first turn.
    pub(super) fn retry(&mut self) {
        let _ = self.log.drop_oldest();
        let ready = self.recover().and_then(|()| {
            self.log.open_current()?;
            self.log.end_last_line()?;
            self.rotate_if_full()
        });
        if ready.is_err() || self.tell_losses().is_err() {
            return self.stall();
        }
        // Until something was written, nothing is won.
        let stall = self.stalled.take();
        match self.queue.pop_front() {
            Some(slot) => self.turn_of(slot),
            None => self.turn_of_kernel(),
        }
        if self.stalled.is_some() {
            self.stalled = stall;
            self.stall();
        }
    }

    /// Gives up the oldest lines of pipes that are full, so that no service waits for the log.
    pub(super) fn relieve(&mut self, now: Moment) {
        let recovered = self.recover();
        for at in 0..self.pipes.len() {
            // While a step is under way, its bytes are not to be touched.
            if recovered.is_err() || self.give_up(at).is_err() {
                break;
            }
        }
        if let Some(stall) = &mut self.stalled {
            stall.relief = now + RELIEF;
        }
    }

    fn give_up(&mut self, at: usize) -> Result<(), Stuck<io::Error>> {
        let pipe = &mut self.pipes[at];
        if pipe.length()? == 0 || !self.glass.is_full(pipe)? {
            return Ok(());
        }
        let count = self.glass.look(pipe, self.journal.expected_mut())?;
        let (mut lines, mut taken) = (0, 0);
        while let Some(piece) = first_piece(&self.journal.expected()[taken..count], Rest::Full)
            && (!piece.cut || taken == 0)
        {
            lines += 1;
            taken += piece.taken;
        }
        let lost = pipe.lost.saturating_add(lines);
        let plan = Record { pipe: pipe.inode, lost, ..Record::default() };
        self.text.clear();
        self.step(plan, Some(at), taken)?;
        self.pipes[at].lost = lost;
        Ok(())
    }

    /// Says in the log what is lost.
    pub(super) fn tell_losses(&mut self) -> Result<(), Stuck<io::Error>> {
        for at in 0..self.pipes.len() {
            if self.pipes[at].lost > 0 {
                let today = self.mark()?;
                let pipe = &self.pipes[at];
                self.text.clear();
                let text = loss::text(pipe.lost, &pipe.name);
                self.text.push(&head(&today.label_text(), SERVICE), text.as_bytes(), false);
                let plan = Record { pipe: pipe.inode, ..Record::default() };
                self.write(plan, None, 0)?;
                self.pipes[at].lost = 0;
            }
        }
        Ok(())
    }
}
