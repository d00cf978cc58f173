//! A command that checks something: in a process group of its own, with what it says last.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use model::limits::CHECK_TEXT_BYTES_MAX;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::processes;
use crate::sys::{children, processor};

/// Pieces of output that are read at once: who prints without end is read on later.
const READS_MAX: usize = 16;

const KILL: u8 = 9;

pub struct Command {
    pid: Pid,
    /// What it prints, on both ways.
    pub output: OwnedFd,
    last: LastLine,
}

impl Command {
    pub fn start(words: &[Box<[u8]>], mark: &str) -> io::Result<Self> {
        let string = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput);
        let words = words.iter().map(|word| string(word)).collect::<Result<Vec<_>, _>>()?;
        let (output, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Only here: a program does not expect that its output is not to be waited for.
        rustix::io::ioctl_fionbio(&output, true)?;
        let null = fs::File::options().read(true).open("/dev/null")?;
        let descriptors = [(null.as_fd(), 0), (end.as_fd(), 1), (end.as_fd(), 2)];
        let pid = processor::start_group(&words, &descriptors, &string(mark.as_bytes())?)?;
        Ok(Self { pid, output, last: LastLine::default() })
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Reads what it says; `false`: nothing more will come.
    pub fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        for _ in 0..READS_MAX {
            match rustix::io::read(&self.output, &mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.last.push(&bytes[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    pub fn kill(&self) {
        children::kill(self.pid(), KILL, true);
    }

    /// How it ended, once it has: also whatever it left of its group ends then.
    pub fn end(&mut self) -> Option<(bool, String)> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = match waitid(WaitId::Pid(self.pid), options) {
            Ok(status) => status?,
            Err(error) => return Some((false, format!("it is gone: {error}"))),
        };
        // As long as it is not reaped nobody else has its number.
        self.kill();
        children::reap(self.pid());
        self.read();
        let how = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exited {code}"),
            (_, Some(signal)) => format!("killed by signal {signal}"),
            _ => "vanished".into(),
        };
        Some((status.exit_status() == Some(0), self.with_line(how)))
    }

    /// Why there is no result.
    pub fn why_not(&mut self, timeout: Duration) -> String {
        self.read();
        self.with_line(format!("did not end within {} ms", timeout.as_millis()))
    }

    fn with_line(&self, how: String) -> String {
        match self.last.text() {
            line if line.is_empty() => how,
            line => format!("{how}: {line}"),
        }
    }
}

/// The last line of an output that is not empty, cut.
#[derive(Default)]
struct LastLine {
    line: Vec<u8>,
    /// The next byte begins another one.
    is_over: bool,
}

impl LastLine {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => self.is_over = true,
                _ => {
                    if std::mem::take(&mut self.is_over) {
                        self.line.clear();
                    }
                    if self.line.len() < CHECK_TEXT_BYTES_MAX {
                        self.line.push(byte);
                    }
                }
            }
        }
    }

    /// As text that does nothing to a terminal.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.line);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        text.chars().map(plain).collect::<String>().trim().to_owned()
    }
}

/// Processes that commands have left behind: they become children of this one.
#[derive(Default)]
pub struct Orphans {
    adopts: bool,
}

impl Orphans {
    pub fn adopt(&mut self) -> io::Result<()> {
        if !self.adopts {
            children::adopt_orphans()?;
            self.adopts = true;
        }
        Ok(())
    }

    /// Whether any process is left, of commands or behind them.
    pub fn has_children(&self) -> bool {
        self.adopts && children::any()
    }

    /// Takes away what has ended, and kills the rest once no command runs to
    /// which it may belong. `is_own`: that is a command itself.
    pub fn sweep(&self, is_own: impl Fn(u32) -> bool, any_runs: bool) {
        if !self.adopts {
            return;
        }
        // One that is a command is reaped by it; what ended behind it is seen the next time.
        while let Some((pid, _)) = children::peek() {
            if is_own(pid) {
                return;
            }
            children::reap(pid);
        }
        if any_runs || !children::any() {
            return;
        }
        let own = std::process::id();
        for pid in processes::all().unwrap_or_default() {
            if processes::stat(pid).is_some_and(|stat| stat.parent == own) {
                children::kill(pid, KILL, false);
            }
        }
    }
}

/// Kills the processes that have this variable in their environment.
pub fn kill_marked(mark: &str) {
    let own = std::process::id();
    for pid in processes::all().unwrap_or_default().into_iter().filter(|pid| *pid != own) {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()) {
            children::kill(pid, KILL, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        let read = |text: &str| {
            let mut last = LastLine::default();
            for piece in text.as_bytes().chunks(3) {
                last.push(piece);
            }
            last.text()
        };
        assert_eq!(read("one\ntwo\n\n"), "two");
        assert_eq!(read("one\ntwo"), "two");
        assert_eq!(read("\u{1b}[31mred\n"), "[31mred");
        assert_eq!(read(""), "");
        assert_eq!(read(&"x".repeat(5000)).len(), CHECK_TEXT_BYTES_MAX);
    }
}
