//! `ward start`, `stop`, `restart` and `reload`, for people.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::manager_request::{FromManager, Manner, Step, Verb};
use os::service::manager_client::Heard;

use crate::applets::change::{Change, print_line};
use crate::applets::json::Object;

const OPTIONS: &[Opt] = &[
    Opt("--wait SECONDS", "Give up after this long (default: 60; 0: never)"),
    Opt("--json", "Print an object for each step, one a line"),
    Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
];

const ABOUT: &str = "\
What was begun when the time is over goes on. A newer request for the same \
service wins over an older one.

Exit codes: 0 done; 1 something is not as asked for, and why; 2 the time is over; 3 no such name; \
100 wrong usage; 111 the system refused.

Examples:

  ward start ssh                 ssh, and what it needs
  ward start --wait 5 ssh dns    both, and give up after five seconds
  ward stop lan                  lan, and what needs it
  ward restart dns               afresh, together with what needs it and is up
  ward reload dns                have it read its settings again";

pub const START: Command = Command {
    name: "start",
    summary: "Bring services up, and everything they need",
    usage: "ward start [--wait SECONDS] [--json] [-l LIVE] NAME...",
    options: OPTIONS,
    about: ABOUT,
    run: |args, out| run(args, out, Verb::Up),
};

pub const STOP: Command = Command {
    name: "stop",
    summary: "Bring services down, and everything that needs them",
    usage: "ward stop [--wait SECONDS] [--json] [-l LIVE] NAME...",
    options: OPTIONS,
    about: ABOUT,
    run: |args, out| run(args, out, Verb::Down),
};

pub const RESTART: Command = Command {
    name: "restart",
    summary: "Make sure that services run afresh, and what needs them and is up",
    usage: "ward restart [--wait SECONDS] [--json] [-l LIVE] NAME...",
    options: OPTIONS,
    about: ABOUT,
    run: |args, out| run(args, out, Verb::Restart),
};

pub const RELOAD: Command = Command {
    name: "reload",
    summary: "Have services read their settings again",
    usage: "ward reload [--wait SECONDS] [--json] [-l LIVE] NAME...",
    options: OPTIONS,
    about: ABOUT,
    run: |args, out| run(args, out, Verb::Reload),
};

fn run(args: &mut Args, out: &mut dyn Write, verb: Verb) -> Result<Exit, Failure> {
    let (mut wait, mut live) = (60, PathBuf::from("/run/s6-rc"));
    let mut story = Story::default();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "wait" => wait = args.parsed::<u32>()?,
            "json" => story.json = true,
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let names: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Failure::usage("it needs the name of a service"));
    }
    let change = Change {
        live: &live,
        verb,
        manner: Manner { detail: true, ..Manner::default() },
        names: &names,
        limit: (wait != 0).then(|| Duration::from_secs(wait.into())),
        scripts: true,
        ticks: std::io::stdout().is_terminal(),
    };
    let ending = change.ask(&mut |heard| match heard {
        Heard::Manager(FromManager::Step { name, step, .. }) => story.step(name, step, out),
        Heard::Manager(_) => {}
        // What a script prints is nothing that a program reads.
        Heard::Line(line) if story.json => print_line(line, &mut std::io::stderr()),
        Heard::Line(line) => print_line(line, out),
        Heard::Quiet => story.still_waiting(out),
    })?;
    if ending.exit == 0 && story.told == 0 && !story.json {
        let is = match verb {
            Verb::Up => "up already",
            Verb::Down => "down already",
            Verb::Restart => "running afresh already",
            Verb::Reload => "reloaded",
        };
        writeln!(out, "{}: {is}", names.join(", "))?;
    }
    if ending.exit == 2 {
        eprintln!("ward: after {wait} s not everything is done; what was begun goes on");
    }
    Ok(Exit(ending.exit))
}

/// What a person is told.
#[derive(Default)]
struct Story {
    /// Told to a program.
    json: bool,
    told: u32,
    /// What is going on, and what it is doing.
    busy: Vec<(String, &'static str)>,
    seconds: u32,
}

impl Story {
    fn step(&mut self, name: &str, step: Step<'_>, out: &mut dyn Write) {
        self.told += 1;
        self.seconds = 0;
        self.busy.retain(|(busy, _)| busy != name);
        if self.json {
            self.object(name, step, out);
            return;
        }
        let line = match step {
            Step::Starting => return self.busy.push((name.to_owned(), "starting")),
            Step::Stopping => return self.busy.push((name.to_owned(), "stopping")),
            Step::Up => format!("{name}: up"),
            Step::Down => format!("{name}: down"),
            Step::Reloaded => format!("{name}: reloaded"),
            Step::Spared => {
                format!("{name}: essential, so it stays up (s6-rc -D change {name} stops it)")
            }
            Step::Failed(reason) => format!("{name}: {reason}"),
        };
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    fn object(&self, name: &str, step: Step<'_>, out: &mut dyn Write) {
        let mut object = Object::begin();
        object.text("name", name);
        let step = match step {
            Step::Starting => "starting",
            Step::Stopping => "stopping",
            Step::Up => "up",
            Step::Down => "down",
            Step::Reloaded => "reloaded",
            Step::Spared => "spared",
            Step::Failed(reason) => {
                object.text("reason", &reason.to_string());
                "failed"
            }
        };
        object.text("step", step);
        let _ = writeln!(out, "{}", object.end()).and_then(|()| out.flush());
    }

    /// Nothing has happened for a second: says what is waited for, ever less often.
    fn still_waiting(&mut self, out: &mut dyn Write) {
        self.seconds += 1;
        if self.json || self.busy.is_empty() || !matches!(self.seconds, 2 | 5 | 10 | 20 | 40) {
            return;
        }
        let busy: Vec<String> =
            self.busy.iter().map(|(name, doing)| format!("{name} ({doing})")).collect();
        let _ = writeln!(out, "… still waiting for {}", busy.join(", ")).and_then(|()| out.flush());
    }
}
