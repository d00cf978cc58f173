//! `doorward packages`: gets Debian's packages for builds, outside of builds.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use cli::{Exit, Failure};
use serde_json::{Value, json};

use crate::archive::lock::Lock;
use crate::archive::modules::COMPILERS;
use crate::archive::resolve::{self, ARCHITECTURES};
use crate::archive::store::{Fetched, Move, Store, moves};
use crate::places;
use crate::say::counted;

pub fn command() -> Command {
    let architectures = || {
        Arg::new("ARCHITECTURE")
            .num_args(0..)
            .value_parser(ARCHITECTURES)
            .help("Debian's names of processors [default: all]")
    };
    let json = || {
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print an array with one object for each architecture")
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
                )
                .arg(json()),
        )
        .subcommand(
            Command::new("lock")
                .about("Write the lock file anew, with the newest versions that the archive has")
                .arg(architectures())
                .arg(json()),
        )
        .subcommand(
            Command::new("older")
                .about("Write one package into the lock file in the version before, if the archive still has it")
                .arg(Arg::new("PACKAGE").required(true).help("Debian's name of it"))
                .arg(architectures())
                .arg(json()),
        )
        .subcommand(
            Command::new("modules")
                .about("Build modules that kernels lack and devices need, of the kernels' sources")
                .arg(json()),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (what, matches) = matches.subcommand().ok_or_else(|| Failure::usage("do what?"))?;
    let json = matches.get_flag("json");
    let expressions = places::expressions()?;
    let done = if what == "modules" {
        build_modules(&expressions, json)?
    } else {
        let named: Vec<&String> = matches.get_many("ARCHITECTURE").into_iter().flatten().collect();
        let named = ARCHITECTURES.into_iter().filter(|it| named.iter().any(|name| name == it));
        let named: Vec<&str> = named.collect();
        let architectures = if named.is_empty() { ARCHITECTURES.to_vec() } else { named };
        match what {
            "lock" => write_lock(&expressions, &architectures, json)?,
            "older" => {
                let name = matches.get_one::<String>("PACKAGE").expect("it is required");
                take_older(&expressions, name, &architectures, json)?
            }
            _ => fetch_as(&expressions, &architectures, matches.get_flag("locked"), json)?,
        }
    };
    if json {
        println!("{:#}", Value::from(done));
    }
    Ok(Exit::DONE)
}

/// Sees to it that the packages of these architectures are there, and says what it did.
pub fn fetch(expressions: &Path, architectures: &[&str], locked: bool) -> Result<(), Failure> {
    fetch_as(expressions, architectures, locked, false).map(drop)
}

/// The same; where it is quiet, the objects alone tell.
fn fetch_as(
    expressions: &Path,
    architectures: &[&str],
    locked: bool,
    quiet: bool,
) -> Result<Vec<Value>, Failure> {
    let folder = expressions.join("nix/packages");
    let lock = Lock::read(&folder.join("lock.json"))?;
    let store = Store::new(&places::packages(expressions));
    let mut done = Vec::new();
    for architecture in architectures {
        let (count, moved) =
            match store.fetch(&lock, &folder.join("wanted"), architecture, locked)? {
                Fetched::There => (0, Vec::new()),
                Fetched::Downloaded(count) => (count, Vec::new()),
                Fetched::Moved(count, moved) => (count, moved),
            };
        if !quiet && !moved.is_empty() {
            let names =
                moved.iter().map(|it| format!("{} {}", it.name, it.to.as_deref().unwrap_or("-")));
            eprintln!(
                "doorward: for {architecture} the archive has other versions than the lock file, \
                 which are used: {}\n  `doorward packages lock` writes them into the lock file",
                names.collect::<Vec<_>>().join(", ")
            );
        } else if !quiet && count > 0 {
            let packages = counted(count, "package");
            eprintln!("doorward: {packages} for {architecture} downloaded");
        }
        done.push(
            json!({ "architecture": architecture, "downloaded": count, "moved": objects(&moved) }),
        );
    }
    Ok(done)
}

fn objects(moved: &[Move]) -> Vec<Value> {
    let object = |Move { name, from, to }: &Move| json!({ "name": name, "from": from, "to": to });
    moved.iter().map(object).collect()
}

/// Sees to it that there are the modules that `nix/packages/ARCHITECTURE.kbuild` lists.
fn build_modules(expressions: &Path, quiet: bool) -> Result<Vec<Value>, Failure> {
    let store = Store::new(&places::packages(expressions));
    let mut done = Vec::new();
    for (architecture, compiler) in COMPILERS {
        fetch_as(expressions, &[architecture], false, quiet)?;
        let lists = expressions.join("nix/packages");
        let (kernel, is_new) = store.modules(&lists, architecture, compiler)?;
        if is_new && !quiet {
            eprintln!("doorward: modules for the kernel {kernel} built");
        }
        done.push(json!({ "architecture": architecture, "kernel": kernel, "built": is_new }));
    }
    Ok(done)
}

fn write_lock(
    expressions: &Path,
    architectures: &[&str],
    quiet: bool,
) -> Result<Vec<Value>, Failure> {
    let folder = expressions.join("nix/packages");
    let path = folder.join("lock.json");
    let mut lock = Lock::read_if_there(&path)?;
    let store = Store::new(&places::packages(expressions));
    let mut done = Vec::new();
    for architecture in architectures {
        let apt = store.apt(architecture)?;
        apt.update()?;
        let wanted = resolve::wanted(&folder.join("wanted"), architecture)?;
        let packages = resolve::resolve(&apt, &wanted)?;
        let count = packages.len();
        let before = lock.0.remove(*architecture).unwrap_or_default();
        let moved = moves(&before, &packages);
        if !quiet {
            println!("{architecture}: {}, {} changed", counted(count, "package"), moved.len());
            for Move { name, from, to } in &moved {
                match (from, to) {
                    (Some(from), Some(to)) => println!("  {name} {to} instead of {from}"),
                    (None, Some(to)) => println!("  {name} {to} is new"),
                    _ => println!("  {name} is not needed any more"),
                }
            }
        }
        done.push(
            json!({ "architecture": architecture, "packages": count, "moved": objects(&moved) }),
        );
        lock.0.insert((*architecture).to_owned(), packages);
    }
    lock.write(&path)?;
    Ok(done)
}

/// Goes back by one version of one package, in the lock file.
fn take_older(
    expressions: &Path,
    name: &str,
    architectures: &[&str],
    quiet: bool,
) -> Result<Vec<Value>, Failure> {
    let path = expressions.join("nix/packages/lock.json");
    let mut lock = Lock::read(&path)?;
    let store = Store::new(&places::packages(expressions));
    let mut done = Vec::new();
    for architecture in architectures {
        let Some(packages) = lock.0.get_mut(*architecture) else { continue };
        let Some(locked) = packages.get(name) else { continue };
        let apt = store.apt(architecture)?;
        apt.update()?;
        let mut older = resolve::older(&apt, name, &locked.version)?;
        if !quiet {
            println!("{architecture}: {name} {} instead of {}", older.version, locked.version);
        }
        done.push(json!({
            "architecture": architecture,
            "name": name,
            "from": locked.version,
            "to": older.version,
        }));
        // Libraries that only the newer one needs stay: nobody uses them.
        older.needs.retain(|need| packages.contains_key(need));
        packages.insert(name.to_owned(), older);
    }
    if done.is_empty() {
        return Err(Failure::usage(format!("the lock file has no package {name}")));
    }
    lock.write(&path)?;
    Ok(done)
}
