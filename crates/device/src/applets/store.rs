//! `ward store`: what lies in the store, how it comes there, and how it goes.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt};
use engine::deploy::store;
use model::deploy::store_path::{STORE, StorePath};
use model::deploy::transfer::FileSystem;
use os::deploy::collect::{self, Finding};
use os::deploy::pull::{self, NotPulled, Pull};
use os::deploy::receive::{self, End};
use os::deploy::store_dir::StoreDir;
use os::trouble::Trouble;

use crate::applets::generation;
use crate::applets::json::{Object, Speaker};

pub const COMMAND: Command = Command {
    name: "store",
    summary: "Receive store paths, look at them, and collect what nobody needs",
    usage: "ward store receive | query [--json] | verify [--repair] [--json] | collect [--keep COUNT] [--dry-run] \
            [--json] | keep NAME PATH | forget NAME | pull [--unsigned] [--keep NAME] [--json] URL PATH [--root DIR]",
    options: &[
        Opt("--dry-run", "Only say what would be collected"),
        Opt(
            "--repair",
            "Forget what is known of paths that have changed: the next copy brings them again",
        ),
        Opt("--unsigned", "Take what nobody has signed, where no key is trusted"),
        Opt("--keep NAME", "pull: have the path stay under this name"),
        Opt("--keep COUNT", "collect: forget all generations but the newest that work, first"),
        Opt("--json", "query, verify, collect and pull: print one object"),
        Opt("--root DIR", "The root directory of another system (default: /)"),
    ],
    about: "\
receive takes store paths from standard input, as `doorward copy` sends them. It needs no shell
and writes nowhere but to the store: for a key that may do nothing else, write
`restrict,command=\"ward store receive\"` before it in authorized_keys.

query prints what there is: a line for each path, its hash and the bytes of its archive, and how
much room is left.

verify reads every path as it lies on the disk, and names those that are not what they were.

collect removes what no generation, no kept path, no running process and no copy needs. It can be
done beside a copy, and be cut off at any moment. With --keep it first forgets all generations but the
newest so many that work, the one that runs included, and what is needed anyway.

pull fetches a path, with all that it needs, from a Nix binary cache by HTTP: one that is served
by any web server, of files that are compressed with xz or not at all. It needs up to 9 MB of memory.

keep has a path stay, under a name; forget takes that back.

Exit codes: 0 done; 1 something is not whole, or somebody else is at it; 100 wrong usage; 111 the
system refused.",
    run,
};

pub const COLLECT_GARBAGE: Command = Command {
    name: "min-collect-garbage",
    summary: "Remove store paths that nobody needs",
    usage: "min-collect-garbage [--keep COUNT] [--dry-run] [--json]",
    options: &[
        Opt("--keep COUNT", "Forget all generations but the newest that work, first"),
        Opt("--dry-run", "Only say what would be removed"),
        Opt("--json", "Print one object"),
    ],
    about: "The same as `ward store collect`.",
    run: |args, out| {
        let options = Options::read(args)?;
        match args.operand() {
            None => collect(&options, out),
            Some(word) => Err(Failure::usage(format!("{} is nothing to it", word.display()))),
        }
    },
};

struct Options {
    root: PathBuf,
    is_dry: bool,
    json: bool,
    repair: bool,
    unsigned: bool,
    keep: Option<String>,
}

impl Options {
    fn read(args: &mut Args) -> Result<Self, Failure> {
        let mut options = Self {
            root: "/".into(),
            is_dry: false,
            json: false,
            repair: false,
            unsigned: false,
            keep: None,
        };
        options.add(args)?;
        Ok(options)
    }

