//! Generations of this device: the folder that names them, the boot link, and what a restart shall
//! try. What is done on the flash are deeds of the engine, carried out here.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use engine::deploy::deeds::{self, Deed};
use model::deploy::history::{BOOT, FOLDER, Number, Outcome, Record};
use model::deploy::trial::{PENDING, Pending};
use model::limits::{FIELD_FILE_BYTES_MAX, GENERATIONS_MAX};

use crate::files::read_up_to;
use crate::trouble::{Trouble, While};

/// A generation that has a number.
#[derive(Clone, Debug)]
pub struct Numbered {
    pub number: Number,
    /// Its store path.
    pub path: String,
    /// `None`: there is none that can be read.
    pub record: Option<Record>,
}

/// The generations below a root directory: `/`, but in tests.
pub struct Generations {
    root: PathBuf,
}

/// The generations of this device.
pub fn here() -> Generations {
    Generations::below("/")
}

impl Generations {
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Where the boot link leads, behind all links.
    pub fn boot(&self) -> io::Result<String> {
        self.leads(BOOT)
    }

    /// Where a link leads, as text.
    pub fn leads(&self, link: &str) -> io::Result<String> {
        let text = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|_| ErrorKind::InvalidData.into())
        };
        let target = text(fs::read_link(self.at(link))?)?;
        match self.at(&target).canonicalize() {
            Ok(real) if self.root == Path::new("/") => text(real),
            _ => Ok(target),
        }
    }

    /// All of them, the first one first.
    pub fn all(&self) -> io::Result<Vec<Numbered>> {
        let folder = match fs::read_dir(self.at(FOLDER)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        let mut numbers = Vec::new();
        for entry in folder {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(Number::parse).map(Number::number));
            if numbers.len() > GENERATIONS_MAX * 2 {
                return Err(io::Error::other("there are too many generations"));
            }
        }
        numbers.sort_unstable();
        let named = numbers.into_iter().filter_map(|number| {
            let number = Number::new(number)?;
            let path = self.leads(&number.link()).ok()?;
            Some(Numbered { number, path, record: self.record(number) })
        });
        Ok(named.collect())
    }

    pub fn record(&self, number: Number) -> Option<Record> {
        Record::read(&read_up_to(&self.at(&number.record()), FIELD_FILE_BYTES_MAX + 1).ok()?)
    }

    /// What the next start shall try. A file that cannot be read is as good as none.
    pub fn pending(&self) -> Option<Pending> {
        Pending::read(&read_up_to(&self.at(PENDING), FIELD_FILE_BYTES_MAX + 1).ok()?)
    }

    /// Whether there is such a file, whatever is in it.
    pub fn has_pending(&self) -> bool {
        fs::symlink_metadata(self.at(PENDING)).is_ok()
    }

    /// Does one thing after the other, and stops at what cannot be done.
    pub fn carry_out(&self, deeds: &[Deed]) -> Result<(), Trouble> {
        deeds.iter().try_for_each(|deed| self.carry_out_one(deed))
    }

    fn carry_out_one(&self, deed: &Deed) -> Result<(), Trouble> {
        match deed {
            Deed::Folder { path } => match fs::create_dir(self.at(path)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                done => done.to(|| format!("make {path}")),
            },
            Deed::Write { path, bytes } => {
                self.clear(path)?;
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o644).open(self.at(path));
                let written = file.and_then(|mut file| {
                    file.write_all(bytes.as_bytes())?;
                    file.sync_all()
                });
                written.to(|| format!("write {path}"))
            }
            Deed::Link { path, target } => {
                self.clear(path)?;
                symlink(target, self.at(path)).to(|| format!("make the link {path}"))
            }
            Deed::SyncFolder { path } => {
                File::open(self.at(path)).and_then(|it| it.sync_all()).to(|| format!("sync {path}"))
            }
            Deed::SyncAll { path } => {
                let file = File::open(self.at(path));
                file.and_then(|file| Ok(rustix::fs::syncfs(file)?)).to(|| format!("sync {path}"))
            }
            Deed::Rename { from, to } => {
                fs::rename(self.at(from), self.at(to)).to(|| format!("rename {from} to {to}"))
            }
            Deed::Remove { path } => self.clear(path),
        }
    }

    /// Takes away what is there, if anything is.
    fn clear(&self, path: &str) -> Result<(), Trouble> {
        match fs::remove_file(self.at(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.to(|| format!("remove {path}")),
        }
    }

    /// The number for the generation at `path`: its own, if it has one, or the next. Before the
    /// first, the one that starts by now gets its own, so that there is a way back to it.
    ///
    /// # Errors
    /// The folder cannot be read or written, or numbers have run out.
    pub fn number_for(&self, path: &str, image: &Record) -> Result<Number, Trouble> {
        let mut all = self.all().to(|| format!("read {FOLDER}"))?;
        let boot = self.boot().to(|| format!("read {BOOT}"))?;
        if !all.iter().any(|one| one.path == boot) && boot != path {
            let number = next(&all)?;
            self.carry_out(&deeds::name(number, &boot, image))?;
            all.push(Numbered { number, path: boot, record: Some(image.clone()) });
        }
        match all.iter().find(|one| one.path == path) {
            Some(one) => Ok(one.number),
            None => next(&all),
        }
    }

    /// Ends what a trial has left that the power, or a crash, has ended: its record does not say so
    /// yet. `why` is what it says then.
    pub fn settle(&self, why: &str, now: u64) -> Result<(), Trouble> {
        let boot = self.boot().to(|| format!("read {BOOT}"))?;
        let pending = self.pending().map(|pending| pending.number);
        for one in self.all().to(|| format!("read {FOLDER}"))? {
            let Some(record) = one.record.filter(|it| it.outcome == Outcome::Trial) else {
                continue;
            };
            if Some(one.number) == pending {
                continue;
            }
            // The clock may not be set yet.
            let ended = now.max(record.ended);
            let record = match one.path == boot {
                true => Record { outcome: Outcome::Committed, ended, ..record },
                false => {
                    let reason = why.to_owned();
                    Record { outcome: Outcome::Failed, ended, reason, ..record }
                }
            };
            self.carry_out(&deeds::note(one.number, &record))?;
        }
        Ok(())
    }
}

