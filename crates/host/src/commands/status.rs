//! `doorward status`: one or many devices as a table, anew while somebody looks at it.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use os::terminal::colours;
use serde_json::Value;

use crate::copy::line::Target;
use crate::fleet::inventory;
use crate::watch::questions::{self, Known};
use crate::watch::table;

pub fn command() -> Command {
    Command::new("status")
        .about("Show how devices are: a table that is drawn anew while you look at it")
        .long_about(
            "Asks devices how they are, all at once, and shows a line for each: how many services are up of those \
             that shall be, the generation that runs, since when, and what is wrong. On a terminal it goes on until \
             ctrl-C, over one connection for each device. Exit codes: 0 all is well; 1 something is wrong, or a \
             device cannot be reached; 100 wrong usage.",
        )
        .arg(
            Arg::new("DEVICE")
                .num_args(0..)
                .required_unless_present("inventory")
                .help("[USER@]HOST, as ssh has it"),
        )
        .arg(
            Arg::new("inventory")
                .long("inventory")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("DEVICE")
                .help("The devices of this file, as of `doorward rebuild`"),
        )
        .arg(flag("once", "Print it once, also on a terminal"))
        .arg(flag("json", "Print an array with one object for each device, once"))
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=3600))
                .default_value("5")
                .help("How often devices are asked"),
        )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let names = names(matches)?;
    let json = matches.get_flag("json");
    let terminal = std::io::stdout().is_terminal();
    let live = terminal && !json && !matches.get_flag("once");
    let every = Duration::from_secs(*matches.get_one::<u64>("interval").unwrap_or(&5));
    let (sender, receiver) = mpsc::channel();
    for (number, name) in names.iter().enumerate() {
        questions::ask(Target::named(name)?, number, live.then_some(every), sender.clone());
    }
    drop(sender);
    let mut devices: Vec<(String, Known)> =
        names.into_iter().map(|name| (name, Known::Asked)).collect();
    let mut screen = Screen { terminal, height: 0 };
    if live {
        screen.show(&devices)?;
    }
    let mut drawn = Instant::now();
    loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok((number, known)) => devices[number].1 = known,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Many that answer at once are one picture.
        if live && drawn.elapsed() >= Duration::from_millis(200) {
            screen.show(&devices)?;
            drawn = Instant::now();
        }
    }
    let mut out = std::io::stdout().lock();
    if json {
        let all: Vec<Value> =
            devices.iter().map(|(name, known)| table::object(name, known)).collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        for line in table::lines(&devices, colours(), columns(terminal)) {
            writeln!(out, "{line}")?;
        }
    }
    let well = devices.iter().all(|(_, known)| table::is_well(known));
    Ok(if well { Exit::DONE } else { Exit::NOT_ACHIEVED })
}

fn names(matches: &ArgMatches) -> Result<Vec<String>, Failure> {
    let targets = match matches.get_one::<PathBuf>("inventory") {
        Some(file) => {
            let text = fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            inventory::read(&text, &file.display().to_string(), 1)?
        }
        None => {
            let names: Vec<String> =
                matches.get_many("DEVICE").into_iter().flatten().cloned().collect();
            inventory::named(&names, 1)?
        }
    };
    Ok(targets.into_iter().map(|target| target.name).collect())
}

/// What is not shown on a terminal has room for all.
fn columns(terminal: bool) -> usize {
    if terminal { os::terminal::columns().unwrap_or(80) } else { usize::MAX }
}

/// The table where it stood before.
struct Screen {
    terminal: bool,
    height: usize,
}

impl Screen {
    fn show(&mut self, devices: &[(String, Known)]) -> std::io::Result<()> {
        let lines = table::lines(devices, colours(), columns(self.terminal));
        let mut text = String::new();
        if self.height > 0 {
            text += &format!("\x1b[{}A", self.height);
        }
        for line in &lines {
            text += &format!("\x1b[2K{line}\n");
        }
        self.height = lines.len();
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
