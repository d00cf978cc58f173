//! What an update and its dry run have in common: what the lines of a
//! conversion file stand for, and why there is no plan.

use cli::{Exit, Failure};
use engine::service::update::{self, Manner, Plan};
use model::service::database::{Database, Entry};
use model::service::name::nearest;
use os::service::database_file::DatabaseFileError;
use os::service::manager_client::Conversion;

// Exit codes of s6-rc-update.
const UNKNOWN_NAME: Exit = Exit(3);
const BAD_DATABASE: Exit = Exit(4);
const WRONG_TYPE: Exit = Exit(5);
const NAMED_TWICE: Exit = Exit(6);
/// Not everything stopped: the old database is in use.
pub const NOT_SWITCHED: Exit = Exit(9);
/// The same, for want of time.
pub const OUT_OF_TIME: Exit = Exit(10);

/// What the lines of a conversion file stand for.
pub fn resolve(
    told: &[Conversion],
    old: &Database<'_>,
    new: &Database<'_>,
) -> Result<Vec<update::Conversion>, Failure> {
    let mut found: Vec<update::Conversion> = Vec::new();
    for Conversion { old: was, new: is, restart } in told {
        let index = match old.find(was) {
            Some(Entry::Service(index)) => index,
            Some(Entry::Bundle(_)) => {
                let why = format!("{was} is a bundle; only services can be converted");
                return Err(Failure::new(WRONG_TYPE, why));
            }
            None => return Err(unknown(was, "old", old)),
        };
        if found.iter().any(|conversion| conversion.old == index) {
            return Err(Failure::new(NAMED_TWICE, format!("{was} is converted twice")));
        }
        let target = match is {
            Some(is) => Some(new.find(is).ok_or_else(|| unknown(is, "new", new))?),
            None => None,
        };
        if let Some(is) = is
            && found.iter().any(|conversion| conversion.new == target)
        {
            return Err(Failure::new(NAMED_TWICE, format!("two services become {is}")));
        }
        found.push(update::Conversion { old: index, new: target, restart: *restart });
    }
    Ok(found)
}

fn unknown(name: &str, which: &str, database: &Database<'_>) -> Failure {
    let why = format!("there is no service {name} in the {which} database");
    let failure = Failure::new(UNKNOWN_NAME, why);
    match nearest(name, database.names()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
}

/// What to stop, to move and to start. `state` are the state bytes of `old`.
pub fn plan(
    old: &Database<'_>,
    new: &Database<'_>,
    state: &[u8],
    conversions: &[update::Conversion],
    manner: Manner,
) -> Result<Plan, Failure> {
    update::plan(old, new, state, conversions, manner).map_err(|lost| {
        let name = old.service(lost.0).name();
        let why = format!("{name} is essential, and the new database does not have it");
        Failure::new(NOT_SWITCHED, why).hint("-e stops essential services, too")
    })
}

/// The new database cannot be read.
pub fn unreadable(database: &str, error: &DatabaseFileError) -> Failure {
    match error {
        DatabaseFileError::Refused(_) => {
            Failure::refused(format!("cannot read {database}/db: {error}"))
        }
        DatabaseFileError::NotADatabase => unusable(database, error),
    }
}

/// What was read is no good database.
pub fn unusable(database: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(BAD_DATABASE, format!("cannot use {database}: {why}"))
}
