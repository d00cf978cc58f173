//! A trial: from one generation to another, and back unless somebody confirms it.
//!
//! The device owns it. Whoever began it may be gone; the process that plays this machine may be
//! killed, and goes on from [`Progress`]. Only a commit changes what the next start runs, so that a
//! power cut is a way back at any moment.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::deploy::history::WANTED_BACK;
use model::deploy::trial::{Id, Phase, Plan, Progress, Way};
use model::limits::{RECORD_LINES_MAX, TRIAL_RESUMES_MAX};
use model::time::Moment;

/// How long services may take to go over. The deadline counts from then on, so that slow services
/// take nothing away from whoever has to confirm.
pub const SWITCH_MAX: Duration = Duration::from_secs(120);

/// How long the boot link may take.
pub const COMMIT_MAX: Duration = Duration::from_secs(60);

/// How long going back may take; a restart is slower, and surer.
pub const RETURN_MAX: Duration = Duration::from_secs(60);

/// How long init may take to end all services before the machine is restarted without it.
pub const RESTART_MAX: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The owner begins, or has begun again after it was killed.
    Begin,
    /// The new generation runs. What did not work and worked no better before is only told.
    Switched {
        warnings: Vec<String>,
    },
    SwitchFailed {
        why: String,
    },
    /// What is needed works, and has done so for a while.
    Healthy,
    /// It does not yet, for want of this.
    NotYet {
        why: String,
    },
    /// It will not.
    Sick {
        why: String,
    },
    /// Somebody confirms a trial.
    Confirm {
        id: Id,
    },
    /// Somebody wants the old generation back.
    RollBack {
        by: String,
    },
    Committed,
    CommitFailed {
        why: String,
    },
    /// The old generation runs as before.
    Returned,
    ReturnFailed {
        why: String,
    },
    /// Time goes by.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write down how far it is, before anything else.
    Save,
    /// Go over to the new generation; again, if it was begun before.
    Switch,
    /// Look whether all that is needed works, until told otherwise.
    Check,
    /// Have the boot link lead to the new generation.
    Commit,
    /// Go back to the old generation, and write down why.
    Return,
    /// Write down why, and restart the device: the old generation starts.
    Restart,
    /// The same, without waiting for anybody.
    RestartAtOnce,
    /// Nothing more is to be done.
    End,
}

/// What becomes of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// It is about another trial.
    Other,
    /// The trial is over, or being ended.
    Late,
}

#[derive(Clone, Debug)]
pub struct Trial {
    id: Id,
    way: Way,
    deadline: Duration,
    confirm: bool,
    progress: Progress,
    /// What it still waits for.
    lack: String,
}

impl Trial {
    /// A trial as far as it is.
    pub fn new(plan: &Plan, progress: Progress) -> Self {
        Self {
            id: plan.id.clone(),
            way: plan.way,
            deadline: plan.deadline,
            confirm: plan.confirm,
            progress,
            lack: String::new(),
        }
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn phase(&self) -> Phase {
        self.progress.phase
    }

    /// When the next [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        self.progress.until
    }

    /// What would be answered to a confirmation.
    pub fn answer(&self, id: &Id) -> Answer {
        match self.phase() {
            _ if *id != self.id => Answer::Other,
            Phase::Returning | Phase::Returned | Phase::Restarting => Answer::Late,
            _ => Answer::Taken,
        }
    }

    pub fn step(&mut self, now: Moment, event: Event, actions: &mut Vec<Action>) {
        let phase = self.phase();
        match (phase, event) {
            (_, Event::Begin) => self.begin(now, actions),
            (Phase::Switching, Event::Switched { warnings }) => {
                self.progress.warnings = warnings;
                self.progress.warnings.truncate(RECORD_LINES_MAX);
                self.check(now, actions);
            }
            (Phase::Switching, Event::SwitchFailed { why }) => self.fail(now, why, actions),
            (Phase::Checking, Event::Healthy) => match self.confirm && !self.progress.confirmed {
                // The deadline stays: it counts from when services had gone over.
                true => self.enter(now, Phase::Awaiting, self.progress.until, None, actions),
                false => self.commit(now, actions),
            },
            (Phase::Checking, Event::NotYet { why }) => self.lack = why,
            (Phase::Checking | Phase::Awaiting, Event::Sick { why }) => {
                self.fail(now, why, actions)
            }
            (_, Event::Confirm { id }) => self.confirmed(now, &id, actions),
            (
                Phase::Beginning | Phase::Switching | Phase::Checking | Phase::Awaiting,
                Event::RollBack { by },
            ) => self.fail(now, format!("{by} {WANTED_BACK}"), actions),
            (Phase::Committing, Event::Committed) => {
                self.enter(now, Phase::Committed, None, Some(Action::End), actions);
            }
            (Phase::Committing, Event::CommitFailed { why }) => {
                self.fail(now, format!("it cannot be kept: {why}"), actions);
            }
            (Phase::Returning, Event::Returned) => {
                self.enter(now, Phase::Returned, None, Some(Action::End), actions);
            }
            (Phase::Returning, Event::ReturnFailed { why }) => {
                let more = format!("; the way back did not work either ({why})");
                self.progress.reason.push_str(&more);
                self.restart(now, actions);
            }
            (_, Event::Tick) if self.deadline().is_some_and(|until| until <= now) => {
                self.run_out(now, actions);
            }
            // What comes too late, and news of what was given up.
            _ => {}
        }
    }

