//! `ward init`, `s6-svscan` and `s6-supervise`: the root of a tree, in three
//! of its names.

mod conversation;
pub mod early;
mod ending;
mod orders;
mod program;
mod ramdisk;
mod relief;
mod server;
mod soft_restart;
mod tried;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt};

use super::logger;

/// What a tree is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub kind: Kind,
    pub scandir: PathBuf,
    /// A newline goes there once orders are heard.
    pub notify: Option<i32>,
    /// The console that `s6-svscan-log` complains to.
    pub console: Option<i32>,
    pub services_max: usize,
    /// Milliseconds from one scan to the next; 0: only when told.
    pub rescan: u64,
    pub boot: Boot,
    /// Members of this group may ask how things are.
    pub readers: Option<u32>,
    /// The table of the program before this one.
    pub resume: Option<i32>,
    /// Leave instead of rebooting the machine, even as pid 1.
    pub container: bool,
    /// What was said before there was a log.
    pub said: Vec<String>,
    /// The watchdog that the program before this one looked after.
    pub watchdog: Option<i32>,
    /// In maintenance: when the machine restarts if nobody has come, in nanoseconds since it started.
    pub nobody_until: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ward init`: logs everything, and boots.
    Init,
    /// `s6-svscan`: a scandir.
    Svscan,
    /// `s6-supervise`: one service directory.
    Supervise,
}

/// What is brought up first.
#[derive(Clone, Debug)]
pub struct Boot {
    pub database: PathBuf,
    pub live: PathBuf,
    pub bundle: String,
    pub logs: PathBuf,
    /// How much of it is kept, as options of the logger.
    pub kept: Vec<OsString>,
}

pub const INIT: Command = Command {
    name: "init",
    summary: "Be the root of a tree of services: boot it, keep it up, bring it down",
    usage: "ward init [-c DATABASE] [-l LIVE] [-b BUNDLE] [-L LOGDIR] [-s SIZE] [-n COUNT] [-t TOTAL] [-r SECONDS] [-x COMMAND] [-p FILE] [-g GROUP] [--container] [SCANDIR]",
    options: &[
        Opt("-c DATABASE", "The compiled database to boot (/etc/s6-rc/compiled/current)"),
        Opt("-l LIVE", "The live directory to make (/run/s6-rc)"),
        Opt("-b BUNDLE", "The bundle to bring up (default)"),
        Opt("-L LOGDIR", "Where everything is logged (/run/uncaught-logs)"),
        Opt("-s SIZE", "Begin a new file of the log near this many bytes (99999)"),
        Opt("-n COUNT", "Keep this many finished files of it (10)"),
        Opt("-t TOTAL, -r SECONDS, -x COMMAND", "More of that: options of the logger"),
        Opt("-p FILE", "Log here, too: /dev/pmsg0, which outlives a restart"),
        Opt("-g GROUP", "Only members of this group may ask how things are (by number)"),
        Opt("-d FD", "Write a newline there once orders are heard"),
        Opt("--container", "As pid 1, leave at the end instead of rebooting"),
        Opt(
            "--watchdog FD",
            "Feed the watchdog that is open there, until `ward watchdog` takes it",
        ),
        Opt(
            "--nobody-until NANOSECONDS",
            "Reboot then (CLOCK_BOOTTIME) unless `levitate --stay` was said",
        ),
    ],
    about: "\
SCANDIR is /run/service unless given; it is made if it is missing.

As pid 1 of a machine it first does what the ramdisk or the generation that it \
was started from wants done: modules, mounts, files (docs/formats/system.md).

SIGTERM and SIGINT bring everything down in order and end: as pid 1 with a \
reboot (SIGTERM: into the maintenance system that levitate has prepared, where it \
has), with SIGUSR1 with a halt and with SIGUSR2 or SIGPWR with a power-off; \
elsewhere, and with --container, with exit code 0. SIGHUP and SIGALRM scan \
the scandir. After a fault it starts itself anew: no service notices.",
    run: run_init,
};

pub const SVSCAN: Command = Command {
    name: "s6-svscan",
    summary: "Keep the services of a scan directory up",
    usage: "s6-svscan [-d FD] [-X FD] [-C MAX] [-L NAMEMAX] [-t MS] [SCANDIR]",
    options: &[
        Opt("-d FD", "Write a newline there once orders are heard"),
        Opt("-X FD", "The console for a service named s6-svscan-log"),
        Opt("-C MAX", "At most so many services (1000); -c is the same"),
        Opt("-L NAMEMAX", "Accepted: names may have any length a file's may"),
        Opt("-t MS", "Scan again after so many milliseconds (0: when told)"),
    ],
    about: "\
All services are supervised by this one process. Exit codes: 0 told to end \
(or what .s6-svscan/finish says), 100 wrong usage or already running, 111 \
the system refused.",
    run: run_svscan,
};

pub const SUPERVISE: Command = Command {
    name: "s6-supervise",
    summary: "Keep one service up",
    usage: "s6-supervise SERVICEDIR",
    options: &[],
    about: "Exit codes: 0 told to end, 100 wrong usage or already supervised, 111 the system refused.",
    run: run_supervise,
};

fn run_init(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    start(args, Kind::Init)
}

fn run_svscan(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    start(args, Kind::Svscan)
}

fn run_supervise(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    start(args, Kind::Supervise)
}

fn start(args: &mut Args, kind: Kind) -> Result<Exit, Failure> {
    // The words are needed again, should it have to start itself anew.
    let mut words = args.rest();
    let mut said = Vec::new();
    let resumes = words.first().is_some_and(|word| word == "--resume");
    if kind == Kind::Init && std::process::id() == 1 && !resumes {
        if ramdisk::is_here() {
            return Err(ramdisk::leave());
        }
        let levitated = words.first().is_some_and(|word| word == soft_restart::ARRIVES);
        if levitated {
            words.remove(0);
            soft_restart::arrive(&mut words)?;
        }
        if let Some(generation) = early::generation_of(&args.called) {
            said = tried::choose(&generation, &words);
            said.iter().for_each(|text| early::say(text));
            let early = early::prepare(&generation);
            words.splice(0..0, early.words);
            said.extend(early.said);
            if let Err(trouble) = tried::prepare(&generation) {
                early::say(&trouble.to_string());
                said.push(trouble.to_string());
            }
        }
        if levitated {
            soft_restart::settle(&mut words, &mut said);
        }
    }
    let mut args = Args::new(&args.name, words.iter().cloned());
    let config = parse(&mut args, kind)?;
    program::run(Config { said, ..config }, &args.name, words)
}

fn parse(args: &mut Args, kind: Kind) -> Result<Config, Failure> {
    let mut config = Config {
        kind,
        scandir: PathBuf::from(if kind == Kind::Init { "/run/service" } else { "." }),
        notify: None,
        console: None,
        services_max: if kind == Kind::Supervise { 1 } else { 1000 },
        rescan: 0,
        boot: Boot {
            database: "/etc/s6-rc/compiled/current".into(),
            live: "/run/s6-rc".into(),
            bundle: "default".into(),
            logs: logger::DIRECTORY.into(),
            kept: Vec::new(),
        },
        readers: None,
        resume: None,
        container: false,
        said: Vec::new(),
        watchdog: None,
        nobody_until: None,
    };
    while let Some(option) = args.option()? {
        match (kind, option.as_str()) {
            (_, "resume") => config.resume = Some(args.parsed()?),
            (Kind::Init, "c" | "database") => config.boot.database = args.value()?.into(),
            (Kind::Init, "l" | "live") => config.boot.live = args.value()?.into(),
            (Kind::Init, "b" | "bundle") => config.boot.bundle = args.text()?,
            (Kind::Init, "L" | "logs") => config.boot.logs = args.value()?.into(),
            (Kind::Init, "s") => {
                let bytes = logger::file_bytes(args)?.to_string();
                config.boot.kept.extend(["-s".into(), bytes.into()]);
            }
            (Kind::Init, "n") => {
                let count: u32 = args.parsed()?;
                config.boot.kept.extend(["-n".into(), count.to_string().into()]);
            }
            (Kind::Init, "p" | "r" | "t" | "x") => {
                config.boot.kept.extend([format!("-{option}").into(), args.value()?]);
            }
            (Kind::Init, "g" | "group") => config.readers = Some(args.parsed()?),
            (Kind::Init, "container") => config.container = true,
            (Kind::Init, "watchdog") => config.watchdog = Some(args.parsed()?),
            (Kind::Init, "nobody-until") => config.nobody_until = Some(args.parsed()?),
            (Kind::Init | Kind::Svscan, "d" | "notification-fd") => {
                let fd: i32 = args.parsed()?;
                if fd < 3 {
                    return Err(Failure::usage("the notification descriptor is 3 or more"));
                }
                config.notify = Some(fd);
            }
            (Kind::Svscan, "X" | "consoleholder") => config.console = Some(args.parsed()?),
            (Kind::Svscan, "C" | "c" | "services-max") => config.services_max = args.parsed()?,
            (Kind::Svscan, "L" | "name-max") => drop(args.parsed::<u32>()?),
            (Kind::Svscan, "t" | "rescan") => config.rescan = args.parsed()?,
            (Kind::Svscan, "S" | "s") => {}
            _ => return Err(args.unknown(&option)),
        }
    }
    match args.operand() {
        Some(folder) => config.scandir = folder.into(),
        None if kind == Kind::Supervise => {
            return Err(Failure::usage("it needs a service directory"));
        }
        None => {}
    }
    if kind == Kind::Init {
        config.services_max = engine::service::init::SLOTS_MAX;
        for path in [&config.boot.live, &config.boot.database, &config.boot.logs] {
            absolute(path)?;
        }
    }
    Ok(config)
}

fn absolute(path: &Path) -> Result<(), Failure> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Failure::usage(format!("{} must be an absolute path", path.display())))
}
