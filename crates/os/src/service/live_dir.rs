//! The live directory: the running state of one database.
//!
//! `LIVE` is a symbolic link to `LIVE:SUFFIX`, so that an update can prepare
//! everything beside the old directory and then exchange one link. Source of
//! the layout: s6-rc `s6-rc-init.html`; the page `docs/formats/live-directory.md`
//! says what differs.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::service::database::{Database, Longrun, Service};
use model::service::status::Status;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::files;
use crate::trouble::{Trouble, While};

/// The directory of supervised services, below the live directory.
pub const SERVICE_DIRS: &str = "servicedirs";
/// One byte per atomic service in the order of the database: bit 0 up, bit 1
/// wanted by name.
pub const STATE: &str = "state";
/// From a service directory to the compiled database.
pub const COMPILED: &str = "../../compiled/";
/// The file that every `supervise/lock` is another name of: one descriptor
/// holds the lock of all.
pub const SUPERVISED: &str = ".supervised";
/// What every file `down` is another name of. Scripts of the peer that lock
/// it find it.
pub const EMPTY: &str = "lock";
/// What every `supervise/status` is a name of, until it is replaced.
const STATUS: &str = ".status";
/// Lines `OLD NEW`: services that go over from the previous live directory.
pub const MOVED: &str = "moved";
/// One byte per service while an update is under way: what it has stopped and
/// will start again.
pub const STOPPED: &str = "stopped";
/// What the manager remembers of the past.
pub const RECORD: &str = "record";
/// The number of the group that may look, where there is one.
const READERS: &str = "group";
/// The socket of the manager.
pub const MANAGER: &str = "manager";
/// The socket of init, below the scandir.
pub const INIT: &str = ".s6-svscan/init";

const UP: u8 = 1;

/// What a new live directory is made from.
pub struct Making<'a> {
    /// The link that will lead to it, an absolute path.
    pub live: &'a Path,
    /// The directory of the compiled database, as `LIVE/compiled` will name it.
    pub compiled: &'a Path,
    pub database: Database<'a>,
    pub scandir: &'a Path,
    /// Stands before each name in the scandir.
    pub prefix: &'a str,
    /// Names of longruns that bring their `supervise` and `event` along from
    /// the previous live directory.
    pub brought: &'a dyn Fn(&str) -> bool,
    /// The first state of every service.
    pub state: &'a [u8],
    /// The members of this group may look, and nobody else but the owner; all
    /// may where there is none.
    pub readers: Option<u32>,
}

/// Makes `LIVE:SUFFIX` with everything in it and gives its path. Nothing
/// leads there yet. What was made is removed again where it fails.
pub fn make(making: &Making<'_>) -> Result<PathBuf, Trouble> {
    let real = unused_name(making.live)?;
    match fill(making, &real) {
        Ok(()) => Ok(real),
        Err(trouble) => {
            let _ = std::fs::remove_dir_all(&real);
            Err(trouble)
        }
    }
}

/// Makes an empty directory beside `live` with a name that nobody has.
fn unused_name(live: &Path) -> Result<PathBuf, Trouble> {
    let mut seed = crate::clock::now().nanos() ^ u64::from(std::process::id()) << 40;
    loop {
        let mut name = live.as_os_str().to_owned();
        name.push(":");
        for _ in 0..6 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let letter = b'a' + ((seed >> 40) % 26) as u8;
            name.push(OsStr::from_bytes(&[letter]));
        }
        match fs::mkdir(&*name, Mode::from_raw_mode(0o755)) {
            Ok(()) => return Ok(name.into()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error).to(|| format!("make {}", Path::new(&name).display())),
        }
    }
}

fn fill(making: &Making<'_>, real: &Path) -> Result<(), Trouble> {
    let within = |what: &str| format!("make {what} in {}", real.display());
    let directory = files::directory(real).to(|| within("."))?;
    if let Some(group) = making.readers {
        // Before anything is in it.
        std::os::unix::fs::fchown(&directory, None, Some(group))
            .and_then(|()| Ok(fs::fchmod(&directory, Mode::from_raw_mode(0o750))?))
            .to(|| format!("give {} to group {group}", real.display()))?;
        write(&directory, READERS, format!("{group}\n").as_bytes(), 0o644)
            .to(|| within(READERS))?;
    }
    fs::symlinkat(making.compiled, &directory, "compiled").to(|| within("compiled"))?;
    fs::symlinkat(making.scandir, &directory, "scandir").to(|| within("scandir"))?;
    write(&directory, "prefix", making.prefix.as_bytes(), 0o644).to(|| within("prefix"))?;
    write(&directory, STATE, making.state, 0o644).to(|| within(STATE))?;
    write(&directory, EMPTY, b"", 0o644).to(|| within(EMPTY))?;
    write(&directory, SUPERVISED, b"", 0o600).to(|| within(SUPERVISED))?;
    fs::mkdirat(&directory, SERVICE_DIRS, Mode::from_raw_mode(0o755))
        .to(|| within(SERVICE_DIRS))?;
    let mode = Mode::from_raw_mode(0o2755);
    fs::chmodat(&directory, SERVICE_DIRS, mode, AtFlags::empty()).to(|| within(SERVICE_DIRS))?;
    write(&directory, STATUS, &first_status().to_bytes(), 0o644).to(|| within(STATUS))?;
    let services = files::directory_at(&directory, SERVICE_DIRS).to(|| within(SERVICE_DIRS))?;
    let compiled = making.compiled.join(SERVICE_DIRS);
    let sources = files::directory(&compiled).to(|| format!("open {}", compiled.display()))?;
    for service in making.database.services().take_while(Service::is_longrun) {
        let name = service.name();
        let up = making.state.get(service.index() as usize).is_some_and(|s| s & UP != 0);
        let maker = Maker { live: &directory, services: &services, sources: &sources };
        maker.service(&service, (making.brought)(name), up).to(|| within(name))?;
    }
    Ok(())
}

