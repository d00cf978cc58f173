//! Fifodirs: a directory in which every listener has a fifo of its own, and
//! one byte written to each of them is an event.
//!
//! Source: s6 `fifodir.html`, and the fifos of a running s6 2.11: they are
//! called `ftrig1:@`, the date in 24 hexadecimal digits, `:`, six letters.

use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use model::limits::FIFODIR_ENTRIES_MAX;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

/// How the name of every listener's fifo begins.
const PREFIX: &[u8] = b"ftrig1:@";
/// Bytes of such a name.
const NAME_BYTES: usize = 39;

const HIDDEN_BYTES: usize = NAME_BYTES + 1;

/// Tells `events`, one byte each, to every listener of the fifodir called
/// `name` in `directory`, and says to how many.
///
/// Never blocks: a listener that left 64 kB unread misses what comes next.
/// Writes to nothing but fifos, whatever lies there under a listener's name,
/// and looks at no more than [`FIFODIR_ENTRIES_MAX`] entries. The fifos of
/// listeners that died are removed. SIGPIPE must be ignored
/// ([`crate::sys::signals::ignore_pipe`]): a listener may die in between.
///
/// Where nobody listens on a tmpfs this is one system call.
///
/// # Errors
/// The fifodir cannot be read. Trouble with one listener is not an error.
pub fn notify(directory: impl AsFd, name: &CStr, events: &[u8]) -> io::Result<usize> {
    let directory = directory.as_fd();
    if empty_for_sure(directory, name) {
        return Ok(0);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fifodir = fs::openat(directory, name, flags, Mode::empty())?;
    let mut reached = 0;
    each_listener(fifodir.as_fd(), |fifo| {
        reached += usize::from(tell(fifodir.as_fd(), fifo, events));
    })?;
    Ok(reached)
}

/// [`notify`] for a fifodir that is named by its path.
pub fn notify_at_path(path: &CStr, events: &[u8]) -> io::Result<usize> {
    notify(fs::CWD, path, events)
}

/// Removes the fifos of listeners that died.
pub fn clean(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fifodir = fs::open(path, flags, Mode::empty())?;
    // Removed ones make room for those that were not looked at.
    loop {
        let mut removed = 0;
        let seen = each_listener(fifodir.as_fd(), |fifo| {
            if let Err(Errno::NXIO) = open_fifo(fifodir.as_fd(), fifo) {
                removed += usize::from(remove(fifodir.as_fd(), fifo));
            }
        })?;
        if seen < FIFODIR_ENTRIES_MAX || removed == 0 {
            return Ok(());
        }
    }
}

/// Makes a fifodir: for everybody, or for the members of `group`.
///
/// One that is there already stays as it is, unless `force` asks for these
/// permissions.
///
/// # Errors
/// Among others, where `path` is something else or another user's.
pub fn make(path: &Path, group: Option<u32>, force: bool) -> io::Result<()> {
    match fs::mkdir(path, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let found = fs::lstat(path)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                return Err(Errno::NOTDIR.into());
            }
            if found.st_uid != rustix::process::geteuid().as_raw() {
                return Err(Errno::ACCESS.into());
            }
            if !force {
                return Ok(());
            }
        }
        Err(error) => return Err(error.into()),
    }
    // Through a descriptor, so that nothing else is changed if it is exchanged.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fifodir = fs::open(path, flags, Mode::empty())?;
    let mode = match group {
        Some(group) => {
            fs::fchown(&fifodir, None, Some(Gid::from_raw(group)))?;
            0o3730
        }
        None => 0o1733,
    };
    Ok(fs::fchmod(&fifodir, Mode::from_raw_mode(mode))?)
}

/// One listener's place in a fifodir; given up when dropped.
pub struct Subscription {
    /// Of the fifo: one descriptor a listener, so that many services can be
    /// listened to.
    path: PathBuf,
    fifo: OwnedFd,
}

