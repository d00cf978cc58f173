//! Beginning a trial, confirming it, and going back.

use std::fs;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Exit, Failure};
use engine::deploy::deeds;
use model::deploy::history::{FOLDER, IMAGE, Number, Outcome, Record, WANTED_BACK};
use model::deploy::trial::{DEADLINE, Id, Pending, Phase, Plan, Progress, Way, start_max};
use model::limits::{FIELD_BYTES_MAX, TRIAL_DEADLINE_MAX};
use os::clock;
use os::deploy::generations::{self, Generations, Numbered};
use os::deploy::trial_dir::{self, TrialDir, made_up_id};
use os::service::database_file::DatabaseFile;
use os::trouble::While;

use super::history::named;
use super::kernel;
use super::state::{State, sentence, trial, tried};
use crate::applets::json::Speaker;
use crate::applets::plan;
use crate::applets::trial::gate::services;
use crate::applets::trial::now;
use crate::applets::trial::restart_device;

/// From one look at a trial to the next.
const LOOK: Duration = Duration::from_millis(50);

/// Longer than any phase takes to end by itself.
const PATIENCE: Duration = Duration::from_secs(240);

/// What is wanted.
struct Wanted {
    path: PathBuf,
    id: Id,
    deadline: Duration,
    confirm: bool,
    reboot: bool,
    detach: bool,
    any_kernel: bool,
    by: String,
    why: String,
}

pub fn activate(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut wanted = Wanted {
        path: PathBuf::new(),
        id: made_up_id().map_err(Failure::refused)?,
        deadline: DEADLINE,
        confirm: true,
        reboot: false,
        detach: false,
        any_kernel: false,
        by: visitor(),
        why: String::new(),
    };
    let (mut given, mut json) = (false, false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "id" => {
                let text = args.text()?;
                wanted.id = read_id(&text)?;
                given = true;
            }
            "deadline" => wanted.deadline = read_deadline(args.parsed()?)?,
            "json" => json = true,
            "no-confirm" => wanted.confirm = false,
            "reboot" => wanted.reboot = true,
            "detach" => wanted.detach = true,
            "any-kernel" => wanted.any_kernel = true,
            "by" => wanted.by = format!("{} ({})", args.text()?, visitor()),
            "why" => wanted.why = args.text()?,
            _ => return Err(args.unknown(&option)),
        }
    }
    let operand = args.operand().ok_or_else(|| Failure::usage("it needs a path or a number"))?;
    let word = cli::text(&operand)?;
    wanted.path = match word.starts_with('/') {
        true => word.into(),
        false => named(&State::read()?, word)?.path.clone().into(),
    };
    begin(wanted, given, &mut Speaker { out, json })
}

fn read_id(text: &str) -> Result<Id, Failure> {
    Id::parse(text).ok_or_else(|| {
        Failure::usage(format!("{text:?} cannot name a trial: 8 to 64 letters, digits and -"))
    })
}

fn read_deadline(seconds: u64) -> Result<Duration, Failure> {
    let deadline = Duration::from_secs(seconds);
    match !deadline.is_zero() && deadline <= TRIAL_DEADLINE_MAX {
        true => Ok(deadline),
        false => {
            let most = TRIAL_DEADLINE_MAX.as_secs();
            Err(Failure::usage(format!("a deadline is 1 to {most} seconds")))
        }
    }
}

/// Who this is, and from where.
fn visitor() -> String {
    let who = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let from = std::env::var("SSH_CONNECTION").unwrap_or_default();
    match from.split(' ').next() {
        Some(address) if !address.is_empty() => format!("{who} from {address}"),
        _ => who,
    }
}

