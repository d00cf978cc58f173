//! Absent on purpose 5: every bound in `limits.rs` has its reason, and is held by something.

use super::{Findings, Workspace};

const LIMITS: &str = "crates/model/src/limits.rs";

pub fn check(workspace: &Workspace, findings: &mut Findings) {
    let Some((_, limits)) = workspace.sources.iter().find(|(path, _)| path.ends_with(LIMITS))
    else {
        findings.add(format!("{LIMITS}: not there (Absent on purpose 5)"));
        return;
    };
    let others: Vec<&str> = workspace
        .sources
        .iter()
        .filter(|(path, _)| !path.ends_with(LIMITS) && path.starts_with("crates"))
        .map(|(_, text)| text.as_str())
        .collect();
    for (name, has_reason) in bounds(limits) {
        if !has_reason {
            findings.add(format!("{LIMITS}: {name} has no reason above it (Absent on purpose 5)"));
        }
        let inside = limits.matches(name).count() > 1;
        if !inside && !others.iter().any(|text| text.contains(name)) {
            findings.add(format!("{LIMITS}: nothing holds {name} (Absent on purpose 5)"));
        }
    }
}

/// The constants, and whether a doc comment stands above each.
fn bounds(limits: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut above = "";
    for line in limits.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub const ") {
            let name = rest.split(':').next().unwrap_or(rest);
            found.push((name, above.starts_with("///")));
        }
        above = line;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_without_a_reason_is_seen() {
        let text =
            "/// So that a row fits.\npub const NAME_MAX: usize = 9;\n\npub const B: u8 = 1;\n";
        assert_eq!(bounds(text), [("NAME_MAX", true), ("B", false)]);
    }
}
