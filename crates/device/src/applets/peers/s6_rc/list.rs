//! Lists: only files are read, and each once.

use std::io::Write;
use std::path::Path;

use cli::{Exit, Failure};
use model::service::database::{Database, Entry, Index, Service};
use model::service::live_state::is_up;
use model::service::name::nearest;
use os::service::client;
use os::service::database_file::{DatabaseFile, DatabaseFileError};
use os::service::live_dir::{SERVICE_DIRS, STATE};

use super::Options;

const UNKNOWN_NAME: Exit = Exit(3);
const BAD_DATABASE: Exit = Exit(4);

/// The database of a live directory.
pub fn read_database(live: &Path) -> Result<DatabaseFile, Failure> {
    let compiled = live.join("compiled");
    DatabaseFile::read(&compiled).map_err(|error| match error {
        DatabaseFileError::Refused(ref why) => {
            let hint = match why.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "`ward init -g GROUP` lets the members of a group look"
                }
                _ => "s6-rc-init makes a live directory; -l names another",
            };
            Failure::refused(format!("cannot read {}/db: {error}", compiled.display())).hint(hint)
        }
        DatabaseFileError::NotADatabase => not_a_database(live, &error),
    })
}

pub fn not_a_database(live: &Path, error: &DatabaseFileError) -> Failure {
    let path = live.join("compiled/db");
    Failure::new(BAD_DATABASE, format!("cannot use {}: {error}", path.display()))
}

pub fn open(file: &DatabaseFile) -> Result<Database<'_>, Failure> {
    file.database().map_err(|error| {
        Failure::new(BAD_DATABASE, format!("cannot use the live database: {error}"))
            .hint("compile the sources again with s6-rc-compile")
    })
}

/// One byte for each service.
pub fn read_state(live: &Path, services: usize) -> Result<Vec<u8>, Failure> {
    let path = live.join(STATE);
    let mut state = os::files::read_up_to(&path, services)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    state.resize(services, 0);
    Ok(state)
}

/// The services that names stand for, and with `all` those that are up.
pub(super) fn select(
    database: &Database<'_>,
    names: &[&str],
    up: Option<&[u8]>,
) -> Result<Vec<bool>, Failure> {
    let mut chosen = vec![false; database.len()];
    for name in names {
        match database.find(name) {
            Some(Entry::Service(index)) => chosen[index as usize] = true,
            Some(Entry::Bundle(number)) => {
                database.bundle(number).contents().for_each(|i| chosen[i as usize] = true);
            }
            None => return Err(unknown(database, name)),
        }
    }
    for (chosen, byte) in chosen.iter_mut().zip(up.unwrap_or_default()) {
        *chosen |= is_up(*byte);
    }
    Ok(chosen)
}

fn unknown(database: &Database<'_>, name: &str) -> Failure {
    let failure = Failure::new(UNKNOWN_NAME, format!("there is no service {name}"));
    match nearest(name, database.names()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
}

/// `list`, and `listall` with `closed`.
pub(super) fn list(
    options: &Options,
    names: &[&str],
    closed: bool,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let file = read_database(&options.live)?;
    let database = open(&file)?;
    let state = match options.all {
        true => Some(read_state(&options.live, database.len())?),
        false => None,
    };
    let mut chosen = select(&database, names, state.as_deref())?;
    if closed {
        close(&database, &mut chosen, options.down);
    } else if options.down {
        chosen.iter_mut().for_each(|chosen| *chosen = !*chosen);
    }
    // No list is longer than the file that holds all names.
    let mut text = Vec::with_capacity(file.size());
    for (service, _) in database.services().zip(chosen).filter(|(_, chosen)| *chosen) {
        if !(options.hide_essential && service.essential()) {
            text.extend_from_slice(service.name().as_bytes());
            text.push(b'\n');
        }
    }
    out.write_all(&text)?;
    Ok(Exit::DONE)
}

/// Adds all that the chosen need, or with `down` all that needs them.
fn close(database: &Database<'_>, chosen: &mut [bool], down: bool) {
    let all = 0..database.len() as Index;
    let mut found: Vec<Index> = all.filter(|index| chosen[*index as usize]).collect();
    while let Some(index) = found.pop() {
        let service = database.service(index);
        let mut add = |next: Index| {
            if !std::mem::replace(&mut chosen[next as usize], true) {
                found.push(next);
            }
        };
        if down {
            service.needed_by().for_each(&mut add)
        } else {
            service.needs().for_each(&mut add)
        }
    }
}

/// Longruns that init keeps otherwise than s6-rc thinks.
pub(super) fn diff(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let file = read_database(&options.live)?;
    let database = open(&file)?;
    let state = read_state(&options.live, database.len())?;
    let folder = options.live.join(SERVICE_DIRS);
    let mut different = false;
    for service in database.services().take_while(Service::is_longrun) {
        let name = service.name();
        let wanted = match client::status(&folder.join(name)) {
            Ok(status) => status.wanted_up,
            // It was never started.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => {
                let message = format!("cannot read the status of {name}: {error}");
                return Err(Failure::refused(message));
            }
        };
        let up = is_up(state[service.index() as usize]);
        if wanted != up {
            different = true;
            writeln!(out, "{}{name}", if up { '-' } else { '+' })?;
        }
    }
    Ok(if different { Exit::NOT_ACHIEVED } else { Exit::DONE })
}
