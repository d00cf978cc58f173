//! `ward probe`: makes one check by hand, as a health check makes it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::controller::check::{Check, Manner, Method, Way};
use model::limits::CHECK_TRIES_MAX;
use os::controller::probe;

use super::json::Object;

pub const COMMAND: Command = Command {
    name: "probe",
    summary: "Make one check, as a health check makes it",
    usage: "ward probe [-t MILLIS] [-n TRIES] [--json] METHOD WORD...",
    options: &[
        Opt("-t MILLIS", "Give up after this long (default: 1500; a command: 5000)"),
        Opt("-n TRIES", "Ask so often within that time (default: 5)"),
        Opt("--json", "Print one object"),
    ],
    about: "\
METHOD and what follows is what stands behind `check` in the settings of a health check:

  icmp HOST                   whether it answers an echo
  tcp HOST PORT               whether it takes a connection
  dns NAME [server ADDRESS[:PORT]] [type A|AAAA]
                              whether a name server knows an address of NAME: one of those in
                              /etc/resolv.conf, unless one is named
  http http://HOST[:PORT]/PATH [status NUMBER]
                              whether it answers with this status, or one from 200 to 399
  command WORD...             whether a program exits 0 (one word alone is read as execline
                              reads a command)

All but command also take `interface NAME` and `source ADDRESS`: the question goes out there.
Where HOST is a name, its address is asked for as everything on this device asks for it. \
`@SERVICE/NAME` is the address that an output of a service says.

Exit codes: 0 it succeeded; 1 it failed; 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut timeout, mut tries, mut json) = (None, None, false);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "t" => timeout = Some(Duration::from_millis(args.parsed::<u32>()?.max(1).into())),
            "n" => tries = Some(args.parsed::<u32>()?.clamp(1, CHECK_TRIES_MAX)),
            "json" => json = true,
            _ => return Err(args.unknown(&option)),
        }
    }
    let words = args.rest();
    let words: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    let line = words.join(" ");
    let check = match &words[..] {
        // The shell has cut it into words already.
        ["command", words @ ..] if words.len() > 1 => {
            let words = words.iter().map(|word| word.as_bytes().into()).collect();
            let (method, way) = (Method::Command(words), Way::default());
            Check { text: line.into(), method, way }
        }
        _ => Check::parse(&line).map_err(Failure::usage)?,
    };
    let mut manner = Manner::fitting(std::slice::from_ref(&check));
    manner.timeout = timeout.unwrap_or(manner.timeout);
    manner.tries = tries.unwrap_or(manner.tries);
    let name = format!("probe {}", std::process::id());
    let outcome = probe::once(&check, &manner, &name, Path::new("/run/s6-rc"))
        .map_err(|error| Failure::refused(format!("cannot make this check: {error}")))?;
    if json {
        let mut object = Object::begin();
        object.text("check", &check.text);
        object.truth("good", outcome.good);
        object.text("says", &outcome.text);
        writeln!(out, "{}", object.end())?;
    } else {
        let word = if outcome.good { "good" } else { "bad" };
        writeln!(out, "{word}: {}: {}", check.text, outcome.text)?;
    }
    Ok(if outcome.good { Exit::DONE } else { Exit::NOT_ACHIEVED })
}
