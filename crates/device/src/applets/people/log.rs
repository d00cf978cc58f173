//! `ward log`: what services said.

use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt};
use engine::log::history::{Sieve, Wanted};
use model::log::kernel;
use model::log::last_boot::{last_words, said_at};
use model::log::line::Line;
use model::log::mark::SERVICE;
use model::log::when::When;
use model::service::database::Entry;
use model::service::name::nearest;
use model::time::Date;
use os::clock;
use os::log::last_boot::LastBoot;
use os::log::reader::{News, Place, Reader};
use os::log::tail::Tail;
use os::sys::regex::Regex;
use os::zone::{self, Zone};

use crate::applets::logger;
use crate::applets::peers::s6_rc::list::{open, read_database};

pub const COMMAND: Command = Command {
    name: "log",
    summary: "Show what services said",
    usage: "ward log [-f] [-n COUNT] [-s SERVICE]... [--since TIME] [--until TIME] [--boot N] \
            [--grep EXPRESSION] [--json] [-d DIR] [-l LIVE]",
    options: &[
        Opt("-f, --follow", "Go on with what is said from now on"),
        Opt("-n COUNT", "Only the last lines, this many"),
        Opt("-s SERVICE", "Only this service, or those of this bundle; may be repeated"),
        Opt("--since TIME", "Only what was said then or later"),
        Opt("--until TIME", "Only what was said then or before"),
        Opt("--boot N", "Only the last boot (0), the one before it (-1), ..."),
        Opt("--grep EXPRESSION", "Only lines whose text matches (extended, as for grep -E)"),
        Opt("--json", "Print one object for each line"),
        Opt("-d DIR", "Read this log directory, also one of s6-log (default: /run/uncaught-logs)"),
        Opt("-l, --live LIVE", "The live directory, for names of bundles (default: /run/s6-rc)"),
    ],
    about: "\
TIME is \"2026-11-25 18:00\", also with seconds, or only one of day and time; \"-10m\" or
\"10m ago\", with s, m, h or d; \"boot\", when this system began; or the label of a line.

Times are local (TZ, or else /etc/localtime). A * stands behind that of a line from before
the clock was set: it is when the line really was written. Lines of .logger say where another
boot begins, and where the clock was set.

Where the log is kept on flash, too (`ward ship`), what is only there is shown before it.

With logging.persistent.enable in the configuration, --boot -1 has what outlived a restart \
in memory (DIR/previous-boot), and after a crash the kernel's own words, as lines of kernel.

A text that begins with <N>, as the kernel's do, is shown without it: errors are red, warnings
yellow. Bytes that are no UTF-8, and what a terminal obeys, are shown as \\xNN. Objects have time
(UTC), label, service, text and boot; priority (0 to 7), where the text has one; bytes, where it
is no UTF-8; and corrected. There are colours on a terminal, unless NO_COLOR is set.

Exit codes: 0 done; 1 no such boot; 3 no such service; 100 wrong usage; 111 the system refused.

Examples:

  ward log -n 20 -f              the last 20 lines, and what comes
  ward log -s dns --since -10m   what dns said in the last ten minutes
  ward log --grep 'refused'      lines that match
  ward log --boot -1             the boot before this one",
    run,
};

/// Output that waits is written from so many bytes on.
const WRITE_BYTES: usize = 32 << 10;

/// Services of the log that are told apart to find the one that was meant.
const NAMES_MAX: usize = 4096;

/// What was asked for.
struct Options {
    follow: bool,
    last: Option<usize>,
    services: Vec<String>,
    since: Option<When>,
    until: Option<When>,
    boot: Option<usize>,
    grep: Option<Regex>,
    json: bool,
    directory: PathBuf,
    live: PathBuf,
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    // `ward log | head` ends quietly, also where somebody has SIGPIPE ignored.
    os::sys::signals::obey_pipe();
    show(&read_options(args)?, out)
}

