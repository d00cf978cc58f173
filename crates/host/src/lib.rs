//! What `doorward` is made of, for the program and for what prints its man pages.
#![forbid(unsafe_code)]

mod archive;
mod commands;
mod copy;
mod fleet;
mod graph;
mod nix;
mod places;
mod router;
mod say;
mod ssh;
mod steps;
mod update;
mod vm;
mod watch;

pub use commands::run;

/// All that it can be told, as a value: help, man pages and completions are printed from it.
pub fn command() -> clap::Command {
    clap::Command::new("doorward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Build, check and update small Linux devices")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands::with_examples(commands::all()))
}
