//! What every source file keeps to.

use super::{Findings, Workspace};

const FILE_BYTES_MAX: usize = 24_000;

/// A word that may not stand in code below `folders`, except in files that
/// `except` begins.
struct Ban {
    words: &'static [&'static str],
    folders: &'static [&'static str],
    except: &'static [&'static str],
    /// Whether tests (from `#[cfg(test)]` on, and files of tests) may use it.
    tests_may: bool,
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["std::", "std;"],
        folders: &["crates/model/src/", "crates/engine/src/"],
        except: &[],
        tests_may: true,
        why: "reaches for the standard library (Absent on purpose 1)",
    },
    Ban {
        words: &["unsafe"],
        folders: &["crates/", "tests/", "xtask/"],
        except: &["crates/os/src/sys/"],
        tests_may: false,
        why: "is unsafe outside crates/os/src/sys (Absent on purpose 2)",
    },
    Ban {
        words: &["sleep", "Instant", "SystemTime"],
        folders: &["crates/model/src/", "crates/engine/src/"],
        except: &[],
        tests_may: true,
        why: "waits or reads a clock in a machine (Absent on purpose 3)",
    },
    Ban {
        words: &[
            "service::source",
            "service::definition",
            "service::execline",
            "service::compile",
            "from_str_radix",
            "split_whitespace",
        ],
        folders: &["crates/engine/src/", "crates/os/src/service/world"],
        except: &[],
        tests_may: true,
        why: "parses text where pid 1 runs (Absent on purpose 4)",
    },
    Ban {
        words: &["println!", "eprintln!", "print!", "eprint!", "dbg!", "process::exit"],
        folders: &["crates/model/src/", "crates/engine/src/", "crates/os/src/", "crates/cli/src/"],
        except: &["crates/os/src/sys/"],
        tests_may: true,
        why: "prints or exits below the programs (Absent on purpose 8)",
    },
    Ban {
        words: &["todo!", "unimplemented!", "#[ignore", "TODO", "FIXME", "XXX"],
        folders: &["crates/", "tests/", "xtask/"],
        except: &["xtask/src/tidy/sources.rs"],
        tests_may: false,
        why: "is unfinished",
    },
];

pub fn check(workspace: &Workspace, findings: &mut Findings) {
    for (path, text) in &workspace.sources {
        let path = path.to_str().unwrap_or_default();
        if !text.starts_with("//! ") {
            findings
                .add(format!("{path}: begins without a `//!` sentence that says what it is for"));
        }
        if text.len() > FILE_BYTES_MAX {
            findings.add(format!("{path}: {} bytes, more than one idea", text.len()));
        }
        for ban in BANS {
            hold(ban, path, text, findings);
        }
    }
    for (name, attribute) in [
        ("model", "#![no_std]"),
        ("model", "#![forbid(unsafe_code)]"),
        ("engine", "#![no_std]"),
        ("engine", "#![forbid(unsafe_code)]"),
    ] {
        let lib = format!("crates/{name}/src/lib.rs");
        let holds = |(path, text): &(std::path::PathBuf, String)| {
            path.ends_with(&lib) && text.contains(attribute)
        };
        if !workspace.sources.iter().any(holds) {
            findings.add(format!("{lib}: lacks {attribute} (Absent on purpose 1 and 2)"));
        }
    }
}

fn hold(ban: &Ban, path: &str, text: &str, findings: &mut Findings) {
    let under = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if !under(ban.folders) || under(ban.except) {
        return;
    }
    if ban.tests_may && (path.contains("/tests/") || path.ends_with("tests.rs")) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if ban.tests_may && line.trim() == "#[cfg(test)]" {
            // Tests stand at the bottom of a file; one that has them elsewhere
            // says `mod tests;` there and goes on.
            if text.lines().nth(number + 1).is_some_and(|next| next.trim().ends_with('{')) {
                return;
            }
        }
        // Words of comments and messages mean no code, but marks of unfinished work do count.
        let line = if ban.words.contains(&"todo!") { line.to_owned() } else { code(line) };
        for word in ban.words.iter().filter(|word| has_word(&line, word)) {
            findings.add(format!("{path}:{}: {word} {}", number + 1, ban.why));
        }
    }
}

/// A line without its comment and without what its strings say.
fn code(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = characters.next() {
        match (in_string, c) {
            (true, '\\') => {
                characters.next();
            }
            (_, '"') => in_string = !in_string,
            (false, '/') if characters.peek() == Some(&'/') => break,
            (false, '\'') if characters.clone().nth(1) == Some('\'') => {
                characters.nth(1);
            }
            (false, c) => kept.push(c),
            (true, _) => {}
        }
    }
    kept
}

/// Whether `word` stands in `line` with no letter that belongs to it on either side.
fn has_word(line: &str, word: &str) -> bool {
    let belongs = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(belongs);
        let after = line[at + word.len()..].chars().next().is_some_and(belongs);
        let (first, last) = (word.chars().next(), word.chars().next_back());
        !(before && first.is_some_and(belongs) || after && last.is_some_and(belongs))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(code("let a = 1; // unsafe"), "let a = 1; ");
        assert_eq!(code("say(\"a // \\\" unsafe\"); go()"), "say(); go()");
        assert_eq!(code("match c { '\"' => 1, _ => \"unsafe\" }"), "match c {  => 1, _ =>  }");
    }

    #[test]
    fn a_word_is_found_only_whole() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
        assert!(has_word("print!(1)", "print!"));
        assert!(!has_word("eprint!(1)", "print!"));
        assert!(has_word("use std::fs", "std::"));
        assert!(!has_word("my_std::fs", "std::"));
    }

    #[test]
    fn a_ban_is_held_outside_tests_only() {
        let find = |path: &str, text: &str| {
            let mut findings = Findings(Vec::new());
            for ban in BANS {
                hold(ban, path, text, &mut findings);
            }
            findings.0
        };
        let tests = "\n#[cfg(test)]\nmod tests {\n    fn f() { println!(); }\n}\n";
        assert_eq!(find("crates/os/src/files.rs", tests), [""; 0]);
        let found = find("crates/os/src/files.rs", "fn f() { println!(); }\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/os/src/files.rs:1: println!"), "{found:?}");
        assert_eq!(find("crates/os/src/sys/a.rs", "unsafe { f() }"), [""; 0]);
        assert_eq!(find("tests/e2e/src/lib.rs", "unsafe { f() }").len(), 1);
        assert_eq!(find("crates/engine/src/a.rs", "use model::service::source::Source;").len(), 1);
    }
}
