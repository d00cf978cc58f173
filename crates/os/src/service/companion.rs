//! A process beside a service, that learns when the service ends.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

use model::time::Moment;
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid};

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};

const SERVICE: u64 = 0;
const CHILD: u64 = 1;

/// Watches the process that made it, from a process that was forked off.
pub struct Companion {
    events: EventLoop,
    _service: OwnedFd,
}

/// Who ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Service,
    Child,
    /// The deadline came before.
    Nobody,
}

impl Companion {
    /// Made before the fork, so that this process and no later one with its
    /// number is watched. It outlives becoming another program.
    pub fn of_self() -> io::Result<Self> {
        let service = pidfd_open(getpid(), PidfdFlags::empty())?;
        let events = EventLoop::new()?;
        events.add(&service, SERVICE, Readiness::IN)?;
        Ok(Self { events, _service: service })
    }

    /// Waits until `deadline` (for ever without one), or until the service
    /// ends, and says whether it did.
    pub fn ends_before(&mut self, deadline: Option<Moment>) -> io::Result<bool> {
        Ok(self.wait(deadline)? == First::Service)
    }

    /// Waits until the service or `child` ends, or until `deadline`.
    pub fn first_of(&mut self, child: &Child, deadline: Option<Moment>) -> io::Result<First> {
        let pid = Pid::from_raw(child.id() as i32).expect("a child has a number");
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        self.events.add(&descriptor, CHILD, Readiness::IN)?;
        let first = self.wait(deadline);
        self.events.remove(&descriptor)?;
        first
    }

    fn wait(&mut self, deadline: Option<Moment>) -> io::Result<First> {
        loop {
            let ended = self.events.wait(deadline)?;
            if ended.iter().any(|(token, _)| *token == SERVICE) {
                return Ok(First::Service);
            }
            if !ended.is_empty() {
                return Ok(First::Child);
            }
            if deadline.is_some_and(|deadline| clock::now() >= deadline) {
                return Ok(First::Nobody);
            }
        }
    }
}

/// Waits for a child that ends soon.
pub fn reap(child: i32) {
    let _ = waitpid(Pid::from_raw(child), WaitOptions::empty());
}
