//! The tree in ARCHITECTURE.md: every path it names is there, and every room's
//! files are in it.

use std::fs;

use super::{Findings, Workspace, section};
use crate::shell::root;

/// One path that the tree names.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    /// It says `(planned)`, or lies in something that does.
    planned: bool,
}

pub fn check(page: &str, workspace: &Workspace, findings: &mut Findings) {
    let entries = entries(section(page, "The tree"));
    if entries.is_empty() {
        findings.add("ARCHITECTURE.md: \"The tree\" cannot be read".into());
    }
    for Entry { path, planned } in &entries {
        match (root().join(path).exists(), planned) {
            (false, false) => {
                findings.add(format!("ARCHITECTURE.md: the tree names {path}, which is not there"));
            }
            (true, true) if !path.ends_with('/') => {
                findings.add(format!("ARCHITECTURE.md: {path} is there and no longer planned"));
            }
            _ => {}
        }
    }
    let named = |path: &str| entries.iter().any(|entry| entry.path == path);
    for (path, _) in &workspace.sources {
        let Some(path) = path.to_str() else { continue };
        let Some((folder, file)) = path.rsplit_once('/') else { continue };
        let folder = format!("{folder}/");
        // A folder whose files the tree does not tell apart is described as a whole.
        let told_apart = entries.iter().any(|entry| is_file_in(&entry.path, &folder));
        let plain = ["lib.rs", "main.rs", "mod.rs", "tests.rs"].contains(&file);
        if path.starts_with("crates/") && told_apart && !plain && !named(path) {
            findings.add(format!("ARCHITECTURE.md: the tree does not name {path}"));
        }
    }
    for crate_folder in folders("crates") {
        for room in folders(&format!("{crate_folder}/src")) {
            let as_folder = format!("{room}/");
            // `compile/` beside a named `compile.rs` holds its parts.
            if !named(&as_folder) && !named(&format!("{room}.rs")) {
                findings.add(format!("ARCHITECTURE.md: the tree does not name {as_folder}"));
            }
        }
    }
}

fn is_file_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.ends_with(".rs") && !rest.contains('/'))
}

fn folders(path: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root().join(path)) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("{path}/{}", entry.file_name().display()))
        .collect();
    found.sort();
    found
}

/// The paths of the block of text between the fences: two spaces per level, the
/// path first, what it is behind at least two spaces; a folder's line may name
/// its files instead.
fn entries(text: &str) -> Vec<Entry> {
    let Some(block) = text.split("```").nth(1) else { return Vec::new() };
    let mut found = Vec::new();
    // The folders that the line at hand lies in, with their indentation.
    let mut above: Vec<(usize, String, bool)> = Vec::new();
    for line in block.lines() {
        let indent = line.len() - line.trim_start().len();
        let word = line.trim_start().split("  ").next().unwrap_or_default().trim_end();
        // Deeper lines without a path go on with the description above them.
        let is_path = word.ends_with('/') || word.contains('.') || !word.contains(' ');
        if word.is_empty() || indent > 8 || !is_path {
            continue;
        }
        above.retain(|(depth, ..)| *depth < indent);
        let (prefix, within) = match above.last() {
            Some((_, path, planned)) => (path.clone(), *planned),
            None => (String::new(), false),
        };
        let planned = within || line.contains("(planned)");
        let path = format!("{prefix}{word}");
        if word.ends_with('/') {
            for file in named_files(&line[indent + word.len()..]) {
                found.push(Entry { path: format!("{path}{file}"), planned });
            }
            above.push((indent, path.clone(), planned));
        }
        found.push(Entry { path, planned });
    }
    found
}

/// The `.rs` files that a folder's description names.
fn named_files(description: &str) -> impl Iterator<Item = &str> {
    description
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .filter(|word| word.len() > 3 && word.ends_with(".rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_from_indentation() {
        let text = "```\nREADME.md    one screen\n\ncrates/       what ships\n  model/src/\n    \
                    time.rs      Moment\n    log/         line.rs, policy.rs (how long)\n    \
                    flash/       image.rs (planned)\nsetup         installs\n```";
        let found: Vec<(String, bool)> =
            entries(text).into_iter().map(|e| (e.path, e.planned)).collect();
        let expected = [
            ("README.md", false),
            ("crates/", false),
            ("crates/model/src/", false),
            ("crates/model/src/time.rs", false),
            ("crates/model/src/log/line.rs", false),
            ("crates/model/src/log/policy.rs", false),
            ("crates/model/src/log/", false),
            ("crates/model/src/flash/image.rs", true),
            ("crates/model/src/flash/", true),
            ("setup", false),
        ];
        assert_eq!(found, expected.map(|(path, planned)| (path.to_owned(), planned)));
    }
}
