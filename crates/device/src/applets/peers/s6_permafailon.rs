//! `s6-permafailon`: fail for good when a service died too often.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, text};
use model::service::status::{self, Death};
use model::time::Date;
use os::service::{client, signal_name};

use super::waiting;

pub const COMMAND: Command = Command {
    name: "s6-permafailon",
    summary: "Fail for good if a service died too often, else run a program",
    usage: "s6-permafailon SECONDS COUNT EVENTS PROG...",
    options: &[],
    about: "\
For the finish script of a service, in its service directory. If it died at
least COUNT times in the last SECONDS with one of EVENTS it exits 125, which
tells the supervisor not to start it again; else it becomes PROG.

EVENTS is a list with commas of exit codes (1), spans of them (1-50) and signals
(SIGTERM, sigabrt, sig11). A death by a signal also has exit code 128 + signal.

Exit codes: 125 failed for good, 100 wrong usage, 111 the system refused, 126 or
127 PROG cannot be run.",
    run,
};

/// Which deaths count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Codes(u8, u8),
    Signal(u8),
}

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let (seconds, count) = (number(args)?, number(args)?);
    let events = args.operand().ok_or_else(|| Failure::usage("no events are named"))?;
    let events = parse(text(&events)?)?;
    let program = args.rest();
    if program.is_empty() {
        return Err(Failure::usage("no program is named"));
    }
    // Without a tally the service shall at least be finished: the program runs.
    match client::deaths(Path::new(".")) {
        Ok(deaths) => {
            let seconds = Duration::from_secs(seconds.into());
            if matching(&deaths, os::clock::today(), seconds, &events) >= count as usize {
                eprintln!("s6-permafailon: info: it died {count} times: it fails for good");
                return Ok(Exit(125));
            }
        }
        Err(error) => eprintln!("s6-permafailon: warning: cannot read the deaths: {error}"),
    }
    Err(waiting::become_program(&program))
}

fn number(args: &mut Args) -> Result<u32, Failure> {
    let word = args.operand().ok_or_else(|| Failure::usage("seconds and a count are needed"))?;
    text(&word)?.parse().map_err(|_| Failure::usage(format!("{word:?} is not a number in range")))
}

fn parse(list: &str) -> Result<Vec<Event>, Failure> {
    list.split(',')
        .map(|word| {
            event(word).ok_or_else(|| {
                Failure::usage(format!("{word:?} is no exit code, no span of them, and no signal"))
            })
        })
        .collect()
}

fn event(word: &str) -> Option<Event> {
    if word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("sig")) {
        return signal_name::number(word).map(Event::Signal);
    }
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(Event::Codes(first, last))
}

/// How many of `deaths` lie in the last `span` before `now` and are in `events`.
fn matching(deaths: &[Death], now: Date, span: Duration, events: &[Event]) -> usize {
    let seconds = span.as_secs().min(now.label);
    let first = Date { label: now.label - seconds, nanos: now.nanos };
    let counts = |exit| {
        events.iter().any(|event| match (*event, exit) {
            (Event::Codes(first, last), status::Exit::Code(code)) => (first..=last).contains(&code),
            // A shell's code for it counts as well, as it does for the peer.
            (Event::Codes(first, last), status::Exit::Signal(signal)) => {
                (first..=last).contains(&signal.wrapping_add(128))
            }
            (Event::Signal(wanted), status::Exit::Signal(signal)) => wanted == signal,
            (Event::Signal(_), status::Exit::Code(_)) => false,
        })
    };
    deaths.iter().filter(|death| death.date >= first && counts(death.exit)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_codes_spans_and_signals() {
        use Event::*;
        for (text, expected) in [
            ("1", Some(vec![Codes(1, 1)])),
            ("1-50,0", Some(vec![Codes(1, 50), Codes(0, 0)])),
            ("SIGTERM,sigabrt,sig11", Some(vec![Signal(15), Signal(6), Signal(11)])),
            ("50-1", None),
            ("256", None),
            ("", None),
            ("1,,2", None),
            ("-1", None),
            ("TERM", None), // without SIG it would hide a misspelt code
            ("SIGNONSENSE", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_late_deaths_of_the_right_kind_count() {
        let now = Date { label: 1000, nanos: 500 };
        let death = |label, nanos, exit| Death { date: Date { label, nanos }, exit };
        let deaths = [
            death(989, 999, status::Exit::Code(1)),
            death(990, 499, status::Exit::Code(1)),
            death(990, 500, status::Exit::Code(1)),
            death(995, 0, status::Exit::Signal(11)),
            death(996, 0, status::Exit::Code(2)),
        ];
        let count = |seconds, events: &str| {
            matching(&deaths, now, Duration::from_secs(seconds), &parse(events).unwrap())
        };
        assert_eq!(count(10, "1"), 1);
        assert_eq!(count(10, "1-2,SIGSEGV"), 3);
        assert_eq!(count(u64::from(u32::MAX), "1"), 3);
        assert_eq!(count(10, "139"), 1);
        assert_eq!(count(0, "0-255"), 0);
    }
}
