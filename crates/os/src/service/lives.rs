//! Live directories that init serves: taking one in, letting one go.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use engine::machine::Event;
use engine::service::ending::Class;
use engine::service::init::{Init, Unit};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::limits::LIVE_DIRS_MAX;
use model::service::database::{Database, Script, Service};
use model::service::request::Slot;
use rustix::fs::{self, FlockOperation, Mode, OFlags};

use crate::clock;
use crate::event_loop::Readiness;
use crate::service::held::{Held, Home, Pipe, inherited};
use crate::service::kept_database::KeptDatabase;
use crate::service::live_dir::SUPERVISED;
use crate::service::table::{Fixed, Found, Kind};
use crate::service::takeover::Taking;
use crate::service::tree::{Tree, saved, token};
use crate::trouble::{Trouble, While};

/// A live directory that is served.
pub struct Live {
    /// Its real path.
    pub path: String,
    pub directory: OwnedFd,
    /// The slots of its services, in the order of the database.
    pub slots: Vec<Slot>,
    /// The longrun that keeps its graph.
    pub manager: Slot,
    /// Where the table remembers it.
    pub(super) record: u32,
    /// It is being taken in; that is finished if init falls meanwhile.
    pub(super) taking: Option<Taking>,
    database: KeptDatabase,
    /// Holds the lock of all its services.
    pub(super) lock: Option<OwnedFd>,
}

impl Live {
    pub fn database(&self) -> Database<'_> {
        self.database.open()
    }

    /// Reads a live directory without serving it yet.
    fn open(path: &str) -> Result<Self, Trouble> {
        // Kept by exec, as all that is held of it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = fs::open(path, flags, Mode::empty()).to(|| format!("open {path}"))?;
        let database = KeptDatabase::read(&directory);
        let database = database.to(|| format!("read the database of {path}"))?;
        Ok(Self::new(path, directory, database))
    }

    /// What the program before this one served.
    fn resume(found: &Found) -> Result<Self, Trouble> {
        let path = &*found.name;
        let mut live = match inherited(found.fixed.directory) {
            Some(directory) => {
                let database = KeptDatabase::inherited(found.fixed.control);
                let database = database.to(|| format!("go on with the database of {path}"))?;
                Self::new(path, directory, database)
            }
            // An older program did not keep them.
            None => Self::open(path)?,
        };
        live.record = found.record;
        live.slots = vec![Slot::MAX; live.database().len()];
        live.lock = inherited(found.fixed.lock);
        live.taking = Taking::of_class(found.fixed.class);
        Ok(live)
    }

    fn new(path: &str, directory: OwnedFd, database: KeptDatabase) -> Self {
        Self {
            path: path.to_owned(),
            directory,
            slots: Vec::new(),
            manager: Slot::MAX,
            record: 0,
            taking: None,
            database,
            lock: None,
        }
    }

    /// What the table remembers of it.
    pub(super) fn fixed(&self, number: u8) -> Fixed {
        Fixed {
            home: number,
            class: self.taking.map_or(0, Taking::to_class),
            control: self.database.number(),
            directory: self.directory.as_raw_fd(),
            lock: self.lock.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            ..Fixed::default()
        }
    }

    /// Takes the lock that says that its services are supervised.
    fn lock(&mut self) -> Result<(), Trouble> {
        let what = || format!("lock {}: is another init serving it?", self.path);
        let flags = OFlags::RDWR;
        let lock = fs::openat(&self.directory, SUPERVISED, flags, Mode::empty()).to(what)?;
        fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).to(what)?;
        self.lock = Some(lock);
        Ok(())
    }
}

impl Tree {
    pub fn live(&self, live: u8) -> Option<&Live> {
        self.lives.get(usize::from(live))?.as_ref()
    }

    /// Numbers and paths of the live directories that are served.
    pub fn live_dirs(&self) -> impl Iterator<Item = (u8, &Live)> {
        (0u8..).zip(&self.lives).filter_map(|(n, live)| Some((n, live.as_ref()?)))
    }

