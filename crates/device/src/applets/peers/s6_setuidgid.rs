//! `s6-setuidgid`: run a program as another user.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use cli::{Args, Command, Exit, Failure};
use os::account::{Accounts, User, number};
use os::sys::account;
use os::sys::exec::Environment;

use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-setuidgid",
    summary: "Run a program as another user",
    usage: "s6-setuidgid ACCOUNT PROG...",
    options: &[],
    about: "ACCOUNT is the name of a user, or UID:GID in numbers; if it is empty, nothing changes. \
            The program gets the user's groups too, and no UID, GID or GIDLIST variable.\n\n\
            Exit codes: those of PROG; 1 there is no such user; 100 wrong usage; 111 refused; \
            126 and 127 if PROG cannot be run.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let name = args.operand().ok_or_else(|| Failure::usage("the account is missing"))?;
    let words = chain::program(args)?;
    if name.is_empty() {
        return chain::into(&words, None);
    }
    let name = name.as_bytes();
    if let Some(colon) = name.iter().position(|&b| b == b':') {
        let user = match (number(&name[..colon]), number(&name[colon + 1..])) {
            (Some(user), Some(group)) => User { user, group },
            _ => return Err(Failure::usage("an account with a colon is UID:GID, in numbers")),
        };
        become_user(user, &[])?;
        return chain::into(&words, None);
    }
    let mut accounts = Accounts::default();
    let user = accounts.user(name)?.ok_or_else(|| unknown_user(name))?;
    let groups = accounts.groups_of(name)?;
    become_user(user, &groups)?;
    let mut environment = Environment::own();
    for variable in ["UID", "GID", "GIDLIST"] {
        environment.remove(OsStr::new(variable));
    }
    chain::into(&words, Some(&environment))
}

fn become_user(user: User, groups: &[u32]) -> Result<(), Failure> {
    account::become_user(Some(user.user), Some(user.group), Some(groups)).map_err(refused)
}

/// The kernel did not let us become somebody.
pub fn refused((what, error): (&str, std::io::Error)) -> Failure {
    let failure = Failure::refused(format!("cannot {what}: {error}"));
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint("only root may do this"),
        _ => failure,
    }
}

pub fn unknown_user(name: &[u8]) -> Failure {
    let name = OsStr::from_bytes(name).display();
    Failure::not_achieved(format!("there is no user {name:?} in /etc/passwd"))
}
