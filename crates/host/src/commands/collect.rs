//! `doorward collect`, which people also know as `min-collect-garbage`: frees the store of a device.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};

use crate::copy::line::Target;
use crate::ssh::cannot_run;

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
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one object"))
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .value_parser(value_parser!(usize))
                .help("Forget all generations but the newest that work, so many, and what it needs itself"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let target = Target::named(matches.get_one::<String>("DEVICE").expect("it is required"))?;
    let mut more = Vec::new();
    more.extend(matches.get_one::<usize>("keep").map(|keep| format!("--keep {keep}")));
    let flags = ["dry-run", "json"].into_iter().filter(|flag| matches.get_flag(flag));
    more.extend(flags.map(|flag| format!("--{flag}")));
    collect(&target, &more)
}

/// Has a device free what nobody needs, and gives its exit code.
pub fn collect(target: &Target, more: &[String]) -> Result<Exit, Failure> {
    call(target, &format!("ward store collect {}", more.join(" ")))
}

/// Runs it there, and gives its exit code.
fn call(target: &Target, words: &str) -> Result<Exit, Failure> {
    let mut command = target.command(words);
    let status = command.status().map_err(|error| cannot_run(&command, &error))?;
    match status.code() {
        Some(255) | None => {
            Err(Failure::refused(format!("there is no connection to {}", target.host)))
        }
        Some(code) => Ok(Exit(u8::try_from(code).unwrap_or(Exit::REFUSED.0))),
    }
}
