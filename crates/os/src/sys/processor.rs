//! Starting a program between files: what a log is processed by, or a check (`posix_spawn(3)`).

use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Starts `program`, found on `PATH`, with these descriptors (a descriptor, and
/// the number the program knows it by; none may be one of these numbers
/// itself), no signal blocked, in the current directory. Gives its process id.
pub fn start(
    program: &[CString],
    descriptors: &[(BorrowedFd<'_>, i32)],
) -> io::Result<rustix::process::Pid> {
    spawn(program, descriptors, None, false)
}

/// The same, leading a process group of its own, with one more variable in its environment.
pub fn start_group(
    program: &[CString],
    descriptors: &[(BorrowedFd<'_>, i32)],
    variable: &CString,
) -> io::Result<rustix::process::Pid> {
    spawn(program, descriptors, Some(variable), true)
}

fn spawn(
    program: &[CString],
    descriptors: &[(BorrowedFd<'_>, i32)],
    variable: Option<&CString>,
    leads_group: bool,
) -> io::Result<rustix::process::Pid> {
    let mut argv: Vec<*mut c_char> = program.iter().map(|word| word.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    let mut environment: Vec<*mut c_char> = Vec::new();
    environment.extend(variable.map(|variable| variable.as_ptr().cast_mut()));
    // SAFETY: `environ` is the C library's own list, which ends with a null
    // pointer; nothing here changes it.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            environment.push((*next).cast_mut());
            next = next.add(1);
        }
    }
    environment.push(ptr::null_mut());
    let mut pid = 0;
    // SAFETY: the two objects are initialised before they are used and
    // destroyed afterwards; `argv` and `environment` end with a null pointer,
    // and their strings outlive the call.
    let code = unsafe {
        libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        libc::posix_spawnattr_init(attributes.as_mut_ptr());
        let (mut actions, mut attributes) = (actions.assume_init(), attributes.assume_init());
        let mut code = 0;
        for (descriptor, number) in descriptors {
            let fd = descriptor.as_raw_fd();
            debug_assert_ne!(fd, *number);
            code |= libc::posix_spawn_file_actions_adddup2(&mut actions, fd, *number);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::posix_spawnattr_setsigmask(&mut attributes, none.as_ptr());
        // A log is written on by who ignores SIGPIPE; a filter does not.
        let mut default = MaybeUninit::uninit();
        libc::sigemptyset(default.as_mut_ptr());
        libc::sigaddset(default.as_mut_ptr(), libc::SIGPIPE);
        libc::posix_spawnattr_setsigdefault(&mut attributes, default.as_ptr());
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        if leads_group {
            flags |= libc::POSIX_SPAWN_SETPGROUP;
            libc::posix_spawnattr_setpgroup(&mut attributes, 0);
        }
        libc::posix_spawnattr_setflags(&mut attributes, flags as _);
        if code == 0 {
            let (name, env) = (argv[0], environment.as_ptr());
            code = libc::posix_spawnp(&mut pid, name, &actions, &attributes, argv.as_ptr(), env);
        }
        libc::posix_spawn_file_actions_destroy(&mut actions);
        libc::posix_spawnattr_destroy(&mut attributes);
        code
    };
    match rustix::process::Pid::from_raw(pid) {
        Some(pid) if code == 0 => Ok(pid),
        _ => Err(io::Error::from_raw_os_error(if code == 0 { libc::EINVAL } else { code })),
    }
}
