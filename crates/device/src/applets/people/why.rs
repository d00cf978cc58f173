//! `ward why`: why a service is as it is, down to the first cause.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Entry, Index};
use model::service::live_state::{STARTING, is_up};
use model::service::reason::Reason;

use super::services::{Services, look, span};
use super::status::choose;

pub const COMMAND: Command = Command {
    name: "why",
    summary: "Say why a service is up or down, down to the first cause",
    usage: "ward why [-l LIVE] NAME...",
    options: &[Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)")],
    about: "\
Each line is the cause of the one above it. Exit codes: 0 all of them are up, \
1 one is not, 3 no such name, 111 the system refused.

Examples:

  ward why web            down to the first cause
  ward why web ssh        of both",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut live = PathBuf::from("/run/s6-rc");
    while let Some(option) = args.option()? {
        match option.as_str() {
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
        for &index in &chosen {
            explain(services, index, out)?;
        }
        services.warn();
        let up = chosen.iter().all(|&index| is_up(services.seen[index as usize].byte));
        Ok(if up { Exit::DONE } else { Exit::NOT_ACHIEVED })
    })
}

fn explain(services: &Services<'_>, first: Index, out: &mut dyn Write) -> Result<(), Failure> {
    let mut index = first;
    // A chain of causes is no longer than there are services.
    for depth in 0..=services.database.len() {
        let (word, _) = services.word(index);
        let remark = services.remark(index);
        let colon = if remark.is_empty() { "" } else { ": " };
        let indent = "  ".repeat(depth.min(40));
        writeln!(out, "{indent}{} is {word}{colon}{remark}", services.name(index))?;
        match cause(services, index) {
            Some(next) if next != index => index = next,
            _ => {
                if let Some(more) = first_cause(services, index) {
                    writeln!(out, "{indent}  {more}")?;
                }
                return Ok(());
            }
        }
    }
    Ok(())
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
    match (quiet, down) {
        _ if asked.is_some() => asked,
        (true, Some(need)) => Some(format!("nobody asked for it; it would start {need} first")),
        (true, None) => Some("nobody asked for it, or somebody stopped it".into()),
        (false, _) => None,
    }
}
