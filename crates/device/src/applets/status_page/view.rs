//! What is known of the services: asked of the manager at most once a second, however many ask for it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use model::time::Moment;
use os::clock;
use os::event_loop::{EventLoop, Readiness};
use os::service::database_file::DatabaseFile;
use os::service::status_asker::StatusAsker;

use crate::applets::peers::s6_rc::list::{open, read_database};
use crate::applets::people::history::History;
use crate::applets::people::services::{Services, Told};

/// How long it counts as new.
const AGE_MAX: Duration = Duration::from_secs(1);
/// The same for what was: it changes seldom, and is more.
const HISTORY_AGE_MAX: Duration = Duration::from_secs(10);
/// How long the manager may take to tell.
const TELLING_MAX: Duration = Duration::from_secs(1);

pub struct View {
    live: PathBuf,
    asking: Option<Asking>,
    known: Result<Known, String>,
    /// When that was.
    at: Option<Moment>,
    /// What the manager remembers, and when it was asked for that.
    pub history: History,
    history_at: Option<Moment>,
}

struct Asking {
    /// `None`: it cannot be asked, and why is `denied`.
    asker: Option<StatusAsker>,
    file: DatabaseFile,
    told: Told,
    /// All of that was told, and this is what it tells now.
    history: Option<History>,
    denied: bool,
    until: Moment,
}

struct Known {
    file: DatabaseFile,
    told: Told,
    fresh: bool,
    denied: bool,
}

impl View {
    pub fn new(live: PathBuf) -> Self {
        Self {
            live,
            asking: None,
            known: Err(String::new()),
            at: None,
            history: History::default(),
            history_at: None,
        }
    }

    /// Whether an answer has to come first.
    pub fn asks(&self) -> bool {
        self.asking.is_some()
    }

    pub fn deadline(&self) -> Option<Moment> {
        self.asking.as_ref().map(|asking| asking.until)
    }

    /// Begins to ask, unless what is known is new.
    pub fn refresh(&mut self, events: &EventLoop, token: u64, now: Moment) {
        let is_new = self.at.is_some_and(|at| now < at + AGE_MAX);
        if is_new || self.asks() {
            return;
        }
        self.at = Some(now);
        let opened = read_database(&self.live).and_then(|file| {
            let services = open(&file)?.len();
            Ok((file, services))
        });
        let (file, services) = match opened {
            Ok(opened) => opened,
            Err(failure) => return self.known = Err(failure.to_string()),
        };
        let begun = StatusAsker::begin(&self.live)
            .and_then(|asker| events.add(&asker, token, Readiness::IN).map(|()| asker));
        let denied = begun.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        let asker = begun.ok();
        // Without an answer to come, files are read before the turn is over.
        let until = if asker.is_some() { now + TELLING_MAX } else { now };
        self.asking =
            Some(Asking { asker, file, told: Told::new(services), history: None, denied, until });
    }

    /// The manager tells something.
    pub fn hear(&mut self) {
        let Some(asking) = &mut self.asking else { return };
        let Asking { asker: Some(asker), file, told, history, .. } = asking else { return };
        let (database, now) = (file.reopen(), clock::now());
        let Some(history) = history else {
            match asker.hear(&mut |message| told.hear(&database, message)) {
                Ok(false) => {}
                Ok(true) => {
                    let is_new = self.history_at.is_some_and(|at| now < at + HISTORY_AGE_MAX);
                    if is_new || asker.ask_history().is_err() {
                        return self.finish(true);
                    }
                    self.history_at = Some(now);
                    asking.history = Some(History::default());
                }
                Err(_) => self.finish(false),
            }
            return;
        };
        match asker.hear(&mut |message| history.hear(&database, message, now)) {
            Ok(false) => {}
            Ok(true) => {
                self.history = std::mem::take(history);
                self.finish(true);
            }
            // One of another release may not know that question.
            Err(_) => self.finish(true),
        }
    }

    pub fn tick(&mut self, now: Moment) {
        if self.asking.as_ref().is_some_and(|asking| asking.until <= now) {
            let is_told = self.asking.as_ref().is_some_and(|asking| asking.history.is_some());
            self.finish(is_told);
        }
    }

    fn finish(&mut self, heard: bool) {
        let Some(Asking { file, mut told, denied, .. }) = self.asking.take() else { return };
        let fresh = heard && told.is_whole();
        if !fresh {
            let database = file.reopen();
            told = Told::new(database.len());
            if let Err(failure) = told.read_files(&self.live, &database) {
                return self.known = Err(failure.to_string());
            }
        }
        self.known = Ok(Known { file, told, fresh, denied });
    }

    /// Calls `with` with all that is known, or with why nothing is.
    pub fn with<T>(&mut self, with: impl FnOnce(Result<&Services<'_>, &str>) -> T) -> T {
        match &mut self.known {
            Err(why) => with(Err(why)),
            Ok(Known { file, told, fresh, denied }) => {
                let lent = std::mem::take(told);
                let mut services = Services::new(file.reopen(), lent, *fresh, *denied);
                services.now = clock::now();
                let done = with(Ok(&services));
                *told = services.into_told();
                done
            }
        }
    }
}
