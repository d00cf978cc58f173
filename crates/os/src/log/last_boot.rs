//! The end of the log in memory that outlives a restart: written by the logger, found by the one of the
//! next boot, and read again.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use model::limits::{LAST_BOOT_BYTES_MAX, LAST_BOOT_MARK_BYTES_MAX};
use model::log::last_boot::{CONSOLE, FOLDER, LOG, Lines, MESSAGES};
use model::log::line::Line;
use model::log::mark::{BOOT_BYTES, Boot, Mark};
use rustix::fs::{self, Mode, OFlags};

use crate::files;
use crate::log::collector::Plan;

/// Where the kernel shows what it has kept. Source: Linux `Documentation/ABI/testing/pstore`.
pub const KEPT: &str = "/sys/fs/pstore";

/// Which boot has put a folder there: it says nothing of what was before that.
const FOUND_BY: &str = "found-by";

/// What becomes of the kernel's files, by how their names begin.
const FILES: [(&[u8], &str); 3] = [(b"pmsg-", LOG), (b"dmesg-", MESSAGES), (b"console-", CONSOLE)];

/// The file whose end the kernel keeps, `/dev/pmsg0`. That it cannot be written to
/// is nobody's trouble: the log itself is elsewhere.
pub struct Ring {
    file: Option<OwnedFd>,
    /// The last mark, which stands again wherever this much was written behind it: what comes
    /// first goes first.
    mark: Vec<u8>,
    behind: usize,
}

impl Ring {
    /// Without a path, keeps nothing. With one, what the boot before has left is put into the
    /// log directory first: the kernel forgets it then. `say` is told what cannot be used.
    pub fn open(plan: &Plan<'_>, boot: &Boot) -> Self {
        let file = plan.kept.and_then(|path| {
            find(plan, boot).unwrap_or_else(|error| (plan.say)(plan.found, error));
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = fs::open(path, flags, Mode::empty());
            file.map_err(|error| (plan.say)(path, error.into())).ok()
        });
        Self { file, mark: Vec::new(), behind: 0 }
    }

    /// Writes a mark that the log has now.
    pub fn mark(&mut self, mark: &[u8]) {
        if self.file.is_some() {
            self.mark = mark.to_owned();
            self.behind = 0;
            self.put(mark);
        }
    }

    /// Writes whole lines that the log has now.
    pub fn lines(&mut self, text: &[u8]) {
        if self.behind >= LAST_BOOT_MARK_BYTES_MAX {
            self.behind = 0;
            self.put(&self.mark);
        }
        self.behind += text.len();
        self.put(text);
    }

    fn put(&self, text: &[u8]) {
        if let Some(file) = &self.file {
            let _ = files::write(file, text);
        }
    }
}

/// Moves what the kernel has kept into the folder for it. What an earlier boot has put there goes.
fn find(plan: &Plan<'_>, boot: &Boot) -> io::Result<()> {
    let path = plan.directory.join(FOLDER);
    let new =
        files::read_up_to(&path.join(FOUND_BY), BOOT_BYTES).map_or(true, |found| found != boot);
    if new {
        let _ = std::fs::remove_dir_all(&path);
    }
    for entry in std::fs::read_dir(plan.found)? {
        let kept = entry?.path();
        let name = kept.file_name().unwrap_or_default().as_encoded_bytes();
        let file = FILES.iter().find(|(begin, _)| name.starts_with(begin));
        // What the kernel could not unpack is left to people.
        let Some((_, to)) = file.filter(|_| !name.ends_with(b".z")) else { continue };
        let bytes = std::fs::read(&kept)?;
        let end = bytes.len().saturating_sub(LAST_BOOT_BYTES_MAX);
        let _ = DirBuilder::new().mode(0o750).create(&path);
        std::fs::write(path.join(FOUND_BY), boot)?;
        let to = path.join(to);
        let before = std::fs::read(&to).unwrap_or_default();
        // A logger that was killed here has put it there already.
        if !before.ends_with(&bytes[end..]) {
            if before.len() + bytes.len() - end > LAST_BOOT_BYTES_MAX {
                continue;
            }
            let file = File::options().append(true).create(true).open(to);
            file?.write_all(&bytes[end..])?;
        }
        // It has room for what comes now.
        std::fs::remove_file(&kept)?;
    }
    Ok(())
}

/// What was found of a boot, read again.
pub struct LastBoot {
    log: Vec<u8>,
    /// What its first mark says, and its last one.
    pub first: Mark,
    pub last: Mark,
    /// What the kernel said when it crashed.
    pub messages: Vec<u8>,
}

impl LastBoot {
    /// Reads it in a log directory; nothing where there is none.
    pub fn read(directory: &Path) -> Option<Self> {
        let read =
            |name| files::read_up_to(&directory.join(FOLDER).join(name), LAST_BOOT_BYTES_MAX);
        let log = read(LOG).ok()?;
        let mut both = None;
        for line in Lines::new(&log) {
            if let Some(mark) = Mark::read(&Line::read(line, true)) {
                both = Some((both.map_or(mark, |(first, _)| first), mark));
            }
        }
        let (first, last) = both?;
        Some(Self { log, first, last, messages: read(MESSAGES).unwrap_or_default() })
    }

    /// The lines behind `last`, a line that is known; all where it is not among them.
    pub fn lines_behind(&self, last: &[u8]) -> Lines<'_> {
        let mut lines = Lines::new(&self.log);
        let mut behind = lines.clone();
        while let Some(line) = lines.next() {
            if line == last {
                behind = lines.clone();
            }
        }
        behind
    }
}
