//! A pretend device that tries a generation: its flash, its services, the process that owns the
//! trial, and people who confirm, forget to, or pull the plug.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use engine::deploy::activate::{self, Action, Event, Trial};
use engine::deploy::deeds::{self, Deed};
use model::deploy::history::{BOOT, Number, Outcome, Record};
use model::deploy::trial::{DEADLINE, Id, PENDING, Pending, Phase, Plan, Progress, Start, Way};
use model::time::Moment;

use crate::dice::Dice;
use crate::laws::{Law, broken};

pub const OLD: &str = "/nix/store/old";
pub const NEW: &str = "/nix/store/new";

/// How long a start takes, and a switch at least.
const BOOT_TIME: Duration = Duration::from_secs(6);

/// What the flash holds: texts of files, and targets of links.
#[derive(Clone, Debug, Default)]
pub struct Flash {
    pub files: BTreeMap<String, String>,
}

impl Flash {
    pub fn carry_out(&mut self, deed: &Deed) {
        match deed {
            Deed::Write { path, bytes } => drop(self.files.insert(path.clone(), bytes.clone())),
            Deed::Link { path, target } => drop(self.files.insert(path.clone(), target.clone())),
            Deed::Rename { from, to } => {
                let what = self.files.remove(from).expect("what is renamed is there");
                self.files.insert(to.clone(), what);
            }
            Deed::Remove { path } => drop(self.files.remove(path)),
            Deed::Folder { .. } | Deed::SyncFolder { .. } | Deed::SyncAll { .. } => {}
        }
    }

    pub fn boot(&self) -> &str {
        &self.files[BOOT]
    }

    pub fn record(&self) -> Option<Record> {
        Record::read(self.files.get(&number().record())?.as_bytes())
    }

    fn pending(&self) -> Option<Pending> {
        Pending::read(self.files.get(PENDING)?.as_bytes())
    }
}

pub fn number() -> Number {
    Number::new(2).expect("it is one")
}

pub fn id() -> Id {
    Id::parse("the-right-one").expect("it is one")
}

fn record(outcome: Outcome, reason: &str) -> Record {
    Record {
        outcome,
        made: 0,
        ended: 0,
        by: "the dice".into(),
        from: Some(Number::FIRST),
        why: String::new(),
        id: id().to_string(),
        reason: reason.into(),
        lines: Vec::new(),
    }
}

/// What the owner's worker is doing.
#[derive(Clone, Debug)]
struct Job {
    action: Action,
    ends: Moment,
    deeds: Vec<Deed>,
    fails: bool,
}

/// How unkind the world is, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// For each second: the owner is killed, the power is cut, somebody restarts the device.
    pub kill: u32,
    pub cut: u32,
    pub reboot: u32,
    /// For each job: it fails, or never ends.
    pub fail: u32,
    pub hang: u32,
    /// For each trial: the new generation works; somebody confirms it; who does does so early.
    pub good: u32,
    pub confirm: u32,
}

pub const CALM: Mood =
    Mood { kill: 0, cut: 0, reboot: 0, fail: 0, hang: 0, good: 100, confirm: 100 };

pub struct Device {
    pub now: Moment,
    pub dice: Dice,
    pub mood: Mood,
    pub flash: Flash,
    // What is in memory.
    pub current: &'static str,
    /// Services of this generation run; `None`: some of the one, some of the other.
    pub services: Option<&'static str>,
    plan: Option<Plan>,
    progress: Option<Progress>,
    /// A confirmation that lies there.
    confirmation: Option<Id>,
    owner: Option<Trial>,
    owner_comes: Option<Moment>,
    /// One after the other.
    jobs: VecDeque<Job>,
    /// It restarts itself, or has no power until then.
    down_until: Option<Moment>,
    // What the judge knows.
    is_good: bool,
    was_healthy: bool,
    was_confirmed: bool,
    committed: bool,
    pub began: Option<Moment>,
    pub restarts: u32,
    actions: Vec<Action>,
}

