//! `s6-svdt` and `s6-svdt-clear`: the deaths of a service.

use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::status;
use os::service::{client, signal_name};

pub const SVDT: Command = Command {
    name: "s6-svdt",
    summary: "List when and how a service died",
    usage: "s6-svdt [-S | -s] [-n COUNT] SERVICEDIR",
    options: &[
        Opt("-S", "Print the names of signals (the default)"),
        Opt("-s", "Print the numbers of signals"),
        Opt("-n COUNT", "Print only the last ones"),
    ],
    about: "\
Each line is a TAI64N label, `signal` or `exitcode`, and which. Through
s6-tai64nlocal the labels become local time.

Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: svdt,
};

pub const SVDT_CLEAR: Command = Command {
    name: "s6-svdt-clear",
    summary: "Forget the deaths of a service",
    usage: "s6-svdt-clear SERVICEDIR",
    options: &[],
    about: "Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: svdt_clear,
};

fn svdt(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut numeric = false;
    let mut count = usize::MAX;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "S" => numeric = false,
            "s" => numeric = true,
            "n" => count = args.parsed()?,
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let dir = args.operand().ok_or_else(|| Failure::usage("no service directory is named"))?;
    let deaths = client::deaths(Path::new(&dir)).map_err(|error| {
        Failure::refused(format!("cannot read the deaths of {}: {error}", dir.to_string_lossy()))
    })?;
    let mut text = Vec::new();
    for death in &deaths[deaths.len().saturating_sub(count)..] {
        text.extend_from_slice(&death.date.label_text());
        match death.exit {
            status::Exit::Code(code) => writeln!(text, " exitcode {code}")?,
            status::Exit::Signal(signal) => match signal_name::name(signal) {
                Some(name) if !numeric => writeln!(text, " signal SIG{name}")?,
                _ => writeln!(text, " signal {signal}")?,
            },
        }
    }
    out.write_all(&text)?;
    Ok(Exit::DONE)
}

fn svdt_clear(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let dir = args.operand().ok_or_else(|| Failure::usage("no service directory is named"))?;
    client::clear_deaths(Path::new(&dir)).map_err(|error| {
        Failure::refused(format!("cannot clear the deaths of {}: {error}", dir.to_string_lossy()))
    })?;
    Ok(Exit::DONE)
}
