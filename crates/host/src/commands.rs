//! The commands of `doorward`, one file each.

use clap::{ArgMatches, Command};
use cli::{Exit, Failure};

mod build;
mod examples;
mod import;
mod make;
mod packages;
mod run;
mod services;
mod vm;

pub use examples::with_examples;

/// The arguments of every command, in the order of help.
pub fn all() -> [Command; 7] {
    [
        build::command(),
        import::command(),
        make::command(),
        packages::command(),
        run::command(),
        services::command(),
        vm::command(),
    ]
}

/// Runs the command that was asked for.
pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("build", matches)) => build::run(matches),
        Some(("import", matches)) => import::run(matches),
        Some(("make", matches)) => make::run(matches),
        Some(("packages", matches)) => packages::run(matches),
        Some(("run", matches)) => run::run(matches),
        Some(("services", matches)) => services::run(matches),
        Some(("vm", matches)) => vm::run(matches),
        _ => Err(Failure::usage("it needs a command")), // The parser has refused this.
    }
}
