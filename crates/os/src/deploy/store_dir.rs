//! The store of a device as its file system has it. Nothing outside of a few folders is ever touched,
//! whatever a path says, and no link is followed on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use engine::deploy::disk::{Disk, Kind};
use model::deploy::transfer::FileSystem;
use rustix::fs::{self as sys, Advice, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::trouble::{Trouble, While};

/// Where store paths lie below the root directory, and where what is known of them does. These may be links, or
/// what is mounted there; behind them nothing is.
const STORE: &[u8] = b"nix/store";
const ABOUT: &[u8] = b"nix/var/doorward";

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub struct StoreDir {
    root: PathBuf,
    store: OwnedFd,
    /// Made when something is to be written there.
    about: Option<OwnedFd>,
    /// The folder that was opened last: many files lie in one.
    last: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
    /// Files are read as memory has them, which is quicker; otherwise as they lie on the disk.
    pub trusts_memory: bool,
}

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub bytes: u64,
    pub files: Option<u64>,
    pub block_bytes: u32,
    pub erase_bytes: u32,
    pub file_system: FileSystem,
    pub is_read_only: bool,
}

/// Kinds of file systems. Source: Linux `include/uapi/linux/magic.h`.
const JFFS2: u64 = 0x72b6;
const UBIFS: u64 = 0x2405_1905;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// The number of block devices that are flash (`MTD_BLOCK_MAJOR`, Linux `include/linux/mtd/mtd.h`).
const MTD_MAJOR: u32 = 31;

impl StoreDir {
    /// The store of the system below `root`; its folder is made where there is none and that can be done.
    pub fn open(root: &Path) -> Result<Self, Trouble> {
        let path = root.join(OsStr::from_bytes(STORE));
        let made = std::fs::create_dir_all(&path);
        let store = sys::open(&path, FOLDER, Mode::empty());
        let store = store.map_err(|error| made.err().unwrap_or(error.into()));
        let store = store.to(|| format!("open {}", path.display()))?;
        let about = sys::open(root.join(OsStr::from_bytes(ABOUT)), FOLDER, Mode::empty()).ok();
        Ok(Self {
            root: root.to_owned(),
            store,
            about,
            last: None,
            buffer: Vec::new(),
            trusts_memory: false,
        })
    }

    /// The folder that a path is below, and the rest of it.
    fn base<'p>(&mut self, path: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        if let Some(rest) = below(path, STORE) {
            return Ok((self.store.as_fd(), rest));
        }
        let Some(rest) = below(path, ABOUT) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if self.about.is_none() {
            let path = self.root.join(OsStr::from_bytes(ABOUT));
            self.about = Some(sys::open(path, FOLDER, Mode::empty())?);
        }
        let about = self.about.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok((about.as_fd(), rest))
    }

    /// Opens the folder that a path is in, and gives its name there to `act`.
    fn within<T>(
        &mut self,
        path: &[u8],
        act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let folder = &path[..cut];
        let (_, rest) = self.base(path)?;
        if rest.is_empty() {
            // The folder itself.
            let (fd, _) = self.base(path)?;
            return Ok(act(fd, OsStr::new("."))?);
        }
        let name = OsStr::from_bytes(&path[cut + 1..]);
        if self.last.as_ref().is_none_or(|(known, _)| known != folder) {
            let opened = self.open_at(folder, FOLDER)?;
            self.last = Some((folder.to_vec(), opened));
        }
        let (_, fd) = self.last.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(act(fd.as_fd(), name)?)
    }

    /// Opens what is at a path, following no link.
    pub fn open_at(&mut self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let (base, rest) = self.base(path)?;
        let rest = if rest.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(rest) };
        open_beneath(base, rest, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC)
    }

    /// What there is room for.
    pub fn room(&self) -> Result<Room, Trouble> {
        let found = sys::fstatvfs(&self.store).to(|| "find out how much room there is")?;
        let kind = sys::fstatfs(&self.store).to(|| "find out how much room there is")?;
        let device = sys::fstat(&self.store).to(|| "find out how much room there is")?.st_dev;
        let erase_bytes = match sys::major(device) {
            MTD_MAJOR => erase_bytes(sys::minor(device)),
            _ => None,
        };
        Ok(Room {
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            // File systems that have no such number say zero of both.
            files: (found.f_files > 0).then_some(found.f_favail),
            block_bytes: u32::try_from(found.f_frsize).unwrap_or(4096),
            erase_bytes: erase_bytes.unwrap_or(0),
            // The type of the number differs between processors; it has 32 bits in all of them.
            file_system: match kind.f_type as u64 & 0xffff_ffff {
                JFFS2 => FileSystem::Jffs2,
                UBIFS => FileSystem::Ubifs,
                TMPFS | RAMFS => FileSystem::Memory,
                _ => FileSystem::Other,
            },
            is_read_only: found.f_flag.contains(sys::StatVfsMountFlags::RDONLY),
        })
    }
}

