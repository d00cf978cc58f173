//! What `s6-rc change`, `ward start` and their kin share: asking the manager
//! and saying what happens.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::service::manage::{Along, Graph};
use model::service::database::{Database, Entry, Index};
use model::service::manager_request::{FromManager, Manner, Step, Verb};
use os::service::database_file::{DatabaseFile, DatabaseFileError};
use os::service::manager_client::{AskError, Asking, Ending, Heard, Wish};

use super::peers::s6_rc::list::{not_a_database, open};

/// One change of services.
pub struct Change<'a> {
    pub live: &'a Path,
    pub verb: Verb,
    pub manner: Manner,
    pub names: &'a [&'a str],
    pub limit: Option<Duration>,
    /// Say [`Heard::Line`] for what scripts print.
    pub scripts: bool,
    /// Say [`Heard::Quiet`] once a second.
    pub ticks: bool,
}

impl Change<'_> {
    /// Asks for it; `heard` is given every step, and the output of scripts.
    pub fn ask(&self, heard: &mut dyn FnMut(Heard<'_>)) -> Result<Ending, Failure> {
        let file = DatabaseFile::read(&self.live.join("compiled"));
        let database = match &file {
            Ok(file) => open(file).map(Some),
            Err(DatabaseFileError::Refused(_)) => Ok(None),
            Err(error) => Err(not_a_database(self.live, error)),
        };
        let (database, damage) = match database {
            Ok(database) => (database, None),
            Err(failure) => (None, Some(failure)),
        };
        let scripts = match database.filter(|_| self.scripts) {
            Some(database) => self.run(&database),
            None => Vec::new(),
        };
        let asking = Asking {
            live: self.live,
            names: self.names,
            wish: Wish::Change { verb: self.verb, manner: self.manner },
            limit: self.limit,
            followed: &scripts,
            ticks: self.ticks,
            // A manager that runs has its own good copy; one that starts would find the damage.
            patient: damage.is_none(),
        };
        asking.ask(heard).or_else(|error| match (error, damage) {
            (AskError::Io(_) | AskError::Away, Some(damage)) => Err(damage),
            (error, _) => ended(error, self.live),
        })
    }

    /// The oneshots that this may run.
    fn run<'d>(&self, database: &Database<'d>) -> Vec<&'d str> {
        let mut named: Vec<Index> = Vec::new();
        for name in self.names {
            match database.find(name) {
                Some(Entry::Service(index)) => named.push(index),
                Some(Entry::Bundle(bundle)) => named.extend(database.bundle(bundle).contents()),
                None => {}
            }
        }
        let whole = self.manner.all || self.manner.prune || self.manner.users;
        let graph = Graph::from(database);
        let mut run: Vec<Index> = if whole {
            (0..database.len() as Index).collect()
        } else {
            let up = matches!(self.verb, Verb::Up | Verb::Restart);
            let down = matches!(self.verb, Verb::Down | Verb::Restart);
            let mut run =
                if up { graph.closure(&named, Along::Needs).into_members() } else { named.clone() };
            if down {
                run.extend(graph.closure(&named, Along::NeededBy).members());
            }
            run
        };
        run.sort_unstable();
        run.dedup();
        let oneshots = run.into_iter().filter(|&index| !graph.is_longrun(index));
        oneshots.map(|index| database.service(index).name()).collect()
    }
}

/// A request that the manager could not end: how a command says so.
pub fn ended(error: AskError, live: &Path) -> Result<Ending, Failure> {
    Err(match error {
        AskError::TimedOut => return Ok(Ending { exit: 2, failed: 0 }),
        AskError::Refused { exit, why, hint } => {
            let failure = Failure::new(Exit(exit), why);
            if hint.is_empty() { failure } else { failure.hint(hint) }
        }
        AskError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Failure::refused(format!("there is no live directory {}", live.display()))
                .hint("s6-rc-init makes one; -l names another")
        }
        AskError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::refused(format!("cannot reach the manager: {error}"))
                .hint("only root and the owner of the services may change them")
        }
        error => Failure::refused(error),
    })
}

/// Says on standard error what a step was, as far as `verbosity` goes: 1 what
/// went wrong, 2 every step.
pub fn say_step(program: &str, message: &FromManager<'_>, verbosity: u32) {
    let FromManager::Step { name, step, .. } = message else { return };
    let word = match step {
        Step::Failed(reason) if verbosity > 0 => {
            return eprintln!("{program}: warning: {name}: {reason}");
        }
        Step::Spared if verbosity > 0 => {
            return eprintln!(
                "{program}: warning: {name} is essential and is not stopped (-D stops it)"
            );
        }
        Step::Failed(_) | Step::Spared => return,
        Step::Starting => "starting",
        Step::Stopping => "stopping",
        Step::Up => "up",
        Step::Down => "down",
        Step::Reloaded => "reloaded",
    };
    if verbosity > 1 {
        eprintln!("{program}: info: {name}: {word}");
    }
}

/// Prints a line that a script has printed.
pub fn print_line(line: &[u8], out: &mut dyn Write) {
    let _ = out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}
