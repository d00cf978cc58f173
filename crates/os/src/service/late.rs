//! What need not be told at once.
//!
//! A status that changes without an event ("it shall go down now") is for
//! people who look; nobody waits for it. Where a thousand services are ordered
//! down together, each is dead before anyone could have looked, and its next
//! status, which comes with an event, says more. In the same way a service
//! that has started and says itself when it is ready has mostly done so before
//! anyone could have looked at how it starts.
//!
//! The logger hears of a new pipe with others, too: what a service says waits
//! in the pipe, and waking the logger for each start of many costs more than
//! logging.

use std::time::Duration;

use model::service::request::Slot;
use model::time::Moment;

/// It is written once init has had nothing to do for so long,
const REST: Duration = Duration::from_millis(10);
/// and whatever else happens, after so long.
const LATE_MAX: Duration = Duration::from_millis(200);

/// Slots that are to be published.
#[derive(Default)]
pub struct Late {
    slots: Vec<Slot>,
    /// Slots whose pipe the logger is to get.
    pipes: Vec<Slot>,
    /// When the first of all was added.
    since: Option<Moment>,
}

impl Late {
    pub fn add(&mut self, slot: Slot, now: Moment) {
        self.slots.push(slot);
        self.since.get_or_insert(now);
    }

    pub fn add_pipe(&mut self, slot: Slot, now: Moment) {
        self.pipes.push(slot);
        self.since.get_or_insert(now);
    }

    /// When they are to be written, if nothing happens from `now` until then.
    pub fn deadline(&self, now: Moment) -> Option<Moment> {
        self.since.map(|since| (now + REST).min(since + LATE_MAX))
    }

    /// All that are to be published; some perhaps more than once. Pipes are
    /// to be taken first.
    pub fn take(&mut self) -> Vec<Slot> {
        self.since = None;
        std::mem::take(&mut self.slots)
    }

    pub fn take_pipes(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.pipes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_status_waits_for_rest_but_not_for_ever() {
        let at = |millis: u64| Moment::ZERO + Duration::from_millis(millis);
        let mut late = Late::default();
        assert_eq!(late.deadline(at(5)), None);
        late.add(1, at(10));
        late.add(2, at(50));
        assert_eq!(late.deadline(at(50)), Some(at(60)));
        assert_eq!(late.deadline(at(205)), Some(at(210)));
        assert_eq!((late.take_pipes(), late.take()), (vec![], vec![1, 2]));
        assert_eq!(late.deadline(at(300)), None);
        late.add_pipe(3, at(400));
        assert_eq!(late.deadline(at(400)), Some(at(410)));
        assert_eq!((late.take_pipes(), late.take()), (vec![3], vec![]));
    }
}