impl Device {
    pub fn new(seed: u64, mood: Mood) -> Self {
        let mut dice = Dice::new(seed);
        let files = BTreeMap::from([(BOOT.to_owned(), OLD.to_owned())]);
        let is_good = dice.percent(mood.good);
        Self {
            now: Moment::from_nanos(1),
            mood,
            flash: Flash { files },
            current: OLD,
            services: Some(OLD),
            plan: None,
            progress: None,
            confirmation: None,
            owner: None,
            owner_comes: None,
            jobs: VecDeque::new(),
            down_until: None,
            is_good,
            was_healthy: false,
            was_confirmed: false,
            committed: false,
            began: None,
            restarts: 0,
            actions: Vec::new(),
            dice,
        }
    }

    /// Begins a trial; `false`: one goes on already.
    pub fn activate(&mut self, way: Way, confirm: bool) -> bool {
        let is_on = self.progress.as_ref().is_some_and(|progress| !progress.phase.is_over());
        if is_on || self.flash.pending().is_some() || self.down_until.is_some() {
            return false;
        }
        self.began = Some(self.now);
        self.do_deeds(deeds::add(number(), NEW, &record(Outcome::Trial, "")));
        if self.down_until.is_some() {
            return true;
        }
        let (new, old) = (NEW.to_owned(), OLD.to_owned());
        match way {
            Way::Live => {
                let (number, by, began) = (number(), "the dice".into(), self.now);
                let deadline = DEADLINE;
                self.plan =
                    Some(Plan { id: id(), way, number, new, old, deadline, confirm, by, began });
                self.progress = Some(Progress::new(self.now));
                self.owner_comes = Some(self.now);
            }
            Way::Started => {
                let pending = Pending {
                    id: id(),
                    number: number(),
                    new,
                    deadline: DEADLINE,
                    start_max: Duration::from_secs(60),
                    confirm,
                    by: "the dice".into(),
                    attempts: 0,
                    boots: 0,
                    up: Vec::new(),
                };
                self.do_deeds(deeds::pend(&pending));
                self.restart(true);
            }
        }
        true
    }

