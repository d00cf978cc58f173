//! One step of a trial, in a process of its own that the owner can end. It says on standard output
//! how it goes: `say TEXT`, `warning TEXT`, `notyet TEXT`, `healthy`, `sick TEXT`, and at the end
//! `done` or `failed TEXT`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::deploy::activate::{RETURN_MAX, SWITCH_MAX};
use engine::deploy::deeds;
use model::deploy::history::Outcome;
use model::deploy::trial::Plan;
use os::clock;
use os::deploy::generations::{self, Generations};
use os::deploy::trial_dir::{self, TrialDir};
use os::sys::signals;

use super::gate::{Gate, Verdict};
use super::owner::{record, restart_device};
use super::switch::Going;

/// From one look at services to the next: while something is missing, and later.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Time that is left for what comes after services have gone over.
const SPARE: Duration = Duration::from_secs(10);

struct Work<'a> {
    dir: TrialDir,
    here: Generations,
    plan: Plan,
    out: &'a mut dyn Write,
}

pub fn run(step: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    // The owner reads its signals as messages; who is ended by it shall end.
    signals::unblock_all();
    let dir = trial_dir::here();
    let plan = dir.plan().ok_or_else(|| Failure::refused("there is no trial in /run/trial"))?;
    let mut work = Work { dir, here: generations::here(), plan, out };
    let done = match step {
        "switch" => work.switch(),
        "check" => work.check(),
        "commit" => work.commit(),
        "return" => work.go_back(),
        "restart" => work.restart(),
        _ => return Err(Failure::usage(format!("there is no step {step}"))),
    };
    let last = match done {
        Ok(()) => "done".to_owned(),
        Err(why) => format!("failed {why}"),
    };
    work.line(&last)?;
    Ok(Exit::DONE)
}

impl Work<'_> {
    fn line(&mut self, text: &str) -> std::io::Result<()> {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn say(&mut self, text: &str) {
        let _ = self.line(&format!("say {text}"));
    }

    fn switch(&mut self) -> Result<(), String> {
        let (new, old) = (self.plan.new.clone(), self.plan.old.clone());
        let up = self.dir.were_up();
        let warnings = Going {
            to: Path::new(&new),
            from: Path::new(&old),
            up: &up,
            back: false,
            until: clock::now() + SWITCH_MAX.saturating_sub(SPARE),
            say: &mut |text| self.say(text),
        }
        .go_over()?;
        for warning in warnings {
            let _ = self.line(&format!("warning {warning}"));
        }
        Ok(())
    }

    /// Looks until the owner has something else to be done.
    fn check(&mut self) -> Result<(), String> {
        let mut gate = Gate::new(self.dir.were_up());
        let mut last = String::new();
        let mut healthy = false;
        loop {
            let line = match gate.look(clock::now()) {
                Verdict::Healthy => "healthy".to_owned(),
                Verdict::NotYet(why) => format!("notyet {why}"),
                Verdict::Sick(why) => format!("sick {why}"),
            };
            healthy |= line == "healthy";
            if line != last {
                // Nobody reads any more: the owner has ended.
                self.line(&line).map_err(|error| error.to_string())?;
                last = line;
            }
            std::thread::sleep(if healthy { LOOK_AGAIN } else { LOOK });
        }
    }

    fn commit(&mut self) -> Result<(), String> {
        let record = record(&self.dir, &self.here, &self.plan, Outcome::Committed);
        let deeds = deeds::commit(self.plan.number, &self.plan.new, &record);
        let Err(trouble) = self.here.carry_out(&deeds) else { return Ok(()) };
        // What the next start runs is what counts.
        if self.here.boot().is_ok_and(|boot| boot == self.plan.new) {
            let _ = self.line(&format!("warning {trouble}"));
            return Ok(());
        }
        Err(trouble.to_string())
    }

    fn go_back(&mut self) -> Result<(), String> {
        let (new, old) = (self.plan.new.clone(), self.plan.old.clone());
        let up = self.dir.were_up();
        let until = clock::now() + RETURN_MAX.saturating_sub(SPARE);
        let went = Going {
            to: Path::new(&old),
            from: Path::new(&new),
            up: &up,
            back: true,
            until,
            say: &mut |text| self.say(text),
        }
        .go_over();
        // Why it failed is written down in any case.
        let record = record(&self.dir, &self.here, &self.plan, Outcome::Failed);
        let noted = self.here.carry_out(&deeds::note(self.plan.number, &record));
        let mut troubles = went.map_err(|why| vec![why]).err().unwrap_or_default();
        if troubles.is_empty() {
            let mut gate = Gate::returned(up);
            while let Err(why) = gate.is_back() {
                if clock::now() > until {
                    troubles.push(why);
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
        if let Err(trouble) = noted {
            self.say(&trouble.to_string());
        }
        if troubles.is_empty() { Ok(()) } else { Err(troubles.join("; ")) }
    }

    fn restart(&mut self) -> Result<(), String> {
        if !self.here.boot().is_ok_and(|boot| boot == self.plan.new) {
            let record = record(&self.dir, &self.here, &self.plan, Outcome::Failed);
            let deeds = deeds::give_up(self.plan.number, &record);
            if let Err(trouble) = self.here.carry_out(&deeds) {
                self.say(&trouble.to_string());
            }
        }
        restart_device()
    }
}
