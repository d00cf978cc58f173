//! `s6-svc` and `s6-svscanctl`: letters for a supervisor.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use model::time::Moment;
use os::service::client::{self, ControlError};
use os::service::signal_name;
use os::service::watch::Goal;

use super::waiting::{self, Wish, not_supervised};

pub const SVC: Command = Command {
    name: "s6-svc",
    summary: "Send commands to the supervisors of services",
    usage: "s6-svc [-wu | -wU | -wd | -wD | -wr | -wR] [-T MS] \
            [-abqhkti12pcyrlPCKoduDUxOQ] [-s SIGNAL] SERVICEDIR...",
    options: &[
        Opt("-u", "Bring it up and keep it up"),
        Opt("-d", "Bring it down and keep it down"),
        Opt("-U", "As -u, and remove its down file"),
        Opt("-D", "As -d, and make its down file"),
        Opt("-o", "Run it once: as -uO"),
        Opt("-O", "Do not run it again when it ends"),
        Opt("-Q", "As -O, and make its down file"),
        Opt("-x", "Let its supervisor end when it is down"),
        Opt("-r", "Send its down signal, so that it restarts"),
        Opt("-l", "Send its reload signal"),
        Opt("-a", "Send SIGALRM"),
        Opt("-b", "Send SIGABRT"),
        Opt("-q", "Send SIGQUIT"),
        Opt("-h", "Send SIGHUP"),
        Opt("-k", "Send SIGKILL"),
        Opt("-t", "Send SIGTERM"),
        Opt("-i", "Send SIGINT"),
        Opt("-1", "Send SIGUSR1"),
        Opt("-2", "Send SIGUSR2"),
        Opt("-p", "Send SIGSTOP"),
        Opt("-c", "Send SIGCONT"),
        Opt("-y", "Send SIGWINCH"),
        Opt("-P", "Send SIGSTOP to its process group"),
        Opt("-C", "Send SIGCONT to its process group"),
        Opt("-K", "Send SIGKILL to its process group"),
        Opt("-s SIGNAL", "Send this signal, one of those above"),
        Opt("-w STATE", "Wait: u up, U ready, d down, D finished, r restarted, R and ready"),
        Opt("-T MS", "With -w, give up after this many milliseconds; 0: never (the default)"),
    ],
    about: "\
The commands are sent in the order of the options. With -w the service is
listened to before they are sent, so that no change is missed.

Exit codes: 0 done, with -w 1 to 98 so many services failed for good, 99 timed
out, 100 wrong usage, 102 not supervised, 111 the system refused.",
    run: svc,
};

pub const SVSCANCTL: Command = Command {
    name: "s6-svscanctl",
    summary: "Send commands to the supervisor of a scan directory",
    usage: "s6-svscanctl [-zabhitqnN] SCANDIR",
    options: &[
        Opt("-a", "Look for new services"),
        Opt("-n", "Stop supervising what is no longer there; loggers end by themselves"),
        Opt("-N", "As -n, and stop their loggers too"),
        Opt("-h", "As -an"),
        Opt("-z", "Reap dead processes"),
        Opt("-t", "Bring everything down; loggers end by themselves"),
        Opt("-i", "As -t"),
        Opt("-q", "Bring everything down, loggers too"),
        Opt("-b", "End at once and leave the services alone"),
    ],
    about: "\
The commands are sent in the order of the options.

Exit codes: 0 done, 100 wrong usage or not supervised, 111 the system refused.",
    run: svscanctl,
};

/// Each letter is what goes to the supervisor.
const LETTERS: &str = "abqhkti12pcyrlPCKoduDUxOQ";

/// The signals that `-s` can name, and the letter that sends each.
const SIGNALS: [(&str, u8); 12] = [
    ("ALRM", b'a'),
    ("ABRT", b'b'),
    ("QUIT", b'q'),
    ("HUP", b'h'),
    ("KILL", b'k'),
    ("TERM", b't'),
    ("INT", b'i'),
    ("USR1", b'1'),
    ("USR2", b'2'),
    ("STOP", b'p'),
    ("CONT", b'c'),
    ("WINCH", b'y'),
];

