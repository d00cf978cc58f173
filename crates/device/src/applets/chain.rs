//! How an applet ends that prepares something and becomes another program.

use std::ffi::OsString;

use cli::{Args, Exit, Failure};
use os::sys::exec::{self, Environment, Program};

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
    enter(words, &prepare(words, environment)?)
}

/// Gets ready to become the program `words[0]`, so that [`enter`] needs no
/// memory any more.
pub fn prepare(words: &[OsString], environment: Option<&Environment>) -> Result<Program, Failure> {
    Program::new(words, environment.map(Environment::entries))
        .map_err(|error| failure(words, &error))
}

/// As [`into`], of a program that is prepared.
pub fn enter(words: &[OsString], program: &Program) -> Result<Exit, Failure> {
    Err(failure(words, &program.enter()))
}

fn failure(words: &[OsString], error: &std::io::Error) -> Failure {
    let name = words.first().map(|word| word.display().to_string()).unwrap_or_default();
    Failure::new(Exit(exec::code(error)), format!("cannot run {name:?}: {error}"))
}
