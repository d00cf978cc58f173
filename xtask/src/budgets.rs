//! `budgets`: the sizes in docs/budgets.md, held against what is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{Failed, Outcome, failed, root, target};
use crate::ward::{self, HERE};

const PAGE: &str = "docs/budgets.md";

/// The configuration whose image has a budget.
const EXAMPLE: &str = "examples/configuration.nix";

pub fn chore(_: &[String]) -> Outcome {
    let page = fs::read_to_string(PAGE).map_err(|e| failed(format!("{PAGE}: {e}")))?;
    let ward = ward::release(HERE)?;
    // Both are held, also when the first one is over.
    let ward = hold(&page, &format!("`ward`, static, {HERE}"), &ward);
    let image = image().and_then(|image| hold(&page, &format!("squashfs of {EXAMPLE}"), &image));
    ward.and(image)
}

/// The root file system of the example, without kernel and modules.
fn image() -> Result<PathBuf, Failed> {
    let builder = ward::builder()?;
    let configuration = target().join("without-modules.nix");
    let text = format!(
        "{{ lib, ... }}: {{ imports = [ {}/{EXAMPLE} ]; hardware.kernel.modular = lib.mkForce false; }}\n",
        root().display()
    );
    let written = fs::write(&configuration, text);
    written.map_err(|e| failed(format!("{}: {e}", configuration.display())))?;
    let mut build = Command::new(builder);
    build.args(["build", "-A", "outputs.squashfs", "--no-out-link", "-c"]);
    build.arg(configuration).arg("--store");
    let output = build.arg(target().join("store")).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| failed(format!("cannot run doorward: {e}")))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() {
        true => Ok(path.into()),
        false => Err(failed(format!("{EXAMPLE} cannot be built"))),
    }
}

/// Compares the size of a file with the budget in its row.
fn hold(page: &str, row: &str, path: &Path) -> Outcome {
    let budget = size_budget(page, row)
        .ok_or_else(|| failed(format!("{PAGE} has no row {row:?} with a budget in bytes")))?;
    let bytes = fs::metadata(path).map_err(|e| failed(format!("{}: {e}", path.display())))?.len();
    println!("{row}: {bytes} of {budget} bytes");
    if bytes > budget {
        return Err(failed(format!(
            "{row} has {bytes} bytes, {PAGE} allows {budget}; make it smaller, or change the \
             budget and write its reason beside it"
        )));
    }
    Ok(())
}

/// The second column of the row whose first one is `what`: a number, then "bytes".
fn size_budget(page: &str, what: &str) -> Option<u64> {
    page.lines().find_map(|line| {
        let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
        if cells.next()? != what {
            return None;
        }
        let digits = cells.next()?.strip_suffix("bytes")?.trim().replace(',', "");
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_from_its_row() {
        let page = "| what | budget |\n|---|---|\n| ward | 1,000,000 bytes | small flash |\n";
        assert_eq!(size_budget(page, "ward"), Some(1_000_000));
        assert_eq!(size_budget(page, "doorward"), None);
        assert_eq!(size_budget("| ward | small |", "ward"), None);
    }
}
