//! `s6-rc-up-tree`: start a service, and what only waited for it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::manager_request::{Manner, Verb};
use os::service::manager_client::Heard;

use crate::applets::change::{Change, print_line, say_step};

pub const COMMAND: Command = Command {
    name: "s6-rc-up-tree",
    summary: "Start a service, and the services that only waited for it",
    usage: "s6-rc-up-tree [-v N] [-t MS] [-l LIVE] NAME...",
    options: &[
        Opt("-v N", "0: only errors, 1: warnings too (default), 2: every step"),
        Opt("-t MS", "Give up after this long (default: 0, never)"),
        Opt("-l LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
Starts NAME with all it needs, and of the services that need it those whose \
other needs are up. What also needs something else that is down, such as a \
service that a controller has not started, stays down.

Exit codes: those of s6-rc.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut verbosity, mut timeout, mut live) = (1, 0, PathBuf::from("/run/s6-rc"));
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" | "verbosity" => verbosity = args.parsed::<u32>()?,
            "t" | "timeout" => timeout = args.parsed::<u32>()?,
            "l" | "livedir" => live = args.value()?.into(),
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Failure::usage("it needs the name of a service"));
    }
    let change = Change {
        live: &live,
        verb: Verb::Up,
        manner: Manner { users: true, detail: verbosity > 1, ..Manner::default() },
        names: &names,
        limit: (timeout != 0).then(|| Duration::from_millis(timeout.into())),
        scripts: true,
        ticks: false,
    };
    let ending = change.ask(&mut |heard| match heard {
        Heard::Manager(message) => say_step("s6-rc-up-tree", &message, verbosity),
        Heard::Line(line) => print_line(line, out),
        Heard::Quiet => {}
    })?;
    Ok(Exit(ending.exit))
}
