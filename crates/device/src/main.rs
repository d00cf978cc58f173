//! `ward`: one program, many applets; the name it was called by chooses one.
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_op_in_unsafe_fn)]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure};
use device::{applets, install};
use os::sys::allocator::Allocator;
use os::sys::arena::Arena;

#[cfg(not(test))]
os::entry!(run);

#[global_allocator]
static ALLOCATOR: Arena<Allocator> = Arena(Allocator);

/// Finds the applet, runs it, prints why it failed, and gives its exit code.
#[cfg_attr(test, allow(dead_code))]
fn run(words: Vec<OsString>) -> u8 {
    let mut words = words.into_iter();
    let path = words.next().unwrap_or_default();
    let path = Path::new(&path);
    let called = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut out = std::io::stdout().lock();
    if let Some(applet) = cli::find(applets::TABLE, &called) {
        return finish(applet, &called, path, words, &mut out);
    }
    let Some(name) = words.next() else {
        return usage(&mut out, Exit::USAGE);
    };
    let name = name.to_string_lossy().into_owned();
    match name.as_str() {
        "--help" | "-h" | "help" => usage(&mut out, Exit::DONE),
        "--version" | "-V" => {
            let _ = writeln!(out, "ward {}", env!("CARGO_PKG_VERSION"));
            0
        }
        "--list" => {
            let links = words.next().is_some_and(|word| word == "--links");
            for applet in
                applets::TABLE.iter().filter(|applet| !(links && install::is_word(applet)))
            {
                let _ = writeln!(out, "{}", applet.name);
            }
            0
        }
        "--install" => {
            let directory = words.next().ok_or_else(|| Failure::usage("it needs a directory"));
            let outcome = directory.and_then(|directory| install::install(Path::new(&directory)));
            outcome.map_or_else(|failure| report("ward", &failure), |exit| exit.0)
        }
        _ => match cli::find(applets::TABLE, &name) {
            Some(applet) => finish(applet, &name, Path::new(""), words, &mut out),
            None => {
                let known = applets::TABLE.iter().map(|applet| applet.name);
                let mut failure = Failure::usage(format!("there is no applet {name:?}"));
                if let Some(near) = model::service::name::nearest(&name, known) {
                    failure = failure.hint(format!("did you mean {near}?"));
                }
                report("ward", &failure)
            }
        },
    }
}

fn finish(
    applet: &Command,
    name: &str,
    path: &Path,
    words: impl Iterator<Item = OsString>,
    out: &mut dyn Write,
) -> u8 {
    let words: Vec<OsString> = words.collect();
    if words.first().is_some_and(|word| word == "--help") {
        let _ = write!(out, "{}", cli::help(applet));
        return 0;
    }
    // People's applets are called `ward NAME`, a peer's have its name.
    let label = if install::is_word(applet) { format!("ward {name}") } else { name.to_owned() };
    let outcome = (applet.run)(&mut Args::new(name, words).called_by(path), out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match outcome {
        Ok(exit) => exit.0,
        Err(failure) => {
            let _ = out.flush();
            let code = report(&label, &failure);
            if failure.exit == Exit::USAGE {
                eprintln!("usage: {}", applet.usage);
            }
            code
        }
    }
}

fn report(name: &str, failure: &Failure) -> u8 {
    eprintln!("{name}: fatal: {failure}");
    failure.exit.0
}

fn usage(out: &mut dyn Write, exit: Exit) -> u8 {
    let _ = writeln!(
        out,
        "usage: ward APPLET [ARGUMENT...]     APPLET --help tells more\n       \
         ward --list [--links] | --install DIR | --version\n"
    );
    let (words, names): (Vec<&Command>, Vec<&Command>) =
        applets::TABLE.iter().partition(|applet| install::is_word(applet));
    for applet in words {
        let _ = writeln!(out, "  {:20} {}", applet.name, applet.summary);
    }
    let _ = writeln!(out, "\nThese also by their own name, through links (ward --install DIR):\n");
    for applet in names {
        let _ = writeln!(out, "  {:20} {}", applet.name, applet.summary);
    }
    exit.0
}
