//! `fetch`: gets all that builds take from elsewhere. Once it is there they need no network.

use std::process::Command;

use crate::shell::{Outcome, cargo, run};
use crate::ward;

/// Gets crates, also those of the standard library, and Debian's packages for some of its
/// architectures, or for all. Quick, and quiet, when nothing is missing.
pub fn chore(words: &[String]) -> Outcome {
    let mut crates = cargo(None);
    crates.args(["fetch", "--quiet", "--locked"]);
    // Where its sources are not there, the plain one is taken, which needs none.
    ward::with_library(&mut crates)?;
    run(&mut crates)?;
    run(Command::new(ward::builder()?).args(["packages", "fetch"]).args(words))
}
