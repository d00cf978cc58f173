//! `s6-ftrig-notify`, `-wait`, `-listen`, `-listen1`: tell events and wait
//! for them.

use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use model::time::Moment;
use os::service::events::{self, Heard, Pattern};
use os::service::fifodir;
use os::service::watch::{self, Quorum};
use os::sys::regex::Regex;

use super::waiting;

const TIMEOUT: Opt = Opt("-t MS", "Give up after this many milliseconds; 0: never (the default)");
const ABOUT: &str = "\
The events since it began to listen, one letter each, are matched against a
POSIX extended regular expression.

Exit codes: 0 they match, 1 timed out, 100 wrong usage, 111 the system refused.";

pub const NOTIFY: Command = Command {
    name: "s6-ftrig-notify",
    summary: "Tell events to all listeners of a fifodir",
    usage: "s6-ftrig-notify FIFODIR EVENTS",
    options: &[],
    about: "Each letter of EVENTS is one event.\n\n\
            Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: notify,
};

pub const WAIT: Command = Command {
    name: "s6-ftrig-wait",
    summary: "Wait for events of a fifodir and print them",
    usage: "s6-ftrig-wait [-t MS] FIFODIR REGEX",
    options: &[TIMEOUT],
    about: ABOUT,
    run: wait,
};

pub const LISTEN: Command = Command {
    name: "s6-ftrig-listen",
    summary: "Run a program and wait for events of several fifodirs",
    usage: "s6-ftrig-listen [-a | -o] [-t MS] { FIFODIR REGEX ... } PROG...",
    options: &[
        Opt("-a", "Wait until all expressions match (the default)"),
        Opt("-o", "Wait until one of them matches"),
        TIMEOUT,
    ],
    about: ABOUT,
    run: listen,
};

pub const LISTEN1: Command = Command {
    name: "s6-ftrig-listen1",
    summary: "Run a program, wait for events of a fifodir, print them",
    usage: "s6-ftrig-listen1 [-t MS] FIFODIR REGEX PROG...",
    options: &[TIMEOUT],
    about: ABOUT,
    run: listen1,
};

fn notify(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let (Some(path), Some(message)) = (args.operand(), args.operand()) else {
        return Err(Failure::usage("a fifodir and the events are needed"));
    };
    os::sys::signals::ignore_pipe();
    let name = CString::new(path.as_bytes()).expect("arguments hold no NUL");
    fifodir::notify_at_path(&name, message.as_bytes()).map_err(|error| {
        Failure::refused(format!("cannot notify {}: {error}", path.to_string_lossy()))
    })?;
    Ok(Exit::DONE)
}

/// The options of all waiting programs; operands come next.
fn options(args: &mut Args, several: bool) -> Result<(Quorum, Option<Moment>), Failure> {
    let (mut quorum, mut deadline) = (Quorum::All, None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "a" if several => quorum = Quorum::All,
            "o" if several => quorum = Quorum::One,
            "t" => deadline = waiting::deadline(args)?,
            unknown => return Err(args.unknown(unknown)),
        }
    }
    Ok((quorum, deadline))
}

fn wait(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (quorum, deadline) = options(args, false)?;
    let pattern = pattern_operands(args)?;
    let heard = until(vec![pattern], quorum, deadline, &[])?;
    print(out, &heard)
}

fn listen1(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (quorum, deadline) = options(args, false)?;
    let pattern = pattern_operands(args)?;
    let program = args.rest();
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    let heard = until(vec![pattern], quorum, deadline, &program)?;
    print(out, &heard)
}

fn listen(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (quorum, deadline) = options(args, true)?;
    let (pairs, program) = waiting::block(args.rest())?;
    if pairs.is_empty() || pairs.len() % 2 != 0 {
        return Err(Failure::usage("the block must hold pairs of a fifodir and an expression"));
    }
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    let patterns: Result<_, _> = pairs.chunks(2).map(|pair| pattern(&pair[0], &pair[1])).collect();
    until(patterns?, quorum, deadline, &program)?;
    Ok(Exit::DONE)
}

fn pattern_operands(args: &mut Args) -> Result<Pattern, Failure> {
    match (args.operand(), args.operand()) {
        (Some(path), Some(expression)) => pattern(&path, &expression),
        _ => Err(Failure::usage("a fifodir and an expression are needed")),
    }
}

fn pattern(path: &OsStr, expression: &OsStr) -> Result<Pattern, Failure> {
    let regex = Regex::new(expression.as_bytes()).map_err(|error| {
        Failure::refused(format!("{expression:?} is no regular expression: {error}"))
    })?;
    Pattern::listen(Path::new(path), regex).map_err(|error| {
        Failure::refused(format!("cannot listen to {}: {error}", path.to_string_lossy()))
    })
}

/// Starts `program`, if there is one, and waits; gives what was heard.
fn until(
    patterns: Vec<Pattern>,
    quorum: Quorum,
    deadline: Option<Moment>,
    program: &[OsString],
) -> Result<Vec<u8>, Failure> {
    let refused = |error| Failure::refused(format!("cannot wait: {error}"));
    let mut child = if program.is_empty() { None } else { Some(waiting::spawn(program)?) };
    let signals = watch::ending_signals().map_err(refused)?;
    let mut reap = || {
        if let Some(child) = &mut child {
            let _ = child.try_wait();
        }
    };
    reap(); // It may have ended before its end was listened for.
    match events::wait(patterns, quorum, deadline, signals, reap).map_err(refused)? {
        Heard::Matched(events) => Ok(events),
        Heard::TimedOut => Err(Failure::not_achieved("timed out before the events matched")),
        Heard::Signal(signal) => {
            watch::die_of(signal);
            Err(Failure::refused(format!("stopped by signal {signal}")))
        }
    }
}

/// All events until the match, as s6 2.15 prints them.
fn print(out: &mut dyn Write, heard: &[u8]) -> Result<Exit, Failure> {
    out.write_all(heard)?;
    out.write_all(b"\n")?;
    Ok(Exit::DONE)
}
