//! Where `s6-log` sends lines that are no log directory: its output, its
//! errors, a status file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::files;

/// Bytes that a pipe which is ready to be written takes without blocking
/// (`PIPE_BUF`, `pipe(7)`).
const PIPE_BYTES: usize = 4096;

/// Lines for standard output.
pub struct Output {
    descriptor: BorrowedFd<'static>,
    waiting: Vec<u8>,
    sent: usize,
    /// A file takes everything at once, without blocking.
    is_file: bool,
    /// It failed once, and is ignored ever since.
    gone: bool,
}

impl Output {
    pub fn new(descriptor: BorrowedFd<'static>) -> Self {
        let found = rustix::fs::fstat(descriptor).map(|stat| stat.st_mode);
        let is_file = found.is_ok_and(|mode| rustix::fs::FileType::from_raw_mode(mode).is_file());
        Self { descriptor, waiting: Vec::new(), sent: 0, is_file, gone: found.is_err() }
    }

    pub fn descriptor(&self) -> BorrowedFd<'static> {
        self.descriptor
    }

    /// Where to put whole lines before [`Output::flush`].
    pub fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Bytes that it has not taken yet.
    pub fn left(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Writes what it takes without blocking.
    pub fn flush(&mut self) {
        while !self.gone && self.left() > 0 && (self.is_file || ready(self.descriptor)) {
            let count = if self.is_file { self.left() } else { self.left().min(PIPE_BYTES) };
            match rustix::io::write(self.descriptor, &self.waiting[self.sent..][..count]) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.gone = true,
            }
        }
        if self.gone || self.left() == 0 {
            self.waiting.clear();
            self.sent = 0;
        }
    }
}

fn ready(descriptor: BorrowedFd<'_>) -> bool {
    files::ready(descriptor, PollFlags::OUT).is_ok_and(|ready| !ready.is_empty())
}

/// What stands for the rest of an alert.
const MORE: &[u8] = b"...";

/// Prints a line as an alert: `stamp` and its first bytes (0: all of them). It is not cut where that would
/// not make it shorter.
pub fn alert(errors: BorrowedFd<'_>, stamp: &[u8], line: &[u8], bytes: u32) {
    let cut = bytes != 0 && line.len() > bytes as usize + MORE.len();
    let (shown, more) = if cut { (&line[..bytes as usize], MORE) } else { (line, &b""[..]) };
    let text = [b"s6-log: alert: ", stamp, shown, more, b"\n"].concat();
    let mut rest = &text[..];
    while !rest.is_empty() {
        match rustix::io::write(errors, rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(_) => return, // There is nowhere left to say it.
        }
    }
}

/// A file that holds the last line only.
pub struct StatusFile {
    path: Box<Path>,
    /// What it holds is cut, or filled up with newlines, to this; 0: neither.
    bytes: usize,
    text: Vec<u8>,
    changed: bool,
}

impl StatusFile {
    pub fn new(path: &[u8], bytes: u32) -> Self {
        let path = Path::new(OsStr::from_bytes(path)).into();
        Self { path, bytes: bytes as usize, text: Vec::new(), changed: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what it will hold.
    pub fn set(&mut self, stamp: &[u8], line: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(stamp);
        self.text.extend_from_slice(line);
        match self.bytes {
            0 => self.text.push(b'\n'),
            bytes => self.text.resize(bytes, b'\n'),
        }
        self.changed = true;
    }

    /// Replaces the file, if the line has changed since.
    pub fn flush(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let directory = files::directory(parent)?;
        let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        files::replace(&directory, name, &self.text, 0o666)
    }
}