    /// The live directory that `path` leads to, if it is served.
    pub fn find_live(&self, path: &str) -> Option<u8> {
        let found = |path: &str| self.live_dirs().find(|(_, live)| live.path == path);
        let number = found(path).or_else(|| found(&real(path).ok()?));
        number.map(|(number, _)| number)
    }

    /// Serves the live directory `path`. Where `previous` names one that is
    /// served, the services that `path/moved` lists go over to it as they
    /// are, and the rest of it is given up.
    ///
    /// # Errors
    /// What was served before is served as before.
    pub fn take(
        &mut self,
        init: &mut Init,
        path: &str,
        previous: Option<&str>,
    ) -> Result<u8, Trouble> {
        let no = |why: &str| Trouble {
            what: format!("serve {path}"),
            error: std::io::Error::other(why.to_owned()),
        };
        match self.find_live(path) {
            Some(number) if previous.is_none() => return Ok(number),
            Some(_) => return Err(no("it is served already")),
            None => {}
        }
        let old = match previous {
            Some(previous) => {
                Some(self.find_live(previous).ok_or_else(|| no("its predecessor is not served"))?)
            }
            None => None,
        };
        let path = &*real(path).to(|| format!("find {path}"))?;
        let mut live = Live::open(path)?;
        live.lock()?;
        let number =
            self.free_number().ok_or_else(|| no("too many live directories are served"))?;
        live.taking = Some(Taking { previous: old });
        live.record = self
            .table
            .add(Kind::Live, &live.fixed(number), path, &[])
            .to(|| format!("serve {path}"))?;
        self.lives[usize::from(number)] = Some(live);
        if let Err(trouble) = self.settle_in(init, number) {
            self.undo(init, number);
            return Err(trouble);
        }
        Ok(number)
    }

