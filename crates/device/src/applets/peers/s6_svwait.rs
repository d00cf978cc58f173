//! `s6-svwait`, `s6-svlisten`, `s6-svlisten1`: wait for the state of services.

use std::io::Write;

use cli::{Args, Command, Exit, Failure};

use super::waiting::{self, EXIT_CODES, OPTIONS, Wish};

pub const SVWAIT: Command = Command {
    name: "s6-svwait",
    summary: "Wait until services are in a state",
    usage: "s6-svwait [-u | -U | -d | -D | -r | -R] [-a | -o] [-t MS] SERVICEDIR...",
    options: OPTIONS,
    about: EXIT_CODES,
    run: svwait,
};

pub const SVLISTEN: Command = Command {
    name: "s6-svlisten",
    summary: "Run a program and wait until services are in a state",
    usage: "s6-svlisten [-u | -U | -d | -D | -r | -R] [-a | -o] [-t MS] { SERVICEDIR... } PROG...",
    options: OPTIONS,
    about: EXIT_CODES,
    run: svlisten,
};

pub const SVLISTEN1: Command = Command {
    name: "s6-svlisten1",
    summary: "Run a program and wait until a service is in a state",
    usage: "s6-svlisten1 [-u | -U | -d | -D | -r | -R] [-t MS] SERVICEDIR PROG...",
    options: OPTIONS,
    about: EXIT_CODES,
    run: svlisten1,
};

fn svwait(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let wish = Wish::read(args)?;
    let dirs = args.rest();
    if dirs.is_empty() || wish.reached_already(&dirs) {
        return Ok(Exit::DONE);
    }
    let watched = waiting::watch(&dirs, wish.goal)?;
    wish.wait(watched, None)
}

fn svlisten(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let wish = Wish::read(args)?;
    let (dirs, program) = waiting::block(args.rest())?;
    if dirs.is_empty() {
        return Err(waiting::become_program(&program));
    }
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    let watched = waiting::watch(&dirs, wish.goal)?;
    let child = waiting::spawn(&program)?;
    wish.wait(watched, Some(child))
}

fn svlisten1(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let wish = Wish::read(args)?;
    let dir = args.operand().ok_or_else(|| Failure::usage("no service directory is named"))?;
    let program = args.rest();
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    let watched = waiting::watch(&[dir], wish.goal)?;
    let child = waiting::spawn(&program)?;
    wish.wait(watched, Some(child))
}
