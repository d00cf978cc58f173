//! An environment variable's value, as a file of `s6-envdir` gives it.

use alloc::vec::Vec;

/// How much of a file makes the value. Source: s6 `s6-envdir.html`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of the file, instead of its first line.
    pub verbatim: bool,
    /// Blanks at the end of the first line stay; of a verbatim file, its last newline.
    pub keep_end: bool,
    /// What stands for the NULs, which no environment can hold.
    pub null: u8,
}

impl Default for Rule {
    fn default() -> Self {
        Self { verbatim: false, keep_end: false, null: b'\n' }
    }
}

/// The value that these bytes of a file give, `None` where there are none:
/// then the variable is taken away.
///
/// Blanks are spaces, tabs and carriage returns.
pub fn value(file: &[u8], rule: Rule) -> Option<Vec<u8>> {
    if file.is_empty() {
        return None;
    }
    let kept = if rule.verbatim {
        if rule.keep_end { file } else { file.strip_suffix(b"\n").unwrap_or(file) }
    } else {
        let line = file.split(|&b| b == b'\n').next().unwrap_or(file);
        let blanks = line.iter().rev().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
        if rule.keep_end { line } else { &line[..line.len() - blanks] }
    };
    Some(kept.iter().map(|&b| if b == 0 { rule.null } else { b }).collect())
}

/// Whether a file of this name gives a variable: hidden ones do not, nor those
/// whose name no variable can have.
pub fn names_variable(file: &[u8]) -> bool {
    !file.starts_with(b".") && !file.contains(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_first_line_without_the_blanks_at_its_end() {
        let plain = Rule::default();
        let keep = Rule { keep_end: true, ..plain };
        let verbatim = Rule { verbatim: true, ..plain };
        let whole = Rule { verbatim: true, keep_end: true, null: b'x' };
        for (file, rule, expected) in [
            (&b""[..], plain, None),
            (b"\n", plain, Some(&b""[..])),
            (b"a \t \nb", plain, Some(b"a")),
            (b" a\r\n", plain, Some(b" a")),
            (b"a \0 \n", plain, Some(b"a \n")), // blanks go before NULs change
            (b"a \nb", keep, Some(b"a ")),
            (b"a\nb \n\n", verbatim, Some(b"a\nb \n")),
            (b"a\0\n", whole, Some(b"ax\n")),
        ] {
            assert_eq!(value(file, rule).as_deref(), expected, "{file:?}, {rule:?}");
        }
    }
}
