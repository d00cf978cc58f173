//! `ward generation`: what this device can run, what it runs, and how it comes to run another one.

mod activate;
mod diff;
pub mod history;
pub mod kernel;
mod notice;
pub mod state;

use std::io::Write;

use cli::{Args, Command, Exit, Failure, Opt};

pub use history::forget_all_but;
pub use notice::notice;

pub const COMMAND: Command = Command {
    name: "generation",
    summary: "List, compare, try, keep, go back to and delete generations",
    usage: "ward generation list|show|diff|status|activate|confirm|rollback|delete|notice [ARGUMENT...]",
    options: &[
        Opt("list [--json]", "All generations, the newest last"),
        Opt("show [--json] [N]", "All that is known of one (default: the newest)"),
        Opt(
            "diff [--json] [A [B]]",
            "What differs: B is what runs, unless given; A the one before",
        ),
        Opt("status [--json]", "What runs, what starts next, and the trial"),
        Opt("activate PATH|N", "Try one: confirmed, or gone at the deadline"),
        Opt("  --id ID", "The name of this trial, for who confirms it (default: made up)"),
        Opt("  --deadline SECONDS", "How long it waits to be confirmed (90)"),
        Opt("  --no-confirm", "Keep it once it works, without being confirmed"),
        Opt("  --reboot", "Restart the device with it"),
        Opt("  --detach", "Do not wait"),
        Opt("  --any-kernel", "Even if its modules are for another kernel"),
        Opt("  --by TEXT, --why TEXT", "Who wants it, and what for"),
        Opt("  --json", "Print one object; confirm, rollback and delete take it, too"),
        Opt("confirm ID", "Keep the generation that is on trial"),
        Opt("rollback [N]", "End the trial, or go back to the generation before (or to N)"),
        Opt("delete N...", "Forget these; `ward store collect` frees their room"),
        Opt("delete --keep COUNT", "Forget all but the newest that work, so many"),
        Opt("notice", "Say what whoever logs in has to know, if there is something"),
    ],
    about: "\
A trial belongs to the device: it goes on when the visit that began it has ended, \
and is over at its deadline. What runs before a commit is gone after a restart, a \
crash or a power cut. Going back needs no network. docs/formats/generations.md \
tells where all of it is kept.

Exit codes: 0 done; 1 it is not so: the trial has failed, is another one, or one \
goes on already; 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let word = args.operand().ok_or_else(|| Failure::usage("it needs a word: list, for one"))?;
    match cli::text(&word)? {
        "list" => history::list(args, out),
        "show" => history::show(args, out),
        "diff" => diff::run(args, out),
        "status" => state::status(args, out),
        "activate" => activate::activate(args, out),
        "confirm" => activate::confirm(args, out),
        "rollback" => activate::roll_back(args, out),
        "delete" => history::delete(args, out),
        "notice" => notice::run(args, out),
        other => {
            let words = [
                "list", "show", "diff", "status", "activate", "confirm", "rollback", "delete",
                "notice",
            ];
            let failure = Failure::usage(format!("there is no `ward generation {other}`"));
            Err(match model::service::name::nearest(other, words) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            })
        }
    }
}

/// Options without values, of which those that were given are told.
fn flags<const N: usize>(args: &mut Args, known: [&str; N]) -> Result<[bool; N], Failure> {
    let mut found = [false; N];
    while let Some(option) = args.option()? {
        match known.iter().position(|name| *name == option) {
            Some(at) => found[at] = true,
            None => return Err(args.unknown(&option)),
        }
    }
    Ok(found)
}
