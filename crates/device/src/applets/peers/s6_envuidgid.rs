//! `s6-envuidgid`: put the numbers of a user into the environment.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use cli::{Args, Command, Exit, Failure, Opt};
use os::account::{Accounts, number, number_list};
use os::sys::exec::Environment;

use super::s6_setuidgid::unknown_user;
use crate::applets::chain;

pub const COMMAND: Command = Command {
    name: "s6-envuidgid",
    summary: "Run a program with the numbers of a user in its environment",
    usage: "s6-envuidgid [-u | -g | -B] [-n] [-i | -D UID:GID:GIDLIST] ACCOUNT PROG...",
    options: &[
        Opt("-u", "ACCOUNT is a user; set only UID"),
        Opt("-g", "ACCOUNT is a group; set only GID"),
        Opt("-B", "ACCOUNT is USER:GROUP; set UID and GID"),
        Opt("-n", "What no file lists may be a number"),
        Opt("-i", "Exit 1 if the account is unknown (default)"),
        Opt("-D UID:GID:GIDLIST", "What to set if the account is unknown"),
    ],
    about: "Sets UID, GID and GIDLIST (the groups that list the user, between commas).\n\n\
            Exit codes: those of PROG; 1 the account is unknown; 100 wrong usage; 111 refused; \
            126 and 127 if PROG cannot be run.",
    run,
};

#[derive(Clone, Copy)]
enum What {
    All,
    User,
    Group,
    Both,
}

/// What to set where the account is unknown.
struct Default {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut what, mut numeric, mut default) = (What::All, false, None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "u" => what = What::User,
            "g" => what = What::Group,
            "B" => what = What::Both,
            "n" => numeric = true,
            "i" => default = None,
            "D" => default = Some(parse_default(args.value()?.as_bytes())?),
            _ => return Err(args.unknown(&option)),
        }
    }
    let account = args.operand().ok_or_else(|| Failure::usage("the account is missing"))?;
    let words = chain::program(args)?;
    let mut finder = Finder { accounts: Accounts::default(), numeric, default };
    let mut environment = Environment::own();
    finder.set(what, account.as_bytes(), &mut environment)?;
    chain::into(&words, Some(&environment))
}

fn parse_default(text: &[u8]) -> Result<Default, Failure> {
    let wrong = || Failure::usage("the default must be UID:GID:GIDLIST, in numbers");
    let mut parts = text.splitn(3, |&b| b == b':').chain([&b""[..]; 3]);
    let mut next = || parts.next().unwrap_or_default();
    let zero = |text: &[u8]| if text.is_empty() { Some(0) } else { number(text) };
    Ok(Default {
        user: zero(next()).ok_or_else(wrong)?,
        group: zero(next()).ok_or_else(wrong)?,
        groups: number_list(next()).ok_or_else(wrong)?,
    })
}

struct Finder {
    accounts: Accounts,
    numeric: bool,
    default: Option<Default>,
}

impl Finder {
    fn set(&mut self, what: What, account: &[u8], to: &mut Environment) -> Result<(), Failure> {
        match what {
            What::All => return self.set_all(account, to),
            What::User => put(to, "UID", &[self.user(account)?]),
            What::Group => put(to, "GID", &[self.group(account)?]),
            What::Both => {
                let mut parts = account.splitn(2, |&b| b == b':');
                let (user, group) = (parts.next().unwrap_or_default(), parts.next());
                // Nothing on one side of the colon is the default; nothing at
                // all is a user without a name.
                let default = self.default.as_ref().map_or((0, 0), |d| (d.user, d.group));
                let group = match group {
                    None | Some(b"") => default.1,
                    Some(name) => self.group(name)?,
                };
                let user = if account.starts_with(b":") { default.0 } else { self.user(user)? };
                put(to, "UID", &[user]);
                put(to, "GID", &[group]);
            }
        }
        Ok(())
    }

    fn set_all(&mut self, account: &[u8], to: &mut Environment) -> Result<(), Failure> {
        if let Some(user) = self.accounts.user(account)? {
            put(to, "UID", &[user.user]);
            put(to, "GID", &[user.group]);
            put(to, "GIDLIST", &self.accounts.groups_of(account)?);
            return Ok(());
        }
        let mut parts = account.split(|&b| b == b':');
        let (user, group) = (parts.next().and_then(number), parts.next());
        let group = group.map_or(Some(0), number);
        if let (true, Some(user), Some(group)) = (self.numeric, user, group) {
            put(to, "UID", &[user]);
            put(to, "GID", &[group]);
            return Ok(());
        }
        let default = self.default.as_ref().ok_or_else(|| unknown_user(account))?;
        put(to, "UID", &[default.user]);
        put(to, "GID", &[default.group]);
        put(to, "GIDLIST", &default.groups);
        Ok(())
    }

    fn user(&mut self, name: &[u8]) -> Result<u32, Failure> {
        let found = self.accounts.user(name)?.map(|user| user.user);
        let found = found.or_else(|| number(name).filter(|_| self.numeric));
        found.or(self.default.as_ref().map(|d| d.user)).ok_or_else(|| unknown_user(name))
    }

    fn group(&mut self, name: &[u8]) -> Result<u32, Failure> {
        let found = self.accounts.group(name)?;
        let found = found.or_else(|| number(name).filter(|_| self.numeric));
        found.or(self.default.as_ref().map(|d| d.group)).ok_or_else(|| {
            let name = OsStr::from_bytes(name).display();
            Failure::not_achieved(format!("there is no group {name:?} in /etc/group"))
        })
    }
}

/// Sets a variable to numbers between commas.
fn put(environment: &mut Environment, name: &str, numbers: &[u32]) {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    environment.set(OsStr::new(name), numbers.join(",").as_bytes());
}
