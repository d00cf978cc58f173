//! Chores of the house: `cargo xtask` lists them.
#![forbid(unsafe_code)]

mod book;
mod budgets;
mod check;
mod cross;
mod fetch;
mod fuzz;
mod install;
mod mutants;
mod run;
mod shell;
mod tidy;
mod ward;

use std::process::ExitCode;

/// Name, arguments, what it does, and the function that does it.
type Chore = (&'static str, &'static str, &'static str, fn(&[String]) -> shell::Outcome);

const CHORES: &[Chore] = &[
    ("check", "", "Run what CI runs: layout, lints, tidy, floors, size, all tests", check::chore),
    ("tidy", "", "Compare ARCHITECTURE.md and the house rules with the sources", tidy::chore),
    ("run", "[qemu|namespace] [-- COMMAND...]", "Boot the example: a device, or here", run::chore),
    (
        "build",
        "[ARGUMENT...]",
        "Build what Nix builds with, and `doorward build` ARGUMENTs",
        run::build,
    ),
    ("fetch", "[ARCHITECTURE...]", "Get what builds take from the network", fetch::chore),
    ("bench", "[ARGUMENT...]", "Measure, beside the peers and the floor", run::bench),
    ("sim", "[--seed N] [--times N] [TEST]", "Play the stories of the pretend world", run::sim),
    (
        "mutants",
        "[NAME...]",
        "Break the engine on purpose; the stories must notice",
        mutants::chore,
    ),
    ("fuzz", "[TARGET...] [--seconds N] [--plain]", "Look for bytes that hurt", fuzz::chore),
    ("budgets", "", "Compare what is built with docs/budgets.md", budgets::chore),
    (
        "docs",
        "",
        "Make man pages, completions, the reference, and the book in target/docs",
        book::docs,
    ),
    ("book", "", "Make the book in target/docs of pages as they are", book::chore),
    ("cross", "", "Build ward for other processors", cross::chore),
    ("install", "PREFIX", "Install doorward, man pages and completions", install::chore),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = words.first().and_then(|word| CHORES.iter().find(|chore| chore.0 == word));
    let Some((name, _, _, chore)) = named else {
        println!("usage: cargo xtask CHORE\n");
        for (name, arguments, meaning, _) in CHORES {
            println!("  {:42} {meaning}", format!("{name} {arguments}"));
        }
        let Some(word) = words.first() else { return ExitCode::SUCCESS };
        eprintln!("xtask: there is no chore {word}");
        return ExitCode::from(100);
    };
    std::env::set_current_dir(shell::root()).expect("the workspace is there: this was built in it");
    match chore(&words[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(shell::Failed { message, code }) => {
            if !message.is_empty() {
                eprintln!("xtask {name}: {message}");
            }
            ExitCode::from(code)
        }
    }
}
