//! `s6-svok`: is a service directory supervised?

use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure};
use os::service::client;

pub const COMMAND: Command = Command {
    name: "s6-svok",
    summary: "Ask whether a service directory is supervised",
    usage: "s6-svok SERVICEDIR",
    options: &[],
    about: "Exit codes: 0 it is, 1 it is not, 100 wrong usage, 111 the system refused.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let dir = args.operand().ok_or_else(|| Failure::usage("no service directory is named"))?;
    match client::supervised(Path::new(&dir)) {
        Ok(true) => Ok(Exit::DONE),
        Ok(false) => Ok(Exit::NOT_ACHIEVED),
        Err(error) => Err(Failure::refused(format!(
            "cannot tell whether {} is supervised: {error}",
            dir.to_string_lossy()
        ))),
    }
}
