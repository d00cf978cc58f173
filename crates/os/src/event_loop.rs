//! One wait for descriptors and the deadline (`epoll(7)`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use model::time::Moment;
use rustix::event::epoll;
use rustix::io::Errno;

use crate::clock;

pub use rustix::event::epoll::EventFlags as Readiness;

/// Waits for many descriptors at once. Each has a token, chosen by the caller.
pub struct EventLoop {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl EventLoop {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(64) })
    }

    /// Readable while something of what it watches is: it may be watched itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches `fd`. Level-triggered unless `interest` says `ET`.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Readiness) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), interest)?)
    }

    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Readiness) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), interest)?)
    }

    /// Stops watching `fd`. Needed before closing one that has a duplicate elsewhere.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something happens or `deadline` comes (for ever without
    /// one) and says what happened: nothing at the deadline, or where a
    /// signal handler ran. At most 64 events a call; the rest come next time.
    pub fn wait(&mut self, deadline: Option<Moment>) -> io::Result<Vec<(u64, Readiness)>> {
        let limit = deadline.map(|deadline| deadline.since(clock::now()));
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, limit.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| (event.data.u64(), event.flags)).collect())
    }
}

/// Rounded up to the next millisecond on kernels that cannot do better, so
/// that a wait never ends just before its deadline and spins.
fn timespec(limit: Duration) -> rustix::event::Timespec {
    rustix::event::Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX) as _,
        tv_nsec: limit.subsec_nanos() as _,
    }
}
