//! `ward status`: how services are.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Entry, Index};
use model::service::live_state::is_up;
use model::service::name::nearest;
use model::service::status::Exit as Ended;
use os::terminal::colours;

use super::super::levitate::where_one_is;
use super::services::{Mood, Services, look};
use crate::applets::generation;
use crate::applets::json::Object;
use crate::applets::trial::switch::LIVE;

pub const COMMAND: Command = Command {
    name: "status",
    summary: "Show how services are, as a tree of what needs what",
    usage: "ward status [--json] [-l LIVE] [NAME...]",
    options: &[
        Opt("--json", "Print an array with one object for each service"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
Below each service stands what it needs. With names: only these, and what \
they need. In maintenance, and where `levitate` has prepared it, that is said first. Exit codes: 0 all of them are up or nobody wants them up, 1 one is \
not what it should be, 3 no such name, 111 the system refused.

Examples:

  ward status             all services, each with what it needs below it
  ward status ssh         one of them
  ward status --json      the same, for programs",
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
    let usual = live == Path::new("/run/s6-rc");
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    look(&live, |services| {
        let chosen = choose(services, &names)?;
        let mut text = String::new();
        if json {
            print_json(services, &chosen, &mut text);
        } else {
            let tops = if names.is_empty() { tops(services) } else { chosen.clone() };
            if let Some(place) = where_one_is().filter(|_| names.is_empty() && usual) {
                text = format!("{place}\n\n");
            }
            Tree::new(services, colours()).print(&tops, &mut text);
        }
        services.warn();
        out.write_all(text.as_bytes())?;
        // What concerns the whole device is no part of the list.
        if !json
            && live == Path::new(LIVE)
            && let Some(notice) = generation::notice(false)
        {
            eprint!("{notice}");
        }
        let bad = chosen.iter().any(|&index| services.word(index).1 == Mood::Bad);
        Ok(if bad { Exit::NOT_ACHIEVED } else { Exit::DONE })
    })
}

/// The services that names stand for; all, where there are none.
pub(super) fn choose(services: &Services<'_>, names: &[&str]) -> Result<Vec<Index>, Failure> {
    if names.is_empty() {
        return Ok((0..services.database.len() as Index).collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        match services.database.find(name) {
            Some(Entry::Service(index)) => chosen.push(index),
            Some(Entry::Bundle(bundle)) => {
                chosen.extend(services.database.bundle(bundle).contents());
            }
            None => {
                let failure = Failure::new(Exit(3), format!("there is no service {name}"));
                return Err(match nearest(name, services.database.names()) {
                    Some(near) => failure.hint(format!("did you mean {near}?")),
                    None => failure,
                });
            }
        }
    }
    Ok(chosen)
}

/// The services that nothing needs.
fn tops(services: &Services<'_>) -> Vec<Index> {
    let all = services.database.services();
    all.filter(|service| service.needed_by().len() == 0).map(|service| service.index()).collect()
}

struct Tree<'a, 'd> {
    services: &'a Services<'d>,
    colours: bool,
    /// Its needs stand further up.
    shown: Vec<bool>,
}

impl<'a, 'd> Tree<'a, 'd> {
    fn new(services: &'a Services<'d>, colours: bool) -> Self {
        Self { services, colours, shown: vec![false; services.database.len()] }
    }

    /// One line for each service, and below it what it needs.
    fn print(&mut self, tops: &[Index], text: &mut String) {
        // Depth first, with a list instead of recursion: a chain of needs may
        // be as long as the database.
        let mut left: Vec<(Index, String, bool)> =
            tops.iter().rev().map(|&index| (index, String::new(), true)).collect();
        while let Some((index, indent, last)) = left.pop() {
            let top = indent.is_empty();
            let branch = match (top, last) {
                (true, _) => "",
                (false, true) => "└ ",
                (false, false) => "├ ",
            };
            let stem = indent.get(3..).unwrap_or_default();
            let known = std::mem::replace(&mut self.shown[index as usize], true);
            let needs: Vec<Index> = self.services.database.service(index).needs().collect();
            let repeated = known && !needs.is_empty();
            self.line(index, &format!("{stem}{branch}"), repeated, text);
            if known {
                continue;
            }
            let below = match (top, last) {
                (true, _) => "   ".to_owned(),
                // Deep trees stop being indented: nobody reads that anyway.
                _ if indent.len() > 240 => indent,
                (false, true) => format!("{indent}  "),
                (false, false) => format!("{indent}│ "),
            };
            for (at, &need) in needs.iter().enumerate().rev() {
                left.push((need, below.clone(), at + 1 == needs.len()));
            }
        }
    }

    fn line(&self, index: Index, indent: &str, repeated: bool, text: &mut String) {
        let (word, mood) = self.services.word(index);
        let (on, off) = match mood {
            _ if !self.colours => ("", ""),
            Mood::Good => ("\x1b[32m", "\x1b[0m"),
            Mood::Busy => ("\x1b[33m", "\x1b[0m"),
            Mood::Bad => ("\x1b[31m", "\x1b[0m"),
            Mood::Quiet => ("\x1b[2m", "\x1b[0m"),
        };
        let name = self.services.name(index);
        let width = 30usize.saturating_sub(indent.chars().count());
        let remark = if repeated { "(see above)".into() } else { self.services.remark(index) };
        let line = format!("{indent}{name:width$} {on}{word:10}{off} {remark}");
        text.push_str(line.trim_end());
        text.push('\n');
        if !repeated {
            for condition in self.services.conditions(index) {
                text.push_str(&format!("{:31}{condition}\n", ""));
            }
        }
    }
}

fn print_json(services: &Services<'_>, chosen: &[Index], text: &mut String) {
    text.push_str("[\n");
    for (at, &index) in chosen.iter().enumerate() {
        let service = services.database.service(index);
        let seen = &services.seen[index as usize];
        let mut object = Object::begin();
        object.text("name", service.name());
        object.text("type", if service.is_longrun() { "longrun" } else { "oneshot" });
        object.truth("up", is_up(seen.byte));
        object.text("phase", services.word(index).0);
        object.truth("wanted", services.is_wanted(index));
        object.raw("goal", if seen.goal { "\"up\"" } else { "\"down\"" });
        object.truth("essential", service.essential());
        if let Some(state) = &seen.state {
            if state.pid != 0 {
                object.number("pid", state.pid.into());
            }
            object.millis("for_ms", services.now.since(state.since));
            if let Some(exit) = state.exit {
                describe_end(exit, &mut object);
            }
            if let Some(deadline) = state.deadline {
                object.millis("next_ms", deadline.since(services.now));
            }
        }
        if let Some(reason) = &seen.trouble {
            object.text("reason", &services.reason(index, reason.as_ref()));
        }
        if let Some(limit) = seen.limit {
            object.millis("given_up_in_ms", limit.since(services.now));
        }
        if let Some(request) = services.request(index) {
            object.text("asked_by", &request.by);
            object.millis("asked_ms", services.now.since(request.at));
        }
        describe_control(services, index, &mut object);
        object.texts("needs", service.needs().map(|need| services.name(need)));
        text.push_str(&object.end());
        text.push_str(if at + 1 == chosen.len() { "\n" } else { ",\n" });
    }
    text.push_str("]\n");
}

/// How a process ended.
pub(super) fn describe_end(exit: Ended, object: &mut Object) {
    match exit {
        Ended::Code(code) => object.number("last_exit", code.into()),
        Ended::Signal(signal) => object.number("last_signal", signal.into()),
    }
}

/// Who controls a service, and by what; what it controls.
pub(super) fn describe_control(services: &Services<'_>, index: Index, object: &mut Object) {
    let service = services.database.service(index);
    if let Some(starter) = service.started_by() {
        object.text("controller", services.name(starter));
    }
    let mut watchers = service.controlled_by().filter(|by| !by.starts(index)).peekable();
    if watchers.peek().is_some() {
        object.texts("watched_by", watchers.map(|by| by.service().name()));
    }
    let conditions = services.seen[index as usize].conditions.iter().map(|known| {
        let mut object = Object::begin();
        object.text("controller", &known.controller);
        object.text("label", &known.label);
        object.text("value", &known.value);
        object.truth("holds", known.holds);
        object.millis("for_ms", services.now.since(known.since));
        object.end()
    });
    let conditions: Vec<String> = conditions.collect();
    if !conditions.is_empty() {
        object.list("conditions", &conditions);
    }
    if let Some(controller) = service.controller() {
        object.text("kind", controller.kind().name());
        object.texts("controls", controller.controls().map(|(index, _)| services.name(index)));
    }
}
