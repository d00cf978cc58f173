//! Prints man pages and completions of `ward` and `doorward`, from the tables that they run by.
#![forbid(unsafe_code)]

mod completions;
mod doorward;
mod roff;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use device::applets::TABLE;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: manual FOLDER");
        return ExitCode::from(100);
    };
    match make(Path::new(&folder)) {
        Ok(count) => {
            println!("{count} pages and completions in {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("manual: cannot write to {}: {error}", folder.display());
            ExitCode::from(111)
        }
    }
}

/// Makes the folder anew, so that the page of an applet that went away goes too.
fn make(folder: &Path) -> io::Result<usize> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir_all(folder)?,
    }
    for applet in TABLE {
        std::fs::write(folder.join(format!("{}.8", roff::page_name(applet))), roff::page(applet))?;
    }
    std::fs::write(folder.join("ward.8"), roff::index(TABLE))?;
    std::fs::write(folder.join("ward.bash"), completions::bash(TABLE))?;
    std::fs::write(folder.join("ward.fish"), completions::fish(TABLE))?;
    std::fs::write(folder.join("_ward"), completions::zsh(TABLE))?;
    let pages = doorward::pages()?;
    let count = pages.len();
    for (name, text) in pages {
        std::fs::write(folder.join(name), text)?;
    }
    for (name, text) in doorward::completions() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(TABLE.len() + count + 7)
}
