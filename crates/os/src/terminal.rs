//! Terminals: a new one, and what to do with the user's own while the new one is shown on it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::sys::signals;

/// Columns of the terminal that is standard output; `None`: it is none, or does not say.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether standard output is to be coloured: it is a terminal, and whoever sits there wants it (`NO_COLOR`).
pub fn colours() -> bool {
    isatty(io::stdout()) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether both ends of a conversation are a person's.
pub fn is_interactive() -> bool {
    isatty(io::stdin()) && isatty(io::stdout())
}

/// A new terminal: the end that shows it, and the one that programs sit at.
pub struct Terminal {
    pub screen: OwnedFd,
    pub seat: OwnedFd,
}

impl Terminal {
    /// Makes one from the terminals mounted at `/dev/pts`, as large as the user's.
    pub fn new() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let screen = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
        unlockpt(&screen)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let seat = ioctl_tiocgptpeer(&screen, flags)?;
        copy_size(&screen);
        Ok(Self { screen, seat })
    }
}

/// The user's terminal passes every key on, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Shows `screen` on the user's terminal until nobody sits at it any more, or
/// `over` says so after a signal, of which `signals` gives one at a time.
pub fn show(
    screen: &OwnedFd,
    signals: &OwnedFd,
    mut over: impl FnMut(i32) -> bool,
) -> io::Result<()> {
    let _raw = Raw::new()?;
    let mut buffer = [0; 4096];
    let mut typing = true;
    loop {
        let stdin = io::stdin();
        let mut waiting = [
            PollFd::new(screen, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        let count = if typing { 3 } else { 2 };
        match poll(&mut waiting[..count], None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let [from_screen, from_signals, from_user] = waiting.map(|fd| !fd.revents().is_empty());
        if from_screen && !pass(screen, io::stdout(), &mut buffer)? {
            return Ok(());
        }
        if from_user {
            typing = pass(io::stdin(), screen, &mut buffer)?;
        }
        while from_signals && let Some(signal) = signals::next(signals.as_fd())? {
            copy_size(screen);
            if over(signal) {
                // What was printed last is still to be shown.
                rustix::io::ioctl_fionbio(screen, true)?;
                while pass(screen, io::stdout(), &mut buffer)? {}
                return Ok(());
            }
        }
    }
}

/// Passes on what can be read at once; whether there will be more.
fn pass(from: impl AsFd, to: impl AsFd, buffer: &mut [u8]) -> io::Result<bool> {
    let count = match rustix::io::read(from, &mut *buffer) {
        Ok(count) => count,
        // The last one left the seat (EIO), or nothing is left to be shown.
        Err(Errno::IO | Errno::AGAIN) => 0,
        Err(Errno::INTR) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        match rustix::io::write(&to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count > 0)
}

/// Makes `screen` as large as the user's terminal, where that has a size.
fn copy_size(screen: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        let _ = tcsetwinsize(screen, size);
    }
}
