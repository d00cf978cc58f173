//! `docs` and `install`: man pages, completions, and where they go.

use std::fs;
use std::path::Path;

use crate::shell::{Failed, Outcome, cargo, failed, root, run, target};
use crate::ward;

/// Prints man pages and completions from the tables of commands into docs/man.
pub fn docs(_: &[String]) -> Outcome {
    let folder = root().join("docs/man");
    run(cargo(None).args(["run", "--quiet", "--package", "manual", "--"]).arg(&folder))
}

/// Installs `doorward`, the device's `ward` for it to carry, man pages and completions.
pub fn chore(words: &[String]) -> Outcome {
    let [prefix] = words else {
        return Err(failed("usage: cargo xtask install PREFIX"));
    };
    let prefix = Path::new(prefix);
    run(cargo(None).args(["build", "--quiet", "--release", "--package", "host"]))?;
    let ward = ward::release(ward::HERE)?;
    docs(&[])?;
    place(&target().join("release/doorward"), &prefix.join("bin"))?;
    place(&ward, &prefix.join("lib/doorward"))?;
    let made = root().join("docs/man");
    for page in files(&made)? {
        let place_of = match page.extension().and_then(|e| e.to_str()) {
            Some("bash") => "share/bash-completion/completions",
            Some("fish") => "share/fish/vendor_completions.d",
            Some("1") => "share/man/man1",
            _ => "share/man/man8",
        };
        place(&page, &prefix.join(place_of))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failed> {
    let wrong = |e: std::io::Error| failed(format!("{}: {e}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        found.push(entry.map_err(wrong)?.path());
    }
    found.sort();
    Ok(found)
}

/// Copies a file into a folder, whole or not at all.
fn place(file: &Path, folder: &Path) -> Outcome {
    let wrong = |e: std::io::Error| failed(format!("cannot install {}: {e}", file.display()));
    let name = file.file_name().expect("a file has a name");
    let partial = folder.join(format!(".{}.partial", name.display()));
    fs::create_dir_all(folder).map_err(wrong)?;
    fs::copy(file, &partial).map_err(wrong)?;
    fs::rename(&partial, folder.join(name)).map_err(wrong)?;
    println!("{}", folder.join(name).display());
    Ok(())
}
