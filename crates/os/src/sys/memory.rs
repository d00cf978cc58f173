//! Memory that outlives `exec`: a file without a name (`memfd_create(2)`),
//! mapped as long as it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap, mremap, munmap};

/// Bytes that only this process maps, and the program it becomes.
pub struct SharedMemory {
    file: OwnedFd,
    start: NonNull<u8>,
    bytes: usize,
}

impl SharedMemory {
    /// New memory, all zero.
    pub fn new(bytes: usize) -> io::Result<Self> {
        // Not closed by exec: that is what it is for.
        let file = memfd_create("ward-table", MemfdFlags::empty())?;
        ftruncate(&file, bytes as u64)?;
        Self::map(file, bytes)
    }

    /// The memory behind a descriptor that an earlier program made.
    pub fn from_file(file: OwnedFd) -> io::Result<Self> {
        let bytes = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
        if bytes == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(file, bytes)
    }

    fn map(file: OwnedFd, bytes: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, &file, 0)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { file, start, bytes })
    }

    /// Makes it at least this long; what is new is zero.
    pub fn grow(&mut self, bytes: usize) -> io::Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        ftruncate(&self.file, bytes as u64)?;
        // SAFETY: this is the whole mapping, and no slice of it is borrowed.
        let start =
            unsafe { mremap(self.start.as_ptr().cast(), self.bytes, bytes, MremapFlags::MAYMOVE)? };
        self.start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        self.bytes = bytes;
        Ok(())
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is this long, and only `&mut self` writes to it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// Four bytes at `offset` as a number that the kernel may write to.
    pub fn cell(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "the cell lies inside");
        // SAFETY: inside the mapping and aligned; while it is borrowed, so is
        // the whole memory, and nobody has `bytes_mut`.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
