//! What the pages of the documentation are made of: blocks of commands and who runs them, links
//! and what they may lead to.
#![forbid(unsafe_code)]

mod blocks;
mod links;

use std::io;
use std::path::{Path, PathBuf};

pub use blocks::{Block, Machine, Mark, Step, blocks, steps};
pub use links::{Link, anchors, links, resolve};

/// Pages at the top that belong to the documentation; all others are below `docs`.
pub const TOP: [&str; 5] =
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "STYLE.md"];

/// All pages, as paths relative to the top of the sources, in their order.
///
/// # Errors
/// Where a folder cannot be read.
pub fn all(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = TOP.iter().map(PathBuf::from).collect();
    below(root, Path::new("docs"), &mut found)?;
    found.sort();
    Ok(found)
}

fn below(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            below(root, &path, found)?;
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    Ok(())
}
