//! `s6-setsid`: run a program in a new session.

use std::io::Write;

use cli::{Args, Command, Exit, Failure};

pub const COMMAND: Command = Command {
    name: "s6-setsid",
    summary: "Run a program in a new session",
    usage: "s6-setsid PROG...",
    options: &[],
    about: "",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    Err(Failure::usage(format!("{:?} is not run yet", args.rest())))
}
