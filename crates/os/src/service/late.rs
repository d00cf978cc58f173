//! What need not be told at once.
//!
//! A status that changes without an event ("it shall go down now") is for
//! people who look; nobody waits for it. Where a thousand services are ordered
//! down together, each is dead before anyone could have looked, and its next
//! status, which comes with an event, says more. In the same way a service
//! that has started and says itself when it is ready has mostly done so before
//! anyone could have looked at how it starts.

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
    /// When the first of them was added.
    since: Option<Moment>,
}

impl Late {
    pub fn add(&mut self, slot: Slot, now: Moment) {
        self.slots.push(slot);
        self.since.get_or_insert(now);
    }

    /// When they are to be written, if nothing happens from `now` until then.
    pub fn deadline(&self, now: Moment) -> Option<Moment> {
        self.since.map(|since| (now + REST).min(since + LATE_MAX))
    }

    /// All of them; some perhaps more than once.
    pub fn take(&mut self) -> Vec<Slot> {
        self.since = None;
        std::mem::take(&mut self.slots)
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
        assert_eq!(late.take(), [1, 2]);
        assert_eq!(late.deadline(at(300)), None);
    }
}
