//! What is typed at the top of the sources, as the pages for those who change Doorward have it: set-up and
//! builds, the router of `make run`, the pretend world. One of these commands is all tests: of it, what it would call is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::{nix, shown};
use pages::{Machine, Mark};

/// A shell there, of somebody who has called nothing yet.
fn shell() -> Command {
    let mut shell = nix::command("/bin/sh");
    shell.env("DOORWARD_STORE", nix::store()).stdin(Stdio::null());
    shell.env("MAKEFLAGS", "").env_remove("MAKELEVEL");
    shell
}

fn typed(line: &str) -> String {
    shown::typed(&mut shell(), line)
}

#[test]
fn what_the_first_pages_show_builds_and_names_what_they_say() {
    let readme = shown::blocks("README.md", "chores.rs").remove(0);
    let contributing = shown::blocks("CONTRIBUTING.md", "chores.rs").remove(0);
    let mut lines = shown::lines(&readme);
    lines.extend(shown::lines(&contributing));
    lines.sort();
    lines.dedup();
    assert!(lines.len() >= 6, "{lines:?}");
    for line in &lines {
        match line.as_str() {
            // It calls this test, too.
            "make test" => all_tests_would_be_called(),
            "make run" => is_typed_by_the_tutorial(line),
            "make docs" => documentation_is_made_of_what_is_there(line),
            "make build" => assert!(typed(line).contains(": ready; "), "{line}"),
            "cargo test -p model" => assert!(typed(line).contains("test result: ok. "), "{line}"),
            "cargo xtask" => {
                let steps = contributing.iter().find(|step| step.command.starts_with(line));
                let remark =
                    steps.and_then(|step| step.command.split_once(": ")).expect("a remark");
                let chores = typed(line);
                for name in remark.1.trim_end_matches(", …").split(", ") {
                    assert!(chores.contains(&format!("\n  {name} ")), "{name}: {chores}");
                }
            }
            other => panic!("nobody knows what should come of {other}"),
        }
    }
}

/// `make test` is the chore that says of itself what the pages say of it.
fn all_tests_would_be_called() {
    let called = typed("make --just-print test");
    assert_eq!(called, "./setup; cargo xtask check\n");
    let chores = typed("cargo xtask");
    let check = chores.lines().find(|line| line.starts_with("  check ")).expect("it is there");
    let says = "Run what CI runs: layout, lints, tidy, floors, size, all tests";
    assert!(check.ends_with(says), "{check}");
}

/// It stays, and is the router of documentation.rs.
fn is_typed_by_the_tutorial(line: &str) {
    let text = fs::read_to_string(nix::sources().join("docs/tutorial.md")).expect("the tutorial");
    let mut found = pages::blocks(&text);
    let stays = Mark::Run { on: Machine::Here, exits: 0, stays: true };
    found.retain(|block| block.mark == stays);
    let typed: Vec<String> =
        found.iter().flat_map(|block| shown::lines(&pages::steps(block))).collect();
    assert!(typed.iter().any(|it| it == line), "{line}: {typed:?}");
}

/// The files of docs/reference.
fn reference() -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = fs::read_dir(nix::sources().join("docs/reference")).expect("the reference");
    let paths = folder.map(|entry| entry.expect("its folder can be read").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

fn documentation_is_made_of_what_is_there(line: &str) {
    let before = reference();
    let said = typed(line);
    let after = reference();
    // A test changes nothing of the sources, whatever they are.
    before.iter().for_each(|(path, bytes)| {
        if after.get(path) != Some(bytes) {
            fs::write(path, bytes).expect("it can be written");
        }
    });
    assert!(before == after, "the reference is stale");
    let first = said.lines().last().expect("it names the first page");
    assert!(first.ends_with("target/docs/index.html"), "{said}");
    assert!(fs::metadata(first).is_ok_and(|it| it.len() > 1000), "{first}");
}

#[test]
fn a_command_on_the_router_of_make_run_prints_what_the_page_shows() {
    for step in shown::blocks("docs/guide/virtual.md", "chores.rs").concat() {
        shown::compare(&step, &typed(&format!("exec 2>&1; {}", step.command)));
    }
}

#[test]
fn stories_are_played_again_and_more_often_as_the_page_has_it() {
    let steps = shown::blocks("docs/proof.md", "chores.rs").remove(0);
    let [story, often] = shown::lines(&steps).try_into().expect("two lines");
    // Built as the tests have been, which is there already.
    let play = |line: &str| shown::typed(shell().env("SIM_PROFILE", "dev"), line);
    let said = play(&story);
    assert!(said.contains("manager: ") && said.contains("test result: ok. 1 passed"), "{said}");
    // Twice as many instead of a hundred times, and of one story.
    let twice = often.replace(" 100", " 2 nothing_bad_happens");
    assert_ne!(twice, often);
    assert!(play(&twice).contains("test result: ok. 1 passed"));
}
