//! The flash of the machine, as a file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cli::Failure;

use super::description::{Description, Span};

/// What a flash holds where nothing was written.
const ERASED: u8 = 0xff;

/// The file, which nobody else uses meanwhile.
pub struct Flash {
    pub path: PathBuf,
    file: File,
    /// It was made now.
    pub is_new: bool,
}

impl Flash {
    /// Opens the file; one that is not there, or that is to be `fresh`, gets the firmware.
    pub fn open(path: &Path, description: &Description, fresh: bool) -> Result<Self, Failure> {
        let refused = |what: &str, error: io::Error| {
            Failure::refused(format!("cannot {what} {}: {error}", path.display()))
        };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| refused("open the flash", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::refused(format!(
                    "cannot use the flash {}: another virtual router runs on it",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(refused("use the flash", error)),
        }
        let about = file.metadata().map_err(|error| refused("read the flash", error))?;
        let is_new = fresh || about.len() == 0;
        if is_new {
            let content = content(description)?;
            file.set_len(0).map_err(|error| refused("write the flash", error))?;
            (&file).write_all(&content).map_err(|error| refused("write the flash", error))?;
        } else if about.len() != description.flash_bytes {
            return Err(Failure::usage(format!(
                "cannot use the flash {}: it has {} bytes, and that of the device {}",
                path.display(),
                about.len(),
                description.flash_bytes
            ))
            .hint("--fresh makes it anew"));
        }
        // QEMU looks for it from where it runs.
        let path = path.canonicalize().map_err(|error| refused("find the flash", error))?;
        Ok(Self { path, file, is_new })
    }

    /// What is in it now.
    pub fn read(&self, span: Span) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; span.bytes as usize];
        match self.file.read_exact_at(&mut bytes, span.offset) {
            Ok(()) => Ok(bytes),
            Err(e) => Err(Failure::refused(format!("cannot read {}: {e}", self.path.display()))),
        }
    }
}

/// A flash as the factory leaves it: erased, with the firmware.
fn content(description: &Description) -> Result<Vec<u8>, Failure> {
    let Description { image, firmware, .. } = description;
    let bytes = fs::read(image).map_err(|error| {
        Failure::refused(format!("cannot read the firmware {}: {error}", image.display()))
    })?;
    if bytes.len() as u64 > firmware.bytes {
        return Err(Failure::usage(format!(
            "the firmware {} has {} bytes, and its partition {}",
            image.display(),
            bytes.len(),
            firmware.bytes
        )));
    }
    let mut content = vec![ERASED; description.flash_bytes as usize];
    let start = firmware.offset as usize;
    content[start..start + bytes.len()].copy_from_slice(&bytes);
    Ok(content)
}
