//! `doorward vm`: runs a device that was built for QEMU, with networks around it, and brings
//! visitors to it by ssh.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use os::event_loop::{EventLoop, Readiness};
use os::sys::signals::{self, number};
use os::terminal;
use serde_json::{Value, json};

use crate::places;
use crate::say::{self, event, say, shown};
use crate::ssh::NO_CONNECTION;
use crate::vm::description::{Description, Rom};
use crate::vm::flash::Flash;
use crate::vm::forward::{self, Forward, Held, Protocol};
use crate::vm::networks::{Kind, Networks};
use crate::vm::qemu::{Console, Machine, Qemu, Stop};
use crate::vm::ssh::{self, Door};
use crate::vm::{key, lent, neighbours, rom};

/// How long a router has to power itself off.
const OFF_MAX: Duration = Duration::from_secs(20);
/// How long one takes that hangs up on those who ask for it.
const GOING_MAX: Duration = Duration::from_secs(3);
/// How long a router that answers may take until all of its services are up.
const PHASES_MAX: Duration = Duration::from_secs(20);
/// Where visitors are sent where a device does not say where it lets them in.
const NOBODY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 168, 1, 1), 22);
/// Lines of the console that are shown where something has failed.
const LINES_SHOWN: usize = 20;

/// Where the router writes when which part of its boot was over.
const PHASES: &str = "/run/boot-phases";
/// The last of them.
const LAST_PHASE: &str = "up";

pub fn command() -> Command {
    Command::new("vm")
        .about("Run a device in QEMU, with networks around it")
        .long_about(
            "Runs a device in QEMU, with networks around it: one at home and two providers. \
             Prints when ssh answers and how to log in, and stays until the device powers off or \
             an interrupt pulls the plug. With COMMAND it runs that on the device, powers it off \
             and ends with its exit code.",
        )
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("key")
        .subcommand(
            Command::new("key")
                .about(
                    "Print the key that trials log in with, for a configuration; make it if it is not there",
                )
                .arg(flag("json").help("Print one object")),
        )
        .subcommand(
            Command::new(neighbours::COMMAND)
                .hide(true)
                .arg(Arg::new("ADDRESS").required(true).value_parser(value_parser!(Ipv4Addr)))
                .arg(Arg::new("DOOR").num_args(0..).value_parser(Forward::parse)),
        )
        .arg(
            path("FILE")
                .required(true)
                .help("What `doorward build -A outputs.vm` makes: the folder, or vm.json in it"),
        )
        .arg(
            path("flash")
                .long("flash")
                .value_name("FILE")
                .help("Keep the flash in this file [default: it is gone at the end]"),
        )
        .arg(
            flag("fresh")
                .help("Write the firmware into the flash anew; all else in it is lost"),
        )
        .arg(
            Arg::new("network")
                .long("network")
                .value_name("KIND")
                .value_parser(["real", "user"])
                .help("The networks: in namespaces, or QEMU's [default: real where possible]"),
        )
        .arg(
            Arg::new("ssh-port")
                .long("ssh-port")
                .value_name("PORT")
                .default_value("0")
                .hide_default_value(true)
                .value_parser(value_parser!(u16))
                .help("Where ssh is reached on this machine [default: a free port]"),
        )
        .arg(
            Arg::new("forward")
                .long("forward")
                .value_name("HOST:GUEST")
                .action(ArgAction::Append)
                .value_parser(Forward::parse)
                .help(
                    "Have the port HOST of this machine lead to the port GUEST of the device; \
                     `udp:` before it is UDP, an address before HOST lets others in, too",
                ),
        )
        .arg(
            path("key")
                .long("key")
                .value_name("FILE")
                .help("Log in with this private key [default: the one of trials]"),
        )
        .arg(path("console").long("console").value_name("FILE").help(
            "Write the serial console to FILE; `-`: here [default: here, with a terminal and \
             without COMMAND]",
        ))
        .arg(
            path("qmp")
                .long("qmp")
                .value_name("SOCKET")
                .help("Let others give orders to QEMU at SOCKET"),
        )
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("SECONDS")
                .default_value("120")
                .value_parser(value_parser!(u64))
                .help("How long ssh may take to answer before COMMAND is given up"),
        )
        .arg(
            flag("json")
                .conflicts_with("COMMAND")
                .help("Print what happens as JSON, an event a line"),
        )
        .arg(
            Arg::new("COMMAND")
                .num_args(0..)
                .last(true)
                .value_parser(value_parser!(OsString))
                .help("Run on the device, behind --"),
        )
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn path(name: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf))
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("key", matches)) => {
            let private = key::file()?;
            let file = key::public(&private);
            let text = fs::read_to_string(&file)
                .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
            match matches.get_flag("json") {
                true => {
                    let private = private.to_string_lossy();
                    println!("{:#}", json!({ "public": text.trim_end(), "private_file": private }));
                }
                false => print!("{text}"),
            }
            Ok(Exit::DONE)
        }
        Some((_, matches)) => {
            let address = matches.get_one::<Ipv4Addr>("ADDRESS");
            let address = address.ok_or_else(|| Failure::usage("it needs an address"))?;
            let doors: Vec<Forward> =
                matches.get_many("DOOR").into_iter().flatten().copied().collect();
            neighbours::live(*address, &doors)?;
            Ok(Exit::DONE)
        }
        None if matches.get_flag("json") => run_device(matches).inspect_err(say::failed),
        None => run_device(matches),
    }
}

