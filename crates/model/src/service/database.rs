//! The compiled database, and its bytes.
//!
//! A [`Database`] is a view into the bytes of a file: opening it checks the
//! checksum and every reference once and copies nothing. The layout is in
//! `docs/formats/database.md`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::controller::Kind as ControllerKind;
use crate::limits::{DATABASE_BYTES_MAX, SERVICES_MAX};

mod controllers;
mod encode;

pub use controllers::{ControlEntry, Controller, ControllerEntry, Reaction, ReactionEntry};

/// First bytes of every database; the last is a newline so that a transfer as
/// text is found out at once.
const MAGIC: [u8; 12] = *b"ward.svc.db\n";
/// Changes with every change of the layout.
const VERSION: u32 = 2;
/// magic, version, checksum of all that follows, then ten counts.
const HEADER_BYTES: usize = 12 + 4 + 8 + 10 * 4;
const SERVICE_BYTES: usize = 80;
const BUNDLE_BYTES: usize = 20;

/// The number of an atomic service (longrun or oneshot) in its database.
pub type Index = u32;

/// Everything a database says, as plain values: what the compiler makes and
/// [`Database::contents`] gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Longruns first, then oneshots, in the order that lists are printed in.
    pub services: Vec<ServiceEntry>,
    pub bundles: Vec<BundleEntry>,
    /// By service.
    pub controllers: Vec<ControllerEntry>,
    /// By user, then by need.
    pub reactions: Vec<ReactionEntry>,
}

/// One longrun or oneshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    pub name: String,
    pub essential: bool,
    pub recommended: bool,
    /// Zero: no limit.
    pub timeout_up: Duration,
    /// Zero: no limit.
    pub timeout_down: Duration,
    /// What it needs itself, ascending, without repetition.
    pub needs: Vec<Index>,
    /// Changes with anything that a restart would change: settings, scripts,
    /// `data`, `env`. Two databases with the same digest run the same service.
    pub digest: u64,
    /// The user that its outputs belong to; `None`: root, or who runs the tree.
    pub outputs_owner: Option<String>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Longrun(Longrun),
    Oneshot(Oneshot),
}

/// The settings of a longrun (s6 `servicedir.html`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Longrun {
    /// The descriptor on which it says that it is ready.
    pub notification_fd: Option<u32>,
    pub lock_fd: Option<u32>,
    /// From the down signal to SIGKILL; zero: never.
    pub timeout_kill: Duration,
    /// How long `finish` may run; zero: for ever.
    pub timeout_finish: Duration,
    /// The least time from one start to the next.
    pub restart_wait: Duration,
    pub down_signal: u8,
    pub reload_signal: u8,
    /// Deaths to remember.
    pub death_tally_max: u32,
    pub has_finish: bool,
    pub new_pid_namespace: bool,
    /// SIGKILL goes to the whole process group.
    pub kill_group: bool,
    /// `run` stays in the session of init.
    pub same_session: bool,
    /// A `down` file: not to be started by init on its own.
    pub starts_down: bool,
    /// The longrun that reads what this one writes.
    pub consumer: Option<Index>,
    /// It reads what others write.
    pub has_producers: bool,
    /// Its directory holds more than scripts and settings (`data`, `env`).
    pub has_extras: bool,
}

impl Default for Longrun {
    fn default() -> Self {
        Self {
            notification_fd: None,
            lock_fd: None,
            timeout_kill: Duration::ZERO,
            timeout_finish: Duration::from_secs(5),
            restart_wait: Duration::from_secs(1),
            down_signal: 15,
            reload_signal: 1,
            death_tally_max: 100,
            has_finish: false,
            new_pid_namespace: false,
            kill_group: false,
            same_session: false,
            starts_down: false,
            consumer: None,
            has_producers: false,
            has_extras: false,
        }
    }
}

/// The scripts of a oneshot, each the words of one command; no words: nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oneshot {
    pub up: Vec<Box<[u8]>>,
    pub down: Vec<Box<[u8]>>,
    /// `None`: it cannot be reloaded.
    pub reload: Option<Vec<Box<[u8]>>>,
}

/// One bundle, with all that it holds, bundles inside it resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    pub name: String,
    pub essential: bool,
    pub recommended: bool,
    /// Ascending, without repetition.
    pub contents: Vec<Index>,
}

