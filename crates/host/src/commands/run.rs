//! `doorward run`: boots a tree of services as pid 1 of its own namespaces,
//! gives a shell or runs one command in it, and takes it down.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, value_parser};
use cli::{Exit, Failure};
use model::service::database::Contents as Services;
use os::event_loop::{EventLoop, Readiness};
use os::sys::{children, signals};
use os::terminal::{self, Terminal};

use super::services;
use crate::router::identity;
use crate::router::root::{self, Contents};
use crate::router::snapshot::Snapshot;
use crate::say::{counted, say, shown};

/// How long a boot may take before the shell is given anyway.
const BOOT_MAX: Duration = Duration::from_secs(60);
/// How long services have to come down before they are killed.
const DOWN_MAX: Duration = Duration::from_secs(30);

const LIVE: &str = "/run/s6-rc";
const CONSOLE: &str = "/run/console";

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;

pub fn command() -> clap::Command {
    clap::Command::new("run")
        .about("Boot services as a pretend router on this machine, and give a shell in it")
        .long_about(
            "Boots services as a pretend router on this machine: ward is pid 1 of namespaces of \
             its own, with this machine's programs and nothing else of it. Gives a shell in it, \
             or runs COMMAND there and ends with its exit code. Nothing is left behind.",
        )
        .arg(
            Arg::new("SOURCE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A folder with one folder for each service; `default` is booted"),
        )
        .arg(
            Arg::new("ward")
                .long("ward")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The device's static ward [default: beside or below this program]"),
        )
        .arg(
            Arg::new("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
                .help("Run in it instead of a shell"),
        )
}

/// Boots, runs the command or a shell, takes it down; the command's exit code.
pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let source: &PathBuf = matches.get_one("SOURCE").ok_or_else(|| Failure::usage("run what?"))?;
    let words: Vec<OsString> = matches.get_many("COMMAND").into_iter().flatten().cloned().collect();
    let contents = prepare(source, &find_ward(matches.get_one("ward"))?)?;
    let booted = booted(&contents.compiled.contents)?;
    let signals = signals::read_from(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGWINCH])
        .map_err(|error| refused("read signals", &error))?;
    identity::leave()?;
    root::enter(&contents).map_err(|(path, error)| {
        refused("make the root directory", &error).hint(format!("it stopped at {}", path.display()))
    })?;
    drop(contents);

    let router = Router::start(signals, booted)?;
    let outcome = router.wait_until_up().and_then(|verdict| match verdict {
        Boot::Interrupted => Ok(Exit(130)),
        Boot::Ended => Err(router.ended()),
        Boot::Up | Boot::Late => router.use_it(&words),
    });
    router.take_down()?;
    outcome
}

fn refused(what: &str, error: &io::Error) -> Failure {
    Failure::refused(format!("cannot {what}: {error}"))
}

/// The device's program: named, or where `make install` and cargo put it.
fn find_ward(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return named.canonicalize().map_err(|e| refused(&format!("find {}", named.display()), &e));
    }
    let here = std::env::current_exe().map_err(|error| refused("find this program", &error))?;
    let built = here.parent().and_then(|folder| {
        let target = folder.parent()?.join("x86_64-unknown-linux-musl");
        Some(target.join(folder.file_name()?).join("ward"))
    });
    let installed = here
        .parent()
        .and_then(Path::parent)
        .map(|p| p.join("lib/doorward/x86_64-unknown-linux-musl/release/ward"));
    // One that was built for the device's C library lies where `ward` does.
    let beside = here.parent().map(|folder| folder.join("ward"));
    [installed, built, beside].into_iter().flatten().find(|path| path.exists()).ok_or_else(|| {
        Failure::usage("cannot find the device's ward").hint("`--ward FILE` names it")
    })
}