struct Maker<'a> {
    live: &'a OwnedFd,
    services: &'a OwnedFd,
    sources: &'a OwnedFd,
}

impl Maker<'_> {
    /// Makes one service directory, with as few system calls as can be: at
    /// boot there may be a thousand. Empty or equal files are names of one.
    fn service(&self, service: &Service<'_>, brought: bool, up: bool) -> io::Result<()> {
        let name = service.name();
        let mut path = String::with_capacity(2 * name.len() + 64);
        path.push_str(name);
        fs::mkdirat(self.services, &*path, Mode::from_raw_mode(0o755))?;
        self.links(service, &mut path)?;
        let mut at = |file: &str| {
            path.truncate(name.len());
            path.push('/');
            path.push_str(file);
            path.clone()
        };
        if !up {
            let none = AtFlags::empty();
            fs::linkat(self.live, EMPTY, self.services, &*at("down"), none)?;
        }
        if !brought {
            let none = AtFlags::empty();
            fs::mkdirat(self.services, &*at("supervise"), Mode::from_raw_mode(0o700))?;
            make_fifo(self.services, &at("supervise/control"))?;
            fs::linkat(self.live, SUPERVISED, self.services, &*at("supervise/lock"), none)?;
            fs::linkat(self.live, STATUS, self.services, &*at("supervise/status"), none)?;
            // `servicedirs` passes its set-group-id bit on, which mkdir(2)
            // itself would not set.
            fs::mkdirat(self.services, &*at("event"), EVENT_MODE)?;
        }
        Ok(())
    }

    /// One link for each file that the compiled directory has for a service.
    fn links(&self, service: &Service<'_>, path: &mut String) -> io::Result<()> {
        let Some(longrun) = service.longrun() else { return Ok(()) };
        let name = service.name();
        let mut target = format!("{COMPILED}{SERVICE_DIRS}/{name}/");
        let stem = target.len();
        let mut link = |file: &str| {
            target.truncate(stem);
            target.push_str(file);
            path.truncate(name.len());
            path.push('/');
            path.push_str(file);
            fs::symlinkat(&*target, self.services, &**path)
        };
        if !longrun.has_extras {
            // What the database knows need not be looked for.
            link("run")?;
            for (file, there) in files_of(&longrun) {
                if there {
                    link(file)?;
                }
            }
            return Ok(());
        }
        let source = files::directory_at(self.sources, name)?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&source, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Ok(file) = entry.file_name().to_str()
                && !file.starts_with('.')
                && file != "down"
            {
                link(file)?;
            }
        }
        Ok(())
    }
}

