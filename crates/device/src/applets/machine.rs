//! Asking init to end the machine, or to start itself anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::request::{End, ToInit};
use os::service::{init_client::Client, live_dir};

const SCANDIR: Opt = Opt("-s SCANDIR", "The scandir of the init to ask (/run/service)");

pub const REBOOT: Command = Command {
    name: "reboot",
    summary: "Bring every service down in order, then reboot",
    usage: "reboot [-s SCANDIR]",
    options: &[SCANDIR],
    about: "",
    run: |args, _| shutdown(args, End::Reboot),
};

pub const POWEROFF: Command = Command {
    name: "poweroff",
    summary: "Bring every service down in order, then switch the power off",
    usage: "poweroff [-s SCANDIR]",
    options: &[SCANDIR],
    about: "",
    run: |args, _| shutdown(args, End::PowerOff),
};

pub const HALT: Command = Command {
    name: "halt",
    summary: "Bring every service down in order, then halt",
    usage: "halt [-s SCANDIR]",
    options: &[SCANDIR],
    about: "",
    run: |args, _| shutdown(args, End::Halt),
};

pub const REEXEC: Command = Command {
    name: "reexec",
    summary: "Start init anew, from the same or a newer program, without any service noticing",
    usage: "ward reexec [-s SCANDIR] [--fault] [PROGRAM]",
    options: &[SCANDIR, Opt("--fault", "Make init fall with a real SIGSEGV, to see it survive")],
    about: "PROGRAM is an absolute path; without it, init starts the program it already is.",
    run: reexec,
};

fn connect(scandir: &Path) -> Result<Client, Failure> {
    Client::connect(&scandir.join(live_dir::INIT)).map_err(|error| {
        Failure::refused(format!("cannot reach init at {}: {error}", scandir.display()))
            .hint("-s names the scandir it serves; only root and its owner may ask")
    })
}

fn shutdown(args: &mut Args, end: End) -> Result<Exit, Failure> {
    let mut scandir = PathBuf::from("/run/service");
    while let Some(option) = args.option()? {
        match option.as_str() {
            "s" => scandir = args.value()?.into(),
            _ => return Err(args.unknown(&option)),
        }
    }
    connect(&scandir)?.ask(&ToInit::Shutdown { end }).map_err(Failure::refused)?;
    Ok(Exit::DONE)
}

fn reexec(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut scandir = PathBuf::from("/run/service");
    let mut fault = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "s" => scandir = args.value()?.into(),
            "fault" => fault = true,
            _ => return Err(args.unknown(&option)),
        }
    }
    let program = args.operand();
    let program = program.as_deref().map(cli::text).transpose()?;
    let message = if fault { ToInit::Fault } else { ToInit::Reexec { program } };
    match connect(&scandir)?.ask(&message) {
        // Init fell before it could answer: that was asked for.
        Err(os::service::init_client::AskError::Io(_)) if fault => {}
        outcome => outcome.map_err(Failure::refused)?,
    }
    // It listens again once it is back.
    connect_again(&scandir)
}

fn connect_again(scandir: &Path) -> Result<Exit, Failure> {
    let mut wait = std::time::Duration::from_millis(1);
    loop {
        match connect(scandir) {
            Ok(_) => return Ok(Exit::DONE),
            Err(failure) if wait > std::time::Duration::from_secs(4) => return Err(failure),
            Err(_) => std::thread::sleep(wait),
        }
        wait *= 2;
    }
}
