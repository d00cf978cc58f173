//! POSIX extended regular expressions, through the C library (`regcomp(3)`).

use std::cell::Cell;
use std::ffi::CString;
use std::mem::MaybeUninit;

/// A compiled extended regular expression.
///
/// Bytes are letters: no locale is ever set, so that one byte that is not
/// UTF-8 cannot make a line unmatchable.
pub struct Regex {
    /// Boxed, because a C library may keep addresses into it.
    compiled: Box<libc::regex_t>,
    /// The text with a NUL behind it; kept, so that matching line after line
    /// allocates once.
    text: Cell<Vec<u8>>,
}

// SAFETY: nothing in a compiled expression belongs to the thread that made it.
unsafe impl Send for Regex {}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// Why it is no expression, in the words of the C library.
    pub fn new(pattern: &[u8]) -> Result<Self, String> {
        let pattern =
            CString::new(pattern).map_err(|_| String::from("it holds a NUL character"))?;
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: both pointers are valid; regcomp fills `compiled` where it returns 0.
        let code = unsafe {
            let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
            libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags)
        };
        if code != 0 {
            return Err(explain(code));
        }
        // SAFETY: regcomp returned 0, so it is filled.
        let compiled = unsafe { compiled.assume_init() };
        Ok(Self { compiled, text: Cell::new(Vec::new()) })
    }

    /// Whether the expression matches somewhere in `text`.
    ///
    /// The C library sees strings that end at a NUL; a NUL in `text` is shown
    /// to it as byte 1, so that nothing hides behind one.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.matches(text, 0)
    }

    /// Whether it matches in `text` that something was cut off before: `^`
    /// does not match its beginning.
    pub fn is_match_inside(&self, text: &[u8]) -> bool {
        self.matches(text, libc::REG_NOTBOL)
    }

    fn matches(&self, text: &[u8], flags: i32) -> bool {
        let mut string = self.text.take();
        string.clear();
        string.extend_from_slice(text);
        if text.contains(&0) {
            for byte in string.iter_mut().filter(|byte| **byte == 0) {
                *byte = 1;
            }
        }
        string.push(0);
        // SAFETY: `compiled` came from regcomp, `string` ends with a NUL, and
        // no place for submatches is given together with a count of none.
        let code = unsafe {
            libc::regexec(&*self.compiled, string.as_ptr().cast(), 0, std::ptr::null_mut(), flags)
        };
        self.text.set(string);
        code == 0
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: `compiled` came from regcomp and is freed once.
        unsafe { libc::regfree(&mut *self.compiled) }
    }
}

/// The C library's words for an error of `regcomp`.
fn explain(code: i32) -> String {
    let mut text = [0u8; 128];
    // SAFETY: at most `text.len()` bytes are written, a NUL the last of them.
    // glibc and musl both look at the code alone, so none was compiled.
    let length =
        unsafe { libc::regerror(code, std::ptr::null(), text.as_mut_ptr().cast(), text.len()) };
    let end = length.saturating_sub(1).min(text.len() - 1);
    String::from_utf8_lossy(&text[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_extended_ones() {
        for (pattern, text, expected) in [
            ("U|[ud]D", &b"suU"[..], true),
            ("^a+$", b"aaa", true),
            ("^a+$", b"aab", false),
            ("", b"", true),
            ("d{2}", b"dud", false),
            ("^.$", b"\xff", true),       // not UTF-8, and yet one letter
            ("after", b"x\0after", true), // nothing hides behind a NUL
            ("^x.a", b"x\0after", true),
        ] {
            let regex = Regex::new(pattern.as_bytes()).unwrap();
            assert_eq!(regex.is_match(text), expected, "{pattern:?} on {text:?}");
            assert_eq!(regex.is_match(text), expected, "{pattern:?} on {text:?}, again");
        }
        let regex = Regex::new(b"^a|b").unwrap();
        assert!(regex.is_match(b"a") && !regex.is_match_inside(b"a"));
        assert!(regex.is_match_inside(b"ab"));
    }

    #[test]
    fn what_is_no_expression_is_explained() {
        for pattern in [&b"("[..], b"[a", b"a{2", b"a\0b"] {
            let error = Regex::new(pattern).err().expect("it is no expression");
            assert!(!error.is_empty(), "{pattern:?}");
        }
    }
}
