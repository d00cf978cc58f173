//! A log directory as `s6-log` writes it: lines that wait for a disk with
//! room, rotation by size, time or signal, and a processor.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use model::log::policy::Policy;
use model::log::script::Directory;
use model::time::Moment;

use crate::log::log_dir::{LogDir, Unclosed};
use crate::log::processing::Processing;
use crate::trouble::{Trouble, While};

pub struct ProcessedDir {
    log: LogDir,
    path: Box<Path>,
    policy: Policy,
    cooldown: Duration,
    period: Duration,
    processing: Processing,
    /// Lines that `current` does not hold yet, from `sent` on.
    waiting: Vec<u8>,
    sent: usize,
    /// `current` ends in the middle of a line.
    within_line: bool,
    /// Rotate as soon as `current` holds anything.
    rotate: bool,
    /// When to rotate for its age; never: zero period.
    rotate_at: Option<Moment>,
    /// Something failed: not before this.
    retry: Option<Moment>,
}

impl ProcessedDir {
    pub fn open(plan: &Directory<'_>, now: Moment) -> Result<Self, Trouble> {
        let path = Path::new(OsStr::from_bytes(plan.path));
        let log = LogDir::open(path, 0o2700, Unclosed::IsArchived(&plan.policy))
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::other("another program does"),
                _ => error,
            })
            .to(|| format!("log into {}", path.display()))?;
        let processing = Processing::new(plan.processor, &log);
        let period = Duration::from_millis(plan.period_ms);
        Ok(Self {
            log,
            path: path.into(),
            policy: plan.policy,
            cooldown: Duration::from_millis(plan.cooldown_ms.into()),
            period,
            processing: processing.to(|| format!("read {}", path.display()))?,
            waiting: Vec::new(),
            sent: 0,
            within_line: false,
            rotate: false,
            rotate_at: (period > Duration::ZERO).then(|| now + period),
            retry: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where to put whole lines before [`ProcessedDir::flush`].
    pub fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Bytes that are not in `current` yet.
    pub fn left(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Rotates as if `current` had reached its size.
    pub fn rotate(&mut self) {
        self.rotate = true;
    }

    pub fn processing(&self) -> bool {
        self.processing.is_busy()
    }

    /// When to call [`ProcessedDir::flush`] though nothing else happened.
    pub fn deadline(&self) -> Option<Moment> {
        let busy = self.left() > 0 || !self.processing.is_idle() || self.rotate;
        let retry = self.retry.filter(|_| busy);
        retry.into_iter().chain(self.rotate_at).min()
    }

    /// Writes and rotates as far as it goes now. `ending`: nothing comes
    /// afterwards, so lines do not wait for a processor that fails.
    ///
    /// # Errors
    /// What went wrong; it is tried again after the cooldown.
    pub fn flush(&mut self, now: Moment, ending: bool) -> Result<(), Trouble> {
        if self.rotate_at.is_some_and(|at| at <= now) {
            self.rotate_at = Some(now + self.period);
            self.rotate = true;
        }
        if self.retry.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.retry = None;
        let done = self.advance(ending);
        if done.is_err() {
            self.retry = Some(now + self.cooldown);
        }
        done
    }

    fn advance(&mut self, ending: bool) -> Result<(), Trouble> {
        loop {
            self.processing.advance(&mut self.log, &self.policy, &self.path, ending)?;
            if self.rotate && self.log.length() == 0 && self.left() == 0 {
                self.rotate = false; // An empty file is as good as a new one.
            }
            let full = self.rotate || self.log.length() >= self.policy.full_at();
            if full && !self.within_line && self.log.length() > 0 {
                if self.processing.is_idle() {
                    self.turn_over().to(|| format!("rotate {}", self.path.display()))?;
                    continue;
                }
                // `previous` is still there: its processor fails.
                if !ending || self.processing() {
                    return Ok(());
                }
            }
            if self.left() == 0 {
                return Ok(());
            }
            self.write().to(|| format!("write to {}", self.path.display()))?;
        }
    }

    /// Begins a new `current`.
    fn turn_over(&mut self) -> io::Result<()> {
        self.processing.turn_over(&mut self.log, &self.policy)?;
        self.rotate = false;
        Ok(())
    }

    /// Writes lines until `current` has its size.
    fn write(&mut self) -> io::Result<()> {
        let waiting = &self.waiting[self.sent..];
        let room = self.policy.full_at().saturating_sub(self.log.length()).max(1);
        let count = match usize::try_from(room) {
            // To the end of the line that makes it full.
            Ok(room) if room < waiting.len() => {
                let rest = &waiting[room - 1..];
                let end = model::log::line::newline(rest).map(|at| room + at);
                end.unwrap_or(waiting.len())
            }
            _ => waiting.len(),
        };
        let written = self.log.append(&waiting[..count])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.within_line = waiting[written - 1] != b'\n';
        self.sent += written;
        if self.left() == 0 {
            self.waiting.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Looks whether the processor has ended.
    ///
    /// # Errors
    /// It failed: it is started again after the cooldown.
    pub fn reap(&mut self, now: Moment) -> Result<(), Trouble> {
        let reaped = self.processing.reap(&self.path);
        if reaped.is_err() && !self.processing.is_busy() {
            self.retry = Some(now + self.cooldown);
        }
        reaped
    }

    /// Closes `current` in good order. What waits for a processor goes on the
    /// next time.
    pub fn close(self) -> Result<(), Trouble> {
        let path = self.path;
        self.log.close().to(|| format!("close {}", path.display()))
    }
}