fn read_options(args: &mut Args) -> Result<Options, Failure> {
    let mut options = Options {
        follow: false,
        last: None,
        services: Vec::new(),
        since: None,
        until: None,
        boot: None,
        grep: None,
        json: false,
        directory: logger::DIRECTORY.into(),
        live: "/run/s6-rc".into(),
    };
    while let Some(option) = args.option()? {
        match option.as_str() {
            "f" | "follow" => options.follow = true,
            "n" => options.last = Some(args.parsed()?),
            "s" => options.services.push(args.text()?),
            "since" => options.since = Some(time(args)?),
            "until" => options.until = Some(time(args)?),
            "boot" => {
                let number: i32 = args.parsed()?;
                let back = usize::try_from(-i64::from(number));
                let later = |_| Failure::usage("no boot comes after the last one, which is 0");
                options.boot = Some(back.map_err(later)?);
            }
            "grep" => {
                let regex = Regex::new(args.value()?.as_encoded_bytes());
                let wrong = |why| Failure::usage(format!("that is no expression: {why}"));
                options.grep = Some(regex.map_err(wrong)?);
            }
            "json" => options.json = true,
            "d" => options.directory = args.value()?.into(),
            "l" | "live" => options.live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    match args.operand() {
        None => Ok(options),
        Some(_) => Err(Failure::usage("services are named by -s")),
    }
}

fn time(args: &mut Args) -> Result<When, Failure> {
    let text = args.text()?;
    When::parse(text.as_bytes())
        .ok_or_else(|| Failure::usage(format!("{text:?} is no time, as 18:00, -10m or boot are")))
}

/// What is done with a line: go on?
type Each<'a> = &'a mut dyn FnMut(&mut Sieve<'_>, &[u8]) -> std::io::Result<bool>;

/// Turns lines into what is printed of them.
struct Printer<'a> {
    out: &'a mut dyn Write,
    zone: Zone,
    json: bool,
    colours: bool,
    /// Lines that are passed over before the first one.
    skip: usize,
    text: Vec<u8>,
}

impl Printer<'_> {
    fn line(&mut self, sieve: &mut Sieve<'_>, line: &[u8]) -> std::io::Result<bool> {
        let Some(entry) = sieve.look(line) else { return Ok(true) };
        if self.skip > 0 {
            self.skip -= usize::from(!entry.is_mark());
            return Ok(true);
        }
        match self.json {
            true => entry.append_json(&mut self.text),
            false => entry.append_text(&self.zone, self.colours, &mut self.text),
        }
        if self.text.len() >= WRITE_BYTES { self.flush() } else { Ok(true) }
    }

    fn flush(&mut self) -> std::io::Result<bool> {
        self.out.write_all(&self.text)?;
        self.out.flush()?;
        self.text.clear();
        Ok(true)
    }
}

fn show(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let refused = |error| {
        let directory = options.directory.display();
        Failure::refused(format!("cannot read {directory}: {error}"))
    };
    // Before the first look at the directory, so that nothing happens between.
    let tail = options.follow.then(|| Tail::watch(&options.directory)).transpose();
    let tail = tail.map_err(refused)?;
    let reader = Reader::open_all(&options.directory, options.follow).map_err(refused)?;
    let zone = zone::local();
    let services = services(options);
    let matches = |text: &[u8]| options.grep.as_ref().is_none_or(|grep| grep.is_match(text));
    let mut sieve = Sieve::new(Wanted { services, ..wanted(options, &zone) }, &matches);
    reader.learn(&mut sieve)?;
    let mut found = None;
    if let Some(back) = options.boot {
        found = LastBoot::read(&options.directory);
        if let Some(found) = &found {
            sieve.boots.add_before_last(found.last);
        }
        sieve.wanted.boot = sieve.boots.back(back);
        if sieve.wanted.boot.is_none() {
            let count = sieve.boots.count();
            let failure = Failure::not_achieved(format!("{count} boots are in this log"));
            return Err(failure.hint(
                "logging.persistent.enable keeps the end of the one before: previous-boot beside the log",
            ));
        }
        found = found.filter(|found| sieve.wanted.boot == Some(found.first.boot));
        sieve.named |= found.is_some();
    }
    let found = found.as_ref();
    let place = reader.start(&mut sieve, options.last)?;
    let mut skip = 0;
    if let Some(last) = options.last
        && !sieve.wanted.is_timeless()
    {
        // Which lines are wanted is seen only from the first one on: they are counted before.
        let mark = sieve.mark;
        read(&reader, found, &mut sieve, place, &mut |sieve, line| {
            skip += usize::from(sieve.look(line).is_some_and(|entry| !entry.is_mark()));
            Ok(true)
        })?;
        (skip, sieve.mark) = (skip.saturating_sub(last), mark);
    }
    let colours = os::terminal::colours();
    let json = options.json;
    let mut printer = Printer { out, zone, json, colours, skip, text: Vec::new() };
    let mut line = |sieve: &mut Sieve<'_>, line: &[u8]| printer.line(sieve, line);
    let end = read(&reader, found, &mut sieve, place, &mut line)?;
    printer.flush()?;
    let outcome = known(&reader, &sieve);
    let (Some(tail), Some(end)) = (tail, end) else { return outcome };
    if let Err(failure) = outcome {
        // It may yet say something.
        eprintln!("ward log: warning: {failure}");
    }
    sieve.live = true;
    reader.follow(&tail, end, &mut |news| match news {
        News::Line(line) => printer.line(&mut sieve, line),
        News::Idle => printer.flush(),
        News::Lost => {
            eprintln!("ward log: warning: files were removed before they were read");
            Ok(true)
        }
    })?;
    Ok(Exit::DONE)
}

/// [`Reader::read`], and behind it what was found elsewhere of the boot that is wanted: lines that are not
/// known yet, and the kernel's last words. Who gets them takes all.
fn read(
    reader: &Reader,
    found: Option<&LastBoot>,
    sieve: &mut Sieve<'_>,
    place: Place,
    each: Each<'_>,
) -> std::io::Result<Option<u64>> {
    let Some(found) = found else { return reader.read(sieve, place, each) };
    let mut last = Vec::new();
    let mut since = None;
    let mut one = |sieve: &mut Sieve<'_>, text: &[u8], last: &mut Vec<u8>| {
        let line = Line::read(text, true);
        // A mark may stand twice, and be that of the next boot.
        let own = line.service != Some(SERVICE.as_bytes());
        if own && sieve.mark.is_some_and(|mark| mark.boot == found.first.boot) {
            last.clear();
            last.extend_from_slice(text);
            if line.service == Some(kernel::SERVICE.as_bytes()) {
                since = said_at(line.text).or(since);
            }
        }
        each(sieve, text)
    };
    let end = reader.read(sieve, place, &mut |sieve, line| one(sieve, line, &mut last))?;
    sieve.mark = Some(found.first);
    for line in found.lines_behind(&last) {
        one(sieve, line, &mut Vec::new())?;
    }
    sieve.mark = Some(found.last);
    let mut done = Ok(true);
    last_words(&found.messages, since, &found.last, &mut |line| {
        if done.is_ok() {
            done = each(sieve, line);
        }
    });
    done.map(|_| end)
}

