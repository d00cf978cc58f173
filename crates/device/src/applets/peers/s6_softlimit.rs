//! `s6-softlimit`: run a program that may use only so much.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use cli::{Args, Command, Exit, Failure, Opt};
use os::sys::rlimit::{Kind, Which, limit};

use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-softlimit",
    summary: "Run a program that may use only so much",
    usage: "s6-softlimit [-H | -h] [-a BYTES] [-c BYTES] [-d BYTES] [-f BYTES] [-l BYTES] \
            [-m BYTES] [-o FILES] [-P PRIO] [-p PROCS] [-r BYTES] [-s BYTES] [-t SECONDS] PROG...",
    options: &[
        Opt("-H", "Change hard and soft limits, not only soft ones"),
        Opt("-h", "Change hard limits; a soft one only where it would be above"),
        Opt("-a BYTES", "Address space"),
        Opt("-c BYTES", "Core file"),
        Opt("-d BYTES", "Data segment"),
        Opt("-f BYTES", "Largest file"),
        Opt("-l BYTES", "Locked memory"),
        Opt("-m BYTES", "All of -a, -d, -l and -s"),
        Opt("-o FILES", "Open descriptors"),
        Opt("-P PRIO", "Real-time priority"),
        Opt("-p PROCS", "Processes of the user"),
        Opt("-r BYTES", "Resident memory"),
        Opt("-s BYTES", "Stack"),
        Opt("-t SECONDS", "Processor time"),
    ],
    about: "A value of = means the hard limit. A soft limit above the hard one becomes that.\n\n\
            Exit codes: those of PROG; 100 wrong usage; 111 refused; \
            126 and 127 if PROG cannot be run.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut which = Which::Soft;
    let mut wanted: Vec<(&[Kind], Which, Option<u64>)> = Vec::new();
    while let Some(option) = args.option()? {
        let kinds: &[Kind] = match option.as_str() {
            "H" => {
                which = Which::Both;
                continue;
            }
            "h" => {
                which = Which::Hard;
                continue;
            }
            "a" => &[Kind::As],
            "c" => &[Kind::Core],
            "d" => &[Kind::Data],
            "f" => &[Kind::Fsize],
            "l" => &[Kind::Memlock],
            "m" => &[Kind::Data, Kind::Stack, Kind::Memlock, Kind::As],
            "o" => &[Kind::Nofile],
            "P" => &[Kind::Rtprio],
            "p" => &[Kind::Nproc],
            "r" => &[Kind::Rss],
            "s" => &[Kind::Stack],
            "t" => &[Kind::Cpu],
            _ => return Err(args.unknown(&option)),
        };
        wanted.push((kinds, which, amount(args)?));
    }
    let words = chain::program(args)?;
    // No memory may be left to ask for once the limits hold.
    let program = chain::prepare(&words, None)?;
    for (kinds, which, value) in wanted {
        for &kind in kinds {
            limit(kind, which, value)
                .map_err(|e| Failure::refused(format!("cannot limit {kind:?}: {e}")))?;
        }
    }
    chain::enter(&words, &program)
}

/// A limit: digits, or `=` for `None`, the hard one.
fn amount(args: &mut Args) -> Result<Option<u64>, Failure> {
    let text = args.value()?;
    let text = text.as_bytes();
    if text == b"=" {
        return Ok(None);
    }
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten();
    number.map(Some).ok_or_else(|| Failure::usage("a limit is a number, or = for the hard limit"))
}