fn next(all: &[Numbered]) -> Result<Number, Trouble> {
    if all.len() >= GENERATIONS_MAX {
        let error = io::Error::other("`ward generation delete` makes room");
        return Err(Trouble {
            what: format!("keep more than {GENERATIONS_MAX} generations"),
            error,
        });
    }
    let last = all.iter().map(|one| one.number).max();
    last.map_or(Some(Number::FIRST), Number::next)
        .ok_or_else(|| io::Error::other("numbers have run out"))
        .to(|| "give another generation a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            outcome,
            made: 1,
            ended: 2,
            by: "me".into(),
            from: None,
            why: String::new(),
            id: "0123-abcd".into(),
            reason: String::new(),
            lines: Vec::new(),
        }
    }

    fn device(name: &str) -> (PathBuf, Generations) {
        let root = std::env::temp_dir().join(format!("doorward-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("boot")).expect("a folder can be made");
        for path in ["one", "two"] {
            fs::create_dir_all(root.join(path)).expect("a folder can be made");
        }
        symlink("/one", root.join("boot/system")).expect("a link can be made");
        (root.clone(), Generations::below(root))
    }

    #[test]
    fn the_first_one_is_kept_and_a_commit_changes_what_starts() {
        let (root, here) = device("generations");
        let image = record(Outcome::Committed);
        let number = here.number_for("/two", &image).expect("there is room");
        assert_eq!(number.number(), 2);
        here.carry_out(&deeds::add(number, "/two", &record(Outcome::Trial))).expect("it is added");
        let all = here.all().expect("they can be listed");
        let named: Vec<_> = all.iter().map(|one| (one.number.number(), &*one.path)).collect();
        assert_eq!(named, [(1, "/one"), (2, "/two")]);
        assert_eq!(here.number_for("/two", &image).expect("it has one"), number);
        assert_eq!(here.boot().expect("it leads"), "/one");

        here.carry_out(&deeds::commit(number, "/two", &image)).expect("it is kept");
        assert_eq!(here.boot().expect("it leads"), "/two");
        let outcome = here.record(number).expect("it has a record").outcome;
        assert_eq!(outcome, Outcome::Committed);

        here.carry_out(&deeds::delete(Number::FIRST)).expect("it is deleted");
        assert_eq!(here.all().expect("they can be listed").len(), 1);
        fs::remove_dir_all(root).expect("it can be removed");
    }

    #[test]
    fn what_the_power_has_ended_is_told_by_the_link() {
        let (root, here) = device("settle");
        for (number, path, expected) in
            [(1, "/one", Outcome::Committed), (2, "/two", Outcome::Failed)]
        {
            let number = Number::new(number).expect("it is one");
            here.carry_out(&deeds::add(number, path, &record(Outcome::Trial))).expect("added");
            here.settle("the power went", 7).expect("settled");
            let found = here.record(number).expect("it has a record");
            assert_eq!((found.outcome, found.ended), (expected, 7));
        }
        assert!(!here.has_pending());
        fs::write(root.join("boot/trial"), "half of it").expect("a file can be written");
        assert!(here.has_pending() && here.pending().is_none());
        fs::remove_dir_all(root).expect("it can be removed");
    }
}
