//! `ward trial`: owns the trial of a generation. Init starts it, and starts it again.

pub mod gate;
mod guard;
mod owner;
pub mod switch;
mod worker;

use std::io::Write;

use cli::{Args, Command, Exit, Failure, Opt};

pub use owner::{now, restart_device};

pub const COMMAND: Command = Command {
    name: "trial",
    summary: "Own the trial of a generation (`ward generation activate` has init start it)",
    usage: "ward trial [--step NAME | --guard ID SECONDS] [SCRIPT]",
    options: &[
        Opt("--step NAME", "Do one step of it, and say on standard output how that goes"),
        Opt("--guard ID SECONDS", "Restart the device unless the trial ends within this time"),
    ],
    about: "\
It goes over to the generation that /run/trial names, looks whether what was up \
before works, waits to be confirmed, and goes back if it is not. Killed at any \
moment it comes back and goes on: all that it knows is in /run/trial. \
docs/formats/generations.md has the whole story.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    match args.option()?.as_deref() {
        Some("step") => {
            let name = args.text()?;
            worker::run(&name, out)
        }
        Some("guard") => {
            let id = args.text()?;
            let seconds = args.operand().ok_or_else(|| Failure::usage("it needs a time"))?;
            let seconds = cli::text(&seconds)?.parse();
            let seconds = seconds.map_err(|_| Failure::usage("the time is a number of seconds"))?;
            guard::run(&id, seconds)
        }
        Some(other) => Err(args.unknown(other)),
        // The name of the script that named this program.
        None => owner::run(),
    }
}
