//! A command as a value: help, man page and completion are printed from it.

use std::io::Write;

use crate::args::Args;
use crate::failure::{Exit, Failure};

/// One option of a command, as help shows it: `("-T MS", "Give up after this long")`.
#[derive(Clone, Copy, Debug)]
pub struct Opt(pub &'static str, pub &'static str);

/// One applet or subcommand.
pub struct Command {
    pub name: &'static str,
    /// An order, without a full stop.
    pub summary: &'static str,
    /// `name [options] OPERAND...`
    pub usage: &'static str,
    pub options: &'static [Opt],
    /// Paragraphs for the man page: behaviour, exit codes, and last of all, behind a line
    /// `Examples:`, command lines. May be empty.
    pub about: &'static str,
    pub run: fn(&mut Args, &mut dyn Write) -> Result<Exit, Failure>,
}

/// The command of this name.
pub fn find<'a>(table: &[&'a Command], name: &str) -> Option<&'a Command> {
    table.iter().find(|command| command.name == name).copied()
}

impl Command {
    /// What it does in words, and its examples; either may be empty.
    pub fn about_and_examples(&self) -> (&'static str, &'static str) {
        match self.about.split_once("Examples:\n") {
            Some((about, examples)) => (about.trim(), examples.trim_matches('\n').trim_end()),
            None => (self.about.trim(), ""),
        }
    }
}

/// What `--help` prints.
pub fn help(command: &Command) -> String {
    let mut text = format!("{}\n\nusage: {}\n", command.summary, command.usage);
    let width = command.options.iter().map(|o| o.0.len()).max().unwrap_or(0);
    for Opt(option, meaning) in command.options {
        text.push_str(&format!("  {option:width$}  {meaning}\n"));
    }
    if !command.about.is_empty() {
        text.push_str(&format!("\n{}\n", command.about.trim()));
    }
    text
}
