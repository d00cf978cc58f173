//! Having a device try a generation, and confirming it over a connection that did not exist before.
//!
//! Whatever is said or lost on the way, the last word has the device: what it says that it runs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli::{Exit, Failure};
use serde_json::json;

use super::device::{self, Status, status, too_old, visit};
use crate::copy::line::Target;
use crate::say::event;
use crate::ssh::{NO_CONNECTION, NOT_FOUND, cannot_run, quoted};

/// From one look at the device to the next.
const LOOK: Duration = Duration::from_millis(400);

/// What a device may take beside its deadline: for its services to go over and back, or to restart.
const SLACK: Duration = Duration::from_secs(300);

/// How a generation is to be tried.
pub struct Wish {
    pub target: Target,
    /// Where it is reached once it has gone over.
    pub then: Target,
    pub path: String,
    pub id: String,
    pub deadline: Duration,
    pub confirm: bool,
    pub reboot: bool,
    pub any_kernel: bool,
    /// Events are printed, and not what people read.
    pub json: bool,
    pub by: String,
    pub why: String,
}

/// How what began it has ended.
enum Begun {
    /// It waits to be confirmed, restarts, or has been kept.
    Well,
    /// The device says no, or has gone back.
    Not(i32),
    /// The connection is gone.
    Lost,
}

/// Has it tried, and says how it ended.
///
/// # Errors
/// The device does not run it, or nobody knows.
pub fn run(wish: &Wish) -> Result<Exit, Failure> {
    let began = Instant::now();
    let begun = begin(wish)?;
    if let Begun::Not(code) = begun {
        return refused(wish, code);
    }
    match begun {
        Begun::Lost => say("the connection is gone; the trial is the device's own, and goes on"),
        // It has just said that it waits for that.
        _ if wish.confirm && !wish.reboot => confirm(wish)?,
        _ => {}
    }
    let until = began + wish.deadline + SLACK;
    let mut told = String::new();
    let mut seen = false;
    while Instant::now() < until {
        // The device may say no for a moment while it goes over; what it says last counts.
        let now = status(&wish.then).ok().flatten();
        if let Some(now) = now {
            seen = true;
            if let Some(end) = verdict(wish, &now) {
                return end;
            }
            let phase = now.phase(&wish.id).unwrap_or("not begun").to_owned();
            if phase != told {
                told.clone_from(&phase);
                say(&format!("the device says: {phase}"));
            }
            if phase == "awaiting" && wish.confirm {
                confirm(wish)?;
                continue;
            }
        }
        std::thread::sleep(LOOK);
    }
    let host = &wish.then.host;
    let why = match seen {
        true => format!("{host} could not be reached any more, or did not come to an end"),
        false => format!("{host} could not be reached after it had begun to go over"),
    };
    Err(Failure::refused(why).hint(
        "without being confirmed it goes back by itself at its deadline; `ward generation status` \
         there tells what it runs",
    ))
}

/// What the device has to say.
pub fn said(json: bool, line: &str) {
    match json {
        true => event(&json!({ "event": "said", "text": line })),
        false => println!("{line}"),
    }
}

fn say(text: &str) {
    eprintln!("doorward: {text}");
}

/// Has the device begin, and shows what it says as long as it can be heard.
fn begin(wish: &Wish) -> Result<Begun, Failure> {
    let mut words = format!(
        "ward generation activate --id {} --deadline {} --by {} --why {}",
        wish.id,
        wish.deadline.as_secs(),
        quoted(&wish.by),
        quoted(&wish.why)
    );
    for (is_wanted, word) in [
        (!wish.confirm, " --no-confirm"),
        (wish.reboot, " --reboot"),
        (wish.any_kernel, " --any-kernel"),
    ] {
        if is_wanted {
            words += word;
        }
    }
    words += " ";
    words += &wish.path;
    let mut command = wish.target.visit(&words);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_run(&command, &error))?;
    let lines = BufReader::new(child.stdout.take().expect("it was asked for"));
    for line in lines.lines() {
        match line {
            Ok(line) => said(wish.json, &line),
            Err(_) => break,
        }
    }
    let ended = child.wait().map_err(Failure::refused)?;
    Ok(match ended.code() {
        Some(0) => Begun::Well,
        Some(NO_CONNECTION) | None => Begun::Lost,
        Some(NOT_FOUND) => return Err(too_old(&wish.target)),
        Some(code) => Begun::Not(code),
    })
}

