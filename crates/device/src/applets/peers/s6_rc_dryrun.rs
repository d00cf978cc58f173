//! `s6-rc-dryrun`: print a command line instead of running it.

use std::io::Write;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};

pub const COMMAND: Command = Command {
    name: "s6-rc-dryrun",
    summary: "Print a command line, and wait a while",
    usage: "s6-rc-dryrun [-v N] [-t MS] WORD...",
    options: &[
        Opt("-v N", "0: print nothing"),
        Opt("-t MS", "Wait this long behind it (default: 0)"),
    ],
    about: "What `s6-rc -n` prints for each step looks like this.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut verbosity, mut wait) = (1, 0);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" => verbosity = args.parsed::<u32>()?,
            "t" => wait = args.parsed::<u32>()?,
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    if words.is_empty() {
        return Err(Failure::usage("it needs words"));
    }
    if verbosity > 0 {
        let mut line = b"s6-rc-dryrun:".to_vec();
        for word in &words {
            line.push(b' ');
            line.extend_from_slice(word.as_encoded_bytes());
        }
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()?;
    }
    std::thread::sleep(Duration::from_millis(wait.into()));
    Ok(Exit::DONE)
}
