//! Going over from one generation to another while the device runs, and going back.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::service::manage::{Along, Graph};
use model::deploy::generation::{CURRENT, Entry, Preparation};
use model::log::line::LABEL_BYTES;
use model::service::database::{Database, DatabaseError, Entry as Named, Index};
use model::service::manager_request::{FromManager, Manner, Step, Verb};
use model::service::request::ToInit;
use model::time::Moment;
use os::clock;
use os::deploy::files;
use os::processes;
use os::service::database_file::DatabaseFile;
use os::service::init_client;
use os::service::manager_client::{AskError, Asking, Ending, Heard, Wish};
use os::sys::children;

use crate::applets::generation::kernel;
use crate::applets::init::early::{carry_out, read};
use crate::applets::logger;

/// The live directory of a device's services, and where its init listens.
pub const LIVE: &str = "/run/s6-rc";
pub const SOCKET: &str = "/run/service/.s6-svscan/init";

/// How long init may take to answer, and to be another program.
const INIT_MAX: Duration = Duration::from_secs(10);

/// Bytes of the log that its last lines are looked for in.
const TAIL_BYTES: u64 = 16 << 10;

/// One way, from a generation to another.
pub struct Going<'a> {
    pub to: &'a Path,
    pub from: &'a Path,
    /// Services that were up before any of it.
    pub up: &'a [String],
    /// It is the way back.
    pub back: bool,
    pub until: Moment,
    pub say: &'a mut dyn FnMut(&str),
}

/// What became of services: their names, and why they are not up.
type Troubles = Vec<(String, String)>;

