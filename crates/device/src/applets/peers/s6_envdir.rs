//! `s6-envdir`: set environment variables from the files of a directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use model::environment::{Rule, names_variable, value};
use model::limits::{ENVDIR_CLAMP_BYTES, ENVIRONMENT_STRING_BYTES_MAX};
use os::sys::exec::Environment;

use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-envdir",
    summary: "Run a program with variables set from the files of a directory",
    usage: "s6-envdir [-I | -i] [-n] [-f] [-L] [-c CHAR] DIR PROG...",
    options: &[
        Opt("-i", "Give up where there is no DIR (default)"),
        Opt("-I", "Change nothing where there is no DIR"),
        Opt("-f", "The value is the whole file, without its last newline"),
        Opt("-n", "Keep blanks at the end of the line; with -f, the last newline"),
        Opt("-L", "Read more than the first 4095 bytes of a file"),
        Opt("-c CHAR", "What stands for a NUL (default: a newline)"),
    ],
    about: "Each file of DIR that is not hidden and has no = in its name sets the variable of \
            that name to its first line, without blanks at its end; an empty one takes the \
            variable away.\n\n\
            Exit codes: those of PROG; 100 wrong usage; 111 DIR or a file of it cannot be read; \
            126 and 127 if PROG cannot be run.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut loose, mut clamp, mut rule) = (false, true, Rule::default());
    while let Some(option) = args.option()? {
        match option.as_str() {
            "i" => loose = false,
            "I" => loose = true,
            "f" => rule.verbatim = true,
            "n" => rule.keep_end = true,
            "L" => clamp = false,
            "c" => {
                let text = args.value()?;
                let first = text.as_bytes().first();
                rule.null = *first.ok_or_else(|| Failure::usage("-c needs a character"))?;
            }
            _ => return Err(args.unknown(&option)),
        }
    }
    let folder = args.operand().ok_or_else(|| Failure::usage("the directory is missing"))?;
    let folder = Path::new(&folder);
    let words = chain::program(args)?;
    let entries = match std::fs::read_dir(folder) {
        Err(error) if loose && error.kind() == io::ErrorKind::NotFound => {
            return chain::into(&words, None);
        }
        read => read.map_err(|error| unreadable(folder, &error))?,
    };
    let mut environment = Environment::own();
    for entry in entries {
        let name = entry.map_err(|error| unreadable(folder, &error))?.file_name();
        if names_variable(name.as_bytes()) {
            let path = folder.join(&name);
            set(&mut environment, &name, &path, rule, clamp)
                .map_err(|error| unreadable(&path, &error))?;
        }
    }
    chain::into(&words, Some(&environment))
}

/// Sets the variable that one file gives.
fn set(
    environment: &mut Environment,
    name: &OsStr,
    path: &Path,
    rule: Rule,
    clamp: bool,
) -> io::Result<()> {
    let bound = if clamp { ENVDIR_CLAMP_BYTES } else { ENVIRONMENT_STRING_BYTES_MAX };
    let mut bytes = Vec::new();
    File::open(path)?.take(bound as u64).read_to_end(&mut bytes)?;
    match value(&bytes, rule) {
        None => environment.remove(name),
        Some(value) if value.len() + name.len() + 1 < ENVIRONMENT_STRING_BYTES_MAX => {
            environment.set(name, &value);
        }
        Some(_) => return Err(io::Error::other("Linux has no room for so long a variable")),
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::refused(format!("cannot read {}: {error}", path.display()))
}
