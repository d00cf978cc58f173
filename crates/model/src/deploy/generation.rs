//! What a generation, or a ramdisk, says is to be done before the first service.
//!
//! All of it are lines of words with tabs between them. docs/formats/system.md is the page.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::limits::PARTITION_NAME_BYTES_MAX;
use crate::log::policy::{FILE_BYTES_MAX, FILE_BYTES_MIN};

/// The generation that runs: a link that early boot and activation make.
pub const CURRENT: &str = "/run/current-system";

/// The file in a generation with the kernel's command line that belongs to it.
pub const COMMAND_LINE: &str = "command-line";

/// What must be in the device's root directory: a line of `filesystem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Directory {
        path: String,
        mode: u32,
        user: u32,
        group: u32,
    },
    Link {
        path: String,
        target: String,
    },
    /// A file that is not only seen but is there: it has an owner or permissions.
    Copy {
        path: String,
        source: String,
        mode: u32,
        user: u32,
        group: u32,
    },
}

/// What is done before the first service: a line of `boot`, or of a ramdisk's `early`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Loads a module of the kernel.
    Module { name: String, parameters: String },
    /// Waits until there is something at a path.
    Wait { path: String },
    /// Makes a flash of what lies in the memory of a PCI device.
    Memory { name: String, erase_bytes: u64, vendor: u16, device: u16, region: u8 },
    /// Adds a partition to a flash.
    Partition { flash: String, name: String, offset: u64, bytes: u64, read_only: bool },
    /// Mounts a file system.
    Mount { kind: String, source: String, path: String, options: String },
    /// Says where the log of everything is, and how much of it is kept.
    Log { directory: String, archives: u32, file_bytes: u32 },
    /// Another option of `ward logger`, one of [`LOG_OPTIONS`].
    LogOption { letter: char, value: String },
}

/// Letters of options of `ward logger` that a generation may give.
pub const LOG_OPTIONS: &str = "prtx";

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It does not begin with a word that is known, or has more or fewer words than that one wants.
    Words,
    /// This is not a number, or not in its range.
    Number(&'static str),
    /// A path begins with `/`.
    Path,
    /// A name is empty, too long, or has signs that mean something where it is written.
    Name,
}

/// A line that cannot be read, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError {
    pub line: usize,
    pub wrong: Wrong,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.wrong)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words => f.write_str("there is no such line, or not with so many words"),
            Self::Number(what) => write!(f, "the {what} is no number in its range"),
            Self::Path => f.write_str("a path begins with /"),
            Self::Name => f.write_str("that cannot be a name"),
        }
    }
}

/// What a line can be read as.
pub trait Line: Sized {
    fn parse(line: &str) -> Result<Self, Wrong>;
}

/// The lines of a text, each by itself: one that is wrong says nothing about others.
pub fn lines<T: Line>(text: &str) -> impl Iterator<Item = Result<T, LineError>> {
    text.lines()
        .enumerate()
        .map(|(at, line)| T::parse(line).map_err(|wrong| LineError { line: at + 1, wrong }))
}

impl Entry {
    /// Where it is.
    pub fn path(&self) -> &str {
        match self {
            Self::Directory { path, .. } | Self::Link { path, .. } | Self::Copy { path, .. } => {
                path
            }
        }
    }
}

impl Line for Entry {
    fn parse(line: &str) -> Result<Self, Wrong> {
        let mut words = Words::of(line);
        let kind = words.next()?;
        let path = words.path()?;
        let entry = match kind {
            "directory" => {
                let (mode, user, group) = words.permissions()?;
                Self::Directory { path, mode, user, group }
            }
            "link" => Self::Link { path, target: words.name()? },
            "copy" => {
                let (mode, user, group) = words.permissions()?;
                Self::Copy { path, mode, user, group, source: words.path()? }
            }
            _ => return Err(Wrong::Words),
        };
        words.end(entry)
    }
}

impl fmt::Display for Entry {
    /// The line that says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, mode, user, group } => {
                write!(f, "directory\t{path}\t{mode:04o}\t{user}\t{group}")
            }
            Self::Link { path, target } => write!(f, "link\t{path}\t{target}"),
            Self::Copy { path, source, mode, user, group } => {
                write!(f, "copy\t{path}\t{mode:04o}\t{user}\t{group}\t{source}")
            }
        }
    }
}