impl Going<'_> {
    /// Goes, and gives what did not work and did not have to. Doing it again changes nothing.
    ///
    /// # Errors
    /// What had to work did not. It may be half done.
    pub fn go_over(&mut self) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        if !self.back {
            self.prepare(&mut warnings);
            // A newer `ward` reads what an older one wrote; the other way round nobody promises.
            self.exchange_ward()?;
        }
        self.lay_files(&mut warnings)?;
        self.exchange_services(&mut warnings)?;
        if self.back {
            self.exchange_ward()?;
        }
        Ok(warnings)
    }

    /// Modules and mounts that the other generation did not want.
    fn prepare(&mut self, warnings: &mut Vec<String>) {
        warnings.extend(kernel::lacks(self.to).map(|words| {
            format!(
                "words for the kernel come with `doorward reflash`, not with an update: {words}"
            )
        }));
        let lines = |generation: &Path| read::<Preparation>(&generation.join("boot"), &mut |_| {});
        let before = lines(self.from);
        for preparation in lines(self.to).into_iter().filter(|one| !before.contains(one)) {
            if let Preparation::Log { .. } | Preparation::LogOption { .. } = preparation {
                let told =
                    "where and how the log of everything is kept changes with the next start";
                if !warnings.iter().any(|known| known == told) {
                    warnings.push(told.into());
                }
            } else if let Err(trouble) = carry_out(&preparation, &self.to.join("modules")) {
                warnings.push(trouble.to_string());
            }
        }
    }

    /// Has init become the `ward` of the generation, and with it the manager and the logger.
    fn exchange_ward(&mut self) -> Result<(), String> {
        let wanted = self.to.join("init");
        let wanted = wanted.canonicalize().map_err(|e| format!("{}: {e}", wanted.display()))?;
        if is_init(&wanted) {
            return Ok(());
        }
        (self.say)(&format!("init becomes {}", wanted.display()));
        let program = wanted.to_str().ok_or("the path of ward is not UTF-8")?;
        let message = ToInit::Reexec { program: Some(program) };
        init_client::ask(Path::new(SOCKET), &message, INIT_MAX).map_err(|e| e.to_string())?;
        let until = clock::now() + INIT_MAX;
        while !is_init(&wanted) {
            if clock::now() > until {
                return Err(format!("init did not become {program}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Killed at any moment they come back, as what init is by now.
        for (pid, applet) in own_programs() {
            if applet == "manager" || applet == "logger" {
                children::kill(pid, 15, false);
            }
        }
        Ok(())
    }

    /// The link to the generation that runs, and what must be in the root directory.
    fn lay_files(&mut self, warnings: &mut Vec<String>) -> Result<(), String> {
        let entries = |generation: &Path, say: &mut dyn FnMut(String)| {
            read::<Entry>(&generation.join("filesystem"), &mut |text| say(text))
        };
        let wanted = entries(self.to, &mut |text| warnings.push(text));
        let before = entries(self.from, &mut |_| {});
        files::link(CURRENT, self.to).map_err(|error| format!("cannot make {CURRENT}: {error}"))?;
        for entry in &wanted {
            if let Err(error) = files::put(Path::new("/"), entry) {
                warnings.push(format!("cannot make {}: {error}", entry.path()));
            }
        }
        // What is in a folder goes before the folder.
        for entry in before.iter().rev() {
            let is_wanted = wanted.iter().any(|it| it.path() == entry.path());
            if !is_wanted && let Err(error) = files::take_away(Path::new("/"), entry, self.from) {
                warnings.push(format!("cannot take {} away: {error}", entry.path()));
            }
        }
        Ok(())
    }

    fn exchange_services(&mut self, warnings: &mut Vec<String>) -> Result<(), String> {
        let database = self.to.join("services");
        let database =
            database.canonicalize().map_err(|e| format!("{}: {e}", database.display()))?;
        let mut troubles = Troubles::new();
        let update = Wish::Update {
            database: database.to_str().ok_or("the path of the database is not UTF-8")?,
            manner: Manner { essential: true, detail: true, ..Manner::default() },
            as_is: false,
            conversions: &[],
        };
        // What was started for an order before this one may have been another manager's.
        self.ask(update, &[], &mut troubles).map_err(|error| match error {
            AskError::Refused { why, hint, .. } if !hint.is_empty() => format!("{why} ({hint})"),
            error => error.to_string(),
        })?;
        let (start, stop) = self.rest(&database)?;
        let change =
            |verb| Wish::Change { verb, manner: Manner { detail: true, ..Manner::default() } };
        for (verb, names) in [(Verb::Down, &stop), (Verb::Up, &start)] {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if !names.is_empty() {
                self.ask(change(verb), &names, &mut troubles).map_err(|error| error.to_string())?;
            }
        }
        let up = self.up;
        if let Some((name, why)) = troubles.iter().find(|(name, _)| up.contains(name)) {
            return Err(format!("{name}, which was up before, does not come up: {why}"));
        }
        warnings.extend(troubles.iter().map(|(name, why)| format!("{name} is not up: {why}")));
        Ok(())
    }

    /// Asks the manager, and tells of each step.
    fn ask(
        &mut self,
        wish: Wish<'_>,
        names: &[&str],
        troubles: &mut Troubles,
    ) -> Result<Ending, AskError> {
        let asking = Asking {
            live: Path::new(LIVE),
            names,
            wish,
            limit: Some(self.until.since(clock::now()).max(Duration::from_secs(1))),
            followed: &[],
            ticks: false,
            patient: true,
        };
        asking.ask(&mut |heard| {
            let Heard::Manager(FromManager::Step { name, step, .. }) = heard else { return };
            match step {
                Step::Failed(reason) => {
                    let reason = reason.to_string();
                    (self.say)(&format!("{name}: {reason}"));
                    troubles.retain(|(known, _)| known != name);
                    troubles.push((name.to_owned(), reason));
                }
                Step::Up => {
                    troubles.retain(|(known, _)| known != name);
                    (self.say)(&format!("{name} is up"));
                }
                Step::Down => (self.say)(&format!("{name} is down")),
                Step::Starting | Step::Stopping | Step::Reloaded | Step::Spared => {}
            }
        })
    }

    /// Once the databases are exchanged: what has to come up and go down beside that. On the way
    /// there what starts with the new generation and did not with the old one, and the other way
    /// round; what somebody has stopped stays down. On the way back all that was up.
    fn rest(&self, database: &Path) -> Result<(Vec<String>, Vec<String>), String> {
        let read = |directory: &Path| {
            DatabaseFile::read(directory).map_err(|e| format!("{}: {e}", directory.display()))
        };
        let (new, old) = (read(database)?, read(&self.from.join("services"))?);
        let open = |error: DatabaseError| error.to_string();
        let (after, before) = (new.database().map_err(open)?, old.database().map_err(open)?);
        if self.back {
            let is_known = |name: &&String| matches!(after.find(name), Some(Named::Service(_)));
            return Ok((self.up.iter().filter(is_known).cloned().collect(), Vec::new()));
        }
        let (now, then) = (started(&after), started(&before));
        let (mut start, mut stop) = (Vec::new(), Vec::new());
        for service in after.services() {
            let is_started = now.contains(&service.index());
            let was_started = match before.find(service.name()) {
                Some(Named::Service(index)) => then.contains(&index),
                _ => false,
            };
            match (is_started, was_started) {
                (true, false) => start.push(service.name().to_owned()),
                (false, true) => stop.push(service.name().to_owned()),
                _ => {}
            }
        }
        Ok((start, stop))
    }
}

/// The services that the device brings up by itself.
fn started(database: &Database<'_>) -> Vec<Index> {
    let mut members = Vec::new();
    match database.find("default") {
        Some(Named::Bundle(bundle)) => members.extend(database.bundle(bundle).contents()),
        Some(Named::Service(index)) => members.push(index),
        None => {}
    }
    Graph::from(database).closure(&members, Along::Needs).into_members()
}

/// Whether pid 1 is this program.
fn is_init(program: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    file(program).is_some_and(|wanted| file(Path::new("/proc/1/exe")) == Some(wanted))
}

/// Applets that init itself runs, with their process numbers.
fn own_programs() -> Vec<(u32, String)> {
    let all = processes::all().unwrap_or_default();
    all.into_iter().filter_map(|pid| Some((pid, own_applet(pid)?))).collect()
}

/// Its name, where a process is a child of pid 1, and `ward`.
fn own_applet(pid: u32) -> Option<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|b| *b == 0);
    let is_own = processes::stat(pid)?.parent == 1 && words.next()? == b"ward";
    is_own.then(|| String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned())
}

/// The last lines of the log of everything, without their labels.
pub fn last_lines(generation: &Path, most: usize) -> Vec<String> {
    let told = read::<Preparation>(&generation.join("boot"), &mut |_| {});
    let told = told.into_iter().find_map(|line| match line {
        Preparation::Log { directory, .. } => Some(PathBuf::from(directory)),
        _ => None,
    });
    let places = told.into_iter().chain([PathBuf::from(logger::DIRECTORY)]);
    let newest = places
        .map(|place| place.join("current"))
        .filter_map(|file| Some((fs::metadata(&file).ok()?.modified().ok()?, file)))
        .max();
    let Some((_, file)) = newest else { return Vec::new() };
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|mut file| {
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        file.take(TAIL_BYTES).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let plain = |line: &str| line.get(LABEL_BYTES + 1..).unwrap_or(line).to_owned();
    let lines: Vec<String> = text.lines().filter(|line| line.starts_with('@')).map(plain).collect();
    lines[lines.len().saturating_sub(most)..].to_vec()
}
