//! `ward logger`: the log of everything, as a service that init starts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::log::policy::{FILE_BYTES_MAX, FILE_BYTES_MIN, Policy};
use os::log::collector::{self, Collector, Plan};
use os::log::last_boot::KEPT;

/// Where the log of everything is.
pub const DIRECTORY: &str = "/run/uncaught-logs";

/// Where people look for it.
const LINK: &str = "/run/log";

pub const COMMAND: Command = Command {
    name: "logger",
    summary: "Write the output of all services to one log",
    usage: "ward logger [-d DIR] [-s SIZE] [-n COUNT] [-t TOTAL] [-r SECONDS] [-x COMMAND] [-k KMSG] [-p FILE] [-P DIR] INITSOCKET",
    options: &[
        Opt("-d DIR", "Log into this directory (default: /run/uncaught-logs)"),
        Opt("-s SIZE", "Begin a new file near this many bytes (default: 99999)"),
        Opt("-n COUNT", "Keep this many finished files (default: 10)"),
        Opt("-t TOTAL", "Keep no more bytes of them (default: 0, any number)"),
        Opt("-r SECONDS", "Begin a new file after this time, too"),
        Opt(
            "-x COMMAND",
            "Have /bin/sh run this on a finished file; what it prints is kept instead",
        ),
        Opt("-k KMSG", "Log what the kernel says, too, which stands in this file: /dev/kmsg"),
        Opt("-p FILE", "Write lines here, too: /dev/pmsg0, which outlives a restart"),
        Opt("-P DIR", "Where it is found again then (default: /sys/fs/pstore)"),
    ],
    about: "\
Init starts this as a service; nobody else needs to. It reads the pipe of every
service that the init at INITSOCKET keeps, and appends each line to DIR/current
as \"@label service text\", where the label is the TAI64N time of reading. A
line of more than 8192 bytes is cut: each piece but the last ends in
\" [continued]\".

Killed at any moment, also with SIGKILL, it loses, doubles and mixes no line:
what is not in the log stays in the pipes, which init holds, and DIR/.journal
says what the next logger has to finish (INITSOCKET's folder has it where DIR \
cannot: on JFFS2). When the log cannot be written, it tries again, dropping the
oldest archive first. A service waits only while its pipe is full, and not for
long: after a second (two where there is no logger, ten where a disk holds it) the oldest
lines of full pipes are given up, and the log says later how many of which service.

With -p, what the kernel has kept moves into previous-boot in the log directory first \
(docs/formats/log.md). That FILE cannot be written to disturbs nothing.

Signals: TERM, HUP and INT end it when the lines that are complete have been
written; ALRM begins a new file.

Exit codes: 0 told to end; 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut directory = PathBuf::from(DIRECTORY);
    let mut policy = Policy::default();
    let mut kernel: Option<PathBuf> = None;
    let (mut period, mut processor) = (None, None);
    let mut kept: Option<PathBuf> = None;
    let mut found = PathBuf::from(KEPT);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "d" => directory = args.value()?.into(),
            "s" => {
                policy.file_bytes = file_bytes(args)?;
                policy.tolerance_bytes = policy.tolerance_bytes.min(policy.file_bytes / 2);
            }
            "n" => policy.archives = args.parsed()?,
            "t" => policy.total_bytes = args.parsed()?,
            "r" => period = Some(args.parsed()?).filter(|secs| *secs > 0).map(Duration::from_secs),
            "x" => processor = Some(args.text()?),
            "k" => kernel = Some(args.value()?.into()),
            "p" => kept = Some(args.value()?.into()),
            "P" => found = args.value()?.into(),
            _ => return Err(args.unknown(&option)),
        }
    }
    let Some(init) = args.operand() else {
        return Err(Failure::usage("the socket of init is not given"));
    };
    os::service::process::set_name(c"ward-logger");
    let plan = Plan {
        directory: &directory,
        policy,
        init: Path::new(&init),
        kernel: kernel.as_deref(),
        period,
        processor: processor.as_deref().map(str::as_bytes),
        kept: kept.as_deref(),
        found: &found,
        say: |path, error| eprintln!("ward logger: cannot use {}: {error}", path.display()),
    };
    let collector = Collector::start(&plan).map_err(|error| refused(&plan, error))?;
    if directory == Path::new(DIRECTORY) {
        // There since an earlier start, or somebody's own: both are fine.
        let _ = std::os::unix::fs::symlink("uncaught-logs", LINK);
    }
    collector.run().map_err(|error| Failure::refused(format!("cannot go on: {error}")))?;
    Ok(Exit::DONE)
}

/// The size of a file, from an option's value.
pub fn file_bytes(args: &mut Args) -> Result<u32, Failure> {
    let bytes = args.parsed()?;
    if (FILE_BYTES_MIN..=FILE_BYTES_MAX).contains(&bytes) {
        return Ok(bytes);
    }
    Err(Failure::usage(format!("a file has {FILE_BYTES_MIN} to {FILE_BYTES_MAX} bytes")))
}

fn refused(plan: &Plan<'_>, failure: collector::Failure) -> Failure {
    use collector::Failure::*;
    let directory = plan.directory.display();
    match failure {
        Directory(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Failure::refused(format!("cannot log into {directory}: another program does"))
                .hint("give each logger a directory of its own with -d")
        }
        Directory(error) => Failure::refused(format!("cannot log into {directory}: {error}")),
        Init(error) => {
            Failure::refused(format!("cannot reach init at {}: {error}", plan.init.display()))
        }
        Kernel(error) => Failure::refused(format!("cannot read what the kernel says: {error}")),
        System(error) => Failure::refused(format!("cannot begin: {error}")),
    }
}