fn wanted(options: &Options, zone: &Zone) -> Wanted {
    let (unix, up) = (clock::today().unix().0.unsigned_abs(), clock::now().nanos());
    let date = |when: When| when.resolve(unix, up / 1_000_000_000, zone);
    // All of a second that was named.
    let end = |when| match when {
        When::Label(date) => date,
        _ => Date { nanos: 999_999_999, ..date(when) },
    };
    let (since, until) = (options.since.map(date), options.until.map(end));
    Wanted { since, until, ..Wanted::default() }
}

/// The services that are wanted, and whether a database knows them.
fn services(options: &Options) -> Vec<(Box<str>, bool)> {
    let mut services = Vec::new();
    let file = match options.services.is_empty() {
        true => None,
        false => read_database(&options.live).ok(),
    };
    let database = file.as_ref().and_then(|file| open(file).ok());
    for name in &options.services {
        match database.as_ref().and_then(|database| Some((database, database.find(name)?))) {
            Some((database, Entry::Bundle(bundle))) => {
                let contents = database.bundle(bundle).contents();
                services.extend(contents.map(|at| (database.service(at).name().into(), true)));
            }
            found => services.push((name.as_str().into(), found.is_some())),
        }
    }
    services
}

/// Whether each service that was asked for is one: a database knows it, or it
/// is somewhere in the log.
fn known(reader: &Reader, sieve: &Sieve<'_>) -> Result<Exit, Failure> {
    if sieve.wanted.services.iter().all(|(_, known)| *known) {
        return Ok(Exit::DONE);
    }
    let mut found: Vec<String> = Vec::new();
    let mut all = Sieve::new(Wanted::default(), &|_| true);
    reader.read(&mut all, Place::default(), &mut |_, line| {
        if let Some(service) = Line::read(line, sieve.named).service
            && let Ok(service) = std::str::from_utf8(service)
            && found.len() < NAMES_MAX
            && !found.iter().any(|known| known == service)
        {
            found.push(service.to_owned());
        }
        Ok(true)
    })?;
    let mut missing = sieve.wanted.services.iter().filter(|(_, known)| !known);
    let Some((name, _)) = missing.find(|(name, _)| !found.iter().any(|known| **known == **name))
    else {
        return Ok(Exit::DONE);
    };
    let failure = Failure::new(
        Exit(3),
        match sieve.named {
            true => format!("no service {name} is in the log"),
            false => "this log does not name services".into(),
        },
    );
    Err(match nearest(name, found.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    })
}
