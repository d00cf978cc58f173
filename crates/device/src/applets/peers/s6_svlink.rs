//! `s6-svlink` and `s6-svunlink`: one service more, or less, in a scan directory.

use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use os::clock;
use os::service::client::{self, ControlError};
use os::service::events::{self, Heard, Pattern};
use os::service::fifodir;
use os::service::watch::{self, Quorum};
use os::sys::regex::Regex;

use super::waiting::{self, TIMED_OUT};

pub const SVLINK: Command = Command {
    name: "s6-svlink",
    summary: "Put a service into a scan directory and wait for its supervisor",
    usage: "s6-svlink [-d | -D] [-P] [-f] [-t MS] SCANDIR SERVICEDIR [NAME]",
    options: &[
        Opt("-d", "Leave it down this time, and remove its down file"),
        Opt("-D", "Leave it down, and make its down file"),
        Opt("-P", "Everybody may listen to its events"),
        Opt("-f", "Set who may listen, whatever it was"),
        Opt("-t MS", "Give up after this many milliseconds; 0: never (the default)"),
    ],
    about: "Exit codes: 0 done, 99 timed out, 100 wrong usage, 111 the system refused.",
    run: svlink,
};

pub const SVUNLINK: Command = Command {
    name: "s6-svunlink",
    summary: "Take a service out of a scan directory and wait for its supervisor to end",
    usage: "s6-svunlink [-X] [-t MS] SCANDIR NAME",
    options: &[
        Opt("-X", "Do not wait"),
        Opt("-t MS", "Wait no longer than this; 0: for ever (the default)"),
    ],
    about: "\
A timeout is not an error: there is nothing one could do about it.

Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: svunlink,
};

/// Whether the service shall be up, which its `down` file says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    AsItIs,
    DownOnce,
    Down,
}

fn svlink(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut start, mut public, mut force, mut deadline) = (Start::AsItIs, false, false, None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "d" => start = Start::DownOnce,
            "D" => start = Start::Down,
            "P" => public = true,
            "f" => force = true,
            "t" => deadline = waiting::deadline(args)?,
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let (Some(scandir), Some(dir)) = (args.operand(), args.operand()) else {
        return Err(Failure::usage("a scan directory and a service directory are needed"));
    };
    let scandir = PathBuf::from(scandir);
    let shown = PathBuf::from(dir);
    let refused = |what: &str, path: &Path, error: io::Error| {
        Failure::refused(format!("cannot {what} {}: {error}", path.display()))
    };
    std::fs::metadata(shown.join("run")).map_err(|e| refused("look at run of", &shown, e))?;
    let dir = shown.canonicalize().map_err(|e| refused("find", &shown, e))?;
    let name = match args.operand() {
        Some(name) => PathBuf::from(name),
        None => PathBuf::from(dir.file_name().unwrap_or_default()),
    };
    if name.components().count() != 1 || name.as_os_str().as_encoded_bytes().starts_with(b".") {
        return Err(Failure::usage(format!("{} cannot be a name", name.display())));
    }
    if !client::scanned(&scandir).map_err(|e| refused("look at", &scandir, e))? {
        return Err(no_scan(&scandir));
    }
    if client::supervised(&dir).map_err(|e| refused("look at", &dir, e))? {
        eprintln!("s6-svlink: warning: {} is supervised already", shown.display());
        return Ok(Exit::DONE);
    }

    let mut patterns = Vec::new();
    let mut dirs = vec![dir.clone()];
    if dir.join("log/run").exists() {
        dirs.push(dir.join("log"));
    }
    for dir in &dirs {
        let event = dir.join("event");
        make_event(&event, public, force).map_err(|e| refused("make", &event, e))?;
        patterns.push(listen(&event, b"s")?);
    }
    let down = dir.join("down");
    if start != Start::AsItIs {
        std::fs::write(&down, "").map_err(|e| refused("make", &down, e))?;
    }
    let link = scandir.join(&name);
    symlink(&dir, &link).map_err(|e| refused("make the link", &link, e))?;
    let waited = command(&scandir, b"a").and_then(|()| wait(patterns, deadline));
    match waited {
        Ok(true) => {}
        failed => {
            // Nothing is left of what could not be done; what was started ends.
            let _ = std::fs::remove_file(&link);
            let _ = client::control_scan(&scandir, b"an");
            failed?;
            return Err(Failure::new(TIMED_OUT, "timed out before the supervisor started"));
        }
    }
    if start == Start::DownOnce {
        std::fs::remove_file(&down).map_err(|e| refused("remove", &down, e))?;
    }
    Ok(Exit::DONE)
}

