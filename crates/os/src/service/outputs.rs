//! Outputs: files in which a service says what others may want to know,
//! `/run/services/outputs/NAME/KEY`.
//!
//! The manager makes the directory of a service when it starts and removes it
//! when it is down. A file takes its place whole, by `rename(2)`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use model::account::User;
use model::limits::{OUTPUT_BYTES_MAX, OUTPUTS_MAX};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use xxhash_rust::xxh64::Xxh64;

use crate::files;

/// The outputs of one live directory.
pub struct Outputs {
    root: PathBuf,
}

/// In the order of their names; what is no file is none.
pub type Values = Vec<(String, Vec<u8>)>;

impl Outputs {
    /// Those of the live directory that is found at `live`: for `/run/s6-rc`,
    /// `/run/services/outputs`; for `/run/trial`, `/run/services/outputs-trial`.
    pub fn of(live: &Path) -> Self {
        let beside = live.parent().unwrap_or(Path::new("/")).join("services");
        let folder = match live.file_name().and_then(|name| name.to_str()) {
            None | Some("s6-rc") => "outputs".to_owned(),
            Some(name) => format!("outputs-{name}"),
        };
        Self { root: beside.join(folder) }
    }

    pub fn path(&self, service: &str) -> PathBuf {
        self.root.join(service)
    }

    /// Makes the directory of a service that starts, where there is none.
    pub fn make(&self, service: &str, owner: Option<User>) -> io::Result<()> {
        let path = self.path(service);
        let mut builder = DirBuilder::new();
        builder.mode(0o755);
        let mut made = builder.create(&path);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            builder.recursive(true).create(&self.root)?;
            made = builder.recursive(false).create(&path);
        }
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        match owner {
            Some(owner) => chown(&path, Some(owner.user), Some(owner.group)),
            None => Ok(()),
        }
    }

    /// Those that have a directory.
    pub fn services(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes that of a service that is down.
    pub fn remove(&self, service: &str) -> io::Result<()> {
        let path = self.path(service);
        // Most say nothing, and an empty one is one call instead of five.
        let removed = fs::remove_dir(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Err(error),
            _ => fs::remove_dir_all(&path),
        });
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Says something; `false`: it has been said already.
    ///
    /// # Errors
    /// `NotFound`: the service is down.
    pub fn set(&self, service: &str, key: &str, value: &[u8]) -> io::Result<bool> {
        let folder = self.path(service);
        let path = folder.join(key);
        if value.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if files::read_up_to(&path, value.len() + 1).is_ok_and(|known| known == value) {
            return Ok(false);
        }
        // Two who write at once do not meet, and hidden files are nobody's outputs.
        let new = folder.join(format!(".{key}.{}", std::process::id()));
        let written = (|| {
            let _ = fs::remove_file(&new);
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o644);
            options.open(&new)?.write_all(value)?;
            fs::rename(&new, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map(|()| true)
    }

    /// Says nothing of this any more.
    pub fn forget(&self, service: &str, key: &str) -> io::Result<()> {
        match fs::remove_file(self.path(service).join(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What a service says; `None`: nothing, or it is down.
    pub fn get(&self, service: &str, key: &str) -> io::Result<Option<Vec<u8>>> {
        match files::read_up_to(&self.path(service).join(key), OUTPUT_BYTES_MAX) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All that a service says: nothing, where it is down.
    pub fn list(&self, service: &str) -> Values {
        let mut values = Values::new();
        let Ok(entries) = fs::read_dir(self.path(service)) else { return values };
        for entry in entries.flatten().take(OUTPUTS_MAX) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if file
                && !name.starts_with('.')
                && let Ok(Some(value)) = self.get(service, &name)
            {
                let at = values.partition_point(|(other, _)| *other < name);
                values.insert(at, (name, value));
            }
        }
        values
    }

    /// Changes with all that a service says.
    pub fn digest(&self, service: &str) -> u64 {
        let mut hash = Xxh64::new(0);
        for (name, value) in self.list(service) {
            for bytes in [name.as_bytes(), &value] {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
        hash.digest()
    }
}

const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watches one directory that may not be there, and come, go and come again.
pub struct Watch {
    path: PathBuf,
    inotify: OwnedFd,
}

impl Watch {
    pub fn new(path: PathBuf) -> io::Result<Self> {
        let mut watch = Self { path, inotify: inotify()? };
        watch.renew()?;
        Ok(watch)
    }

    /// Watches the directory as it is now; where it is not there, what it would
    /// appear in. What is looked at afterwards is either seen or told of.
    pub fn renew(&mut self) -> io::Result<()> {
        self.inotify = inotify()?;
        loop {
            let mut path = self.path.as_path();
            while let Err(error) = inotify::add_watch(&self.inotify, path, CHANGES) {
                match (error, path.parent()) {
                    (Errno::NOENT | Errno::NOTDIR, Some(parent)) => path = parent,
                    (error, _) => return Err(error.into()),
                }
            }
            // What leads there may have been made a moment before it was watched.
            let next = self.path.strip_prefix(path).ok().and_then(|rest| rest.iter().next());
            if next.is_none_or(|next| !path.join(next).is_dir()) {
                return Ok(());
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Watches the directories of several services, each with a number.
pub struct Watches {
    inotify: OwnedFd,
    /// The watch of each.
    numbers: Vec<(i32, u32)>,
}

impl Watches {
    pub fn new() -> io::Result<Self> {
        Ok(Self { inotify: inotify()?, numbers: Vec::new() })
    }

    /// Watches a directory until it is gone.
    pub fn add(&mut self, path: &Path, number: u32) -> io::Result<()> {
        let watch = inotify::add_watch(&self.inotify, path, CHANGES)?;
        self.numbers.retain(|(other, _)| *other != watch);
        self.numbers.push((watch, number));
        Ok(())
    }

    /// The numbers of those in which something has happened, some perhaps twice.
    pub fn read(&mut self) -> Vec<u32> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut found = Vec::new();
        while let Ok(event) = reader.next() {
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                found.extend(self.numbers.iter().map(|(_, number)| *number));
            } else if event.events().contains(inotify::ReadFlags::IGNORED) {
                self.numbers.retain(|(watch, _)| *watch != event.wd());
            } else {
                let watch = event.wd();
                let of = self.numbers.iter().filter(|(other, _)| *other == watch);
                found.extend(of.map(|(_, number)| *number));
            }
        }
        found
    }
}

impl AsFd for Watches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn inotify() -> io::Result<OwnedFd> {
    Ok(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}
