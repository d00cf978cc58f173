//! Starting a program from a process that holds thousands of descriptors.
//!
//! `fork(2)` copies the descriptor table and `exec` walks it again, so that a
//! start would cost more the more services there are. Here the child shares
//! memory *and* table with its parent (`CLONE_VM | CLONE_VFORK |
//! CLONE_FILES`), then takes a table of its own that holds only the few low
//! descriptors it needs (`close_range(2)` with `CLOSE_RANGE_UNSHARE`, Linux
//! 5.9). Older kernels copy the table and close what is not needed.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Descriptors from here on do not reach a child. Those from 3 to here are
/// kept free for handing over what a child needs.
const KEPT_MAX: RawFd = 9;

const STDIN: RawFd = 3;
const STDOUT: RawFd = 4;
const STDERR: RawFd = 5;
const NOTIFY: RawFd = 6;

/// What the child runs on until it becomes another program. Nothing is nested
/// deeply there; signals are blocked.
const STACK_BYTES: usize = 64 << 10;

const CLOSE_RANGE_UNSHARE: libc::c_uint = 2; // Linux include/uapi/linux/close_range.h

/// What to start, and with what.
pub struct Plan<'a> {
    /// Paths to try, one after the other, while one does not exist.
    pub programs: &'a [*const c_char],
    /// Ends with a null pointer.
    pub argv: &'a [*const c_char],
    /// Ends with a null pointer.
    pub environment: &'a [*const c_char],
    /// The directory that `folder` counts from.
    pub base: BorrowedFd<'a>,
    /// Where it runs.
    pub folder: &'a CStr,
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// A descriptor, and the number that the program knows it by.
    pub notify: Option<(BorrowedFd<'a>, RawFd)>,
    /// Its soft limit of open files.
    pub descriptors_max: Option<u64>,
    pub new_session: bool,
    pub new_pid_namespace: bool,
}

/// Starts programs.
pub struct Spawner {
    /// The far end of a stack that is never freed.
    stack_top: *mut c_void,
    /// The kernel can give the child a small table of its own.
    unshare: bool,
}

/// What the child must know, and where it says why it failed.
struct Child<'a> {
    plan: &'a Plan<'a>,
    /// What becomes 0, 1 and 2 of the program.
    streams: [RawFd; 3],
    unshare: bool,
    highest: RawFd,
    errno: c_int,
}

impl Spawner {
    /// Reserves the low descriptors. To be called before others are opened.
    pub fn new() -> io::Result<Self> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        for fd in 3..KEPT_MAX {
            if fd != null.as_raw_fd() {
                // SAFETY: dup3 on numbers; nobody holds these, as promised.
                check(unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) })?;
            }
        }
        if null.as_raw_fd() < KEPT_MAX {
            std::mem::forget(null);
        }
        // SAFETY: the range beyond all descriptors is empty; nothing is closed.
        let probe = unsafe {
            libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, CLOSE_RANGE_UNSHARE)
        };
        let stack = Box::leak(vec![0u128; STACK_BYTES / 16].into_boxed_slice());
        Ok(Self { stack_top: stack.as_mut_ptr_range().end.cast(), unshare: probe == 0 })
    }

    /// Starts the program of `plan` and gives its process id. The kernel also
    /// writes it to `pid` before anything else happens, so that it is known
    /// even if this process ends here and now.
    ///
    /// # Errors
    /// Why there is no process, or why none of the programs could be executed.
    pub fn spawn(&self, plan: &Plan<'_>, pid: &AtomicU32) -> io::Result<u32> {
        let streams = self.hand_over(plan)?;
        let mut child = Child {
            plan,
            streams,
            unshare: self.unshare,
            highest: highest_descriptor(self.unshare),
            errno: 0,
        };
        let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID;
        flags |= libc::SIGCHLD;
        if self.unshare {
            flags |= libc::CLONE_FILES;
        }
        if plan.new_pid_namespace {
            flags |= libc::CLONE_NEWPID;
        }
        // SAFETY: the child runs `enter` on a stack of its own, below its top,
        // while this thread waits; `child` outlives that.
        let id = check(unsafe {
            libc::clone(
                enter,
                self.stack_top,
                flags,
                (&raw mut child).cast::<c_void>(),
                pid.as_ptr(),
            )
        });
        for fd in [STDIN, STDOUT, STDERR, NOTIFY] {
            if streams.contains(&fd) || (fd == NOTIFY && plan.notify.is_some()) {
                // A pipe must be able to end.
                // SAFETY: reserved numbers; the last one is always /dev/null.
                unsafe { libc::dup3(KEPT_MAX - 1, fd, libc::O_CLOEXEC) };
            }
        }
        // SAFETY: the child wrote `errno` before this thread went on.
        let errno = unsafe { ptr::read_volatile(&raw const child.errno) };
        let id = id?;
        if errno != 0 {
            // SAFETY: waits for our own child, which has ended.
            unsafe { libc::waitpid(id, ptr::null_mut(), 0) };
            pid.store(0, Relaxed);
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(id as u32)
    }

    /// Puts what the child needs where it survives, and says where its
    /// standard streams are. What it shares with this process, or is there
    /// already, needs no new place.
    fn hand_over(&self, plan: &Plan<'_>) -> io::Result<[RawFd; 3]> {
        let wanted = [plan.stdin, plan.stdout, plan.stderr].map(|fd| fd.as_raw_fd());
        let mut streams = [STDIN, STDOUT, STDERR];
        for at in 0..3 {
            let place = streams[at];
            streams[at] = match wanted[..at].iter().position(|&before| before == wanted[at]) {
                _ if wanted[at] == at as RawFd => wanted[at],
                Some(before) => streams[before],
                None => hand_over(wanted[at], place)?,
            };
        }
        if let Some((fd, _)) = plan.notify {
            hand_over(fd.as_raw_fd(), NOTIFY)?;
        }
        Ok(streams)
    }
}

