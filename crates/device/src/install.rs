//! `ward --install`: the names that people and scripts know, as links.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cli::{Command, Exit, Failure};

use crate::applets;

/// Whether people call it as `ward NAME`.
pub fn is_word(applet: &Command) -> bool {
    applet.usage.starts_with("ward ")
}

/// Makes a link in `directory` for each name, to this program or, where it
/// lies there itself, beside it. What is there and is no link to a `ward`
/// stays, and is named in the answer.
pub fn install(directory: &Path) -> Result<Exit, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::refused(format!("cannot find out where ward lies: {error}")))?;
    let refused = |error: io::Error| {
        Failure::refused(format!("cannot make links in {}: {error}", directory.display()))
    };
    fs::create_dir_all(directory).map_err(refused)?;
    let beside = directory.canonicalize().map_err(refused)?.join("ward") == program;
    let target = if beside { PathBuf::from("ward") } else { program };
    let own = (!beside).then_some("ward");
    let mut foreign = Vec::new();
    let names = applets::TABLE.iter().filter(|applet| !is_word(applet)).map(|applet| applet.name);
    for name in names.chain(own) {
        if !link(directory, name, &target).map_err(refused)? {
            foreign.push(name);
        }
    }
    if foreign.is_empty() {
        return Ok(Exit::DONE);
    }
    let there = foreign.join(", ");
    Err(Failure::not_achieved(format!("in {} were already: {there}", directory.display()))
        .hint("they are not links to ward and were left alone; move them away, or choose another directory"))
}

/// Makes one link, in place of an older one to a `ward`. `false`: something else is there.
fn link(directory: &Path, name: &str, target: &Path) -> io::Result<bool> {
    let path = directory.join(name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) => {
            let ours = fs::read_link(&path).is_ok_and(|to| to.ends_with("ward"));
            if !ours {
                return Ok(false);
            }
        }
    }
    // Nobody who calls it meanwhile finds nothing.
    let partial = directory.join(format!(".{name}.partial"));
    let _ = fs::remove_file(&partial);
    symlink(target, &partial)?;
    fs::rename(&partial, &path)?;
    Ok(true)
}
