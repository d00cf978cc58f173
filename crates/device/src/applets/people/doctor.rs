//! `ward doctor`: what is wrong with this device, or soon will be, and what helps.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use engine::deploy::store;
use engine::doctor::{Facts, Finding, Generations, Service, examine, is_ill, summary};
use engine::service::chart::Bar;
use model::deploy::generation::CURRENT;
use model::deploy::history::{Outcome, WANTED_BACK};
use model::deploy::store_path::{STORE, StorePath};
use model::deploy::trust;
use model::service::database::{Entry, Index};
use model::service::status::Exit as EndOf;
use os::deploy::store_dir::StoreDir;
use os::deploy::trusted;
use os::service::client;
use os::service::live_dir::SERVICE_DIRS;
use os::{clock, facts, file_systems};

use super::history::History;
use super::screen::wrapped;
use super::services::{Mood, Services, look_back};
use crate::applets::generation::kernel;
use crate::applets::generation::state::{State, sentence};
use crate::applets::json::Object;
use crate::applets::{levitate, logger};

pub const COMMAND: Command = Command {
    name: "doctor",
    summary: "Say what is wrong with this device, or soon will be, and what helps",
    usage: "ward doctor [--json] [-d DIR] [-l LIVE]",
    options: &[
        Opt("--json", "Print an array with one object for each finding"),
        Opt("-d DIR", "The log directory (default: /run/uncaught-logs)"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
It looks for services that failed or die too often; file systems, memory and files that are about to \
run out; a trial that was not confirmed, an update that failed; signatures, passwords, the clock, the \
watchdog; an init, a kernel or services that are older than what is installed. The worst comes first, \
each with what helps; a note is worth knowing and no more. It changes nothing.

Exit codes: 0 nothing is to be done; 1 something is; 100 wrong usage; 111 the system refused.

Examples:

  ward doctor           all findings
  ward doctor --json    the same, for programs",
    run,
};

const LIVE: &str = "/run/s6-rc";

/// In this time deaths of a service count.
const RECENT: Duration = Duration::from_secs(3600);

/// How one ends that somebody ends, `SIGTERM`, also where the manager does not remember it.
const TOLD: EndOf = EndOf::Signal(15);

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut json, mut live) = (false, PathBuf::from(LIVE));
    let mut logs = PathBuf::from(logger::DIRECTORY);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "d" => logs = args.value()?.into(),
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    if args.operand().is_some() {
        return Err(Failure::usage("it looks at all of the device"));
    }
    let findings = examine(&gathered(&live, &logs));
    let text = match json {
        true => {
            let all: Vec<String> = findings.iter().map(to_json).collect();
            format!("[\n{}\n]\n", all.join(",\n"))
        }
        false => to_text(&findings, std::io::stdout().is_terminal()),
    };
    out.write_all(text.as_bytes())?;
    Ok(if is_ill(&findings) { Exit::NOT_ACHIEVED } else { Exit::DONE })
}

fn to_text(findings: &[Finding], terminal: bool) -> String {
    let mut text = String::new();
    for Finding { weight, code: _, what, cure } in findings {
        let lines = [format!("{:8} {what}", weight.name()), format!("         {cure}")];
        for line in lines {
            // What goes on stands below the text.
            let lines = if terminal { wrapped(&line) } else { vec![line] };
            lines.iter().for_each(|line| {
                text += line;
                text.push('\n');
            });
        }
    }
    text + &summary(findings) + "\n"
}

fn to_json(finding: &Finding) -> String {
    let mut object = Object::begin();
    object.text("weight", finding.weight.name());
    object.text("code", finding.code);
    object.text("what", &finding.what);
    object.text("cure", &finding.cure);
    object.end()
}

