//! When controllers have services started and stopped.
//!
//! They know what each of their services should be, ask the manager for it and hold that against
//! what it says, so that no news that is lost, and nobody's death, changes where they end.

use core::time::Duration;

pub mod failover;
pub mod hotplug;

/// What a controller asks the manager for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The service up, and all that needs it.
    Up,
    /// It down, after what needs it.
    Down,
    Restart,
}

/// `first`, doubled for each time after the first, `most` at most; nothing for no time.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    match times {
        0 => Duration::ZERO,
        _ => first.saturating_mul(1 << (times - 1).min(20)).min(most),
    }
}

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    id: u32,
    wish: Wish,
    since: model::time::Moment,
}

/// A request without an answer for so long is made again: whatever became of it, asking twice
/// for the same does no harm.
const ANSWER_MAX: Duration = Duration::from_secs(600);