/// Begins a trial, and tells how it goes; also its name, unless who asked has given it one.
fn begin(wanted: Wanted, is_named: bool, out: &mut Speaker<'_>) -> Result<Exit, Failure> {
    let path = check(&wanted)?;
    let (here, dir) = (generations::here(), trial_dir::here());
    let lock = dir.lock().to(|| "lock the trial").map_err(Failure::refused)?;
    let Some(_lock) = lock else {
        return Err(Failure::not_achieved("somebody else begins a trial at this very moment"));
    };
    let state = State::read()?;
    refuse_second(&state, &here)?;
    if state.running == path && state.boot == path {
        writeln!(out, "{} runs already, and starts next", state.name_of(&path))?;
        let progress = over(Phase::Committed, String::new());
        out.object(tried("", state.number_of(&path), &path, &progress))?;
        return Ok(Exit::DONE);
    }
    let up: Vec<String> = match services() {
        Ok(all) => all.into_iter().filter(|(_, it)| it.up).map(|(name, _)| name).collect(),
        Err(why) => {
            return Err(Failure::refused(format!("cannot ask how services are: {why}"))
                .hint("without the manager there is no way over and none back"));
        }
    };
    let number = note(&here, &state, &path, &wanted)?;
    let (id, deadline, confirm, by) =
        (wanted.id.clone(), wanted.deadline, wanted.confirm, wanted.by.clone());
    if wanted.reboot {
        let progress = over(Phase::Restarting, String::new());
        let object = tried(id.as_str(), Some(number), &path, &progress);
        let (new, attempts, boots) = (path, 0, 0);
        let start_max = start_max(last_start());
        let pending =
            Pending { id, number, new, deadline, start_max, confirm, by, attempts, boots, up };
        here.carry_out(&deeds::pend(&pending)).map_err(Failure::refused)?;
        writeln!(out, "the device restarts, and tries generation {number}")?;
        out.object(object)?;
        out.flush()?;
        return restart_device().map(|()| Exit::DONE).map_err(|why| {
            let undone = here.carry_out(&deeds::forget_pending()).is_ok();
            let failure = Failure::refused(format!("cannot restart the device: {why}"));
            if undone { failure } else { failure.hint("the next start tries the generation") }
        });
    }
    let (new, old, began) = (path, state.running.clone(), clock::now());
    let plan = Plan { id, way: Way::Live, number, new, old, deadline, confirm, by, began };
    let ward = fs::canonicalize("/proc/self/exe").map_err(Failure::refused)?;
    dir.make(&plan, &up, &ward)
        .and_then(|()| dir.start())
        .to(|| "have init start the owner of the trial")
        .map_err(Failure::refused)?;
    writeln!(out, "generation {number} is on trial")?;
    if plan.confirm && !is_named {
        writeln!(out, "`ward generation confirm {}` keeps it", plan.id)?;
    }
    out.flush()?;
    let ended = match wanted.detach {
        true => Progress::new(began),
        false => follow(&dir, &plan, true, out)?,
    };
    out.object(trial(&plan, &ended))?;
    kept(plan.number, &ended).map(|()| Exit::DONE)
}

/// How far one is of which there is no more to know.
fn over(phase: Phase, reason: String) -> Progress {
    Progress { phase, reason, ..Progress::new(clock::now()) }
}

/// How long the start of this device took; a minute where nobody knows.
fn last_start() -> Duration {
    let noted = os::deploy::phases::noted().unwrap_or_default();
    model::deploy::phases::took(&noted).unwrap_or(Duration::from_secs(60))
}

/// Looks whether it is a generation, and one for this device.
fn check(wanted: &Wanted) -> Result<String, Failure> {
    let shown = wanted.path.display();
    let path = wanted.path.canonicalize().map_err(|error| {
        Failure::refused(format!("cannot find {shown}: {error}"))
            .hint("`doorward copy` brings a generation to a device")
    })?;
    for name in ["init", "services/db", "boot", "filesystem"] {
        if !path.join(name).is_file() {
            let why =
                format!("{shown} is no generation, or not all of it is here: it has no {name}");
            return Err(Failure::not_achieved(why)
                .hint("outputs.systemConfiguration of a configuration is one"));
        }
    }
    let ward = path.join("init").canonicalize().map_err(Failure::refused)?;
    let said = std::process::Command::new(ward).arg("--version").output();
    if !said.is_ok_and(|said| said.stdout.starts_with(b"ward")) {
        let why = format!("the ward of {shown} cannot be executed here");
        return Err(Failure::not_achieved(why).hint("is it for another processor?"));
    }
    if !wanted.any_kernel {
        kernel::check(&path)?;
    }
    // The manager that runs would have to read them.
    let services = path.join("services");
    let file = DatabaseFile::read(&services)
        .map_err(|error| plan::unreadable(&services.display().to_string(), &error))?;
    if let Err(error) = file.database()
        && !wanted.reboot
    {
        let failure = plan::unusable(&services.display().to_string(), &error);
        let failure = Failure { exit: Exit::NOT_ACHIEVED, ..failure };
        return Err(failure.hint("services for another ward begin with a restart: --reboot"));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| Failure::refused("its path is not UTF-8"))
}

