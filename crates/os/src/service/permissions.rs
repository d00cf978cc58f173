//! Who may see, control and listen to a service: the modes of `supervise/`,
//! `supervise/control` and `event/`.
//!
//! Source: s6 `s6-svperms.html`, and the modes its program sets.

use std::io;
use std::path::Path;

use rustix::fs::{self, Gid, Mode};

/// Who may do something, beside the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Owner,
    Group(u32),
    Everybody,
}

/// Who may read the status.
pub fn status(dir: &Path) -> io::Result<Who> {
    let found = fs::stat(dir.join("supervise"))?;
    Ok(who(found.st_mode, 0o001, 0o010, found.st_gid))
}

/// Who may control it.
pub fn control(dir: &Path) -> io::Result<Who> {
    let found = fs::stat(dir.join("supervise/control"))?;
    Ok(who(found.st_mode, 0o002, 0o020, found.st_gid))
}

/// Who may listen to its events.
pub fn events(dir: &Path) -> io::Result<Who> {
    let found = fs::stat(dir.join("event"))?;
    Ok(who(found.st_mode, 0o003, 0o030, found.st_gid))
}

fn who(mode: u32, everybody: u32, group: u32, gid: u32) -> Who {
    if mode & everybody == everybody {
        Who::Everybody
    } else if mode & group == group {
        Who::Group(gid)
    } else {
        Who::Owner
    }
}

/// Sets who may read the status, and control it.
pub fn set_status_and_control(dir: &Path, status: Who, control: Who) -> io::Result<()> {
    // First what narrows: nobody gets in while the one is set and the other not.
    set(&dir.join("supervise"), 0o700, Who::Owner, 0, 0)?;
    set(&dir.join("supervise/control"), 0o600, control, 0o020, 0o022)?;
    set(&dir.join("supervise"), 0o700, status, 0o010, 0o011)
}

/// Sets who may listen to its events: a group, or everybody.
pub fn set_events(dir: &Path, events: Who) -> io::Result<()> {
    match events {
        Who::Everybody => set(&dir.join("event"), 0o1700, events, 0o030, 0o033),
        _ => set(&dir.join("event"), 0o3700, events, 0o030, 0o033),
    }
}

fn set(path: &Path, owner: u32, who: Who, group_bits: u32, all_bits: u32) -> io::Result<()> {
    let mode = match who {
        Who::Owner => owner,
        Who::Group(gid) => {
            fs::chown(path, None, Some(Gid::from_raw(gid)))?;
            owner | group_bits
        }
        Who::Everybody => owner | all_bits,
    };
    Ok(fs::chmod(path, Mode::from_raw_mode(mode))?)
}

/// The group this program runs with.
pub fn own_group() -> u32 {
    rustix::process::getegid().as_raw()
}

/// The number of the group `name`, of the text of a group file (`group(5)`).
pub fn group_number(text: &str, name: &str) -> Option<u32> {
    group_entries(text).find(|(known, _)| *known == name).map(|(_, number)| number)
}

/// The name of the group `number`, of the text of a group file.
pub fn group_name(text: &str, number: u32) -> Option<&str> {
    group_entries(text).find(|(_, known)| *known == number).map(|(name, _)| name)
}

fn group_entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_both_ways_and_bad_lines_passed_over() {
        let text = "root:x:0:\nbad\n:::\ntty:x:5:a,b\nbig:x:99999999999:\n";
        assert_eq!(group_number(text, "tty"), Some(5));
        assert_eq!(group_number(text, "big"), None);
        assert_eq!(group_name(text, 0), Some("root"));
        assert_eq!(group_name(text, 6), None);
    }
}
