//! What runs, what starts next, and what is being tried.

use std::fs;
use std::io::Write;

use cli::{Args, Exit, Failure};
use model::deploy::generation::CURRENT;
use model::deploy::history::{IMAGE, Number};
use model::deploy::trial::{Pending, Plan, Progress};
use os::clock;
use os::deploy::generations::{self, Numbered};
use os::deploy::trial_dir;

use super::flags;
use crate::applets::json::Object;

/// All of it.
pub struct State {
    /// Store paths; empty where it cannot be told.
    pub running: String,
    pub boot: String,
    pub all: Vec<Numbered>,
    pub trial: Option<(Plan, Progress)>,
    pub pending: Option<Pending>,
}

impl State {
    /// Whether what runs came in the image that was written to the flash, not by an update.
    pub fn is_of_image(&self) -> bool {
        let is_it = |one: &&Numbered| one.path == self.running;
        let record = self.all.iter().find(is_it).map(|one| one.record.as_ref());
        record.is_none_or(|record| record.is_some_and(|record| record.by == IMAGE))
    }

    pub fn read() -> Result<Self, Failure> {
        let here = generations::here();
        let all = here.all().map_err(|error| {
            Failure::refused(format!("cannot read {}: {error}", model::deploy::history::FOLDER))
        })?;
        let dir = trial_dir::here();
        let trial = dir.plan().map(|plan| {
            let progress = dir.progress().unwrap_or_else(|| Progress::new(plan.began));
            (plan, progress)
        });
        let running = fs::canonicalize(CURRENT).unwrap_or_default();
        Ok(Self {
            running: running.to_string_lossy().into_owned(),
            boot: here.boot().unwrap_or_default(),
            all,
            trial,
            pending: here.pending(),
        })
    }

    pub fn number_of(&self, path: &str) -> Option<Number> {
        self.all.iter().find(|one| one.path == path).map(|one| one.number)
    }

    /// `generation 3 (/nix/store/…)`.
    pub fn name_of(&self, path: &str) -> String {
        match self.number_of(path) {
            Some(number) => format!("generation {number} ({path})"),
            None if path.is_empty() => "nobody knows what".into(),
            None => path.to_owned(),
        }
    }
}

/// How a trial is, in one sentence.
pub fn sentence(plan: &Plan, progress: &Progress) -> String {
    let Plan { number, by, .. } = plan;
    let phase = progress.phase.name();
    let left = match progress.until {
        Some(until) => format!(", {} s left", until.since(clock::now()).as_secs()),
        None => String::new(),
    };
    let reason = match progress.reason.is_empty() {
        true => String::new(),
        false => format!(": {}", progress.reason),
    };
    let began = clock::now().since(plan.began).as_secs();
    format!("generation {number}, begun {began} s ago by {by}: {phase}{left}{reason}")
}

/// A trial, for programs.
pub fn trial(plan: &Plan, progress: &Progress) -> Object {
    let mut one = tried(plan.id.as_str(), Some(plan.number), &plan.new, progress);
    if let Some(until) = progress.until {
        one.millis("left_ms", until.since(clock::now()));
    }
    one
}

/// The same of one that is over, or never was; `id` may be empty.
pub fn tried(id: &str, number: Option<Number>, path: &str, progress: &Progress) -> Object {
    let mut one = Object::begin();
    if !id.is_empty() {
        one.text("id", id);
    }
    if let Some(number) = number {
        one.number("number", number.number().into());
    }
    one.text("path", path);
    one.text("phase", progress.phase.name());
    one.text("reason", &progress.reason);
    one.texts("warnings", progress.warnings.iter().map(String::as_str));
    one
}

pub fn status(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = flags(args, ["json"])?;
    let state = State::read()?;
    if json {
        writeln!(out, "{}", state.json())?;
        return Ok(Exit::DONE);
    }
    writeln!(out, "runs:   {}", state.name_of(&state.running))?;
    writeln!(out, "starts: {}", state.name_of(&state.boot))?;
    match (&state.trial, &state.pending) {
        (Some((plan, progress)), _) => writeln!(out, "trial:  {}", sentence(plan, progress))?,
        (None, Some(pending)) => {
            writeln!(out, "trial:  generation {} with the next start", pending.number)?;
        }
        (None, None) => {}
    }
    Ok(Exit::DONE)
}

impl State {
    pub fn json(&self) -> String {
        let mut object = Object::begin();
        for (name, path) in [("running", &self.running), ("boot", &self.boot)] {
            let mut one = Object::begin();
            one.text("path", path);
            if let Some(number) = self.number_of(path) {
                one.number("number", number.number().into());
            }
            object.raw(name, &one.end());
        }
        if let Some((plan, progress)) = &self.trial {
            object.raw("trial", &trial(plan, progress).end());
        }
        if let Some(pending) = &self.pending {
            let mut one = Object::begin();
            one.text("id", pending.id.as_str());
            one.number("number", pending.number.number().into());
            one.text("path", &pending.new);
            one.number("attempts", pending.attempts.into());
            object.raw("pending", &one.end());
        }
        // What became of those that are no trial any more.
        let last = self.all.iter().filter_map(|one| Some((one, one.record.as_ref()?)));
        if let Some((one, record)) = last.max_by_key(|(one, record)| (record.ended, one.number)) {
            let mut last = Object::begin();
            last.text("id", &record.id);
            last.number("number", one.number.number().into());
            last.text("outcome", record.outcome.name());
            last.text("reason", &record.reason);
            last.texts("lines", record.lines.iter().map(String::as_str));
            object.raw("last", &last.end());
        }
        object.end()
    }
}
