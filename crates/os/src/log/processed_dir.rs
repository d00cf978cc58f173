//! A log directory as `s6-log` writes it: lines that wait for a disk with
//! room, rotation by size, time or signal, and a processor.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use model::log::policy::Policy;
use model::log::script::{Directory, Processor};
use model::time::Moment;
use rustix::fs::{self, Mode, OFlags};
use rustix::process::{Pid, WaitOptions, fchdir, waitpid};

use crate::log::log_dir::{LogDir, NEW_STATE, PREVIOUS, PROCESSED, Unclosed};
use crate::sys::processor;
use crate::trouble::{Trouble, While};

/// What is happening to `previous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    /// There is none.
    None,
    /// It waits for its processor to be started, at first or again.
    Waiting,
    Processing(Pid),
    /// It was processed, and waits for its new name.
    Processed,
}

pub struct ProcessedDir {
    log: LogDir,
    path: Box<Path>,
    policy: Policy,
    cooldown: Duration,
    period: Duration,
    processor: Option<Vec<CString>>,
    rotation: Rotation,
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
        let left = log.holds(PREVIOUS).to(|| format!("read {}", path.display()))?;
        let period = Duration::from_millis(plan.period_ms);
        Ok(Self {
            log,
            path: path.into(),
            policy: plan.policy,
            cooldown: Duration::from_millis(plan.cooldown_ms.into()),
            period,
            processor: plan.processor.map(command).transpose().to(|| "read the processor")?,
            rotation: if left { Rotation::Waiting } else { Rotation::None },
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
        matches!(self.rotation, Rotation::Processing(_))
    }

    /// When to call [`ProcessedDir::flush`] though nothing else happened.
    pub fn deadline(&self) -> Option<Moment> {
        let busy = self.left() > 0 || self.rotation != Rotation::None || self.rotate;
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
            match self.rotation {
                Rotation::Waiting if self.processor.is_none() => {
                    let done = self.log.archive_previous(&self.policy);
                    done.to(|| format!("archive in {}", self.path.display()))?;
                    self.rotation = Rotation::None;
                }
                Rotation::Waiting if !ending => {
                    let pid = self.start_processor();
                    let pid = pid.to(|| format!("process {}", self.path.display()))?;
                    self.rotation = Rotation::Processing(pid);
                }
                Rotation::Processed => {
                    let done = self.log.finish_processing(&self.policy);
                    done.to(|| format!("archive in {}", self.path.display()))?;
                    self.rotation = Rotation::None;
                }
                Rotation::None | Rotation::Waiting | Rotation::Processing(_) => {}
            }
            if self.rotate && self.log.length() == 0 && self.left() == 0 {
                self.rotate = false; // An empty file is as good as a new one.
            }
            let full = self.rotate || self.log.length() >= self.policy.full_at();
            if full && !self.within_line && self.log.length() > 0 {
                match self.rotation {
                    Rotation::None => {
                        self.turn_over().to(|| format!("rotate {}", self.path.display()))?;
                        continue;
                    }
                    // `previous` is still there: its processor fails.
                    _ if !ending || self.processing() => return Ok(()),
                    _ => {}
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
        if self.processor.is_some() {
            self.log.set_aside()?;
            self.rotation = Rotation::Waiting;
        } else {
            self.log.rotate(&self.policy)?;
        }
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

    fn start_processor(&self) -> io::Result<Pid> {
        let directory = self.log.directory();
        let words = self.processor.as_deref().unwrap_or_default();
        let open = |name, flags| -> io::Result<OwnedFd> {
            let fd =
                fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?;
            // Out of the way of the numbers that the processor expects.
            Ok(rustix::io::fcntl_dupfd_cloexec(fd, 10)?)
        };
        let anew = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let files = [
            (open(PREVIOUS, OFlags::RDONLY)?, 0),
            (open(PROCESSED, anew)?, 1),
            (open("state", OFlags::RDONLY | OFlags::CREATE)?, 4),
            (open(NEW_STATE, anew)?, 5),
        ];
        let here = crate::files::directory(".")?;
        fchdir(directory)?;
        let descriptors = files.each_ref().map(|(fd, number)| (fd.as_fd(), *number));
        let started = processor::start(words, &descriptors);
        fchdir(here)?;
        started
    }

    /// Looks whether the processor has ended.
    ///
    /// # Errors
    /// It failed: it is started again after the cooldown.
    pub fn reap(&mut self, now: Moment) -> Result<(), Trouble> {
        let Rotation::Processing(pid) = self.rotation else { return Ok(()) };
        let ended = waitpid(Some(pid), WaitOptions::NOHANG);
        match ended.to(|| format!("wait for the processor of {}", self.path.display()))? {
            None => Ok(()),
            Some((_, status)) if status.exit_status() == Some(0) => {
                self.rotation = Rotation::Processed;
                Ok(())
            }
            Some((_, status)) => {
                self.rotation = Rotation::Waiting;
                self.retry = Some(now + self.cooldown);
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("it exited {code}"),
                    (_, Some(signal)) => format!("signal {signal} killed it"),
                    _ => String::from("it vanished"),
                };
                Err(io::Error::other(how)).to(|| format!("process {}", self.path.display()))
            }
        }
    }

    /// Closes `current` in good order. What waits for a processor goes on the
    /// next time.
    pub fn close(self) -> Result<(), Trouble> {
        let path = self.path;
        self.log.close().to(|| format!("close {}", path.display()))
    }
}

/// The words to start a processor with.
fn command(processor: Processor<'_>) -> io::Result<Vec<CString>> {
    let (words, text): (&[&str], _) = match processor {
        Processor::Execline(text) => (&["execlineb", "-Pc"], text),
        Processor::Shell(text) => (&["/bin/sh", "-c"], text),
    };
    let mut command = Vec::new();
    for word in words.iter().map(|word| word.as_bytes()).chain([text]) {
        command.push(CString::new(word).map_err(|_| io::ErrorKind::InvalidInput)?);
    }
    Ok(command)
}
