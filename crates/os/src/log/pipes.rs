//! The pipes of all services, as the logger sees them: reading ends that init
//! gave it, looked into without taking anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use engine::log::keep::Recent;
use model::service::request::Slot;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pipe::{self, PipeFlags, SpliceFlags};

use crate::files;
use crate::sys::notice;

/// The reading end of one service's pipe.
pub struct Pipe {
    pub name: Box<str>,
    pub inode: u64,
    pub slot: Slot,
    pub end: OwnedFd,
    /// It waits for its turn.
    pub queued: bool,
    /// An unfinished line lies in it; [`notice`] was asked for.
    pub unfinished: bool,
    /// Its service is no more; a process that it left may still write there.
    pub ended: bool,
    /// Somebody follows this service.
    pub followed: bool,
    /// Lines that were given up and that the log does not tell of.
    pub lost: u64,
    /// Nothing where it has said nothing yet, as most services.
    pub recent: Option<Box<Recent>>,
}

impl Pipe {
    pub fn new(slot: Slot, name: &str, end: OwnedFd) -> io::Result<Self> {
        notice::ask(end.as_fd(), false)?;
        let inode = rustix::fs::fstat(&end)?.st_ino;
        let (queued, unfinished, ended, followed) = (false, false, false, false);
        let name = name.into();
        let (lost, recent) = (0, None);
        Ok(Self { name, inode, slot, end, queued, unfinished, ended, followed, lost, recent })
    }

    /// Says whether an unfinished line is left in it.
    pub fn set_unfinished(&mut self, unfinished: bool) -> io::Result<()> {
        if self.unfinished != unfinished {
            notice::ask(self.end.as_fd(), unfinished)?;
            self.unfinished = unfinished;
        }
        Ok(())
    }

    /// Whether nobody can write there any more.
    pub fn is_abandoned(&self) -> bool {
        let ready = files::ready(&self.end, PollFlags::empty());
        ready.is_ok_and(|ready| ready.contains(PollFlags::HUP))
    }

    /// Bytes that lie in it.
    pub fn length(&self) -> io::Result<usize> {
        Ok(rustix::io::ioctl_fionread(&self.end)? as usize)
    }
}

/// A pipe of the logger's own, through which it looks into the others.
pub struct Glass {
    near: OwnedFd,
    far: OwnedFd,
    /// Bytes that it can hold, as the kernel counts: a page for each write at worst.
    capacity: usize,
}

impl Glass {
    pub fn new() -> io::Result<Self> {
        let (near, far) = pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let capacity = pipe::fcntl_getpipe_size(&far)?;
        Ok(Self { near, far, capacity })
    }

    /// Copies the first bytes of `pipe` to `bytes` and says how many; they stay there.
    pub fn look(&mut self, pipe: &Pipe, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.copy(pipe, bytes.len())?;
        self.empty(&mut bytes[..count])?;
        Ok(count)
    }

    /// Whether it holds as many pieces as it can, so that whoever writes there waits, however short they are.
    pub fn is_full(&mut self, pipe: &Pipe) -> io::Result<bool> {
        let capacity = pipe::fcntl_getpipe_size(&pipe.end)?;
        if capacity != self.capacity && pipe::fcntl_setpipe_size(&self.far, capacity).is_ok() {
            self.capacity = capacity;
        }
        // Copying keeps the pieces apart, and both pipes have room for as many.
        let mut left = self.copy(pipe, capacity)?;
        let full = files::ready(&self.far, PollFlags::OUT)?.is_empty();
        let mut bytes = [0; 4096];
        while left > 0 {
            let count = left.min(bytes.len());
            self.empty(&mut bytes[..count])?;
            left -= count;
        }
        Ok(full)
    }

    fn copy(&mut self, pipe: &Pipe, count: usize) -> io::Result<usize> {
        match pipe::tee(&pipe.end, &self.far, count, SpliceFlags::NONBLOCK) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn empty(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = rustix::io::read(&self.near, &mut *bytes)?;
            bytes = &mut bytes[count..];
        }
        Ok(())
    }
}
