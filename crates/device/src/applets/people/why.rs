//! `ward why`: why a service is as it is, down to the first cause.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Entry, Index};
use model::service::live_state::{STARTING, is_up};
use model::service::reason::Reason;

use super::services::{Services, look, span};
use super::status::{choose, describe_control};
use crate::applets::json::Object;

pub const COMMAND: Command = Command {
    name: "why",
    summary: "Say why a service is up or down, down to the first cause",
    usage: "ward why [--json] [-l LIVE] NAME...",
    options: &[
        Opt("--json", "Print an array with one object for each service, and its causes in order"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
Each line is the cause of the one above it. Lines with ✓ or ✗ are what a \
controller goes by. Exit codes: 0 all of them are up, \
1 one is not, 3 no such name, 111 the system refused.

Examples:

  ward why web            down to the first cause
  ward why web ssh        of both",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut json, mut live) = (false, PathBuf::from("/run/s6-rc"));
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Failure::usage("it needs the name of a service"));
    }
    look(&live, |services| {
        let chosen = choose(services, &names)?;
        if json {
            let all: Vec<String> = chosen.iter().map(|&index| to_json(services, index)).collect();
            writeln!(out, "[\n{}\n]", all.join(",\n"))?;
        } else {
            chosen.iter().try_for_each(|&index| explain(services, index, out))?;
        }
        services.warn();
        let up = chosen.iter().all(|&index| is_up(services.seen[index as usize].byte));
        Ok(if up { Exit::DONE } else { Exit::NOT_ACHIEVED })
    })
}

fn explain(services: &Services<'_>, first: Index, out: &mut dyn Write) -> Result<(), Failure> {
    let (chain, end) = causes(services, first);
    for (depth, &index) in chain.iter().enumerate() {
        let (word, _) = services.word(index);
        let remark = services.remark(index);
        let colon = if remark.is_empty() { "" } else { ": " };
        let indent = "  ".repeat(depth.min(40));
        writeln!(out, "{indent}{} is {word}{colon}{remark}", services.name(index))?;
        for condition in services.conditions(index) {
            writeln!(out, "{indent}  {condition}")?;
        }
    }
    if let Some(end) = end {
        writeln!(out, "{}{end}", "  ".repeat(chain.len().min(41)))?;
    }
    Ok(())
}

fn to_json(services: &Services<'_>, first: Index) -> String {
    let (chain, end) = causes(services, first);
    let causes: Vec<String> = (chain.iter())
        .map(|&index| {
            let mut object = Object::begin();
            object.text("name", services.name(index));
            object.text("phase", services.word(index).0);
            object.text("remark", &services.remark(index));
            describe_control(services, index, &mut object);
            object.end()
        })
        .collect();
    let mut object = Object::begin();
    object.text("name", services.name(first));
    object.raw("up", if is_up(services.seen[first as usize].byte) { "true" } else { "false" });
    object.raw("causes", &format!("[{}]", causes.join(",")));
    if let Some(end) = end {
        object.text("first_cause", &end);
    }
    object.end()
}

/// A service, the cause of how it is, the cause of that, and so on; and why the
/// last of them is as it is.
pub fn causes(services: &Services<'_>, first: Index) -> (Vec<Index>, Option<String>) {
    let mut chain = vec![first];
    // A chain of causes is no longer than there are services.
    while let Some(&index) = chain.last() {
        match cause(services, index) {
            Some(next) if !chain.contains(&next) => chain.push(next),
            _ => return (chain, first_cause(services, index)),
        }
    }
    (chain, None)
}

/// The other service that is the cause of how this one is.
fn cause(services: &Services<'_>, index: Index) -> Option<Index> {
    let seen = &services.seen[index as usize];
    let named = match &seen.trouble {
        Some(Reason::Need(name) | Reason::NeededBy(name)) => Some(name.as_str()),
        _ => None,
    };
    if let Some(name) = named
        && let Some(Entry::Service(other)) = services.database.find(name)
        && (is_up(seen.byte) || !is_up(services.seen[other as usize].byte))
    {
        return Some(other);
    }
    if !is_up(seen.byte) && !seen.goal {
        // It comes with what is controlled, and that with its controller.
        if let Some(need) = services.held_back(index) {
            return Some(need);
        }
        let starter = services.database.service(index).started_by();
        return starter.filter(|starter| !is_up(services.seen[*starter as usize].byte));
    }
    let waits = seen.goal && !is_up(seen.byte) && seen.byte & STARTING == 0;
    if waits { services.missing(index).next() } else { None }
}

/// Why the last one of a chain is as it is.
fn first_cause(services: &Services<'_>, index: Index) -> Option<String> {
    let seen = &services.seen[index as usize];
    let asked = services.request(index).map(|request| {
        let ago = span(services.now.since(request.at));
        format!("{ago} ago somebody asked: {}", request.by)
    });
    if is_up(seen.byte) {
        if services.is_wanted(index) {
            return Some(asked.unwrap_or_else(|| "it was asked for".into()));
        }
        let mut users = services.database.service(index).needed_by();
        let user = users.find(|user| is_up(services.seen[*user as usize].byte));
        return user.map(|user| format!("{} needs it", services.name(user))).or(asked);
    }
    let quiet = !seen.goal && seen.trouble.is_none();
    let down = services.missing(index).next().map(|need| services.name(need).to_owned());
    let starter = services.database.service(index).started_by();
    match (quiet, down) {
        (true, _) if starter.is_some() && asked.is_none() => {
            let starter = starter.map(|starter| services.name(starter)).unwrap_or_default();
            Some(format!("its controller {starter} has not started it"))
        }
        _ if asked.is_some() => asked,
        (true, Some(need)) => Some(format!("nobody asked for it; it would start {need} first")),
        (true, None) => Some("nobody asked for it, or somebody stopped it".into()),
        (false, _) => None,
    }
}