/// Why bytes are no database that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseError {
    /// They do not begin like one.
    NotADatabase,
    /// Made by another release.
    Version(u32),
    /// Shorter or longer than its header says.
    Length,
    /// Its checksum disagrees: damaged, or cut off while written.
    Checksum,
    /// It refers to something that is not there. Its maker had a fault.
    Reference,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADatabase => f.write_str("it is not a service database"),
            Self::Version(found) => write!(
                f,
                "it has version {found} and this program reads version {VERSION}; compile it again"
            ),
            Self::Length => f.write_str("it is cut off, or goes on behind its end"),
            Self::Checksum => f.write_str("its checksum is wrong: it is damaged"),
            Self::Reference => f.write_str("it refers to something that is not in it"),
        }
    }
}

/// What a name in a database stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Service(Index),
    Bundle(u32),
}

/// Where the parts of the file begin.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    services: usize,
    longruns: usize,
    bundles: usize,
    numbers: usize,
    scripts: usize,
    text: usize,
    controllers: usize,
    controls: usize,
    reactions: usize,
    services_at: usize,
    bundles_at: usize,
    order_at: usize,
    numbers_at: usize,
    scripts_at: usize,
    controllers_at: usize,
    controls_at: usize,
    reactions_at: usize,
    text_at: usize,
    end: usize,
}

/// A database that has been checked, still in the bytes it was read from.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    bytes: &'a [u8],
    parts: Parts,
}

