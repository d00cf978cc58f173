//! `s6-rc-init`: make the live directory of a database and have it served.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::database::Database;
use model::service::request::ToInit;
use os::service::database_file::{DatabaseFile, DatabaseFileError};
use os::service::init_client;
use os::service::live_dir::{self, Making};

pub const COMMAND: Command = Command {
    name: "s6-rc-init",
    summary: "Make the live directory of a service database",
    usage: "s6-rc-init [-c DATABASE] [-l LIVE] [-p PREFIX] [-t MS] [-d] [-b] SCANDIR",
    options: &[
        Opt("-c DATABASE", "The compiled database (/etc/s6-rc/compiled/current)"),
        Opt("-l LIVE", "The live directory to make (/run/s6-rc)"),
        Opt("-p PREFIX", "What stands before each name in the scandir"),
        Opt("-d", "Follow links in DATABASE now rather than later"),
        Opt("-t MS", "Accepted: nothing here waits"),
        Opt("-b", "Accepted: there is no lock"),
    ],
    about: "\
All services are down at first. Where LIVE is served already, nothing \
changes. Exit codes: 0 done, 4 the database is damaged, 100 wrong usage or \
no s6-svscan runs on SCANDIR, 111 the system refused.",
    run,
};

/// What to make.
pub struct Request {
    pub database: PathBuf,
    pub live: PathBuf,
    pub prefix: String,
    pub scandir: PathBuf,
    /// The group whose members may look.
    pub readers: Option<u32>,
}

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut request = Request {
        database: "/etc/s6-rc/compiled/current".into(),
        live: "/run/s6-rc".into(),
        prefix: String::new(),
        scandir: PathBuf::new(),
        readers: None,
    };
    let mut follow = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "c" | "bootdb" => request.database = args.value()?.into(),
            "l" | "livedir" => request.live = args.value()?.into(),
            "p" | "prefix" => request.prefix = args.text()?,
            "t" | "timeout" => drop(args.parsed::<u32>()?),
            "d" | "deref" => follow = true,
            "b" | "block" => {}
            _ => return Err(args.unknown(&option)),
        }
    }
    request.scandir = args.operand().ok_or_else(|| Failure::usage("it needs a scandir"))?.into();
    for path in [&request.database, &request.live, &request.scandir] {
        if !path.is_absolute() {
            let message = format!("{} must be an absolute path", path.display());
            return Err(Failure::usage(message));
        }
    }
    if request.prefix.contains('/') {
        return Err(Failure::usage("a prefix has no slash"));
    }
    if follow {
        request.database = std::fs::canonicalize(&request.database).map_err(|error| {
            Failure::refused(format!("cannot follow {}: {error}", request.database.display()))
        })?;
    }
    init_client::Client::connect(&request.scandir.join(live_dir::INIT)).map_err(|error| {
        Failure::usage(format!(
            "no s6-svscan or ward init serves {}: {error}",
            request.scandir.display()
        ))
    })?;
    make_live(&request)?;
    Ok(Exit::DONE)
}

/// Makes the live directory and has init serve it. One that is served
/// already is left as it is. An init that is away is waited for: it may just
/// be starting itself anew.
pub fn make_live(request: &Request) -> Result<(), Failure> {
    let socket = request.scandir.join(live_dir::INIT);
    if let Ok(real) = std::fs::canonicalize(&request.live)
        && real.join(live_dir::STATE).exists()
    {
        return serve(&socket, &real).map_err(|failure| {
            failure.hint(format!(
                "{} is there already; remove it if nothing serves it any more",
                request.live.display()
            ))
        });
    }
    let file = DatabaseFile::read(&request.database).map_err(|error| {
        let exit = match error {
            DatabaseFileError::Refused(_) => Exit::REFUSED,
            DatabaseFileError::NotADatabase => Exit(4),
        };
        Failure::new(exit, format!("cannot use {}: {error}", request.database.display()))
    })?;
    let database: Database<'_> = file.database().map_err(|error| {
        Failure::new(Exit(4), format!("cannot use {}: {error}", request.database.display()))
    })?;
    let state = vec![0; database.len()];
    let making = Making {
        live: &request.live,
        compiled: &request.database,
        database,
        scandir: &request.scandir,
        prefix: &request.prefix,
        brought: &|_| false,
        state: &state,
        readers: request.readers,
    };
    let real = live_dir::make(&making).map_err(Failure::refused)?;
    // All that leads there is made first: init starts the manager at once,
    // and a manager makes what it does not find.
    let done = live_dir::publish(&request.live, &real)
        .and_then(|()| live_dir::link_into_scandir(&making))
        .map_err(Failure::refused)
        .and_then(|()| serve(&socket, &real));
    if done.is_err() {
        live_dir::unlink_from_scandir(&making);
        live_dir::unpublish(&request.live, &real);
        let _ = std::fs::remove_dir_all(&real);
    }
    done
}

/// How long init may be away.
const INIT_AWAY_MAX: Duration = Duration::from_secs(10);

/// Has init serve a live directory, which it may do already.
fn serve(socket: &Path, real: &Path) -> Result<(), Failure> {
    let live = real.to_str().ok_or_else(|| Failure::usage("the live directory is not UTF-8"))?;
    let take = ToInit::Take { live, previous: None };
    init_client::ask(socket, &take, INIT_AWAY_MAX).map_err(Failure::refused)
}
