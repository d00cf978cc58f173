//! Where callers come in: a listening socket, watched by an event loop, that
//! rests while descriptors have run out.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::time::Moment;

use crate::event_loop::{EventLoop, Readiness};
use crate::socket::{Connection, Listener};

/// How long nobody is let in where that has failed: waiting for what cannot
/// be taken would spin.
const REST: Duration = Duration::from_millis(200);

pub struct Door {
    listener: Listener,
    token: u64,
    /// When to listen again.
    rests_until: Option<Moment>,
}

impl Door {
    /// Listens at `path`; see [`Listener::bind`].
    pub fn open(path: &Path, mode: u32, events: &EventLoop, token: u64) -> io::Result<Self> {
        let listener = Listener::bind(path, mode)?;
        events.add(&listener, token, Readiness::IN)?;
        Ok(Self { listener, token, rests_until: None })
    }

    /// The next caller; `None` where nobody waits, or nobody can be let in now.
    pub fn accept(&mut self, events: &EventLoop, now: Moment) -> Option<Connection> {
        if self.rests_until.is_some() {
            return None;
        }
        match self.listener.accept() {
            Ok(caller) => caller,
            Err(_) => {
                let _ = events.remove(&self.listener);
                self.rests_until = Some(now + REST);
                None
            }
        }
    }

    /// When [`Door::listen_again`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        self.rests_until
    }

    pub fn listen_again(&mut self, events: &EventLoop, now: Moment) {
        if self.rests_until.is_some_and(|at| at <= now) {
            let added = events.add(&self.listener, self.token, Readiness::IN);
            self.rests_until = added.is_err().then(|| now + REST);
        }
    }
}
