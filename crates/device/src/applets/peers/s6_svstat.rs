//! `s6-svstat`: how a supervised service is.

use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::status::{self, Status};
use model::time::Date;
use os::service::{client, signal_name};

pub const COMMAND: Command = Command {
    name: "s6-svstat",
    summary: "Show how a supervised service is",
    usage: "s6-svstat [-uwNrpgest | -o FIELD,...] [-n] SERVICEDIR",
    options: &[
        Opt("-o FIELD,...", "Print these fields, with spaces between them"),
        Opt("-u", "The same as -o up"),
        Opt("-w", "The same as -o wantedup"),
        Opt("-N", "The same as -o normallyup"),
        Opt("-r", "The same as -o ready"),
        Opt("-p", "The same as -o pid"),
        Opt("-g", "The same as -o pgid"),
        Opt("-e", "The same as -o exitcode"),
        Opt("-s", "The same as -o signal"),
        Opt("-t", "The same as -o updownfor"),
        Opt("-n", "Name a signal by its number in the text for people"),
    ],
    about: "\
Without fields it prints one line for people. The fields are: up, wantedup,
normallyup, ready, paused (true or false), pid, pgid, exitcode, signum (-1 where
there is none), signal (NA where there is none), updownsince, readysince (TAI64N
labels), updownfor, readyfor (seconds).

Exit codes: 0 done, 1 not supervised, 100 wrong usage, 111 the system refused.",
    run,
};

#[derive(Clone, Copy)]
enum Field {
    Up,
    WantedUp,
    NormallyUp,
    Ready,
    Paused,
    Pid,
    ProcessGroup,
    ExitCode,
    Signal,
    SignalNumber,
    Since,
    ReadySince,
    For,
    ReadyFor,
}

/// Name, letter (space: none) and field.
const FIELDS: &[(&str, &str, Field)] = &[
    ("up", "u", Field::Up),
    ("wantedup", "w", Field::WantedUp),
    ("normallyup", "N", Field::NormallyUp),
    ("ready", "r", Field::Ready),
    ("paused", "", Field::Paused),
    ("pid", "p", Field::Pid),
    ("pgid", "g", Field::ProcessGroup),
    ("exitcode", "e", Field::ExitCode),
    ("signal", "s", Field::Signal),
    ("signum", "", Field::SignalNumber),
    ("updownsince", "", Field::Since),
    ("readysince", "", Field::ReadySince),
    ("updownfor", "t", Field::For),
    ("readyfor", "", Field::ReadyFor),
];

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut fields = Vec::new();
    let mut numeric = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "n" => numeric = true,
            "o" => list(&args.text()?, &mut fields)?,
            letter => match FIELDS.iter().find(|field| field.1 == letter) {
                Some(field) => fields.push(field.2),
                None => return Err(args.unknown(letter)),
            },
        }
    }
    let dir = args.operand().ok_or_else(|| Failure::usage("no service directory is named"))?;
    let service = Service::read(Path::new(&dir))?;
    let mut text = String::with_capacity(128);
    if fields.is_empty() {
        service.line(numeric, &mut text);
    }
    for (i, field) in fields.into_iter().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        service.field(field, &mut text);
    }
    text.push('\n');
    out.write_all(text.as_bytes())?;
    Ok(Exit::DONE)
}

/// Reads `up,pid,...`; a comma may follow the last one, as for the peer.
fn list(text: &str, fields: &mut Vec<Field>) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    for name in text.strip_suffix(',').unwrap_or(text).split(',') {
        let known = FIELDS.iter().find(|field| field.0 == name).ok_or_else(|| {
            let failure = Failure::usage(format!("there is no field {name:?}"));
            match model::service::name::nearest(name, FIELDS.iter().map(|field| field.0)) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            }
        })?;
        fields.push(known.2);
    }
    Ok(())
}

struct Service<'a> {
    dir: &'a Path,
    status: Status,
    now: Date,
}

