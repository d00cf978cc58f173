//! `ward boot`: what init runs first. It makes the live directory and brings
//! the first bundle up.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::manager_request::{Manner, Verb};
use os::service::manager_client::Heard;

use super::change::{Change, say_step};
use super::peers::s6_rc_init::{Request, make_live};

pub const COMMAND: Command = Command {
    name: "boot",
    summary: "Make the live directory and bring the first bundle up",
    usage: "ward boot [-c DATABASE] [-l LIVE] [-b BUNDLE] [-g GROUP] SCANDIR",
    options: &[
        Opt("-c DATABASE", "The compiled database (/etc/s6-rc/compiled/current)"),
        Opt("-l LIVE", "The live directory to make (/run/s6-rc)"),
        Opt("-b BUNDLE", "The bundle to bring up (default)"),
        Opt("-g GROUP", "Only members of this group may ask how things are (by number)"),
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
    while let Some(option) = args.option()? {
        match option.as_str() {
            "c" => request.database = args.value()?.into(),
            "l" => request.live = args.value()?.into(),
            "b" => bundle = args.text()?,
            "g" => request.readers = Some(args.parsed()?),
            _ => return Err(args.unknown(&option)),
        }
    }
    request.scandir = args.operand().ok_or_else(|| Failure::usage("it needs a scandir"))?.into();
    // What the machine has booted stays what is running, wherever links lead
    // by then: they are changed before s6-rc-update hears of it.
    if let Ok(real) = request.database.canonicalize() {
        request.database = real;
    }
    make_live(&request)?;
    let change = Change {
        live: &request.live,
        verb: Verb::Up,
        manner: Manner::default(),
        names: &[&bundle],
        limit: None,
        scripts: false,
        ticks: false,
    };
    let ending = change.ask(&mut |heard| {
        if let Heard::Manager(message) = heard {
            say_step("boot", &message, 1);
        }
    })?;
    Ok(Exit(ending.exit))
}
