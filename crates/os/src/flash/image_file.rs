//! An image to be written or checked: a file, or what comes through a pipe and is kept in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use model::flash::manifest::{Checker, Damage, FOOTER_BYTES, Footer, Manifest, ManifestError};
use xxhash_rust::xxh64::Xxh64;

use crate::sys::memory;

/// Bytes that are read at once.
const READ_BYTES: usize = 128 << 10;

/// Why an image cannot be used.
#[derive(Debug)]
pub enum ImageTrouble {
    Read(io::Error),
    /// It comes through a pipe, and there is no room for it in memory.
    Memory {
        bytes: u64,
    },
    Manifest(ManifestError),
    Damage(Damage),
}

impl std::fmt::Display for ImageTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Memory { bytes } => {
                write!(f, "it has more than the {bytes} bytes that are free in memory")
            }
            Self::Manifest(error) => error.fmt(f),
            Self::Damage(damage) => damage.fmt(f),
        }
    }
}

impl From<io::Error> for ImageTrouble {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<ManifestError> for ImageTrouble {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

/// An image that stays open: what was checked is what is written.
pub struct ImageFile {
    file: File,
    /// Of the image, without its manifest.
    pub bytes: u64,
    pub manifest: Option<Manifest>,
    /// A sum of each block, taken when it was checked.
    sums: Vec<u64>,
}

impl ImageFile {
    /// Opens a file. `-`, and what cannot be read twice, is taken into memory, of which half
    /// of what is free may be used.
    pub fn open(path: &Path) -> Result<Self, ImageTrouble> {
        let file = match path == Path::new("-") {
            true => File::from(io::stdin().as_fd().try_clone_to_owned()?),
            false => File::open(path)?,
        };
        let about = file.metadata()?;
        let kind = about.file_type();
        if about.is_file() {
            return Self::new(file, about.len());
        }
        if kind.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        }
        if kind.is_block_device() {
            let reason = "it is a block device; `dd` makes a file of it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason).into());
        }
        let (file, bytes) = into_memory(file, crate::memory::available().unwrap_or(0) / 2)?;
        Self::new(file, bytes)
    }

    fn new(file: File, file_bytes: u64) -> Result<Self, ImageTrouble> {
        let mut image = Self { file, bytes: file_bytes, manifest: None, sums: Vec::new() };
        let Some(place) = file_bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(image) };
        let mut footer = [0; FOOTER_BYTES];
        image.file.read_exact_at(&mut footer, place)?;
        if let Some(footer) = Footer::parse(&footer)? {
            let (place, length) = footer.body(file_bytes)?;
            let mut body = vec![0; length];
            image.file.read_exact_at(&mut body, place)?;
            image.manifest = Some(footer.manifest(&body, file_bytes)?);
            image.bytes = footer.image_bytes(file_bytes)?;
        }
        Ok(image)
    }

    /// Reads all of it once: holds it against its manifest, and remembers what each block of
    /// `block_bytes` was. `seen` is told now and then how many bytes that were.
    pub fn check(
        &mut self,
        block_bytes: u32,
        seen: &mut dyn FnMut(u64),
    ) -> Result<(), ImageTrouble> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let mut checker = Checker::new(manifest);
        let mut buffer = vec![0; READ_BYTES];
        let block_bytes = u64::from(block_bytes.max(1));
        let (mut place, mut sums) = (0, Vec::new());
        let mut sum = Xxh64::new(0);
        while place < self.bytes {
            // Never over the end of a block.
            let until_end = block_bytes - place % block_bytes;
            let count = until_end.min(self.bytes - place).min(READ_BYTES as u64) as usize;
            let bytes = &mut buffer[..count];
            self.file.read_exact_at(bytes, place)?;
            checker.update(bytes).map_err(ImageTrouble::Damage)?;
            sum.update(bytes);
            place += count as u64;
            if place.is_multiple_of(block_bytes) || place == self.bytes {
                sums.push(sum.digest());
                sum.reset(0);
                seen(place);
            }
        }
        checker.finish().map_err(ImageTrouble::Damage)?;
        self.sums = sums;
        Ok(())
    }

    /// Reads one block of it; behind its end it is as if it were erased. Refuses what is no
    /// longer as it was when it was checked.
    pub fn read(&self, piece: u32, block: &mut [u8]) -> io::Result<()> {
        let start = u64::from(piece) * block.len() as u64;
        let count = (self.bytes.saturating_sub(start)).min(block.len() as u64) as usize;
        let (bytes, rest) = block.split_at_mut(count);
        self.file.read_exact_at(bytes, start)?;
        if let Some(sum) = self.sums.get(piece as usize) {
            let mut now = Xxh64::new(0);
            now.update(bytes);
            if now.digest() != *sum {
                return Err(io::Error::other("it has changed since it was checked"));
            }
        }
        rest.fill(0xff);
        Ok(())
    }
}