    fn add(&mut self, args: &mut Args) -> Result<(), Failure> {
        while let Some(option) = args.option()? {
            match option.as_str() {
                "root" => self.root = args.value()?.into(),
                "dry-run" => self.is_dry = true,
                "json" => self.json = true,
                "repair" => self.repair = true,
                "unsigned" => self.unsigned = true,
                "keep" => self.keep = Some(args.text()?),
                _ => return Err(args.unknown(&option)),
            }
        }
        Ok(())
    }
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut options = Options::read(args)?;
    // Options may stand anywhere: what is behind them must never mean another system.
    let mut words = Vec::new();
    while let Some(word) = args.operand() {
        words.push(cli::text(&word)?.to_owned());
        options.add(args)?;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if options.json && !matches!(words[..], ["query" | "verify" | "collect"] | ["pull", ..]) {
        return Err(Failure::usage("--json is for query, verify, collect and pull"));
    }
    match words[..] {
        ["receive"] => receive(&options.root),
        ["query"] => query(&options, out),
        ["verify"] => verify(&options, out),
        ["collect"] => collect(&options, out),
        ["pull", url, path] => pull(&options, url, path, out),
        ["keep", name, path] => keep(&options.root, name, path),
        ["forget", name] => forget(&options.root, name),
        [verb, ..] => Err(Failure::usage(format!("there is no such `ward store {verb}`"))),
        [] => Err(Failure::usage("it needs a verb")),
    }
}

pub fn refused(trouble: Trouble) -> Failure {
    Failure::refused(trouble)
}

fn receive(root: &Path) -> Result<Exit, Failure> {
    os::sys::signals::ignore_pipe();
    os::files::clear_umask();
    let (input, output) = (std::io::stdin(), std::io::stdout());
    match receive::run(root, input.as_fd(), output.as_fd()) {
        Ok(End::Bye) => Ok(Exit::DONE),
        Ok(End::Silence) => Err(Failure::not_achieved("the sender has gone before the end")),
        Ok(End::Refused(why)) => Err(Failure::not_achieved(why)),
        Err(receive::Failure::Line(error)) => {
            Err(Failure::refused(format!("cannot talk with the sender: {error}")))
        }
        Err(receive::Failure::Trouble(trouble)) => Err(refused(trouble)),
    }
}

fn query(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut disk = StoreDir::open(&options.root).map_err(refused)?;
    let room = disk.room().map_err(refused)?;
    let contents = store::contents(&mut disk).map_err(refused)?;
    let kind = match room.file_system {
        FileSystem::Jffs2 => "jffs2",
        FileSystem::Ubifs => "ubifs",
        FileSystem::Memory => "memory",
        FileSystem::Other => "other",
    };
    let numbers = [
        ("free-bytes", Some(room.bytes)),
        ("free-files", room.files),
        ("block-bytes", Some(room.block_bytes.into())),
        ("erase-bytes", Some(room.erase_bytes.into()).filter(|bytes| *bytes > 0)),
    ];
    let memory = os::memory::available().unwrap_or(0);
    let numbers = numbers.iter().filter_map(|(name, number)| Some((*name, (*number)?)));
    if options.json {
        let paths = contents.all().iter().map(|(path, info)| {
            let mut object = Object::begin();
            object.text("path", &format!("{STORE}/{path}"));
            if let Some(info) = info {
                object.text("hash", &info.hash.to_string());
                object.number("bytes", info.size);
            }
            object.end()
        });
        let paths: Vec<String> = paths.collect();
        let mut object = Object::begin();
        object.list("paths", &paths);
        numbers.for_each(|(name, number)| object.number(&name.replace('-', "_"), number));
        object.text("file_system", kind);
        object.truth("writable", !room.is_read_only);
        object.number("memory_bytes", memory);
        writeln!(out, "{}", object.end())?;
        return Ok(Exit::DONE);
    }
    for (path, info) in contents.all() {
        match info {
            Some(info) => writeln!(out, "path {STORE}/{path} {} {}", info.hash, info.size)?,
            None => writeln!(out, "unknown {STORE}/{path}")?,
        }
    }
    for (name, number) in numbers {
        writeln!(out, "{name} {number}")?;
    }
    writeln!(out, "file-system {kind}")?;
    writeln!(out, "writable {}", if room.is_read_only { "no" } else { "yes" })?;
    writeln!(out, "memory-bytes {memory}")?;
    Ok(Exit::DONE)
}

fn verify(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut whole, mut broken, mut unknown) = (0, 0, 0);
    let mut outcome = Ok(());
    let mut objects = Vec::new();
    let told = &mut |path: &StorePath, findings: &[Finding]| {
        for finding in findings {
            let line = match finding {
                Finding::Changed => "is not what it was".to_owned(),
                Finding::Unreadable(why) => why.clone(),
                Finding::Lacks(needs) => format!("refers to {needs}, which is not there"),
                Finding::Unknown => continue,
            };
            if options.json {
                let mut object = Object::begin();
                object.text("path", &format!("{STORE}/{path}"));
                object.text("why", &line);
                objects.push(object.end());
                continue;
            }
            outcome = writeln!(out, "{STORE}/{path}: {line}");
        }
        match findings {
            [] => whole += 1,
            [Finding::Unknown] => unknown += 1,
            _ => broken += 1,
        }
    };
    collect::verify(&options.root, options.repair, told).map_err(refused)?;
    outcome?;
    if options.json {
        let mut object = Object::begin();
        object.number("whole", whole);
        object.number("unknown", unknown);
        object.list("broken", &objects);
        writeln!(out, "{}", object.end())?;
        return Ok(if broken > 0 { Exit::NOT_ACHIEVED } else { Exit::DONE });
    }
    write!(out, "{whole} paths are whole")?;
    if unknown > 0 {
        write!(out, ", of {unknown} nobody has said what they should be")?;
    }
    if broken > 0 {
        writeln!(out, ", {broken} are not")?;
        return Ok(Exit::NOT_ACHIEVED);
    }
    writeln!(out)?;
    Ok(Exit::DONE)
}

