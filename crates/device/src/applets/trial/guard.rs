//! A guard over a generation that the device starts for the first time: a process of the old one,
//! which the new one does not need to know of. If nobody ends the trial in time, whatever the new
//! generation does by then, the trial is given up and the device restarts.

use std::path::Path;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::deploy::deeds;
use model::deploy::history::{Outcome, Record};
use model::deploy::trial::Pending;
use model::limits::RECORD_LINES_MAX;
use model::service::request::End;
use os::clock;
use os::deploy::generations::{self, Generations};

use super::owner::{now, restart_device};

/// From one look to the next: it may have been confirmed, and then nobody needs a guard.
const LOOK: Duration = Duration::from_secs(5);

/// How long the new generation may take to end its services, if it does so at all.
const END_MAX: Duration = Duration::from_secs(30);

pub fn run(id: &str, seconds: u64) -> Result<Exit, Failure> {
    os::service::process::set_name(c"ward-guard");
    let here = generations::here();
    let until = clock::now() + Duration::from_secs(seconds);
    while let Some(pending) = watched(&here, id) {
        let left = until.since(clock::now());
        if left.is_zero() {
            give_up(&here, &pending);
            return Ok(Exit::NOT_ACHIEVED);
        }
        std::thread::sleep(left.min(LOOK));
    }
    Ok(Exit::DONE)
}

/// The trial, as long as it goes on.
fn watched(here: &Generations, id: &str) -> Option<Pending> {
    let pending = here.pending().filter(|pending| pending.id.as_str() == id)?;
    let committed = here.boot().is_ok_and(|boot| boot == pending.new);
    (!committed).then_some(pending)
}

fn give_up(here: &Generations, pending: &Pending) {
    let known = here.record(pending.number);
    let reason = "the device had started with it, and nobody could end the trial in time: it may \
                  hang while it starts";
    let record = Record {
        outcome: Outcome::Failed,
        made: known.as_ref().map_or(0, |it| it.made),
        ended: now().max(known.as_ref().map_or(0, |it| it.ended)),
        by: pending.by.clone(),
        from: known.as_ref().and_then(|it| it.from),
        why: known.map(|it| it.why).unwrap_or_default(),
        id: pending.id.to_string(),
        reason: reason.to_owned(),
        lines: super::switch::last_lines(Path::new(&pending.new), RECORD_LINES_MAX),
    };
    if let Err(trouble) = here.carry_out(&deeds::give_up(pending.number, &record)) {
        os::files::say_on_console(&format!("ward: {trouble}\n"));
    }
    os::files::say_on_console(&format!("ward: generation {}: {reason}\n", pending.number));
    // In order, if it can; without order, if it cannot.
    if restart_device().is_ok() {
        std::thread::sleep(END_MAX);
    }
    let error = os::sys::reboot::end_machine(End::Reboot);
    os::files::say_on_console(&format!("ward: cannot restart the device: {error}\n"));
}
