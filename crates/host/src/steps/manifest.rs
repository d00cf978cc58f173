//! The step `manifest`: what a build holds, how large it is, and by which hashes to know it.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::attributes::{Attribute, Wrong, output};
use super::closure;
use super::write;

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let paths = closure::read(attributes)?;
    let mut images = Map::new();
    for (name, image) in attributes.get("images")?.members()? {
        let file = image.get("file")?.path()?;
        let size = fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?.len();
        let partition = image.get("partition")?.text()?;
        images.insert(
            name.to_owned(),
            json!({
                "file": file, "type": image.get("type")?.text()?, "size": size,
                "sha256": sha256(attributes, file)?, "partition": partition,
            }),
        );
    }
    let same = |name: &str| attributes.get(name).map(|attribute| attribute.json().clone());
    let total: u64 = paths.iter().map(|path| path.size).sum();
    let path = |path: &closure::StorePath| {
        json!({
            "path": path.path, "narSize": path.size, "narHash": path.hash,
            "references": path.references,
        })
    };
    let manifest = json!({
        "hostname": same("hostname")?,
        "device": same("device")?,
        "commandLine": same("commandLine")?,
        "flash": same("flash")?,
        "generation": same("generation")?,
        "services": same("services")?,
        "closureSize": total,
        "paths": paths.iter().map(path).collect::<Vec<Value>>(),
        "images": images,
    });
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| error.to_string())?;
    write(&out, text + "\n")
}

fn sha256(attributes: &Attribute<'_>, file: &std::path::Path) -> Result<String, Wrong> {
    let program = attributes.get("sha256sum")?.path()?;
    let output = Command::new(program).arg(file).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_whitespace().next() {
        Some(sum) if output.status.success() && sum.len() == 64 => Ok(sum.to_owned()),
        _ => Err(format!("{} failed on {}", program.display(), file.display())),
    }
}