fn collect(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut forgotten = Vec::new();
    if let Some(keep) = &options.keep {
        let keep = keep.parse::<usize>();
        let keep = keep.map_err(|_| Failure::usage("--keep needs a number of generations"))?;
        if options.root != Path::new("/") {
            return Err(Failure::usage("--keep is for the generations of this system"));
        }
        let (mut quiet, json) = (std::io::sink(), options.json);
        let out: &mut dyn Write = if json { &mut quiet } else { out };
        forgotten = generation::forget_all_but(keep, options.is_dry, out)?;
    }
    let collected = collect::run(&options.root, options.is_dry, &forgotten, &mut |_| {});
    let collected = collected.map_err(refused)?;
    if collected.is_busy {
        return Err(Failure::not_achieved("a copy to this device is just beginning")
            .hint("try again in a moment: what it needs is not known yet"));
    }
    if options.json {
        let paths = collected.gone.iter().map(|(path, bytes)| sized(path, *bytes));
        let paths: Vec<String> = paths.collect();
        let mut object = Object::begin();
        object.truth("removed", !options.is_dry);
        object.list("paths", &paths);
        object.number("freed", collected.freed);
        writeln!(out, "{}", object.end())?;
        return Ok(Exit::DONE);
    }
    for (path, bytes) in &collected.gone {
        writeln!(out, "{bytes:>10} {STORE}/{path}")?;
    }
    let bytes: u64 = collected.gone.iter().map(|(_, bytes)| bytes).sum();
    let count = collected.gone.len();
    match options.is_dry {
        true => writeln!(out, "{count} paths of {bytes} bytes would be removed")?,
        false => {
            let freed = collected.freed;
            writeln!(out, "{count} paths of {bytes} bytes are gone, {freed} bytes more are free")?;
        }
    }
    Ok(Exit::DONE)
}

/// A path and its bytes, for programs.
fn sized(path: &StorePath, bytes: u64) -> String {
    let mut object = Object::begin();
    object.text("path", &format!("{STORE}/{path}"));
    object.number("bytes", bytes);
    object.end()
}

fn checked(name: &str) -> Result<String, Failure> {
    match model::deploy::transfer::is_root_name(name) {
        true => Ok(name.into()),
        false => Err(Failure::usage(format!("{name:?} can be no name of what is kept"))),
    }
}

fn path(text: &str) -> Result<StorePath, Failure> {
    StorePath::parse_full(text)
        .map_err(|error| Failure::usage(format!("that is no store path: {error}")))
}

fn pull(options: &Options, url: &str, wanted: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    os::files::clear_umask();
    let keep = options.keep.as_deref().map(checked).transpose()?;
    let (mut came, mut out) = (Vec::new(), Speaker { out, json: options.json });
    let mut pull = Pull {
        root: &options.root,
        url,
        path: path(wanted)?,
        unsigned: options.unsigned,
        keep: keep.as_deref(),
        told: &mut |path, size| {
            let _ = writeln!(out, "{size:>10} {STORE}/{path}");
            came.push(sized(path, size));
        },
    };
    match pull::run(&mut pull) {
        Ok(0) => writeln!(out, "everything is there already")?,
        Ok(count) => writeln!(out, "{count} paths came")?,
        Err(NotPulled::Refused(why)) => return Err(Failure::not_achieved(why)),
        Err(NotPulled::Trouble(trouble)) => return Err(refused(trouble)),
    }
    let mut object = Object::begin();
    object.list("paths", &came);
    out.object(object)?;
    Ok(Exit::DONE)
}

fn keep(root: &Path, name: &str, wanted: &str) -> Result<Exit, Failure> {
    let (name, path) = (checked(name)?, path(wanted)?);
    let mut disk = StoreDir::open(root).map_err(refused)?;
    if !store::contents(&mut disk).map_err(refused)?.has(&path) {
        return Err(Failure::not_achieved(format!("{STORE}/{path} is not there")));
    }
    receive::keep(root, &name, &path).map_err(refused)?;
    Ok(Exit::DONE)
}

fn forget(root: &Path, name: &str) -> Result<Exit, Failure> {
    let name = checked(name)?;
    let link = root.join("nix/var/doorward/roots").join(&name);
    std::fs::remove_file(&link).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::not_achieved(format!("nothing is kept under the name {name}"))
        }
        _ => Failure::refused(format!("cannot forget {name}: {error}")),
    })?;
    Ok(Exit::DONE)
}
