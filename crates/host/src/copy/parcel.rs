//! One store path as it is sent: the smallest of three ways to say it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::path::Path;

use cli::Failure;
use engine::deploy::archive;
use engine::deploy::store;
use lzma_rust2::{Lzma2Options, Lzma2Writer};
use model::deploy::nar::{self, Sink};
use model::deploy::nar_hash::sha256;
use model::deploy::patch::Writer;
use model::deploy::path_info::PathInfo;
use model::deploy::replace::{Letters, Replacements, Stream};
use model::deploy::store_path::StorePath;
use model::deploy::transfer::Way;
use os::deploy::store_dir::StoreDir;

use super::difference;

/// The archive of a path of this machine. `root`: what its store lies in.
pub fn archive(root: &Path, path: &StorePath) -> Result<Vec<u8>, Failure> {
    let mut disk = StoreDir::open(root).map_err(Failure::refused)?;
    disk.trusts_memory = true;
    let mut bytes = Vec::new();
    let put = &mut |more: &[u8]| {
        bytes.extend_from_slice(more);
        true
    };
    archive::write(&mut disk, &store::place(path), put).map_err(|error| match error {
        archive::NoArchive::Disk(trouble) => Failure::refused(trouble),
        _ => Failure::refused(format!("{path} cannot be read")),
    })?;
    Ok(bytes)
}

/// A path, ready to be sent.
pub struct Parcel {
    pub info: PathInfo,
    pub way: Way,
    pub data: Vec<u8>,
}

/// An older path that the device has, and this machine, too.
#[derive(Clone, Debug)]
pub struct Older {
    pub path: StorePath,
    pub references: Vec<StorePath>,
}

/// Files of an archive, and where their bytes are in it.
#[derive(Default)]
struct Files<'a> {
    archive: &'a [u8],
    all: Vec<(Vec<u8>, usize, usize)>,
}

impl<'a> Files<'a> {
    fn of(archive: &'a [u8]) -> Option<Self> {
        let mut files = Self { archive, all: Vec::new() };
        let mut reader = nar::Reader::default();
        reader.push(archive, &mut files).ok()?;
        reader.end().ok()?;
        Some(files)
    }

    fn bytes(&self, at: usize) -> &'a [u8] {
        let (_, begin, length) = &self.all[at];
        &self.archive[*begin..*begin + *length]
    }
}

