//! What is wrong with a device, or soon will be, and what helps: from facts
//! that somebody has gathered to findings. Facts that are missing find nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::deploy::store_path::STORE;

/// A file system that can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    pub place: String,
    /// As the kernel calls it.
    pub kind: String,
    pub bytes: u64,
    pub free: u64,
    /// 0: it does not count files.
    pub nodes: u64,
    pub nodes_free: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// It is not what it should be.
    pub failed: bool,
    /// How often its process has died in the last hour, since it was last brought up, and not as it was
    /// told to.
    pub deaths: usize,
    /// How often one that is to be up all the time was restarted by its controllers in that time.
    pub restarts: usize,
}

/// What is known of the generations of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Store paths, and how people call them.
    pub running: String,
    pub running_name: String,
    pub boot: String,
    pub boot_name: String,
    /// A trial that goes on, in a sentence, and its id.
    pub trial: Option<(String, String)>,
    /// The last one that was tried and is gone, and why; nothing once another one was kept, or where
    /// somebody wanted it so.
    pub failed: Option<(String, String)>,
    /// Whether what runs is signed by a key that is trusted here; `None`: no keys are, it is no store path, or it
    /// came in the image, which is signed as a whole.
    pub signed: Option<bool>,
    /// Whether anybody's signature is wanted.
    pub keys: bool,
    /// The file of the keys cannot be read, and why.
    pub keys_damaged: Option<String>,
}

/// What is known of a device. `None`: that could not be found out, or it is of no matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub file_systems: Vec<FileSystem>,
    /// Bytes of memory, and those that programs can still have.
    pub memory: Option<(u64, u64)>,
    pub services: Vec<Service>,
    /// The folder that their service directories are in.
    pub service_dirs: String,
    /// What the next start brings up, and is down because somebody stopped it.
    pub stopped: Vec<String>,
    /// Nobody can say how services are, and why.
    pub no_services: Option<String>,
    /// The manager answers.
    pub manager: Option<bool>,
    /// There is a log of what services say.
    pub log: Option<bool>,
    /// The folder that it is to be in.
    pub log_place: String,
    /// Seconds since 1970.
    pub clock: Option<u64>,
    pub generations: Option<Generations>,
    /// Init runs another program than this one, which lies here.
    pub newer_ward: Option<String>,
    /// The services that run are of another database than the one that the next start takes.
    pub database_is_old: bool,
    /// It runs in memory, or the next restart leads there: in words, and what leads back.
    pub maintenance: Option<(String, String)>,
    /// The kernel that runs, and the one that its modules are for.
    pub kernels: Option<(String, String)>,
    /// What the system wants on the kernel's command line, and is not there.
    pub kernel_lacks: Option<String>,
    /// Root needs no password.
    pub root_is_open: bool,
    /// There is a watchdog, and nobody feeds it.
    pub watchdog_is_idle: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth knowing: nothing has to be done.
    Note,
    /// It may become bad.
    Warning,
    Bad,
}

impl Weight {
    pub fn name(self) -> &'static str {
        ["note", "warning", "bad"][self as usize]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    /// The same word for the same kind of finding, always.
    pub code: &'static str,
    pub what: String,
    /// What helps.
    pub cure: String,
}

/// Deaths in an hour from which on a service restarts too often.
const DEATHS: usize = 3;

/// Before this the wall clock was not set: 2024-01-01.
const CLOCK_SET: u64 = 1_704_067_200;

/// Room that is enough, however large the whole is.
const FREE_ENOUGH: u64 = 64 << 20;

/// Of the worst first; of one weight in the order in which they were found.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut list = List(Vec::new());
    // Generations take room in the store alone.
    let holds = |one: &&FileSystem| {
        let below = STORE.strip_prefix(one.place.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let store = facts.file_systems.iter().filter(holds).max_by_key(|one| one.place.len());
    for one in &facts.file_systems {
        list.file_system(one, store.is_some_and(|store| store.place == one.place));
    }
    if let Some((all, left)) = facts.memory
        && left < all / 10
    {
        let weight = if left < all / 25 { Weight::Bad } else { Weight::Warning };
        let what = format!("memory: {} of {} are left", size(left), size(all));
        list.add(
            weight,
            "memory",
            what,
            "`ps` shows who has it; what lies in /run and /tmp counts, too",
        );
    }
    list.services(facts);
    if let Some(generations) = &facts.generations {
        list.generations(generations);
    }
    list.system(facts);
    // Three weights need no sorting.
    let mut sorted = Vec::new();
    for weight in [Weight::Bad, Weight::Warning, Weight::Note] {
        sorted.extend(list.0.iter().filter(|finding| finding.weight == weight).cloned());
    }
    sorted
}

/// Whether somebody has to do something.
pub fn is_ill(findings: &[Finding]) -> bool {
    to_do(findings) > 0
}

/// The last sentence of what is said of them.
pub fn summary(findings: &[Finding]) -> String {
    match to_do(findings) {
        0 => "nothing is to be done".into(),
        1 => "1 thing is to be done".into(),
        count => format!("{count} things are to be done"),
    }
}

fn to_do(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.weight > Weight::Note).count()
}

