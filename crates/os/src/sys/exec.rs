//! Becoming another program (`execve(2)`), found through `PATH`.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where programs are looked for if `PATH` is not set.
const PATH_DEFAULT: &str = "/usr/bin:/bin";

unsafe extern "C" {
    /// The environment as the C runtime keeps it: pointers to `NAME=VALUE`,
    /// a null pointer behind the last.
    static environ: *const *const c_char;
}

/// Becomes the program `words[0]` with these words as its `argv`; returns only
/// if that failed, with the reason.
///
/// `environment` holds `NAME=VALUE` strings; `None` hands over our own,
/// untouched. A name without `/` is looked for in the directories of our own
/// `PATH` (not of the new environment), of which empty ones are passed over:
/// they never mean the current directory. A file that is not a program is not
/// given to a shell. So do skarnet's programs; [`code`] is their exit code.
pub fn exec(words: &[OsString], environment: Option<&[OsString]>) -> io::Error {
    match prepared(words, environment) {
        Ok((words, environment)) => enter(&words, environment.as_deref()),
        Err(error) => error,
    }
}

/// The exit code for a program that could not be entered: 127 where there is
/// none of that name, 126 where there is one.
pub fn code(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

type Strings = Vec<CString>;

/// Strings as the kernel reads them.
fn prepared(
    words: &[OsString],
    environment: Option<&[OsString]>,
) -> io::Result<(Strings, Option<Strings>)> {
    let strings = |words: &[OsString]| -> io::Result<Strings> {
        words
            .iter()
            .map(|word| {
                // From a slice, not by way of a trait: one copy of this code is enough.
                CString::new(word.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
            })
            .collect()
    };
    if words.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((strings(words)?, environment.map(strings).transpose()?))
}

/// Tries each place where the program may lie.
fn enter(words: &[CString], environment: Option<&[CString]>) -> io::Error {
    let name = words[0].as_bytes();
    let argv = pointers(words);
    let own = environment.map(pointers);
    let envp = match &own {
        Some(own) => own.as_ptr(),
        // SAFETY: the C runtime set it before `main`, and nothing here changes
        // the environment of this process.
        None => unsafe { environ },
    };
    if name.contains(&b'/') {
        return call(&words[0], &argv, envp);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for directory in path.as_bytes().split(|&b| b == b':').filter(|d| !d.is_empty()) {
        let mut file = directory.to_vec();
        file.push(b'/');
        file.extend_from_slice(name);
        let file = CString::new(file).expect("neither PATH nor a word holds a NUL");
        let error = call(&file, &argv, envp);
        match error.raw_os_error() {
            Some(libc::ENOENT) => {}
            // Another directory may still have one that can be run.
            Some(libc::EACCES | libc::ENOTDIR | libc::ENAMETOOLONG) => {
                if worst.kind() == io::ErrorKind::NotFound {
                    worst = error;
                }
            }
            _ => return error,
        }
    }
    worst
}

/// Pointers to these strings, and the null pointer that ends them.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

fn call(file: &CString, argv: &[*const c_char], envp: *const *const c_char) -> io::Error {
    // SAFETY: all three are NUL-terminated, and their strings outlive the call.
    unsafe {
        libc::execve(file.as_ptr(), argv.as_ptr(), envp);
    }
    io::Error::last_os_error()
}

/// An environment to hand over: `NAME=VALUE` strings, changed by name.
#[derive(Clone, Debug)]
pub struct Environment(Vec<OsString>);

impl Environment {
    /// That of this process.
    pub fn own() -> Self {
        let own = std::env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        });
        Self(own.collect())
    }

    /// Adds or replaces a variable.
    pub fn set(&mut self, name: &OsStr, value: &[u8]) {
        self.remove(name);
        let mut entry = name.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value);
        self.0.push(OsString::from_vec(entry));
    }

    /// Takes a variable away, if it is there.
    pub fn remove(&mut self, name: &OsStr) {
        let name = name.as_bytes();
        self.0.retain(|entry| entry.as_bytes().strip_prefix(name).is_none_or(|r| r[0] != b'='));
    }

    pub fn entries(&self) -> &[OsString] {
        &self.0
    }
}