impl<'a> Database<'a> {
    /// Checks `bytes` and opens them.
    ///
    /// Reads every byte once (the checksum) and every reference once; 1,000
    /// services take some 30 µs on a 3 GHz processor.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DatabaseError> {
        if bytes.len() < HEADER_BYTES || bytes[..12] != MAGIC {
            return Err(DatabaseError::NotADatabase);
        }
        let version = u32_at(bytes, 12);
        if version != VERSION {
            return Err(DatabaseError::Version(version));
        }
        let parts = Parts::from_header(bytes).ok_or(DatabaseError::Length)?;
        if parts.end != bytes.len() {
            return Err(DatabaseError::Length);
        }
        if xxh64(&bytes[24..], u64::from(VERSION)) != u64_at(bytes, 16) {
            return Err(DatabaseError::Checksum);
        }
        let database = Self { bytes, parts };
        database.check().ok_or(DatabaseError::Reference)?;
        Ok(database)
    }

    /// Opens bytes that [`Database::open`] has accepted before and that nobody
    /// can have changed since, without checking them again.
    ///
    /// # Panics
    /// Later, where they were never accepted.
    pub fn reopen(bytes: &'a [u8]) -> Self {
        let parts = Parts::from_header(bytes).expect("it was opened before");
        Self { bytes, parts }
    }

    /// Follows every reference once, so that no later question can fail.
    fn check(&self) -> Option<()> {
        let Parts { services, longruns, bundles, .. } = self.parts;
        for i in 0..services {
            let at = self.service_at(i as Index);
            self.checked_text(at)?;
            for span in [at + 8, at + 16] {
                for index in self.checked_numbers(span)? {
                    (index < services as u32 && index != i as u32).then_some(())?;
                }
            }
            if i < longruns {
                self.checked_longrun(at + 68)?;
            } else {
                for script in 0..3 {
                    self.checked_script(at + 44 + script * 8)?;
                }
            }
            self.checked_longrun(at + 72)?;
            let owner = u32_at(self.bytes, at + 76);
            if owner != u32::MAX {
                ((owner as usize) < self.parts.scripts).then_some(())?;
                self.checked_text(self.parts.scripts_at + 8 * owner as usize)?;
            }
        }
        for i in 0..bundles {
            let at = self.bundle_at(i as u32);
            self.checked_text(at)?;
            for index in self.checked_numbers(at + 8)? {
                (index < services as u32).then_some(())?;
            }
        }
        let mut last: Option<&str> = None;
        for i in 0..services + bundles {
            let entry = u32_at(self.bytes, self.parts.order_at + 4 * i) as usize;
            (entry < services + bundles).then_some(())?;
            let name = self.entry_name(entry);
            (last.is_none_or(|last| last < name)).then_some(())?;
            last = Some(name);
        }
        self.check_controllers()
    }

    /// A longrun, or none.
    fn checked_longrun(&self, at: usize) -> Option<()> {
        let index = u32_at(self.bytes, at);
        (index == u32::MAX || (index as usize) < self.parts.longruns).then_some(())
    }

    /// Atomic services.
    pub fn len(&self) -> usize {
        self.parts.services
    }

    pub fn is_empty(&self) -> bool {
        self.parts.services == 0
    }

    /// Longruns have the indices below this, oneshots those from here on.
    pub fn longruns(&self) -> usize {
        self.parts.longruns
    }

    /// The service with number `index`, which must be below [`Database::len`].
    pub fn service(&self, index: Index) -> Service<'a> {
        debug_assert!((index as usize) < self.parts.services);
        Service { database: *self, index, at: self.service_at(index) }
    }

    pub fn services(&self) -> impl DoubleEndedIterator<Item = Service<'a>> + ExactSizeIterator {
        let database = *self;
        (0..self.parts.services).map(move |i| database.service(i as Index))
    }

    pub fn bundles(&self) -> impl DoubleEndedIterator<Item = Bundle<'a>> + ExactSizeIterator {
        let database = *self;
        (0..self.parts.bundles).map(move |i| database.bundle(i as u32))
    }

    pub fn bundle(&self, number: u32) -> Bundle<'a> {
        debug_assert!((number as usize) < self.parts.bundles);
        Bundle { database: *self, at: self.bundle_at(number) }
    }

    /// What `name` stands for: a binary search.
    pub fn find(&self, name: &str) -> Option<Entry> {
        let (mut low, mut high) = (0, self.parts.services + self.parts.bundles);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = u32_at(self.bytes, self.parts.order_at + 4 * middle) as usize;
            match self.entry_name(entry).cmp(name) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
                core::cmp::Ordering::Equal => {
                    return Some(match entry.checked_sub(self.parts.services) {
                        None => Entry::Service(entry as Index),
                        Some(bundle) => Entry::Bundle(bundle as u32),
                    });
                }
            }
        }
        None
    }

    /// All names, services and bundles, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let database = *self;
        (0..self.parts.services + self.parts.bundles).map(move |i| {
            let entry = u32_at(database.bytes, database.parts.order_at + 4 * i);
            database.entry_name(entry as usize)
        })
    }

    /// Everything it says, as plain values.
    pub fn contents(&self) -> Contents {
        Contents {
            services: self.services().map(|s| s.entry()).collect(),
            bundles: self
                .bundles()
                .map(|b| BundleEntry {
                    name: b.name().into(),
                    essential: b.essential(),
                    recommended: b.recommended(),
                    contents: b.contents().collect(),
                })
                .collect(),
            controllers: self.controllers().map(|controller| controller.entry()).collect(),
            reactions: self.reactions().collect(),
        }
    }

    fn service_at(&self, index: Index) -> usize {
        self.parts.services_at + index as usize * SERVICE_BYTES
    }

    fn bundle_at(&self, number: u32) -> usize {
        self.parts.bundles_at + number as usize * BUNDLE_BYTES
    }

    fn entry_name(&self, entry: usize) -> &'a str {
        let at = match entry.checked_sub(self.parts.services) {
            None => self.service_at(entry as Index),
            Some(bundle) => self.bundle_at(bundle as u32),
        };
        self.text(at)
    }

    /// The bytes that the offset and length at `at` speak of.
    fn checked_span(&self, at: usize) -> Option<&'a [u8]> {
        let (start, length) = (u32_at(self.bytes, at), u32_at(self.bytes, at + 4));
        let end = (start as usize).checked_add(length as usize)?;
        (end <= self.parts.text)
            .then(|| &self.bytes[self.parts.text_at + start as usize..self.parts.text_at + end])
    }

    fn checked_text(&self, at: usize) -> Option<&'a str> {
        core::str::from_utf8(self.checked_span(at)?).ok()
    }

    fn text(&self, at: usize) -> &'a str {
        self.checked_text(at).unwrap_or_default()
    }

    fn checked_numbers(&self, at: usize) -> Option<impl ExactSizeIterator<Item = u32> + use<'a>> {
        let (start, count) = (u32_at(self.bytes, at) as usize, u32_at(self.bytes, at + 4) as usize);
        let end = start.checked_add(count)?;
        if end > self.parts.numbers {
            return None;
        }
        let base = self.parts.numbers_at;
        let bytes = self.bytes;
        Some((start..end).map(move |i| u32_at(bytes, base + 4 * i)))
    }

    fn numbers(&self, at: usize) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        // Opening has followed this reference.
        self.checked_numbers(at).expect("opening checked every reference")
    }

    /// The words of the script whose first number and count stand at `at`.
    fn checked_script(&self, at: usize) -> Option<Option<Words<'a>>> {
        let (first, count) = (u32_at(self.bytes, at), u32_at(self.bytes, at + 4));
        if first == u32::MAX {
            return Some(None);
        }
        let end = (first as usize).checked_add(count as usize)?;
        if end > self.parts.scripts {
            return None;
        }
        for word in first as usize..end {
            self.checked_span(self.parts.scripts_at + 8 * word)?;
        }
        Some(Some(Words { database: *self, next: first as usize, end }))
    }
}

