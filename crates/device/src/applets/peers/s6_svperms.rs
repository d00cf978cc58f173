//! `s6-svperms`: who may see, control and listen to services.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt};
use os::service::permissions::{self, Who};

pub const COMMAND: Command = Command {
    name: "s6-svperms",
    summary: "Show or set who may see, control and listen to services",
    usage: "s6-svperms [-v] [-u | -g GROUP | -G GROUP | -o | -O GROUP] [-e | -E GROUP] SERVICEDIR...",
    options: &[
        Opt("-v", "Show the permissions after setting them"),
        Opt("-u", "Only the owner may see and control"),
        Opt("-g GROUP", "The group may see, the owner control"),
        Opt("-G GROUP", "The group may see and control"),
        Opt("-o", "Everybody may see, the owner control"),
        Opt("-O GROUP", "Everybody may see, the group control"),
        Opt("-e", "Everybody may listen to events"),
        Opt("-E GROUP", "The group may listen to events"),
    ],
    about: "\
GROUP is a name, or a number behind a colon.

Exit codes: 0 done, 1 some permissions cannot be read, 100 wrong usage, 111 the
system refused.",
    run,
};

/// The group file, read when it is needed first.
#[derive(Default)]
struct Groups(OnceCell<String>);

impl Groups {
    fn text(&self) -> &str {
        self.0.get_or_init(|| {
            let bytes = std::fs::read("/etc/group").unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    fn number(&self, word: &str) -> Result<u32, Failure> {
        let number = match word.strip_prefix(':') {
            Some(number) => number.parse().ok(),
            None => permissions::group_number(self.text(), word),
        };
        number.ok_or_else(|| Failure::usage(format!("there is no group {word:?} in /etc/group")))
    }
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let groups = Groups::default();
    let (mut show, mut rights, mut events) = (false, None, None);
    while let Some(option) = args.option()? {
        let mut group = || args.text().and_then(|word| groups.number(&word)).map(Who::Group);
        match option.as_str() {
            "v" => show = true,
            "u" => rights = Some((Who::Owner, Who::Owner)),
            "g" => rights = Some((group()?, Who::Owner)),
            "G" => {
                let group = group()?;
                rights = Some((group, group));
            }
            "o" => rights = Some((Who::Everybody, Who::Owner)),
            "O" => rights = Some((Who::Everybody, group()?)),
            "e" => events = Some(Who::Everybody),
            "E" => events = Some(group()?),
            unknown => return Err(args.unknown(unknown)),
        }
    }
    let dirs = args.rest();
    if dirs.is_empty() {
        return Err(Failure::usage("no service directory is named"));
    }
    for dir in &dirs {
        set(Path::new(dir), rights, events).map_err(|error| {
            let dir = dir.to_string_lossy();
            Failure::refused(format!("cannot set the permissions of {dir}: {error}"))
        })?;
    }
    if !show && (rights.is_some() || events.is_some()) {
        return Ok(Exit::DONE);
    }
    let mut exit = Exit::DONE;
    for dir in &dirs {
        let path = Path::new(dir);
        for (what, found) in [
            ("status", permissions::status(path)),
            ("control", permissions::control(path)),
            ("events", permissions::events(path)),
        ] {
            match found {
                Ok(who) => line(out, dir, what, who, &groups)?,
                Err(error) => {
                    let dir = dir.to_string_lossy();
                    eprintln!("s6-svperms: warning: cannot read who has {what} of {dir}: {error}");
                    exit = Exit::NOT_ACHIEVED;
                }
            }
        }
    }
    Ok(exit)
}

fn set(dir: &Path, rights: Option<(Who, Who)>, events: Option<Who>) -> io::Result<()> {
    if let Some((status, control)) = rights {
        permissions::set_status_and_control(dir, status, control)?;
    }
    events.map_or(Ok(()), |who| permissions::set_events(dir, who))
}

fn line(out: &mut dyn Write, dir: &OsStr, what: &str, who: Who, groups: &Groups) -> io::Result<()> {
    out.write_all(dir.as_bytes())?;
    match who {
        Who::Owner => writeln!(out, " {what}: owner"),
        Who::Everybody => writeln!(out, " {what}: public"),
        Who::Group(number) => match permissions::group_name(groups.text(), number) {
            Some(name) => writeln!(out, " {what}: group {name}"),
            None => writeln!(out, " {what}: group {number}"),
        },
    }
}
