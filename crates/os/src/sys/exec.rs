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
/// if that failed, with the reason. See [`Program::new`].
pub fn exec(words: &[OsString], environment: Option<&[OsString]>) -> io::Error {
    match Program::new(words, environment) {
        Ok(program) => program.enter(),
        Err(error) => error,
    }
}

/// The exit code for a program that could not be entered: 127 where there is
/// none of that name, 126 where there is one.
pub fn code(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// A program that can be entered without asking for memory, which a limit may
/// have forbidden by then.
pub struct Program {
    /// Where it may lie, in the order to try.
    places: Vec<CString>,
    argv: Strings,
    environment: Option<Strings>,
}

impl Program {
    /// Prepares to become the program `words[0]`.
    ///
    /// `environment` holds `NAME=VALUE` strings; `None` hands over our own,
    /// untouched. A name without `/` is looked for in the directories of our
    /// own `PATH` (not of the new environment), of which empty ones are passed
    /// over: they never mean the current directory. A file that is not a
    /// program is not given to a shell. So do skarnet's programs.
    ///
    /// # Errors
    /// There are no words, or one holds a NUL.
    pub fn new(words: &[OsString], environment: Option<&[OsString]>) -> io::Result<Self> {
        let name = words.first().ok_or(io::ErrorKind::InvalidInput)?;
        let places = if name.as_bytes().contains(&b'/') {
            vec![string(name.as_bytes())?]
        } else {
            let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
            let directories = path.as_bytes().split(|&b| b == b':').filter(|d| !d.is_empty());
            directories
                .map(|directory| string(&[directory, b"/", name.as_bytes()].concat()))
                .collect::<io::Result<_>>()?
        };
        let environment = environment.map(Strings::new).transpose()?;
        Ok(Self { places, argv: Strings::new(words)?, environment })
    }

    /// Becomes it; returns only if that failed, with the reason.
    pub fn enter(&self) -> io::Error {
        let envp = match &self.environment {
            Some(own) => own.pointers.as_ptr(),
            // SAFETY: the C runtime set it before `main`, and nothing here
            // changes the environment of this process.
            None => unsafe { environ },
        };
        let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
        for place in &self.places {
            // SAFETY: all three are NUL-terminated, and `self` holds their strings.
            unsafe {
                libc::execve(place.as_ptr(), self.argv.pointers.as_ptr(), envp);
            }
            let error = io::Error::last_os_error();
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
}

/// Strings as the kernel reads them.
struct Strings {
    /// To the first byte of each, and a null pointer behind the last.
    pointers: Vec<*const c_char>,
    /// What is pointed at; a vector of these may move, the bytes do not.
    _held: Vec<CString>,
}

impl Strings {
    fn new(words: &[OsString]) -> io::Result<Self> {
        let held = words.iter().map(|w| string(w.as_bytes())).collect::<io::Result<Vec<_>>>()?;
        let pointers = held.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { pointers, _held: held })
    }
}

fn string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
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
