//! `ward graph`: who needs, reads and controls whom, as a picture.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Index, Reaction};

use super::services::{Mood, Services, look};
use super::status::choose;
use crate::applets::json::{Object, quoted};

pub const COMMAND: Command = Command {
    name: "graph",
    summary: "Print who needs and who controls whom, for a picture",
    usage: "ward graph [--json] [-l LIVE] [NAME...]",
    options: &[
        Opt("--json", "Print an array with one object for each service"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
The picture is in the language of dot (`ward graph | dot -Tsvg`). Arrows lead \
to what is needed; bold ones are pipes; dashed ones lead from controllers to what they \
start, dotted ones to what they watch. Colours: green up, yellow on its way, \
red failed, grey down. With names: these and all they need.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut live, mut json) = (PathBuf::from("/run/s6-rc"), false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    look(&live, |services| {
        let chosen = choose(services, &names)?;
        let drawn = with_needs(services, &chosen);
        let text = if json { to_json(services, &drawn) } else { draw(services, &drawn) };
        out.write_all(text.as_bytes())?;
        services.warn();
        Ok(Exit::DONE)
    })
}

/// For each service whether it is one of these, or something that they need or that starts them.
fn with_needs(services: &Services<'_>, chosen: &[Index]) -> Vec<bool> {
    let database = &services.database;
    let mut drawn = vec![false; database.len()];
    let mut left = chosen.to_vec();
    while let Some(index) = left.pop() {
        if !std::mem::replace(&mut drawn[index as usize], true) {
            let service = database.service(index);
            left.extend(service.needs().chain(service.started_by()));
        }
    }
    drawn
}

fn to_json(services: &Services<'_>, drawn: &[bool]) -> String {
    let database = &services.database;
    let objects = database.services().filter(|service| drawn[service.index() as usize]);
    let objects = objects.map(|service| {
        let index = service.index();
        let mut object = Object::begin();
        object.text("name", services.name(index));
        object.text("type", if service.is_longrun() { "longrun" } else { "oneshot" });
        object.text("state", services.word(index).0);
        object.texts("needs", service.needs().map(|need| services.name(need)));
        if let Some(consumer) = service.longrun().and_then(|longrun| longrun.consumer) {
            object.text("pipe", services.name(consumer));
        }
        if service.controller().is_some() {
            let of = |starts: bool| {
                let all = service.controls().map(|(other, _)| other);
                all.filter(move |other| {
                    (database.service(*other).started_by() == Some(index)) == starts
                })
            };
            object.texts("starts", of(true).map(|other| services.name(other)));
            object.texts("watches", of(false).map(|other| services.name(other)));
        }
        for (key, kind) in [("notified_by", Reaction::Notify), ("restarted_by", Reaction::Restart)]
        {
            let of = database.reactions().filter(|it| it.user == index && it.reaction == kind);
            let of: Vec<&str> = of.map(|it| services.name(it.need)).collect();
            if !of.is_empty() {
                object.texts(key, of.into_iter());
            }
        }
        object.end()
    });
    format!("[{}]\n", objects.collect::<Vec<_>>().join(",\n "))
}

fn draw(services: &Services<'_>, drawn: &[bool]) -> String {
    let database = &services.database;
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
