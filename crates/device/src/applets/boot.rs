//! `ward boot`: what init runs first. It makes the live directory and brings
//! the first bundle up.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt};
use model::deploy::phases::{Phase, reached, report};
use model::service::manager_request::{FromManager, Manner, Step, Verb};
use os::deploy::phases;
use os::service::manager_client::Heard;

use super::change::{Change, say_step};
use super::json::Object;
use super::peers::s6_rc_init::{Request, make_live};

pub const COMMAND: Command = Command {
    name: "boot",
    summary: "Make the live directory and bring the first bundle up",
    usage: "ward boot [-c DATABASE] [-l LIVE] [-b BUNDLE] [-g GROUP] [--phases] SCANDIR",
    options: &[
        Opt("-c DATABASE", "The compiled database (/etc/s6-rc/compiled/current)"),
        Opt("-l LIVE", "The live directory to make (/run/s6-rc)"),
        Opt("-b BUNDLE", "The bundle to bring up (default)"),
        Opt("-g GROUP", "Only members of this group may ask how things are (by number)"),
        Opt("--phases", "Note when the bundle is up, and tell how long the device took to start"),
    ],
    about: "`ward init` runs this by itself. Exit codes are those of s6-rc-init and s6-rc.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut request = Request {
        database: "/etc/s6-rc/compiled/current".into(),
        live: "/run/s6-rc".into(),
        prefix: String::new(),
        scandir: PathBuf::new(),
        readers: None,
    };
    let mut bundle = String::from("default");
    let mut tell = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "c" => request.database = args.value()?.into(),
            "l" => request.live = args.value()?.into(),
            "b" => bundle = args.text()?,
            "g" => request.readers = Some(args.parsed()?),
            "phases" => tell = true,
            _ => return Err(args.unknown(&option)),
        }
    }
    request.scandir = args.operand().ok_or_else(|| Failure::usage("it needs a scandir"))?.into();
    // What the machine has booted stays what is running, wherever links lead
    // by then: they are changed before s6-rc-update hears of it.
    if let Ok(real) = request.database.canonicalize() {
        request.database = real;
    }
    let outcome = make_live(&request).and_then(|_| bring_up(&request.live, &bundle, tell));
    if tell {
        let is_up = matches!(outcome, Ok(Exit::DONE));
        tell_phases(if is_up { Phase::Up } else { Phase::Failed });
    }
    outcome
}

/// Notes how the start of the device ended, and tells in one line what took how long.
fn tell_phases(end: Phase) {
    if let Some(report) = phases::end(end, os::clock::now()).as_deref().and_then(report) {
        eprintln!("{report}");
        if os::namespace::is_machines() {
            os::files::say_on_console(&format!("ward: {report}\n"));
        }
    }
}

fn bring_up(live: &Path, bundle: &str, tell: bool) -> Result<Exit, Failure> {
    let change = Change {
        live,
        verb: Verb::Up,
        manner: Manner::default(),
        names: &[bundle],
        limit: None,
        scripts: false,
        ticks: false,
    };
    let ending = change.ask(&mut |heard| {
        if let Heard::Manager(message) = heard {
            say_step("boot", &message, 1);
            // Where the network has not come up, nobody can read the log.
            if let FromManager::Step { name, step: Step::Failed(reason), .. } = &message
                && tell
                && os::namespace::is_machines()
            {
                os::files::say_on_console(&format!("ward: {name}: {reason}\n"));
            }
        }
    })?;
    Ok(Exit(ending.exit))
}

/// `ward phases`: when the device that started had come how far.
pub const PHASES: Command = Command {
    name: "phases",
    summary: "Show how long the start of the device took",
    usage: "ward phases [--json]",
    options: &[Opt("--json", "Print an array with one object for each phase")],
    about: "\
Early boot and `ward boot` note in /run/boot-phases when a phase was reached, a \
line each: kernel (ward begins in the ramdisk), root (the root file system is \
mounted), generation (ward of the generation begins), init (all is prepared for \
the first service), and up or failed (the first bundle). Exit codes: 0 it is \
told, 1 nothing was noted.",
    run: run_phases,
};

fn run_phases(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut json = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            other => return Err(args.unknown(other)),
        }
    }
    let noted = phases::noted().unwrap_or_default();
    let Some(report) = report(&noted) else {
        return Err(Failure::not_achieved("this device was not started by ward's early boot"));
    };
    if json {
        let all = reached(&noted).map(|(phase, at)| {
            let mut object = Object::begin();
            object.text("phase", phase);
            object.number("at_ms", at);
            object.end()
        });
        writeln!(out, "[{}]", all.collect::<Vec<_>>().join(",\n "))?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(Exit::DONE)
}
