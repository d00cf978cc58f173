//! What becomes of a file of a log before it is an archive: a program may make something of it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::log::policy::Policy;
use model::log::script::Processor;
use rustix::fs::{self, Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions, fchdir, kill_process, waitpid};

use crate::log::log_dir::{LogDir, NEW_STATE, PREVIOUS, PROCESSED};
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

pub struct Processing {
    command: Option<Vec<CString>>,
    rotation: Rotation,
    /// Programs that were killed and have not ended.
    given_up: Vec<Pid>,
}

impl Processing {
    /// What an earlier writer has left goes on.
    pub fn new(processor: Option<Processor<'_>>, log: &LogDir) -> io::Result<Self> {
        let rotation = if log.holds(PREVIOUS)? { Rotation::Waiting } else { Rotation::None };
        let given_up = Vec::new();
        Ok(Self { command: processor.map(command).transpose()?, rotation, given_up })
    }

    pub fn is_wanted(&self) -> bool {
        self.command.is_some()
    }

    /// There is no `previous`.
    pub fn is_idle(&self) -> bool {
        self.rotation == Rotation::None
    }

    /// A program is at it.
    pub fn is_busy(&self) -> bool {
        matches!(self.rotation, Rotation::Processing(_))
    }

    /// Begins a new `current`, while idle.
    pub fn turn_over(&mut self, log: &mut LogDir, policy: &Policy) -> io::Result<()> {
        if !self.is_wanted() {
            return log.rotate(policy);
        }
        let done = log.set_aside();
        // Also where no new `current` could be made behind it.
        if log.holds(PREVIOUS)? {
            self.rotation = Rotation::Waiting;
        }
        done
    }

    /// Does what can be done now. `ending`: no program is started any more.
    pub fn advance(
        &mut self,
        log: &mut LogDir,
        policy: &Policy,
        path: &Path,
        ending: bool,
    ) -> Result<(), Trouble> {
        let archive = || format!("archive in {}", path.display());
        match self.rotation {
            Rotation::Waiting if self.command.is_none() => {
                log.archive_previous(policy).to(archive)?;
                self.rotation = Rotation::None;
            }
            Rotation::Waiting if !ending => {
                let pid = self.start(log).to(|| format!("process {}", path.display()))?;
                self.rotation = Rotation::Processing(pid);
            }
            Rotation::Processed => {
                log.finish_processing(policy).to(archive)?;
                self.rotation = Rotation::None;
            }
            Rotation::None | Rotation::Waiting | Rotation::Processing(_) => {}
        }
        Ok(())
    }

    /// The program takes too long: the file stays as it is, and `current` becomes the next one.
    pub fn give_up(&mut self, log: &mut LogDir, policy: &Policy) -> io::Result<()> {
        if let Rotation::Processing(pid) = self.rotation {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
            self.given_up.push(pid);
        }
        self.rotation = Rotation::Waiting;
        log.forget_processed()?;
        log.archive_previous(policy)?;
        self.rotation = Rotation::None;
        self.turn_over(log, policy)
    }

    fn start(&self, log: &LogDir) -> io::Result<Pid> {
        let directory = log.directory();
        let words = self.command.as_deref().unwrap_or_default();
        let open = |name, flags| -> io::Result<OwnedFd> {
            let fd =
                fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?;
            // Out of the way of the numbers that the processor expects.
            Ok(rustix::io::fcntl_dupfd_cloexec(fd, 10)?)
        };
        let anew = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        // One that an earlier writer has left behind goes on with files that have no name any more.
        log.forget_processed()?;
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

    /// Looks whether the program has ended.
    ///
    /// # Errors
    /// It failed, and has to be started again later.
    pub fn reap(&mut self, path: &Path) -> Result<(), Trouble> {
        self.given_up.retain(|pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None)));
        let Rotation::Processing(pid) = self.rotation else { return Ok(()) };
        let ended = waitpid(Some(pid), WaitOptions::NOHANG);
        match ended.to(|| format!("wait for the processor of {}", path.display()))? {
            None => Ok(()),
            Some((_, status)) if status.exit_status() == Some(0) => {
                self.rotation = Rotation::Processed;
                Ok(())
            }
            Some((_, status)) => {
                self.rotation = Rotation::Waiting;
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("it exited {code}"),
                    (_, Some(signal)) => format!("signal {signal} killed it"),
                    _ => String::from("it vanished"),
                };
                Err(io::Error::other(how)).to(|| format!("process {}", path.display()))
            }
        }
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
