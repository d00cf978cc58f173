//! What became of all generations, and forgetting some.

use std::io::Write;

use cli::{Args, Exit, Failure};
use engine::deploy::deeds;
use model::calendar::Civil;
use model::deploy::history::{Number, Outcome, Record};
use os::deploy::generations::{self, Numbered};

use super::flags;
use super::state::State;
use crate::applets::json::{Object, Speaker};

pub fn list(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = flags(args, ["json"])?;
    let state = State::read()?;
    if json {
        return list_json(&state, out);
    }
    if state.number_of(&state.boot).is_none() {
        let runs = if state.running == state.boot { "runs, starts" } else { "starts" };
        let path = match state.boot.as_str() {
            "" => "nobody knows what",
            path => path,
        };
        writeln!(out, "  -  {runs}  from the image: {path}")?;
    }
    for one in &state.all {
        let mut words = Vec::new();
        if one.path == state.running {
            words.push("runs");
        }
        if one.path == state.boot {
            words.push("starts");
        }
        let outcome = one.record.as_ref().map_or("unknown", |record| record.outcome.name());
        let made = one.record.as_ref().map(|record| when(record.made)).unwrap_or_default();
        let by = one.record.as_ref().map(|record| record.by.as_str()).unwrap_or_default();
        let words = words.join(", ");
        writeln!(out, "{:>3}  {outcome:9}  {words:12}  {made:19}  {by}", one.number.number())?;
    }
    Ok(Exit::DONE)
}

fn list_json(state: &State, out: &mut dyn Write) -> Result<Exit, Failure> {
    let objects = state.all.iter().map(|one| object(state, one).end());
    writeln!(out, "[{}]", objects.collect::<Vec<_>>().join(",\n "))?;
    Ok(Exit::DONE)
}

fn object(state: &State, one: &Numbered) -> Object {
    let mut object = Object::begin();
    object.number("number", one.number.number().into());
    object.text("path", &one.path);
    object.truth("running", one.path == state.running);
    object.truth("boot", one.path == state.boot);
    if let Some(record) = &one.record {
        object.text("outcome", record.outcome.name());
        object.number("made", record.made);
        object.number("ended", record.ended);
        object.text("by", &record.by);
        object.text("why", &record.why);
        object.text("id", &record.id);
        object.text("reason", &record.reason);
    }
    object
}

pub fn show(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = flags(args, ["json"])?;
    let state = State::read()?;
    let one = match args.operand() {
        Some(word) => named(&state, cli::text(&word)?)?,
        None => state.all.last().ok_or_else(|| {
            Failure::not_achieved("this device has run nothing but what is in its image")
        })?,
    };
    if json {
        let mut object = object(&state, one);
        if let Some(record) = &one.record {
            object.texts("lines", record.lines.iter().map(String::as_str));
        }
        writeln!(out, "{}", object.end())?;
        return Ok(Exit::DONE);
    }
    writeln!(out, "generation {}: {}", one.number, one.path)?;
    match &one.record {
        Some(record) => tell(record, out)?,
        None => writeln!(out, "there is no record of it that can be read")?,
    }
    Ok(Exit::DONE)
}

/// All that a record says.
pub fn tell(record: &Record, out: &mut dyn Write) -> std::io::Result<()> {
    let Record { outcome, made, ended, by, from, why, id, reason, lines } = record;
    writeln!(out, "{}, since {}", outcome.name(), when(*ended))?;
    writeln!(out, "made {} by {by}", when(*made))?;
    if let Some(from) = from {
        writeln!(out, "after generation {from}")?;
    }
    for (name, text) in [("for", why), ("trial", id), ("reason", reason)] {
        if !text.is_empty() {
            writeln!(out, "{name}: {text}")?;
        }
    }
    if !lines.is_empty() {
        writeln!(out, "the log ended with:")?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

/// The generation with this number.
pub fn named<'a>(state: &'a State, word: &str) -> Result<&'a Numbered, Failure> {
    let number = Number::parse(word);
    let number = number.ok_or_else(|| Failure::usage(format!("{word:?} is no number of one")))?;
    state.all.iter().find(|one| one.number == number).ok_or_else(|| {
        Failure::not_achieved(format!("there is no generation {number}"))
            .hint("`ward generation list` shows those that there are")
    })
}

