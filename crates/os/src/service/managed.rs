//! A live directory as its manager holds it: the database, and the bytes that
//! outlive the manager.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::service::database::{Database, Entry, Index};
use model::service::live_state::{AGAIN, STARTING, STOPPING, UP, WANTED};
use rustix::fs::{Mode, OFlags, open};

use crate::files;
use crate::service::database_file::DatabaseFile;
use crate::service::live_dir::{STATE, STOPPED};
use crate::sys::mapping::Mapping;
use crate::trouble::{Trouble, While};

/// A live directory that is managed.
pub struct LiveDir {
    /// Its real path.
    pub path: PathBuf,
    file: DatabaseFile,
    /// When the database file was last changed, as it was read.
    stamp: Option<SystemTime>,
    /// `None`: there are no services.
    state: Option<Mapping>,
}

impl LiveDir {
    /// Opens the live directory with the real path `path`.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let path = path.canonicalize().to(|| format!("find {}", path.display()))?;
        let compiled = path.join("compiled");
        let stamp = stamp(&path);
        let file = DatabaseFile::read(&compiled)
            .map_err(|error| io::Error::other(error.to_string()))
            .to(|| format!("read {}/db", compiled.display()))?;
        let count = file
            .database()
            .map_err(|error| io::Error::other(error.to_string()))
            .to(|| format!("use {}/db", compiled.display()))?
            .len();
        let state = map_state(&path, count).to(|| format!("map {}/{STATE}", path.display()))?;
        Ok(Self { path, file, stamp, state })
    }

    pub fn database(&self) -> Database<'_> {
        self.file.reopen()
    }

    /// Reads the database again where bundles were added or removed
    /// (`s6-rc-bundle`). `false`: it is as before, or means other services.
    pub fn refresh(&mut self) -> bool {
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        let Ok(file) = DatabaseFile::read(&self.path.join("compiled")) else { return false };
        let Ok(new) = file.database() else { return false };
        let (old, new) = (self.database().contents(), new.contents());
        if old.services != new.services || old.bundles == new.bundles {
            return false;
        }
        self.file = file;
        true
    }

    /// One byte per service.
    pub fn bytes(&self) -> &[u8] {
        self.state.as_ref().map_or(&[], Mapping::bytes)
    }

    /// Stores one byte. It is in the file at once, whatever happens next.
    pub fn store(&mut self, service: Index, byte: u8) {
        if let Some(state) = &mut self.state {
            state.bytes_mut()[service as usize] = byte;
            state.order();
        }
    }

    /// Whether this is the very database that it holds.
    pub fn is_of(&self, file: &DatabaseFile) -> bool {
        self.file == *file
    }

    /// Writes down what an update has stopped and is to start again: a byte for
    /// each service, as they would be stored for it; nothing, where it is nothing.
    pub fn note_stopped(&self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            return files::replace(files::directory(&self.path)?, STOPPED, bytes, 0o644);
        }
        match std::fs::remove_file(self.path.join(STOPPED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// An update was cut off together with its manager: what it had stopped
    /// goes on as if it had only been restarted.
    pub fn take_up_stopped(&mut self) {
        let most = self.bytes().len();
        let note = files::read_up_to(&self.path.join(STOPPED), most).unwrap_or_default();
        for (service, noted) in (0..).zip(note) {
            let byte = self.bytes()[service as usize];
            let comes_up = byte & (UP | STARTING) != 0 && byte & STOPPING == 0;
            let kept = if comes_up { WANTED } else { WANTED | AGAIN };
            self.store(service, byte | noted & kept);
        }
        let _ = self.note_stopped(&[]);
    }

    /// The longrun or oneshot `name`.
    pub fn find(&self, name: &str, longrun: bool) -> Option<Index> {
        match self.database().find(name) {
            Some(Entry::Service(index)) => {
                (self.database().service(index).is_longrun() == longrun).then_some(index)
            }
            _ => None,
        }
    }

    pub fn name(&self, service: Index) -> &str {
        self.database().service(service).name()
    }

    /// The link that leads here: `LIVE` of `LIVE:SUFFIX`.
    pub fn link(&self) -> PathBuf {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.rsplit_once(':') {
            Some((stem, _)) => self.path.with_file_name(stem),
            None => self.path.clone(),
        }
    }
}

fn stamp(live: &Path) -> Option<SystemTime> {
    std::fs::metadata(live.join("compiled/db")).ok()?.modified().ok()
}

/// Maps the state file; bytes that it lacks are written first, so that no
/// store can meet a full file system.
fn map_state(path: &Path, count: usize) -> io::Result<Option<Mapping>> {
    if count == 0 {
        return Ok(None);
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(open(path.join(STATE), flags, Mode::empty())?);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length < count {
        let mut end = &file;
        io::Seek::seek(&mut end, io::SeekFrom::End(0))?;
        end.write_all(&vec![0; count - length])?;
    }
    Ok(Some(Mapping::new(file.as_fd(), count)?))
}
