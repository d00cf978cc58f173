//! `doorward`: the build machine's side.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cli::{Exit, Failure};

fn main() -> ExitCode {
    let matches = match host::command().try_get_matches() {
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

fn report(failure: &Failure) -> Exit {
    eprintln!("doorward: {failure}");
    failure.exit
}
