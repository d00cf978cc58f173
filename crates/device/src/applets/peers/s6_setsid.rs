//! `s6-setsid`: run a program in a new session or process group.

use std::io::Write;

use cli::{Args, Command, Exit, Failure, Opt};
use os::sys::session;

use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-setsid",
    summary: "Run a program in a new session or process group",
    usage: "s6-setsid [-s | -b | -f | -g] [-i | -I | -q] [-d FD] PROG...",
    options: &[
        Opt("-s", "Make it the leader of a new session (default)"),
        Opt("-b", "Make it the leader of a new process group in the background"),
        Opt("-f", "Make it the leader of a new group, and that the terminal's foreground group"),
        Opt("-g", "As -f, taking the terminal without being stopped for it"),
        Opt("-i", "Give up where that is refused"),
        Opt("-I", "Only warn where that is refused (default)"),
        Opt("-q", "Say nothing where that is refused"),
        Opt("-d FD", "The descriptor of the terminal for -f and -g (default: 0)"),
    ],
    about: "Exit codes: those of PROG; 100 wrong usage; 111 refused, with -i; \
            126 and 127 if PROG cannot be run.",
    run,
};

#[derive(Clone, Copy)]
enum Leader {
    Session,
    Background,
    Foreground,
    Grab,
}

#[derive(Clone, Copy)]
enum Refused {
    Fail,
    Warn,
    Ignore,
}

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut leader, mut refused, mut terminal) = (Leader::Session, Refused::Warn, 0);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "s" => leader = Leader::Session,
            "b" => leader = Leader::Background,
            "f" => leader = Leader::Foreground,
            "g" => leader = Leader::Grab,
            "i" => refused = Refused::Fail,
            "I" => refused = Refused::Warn,
            "q" => refused = Refused::Ignore,
            "d" => terminal = args.parsed::<u16>()?.into(),
            _ => return Err(args.unknown(&option)),
        }
    }
    let words = chain::program(args)?;
    if let Err((what, error)) = lead(leader, terminal) {
        let message = format!("cannot {what}: {error}");
        match refused {
            Refused::Fail => return Err(Failure::refused(message)),
            Refused::Warn => eprintln!("{}: warning: {message}", args.name),
            Refused::Ignore => {}
        }
    }
    chain::into(&words, None)
}

fn lead(leader: Leader, terminal: i32) -> Result<(), (&'static str, std::io::Error)> {
    match leader {
        Leader::Session => session::lead_session().map_err(|e| ("lead a new session", e)),
        Leader::Background => session::lead_group().map_err(|e| ("lead a new process group", e)),
        Leader::Foreground | Leader::Grab => {
            session::lead_group().map_err(|e| ("lead a new process group", e))?;
            session::take_foreground(terminal, matches!(leader, Leader::Grab))
                .map_err(|e| ("become the terminal's foreground group", e))
        }
    }
}
