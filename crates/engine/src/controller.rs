//! When controllers have services started and stopped.
//!
//! They know what each of their services should be, ask the manager for it and hold that against
//! what it says, so that no news that is lost, and nobody's death, changes where they end.

use core::time::Duration;

use model::time::Moment;

pub mod failover;
pub mod health;
pub mod hotplug;

/// What a controller asks the manager for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The service up, and all that needs it.
    Up,
    /// It down, after what needs it.
    Down,
}

/// `first`, doubled for each time after the first, `most` at most; nothing for no time.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    match times {
        0 => Duration::ZERO,
        _ => first.saturating_mul(1 << (times - 1).min(20)).min(most),
    }
}

/// A request that has no answer yet, or whose answer is ahead of what is told of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// 0: it came true, and that will be told in a moment.
    id: u32,
    wish: Wish,
    /// Then it is made again, if need be.
    until: Moment,
}

impl Asked {
    fn new(now: Moment, id: u32, wish: Wish) -> Self {
        Self { id, wish, until: now + ANSWER_MAX }
    }

    /// It came true, of a service that is `up` as far as is told.
    fn granted(self, now: Moment, up: bool) -> Option<Self> {
        (up != self.wants_up()).then_some(Self { id: 0, until: now + TOLD_MAX, ..self })
    }

    fn wants_up(&self) -> bool {
        self.wish != Wish::Down
    }

    /// What is told says that it has come true.
    fn is_over(&self, up: bool) -> bool {
        self.id == 0 && up == self.wants_up()
    }
}

/// A request without an answer for so long is made again: whatever became of it, asking twice
/// for the same does no harm.
const ANSWER_MAX: Duration = Duration::from_secs(600);

/// How a service is follows the answer at once; after so long it is otherwise again.
const TOLD_MAX: Duration = Duration::from_secs(1);
