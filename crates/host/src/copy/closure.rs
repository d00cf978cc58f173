//! What Nix says of store paths on this machine.

use std::collections::{BTreeMap, BTreeSet};

use cli::Failure;
use model::deploy::nar_hash::NarHash;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::{STORE, StorePath};
use serde_json::Value;

use crate::nix::call::Nix;

/// The closure of these paths: what each is, and what it refers to.
pub fn closure(nix: &Nix, paths: &[String]) -> Result<Vec<PathInfo>, Failure> {
    described(nix, paths, true)
}

fn described(nix: &Nix, paths: &[String], with_needs: bool) -> Result<Vec<PathInfo>, Failure> {
    let mut command = nix.command("nix");
    command.args(["--extra-experimental-features", "nix-command", "path-info", "--json"]);
    command.args(with_needs.then_some("-r"));
    command.args(paths);
    let text = nix.ask(&mut command)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::refused(format!("cannot read what Nix says: {error}")))?;
    let odd = |what: &str| Failure::refused(format!("cannot read what Nix says: {what}"));
    // A list up to Nix 2.18, later a map by path.
    let mut found = BTreeMap::new();
    match &value {
        Value::Array(list) => {
            for one in list {
                let path = one["path"].as_str().ok_or_else(|| odd("a path without a name"))?;
                found.insert(path, one);
            }
        }
        Value::Object(map) => found.extend(map.iter().map(|(path, one)| (path.as_str(), one))),
        _ => return Err(odd("neither a list nor a map")),
    }
    found.into_iter().map(|(path, one)| info(path, one).ok_or_else(|| odd(path))).collect()
}

/// What is known of those of these paths that this machine has.
pub fn here(nix: &Nix, paths: &BTreeSet<&StorePath>) -> Result<Vec<PathInfo>, Failure> {
    let full = |path: &&&StorePath| format!("{STORE}/{path}");
    let mut command = nix.command("nix-store");
    command.args(["--check-validity", "--print-invalid"]);
    let invalid = nix.ask(command.args(paths.iter().map(|path| full(&path))))?;
    let valid = paths.iter().map(|path| full(&path));
    let valid: Vec<String> =
        valid.filter(|path| invalid.lines().all(|line| line != path)).collect();
    if valid.is_empty() { Ok(Vec::new()) } else { described(nix, &valid, false) }
}

fn info(path: &str, one: &Value) -> Option<PathInfo> {
    let texts = |key: &str| -> Option<Vec<&str>> {
        match &one[key] {
            Value::Null => Some(Vec::new()),
            list => list.as_array()?.iter().map(Value::as_str).collect(),
        }
    };
    // Newer ones name references without the folder.
    let parse = |text: &str| StorePath::parse_full(text).or_else(|_| StorePath::parse(text)).ok();
    let references: Option<Vec<_>> = texts("references")?.into_iter().map(parse).collect();
    let info = PathInfo {
        path: parse(path)?,
        hash: NarHash::parse(one["narHash"].as_str()?)?,
        size: one["narSize"].as_u64()?,
        references: references?,
        signatures: texts("signatures")?.into_iter().map(str::to_owned).collect(),
    };
    info.checked().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_ways_to_say_it_are_read() {
        let path = format!("{}-x", "a".repeat(32));
        for reference in [format!("/nix/store/{path}"), path.clone()] {
            let value = serde_json::json!({
                "narHash": "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
                "narSize": 5,
                "references": [reference],
                "ultimate": true,
            });
            let info = info(&format!("/nix/store/{path}"), &value).expect("it can be read");
            assert_eq!(info.references, [StorePath::parse(&path).unwrap()]);
            assert_eq!((info.size, info.signatures.len()), (5, 0));
        }
        assert!(info("/etc", &serde_json::json!({ "narSize": 5 })).is_none());
    }
}
