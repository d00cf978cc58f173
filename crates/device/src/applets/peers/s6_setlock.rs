//! `s6-setlock`: run a program that holds a lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use os::sys::lock::{self, Wait};

use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-setlock",
    summary: "Run a program that holds a lock on a file",
    usage: "s6-setlock [-n | -N | -t MS] [-r | -w] [-d FD] FILE PROG...",
    options: &[
        Opt("-n", "Give up at once if it is locked"),
        Opt("-N", "Wait as long as it is locked (default)"),
        Opt("-t MS", "Give up after this many milliseconds"),
        Opt("-r", "Share the lock with others that do"),
        Opt("-w", "Share it with nobody (default)"),
        Opt("-d FD", "The program finds the locked file as this descriptor"),
    ],
    about: "The file is made if it is not there. The lock goes when the program ends, or closes \
            the file.\n\n\
            Exit codes: those of PROG; 1 it is locked; 100 wrong usage; 111 refused; \
            126 and 127 if PROG cannot be run.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut wait, mut shared, mut descriptor) = (Wait::Ever, false, None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "n" => wait = Wait::No,
            "N" => wait = Wait::Ever,
            "t" => wait = Wait::For(Duration::from_millis(args.parsed::<u32>()?.into())),
            "r" => shared = true,
            "w" => shared = false,
            "d" => descriptor = Some(i32::from(args.parsed::<u16>()?)),
            _ => return Err(args.unknown(&option)),
        }
    }
    let path = args.operand().ok_or_else(|| Failure::usage("the file to lock is missing"))?;
    let path = Path::new(&path);
    let words = chain::program(args)?;
    let cannot =
        |what: &str, error: io::Error| format!("cannot {what} {}: {error}", path.display());

    let file = open(path, shared).map_err(|e| Failure::refused(cannot("open", e)))?;
    // Before locking: closing any other descriptor of it would unlock it.
    let file = lock::leave_open(file, descriptor)
        .map_err(|e| Failure::refused(cannot("give a descriptor to", e)))?;
    lock::take(file, shared, wait).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Failure::not_achieved(format!(
            "cannot lock {}: another process holds it",
            path.display()
        )),
        _ => Failure::not_achieved(cannot("lock", error)),
    })?;
    chain::into(&words, None)
}

/// Opens for what the kind of lock needs, and never waits for it.
fn open(path: &Path, shared: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(os::sys::lock::NONBLOCK);
    if !shared {
        return options.write(true).create(true).truncate(false).open(path);
    }
    match options.read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).open(path).map(drop).or_else(
                |error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Ok(()), // somebody else just did
                    _ => Err(error),
                },
            )?;
            options.open(path)
        }
        opened => opened,
    }
}