/// The files, beside `run`, of a service directory with these settings. One
/// with the value that counts without it is not missed.
fn files_of(longrun: &Longrun) -> [(&'static str, bool); 11] {
    let usual = Longrun::default();
    [
        ("finish", longrun.has_finish),
        ("notification-fd", longrun.notification_fd.is_some()),
        ("lock-fd", longrun.lock_fd.is_some()),
        ("timeout-kill", longrun.timeout_kill != usual.timeout_kill),
        ("timeout-finish", longrun.timeout_finish != usual.timeout_finish),
        ("restart-wait", longrun.restart_wait != usual.restart_wait),
        ("max-death-tally", longrun.death_tally_max != usual.death_tally_max),
        ("down-signal", longrun.down_signal != usual.down_signal),
        ("reload-signal", longrun.reload_signal != usual.reload_signal),
        ("flag-newpidns", longrun.new_pid_namespace),
        ("flag-timeout-killpg", longrun.kill_group),
    ]
}

/// A fifodir that the owner's group may listen at.
const EVENT_MODE: Mode = Mode::from_raw_mode(0o3730);

fn make_fifo(folder: impl AsFd, path: &str) -> rustix::io::Result<()> {
    fs::mknodat(folder, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
}

/// A fifodir that the owner's group may listen at: `mkdir(2)` leaves out the
/// bit that gives the fifos in it that group.
fn make_event(folder: &OwnedFd) -> rustix::io::Result<()> {
    fs::mkdirat(folder, "event", EVENT_MODE)?;
    fs::chmodat(folder, "event", EVENT_MODE, AtFlags::empty())
}

/// Down, and never started.
fn first_status() -> Status {
    let today = crate::clock::today();
    Status { changed: today, readied: today, paused: true, ready: true, ..Status::default() }
}

/// Makes what a supervisor needs in a service directory, keeping what is
/// there already.
pub fn make_supervise(folder: &OwnedFd) -> io::Result<()> {
    let there = |result: rustix::io::Result<()>| match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    };
    let made = fs::mkdirat(folder, "supervise", Mode::from_raw_mode(0o700));
    if made.is_ok() {
        // Before its lock says that it is supervised: whoever sees that asks
        // next how it is. A full file system must not keep it from running.
        let _ = write(folder, "supervise/status", &first_status().to_bytes(), 0o644);
    }
    there(made)?;
    there(make_fifo(folder, "supervise/control"))?;
    there(make_event(folder))?;
    Ok(())
}

/// The group that may look at the live directory `real`.
pub fn readers(real: &Path) -> Option<u32> {
    std::fs::read_to_string(real.join(READERS)).ok()?.trim().parse().ok()
}

/// The file that says which group may ask the manager how services are, beside the link `live` or the
/// directory that it leads to: unlike the group of `ward init -g` these are let in later, also to the
/// next live directory, and nothing else becomes theirs.
pub fn lookers_file(live: &Path) -> PathBuf {
    let name = live.file_name().unwrap_or_default().as_bytes();
    let stem = name.split(|&byte| byte == b':').next().unwrap_or_default();
    live.with_file_name(OsStr::from_bytes(&[stem, b".lookers"].concat()))
}

/// The group that such a file names.
pub fn lookers(live: &Path) -> Option<u32> {
    std::fs::read_to_string(lookers_file(live)).ok()?.trim().parse().ok()
}

/// Makes `live` lead to `real`, at once and whole. Two programs may do it at
/// the same time: whoever makes the live directory, and its new manager.
pub fn publish(live: &Path, real: &Path) -> Result<(), Trouble> {
    let mut new = real.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let _ = fs::unlink(&*new);
    let target = real.file_name().unwrap_or(real.as_os_str());
    let published = fs::symlink(target, &*new).and_then(|()| fs::rename(&*new, live));
    if published.is_err() {
        let _ = fs::unlink(&*new);
    }
    published.to(|| format!("make {} lead to {}", live.display(), real.display()))
}

/// Takes back what [`publish`] did.
pub fn unpublish(live: &Path, real: &Path) {
    if std::fs::read_link(live).is_ok_and(|target| Some(target.as_os_str()) == real.file_name()) {
        let _ = fs::unlink(live);
    }
}

/// Gives every longrun of `database` its name in the scandir.
pub fn link_into_scandir(making: &Making<'_>) -> Result<(), Trouble> {
    let trouble = |name: &str| format!("link {name} into {}", making.scandir.display());
    let scandir = files::directory(making.scandir).to(|| trouble("services"))?;
    names(making, |link, target| {
        let linked = match fs::symlinkat(OsStr::from_bytes(target), &scandir, link) {
            Err(Errno::EXIST) if leads_to(&scandir, link, target) => Ok(()),
            other => other,
        };
        linked.to(|| trouble(link))
    })
}

/// Takes back what [`link_into_scandir`] did.
pub fn unlink_from_scandir(making: &Making<'_>) {
    let Ok(scandir) = files::directory(making.scandir) else { return };
    let _ = names(making, |link, target| {
        if leads_to(&scandir, link, target) {
            let _ = fs::unlinkat(&scandir, link, AtFlags::empty());
        }
        Ok(())
    });
}

fn leads_to(scandir: &OwnedFd, link: &str, target: &[u8]) -> bool {
    fs::readlinkat(scandir, link, Vec::new()).is_ok_and(|found| found.as_bytes() == target)
}

/// Every name that belongs in the scandir, and where it leads.
fn names(
    making: &Making<'_>,
    mut each: impl FnMut(&str, &[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut link = making.prefix.to_owned();
    let mut target = making.live.as_os_str().as_bytes().to_vec();
    target.extend_from_slice(b"/servicedirs/");
    let (prefix, stem) = (link.len(), target.len());
    for service in making.database.services().take_while(Service::is_longrun) {
        link.truncate(prefix);
        link.push_str(service.name());
        target.truncate(stem);
        target.extend_from_slice(service.name().as_bytes());
        each(&link, &target)?;
    }
    Ok(())
}

/// Writes a file that nobody looks for yet.
fn write(folder: &OwnedFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = fs::openat(folder, name, flags, Mode::from_raw_mode(mode))?;
    if !bytes.is_empty() {
        io::Write::write_all(&mut std::fs::File::from(file), bytes)?;
    }
    Ok(())
}