impl Sink for Files<'_> {
    type Error = Infallible;

    fn folder(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn file(&mut self, path: &[u8], _: bool, _: u64) -> Result<(), Infallible> {
        self.all.push((path.to_vec(), 0, 0));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        // All of the archive was given at once, so this is a piece of it.
        if let Some((_, begin, length)) = self.all.last_mut() {
            *begin = bytes.as_ptr().addr() - self.archive.as_ptr().addr();
            *length = bytes.len();
        }
        Ok(())
    }

    fn file_end(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn link(&mut self, _: &[u8], _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Which hashes of an older path became which, as far as names tell: itself, and what both refer to.
pub fn replacements(new: &PathInfo, old: &Older) -> Replacements {
    let letters = |path: &StorePath| -> Letters {
        path.hash().try_into().expect("a hash has so many letters")
    };
    let mut pairs: Vec<(Letters, Letters)> = Vec::new();
    let mut add = |old: &StorePath, new: &StorePath| {
        if old.hash() != new.hash() && pairs.iter().all(|(known, _)| *known != letters(old)) {
            pairs.push((letters(old), letters(new)));
        }
    };
    add(&old.path, &new.path);
    let gone: Vec<&StorePath> =
        old.references.iter().filter(|path| !new.references.contains(path)).collect();
    let came: Vec<&StorePath> =
        new.references.iter().filter(|path| !old.references.contains(path)).collect();
    for old in &gone {
        let same_name = came.iter().find(|new| new.name() == old.name());
        if let Some(new) = same_name.or_else(|| came.iter().find(|new| new.stem() == old.stem())) {
            add(old, new);
        }
    }
    Replacements::new(pairs).unwrap_or_default()
}

fn replaced(bytes: &[u8], replacements: &Replacements) -> Vec<u8> {
    let (mut stream, mut all) = (Stream::new(replacements), Vec::with_capacity(bytes.len()));
    let put = &mut |more: &[u8]| {
        all.extend_from_slice(more);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = stream.push(bytes, put);
    let Ok(()) = stream.end(put);
    all
}

/// Makes a parcel of a path. `window`: bytes of memory that the receiver can give to it.
pub fn make(
    root: &Path,
    info: &PathInfo,
    older: Option<&Older>,
    window: u32,
) -> Result<Parcel, Failure> {
    let new = archive(root, &info.path)?;
    if sha256(&new) != info.hash {
        return Err(Failure::refused(format!("{} on this machine is not what it was", info.path))
            .hint("`nix-store --verify --check-contents --repair` may help"));
    }
    if let Some(older) = older
        && let Ok(old) = archive(root, &older.path)
    {
        let replacements = replacements(info, older);
        if old.len() == new.len() && replaced(&old, &replacements) == new {
            let way = Way::Replaced { base: older.path.clone(), replacements };
            return Ok(Parcel { info: info.clone(), way, data: Vec::new() });
        }
        if let Some(orders) = orders(&old, &new, &replacements) {
            let window = fitting(window, orders.len());
            let data = packed(&orders, window, true);
            // Packing all of it is not tried where that could hardly be smaller.
            if data.len() * 10 < new.len() || data.len() < whole(&new, window).1.len() {
                let base = older.path.clone();
                let way = Way::Patched { base, replacements, window };
                return Ok(Parcel { info: info.clone(), way, data });
            }
        }
    }
    let (window, data) = whole(&new, window);
    Ok(Parcel { info: info.clone(), way: Way::Whole { window }, data })
}

fn whole(archive: &[u8], window: u32) -> (u32, Vec<u8>) {
    let window = fitting(window, archive.len());
    (window, packed(archive, window, false))
}

/// No larger window than there are bytes.
fn fitting(window: u32, length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).clamp(4096, window)
}

/// Orders how to make the new archive of files of the old one.
fn orders(old: &[u8], new: &[u8], replacements: &Replacements) -> Option<Vec<u8>> {
    let (old, new) = (Files::of(old)?, Files::of(new)?);
    let old_files: Vec<Vec<u8>> =
        (0..old.all.len()).map(|at| replaced(old.bytes(at), replacements)).collect();
    let by_path: HashMap<&[u8], usize> =
        old.all.iter().enumerate().map(|(at, (path, ..))| (&path[..], at)).collect();
    let by_bytes: HashMap<&[u8], usize> =
        old_files.iter().enumerate().map(|(at, bytes)| (&bytes[..], at)).collect();
    let mut orders = Writer::default();
    let mut done = 0;
    for (at, (path, begin, length)) in new.all.iter().enumerate() {
        let bytes = new.bytes(at);
        if *length == 0 {
            continue;
        }
        let same = by_bytes.get(bytes).filter(|_| *length > 64);
        let Some(from) =
            same.or_else(|| by_path.get(&path[..])).copied().or_else(|| similar(&old, path))
        else {
            continue;
        };
        orders.insert(&new.archive[done..*begin]);
        orders.open(&old.all[from].0);
        if old_files[from] == bytes {
            orders.copy(0, bytes.len() as u64);
        } else {
            difference::write(&old_files[from], bytes, &mut orders);
        }
        done = *begin + *length;
    }
    // Not one file is in both.
    if done == 0 {
        return None;
    }
    orders.insert(&new.archive[done..]);
    Some(orders.into_bytes())
}

/// The file in the same folder, or elsewhere, whose name differs in digits only: a library's version.
fn similar(old: &Files<'_>, path: &[u8]) -> Option<usize> {
    let plain = |path: &[u8]| -> Vec<u8> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        name.iter().copied().filter(|byte| !byte.is_ascii_digit() && *byte != b'.').collect()
    };
    let wanted = plain(path);
    old.all.iter().position(|(path, ..)| plain(path) == wanted)
}

/// Bytes packed as LZMA2.
fn packed(bytes: &[u8], window: u32, is_difference: bool) -> Vec<u8> {
    let mut options = Lzma2Options::with_preset(if bytes.len() < 1 << 20 { 9 } else { 7 });
    options.lzma_options.dict_size = window;
    if is_difference {
        // Differences have no words: what came before a byte says little about it.
        (options.lzma_options.lc, options.lzma_options.pb) = (0, 0);
    }
    let mut writer = Lzma2Writer::new(Vec::new(), options);
    let written = writer.write_all(bytes).and_then(|()| writer.finish());
    written.expect("memory takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::deploy::lzma::Decoder;

    #[test]
    fn what_is_packed_here_is_unpacked_there_in_the_window_that_was_said() {
        let mut bytes: Vec<u8> =
            (0..400_000_u32).map(|n| (n / 7 % 251) as u8 ^ (n >> 13) as u8).collect();
        bytes.extend((0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
        for (window, is_difference) in [(4096, false), (1 << 16, true), (1 << 20, false)] {
            let packed = packed(&bytes, window, is_difference);
            assert!(packed.len() < bytes.len() / 2);
            let mut decoder = Decoder::new(window);
            let mut out = Vec::new();
            let count = decoder.push(&packed, &mut |more| {
                out.extend_from_slice(more);
                Ok::<(), Infallible>(())
            });
            assert_eq!(count, Ok(packed.len()));
            assert!(decoder.is_over() && out == bytes);
        }
    }

    fn path(letter: &str, name: &str) -> StorePath {
        StorePath::parse(&format!("{}-{name}", letter.repeat(32))).expect("it is one")
    }

    #[test]
    fn hashes_are_replaced_by_those_of_what_has_the_same_name_now() {
        let new = PathInfo {
            path: path("1", "ssh"),
            hash: sha256(b""),
            size: 0,
            references: vec![
                path("2", "libc"),
                path("3", "ssl-2"),
                path("4", "zlib"),
                path("5", "new"),
            ],
            signatures: vec![],
        };
        let references =
            vec![path("6", "libc"), path("7", "ssl-1"), path("4", "zlib"), path("8", "gone")];
        let old = Older { path: path("9", "ssh"), references };
        let found = replacements(&new, &old);
        let names: Vec<(char, char)> =
            found.pairs().iter().map(|(old, new)| (old[0] as char, new[0] as char)).collect();
        assert_eq!(names, [('6', '2'), ('7', '3'), ('9', '1')]);
    }
}