fn run_device(matches: &ArgMatches) -> Result<Exit, Failure> {
    let file: &PathBuf = matches.get_one("FILE").ok_or_else(|| Failure::usage("run what?"))?;
    let file = if file.is_dir() { &file.join("vm.json") } else { file };
    let description = Description::read(file)?;
    let words: Vec<OsString> = matches.get_many("COMMAND").into_iter().flatten().cloned().collect();
    let asked: Vec<Forward> = matches.get_many("forward").into_iter().flatten().copied().collect();
    if description.ssh.is_none() {
        let what = match (&words[..], &asked[..], &description.forward[..]) {
            ([], [], []) => None,
            ([], ..) => Some("forward ports"),
            _ => Some("run COMMAND"),
        };
        if let Some(what) = what {
            return Err(Failure::usage(format!(
                "cannot {what}: no service for ssh says at which address at home the device is"
            ))
            .hint("svc.ssh.build in its configuration does, with an `address`"));
        }
    }
    let wait = Duration::from_secs(*matches.get_one("wait").unwrap_or(&0));
    let (events, happened) = mpsc::channel();
    // Before there are threads, which would take signals as they please.
    listen_for_signals(events.clone())?;

    let kept = matches.get_one::<PathBuf>("flash");
    let flash = match kept {
        Some(path) => Flash::open(path, &description, matches.get_flag("fresh"))?,
        None => Flash::temporary(&description)?,
    };
    let kind = matches.get_one::<String>("network").map(|word| match word.as_str() {
        "real" => Kind::Real,
        _ => Kind::User,
    });
    let (router, ssh) = description.ssh.unwrap_or(NOBODY);
    let port = *matches.get_one("ssh-port").unwrap_or(&0);
    let held = Held::new(Forward::local(Protocol::Tcp, port, ssh)).map_err(|error| {
        Failure::refused(format!("cannot listen at port {port} for ssh: {error}"))
            .hint("without --ssh-port a free one is taken")
    })?;
    let port = held.forward.host;
    let mut held = vec![held];
    held.extend(forward::hold(&asked, &description.forward)?);
    let forwards = held.iter().skip(1).map(|held| held.forward).collect();
    let (networks, notice) = Networks::new(kind, router, held)?;
    if let Some(notice) = notice {
        say(format_args!("{notice}"));
    }
    let key = match matches.get_one::<PathBuf>("key") {
        Some(key) => key.clone(),
        None => key::file()?,
    };
    let json = matches.get_flag("json");
    let console = match matches.get_one::<PathBuf>("console") {
        Some(path) if path == Path::new("-") && json => {
            return Err(Failure::usage("the console cannot be where the events are printed")
                .hint("--console FILE writes it to a file"));
        }
        Some(path) if path == Path::new("-") => Console::Here,
        Some(path) => Console::File(
            File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(
                |error| {
                    let path = path.display();
                    Failure::refused(format!("cannot write the console {path}: {error}"))
                },
            )?,
        ),
        None if terminal::is_interactive() && words.is_empty() && !json => Console::Here,
        None => Console::File(lent::unnamed()?),
    };
    if let Some(path) = kept {
        let state = if flash.is_new { "new" } else { "as it was left; --fresh makes it anew" };
        say(format_args!("flash: {} ({state})", path.display()));
    }
    if let Some(process) = networks.neighbours() {
        say(format_args!("networks: home, client, provider and provider2 of process {process}"));
    }
    say(format_args!("starting {} in {}", description.hostname, description.emulator));

    let door = Door { port, key };
    if json {
        let mut starts = json!({
            "event": "starts",
            "hostname": description.hostname,
            "emulator": description.emulator,
            "new_flash": flash.is_new,
        });
        if let Some(path) = kept {
            starts["flash"] = path.to_string_lossy().into();
        }
        if let Some(process) = networks.neighbours() {
            starts["networks"] = process.into();
        }
        event(&starts);
    }
    let monitor = matches.get_one::<PathBuf>("qmp").cloned();
    let machine = Machine {
        description: &description,
        flash: &flash,
        memory: lent::memory(description.memory << 20)?,
        networks: &networks,
        console,
        monitor,
    };
    let trial = Trial { machine, door, forwards, words, wait, json, events, happened };
    let outcome = trial.run();
    outcome.map_err(|mut failure| {
        let lines = last_lines(&trial.machine.console);
        let lines = lines.map(|lines| format!("the console ended with:\n{lines}"));
        let hints: Vec<String> = failure.hint.into_iter().chain(lines).collect();
        failure.hint = (!hints.is_empty()).then(|| hints.join("\n  "));
        failure
    })
}