    /// Time is over for the phase.
    fn run_out(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let seconds = self.deadline.as_secs();
        match self.phase() {
            Phase::Beginning | Phase::Committed | Phase::Returned => self.progress.until = None,
            Phase::Switching => {
                let most = SWITCH_MAX.as_secs();
                self.fail(now, format!("its services did not go over within {most} s"), actions);
            }
            Phase::Checking => {
                let lack = match self.lack.is_empty() {
                    true => "not everything".to_string(),
                    false => self.lack.clone(),
                };
                let why = format!("after {seconds} s it did not work as before: {lack}");
                self.fail(now, why, actions);
            }
            Phase::Awaiting => {
                let why = format!(
                    "nobody confirmed it within {seconds} s: whoever began it could not reach the \
                     device any more, or has given up"
                );
                self.fail(now, why, actions);
            }
            // Whether the link has changed nobody knows; the next start does.
            Phase::Committing => {
                let most = COMMIT_MAX.as_secs();
                self.progress.reason =
                    format!("the boot link could not be changed within {most} s");
                self.restart(now, actions);
            }
            Phase::Returning => {
                let more = format!("; going back took longer than {} s", RETURN_MAX.as_secs());
                self.progress.reason.push_str(&more);
                self.restart(now, actions);
            }
            Phase::Restarting => {
                let until = Some(now + RESTART_MAX);
                self.enter(now, Phase::Restarting, until, Some(Action::RestartAtOnce), actions);
            }
        }
    }

    fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let phase = self.phase();
        self.progress.resumed += u32::from(phase != Phase::Beginning);
        let often = self.progress.resumed > TRIAL_RESUMES_MAX;
        match phase {
            Phase::Beginning if self.way == Way::Started => self.check(now, actions),
            Phase::Beginning => self.switch(now, actions),
            Phase::Switching if often => {
                self.fail(
                    now,
                    "whoever went over to it was killed again and again".into(),
                    actions,
                );
            }
            Phase::Switching => self.switch(now, actions),
            Phase::Checking => actions.push(Action::Check),
            Phase::Awaiting => actions.push(Action::Check),
            Phase::Committing if often => {
                self.progress.reason = "whoever kept it was killed again and again".into();
                self.restart(now, actions);
            }
            Phase::Returning if often => self.restart(now, actions),
            Phase::Committing => self.commit(now, actions),
            Phase::Returning => self.go_back(now, actions),
            Phase::Restarting => self.restart(now, actions),
            Phase::Committed | Phase::Returned => actions.push(Action::End),
        }
    }

    fn switch(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let until = Some(now + SWITCH_MAX);
        self.enter(now, Phase::Switching, until, Some(Action::Switch), actions);
    }

    fn check(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let until = Some(now + self.deadline);
        self.enter(now, Phase::Checking, until, Some(Action::Check), actions);
    }

    fn confirmed(&mut self, now: Moment, id: &Id, actions: &mut Vec<Action>) {
        if self.answer(id) != Answer::Taken || self.progress.confirmed {
            return;
        }
        self.progress.confirmed = true;
        match self.phase() {
            Phase::Awaiting => self.commit(now, actions),
            _ => actions.push(Action::Save),
        }
    }

    fn commit(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let until = Some(now + COMMIT_MAX);
        self.enter(now, Phase::Committing, until, Some(Action::Commit), actions);
    }

    /// The trial has failed: the old generation shall run.
    fn fail(&mut self, now: Moment, why: String, actions: &mut Vec<Action>) {
        self.progress.reason = why;
        match self.way {
            Way::Live => self.go_back(now, actions),
            Way::Started => self.restart(now, actions),
        }
    }

    fn go_back(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let until = Some(now + RETURN_MAX);
        self.enter(now, Phase::Returning, until, Some(Action::Return), actions);
    }

    fn restart(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let until = Some(now + RESTART_MAX);
        self.enter(now, Phase::Restarting, until, Some(Action::Restart), actions);
    }

    fn enter(
        &mut self,
        now: Moment,
        phase: Phase,
        until: Option<Moment>,
        action: Option<Action>,
        actions: &mut Vec<Action>,
    ) {
        if phase != self.progress.phase {
            self.progress.resumed = 0;
            self.progress.since = now;
        }
        self.progress.phase = phase;
        self.progress.until = until;
        actions.push(Action::Save);
        actions.extend(action);
    }
}

#[cfg(test)]
mod tests;
