//! How much a process may use (`setrlimit(2)`).

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use rustix::process::Resource as Kind;

/// Which of the two limits of a resource to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that counts; what lies above the hard limit becomes that.
    Soft,
    /// The one that bounds the other; the soft limit is lowered where it must be.
    Hard,
    /// Both, to the same value.
    Both,
}

/// Changes a limit of this process. `None` is the hard limit as it is;
/// `u64::MAX` is no limit.
///
/// # Errors
/// Raising a hard limit is refused to all but root.
pub fn limit(resource: Resource, which: Which, value: Option<u64>) -> io::Result<()> {
    let now = getrlimit(resource);
    let hard_now = now.maximum.unwrap_or(u64::MAX);
    let soft_now = now.current.unwrap_or(u64::MAX);
    let value = value.unwrap_or(hard_now);
    let (soft, hard) = match which {
        Which::Soft => (value.min(hard_now), hard_now),
        Which::Hard => (soft_now.min(value), value),
        Which::Both => (value, value),
    };
    let some = |value: u64| (value != u64::MAX).then_some(value);
    Ok(setrlimit(resource, Rlimit { current: some(soft), maximum: some(hard) })?)
}
