//! Fenced blocks, and the marks before them that say where their commands are run.
//!
//! A mark is a comment: `<!-- run: namespace -->` is about the next block, `<!-- run below: … -->`
//! about all blocks of the page that have none of their own. Behind the machine may stand `, exits 1`
//! (the last command ends with that code) and `, stays` (it goes on while the rest of the page is run).
//! `<!-- run: by levitate.rs -->` names another test of tests/e2e/tests, which takes the commands from
//! the page.

/// Where commands are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// The machine that builds.
    Here,
    /// The router of `examples/router` in namespaces: a new one for each page.
    Namespace,
    /// The router of `examples/configuration.nix` in QEMU: one for all pages.
    Router,
    /// The machine that builds, while that router is there.
    BesideRouter,
}

/// What is said of a block before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    Run {
        on: Machine,
        exits: u8,
        stays: bool,
    },
    /// The test with this name reads the block out of the page, and runs it.
    By(String),
    /// Nothing is said, or nothing that can be understood: this.
    Missing(Option<String>),
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its first fence, from 1 on.
    pub line: usize,
    pub language: String,
    pub mark: Mark,
    pub body: String,
}

impl Block {
    /// Whether there are commands in it, and not a file or what something looks like.
    pub fn has_commands(&self) -> bool {
        match self.language.as_str() {
            "console" => true,
            "sh" => !self.body.starts_with("#!"),
            _ => false,
        }
    }
}

/// The blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    let mut usual = Mark::Missing(None);
    let mut next = None;
    for (at, line) in page.lines().enumerate() {
        let inner = line.trim_start();
        match &mut open {
            Some((indent, block)) if inner.starts_with("```") && inner.trim_end() == "```" => {
                let _ = indent;
                found.push(block.clone());
                open = None;
            }
            Some((indent, block)) => {
                // A block in a list is indented as the list is.
                let cut = line.len() - line.trim_start_matches(' ').len();
                block.body.push_str(&line[cut.min(*indent)..]);
                block.body.push('\n');
            }
            None if inner.starts_with("```") => {
                let language = inner.trim_start_matches('`').trim().to_owned();
                let mark = next.take().unwrap_or_else(|| usual.clone());
                let block = Block { line: at + 1, language, mark, body: String::new() };
                open = Some((line.len() - inner.len(), block));
            }
            None => match comment(inner) {
                Some(text) => match text.split_once(": ") {
                    Some(("run below", rest)) => usual = run(rest),
                    Some(("run", rest)) => next = Some(run(rest)),
                    _ => {}
                },
                // A mark stands directly before its block.
                None if !inner.is_empty() => next = None,
                None => {}
            },
        }
    }
    found.extend(open.map(|(_, block)| block));
    found
}

fn comment(line: &str) -> Option<&str> {
    Some(line.strip_prefix("<!--")?.trim_end().strip_suffix("-->")?.trim())
}

fn run(text: &str) -> Mark {
    if let Some(test) = text.strip_prefix("by ") {
        return Mark::By(test.to_owned());
    }
    let mut words = text.split(", ");
    let on = match words.next() {
        Some("here") => Machine::Here,
        Some("namespace") => Machine::Namespace,
        Some("router") => Machine::Router,
        Some("beside router") => Machine::BesideRouter,
        _ => return Mark::Missing(Some(text.to_owned())),
    };
    let (mut exits, mut stays) = (0, false);
    for word in words {
        match (word, word.strip_prefix("exits ").and_then(|code| code.parse().ok())) {
            ("stays", _) => stays = true,
            (_, Some(code)) => exits = code,
            _ => return Mark::Missing(Some(text.to_owned())),
        }
    }
    Mark::Run { on, exits, stays }
}

/// A command, and what is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line of the page.
    pub line: usize,
    /// Typed at the prompt of a device (`#`), and not at that of the block's machine (`$`).
    pub on_device: bool,
    pub command: String,
    /// Lines, or `None` where the page does not show them.
    pub expected: Option<Vec<String>>,
}

/// What is typed, one after the other. In `console`, a line that begins with `$ ` is typed here, and one
/// whose prompt ends with `# ` on a device; lines with `> ` go on with it, and all else is what is printed.
/// Each line of a `sh` block is one step, unless it ends with `\\`, has text below it (`<<END`) or a `'` that another line closes; it prints
/// what it likes.
pub fn steps(block: &Block) -> Vec<Step> {
    if block.language == "sh" {
        return lines(block);
    }
    let mut found: Vec<Step> = Vec::new();
    for (at, line) in block.body.lines().enumerate() {
        match (prompt(line), found.last_mut()) {
            (Some((on_device, command)), _) => found.push(Step {
                line: block.line + 1 + at,
                on_device,
                command: command.to_owned(),
                expected: Some(Vec::new()),
            }),
            (None, Some(step)) if line.starts_with("> ") && step.expected == Some(Vec::new()) => {
                step.command.push('\n');
                step.command.push_str(&line[2..]);
            }
            (None, Some(step)) => {
                if let Some(lines) = &mut step.expected {
                    lines.push(line.trim_end().to_owned());
                }
            }
            (None, None) => {}
        }
    }
    found
}

