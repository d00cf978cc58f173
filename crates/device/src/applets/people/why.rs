//! `ward why`: why a service is as it is, down to the first cause.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt, text};
use engine::log::history::{Sieve, Wanted};
use model::service::database::{Entry, Index};
use model::service::live_state::{STARTING, is_up};
use model::service::reason::Reason;
use model::service::request::Phase;
use model::service::status::Exit as Ending;
use os::log::reader::Reader;

use super::history::{Ended, History};
use super::screen::{COLUMNS, fitted, wrapped};
use super::services::{Services, look_back, span};
use super::status::{choose, describe_control, describe_end};
use crate::applets::json::Object;
use crate::applets::logger;

pub const COMMAND: Command = Command {
    name: "why",
    summary: "Say why a service is up or down, down to the first cause",
    usage: "ward why [--json] [-d DIR] [-l LIVE] NAME...",
    options: &[
        Opt("--json", "Print an array with one object for each service, and its causes in order"),
        Opt("-d DIR", "The log directory (default: /run/uncaught-logs)"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
Each line is the cause of the one above it. Lines with ✓ or ✗ are what a \
controller goes by. Below stand how the last of them ended before, when it \
is tried again, and what it said last. On a terminal it is one screen. \
Exit codes: 0 all of them are up, 1 one is not, 3 no such name, 111 the system refused.

Examples:

  ward why web            down to the first cause
  ward why web ssh        of both",
    run,
};

/// Lines of a screen.
const LINES_MAX: usize = 24;

/// Lines of the log that are shown at most, and at least.
const LOG_LINES_MAX: usize = 8;
const LOG_LINES_MIN: usize = 3;

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut json, mut live) = (false, PathBuf::from("/run/s6-rc"));
    let mut logs = PathBuf::from(logger::DIRECTORY);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "d" => logs = args.value()?.into(),
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Failure::usage("it needs the name of a service"));
    }
    let wraps = std::io::stdout().is_terminal();
    look_back(&live, |services, history| {
        let chosen = choose(services, &names)?;
        let chains: Vec<Chain> = chosen.iter().map(|&index| causes(services, index)).collect();
        let why = |chain| Why::of(services, chain, history, &live, &logs);
        let mut all = chains.into_iter().map(why);
        if json {
            let all: Vec<String> = all.map(|why| why.to_json(services)).collect();
            writeln!(out, "[\n{}\n]", all.join(",\n"))?;
        } else {
            all.try_for_each(|why| out.write_all(why.to_text(wraps).as_bytes()))?;
        }
        services.warn();
        let up = chosen.iter().all(|&index| is_up(services.seen[index as usize].byte));
        Ok(if up { Exit::DONE } else { Exit::NOT_ACHIEVED })
    })
}

/// Why a service is as it is.
pub struct Why {
    pub up: bool,
    /// The service, the cause of how it is, the cause of that, and so on.
    pub causes: Vec<Cause>,
    /// Why the last of them is as it is.
    pub first_cause: Option<String>,
    /// How the last of them ended before.
    pub last_end: Option<Ended>,
    /// When init starts it again.
    pub next_start: Option<Duration>,
    /// What the last of them said last, with when.
    pub log: Vec<String>,
}

/// One service of a chain of causes.
pub struct Cause {
    pub index: Index,
    pub name: String,
    /// The word of `ward status`.
    pub word: &'static str,
    pub remark: String,
    /// What controllers go by.
    pub conditions: Vec<String>,
}

impl Why {
    pub fn of(
        services: &Services<'_>,
        (chain, first_cause): Chain,
        history: &History,
        live: &Path,
        logs: &Path,
    ) -> Self {
        let first = chain[0];
        let causes: Vec<Cause> = (chain.iter())
            .map(|&index| Cause {
                index,
                name: services.name(index).to_owned(),
                word: services.word(index).0,
                remark: services.remark(index),
                conditions: services.conditions(index).collect(),
            })
            .collect();
        let last = chain.last().copied().unwrap_or(first);
        let name = services.name(last);
        let seen = &services.seen[last as usize];
        let next_start = seen.state.filter(|state| state.phase == Phase::Waiting);
        Self {
            up: is_up(services.seen[first as usize].byte),
            causes,
            first_cause,
            last_end: history.last_end(live, name),
            next_start: next_start.and_then(|s| s.deadline).map(|at| at.since(services.now)),
            log: last_lines(logs, name, LOG_LINES_MAX).unwrap_or_default(),
        }
    }

