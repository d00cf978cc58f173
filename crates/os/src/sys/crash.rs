//! What init does when it makes a mistake: it starts itself anew.
//!
//! A fault (SIGSEGV and its kin, or a panic, which aborts) runs a handler on
//! a stack of its own. The handler executes the program again; memory,
//! descriptors that are not close-on-exec, and children stay.

use std::ffi::{CString, OsStr, OsString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::SeqCst};

const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS];

const STACK_BYTES: usize = 64 << 10;

/// What the handler needs. Never freed: it may be in use at any moment.
struct Again {
    program: OwnedFd,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

static AGAIN: AtomicPtr<Again> = AtomicPtr::new(std::ptr::null_mut());
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Pointers to words, ended by a null pointer. The words are never freed.
pub fn leak_words<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Vec<*const c_char> {
    let mut pointers: Vec<*const c_char> = words
        .into_iter()
        .filter_map(|word| CString::new(word.as_bytes()).ok())
        .map(|word| word.into_raw().cast_const())
        .collect();
    pointers.push(std::ptr::null());
    pointers
}

/// The environment of this program as [`leak_words`] gives it, with `path`
/// for `PATH` where there is none.
pub fn environment_words(path: &str) -> Vec<*const c_char> {
    let mut words: Vec<OsString> = std::env::vars_os()
        .map(|(name, value)| {
            let mut word = name;
            word.push("=");
            word.push(value);
            word
        })
        .collect();
    if std::env::var_os("PATH").is_none() {
        words.push(format!("PATH={path}").into());
    }
    leak_words(words.iter().map(OsString::as_os_str))
}

/// Opens a program to be executed later, even if its file is gone by then.
fn open_program(path: &Path) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}

/// From now on a fault executes the program at `path` with these words and
/// this environment.
pub fn install(
    path: &Path,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
) -> io::Result<()> {
    let again = Box::leak(Box::new(Again { program: open_program(path)?, argv, environment }));
    AGAIN.store(again, SeqCst);
    // SAFETY: the stack is never freed; the handler only makes system calls.
    unsafe {
        OWNER.store(libc::getpid(), SeqCst);
        let stack = Box::leak(vec![0u8; STACK_BYTES].into_boxed_slice());
        let stack =
            libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK_BYTES };
        if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        for fault in FAULTS {
            if libc::sigaction(fault, &action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

extern "C" fn handler(fault: c_int) {
    const SAID: &[u8] = b"ward init: fault, starting anew\n";
    // SAFETY: only calls that are safe in a handler (signal-safety(7)).
    unsafe {
        if libc::getpid() == OWNER.load(SeqCst) {
            // Where nobody reads, it is left out rather than waited for.
            let mut room = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
            if libc::poll(&mut room, 1, 0) > 0 {
                libc::write(2, SAID.as_ptr().cast(), SAID.len());
            }
            while let libc::ENOMEM | libc::EAGAIN | libc::ENFILE | libc::EINTR | libc::ETXTBSY =
                again()
            {
                // It will pass, and whoever ends here takes every service along.
                libc::poll(std::ptr::null_mut(), 0, 100);
            }
        }
        // A child that has not become its program yet, or a program file that
        // cannot be executed: nothing better is left.
        libc::_exit(128 + fault);
    }
}

/// Executes what [`install`] was given. Returns where the kernel refused.
pub fn execute() -> io::Error {
    io::Error::from_raw_os_error(again())
}

/// Executes the program at `path` instead, with the same words and
/// environment. Returns where the kernel refused; then all is as it was.
pub fn execute_program(path: &Path) -> io::Error {
    match open_program(path) {
        Ok(program) => io::Error::from_raw_os_error(execute_file(program.as_raw_fd())),
        Err(error) => error,
    }
}

fn again() -> c_int {
    let again = AGAIN.load(SeqCst);
    // SAFETY: null, or leaked by `install` and never changed.
    match unsafe { again.as_ref() } {
        Some(again) => execute_file(again.program.as_raw_fd()),
        None => libc::ENOENT,
    }
}

/// Gives the error, if it comes back.
fn execute_file(program: RawFd) -> c_int {
    // SAFETY: `again` is null or was leaked by `install`; its words end with null.
    unsafe {
        let Some(again) = AGAIN.load(SeqCst).as_ref() else { return libc::ENOENT };
        libc::syscall(
            libc::SYS_execveat,
            program,
            c"".as_ptr(),
            again.argv.as_ptr(),
            again.environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        *libc::__errno_location()
    }
}

/// Makes a fault on purpose, to show that it is survived.
pub fn fault() -> ! {
    // SAFETY: there is nothing at this address, and that is the point: the
    // processor raises SIGSEGV and the handler takes over.
    unsafe {
        std::ptr::write_volatile(std::ptr::without_provenance_mut::<u8>(8), 1);
        libc::abort()
    }
}
