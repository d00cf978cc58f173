//! The flash of the machine, as a file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use cli::Failure;

use super::description::{Description, Span};
use super::lent;

/// What a flash holds where nothing was written.
const ERASED: u8 = 0xff;

/// The file, which nobody else uses meanwhile.
pub struct Flash {
    pub file: File,
    /// It was made now.
    pub is_new: bool,
}

impl Flash {
    /// Opens the file; one that is not there, or that is to be `fresh`, gets the firmware.
    pub fn open(path: &Path, description: &Description, fresh: bool) -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            Failure::refused(format!("cannot use the flash {}: {error}", path.display()))
        };
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::refused(format!(
                    "cannot use the flash {}: another virtual router runs on it",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let bytes = file.metadata().map_err(refused)?.len();
        let is_new = fresh || bytes == 0;
        if is_new {
            make(&file, description)?;
        } else if bytes != description.flash_bytes {
            return Err(Failure::usage(format!(
                "cannot use the flash {}: it has {bytes} bytes, and that of the device {}",
                path.display(),
                description.flash_bytes
            ))
            .hint("--fresh makes it anew"));
        }
        Ok(Self { file, is_new })
    }

    /// A new one that is gone at the end.
    pub fn temporary(description: &Description) -> Result<Self, Failure> {
        let file = lent::unnamed()?;
        make(&file, description)?;
        Ok(Self { file, is_new: true })
    }

    /// What is in it now.
    pub fn read(&self, span: Span) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; span.bytes as usize];
        match self.file.read_exact_at(&mut bytes, span.offset) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(Failure::refused(format!("cannot read the flash: {error}"))),
        }
    }
}

/// Makes a flash as the factory leaves it: erased, with the firmware.
fn make(mut file: &File, description: &Description) -> Result<(), Failure> {
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
    let written = file.set_len(0).and_then(|()| file.write_all(&content));
    written.map_err(|error| Failure::refused(format!("cannot write the flash: {error}")))
}
