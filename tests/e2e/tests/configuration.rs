//! The module evaluator: what modules give together, and how it tells mistakes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::nix::sources;

fn cases() -> PathBuf {
    sources().join("tests/cases/configuration")
}

/// The cases in a folder: files `.nix`, each with its expected text beside it.
fn names(folder: &Path, expected: &str) -> Vec<String> {
    let with = |extension: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("the cases are there");
        let paths = entries.map(|entry| entry.expect("it can be read").path());
        paths
            .filter(|path| path.extension().is_some_and(|it| it == extension))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect()
    };
    let cases = with("nix");
    assert_eq!(cases, with(expected), "each case has its expected text, and nothing else has");
    cases.into_iter().collect()
}

fn evaluate(words: &[&str]) -> Output {
    // Nothing is built, so no store is needed, and none is made.
    let mut command = Command::new("nix-instantiate");
    command.current_dir(cases()).args(["--store", "dummy://", "--eval", "--strict", "--json"]);
    command.args(words).output().expect("nix-instantiate runs; `./setup` installs it")
}

#[test]
fn modules_come_together_as_they_do_in_nixpkgs() {
    let output = evaluate(&["--expr", "import ./merge.nix { }"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8(output.stdout).expect("JSON is text");
    // Nix writes a set's members in the order of their names, as the cases are.
    let folder = cases().join("merge");
    let members: Vec<String> = names(&folder, "json")
        .iter()
        .map(|name| {
            let text = fs::read_to_string(folder.join(name).with_extension("json"));
            format!("{name:?}:{}", text.expect("it can be read").trim_end())
        })
        .collect();
    assert!(members.len() >= 15, "{} cases", members.len());
    assert_eq!(found.trim_end(), format!("{{{}}}", members.join(",")));
}

#[test]
fn functions_give_what_those_of_nixpkgs_give() {
    let output = evaluate(&["--expr", "import ./functions.nix (import ../../../nix/lib)"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = fs::read_to_string(cases().join("functions.json")).expect("it can be read");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected.trim_end());
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_was_meant() {
    let folder = cases().join("errors");
    for name in names(&folder, "txt") {
        let output = evaluate(&["errors.nix", "--argstr", "case", &name]);
        assert!(!output.status.success(), "{name} is no mistake");
        let said = String::from_utf8(output.stderr).expect("messages are text");
        let said = said.replace(&format!("{}/", cases().display()), "");
        let message = said.strip_prefix("error: ").unwrap_or(&said);
        let (message, _) = message.split_once("(use '--show-trace'").unwrap_or((message, ""));
        let lines: Vec<&str> =
            message.trim_end().lines().map(|l| l.strip_prefix("       ").unwrap_or(l)).collect();
        let expected = fs::read_to_string(folder.join(&name).with_extension("txt"));
        assert_eq!(lines.join("\n"), expected.expect("it can be read").trim_end(), "{name}");
    }
}

#[test]
fn the_guide_tells_of_every_option_and_template() {
    let expression =
        "(import ../../../default.nix { configuration = { }; nixpkgs = null; }).reference";
    let output = evaluate(&["--expr", expression]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let reference: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let guide = sources().join("docs/guide/configuration.md");
    let guide = fs::read_to_string(guide).expect("it can be read");
    let members = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().expect("a set").keys().cloned().collect()
    };
    // What lies below a name of somebody's choice is in docs/reference alone.
    let below = |name: &String| name.contains("NAME") || name.contains("[…]");
    let options = members(&reference["options"]);
    // So does what lies in an option that is a set.
    let is_in = |name: &String| {
        name.rsplit_once('.').is_some_and(|(set, _)| options.contains(&set.to_owned()))
    };
    for option in options.iter().filter(|name| !below(name) && !is_in(name)) {
        assert!(guide.contains(&format!("`{option}")), "the guide has no `{option}`");
    }
    for template in members(&reference["templates"]) {
        let rows = guide.lines().filter(|line| line.starts_with("| `"));
        let named = format!("`{template}`");
        let mut row = rows.filter(|row| row.split('|').nth(1).is_some_and(|c| c.contains(&named)));
        let row = row.next_back().unwrap_or_else(|| panic!("the guide has no template {named}"));
        let parameters = members(&reference["templates"][&template]["parameters"]);
        // Of a check the methods are told, and what each takes is in the reference.
        for parameter in parameters.into_iter().filter(|name| !below(name)) {
            assert!(row.contains(&format!("`{parameter}")), "{named} has no `{parameter}`");
        }
    }
}
