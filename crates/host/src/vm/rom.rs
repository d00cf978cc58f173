//! The boot ROM that QEMU's machines lack: takes the kernel out of the flash.
//!
//! What is packed is unpacked here: under emulation that is most of a boot. The kernel inside of a
//! bzImage is started as the ELF file that it is ("PVH", Linux `arch/x86/platform/pvh`).
//!
//! Source: Linux `Documentation/arch/x86/boot.rst` for the header of a bzImage.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use cli::Failure;
use model::flash::image::Image;

use super::lent;

/// How long a kernel that nobody boots stays unpacked.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What QEMU is started with.
pub struct Boot {
    pub kernel: PathBuf,
    pub initramfs: File,
    pub command_line: String,
}

/// Takes the kernel out of its partition. Kernels that were unpacked are kept in `cache`.
pub fn read(partition: &[u8], cache: &Path) -> Result<Boot, Failure> {
    let image = Image::parse(partition).map_err(|error| broken(&error.to_string()))?;
    let [kernel, initramfs, command_line] = image.parts[..] else {
        let count = image.parts.len();
        return Err(broken(&format!(
            "its image has {count} parts, and not a kernel, an initramfs and a command line"
        )));
    };
    let command_line = std::str::from_utf8(command_line)
        .map_err(|_| broken("the kernel's command line is no text"))?
        .trim_end_matches(['\0', '\n'])
        .to_owned();
    let mut file = lent::unnamed()?;
    file.write_all(initramfs)
        .map_err(|error| Failure::refused(format!("cannot hand on the initramfs: {error}")))?;
    Ok(Boot { kernel: unpacked(kernel, cache)?, initramfs: file, command_line })
}

fn broken(why: &str) -> Failure {
    Failure::not_achieved(format!("the device does not boot: the partition kernel: {why}"))
        .hint("--fresh writes the firmware into the flash anew")
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::refused(format!("cannot {what} {}: {error}", path.display()))
}

/// The kernel as QEMU takes it, from the cache where it is there.
fn unpacked(kernel: &[u8], cache: &Path) -> Result<PathBuf, Failure> {
    let mut hasher = DefaultHasher::new();
    hasher.write(kernel);
    let file = cache.join(format!("kernel-{:016x}", hasher.finish()));
    if let Ok(known) = File::options().append(true).open(&file) {
        // It was of use today.
        let _ = known.set_modified(SystemTime::now());
        return Ok(file);
    }
    forget_old_ones(cache);
    fs::create_dir_all(cache).map_err(|error| refused("make", cache, &error))?;
    let partial = cache.join(format!(".kernel-{}", std::process::id()));
    // QEMU starts an Image of arm64 as it is (Linux `Documentation/arm64/booting.rst`).
    let is_plain = kernel.starts_with(b"\x7fELF") || kernel.get(56..60) == Some(b"ARM\x64");
    let made = if is_plain {
        fs::write(&partial, kernel).map_err(|error| refused("write", &partial, &error))
    } else {
        unpack(payload(kernel).unwrap_or(kernel), &partial)
    };
    let made = made
        .and_then(|()| fs::rename(&partial, &file).map_err(|error| refused("make", &file, &error)));
    if made.is_err() {
        let _ = fs::remove_file(&partial);
    }
    made.map(|()| file)
}

/// Removes what was of no use for long: each kernel has tens of megabytes.
fn forget_old_ones(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let is_kernel = entry.file_name().to_string_lossy().contains("kernel-");
        let used = entry.metadata().and_then(|about| about.modified());
        let age = used.ok().and_then(|used| used.elapsed().ok());
        if is_kernel && age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What is packed in a bzImage, without the length that is behind it.
fn payload(kernel: &[u8]) -> Option<&[u8]> {
    let word = |place: usize| {
        let bytes = kernel.get(place..place + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
    };
    let version = u16::from_le_bytes([*kernel.get(0x206)?, *kernel.get(0x207)?]);
    if kernel.get(0x202..0x206)? != b"HdrS" || version < 0x208 {
        return None;
    }
    // A count of zero means four (the same page).
    let sectors = match kernel[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let start = word(0x248)?.checked_add((sectors + 1) * 512)?;
    let end = start.checked_add(word(0x24c)?)?.checked_sub(4)?;
    kernel.get(start..end)
}

/// How packed bytes begin, and the programs that unpack them.
const PACKED: [(&[u8], &[&[&str]]); 3] = [
    (b"\xfd7zXZ\0", &[&["xz", "-dc"], &["busybox", "xzcat"]]),
    (b"\x1f\x8b", &[&["gzip", "-dc"], &["busybox", "zcat"]]),
    (b"\x28\xb5\x2f\xfd", &[&["zstd", "-dc"]]),
];

fn unpack(payload: &[u8], target: &Path) -> Result<(), Failure> {
    let Some((_, programs)) = PACKED.iter().find(|(begin, _)| payload.starts_with(begin)) else {
        return Err(broken(
            "its kernel is neither an ELF file nor an Image, nor packed by xz, gzip or zstd",
        ));
    };
    let packed = target.with_extension("packed");
    fs::write(&packed, payload).map_err(|error| refused("write", &packed, &error))?;
    let outcome = programs.iter().find_map(|words| {
        let files = File::open(&packed).and_then(|from| Ok((from, File::create(target)?)));
        let (from, to) = match files {
            Ok(files) => files,
            Err(error) => return Some(Err(refused("unpack into", target, &error))),
        };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(from).stdout(to).stderr(Stdio::piped());
        match command.output() {
            Ok(output) if output.status.success() => Some(Ok(())),
            Ok(output) => Some(Err(broken(&format!(
                "{} cannot unpack its kernel: {}",
                words[0],
                String::from_utf8_lossy(&output.stderr).trim()
            )))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(Failure::refused(format!("cannot run {}: {error}", words[0])))),
        }
    });
    let _ = fs::remove_file(&packed);
    outcome.unwrap_or_else(|| {
        let names: Vec<&str> = programs.iter().map(|words| words[0]).collect();
        Err(Failure::refused(format!(
            "cannot unpack the kernel: there is no {}",
            names.join(" and no ")
        ))
        .hint("`./setup` installs what is needed"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage with nothing in it but its header and a payload.
    fn bz_image(payload: &[u8]) -> Vec<u8> {
        let mut kernel = vec![0; 1024];
        kernel[0x1f1] = 1;
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        kernel[0x248..0x24c].copy_from_slice(&8_u32.to_le_bytes());
        kernel[0x24c..0x250].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
        kernel.extend([0; 8]);
        kernel.extend(payload);
        kernel.extend([0; 4]);
        kernel
    }

    #[test]
    fn the_payload_is_found_by_the_header_and_never_beyond_the_end() {
        let whole = bz_image(b"packed");
        assert_eq!(payload(&whole), Some(&b"packed"[..]));
        for length in 0..whole.len() - 4 {
            assert_eq!(payload(&whole[..length]), None, "{length} bytes");
        }
        let mut far = whole.clone();
        far[0x248..0x24c].fill(0xff);
        assert_eq!(payload(&far), None);
        let mut none = whole;
        none[0x24c..0x250].fill(0);
        assert_eq!(payload(&none), None);
    }
}
