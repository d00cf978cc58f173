//! How far a rollout came, in a file: the next run goes on from there.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use cli::Failure;
use engine::deploy::rollout::State;
use model::time::Moment;
use serde_json::{Value, json};

use super::inventory::Target;

/// The members of this version of the file.
const VERSION: u64 = 1;

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub state: State,
    /// What was said of it last.
    pub message: String,
}

impl Default for Record {
    fn default() -> Self {
        Self { state: State::Waiting, message: String::new() }
    }
}

const WORDS: [(&str, State); 6] = [
    ("waiting", State::Waiting),
    ("running", State::Running),
    ("updated", State::Updated),
    ("checking", State::Checking),
    ("failed", State::Failed),
    ("offline", State::Offline(Moment::ZERO)),
];

pub fn word(state: State) -> &'static str {
    let same = |other: &State| std::mem::discriminant(other) == std::mem::discriminant(&state);
    WORDS.iter().find(|(_, other)| same(other)).map_or("waiting", |(word, _)| word)
}

/// What an earlier run left of these devices, in their order. `None`: there was none, or it was done.
pub fn read(path: &Path, targets: &[Target]) -> Result<Option<Vec<Record>>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::refused(format!("{}: {error}", path.display()))),
    };
    let strange = || {
        Failure::refused(format!("{} is not what a rollout leaves", path.display()))
            .hint("--new begins anew, and writes another")
    };
    let value: Value = serde_json::from_str(&text).map_err(|_| strange())?;
    if value["version"].as_u64() != Some(VERSION) {
        return Err(strange());
    }
    let devices = value["devices"].as_object().ok_or_else(strange)?;
    let mut records = Vec::new();
    for target in targets {
        let mut record = Record::default();
        if let Some(known) = devices.get(&target.name) {
            let word = known["state"].as_str().ok_or_else(strange)?;
            let state = WORDS.iter().find(|(other, _)| *other == word).ok_or_else(strange)?.1;
            let message = known["message"].as_str().unwrap_or_default().to_owned();
            record = Record { state, message };
        }
        records.push(record);
    }
    let done = records.iter().all(|record| record.state == State::Updated);
    Ok((!done).then_some(records))
}

/// Writes it anew: whole, or as it was.
pub fn write(path: &Path, targets: &[Target], records: &[Record]) -> Result<(), Failure> {
    let device = |(target, record): (&Target, &Record)| {
        let device = json!({ "state": word(record.state), "message": record.message });
        (target.name.clone(), device)
    };
    let devices: serde_json::Map<String, Value> = targets.iter().zip(records).map(device).collect();
    let text = format!("{:#}\n", json!({ "version": VERSION, "devices": devices }));
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage(format!("{} is no file", path.display())))?;
    os::files::directory(directory)
        .and_then(|directory| os::files::replace(directory, name, text.as_bytes(), 0o644))
        .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::inventory;

    #[test]
    fn what_was_written_is_read_again_until_all_is_done() {
        let folder = std::env::temp_dir().join(format!("doorward-record-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("state");
        let targets = inventory::read("a\nb\n", "here", 1).unwrap();
        assert_eq!(read(&path, &targets).unwrap(), None);
        let updated = Record { state: State::Updated, message: "done".into() };
        let offline = Record { state: State::Offline(Moment::ZERO), ..Record::default() };
        write(&path, &targets, &[updated.clone(), offline.clone()]).unwrap();
        assert_eq!(read(&path, &targets).unwrap(), Some(vec![updated.clone(), offline]));
        // One that came later to the inventory waits.
        let more = inventory::read("a\nc\n", "here", 1).unwrap();
        assert_eq!(read(&path, &more).unwrap(), Some(vec![updated.clone(), Record::default()]));
        write(&path, &targets, &[updated.clone(), updated]).unwrap();
        assert_eq!(read(&path, &targets).unwrap(), None);
        for strange in ["", "{", "[]", r#"{"version":2,"devices":{}}"#, r#"{"version":1}"#] {
            fs::write(&path, strange).unwrap();
            assert!(read(&path, &targets).unwrap_err().hint.is_some(), "{strange:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
