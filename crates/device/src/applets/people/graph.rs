//! `ward graph`: who needs, reads and controls whom, as a picture.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Index, Reaction};

use super::services::{Mood, Services, look};
use super::status::choose;
use crate::applets::json::quoted;

pub const COMMAND: Command = Command {
    name: "graph",
    summary: "Print who needs and who controls whom, for a picture",
    usage: "ward graph [-l LIVE] [NAME...]",
    options: &[Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)")],
    about: "\
The picture is in the language of dot (`ward graph | dot -Tsvg`). Arrows lead \
to what is needed; bold ones are pipes; dashed ones lead from controllers to what they \
start, dotted ones to what they watch. Colours: green up, yellow on its way, \
red failed, grey down. With names: these and all they need.",
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
    look(&live, |services| {
        let chosen = choose(services, &names)?;
        out.write_all(draw(services, &chosen).as_bytes())?;
        services.warn();
        Ok(Exit::DONE)
    })
}

fn draw(services: &Services<'_>, chosen: &[Index]) -> String {
    let database = &services.database;
    let mut drawn = vec![false; database.len()];
    let mut left = chosen.to_vec();
    while let Some(index) = left.pop() {
        if !std::mem::replace(&mut drawn[index as usize], true) {
            let service = database.service(index);
            left.extend(service.needs().chain(service.started_by()));
        }
    }
    let name = |index: Index| quoted(services.name(index));
    let mut text = String::from("digraph services {\n  rankdir=BT; node [style=filled];\n");
    for service in database.services().filter(|service| drawn[service.index() as usize]) {
        let index = service.index();
        let (word, mood) = services.word(index);
        let colour = match mood {
            Mood::Good => "palegreen",
            Mood::Busy => "khaki",
            Mood::Bad => "salmon",
            Mood::Quiet => "grey90",
        };
        let shape = match (service.controller().is_some(), service.is_longrun()) {
            (true, _) => "hexagon",
            (false, true) => "box",
            (false, false) => "ellipse",
        };
        let this = name(index);
        text += &format!("  {this} [shape={shape},fillcolor={colour},tooltip={word:?}];\n");
        let consumer = service.longrun().and_then(|longrun| longrun.consumer);
        for need in service.needs() {
            let style = if consumer == Some(need) { " [style=bold]" } else { "" };
            text += &format!("  {this} -> {}{style};\n", name(need));
        }
        for (controlled, _) in service.controls().filter(|(other, _)| drawn[*other as usize]) {
            let starts = database.service(controlled).started_by() == Some(index);
            let style = if starts { "dashed" } else { "dotted" };
            text += &format!("  {this} -> {} [style={style}];\n", name(controlled));
        }
    }
    for reaction in database.reactions().filter(|reaction| drawn[reaction.user as usize]) {
        let does = if reaction.reaction == Reaction::Notify { "notify" } else { "restart" };
        let (need, user) = (name(reaction.need), name(reaction.user));
        text += &format!("  {need} -> {user} [label={does},constraint=false,color=grey];\n");
    }
    text + "}\n"
}