/// What happens while a machine runs.
enum Event {
    /// A signal that asks for the end.
    Asked,
    Stopped(Stop),
    /// COMMAND has ended, or could not be run.
    Visited(Result<Exit, Failure>),
    /// It could not be told to power off.
    Stays,
}

struct Trial<'a> {
    machine: Machine<'a>,
    door: Door,
    /// Other ports that lead to the device.
    forwards: Vec<Forward>,
    words: Vec<OsString>,
    wait: Duration,
    /// What happens is printed for a program, too.
    json: bool,
    events: Sender<Event>,
    happened: Receiver<Event>,
}

impl Trial<'_> {
    /// Runs the machine until it is off.
    fn run(&self) -> Result<Exit, Failure> {
        if !self.words.is_empty() {
            self.send_visitor();
        }
        // What COMMAND has ended with, and when the machine must be off after that.
        let mut visited: Option<(Exit, Instant)> = None;
        loop {
            let qemu = self.start()?;
            let running = Arc::new(AtomicBool::new(true));
            if self.words.is_empty() && self.machine.description.ssh.is_some() {
                self.announce(running.clone());
            }
            let stop = self.watch(&mut visited)?;
            running.store(false, Ordering::Relaxed);
            let status = qemu.end();
            match (stop, visited) {
                (Stop::Reset, _) => {
                    say(format_args!("it restarts"));
                    self.tell(json!({ "event": "restarts" }));
                }
                (Stop::Off, Some((exit, _))) => return Ok(exit),
                (Stop::Off, None) => {
                    say(format_args!("it has powered itself off"));
                    self.tell(json!({ "event": "ended", "how": "off" }));
                    return self.without_a_machine();
                }
                (Stop::Asked, visited) => {
                    say(format_args!("the plug is pulled"));
                    self.tell(json!({ "event": "ended", "how": "unplugged" }));
                    return Ok(match visited {
                        Some((exit, _)) => exit,
                        None if self.words.is_empty() => Exit::DONE,
                        None => Exit(130), // As a shell says it.
                    });
                }
                (Stop::Ended, _) => {
                    let status = status.map_or("it hung".into(), |status| status.to_string());
                    return Err(Failure::refused(format!(
                        "QEMU ended without the device: {status}"
                    )));
                }
            }
        }
    }

    fn tell(&self, what: Value) {
        if self.json {
            event(&what);
        }
    }

    /// Waits until the machine has stopped, or is to be stopped.
    fn watch(&self, visited: &mut Option<(Exit, Instant)>) -> Result<Stop, Failure> {
        loop {
            match self.next(visited.map(|(_, limit)| limit)) {
                Some(Event::Stopped(stop)) => return Ok(stop),
                Some(Event::Asked) => return Ok(Stop::Asked),
                Some(Event::Stays) => {
                    say(format_args!("ssh cannot power it off"));
                    return Ok(Stop::Asked);
                }
                Some(Event::Visited(outcome)) => {
                    *visited = Some((outcome?, Instant::now() + OFF_MAX));
                    self.send_off();
                }
                None => {
                    say(format_args!("it did not power off within {}", shown(OFF_MAX)));
                    return Ok(Stop::Asked);
                }
            }
        }
    }

    fn start(&self) -> Result<Qemu, Failure> {
        let Machine { description, flash, .. } = &self.machine;
        let boot = match description.rom {
            Rom::Machine => None,
            Rom::Host => {
                let kernel = flash.read(description.kernel)?;
                Some(rom::read(&kernel, &places::trials())?)
            }
        };
        self.machine.start(boot.as_ref(), self.events.clone(), Event::Stopped)
    }

    fn next(&self, limit: Option<Instant>) -> Option<Event> {
        let wait = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
        match self.happened.recv_timeout(wait.unwrap_or(Duration::MAX)) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("there is a sender in this struct"),
        }
    }

    /// COMMAND may have switched it off itself: then its exit code is still to come.
    fn without_a_machine(&self) -> Result<Exit, Failure> {
        if self.words.is_empty() {
            return Ok(Exit::DONE);
        }
        let limit = Instant::now() + OFF_MAX;
        while let Some(event) = self.next(Some(limit)) {
            if let Event::Visited(outcome) = event {
                return outcome;
            }
        }
        Err(Failure::not_achieved("the device powered itself off before COMMAND had ended"))
    }

    /// Runs COMMAND once ssh answers.
    fn send_visitor(&self) {
        let (door, words, wait, events) =
            (self.door.clone(), self.words.clone(), self.wait, self.events.clone());
        let forwards = self.forwards.clone();
        let start = Instant::now();
        thread::spawn(move || {
            let outcome = if door.wait(|| start.elapsed() < wait) {
                say_open(start, &forwards);
                visit(&door, &words)
            } else {
                Err(Failure::not_achieved(format!("ssh did not answer within {}", shown(wait))))
            };
            let _ = events.send(Event::Visited(outcome));
        });
    }

    /// Says when ssh answers, how long what took, and how to log in.
    fn announce(&self, running: Arc<AtomicBool>) {
        let (door, forwards) = (self.door.clone(), self.forwards.clone());
        let name = self.machine.description.hostname.clone();
        let json = self.json;
        let start = Instant::now();
        thread::spawn(move || {
            let running = || running.load(Ordering::Relaxed);
            if !door.wait(running) {
                return;
            }
            say_open(start, &forwards);
            say(format_args!("log in with: {}", door.words()));
            let configuration = door.write_configuration(&name, &places::trials());
            match &configuration {
                Ok(file) => say(format_args!("or by name: ssh -F {} {name}", file.display())),
                Err(error) => say(format_args!("it has no name for ssh: {error}")),
            }
            if json {
                event(&open(start, &door, &forwards, configuration.ok()));
            }
            let answered = Instant::now();
            let mut phases = Vec::new();
            while running() && answered.elapsed() < PHASES_MAX {
                phases = ssh::phases(&door.ask(&["cat", PHASES]).unwrap_or_default());
                // A device without them gets no second visit.
                if phases.is_empty() || phases.iter().any(|(name, _)| name == LAST_PHASE) {
                    break;
                }
                thread::sleep(Duration::from_millis(500));
            }
            if !phases.is_empty() {
                let words: Vec<String> =
                    phases.iter().map(|(name, at)| format!("{name} {at:.2} s")).collect();
                say(format_args!("since its kernel began: {}", words.join(", ")));
                if json {
                    let phase = |(name, at): &(String, f64)| json!({ "phase": name, "at_ms": (at * 1000.0).round() as u64 });
                    let phases: Vec<Value> = phases.iter().map(phase).collect();
                    event(&json!({ "event": "phases", "phases": phases }));
                }
            }
        });
    }

    /// Asks the router to power off; that it does is seen by the end of QEMU.
    fn send_off(&self) {
        let (door, events) = (self.door.clone(), self.events.clone());
        thread::spawn(move || {
            if door.ask(&["poweroff"]).is_none() {
                // That may have been the end of the connection with all else.
                thread::sleep(GOING_MAX);
                let _ = events.send(Event::Stays);
            }
        });
    }
}