/// Reads all that the inside needs, and compiles the services.
fn prepare(source: &Path, ward: &Path) -> Result<Contents, Failure> {
    let list = Command::new(ward).args(["--list", "--links"]).output();
    let list = list.map_err(|error| refused(&format!("run {}", ward.display()), &error))?;
    let read = |path: &Path| {
        Snapshot::read(path).map_err(|error| refused(&format!("read {}", path.display()), &error))
    };
    let (tree, compiled) = services::compiled(&[source.to_owned()])?;
    Ok(Contents {
        applets: String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect(),
        tree,
        compiled,
        sources: read(source)?,
        ward: read(ward)?,
    })
}

/// How the boot went.
enum Boot {
    Up,
    /// Something is still down; the shell is there to see what.
    Late,
    /// The user wants no more of it.
    Interrupted,
    /// Pid 1 is gone, and everything with it.
    Ended,
}

struct Router {
    init: RefCell<Child>,
    signals: OwnedFd,
    started: Instant,
    /// What is up once the boot is over.
    booted: Vec<(String, usize)>,
}

impl Router {
    fn start(signals: OwnedFd, booted: Vec<(String, usize)>) -> Result<Self, Failure> {
        let started = Instant::now();
        let console = File::create(CONSOLE).map_err(|e| refused("make the console", &e))?;
        let copy = console.try_clone().map_err(|e| refused("make the console", &e))?;
        let mut command = Command::new(Path::new(root::WARD).join("ward"));
        command.arg("init").stdin(Stdio::null()).stdout(console).stderr(copy);
        command.env_clear().env("PATH", root::PATH);
        let init = os::sys::namespace::spawn_first(&mut command)
            .map_err(|error| refused("start pid 1", &error))?;
        Ok(Self { init: init.into(), signals, started, booted })
    }

    fn has_ended(&self) -> bool {
        !matches!(self.init.borrow_mut().try_wait(), Ok(None))
    }

    fn ended(&self) -> Failure {
        let said = fs::read_to_string(CONSOLE).unwrap_or_default();
        Failure::refused("pid 1 ended by itself").hint(said.trim())
    }

