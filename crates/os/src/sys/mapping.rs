//! A file as memory that outlives the process (`mmap(2)`, shared).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

/// The first bytes of a file. What is stored here is in the file, also when
/// the process is killed with the very next instruction.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which must all exist, with
    /// their blocks: storing into a hole of a full file system kills. Nobody
    /// else may change or shorten the file meanwhile.
    pub fn new(file: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: the kernel chooses the place, so no memory of ours is replaced.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, read_write, shared, file.as_raw_fd(), 0)
        };
        match NonNull::new(start.cast()) {
            Some(place) if start != libc::MAP_FAILED => {
                // Kept in memory, so that the kernel never finds a page missing
                // while it copies there. A limit that forbids it is no reason to fail.
                // SAFETY: the mapping was just made, with this length.
                unsafe { libc::mlock(start, length) };
                Ok(Self { start: place, length })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `start` and `length` are the mapping's, which lives as long
        // as `self`; nobody else changes it (see `new`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes it the only reference here.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// All stores before this come before all stores after it, as another
    /// process sees them that looks when this one is dead.
    pub fn order(&self) {
        compiler_fence(Ordering::SeqCst);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
