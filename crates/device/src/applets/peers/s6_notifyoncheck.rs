//! `s6-notifyoncheck`: ask a service whether it is ready, and say so for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command as Process};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::time::Moment;
use os::clock;
use os::service::companion::{Companion, First};
use os::sys::inherit;

use super::waiting;

pub const COMMAND: Command = Command {
    name: "s6-notifyoncheck",
    summary: "Run a service, and check beside it until it is ready",
    usage: "s6-notifyoncheck [-d] [-3 FD] [-s MS] [-T MS] [-t MS] [-w MS] [-n COUNT] \
            [-c COMMAND] PROG...",
    options: &[
        Opt("-d", "Check from a process that is no child of the service"),
        Opt("-3 FD", "Notify on this descriptor (default: what ./notification-fd says)"),
        Opt("-s MS", "Wait before the first check (default: 10)"),
        Opt("-T MS", "Give up after this long; 0: never (the default)"),
        Opt("-t MS", "Kill a check that takes longer; 0: never (the default)"),
        Opt("-w MS", "Wait from one check to the next (default: 1000)"),
        Opt("-n COUNT", "Give up after so many checks; 0: never (default: 7)"),
        Opt("-c COMMAND", "Run this execline command instead of ./data/check"),
    ],
    about: "\
For the run script of a service that does not itself say when it is ready. It
becomes PROG; beside it a process runs ./data/check until that exits 0, and then
writes a line to the notification descriptor. It ends when PROG ends.

Exit codes before PROG: 100 wrong usage, 111 the system refused, 126 or 127 PROG
cannot be run.",
    run,
};

struct Plan {
    wait_first: Duration,
    wait_between: Duration,
    check_max: Option<Duration>,
    deadline: Option<Moment>,
    checks: Option<u32>,
    command: Option<String>,
}

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut plan = Plan {
        wait_first: Duration::from_millis(10),
        wait_between: Duration::from_secs(1),
        check_max: None,
        deadline: None,
        checks: Some(7),
        command: None,
    };
    let (mut apart, mut number) = (false, None);
    while let Some(option) = args.option()? {
        let mut span = || args.parsed::<u32>().map(|ms| Duration::from_millis(ms.into()));
        match option.as_str() {
            "d" => apart = true,
            "3" => number = Some(args.parsed::<i32>()?),
            "s" => plan.wait_first = span()?,
            "T" => plan.deadline = waiting::deadline(args)?,
            "t" => plan.check_max = Some(span()?).filter(|span| !span.is_zero()),
            "w" => plan.wait_between = span()?,
            "n" => plan.checks = Some(args.parsed()?).filter(|count| *count > 0),
            "c" => plan.command = Some(args.text()?),
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let program = args.rest();
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    beside(number, apart, plan)?;
    Err(waiting::become_program(&program))
}

/// Leaves a process behind that checks; comes back in the one that shall
/// become the service.
fn beside(number: Option<i32>, apart: bool, plan: Plan) -> Result<(), Failure> {
    let number = match number {
        Some(number) => number,
        None => configured()?,
    };
    // From here on closed in PROG: else it would seem to be able to notify.
    let notification = inherit::descriptor(number).map_err(|error| {
        Failure::refused(format!("cannot notify on descriptor {number}: {error}"))
            .hint("is there a notification-fd file, with this number?")
    })?;
    let refused = |error| Failure::refused(format!("cannot check beside the service: {error}"));
    let mut service = Companion::of_self().map_err(refused)?;
    if let Some(child) = inherit::fork().map_err(refused)? {
        if apart {
            os::service::companion::reap(child);
        }
        return Ok(());
    }
    if apart && !matches!(inherit::fork(), Ok(None)) {
        std::process::exit(0);
    }
    let code = match check(&mut service, notification, &plan) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("s6-notifyoncheck: fatal: cannot check beside the service: {error}");
            111
        }
    };
    std::process::exit(code)
}

/// The descriptor that the service directory names.
fn configured() -> Result<i32, Failure> {
    let text = std::fs::read_to_string("notification-fd").map_err(|error| {
        Failure::refused(format!("cannot read ./notification-fd: {error}"))
            .hint("run it in a service directory, or name the descriptor with -3")
    })?;
    text.trim_end().parse().map_err(|_| {
        Failure::usage(format!("./notification-fd holds {text:?}, which is no descriptor"))
    })
}

/// Checks until it is ready (0), checked often enough (1), dead (2) or late (3).
fn check(service: &mut Companion, notification: OwnedFd, plan: &Plan) -> io::Result<i32> {
    let mut left = plan.checks;
    let mut wait = plan.wait_first;
    loop {
        let next = clock::now() + wait;
        if service.ends_before(earlier(Some(next), plan.deadline))? {
            return Ok(2);
        }
        if late(plan.deadline) {
            return Ok(3);
        }
        let mut child = start(plan.command.as_deref())?;
        let limit = plan.check_max.map(|span| clock::now() + span);
        match service.first_of(&child, earlier(limit, plan.deadline))? {
            First::Service => {
                end(&mut child)?;
                return Ok(2);
            }
            First::Child if child.wait()?.success() => {
                File::from(notification).write_all(b"\n")?;
                return Ok(0);
            }
            First::Child => {}
            First::Nobody => end(&mut child)?,
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(1);
        }
        wait = plan.wait_between;
    }
}

fn start(command: Option<&str>) -> io::Result<Child> {
    let mut process = match command {
        Some(command) => {
            let mut process = Process::new("execlineb");
            process.args(["-Pc", command]);
            process
        }
        None => Process::new("./data/check"),
    };
    process.spawn()
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn earlier(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    a.into_iter().chain(b).min()
}

fn late(deadline: Option<Moment>) -> bool {
    deadline.is_some_and(|deadline| clock::now() >= deadline)
}