fn svc(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut letters = Vec::new();
    let mut goal = None;
    let mut deadline = None;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "w" => {
                let state = args.text()?;
                let known = waiting::goal(&state);
                goal = Some(known.ok_or_else(|| {
                    Failure::usage(format!("-w knows no state {state:?}, only u U d D r R"))
                })?);
            }
            "T" => deadline = waiting::deadline(args)?,
            "s" => letters.push(signal_letter(&args.text()?)?),
            letter if letter.len() == 1 && LETTERS.contains(letter) => {
                letters.extend(letter.bytes())
            }
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let dirs = args.rest();
    if dirs.is_empty() {
        return Err(Failure::usage("no service directory is named"));
    }
    match goal {
        Some(goal) => send_and_wait(&dirs, &letters, goal, deadline),
        None => send_all(&dirs, &letters),
    }
}

fn signal_letter(text: &str) -> Result<u8, Failure> {
    let name = signal_name::number(text).and_then(signal_name::name);
    let known = SIGNALS.iter().find(|(known, _)| Some(*known) == name);
    known.map(|(_, letter)| *letter).ok_or_else(|| {
        Failure::usage(format!("a supervisor cannot be told to send {text:?}"))
            .hint("it sends ALRM ABRT QUIT HUP KILL TERM INT USR1 USR2 STOP CONT WINCH")
    })
}

/// Sends to each, whatever happens with the others; the first failure counts.
fn send_all(dirs: &[OsString], letters: &[u8]) -> Result<Exit, Failure> {
    let mut failed = None;
    for dir in dirs {
        if let Err(failure) = send(Path::new(dir), letters) {
            match failed {
                None => failed = Some(failure),
                Some(_) => eprintln!("s6-svc: warning: {failure}"),
            }
        }
    }
    failed.map_or(Ok(Exit::DONE), Err)
}

fn send(dir: &Path, letters: &[u8]) -> Result<(), Failure> {
    client::control(dir, letters).map_err(|error| match error {
        ControlError::NotSupervised => not_supervised(dir),
        ControlError::Refused(error) => {
            Failure::refused(format!("cannot control {}: {error}", dir.display()))
        }
    })
}

fn send_and_wait(
    dirs: &[OsString],
    letters: &[u8],
    goal: Goal,
    deadline: Option<Moment>,
) -> Result<Exit, Failure> {
    let mut watched = Vec::with_capacity(dirs.len());
    for dir in dirs {
        let dir = Path::new(dir);
        let mut goal = goal;
        // It can never become ready, so waiting for that would be for ever.
        if goal.up && goal.ready && client::notifies(dir).is_ok_and(|notifies| !notifies) {
            eprintln!(
                "s6-svc: warning: {} has no notification-fd: not waiting until it is ready",
                dir.display()
            );
            goal.ready = false;
        }
        watched.push(waiting::watch_one(dir, goal)?);
    }
    send_all(dirs, letters)?;
    Wish::all(goal, deadline).wait(watched, None)
}

fn svscanctl(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut letters = Vec::new();
    while let Some(option) = args.option()? {
        match option.as_str() {
            letter if letter.len() == 1 && "zabhitqnN".contains(letter) => {
                letters.extend(letter.bytes())
            }
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let dir = args.operand().ok_or_else(|| Failure::usage("no scan directory is named"))?;
    let dir = Path::new(&dir);
    client::control_scan(dir, &letters).map_err(|error| match error {
        // The code of the peer, though the usage is right.
        ControlError::NotSupervised => {
            Failure::new(Exit::USAGE, format!("no supervisor runs on {}", dir.display()))
        }
        ControlError::Refused(error) => {
            Failure::refused(format!("cannot control {}: {error}", dir.display()))
        }
    })?;
    Ok(Exit::DONE)
}
