//! No service waits for a logger that is not there.

use std::time::Duration;

use engine::service::ending::Class;
use model::service::request::{FromInit, Slot};
use model::time::Moment;

use super::program::Program;
use super::server::Part;

/// So long a logger may be away: it is started anew a second after its death.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked after that whether a pipe is full.
const RELIEF: Duration = Duration::from_millis(250);

/// Lines that were given up while there is no logger.
#[derive(Default)]
pub struct Relief {
    /// When to look next; there is a logger where that is never.
    pub at: Option<Moment>,
    lost: Vec<(Slot, u64)>,
}

impl Program {
    /// Looks whether there is a logger, and at pipes where there was none for a while.
    pub fn relieve(&mut self, now: Moment) {
        let server = self.server.as_mut();
        let heard = server.is_some_and(|s| s.clients().any(|client| client.part == Part::Logger));
        if heard || !self.tree.logged {
            self.relief.at = None;
            return;
        }
        let at = *self.relief.at.get_or_insert(now + PATIENCE);
        if at > now {
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

    /// Tells a new logger, which knows the pipes already.
    pub fn tell_losses(&mut self, number: usize) {
        let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) else { return };
        for (slot, lines) in std::mem::take(&mut self.relief.lost) {
            client.tell(&FromInit::Lost { slot, lines });
        }
    }
}
