//! When `current` becomes an archive, and what is kept of those that go.

use std::io;
use std::path::Path;
use std::time::Duration;

use engine::log::keep::{Keeper, Recent, Room};
use engine::log::rotate::Directory;
use model::log::kernel;
use model::log::script::Processor;
use model::time::Moment;

use super::{Collector, Plan, TEXT_BYTES_MAX};
use crate::clock;
use crate::log::log_dir::LogDir;
use crate::log::processing::Processing;

/// How many times its size `current` may have while a program is at the file before.
const WAITING_FILES: u64 = 4;

/// How long to wait before a program that failed is started again.
const COOLDOWN: Duration = Duration::from_secs(5);

/// Bytes of the last lines of a service that are worth keeping.
const KEPT_BYTES_MIN: usize = 512;
const KEPT_BYTES_MAX: usize = 2048;

/// What ends a file beside its size.
pub struct Rotation {
    processing: Processing,
    path: Box<Path>,
    period: Option<Duration>,
    /// When the period of `current` is over.
    old_at: Option<Moment>,
    /// When to try again what failed.
    retry: Option<Moment>,
}

impl Rotation {
    pub(super) fn new(plan: &Plan<'_>, log: &LogDir, now: Moment) -> io::Result<Self> {
        let processing = Processing::new(plan.processor.map(Processor::Shell), log)?;
        let (period, retry) = (plan.period, (!processing.is_idle()).then_some(now));
        let old_at = period.map(|period| now + period);
        Ok(Self { processing, path: plan.directory.into(), period, old_at, retry })
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        [self.old_at, self.retry].into_iter().flatten().min()
    }

    /// A child has ended.
    pub(super) fn reap(&mut self) {
        let failed = self.processing.reap(&self.path).is_err();
        self.retry = Some(clock::now() + if failed { COOLDOWN } else { Duration::ZERO });
    }
}

impl Collector {
    /// Whether `current` may become an archive: not while a step is, or may be, under way.
    pub(super) fn rotates(&self) -> bool {
        self.begun && self.stalled.is_none()
    }

    /// Whatever is due of it.
    pub(super) fn go_on_rotating(&mut self, now: Moment) {
        if !self.rotates() {
            return;
        }
        if self.rotation.old_at.is_some_and(|at| at <= now) {
            self.rotation.old_at = self.rotation.period.map(|period| now + period);
            let idle = self.rotation.processing.is_idle();
            if idle && self.log.length() > 0 && self.rotate().is_err() {
                return self.stall();
            }
        }
        let Rotation { processing, path, retry, .. } = &mut self.rotation;
        if retry.is_none_or(|at| at <= now) {
            let done = processing.advance(&mut self.log, &self.policy, path, false);
            *retry = done.is_err().then(|| now + COOLDOWN);
        }
    }

    /// Bytes of `current` at which it is finished.
    fn full_at(&self) -> u64 {
        let waits = if self.rotation.processing.is_idle() { 1 } else { WAITING_FILES };
        self.policy.full_at() * waits
    }

    /// Bytes of text after which `current` has its size; at least 1.
    pub(super) fn room_in_current(&self) -> usize {
        let room = self.full_at().saturating_sub(self.log.length());
        TEXT_BYTES_MAX.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
    }

    pub(super) fn rotate_if_full(&mut self) -> io::Result<()> {
        if self.log.length() >= self.full_at() { self.rotate() } else { Ok(()) }
    }

    /// Makes `current` an archive. Of those that are too many, what services said last that have said little
    /// since is kept.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        if self.rotation.processing.is_wanted() {
            // What a program makes of files is not looked into.
            let Rotation { processing, retry, .. } = &mut self.rotation;
            *retry = None;
            return match processing.is_idle() {
                true => processing.turn_over(&mut self.log, &self.policy),
                false => processing.give_up(&mut self.log, &self.policy),
            };
        }
        self.log.turn_over()?;
        let room = self.room();
        while let Some((oldest, [start, end])) = self.log.excess(&self.policy) {
            let pipes = &self.pipes;
            let unknown = start < self.known_from;
            let kernel = self.kernel.iter();
            let kernel = kernel.map(|kernel| (kernel::SERVICE, Some(&kernel.recent)));
            let all = pipes.iter().map(|pipe| (&*pipe.name, pipe.recent.as_deref())).chain(kernel);
            let needs = |recent: Option<&Recent>| recent.is_some_and(|it| it.needs(start, end));
            let enough =
                |recent: Option<&Recent>| recent.is_some_and(|it| it.has_enough_behind(end));
            if unknown || all.clone().any(|(_, recent)| needs(recent)) || self.log.has_remainder() {
                let mut done = |service: &[u8]| {
                    let mut own = all.clone().filter(|(name, _)| name.as_bytes() == service);
                    own.clone().count() > 0 && own.all(|(_, recent)| enough(recent))
                };
                self.log.condense(oldest, Keeper::new(room, &mut done), self.text.room())?;
            } else {
                self.log.remove(oldest)?;
            }
        }
        Ok(())
    }

    /// How much is kept of archives that go: a file in all, and of each service what fits there with the others.
    pub(super) fn room(&self) -> Room {
        let all = self.policy.file_bytes as usize;
        Room { each: (all / (self.pipes.len() + 1)).clamp(KEPT_BYTES_MIN, KEPT_BYTES_MAX), all }
    }
}