/// Makes the fifodir, or checks that one which is there is as wanted.
fn make_event(event: &Path, public: bool, force: bool) -> io::Result<()> {
    if !force && let Ok(found) = std::fs::metadata(event) {
        if (found.permissions().mode() & 0o001 != 0) == public {
            return Ok(());
        }
        let is = if public { "not public" } else { "public" };
        return Err(io::Error::other(format!("it is there and {is}; -f changes that")));
    }
    // The gid of the scan directory's supervisor is that of who links, as a rule.
    let group = (!public).then(os::service::permissions::own_group);
    fifodir::make(event, group, force)
}

fn svunlink(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut wait_for_it, mut deadline) = (true, None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "X" => wait_for_it = false,
            "t" => deadline = waiting::deadline(args)?,
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let (Some(scandir), Some(name)) = (args.operand(), args.operand()) else {
        return Err(Failure::usage("a scan directory and a name are needed"));
    };
    let scandir = PathBuf::from(scandir);
    let link = scandir.join(&name);
    let found = match std::fs::symlink_metadata(&link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Exit::DONE),
        found => found.map_err(|error| {
            Failure::refused(format!("cannot look at {}: {error}", link.display()))
        })?,
    };
    if !found.is_symlink() {
        return Err(Failure::refused(format!(
            "cannot take {} away: it is not a link, and there would be no way back",
            link.display()
        )));
    }
    let dir = link.canonicalize().ok();
    let (mut patterns, mut dirs) = (Vec::new(), Vec::new());
    if wait_for_it && let Some(dir) = &dir {
        for dir in [dir.clone(), dir.join("log")] {
            // Listening first: it may end between the two.
            let Ok(pattern) = listen(&dir.join("event"), b"x") else { continue };
            if client::supervised(&dir).unwrap_or(false) {
                patterns.push(pattern);
                dirs.push(dir);
            }
        }
    }
    std::fs::remove_file(&link)
        .map_err(|error| Failure::refused(format!("cannot remove {}: {error}", link.display())))?;
    command(&scandir, b"an")?;
    if !patterns.is_empty() {
        wait(patterns, deadline)?;
    }
    // It says so, and lets go of its lock in the next moment.
    let end = clock::now() + LOCK_GOES_WITHIN;
    while clock::now() < end && dirs.iter().any(|dir| client::supervised(dir).unwrap_or(false)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Exit::DONE)
}

/// From a supervisor's last event to its end.
const LOCK_GOES_WITHIN: Duration = Duration::from_secs(5);

fn listen(event: &Path, expression: &[u8]) -> Result<Pattern, Failure> {
    let regex = Regex::new(expression).expect("a letter is an expression");
    Pattern::listen(event, regex)
        .map_err(|error| Failure::refused(format!("cannot listen to {}: {error}", event.display())))
}

/// Waits for all of `patterns`; `false`: not in time.
fn wait(patterns: Vec<Pattern>, deadline: Option<model::time::Moment>) -> Result<bool, Failure> {
    let refused = |error| Failure::refused(format!("cannot wait: {error}"));
    let signals = watch::ending_signals().map_err(refused)?;
    match events::wait(patterns, Quorum::All, deadline, signals, || {}).map_err(refused)? {
        Heard::Matched(_) => Ok(true),
        Heard::TimedOut => Ok(false),
        Heard::Signal(signal) => {
            watch::die_of(signal);
            Err(Failure::refused(format!("stopped by signal {signal}")))
        }
    }
}

fn command(scandir: &Path, letters: &[u8]) -> Result<(), Failure> {
    client::control_scan(scandir, letters).map_err(|error| match error {
        ControlError::NotSupervised => no_scan(scandir),
        ControlError::Refused(error) => {
            Failure::refused(format!("cannot control {}: {error}", scandir.display()))
        }
    })
}

fn no_scan(scandir: &Path) -> Failure {
    Failure::new(Exit::USAGE, format!("no supervisor runs on {}", scandir.display()))
        .hint("s6-svscan or ward init starts one")
}
