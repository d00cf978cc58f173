//! The time zone that this process was told to print dates in.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use model::limits::ZONE_FILE_BYTES_MAX;

pub use model::zone::Zone;

const DATABASE: &str = "/usr/share/zoneinfo";

/// The zone that `TZ` names, or else `/etc/localtime`; UTC where that is
/// nothing one can read, as the C library has it.
///
/// `TZ` is the path of a TZif file, absolute or below the zone database, or
/// a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`; empty, it means UTC.
pub fn local() -> Zone {
    let Some(text) = std::env::var_os("TZ") else {
        return read(Path::new("/etc/localtime")).unwrap_or(Zone::UTC);
    };
    let text = text.as_bytes();
    let text = text.strip_prefix(b":").unwrap_or(text);
    if text.is_empty() {
        return Zone::UTC;
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(text));
    // A zone's name cannot lead out of the database.
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = if path.is_absolute() {
        read(path)
    } else if inside {
        read(&Path::new(DATABASE).join(path))
    } else {
        None
    };
    file.or_else(|| Zone::from_rule(text)).unwrap_or(Zone::UTC)
}

fn read(path: &Path) -> Option<Zone> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(ZONE_FILE_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
    Zone::from_tzif(&bytes)
}