    fn wait_until_up(&self) -> Result<Boot, Failure> {
        loop {
            while let Ok(Some(signal)) = signals::next(self.signals.as_fd()) {
                if ![SIGCHLD, SIGWINCH].contains(&signal) {
                    return Ok(Boot::Interrupted);
                }
            }
            if self.has_ended() {
                return Ok(Boot::Ended);
            }
            let down = self.still_down();
            let took = self.started.elapsed();
            if down.is_empty() {
                say(format_args!(
                    "router is up: {} in {}",
                    counted(self.booted.len(), "service"),
                    shown(took)
                ));
                return Ok(Boot::Up);
            }
            if took > BOOT_MAX {
                say(format_args!("not up after {}: {}", shown(took), down.join(" ")));
                return Ok(Boot::Late);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The services of `default` that are not up: all, until there is a live directory.
    fn still_down(&self) -> Vec<&str> {
        let state = fs::read(Path::new(LIVE).join("state")).unwrap_or_default();
        let is_up = |place: usize| state.get(place).is_some_and(|byte| byte & 1 != 0);
        let down = self.booted.iter().filter(|(_, place)| !is_up(*place));
        down.map(|(name, _)| name.as_str()).collect()
    }

    fn use_it(&self, command: &[OsString]) -> Result<Exit, Failure> {
        let status = match command {
            [] if terminal::is_interactive() => self.shell(),
            [] => self.one(OsStr::new("/bin/sh"), &[]),
            [program, arguments @ ..] => self.one(program, arguments),
        }?;
        Ok(Exit(match (status.code(), status.signal()) {
            (Some(code), _) => code as u8,
            // As a shell says it.
            (None, signal) => 128 + signal.unwrap_or(0) as u8,
        }))
    }

    /// Runs one program on this standard input and output.
    fn one(&self, program: &OsStr, arguments: &[OsString]) -> Result<ExitStatus, Failure> {
        let child = inside(Command::new(program).args(arguments)).spawn();
        let mut child = child.map_err(|error| Failure {
            // What a shell answers for a program that it does not find.
            exit: Exit(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }),
            ..refused(&format!("run {}", program.display()), &error)
        })?;
        // An interrupt from the keyboard reaches the program by itself: that is
        // its to obey, and here only its end counts.
        loop {
            self.wait_for_signal()?;
            while let Ok(Some(signal)) = signals::next(self.signals.as_fd()) {
                if [SIGHUP, SIGTERM].contains(&signal) {
                    children::kill(child.id(), signal as u8, false);
                }
            }
            if let Some(status) = child.try_wait().map_err(|e| refused("wait for it", &e))? {
                return Ok(status);
            }
        }
    }

    fn wait_for_signal(&self) -> Result<(), Failure> {
        let waited = EventLoop::new().and_then(|mut events| {
            events.add(&self.signals, 0, Readiness::IN)?;
            events.wait(None)
        });
        waited.map(drop).map_err(|error| refused("wait for signals", &error))
    }

    /// Gives a shell on a terminal of its own.
    fn shell(&self) -> Result<ExitStatus, Failure> {
        say(format_args!(
            "this is a shell in it; `ward status` shows its services, `exit` ends it"
        ));
        let terminal = Terminal::new().map_err(|error| refused("make a terminal", &error))?;
        let seat = || terminal.seat.try_clone().map(Stdio::from);
        let seats = seat().and_then(|a| Ok((a, seat()?, seat()?)));
        let (stdin, stdout, stderr) = seats.map_err(|e| refused("make a terminal", &e))?;
        let mut command = Command::new("/bin/sh");
        inside(&mut command).arg("-i").stdin(stdin).stdout(stdout).stderr(stderr);
        let mut shell = os::sys::namespace::spawn_on_terminal(&mut command)
            .map_err(|error| refused("start a shell", &error))?;
        // Both hold the seat: while they do, nobody has left it.
        drop(command);
        drop(terminal.seat);
        let over = |signal| match signal {
            SIGCHLD => !matches!(shell.try_wait(), Ok(None)),
            SIGHUP | SIGTERM => true,
            _ => false,
        };
        terminal::show(&terminal.screen, &self.signals, over)
            .map_err(|error| refused("show the terminal", &error))?;
        match shell.try_wait() {
            Ok(Some(status)) => Ok(status),
            // It closed its terminal, or the user's is gone.
            _ => shell.kill().and_then(|()| shell.wait()).map_err(|e| refused("end the shell", &e)),
        }
    }

    /// Everything down in order; and down in any case.
    fn take_down(self) -> Result<(), Failure> {
        let started = Instant::now();
        if self.has_ended() {
            return Ok(());
        }
        let mut init = self.init.into_inner();
        children::kill(init.id(), SIGTERM as u8, false);
        while started.elapsed() < DOWN_MAX {
            if !matches!(init.try_wait(), Ok(None)) {
                say(format_args!("router is down, in {}", shown(started.elapsed())));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        say(format_args!("not down after {}: killing the rest", shown(DOWN_MAX)));
        // The end of pid 1 is the end of every process in its namespace.
        let _ = init.kill();
        init.wait().map(drop).map_err(|error| refused("wait for pid 1", &error))
    }
}

/// What a program inside finds around it.
fn inside(command: &mut Command) -> &mut Command {
    let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
    command.env_clear().env("PATH", root::PATH).env("HOME", "/root").env("TERM", term);
    command.env("PS1", "router# ").current_dir("/root")
}

/// The services of `default`, by name and place in the database.
fn booted(services: &Services) -> Result<Vec<(String, usize)>, Failure> {
    let bundle = services.bundles.iter().find(|bundle| bundle.name == "default");
    let bundle = bundle.ok_or_else(|| {
        Failure::not_achieved("there is no bundle named default, so there is nothing to boot")
    })?;
    let named = |index: &u32| {
        let place = *index as usize;
        services.services.get(place).map(|service| (service.name.clone(), place))
    };
    Ok(bundle.contents.iter().filter_map(named).collect())
}