    fn free_number(&mut self) -> Option<u8> {
        let free = self.lives.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.lives.push(None);
            self.lives.len() - 1
        });
        // One more than may be served for long: an update has two for a moment.
        (number <= LIVE_DIRS_MAX).then_some(number as u8)
    }

    /// Adds one service of a live directory, down.
    pub(super) fn add_service(
        &mut self,
        init: &mut Init,
        name: &str,
        home: Home,
    ) -> Result<Slot, Trouble> {
        let now = clock::now();
        let longrun = self.longrun_of(home);
        let unit = match &longrun {
            Some(longrun) => Unit::Longrun(Supervisor::new(Rules::from(longrun), false, now)),
            None => Unit::Oneshot(Runner::new(now)),
        };
        let oneshot = longrun.is_none();
        let slot = self.add_slot(init, unit, name, home, Class::Service)?;
        if let Some(held) = self.held_mut(slot) {
            held.oneshot = oneshot;
        }
        if !oneshot {
            if let Err(trouble) = self.open_control(slot) {
                self.forget(slot);
                init.remove(slot);
                return Err(trouble);
            }
            // Nobody can listen yet, and the status file says already how it is.
            self.quiet(slot);
        }
        self.remember(slot);
        Ok(slot)
    }

    pub(super) fn longrun_of(&self, home: Home) -> Option<model::service::database::Longrun> {
        let Home::Live { live, index } = home else { return None };
        self.live(live)?.database().service(index).longrun()
    }

    /// Gives a unit a slot, and the slot a record.
    pub(super) fn add_slot(
        &mut self,
        init: &mut Init,
        unit: Unit,
        name: &str,
        home: Home,
        class: Class,
    ) -> Result<Slot, Trouble> {
        let what = || format!("supervise {name}");
        let state = saved(&unit);
        let slot = init.add(unit).ok_or(std::io::ErrorKind::OutOfMemory).to(what)?;
        let mut held = Held::new(slot, name, home, class);
        match self.table.add(Kind::Slot, &held.fixed(), name, state.as_bytes()).to(what) {
            Ok(record) => held.record = record,
            Err(trouble) => {
                init.remove(slot);
                return Err(trouble);
            }
        }
        self.keep(held);
        Ok(slot)
    }

    /// Opens `supervise/control` of a slot and listens to it.
    pub(super) fn open_control(&mut self, slot: Slot) -> Result<(), Trouble> {
        let Some(held) = self.held(slot) else { return Ok(()) };
        let path = format!("{}/supervise/control", held.folder());
        let what = || format!("open {path}");
        // Both ways, so that it never reads as ended; kept by exec.
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let control = fs::openat(self.base(held), &*path, flags, Mode::empty()).to(what)?;
        self.leave_room(&control).to(what)?;
        self.events.add(&control, token::CONTROL | u64::from(slot), Readiness::IN).to(what)?;
        if let Some(held) = self.held_mut(slot) {
            held.control = Some(control);
        }
        Ok(())
    }

    /// Removes what a `take` that failed has added.
    fn undo(&mut self, init: &mut Init, number: u8) {
        let mine = |held: &&Held| matches!(held.home, Home::Live { live, .. } if live == number);
        let added: Vec<Slot> = self.all().filter(mine).map(|held| held.slot).collect();
        for slot in added {
            self.forget(slot);
            init.remove(slot);
        }
        if let Some(live) = self.lives[usize::from(number)].take() {
            self.table.remove(live.record);
        }
    }

    /// Brings a slot down for good.
    pub fn dismiss(&mut self, init: &mut Init, slot: Slot) {
        match init.unit(slot) {
            Some(Unit::Longrun(_)) => {
                for letter in *b"dx" {
                    init.event(clock::now(), slot, Event::Control(letter), self);
                }
            }
            Some(Unit::Oneshot(runner)) if !runner.at_rest() => {
                init.event(clock::now(), slot, Event::Signal(15), self);
                self.left.push(slot);
            }
            Some(Unit::Oneshot(_)) => self.left.push(slot),
            None => {}
        }
    }

    /// A live directory that is served holds this slot: whoever sends its
    /// supervisor away (`s6-svc -x`) does not take it from the graph.
    pub fn is_counted_on(&self, slot: Slot) -> bool {
        let home = self.held(slot).map(|held| held.home);
        let Some(Home::Live { live, index }) = home else { return false };
        self.live(live).is_some_and(|live| live.slots.get(index as usize) == Some(&slot))
    }

    /// Gives up a live directory whose longruns are all down.
    pub fn release(&mut self, init: &mut Init, path: &str) -> Result<(), Trouble> {
        let no = |why: String| Trouble {
            what: format!("give up {path}"),
            error: std::io::Error::other(why),
        };
        let number = self.find_live(path).ok_or_else(|| no("it is not served".to_owned()))?;
        let Some(live) = self.live(number) else { return Ok(()) };
        let busy = live.slots.iter().find(|s| init.unit(**s).is_some_and(|unit| !unit.at_rest()));
        if let Some(&busy) = busy {
            let name = self.held(busy).map_or("a service", |held| &*held.name);
            return Err(no(format!("{name} is not down")));
        }
        let Some(live) = self.lives[usize::from(number)].take() else { return Ok(()) };
        for slot in live.slots.iter().copied().chain([live.manager]) {
            self.dismiss(init, slot);
        }
        self.table.remove(live.record);
        Ok(())
    }

    pub(super) fn add_manager(&mut self, init: &mut Init, number: u8) {
        let home = Home::Manager { live: number };
        if let Ok(slot) = self.add_longrun(init, "manager", home, Class::Manager, Vec::new())
            && let Some(Some(live)) = self.lives.get_mut(usize::from(number))
        {
            live.manager = slot;
        }
    }

    /// Starts a program of init's own and keeps it up.
    pub fn add_longrun(
        &mut self,
        init: &mut Init,
        name: &str,
        home: Home,
        class: Class,
        words: Vec<CString>,
    ) -> Result<Slot, Trouble> {
        let longrun = own_longrun();
        let supervisor = Supervisor::new(Rules::from(&longrun), true, clock::now());
        let slot = self.add_slot(init, Unit::Longrun(supervisor), name, home, class)?;
        if let Some(held) = self.held_mut(slot) {
            held.words = words.into();
        }
        self.remember(slot);
        init.begin(clock::now(), slot, self);
        Ok(slot)
    }

    /// Runs a program of init's own once.
    pub fn run_own(
        &mut self,
        init: &mut Init,
        name: &str,
        words: Vec<CString>,
    ) -> Result<Slot, Trouble> {
        let now = clock::now();
        let unit = Unit::Oneshot(Runner::new(now));
        let slot = self.add_slot(init, unit, name, Home::Own, Class::Service)?;
        if let Some(held) = self.held_mut(slot) {
            held.words = words.into();
            held.oneshot = true;
        }
        self.remember(slot);
        init.event(now, slot, Event::Run { script: Script::Up, ticket: 1 }, self);
        Ok(slot)
    }

    /// Gives each consumer its pipe, and each producer its consumer.
    pub(super) fn join_pipelines(&mut self, number: u8) {
        let Some(live) = self.live(number) else { return };
        let joints: Vec<(Slot, Slot)> = live
            .database()
            .services()
            .take_while(Service::is_longrun)
            .filter_map(|service| {
                let consumer = service.longrun()?.consumer?;
                Some((live.slots[service.index() as usize], live.slots[consumer as usize]))
            })
            .collect();
        for (producer, consumer) in joints {
            self.join(producer, consumer);
        }
    }

    /// What `producer` prints is what `consumer` reads, from its next start on.
    pub(super) fn join(&mut self, producer: Slot, consumer: Slot) {
        if let Some(held) = self.held_mut(consumer)
            && held.input.is_none()
        {
            held.input = Pipe::new().ok().inspect(|pipe| {
                // The consumer expects to wait for what comes.
                let _ = rustix::io::ioctl_fionbio(&pipe.reader, false);
            });
            self.remember(consumer);
        }
        if let Some(held) = self.held_mut(producer) {
            held.consumer = Some(consumer);
        }
    }

    /// After a fresh start: serves again what the table remembers.
    pub(super) fn resume_live(&mut self, found: &Found) -> Result<(), Trouble> {
        let live = Live::resume(found)?;
        self.table.set_fixed(found.record, &live.fixed(found.fixed.home));
        let number = usize::from(found.fixed.home);
        if self.lives.len() <= number {
            self.lives.resize_with(number + 1, || None);
        }
        self.lives[number] = Some(live);
        Ok(())
    }

    /// After a fresh start: finds the place of a slot in its database.
    pub(super) fn resume_service(&mut self, held: &mut Held) -> bool {
        let Home::Live { live, .. } = held.home else { return true };
        let Some(Some(known)) = self.lives.get_mut(usize::from(live)) else { return false };
        let found = known.database().find(&held.name);
        let Some(model::service::database::Entry::Service(index)) = found else { return false };
        held.home = Home::Live { live, index };
        known.slots[index as usize] = held.slot;
        true
    }

    /// After a fresh start, once every slot is known.
    pub(super) fn resume_joints(&mut self) {
        for number in 0..self.lives.len() as u8 {
            let Some(live) = self.live(number) else { continue };
            if live.slots.contains(&Slot::MAX) {
                continue; // one that an update had only begun to take in
            }
            let manager = self.all().find(|held| held.home == Home::Manager { live: number });
            let manager = manager.map_or(Slot::MAX, |held| held.slot);
            if let Some(Some(live)) = self.lives.get_mut(usize::from(number)) {
                live.manager = manager;
            }
            self.join_pipelines(number);
        }
        let readers: Vec<(Slot, Slot)> = self
            .all()
            .filter(|held| held.home == Home::Scandir)
            .filter_map(|held| Some((self.in_scandir(held.name.strip_suffix("/log")?)?, held.slot)))
            .collect();
        for (service, reader) in readers {
            self.join(service, reader);
        }
    }
}

/// The path as the manager knows it, too, whatever links somebody went by.
fn real(path: &str) -> std::io::Result<String> {
    let real = std::fs::canonicalize(path)?.into_os_string().into_string();
    real.map_err(|_| std::io::ErrorKind::InvalidFilename.into())
}

/// The settings of init's own longruns.
pub(super) fn own_longrun() -> model::service::database::Longrun {
    model::service::database::Longrun {
        timeout_kill: std::time::Duration::from_secs(5),
        ..Default::default()
    }
}
