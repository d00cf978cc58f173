//! The process that owns a trial: what happens comes in, the machine decides, and workers do it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cli::{Exit, Failure};
use engine::deploy::activate::{Action, Event, Trial};
use engine::deploy::deeds;
use model::deploy::history::{Outcome, Record};
use model::deploy::trial::{Phase, Plan, Progress, Way};
use model::limits::{LOG_LINE_BYTES_MAX, RECORD_LINES_MAX};
use model::service::request::{End, ToInit};
use os::clock;
use os::deploy::generations::{self, Generations};
use os::deploy::trial_dir::{self, TrialDir};
use os::event_loop::{EventLoop, Readiness};
use os::files::{read, set_nonblocking};
use os::log::tail::Tail;
use os::service::init_client;
use os::sys::{signals, tied};

use super::switch::{SOCKET, last_lines};

const SIGNALS: u64 = 0;
const WISHES: u64 = 1;
const WORKER: u64 = 2;

/// How long a worker that was killed may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(2);

/// How long init may take to listen.
const INIT_MAX: Duration = Duration::from_secs(10);

struct Owner {
    dir: TrialDir,
    here: Generations,
    plan: Plan,
    trial: Trial,
    events: EventLoop,
    worker: Option<Worker>,
    /// It was told to end, or nothing more is to be done.
    ends: bool,
}

/// Somebody who does one step.
struct Worker {
    action: Action,
    child: Child,
    output: OwnedFd,
    heard: Vec<u8>,
    warnings: Vec<String>,
}

pub fn run() -> Result<Exit, Failure> {
    os::service::process::set_name(c"ward-trial");
    let dir = trial_dir::here();
    let signals = signals::read_from(&[signals::number::TERM]).map_err(Failure::refused)?;
    signals::ignore_pipe();
    let Some(plan) = dir.plan() else {
        // Nobody knows what it is about; only what starts next counts.
        let _ = dir.end();
        return Err(Failure::refused("there is no trial in /run/trial"));
    };
    let progress = dir.progress().unwrap_or_else(|| Progress::new(clock::now()));
    let events = EventLoop::new().map_err(Failure::refused)?;
    let wishes = Tail::watch(dir.path()).map_err(Failure::refused)?;
    events.add(&signals, SIGNALS, Readiness::IN).map_err(Failure::refused)?;
    events.add(&wishes, WISHES, Readiness::IN).map_err(Failure::refused)?;
    let trial = Trial::new(&plan, progress);
    let here = generations::here();
    let mut owner = Owner { dir, here, plan, trial, events, worker: None, ends: false };
    owner.count_again();
    owner.tell(Event::Begin);
    while !owner.ends {
        owner.turn(&signals, &wishes)?;
    }
    Ok(Exit::DONE)
}

impl Owner {
    fn turn(&mut self, signals: &OwnedFd, wishes: &Tail) -> Result<(), Failure> {
        self.hear_wishes();
        if self.ends {
            return Ok(());
        }
        let ready = self.events.wait(self.trial.deadline()).map_err(Failure::refused)?;
        for (token, _) in ready {
            match token {
                SIGNALS => {
                    while let Ok(Some(_)) = signals::next(signals.as_fd()) {}
                    self.is_told_to_end();
                }
                WISHES => wishes.drain().map_err(Failure::refused)?,
                _ => self.hear_worker(),
            }
        }
        self.tell(Event::Tick);
        Ok(())
    }

    /// What people have written down since it last looked.
    fn hear_wishes(&mut self) {
        if let Some(id) = self.dir.confirmation() {
            self.tell(Event::Confirm { id });
        }
        if let Some(by) = self.dir.wants_back() {
            self.tell(Event::RollBack { by });
        }
    }

    fn say(&self, text: &str) {
        println!("{text}");
        let _ = self.dir.say(text);
    }

    fn tell(&mut self, event: Event) {
        let before = self.trial.phase();
        let mut actions = Vec::new();
        self.trial.step(clock::now(), event, &mut actions);
        if self.trial.phase() != before {
            self.say(&self.sentence());
        }
        for action in actions {
            self.act(action);
        }
    }

