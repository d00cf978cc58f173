//! `s6-rc-db`: say what a compiled database holds.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::database::{Database, Entry, Index, Script, Service};
use model::service::name::nearest;
use os::service::database_file::{DatabaseFile, DatabaseFileError};

pub const COMMAND: Command = Command {
    name: "s6-rc-db",
    summary: "Say what a compiled service database holds",
    usage: "s6-rc-db [-u | -d] [-e | -E] [-l LIVE] [-c DATABASE] [-b] \
            help|check|list|type|timeout|contents|dependencies|pipeline|script|flags|atomics|\
            all-dependencies [WHAT...]",
    options: &[
        Opt("-u, --up", "What concerns bringing up (default)"),
        Opt("-d, --down", "What concerns bringing down"),
        Opt("-c, --compiled DATABASE", "Look at this database, not at the live one"),
        Opt("-l, --livedir LIVE", "The live directory (default: /run/s6-rc)"),
        Opt("-e, --no-essentials", "Leave essential services out of lists"),
        Opt("-E, --essentials", "Do not leave them out (default)"),
        Opt("-b, --block", "Accepted; there is no lock to wait for"),
    ],
    about: HELP,
    run,
};

const HELP: &str = "\
check                   say whether the database is sound
list all|services|oneshots|longruns|bundles
type NAME               longrun, oneshot or bundle
timeout NAME            milliseconds to bring it up (-d: down); 0: no limit
contents BUNDLE         the services it stands for
dependencies NAME       what it needs itself (-d: what needs it)
all-dependencies NAME...  the same, and all that these need, with themselves
pipeline LONGRUN        its pipeline, a line of producer/consumer for each pipe
script ONESHOT          its up script (-d: down), a zero byte behind each word
flags NAME              hexadecimal: 1 essential, 2 recommended
atomics NAME...         the services that these stand for

Exit codes: 0 done; 3 no such name; 4 the database is damaged, or is none; 5 a name of the wrong \
type; 100 wrong usage; 111 the system refused.";

const UNKNOWN_NAME: Exit = Exit(3);
const BAD_DATABASE: Exit = Exit(4);
const WRONG_TYPE: Exit = Exit(5);

/// What was asked, besides names.
struct Question<'a> {
    database: Database<'a>,
    down: bool,
    hide_essential: bool,
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut down, mut hide_essential) = (false, false);
    let mut live = PathBuf::from("/run/s6-rc");
    let mut compiled = None;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "u" | "up" => down = false,
            "d" | "down" => down = true,
            "e" | "no-essentials" => hide_essential = true,
            "E" | "essentials" => hide_essential = false,
            "l" | "livedir" => live = args.value()?.into(),
            "c" | "compiled" => compiled = Some(PathBuf::from(args.value()?)),
            "b" | "block" => {}
            other => return Err(args.unknown(other)),
        }
    }
    let operands = args.rest();
    let words = operands.iter().map(|word| text(word)).collect::<Result<Vec<_>, _>>()?;
    let Some((&subcommand, names)) = words.split_first() else {
        return Err(Failure::usage("it needs a subcommand"));
    };
    if subcommand == "help" {
        writeln!(out, "{}\n\nusage: {}\n\n{HELP}", COMMAND.summary, COMMAND.usage)?;
        return Ok(Exit::DONE);
    }
    if !SUBCOMMANDS.contains(&subcommand) {
        let failure = Failure::usage(format!("there is no subcommand {subcommand:?}"));
        return Err(match nearest(subcommand, SUBCOMMANDS.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure,
        });
    }
    let several = matches!(subcommand, "atomics" | "all-dependencies");
    match names.len() {
        0 if subcommand != "check" => {
            return Err(Failure::usage(format!("{subcommand} needs a name")));
        }
        2.. if !several => return Err(Failure::usage(format!("{subcommand} takes one name"))),
        _ => {}
    }

    let directory = compiled.unwrap_or_else(|| live.join("compiled"));
    let file = DatabaseFile::read(&directory).map_err(|error| unreadable(&directory, &error))?;
    let database = file.database().map_err(|error| {
        Failure::new(BAD_DATABASE, format!("cannot use {}/db: {error}", directory.display()))
            .hint("compile the sources again with s6-rc-compile")
    })?;
    let question = Question { database, down, hide_essential };
    // Answers are short pieces; the output wants few large ones.
    let mut answer = Vec::new();
    question.answer(subcommand, names, &mut answer)?;
    out.write_all(&answer)?;
    Ok(Exit::DONE)
}

