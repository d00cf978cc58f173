//! Waits until something is written in a directory (`inotify(7)`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::sys;

pub struct Tail {
    inotify: OwnedFd,
    output: BorrowedFd<'static>,
}

impl Tail {
    /// Watches from now on: what happens before the next [`Tail::wait`] ends that at once.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, path, flags)?;
        Ok(Self { inotify, output: sys::standard_streams().1 })
    }

    /// Waits; `false`: nobody reads standard output any more.
    pub fn wait(&self) -> io::Result<bool> {
        let mut ends = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::from_borrowed_fd(self.output, PollFlags::empty()),
        ];
        match poll(&mut ends, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if ends[1].revents().intersects(gone) {
            return Ok(false);
        }
        self.drain()?;
        Ok(true)
    }

    /// Takes note of all that happened. What that was does not matter: who reads on finds it.
    pub fn drain(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(self.inotify.as_fd(), &mut events) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// It can be read from when something happened.
impl AsFd for Tail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