    /// One screen of it; lines are as long as a terminal's where `wraps`.
    pub fn to_text(&self, wraps: bool) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (depth, Cause { name, word, remark, conditions, .. }) in self.causes.iter().enumerate()
        {
            let colon = if remark.is_empty() { "" } else { ": " };
            let indent = "  ".repeat(depth.min(20));
            lines.push(format!("{indent}{name} is {word}{colon}{remark}"));
            lines.extend(conditions.iter().map(|condition| format!("{indent}  {condition}")));
        }
        let indent = "  ".repeat(self.causes.len().min(21));
        lines.extend(self.first_cause.iter().map(|end| format!("{indent}{end}")));
        let last = self.causes.last();
        let name = last.map_or("", |last| &last.name);
        lines.extend(self.last_end.filter(|ended| self.tells(*ended)).map(
            |Ended { exit, ran, ago }| {
                let exit = match exit {
                    Ending::Code(code) => format!("exit code {code}"),
                    Ending::Signal(signal) => format!("signal {signal}"),
                };
                let ran = ran.map_or(String::new(), |ran| format!(" after {}", span(ran)));
                format!(
                    "last end of {name}: {exit}{ran}, {} ago (ward explain says more)",
                    span(ago)
                )
            },
        ));
        if wraps {
            lines = lines.iter().flat_map(|line| wrapped(line)).collect();
        }
        // The ends of a chain say most.
        let room = LINES_MAX - 2 - LOG_LINES_MIN.min(self.log.len()) - 1;
        if lines.len() > room {
            let (head, tail) = (room / 2, room - room / 2 - 1);
            let left_out = lines.len() - head - tail;
            let middle = format!("  … {left_out} lines more (--json has all)");
            lines.splice(head..head + left_out, [middle]);
        }
        if !self.log.is_empty() {
            let shown = (LINES_MAX - 2 - lines.len()).min(self.log.len());
            lines.push(format!("last words of {name}:"));
            for line in &self.log[self.log.len() - shown..] {
                lines.push(if wraps {
                    fitted(&format!("  {line}"), COLUMNS)
                } else {
                    format!("  {line}")
                });
            }
        }
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Of what is up only what was no order.
    fn tells(&self, ended: Ended) -> bool {
        !self.up || !matches!(ended.exit, Ending::Code(0) | Ending::Signal(15))
    }

    fn to_json(&self, services: &Services<'_>) -> String {
        let causes: Vec<String> = (self.causes.iter())
            .map(|cause| {
                let mut object = Object::begin();
                object.text("name", &cause.name);
                object.text("phase", cause.word);
                object.text("remark", &cause.remark);
                describe_control(services, cause.index, &mut object);
                object.end()
            })
            .collect();
        let mut object = Object::begin();
        object.text("name", self.causes.first().map_or("", |cause| &cause.name));
        object.truth("up", self.up);
        object.list("causes", &causes);
        if let Some(end) = &self.first_cause {
            object.text("first_cause", end);
        }
        if let Some(Ended { exit, ran, ago }) = self.last_end {
            describe_end(exit, &mut object);
            if let Some(ran) = ran {
                object.millis("ran_ms", ran);
            }
            object.millis("ended_ms", ago);
        }
        if let Some(next) = self.next_start {
            object.millis("next_ms", next);
        }
        object.texts("log", self.log.iter().map(String::as_str));
        object.end()
    }
}

/// The last lines of a service in the log, each with when it was, from the end on.
fn last_lines(logs: &Path, name: &str, count: usize) -> std::io::Result<Vec<String>> {
    let reader = Reader::open_all(logs, false)?;
    let services = vec![(name.into(), false)];
    let all = |_: &[u8]| true;
    let mut sieve = Sieve::new(Wanted { services, ..Wanted::default() }, &all);
    reader.learn(&mut sieve)?;
    let place = reader.start(&mut sieve, Some(count))?;
    let (zone, mut lines) = (os::zone::local(), Vec::new());
    reader.read(&mut sieve, place, &mut |sieve, line| {
        if let Some(entry) = sieve.look(line) {
            let mut text = Vec::new();
            entry.append_short(&zone, &mut text);
            lines.push(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(true)
    })?;
    Ok(lines)
}

/// A service, the cause of how it is, the cause of that, and so on; and why the
/// last of them is as it is.
pub type Chain = (Vec<Index>, Option<String>);

/// Follows the causes of how a service is.
pub fn causes(services: &Services<'_>, first: Index) -> Chain {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn why(causes: usize, words: usize, log: usize) -> Why {
        let cause = |at| Cause {
            index: 0,
            name: format!("service{at}"),
            word: "waiting",
            remark: "for é ".repeat(words),
            conditions: vec!["✗ link: down".into(); words % 3],
        };
        Why {
            up: false,
            causes: (0..causes).map(cause).collect(),
            first_cause: Some("x".repeat(200)),
            last_end: Some(Ended {
                exit: Ending::Code(7),
                ran: Some(Duration::from_millis(1500)),
                ago: Duration::from_secs(3),
            }),
            next_start: None,
            log: (0..log).map(|at| format!("line {at} {}", "y".repeat(90 * (at % 2)))).collect(),
        }
    }

    #[test]
    fn it_is_one_screen_whatever_the_chain_and_the_log() {
        for causes in [1, 2, 7, 100] {
            for words in [0, 1, 20, 100] {
                for log in [0, 1, 3, 8] {
                    let text = why(causes, words, log).to_text(true);
                    let lines: Vec<&str> = text.lines().collect();
                    assert!(lines.len() <= LINES_MAX, "{causes} {words} {log}:\n{text}");
                    assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
                    assert!(text.starts_with("service0 is waiting"), "{text}");
                    let last = format!("service{}", causes - 1);
                    assert!(text.contains(&last), "{text}");
                    assert!(log == 0 || text.contains(&format!("  line {}", log - 1)), "{text}");
                    assert!(text.contains("exit code 7 after 1.5 s, 3.0 s ago"), "{text}");
                }
            }
        }
    }
}
