//! Prints a man page for every applet, and completions, from the table that `ward` runs by.
#![forbid(unsafe_code)]

mod completions;
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
    Ok(TABLE.len() + 3)
}
