//! What all who speak to a device by the system's ssh have in common.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::process::Command;

use cli::Failure;

/// What ssh ends with where it is not the command over there that has failed (`ssh(1)`).
pub const NO_CONNECTION: i32 = 255;

/// What a shell, and ssh with it, answers where there is no such program.
pub const NOT_FOUND: i32 = 127;

/// ssh as people have it called: `DOORWARD_SSH`, then these words, then `NIX_SSHOPTS`. What is said first
/// counts.
pub fn program(words: &[String]) -> Command {
    let named = |name: &str| env::var(name).unwrap_or_default();
    let program = named("DOORWARD_SSH");
    let mut program = program.split_whitespace();
    let mut command = Command::new(program.next().unwrap_or("ssh"));
    command.args(program).args(words).args(named("NIX_SSHOPTS").split_whitespace());
    command
}

/// Why nobody could be asked at all.
pub fn cannot_run(command: &Command, error: &io::Error) -> Failure {
    let program = command.get_program().display();
    Failure::refused(format!("cannot run {program}: {error}"))
        .hint("`DOORWARD_SSH` names another program than ssh")
}

/// A word as a shell reads it. The one over there gets one line.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    format!("'{}'", word.as_ref().to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
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
