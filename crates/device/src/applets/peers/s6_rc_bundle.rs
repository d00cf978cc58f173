//! `s6-rc-bundle`: add names for sets of services to a compiled database.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{BundleEntry, Contents, Database, Entry, Index};
use model::service::name::{Name, nearest};
use os::service::database_file::DatabaseFile;

pub const COMMAND: Command = Command {
    name: "s6-rc-bundle",
    summary: "Add bundles to a compiled service database, or delete them",
    usage: "s6-rc-bundle [-l LIVE | -c DATABASE] [-f] [-b] \
            help | add NAME CONTENTS... | delete NAME... | \
            multiple [-d DELETE...] [-a NAME CONTENTS...]",
    options: &[
        Opt("-l LIVE", "The database of this live directory (default: /run/s6-rc)"),
        Opt("-c DATABASE", "This compiled database"),
        Opt("-f", "Replace a bundle that is there, and delete one that is not"),
        Opt("-b", "Accepted; there is no lock to wait for"),
    ],
    about: "\
The database file is replaced as a whole; one on a read-only file system cannot be changed.

multiple deletes bundles and adds others in one step: `-d NAME...` begins those to be deleted, \
each `-a NAME CONTENTS...` one to be added.

Exit codes: 0 done; 1 a bundle is there already; 3 no such name; 4 the database \
is damaged; 5 NAME is a service; 100 wrong usage; 111 the system refused.",
    run,
};

struct Editor {
    contents: Contents,
    force: bool,
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut live, mut compiled, mut force) = (PathBuf::from("/run/s6-rc"), None, false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "l" | "livedir" => live = args.value()?.into(),
            "c" | "compiled" => compiled = Some(PathBuf::from(args.value()?)),
            "f" | "force" => force = true,
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let words: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    let Some((&subcommand, names)) = words.split_first() else {
        return Err(Failure::usage("it needs a subcommand"));
    };
    if subcommand == "help" {
        writeln!(out, "{}\n\nusage: {}\n\n{}", COMMAND.summary, COMMAND.usage, COMMAND.about)?;
        return Ok(Exit::DONE);
    }
    let directory = compiled.unwrap_or_else(|| live.join("compiled"));
    let unusable = |exit: Exit, why: &dyn std::fmt::Display| {
        Failure::new(exit, format!("cannot use {}/db: {why}", directory.display()))
    };
    let file = DatabaseFile::read(&directory).map_err(|error| unusable(Exit::REFUSED, &error))?;
    let database = file.database().map_err(|error| unusable(Exit(4), &error))?;
    let mut editor = Editor { contents: database.contents(), force };
    match (subcommand, names) {
        ("add", [name, contents @ ..]) => editor.add(&database, name, contents)?,
        ("delete", [_, ..]) => editor.delete_all(&database, names)?,
        ("multiple", _) => editor.several(&database, names)?,
        ("add" | "delete", []) => {
            return Err(Failure::usage(format!("{subcommand} needs a name")));
        }
        _ => {
            return Err(Failure::usage(format!("there is no subcommand {subcommand:?}"))
                .hint("there are add, delete and multiple"));
        }
    }
    write(&directory, &editor.contents)?;
    Ok(Exit::DONE)
}

/// Replaces the file, with the mode it had.
fn write(directory: &Path, contents: &Contents) -> Result<(), Failure> {
    let place = directory.join("db");
    let written = (|| {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&place)?.permissions());
        let folder = os::files::directory(directory)?;
        os::files::replace(&folder, "db", &contents.encode(), mode & 0o777)
    })();
    written.map_err(|error: std::io::Error| {
        Failure::refused(format!("cannot change {}: {error}", place.display()))
    })
}

impl Editor {
    /// `-d NAME...` and `-a NAME CONTENTS...`, as often as wanted.
    fn several(&mut self, database: &Database<'_>, words: &[&str]) -> Result<(), Failure> {
        let mut rest = words;
        while let Some((&flag, behind)) = rest.split_first() {
            let end = behind.iter().position(|word| matches!(*word, "-a" | "-d" | "--"));
            let (these, next) = behind.split_at(end.unwrap_or(behind.len()));
            match (flag, these) {
                ("-d", _) => self.delete_all(database, these)?,
                ("-a", [name, contents @ ..]) => self.add(database, name, contents)?,
                ("--", _) => {}
                _ => {
                    return Err(Failure::usage(
                        "multiple takes -d NAME... and -a NAME CONTENTS...",
                    ));
                }
            }
            rest = next;
        }
        Ok(())
    }

    fn add(&mut self, database: &Database<'_>, name: &str, of: &[&str]) -> Result<(), Failure> {
        Name::parse(name)
            .map_err(|error| Failure::usage(format!("{name:?} cannot be a name: {error}")))?;
        if let Some(Entry::Service(_)) = database.find(name) {
            return Err(Failure::new(Exit(5), format!("{name} is a service, not a bundle")));
        }
        let mut contents: Vec<Index> = Vec::new();
        for member in of {
            let bundle = self.contents.bundles.iter().find(|bundle| bundle.name == **member);
            match (database.find(member), bundle) {
                (Some(Entry::Service(index)), _) => contents.push(index),
                (_, Some(bundle)) => contents.extend(&bundle.contents),
                _ => return Err(unknown(database, "service", member)),
            }
        }
        contents.sort_unstable();
        contents.dedup();
        let bundles = &mut self.contents.bundles;
        match bundles.iter().position(|bundle| bundle.name == name) {
            Some(at) if self.force => drop(bundles.remove(at)),
            Some(_) => {
                let failure = Failure::not_achieved(format!("there is a bundle {name} already"));
                return Err(failure.hint("-f replaces it"));
            }
            None => {}
        }
        let (essential, recommended) = (false, false);
        bundles.push(BundleEntry { name: name.into(), essential, recommended, contents });
        Ok(())
    }

    fn delete_all(&mut self, database: &Database<'_>, names: &[&str]) -> Result<(), Failure> {
        for name in names {
            let bundles = &mut self.contents.bundles;
            match bundles.iter().position(|bundle| bundle.name == **name) {
                Some(at) => drop(bundles.remove(at)),
                None if matches!(database.find(name), Some(Entry::Service(_))) => {
                    return Err(Failure::new(
                        Exit(5),
                        format!("{name} is a service, not a bundle"),
                    ));
                }
                None if self.force => {}
                None => return Err(unknown(database, "bundle", name)),
            }
        }
        Ok(())
    }
}

fn unknown(database: &Database<'_>, what: &str, name: &str) -> Failure {
    let failure = Failure::new(Exit(3), format!("there is no {what} {name}"));
    match nearest(name, database.names()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    }
}
