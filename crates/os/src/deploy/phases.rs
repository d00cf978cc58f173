//! The file that says when the device that starts has come how far.

use std::fs;
use std::io::{self, Write};

use model::deploy::phases::{Phase, is_over};
use model::time::Moment;

/// In memory: it is about this start.
const FILE: &str = "/run/boot-phases";

/// Notes that a phase was reached.
pub fn note(phase: Phase, at: Moment) -> io::Result<()> {
    fs::File::options().append(true).create(true).open(FILE)?.write_all(phase.line(at).as_bytes())
}

/// All that was noted.
pub fn noted() -> io::Result<String> {
    fs::read_to_string(FILE)
}

/// Notes how it ended, if anything was noted before and no end yet; all that is noted then.
pub fn end(phase: Phase, at: Moment) -> Option<String> {
    noted().ok().filter(|file| !is_over(file))?;
    note(phase, at).ok()?;
    noted().ok()
}
