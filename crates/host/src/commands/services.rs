//! `doorward services`: check, compile and draw source directories.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::service::compile::{Compiled, compile};
use model::service::mistake::Mistake;
use model::service::source::Tree;
use os::service::source_dir;
use serde_json::{Value, json};

use super::picture;
use crate::say::counted;

pub fn command() -> Command {
    let sources = || {
        Arg::new("SOURCE")
            .required(true)
            .num_args(1..)
            .value_parser(value_parser!(PathBuf))
            .help("Folders that hold one folder for each service")
    };
    let database = Arg::new("DATABASE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The folder to make; it must not exist");
    let json =
        |help: &'static str| Arg::new("json").long("json").action(ArgAction::SetTrue).help(help);
    Command::new("services")
        .about("Check, compile and draw services")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("check")
                .about("Find all mistakes in services")
                .arg(json("Print one object, also of mistakes"))
                .arg(sources()),
        )
        .subcommand(
            Command::new("compile")
                .about("Make the database of services that a device starts from")
                .arg(json("Print one object, also of mistakes"))
                .arg(database)
                .arg(sources()),
        )
        .subcommand(picture::command())
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (what, matches) = matches.subcommand().ok_or_else(|| Failure::usage("do what?"))?;
    if what == "graph" {
        return picture::run(matches);
    }
    let sources: Vec<PathBuf> = matches.get_many("SOURCE").into_iter().flatten().cloned().collect();
    let to: Option<&PathBuf> = if what == "compile" { matches.get_one("DATABASE") } else { None };
    if matches.get_flag("json") {
        return told_as_json(&sources, to);
    }
    let (tree, compiled) = compiled(&sources)?;
    match to {
        Some(to) => write_database(to, &tree, &compiled)?,
        None => {
            let contents = &compiled.contents;
            let (longruns, all) = (compiled.directories.len(), contents.services.len());
            println!(
                "sound: {}, {}, {}",
                counted(longruns, "longrun"),
                counted(all - longruns, "oneshot"),
                counted(contents.bundles.len(), "bundle")
            );
        }
    }
    Ok(Exit::DONE)
}

/// What `check` and `compile` say, as one object; `to` is the database to make.
fn told_as_json(sources: &[PathBuf], to: Option<&PathBuf>) -> Result<Exit, Failure> {
    let tree = source_dir::read(sources)
        .map_err(|error| Failure::refused(format!("cannot read {error}")))?;
    let told = |mistake: &Mistake| {
        let file = mistake.file.to_string();
        let (what, hint) = (mistake.fault.to_string(), mistake.fault.hint());
        let weight = if mistake.fault.is_warning() { "warning" } else { "mistake" };
        json!({ "file": file, "line": mistake.line, "weight": weight, "text": what, "hint": hint })
    };
    let (mistakes, counts) = match compile(&tree) {
        Ok(compiled) => {
            if let Some(to) = to {
                write_database(to, &tree, &compiled)?;
            }
            let Compiled { warnings, directories, contents, .. } = compiled;
            let (longruns, all) = (directories.len(), contents.services.len());
            (warnings, Some((longruns, all - longruns, contents.bundles.len())))
        }
        Err(mistakes) => (mistakes, None),
    };
    let mut object = json!({ "sound": counts.is_some() });
    if let Some((longruns, oneshots, bundles)) = counts {
        object["longruns"] = longruns.into();
        object["oneshots"] = oneshots.into();
        object["bundles"] = bundles.into();
        if let Some(to) = to {
            object["database"] = to.to_string_lossy().into();
        }
    }
    object["mistakes"] = mistakes.iter().map(told).collect::<Vec<Value>>().into();
    println!("{object:#}");
    Ok(if counts.is_some() { Exit::DONE } else { Exit::NOT_ACHIEVED })
}

/// Reads and compiles services. Mistakes and warnings are printed.
pub fn compiled(sources: &[PathBuf]) -> Result<(Tree, Compiled), Failure> {
    let tree = source_dir::read(sources)
        .map_err(|error| Failure::refused(format!("cannot read {error}")))?;
    match compile(&tree) {
        Ok(compiled) => {
            explain(&compiled.warnings);
            Ok((tree, compiled))
        }
        Err(mistakes) => {
            explain(&mistakes);
            let count = mistakes.iter().filter(|mistake| !mistake.fault.is_warning()).count();
            Err(Failure::not_achieved(format!("{} in the services", counted(count, "mistake"))))
        }
    }
}

fn write_database(destination: &Path, tree: &Tree, compiled: &Compiled) -> Result<(), Failure> {
    os::files::clear_umask();
    source_dir::write(destination, tree, compiled).map_err(|error| {
        let failure = Failure::refused(format!("cannot write {}: {error}", destination.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.hint("a database is made anew, in a folder that is not there yet")
            }
            _ => failure,
        }
    })
}

/// Each mistake with the line it is about, and what may help.
fn explain(mistakes: &[Mistake]) {
    let mut text = String::new();
    for mistake in mistakes {
        let _ = writeln!(text, "{mistake}");
        if let Some(line) = line_of(mistake) {
            let _ = writeln!(text, "{:>6} | {line}", mistake.line);
        }
        if let Some(hint) = mistake.fault.hint() {
            let _ = writeln!(text, "       = hint: {hint}");
        }
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The line that a mistake is about: only files that could be read have any.
fn line_of(mistake: &Mistake) -> Option<String> {
    let number = usize::try_from(mistake.line).ok()?.checked_sub(1)?;
    let bytes = std::fs::read(&mistake.file).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').nth(number)?;
    let shown = String::from_utf8_lossy(&line[..line.len().min(200)]);
    Some(shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}