/// It has said no, and why; what it runs it says once more, to whoever comes anew.
fn refused(wish: &Wish, code: i32) -> Result<Exit, Failure> {
    let until = Instant::now() + wish.deadline.min(SLACK);
    loop {
        if let Ok(Some(now)) = status(&wish.target) {
            if let Some(last) = now.end(&wish.id) {
                return Err(not_kept(wish, &now, last));
            }
            let name = name(&now);
            return Err(Failure::not_achieved(format!("{} runs {name}", wish.target.host)));
        }
        if Instant::now() > until {
            let exit = Exit(u8::try_from(code).unwrap_or(Exit::NOT_ACHIEVED.0));
            return Err(Failure::new(exit, "the device cannot be reached to ask what it runs"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Confirms it, by its name. Whether that was heard, and what came of it, the device says next.
fn confirm(wish: &Wish) -> Result<(), Failure> {
    visit(&wish.then, &format!("ward generation confirm {}", wish.id)).map(drop)
}

/// How it has ended, if it has.
fn verdict(wish: &Wish, now: &Status) -> Option<Result<Exit, Failure>> {
    if now.running == wish.path && now.boot == wish.path {
        if wish.json {
            event(&json!({
                "event": "runs",
                "device": wish.then.host,
                "path": now.running,
                "number": now.number,
                "warnings": now.warnings,
            }));
            return Some(Ok(Exit::DONE));
        }
        for warning in &now.warnings {
            say(&format!("warning: {warning}"));
        }
        println!("{} runs {}, and starts it from now on", wish.then.host, name(now));
        return Some(Ok(Exit::DONE));
    }
    // Before it is back it runs neither, or is about to restart.
    let last = now.end(&wish.id).filter(|last| last.outcome == "failed")?;
    let is_back = now.running != wish.path
        && !matches!(now.phase(&wish.id), Some("returning" | "restarting"));
    is_back.then(|| Err(not_kept(wish, now, last)))
}

fn name(now: &Status) -> String {
    match now.number {
        Some(number) => format!("generation {number} ({})", now.running),
        None => now.running.clone(),
    }
}

fn not_kept(wish: &Wish, now: &Status, last: &device::Last) -> Failure {
    let mut why =
        format!("{} has gone back, and runs {}: {}", wish.target.host, name(now), last.reason);
    if !last.lines.is_empty() {
        why += "\n  its log ended with:";
        for line in &last.lines[last.lines.len().saturating_sub(12)..] {
            why += "\n    ";
            why += line;
        }
    }
    Failure::not_achieved(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::device::Last;

    fn wish() -> Wish {
        let target = Target { host: "root@router".into(), receiver: String::new() };
        Wish {
            then: target.clone(),
            target,
            path: "/new".into(),
            id: "this-one".into(),
            deadline: Duration::from_secs(90),
            confirm: true,
            reboot: false,
            any_kernel: false,
            json: false,
            by: String::new(),
            why: String::new(),
        }
    }

    fn at(running: &str, boot: &str, phase: &str, outcome: &str) -> Status {
        let last = Last { id: "this-one".into(), outcome: outcome.into(), ..Last::default() };
        Status {
            running: running.into(),
            boot: boot.into(),
            trial: Some(("this-one".into(), phase.into())),
            last: Some(last),
            ..Status::default()
        }
    }

    #[test]
    fn only_what_the_device_runs_and_starts_counts_as_done() {
        let exit = |now: Status| verdict(&wish(), &now).map(|end| end.map_err(|it| it.exit));
        assert_eq!(exit(at("/new", "/new", "committed", "committed")), Some(Ok(Exit::DONE)));
        assert_eq!(exit(at("/new", "/old", "awaiting", "trial")), None);
        assert_eq!(exit(at("/new", "/old", "committing", "trial")), None);
        assert_eq!(exit(at("/old", "/old", "returning", "failed")), None, "not back yet");
        assert_eq!(exit(at("/old", "/old", "switching", "trial")), None);
        let failed = Some(Err(Exit::NOT_ACHIEVED));
        assert_eq!(exit(at("/old", "/old", "returned", "failed")), failed);
        let mut restarted = at("/old", "/old", "", "failed");
        restarted.trial = None;
        assert_eq!(exit(restarted), failed);
        let mut other = at("/old", "/old", "returned", "failed");
        other.last.as_mut().expect("it has one").id = "another-one".into();
        assert_eq!(exit(other), None, "what became of another trial says nothing");
    }
}
