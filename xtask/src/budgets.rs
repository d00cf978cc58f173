//! `budgets`: the sizes in docs/budgets.md, held against what is built.

use std::fs;

use crate::shell::{Outcome, failed};
use crate::ward::{self, HERE};

const PAGE: &str = "docs/budgets.md";

pub fn chore(_: &[String]) -> Outcome {
    let page = fs::read_to_string(PAGE).map_err(|e| failed(format!("{PAGE}: {e}")))?;
    let row = format!("`ward`, static, {HERE}");
    let budget = size_budget(&page, &row)
        .ok_or_else(|| failed(format!("{PAGE} has no row {row:?} with a budget in bytes")))?;
    let path = ward::release(HERE)?;
    let bytes = fs::metadata(&path).map_err(|e| failed(format!("{}: {e}", path.display())))?.len();
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
