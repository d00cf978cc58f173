//! Files as nobody sees them half written.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Replaces `name` in `directory` by a file with these bytes: whoever opens
/// it sees the old or the new, whole. Not synced to the disk.
///
/// # Errors
/// The old file stays as it is.
pub fn replace(directory: impl AsFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = directory.as_fd();
    let new = format!("{name}.new");
    let written = (|| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let open = || fs::openat(directory, &*new, flags, Mode::from_raw_mode(mode));
        let file = open().or_else(|error| match error {
            // What somebody left there may be anything, even a fifo that
            // nobody reads.
            Errno::EXIST => {
                fs::unlinkat(directory, &*new, AtFlags::empty())?;
                open()
            }
            error => Err(error),
        })?;
        File::from(file).write_all(bytes)?;
        fs::renameat(directory, &*new, directory, name)?;
        Ok(())
    })();
    if written.is_err() {
        let _ = fs::unlinkat(directory, &*new, AtFlags::empty());
    }
    written
}

/// Reads a small file, no more than `most` bytes of it, in one go.
pub fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::open(path, flags, Mode::empty())?;
    let mut bytes = Vec::with_capacity(most);
    while bytes.len() < most
        && rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))? > 0
    {}
    Ok(bytes)
}

/// Reads once.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// Writes once, as much as there is room for.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// What a descriptor is ready for now, of what is wanted; and, as `poll(2)` has it, an end or an error.
pub fn ready(fd: impl AsFd, wanted: PollFlags) -> io::Result<PollFlags> {
    let mut looks = [PollFd::new(&fd, wanted)];
    poll(&mut looks, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(looks[0].revents())
}

/// Writes what fits without waiting; `false` where that is nothing. A pipe that
/// takes anything takes 4096 bytes (`pipe(7)`).
pub fn write_if_room(fd: impl AsFd, bytes: &[u8]) -> bool {
    let room = ready(&fd, PollFlags::OUT).is_ok_and(|ready| !ready.is_empty());
    room && rustix::io::write(&fd, &bytes[..bytes.len().min(4096)]).is_ok()
}

/// Says something on the console of the machine, as far as there is room.
pub fn say_on_console(text: &str) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(console) = fs::open("/dev/console", flags, Mode::empty()) {
        write_if_room(console, text.as_bytes());
    }
}

/// Reading and writing no longer wait.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Opens a directory below another.
pub fn directory_at(at: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::openat(at, path, flags, Mode::empty())?)
}

/// Opens a directory to name files relative to it.
pub fn directory(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::open(path.as_ref(), flags, Mode::empty())?)
}

/// Lets everything this process makes have exactly the mode it asks for.
pub fn clear_umask() {
    rustix::process::umask(Mode::empty());
}
