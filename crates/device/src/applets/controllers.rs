//! What the applets that are controllers begin with: options, the database,
//! and themselves in it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Failure, Opt, text};
use model::controller::{Kind, Wrong};
use model::service::database::{Controller, Database, Entry};
use os::controller::manager_link::{ManagerLink, News};
use os::service::database_file::DatabaseFile;
use os::sys::{inherit, signals};

use super::peers::s6_rc::list::{open, read_database};

/// The options that every controller has.
pub const OPTIONS: &[Opt] = &[Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)")];

/// A controller that has read its command line.
pub struct Start {
    pub live: PathBuf,
    /// Its own name.
    pub name: String,
    file: DatabaseFile,
}

impl Start {
    /// Reads `[-l LIVE] NAME` and the database, in which NAME is a controller
    /// of this kind.
    ///
    /// # Errors
    /// It is not, or the system refuses.
    pub fn new(args: &mut Args, kind: Kind) -> Result<Self, Failure> {
        let mut live = PathBuf::from("/run/s6-rc");
        while let Some(option) = args.option()? {
            match option.as_str() {
                "l" | "live" => live = args.value()?.into(),
                other => return Err(args.unknown(other)),
            }
        }
        let words = args.rest();
        let [name] = &words[..] else {
            return Err(Failure::usage("it needs the name of the controller"));
        };
        let name = text(name)?.to_owned();
        signals::ignore_pipe();
        let file = read_database(&live)?;
        let start = Self { live, name, file };
        let found = start.find(&open(&start.file)?)?.kind();
        if found != kind {
            let (name, found, kind) = (&start.name, found.name(), kind.name());
            let why = format!("{name} is a controller of kind {found}, and this is {kind}");
            return Err(Failure::usage(why));
        }
        Ok(start)
    }

    fn find<'a>(&self, database: &Database<'a>) -> Result<Controller<'a>, Failure> {
        let name = &self.name;
        match database.find(name) {
            Some(Entry::Service(index)) => database.service(index).controller().ok_or_else(|| {
                Failure::usage(format!("{name} is no controller"))
                    .hint("the source directory of a controller has a file `controller`")
            }),
            _ => Err(Failure::usage(format!("there is no service {name}"))),
        }
    }

    pub fn database(&self) -> Database<'_> {
        self.file.reopen()
    }

    /// Itself.
    pub fn controller(&self) -> Controller<'_> {
        self.find(&self.database()).unwrap_or_else(|_| unreachable!("it was found at first"))
    }

    /// The text of its file `controller`.
    pub fn own(&self) -> &str {
        self.controller().own()
    }

    /// What it controls, each with its text.
    pub fn controlled(&self) -> Vec<(&str, &str)> {
        let database = self.database();
        let controls = self.controller().controls();
        controls.map(|(index, text)| (database.service(index).name(), text)).collect()
    }

    /// What parsing has found, where the compiler that made the database knew
    /// less than this program.
    pub fn wrong(&self, wrong: &[Wrong]) -> Failure {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Failure::refused(format!("cannot use the settings of {}: {}", self.name, wrong.join("; ")))
            .hint("compile the services again")
    }

    /// The link to the manager.
    pub fn link(&self) -> Result<ManagerLink, Failure> {
        ManagerLink::open(&self.live, &self.name).map_err(Failure::refused)
    }

    /// Says that it is ready, on the descriptor that its `notification-fd` names.
    pub fn ready(&self) {
        let longrun = self.controller().service().longrun();
        let number = longrun.and_then(|longrun| longrun.notification_fd);
        // Started by hand, there is none.
        if let Some(Ok(number)) = number.map(i32::try_from)
            && let Ok(descriptor) = inherit::descriptor(number)
        {
            let _ = File::from(descriptor).write_all(b"\n");
        }
    }
}

/// What the manager has said. What came before it was there anew means nothing any more: then the
/// first of both is true, and also while it is away. What it says of no request of ours is only
/// told on.
pub fn news(link: &mut ManagerLink) -> (bool, Vec<News>) {
    let mut news = link.read();
    news.retain(|news| {
        let News::Ended { id: 0, why, .. } = news else { return true };
        eprintln!("the manager says: {why}");
        false
    });
    if !link.connected() {
        return (true, Vec::new());
    }
    match news.iter().rposition(|news| *news == News::Again) {
        Some(at) => (true, news.split_off(at)),
        None => (false, news),
    }
}