impl<'a> Service<'a> {
    fn read(dir: &'a Path) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| {
            Failure::refused(format!("cannot read the status of {}: {error}", dir.display()))
        };
        if !client::supervised(dir).map_err(refused)? {
            return Err(Failure::not_achieved(format!("{} is not supervised", dir.display())));
        }
        let status = client::status(dir).map_err(refused)?;
        Ok(Self { dir, status, now: os::clock::today() })
    }

    /// How `run` last ended, where it runs no more.
    fn exit(&self) -> Option<status::Exit> {
        (!self.status.up()).then(|| status::Exit::from_wait_status(self.status.wait_status))
    }

    fn group(&self) -> Option<u64> {
        // A service leads its own group; if it just died, that is what it was.
        self.status.up().then(|| client::process_group(self.status.pid).unwrap_or(self.status.pid))
    }

    fn field(&self, field: Field, text: &mut String) {
        let status = &self.status;
        match field {
            Field::Up => truth(status.up(), text),
            Field::WantedUp => truth(status.wanted_up, text),
            Field::NormallyUp => truth(client::normally_up(self.dir), text),
            // The peer's program says false of a service that is down, where its
            // documentation says true: scripts have seen the program.
            Field::Ready => truth(status.ready && status.pid != 0, text),
            Field::Paused => truth(status.paused, text),
            Field::Pid => number_or_none(status.up().then_some(status.pid), text),
            Field::ProcessGroup => number_or_none(self.group(), text),
            Field::ExitCode => match self.exit() {
                Some(status::Exit::Code(code)) => number(u64::from(code), text),
                _ => text.push_str("-1"),
            },
            Field::Signal => match self.exit() {
                Some(status::Exit::Signal(signal)) => signal_text(signal, text),
                _ => text.push_str("NA"),
            },
            Field::SignalNumber => match self.exit() {
                Some(status::Exit::Signal(signal)) => number(u64::from(signal), text),
                _ => text.push_str("-1"),
            },
            Field::Since => label(status.changed, text),
            Field::ReadySince => label(status.readied, text),
            Field::For => number(self.seconds_since(status.changed), text),
            Field::ReadyFor => number(self.seconds_since(status.readied), text),
        }
    }

    /// The line for people, in the words of s6 2.15.
    fn line(&self, numeric: bool, text: &mut String) {
        let status = &self.status;
        let up = status.up();
        match self.exit() {
            None => {
                text.push_str("up (pid ");
                number(status.pid, text);
                text.push_str(" pgid ");
                number_or_none(self.group(), text);
            }
            // A supervisor says that it has never started it by "paused".
            Some(_) if status.paused => text.push_str("down (not started yet"),
            Some(status::Exit::Code(code)) => {
                text.push_str("down (exitcode ");
                number(u64::from(code), text);
            }
            Some(status::Exit::Signal(signal)) => {
                text.push_str("down (signal ");
                if numeric {
                    number(u64::from(signal), text);
                } else {
                    signal_text(signal, text);
                }
            }
        }
        text.push_str(") ");
        number(self.seconds_since(status.changed), text);
        text.push_str(" seconds");
        match (up, client::normally_up(self.dir)) {
            (true, false) => text.push_str(", normally down"),
            (false, true) => text.push_str(", normally up"),
            _ => {}
        }
        if up && status.paused {
            text.push_str(", paused");
        }
        match (up, status.wanted_up) {
            (true, false) => text.push_str(", want down"),
            (false, true) => text.push_str(", want up"),
            _ => {}
        }
        if status.ready {
            text.push_str(", ready ");
            number(self.seconds_since(status.readied), text);
            text.push_str(" seconds");
        }
    }

    /// Whole seconds; none where the clock was set back since.
    fn seconds_since(&self, date: Date) -> u64 {
        let seconds = self.now.label.saturating_sub(date.label);
        seconds - u64::from(seconds > 0 && self.now.nanos < date.nanos)
    }
}

fn truth(value: bool, text: &mut String) {
    text.push_str(if value { "true" } else { "false" });
}

/// Decimal digits, without the machinery of `format!`.
fn number(mut value: u64, text: &mut String) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

fn number_or_none(value: Option<u64>, text: &mut String) {
    match value {
        Some(value) => number(value, text),
        None => text.push_str("-1"),
    }
}

fn signal_text(signal: u8, text: &mut String) {
    text.push_str("SIG");
    match signal_name::name(signal) {
        Some(name) => text.push_str(name),
        None => number(u64::from(signal), text),
    }
}

fn label(date: Date, text: &mut String) {
    text.extend(date.label_text().iter().map(|byte| char::from(*byte)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_never_negative() {
        let service = |label, nanos| Service {
            dir: Path::new("/"),
            status: Status::default(),
            now: Date { label, nanos },
        };
        let started = Date { label: 100, nanos: 500 };
        for (label, nanos, expected) in
            [(100, 500, 0), (101, 499, 0), (101, 500, 1), (99, 0, 0), (100, 499, 0), (103, 0, 2)]
        {
            let found = service(label, nanos).seconds_since(started);
            assert_eq!(found, expected, "at {label}.{nanos}");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 4711, u64::MAX] {
            let mut text = String::new();
            number(value, &mut text);
            assert_eq!(text, value.to_string());
        }
    }
}