    /// Deeds, between any two of which the power may go.
    fn do_deeds(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            if self.dice.percent(self.mood.cut) {
                return self.cut_power();
            }
            let before = self.flash.boot().to_owned();
            self.flash.carry_out(&deed);
            self.judge_link(&before);
        }
    }

    fn judge_link(&mut self, before: &str) {
        if self.flash.boot() == before {
            return;
        }
        if self.flash.boot() == OLD {
            broken(Law::PointOfNoReturn, "the boot link leads back");
        }
        if !(self.was_healthy && self.was_confirmed) {
            broken(Law::Confirmed, "the boot link has changed");
        }
        self.committed = true;
    }

    pub fn cut_power(&mut self) {
        self.restart(false);
    }

    /// All that is in memory goes; `clean`: those who end are told so before.
    fn restart(&mut self, clean: bool) {
        if self.down_until.is_some() {
            return;
        }
        if clean
            && let Some(Plan { way: Way::Started, .. }) = self.plan
            && let Some(pending) = self.flash.pending()
        {
            for deed in deeds::pend(&pending.after_clean_end()) {
                self.flash.carry_out(&deed);
            }
        }
        self.restarts += 1;
        self.plan = None;
        self.progress = None;
        self.confirmation = None;
        self.owner = None;
        self.owner_comes = None;
        self.jobs.clear();
        self.down_until = Some(self.now + BOOT_TIME);
    }

    /// The start: as `ward` does it before the first service.
    fn start(&mut self) {
        self.down_until = None;
        self.was_healthy = false;
        let boot = if self.flash.boot() == NEW { NEW } else { OLD };
        let mut runs = boot;
        let start = self.flash.pending().map_or(Start::Plain, |pending| pending.start(boot));
        match start {
            Start::Plain => {}
            Start::Committed => {
                self.do_deeds(deeds::settle(number(), &record(Outcome::Committed, "")));
            }
            Start::Failed { why } => {
                self.do_deeds(deeds::give_up(number(), &record(Outcome::Failed, &why)));
            }
            Start::Try(next) => {
                self.do_deeds(deeds::pend(&next));
                runs = NEW;
                self.plan = Some(Plan {
                    id: next.id,
                    way: Way::Started,
                    number: next.number,
                    new: next.new,
                    old: OLD.into(),
                    deadline: next.deadline,
                    confirm: next.confirm,
                    by: next.by,
                    began: self.now,
                });
                self.progress = Some(Progress::new(self.now));
                self.owner_comes = Some(self.now);
            }
        }
        if self.down_until.is_some() {
            return;
        }
        // What a trial left that the power has ended.
        if let Some(found) = self.flash.record()
            && found.outcome == Outcome::Trial
            && self.plan.is_none()
        {
            let outcome = if boot == NEW { Outcome::Committed } else { Outcome::Failed };
            self.do_deeds(deeds::note(number(), &record(outcome, "the device restarted")));
        }
        self.current = runs;
        self.services = Some(runs);
    }

    /// One second of it.
    pub fn second(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        if let Some(until) = self.down_until {
            if until <= self.now {
                self.start();
            }
            return;
        }
        if self.dice.percent(self.mood.cut) {
            return self.cut_power();
        }
        if self.dice.percent(self.mood.reboot) {
            return self.restart(true);
        }
        if self.dice.percent(self.mood.kill) {
            self.owner = None;
            // What it was doing may be half done, and goes no further.
            self.jobs.clear();
            self.owner_comes = self.plan.is_some().then(|| self.now + Duration::from_secs(1));
        }
        if self.owner_comes.is_some_and(|at| at <= self.now) {
            self.owner_comes = None;
            self.come();
        }
        self.people();
        self.work();
        if let Some(id) = self.confirmation.clone() {
            self.tell(Event::Confirm { id });
        }
        self.tell(Event::Tick);
        self.judge();
    }

    fn come(&mut self) {
        let (Some(plan), Some(progress)) = (&self.plan, &self.progress) else { return };
        self.owner = Some(Trial::new(plan, progress.clone()));
        self.tell(Event::Begin);
    }

    /// The host, and somebody who mixes trials up.
    fn people(&mut self) {
        let Some(progress) = &self.progress else { return };
        if self.dice.percent(3) {
            self.confirmation = Id::parse("another-one");
        }
        let reachable = self.services == Some(NEW) && self.is_good;
        // Some do not look how far it is.
        let asks = progress.phase == Phase::Awaiting || self.dice.percent(10);
        if asks && reachable && self.dice.percent(self.mood.confirm / 4) {
            self.confirmation = Some(id());
        }
        if self.mood.kill > 0 && self.dice.percent(1) {
            self.tell(Event::RollBack { by: "somebody".into() });
        }
    }

    fn tell(&mut self, event: Event) {
        let Some(mut owner) = self.owner.take() else { return };
        if let Event::Confirm { id: told } = &event {
            let taken = owner.answer(told) == activate::Answer::Taken;
            self.was_confirmed |= taken && *told == id();
        }
        let mut actions = std::mem::take(&mut self.actions);
        owner.step(self.now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(&owner, action);
        }
        self.actions = actions;
        if self.plan.is_some() && self.owner_comes.is_none() {
            self.owner = Some(owner);
        }
    }

    fn act(&mut self, owner: &Trial, action: Action) {
        let reason = owner.progress().reason.clone();
        match action {
            Action::Save => self.progress = Some(owner.progress().clone()),
            Action::Switch | Action::Return | Action::Check | Action::Commit => {
                if !owner.progress().confirmed
                    && self.plan.as_ref().is_some_and(|plan| !plan.confirm)
                {
                    self.was_confirmed = true; // Nobody has to.
                }
                let takes = self.dice.millis(500, 20_000);
                let hangs = self.dice.percent(self.mood.hang);
                self.jobs.retain(|job| job.action != Action::Check);
                let begins = self.jobs.back().map_or(self.now, |job| job.ends.max(self.now));
                let ends = begins + if hangs { Duration::from_secs(1 << 20) } else { takes };
                let fails = self.dice.percent(self.mood.fail);
                let deeds = match action {
                    Action::Commit => deeds::commit(number(), NEW, &record(Outcome::Committed, "")),
                    Action::Return => deeds::note(number(), &record(Outcome::Failed, &reason)),
                    _ => Vec::new(),
                };
                if matches!(action, Action::Switch | Action::Return) {
                    self.services = None;
                    self.current = if action == Action::Switch { NEW } else { OLD };
                }
                self.jobs.push_back(Job { action, ends, deeds, fails });
            }
            Action::Restart | Action::RestartAtOnce => {
                if self.flash.boot() != NEW {
                    self.do_deeds(deeds::give_up(number(), &record(Outcome::Failed, &reason)));
                }
                if action == Action::RestartAtOnce || !self.dice.percent(self.mood.hang) {
                    self.restart(false);
                }
            }
            Action::End => self.plan = None,
        }
    }

    /// What the worker does comes to its end.
    fn work(&mut self) {
        let Some(job) = self.jobs.pop_front_if(|job| job.ends <= self.now) else { return };
        let why = String::from("the dice");
        match (job.action, job.fails) {
            (Action::Switch, true) => self.tell(Event::SwitchFailed { why }),
            (Action::Switch, false) => {
                self.services = Some(NEW);
                self.tell(Event::Switched { warnings: Vec::new() });
            }
            (Action::Check, _) if !self.is_good => {
                let event = match self.dice.percent(50) {
                    true => Event::Sick { why },
                    false => Event::NotYet { why },
                };
                self.tell(event);
            }
            (Action::Check, _) => {
                self.was_healthy = true;
                self.tell(Event::Healthy);
            }
            (Action::Commit, true) => self.tell(Event::CommitFailed { why }),
            (Action::Commit, false) => {
                self.do_deeds(job.deeds);
                self.tell(Event::Committed);
            }
            (Action::Return, true) => self.tell(Event::ReturnFailed { why }),
            (Action::Return, false) => {
                self.services = Some(OLD);
                self.do_deeds(job.deeds);
                self.tell(Event::Returned);
            }
            _ => {}
        }
    }

    fn judge(&self) {
        if self.committed && self.flash.boot() != NEW {
            broken(Law::PointOfNoReturn, "the boot link leads to the old generation");
        }
    }

    /// Whether nothing goes on any more.
    pub fn is_over(&self) -> bool {
        let is_on = self.progress.as_ref().is_some_and(|progress| !progress.phase.is_over());
        !is_on && self.flash.pending().is_none() && self.down_until.is_none()
    }

    /// What must be so when nothing goes on.
    pub fn judge_at_rest(&self) {
        let boot = self.flash.boot();
        if self.services != Some(self.current) || self.current != boot {
            let (current, services) = (self.current, self.services);
            broken(
                Law::OneGeneration,
                format!("{services:?} of {current} runs, and {boot} starts"),
            );
        }
        let Some(record) = self.flash.record() else {
            return if boot == NEW {
                broken(Law::Told, "there is no record")
            };
        };
        let expected = if boot == NEW { Outcome::Committed } else { Outcome::Failed };
        if record.outcome != expected {
            broken(Law::Told, format!("{:?}, and {boot} starts", record.outcome));
        }
        if record.outcome == Outcome::Failed && record.reason.is_empty() {
            broken(Law::Told, "nobody knows why it failed");
        }
    }
}
