//! Where things are: the expressions that Nix reads, the programs that go into
//! builds, and the packages that were fetched.
//!
//! `default.nix` looks in the same places when a person calls Nix by hand.

use std::env;
use std::path::{Path, PathBuf};

use cli::Failure;

/// Names the folder that holds `TARGET/release/ward` and `doorward`, as cargo's target folder does.
pub const PROGRAMS: &str = "DOORWARD_PROGRAMS";
/// Names the folder of fetched packages.
pub const PACKAGES: &str = "DOORWARD_PACKAGES";
/// Names the folder of a store that is used in place of /nix.
pub const STORE: &str = "DOORWARD_STORE";

/// The folder with `default.nix`: this one, the one this program was built in, or where
/// `make install` put it.
pub fn expressions() -> Result<PathBuf, Failure> {
    let mut candidates = vec![PathBuf::from(".")];
    if let Some(target) = built_in() {
        candidates.extend(target.parent().map(Path::to_owned));
    }
    candidates.extend(prefix().map(|prefix| prefix.join("share/doorward")));
    let is_it = |folder: &PathBuf| folder.join("nix/packages/wanted").exists();
    let found = candidates.into_iter().find(is_it).ok_or_else(|| {
        Failure::usage("cannot find Doorward's default.nix")
            .hint("call it from the top of Doorward's sources, or install it with `make install`")
    })?;
    found.canonicalize().map_err(|error| Failure::refused(format!("{}: {error}", found.display())))
}

/// The folder with the programs that go into builds.
pub fn programs(expressions: &Path) -> PathBuf {
    let named = env::var_os(PROGRAMS).map(PathBuf::from);
    let installed = || prefix().map(|p| p.join("lib/doorward")).filter(|p| p.is_dir());
    named.or_else(built_in).or_else(installed).unwrap_or_else(|| expressions.join("target"))
}

/// The folder of fetched packages.
pub fn packages(expressions: &Path) -> PathBuf {
    let named = env::var_os(PACKAGES).map(PathBuf::from);
    let built = || built_in().map(|target| target.join("packages"));
    named.or_else(built).unwrap_or_else(|| match installed(expressions) {
        true => cache().join("packages"),
        false => expressions.join("target/packages"),
    })
}

/// The folder of a store for who may not write to /nix.
pub fn store(expressions: &Path) -> PathBuf {
    match installed(expressions) {
        true => cache().join("store"),
        false => built_in().unwrap_or_else(|| expressions.join("target")).join("store"),
    }
}

/// The folder of what virtual routers keep between runs: the key for all of them, unpacked kernels.
/// It does not depend on where this program lies, for a device that was built by one is run by
/// another.
pub fn trials() -> PathBuf {
    cache().join("vm")
}

fn installed(expressions: &Path) -> bool {
    prefix().is_some_and(|prefix| expressions == prefix.join("share/doorward"))
}

fn cache() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.unwrap_or_else(|| "/var/cache".into()).join("doorward")
}

/// Cargo's target folder, if this program lies in one: `target/[TRIPLE/]PROFILE/doorward`.
fn built_in() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    // The folder of a target has the mark of cargo's folder, too: the outer one is meant.
    let above = program.ancestors().skip(2).take(2);
    above.filter(|folder| folder.join("CACHEDIR.TAG").exists()).map(Path::to_owned).last()
}

/// `PREFIX` of `PREFIX/bin/doorward`.
fn prefix() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    folder.ends_with("bin").then(|| folder.parent().map(Path::to_owned))?
}
