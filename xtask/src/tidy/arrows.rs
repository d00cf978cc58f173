//! The arrows: which crate may use which, of ours and of others.

use super::{Findings, Workspace, quoted, read, section};

/// One row of the table in "The arrows".
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    name: &'a str,
    ours: Vec<&'a str>,
    others: Vec<&'a str>,
}

pub fn check(page: &str, workspace: &Workspace, findings: &mut Findings) {
    let rows = table(section(page, "The arrows"));
    if rows.is_empty() {
        findings.add("ARCHITECTURE.md: the table of \"The arrows\" cannot be read".into());
    }
    let ours: Vec<&str> = workspace.packages.iter().filter_map(|(_, t)| name(t)).collect();
    for (folder, manifest) in &workspace.packages {
        let (Some(name), folder) = (name(manifest), folder.display()) else { continue };
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            findings.add(format!("{folder}: ARCHITECTURE.md has no row of arrows for `{name}`"));
            continue;
        };
        let (mine, others): (Vec<&str>, Vec<&str>) =
            dependencies(manifest).into_iter().partition(|used| ours.contains(used));
        for used in mine.iter().filter(|used| !row.ours.contains(used)) {
            findings.add(format!("{folder}: `{name}` uses `{used}`; no arrow allows that"));
        }
        for used in others.iter().filter(|used| !row.others.contains(used)) {
            findings.add(format!("{folder}: `{name}` uses `{used}`, which its row does not name"));
        }
        for unused in row.others.iter().filter(|named| !others.contains(named)) {
            findings.add(format!("ARCHITECTURE.md: `{name}` does not use `{unused}`"));
        }
    }
    for row in rows.iter().filter(|row| !ours.contains(&row.name)) {
        findings.add(format!("ARCHITECTURE.md: there is no crate `{}`", row.name));
    }
    // Absent on purpose 10: what both programs link cannot differ between them.
    for program in ["crates/device", "crates/host"] {
        let uses = workspace.packages.iter().find(|(folder, _)| folder.ends_with(program));
        if !uses.is_some_and(|(_, manifest)| dependencies(manifest).contains(&"model")) {
            findings.add(format!("{program}: does not link `model` (Absent on purpose 10)"));
        }
    }
    reasons(findings);
}

/// Each crate of others that is locked has its reason on the page of dependencies.
fn reasons(findings: &mut Findings) {
    let page = read("docs/dependencies.md").unwrap_or_default();
    let known = quoted(&page);
    let lock = read("Cargo.lock").unwrap_or_default();
    let mut used = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        // Only what comes from elsewhere has a source.
        if !package.contains("\nsource = ") {
            continue;
        }
        let Some(name) = name(package) else { continue };
        used.push(name);
        if !known.contains(&name) {
            findings.add(format!("docs/dependencies.md: `{name}` is in Cargo.lock without a word"));
        }
    }
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let row = quoted(line)[0];
        if !used.contains(&row) {
            findings.add(format!("docs/dependencies.md: `{row}` is not used any more"));
        }
    }
}

fn table(text: &str) -> Vec<Row<'_>> {
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|');
            let name = *quoted(cells.next()?).first()?;
            let ours = quoted(cells.next()?);
            Some(Row { name, ours, others: quoted(cells.next()?) })
        })
        .collect()
}

/// The package's name in a manifest, or in one entry of the lock file.
fn name(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find(|line| line.starts_with("name = "))?;
    line.split('"').nth(1)
}

/// What a manifest asks for, in whichever section: names, each once.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(title) = line.strip_prefix('[') {
            let title = title.trim_end_matches([']', ' ']);
            // `[dependencies]`, `[dev-dependencies]`, and with a target before them.
            inside = title.ends_with("dependencies");
            if let Some((_, name)) = title.split_once("dependencies.") {
                names.push(name);
            }
        } else if inside && !line.starts_with('#') {
            names.extend(line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_the_table() {
        let text = "| crate | may use | others |\n|---|---|---|\n\
                    | `sim` (tests) | `engine`, `model` | none |\n\
                    | `os` | `model` | `rustix`, `libc` for what it lacks |\n";
        assert_eq!(
            table(text),
            [
                Row { name: "sim", ours: vec!["engine", "model"], others: vec![] },
                Row { name: "os", ours: vec!["model"], others: vec!["rustix", "libc"] },
            ]
        );
    }

    #[test]
    fn every_way_to_write_a_dependency_is_seen() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\na.workspace = true\n\
                        b = { version = \"1\" }\n# c = \"1\"\n\n[target.'cfg(unix)'.dependencies]\n\
                        d = \"1\"\n[dependencies.e]\nversion = \"1\"\n[dev-dependencies]\na = \"1\"\n\
                        [lints]\nworkspace = true\n";
        assert_eq!(dependencies(manifest), ["a", "b", "d", "e"]);
        assert_eq!(name(manifest), Some("x"));
    }
}
