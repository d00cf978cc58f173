//! The commands of `doorward`, one file each.

use clap::{ArgMatches, Command};
use cli::{Exit, Failure};

mod build;
mod chart;
mod collect;
mod copy;
mod doctor;
mod examples;
mod image;
mod import;
mod make;
mod packages;
mod picture;
mod rebuild;
mod reflash;
mod run;
mod services;
mod status;
mod vm;

pub use examples::with_examples;

/// The arguments of every command, in the order of help.
pub fn all() -> [Command; 16] {
    [
        build::command(),
        chart::command(),
        collect::command(),
        copy::command(),
        doctor::command(),
        image::command(),
        import::command(),
        copy::install(),
        make::command(),
        packages::command(),
        rebuild::command(),
        reflash::command(),
        run::command(),
        services::command(),
        status::command(),
        vm::command(),
    ]
}

/// Runs the command that was asked for.
pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("build", matches)) => build::run(matches),
        Some(("chart", matches)) => chart::run(matches),
        Some(("collect", matches)) => collect::run(matches),
        Some(("copy", matches)) => copy::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("image", matches)) => image::run(matches),
        Some(("import", matches)) => import::run(matches),
        Some(("install", matches)) => copy::run_install(matches),
        Some(("make", matches)) => make::run(matches),
        Some(("packages", matches)) => packages::run(matches),
        Some(("rebuild", matches)) => rebuild::run(matches),
        Some(("reflash", matches)) => reflash::run(matches),
        Some(("run", matches)) => run::run(matches),
        Some(("services", matches)) => services::run(matches),
        Some(("status", matches)) => status::run(matches),
        Some(("vm", matches)) => vm::run(matches),
        _ => Err(Failure::usage("it needs a command")), // The parser has refused this.
    }
}