const SUBCOMMANDS: [&str; 12] = [
    "all-dependencies",
    "atomics",
    "check",
    "contents",
    "dependencies",
    "flags",
    "help",
    "list",
    "pipeline",
    "script",
    "timeout",
    "type",
];

fn unreadable(directory: &Path, error: &DatabaseFileError) -> Failure {
    let exit = match error {
        DatabaseFileError::Refused(_) => Exit::REFUSED,
        DatabaseFileError::NotADatabase => BAD_DATABASE,
    };
    Failure::new(exit, format!("cannot read {}/db: {error}", directory.display()))
        .hint("-c names the folder of a database, -l a live directory")
}

impl<'a> Question<'a> {
    fn answer(&self, subcommand: &str, names: &[&str], out: &mut Vec<u8>) -> Result<(), Failure> {
        let first = names.first().copied().unwrap_or_default();
        match subcommand {
            "check" => self.check(),
            "list" => self.list(first, out),
            "type" => {
                let kind = match self.find(first)? {
                    Entry::Bundle(_) => "bundle",
                    Entry::Service(i) if self.database.service(i).is_longrun() => "longrun",
                    Entry::Service(_) => "oneshot",
                };
                Ok(writeln!(out, "{kind}")?)
            }
            "timeout" => {
                let service = self.atomic(first)?;
                let limit = if self.down { service.timeout_down() } else { service.timeout_up() };
                Ok(writeln!(out, "{}", limit.as_millis())?)
            }
            "flags" => {
                let service = self.atomic(first)?;
                let flags = u32::from(service.essential()) | u32::from(service.recommended()) << 1;
                Ok(writeln!(out, "{flags:08x}")?)
            }
            "contents" => match self.find(first)? {
                Entry::Service(_) => Err(wrong_type(first, "bundle")),
                Entry::Bundle(number) => self.print(self.database.bundle(number).contents(), out),
            },
            "script" => {
                let service = self.atomic(first)?;
                if service.is_longrun() {
                    return Err(wrong_type(first, "oneshot"));
                }
                let which = if self.down { Script::Down } else { Script::Up };
                for word in service.script(which).into_iter().flatten() {
                    out.extend_from_slice(word);
                    out.push(0);
                }
                Ok(())
            }
            "pipeline" => self.pipeline(first, out),
            "atomics" => self.print_chosen(&self.atomics(names)?, out),
            "dependencies" => {
                let mut chosen = self.none();
                for index in self.members(first)? {
                    self.mark_next(index, &mut chosen, |_| {});
                }
                self.print_chosen(&chosen, out)
            }
            _ => {
                let mut chosen = self.atomics(names)?;
                let mut open: Vec<Index> =
                    (0..).zip(&chosen).filter(|(_, is)| **is).map(|(index, _)| index).collect();
                while let Some(index) = open.pop() {
                    self.mark_next(index, &mut chosen, |new| open.push(new));
                }
                self.print_chosen(&chosen, out)
            }
        }
    }

    /// Opening followed every reference; what is left is that what needs and
    /// what is needed agree, and that nothing needs itself in the end.
    fn check(&self) -> Result<(), Failure> {
        let database = &self.database;
        let broken = |what: &str| Failure::new(BAD_DATABASE, format!("the database has {what}"));
        let agree = |from: Index, to: Index| {
            let (from, to) = (database.service(from), database.service(to));
            from.needs().any(|n| n == to.index()) == to.needed_by().any(|n| n == from.index())
        };
        for service in database.services() {
            let index = service.index();
            let both = service.needs().all(|to| agree(index, to))
                && service.needed_by().all(|from| agree(from, index));
            if !both {
                let what = format!("needs of {} that do not agree", service.name());
                return Err(broken(&what));
            }
        }
        // Takes away what needs nothing that is left, until nothing is.
        let mut left: Vec<usize> = database.services().map(|s| s.needs().len()).collect();
        let mut free: Vec<Index> =
            (0..).zip(&left).filter(|(_, needs)| **needs == 0).map(|(index, _)| index).collect();
        let mut taken = 0;
        while let Some(index) = free.pop() {
            taken += 1;
            for user in database.service(index).needed_by() {
                left[user as usize] = left[user as usize].saturating_sub(1);
                if left[user as usize] == 0 {
                    free.push(user);
                }
            }
        }
        if taken == database.len() { Ok(()) } else { Err(broken("a cycle of needs")) }
    }