fn erase_bytes(number: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/mtd/mtd{number}/erasesize"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// What of `path` is behind `folder`.
fn below<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(folder)? {
        [] => Some(b""),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn open_beneath(base: BorrowedFd<'_>, path: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match sys::openat2(base, path, flags, Mode::empty(), resolve) {
        // Kernels before 5.6, and what stands between programs and them in some containers.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(base, path, flags),
        other => Ok(other?),
    }
}

/// The same, one folder after the other.
fn step_by_step(base: BorrowedFd<'_>, path: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, b"" | b"..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = if parts.peek().is_some() { FOLDER | OFlags::NOFOLLOW } else { flags };
        let from = at.as_ref().map_or(base, AsFd::as_fd);
        at = Some(sys::openat(from, OsStr::from_bytes(part), flags, Mode::empty())?);
    }
    at.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn shown(path: &[u8]) -> impl std::fmt::Display + '_ {
    struct Shown<'a>(&'a [u8]);
    impl std::fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "/{}", String::from_utf8_lossy(self.0))
        }
    }
    Shown(path)
}

impl Disk for StoreDir {
    type Error = Trouble;
    type File = File;

    fn make_folder(&mut self, path: &[u8]) -> Result<(), Trouble> {
        if ABOUT.starts_with(path) || path.is_empty() {
            // What lies above is no part of the store.
            let all = self.root.join(OsStr::from_bytes(ABOUT));
            return std::fs::create_dir_all(&all).to(|| format!("make {}", all.display()));
        }
        let mode = Mode::from_raw_mode(0o755);
        self.within(path, |at, name| sys::mkdirat(at, name, mode))
            .to(|| format!("make {}", shown(path)))
    }

    fn create(&mut self, path: &[u8], executable: bool) -> Result<File, Trouble> {
        let mode = Mode::from_raw_mode(if executable { 0o555 } else { 0o444 });
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.within(path, |at, name| sys::openat(at, name, flags, mode));
        Ok(File::from(made.to(|| format!("make {}", shown(path)))?))
    }

    fn write(&mut self, file: &mut File, bytes: &[u8]) -> Result<(), Trouble> {
        io::Write::write_all(file, bytes).to(|| "write a file of the store")
    }

    fn make_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Trouble> {
        self.within(path, |at, name| sys::symlinkat(OsStr::from_bytes(target), at, name))
            .to(|| format!("make {}", shown(path)))
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), Trouble> {
        self.last = None;
        let cut = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let renamed = (|| {
            let old = self.open_at(&from[..cut(from)], FOLDER)?;
            let new = self.open_at(&to[..cut(to)], FOLDER)?;
            let name = |path: &[u8]| OsStr::from_bytes(&path[cut(path) + 1..]).to_owned();
            Ok::<(), io::Error>(sys::renameat(old, name(from), new, name(to))?)
        })();
        renamed.to(|| format!("rename {} to {}", shown(from), shown(to)))
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), Trouble> {
        self.last = None;
        let removed =
            self.within(path, |at, name| match sys::unlinkat(at, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => sys::unlinkat(at, name, AtFlags::REMOVEDIR),
                other => other,
            });
        self.last = None;
        removed.to(|| format!("remove {}", shown(path)))
    }

    fn look(&mut self, path: &[u8]) -> Result<Option<Kind>, Trouble> {
        if path.is_empty() || ABOUT.starts_with(path) && !path.starts_with(STORE) {
            let is_there = self.root.join(OsStr::from_bytes(path)).is_dir();
            return Ok(is_there.then_some(Kind::Folder));
        }
        let found = self.within(path, |at, name| {
            let found = sys::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => Kind::Folder,
                FileType::RegularFile => Kind::File {
                    executable: found.st_mode & 0o100 != 0,
                    size: u64::try_from(found.st_size).unwrap_or(0),
                },
                FileType::Symlink => {
                    Kind::Link(sys::readlinkat(at, name, Vec::new())?.into_bytes())
                }
                _ => Kind::Other,
            })
        });
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found.to(|| format!("look at {}", shown(path)))?)),
        }
    }

    fn list(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, Trouble> {
        let listed = self.open_at(path, FOLDER).and_then(|folder| {
            let mut names = Vec::new();
            for entry in Dir::new(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    names.push(name.to_vec());
                }
            }
            Ok(names)
        });
        listed.to(|| format!("list {}", shown(path)))
    }

    fn read(&mut self, path: &[u8], put: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Trouble> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE_BYTES, 0);
        let trusts_memory = self.trusts_memory;
        let read = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK).and_then(|file| {
            // What is checked is what lies on the flash, not what memory remembers of it.
            if !trusts_memory {
                let _ = sys::fadvise(&file, 0, None, Advice::DontNeed);
            }
            loop {
                match rustix::io::read(&file, &mut buffer[..]) {
                    Ok(0) => return Ok(()),
                    Ok(count) if put(&buffer[..count]) => {}
                    Ok(_) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        });
        self.buffer = buffer;
        read.to(|| format!("read {}", shown(path)))
    }

    fn sync_file(&mut self, file: &File) -> Result<(), Trouble> {
        sys::fsync(file).to(|| "write a file to the disk")
    }

    fn sync_folder(&mut self, path: &[u8]) -> Result<(), Trouble> {
        let synced = self.open_at(path, FOLDER).and_then(|folder| Ok(sys::fsync(folder)?));
        synced.to(|| format!("write {} to the disk", shown(path)))
    }

    fn sync_all(&mut self) -> Result<(), Trouble> {
        let mut synced = sys::syncfs(&self.store);
        if let Some(about) = &self.about {
            synced = synced.and(sys::syncfs(about));
        }
        synced.to(|| "write the store to the disk")
    }
}

#[cfg(test)]
mod tests;