    /// What has come about, for people.
    fn sentence(&self) -> String {
        let Plan { number, new, old, .. } = &self.plan;
        let Progress { reason, .. } = self.trial.progress();
        match self.trial.phase() {
            Phase::Beginning => format!("generation {number} is tried"),
            Phase::Switching => format!("going over to generation {number}: {new}"),
            Phase::Checking => "looking whether what was up before works".into(),
            Phase::Awaiting => {
                let left = self.trial.deadline().map(|until| until.since(clock::now()).as_secs());
                format!(
                    "all is well here; waiting {} s for somebody to confirm it",
                    left.unwrap_or(0)
                )
            }
            Phase::Committing => "keeping it".into(),
            Phase::Committed => format!("generation {number} is kept"),
            Phase::Returning => format!("going back to {old}: {reason}"),
            Phase::Returned => format!("{old} runs again"),
            Phase::Restarting => format!("restarting the device: {reason}"),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Save => {
                // In memory; where there is none, what was saved before counts.
                if let Err(error) = self.dir.save(self.trial.progress()) {
                    println!("cannot write down how far it is: {error}");
                }
            }
            Action::Switch => self.start(action, "switch"),
            Action::Check => self.start(action, "check"),
            Action::Commit => self.start(action, "commit"),
            Action::Return => {
                self.keep_lines();
                self.start(action, "return");
            }
            Action::Restart => {
                self.keep_lines();
                self.start(action, "restart");
            }
            Action::RestartAtOnce => {
                let error = os::sys::reboot::end_machine(End::Reboot);
                println!("cannot restart the device: {error}");
            }
            Action::End => {
                self.ends = true;
                if let Err(error) = self.dir.end() {
                    println!("cannot take leave of init: {error}");
                }
            }
        }
    }

    /// Keeps what the log says by now: going back says more than why.
    fn keep_lines(&self) {
        let lines = last_lines(Path::new(&self.plan.new), RECORD_LINES_MAX);
        let _ = std::fs::write(self.dir.path().join("lines"), lines.join("\n"));
    }

    fn start(&mut self, action: Action, step: &str) {
        self.dismiss();
        let spawned = (|| {
            let mut command = Command::new("/proc/self/exe");
            command.args(["trial", "--step", step]).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = tied::spawn(command, &[])?;
            let output = OwnedFd::from(child.stdout.take().expect("it was asked for"));
            set_nonblocking(&output)?;
            self.events.add(&output, WORKER, Readiness::IN)?;
            let (heard, warnings) = (Vec::new(), Vec::new());
            std::io::Result::Ok(Worker { action, child, output, heard, warnings })
        })();
        match spawned {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => self.failed(action, format!("nobody can be started for it: {error}")),
        }
    }

