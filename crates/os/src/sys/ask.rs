//! Questions about other processes whose answers may be no process number
//! here: 0 for one in another pid namespace, -1 for a lock of nobody in
//! particular.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether another process holds a lock on any part of the file that keeps
/// this one from writing (`F_GETLK` of `fcntl(2)`); an open file's own lock,
/// which belongs to no process, counts too.
pub fn locked_by_another(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: all zero is a valid `flock`: the whole file.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    // SAFETY: the kernel writes into `lock` alone.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) } {
        0 => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The process group of process `pid`; `None` where it is gone, or has none
/// that can be named here (a thread of the kernel, another pid namespace).
pub fn process_group(pid: i32) -> Option<i32> {
    // SAFETY: asks a number about a number.
    let group = unsafe { libc::getpgid(pid) };
    (pid > 0 && group > 0).then_some(group)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_number_has_an_answer() {
        let own = std::process::id() as i32;
        assert!(process_group(own).is_some());
        for pid in [i32::MIN, -1, 0, i32::MAX] {
            assert_eq!(process_group(pid), None, "{pid}");
        }
        for pid in 1..200 {
            // Some of these may be threads of the kernel, whose group is 0.
            assert_ne!(process_group(pid), Some(0));
        }
    }

    #[test]
    fn a_lock_of_an_open_file_is_seen() {
        let path = std::env::temp_dir().join(format!("ask-{own}", own = std::process::id()));
        let (one, other) =
            (std::fs::File::create(&path).unwrap(), std::fs::File::open(&path).unwrap());
        assert!(!locked_by_another(other.as_fd()).unwrap());
        // SAFETY: as in `locked_by_another`; F_OFD_SETLK only reads `lock`.
        unsafe {
            let mut lock: libc::flock = mem::zeroed();
            lock.l_type = libc::F_WRLCK as _;
            assert_eq!(libc::fcntl(one.as_raw_fd(), libc::F_OFD_SETLK, &lock), 0);
        }
        assert!(locked_by_another(other.as_fd()).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