/// One trial at a time.
fn refuse_second(state: &State, here: &Generations) -> Result<(), Failure> {
    let hint = "`ward generation rollback` ends it";
    if let Some((plan, progress)) = state.trial.as_ref().filter(|(_, it)| !it.phase.is_over()) {
        let why = format!("another trial goes on: {}", sentence(plan, progress));
        return Err(Failure::not_achieved(why).hint(hint));
    }
    if let Some(pending) = &state.pending {
        let Pending { number, by, .. } = pending;
        let why = format!("the next start tries generation {number}, as {by} wanted");
        return Err(Failure::not_achieved(why).hint(hint));
    }
    if here.has_pending() {
        here.carry_out(&deeds::forget_pending()).map_err(Failure::refused)?;
    }
    Ok(())
}

/// Gives it a number and a record.
fn note(here: &Generations, state: &State, path: &str, wanted: &Wanted) -> Result<Number, Failure> {
    let plain = |text: &str| model::deploy::fields::plain(text, FIELD_BYTES_MAX);
    let now = now();
    let image = Record {
        outcome: Outcome::Committed,
        made: 0,
        ended: 0,
        by: IMAGE.into(),
        from: None,
        why: String::new(),
        id: String::new(),
        reason: String::new(),
        lines: Vec::new(),
    };
    let number = here.number_for(path, &image).map_err(|trouble| {
        Failure::refused(trouble).hint(format!(
            "generations need a root file system that can be written to, such as jffs2, and room \
             in {FOLDER}"
        ))
    })?;
    let known = here.record(number);
    let record = Record {
        outcome: Outcome::Trial,
        made: known.as_ref().map_or(now, |known| known.made),
        ended: now,
        by: plain(&wanted.by),
        from: here
            .all()
            .ok()
            .and_then(|all| all.iter().find(|one| one.path == state.running).map(|one| one.number)),
        why: plain(&wanted.why),
        id: wanted.id.to_string(),
        ..image
    };
    here.carry_out(&deeds::add(number, path, &record)).map_err(Failure::refused)?;
    Ok(number)
}

/// Tells what happens, until it is over; or until it waits for somebody, with `until_awaiting`.
fn follow(
    dir: &TrialDir,
    plan: &Plan,
    until_awaiting: bool,
    out: &mut dyn Write,
) -> Result<Progress, Failure> {
    let mut read = 0;
    let mut patience = clock::now() + PATIENCE;
    let mut last = Phase::Beginning;
    loop {
        let progress = dir.progress();
        pass_on(&dir.log(), &mut read, out)?;
        let Some(progress) = progress else {
            if clock::now() > patience {
                return Err(Failure::refused("init does not start the owner of the trial"));
            }
            std::thread::sleep(LOOK);
            continue;
        };
        if dir.plan().is_none_or(|found| found.id != plan.id) {
            return Err(Failure::not_achieved("another trial has begun since"));
        }
        match progress.phase {
            Phase::Committed | Phase::Returned | Phase::Restarting => return Ok(progress),
            Phase::Awaiting if until_awaiting && !progress.confirmed => return Ok(progress),
            phase if phase != last => {
                last = phase;
                patience = clock::now() + PATIENCE + plan.deadline;
            }
            _ if clock::now() > patience => {
                return Err(Failure::refused("the owner of the trial does not go on")
                    .hint("`ward log doorward-trial` shows what it said"));
            }
            _ => {}
        }
        std::thread::sleep(LOOK);
    }
}

/// Refuses to call a generation kept that is not.
fn kept(number: Number, ended: &Progress) -> Result<(), Failure> {
    let end = match ended.phase {
        Phase::Returned => "",
        Phase::Restarting => "; the device restarts",
        _ => return Ok(()),
    };
    let why = format!("generation {number} is not kept: {}{end}", ended.reason);
    Err(Failure::not_achieved(why))
}

/// Prints what was added to a file since the last time.
fn pass_on(path: &Path, read: &mut u64, out: &mut dyn Write) -> std::io::Result<()> {
    let Ok(mut file) = fs::File::open(path) else { return Ok(()) };
    file.seek(SeekFrom::Start(*read))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(());
    }
    *read += text.len() as u64;
    out.write_all(&text)?;
    out.flush()
}

pub fn confirm(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = super::flags(args, ["json"])?;
    let out = &mut Speaker { out, json };
    let word = args.operand().ok_or_else(|| Failure::usage("it needs the name of the trial"))?;
    let id = read_id(cli::text(&word)?)?;
    let dir = trial_dir::here();
    let state = State::read()?;
    let told = state.trial.as_ref().filter(|(plan, _)| plan.id == id);
    let Some((plan, progress)) = told else {
        return confirmed_before(&state, &id, out);
    };
    if !progress.phase.is_over() {
        dir.confirm(&id).to(|| "confirm it").map_err(Failure::refused)?;
    }
    let ended = follow(&dir, plan, false, &mut std::io::sink())?;
    out.object(trial(plan, &ended))?;
    kept(plan.number, &ended)?;
    writeln!(out, "generation {} is kept", plan.number)?;
    Ok(Exit::DONE)
}

