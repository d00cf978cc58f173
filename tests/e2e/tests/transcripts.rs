//! What people type and what they read: the texts in tests/cases/transcripts are run, and what comes out is
//! what stands there. `TRANSCRIPTS=write cargo test -p e2e --test transcripts` writes them anew; read the
//! difference before it is committed.
//!
//! `$` begins a command, `%` one whose output is no matter, `!` a line of standard error, `?` the exit code
//! where it is not 0, and `#` a comment; output that begins so has a dot before it. Times are T, numbers of processes are N, days and labels are DATE;
//! several blanks are two. Files named `ward-…` are run in a pretend router, others in an empty folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::{Folder, doorward, ward};

/// Parts of an answer begin with this.
const MARK: &str = "\u{1}";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/transcripts")
}

/// The files whose names begin so.
fn files(prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder is there").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    files.retain(|path| named(path) && path.extension().is_some_and(|it| it == "txt"));
    files.sort();
    assert!(!files.is_empty(), "no file is called {prefix}");
    files
}

/// `web` needs `net` and `rules`; the start of `rules` takes a while; `dies` and `fails` do what they are
/// called.
fn router() -> Device {
    let device = Device::new("transcripts");
    device.longrun("net", "echo up and away\nexec sleep 100000").oneshot("rules", "sleep 0.3");
    device.sleeper("web").needs("web", &["net", "rules"]);
    device.oneshot("fails", "sh -c \"echo '<3>it is too late'; exit 3\"");
    device.sleeper("user").needs("user", &["fails"]);
    device.longrun("dies", "echo good bye\nexit 7").set("dies", "restart-wait", "60000");
    device.sleeper("spare").bundle("default", &["web"]).bundle("all", &["net", "rules", "web"]);
    device
}

/// A shell script that runs each command and says what came of it.
fn script(text: &str) -> String {
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
fn filled(text: &str, answers: &str) -> String {
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
            1.. if begins && rest.as_bytes()[0].is_ascii_digit() => {
                let unit = ["ms", "min", "s", "h", "d"].into_iter().find(|unit| {
                    let after = rest[number..].strip_prefix(&format!(" {unit}"));
                    after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
                });
                let of = |what: &str| words.concat().ends_with(what);
                match unit {
                    Some(unit) => (number + 1 + unit.len(), "T"),
                    _ if of("process ") || of("pid\":") => (number, "N"),
                    _ if of("_ms\":") || of("ms\": ") => (number, "T"),
                    // A day, or the time of one.
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

/// A number of a boot, as the kernel makes them up.
fn is_boot(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() >= 36
        && text.bytes().take(36).enumerate().all(|(at, byte)| match dash(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

fn compare(path: &Path, text: &str, found: &str) {
    if std::env::var_os("TRANSCRIPTS").is_some_and(|word| word == "write") {
        fs::write(path, found).expect("it can be written");
        return;
    }
    for (number, (is, was)) in found.lines().zip(text.lines()).enumerate() {
        assert_eq!(is, was, "{}:{}:\n{found}", path.display(), number + 1);
    }
    assert_eq!(found.lines().count(), text.lines().count(), "{}:\n{found}", path.display());
}

#[test]
fn on_a_router() {
    let sources = router();
    for path in files("ward-") {
        let text = fs::read_to_string(&path).unwrap();
        let mut command = Command::new(doorward());
        command.args(["run", "--ward"]).arg(ward()).arg(sources.join("src"));
        let said = Client::run(command.args(["sh", "-c", &script(&text)]));
        assert_eq!(said.code, 0, "{}: {}\n{}", path.display(), said.out, said.err);
        compare(&path, &text, &filled(&text, &said.out));
    }
}

#[test]
fn on_the_build_machine() {
    for path in files("doorward-") {
        let text = fs::read_to_string(&path).unwrap();
        let folder = Folder::new("transcripts");
        let place = doorward().parent().unwrap();
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args(["-c", &script(&text)]);
        let own = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{own}", place.display()));
        command.env_remove("NIX_SSHOPTS").env("COLUMNS", "100");
        let said = Client::run(&mut command);
        let out = said.out.replace(&*folder.path().to_string_lossy(), "FOLDER");
        compare(&path, &text, &filled(&text, &out));
    }
}

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
        ("{\"pid\":12,\"for_ms\":55.5}", "{\"pid\":N,\"for_ms\":T}"),
    ] {
        assert_eq!(plain(line), expected);
    }
}