impl Parts {
    /// Reads the counts; `None` where they cannot be.
    fn from_header(bytes: &[u8]) -> Option<Self> {
        let count = |n: usize| u32_at(bytes, 24 + 4 * n) as usize;
        let mut parts = Self {
            services: count(0),
            longruns: count(1),
            bundles: count(2),
            numbers: count(3),
            scripts: count(4),
            text: count(5),
            controllers: count(6),
            controls: count(7),
            reactions: count(8),
            ..Self::default()
        };
        let sane = parts.longruns <= parts.services
            && parts.services <= SERVICES_MAX
            && parts.bundles <= SERVICES_MAX
            && parts.numbers <= DATABASE_BYTES_MAX
            && parts.scripts <= DATABASE_BYTES_MAX
            && parts.text <= DATABASE_BYTES_MAX
            && parts.controllers <= parts.longruns
            && parts.controls <= DATABASE_BYTES_MAX
            && parts.reactions <= DATABASE_BYTES_MAX
            && count(9) == 0;
        sane.then_some(())?;
        parts.services_at = HEADER_BYTES;
        parts.bundles_at = parts.services_at + parts.services * SERVICE_BYTES;
        parts.order_at = parts.bundles_at + parts.bundles * BUNDLE_BYTES;
        parts.numbers_at = parts.order_at + (parts.services + parts.bundles) * 4;
        parts.scripts_at = parts.numbers_at + parts.numbers * 4;
        parts.controllers_at = parts.scripts_at + parts.scripts * 8;
        parts.controls_at =
            parts.controllers_at + parts.controllers * controllers::CONTROLLER_BYTES;
        parts.reactions_at = parts.controls_at + parts.controls * controllers::CONTROL_BYTES;
        parts.text_at = parts.reactions_at + parts.reactions * controllers::REACTION_BYTES;
        parts.end = parts.text_at + parts.text;
        Some(parts)
    }
}

/// One longrun or oneshot of a database.
///
/// 80 bytes: name (8), needs (8), needed by (8), timeout up (4), timeout down
/// (4), flags (4), digest (8), then 28 that the kind decides, who starts it (4),
/// and who its outputs belong to (4).
#[derive(Clone, Copy)]
pub struct Service<'a> {
    database: Database<'a>,
    index: Index,
    at: usize,
}

const ESSENTIAL: u32 = 1;
const RECOMMENDED: u32 = 2;
const HAS_FINISH: u32 = 1 << 8;
const NEW_PID_NAMESPACE: u32 = 1 << 9;
const KILL_GROUP: u32 = 1 << 10;
const SAME_SESSION: u32 = 1 << 11;
const STARTS_DOWN: u32 = 1 << 12;
const HAS_PRODUCERS: u32 = 1 << 13;
const HAS_EXTRAS: u32 = 1 << 14;

impl<'a> Service<'a> {
    pub fn index(&self) -> Index {
        self.index
    }

