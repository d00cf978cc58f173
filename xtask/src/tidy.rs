//! `tidy`: what ARCHITECTURE.md and the house rules say, held against the sources.

mod arrows;
mod bounds;
mod pages;
mod sources;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Outcome, failed, root};

/// All that is wrong, one line each.
pub struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: String) {
        self.0.push(finding);
    }
}

pub fn chore(_: &[String]) -> Outcome {
    let mut findings = Findings(Vec::new());
    let page = read("ARCHITECTURE.md").unwrap_or_default();
    let workspace = Workspace::read();
    arrows::check(&page, &workspace, &mut findings);
    tree::check(&page, &workspace, &mut findings);
    sources::check(&workspace, &mut findings);
    bounds::check(&workspace, &mut findings);
    pages::check(&mut findings);
    for finding in &findings.0 {
        println!("{finding}");
    }
    match findings.0.len() {
        0 => Ok(()),
        count => Err(failed(format!("{count} things are not as the house says"))),
    }
}

/// The files that the rules speak of, paths relative to the root.
pub struct Workspace {
    /// Every `.rs` file below crates/, tests/ and xtask/, with its text.
    pub sources: Vec<(PathBuf, String)>,
    /// Every package's folder, with its manifest.
    pub packages: Vec<(PathBuf, String)>,
}

impl Workspace {
    fn read() -> Self {
        let mut workspace = Self { sources: Vec::new(), packages: Vec::new() };
        for folder in ["crates", "tests", "xtask"] {
            workspace.walk(Path::new(folder));
        }
        workspace.sources.sort();
        workspace.packages.sort();
        workspace
    }

    fn walk(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { return };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                self.walk(&path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                self.sources.push((path, text));
            } else if path.ends_with("Cargo.toml") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                self.packages.push((folder.to_owned(), text));
            }
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The lines of the section of this title, up to the next title of its level.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let heading = format!("\n## {title}\n");
    let Some(start) = page.find(&heading).map(|at| at + heading.len()) else { return "" };
    let rest = &page[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_the_next_title() {
        let page = "# T\n\n## A\none\n### B\ntwo\n## C\nthree\n";
        assert_eq!(section(page, "A"), "one\n### B\ntwo");
        assert_eq!(section(page, "C"), "three\n");
        assert_eq!(section(page, "D"), "");
    }

    #[test]
    fn words_between_backticks_are_found() {
        assert_eq!(quoted("`a`, `b-c`, and d"), ["a", "b-c"]);
    }
}