/// All that can be found out.
pub fn gathered(live: &Path, logs: &Path) -> Facts {
    let mut facts = Facts {
        file_systems: file_systems::writable(),
        memory: facts::memory(),
        clock: clock::today()
            .nanos_since_1970()
            .and_then(|n| u64::try_from(n / 1_000_000_000).ok()),
        root_is_open: facts::root_is_open(),
        ..Facts::default()
    };
    let looked = look_back(live, |services, history| {
        facts.service_dirs = live.join(SERVICE_DIRS).display().to_string();
        facts.services = services_of(services, history, live);
        facts.stopped = stopped(services);
        facts.manager = (!services.denied()).then_some(services.fresh);
        Ok(())
    });
    facts.no_services = looked.err().map(|failure| failure.message);
    // Where there are no services nobody misses their log.
    if facts.no_services.is_none() {
        facts.log_place = logs.display().to_string();
        facts.log = match logs.join("current").metadata() {
            Ok(_) => Some(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(false),
            Err(_) => None,
        };
    }
    // The rest is about the device, not about any tree of services.
    if live == Path::new(LIVE) {
        device(&mut facts);
    }
    facts
}

fn services_of(services: &Services<'_>, history: &History, live: &Path) -> Vec<Service> {
    let today = clock::today().label;
    let all = services.database.services().map(|service| {
        let name = service.name().to_owned();
        let ups = history.bars.iter().filter(|bar| bar.up && bar.name == name);
        let recent = ups.filter(|bar| services.now.since(bar.begun) < RECENT);
        // The tally has those as well that were told to end: it counts from the last start.
        let age = recent.clone().next_back().map_or(RECENT, |bar| services.now.since(bar.begun));
        let since = today.saturating_sub(age.as_secs());
        let deaths = client::deaths(&live.join(SERVICE_DIRS).join(&name)).unwrap_or_default();
        let by_controller = |change| {
            let mut askers = history.askers.iter().filter(|(of, _)| *of == change);
            let (by, _) = askers.next()?.1.split_once(": ")?;
            service.controlled_by().find(|it| it.service().name() == by)
        };
        // Down and up again by one request: otherwise it comes and goes, as with a device.
        let again = |up: &&Bar| {
            let mut bars = history.bars.iter();
            bars.any(|bar| !bar.up && bar.change == up.change && bar.name == up.name)
        };
        Service {
            failed: services.word(service.index()).1 == Mood::Bad,
            deaths: deaths.iter().filter(|it| it.date.label >= since && it.exit != TOLD).count(),
            restarts: recent
                .filter(again)
                .filter(|bar| by_controller(bar.change).is_some())
                .count(),
            name,
        }
    });
    all.collect()
}

/// What `ward boot` brings up, and nobody wants up any more.
fn stopped(services: &Services<'_>) -> Vec<String> {
    let Some(Entry::Bundle(bundle)) = services.database.find("default") else { return Vec::new() };
    let is_stopped = |index: &Index| {
        let is_left_alone = services.database.service(*index).controlled_by().next().is_none();
        services.word(*index).1 == Mood::Quiet
            && is_left_alone
            && services.held_back(*index).is_none()
    };
    let all = services.database.bundle(bundle).contents().filter(is_stopped);
    all.map(|index| services.name(index).to_owned()).collect()
}

fn device(facts: &mut Facts) {
    facts.maintenance = levitate::where_one_is().and_then(|text| {
        text.rsplit_once("; ").map(|(what, back)| (what.to_owned(), back.to_owned()))
    });
    facts.watchdog_is_idle = facts::watchdog_is_idle();
    let own = std::env::current_exe();
    let is_ward = std::fs::read_link("/proc/1/exe").is_ok_and(|exe| {
        exe.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ward"))
    });
    facts.newer_ward = own
        .ok()
        .filter(|own| is_ward && facts::runs_another(1, own) == Some(true))
        .map(|own| own.display().to_string());
    let real = |path: &Path| path.canonicalize().ok();
    let used = real(&Path::new(LIVE).join("compiled"));
    let next = real(Path::new("/etc/s6-rc/compiled/current"));
    facts.database_is_old = used.is_some() && next.is_some() && used != next;
    let wanted = kernel::wanted(&Path::new(CURRENT).join("modules"));
    facts.kernels = facts::kernel().zip(wanted);
    facts.kernel_lacks = kernel::lacks(Path::new(CURRENT));
    facts.generations = State::read().ok().map(|state| generations(&state));
}

fn generations(state: &State) -> Generations {
    let mut known = Generations {
        running: state.running.clone(),
        running_name: state.name_of(&state.running),
        boot: state.boot.clone(),
        boot_name: state.name_of(&state.boot),
        ..Generations::default()
    };
    let trial = state.trial.as_ref().filter(|(_, progress)| !progress.phase.is_over());
    known.trial =
        trial.map(|(plan, progress)| (sentence(plan, progress), plan.id.as_str().to_owned()));
    let records = state.all.iter().filter_map(|one| Some((one, one.record.as_ref()?)));
    let last = records.max_by_key(|(one, record)| (record.ended, one.number));
    let failed =
        last.filter(|(one, record)| record.outcome == Outcome::Failed && one.path != state.running);
    let failed = failed.filter(|(_, record)| !record.reason.contains(WANTED_BACK));
    known.failed = failed.map(|(one, record)| (one.number.to_string(), record.reason.clone()));
    match trusted::keys(Path::new("/")) {
        Err(why) => known.keys_damaged = Some(why),
        Ok(keys) => {
            known.keys = !keys.is_empty();
            let path = state.running.strip_prefix(STORE).and_then(|path| path.strip_prefix('/'));
            let path = path
                .and_then(|path| StorePath::parse(path).ok())
                .filter(|_| known.keys && !state.is_of_image());
            known.signed = path.and_then(|path| {
                let mut disk = StoreDir::open(Path::new("/")).ok()?;
                let info = store::info(&mut disk, &path).ok()?;
                Some(info.is_some_and(|info| trust::is_signed(&info, &keys)))
            });
        }
    }
    known
}
