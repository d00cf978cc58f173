//! The first instructions of a program.
//!
//! The standard library's own start-up polls descriptors, makes an alternate
//! signal stack and ignores SIGPIPE: a dozen system calls that a command which
//! lives for a tenth of a millisecond does not want, and an ignored SIGPIPE
//! that every service would inherit. Programs here are entered as C enters
//! them.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// The words of the command line, `argv[0]` first.
///
/// # Safety
/// `argv` must be what the C runtime gave to `main`: `argc` pointers to
/// strings that live as long as the process.
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    (0..usize::try_from(argc).unwrap_or(0))
        .map(|i| {
            // SAFETY: the caller promises `argc` valid strings.
            let word = unsafe { CStr::from_ptr(*argv.add(i)) };
            OsStr::from_bytes(word.to_bytes()).to_owned()
        })
        .collect()
}

/// Makes `$run`, a `fn(Vec<OsString>) -> u8`, the entry of a `#![no_main]` program.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            argc: ::std::ffi::c_int,
            argv: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: this is `main`, called by the C runtime.
            let words = unsafe { $crate::sys::entry::arguments(argc, argv) };
            ::std::ffi::c_int::from($run(words))
        }
    };
}
