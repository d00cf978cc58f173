//! `docs` and `install`: programs, expressions, man pages, completions, and where they go.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::shell::{Failed, Outcome, cargo, failed, root, run, target};
use crate::{cross, ward};

/// Prints man pages and completions from the tables of commands into docs/man.
pub fn docs(_: &[String]) -> Outcome {
    let folder = root().join("docs/man");
    run(cargo(None).args(["run", "--quiet", "--package", "manual", "--"]).arg(&folder))
}

/// What `doorward build` reads: the entry and the folders that it leads to.
const EXPRESSIONS: [&str; 3] = ["default.nix", "nix", "devices"];

/// Installs `doorward`, the programs that go into builds, the expressions that say how, man
/// pages and completions.
pub fn chore(words: &[String]) -> Outcome {
    let [prefix] = words else {
        return Err(failed("usage: cargo xtask install PREFIX"));
    };
    let prefix = Path::new(prefix);
    let doorward = ward::builder()?;
    docs(&[])?;
    place(&doorward, &prefix.join("bin"))?;
    for name in ward::NAMES {
        let link = prefix.join("bin").join(name);
        let _ = fs::remove_file(&link);
        symlink("doorward", &link).map_err(|e| failed(format!("{}: {e}", link.display())))?;
    }
    // As they lie in cargo's folder; other processors' `ward` beside them, where it was built.
    let programs = prefix.join("lib/doorward");
    let here = programs.join(ward::HERE).join("release");
    place(&doorward, &here)?;
    place(&ward::release(ward::HERE)?, &here)?;
    for triple in cross::triples() {
        let ward = target().join(triple).join("release/ward");
        if ward.exists() {
            place(&ward, &programs.join(triple).join("release"))?;
        }
    }
    for name in EXPRESSIONS {
        place_all(&root().join(name), &prefix.join("share/doorward"))?;
    }
    let made = root().join("docs/man");
    for page in files(&made)? {
        let place_of = match page.extension().and_then(|e| e.to_str()) {
            Some("bash") => "share/bash-completion/completions",
            Some("fish") => "share/fish/vendor_completions.d",
            // zsh looks for a name that begins like this, and has no ending.
            None => "share/zsh/site-functions",
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

/// Copies a file, or a folder with everything in it, into a folder.
fn place_all(path: &Path, folder: &Path) -> Outcome {
    if !path.is_dir() {
        return place(path, folder);
    }
    let name = path.file_name().expect("a folder has a name");
    for inside in files(path)? {
        place_all(&inside, &folder.join(name))?;
    }
    Ok(())
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