fn into_memory(mut from: File, bytes_max: u64) -> Result<(File, u64), ImageTrouble> {
    let mut file = File::from(memory::unnamed(c"image", 0)?);
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok((file, bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        bytes += count as u64;
        if bytes > bytes_max {
            return Err(ImageTrouble::Memory { bytes: bytes_max });
        }
        file.write_all(&buffer[..count])?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use model::digest::Digest;
    use model::flash::manifest::Part;

    use super::*;

    const BLOCK: usize = 4096;

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("doorward-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    }

    fn image() -> Vec<u8> {
        let mut image: Vec<u8> = (0..3 * BLOCK).map(|it| (it / 13) as u8).collect();
        let part = Part {
            name: "rootfs".into(),
            offset: 0,
            size: 4 * BLOCK as u64,
            bytes: image.len() as u64,
            digest: Digest::of(&image),
            rest_erased: false,
        };
        let manifest = Manifest {
            device: "router".into(),
            generation: String::new(),
            partition: "firmware".into(),
            size: 4 * BLOCK as u64,
            erase_bytes: BLOCK as u32,
            bytes: image.len() as u64,
            parts: vec![part],
            signature: None,
        };
        image.extend(manifest.trailer().expect("as it should be"));
        image
    }

    #[test]
    fn an_image_is_read_block_by_block_and_checked() {
        let bytes = image();
        let path = file("image", &bytes);
        let mut image = ImageFile::open(&path).expect("it is whole");
        assert_eq!(image.bytes, 3 * BLOCK as u64);
        image.check(8192, &mut |_| {}).expect("it is whole");
        let mut block = [0; 8192];
        image.read(1, &mut block).expect("it can be read");
        assert_eq!(block[..BLOCK], bytes[2 * BLOCK..3 * BLOCK]);
        assert!(block[BLOCK..].iter().all(|byte| *byte == 0xff), "the manifest is no part of it");
        // Somebody writes to it in the meantime.
        let other = File::options().write(true).open(&path).expect("it can be opened");
        other.write_all_at(b"x", 2 * BLOCK as u64).expect("it can be written");
        image.read(0, &mut block).expect("this is as it was");
        assert!(image.read(1, &mut block).is_err());
        std::fs::remove_file(path).expect("it can be removed");
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let mut bytes = image();
        bytes[5000] ^= 1;
        let path = file("damaged", &bytes);
        let mut image = ImageFile::open(&path).expect("its manifest is whole");
        let found = image.check(4096, &mut |_| {});
        assert!(matches!(found, Err(ImageTrouble::Damage(Damage::Part(_)))), "{found:?}");
        let end = bytes.len() - 20;
        bytes[end] ^= 1;
        std::fs::write(&path, &bytes).expect("a file can be written");
        assert!(matches!(ImageFile::open(&path), Err(ImageTrouble::Manifest(_))));
        std::fs::remove_file(path).expect("it can be removed");
    }

    #[test]
    fn what_comes_through_a_pipe_is_kept_in_memory_if_there_is_room() {
        for (bytes_max, fits) in [(300_000, true), (299_999, false)] {
            let (mut there, here) = UnixStream::pair().expect("a pair of sockets");
            let writer = std::thread::spawn(move || drop(there.write_all(&[7; 300_000])));
            let taken = into_memory(File::from(std::os::fd::OwnedFd::from(here)), bytes_max);
            writer.join().expect("it writes");
            match taken {
                Ok((file, bytes)) => {
                    assert!(fits && bytes == 300_000);
                    let mut last = [0; 1];
                    file.read_exact_at(&mut last, 299_999).expect("all of it is there");
                    assert_eq!(last, [7]);
                }
                Err(ImageTrouble::Memory { .. }) => assert!(!fits),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
