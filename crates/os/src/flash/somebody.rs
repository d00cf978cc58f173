//! Whether somebody has come to a maintenance system: a login, a terminal in use, or a program that has
//! the flash open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::processes::{self, Stat};

/// Servers whose children are people, or what people have sent: an ssh server hands what it starts to a
/// process of its own for each connection, and that starts nothing before somebody is let in.
const SERVERS: [&str; 2] = ["dropbear", "sshd"];

#[derive(Debug, Default)]
pub struct Somebody {
    /// When terminals were read from last. The kernel notes that, to some seconds.
    terminals: BTreeMap<PathBuf, i64>,
}

impl Somebody {
    pub fn new() -> Self {
        Self { terminals: terminals() }
    }

    /// Who is there, if anybody is.
    pub fn look(&mut self) -> Option<String> {
        if fs::read_dir("/dev/pts").into_iter().flatten().flatten().any(|entry| is_number(&entry)) {
            return Some("somebody is at a terminal".into());
        }
        let now = terminals();
        let changed = now.iter().find(|(path, at)| self.terminals.get(*path) != Some(at));
        if let Some((path, _)) = changed {
            return Some(format!("somebody types at {}", path.display()));
        }
        self.terminals = now;
        visitor(&running()).map(|name| format!("somebody has come by ssh ({name})")).or_else(writer)
    }
}

fn is_number(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit)
}

fn terminals() -> BTreeMap<PathBuf, i64> {
    let all = fs::read_dir("/dev").into_iter().flatten().flatten();
    let ones = all.filter(|entry| {
        let name = entry.file_name();
        name == "console" || name.as_encoded_bytes().starts_with(b"tty")
    });
    ones.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.atime()))).collect()
}

/// A process: its number, and what is known of it.
type Process = (u32, Stat);

fn running() -> Vec<Process> {
    let all = processes::all().unwrap_or_default();
    all.into_iter().filter_map(|pid| Some((pid, processes::stat(pid)?))).collect()
}

/// A program that a server for ssh has started.
fn visitor(processes: &[Process]) -> Option<&str> {
    let serves = |name: &str| SERVERS.iter().any(|server| name.starts_with(server));
    let of = |pid: u32| processes.iter().find(|(id, _)| *id == pid);
    let is_visitor = |(_, stat): &&Process| {
        !serves(&stat.name) && of(stat.parent).is_some_and(|(_, parent)| serves(&parent.name))
    };
    processes.iter().find(is_visitor).map(|(_, stat)| stat.name.as_str())
}

/// A program that writes to the flash: nobody may restart the device now.
fn writer() -> Option<String> {
    for (pid, Stat { name, .. }) in running() {
        let links = processes::descriptors(pid).filter_map(|link| fs::read_link(link).ok());
        let flash = links.map(|path| path.to_string_lossy().into_owned());
        if let Some(path) = flash.into_iter().find(|path| path.starts_with("/dev/mtd")) {
            return Some(format!("{name} uses {path}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_starts_is_a_visitor_and_the_server_is_none() {
        let process =
            |pid: u32, text: &str| (pid, processes::read_stat(text.as_bytes()).expect("a line"));
        let init = process(1, "1 (ward) S 0 1");
        let server = process(77, "77 (dropbear) S 1 77");
        let caller = process(80, "80 (dropbear) S 77 77");
        let shell = process(81, "81 (sh (x) y) S 80 81");
        let service = process(90, "90 (sh) S 1 90");
        let mut all = vec![init, server, caller, service];
        assert_eq!(visitor(&all), None, "nobody was let in");
        all.push(shell);
        assert_eq!(visitor(&all), Some("sh (x) y"));
    }
}