    /// Ends what is being done, for something else has to be.
    fn dismiss(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        let _ = self.events.remove(&worker.output);
        let _ = worker.child.kill();
        let until = clock::now() + GONE_MAX;
        while matches!(worker.child.try_wait(), Ok(None)) && clock::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn hear_worker(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            let Some(worker) = &mut self.worker else { return };
            match read(&worker.output, &mut buffer) {
                Ok(0) => break,
                Ok(count) => worker.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.obey(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            if worker.heard.len() > 4 * LOG_LINE_BYTES_MAX {
                self.obey();
            }
        }
        // It has ended: what it said last counts, and if that was nothing, that does.
        let ended = self.worker.as_ref().map(|worker| worker.child.id());
        self.obey();
        let Some(worker) = self.worker.as_mut().filter(|it| Some(it.child.id()) == ended) else {
            return; // What it said has led to the next step, which somebody else does by now.
        };
        let action = worker.action;
        let status = worker.child.wait().map_or_else(|e| e.to_string(), |it| it.to_string());
        self.dismiss();
        self.failed(action, format!("whoever did it ended before it was done ({status})"));
    }

    /// Obeys whole lines.
    fn obey(&mut self) {
        while let Some(worker) = &mut self.worker {
            let Some(end) = worker.heard.iter().position(|b| *b == b'\n') else { return };
            let line: Vec<u8> = worker.heard.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let (action, rest) = (worker.action, rest.to_owned());
            match word {
                "say" => self.say(&rest),
                "warning" => {
                    worker.warnings.push(rest.clone());
                    self.say(&format!("warning: {rest}"));
                }
                "notyet" => self.tell(Event::NotYet { why: rest }),
                "healthy" => self.tell(Event::Healthy),
                "sick" => self.tell(Event::Sick { why: rest }),
                "done" => {
                    let warnings = std::mem::take(&mut worker.warnings);
                    self.dismiss();
                    self.done(action, warnings);
                }
                _ => {
                    self.dismiss();
                    self.failed(action, rest);
                }
            }
        }
    }

    fn done(&mut self, action: Action, warnings: Vec<String>) {
        match action {
            Action::Switch => self.tell(Event::Switched { warnings }),
            Action::Commit => self.tell(Event::Committed),
            Action::Return => self.tell(Event::Returned),
            _ => {}
        }
    }

    fn failed(&mut self, action: Action, why: String) {
        match action {
            Action::Switch => self.tell(Event::SwitchFailed { why }),
            Action::Check => self.tell(Event::Sick { why }),
            Action::Commit => self.tell(Event::CommitFailed { why }),
            Action::Return => self.tell(Event::ReturnFailed { why }),
            // The deadline of the phase restarts it without anybody's help.
            _ => self.say(&why),
        }
    }

    /// Init ends everything, or somebody ends this service. The start that goes on then does not
    /// count as one that fell.
    fn is_told_to_end(&mut self) {
        self.ends = true;
        if self.plan.way != Way::Started || self.trial.phase() == Phase::Restarting {
            return;
        }
        let Some(pending) = self.here.pending().filter(|it| it.id == self.plan.id) else { return };
        if self.dir.set_uncounted(true).is_ok() {
            let _ = self.here.carry_out(&deeds::pend(&pending.after_clean_end()));
        }
    }

    /// It was ended and nothing else was: the start counts all the same.
    fn count_again(&self) {
        if !self.dir.is_uncounted() {
            return;
        }
        if let Some(mut pending) = self.here.pending().filter(|it| it.id == self.plan.id) {
            pending.attempts += 1;
            let _ = self.here.carry_out(&deeds::pend(&pending));
        }
        let _ = self.dir.set_uncounted(false);
    }
}

/// The record of the generation on trial, once this has become of it.
pub fn record(dir: &TrialDir, here: &Generations, plan: &Plan, outcome: Outcome) -> Record {
    let progress = dir.progress();
    let now = now();
    let known = here.record(plan.number);
    let mut lines = String::new();
    if outcome == Outcome::Failed {
        let file = File::open(dir.path().join("lines"));
        let _ = file.and_then(|file| file.take(1 << 16).read_to_string(&mut lines));
    }
    let reason = progress.map(|progress| progress.reason).unwrap_or_default();
    Record {
        outcome,
        made: known.as_ref().map_or(now, |known| known.made),
        ended: now.max(known.as_ref().map_or(0, |known| known.ended)),
        by: plan.by.clone(),
        from: known.as_ref().and_then(|known| known.from),
        why: known.map(|known| known.why).unwrap_or_default(),
        id: plan.id.to_string(),
        reason: if outcome == Outcome::Failed { reason } else { String::new() },
        lines: lines.lines().map(str::to_owned).collect(),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    u64::try_from(clock::today().unix().0).unwrap_or(0)
}

/// Asks init to restart the device in order.
pub fn restart_device() -> Result<(), String> {
    let message = ToInit::Shutdown { end: End::Reboot };
    init_client::ask(Path::new(SOCKET), &message, INIT_MAX).map_err(|error| error.to_string())
}