fn lines(block: &Block) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    // What the step at hand goes on to.
    let mut until: Option<Until> = None;
    for (at, line) in block.body.lines().enumerate() {
        let line_goes_on = if line.ends_with('\\') { Some(Until::Line) } else { None };
        let has_quote = line.matches('\'').count() % 2 == 1;
        match (&until, found.last_mut()) {
            (Some(wanted), Some(step)) => {
                step.command.push('\n');
                step.command.push_str(line);
                match wanted {
                    Until::Line => until = line_goes_on,
                    Until::Quote if has_quote => until = line_goes_on,
                    Until::Word(word) if word == line => until = None,
                    Until::Quote | Until::Word(_) => {}
                }
            }
            _ if line.trim().is_empty() => {}
            _ => {
                found.push(Step {
                    line: block.line + 1 + at,
                    on_device: false,
                    command: line.to_owned(),
                    expected: None,
                });
                let command = line.split(" # ").next().unwrap_or_default();
                until = match command.split_once("<<") {
                    Some((_, word)) => Some(Until::Word(word.trim().trim_matches('\'').to_owned())),
                    None if command.matches('\'').count() % 2 == 1 => Some(Until::Quote),
                    None => line_goes_on,
                };
            }
        }
    }
    found
}

enum Until {
    /// The next line.
    Line,
    /// The end of what a quote has begun.
    Quote,
    /// The word below its text.
    Word(String),
}

/// What is behind the prompt, and whether that is a device's: `# `, `/ # `, `root@router:~# `.
fn prompt(line: &str) -> Option<(bool, &str)> {
    if let Some(command) = line.strip_prefix("$ ") {
        return Some((false, command));
    }
    let (before, command) = line.split_once("# ")?;
    let is_prompt = before.is_empty() || before == "/ " || before.starts_with("root@");
    (is_prompt && !before.trim_end().contains(' ')).then_some((true, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_about_the_next_block_or_all_below() {
        let page = "<!-- run: here -->\n```sh\na\n```\n\n```text\nb\n```\n\
                    <!-- run below: namespace, exits 3 -->\n\n```console\n# c\n```\n\
                    ```sh\nd\n```\n\
                    <!-- run: router -->\nwords\n```sh\ne\n```\n<!-- run: moon -->\n```sh\nf\n```\n\
                    <!-- run: by x.rs -->\n```sh\ng\n```\n";
        let marks: Vec<Mark> = blocks(page).into_iter().map(|block| block.mark).collect();
        let run = |on, exits| Mark::Run { on, exits, stays: false };
        let expected = [
            run(Machine::Here, 0),
            Mark::Missing(None),
            run(Machine::Namespace, 3),
            run(Machine::Namespace, 3),
            run(Machine::Namespace, 3),
            Mark::Missing(Some("moon".to_owned())),
            Mark::By("x.rs".to_owned()),
        ];
        assert_eq!(marks, expected);
    }

    #[test]
    fn a_transcript_is_commands_and_what_they_print() {
        let page = "1. so\n   ```console\n   $ cat >x <<E\n   > one\n   > E\n   / # ls /\n   bin\n   \
                    # not a prompt\n   root@router:~# true\n   ```\n";
        let found = steps(&blocks(page)[0]);
        let step = |line, on_device, command: &str, expected: &[&str]| Step {
            line,
            on_device,
            command: command.to_owned(),
            expected: Some(expected.iter().map(|line| (*line).to_owned()).collect()),
        };
        assert_eq!(
            found,
            [
                step(3, false, "cat >x <<E\none\nE", &[]),
                step(6, true, "ls /", &["bin"]),
                step(8, true, "not a prompt", &[]),
                step(9, true, "true", &[]),
            ]
        );
    }

    #[test]
    fn a_line_of_a_script_may_go_on() {
        let page = "```sh\na \\\n  b\nx='1 =\n2 ='\n\ncat >x <<'E'\nc\n\nE\nd  # so\n```\n";
        let found: Vec<(usize, String)> =
            steps(&blocks(page)[0]).into_iter().map(|step| (step.line, step.command)).collect();
        let expected =
            [(2, "a \\\n  b"), (4, "x='1 =\n2 ='"), (7, "cat >x <<'E'\nc\n\nE"), (11, "d  # so")];
        assert_eq!(found, expected.map(|(line, command)| (line, command.to_owned())));
    }

    #[test]
    fn a_script_is_a_file_and_not_typed() {
        let page = "```sh\n#!/bin/sh\nexec dns\n```\n```sh\nls\n```\n```text\nls\n```\n";
        let commands: Vec<bool> = blocks(page).iter().map(Block::has_commands).collect();
        assert_eq!(commands, [false, true, false]);
    }
}