    pub fn name(&self) -> &'a str {
        self.database.text(self.at)
    }

    pub fn is_longrun(&self) -> bool {
        (self.index as usize) < self.database.parts.longruns
    }

    pub fn essential(&self) -> bool {
        self.flag(ESSENTIAL)
    }

    pub fn recommended(&self) -> bool {
        self.flag(RECOMMENDED)
    }

    /// Zero: no limit.
    pub fn timeout_up(&self) -> Duration {
        self.millis(24)
    }

    /// Zero: no limit.
    pub fn timeout_down(&self) -> Duration {
        self.millis(28)
    }

    pub fn digest(&self) -> u64 {
        u64_at(self.database.bytes, self.at + 36)
    }

    /// What it needs itself, ascending.
    pub fn needs(&self) -> impl ExactSizeIterator<Item = Index> + use<'a> {
        self.database.numbers(self.at + 8)
    }

    /// What needs it directly, ascending.
    pub fn needed_by(&self) -> impl ExactSizeIterator<Item = Index> + use<'a> {
        self.database.numbers(self.at + 16)
    }

    /// The user that its outputs belong to.
    pub fn outputs_owner(&self) -> Option<&'a str> {
        let word = u32_at(self.database.bytes, self.at + 76);
        (word != u32::MAX)
            .then(|| self.database.text(self.database.parts.scripts_at + 8 * word as usize))
    }

    /// The settings of a longrun, `None` for a oneshot.
    pub fn longrun(&self) -> Option<Longrun> {
        if !self.is_longrun() {
            return None;
        }
        let word = |offset| u32_at(self.database.bytes, self.at + offset);
        let present = |value: u32| (value != u32::MAX).then_some(value);
        Some(Longrun {
            notification_fd: present(word(44)),
            lock_fd: present(word(48)),
            timeout_kill: self.millis(52),
            timeout_finish: self.millis(56),
            restart_wait: self.millis(60),
            down_signal: word(64) as u8,
            reload_signal: (word(64) >> 8) as u8,
            death_tally_max: word(64) >> 16,
            consumer: present(word(68)),
            has_finish: self.flag(HAS_FINISH),
            new_pid_namespace: self.flag(NEW_PID_NAMESPACE),
            kill_group: self.flag(KILL_GROUP),
            same_session: self.flag(SAME_SESSION),
            starts_down: self.flag(STARTS_DOWN),
            has_producers: self.flag(HAS_PRODUCERS),
            has_extras: self.flag(HAS_EXTRAS),
        })
    }

    /// One script of a oneshot; `None` where there is none, and for a longrun.
    pub fn script(&self, which: Script) -> Option<Words<'a>> {
        if self.is_longrun() {
            return None;
        }
        let at = self.at + 44 + 8 * which as usize;
        self.database.checked_script(at).expect("opening checked every reference")
    }

    fn entry(&self) -> ServiceEntry {
        let words = |which| self.script(which).map(|words| words.map(Box::from).collect());
        ServiceEntry {
            name: self.name().into(),
            essential: self.essential(),
            recommended: self.recommended(),
            timeout_up: self.timeout_up(),
            timeout_down: self.timeout_down(),
            needs: self.needs().collect(),
            digest: self.digest(),
            outputs_owner: self.outputs_owner().map(String::from),
            kind: match self.longrun() {
                Some(longrun) => Kind::Longrun(longrun),
                None => Kind::Oneshot(Oneshot {
                    up: words(Script::Up).unwrap_or_default(),
                    down: words(Script::Down).unwrap_or_default(),
                    reload: words(Script::Reload),
                }),
            },
        }
    }

    fn flag(&self, flag: u32) -> bool {
        u32_at(self.database.bytes, self.at + 32) & flag != 0
    }

    fn millis(&self, offset: usize) -> Duration {
        Duration::from_millis(u64::from(u32_at(self.database.bytes, self.at + offset)))
    }
}

/// The scripts of a oneshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Up = 0,
    Down = 1,
    Reload = 2,
}

/// The words of a command.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    database: Database<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next == self.end {
            return None;
        }
        let at = self.database.parts.scripts_at + 8 * self.next;
        self.next += 1;
        self.database.checked_span(at)
    }
}

/// One bundle: name (8), contents (8), flags (4).
#[derive(Clone, Copy)]
pub struct Bundle<'a> {
    database: Database<'a>,
    at: usize,
}

impl<'a> Bundle<'a> {
    pub fn name(&self) -> &'a str {
        self.database.text(self.at)
    }

    pub fn contents(&self) -> impl ExactSizeIterator<Item = Index> + use<'a> {
        self.database.numbers(self.at + 8)
    }

    pub fn essential(&self) -> bool {
        u32_at(self.database.bytes, self.at + 16) & ESSENTIAL != 0
    }

    pub fn recommended(&self) -> bool {
        u32_at(self.database.bytes, self.at + 16) & RECOMMENDED != 0
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("opening checked the length"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("opening checked the length"))
}

#[cfg(test)]
mod tests;
