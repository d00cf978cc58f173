//! `s6-rc-update` and `s6-rc-format-upgrade`: go over to another database
//! while everything runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use engine::service::update::{self, Plan};
use model::service::conversion;
use model::service::database::{Database, Index};
use model::service::manager_request::{FromManager, Manner};
use os::service::database_file::DatabaseFile;
use os::service::manager_client::{AskError, Asking, Conversion, Heard, Wish};

use super::s6_rc::list::{open, read_database, read_state};
use crate::applets::change::{ended, print_line, say_step};
use crate::applets::plan::{self, OUT_OF_TIME};

pub const UPDATE: Command = Command {
    name: "s6-rc-update",
    summary: "Go over to another service database while everything runs",
    usage: "s6-rc-update [-n] [-v N] [-t MS] [-l LIVE] [-f CONVERSIONS] [-e | -E] [-b] NEWDB",
    options: &[
        Opt("-n, --dry-run", "Only print what would be stopped and started"),
        Opt("-v, --verbosity N", "0: only errors, 1: warnings too (default), 2: every step"),
        Opt("-t, --timeout MS", "Give up after this long (default: 0, never)"),
        Opt("-l, --livedir LIVE", "The live directory (default: /run/s6-rc)"),
        Opt("-f, --conversion-file FILE", "Lines `OLD -> NEW restart` or `OLD restart`"),
        Opt("-e, --force-essentials", "Stop essential services, too, where they changed"),
        Opt("-E, --no-force-essentials", "Leave essential services as they are (default)"),
        Opt("-b, --block", "Accepted; there is no lock to wait for"),
    ],
    about: "\
What is up stays up. A service that is the same in both databases, and needs \
only such services, is not touched; what changed is stopped before and started \
after the exchange, and so is what needs it. NEWDB is checked before anything \
stops; where something does not stop, everything is started again and the old \
database stays in use.

Exit codes: 0 done; 1 the new database is in use, but not everything came up; 2 the same, for \
want of time; 3 a conversion names what is not there; 4 a database is damaged; 5 a conversion \
names a bundle; 6 it names something twice; 9 not everything stopped, the old database is in use; \
10 the same, for want of time; 100 wrong usage; 111 the system refused.",
    run,
};

pub const FORMAT_UPGRADE: Command = Command {
    name: "s6-rc-format-upgrade",
    summary: "Go over to the same services in a newly compiled database",
    usage: "s6-rc-format-upgrade [-v N] [-t MS] [-l LIVE] [-b] NEWDB",
    options: &[
        Opt("-v, --verbosity N", "0: only errors, 1: warnings too (default), 2: every step"),
        Opt("-t, --timeout MS", "Give up after this long (default: 0, never)"),
        Opt("-l, --livedir LIVE", "The live directory (default: /run/s6-rc)"),
        Opt("-b, --block", "Accepted; there is no lock to wait for"),
    ],
    about: "\
For a database that was compiled again from the same sources by another \
release. No service is restarted.",
    run: upgrade,
};

struct Options {
    live: PathBuf,
    verbosity: u32,
    timeout: u32,
    dry_run: bool,
    essential: bool,
    as_is: bool,
    conversions: Vec<Conversion>,
}

impl Options {
    fn new(as_is: bool) -> Self {
        Self {
            live: "/run/s6-rc".into(),
            verbosity: 1,
            timeout: 0,
            dry_run: false,
            essential: false,
            as_is,
            conversions: Vec::new(),
        }
    }
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut options = Options::new(false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "n" | "dry-run" => options.dry_run = true,
            "v" | "verbosity" => options.verbosity = args.parsed()?,
            "t" | "timeout" => options.timeout = args.parsed()?,
            "l" | "livedir" => options.live = args.value()?.into(),
            "f" | "conversion-file" => {
                options.conversions = read_conversions(Path::new(&args.value()?))?;
            }
            "e" | "force-essentials" => options.essential = true,
            "E" | "no-force-essentials" => options.essential = false,
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    update(args, &options, out)
}

fn upgrade(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut options = Options::new(true);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" | "verbosity" => options.verbosity = args.parsed()?,
            "t" | "timeout" => options.timeout = args.parsed()?,
            "l" | "livedir" => options.live = args.value()?.into(),
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    update(args, &options, out)
}

/// The lines of a conversion file.
fn read_conversions(path: &Path) -> Result<Vec<Conversion>, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    conversion::parse(&text).map_err(|error| Failure::usage(format!("{}:{error}", path.display())))
}

