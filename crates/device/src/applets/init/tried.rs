//! What a start does about a trial: the generation of the boot link starts first, counts, and becomes
//! the one that is tried. Nothing but a commit changes the link, so that whatever happens to the
//! newer one, the next start is the older one's again.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use engine::deploy::deeds;
use model::deploy::history::{Outcome, Record};
use model::deploy::trial::{Pending, Plan, Start, Way};
use os::deploy::generations::{self, Generations};
use os::deploy::trial_dir;
use os::sys::exec;
use os::trouble::{Trouble, While};

use crate::applets::trial::now;

/// What the power, or a crash, has ended.
const ENDED: &str = "the device restarted while it was on trial: it fell, was restarted, or lost its \
                     power";

/// Comes back where the generation in this folder is the one to start, with what was said. Otherwise
/// this process becomes the init of the one that is tried.
pub fn choose(generation: &Path, words: &[OsString]) -> Vec<String> {
    let here = generations::here();
    let Some(own) = generation.to_str() else { return Vec::new() };
    let mut said = Vec::new();
    // One that was named on the kernel's command line, or is tried by now, chooses nobody.
    if here.boot().is_ok_and(|boot| boot == own)
        && let Err(trouble) = decide(&here, own, words, &mut said)
    {
        said.push(trouble.to_string());
    }
    said
}

fn decide(
    here: &Generations,
    own: &str,
    words: &[OsString],
    said: &mut Vec<String>,
) -> Result<(), Trouble> {
    let Some(pending) = here.pending() else {
        if here.has_pending() {
            said.push("what the next start shall try cannot be read: nothing is tried".into());
            here.carry_out(&deeds::forget_pending())?;
        }
        return here.settle(ENDED, now());
    };
    match pending.start(own) {
        Start::Plain => {}
        Start::Committed => {
            here.carry_out(&deeds::settle(pending.number, &committed(here, &pending)))?;
        }
        Start::Failed { why } => give_up(here, &pending, why, said)?,
        Start::Try(next) => {
            // What cannot be counted might be tried for ever.
            here.carry_out(&deeds::pend(&next))?;
            let why = try_it(own, &next, words);
            give_up(here, &next, why, said)?;
        }
    }
    here.settle(ENDED, now())
}

/// Comes back only if it cannot be started, and says why.
fn try_it(own: &str, pending: &Pending, words: &[OsString]) -> String {
    let Pending { id, number, new, attempts, .. } = pending;
    super::early::say(&format!("generation {number} is tried, attempt {attempts}"));
    let program = Path::new(own).join("init");
    let program = program.canonicalize().unwrap_or(program);
    let seconds = (pending.start_max + pending.deadline).as_secs().to_string();
    let mut guard = Command::new(program);
    guard.args(["trial", "--guard", id.as_str(), &seconds]).stdin(Stdio::null());
    if let Err(error) = guard.spawn() {
        super::early::say(&format!("nobody guards it: {error}"));
    }
    let mut all = vec![OsString::from(format!("{new}/init"))];
    all.extend_from_slice(words);
    let error = exec::exec(&all, None);
    format!("its init cannot be started: {error}")
}

fn give_up(
    here: &Generations,
    pending: &Pending,
    why: String,
    said: &mut Vec<String>,
) -> Result<(), Trouble> {
    said.push(format!("generation {} is not kept: {why}", pending.number));
    let record = Record { outcome: Outcome::Failed, reason: why, ..committed(here, pending) };
    here.carry_out(&deeds::give_up(pending.number, &record))
}

fn committed(here: &Generations, pending: &Pending) -> Record {
    let known = here.record(pending.number);
    Record {
        outcome: Outcome::Committed,
        made: known.as_ref().map_or(0, |known| known.made),
        // The clock may not be set yet.
        ended: now().max(known.as_ref().map_or(0, |known| known.ended)),
        by: pending.by.clone(),
        from: known.as_ref().and_then(|known| known.from),
        why: known.map(|known| known.why).unwrap_or_default(),
        id: pending.id.to_string(),
        reason: String::new(),
        lines: Vec::new(),
    }
}

/// Makes all ready for the owner of a trial, where this generation is the one that is tried. Init
/// starts it with the other services of the scandir.
pub fn prepare(generation: &Path) -> Result<(), Trouble> {
    let here = generations::here();
    let Some(own) = generation.to_str() else { return Ok(()) };
    let Some(pending) = here.pending().filter(|pending| pending.new == own) else { return Ok(()) };
    let Ok(old) = here.boot() else { return Ok(()) };
    if old == own {
        return Ok(());
    }
    let plan = Plan {
        id: pending.id,
        way: Way::Started,
        number: pending.number,
        new: pending.new,
        old,
        deadline: pending.deadline,
        confirm: pending.confirm,
        by: pending.by,
        began: os::clock::now(),
    };
    let ward = generation.join("init");
    let ward = ward.canonicalize().unwrap_or(ward);
    let dir = trial_dir::here();
    dir.make(&plan, &pending.up, &ward)
        .and_then(|()| dir.link())
        .to(|| "make the folder of the trial")
}
