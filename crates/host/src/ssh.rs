//! What all who speak to a device by the system's ssh have in common.

use std::ffi::OsStr;

/// What ssh ends with where it is not the command over there that has failed (`ssh(1)`).
pub const NO_CONNECTION: i32 = 255;

/// What a shell, and ssh with it, answers where there is no such program.
pub const NOT_FOUND: i32 = 127;

/// A word as a shell reads it. The one over there gets one line.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    format!("'{}'", word.as_ref().to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        let words = ["plain", "two words", "it's", "$HOME `x` \"", "", "me@here", "it's \"$HOME\""];
        for word in words {
            let line = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &line]).output().expect("sh runs");
            assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
