//! The trial that goes on, in memory: what was agreed on, how far it is, what people want of it, and
//! the process that owns it.
//!
//! That process is a service of init by itself, beside those of the database: whatever becomes of
//! the manager or of a database, init starts it again when it was killed, and it outlives the visit
//! that began it. All that it knows is in these files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::deploy::fields::plain;
use model::deploy::trial::{FOLDER, Id, Plan, Progress};
use model::limits::{FIELD_BYTES_MAX, FIELD_FILE_BYTES_MAX, TRIAL_LOG_BYTES_MAX};
use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_lock};

use crate::clock;
use crate::files::{directory, read_up_to, replace};
use crate::service::client::{self, ControlError};
use crate::trouble::{Trouble, While};

/// What init calls the process that owns a trial.
pub const SERVICE: &str = "doorward-trial";

/// How long an owner that has ended may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(10);

/// A name for a trial that nobody can guess.
pub fn made_up_id() -> Result<Id, Trouble> {
    let mut bytes = [0; 12];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.to(|| "read /dev/urandom")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Id::parse(&text).expect("it has 24 digits"))
}

/// The folder of a trial.
#[derive(Clone, Debug)]
pub struct TrialDir {
    folder: PathBuf,
    scandir: PathBuf,
}

/// The trial of this device.
pub fn here() -> TrialDir {
    TrialDir { folder: FOLDER.into(), scandir: "/run/service".into() }
}

impl TrialDir {
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        read_up_to(&self.at(name), FIELD_FILE_BYTES_MAX + 1).ok()
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        replace(directory(&self.folder)?, name, text.as_bytes(), 0o644)
    }

    /// What was agreed on; `None`: there was no trial since the device started.
    pub fn plan(&self) -> Option<Plan> {
        Plan::read(&self.read("plan")?)
    }

    pub fn progress(&self) -> Option<Progress> {
        Progress::read(&self.read("progress")?)
    }

    pub fn save(&self, progress: &Progress) -> io::Result<()> {
        self.write("progress", &progress.write())
    }

    /// The trial that goes on, if one does.
    pub fn going_on(&self) -> Option<(Plan, Progress)> {
        let plan = self.plan()?;
        let progress = self.progress().unwrap_or_else(|| Progress::new(plan.began));
        (!progress.phase.is_over()).then_some((plan, progress))
    }

    /// A lasting wish to confirm the trial with this name.
    pub fn confirm(&self, id: &Id) -> io::Result<()> {
        self.write("confirm", id.as_str())
    }

    pub fn confirmation(&self) -> Option<Id> {
        Id::parse(std::str::from_utf8(&self.read("confirm")?).ok()?)
    }

    /// A lasting wish to go back.
    pub fn roll_back(&self, by: &str) -> io::Result<()> {
        self.write("rollback", &plain(by, FIELD_BYTES_MAX))
    }

    pub fn wants_back(&self) -> Option<String> {
        let by = self.read("rollback")?;
        Some(plain(&String::from_utf8_lossy(&by), FIELD_BYTES_MAX))
    }

    /// Whether the start that goes on does not count, for it is being ended as somebody wished.
    pub fn is_uncounted(&self) -> bool {
        self.at("uncounted").exists()
    }

    pub fn set_uncounted(&self, is: bool) -> io::Result<()> {
        match is {
            true => self.write("uncounted", ""),
            false => match fs::remove_file(self.at("uncounted")) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                done => done,
            },
        }
    }

    /// Names of services, a line each, that were up when it began.
    pub fn were_up(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("up")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn note_up(&self, names: &[String]) -> io::Result<()> {
        self.write("up", &names.iter().map(|name| format!("{name}\n")).collect::<String>())
    }

    /// Where its story is told, a line for each step.
    pub fn log(&self) -> PathBuf {
        self.at("log")
    }

    /// Adds a line to it.
    pub fn say(&self, line: &str) -> io::Result<()> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|it| it.len() > TRIAL_LOG_BYTES_MAX) {
            return Ok(());
        }
        let line = plain(line, FIELD_BYTES_MAX) + "\n";
        File::options().create(true).append(true).open(path)?.write_all(line.as_bytes())
    }

    /// Held by whoever begins a trial; `None` while somebody else does. Gone with its process.
    pub fn lock(&self) -> io::Result<Option<OwnedFd>> {
        let path = self.folder.with_extension("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
        let is_ours = fcntl_lock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok();
        debug_assert!(lock.as_raw_fd() > 2);
        Ok(is_ours.then_some(lock))
    }

    /// Makes the folder of a new trial in place of that of the last one, and of the owner: the
    /// program `ward`, which init starts once [`Self::start`] tells it to.
    pub fn make(&self, plan: &Plan, up: &[String], ward: &Path) -> io::Result<()> {
        self.end()?;
        let until = clock::now() + GONE_MAX;
        while client::supervised(&self.at("service")).unwrap_or(false) {
            if clock::now() > until {
                return Err(io::Error::other("the owner of the last trial does not end"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
        let service = self.at("service");
        fs::create_dir_all(&service)?;
        // Whatever happens to names on the device, this is the program that runs now.
        let run = format!("#!{} trial\n", ward.display());
        replace(directory(&service)?, "run", run.as_bytes(), 0o755)?;
        self.note_up(up)?;
        self.write("plan", &plan.write())
    }

    /// Names the owner where init looks for services.
    pub fn link(&self) -> io::Result<()> {
        fs::create_dir_all(&self.scandir)?;
        match symlink(self.at("service"), self.scandir.join(SERVICE)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    /// Has init start the owner.
    pub fn start(&self) -> io::Result<()> {
        self.link()?;
        control(client::control_scan(&self.scandir, b"a"))
    }

    /// Has init let the owner go.
    pub fn end(&self) -> io::Result<()> {
        match fs::remove_file(self.scandir.join(SERVICE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| control(client::control_scan(&self.scandir, b"an"))),
        }
    }
}

fn control(sent: Result<(), ControlError>) -> io::Result<()> {
    sent.map_err(|error| match error {
        ControlError::NotSupervised => io::Error::other("init does not listen"),
        ControlError::Refused(error) => error,
    })
}
