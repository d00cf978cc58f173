//! The pages of the documentation: links lead somewhere, each page is in the book, and commands are
//! run by a test (`tests/e2e/tests/documentation.rs`, or one that the page names).

use std::path::{Path, PathBuf};
use std::process::Command;

use ::pages::{self, Mark};

use super::Findings;
use crate::book;
use crate::shell::{cargo, root, target};

pub fn check(findings: &mut Findings) {
    let Ok(all) = pages::all(root()) else {
        findings.add("docs/: cannot be read".into());
        return;
    };
    let texts: Vec<(PathBuf, String)> = all
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
            (path, text)
        })
        .collect();
    for (path, text) in &texts {
        blocks(path, text, findings);
        for link in pages::links(text) {
            let Some((to, anchor)) = pages::resolve(path, &link.target) else { continue };
            let at = format!("{}:{}", path.display(), link.line);
            if !root().join(&to).exists() {
                findings.add(format!("{at}: there is no {}", to.display()));
            } else if let Some(anchor) = anchor {
                let page = std::fs::read_to_string(root().join(&to)).unwrap_or_default();
                if !pages::anchors(&page).contains(&anchor) {
                    findings.add(format!("{at}: {} has no title #{anchor}", to.display()));
                }
            }
        }
    }
    in_book(&texts, findings);
    reference(findings);
}

fn blocks(path: &Path, text: &str, findings: &mut Findings) {
    // The map of the sources has drawings, and no commands.
    if path == Path::new("ARCHITECTURE.md") {
        return;
    }
    for block in pages::blocks(text) {
        let at = format!("{}:{}", path.display(), block.line);
        if block.language.is_empty() {
            findings.add(format!(
                "{at}: a block has no language: `sh` or `console` for commands, `text` for what is none"
            ));
        }
        match (&block.mark, block.has_commands()) {
            (Mark::Missing(None), true) => findings.add(format!(
                "{at}: nobody runs these commands: `<!-- run: here -->` before them, or `namespace`, \
                 `router`, `beside router`, or `by TEST.rs`"
            )),
            (Mark::Missing(Some(text)), _) => {
                findings.add(format!("{at}: cannot understand the mark `run: {text}`"));
            }
            (Mark::By(test), _) => {
                let source = Path::new("tests/e2e/tests").join(test);
                let text = std::fs::read_to_string(root().join(&source)).unwrap_or_default();
                let page = format!("shown::blocks(\"{}\"", path.display());
                if !text.contains(&page) {
                    let source = source.display();
                    findings.add(format!("{at}: {source} does not run it: it has no {page}"));
                }
            }
            _ => {}
        }
    }
}

/// Each page is a chapter, and each chapter a page.
fn in_book(texts: &[(PathBuf, String)], findings: &mut Findings) {
    let chapters = book::chapters();
    for (path, _) in texts {
        let is_list = path == Path::new(book::SUMMARY);
        match chapters.iter().filter(|chapter| *chapter == path).count() {
            _ if is_list => {}
            0 => findings.add(format!("{}: does not name {}", book::SUMMARY, path.display())),
            1 => {}
            _ => findings.add(format!("{}: names {} twice", book::SUMMARY, path.display())),
        }
    }
}

/// What is printed from tables of options and commands is as they are now.
fn reference(findings: &mut Findings) {
    let fresh = target().join("reference");
    let mut command = cargo(None);
    command.args(["run", "--quiet", "--package", "manual", "--", "reference"]).arg(&fresh);
    let output = Command::output(&mut command);
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            findings.add(format!("docs/reference: cannot be made: {}", said.trim()));
            return;
        }
        Err(error) => return findings.add(format!("docs/reference: cargo: {error}")),
    }
    let names = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.file_name().into()).collect();
        names.sort();
        names
    };
    let kept = root().join("docs/reference");
    let mut all = names(&kept);
    all.extend(names(&fresh));
    all.sort();
    all.dedup();
    for name in all {
        let text = |folder: &Path| std::fs::read(folder.join(&name)).ok();
        if text(&kept) != text(&fresh) {
            let name = name.display();
            findings.add(format!("docs/reference/{name}: is stale; `cargo xtask docs` makes it"));
        }
    }
}
