//! What whoever logs in has to know: a trial that goes on, or one that failed since.

use std::io::Write;

use cli::{Args, Exit, Failure};
use model::deploy::history::Outcome;

use super::flags;
use super::history::{tell, when};
use super::state::{State, sentence};

pub fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    flags(args, [])?;
    if let Some(text) = notice(true) {
        out.write_all(text.as_bytes())?;
    }
    Ok(Exit::DONE)
}

/// The text, if there is something to say; in short it is one line.
pub fn notice(long: bool) -> Option<String> {
    let state = State::read().ok()?;
    if let Some((plan, progress)) = state.trial.as_ref().filter(|(_, it)| !it.phase.is_over()) {
        return Some(format!("A trial goes on: {}.\n", sentence(plan, progress)));
    }
    let records = state.all.iter().filter_map(|one| Some((one, one.record.as_ref()?)));
    let (one, record) = records.max_by_key(|(one, record)| (record.ended, one.number))?;
    if record.outcome != Outcome::Failed || one.path == state.running {
        return None;
    }
    let mut text = format!(
        "Generation {} was tried and is gone again since {}: {}.\n",
        one.number,
        when(record.ended),
        record.reason.trim_end_matches('.')
    );
    if long {
        let mut all = Vec::new();
        tell(record, &mut all).ok()?;
        let all = String::from_utf8_lossy(&all).into_owned();
        if let Some((_, lines)) = all.split_once("the log ended with:\n") {
            text += "The log ended with:\n";
            text += lines;
        }
    } else {
        text += &format!("`ward generation show {}` tells more.\n", one.number);
    }
    Some(text)
}
