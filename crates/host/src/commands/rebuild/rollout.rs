//! `doorward rebuild` of several devices: a rollout, in which each has a `doorward rebuild` of its own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use cli::{Exit, Failure};
use engine::deploy::rollout::Settings;

use crate::commands::build;
use crate::fleet::inventory::{self, Target};
use crate::fleet::{Fleet, Task};

/// What `doorward rebuild` does for one device of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Update,
    Check,
}

impl Part {
    pub fn of(matches: &ArgMatches) -> Option<Self> {
        matches.get_one::<String>("part").map(|part| match part.as_str() {
            "check" => Self::Check,
            _ => Self::Update,
        })
    }
}

pub fn arguments() -> Vec<Arg> {
    let number = |name: &'static str, value: &'static str, default: &'static str| {
        let number = value_parser!(u64).range(..=31_536_000);
        Arg::new(name).long(name).value_name(value).value_parser(number).default_value(default)
    };
    vec![
        Arg::new("inventory")
            .long("inventory")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .conflicts_with("DEVICE")
            .help("The devices of this file: a line for each, [NAME] begins a wave"),
        number("canary", "N", "1").help("Of devices without waves: how many are updated first"),
        number("soak", "SECONDS", "600").help("How long a wave is watched before the next one"),
        number("parallel", "N", "4").help("How many are updated at once"),
        number("failures", "N", "0").help("How many may fail before the rest is left alone"),
        number("retry", "SECONDS", "60").help("How often one that cannot be reached is tried"),
        number("patience", "SECONDS", "3600").help("How long it is still tried at the end"),
        Arg::new("state")
            .long("state")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("What remembers how far it came [default: FILE.state of an inventory, or rollout.state]"),
        Arg::new("new").long("new").action(ArgAction::SetTrue).help("Begin anew, whatever that says"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Of several devices: print events"),
        Arg::new("part").long("part").hide(true).value_parser(["update", "check"]),
    ]
}

/// The devices of a rollout; `None`: it is one, and nothing is rolled out.
pub fn targets(matches: &ArgMatches) -> Result<Option<Vec<Target>>, Failure> {
    let canary = count(matches, "canary");
    if let Some(file) = matches.get_one::<PathBuf>("inventory") {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        return inventory::read(&text, &file.display().to_string(), canary).map(Some);
    }
    let names: Vec<String> = matches.get_many("DEVICE").into_iter().flatten().cloned().collect();
    if names.len() < 2 {
        return Ok(None);
    }
    inventory::named(&names, canary).map(Some)
}

pub fn run(matches: &ArgMatches, targets: Vec<Target>) -> Result<Exit, Failure> {
    for alone in ["dry-run", "confirm-at"] {
        if matches.value_source(alone) == Some(clap::parser::ValueSource::CommandLine) {
            return Err(Failure::usage(format!("--{alone} is for one device")));
        }
    }
    let program = std::env::current_exe().map_err(Failure::refused)?;
    let words = words(matches);
    let start = |target: &Target, task: Task, _: &_| {
        let mut command = Command::new(&program);
        let part = match task {
            Task::Update => "update",
            Task::Check => "check",
        };
        command.args(["rebuild", &target.name, "--part", part]).args(&words).args(&target.words);
        command
    };
    let record =
        match (matches.get_one::<PathBuf>("state"), matches.get_one::<PathBuf>("inventory")) {
            (Some(state), _) => state.clone(),
            (None, Some(inventory)) => {
                let mut name = inventory.clone().into_os_string();
                name.push(".state");
                name.into()
            }
            (None, None) => PathBuf::from("rollout.state"),
        };
    let seconds = |name: &str| Duration::from_secs(*matches.get_one(name).unwrap_or(&0));
    let settings = Settings {
        parallel: count(matches, "parallel").max(1),
        soak: seconds("soak"),
        failures_max: count(matches, "failures"),
        retry: seconds("retry").max(Duration::from_secs(1)),
        patience: seconds("patience"),
    };
    let (anew, json) = (matches.get_flag("new"), matches.get_flag("json"));
    Fleet { targets, settings, record, anew, program: &start, json }.run()
}

fn count(matches: &ArgMatches, name: &str) -> usize {
    matches.get_one::<u64>(name).map_or(0, |count| usize::try_from(*count).unwrap_or(usize::MAX))
}

/// What was said for all of them, as words again.
fn words(matches: &ArgMatches) -> Vec<OsString> {
    let mut words = build::again(matches);
    if let Some(key) = matches.get_one::<PathBuf>("sign") {
        words.extend(["--sign".into(), key.clone().into()]);
    }
    for name in ["reboot", "no-confirm", "any-kernel"] {
        if matches.get_flag(name) {
            words.push(format!("--{name}").into());
        }
    }
    if let Some(deadline) = matches.get_one::<u64>("deadline") {
        words.push(format!("--deadline={deadline}").into());
    }
    if let Some(keep) = matches.get_one::<usize>("keep") {
        words.push(format!("--keep={keep}").into());
    }
    if let Some(why) = matches.get_one::<String>("why") {
        words.push(format!("--why={why}").into());
    }
    words
}
