//! Source directories read into a `Tree`, and a compiled database written.

mod read;
mod write;

pub use read::read;
pub use write::write;

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What the system refused, and where.
#[derive(Debug)]
pub struct PathError {
    pub path: PathBuf,
    pub error: io::Error,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}
