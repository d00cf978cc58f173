//! `s6-mkfifodir` and `s6-cleanfifodir`: directories that events are told in.

use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use os::service::fifodir;

pub const MKFIFODIR: Command = Command {
    name: "s6-mkfifodir",
    summary: "Make a directory that events can be told in",
    usage: "s6-mkfifodir [-f] [-g GID] FIFODIR",
    options: &[
        Opt("-f", "Set the permissions of one that is there already"),
        Opt("-g GID", "Let only the members of this group listen, not everybody"),
    ],
    about: "Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: mkfifodir,
};

pub const CLEANFIFODIR: Command = Command {
    name: "s6-cleanfifodir",
    summary: "Remove what listeners that died left in a fifodir",
    usage: "s6-cleanfifodir FIFODIR",
    options: &[],
    about: "Exit codes: 0 done, 100 wrong usage, 111 the system refused.",
    run: cleanfifodir,
};

fn mkfifodir(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut force = false;
    let mut group = None;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "f" => force = true,
            "g" => group = Some(args.parsed::<u32>()?),
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let path = args.operand().ok_or_else(|| Failure::usage("no fifodir is named"))?;
    fifodir::make(Path::new(&path), group, force).map_err(|error| {
        Failure::refused(format!("cannot make a fifodir at {}: {error}", path.to_string_lossy()))
    })?;
    Ok(Exit::DONE)
}

fn cleanfifodir(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(option) = args.option()? {
        return Err(args.unknown(&option));
    }
    let path = args.operand().ok_or_else(|| Failure::usage("no fifodir is named"))?;
    fifodir::clean(Path::new(&path)).map_err(|error| {
        Failure::refused(format!("cannot clean {}: {error}", path.to_string_lossy()))
    })?;
    Ok(Exit::DONE)
}
