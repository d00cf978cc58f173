//! What the manager remembers of the past: when services were brought up and
//! down, and how they ended.

use std::path::Path;
use std::time::Duration;

use engine::service::chart::Bar;
use model::service::database::{Database, Entry};
use model::service::manager_request::{Asked, FromManager, Run, Span};
use model::service::status::Exit;
use model::time::Moment;
use os::clock;
use os::service::client;
use os::service::live_dir::SERVICE_DIRS;
use os::service::manager_client::{AskError, Asking, Heard, Wish};

/// What was told of the past.
#[derive(Default)]
pub struct History {
    pub bars: Vec<Bar>,
    /// Who asked for each change, as far as that is remembered.
    pub askers: Vec<(u32, String)>,
    /// Older spans were forgotten.
    pub is_cut: bool,
    pub runs: Vec<(String, Ended)>,
}

/// How a process or script last ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub exit: Exit,
    /// How long it ran, where somebody saw it begin.
    pub ran: Option<Duration>,
    pub ago: Duration,
}

impl History {
    /// Asks for all that is remembered.
    pub fn ask(live: &Path, database: &Database<'_>, now: Moment) -> Result<Self, AskError> {
        let asking = Asking {
            live,
            names: &[],
            wish: Wish::History,
            limit: Some(Duration::from_secs(2)),
            followed: &[],
            ticks: false,
            patient: false,
        };
        let mut history = Self::default();
        asking.ask(&mut |heard| {
            if let Heard::Manager(message) = heard {
                history.hear(database, message, now);
            }
        })?;
        Ok(history)
    }

    /// One message of the manager.
    pub fn hear(&mut self, database: &Database<'_>, message: FromManager<'_>, now: Moment) {
        match message {
            FromManager::Asked(Asked { request, by, .. }) => {
                self.askers.push((request, by.to_owned()));
            }
            FromManager::Span(span) => self.bars.push(bar(database, &span, now)),
            FromManager::Run(Run { name, begun, ended, exit }) => {
                let ran = begun.map(|begun| ended.since(begun));
                self.runs.push((name.into(), Ended { exit, ran, ago: now.since(ended) }));
            }
            FromManager::SpansCut => self.is_cut = true,
            _ => {}
        }
    }

    /// How a service last ended: as the manager saw it, or else as its tally of deaths has it.
    pub fn last_end(&self, live: &Path, name: &str) -> Option<Ended> {
        let told = self.runs.iter().find(|(service, _)| service == name).map(|(_, ended)| *ended);
        told.or_else(|| {
            let death = client::deaths(&live.join(SERVICE_DIRS).join(name)).ok()?.pop()?;
            let ago = clock::today().label.saturating_sub(death.date.label);
            Some(Ended { exit: death.exit, ran: None, ago: Duration::from_secs(ago) })
        })
    }
}

fn bar(database: &Database<'_>, span: &Span<'_>, now: Moment) -> Bar {
    let &Span { name, up, end, change, asked, begun, ended } = span;
    let names = |indices: &mut dyn Iterator<Item = _>| {
        indices.map(|index| database.service(index).name().to_owned()).collect()
    };
    let (mut needs, mut needed_by) = (Vec::new(), Vec::new());
    if let Some(Entry::Service(index)) = database.find(name) {
        let service = database.service(index);
        match up {
            true => needs = names(&mut service.needs()),
            false => needed_by = names(&mut service.needed_by()),
        }
    }
    let going = end == model::service::manager_request::SpanEnd::Going;
    let ended = if going { now } else { ended };
    Bar { name: name.into(), up, end, change, asked, begun, ended, needs, needed_by }
}
