//! Finds units, their drop-ins, and what is linked to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cli::Failure;
use model::import::systemd::{Source, Unit};
use model::import::unit::UnitName;
use model::limits::IMPORT_FILES_MAX;

use super::read;

/// Reads all that was asked for: files, folders of them, or names to be found in `paths`.
pub fn gather(asked: &[PathBuf], paths: &[PathBuf]) -> Result<Vec<Unit>, Failure> {
    let mut gathered = Gathered { paths, units: Vec::new(), files: 0 };
    for path in asked {
        if !path.is_dir() {
            gathered.add(path)?;
            continue;
        }
        for name in names(path) {
            let unit = UnitName::parse(&name);
            if ["service", "target"].contains(&unit.kind) && !unit.is_template() {
                gathered.add(&path.join(&name))?;
            }
        }
    }
    Ok(gathered.units)
}

struct Gathered<'a> {
    paths: &'a [PathBuf],
    units: Vec<Unit>,
    files: usize,
}

impl Gathered<'_> {
    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        let asked = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((file, above)) = self.find(path, &asked) else {
            return Err(Failure::refused(format!("there is no unit {}", path.display()))
                .hint("name its file, or the folder where units lie with --path"));
        };
        // A link to a unit of another name is that unit; one to a template is not.
        let name = match fs::canonicalize(&file) {
            Ok(real) if real.file_name() != file.file_name() => {
                let real = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let same_kind = UnitName::parse(&real).kind == UnitName::parse(&asked).kind;
                let template = UnitName::parse(&real).is_template();
                if same_kind && !template { real } else { asked.clone() }
            }
            _ => asked.clone(),
        };
        if let Some(unit) = self.units.iter_mut().find(|unit| unit.name == name) {
            if asked != name && !unit.aliases.contains(&asked) {
                unit.aliases.push(asked);
            }
            return Ok(());
        }
        let mut sources = vec![self.source(&file)?];
        let mut folders: Vec<PathBuf> = vec![above];
        folders.extend(self.paths.iter().cloned());
        for file in drop_ins(&folders, &name) {
            sources.push(self.source(&file)?);
        }
        let mut wants = BTreeSet::new();
        for folder in &folders {
            for kind in ["wants", "requires"] {
                wants.extend(names(&folder.join(format!("{name}.{kind}"))));
            }
        }
        let aliases = if asked == name { Vec::new() } else { vec![asked] };
        self.units.push(Unit { name, aliases, sources, wants: wants.into_iter().collect() });
        Ok(())
    }

    /// The file of a unit, or of its template, and the folder that it was found in.
    fn find(&self, path: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
        let unit = UnitName::parse(name);
        let template = unit.instance.map(|_| format!("{}@.{}", unit.prefix, unit.kind));
        let own = path.parent().map(Path::to_owned).unwrap_or_default();
        let bare = own.as_os_str().is_empty();
        let elsewhere = self.paths.iter().filter(|_| bare).cloned();
        for folder in std::iter::once(own.clone()).chain(elsewhere) {
            for name in [Some(name), template.as_deref()].into_iter().flatten() {
                let file = folder.join(name);
                if fs::symlink_metadata(&file).is_ok_and(|kind| !kind.is_dir()) {
                    return Some((file, folder));
                }
            }
        }
        None
    }

    fn source(&mut self, file: &Path) -> Result<Source, Failure> {
        self.files += 1;
        if self.files > IMPORT_FILES_MAX {
            return Err(Failure::refused(format!("these are more than {IMPORT_FILES_MAX} files")));
        }
        Ok(Source { file: file.display().to_string(), text: read(file)? })
    }
}

/// Drop-ins in the order of their names; of two with one name, that of the folder that means this
/// unit most of all counts.
fn drop_ins(folders: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let unit = UnitName::parse(name);
    let mut of: Vec<String> = vec![name.to_owned()];
    if unit.instance.is_some() {
        of.push(format!("{}@.{}", unit.prefix, unit.kind));
    }
    let mut prefix = unit.prefix;
    while let Some((shorter, _)) = prefix.trim_end_matches('-').rsplit_once('-') {
        of.push(format!("{shorter}-.{}", unit.kind));
        prefix = shorter;
    }
    of.push(unit.kind.to_owned());
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for of in of {
        for folder in folders {
            let folder = folder.join(format!("{of}.d"));
            for file in names(&folder).into_iter().filter(|file| file.ends_with(".conf")) {
                let path = folder.join(&file);
                found.entry(file).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

/// The names in a folder, in their order; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}