/// Says that a device which was started then can be visited, and where else it is reached.
fn say_open(start: Instant, forwards: &[Forward]) {
    say(format_args!("ssh answers after {}", shown(start.elapsed())));
    for Forward { protocol, address, host, guest } in forwards {
        say(format_args!("port {guest} ({protocol}) is at {address}:{host}"));
    }
}

/// The same for a program, and how it logs in.
fn open(
    start: Instant,
    door: &Door,
    forwards: &[Forward],
    configuration: Option<PathBuf>,
) -> Value {
    let forward = |Forward { protocol, address, host, guest }: &Forward| {
        let (protocol, address) = (protocol.to_string(), address.to_string());
        json!({ "protocol": protocol, "address": address, "host": host, "guest": guest })
    };
    let forwards: Vec<Value> = forwards.iter().map(forward).collect();
    let mut open = json!({
        "event": "open",
        "seconds": say::seconds(start.elapsed()),
        "ssh_port": door.port,
        "private_file": door.key.to_string_lossy(),
        "forwards": forwards,
    });
    if let Some(file) = configuration {
        open["ssh_configuration"] = file.to_string_lossy().into();
    }
    open
}

fn visit(door: &Door, words: &[OsString]) -> Result<Exit, Failure> {
    let status = door.command(words).status().map_err(|error| {
        Failure::refused(format!("cannot run ssh: {error}")).hint("`./setup` installs it")
    })?;
    if status.code() == Some(NO_CONNECTION) {
        say(format_args!("ssh failed: is the key of `doorward vm key` in the configuration?"));
    }
    Ok(Exit(match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }))
}

/// Makes signals that ask for the end into events.
fn listen_for_signals(events: Sender<Event>) -> Result<(), Failure> {
    let refused = |error| Failure::refused(format!("cannot read signals: {error}"));
    let asking = [number::HUP, number::INT, number::QUIT, number::TERM];
    let signals = signals::read_from(&asking).map_err(refused)?;
    thread::spawn(move || {
        let mut wait = EventLoop::new()?;
        wait.add(&signals, 0, Readiness::IN)?;
        loop {
            wait.wait(None)?;
            while signals::next(signals.as_fd())?.is_some() {
                let _ = events.send(Event::Asked);
            }
        }
        #[expect(unreachable_code, reason = "it says what the errors above are")]
        std::io::Result::Ok(())
    });
    Ok(())
}

/// What the console has said last, where it went to a file.
fn last_lines(console: &Console) -> Option<String> {
    let Console::File(file) = console else { return None };
    let (mut file, mut text): (&File, _) = (file, Vec::new());
    file.rewind().and_then(|()| file.read_to_end(&mut text)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    (!last.is_empty()).then(|| last.join("\n"))
}