/// A time as people write it here.
pub fn when(seconds: u64) -> String {
    if seconds == 0 {
        return "at an unknown time".into();
    }
    let unix = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
    let civil = Civil::from_secs(unix + i64::from(os::zone::local().east(unix)));
    let Civil { year, month, day, hour, minute, second } = civil;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

pub fn delete(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut keep, mut json) = (None, false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "keep" => keep = Some(args.parsed::<usize>()?),
            _ => return Err(args.unknown(&option)),
        }
    }
    let state = State::read()?;
    let mut chosen = Vec::new();
    for word in args.rest() {
        chosen.push(named(&state, cli::text(&word)?)?.clone());
    }
    if chosen.is_empty() && keep.is_none() {
        return Err(Failure::usage("it needs numbers, or --keep COUNT"));
    }
    for one in &chosen {
        if let Some(why) = needed(&state, one) {
            return Err(Failure::not_achieved(format!("generation {} {why}", one.number)));
        }
    }
    if let Some(keep) = keep {
        let named: Vec<Number> = chosen.iter().map(|one| one.number).collect();
        let old = all_but(&state, keep).into_iter();
        chosen.extend(old.filter(|one| !named.contains(&one.number)).cloned());
    }
    let mut speaker = Speaker { out, json };
    forget(&chosen, &mut speaker)?;
    let numbers: Vec<String> = chosen.iter().map(|one| one.number.to_string()).collect();
    let mut object = Object::begin();
    object.list("forgotten", &numbers);
    speaker.object(object)?;
    Ok(Exit::DONE)
}

/// Forgets all but the newest so many that work; `is_dry`: only says which. Those that would be or are
/// forgotten.
pub fn forget_all_but(
    keep: usize,
    is_dry: bool,
    out: &mut dyn Write,
) -> Result<Vec<Number>, Failure> {
    let state = State::read()?;
    let chosen: Vec<Numbered> = all_but(&state, keep).into_iter().cloned().collect();
    if is_dry {
        for one in &chosen {
            writeln!(out, "generation {} would be forgotten", one.number)?;
        }
    } else {
        forget(&chosen, out)?;
    }
    Ok(chosen.into_iter().map(|one| one.number).collect())
}

/// All that nobody needs, but for the newest `keep` that work. Of what has failed only the last word
/// stays, so that its reason can be read.
fn all_but(state: &State, keep: usize) -> Vec<&Numbered> {
    let newest = state.all.last().map(|one| one.number);
    let (mut kept, mut chosen) = (0, Vec::new());
    for one in state.all.iter().rev() {
        let failed = one.record.as_ref().is_some_and(|it| it.outcome == Outcome::Failed);
        kept += usize::from(!failed);
        let stays = if failed { Some(one.number) == newest } else { kept <= keep };
        if !stays && needed(state, one).is_none() {
            chosen.push(one);
        }
    }
    chosen.reverse();
    chosen
}

fn forget(chosen: &[Numbered], out: &mut dyn Write) -> Result<(), Failure> {
    let here = generations::here();
    for one in chosen {
        here.carry_out(&deeds::delete(one.number)).map_err(Failure::refused)?;
        writeln!(out, "generation {} is forgotten", one.number)?;
    }
    Ok(())
}

/// Why it cannot be forgotten, if that is so.
fn needed(state: &State, one: &Numbered) -> Option<&'static str> {
    let on_trial = state.trial.as_ref().is_some_and(|(plan, progress)| {
        !progress.phase.is_over() && (plan.new == one.path || plan.old == one.path)
    });
    match () {
        () if one.path == state.running => Some("runs"),
        () if one.path == state.boot => Some("is what the next start runs"),
        () if on_trial => Some("is needed by the trial that goes on"),
        () if state.pending.as_ref().is_some_and(|it| it.number == one.number) => {
            Some("is what the next start tries")
        }
        () => None,
    }
}
