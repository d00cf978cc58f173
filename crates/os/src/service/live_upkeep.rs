//! What a manager does for the live directory around its services: the link
//! that leads to it, the names in the scandir, what an earlier one left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::service::database::{Database, Entry};

use crate::service::live_dir::{self, Making, SUPERVISED};
use crate::service::managed::LiveDir;
use crate::trouble::{Trouble, While};

/// Where a live directory belongs.
pub struct Places {
    pub scandir: PathBuf,
    /// Stands before each name in the scandir.
    pub prefix: String,
}

/// Reads where the live directory `real` belongs.
pub fn places(real: &Path) -> Result<Places, Trouble> {
    let read = |what: &str| format!("read {}/{what}", real.display());
    let scandir = fs::read_link(real.join("scandir")).to(|| read("scandir"))?;
    let prefix = fs::read_to_string(real.join("prefix")).to(|| read("prefix"))?;
    Ok(Places { scandir: real.join(scandir), prefix })
}

/// Makes everything lead to `live`, which init serves: the link, the names in
/// the scandir. Removes what an earlier live directory left. All of it can be
/// repeated; what failed is told by the answer, and the next manager tries again.
pub fn adopt(live: &LiveDir, before: Option<&LiveDir>) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let link = live.link();
    if link == live.path {
        return troubles; // A directory without a link, as somebody made by hand.
    }
    let leads_here = link.canonicalize().is_ok_and(|real| real == live.path);
    if !leads_here && let Err(trouble) = live_dir::publish(&link, &live.path) {
        troubles.push(trouble);
    }
    let places = match places(&live.path) {
        Ok(places) => places,
        Err(trouble) => {
            troubles.push(trouble);
            return troubles;
        }
    };
    if !leads_here {
        let database = live.database();
        let making = Making {
            live: &link,
            compiled: &live.path,
            database,
            scandir: &places.scandir,
            prefix: &places.prefix,
            brought: &|_| true,
            state: live.bytes(),
            readers: None,
        };
        if let Err(trouble) = live_dir::link_into_scandir(&making) {
            troubles.push(trouble);
        }
        if let Some(before) = before {
            unlink_gone(&before.database(), &database, &places);
        }
        unlink_dead(&link, &places);
    }
    remove_leftovers(&link, &live.path);
    troubles
}

/// Longruns that the new database does not have lose their name in the scandir.
fn unlink_gone(old: &Database<'_>, new: &Database<'_>, places: &Places) {
    for service in old.services().take_while(|service| service.is_longrun()) {
        let name = service.name();
        let stays = matches!(new.find(name), Some(Entry::Service(index))
            if new.service(index).is_longrun());
        if !stays {
            let _ = fs::remove_file(places.scandir.join(format!("{}{name}", places.prefix)));
        }
    }
}

/// The same, where nobody knows the old database any more: names that lead
/// into this live directory and to nothing there.
fn unlink_dead(link: &Path, places: &Places) {
    let services = link.join(live_dir::SERVICE_DIRS);
    for entry in fs::read_dir(&places.scandir).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = fs::read_link(&path).is_ok_and(|target| target.starts_with(&services));
        if ours && !path.exists() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Removes the directories beside `real` that nobody serves any more.
fn remove_leftovers(link: &Path, real: &Path) {
    let (Some(parent), Some(name)) = (link.parent(), link.file_name()) else { return };
    let mut stem = name.to_owned();
    stem.push(":");
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = entry.file_name().as_encoded_bytes().starts_with(stem.as_encoded_bytes());
        if named && path != real && path.is_dir() && !is_served(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether an init holds the lock of a live directory. One that cannot be
/// looked at counts as served; one whose manager was killed while it made it
/// has no lock yet.
fn is_served(path: &Path) -> bool {
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    match fs::File::open(path.join(SUPERVISED)) {
        Ok(file) => fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
            .map_or(true, |holder| holder.is_some()),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
