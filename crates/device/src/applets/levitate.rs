//! `levitate`: prepares a maintenance system in memory, so that the next `reboot` goes there and the
//! flash can be written; `ward maintenance`: that system's own part.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::deploy::generation::CURRENT;
use model::deploy::maintenance::{PATIENCE, Plan, ROOT, STAY, megabytes};
use model::limits::GENERATION_FILE_BYTES_MAX;
use os::flash::{ramdisk, somebody::Somebody};
use os::sys::lock;

use super::json::{Object, Speaker};

pub const LEVITATE: Command = Command {
    name: "levitate",
    summary: "Prepare a system in memory, for the next reboot to go there and leave the flash alone",
    usage: "levitate [-n] [--new-host-key] [--timeout SECONDS] [--json] | --cancel | --status | --stay",
    options: &[
        Opt("-n, --dry-run", "Only tell what it would hold, and whether there is memory for it"),
        Opt("--new-host-key", "Have ssh make another key there, instead of taking ours along"),
        Opt(
            "--timeout SECONDS",
            "How long nobody may log in there before the device restarts (600)",
        ),
        Opt("--cancel", "Undo it: the next reboot is one again"),
        Opt("--status", "Tell where one is, and where the next reboot goes"),
        Opt("--stay", "In maintenance: somebody is here, so do not restart by yourself"),
        Opt("--json", "Print one object, also of the other three"),
    ],
    about: "\
What runs there is what the configuration of this system says \
(docs/guide/reinstall.md): a few services and programs, copied from the flash \
to memory, below /run/maintenance. Nothing changes before `reboot`; that one takes \
every service down and every file system of the flash away, and starts the others \
in memory, without the boot loader. In maintenance the flash may be written, and \
`reboot` really restarts the device. `reboot -f` does so at once.

Doing it again makes it anew. Exit codes: 0 done (--status: maintenance runs or \
is prepared), 1 it does not fit into memory, or (--status) there is nothing of the \
kind, 100 wrong usage, 111 the system refused.",
    run: run_levitate,
};

pub const MAINTENANCE: Command = Command {
    name: "maintenance",
    summary: "Wait until somebody logs in to the maintenance system, and then have it stay",
    usage: "ward maintenance",
    options: &[],
    about: "\
A service of a maintenance system. Somebody is there once an ssh server has \
started a shell or a command, a terminal is in use, or a program has the flash open. \
Until then init restarts the device when the time that `levitate --timeout` has set \
is over.",
    run: run_maintenance,
};

/// What is held by one `levitate` at a time.
const LOCK: &str = "/run/maintenance.lock";

/// Memory that is left to the system that runs while it is made.
const RESERVE: u64 = 4 << 20;

#[derive(Default)]
struct Wanted {
    json: bool,
    dry: bool,
    new_key: bool,
    timeout: Option<u32>,
    other: Option<Other>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Cancel,
    Status,
    Stay,
}

fn run_levitate(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut wanted = Wanted::default();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "n" | "dry-run" => wanted.dry = true,
            "json" => wanted.json = true,
            "new-host-key" => wanted.new_key = true,
            "timeout" => {
                let seconds: u32 = args.parsed()?;
                if seconds < 10 {
                    return Err(Failure::usage("nobody can log in within less than 10 seconds"));
                }
                wanted.timeout = Some(seconds);
            }
            "cancel" => wanted.other = Some(Other::Cancel),
            "status" => wanted.other = Some(Other::Status),
            "stay" => wanted.other = Some(Other::Stay),
            other => return Err(args.unknown(other)),
        }
    }
    if args.operand().is_some() {
        return Err(Failure::usage("it takes no words but options"));
    }
    let out = &mut Speaker { out, json: wanted.json };
    let (said, exit) = match wanted.other {
        Some(Other::Status) => match where_one_is() {
            Some(text) => (text, Exit::DONE),
            None => {
                ("the usual system runs, and the next reboot is one".into(), Exit::NOT_ACHIEVED)
            }
        },
        Some(Other::Stay) => {
            stay()?;
            ("maintenance stays until `reboot`".into(), Exit::DONE)
        }
        Some(Other::Cancel) => {
            let _alone = alone()?;
            let there = ramdisk::remove().map_err(Failure::refused)?;
            let said = if there { "the next reboot is one again" } else { "nothing was prepared" };
            (said.into(), Exit::DONE)
        }
        None => return prepare(&args.called, &wanted, out),
    };
    if !wanted.json {
        writeln!(out, "{said}")?;
    }
    let mut object = Object::begin();
    object.truth("maintenance", ramdisk::runs_here());
    object.truth("stays", Path::new(STAY).exists());
    object.truth("prepared", ramdisk::is_ready());
    out.object(object)?;
    Ok(exit)
}

/// What is to be said of maintenance, if anything.
pub fn where_one_is() -> Option<String> {
    if ramdisk::runs_here() {
        let stays = match Path::new(STAY).exists() {
            true => "",
            false => ", and restarts by itself if nobody logs in",
        };
        return Some(format!(
            "maintenance: this system runs in memory, the flash may be written{stays}; `reboot` leaves it"
        ));
    }
    ramdisk::is_ready().then(|| {
        "maintenance is prepared: `reboot` goes there; `levitate --cancel` undoes that".to_owned()
    })
}

fn stay() -> Result<(), Failure> {
    if !ramdisk::runs_here() {
        return Err(Failure::not_achieved("this is no maintenance system"));
    }
    note_somebody().map_err(Failure::refused)
}

fn note_somebody() -> std::io::Result<()> {
    fs::File::options().append(true).create(true).open(STAY).map(drop)
}

