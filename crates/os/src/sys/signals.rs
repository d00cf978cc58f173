//! Signals: blocked, and read as messages (`signalfd(2)`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal set of these signals.
fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set, sigaddset changes a filled one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Blocks these signals and gives a descriptor that they are read from with
/// [`next`]. They stay blocked over `exec`: a child must [`unblock_all`].
pub fn read_from(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set(signals);
    // SAFETY: `set` is a filled signal set; the new descriptor is ours alone.
    unsafe {
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The next signal that came, `None` where there is none.
pub fn next(signals: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the kernel writes at most `size` bytes into `info`, and has
    // written all of it where it says so.
    unsafe {
        let count = libc::read(signals.as_raw_fd(), info.as_mut_ptr().cast(), size);
        if count == size as isize {
            return Ok(Some(info.assume_init().ssi_signo as i32));
        }
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
}

/// Blocks no signal any more: what a program expects that is started.
pub fn unblock_all() {
    let set = set(&[]);
    // SAFETY: `set` is a filled signal set.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Ignores SIGPIPE, so that a vanished reader is an error and not the end.
pub fn ignore_pipe() {
    // SAFETY: ignoring a signal runs none of our code.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Lets SIGPIPE end this program, whatever its parent had it do: a vanished reader is no error.
pub fn obey_pipe() {
    // SAFETY: the system's own way to end a program runs none of our code.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Numbers of `asm-generic/signal.h` and of MIPS (`arch/mips/include/uapi/asm/signal.h`)
/// where they differ: generic, MIPS.
const MIPS: [(u8, u8); 16] = [
    (7, 10),  // BUS
    (10, 16), // USR1
    (12, 17), // USR2
    (16, 7),  // STKFLT has none there; EMT has none here
    (17, 18), // CHLD
    (18, 25), // CONT
    (19, 23), // STOP
    (20, 24), // TSTP
    (21, 26), // TTIN
    (22, 27), // TTOU
    (23, 21), // URG
    (24, 30), // XCPU
    (25, 31), // XFSZ
    (26, 28), // VTALRM
    (27, 29), // PROF
    (28, 20), // WINCH
];

const ON_MIPS: bool = cfg!(any(target_arch = "mips", target_arch = "mips64"));

/// The number that this processor's kernel has for a portable signal.
pub fn native(signal: u8) -> i32 {
    let found = MIPS.iter().find(|(generic, _)| ON_MIPS && *generic == signal);
    i32::from(found.map_or(signal, |(_, mips)| *mips))
}

/// The portable number of a signal that the kernel speaks of.
pub fn portable(signal: i32) -> u8 {
    let signal = u8::try_from(signal).unwrap_or(0);
    let found = MIPS.iter().find(|(_, mips)| ON_MIPS && *mips == signal);
    found.map_or(signal, |(generic, _)| *generic)
}

/// Signals by name, in the numbers of this processor's kernel.
pub mod number {
    pub const ALRM: i32 = libc::SIGALRM;
    pub const CHLD: i32 = libc::SIGCHLD;
    pub const HUP: i32 = libc::SIGHUP;
    pub const INT: i32 = libc::SIGINT;
    pub const PIPE: i32 = libc::SIGPIPE;
    pub const PWR: i32 = libc::SIGPWR;
    pub const QUIT: i32 = libc::SIGQUIT;
    pub const TERM: i32 = libc::SIGTERM;
    pub const USR1: i32 = libc::SIGUSR1;
    pub const USR2: i32 = libc::SIGUSR2;
    pub const WINCH: i32 = libc::SIGWINCH;
}
