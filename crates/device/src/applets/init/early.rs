//! Early boot: what a generation wants done before the first service.
//!
//! What fails is said, and the rest is done all the same: a device that can be reached can be
//! repaired.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::deploy::generation::{CURRENT, Entry, Line, Preparation, lines};
use model::deploy::phases::Phase;
use model::limits::GENERATION_FILE_BYTES_MAX;
use os::deploy::{files, modules, mounts, phases};
use os::flash::{mtd, pci_memory};
use os::trouble::{Trouble, While};

/// How long to wait for something that the kernel makes, and how long from one look to the next.
const WAIT_MAX: Duration = Duration::from_secs(10);
const WAIT_STEP: Duration = Duration::from_millis(10);

/// What the init of this generation is told.
#[derive(Default)]
pub struct Outcome {
    /// Options that the generation wants, to stand before those of the command line.
    pub words: Vec<OsString>,
    /// What was said on the console belongs into the log, too.
    pub said: Vec<String>,
}

impl Outcome {
    fn say(&mut self, text: String) {
        say(&text);
        self.said.push(text);
    }

    /// Says what went wrong, if it did, and whether it went well.
    fn note(&mut self, done: Result<(), Trouble>) -> bool {
        done.map_err(|trouble| self.say(trouble.to_string())).is_ok()
    }
}

/// Says something where only the console listens.
pub fn say(text: &str) {
    eprintln!("ward: {text}");
}

/// The generation whose `init` was called by this path, if it is one.
pub fn generation_of(called: &Path) -> Option<PathBuf> {
    let folder = called.parent()?.canonicalize().ok()?;
    ["boot", "filesystem"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
}

/// Does all that the generation in `folder` wants before the first service.
pub fn prepare(folder: &Path) -> Outcome {
    let begun = os::clock::now();
    let mut outcome = Outcome::default();
    let mut log = None;
    let mut unmounted = Vec::new();
    for preparation in read(&folder.join("boot"), &mut |text| outcome.say(text)) {
        if !outcome.note(carry_out(&preparation, &folder.join("modules")))
            && let Preparation::Mount { path, .. } = &preparation
        {
            unmounted.push(path.clone());
        }
        match preparation {
            Preparation::Log { .. } => log = Some(preparation),
            Preparation::LogOption { letter, value } => {
                outcome.words.extend([format!("-{letter}").into(), value.into()]);
            }
            _ => {}
        }
    }
    outcome.note(files::link(CURRENT, folder).to(|| format!("make {CURRENT}")));
    for entry in read::<Entry>(&folder.join("filesystem"), &mut |text| outcome.say(text)) {
        let put = files::put(Path::new("/"), &entry).map(drop);
        outcome.note(put.to(|| format!("make {}", entry.path())));
    }
    if let Some(Preparation::Log { directory, archives, file_bytes }) = log {
        let (archives, file_bytes) = (archives.to_string(), file_bytes.to_string());
        outcome.words.extend(["-n".into(), archives.into(), "-s".into(), file_bytes.into()]);
        match log_place(&directory, &unmounted) {
            Ok(()) => outcome.words.extend(["-L".into(), directory.into()]),
            Err(trouble) => outcome.say(format!("{trouble}; the log is in memory")),
        }
    }
    for (phase, at) in [(Phase::Generation, begun), (Phase::Init, os::clock::now())] {
        outcome.note(phases::note(phase, at).to(|| "note when the device has come how far"));
    }
    outcome
}

/// Carries out one line; where modules of the kernel lie depends on whose line it is.
pub fn carry_out(preparation: &Preparation, folder: &Path) -> Result<(), Trouble> {
    match preparation {
        Preparation::Module { name, parameters } => {
            modules::load(folder, name, parameters).to(|| format!("load the module {name}"))
        }
        Preparation::Wait { path } => {
            let limit = os::clock::now() + WAIT_MAX;
            while !Path::new(path).exists() {
                if os::clock::now() >= limit {
                    let error: std::io::Error = std::io::ErrorKind::TimedOut.into();
                    return Err(error).to(|| format!("find {path}"));
                }
                std::thread::sleep(WAIT_STEP);
            }
            Ok(())
        }
        Preparation::Memory { name, erase_bytes, vendor, device, region } => {
            let span = pci_memory::region(*vendor, *device, *region);
            span.and_then(|span| modules::use_as_flash(folder, name, span, *erase_bytes))
                .to(|| format!("use memory of the PCI device {vendor:04x}:{device:04x} as {name}"))
        }
        Preparation::Partition { flash, name, offset, bytes, read_only } => {
            mtd::add_partition(flash, name, *offset, *bytes, *read_only)
                .to(|| format!("add the partition {name} to {flash}"))
        }
        Preparation::Mount { kind, source, path, options } => mtd::source(kind, source)
            .and_then(|source| mounts::mount_at(kind, &source, Path::new(path), options))
            .to(|| format!("mount {source} at {path}")),
        // The logger does that.
        Preparation::Log { .. } | Preparation::LogOption { .. } => Ok(()),
    }
}

/// The lines of a file that can be read; why others, or the whole file, cannot is said.
pub fn read<T: Line>(file: &Path, say: &mut impl FnMut(String)) -> Vec<T> {
    let name = file.display();
    let bytes = match os::files::read_up_to(file, GENERATION_FILE_BYTES_MAX + 1) {
        Ok(bytes) => bytes,
        Err(error) => {
            say(format!("cannot read {name}: {error}"));
            return Vec::new();
        }
    };
    if bytes.len() > GENERATION_FILE_BYTES_MAX {
        say(format!("{name} has more than {GENERATION_FILE_BYTES_MAX} bytes"));
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines =
        lines(&text).filter_map(|line| line.map_err(|error| say(format!("{name}: {error}"))).ok());
    lines.collect()
}

/// Whether the log of everything can be there: a logger that cannot write would stop every service.
fn log_place(directory: &str, unmounted: &[String]) -> Result<(), Trouble> {
    let lost = unmounted.iter().find(|path| Path::new(directory).starts_with(path));
    let place = match lost {
        Some(path) => Err(std::io::Error::other(format!("{path} is not mounted"))),
        None => files::is_writable(Path::new(directory)),
    };
    place.to(|| format!("log into {directory}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_where_both_lists_are() {
        let folder = std::env::temp_dir().join(format!("doorward-early-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("store/x-system")).expect("a folder can be made");
        let link = folder.join("system");
        std::os::unix::fs::symlink("store/x-system", &link).expect("a link can be made");
        for (file, is_one) in [("boot", false), ("filesystem", true)] {
            std::fs::write(link.join(file), "").expect("a file can be written");
            let found = generation_of(&link.join("init"));
            assert_eq!(found.is_some(), is_one, "after {file}");
            assert!(found.is_none_or(|found| found.ends_with("store/x-system")));
        }
        assert_eq!(generation_of(Path::new("init")), None);
        std::fs::remove_dir_all(folder).expect("it can be removed");
    }

    #[test]
    fn nothing_is_logged_to_where_nothing_is_mounted() {
        let folder = std::env::temp_dir().join(format!("doorward-log-{}", std::process::id()));
        let place = folder.join("a/log").display().to_string();
        assert!(log_place(&place, &["/persist".to_owned()]).is_ok());
        assert!(folder.join("a").is_dir());
        let lost = log_place(&place, &[folder.display().to_string()]).expect_err("it is lost");
        assert!(lost.to_string().ends_with("is not mounted"), "{lost}");
        assert!(log_place("/proc/none/log", &[]).is_err());
        std::fs::remove_dir_all(folder).expect("it can be removed");
    }
}
