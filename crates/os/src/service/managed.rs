//! A live directory as its manager holds it: the database, and the bytes that
//! outlive the manager.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::service::database::{Database, Entry, Index};
use model::service::live_state::{AGAIN, STARTING, STOPPING, UP, WANTED};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, lstat, open, openat};
use rustix::io::Errno;

use crate::files;
use crate::service::database_file::DatabaseFile;
use crate::service::live_dir::{RECORD, STATE, STOPPED};
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
    state: Option<State>,
    /// What of the state was missing when it was opened.
    pub damage: Option<String>,
}

/// The file `state`.
struct State {
    bytes: Mapping,
    device: u64,
    inode: u64,
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
        let what = || format!("use {}/{STATE}", path.display());
        let (state, damage) = match open_state(&path, count).to(what)? {
            Opened::Whole(state) => (state, None),
            Opened::Damaged(state, lack) => (state, Some(lack)),
        };
        Ok(Self { path, file, stamp, state, damage })
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
        self.state.as_ref().map_or(&[], |state| state.bytes.bytes())
    }

    /// Stores one byte. It is in the file at once, whatever happens next.
    pub fn store(&mut self, service: Index, byte: u8) {
        if let Some(state) = &mut self.state {
            state.bytes.bytes_mut()[service as usize] = byte;
            state.bytes.order();
        }
    }

    /// Whether what is stored can be found again: nobody has taken the file
    /// away, or cut it.
    pub fn is_whole(&self) -> bool {
        let Some(state) = &self.state else { return true };
        lstat(self.path.join(STATE)).is_ok_and(|found| {
            let size = state.bytes.bytes().len() as u64;
            (found.st_dev, found.st_ino) == (state.device, state.inode)
                && found.st_size as u64 >= size
        })
    }

    /// Stores everything anew, in a file of its own.
    pub fn store_all(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let what = || format!("store in {} which services are up", self.path.display());
        self.state = Some(make_state(&self.path, bytes).to(what)?);
        Ok(())
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

    /// Writes down what has happened, for the next manager.
    pub fn note_record(&self, bytes: &[u8]) -> io::Result<()> {
        files::replace(files::directory(&self.path)?, RECORD, bytes, 0o600)
    }

    /// What was written down, as far as it can be read.
    pub fn record(&self, bytes_max: usize) -> Vec<u8> {
        files::read_up_to(&self.path.join(RECORD), bytes_max).unwrap_or_default()
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

    /// About as many bytes as it takes to tell somebody how every service is:
    /// its name, its state, and the name of another that keeps it down.
    pub fn status_bytes_max(&self) -> usize {
        self.database().services().map(|service| 2 * service.name().len() + 128).sum()
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

enum Opened {
    Whole(Option<State>),
    /// And what of it was missing.
    Damaged(Option<State>, String),
}

/// Opens the state file. Services that it does not speak of are down.
fn open_state(path: &Path, count: usize) -> io::Result<Opened> {
    if count == 0 {
        return Ok(Opened::Whole(None));
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match open(path.join(STATE), flags, Mode::empty()) {
        Ok(file) => Some((fstat(&file)?, File::from(file))),
        // A link, or nothing at all.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => None,
        Err(error) => return Err(error.into()),
    };
    let regular = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let Some((stat, file)) = found.filter(|(stat, _)| regular(stat)) else {
        let state = make_state(path, &vec![0; count])?;
        return Ok(Opened::Damaged(Some(state), "it is missing".to_owned()));
    };
    let length = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if length >= count {
        return Ok(Opened::Whole(Some(State::map(&file, count)?)));
    }
    // Written, so that no store can meet a full file system later.
    io::Seek::seek(&mut &file, io::SeekFrom::End(0))?;
    (&file).write_all(&vec![0; count - length])?;
    let lack = format!("it has {length} bytes for {count} services");
    Ok(Opened::Damaged(Some(State::map(&file, count)?), lack))
}

fn make_state(path: &Path, bytes: &[u8]) -> io::Result<State> {
    let directory = files::directory(path)?;
    files::replace(&directory, STATE, bytes, 0o644)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    State::map(&File::from(openat(&directory, STATE, flags, Mode::empty())?), bytes.len())
}

impl State {
    fn map(file: &File, count: usize) -> io::Result<Self> {
        let stat = fstat(file)?;
        let bytes = Mapping::new(file.as_fd(), count)?;
        Ok(Self { bytes, device: stat.st_dev, inode: stat.st_ino })
    }
}
