//! `doorward`: the build machine's side.
#![forbid(unsafe_code)]

mod archive;
mod commands;
mod fleet;
mod nix;
mod places;
mod router;
mod say;
mod steps;
mod vm;

use std::process::ExitCode;

use cli::{Exit, Failure};

fn main() -> ExitCode {
    let matches = match cli_command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are errors to the parser, and none to us.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::USAGE } else { Exit::DONE };
            return ExitCode::from(exit.0);
        }
    };
    let outcome = commands::run(&matches);
    ExitCode::from(outcome.unwrap_or_else(|failure| report(&failure)).0)
}

fn cli_command() -> clap::Command {
    clap::Command::new("doorward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Build, check and update small Linux devices")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands::all())
}

fn report(failure: &Failure) -> Exit {
    eprintln!("doorward: {failure}");
    failure.exit
}