/// Findings, as they are found.
struct List(Vec<Finding>);

impl List {
    fn add(&mut self, weight: Weight, code: &'static str, what: String, cure: &str) {
        self.0.push(Finding { weight, code, what, cure: cure.into() });
    }

    fn file_system(&mut self, one: &FileSystem, holds_store: bool) {
        let FileSystem { place, kind, bytes, free, nodes, nodes_free } = one;
        let in_memory = matches!(kind.as_str(), "tmpfs" | "ramfs" | "devtmpfs");
        let frees = match (in_memory, holds_store) {
            (true, _) => "it lies in memory: ",
            (false, true) => "`ward store collect --keep 2` frees what old generations hold; ",
            (false, false) => "",
        };
        let cure = format!("{frees}`du -ax {place} | sort -n` shows what is large there");
        if *bytes > 0 && *free < *bytes / 10 && *free < FREE_ENOUGH {
            let weight = if *free < *bytes / 50 { Weight::Bad } else { Weight::Warning };
            let how = if weight == Weight::Bad { "is full" } else { "is about to fill up" };
            let (free, bytes) = (size(*free), size(*bytes));
            let what = format!("{place} ({kind}) {how}: {free} of {bytes} are free");
            self.add(weight, "space", what, &cure);
        }
        if *nodes > 0 && *nodes_free < *nodes / 10 {
            let weight = if *nodes_free < *nodes / 50 { Weight::Bad } else { Weight::Warning };
            let what = format!("{place} ({kind}) has room for {nodes_free} more files, of {nodes}");
            let cure = format!(
                "many small files lie there: `find {place} -xdev | sed 's|/[^/]*$||' | sort | uniq -c | sort -n` \
                 shows in which folders"
            );
            self.add(weight, "inodes", what, &cure);
        }
    }

    fn services(&mut self, facts: &Facts) {
        if let Some(why) = &facts.no_services {
            let cure = "`reboot` makes the live directory anew; -l names another one";
            self.add(Weight::Bad, "no-services", why.clone(), cure);
        }
        if facts.manager == Some(false) {
            let what = "the manager of the services does not answer".into();
            self.add(
                Weight::Bad,
                "manager",
                what,
                "init starts it again when it ends: `kill -9 $(pidof ward-manager)` ends one that hangs, and no service notices",
            );
        }
        if facts.log == Some(false) {
            let what = "nothing keeps what services say: there is no log".into();
            let place = &facts.log_place;
            let cure = format!(
                "`df {place}` shows whether there is room; init starts the logger again when it ends: \
                 `kill -9 $(pidof ward-logger)`"
            );
            self.add(Weight::Bad, "log", what, &cure);
        }
        if !facts.stopped.is_empty() {
            let names = facts.stopped.join(" ");
            let what = format!("somebody has stopped what every start brings up: {names}");
            self.add(Weight::Warning, "stopped", what, &format!("`ward start {names}`"));
        }
        for Service { name, failed, deaths, restarts } in &facts.services {
            if *failed {
                let what = format!("{name} is not as it should be");
                self.add(
                    Weight::Bad,
                    "service",
                    what,
                    &format!("`ward why {name}` says why; `ward restart {name}` tries it again"),
                );
            }
            if *deaths >= DEATHS {
                let what = format!("{name} has died {deaths} times in the last hour");
                let cure = format!(
                    "`ward why {name}` shows how it ends, and its last words; once that is mended, \
                     `s6-svdt-clear {}/{name}` begins to count anew",
                    facts.service_dirs
                );
                self.add(Weight::Warning, "restarts", what, &cure);
            }
            if *restarts >= DEATHS {
                let what = format!(
                    "{name} was restarted {restarts} times in the last hour, as it did not do what it should"
                );
                let cure = format!(
                    "`ward why {name}` shows what is asked of it, `ward log -s {name}` what it says"
                );
                self.add(Weight::Warning, "restarts", what, &cure);
            }
        }
    }

