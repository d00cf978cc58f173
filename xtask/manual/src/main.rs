//! Prints man pages and completions of `ward` and `doorward`, from the tables that they run by, and
//! the reference of the documentation.
#![forbid(unsafe_code)]

mod completions;
mod doorward;
mod reference;
mod roff;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use device::applets::TABLE;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (made, folder) = match &words[..] {
        [folder] => (make(Path::new(folder)), folder),
        [word, folder] if word == "reference" => (make_reference(Path::new(folder)), folder),
        _ => {
            eprintln!("usage: manual [reference] FOLDER");
            return ExitCode::from(100);
        }
    };
    match made {
        Ok(said) => {
            if let Some(said) = said {
                println!("{said} in {}", folder.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("manual: cannot write to {}: {error}", folder.display());
            ExitCode::from(111)
        }
    }
}

/// An empty folder, so that the page of an applet that went away goes too.
fn anew(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    }
}

/// Pages of the documentation, in Markdown.
fn make_reference(folder: &Path) -> io::Result<Option<String>> {
    let pages = reference::pages()?;
    anew(folder)?;
    for (name, text) in pages {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(None)
}

fn make(folder: &Path) -> io::Result<Option<String>> {
    anew(folder)?;
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
    Ok(Some(format!("{} pages and completions", TABLE.len() + count + 7)))
}
