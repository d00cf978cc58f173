//! `s6-tai64nlocal`: turn labels before lines into dates people read.

use std::io::Write;

use cli::{Args, Command, Exit, Failure, Opt};
use model::label::Localizer;
use os::filter;
use os::zone::{self, Zone};

use super::s6_tai64n::{ended, read_options};

pub const COMMAND: Command = Command {
    name: "s6-tai64nlocal",
    summary: "Turn the TAI64N label before a line into a local date",
    usage: "s6-tai64nlocal [-g] [-u]",
    options: &[
        Opt("-g", "Dates are UTC, not local"),
        Opt("-u", "Labels are Unix time and 10, without leap seconds"),
    ],
    about: "The time zone is that of the variable TZ, or else of /etc/localtime. Whatever does \
            not begin with a label passes unchanged.\n\n\
            Exit codes: 0 the input ended; 100 wrong usage; 111 reading or writing failed.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let options = read_options(args, Some("g"))?;
    let zone = if options.utc { Zone::UTC } else { zone::local() };
    let mut localizer = Localizer::new(&zone, options.reading);
    ended(filter::run(|bytes, out| match bytes {
        Some(bytes) => localizer.push(bytes, out),
        None => localizer.end(out),
    }))
}
