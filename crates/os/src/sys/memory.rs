//! Memory that outlives `exec`: a file without a name (`memfd_create(2)`),
//! mapped as long as it is.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap, mremap, munmap};

/// A file of so many bytes, all zero, for other programs; closed by `exec` unless somebody lends it.
pub fn unnamed(name: &CStr, bytes: u64) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC)?;
    ftruncate(&file, bytes)?;
    Ok(file)
}

/// Bytes that only this process maps, and the program it becomes.
pub struct SharedMemory {
    file: OwnedFd,
    start: NonNull<u8>,
    bytes: usize,
}

impl SharedMemory {
    /// New memory, all zero. `name` is for people who look into `/proc`.
    pub fn new(name: &CStr, bytes: usize) -> io::Result<Self> {
        // Not closed by exec: that is what it is for.
        let file = memfd_create(name, MemfdFlags::empty())?;
        ftruncate(&file, bytes as u64)?;
        let start = map(&file, bytes)?;
        Ok(Self { file, start, bytes })
    }

    /// The memory behind a descriptor that an earlier program made.
    ///
    /// # Errors
    /// The descriptor stays open: what it holds may be all there is.
    pub fn from_file(file: OwnedFd) -> io::Result<Self> {
        let mapped = fstat(&file).map_err(io::Error::from).and_then(|stat| {
            let bytes = usize::try_from(stat.st_size).unwrap_or(0);
            match bytes {
                0 => Err(io::ErrorKind::InvalidData.into()),
                _ => Ok((map(&file, bytes)?, bytes)),
            }
        });
        match mapped {
            Ok((start, bytes)) => Ok(Self { file, start, bytes }),
            Err(error) => {
                std::mem::forget(file);
                Err(error)
            }
        }
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
        // SAFETY: the mapping is this one's, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn map(file: &OwnedFd, bytes: usize) -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let start = unsafe { mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0)? };
    Ok(NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?)
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