impl Line for Preparation {
    fn parse(line: &str) -> Result<Self, Wrong> {
        let mut words = Words::of(line);
        let found = match words.next()? {
            "module" => Self::Module { name: words.file()?, parameters: words.maybe() },
            "wait" => Self::Wait { path: words.path()? },
            "memory" => {
                let (name, erase_bytes) = (words.part()?, words.number("erase size")?);
                let (vendor, device) = words.next()?.split_once(':').ok_or(Wrong::Words)?;
                let hexadecimal = |word| u16::from_str_radix(word, 16).ok();
                let (vendor, device) = hexadecimal(vendor)
                    .zip(hexadecimal(device))
                    .ok_or(Wrong::Number("vendor or device"))?;
                let region = words.number("number of the region")?;
                Self::Memory { name, erase_bytes, vendor, device, region }
            }
            "partition" => Self::Partition {
                flash: words.name()?,
                name: words.part()?,
                offset: words.number("offset")?,
                bytes: words.number("size")?,
                read_only: match words.next()? {
                    "ro" => true,
                    "rw" => false,
                    _ => return Err(Wrong::Words),
                },
            },
            "mount" => Self::Mount {
                kind: words.name()?,
                source: words.name()?,
                path: words.path()?,
                options: words.maybe(),
            },
            "log" => {
                let (directory, archives) = (words.path()?, words.number("number of files")?);
                let file_bytes = words.number("size of a file")?;
                if !(FILE_BYTES_MIN..=FILE_BYTES_MAX).contains(&file_bytes) {
                    return Err(Wrong::Number("size of a file"));
                }
                Self::Log { directory, archives, file_bytes }
            }
            "log-option" => {
                let mut letters = words.next()?.chars();
                let letter = letters.next().filter(|letter| LOG_OPTIONS.contains(*letter));
                if letters.next().is_some() {
                    return Err(Wrong::Words);
                }
                let letter = letter.ok_or(Wrong::Words)?;
                Self::LogOption { letter, value: words.next()?.to_owned() }
            }
            _ => return Err(Wrong::Words),
        };
        words.end(found)
    }
}

impl fmt::Display for Preparation {
    /// The line that says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module { name, parameters } if parameters.is_empty() => {
                write!(f, "module\t{name}")
            }
            Self::Module { name, parameters } => write!(f, "module\t{name}\t{parameters}"),
            Self::Wait { path } => write!(f, "wait\t{path}"),
            Self::Memory { name, erase_bytes, vendor, device, region } => {
                write!(f, "memory\t{name}\t{erase_bytes}\t{vendor:04x}:{device:04x}\t{region}")
            }
            Self::Partition { flash, name, offset, bytes, read_only } => {
                let rights = if *read_only { "ro" } else { "rw" };
                write!(f, "partition\t{flash}\t{name}\t{offset}\t{bytes}\t{rights}")
            }
            Self::Mount { kind, source, path, options } => {
                write!(f, "mount\t{kind}\t{source}\t{path}\t{options}")
            }
            Self::Log { directory, archives, file_bytes } => {
                write!(f, "log\t{directory}\t{archives}\t{file_bytes}")
            }
            Self::LogOption { letter, value } => write!(f, "log-option\t{letter}\t{value}"),
        }
    }
}

/// What is left of a line.
pub(super) struct Words<'a>(core::str::Split<'a, char>);

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self(line.split('\t'))
    }

    pub(super) fn next(&mut self) -> Result<&'a str, Wrong> {
        self.0.next().ok_or(Wrong::Words)
    }

    /// The next word, empty where there is none.
    fn maybe(&mut self) -> String {
        self.0.next().unwrap_or_default().to_owned()
    }

    fn name(&mut self) -> Result<String, Wrong> {
        match self.next()? {
            "" => Err(Wrong::Name),
            name if name.contains('\0') => Err(Wrong::Name),
            name => Ok(name.to_owned()),
        }
    }

    pub(super) fn path(&mut self) -> Result<String, Wrong> {
        let path = self.name()?;
        if path.starts_with('/') { Ok(path) } else { Err(Wrong::Path) }
    }

    /// The name of a file in a folder that is known.
    fn file(&mut self) -> Result<String, Wrong> {
        let name = self.name()?;
        if name.contains('/') { Err(Wrong::Name) } else { Ok(name) }
    }

    /// The name of a flash or a partition, which a list with commas can hold.
    fn part(&mut self) -> Result<String, Wrong> {
        let name = self.name()?;
        let fits = name.len() <= PARTITION_NAME_BYTES_MAX && !name.contains([',', '"']);
        if fits { Ok(name) } else { Err(Wrong::Name) }
    }

    pub(super) fn number<T: core::str::FromStr>(&mut self, what: &'static str) -> Result<T, Wrong> {
        self.next()?.parse().map_err(|_| Wrong::Number(what))
    }

    /// Mode, user and group.
    fn permissions(&mut self) -> Result<(u32, u32, u32), Wrong> {
        let mode = u32::from_str_radix(self.next()?, 8).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or(Wrong::Number("mode"))?;
        Ok((mode, self.number("user")?, self.number("group")?))
    }

    /// `found`, if that was all.
    pub(super) fn end<T>(mut self, found: T) -> Result<T, Wrong> {
        if self.0.next().is_some() { Err(Wrong::Words) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests;
