//! `doorward collect`, which people also know as `min-collect-garbage`: frees the store of a device.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};

use crate::copy::line::Target;

pub fn command() -> Command {
    Command::new("collect")
        .about("Remove what no generation of a device needs any more")
        .arg(Arg::new("DEVICE").required(true).help("[USER@]HOST, as ssh has it"))
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Only say what would be removed"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .value_parser(value_parser!(usize))
                .help("Forget all generations before, but for so many, and what it needs itself"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let host = matches.get_one::<String>("DEVICE").expect("it is required").clone();
    if host.is_empty() || host.starts_with('-') {
        return Err(Failure::usage(format!("{host:?} is no device")));
    }
    let target = Target { host, receiver: String::new() };
    let dry_run = matches.get_flag("dry-run");
    if let Some(keep) = matches.get_one::<usize>("keep") {
        if dry_run {
            return Err(Failure::usage(
                "--keep forgets generations, and --dry-run changes nothing",
            ));
        }
        let exit = call(&target, &format!("ward generation delete --keep {keep}"))?;
        if exit != Exit::DONE {
            return Ok(exit);
        }
    }
    call(&target, if dry_run { "ward store collect --dry-run" } else { "ward store collect" })
}

/// Runs it there, and gives its exit code.
fn call(target: &Target, words: &str) -> Result<Exit, Failure> {
    let mut command = target.command(words);
    let status = command.status().map_err(|error| {
        let program = command.get_program().display();
        Failure::refused(format!("cannot run {program}: {error}"))
            .hint("`DOORWARD_SSH` names another program than ssh")
    })?;
    match status.code() {
        Some(255) | None => {
            Err(Failure::refused(format!("there is no connection to {}", target.host)))
        }
        Some(code) => Ok(Exit(u8::try_from(code).unwrap_or(Exit::REFUSED.0))),
    }
}