impl Subscription {
    /// Listens to the fifodir at `path` from now on.
    ///
    /// Every event from here on can be read; read the state of what is
    /// listened to after this, and none is missed.
    pub fn new(path: &Path) -> io::Result<Self> {
        // The name is hidden until the fifo can be written to: a notifier
        // that met it before would take its listener for dead.
        let name = new_name()?;
        let hidden = path.join(OsStr::from_bytes(&name));
        let path = path.join(OsStr::from_bytes(&name[1..]));
        fs::mknodat(fs::CWD, &hidden, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        let fifo = open_hidden(&hidden)
            .and_then(|fifo| fs::rename(&hidden, &path).map(|()| fifo))
            .inspect_err(|_| {
                let _ = fs::unlink(&hidden);
            })?;
        Ok(Self { path, fifo })
    }

    /// The events that came, as many as `buffer` holds; none: nothing came.
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        match rustix::io::read(&self.fifo, &mut *buffer) {
            Ok(count) => Ok(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => Ok(&[]),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = fs::unlink(&self.path);
    }
}

/// Opens a listener's own fifo, both ends of it: so it never sees the end of
/// the last notifier. The notifier may be another user, hence its mode.
fn open_hidden(hidden: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fifo = fs::open(hidden, flags, Mode::empty())?;
    fs::fchmod(&fifo, Mode::from_raw_mode(0o622))?;
    Ok(fifo)
}

/// A dot and a listener's name that nobody can guess: who knows the name can
/// write events.
fn new_name() -> io::Result<[u8; HIDDEN_BYTES]> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut dice = [0; 6];
    rustix::rand::getrandom(&mut dice, rustix::rand::GetRandomFlags::empty())?;
    let mut name = [b'.'; HIDDEN_BYTES];
    name[1..1 + 7].copy_from_slice(&PREFIX[..7]);
    name[8..33].copy_from_slice(&crate::clock::today().label_text());
    name[33] = b':';
    for (letter, die) in name[34..].iter_mut().zip(dice) {
        *letter = LETTERS[usize::from(die % 64)];
    }
    Ok(name)
}

/// Whether nobody listens, found out with one system call: an empty directory
/// of a tmpfs has a size of 40, and each entry adds 20 (Linux `mm/shmem.c`,
/// `BOGO_DIRENT_SIZE`). `false` means nothing.
pub(super) fn empty_for_sure(directory: BorrowedFd<'_>, name: &CStr) -> bool {
    /// The last file system that was asked about: its device, and in the top
    /// bit whether it is a tmpfs. All of them lie on one, as a rule.
    /// The device is a minor number of 20 bits (Linux `include/linux/kdev_t.h`).
    static KNOWN: AtomicU32 = AtomicU32::new(u32::MAX >> 1);
    const TMPFS_BIT: u32 = 1 << 31;
    const TMPFS_MAGIC: u64 = 0x0102_1994;

    let Ok(found) = fs::statx(directory, name, AtFlags::empty(), StatxFlags::SIZE) else {
        return false;
    };
    if found.stx_size != 40 || found.stx_dev_major != 0 {
        return false;
    }
    let device = found.stx_dev_minor;
    let known = KNOWN.load(Ordering::Relaxed);
    if known & !TMPFS_BIT == device {
        return known & TMPFS_BIT != 0;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(fifodir) = fs::openat(directory, name, flags, Mode::empty()) else { return false };
    let tmpfs = fs::fstatfs(&fifodir).is_ok_and(|fs| fs.f_type as u64 == TMPFS_MAGIC);
    KNOWN.store(device | if tmpfs { TMPFS_BIT } else { 0 }, Ordering::Relaxed);
    tmpfs
}

/// Calls `act` with the name of each listener's fifo, and says how many
/// entries of the directory it looked at.
fn each_listener(fifodir: BorrowedFd<'_>, mut act: impl FnMut(&CStr)) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(fifodir, &mut space);
    let mut seen = 0;
    while seen < FIFODIR_ENTRIES_MAX {
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        seen += 1;
        let name = entry.file_name();
        let fifo = matches!(entry.file_type(), FileType::Fifo | FileType::Unknown);
        if fifo && name.count_bytes() == NAME_BYTES && name.to_bytes().starts_with(PREFIX) {
            act(name);
        }
    }
    Ok(seen)
}

/// Writes `events` to one listener's fifo, or removes it where nobody reads it.
fn tell(fifodir: BorrowedFd<'_>, name: &CStr, events: &[u8]) -> bool {
    match open_fifo(fifodir, name).and_then(|fifo| rustix::io::write(fifo, events)) {
        Ok(_) => true,
        Err(Errno::NXIO | Errno::PIPE) => {
            remove(fifodir, name);
            false
        }
        Err(_) => false,
    }
}

/// Opens a listener's fifo for writing. The directory said that it is one,
/// but whoever may listen may have put another file in its place since, such
/// as a link to one that only the notifier can write.
fn open_fifo(fifodir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fifo = fs::openat(fifodir, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fs::fstat(&fifo)?.st_mode) != FileType::Fifo {
        return Err(Errno::NOTSUP);
    }
    Ok(fifo)
}

fn remove(fifodir: BorrowedFd<'_>, name: &CStr) -> bool {
    fs::unlinkat(fifodir, name, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests;
