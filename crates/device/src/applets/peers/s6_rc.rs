//! `s6-rc`: say what is up, and change it.

mod dry_run;
pub mod list;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::manager_request::{Manner, Verb};
use model::service::name::nearest;
use os::service::manager_client::Heard;

use crate::applets::change::{Change, print_line, say_step};

pub const COMMAND: Command = Command {
    name: "s6-rc",
    summary: "Say which services are up, and change it",
    usage: "s6-rc [-v N] [-n MS] [-t MS] [-l LIVE] [-a] [-u | -d | -D] [-p] [-b] [-e | -E] \
            help|list|listall|diff|change|start|stop|reload [NAME...]",
    options: &[
        Opt("-v, --verbosity N", "0: only errors, 1: warnings too (default), 2: every step"),
        Opt("-n, --dry-run MS", "Only print what would be done, each step in MS milliseconds"),
        Opt("-t, --timeout MS", "Give up after this long (default: 0, never)"),
        Opt("-l, --livedir LIVE", "The live directory (default: /run/s6-rc)"),
        Opt("-a, --all", "Add everything that is up to the names"),
        Opt("-u, --up", "Up: start, or look along the needs (default)"),
        Opt("-d, --down", "Down: stop, or look against the needs"),
        Opt("-D, --force-down", "Down, essential services too"),
        Opt("-p, --prune", "Bring all others to the opposite state, those that go down first"),
        Opt("-b, --block", "Accepted; there is no lock to wait for"),
        Opt("-e, --no-essentials", "Leave essential services out of lists"),
        Opt("-E, --essentials", "Do not leave them out (default)"),
    ],
    about: HELP,
    run,
};

const HELP: &str = "\
list [NAME...]     print the services that the names stand for (-d: all others)
listall [NAME...]  the same with all they need (-d: with all that needs them)
diff               print longruns that init keeps up (+) or down (-) unlike s6-rc
change NAME...     bring them up with all they need (-d: down with all that needs them)
start NAME...      the same as -u change
stop NAME...       the same as -d change
reload NAME...     have them read their settings again; they must be up

Any number of changes may go on at once. A newer one wins over an older one for \
the same service, and the older one says so.

Exit codes: 0 done; 1 something is not as asked for, or diff found something; 2 the time is \
over; 3 no such name; 4 the database is damaged; 100 wrong usage; 111 the system refused.";

const SUBCOMMANDS: [&str; 8] =
    ["change", "diff", "help", "list", "listall", "reload", "start", "stop"];

/// What was asked, besides names.
pub(super) struct Options {
    live: PathBuf,
    verbosity: u32,
    dry_run: Option<u64>,
    timeout: u32,
    all: bool,
    down: bool,
    essential: bool,
    prune: bool,
    hide_essential: bool,
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut options = Options {
        live: "/run/s6-rc".into(),
        verbosity: 1,
        dry_run: None,
        timeout: 0,
        all: false,
        down: false,
        essential: false,
        prune: false,
        hide_essential: false,
    };
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" | "verbosity" => options.verbosity = args.parsed()?,
            "n" | "dry-run" => options.dry_run = Some(args.parsed()?),
            "t" | "timeout" => options.timeout = args.parsed()?,
            "l" | "livedir" => options.live = args.value()?.into(),
            "a" | "all" => options.all = true,
            "u" | "up" => (options.down, options.essential) = (false, false),
            "d" | "down" => options.down = true,
            "D" | "force-down" => (options.down, options.essential) = (true, true),
            "p" | "prune" => options.prune = true,
            "b" | "block" => {}
            "e" | "no-essentials" => options.hide_essential = true,
            "E" | "essentials" => options.hide_essential = false,
            other => return Err(args.unknown(other)),
        }
    }
    let words: Vec<OsString> = args.rest();
    let words: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    let Some((&subcommand, names)) = words.split_first() else {
        return Err(Failure::usage("it needs a subcommand"));
    };
    match subcommand {
        "help" => {
            writeln!(out, "{}\n\nusage: {}\n\n{HELP}", COMMAND.summary, COMMAND.usage)?;
            Ok(Exit::DONE)
        }
        "list" | "listall" => list::list(&options, names, subcommand == "listall", out),
        "diff" => list::diff(&options, out),
        "change" => change(&options, names, out),
        "start" | "stop" => {
            options.down = subcommand == "stop";
            options.prune = false;
            change(&options, names, out)
        }
        "reload" => reload(&options, names, out),
        _ => {
            let failure = Failure::usage(format!("there is no subcommand {subcommand:?}"));
            Err(match nearest(subcommand, SUBCOMMANDS) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            })
        }
    }
}

fn change(options: &Options, names: &[&str], out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(throttle) = options.dry_run {
        return dry_run::print(options, names, Duration::from_millis(throttle), out);
    }
    let manner = Manner {
        all: options.all,
        prune: options.prune,
        essential: options.essential,
        detail: options.verbosity > 1,
        users: false,
    };
    ask(options, if options.down { Verb::Down } else { Verb::Up }, manner, names, out)
}

fn reload(options: &Options, names: &[&str], out: &mut dyn Write) -> Result<Exit, Failure> {
    let manner = Manner { all: options.all, detail: options.verbosity > 1, ..Manner::default() };
    ask(options, Verb::Reload, manner, names, out)
}

fn ask(
    options: &Options,
    verb: Verb,
    manner: Manner,
    names: &[&str],
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let limit = (options.timeout != 0).then(|| Duration::from_millis(options.timeout.into()));
    let change =
        Change { live: &options.live, verb, manner, names, limit, scripts: true, ticks: false };
    let ending = change.ask(&mut |heard| match heard {
        Heard::Manager(message) => say_step("s6-rc", &message, options.verbosity),
        Heard::Line(line) => print_line(line, out),
        Heard::Quiet => {}
    })?;
    if ending.exit == 2 && options.verbosity > 0 {
        eprintln!("s6-rc: fatal: the time is over");
    }
    Ok(Exit(ending.exit))
}
