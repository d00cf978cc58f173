//! `s6-applyuidgid`: run a program under user and group numbers.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use cli::{Args, Command, Exit, Failure, Opt};
use os::account::{number, number_list};
use os::sys::account;
use os::sys::exec::Environment;

use super::s6_setuidgid::refused;
use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-applyuidgid",
    summary: "Run a program under these user and group numbers",
    usage: "s6-applyuidgid [-z] [-u UID] [-g GID] [-G GIDLIST] [-U] PROG...",
    options: &[
        Opt("-u UID", "The user"),
        Opt("-g GID", "The group"),
        Opt("-G GIDLIST", "The supplementary groups, between commas"),
        Opt("-U", "All three from the variables UID, GID and GIDLIST; later options win"),
        Opt("-z", "Take these variables out of the program's environment"),
    ],
    about: "Exit codes: those of PROG; 100 wrong usage; 111 refused; \
            126 and 127 if PROG cannot be run.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut user, mut group, mut groups, mut unexport) = (None, None, None, false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "u" => user = Some(one("the user", &args.value()?)?),
            "g" => group = Some(one("the group", &args.value()?)?),
            "G" => groups = Some(list("the list of groups", &args.value()?)?),
            "U" => {
                user = Some(one("$UID", &variable("UID")?)?);
                group = Some(one("$GID", &variable("GID")?)?);
                groups = Some(list("$GIDLIST", &variable("GIDLIST")?)?);
            }
            "z" => unexport = true,
            _ => return Err(args.unknown(&option)),
        }
    }
    let words = chain::program(args)?;
    account::become_user(user, group, groups.as_deref()).map_err(refused)?;
    if !unexport {
        return chain::into(&words, None);
    }
    let mut environment = Environment::own();
    for variable in ["UID", "GID", "GIDLIST"] {
        environment.remove(OsStr::new(variable));
    }
    chain::into(&words, Some(&environment))
}

fn variable(name: &str) -> Result<OsString, Failure> {
    std::env::var_os(name).ok_or_else(|| Failure::usage(format!("${name} is not set")))
}

fn one(what: &str, text: &OsStr) -> Result<u32, Failure> {
    number(text.as_bytes())
        .ok_or_else(|| Failure::usage(format!("{what} is {:?}, not a number", text.display())))
}

fn list(what: &str, text: &OsStr) -> Result<Vec<u32>, Failure> {
    number_list(text.as_bytes()).ok_or_else(|| {
        Failure::usage(format!("{what} is {:?}, not numbers between commas", text.display()))
    })
}
