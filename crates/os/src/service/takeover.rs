//! Taking a live directory in, in steps that are done again after a fall of
//! init between any two of them; what is done already they leave as it is.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine::machine::World;
use engine::service::init::{Init, Unit};
use engine::service::supervise::Rules;
use model::limits::DATABASE_BYTES_MAX;
use model::service::database::{Database, Entry, Index};
use model::service::request::Slot;
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};

use crate::files;
use crate::service::held::Home;
use crate::service::live_dir::{COMPILED, MOVED, SERVICE_DIRS, SUPERVISED};
use crate::service::tree::Tree;
use crate::trouble::{Trouble, While};

/// That a live directory is being taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taking {
    /// The one whose services go over to it.
    pub previous: Option<u8>,
}

/// As the table remembers a take without predecessor; with one it is
/// remembered as the number of that, plus one.
const FIRST: u8 = u8::MAX;

impl Taking {
    pub(super) fn to_class(self) -> u8 {
        self.previous.map_or(FIRST, |previous| previous + 1)
    }

    pub(super) fn of_class(class: u8) -> Option<Self> {
        match class {
            0 => None,
            FIRST => Some(Self { previous: None }),
            number => Some(Self { previous: Some(number - 1) }),
        }
    }
}

impl Tree {
    /// Brings into the live directory `number`, which is being taken in,
    /// whatever it does not have yet: the services that its file `moved` lists
    /// come over from its predecessor as they are, the others are new. The
    /// rest of the predecessor is given up.
    ///
    /// # Errors
    /// Nothing has come over; what is new may be there in part.
    pub(super) fn settle_in(&mut self, init: &mut Init, number: u8) -> Result<(), Trouble> {
        let Some(Taking { previous }) = self.live(number).and_then(|live| live.taking) else {
            return Ok(());
        };
        // One that is gone already had nothing left to give.
        let old = previous.filter(|old| self.live(*old).is_some());
        let moved = match old {
            Some(old) => self.moved(number, old)?,
            None => Vec::new(),
        };
        self.add_services(init, number, &moved)?;
        if let Some(old) = old {
            self.succeed(init, old, number, &moved);
        } else if previous.is_none() && self.manager_of(number).is_none() {
            self.add_manager(init, number);
        }
        self.join_pipelines(number);
        if let Some(Some(live)) = self.lives.get_mut(usize::from(number)) {
            live.taking = None;
            self.table.set_fixed(live.record, &live.fixed(number));
        }
        Ok(())
    }

    /// Finishes, after a fresh start, whatever was begun before.
    pub(super) fn settle_all_in(&mut self, init: &mut Init) -> Vec<Trouble> {
        let numbers: Vec<u8> = self.live_dirs().map(|(number, _)| number).collect();
        numbers.into_iter().filter_map(|number| self.settle_in(init, number).err()).collect()
    }

    fn manager_of(&self, number: u8) -> Option<Slot> {
        self.all().find(|held| held.home == Home::Manager { live: number }).map(|held| held.slot)
    }

