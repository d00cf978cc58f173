//! `doorward chart`: what the start of a device, or another change, has waited for, as a picture.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use serde_json::Value;

use crate::copy::line::Target;
use crate::ssh::{NO_CONNECTION, NOT_FOUND};
use crate::update::device;
use crate::watch::picture;

/// Bytes of a file that are read.
const BYTES_MAX: u64 = 16 << 20;

pub fn command() -> Command {
    Command::new("chart")
        .about("Draw what the start of a device, or another change, has waited for")
        .long_about(
            "Asks a device for `ward chart --json` and draws it as SVG: a bar for each service, grey while it waited, \
             and the critical path in red. Only what shortens one of these shortens the whole. Exit codes: 0 done; \
             1 the device remembers no such change; 100 wrong usage; 111 it cannot be reached.",
        )
        .arg(Arg::new("DEVICE").required_unless_present("from").help("[USER@]HOST, as ssh has it"))
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("DEVICE")
                .help("Draw what `ward chart --json` has printed into this file (-: standard input)"),
        )
        .arg(
            Arg::new("back")
                .short('n')
                .value_name("BACK")
                .value_parser(value_parser!(u32))
                .help("The change so many before the last one (0: the last one) [default: the start]"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print what would be drawn: what `ward chart --json` prints there"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where the picture goes [default: standard output]"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (text, title) = match matches.get_one::<PathBuf>("from") {
        Some(file) => {
            let mut text = String::new();
            let read = match file.to_str() {
                Some("-") => std::io::stdin().take(BYTES_MAX).read_to_string(&mut text),
                _ => {
                    fs::File::open(file).and_then(|it| it.take(BYTES_MAX).read_to_string(&mut text))
                }
            };
            read.map_err(|error| {
                Failure::refused(format!("cannot read {}: {error}", file.display()))
            })?;
            (text, "change".to_owned())
        }
        None => {
            let host = matches.get_one::<String>("DEVICE").expect("it is required").clone();
            (asked(&host, matches.get_one::<u32>("back"))?, host)
        }
    };
    let chart: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut drawn = picture::draw(&chart, &title)
        .ok_or_else(|| Failure::not_achieved("that is not what `ward chart --json` prints"))?;
    if matches.get_flag("json") {
        drawn = text;
    }
    match matches.get_one::<PathBuf>("output") {
        Some(file) => fs::write(file, drawn).map_err(|error| {
            Failure::refused(format!("cannot write {}: {error}", file.display()))
        })?,
        None => std::io::stdout().write_all(drawn.as_bytes())?,
    }
    Ok(Exit::DONE)
}

fn asked(host: &str, back: Option<&u32>) -> Result<String, Failure> {
    let target = Target::named(host)?;
    let back = back.map_or(String::new(), |back| format!(" -n {back}"));
    let output = device::visit(&target, &format!("ward chart --json{back}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(NO_CONNECTION) | None => {
            Err(Failure::refused(format!("{host} cannot be reached: {said}")))
        }
        Some(NOT_FOUND) => Err(Failure::not_achieved(format!("{host} has no `ward`"))),
        Some(100) => {
            Err(Failure::not_achieved(format!("{host} has a `ward` that draws no charts"))
                .hint("`doorward rebuild` brings a newer one"))
        }
        Some(_) => Err(Failure::not_achieved(format!("{host} says: {said}"))),
    }
}
