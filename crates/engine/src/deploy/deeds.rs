//! What is done on the flash for generations, one small step after the other.
//!
//! Each list may end after any of its deeds, with the power: the device then starts the old
//! generation or the new one, and all that either needs is there. `os` carries them out, `sim` cuts
//! them off everywhere and loses what was not synced.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::deploy::disk::Disk;
use model::deploy::history::{BOOT, FOLDER, Number, Record};
use model::deploy::trial::{PENDING, Pending};

/// One call of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Makes a folder, if it is not there.
    Folder { path: String },
    /// Makes a file with these bytes, whatever was there, and syncs it: they stay when the power goes.
    Write { path: String, bytes: String },
    /// Makes a link, whatever was there.
    Link { path: String, target: String },
    /// What this folder names stays when the power goes.
    SyncFolder { path: String },
    /// All that was written to the file system of this path stays.
    SyncAll { path: String },
    /// Gives a file or link another name, whatever had it.
    Rename { from: String, to: String },
    /// Takes a file or link away, if it is there.
    Remove { path: String },
}

const TOP: &str = "/boot";

fn fresh(path: &str) -> String {
    format!("{path}.new")
}

/// Replaces a file: whoever reads it, also after a power cut, finds the old or the new one, whole.
fn replace(path: &str, bytes: String, folder: &str) -> [Deed; 3] {
    let new = fresh(path);
    [
        Deed::Write { path: new.clone(), bytes },
        Deed::Rename { from: new, to: path.to_owned() },
        Deed::SyncFolder { path: folder.to_owned() },
    ]
}

/// The same for a link.
fn lead(path: &str, target: &str, folder: &str) -> [Deed; 3] {
    let new = fresh(path);
    [
        Deed::Link { path: new.clone(), target: target.to_owned() },
        Deed::Rename { from: new, to: path.to_owned() },
        Deed::SyncFolder { path: folder.to_owned() },
    ]
}

/// Takes a file away for good.
fn remove(path: &str, folder: &str) -> [Deed; 2] {
    [Deed::Remove { path: path.to_owned() }, Deed::SyncFolder { path: folder.to_owned() }]
}

/// Gives the generation at `path` a number. Whatever has copied it: all of it is on the flash then.
pub fn add(number: Number, path: &str, record: &Record) -> Vec<Deed> {
    let mut deeds = vec![Deed::SyncAll { path: path.to_owned() }];
    deeds.extend(name(number, path, record));
    deeds
}

/// The same for one that the device has started with: all of it is there.
pub fn name(number: Number, path: &str, record: &Record) -> Vec<Deed> {
    let mut deeds =
        vec![Deed::Folder { path: FOLDER.to_owned() }, Deed::SyncFolder { path: TOP.to_owned() }];
    deeds.extend(replace(&number.record(), record.write(), FOLDER));
    deeds.extend(lead(&number.link(), path, FOLDER));
    deeds
}

/// Writes down what has become of a generation.
pub fn note(number: Number, record: &Record) -> Vec<Deed> {
    replace(&number.record(), record.write(), FOLDER).into()
}

/// The next start, and all after it, run the generation at `path`. The rename is what counts: what
/// comes behind it is found again from the link.
pub fn commit(number: Number, path: &str, record: &Record) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = lead(BOOT, path, TOP).into();
    deeds.extend(note(number, record));
    deeds.extend(remove(PENDING, TOP));
    deeds
}

/// The next start tries a generation; or, as it begins, it is counted.
pub fn pend(pending: &Pending) -> Vec<Deed> {
    replace(PENDING, pending.write(), TOP).into()
}

/// No start tries anything any more.
pub fn forget_pending() -> Vec<Deed> {
    remove(PENDING, TOP).into()
}

/// No start tries it any more, and its record says why. The trial ends first: a record that says
/// so while starts go on would be a lie, and a trial without an end would be worse.
pub fn give_up(number: Number, record: &Record) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = remove(PENDING, TOP).into();
    deeds.extend(note(number, record));
    deeds
}

/// A trial was committed by a link that was changed just before the power went.
pub fn settle(number: Number, record: &Record) -> Vec<Deed> {
    let mut deeds = note(number, record);
    deeds.extend(remove(PENDING, TOP));
    deeds
}

/// Forgets a generation. Its link goes first: what is named is there.
pub fn delete(number: Number) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = remove(&number.link(), FOLDER).into();
    deeds.extend(remove(&number.record(), FOLDER));
    deeds
}

/// Does one after the other, and stops at what cannot be done.
pub fn carry_out<D: Disk>(disk: &mut D, deeds: &[Deed]) -> Result<(), D::Error> {
    deeds.iter().try_for_each(|deed| carry_out_one(disk, deed))
}

fn carry_out_one<D: Disk>(disk: &mut D, deed: &Deed) -> Result<(), D::Error> {
    let plain = |path: &str| path.trim_start_matches('/').as_bytes().to_vec();
    match deed {
        Deed::Folder { path } => match disk.look(&plain(path))? {
            Some(_) => Ok(()),
            None => disk.make_folder(&plain(path)),
        },
        Deed::Write { path, bytes } => {
            clear(disk, &plain(path))?;
            let mut file = disk.create(&plain(path), false)?;
            disk.write(&mut file, bytes.as_bytes())?;
            disk.sync_file(&file)
        }
        Deed::Link { path, target } => {
            clear(disk, &plain(path))?;
            disk.make_link(&plain(path), target.as_bytes())
        }
        Deed::SyncFolder { path } => disk.sync_folder(&plain(path)),
        Deed::SyncAll { .. } => disk.sync_all(),
        Deed::Rename { from, to } => disk.rename(&plain(from), &plain(to)),
        Deed::Remove { path } => clear(disk, &plain(path)),
    }
}

/// Takes away what is there, if anything is.
fn clear<D: Disk>(disk: &mut D, path: &[u8]) -> Result<(), D::Error> {
    match disk.look(path)? {
        Some(_) => disk.remove(path),
        None => Ok(()),
    }
}