/// Only one at a time makes or removes it.
fn alone() -> Result<fs::File, Failure> {
    let taken = fs::File::options().append(true).create(true).open(LOCK).and_then(|file| {
        lock::take(file.as_fd(), false, lock::Wait::No)?;
        Ok(file)
    });
    taken.map_err(|error| {
        let refused = Failure::refused(format!("cannot lock {LOCK}: {error}"));
        match error.kind() {
            std::io::ErrorKind::WouldBlock => refused.hint("another levitate is at work"),
            _ => refused.hint("only root may do this"),
        }
    })
}

/// The package that this was called from, or that the system was built with.
fn package(called: &Path) -> Option<PathBuf> {
    let own = called.parent().and_then(|bin| bin.canonicalize().ok());
    let own = own.and_then(|bin| Some(bin.parent()?.to_path_buf()));
    let places = own.into_iter().chain([Path::new(CURRENT).join("levitate")]);
    let mut places = places;
    places.find(|place| place.join("plan").is_file())
}

fn read_plan(called: &Path) -> Result<Plan, Failure> {
    let package = package(called).ok_or_else(|| {
        Failure::not_achieved("this system was built without a maintenance system").hint(
            "its configuration needs (levitate.override { config = …; }) in defaultProfile.packages",
        )
    })?;
    let file = package.join("plan");
    let bytes = os::files::read_up_to(&file, GENERATION_FILE_BYTES_MAX)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", file.display())))?;
    Plan::parse(&String::from_utf8_lossy(&bytes))
        .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

fn prepare(called: &Path, wanted: &Wanted, out: &mut Speaker<'_>) -> Result<Exit, Failure> {
    if ramdisk::runs_here() {
        return Err(Failure::not_achieved("this is the maintenance system already")
            .hint("`reboot` leaves it"));
    }
    let plan = read_plan(called)?;
    let patience = wanted.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    let patience = patience.or(plan.patience).unwrap_or(PATIENCE);
    let _alone = if wanted.dry { None } else { Some(alone()?) };
    // What lies there already is no longer needed, whatever becomes of this.
    if !wanted.dry {
        ramdisk::remove().map_err(Failure::refused)?;
    }
    let mut object = Object::begin();
    let fits = fits(&plan, out, &mut object);
    object.truth("fits", fits.is_ok());
    if wanted.dry || fits.is_err() {
        object.truth("prepared", false);
        out.object(object)?;
        return fits.map(|()| Exit::DONE);
    }
    // Some of what was counted may be larger here; much larger is a mistake.
    let most = plan.bytes() + plan.bytes() / 4 + (1 << 20);
    let made = ramdisk::make(&plan, !wanted.new_key, patience, most).map_err(Failure::refused)?;
    writeln!(out, "{ROOT} holds it: {} in memory", megabytes(made.bytes))?;
    for path in &made.carried {
        writeln!(out, "  {path}: taken along, so that ssh is known there by the same key")?;
    }
    for path in &made.missing {
        writeln!(out, "  {path}: not there; another one will be made")?;
    }
    if wanted.new_key {
        writeln!(out, "  ssh will have another host key there")?;
    }
    writeln!(
        out,
        "`reboot` goes there; ssh answers again after about 20 seconds. Unless somebody logs in within \
         {}, it restarts into this system. `levitate --cancel` undoes it.",
        spell(patience)
    )?;
    object.truth("prepared", true);
    object.number("bytes", made.bytes);
    object.texts("carried", made.carried.iter().map(String::as_str));
    object.texts("missing", made.missing.iter().map(String::as_str));
    object.truth("new_host_key", wanted.new_key);
    object.millis("timeout_ms", patience);
    out.object(object)?;
    Ok(Exit::DONE)
}

/// Tells what it takes, and refuses where that is more than there is.
fn fits(plan: &Plan, out: &mut dyn Write, object: &mut Object) -> Result<(), Failure> {
    let needed = plan.bytes().saturating_add(plan.spare);
    object.number("paths", plan.stores.len() as u64);
    object.number("needed_bytes", needed);
    let parts = format!(
        "{} for {} store paths, {} for what runs",
        megabytes(plan.bytes()),
        plan.stores.len(),
        megabytes(plan.spare)
    );
    let Some(available) = os::memory::available() else {
        writeln!(out, "it needs {} of memory ({parts})", megabytes(needed))?;
        return Ok(());
    };
    object.number("available_bytes", available);
    if needed.saturating_add(RESERVE) <= available {
        writeln!(
            out,
            "it needs {} of memory ({parts}); {} are free",
            megabytes(needed),
            megabytes(available)
        )?;
        return Ok(());
    }
    let mut largest: Vec<&(String, u64)> = plan.stores.iter().collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let largest: String = largest
        .iter()
        .take(5)
        .map(|(path, bytes)| format!("\n  {:>9}  {path}", megabytes(*bytes)))
        .collect();
    Err(Failure::not_achieved(format!(
        "it needs {} of memory ({parts}), and {} for what runs now; only {} are free. The largest:{largest}",
        megabytes(needed),
        megabytes(RESERVE),
        megabytes(available)
    ))
    .hint("stop services that take much (`ward stop NAME`), or take something out of its configuration"))
}

fn spell(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => {
            format!("{} minutes", seconds / 60)
        }
        seconds => format!("{seconds} seconds"),
    }
}

fn run_maintenance(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let mut somebody = Somebody::new();
    while !Path::new(STAY).exists() {
        if let Some(who) = somebody.look() {
            note_somebody().map_err(Failure::refused)?;
            eprintln!("{who}: maintenance stays until `reboot`");
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    // A service that has ended would be started again.
    loop {
        std::thread::sleep(Duration::from_secs(86_400));
    }
}
