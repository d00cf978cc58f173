//! What people type and what they read, kept as text in tests/cases/transcripts: the commands of a file are
//! run, and what comes out is what stands there. `TRANSCRIPTS=write` writes the file anew.
//!
//! `$` begins a command, `%` one whose output is no matter, `!` a line of standard error, `?` the exit code
//! where it is not 0, and `#` a comment; output that begins so has a dot before it. Times are T, numbers of
//! processes are N, days and labels are DATE, a boot is BOOT and the hash of a store path HASH; several blanks
//! are two.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::Client;
use crate::doorward;

/// Parts of an answer begin with this.
const MARK: &str = "\u{1}";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/transcripts")
}

/// The files whose names begin so.
pub fn files(prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder is there").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    files.retain(|path| named(path) && path.extension().is_some_and(|it| it == "txt"));
    files.sort();
    assert!(!files.is_empty(), "no file is called {prefix}");
    files
}

/// A shell script that runs each command and says what came of it.
pub fn script(text: &str) -> String {
    let mut script = String::from("o=$(mktemp -d)\n");
    for line in text.lines() {
        let (shown, command) = match (line.strip_prefix("$ "), line.strip_prefix("% ")) {
            (Some(command), _) => (true, command),
            (_, Some(command)) => (false, command),
            _ => continue,
        };
        script += &format!("( {command}\n) >$o/out 2>$o/err </dev/null; code=$?\n");
        if shown {
            script += &format!(
                "printf '{MARK}'; cat $o/out; printf '{MARK}'; cat $o/err; printf \"{MARK}$code{MARK}\"\n"
            );
        }
    }
    script + "rm -r $o\n"
}

/// The text with these answers in it.
pub fn filled(text: &str, answers: &str) -> String {
    let mut parts = answers.split(MARK).skip(1);
    let mut filled = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with(['#', '%']) {
            filled += &format!("{line}\n");
        } else if line.starts_with("$ ") {
            let (out, err, code) = (parts.next(), parts.next(), parts.next());
            let (Some(out), Some(err), Some(code)) = (out, err, code) else {
                panic!("the script ended before {line:?}:\n{answers}");
            };
            parts.next(); // What is between two answers.
            filled += &format!("{line}\n");
            for said in out.lines() {
                // What would be taken for one of the file's own has a dot before it.
                let own = said.is_empty() || said.starts_with(['#', '$', '%', '!', '?', '.']);
                filled += if own { "." } else { "" };
                filled += &format!("{}\n", plain(said));
            }
            err.lines().for_each(|said| filled += &format!("! {}\n", plain(said)));
            if code != "0" {
                filled += &format!("? {code}\n");
            }
        }
    }
    filled
}

/// A line without what differs from time to time.
fn plain(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || b".:-".contains(b)).count();
        // What stands behind a number is none of it.
        let number = rest[..number].trim_end_matches(['.', ':', '-']).len();
        let begins = words.last().is_none_or(|word| !word.ends_with(|c: char| c.is_alphanumeric()));
        let (count, word) = match number {
            _ if rest.starts_with('█') || rest.starts_with('·') => {
                let bar = rest.chars().take_while(|c| "█·".contains(*c));
                (bar.map(char::len_utf8).sum(), "BAR")
            }
            _ if rest.starts_with("@40000") && rest.len() >= 25 => (25, "DATE"),
            _ if is_boot(rest) => (36, "BOOT"),
            _ if is_hash(rest) && words.concat().ends_with("/nix/store/") => (32, "HASH"),
            1.. if begins && rest.as_bytes()[0].is_ascii_digit() => {
                let unit = ["ms", "min", "s", "h", "d"].into_iter().find(|unit| {
                    let after = rest[number..].strip_prefix(&format!(" {unit}"));
                    after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
                });
                let of = |what: &str| words.concat().ends_with(what);
                match unit {
                    Some(unit) => (number + 1 + unit.len(), "T"),
                    _ if of("process ") || of("pid\":") || of("(pid ") || of(" pgid ") => {
                        (number, "N")
                    }
                    // As s6-svstat has it.
                    _ if of(") ") && rest[number..].starts_with(" seconds") => {
                        (number + " seconds".len(), "T")
                    }
                    _ if of("_ms\":") || of("ms\": ") => (number, "T"),
                    // An address, or a day, or the time of one.
                    _ if of(":") || rest[..number].bytes().filter(|b| *b == b'.').count() >= 2 => {
                        (number, &rest[..number])
                    }
                    _ if rest[..number].bytes().filter(|b| b"-:".contains(b)).count() >= 1 => {
                        (number, "DATE")
                    }
                    _ => (number, &rest[..number]),
                }
            }
            _ => {
                let c = rest.chars().next().expect("it is not empty");
                (c.len_utf8(), &rest[..c.len_utf8()])
            }
        };
        words.push(word.to_owned());
        rest = &rest[count..];
    }
    let mut line = words.concat().replace("DATE DATE", "DATE");
    let indent = line.len() - line.trim_start().len();
    let mut body = line.split_off(indent);
    while body.contains("   ") {
        body = body.replace("   ", "  ");
    }
    (line + body.trim_end()).trim_end().to_owned()
}

