//! `s6-rc-compile`: make a database of source directories.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::compile::{Compiled, compile};
use model::service::mistake::{self, Mistake};
use model::service::source::Tree;
use os::service::source_dir;

pub const COMMAND: Command = Command {
    name: "s6-rc-compile",
    summary: "Make a service database of source directories",
    usage: "s6-rc-compile [-v N] [-h USER] [-b] DATABASE SOURCE...",
    options: &[
        Opt("-v, --verbosity N", "0: no warnings; 1: warnings (default); 2: also a summary"),
        Opt("-h, --fdholder-user USER", "Accepted; pipes are held by init"),
        Opt("-b, --block", "Accepted; there is no lock to wait for"),
    ],
    about: "\
Every folder in a SOURCE is a service: a longrun, a oneshot or a bundle, as its file `type` says. \
DATABASE must not exist; it appears when it is complete, and not at all where anything is wrong. \
All mistakes are printed at once, each with its file and line. \
The same sources give the same database, byte for byte.

Exit codes: 0 done; 1 a mistake in a source; 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut verbosity = 1;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" | "verbosity" => verbosity = args.parsed::<u32>()?,
            // The peer's pipe holder, and the users that its older versions let in.
            "h" | "fdholder-user" | "u" | "g" => drop(args.value()?),
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    let mut operands = args.rest().into_iter().map(PathBuf::from);
    let (Some(destination), Some(first)) = (operands.next(), operands.next()) else {
        return Err(Failure::usage("it needs a database to write and a source to read"));
    };
    let sources: Vec<PathBuf> = std::iter::once(first).chain(operands).collect();
    if destination.symlink_metadata().is_ok() {
        return Err(Failure::refused(format!("{} is there already", destination.display()))
            .hint("compile to another place, and change to it with s6-rc-update"));
    }

    os::files::clear_umask();
    let tree = source_dir::read(&sources)
        .map_err(|error| Failure::refused(format!("cannot read {error}")))?;
    let compiled = compile(&tree).map_err(|mistakes| {
        complain(&mistakes, verbosity);
        let count = mistakes.iter().filter(|mistake| !mistake.fault.is_warning()).count();
        let s = if count == 1 { "" } else { "s" };
        Failure::not_achieved(format!("{count} mistake{s}; no database was written"))
    })?;
    complain(&compiled.warnings, verbosity);
    source_dir::write(&destination, &tree, &compiled).map_err(|error| {
        Failure::refused(format!("cannot write {}: {error}", destination.display()))
    })?;
    if verbosity >= 2 {
        summarise(&tree, &compiled);
    }
    Ok(Exit::DONE)
}

fn complain(mistakes: &[Mistake], verbosity: u32) {
    let text = mistake::report(mistakes, verbosity >= 1);
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn summarise(tree: &Tree, compiled: &Compiled) {
    let (services, longruns) = (compiled.contents.services.len(), compiled.directories.len());
    eprintln!(
        "s6-rc-compile: info: {} folders gave {longruns} longruns, {} oneshots and {} bundles, \
         {} bytes",
        tree.directories().len(),
        services - longruns,
        compiled.contents.bundles.len(),
        compiled.database.len()
    );
}
