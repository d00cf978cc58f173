//! `check`: all that CI runs. The tests come last, so that the runner's own
//! lines end the output; what the other checks found is printed before them.

use std::process::Command;
use std::time::Instant;

use crate::shell::{Outcome, cargo, failed, run};
use crate::{book, budgets, cross, mutants, tidy};

/// A check's name, and what it does.
type Check = (&'static str, fn() -> Outcome);

const CHECKS: &[Check] = &[
    ("layout", || run(cargo(None).args(["fmt", "--all", "--check"]))),
    ("tidy", || tidy::chore(&[])),
    ("lints", || {
        run(cargo(None)
            .args(["clippy", "--quiet", "--workspace", "--all-targets"])
            .args(["--", "--deny", "warnings"]))
    }),
    // Absent on purpose 1: neither a clock nor a file can be reached where there is no
    // standard library at all.
    ("floors without std", || {
        run(cargo(None).args(["build", "--quiet", "--target", "x86_64-unknown-none"]).args([
            "--package",
            "model",
            "--package",
            "engine",
        ]))
    }),
    ("other processors", cross::check),
    ("book", || book::build().map(drop)),
    ("budgets", || budgets::chore(&[])),
    ("mutants", || mutants::chore(&[])),
    // The tests of whole programs ask for this one; building it here shows its errors once.
    ("ward for tests", || {
        run(cargo(None)
            .args(["build", "--quiet", "--package", "device"])
            .args(["--target", "x86_64-unknown-linux-musl"]))
    }),
];

pub fn chore(_: &[String]) -> Outcome {
    let mut summary = String::new();
    let mut wrong = Vec::new();
    for (name, check) in CHECKS {
        println!("--- {name}");
        let start = Instant::now();
        let verdict = match check() {
            Ok(()) => "ok",
            Err(error) => {
                if !error.message.is_empty() {
                    eprintln!("{}", error.message);
                }
                wrong.push(*name);
                "FAILED"
            }
        };
        let seconds = start.elapsed().as_secs_f32();
        summary.push_str(&format!("  {name:20} {verdict:6} {seconds:6.1} s\n"));
    }
    println!("--- checks before the tests\n{summary}--- tests");
    // `--no-fail-fast`: CI should show all that is broken, not the first crate of it.
    // Started in the background or by nohup, this program ignores signals that the tests
    // send; programs inherit that (`signal(7)`), unless somebody ends it.
    let mut tests = Command::new("env");
    tests.arg("--default-signal").arg(cargo(None).get_program());
    let tests = run(tests.args(["test", "--workspace", "--no-fail-fast"]));
    match (tests, wrong.is_empty()) {
        (tests, true) => tests,
        (_, false) => Err(failed(format!("failed before the tests: {}", wrong.join(", ")))),
    }
}
