//! How an applet ends that prepares something and becomes another program.

use std::ffi::OsString;

use cli::{Args, Exit, Failure};
use os::sys::exec::{self, Environment};

/// The program and its words that follow an applet's own arguments.
///
/// # Errors
/// Wrong usage, where there are none.
pub fn program(args: &mut Args) -> Result<Vec<OsString>, Failure> {
    let words = args.rest();
    if words.is_empty() {
        return Err(Failure::usage("the program to run is missing"));
    }
    Ok(words)
}

/// Becomes the program `words[0]`, with our environment or this one.
///
/// Returns only if that failed: exit code 127 where there is no such program,
/// 126 where it cannot be run.
pub fn into(words: &[OsString], environment: Option<&Environment>) -> Result<Exit, Failure> {
    let error = exec::exec(words, environment.map(Environment::entries));
    let name = words.first().map(|word| word.display().to_string()).unwrap_or_default();
    Err(Failure::new(Exit(exec::code(&error)), format!("cannot run {name:?}: {error}")))
}