    fn list(&self, what: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
        let (longruns, all) = (self.database.longruns() as Index, self.database.len() as Index);
        match what {
            "services" => self.print(0..all, out),
            "longruns" => self.print(0..longruns, out),
            "oneshots" => self.print(longruns..all, out),
            "all" => {
                self.print((0..all).rev(), out)?;
                self.bundles(out)
            }
            "bundles" => self.bundles(out),
            other => Err(Failure::usage(format!("there is no list of {other:?}"))
                .hint("list takes all, services, oneshots, longruns or bundles")),
        }
    }

    fn bundles(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        for bundle in self.database.bundles().rev() {
            if !(self.hide_essential && bundle.essential()) {
                writeln!(out, "{}", bundle.name())?;
            }
        }
        Ok(())
    }

    /// The pipes of the pipeline that `name` belongs to, those upstream first.
    fn pipeline(&self, name: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
        let service = self.atomic(name)?;
        let consumer =
            |index: Index| self.database.service(index).longrun().and_then(|l| l.consumer);
        let Some(longrun) = service.longrun() else { return Err(wrong_type(name, "longrun")) };
        if longrun.consumer.is_none() && !longrun.has_producers {
            return Ok(writeln!(out, "{name}")?);
        }
        let longruns = self.database.longruns();
        let mut last = service.index();
        for _ in 0..longruns {
            last = consumer(last).unwrap_or(last);
        }
        let mut readers: Vec<(Index, Index)> =
            (0..longruns as Index).filter_map(|index| Some((consumer(index)?, index))).collect();
        readers.sort_unstable();
        // From the end upstream, each once, however the pipes lie.
        let mut seen = self.none();
        let mut pipes = Vec::new();
        let mut reached = vec![last];
        let mut next = 0;
        while let Some(&reader) = reached.get(next) {
            next += 1;
            let first = readers.partition_point(|(known, _)| *known < reader);
            for &(_, writer) in readers[first..].iter().take_while(|(known, _)| *known == reader) {
                if !std::mem::replace(&mut seen[writer as usize], true) {
                    pipes.push((writer, reader));
                    reached.push(writer);
                }
            }
        }
        for (writer, reader) in pipes.into_iter().rev() {
            let name = |index: Index| self.database.service(index).name();
            writeln!(out, "{}/{}", name(writer), name(reader))?;
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Entry, Failure> {
        self.database.find(name).ok_or_else(|| {
            let failure = Failure::new(UNKNOWN_NAME, format!("there is no service {name}"));
            match nearest(name, self.database.names()) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            }
        })
    }

    fn atomic(&self, name: &str) -> Result<Service<'a>, Failure> {
        match self.find(name)? {
            Entry::Service(index) => Ok(self.database.service(index)),
            Entry::Bundle(_) => Err(wrong_type(name, "longrun or oneshot")),
        }
    }

    /// The services that a name stands for.
    fn members(&self, name: &str) -> Result<Vec<Index>, Failure> {
        Ok(match self.find(name)? {
            Entry::Service(index) => vec![index],
            Entry::Bundle(number) => self.database.bundle(number).contents().collect(),
        })
    }

    fn none(&self) -> Vec<bool> {
        vec![false; self.database.len()]
    }

    fn atomics(&self, names: &[&str]) -> Result<Vec<bool>, Failure> {
        let mut chosen = self.none();
        for name in names {
            for index in self.members(name)? {
                chosen[index as usize] = true;
            }
        }
        Ok(chosen)
    }

    /// Marks what `index` needs, or what needs it, and tells of each that was not.
    fn mark_next(&self, index: Index, chosen: &mut [bool], mut tell: impl FnMut(Index)) {
        let service = self.database.service(index);
        let mut mark = |next: Index| {
            if !std::mem::replace(&mut chosen[next as usize], true) {
                tell(next);
            }
        };
        if self.down {
            service.needed_by().for_each(&mut mark)
        } else {
            service.needs().for_each(&mut mark)
        }
    }

    /// The last comes first, as the peer prints what it has marked.
    fn print_chosen(&self, chosen: &[bool], out: &mut Vec<u8>) -> Result<(), Failure> {
        let indices = (0..self.database.len() as Index).rev();
        self.print(indices.filter(|index| chosen[*index as usize]), out)
    }

    fn print(
        &self,
        indices: impl Iterator<Item = Index>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        for service in indices.map(|index| self.database.service(index)) {
            if !(self.hide_essential && service.essential()) {
                out.extend_from_slice(service.name().as_bytes());
                out.push(b'\n');
            }
        }
        Ok(())
    }
}

fn wrong_type(name: &str, expected: &str) -> Failure {
    Failure::new(WRONG_TYPE, format!("{name} is no {expected}"))
}
