//! Asking init to end the machine, or to start itself anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::request::{End, ToInit};
use os::service::init_client::{AskError, Client};
use os::service::live_dir;

const SCANDIR: Opt = Opt("-s SCANDIR", "The scandir of the init to ask (/run/service)");

pub const REBOOT: Command = Command {
    name: "reboot",
    summary: "Bring every service down in order, then reboot",
    usage: "reboot [-f] [-s SCANDIR]",
    options: &[
        Opt("-f, --hard", "Restart the machine, even where `levitate` has prepared maintenance"),
        SCANDIR,
    ],
    about: "After `levitate` it goes into maintenance instead, which is no restart of the machine.",
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

fn shutdown(args: &mut Args, mut end: End) -> Result<Exit, Failure> {
    let mut scandir = PathBuf::from("/run/service");
    while let Some(option) = args.option()? {
        match option.as_str() {
            "s" => scandir = args.value()?.into(),
            "f" | "hard" if end == End::Reboot => end = End::Hard,
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
    if let Some(program) = program {
        check_program(program)?;
    }
    let message = if fault { ToInit::Fault } else { ToInit::Reexec { program } };
    match connect(&scandir)?.ask(&message) {
        // Init fell before it could answer: that was asked for.
        Err(AskError::Io(_)) if fault => {}
        outcome => outcome.map_err(Failure::refused)?,
    }
    // It listens again once it is back.
    connect_again(&scandir)
}

/// Makes sure that a program is a `ward`: init becomes whatever it is given.
fn check_program(program: &str) -> Result<(), Failure> {
    if !program.starts_with('/') {
        return Err(Failure::usage(format!("{program} must be an absolute path")));
    }
    let said = std::process::Command::new(program).arg("--version").output();
    let said = said.map_err(|e| Failure::refused(format!("cannot execute {program}: {e}")))?;
    match said.stdout.starts_with(b"ward ") {
        true => Ok(()),
        false => Err(Failure::refused(format!("{program} is no ward; init stays what it is"))),
    }
}

fn connect_again(scandir: &Path) -> Result<Exit, Failure> {
    let mut wait = std::time::Duration::from_millis(1);
    loop {
        // Whoever gets an answer, even a refusal, has not been let in by the
        // program before.
        match connect(scandir).map(|mut init| init.ask(&ToInit::Release { live: "" })) {
            Ok(Ok(()) | Err(AskError::Refused(_))) => return Ok(Exit::DONE),
            outcome if wait > std::time::Duration::from_secs(4) => {
                return outcome?.map(|()| Exit::DONE).map_err(Failure::refused);
            }
            _ => std::thread::sleep(wait),
        }
        wait *= 2;
    }
}
