//! `doorward services graph`: services as a picture, from their sources, from a database, of a
//! configuration, or as they are on a device.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::service::database::Database;
use model::service::name::nearest;
use os::service::database_file::DatabaseFile;

use super::build;
use super::services::compiled;
use crate::copy::line::Target;
use crate::graph::{Graph, dot, json, svg, text};
use crate::ssh;

const FORMATS: [&str; 3] = ["dot", "svg", "text"];

/// More than any device says.
const SAID_BYTES_MAX: usize = 64 << 20;

pub fn command() -> Command {
    Command::new("graph")
        .about("Draw who needs and who controls whom")
        .long_about(
            "Draws who needs and who controls whom: of source directories, of a compiled database, \
             of a configuration (-c), or of a device that runs, with the state of each service. As \
             SVG, as a tree of text, or in the language of Graphviz, whose `dot` draws it in yet \
             other ways.",
        )
        .arg(
            Arg::new("SOURCE")
                .num_args(0..)
                .required_unless_present("configuration")
                .conflicts_with("configuration")
                .help("Folders of source directories, one database, or [USER@]HOST, as ssh has it"),
        )
        .arg(
            Arg::new("format")
                .short('f')
                .long("format")
                .value_name("FORMAT")
                .value_parser(FORMATS)
                .help(
                    "What to print [default: by the ending of FILE; text for a terminal, or dot]",
                ),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .conflicts_with("format")
                .help("Print an array with one object for each service and bundle"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write to FILE, and only once all is well"),
        )
        .arg(
            Arg::new("of")
                .long("of")
                .value_name("NAME")
                .action(ArgAction::Append)
                .help("Only this service, what it needs, and who controls that"),
        )
        .args(build::what())
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let mut graph = graph(matches)?;
    let names: Vec<&String> = matches.get_many("of").into_iter().flatten().collect();
    if !names.is_empty() {
        let chosen = names.iter().map(|name| find(&graph, name)).collect::<Result<Vec<_>, _>>()?;
        graph = graph.only(&chosen);
    }
    let output = matches.get_one::<PathBuf>("output");
    let text = match format(matches, output)? {
        "json" => format!("{:#}\n", json::write(&graph)),
        "svg" => svg::write(&graph).ok_or_else(|| {
            Failure::not_achieved(format!("{} services are too many to draw", graph.nodes.len()))
                .hint("`--of NAME` draws one with what it needs; `--format dot` is for other programs")
        })?,
        "text" => text::write(&graph),
        _ => dot::write(&graph),
    };
    match output {
        None => std::io::stdout().write_all(text.as_bytes())?,
        Some(file) => std::fs::write(file, text).map_err(|error| {
            Failure::refused(format!("cannot write {}: {error}", file.display()))
        })?,
    }
    Ok(Exit::DONE)
}

fn format<'a>(matches: &'a ArgMatches, output: Option<&'a PathBuf>) -> Result<&'a str, Failure> {
    if matches.get_flag("json") {
        return Ok("json");
    }
    if let Some(format) = matches.get_one::<String>("format") {
        return Ok(format);
    }
    let Some(file) = output else {
        return Ok(if std::io::stdout().is_terminal() { "text" } else { "dot" });
    };
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => Ok("svg"),
        Some("dot" | "gv") => Ok("dot"),
        Some("txt" | "text") => Ok("text"),
        _ => Err(Failure::usage(format!("cannot tell what {} should be", file.display()))
            .hint("a name that ends in .svg, .dot or .txt says it, and so does `--format`")),
    }
}

fn find(graph: &Graph, name: &str) -> Result<usize, Failure> {
    graph.find(name).ok_or_else(|| {
        let failure = Failure::not_achieved(format!("there is no service {name}"));
        let names = graph
            .nodes
            .iter()
            .flat_map(|node| std::iter::once(&node.name).chain(&node.others).map(String::as_str));
        match nearest(name, names) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure,
        }
    })
}

fn graph(matches: &ArgMatches) -> Result<Graph, Failure> {
    if matches.contains_id("configuration") {
        let build = build::Build::prepare(matches)?;
        let path = build.one("outputs.services")?;
        return of_database(&build.nix.on_disk(&path));
    }
    let sources: Vec<&String> = matches.get_many("SOURCE").into_iter().flatten().collect();
    match sources[..] {
        // A device is no file, but for one that is called so.
        [one] if !Path::new(one).exists() && !one.contains('/') && !one.starts_with('-') => {
            of_device(one)
        }
        [one] if Path::new(one).join("db").is_file() => of_database(Path::new(one)),
        _ => {
            let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
            decoded(&compiled(&sources)?.1.database)
        }
    }
}

fn of_database(folder: &Path) -> Result<Graph, Failure> {
    let file = DatabaseFile::read(folder).map_err(|error| {
        Failure::refused(format!("cannot read the database {}: {error}", folder.display()))
    })?;
    let database = file.database().map_err(|error| {
        Failure::refused(format!("cannot use the database {}: {error}", folder.display()))
    })?;
    Ok(Graph::of_database(&database))
}

fn decoded(bytes: &[u8]) -> Result<Graph, Failure> {
    let database = Database::open(bytes)
        .map_err(|error| Failure::refused(format!("cannot use what was just compiled: {error}")))?;
    Ok(Graph::of_database(&database))
}

/// What `ward graph` says there.
fn of_device(host: &str) -> Result<Graph, Failure> {
    let target = Target::named(host)?;
    let mut command = target.command("ward graph");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| ssh::cannot_run(&command, &error))?;
    match output.status.code() {
        Some(0) => {}
        Some(ssh::NO_CONNECTION) | None => {
            return Err(Failure::refused(format!("there is no connection to {host}"))
                .hint("for a folder of that name, write ./ before it"));
        }
        Some(ssh::NOT_FOUND) => {
            return Err(Failure::refused(format!("{host} has no ward")));
        }
        Some(_) => return Err(Failure::not_achieved(format!("{host} has no picture to give"))),
    }
    let said = output.stdout.get(..SAID_BYTES_MAX).unwrap_or(&output.stdout);
    dot::read(&String::from_utf8_lossy(said)).map_err(|line| {
        Failure::refused(format!("cannot read line {line} of what {host} says about its services"))
            .hint("its `ward` may be another version than this `doorward`; `ssh HOST ward graph | dot -Tsvg` still draws it")
    })
}
