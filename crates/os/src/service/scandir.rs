//! Plain service directories of a scandir: finding them, and losing them.
//!
//! Source: s6 `scandir.html`, `s6-svscan.html`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use engine::machine::Event;
use engine::service::ending::Class;
use engine::service::init::{Init, Unit};
use engine::service::supervise::{Rules, Supervisor};
use model::service::name::Name;
use model::service::request::Slot;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir};

use crate::clock;
use crate::service::held::Home;
use crate::service::live_dir;
use crate::service::settings;
use crate::service::tree::Tree;
use crate::trouble::{Trouble, While};

/// Orders are for the owner of the tree.
const CONTROL_MODE: Mode = Mode::from_raw_mode(0o600);

/// Takes the lock of the scandir, `folder/lock`; `None` where another holds it.
/// It is kept by exec.
pub fn lock(folder: &Path) -> std::io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
    let lock = fs::open(folder.join("lock"), flags, CONTROL_MODE)?;
    let locked = fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(locked.then_some(lock))
}

/// Opens `folder/control`, a fifo for the letters of `s6-svscanctl`.
pub fn open_control(folder: &Path) -> std::io::Result<OwnedFd> {
    let control = folder.join("control");
    match fs::mknodat(fs::CWD, &control, FileType::Fifo, CONTROL_MODE, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(fs::open(&control, flags, Mode::empty())?)
}

/// Whether `path` can be executed.
pub fn executable(path: &Path) -> bool {
    fs::access(path, fs::Access::EXEC_OK).is_ok()
}

impl Tree {
    /// Looks for service directories that are new, supervises them, and marks
    /// those that are gone. `most` bounds how many there may be.
    ///
    /// What cannot be supervised is in the answer; the rest goes on.
    pub fn scan(&mut self, init: &mut Init, most: usize) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let names = match self.names_in_scandir() {
            Ok(names) => names,
            Err(error) => {
                return vec![Trouble { what: "read the scandir".into(), error }];
            }
        };
        let known: Vec<Slot> =
            self.all().filter(|h| h.home == Home::Scandir).map(|held| held.slot).collect();
        for slot in known {
            if let Some(held) = self.held_mut(slot) {
                let base = held.name.strip_suffix("/log").unwrap_or(&held.name);
                held.inactive = names.binary_search_by(|n| n.as_str().cmp(base)).is_err();
            }
        }
        for name in names {
            if self.in_scandir(&name).is_some() {
                continue;
            }
            if self.all().filter(|h| h.home == Home::Scandir).count() >= most {
                let error = std::io::Error::other(format!("there are {most} already; see -C"));
                troubles.push(Trouble { what: format!("supervise {name}"), error });
                break;
            }
            if let Err(trouble) = self.add_plain(init, &name) {
                troubles.push(trouble);
            }
        }
        troubles
    }

    /// Names of directories in the scandir, in the order of the alphabet,
    /// without those that belong to a live directory.
    fn names_in_scandir(&self) -> std::io::Result<Vec<String>> {
        let directory = crate::files::directory_at(self.scandir.as_fd(), ".")?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Ok(name) = Name::parse_bytes(entry.file_name().to_bytes()) else { continue };
            let directory = match entry.file_type() {
                FileType::Directory => true,
                FileType::Symlink | FileType::Unknown => {
                    !self.of_live_dir(&name)
                        && fs::statat(&self.scandir, &*name, AtFlags::empty()).is_ok_and(|stat| {
                            FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                        })
                }
                _ => false,
            };
            if directory {
                names.push(name.as_str().to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether a link leads into a live directory: init knows those services
    /// from the database.
    fn of_live_dir(&self, name: &str) -> bool {
        fs::readlinkat(&self.scandir, name, Vec::new()).is_ok_and(|target| {
            let target = target.as_bytes();
            let needle = b"/servicedirs/";
            let live = target.windows(needle.len()).position(|part| part == needle);
            live.is_some_and(|end| {
                let mut state = target[..end].to_vec();
                state.extend_from_slice(b"/compiled");
                fs::lstat(std::ffi::OsStr::new(&*String::from_utf8_lossy(&state))).is_ok()
            })
        })
    }

    /// Supervises a directory, and its `log` if it has one.
    fn add_plain(&mut self, init: &mut Init, name: &str) -> Result<(), Trouble> {
        let log = format!("{name}/log");
        let logged = fs::statat(&self.scandir, &*log, AtFlags::empty())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let reader = match logged {
            true => Some(self.add_directory(init, &log, Class::Reader)?),
            false => None,
        };
        let service = self.add_directory(init, name, Class::Service)?;
        if let Some(reader) = reader {
            self.join(service, reader);
            init.begin(clock::now(), reader, self);
        }
        init.begin(clock::now(), service, self);
        Ok(())
    }

    /// Takes in one service directory; it does not begin yet.
    pub fn add_directory(
        &mut self,
        init: &mut Init,
        name: &str,
        class: Class,
    ) -> Result<Slot, Trouble> {
        let longrun = settings::read(self.scandir.as_fd(), name);
        let wanted_up = !longrun.starts_down;
        let supervisor = Supervisor::new(Rules::from(&longrun), wanted_up, clock::now());
        let slot = self.add_slot(init, Unit::Longrun(supervisor), name, Home::Scandir, class)?;
        if let Some(held) = self.held_mut(slot) {
            held.plain = Some(Box::new(longrun));
        }
        if let Err(trouble) = self.open_plain(slot) {
            self.forget(slot);
            init.remove(slot);
            return Err(trouble);
        }
        Ok(slot)
    }

    /// Makes the directory of a plain service ready to be supervised, takes its
    /// lock, and opens its control fifo.
    fn open_plain(&mut self, slot: Slot) -> Result<(), Trouble> {
        let Some(held) = self.held(slot) else { return Ok(()) };
        let name = held.name.clone();
        let what = || format!("supervise {name}");
        let folder = {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            fs::openat(&self.scandir, &*name, flags, Mode::empty()).to(what)?
        };
        live_dir::make_supervise(&folder).to(what)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o644);
        let lock = fs::openat(&folder, "supervise/lock", flags, mode).to(what)?;
        fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive)
            .to(|| format!("supervise {name}: another supervisor does"))?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let _ = fs::openat(&folder, "supervise/death_tally", flags, Mode::empty());
        if let Some(held) = self.held_mut(slot) {
            held.lock = Some(lock);
            held.directory = Some(folder);
        }
        self.open_control(slot)?;
        self.remember(slot);
        Ok(())
    }

    /// Ends supervision of what the last scan did not find. Readers may
    /// finish what they have to read, unless `readers_too`.
    pub fn prune(&mut self, init: &mut Init, readers_too: bool) {
        let gone: Vec<(Slot, Class)> = self
            .all()
            .filter(|h| h.home == Home::Scandir && h.inactive)
            .map(|held| (held.slot, held.class))
            .collect();
        for (slot, class) in gone {
            if class == Class::Reader && !readers_too {
                self.let_finish(init, slot);
            } else {
                self.dismiss(init, slot);
            }
        }
    }

    /// Lets a reader end by itself once its producers have: nobody holds its
    /// pipe open for it any more.
    pub fn let_finish(&mut self, init: &mut Init, reader: Slot) {
        for letter in *b"Ox" {
            init.event(clock::now(), reader, Event::Control(letter), self);
        }
        if let Some(held) = self.held_mut(reader) {
            held.input = None;
        }
        self.remember(reader);
    }
}