/// What begins the name of a store path.
fn is_hash(text: &str) -> bool {
    let is_of = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    text.len() > 32 && text.as_bytes()[32] == b'-' && text.bytes().take(32).all(is_of)
}

/// A number of a boot, as the kernel makes them up.
fn is_boot(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() >= 36
        && text.bytes().take(36).enumerate().all(|(at, byte)| match dash(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// What was said and how it ended, as a script says it of a command: of one that a test has called itself.
pub fn answer(out: &str, err: &str, code: i32) -> String {
    format!("{MARK}{out}{MARK}{err}{MARK}{code}{MARK}\n")
}

/// The commands of one file, which `run` has a shell do: what is printed by a script.
pub fn check(name: &str, run: impl FnOnce(&str) -> String) {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    compare(&path, &text, &filled(&text, &run(&script(&text))));
}

/// The same on this machine, in a folder and with `doorward` on the PATH. What is named in `hidden` differs from time
/// to time: it is shown as the word beside it.
pub fn here(name: &str, folder: &Path, hidden: &[(&str, &str)], more: impl FnOnce(&mut Command)) {
    check(name, |script| {
        let place = doorward().parent().expect("it lies in a folder");
        let mut command = Command::new("sh");
        command.current_dir(folder).args(["-c", script]);
        let own = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{own}", place.display()));
        command.env_remove("NIX_SSHOPTS").env("COLUMNS", "100");
        more(&mut command);
        let said = Client::run(&mut command);
        let mut out = said.out.replace(&*folder.to_string_lossy(), "FOLDER");
        for (what, word) in hidden {
            out = out.replace(what, word);
        }
        out
    });
}

#[track_caller]
pub fn compare(path: &Path, text: &str, found: &str) {
    if std::env::var_os("TRANSCRIPTS").is_some_and(|word| word == "write") {
        fs::write(path, found).expect("it can be written");
        return;
    }
    for (number, (is, was)) in found.lines().zip(text.lines()).enumerate() {
        assert_eq!(is, was, "{}:{}:\n{found}", path.display(), number + 1);
    }
    assert_eq!(found.lines().count(), text.lines().count(), "{}:\n{found}", path.display());
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_differs_from_time_to_time_is_no_matter() {
        for (line, expected) in [
            ("web  up         for 1.2 s, process 4711", "web  up  for T, process N"),
            ("net   12 ms  ···███", "net  T  BAR"),
            ("2026-11-26 06:12:00.123456789 net hello 5", "DATE net hello 5"),
            ("  11-26 06:12:00 bye", "  DATE bye"),
            ("exit code 111: no; a:1: b", "exit code 111: no; a:1: b"),
            ("\"9f5f0464-bea6-48e0-9c5f-c92ff211ce66\"", "\"BOOT\""),
            ("exited 3, 10 of 20", "exited 3, 10 of 20"),
            ("last exit (125), v0.1.0, web2 s", "last exit (125), v0.1.0, web2 s"),
            ("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-web-2 it", "/nix/store/HASH-web-2 it"),
            ("at 127.0.0.1:8080", "at 127.0.0.1:8080"),
            ("within 10 seconds", "within 10 seconds"),
            ("up (pid 12 pgid 12) 4 seconds", "up (pid N pgid N) T"),
            ("{\"pid\":12,\"for_ms\":55.5}", "{\"pid\":N,\"for_ms\":T}"),
        ] {
            assert_eq!(plain(line), expected);
        }
    }
}
