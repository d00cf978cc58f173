//! Source directories from what others have: units of systemd, scripts of procd.
//!
//! Nothing here runs or asks for anything: texts go in, files and remarks come out. What has no
//! counterpart is never guessed at: it becomes a [`Remark`] with its line.

pub mod procd;
mod script;
pub mod shell;
pub mod systemd;
pub mod unit;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What was made of all that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub made: Vec<Made>,
    pub remarks: Vec<Remark>,
}

/// One source directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub name: String,
    /// By path, each once.
    pub files: Vec<File>,
}

/// One file of a source directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `run`, `dependencies.d/lan`.
    pub path: String,
    pub text: String,
}

/// How much a remark weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It was not carried over.
    LeftOut,
    /// It was, and means something else than it did.
    Otherwise,
}

/// What the person who imports has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The file, as the caller named it.
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: u32,
    pub weight: Weight,
    /// On one line.
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        let weight = match self.weight {
            Weight::LeftOut => "left out",
            Weight::Otherwise => "otherwise",
        };
        write!(f, ": {weight}: {}", self.what)
    }
}

impl Made {
    fn new(name: &str) -> Self {
        Self { name: name.into(), files: Vec::new() }
    }

    /// Adds a file; one that is there already stays.
    fn add(&mut self, path: impl Into<String>, text: impl Into<String>) {
        let path = path.into();
        if !self.files.iter().any(|file| file.path == path) {
            self.files.push(File { path, text: text.into() });
        }
    }

    /// The text of a file.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

/// Remarks of one source file, as they come up.
#[derive(Default)]
struct Remarks(Vec<Remark>);

impl Remarks {
    fn add(&mut self, file: &str, line: u32, weight: Weight, what: impl AsRef<str>) {
        let what = script::one_line(what.as_ref());
        self.0.push(Remark { file: file.into(), line, weight, what });
    }

    fn left_out(&mut self, (file, line): (&str, u32), what: impl AsRef<str>) {
        self.add(file, line, Weight::LeftOut, what);
    }

    fn otherwise(&mut self, (file, line): (&str, u32), what: impl AsRef<str>) {
        self.add(file, line, Weight::Otherwise, what);
    }
}

/// What a `README` says of one service: where it comes from, and all remarks.
fn readme(from: &str, about: &[String], remarks: &[Remark]) -> String {
    let mut text = alloc::format!("Made from {from} by `doorward import`.\n");
    for line in about {
        text.push_str(&script::one_line(line));
        text.push('\n');
    }
    for (weight, title) in [
        (Weight::LeftOut, "\nLeft out, to be looked at by a person:\n"),
        (Weight::Otherwise, "\nCarried over, and not quite the same:\n"),
    ] {
        let mut lines = remarks.iter().filter(|remark| remark.weight == weight).peekable();
        if lines.peek().is_some() {
            text.push_str(title);
        }
        for remark in lines {
            let place = match remark.line {
                0 => remark.file.clone(),
                line => alloc::format!("{}:{line}", remark.file),
            };
            text.push_str(&alloc::format!("  {place}: {}\n", remark.what));
        }
    }
    text
}
