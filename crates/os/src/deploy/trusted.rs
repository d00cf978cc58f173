//! The keys whose signatures a device wants to see.

use std::io::ErrorKind;
use std::path::Path;

use model::deploy::trust::{self, TrustedKey};

use crate::files;

/// Where they are, below the root directory.
pub const FILE: &str = "etc/doorward/trusted-keys";

/// Bytes of the file that are read.
const BYTES_MAX: usize = 64 << 10;

/// The keys of a device; none where there is no such file.
///
/// # Errors
/// A file that cannot be read is no reason to trust everybody.
pub fn keys(root: &Path) -> Result<Vec<TrustedKey>, String> {
    let path = root.join(FILE);
    let bytes = match files::read_up_to(&path, BYTES_MAX + 1) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|error| format!("cannot read {}: {error}", path.display()))?,
    };
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= BYTES_MAX);
    let text = text.ok_or_else(|| format!("{} is no text, or too long", path.display()))?;
    trust::keys(&text).map_err(|error| format!("{}: {error}", path.display()))
}
