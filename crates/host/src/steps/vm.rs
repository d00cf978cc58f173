//! The step `vm`: a folder from which `doorward vm` runs the device, and a script that does it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::attributes::{Attribute, Wrong, output};
use super::{make_folder, write};

/// It lies in `bin/`. What it needs is beside that, so a store may lie anywhere.
const SCRIPT: &str = "\
#!/bin/sh
# Runs this device in QEMU; --help tells more.
here=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")
exec \"$here/doorward\" vm \"$here/vm.json\" \"$@\"
";

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let wrong = |error: std::io::Error| format!("{}: {error}", out.display());
    let bin = out.join("bin");
    make_folder(&bin)?;
    for (name, attribute) in [("firmware.bin", "firmware"), ("doorward", "doorward")] {
        let path = attributes.get(attribute)?.path()?;
        symlink(beside(path)?, out.join(name)).map_err(wrong)?;
    }
    let mut description = attributes.get("vm")?.json().clone();
    description["firmware"] = "firmware.bin".into();
    let text = serde_json::to_string_pretty(&description).map_err(|error| error.to_string())?;
    write(&out.join("vm.json"), text + "\n")?;
    let script = bin.join(format!("run-{}-vm", attributes.get("hostname")?.text()?));
    write(&script, SCRIPT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(wrong)
}

/// A store path as one of its neighbours sees it.
fn beside(path: &Path) -> Result<std::path::PathBuf, Wrong> {
    let name = path.file_name().ok_or_else(|| format!("{} is no store path", path.display()))?;
    Ok(Path::new("..").join(name))
}