/// There is no such trial since the last start: what became of it is on the flash.
fn confirmed_before(state: &State, id: &Id, out: &mut Speaker<'_>) -> Result<Exit, Failure> {
    let known = state.all.iter().filter_map(|one| Some((one, one.record.as_ref()?)));
    let known = known.into_iter().find(|(_, record)| record.id == id.as_str());
    let mut told = |one: &Numbered, phase, reason: &str| {
        let ended = over(phase, reason.into());
        out.object(tried(id.as_str(), Some(one.number), &one.path, &ended))?;
        kept(one.number, &ended)
    };
    match known {
        Some((one, record)) if record.outcome == Outcome::Committed => {
            told(one, Phase::Committed, "")?;
            writeln!(out, "generation {} is kept since long", one.number)?;
            Ok(Exit::DONE)
        }
        Some((one, record)) if record.outcome == Outcome::Failed => {
            told(one, Phase::Returned, &record.reason).map(|()| Exit::DONE)
        }
        _ => {
            let failure = Failure::not_achieved(format!("there is no trial {id}"));
            Err(match state.trial.as_ref().filter(|(_, it)| !it.phase.is_over()) {
                Some((plan, progress)) => {
                    failure.hint(format!("what goes on: {}", sentence(plan, progress)))
                }
                None => failure.hint("none goes on"),
            })
        }
    }
}

pub fn roll_back(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = super::flags(args, ["json"])?;
    let out = &mut Speaker { out, json };
    let wanted = args.operand();
    let state = State::read()?;
    let dir = trial_dir::here();
    if let Some((plan, _)) = state.trial.as_ref().filter(|(_, it)| !it.phase.is_over()) {
        if wanted.is_some() {
            return Err(Failure::not_achieved("a trial goes on; without a number it is ended"));
        }
        dir.roll_back(&visitor()).to(|| "ask for it").map_err(Failure::refused)?;
        let ended = follow(&dir, plan, false, out)?;
        out.object(trial(plan, &ended))?;
        // That it is not kept is what was asked for.
        return match ended.phase {
            Phase::Committed => Err(Failure::not_achieved("it had been kept by then")
                .hint("once more, and the device goes back to the one before")),
            _ => Ok(Exit::DONE),
        };
    }
    if let Some(pending) = &state.pending {
        let here = generations::here();
        here.carry_out(&deeds::forget_pending()).map_err(Failure::refused)?;
        let why = format!("{} {WANTED_BACK} before it was started", visitor());
        here.settle(&why, now()).map_err(Failure::refused)?;
        writeln!(out, "generation {} is not tried", pending.number)?;
        let ended = over(Phase::Returned, why);
        out.object(tried(pending.id.as_str(), Some(pending.number), &pending.new, &ended))?;
        return Ok(Exit::DONE);
    }
    let one = match &wanted {
        Some(word) => named(&state, cli::text(word)?)?,
        None => before(&state)?,
    };
    if std::io::stdout().is_terminal() {
        writeln!(out, "going back to generation {}", one.number)?;
    }
    let wanted = Wanted {
        path: one.path.clone().into(),
        id: made_up_id().map_err(Failure::refused)?,
        deadline: DEADLINE,
        // Whoever goes back by hand looks by hand; what was up before has to work all the same.
        confirm: false,
        reboot: false,
        detach: false,
        any_kernel: false,
        by: visitor(),
        why: format!("to go back from {}", state.name_of(&state.running)),
    };
    begin(wanted, false, out)
}

/// The generation that ran before the one that runs.
pub fn before(state: &State) -> Result<&Numbered, Failure> {
    let running = state.all.iter().find(|one| one.path == state.running);
    let is_other = |one: &&Numbered| one.path != state.running;
    let from = running.and_then(|one| one.record.as_ref()?.from);
    let from = from.and_then(|from| state.all.iter().find(|one| one.number == from));
    let kept = |one: &&Numbered| {
        is_other(one)
            && one.record.as_ref().is_some_and(|record| record.outcome == Outcome::Committed)
    };
    let older = |one: &&Numbered| running.is_none_or(|running| one.number < running.number);
    let found = from.filter(is_other).or_else(|| state.all.iter().rev().filter(older).find(kept));
    found.ok_or_else(|| {
        Failure::not_achieved("there is no generation before the one that runs")
            .hint("`ward generation list` shows all of them")
    })
}
