//! `s6-tai64n`: put the time before each line.

use std::io::Write;

use cli::{Args, Command, Exit, Failure, Opt};
use model::label::{Reading, Stamper};
use os::filter::{self, FilterError};

pub const COMMAND: Command = Command {
    name: "s6-tai64n",
    summary: "Put a TAI64N label before each line of standard input",
    usage: "s6-tai64n [-u]",
    options: &[Opt("-u", "Labels are Unix time and 10, without leap seconds")],
    about: "A line gets its label when it ends; one of more than 8 KiB when so much of it is \
            there. The last line gets a newline where it has none.\n\n\
            Exit codes: 0 the input ended; 100 wrong usage; 111 reading or writing failed.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let reading = read_options(args, None)?.reading;
    let mut now = || reading.label(os::clock::today());
    let mut stamper = Stamper::default();
    ended(filter::run(|bytes, out| match bytes {
        Some(bytes) => stamper.push(bytes, &mut now, out),
        None => stamper.end(&mut now, out),
    }))
}

/// What the options of the two label filters say.
pub struct Options {
    pub reading: Reading,
    pub utc: bool,
}

/// Reads `-u`, and `utc`, an option that means UTC, where there is one.
pub fn read_options(args: &mut Args, utc: Option<&str>) -> Result<Options, Failure> {
    let mut options = Options { reading: Reading::Tai, utc: false };
    while let Some(option) = args.option()? {
        match option.as_str() {
            "u" => options.reading = Reading::UnixPlusTen,
            other if Some(other) == utc => options.utc = true,
            _ => return Err(args.unknown(&option)),
        }
    }
    match args.operand() {
        Some(word) => Err(Failure::usage(format!("{:?} is one word too many", word.display()))),
        None => Ok(options),
    }
}

/// How a filter ended.
pub fn ended(outcome: Result<(), FilterError>) -> Result<Exit, Failure> {
    match outcome {
        Ok(()) => Ok(Exit::DONE),
        Err(FilterError::Read(e)) => {
            Err(Failure::refused(format!("cannot read standard input: {e}")))
        }
        Err(FilterError::Write(e)) => {
            Err(Failure::refused(format!("cannot write standard output: {e}")))
        }
    }
}
