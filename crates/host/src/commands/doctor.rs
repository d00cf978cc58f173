//! `doorward doctor`: what this machine lacks, and what is wrong with a device, each with what helps.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use cli::{Exit, Failure};
use engine::doctor::{Finding, Weight, is_ill, summary};
use os::terminal::colours;
use serde_json::{Value, json};

use super::build::{self, Build};
use crate::archive::lock::Lock;
use crate::copy::line::Target;
use crate::places;
use crate::ssh::quoted;
use crate::watch::checkup::{Device, Here, NEEDS, examine};
use crate::watch::questions::{self, Known};

pub fn command() -> Command {
    Command::new("doctor")
        .about("Say what this machine lacks, and what is wrong with a device, and what helps")
        .long_about(
            "Looks for what builds need on this machine, for keys of ssh, and for room. Of a device it says what the \
             device says itself (`ward doctor`), whether it can be reached, whether its `ward` is another version, \
             and, where a configuration is named, whether it runs what that gives; nothing is built for that. It \
             changes nothing. Exit codes: 0 nothing is to be done; 1 something is; 100 wrong usage.",
        )
        .arg(Arg::new("DEVICE").help("[USER@]HOST, as ssh has it"))
        .args(build::what())
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print an array with one object for each finding"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let here = here();
    let device = match matches.get_one::<String>("DEVICE") {
        Some(host) => Some(Device {
            name: host.clone(),
            known: asked(Target::named(host)?),
            wanted: names_one(matches).then(|| wanted(matches)),
            words: words(matches),
        }),
        None => None,
    };
    let findings = examine(&here, device.as_ref());
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let all: Vec<Value> = findings.iter().map(object).collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        out.write_all(text(&findings, colours()).as_bytes())?;
    }
    Ok(if is_ill(&findings) { Exit::NOT_ACHIEVED } else { Exit::DONE })
}

/// Whether a configuration is named, the way this program has it or Nix.
fn names_one(matches: &ArgMatches) -> bool {
    let mut paths = matches.get_many::<OsString>("include").into_iter().flatten();
    let is_one = |path: &OsString| path.to_string_lossy().contains("-config=");
    matches.contains_id("configuration") || paths.any(is_one)
}

fn object(Finding { weight, code, what, cure }: &Finding) -> Value {
    json!({ "weight": weight.name(), "code": code, "what": what, "cure": cure })
}

fn text(findings: &[Finding], colours: bool) -> String {
    let mut text = String::new();
    for Finding { weight, what, cure, .. } in findings {
        let (on, off) = match weight {
            _ if !colours => ("", ""),
            Weight::Bad => ("\x1b[31m", "\x1b[0m"),
            Weight::Warning => ("\x1b[33m", "\x1b[0m"),
            Weight::Note => ("\x1b[2m", "\x1b[0m"),
        };
        text += &format!("{on}{:8}{off} {what}\n         {cure}\n", weight.name());
    }
    text + &summary(findings) + "\n"
}

fn asked(target: Target) -> Known {
    let (sender, receiver) = mpsc::channel();
    questions::ask(target, 0, None, sender);
    receiver.recv().map_or(Known::Silent("it said nothing".into()), |(_, known)| known)
}

fn wanted(matches: &ArgMatches) -> Result<String, String> {
    let build = Build::prepare(matches).map_err(|failure| failure.message)?;
    build.path_of("outputs.systemConfiguration").map_err(|failure| failure.message)
}

/// What says what is built, as it is typed again.
fn words(matches: &ArgMatches) -> String {
    let mut text = String::new();
    for word in build::again(matches) {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_alphanumeric() || "-_./=:@+,".contains(c);
        text += &match word.chars().all(is_plain) {
            true => format!(" {word}"),
            false => format!(" {}", quoted(&*word)),
        };
    }
    text
}

fn here() -> Here {
    let mut here = Here { has_key: has_key(), ..Here::default() };
    let path = env::var_os("PATH").unwrap_or_default();
    let there =
        |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    // Who calls another program than ssh has it.
    let other_ssh = env::var_os("DOORWARD_SSH").is_some_and(|words| !words.is_empty());
    let lacks = |need: &&'static str| !(there(need) || *need == "ssh" && other_ssh);
    here.missing = NEEDS.iter().map(|need| need.program).filter(lacks).collect();
    let expressions = match places::expressions() {
        Ok(expressions) => expressions,
        Err(failure) => {
            here.expressions = Some(failure.message);
            return here;
        }
    };
    let programs = places::programs(&expressions);
    let ward = "x86_64-unknown-linux-musl/release/ward";
    if !programs.join(ward).is_file() {
        here.ward_is_missing = Some(programs.join(ward).display().to_string());
    }
    let folder = places::packages(&expressions);
    if let Ok(lock) = Lock::read(&expressions.join("nix/packages/lock.json")) {
        // Others are got when a device needs them.
        let folder = folder.join("amd64");
        let files = lock.0.get("amd64").into_iter().flat_map(|packages| packages.values());
        let there: Vec<bool> = files.map(|package| folder.join(&package.file).exists()).collect();
        here.packages = Some((there.iter().filter(|there| !**there).count(), there.len()));
    }
    let store = [Path::new("/nix/store").to_owned(), places::store(&expressions)];
    let store = store.into_iter().find(|place| place.exists()).unwrap_or(expressions);
    here.room = os::file_systems::free(&store).map(|free| (free, store.display().to_string()));
    here
}

/// Whether there is a key that ssh takes by itself, or an agent. `None`: its configuration may name one.
fn has_key() -> Option<bool> {
    if env::var_os("SSH_AUTH_SOCK").is_some_and(|socket| Path::new(&socket).exists()) {
        return Some(true);
    }
    let home = env::var_os("HOME").unwrap_or_default();
    let keys = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];
    let folder = Path::new(&home).join(".ssh");
    match keys.iter().any(|key| folder.join(key).exists()) {
        false if folder.join("config").exists() => None,
        found => Some(found),
    }
}