    /// Which slot of `old` becomes which service of `number`: `moved` holds
    /// lines `OLD NEW`. Those that have come over are not among them.
    fn moved(&self, number: u8, old: u8) -> Result<Vec<(Slot, Index)>, Trouble> {
        let (Some(live), Some(from)) = (self.live(number), self.live(old)) else {
            return Ok(Vec::new());
        };
        let what = || format!("read {}/{MOVED}", live.path);
        let mut text = String::new();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match fs::openat(&live.directory, MOVED, flags, Mode::empty()) {
            Ok(file) => {
                let file = File::from(file);
                file.take(DATABASE_BYTES_MAX as u64).read_to_string(&mut text).to(what)?
            }
            Err(rustix::io::Errno::NOENT) => 0,
            Err(error) => return Err(error).to(what),
        };
        let (before, after) = (from.database(), live.database());
        let find = |database: Database<'_>, name: &str| match database.find(name) {
            Some(Entry::Service(index)) => Some(index),
            _ => None,
        };
        let pairs = text.lines().map(|line| {
            let (was, is) = line.split_once(' ')?;
            let (was, is) = (find(before, was)?, find(after, is)?);
            let alike = before.service(was).is_longrun() == after.service(is).is_longrun();
            alike.then_some((*from.slots.get(was as usize)?, is))
        });
        let pairs: Option<Vec<_>> = pairs.collect();
        let pairs = pairs.ok_or_else(|| std::io::Error::other("it names what is not there"));
        Ok(pairs.to(what)?.into_iter().filter(|(slot, _)| *slot != Slot::MAX).collect())
    }

    /// Adds every service that does not come from the previous directory.
    fn add_services(
        &mut self,
        init: &mut Init,
        number: u8,
        moved: &[(Slot, Index)],
    ) -> Result<(), Trouble> {
        let Some(Some(live)) = self.lives.get_mut(usize::from(number)) else { return Ok(()) };
        let count = live.database().len();
        live.slots.resize(count, Slot::MAX);
        for &(slot, index) in moved {
            live.slots[index as usize] = slot;
        }
        for index in 0..count as Index {
            let Some(live) = self.live(number) else { return Ok(()) };
            if live.slots[index as usize] != Slot::MAX {
                continue;
            }
            let name = live.database().service(index).name().to_owned();
            let slot = self.add_service(init, &name, Home::Live { live: number, index })?;
            if let Some(Some(live)) = self.lives.get_mut(usize::from(number)) {
                live.slots[index as usize] = slot;
            }
        }
        Ok(())
    }

    /// The services that moved are from now on those of `new`; the others of
    /// `old` leave once they are down.
    fn succeed(&mut self, init: &mut Init, old: u8, new: u8, moved: &[(Slot, Index)]) {
        for &(slot, index) in moved {
            self.move_service(init, slot, Home::Live { live: new, index });
        }
        if let Some(manager) = self.manager_of(old) {
            if let Some(held) = self.held_mut(manager) {
                held.home = Home::Manager { live: new };
            }
            self.remember(manager);
        }
        let manager = self.manager_of(new).unwrap_or(Slot::MAX);
        if let Some(Some(live)) = self.lives.get_mut(usize::from(new)) {
            live.manager = manager;
        }
        let left = self.live(old).map(|live| live.slots.clone()).unwrap_or_default();
        for slot in left {
            let stays = self
                .held(slot)
                .is_none_or(|held| matches!(held.home, Home::Live { live, .. } if live == new));
            if !stays {
                self.dismiss(init, slot);
            }
        }
        if let Some(before) = self.lives[usize::from(old)].take() {
            // Before anything forgets its descriptor: nobody removes a
            // directory that is locked.
            if let Some(lock) = &before.lock {
                let _ = fs::fcntl_lock(lock, FlockOperation::Unlock);
            }
            self.table.remove(before.record);
        }
    }

    /// Brings the directory of a service along, and gives it its new settings.
    fn move_service(&mut self, init: &mut Init, slot: Slot, home: Home) {
        let Some(held) = self.held(slot) else { return };
        let Home::Live { live, index } = home else { return };
        let Some(there) = self.live(live) else { return };
        let name = there.database().service(index).name().to_owned();
        let renamed = *held.name != *name;
        if !held.oneshot {
            let (old, new) = (self.base(held), there.directory.as_fd());
            // Where it fails, the service runs on without its directory.
            let _ = bring_directory(old, &held.folder(), new, &name, renamed);
        }
        let longrun = self.longrun_of(home);
        if let (Some(longrun), Some(Unit::Longrun(supervisor))) = (&longrun, init.unit_mut(slot)) {
            supervisor.set_rules(Rules::from(longrun));
        }
        let Some(held) = self.held_mut(slot) else { return };
        held.home = home;
        held.name = name.into();
        let (record, fixed, name) = (held.record, held.fixed(), held.name.clone());
        if !renamed {
            self.table.set_fixed(record, &fixed);
        } else if let Ok(record) = self.table.rename(record, &fixed, &name)
            && let Some(held) = self.held_mut(slot)
        {
            held.record = record;
            if held.pipe.is_some() {
                self.new_pipes.push(slot);
            }
        }
        self.unwritten(slot);
        init.note(slot);
        if let Some(unit) = init.unit(slot) {
            self.save(slot, unit);
        }
    }
}

/// Brings the directory `from` of a service, in which its process stands, into
/// the live directory `new`, to the place of the one that was made for it
/// there; and makes it hold what that one holds.
fn bring_directory(
    old: BorrowedFd<'_>,
    from: &str,
    new: BorrowedFd<'_>,
    name: &str,
    renamed: bool,
) -> io::Result<()> {
    let to = format!("{SERVICE_DIRS}/{name}");
    // No service has such a name; it goes with the old live directory.
    let made = format!("{SERVICE_DIRS}/.made-{name}");
    if fs::statat(old, format!("{from}/supervise"), AtFlags::empty()).is_ok() {
        // Absent where this was done before init fell.
        let _ = fs::renameat(new, &*to, old, &*made);
        if let Err(error) = fs::renameat(old, from, new, &*to) {
            let _ = fs::renameat(old, &*made, new, &*to);
            return Err(error.into());
        }
    }
    let lock = format!("{to}/supervise/lock.new");
    let _ = fs::unlinkat(new, &*lock, AtFlags::empty());
    fs::linkat(new, SUPERVISED, new, &*lock, AtFlags::empty())?;
    fs::renameat(new, &*lock, new, format!("{to}/supervise/lock"))?;
    refresh(&files::directory_at(new, &to)?, &files::directory_at(old, &made)?, renamed)
}

/// Gives `folder` the links that `made` has, and takes others away; what the
/// service itself has put there stays. With another name all lead elsewhere.
fn refresh(folder: &OwnedFd, made: &OwnedFd, renamed: bool) -> io::Result<()> {
    let (before, after) = (links(folder)?, links(made)?);
    for name in before.iter().filter(|name| renamed || !after.contains(name)) {
        fs::unlinkat(folder, &**name, AtFlags::empty())?;
    }
    for name in after.iter().filter(|name| renamed || !before.contains(name)) {
        // The link itself, not what it leads to.
        fs::linkat(made, &**name, folder, &**name, AtFlags::empty())?;
    }
    Ok(())
}

/// The links of a service directory to the files of its database.
fn links(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        let target = fs::readlinkat(folder, &*name, Vec::new());
        if target.is_ok_and(|target| target.as_bytes().starts_with(COMPILED.as_bytes())) {
            names.push(name);
        }
    }
    Ok(names)
}
