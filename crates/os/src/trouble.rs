//! What could not be done, and the system's reason.

use std::fmt;
use std::io;

/// An error of the system together with what was being done.
#[derive(Debug)]
pub struct Trouble {
    pub what: String,
    pub error: io::Error,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.error)
    }
}

/// Says what was being done when an operation failed.
pub trait While<T> {
    /// `what` continues "cannot …".
    fn to<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Trouble>;
}

impl<T, E: Into<io::Error>> While<T> for Result<T, E> {
    fn to<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Trouble> {
        self.map_err(|error| Trouble { what: what().into(), error: error.into() })
    }
}