fn update(args: &mut Args, options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let directory = PathBuf::from(args.operand().ok_or_else(|| Failure::usage("it needs NEWDB"))?);
    if !directory.is_absolute() {
        return Err(Failure::usage(format!("{} must be absolute", directory.display())));
    }
    if options.dry_run {
        return dry_run(options, &directory, out);
    }
    let database = directory.to_str().ok_or_else(|| Failure::usage("NEWDB is not UTF-8"))?;
    let files = [&options.live.join("compiled"), &directory].map(|path| DatabaseFile::read(path));
    let databases = files.iter().filter_map(|file| file.as_ref().ok()?.database().ok());
    let mut scripts: Vec<&str> = Vec::new();
    for database in databases {
        let oneshots = database.services().skip(database.longruns());
        scripts.extend(oneshots.map(|service| service.name()));
    }
    scripts.sort_unstable();
    scripts.dedup();
    let manner =
        Manner { essential: options.essential, detail: options.verbosity > 1, ..Manner::default() };
    let (as_is, conversions) = (options.as_is, &options.conversions[..]);
    let asking = Asking {
        live: &options.live,
        names: &[],
        wish: Wish::Update { database, manner, as_is, conversions },
        limit: (options.timeout != 0).then(|| Duration::from_millis(options.timeout.into())),
        followed: &scripts,
        ticks: false,
        patient: true,
    };
    let mut switched = false;
    let ending = asking.ask(&mut |heard| match heard {
        Heard::Manager(FromManager::Switched { .. }) => {
            switched = true;
            if options.verbosity > 1 {
                eprintln!("{}: info: {database} is in use", args.name);
            }
        }
        Heard::Manager(message) => say_step(&args.name, &message, options.verbosity),
        Heard::Line(line) => print_line(line, out),
        Heard::Quiet => {}
    });
    let ending = match ending {
        Err(error @ AskError::TimedOut) if !switched => {
            return Err(Failure::new(OUT_OF_TIME, error));
        }
        ending => ending.or_else(|error| ended(error, &options.live))?,
    };
    if ending.exit == 2 && options.verbosity > 0 {
        eprintln!("{}: fatal: the time is over", args.name);
    }
    Ok(Exit(ending.exit))
}

/// Prints the changes that an update would ask for.
fn dry_run(options: &Options, directory: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    let before = read_database(&options.live)?;
    let old = open(&before)?;
    let state = read_state(&options.live, old.len())?;
    let name = directory.display().to_string();
    let after = DatabaseFile::read(directory).map_err(|error| plan::unreadable(&name, &error))?;
    let new = after.database().map_err(|error| plan::unusable(&name, &error))?;
    let conversions = plan::resolve(&options.conversions, &old, &new)?;
    let manner = update::Manner { essential: options.essential, as_is: options.as_is };
    let Plan { stop, start, .. } = plan::plan(&old, &new, &state, &conversions, manner)?;
    let mut line = |database: &Database<'_>, direction: &str, services: &[Index]| {
        write!(
            out,
            "s6-rc-update: dry run: s6-rc -l {} {direction} change",
            options.live.display()
        )?;
        for index in services {
            write!(out, " {}", database.service(*index).name())?;
        }
        writeln!(out)
    };
    line(&old, if options.essential { "-D" } else { "-d" }, &stop)?;
    line(&new, "-u", &start)?;
    Ok(Exit::DONE)
}
