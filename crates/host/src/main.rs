//! `doorward`: the build machine's side.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use cli::{Exit, Failure};

fn main() -> ExitCode {
    let matches = match host::command().try_get_matches_from(words()) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are errors to the parser, and none to us.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::USAGE } else { Exit::DONE };
            return ExitCode::from(exit.0);
        }
    };
    let outcome = host::run(&matches);
    ExitCode::from(outcome.unwrap_or_else(|failure| report(&failure)).0)
}

/// Names that people know some of its commands by.
const NAMES: [(&str, &str); 3] = [
    ("liminix-rebuild", "rebuild"),
    ("min-collect-garbage", "collect"),
    ("min-copy-closure", "copy"),
];

/// What it was called with. By another name that people know it is one of its commands.
fn words() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_name);
    let known = NAMES.iter().find(|(name, _)| called.is_some_and(|called| called == *name));
    if let Some((_, command)) = known {
        words.insert(1, command.into());
    }
    words
}

fn report(failure: &Failure) -> Exit {
    eprintln!("doorward: {failure}");
    failure.exit
}
