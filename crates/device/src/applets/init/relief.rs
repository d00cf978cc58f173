//! No service waits for a logger that is not there, or hangs.

use std::time::Duration;

use engine::machine::Event;
use engine::service::ending::Class;
use model::service::request::{FromInit, Slot};
use model::time::Moment;
use os::service::held::Held;

use super::program::Program;
use super::server::{Part, Server};

/// So long a logger may be away: it is started anew a second after its death.
const PATIENCE: Duration = Duration::from_secs(2);

/// So long is its word waited for that may have come already.
const DOUBT: Duration = Duration::from_secs(1);

/// How often is looked after that whether a pipe is full.
const RELIEF: Duration = Duration::from_millis(250);

/// Lines that were given up while there is no logger.
#[derive(Default)]
pub struct Relief {
    /// When to look next: at once where there is no logger, else when it should have said something.
    pub at: Option<Moment>,
    /// There is none.
    missed: bool,
    /// It was killed, so that it takes from no pipe what it finds there later: once for each time that there is none.
    killed: bool,
    /// Its time was over once; its word may have come meanwhile.
    doubted: bool,
    lost: Vec<(Slot, u64)>,
}

impl Relief {
    /// The logger will say within this time that it does not hang; 0: it has nothing to write.
    pub fn logger_writes(&mut self, millis: u32) {
        let within = Duration::from_millis(millis.into());
        self.doubted = false;
        self.at = (millis > 0).then(|| os::clock::now() + within);
    }
}

impl Program {
    /// Looks whether there is a logger, and at pipes where there was none for a while.
    pub fn relieve(&mut self, now: Moment) {
        let mut clients = self.server.iter_mut().flat_map(Server::clients_numbered);
        let logger = clients.find(|(_, client)| client.part == Part::Logger);
        let logger = logger.map(|(number, _)| number);
        drop(clients);
        let due = self.relief.at.is_some_and(|at| at <= now);
        match logger {
            _ if !self.tree.logged => {
                self.relief.at = None;
                return;
            }
            Some(_) if self.relief.missed => {
                self.relief =
                    Relief { lost: std::mem::take(&mut self.relief.lost), ..Relief::default() };
                return;
            }
            Some(_) if !due => return,
            Some(_) if !self.relief.doubted => {
                self.relief.doubted = true;
                self.relief.at = Some(now + DOUBT);
                return;
            }
            Some(number) => {
                self.say("the logger hangs and is killed");
                self.kill_logger(now);
                if let Some(server) = &mut self.server {
                    server.drop(number);
                }
                self.relief.missed = true;
                self.relief.at = Some(now + RELIEF);
                return;
            }
            None if !self.relief.missed => {
                self.relief.missed = true;
                self.relief.at = Some(now + PATIENCE);
                return;
            }
            None if !due => return,
            None => {}
        }
        let full = |held: &&Held| held.pipe.as_ref().is_some_and(|pipe| pipe.is_full());
        if !self.relief.killed && self.tree.all().any(|held| full(&held)) {
            // It may live, and only have lost its way here.
            self.kill_logger(now);
            self.relief.at = Some(now + RELIEF);
            return;
        }
        self.relief.at = Some(now + RELIEF);
        for held in self.tree.all().filter(|held| held.class != Class::Logger) {
            let lines = held.pipe.as_ref().and_then(|pipe| pipe.relieve().ok()).unwrap_or(0);
            if lines > 0 {
                match self.relief.lost.iter_mut().find(|(slot, _)| *slot == held.slot) {
                    Some((_, sum)) => *sum += lines,
                    None => self.relief.lost.push((held.slot, lines)),
                }
            }
        }
    }

    fn kill_logger(&mut self, now: Moment) {
        self.relief.killed = true;
        self.init.event(now, self.logger, Event::Signal(9), &mut self.tree);
    }

    /// Tells a new logger, which knows the pipes already.
    pub fn tell_losses(&mut self, number: usize) {
        let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) else { return };
        for (slot, lines) in std::mem::take(&mut self.relief.lost) {
            client.tell(&FromInit::Lost { slot, lines });
        }
    }
}
