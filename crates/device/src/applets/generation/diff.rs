//! What differs between two generations.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Exit, Failure};
use model::service::database::Entry;
use os::service::database_file::DatabaseFile;

use super::flags;
use super::history::named;
use super::state::State;
use crate::applets::json::Object;
use crate::applets::plan;
use crate::applets::trial::switch::LIVE;

/// Folders inside each other that are looked into.
const DEPTH_MAX: usize = 32;

pub fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let [json] = flags(args, ["json"])?;
    let state = State::read()?;
    let words = args.rest();
    let path = |at: usize| -> Result<Option<String>, Failure> {
        let Some(word) = words.get(at) else { return Ok(None) };
        let word = cli::text(word)?;
        match word.starts_with('/') {
            true => Ok(Some(word.to_owned())),
            false => Ok(Some(named(&state, word)?.path.clone())),
        }
    };
    let (first, second) = (path(0)?, path(1)?);
    let (a, b) = match (first, second) {
        (Some(a), Some(b)) => (a, b),
        // From what runs to another one, or from the one before to what runs.
        (Some(a), None) => (state.running.clone(), a),
        (None, _) => (before(&state)?, state.running.clone()),
    };
    if json {
        let mut lines = Vec::new();
        differences(&state, &a, &b, &mut lines)?;
        let mut object = Object::begin();
        object.text("from", &a);
        object.text("to", &b);
        object.texts("differences", String::from_utf8_lossy(&lines).lines());
        writeln!(out, "{}", object.end())?;
        return Ok(Exit::DONE);
    }
    write!(out, "from {}\nto   {}\n", state.name_of(&a), state.name_of(&b))?;
    differences(&state, &a, &b, out)?;
    Ok(Exit::DONE)
}

/// A line for each thing that is not the same.
fn differences(state: &State, a: &str, b: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let (a, b) = (Path::new(a), Path::new(b));
    if real(&a.join("init")) != real(&b.join("init")) {
        writeln!(out, "ward: {}", real(&b.join("init")).display())?;
    }
    services(a, b, state.running == a.to_string_lossy(), out)?;
    for name in ["boot", "filesystem"] {
        lines(name, a, b, out)?;
    }
    files(a, b, out)
}

/// The generation that ran before the one that runs.
fn before(state: &State) -> Result<String, Failure> {
    super::activate::before(state).map(|one| one.path.clone())
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Services that come, go and change; and, from what runs, all that would start again.
fn services(a: &Path, b: &Path, runs: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let read = |generation: &Path| {
        let directory = generation.join("services");
        DatabaseFile::read(&directory)
            .map_err(|error| plan::unreadable(&directory.display().to_string(), &error))
    };
    let (old, new) = (read(a)?, read(b)?);
    let shown = |path: &Path| path.join("services").display().to_string();
    let old = old.database().map_err(|error| plan::unusable(&shown(a), &error))?;
    let new = new.database().map_err(|error| plan::unusable(&shown(b), &error))?;
    for service in new.services() {
        match old.find(service.name()) {
            Some(Entry::Service(index)) => {
                if old.service(index).digest() != service.digest() {
                    writeln!(out, "service changed: {}", service.name())?;
                }
            }
            _ => writeln!(out, "service new: {}", service.name())?,
        }
    }
    for service in old.services().filter(|it| new.find(it.name()).is_none()) {
        writeln!(out, "service gone: {}", service.name())?;
    }
    if runs {
        let live = Path::new(LIVE);
        let state = crate::applets::peers::s6_rc::list::read_state(live, old.len());
        let manner = engine::service::update::Manner { essential: true, as_is: false };
        if let Ok(state) = state
            && let Ok(plan) = plan::plan(&old, &new, &state, &[], manner)
            && !plan.stop.is_empty()
        {
            let names = plan.stop.iter().map(|index| old.service(*index).name());
            writeln!(out, "would stop or start again: {}", names.collect::<Vec<_>>().join(" "))?;
        }
    }
    Ok(())
}

/// Lines of a file that only one of them has.
fn lines(name: &str, a: &Path, b: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let read = |path: &Path| fs::read_to_string(path.join(name)).unwrap_or_default();
    let (old, new) = (read(a), read(b));
    let shown = |line: &str| line.replace('\t', " ");
    for line in old.lines().filter(|line| !new.lines().any(|it| it == *line)) {
        writeln!(out, "{name}: - {}", shown(line))?;
    }
    for line in new.lines().filter(|line| !old.lines().any(|it| it == *line)) {
        writeln!(out, "{name}: + {}", shown(line))?;
    }
    Ok(())
}

fn files(a: &Path, b: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let (old, new) = (a.join("root"), b.join("root"));
    let mut told = Ok(());
    let mut tell = |what: &str, path: &Path| {
        if told.is_ok() {
            told = writeln!(out, "file {what}: /{}", path.display());
        }
    };
    walk(&new, Path::new(""), 0, &mut |path| {
        let (before, now) = (old.join(path), new.join(path));
        match fs::symlink_metadata(&before) {
            Err(_) => tell("new", path),
            Ok(_) if !same(&before, &now) => tell("changed", path),
            Ok(_) => {}
        }
    });
    walk(&old, Path::new(""), 0, &mut |path| {
        if fs::symlink_metadata(new.join(path)).is_err() {
            tell("gone", path);
        }
    });
    Ok(told?)
}

/// All that is no folder, by its path below `top`.
fn walk(top: &Path, folder: &Path, depth: usize, each: &mut dyn FnMut(&Path)) {
    if depth > DEPTH_MAX {
        return;
    }
    for entry in fs::read_dir(top.join(folder)).into_iter().flatten().flatten() {
        let path = folder.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(top, &path, depth + 1, each),
            _ => each(&path),
        }
    }
}

fn same(a: &Path, b: &Path) -> bool {
    match (fs::read_link(a), fs::read_link(b)) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => {
            let mode = |path| fs::metadata(path).map(|it| it.permissions()).ok();
            mode(a) == mode(b) && fs::read(a).ok() == fs::read(b).ok()
        }
        _ => false,
    }
}