fn hand_over(from: RawFd, to: RawFd) -> io::Result<RawFd> {
    // SAFETY: `from` is open, `to` is reserved for this.
    check(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) })
}

/// One above the highest descriptor in use, for kernels that cannot unshare.
fn highest_descriptor(unshare: bool) -> RawFd {
    if unshare {
        return 0;
    }
    let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let highest = names.filter_map(|e| e.file_name().to_str()?.parse::<RawFd>().ok()).max();
    highest.map_or(65_536, |fd| fd + 1)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The child, until it becomes the program.
///
/// It shares memory with its stopped parent: it allocates nothing and leaves
/// no lock held.
extern "C" fn enter(child: *mut c_void) -> c_int {
    let child = child.cast::<Child<'_>>();
    // SAFETY: `spawn` passed a `Child` that outlives this process image.
    unsafe {
        let errno = become_program(&*child);
        ptr::write_volatile(&raw mut (*child).errno, errno);
        libc::_exit(127)
    }
}

/// Returns only where it failed, with the reason.
unsafe fn become_program(child: &Child<'_>) -> c_int {
    let plan = child.plan;
    // SAFETY: system calls on numbers and strings that the parent prepared.
    unsafe {
        if libc::fchdir(plan.base.as_raw_fd()) != 0 || libc::chdir(plan.folder.as_ptr()) != 0 {
            return *libc::__errno_location();
        }
        if child.unshare {
            let kept = KEPT_MAX as libc::c_uint;
            if libc::syscall(libc::SYS_close_range, kept, u32::MAX, CLOSE_RANGE_UNSHARE) != 0 {
                return *libc::__errno_location();
            }
        } else {
            for fd in KEPT_MAX..child.highest {
                libc::close(fd);
            }
        }
        if plan.new_session {
            libc::setsid();
        }
        if let Some(most) = plan.descriptors_max {
            let mut limit: libc::rlimit = std::mem::zeroed();
            if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
                limit.rlim_cur = most as libc::rlim_t;
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            }
        }
        for (from, to) in child.streams.into_iter().zip(0..) {
            if give(from, to) < 0 {
                return *libc::__errno_location();
            }
        }
        if let Some((_, number)) = plan.notify
            && give(NOTIFY, number) < 0
        {
            return *libc::__errno_location();
        }
        super::signals::unblock_all();
        let mut errno = libc::ENOENT;
        for &program in plan.programs {
            libc::execve(program, plan.argv.as_ptr(), plan.environment.as_ptr());
            errno = *libc::__errno_location();
            if !matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::EACCES) {
                break;
            }
        }
        errno
    }
}

/// Makes `from` the descriptor `to`, which the next program gets.
unsafe fn give(from: RawFd, to: RawFd) -> c_int {
    // SAFETY: numbers only; in the child, whose table nobody shares any more.
    unsafe { if from == to { libc::fcntl(to, libc::F_SETFD, 0) } else { libc::dup2(from, to) } }
}
