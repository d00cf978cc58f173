//! `doorward rebuild`, which people also know as `liminix-rebuild`: builds what a configuration says,
//! brings it to a device, and has the device try it.

mod rollout;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::deploy::trial::DEADLINE;
use model::limits::TRIAL_DEADLINE_MAX;
use os::deploy::trial_dir::made_up_id;

use super::build::{self, Build};
use super::{collect, copy};
use crate::copy::closure;
use crate::copy::line::Target;
use crate::copy::progress::Progress;
use crate::copy::send;
use crate::fleet;
use crate::say;
use crate::ssh::NO_CONNECTION;
use crate::update::{device, preview, trial};

pub fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("rebuild")
        .about("Build a configuration, and have a device run it from now on")
        .long_about(
            "Builds what a configuration says, copies what the device lacks, and has the device try it: \
             services that changed, and what needs them, start again while all others go on. The device \
             keeps it only once this machine has reached it again over a connection of its own; if \
             that does not happen before the deadline, or what was up before does not work, it goes back \
             by itself. Exit codes: 0 the device runs it from now on; 1 it has gone back, or refused; 100 \
             wrong usage; 111 it cannot be reached. docs/guide/updates.md tells more.",
        )
        // What an inventory says of one device stands behind what is said for all, and counts.
        .args_override_self(true)
        .args(rollout::arguments())
        .arg(
            Arg::new("DEVICE")
                .num_args(0..)
                .required_unless_present("inventory")
                .help("[USER@]HOST, as ssh has it. Of several, some are updated and watched before the rest"),
        )
        .args(build::what())
        .arg(flag("reboot", "Restart the device with it, and confirm it then").alias("confirm-after-reboot"))
        .arg(flag("no-reboot", "Go over while it runs: the default").conflicts_with("reboot"))
        .arg(flag("fast", "The same: only what changed starts again").hide(true))
        .arg(flag("no-confirm", "Have the device keep it as soon as what was up before works"))
        .arg(flag("any-kernel", "Even if its modules are for another kernel than the one in the flash"))
        .arg(flag("dry-run", "Only say what would be sent, and which services would notice"))
        .arg(copy::sign())
        .arg(
            Arg::new("deadline")
                .long("deadline")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..=TRIAL_DEADLINE_MAX.as_secs()))
                .help("How long the device waits to be reached again [default: 90]"),
        )
        .arg(
            Arg::new("confirm-at")
                .long("confirm-at")
                .value_name("[USER@]HOST")
                .help("Where it is reached once it has gone over, where that changes"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .value_parser(value_parser!(usize))
                .conflicts_with("dry-run")
                .help("Once the device keeps it, forget all generations but the newest that work, and free their room"),
        )
        .arg(
            Arg::new("why")
                .long("why")
                .value_name("TEXT")
                .help("What it is for: the device's list of generations shows it"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    if let Some(targets) = rollout::targets(matches)? {
        return rollout::run(matches, targets);
    }
    let target = target(matches, "DEVICE")?.expect("it is required");
    let then = target_at(matches)?.unwrap_or_else(|| target.clone());
    let dry_run = matches.get_flag("dry-run");
    let part = rollout::Part::of(matches);
    if part.is_some() && !is_there(&target) {
        let why = format!("{} cannot be reached", target.host);
        return Err(Failure::new(Exit(fleet::OFFLINE), why));
    }
    let json = matches.get_flag("json");
    let failed = |failure: &Failure| {
        if json {
            say::failed(failure);
        }
    };
    let key = matches.get_one::<PathBuf>("sign").map(|file| copy::signing_key(file)).transpose();
    let key = key.inspect_err(failed)?;
    let build = Build::prepare(matches).inspect_err(failed)?;
    let path = build.one("outputs.systemConfiguration").inspect_err(failed)?;
    if part == Some(rollout::Part::Check) {
        return still_runs(&target, &path);
    }
    let nix = &build.nix;
    let root = nix.store.clone().unwrap_or_else(|| PathBuf::from("/"));
    let mut wish = send::Wish {
        target: target.clone(),
        nix,
        root: &root,
        closure: closure::closure(nix, std::slice::from_ref(&path))?,
        key,
        keep: Vec::new(),
        dry_run,
        retries: RETRIES,
    };
    copy::bring(&mut wish, &mut Progress::new(json))?;
    if dry_run {
        for line in preview::services(&target, nix, &path).inspect_err(failed)? {
            trial::said(json, &line);
        }
        return Ok(Exit::DONE);
    }
    let deadline = matches.get_one("deadline").map_or(DEADLINE, |secs| Duration::from_secs(*secs));
    let exit = trial::run(&trial::Wish {
        target,
        then: then.clone(),
        path,
        id: made_up_id().map_err(Failure::refused)?.to_string(),
        deadline,
        confirm: !matches.get_flag("no-confirm"),
        reboot: matches.get_flag("reboot"),
        any_kernel: matches.get_flag("any-kernel"),
        json,
        by: whoever(),
        why: matches.get_one::<String>("why").cloned().unwrap_or_default(),
    })
    .inspect_err(failed)?;
    if let Some(keep) = matches.get_one::<usize>("keep").filter(|_| exit == Exit::DONE) {
        let mut words = vec![format!("--keep {keep}")];
        words.extend(json.then(|| "--json".to_owned()));
        // The update is done, and stays so: what could not be freed is for the next time.
        match collect::collect(&then, &words) {
            Ok(Exit::DONE) => {}
            Ok(_) => eprintln!("doorward: nothing was freed; `min-collect-garbage` does it"),
            Err(failure) => eprintln!("doorward: nothing was freed: {failure}"),
        }
    }
    Ok(exit)
}

/// Whether ssh has a way to it.
fn is_there(target: &Target) -> bool {
    let visited = device::visit(target, "true");
    visited.is_ok_and(|output| output.status.code() != Some(NO_CONNECTION))
}

/// Whether a device runs what it was given, and starts it next.
fn still_runs(target: &Target, path: &str) -> Result<Exit, Failure> {
    let host = &target.host;
    match device::status(target)? {
        Some(now) if now.running == path && now.boot == path => {
            println!("{host} still runs {path}");
            Ok(Exit::DONE)
        }
        Some(now) => Err(Failure::not_achieved(format!(
            "{host} does not run {path} any more, but {}",
            now.running
        ))),
        None => Err(Failure::not_achieved(format!("{host} does not say what it runs"))),
    }
}

/// How often a copy that is cut off goes on.
const RETRIES: u32 = 5;

fn target(matches: &ArgMatches, name: &str) -> Result<Option<Target>, Failure> {
    matches.get_one::<String>(name).map(|host| Target::named(host)).transpose()
}

fn target_at(matches: &ArgMatches) -> Result<Option<Target>, Failure> {
    target(matches, "confirm-at")
}

/// Who calls this, and on which machine.
fn whoever() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), machine.trim())
}