    fn generations(&mut self, it: &Generations) {
        if let Some((sentence, id)) = &it.trial {
            let what = format!("not confirmed yet: {sentence}");
            let cure = format!(
                "`ward generation confirm {id}` keeps it, `ward generation rollback` ends it"
            );
            self.add(Weight::Warning, "unconfirmed", what, &cure);
        } else if !it.running.is_empty() && !it.boot.is_empty() && it.running != it.boot {
            let what = format!(
                "{} runs and was never confirmed: the next start takes {}",
                it.running_name, it.boot_name
            );
            let cure = format!(
                "`ward generation activate --no-confirm {}` keeps what runs; a restart goes back",
                it.running
            );
            self.add(Weight::Warning, "unconfirmed", what, &cure);
        }
        if let Some((number, why)) = &it.failed {
            let what = format!("generation {number} was tried, and did not work: {why}");
            self.add(
                Weight::Warning,
                "update-failed",
                what,
                &format!("`ward generation show {number}` tells more, `ward generation delete {number}` forgets it"),
            );
        }
        if let Some(why) = &it.keys_damaged {
            let cure = "nothing is received until it is mended: `ward generation rollback` goes back to one whose keys can be read";
            self.add(Weight::Bad, "keys", format!("the trusted keys cannot be read: {why}"), cure);
        } else if it.signed == Some(false) {
            let what = format!(
                "unsigned: {} has no signature of a key that is trusted here",
                it.running_name
            );
            self.add(
                Weight::Warning,
                "unsigned",
                what,
                "the next `doorward rebuild --sign KEY` that changes something brings one",
            );
        } else if !it.running.is_empty() && !it.keys {
            let what =
                "no signatures are wanted: whoever may log in as root may update this device"
                    .into();
            self.add(
                Weight::Note,
                "no-keys",
                what,
                "`updates.trustedKeys` of the configuration names keys",
            );
        }
    }

    fn system(&mut self, facts: &Facts) {
        if facts.root_is_open {
            let what = "root needs no password".into();
            self.add(
                Weight::Bad,
                "password",
                what,
                "`users.root.passwd` of the configuration is its hash, as `openssl passwd -6` makes it, or `!` for keys alone",
            );
        }
        if facts.clock.is_some_and(|now| now < CLOCK_SET) {
            let what =
                "the wall clock was not set: certificates and times in the log are wrong".into();
            self.add(
                Weight::Warning,
                "clock",
                what,
                "`ward status` shows whether the time service is up; `date -s '2030-12-31 23:59'` sets it by hand",
            );
        }
        if facts.watchdog_is_idle {
            let what =
                "the hardware has a watchdog, and nobody feeds it: a device that hangs stays so"
                    .into();
            self.add(
                Weight::Note,
                "watchdog",
                what,
                "`svc.watchdog.build { }` among the services of the configuration feeds it",
            );
        }
        if let Some(ward) = &facts.newer_ward {
            let what = "init still is the `ward` from before it was replaced".into();
            let cure =
                format!("`ward reexec {ward}` makes init that one; services go on meanwhile");
            self.add(Weight::Warning, "init", what, &cure);
        }
        if facts.database_is_old {
            let what =
                "the services are those of an older database than the next start takes".into();
            self.add(
                Weight::Warning,
                "database",
                what,
                "`s6-rc-update /etc/s6-rc/compiled/current` goes over to it",
            );
        }
        if let Some((running, wanted)) = &facts.kernels
            && running != wanted
        {
            let what = format!(
                "the kernel {running} runs, and the modules are for {wanted}: they do not load"
            );
            self.add(
                Weight::Bad,
                "kernel",
                what,
                "the kernel is flashed with the whole image (docs/guide/reinstall.md)",
            );
        }
        if let Some(words) = &facts.kernel_lacks {
            let what = format!(
                "the kernel was started without words that this system has for it: {words}"
            );
            self.add(
                Weight::Warning,
                "command-line",
                what,
                "they lie beside the kernel, where updates do not come: `doorward reflash` writes both (docs/guide/reinstall.md)",
            );
        }
        if let Some((what, back)) = &facts.maintenance {
            self.add(Weight::Warning, "maintenance", what.clone(), back);
        }
    }
}

/// `512 B`, `12 kB`, `3.4 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests;
