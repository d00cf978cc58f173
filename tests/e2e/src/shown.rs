//! Commands that a page shows and leaves to a test by its name (`<!-- run: by levitate.rs -->`): they are
//! read out of the page, so that the page cannot say something else. And whether what is printed is
//! what a page shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use pages::{Block, Mark, Step, steps};

use crate::machine::executable;
use crate::{doorward, nix, ward};

/// The steps of each block of a page that names this test.
pub fn blocks(page: &str, test: &str) -> Vec<Vec<Step>> {
    of_test(page, test).iter().filter(|block| block.has_commands()).map(steps).collect()
}

/// The blocks for it that are no commands, but files and the like.
pub fn texts(page: &str, test: &str) -> Vec<String> {
    let blocks = of_test(page, test).into_iter();
    blocks.filter(|block| !block.has_commands()).map(|block| block.body).collect()
}

fn of_test(page: &str, test: &str) -> Vec<Block> {
    let path = nix::sources().join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let own = |block: &Block| matches!(&block.mark, Mark::By(name) if name == test);
    let found: Vec<Block> = pages::blocks(&text).into_iter().filter(own).collect();
    assert!(!found.is_empty(), "{page} has nothing for {test}");
    found
}

/// What is typed at each step, without the remarks behind it.
pub fn lines(steps: &[Step]) -> Vec<String> {
    let plain = |step: &Step| {
        let command = step.command.split("  #").next().unwrap_or_default();
        command.trim_end().to_owned()
    };
    steps.iter().map(plain).collect()
}

/// A shell of somebody who stands in a folder and has the programs of this build on the PATH, and before
/// these what lies in `bin` there, such as something in ssh's place.
pub fn shell(folder: &Path) -> Command {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("a folder can be made");
    for (name, program) in [("doorward", doorward()), ("ward", ward())] {
        // It may be there from the line before.
        let _ = symlink(program, bin.join(name));
    }
    let mut shell = nix::command("/bin/sh");
    let before = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{before}", bin.display())).current_dir(folder);
    shell.env("DOORWARD_STORE", nix::store());
    shell.stdin(Stdio::null());
    shell
}

/// The same, and whatever `root@` stands before is the device that ssh finds by these words.
pub fn shell_for_device(folder: &Path, words: &[&str]) -> Command {
    let shell = shell(folder);
    let text = format!(
        "#!/bin/sh\nfor word; do shift\ncase $word in root@*) word=root@127.0.0.1;; esac\n\
         set -- \"$@\" \"$word\"; done\nexec /usr/bin/ssh {} \"$@\"\n",
        words.join(" ")
    );
    let ssh = folder.join("bin/ssh");
    fs::write(&ssh, text).expect("a file can be written");
    executable(&ssh);
    shell
}

/// Types a line in such a shell, and gives what was said; it has to succeed.
#[track_caller]
pub fn typed(shell: &mut Command, line: &str) -> String {
    let output = shell.args(["-c", line]).output().expect("a shell can be started");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{line}: {}\n{said}", output.status);
    said
}

/// Says what is wrong where something else was printed than a page shows.
#[track_caller]
pub fn compare(step: &Step, said: &str) {
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    if let Some(shown) = &step.expected {
        assert!(matches(shown, &said), "{}: shown {shown:#?}, said {said:#?}", step.command);
    }
}

/// Whether lines are as a page shows them: `…` stands for anything, on a line of its own for any number
/// of lines; a number is as good as another, and blanks as others.
pub fn matches(shown: &[String], said: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return said.is_empty() };
    if first.trim() == "…" {
        return (0..=said.len()).any(|skipped| matches(rest, &said[skipped..]));
    }
    match said.split_first() {
        Some((line, behind)) => line_matches(&plain(first), &plain(line)) && matches(rest, behind),
        None => first.is_empty() && matches(rest, said),
    }
}

fn line_matches(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        let found = if at + 1 == parts.len() {
            rest.ends_with(part).then(|| rest.len() - part.len())
        } else {
            rest.find(part)
        };
        let Some(start) = found else { return false };
        rest = &rest[start + part.len()..];
    }
    rest.is_empty() || !parts.is_empty()
}

/// A line with `N` for each number and one blank for several.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    for letter in line.trim_end().chars() {
        let last = plain.chars().next_back();
        match letter {
            _ if letter.is_ascii_digit() && last == Some('N') => {}
            '.' | ',' if last == Some('N') => {}
            _ if letter.is_ascii_digit() => plain.push('N'),
            ' ' | '\t' if last == Some(' ') => {}
            '\t' => plain.push(' '),
            '\r' => {}
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_they_are_shown() {
        let of =
            |lines: &[&str]| -> Vec<String> { lines.iter().map(|l| (*l).to_owned()).collect() };
        for (shown, said, expected) in [
            (vec!["up for 12 s"], vec!["up   for 3.5 s"], true),
            (vec!["up for 12 s"], vec!["down for 3 s"], false),
            (vec!["a … c"], vec!["a b c"], true),
            (vec!["a … c"], vec!["a b d"], false),
            (vec!["a …"], vec!["a b"], true),
            (vec!["a", "…", "d"], vec!["a", "b", "c", "d"], true),
            (vec!["a", "…", "d"], vec!["a", "b", "c"], false),
            (vec!["a"], vec!["a", "b"], false),
            (vec!["a", ""], vec!["a"], true),
            (vec![], vec!["a"], false),
        ] {
            assert_eq!(matches(&of(&shown), &of(&said)), expected, "{shown:?} and {said:?}");
        }
    }
}
