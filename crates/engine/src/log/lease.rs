//! A disk may hold its writer for ever. So the logger says to init for how long it need not be missed, before
//! it begins to write, and again as long as it goes on.

use core::time::Duration;

use model::time::Moment;

/// How long init waits for the next word of a logger that writes.
pub const LEASE: Duration = Duration::from_secs(10);

/// So long before its end, whoever has nothing to do gives it back: lines that come now and then cost no
/// word each.
const MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Lease {
    until: Option<Moment>,
}

impl Lease {
    /// What is to be said now: for how long from now on; zero ends it.
    pub fn due(&mut self, now: Moment, busy: bool) -> Option<Duration> {
        match self.until {
            Some(until) if until > now + if busy { LEASE / 2 } else { MARGIN } => None,
            None if !busy => None,
            _ => {
                self.until = busy.then(|| now + LEASE);
                Some(if busy { LEASE } else { Duration::ZERO })
            }
        }
    }

    /// When to ask again, though nothing happened.
    pub fn deadline(&self) -> Option<Moment> {
        self.until.map(|until| Moment::from_nanos(until.nanos() - MARGIN.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_says_so_in_time_and_who_does_not_says_it_once() {
        let at = |millis: u64| Moment::from_nanos(millis * 1_000_000);
        let mut lease = Lease::default();
        assert_eq!((lease.due(at(0), false), lease.deadline()), (None, None));
        assert_eq!(lease.due(at(1000), true), Some(LEASE));
        assert_eq!(lease.due(at(1001), false), None, "more may come soon");
        assert_eq!(lease.due(at(5999), true), None);
        assert_eq!(lease.due(at(6000), true), Some(LEASE));
        assert_eq!(lease.deadline(), Some(at(15_000)));
        assert_eq!(lease.due(at(14_999), false), None);
        assert_eq!(lease.due(at(15_000), false), Some(Duration::ZERO));
        assert_eq!((lease.due(at(15_001), false), lease.deadline()), (None, None));
        // Late, but not silent.
        lease.due(at(20_000), true);
        assert_eq!(lease.due(at(60_000), true), Some(LEASE));
    }
}
