//! `doorward packages`: gets Debian's packages for builds, outside of builds.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use cli::{Exit, Failure};

use crate::archive::lock::Lock;
use crate::archive::modules::COMPILERS;
use crate::archive::resolve::{self, ARCHITECTURES};
use crate::archive::store::{Fetched, Store};
use crate::places;

pub fn command() -> Command {
    let architectures = || {
        Arg::new("ARCHITECTURE")
            .num_args(0..)
            .value_parser(ARCHITECTURES)
            .help("Debian's names of processors [default: all]")
    };
    Command::new("packages")
        .about("Get Debian's packages for builds, through this machine's apt")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("fetch")
                .about("Download the packages of the lock file that are not there yet")
                .arg(architectures())
                .arg(
                    Arg::new("locked")
                        .long("locked")
                        .action(ArgAction::SetTrue)
                        .help("Fail where the archive has only newer versions than the lock file"),
                ),
        )
        .subcommand(
            Command::new("lock")
                .about("Write the lock file anew, with the newest versions that the archive has")
                .arg(architectures()),
        )
        .subcommand(
            Command::new("older")
                .about("Write one package into the lock file in the version before, if the archive still has it")
                .arg(Arg::new("PACKAGE").required(true).help("Debian's name of it"))
                .arg(architectures()),
        )
        .subcommand(
            Command::new("modules")
                .about("Build modules that kernels lack and devices need, of the kernels' sources"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (what, matches) = matches.subcommand().ok_or_else(|| Failure::usage("do what?"))?;
    if what == "modules" {
        build_modules(&places::expressions()?)?;
        return Ok(Exit::DONE);
    }
    let named: Vec<&String> = matches.get_many("ARCHITECTURE").into_iter().flatten().collect();
    let named = ARCHITECTURES.into_iter().filter(|it| named.iter().any(|name| name == it));
    let named: Vec<&str> = named.collect();
    let architectures = if named.is_empty() { ARCHITECTURES.to_vec() } else { named };
    let expressions = places::expressions()?;
    match what {
        "lock" => write_lock(&expressions, &architectures)?,
        "older" => {
            let name = matches.get_one::<String>("PACKAGE").expect("it is required");
            take_older(&expressions, name, &architectures)?;
        }
        _ => fetch(&expressions, &architectures, matches.get_flag("locked"))?,
    }
    Ok(Exit::DONE)
}

/// Sees to it that the packages of these architectures are there, and says what it did.
pub fn fetch(expressions: &Path, architectures: &[&str], locked: bool) -> Result<(), Failure> {
    let folder = expressions.join("nix/packages");
    let lock = Lock::read(&folder.join("lock.json"))?;
    let store = Store::new(&places::packages(expressions));
    for architecture in architectures {
        match store.fetch(&lock, &folder.join("wanted"), architecture, locked)? {
            Fetched::There => {}
            Fetched::Downloaded(count) => {
                eprintln!("doorward: {count} packages for {architecture} downloaded");
            }
            Fetched::Moved(names) => eprintln!(
                "doorward: for {architecture} the archive has other versions than the lock file, \
                 which are used: {}\n  `doorward packages lock` writes them into the lock file",
                names.join(", ")
            ),
        }
    }
    Ok(())
}

/// Sees to it that there are the modules that `nix/packages/ARCHITECTURE.kbuild` lists.
fn build_modules(expressions: &Path) -> Result<(), Failure> {
    let store = Store::new(&places::packages(expressions));
    for (architecture, compiler) in COMPILERS {
        fetch(expressions, &[architecture], false)?;
        let lists = expressions.join("nix/packages");
        if let Some(kernel) = store.modules(&lists, architecture, compiler)? {
            eprintln!("doorward: modules for the kernel {kernel} built");
        }
    }
    Ok(())
}

fn write_lock(expressions: &Path, architectures: &[&str]) -> Result<(), Failure> {
    let folder = expressions.join("nix/packages");
    let path = folder.join("lock.json");
    let mut lock = Lock::read_if_there(&path)?;
    let store = Store::new(&places::packages(expressions));
    for architecture in architectures {
        let apt = store.apt(architecture)?;
        apt.update()?;
        let wanted = resolve::wanted(&folder.join("wanted"), architecture)?;
        let packages = resolve::resolve(&apt, &wanted)?;
        println!("{architecture}: {} packages", packages.len());
        lock.0.insert((*architecture).to_owned(), packages);
    }
    lock.write(&path)
}

/// Goes back by one version of one package, in the lock file.
fn take_older(expressions: &Path, name: &str, architectures: &[&str]) -> Result<(), Failure> {
    let path = expressions.join("nix/packages/lock.json");
    let mut lock = Lock::read(&path)?;
    let store = Store::new(&places::packages(expressions));
    let mut found = false;
    for architecture in architectures {
        let Some(packages) = lock.0.get_mut(*architecture) else { continue };
        let Some(locked) = packages.get(name) else { continue };
        let apt = store.apt(architecture)?;
        apt.update()?;
        let mut older = resolve::older(&apt, name, &locked.version)?;
        println!("{architecture}: {name} {} instead of {}", older.version, locked.version);
        // Libraries that only the newer one needs stay: nobody uses them.
        older.needs.retain(|need| packages.contains_key(need));
        packages.insert(name.to_owned(), older);
        found = true;
    }
    if !found {
        return Err(Failure::usage(format!("the lock file has no package {name}")));
    }
    lock.write(&path)
}
