//! `s6-log`: write lines to rotated log directories, as a script says.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::log::script::Script;
use os::log::script_run::{Expressions, Manner, ScriptRun};

pub const COMMAND: Command = Command {
    name: "s6-log",
    summary: "Write lines to rotated log directories, as a script says",
    usage: "s6-log [-d FD] [-q | -v] [-b] [-p] [-l BYTES] [-t MS] [--] SCRIPT...",
    options: &[
        Opt("-d FD", "Write a newline to this descriptor once everything is open"),
        Opt("-q", "Say nothing but alerts and why it ends"),
        Opt("-v", "Warn, too (the default)"),
        Opt("-b", "Read nothing while a line waits to be written"),
        Opt("-p", "Do not end on SIGTERM"),
        Opt("-l BYTES", "Split longer lines; 48 or more, 0: never (default: 8192)"),
        Opt(
            "-t MS",
            "Told to end, wait this long for the end of a line (default: 2000; 0: for ever)",
        ),
    ],
    about: "\
Reads lines from standard input (a NUL ends a line, too) and does with each what
the words of SCRIPT say, in their order.

Selections: +EXPR selects lines that match the extended regular expression,
-EXPR deselects them, f selects exactly the lines that nothing was done with.

Settings, for all actions behind them: nN archives to keep (10), sN bytes of a
file (99999), SN bytes of all archives (0: any), lN rotate this near to s (2000),
RN rotate every N seconds, rN milliseconds to wait after a failure (2000), EN
bytes of an alert (200), ^N bytes of a status file (1001), pTEXT prefix, !COMMAND
or ?COMMAND processor, run by execlineb or /bin/sh, with the old state on
descriptor 4 and the new one on 5. t and T put the time before the line, as
TAI64N or as local date, for the next action only.

Actions: 1 standard output, 2 alert on standard error, =FILE a file with the last
line only, /DIR or ./DIR a log directory.

SIGTERM and SIGHUP end it after the line that has begun, SIGALRM rotates.

Exit codes: 0 input ended, or told to end; 100 wrong usage; 111 the system refused.",
    run,
};

/// The least that `-l` may be, other than 0.
const LINE_BYTES_MIN: usize = 48;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let last_line_wait = Duration::from_millis(2000);
    let (protected, one_by_one, line_bytes) = (false, false, 8192);
    let mut manner = Manner { protected, one_by_one, line_bytes, last_line_wait };
    let mut warns = 1_u32;
    let mut notify = None;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "d" => notify = Some(args.parsed::<i32>()?),
            "q" => warns = warns.saturating_sub(1),
            "v" => warns += 1,
            "b" => manner.one_by_one = true,
            "p" => manner.protected = true,
            "l" => manner.line_bytes = args.parsed::<u32>()? as usize,
            "t" => manner.last_line_wait = Duration::from_millis(args.parsed::<u32>()?.into()),
            _ => return Err(args.unknown(&option)),
        }
    }
    if manner.line_bytes != 0 && manner.line_bytes < LINE_BYTES_MIN {
        return Err(Failure::usage(format!("a line has {LINE_BYTES_MIN} bytes or more")));
    }
    if notify.is_some_and(|fd| fd < 3) {
        return Err(Failure::usage("notification fd must be 3 or more"));
    }
    // Taken over before anything is opened that could get its number.
    let notify = notify.map(|fd| {
        os::sys::inherit(fd).ok_or_else(|| {
            Failure::refused(format!("cannot use descriptor {fd} for notification: it is not open"))
        })
    });
    let notify = notify.transpose()?;

    let words: Vec<OsString> = args.rest();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    if words.is_empty() {
        return Err(Failure::usage("there is no script"));
    }
    let script = Script::parse(&words).map_err(Failure::usage)?;
    let expressions = Expressions::of(&script).map_err(|(text, why)| {
        let text = text.escape_ascii();
        Failure::usage(format!("cannot read the expression {text}: {why}"))
    })?;
    let warn = |text: &dyn std::fmt::Display| {
        if warns > 0 {
            eprintln!("s6-log: warning: {text}");
        }
    };
    if script.useless_end {
        warn(&"ignoring the selections behind the last action");
    }
    let streams = os::sys::standard_streams();
    let run = ScriptRun::open(script, expressions, manner, streams).map_err(Failure::refused)?;
    if let Some(notify) = notify {
        std::fs::File::from(notify).write_all(b"\n")?;
    }
    run.run(&mut |trouble| warn(trouble)).map_err(Failure::refused)?;
    Ok(Exit::DONE)
}
