//! Who asked for what, for people who wonder why a service is up or down.

use std::collections::VecDeque;
use std::fs;

use model::limits::{ASKER_BYTES_MAX, ASKERS_MAX};
use model::service::manager_request::Asked;
use model::time::Moment;
use os::processes;

#[derive(Default)]
pub struct Askers {
    /// The newest last.
    known: VecDeque<Asker>,
}

struct Asker {
    /// The number of its request, as [`Timeline::change`] counts.
    ///
    /// [`Timeline::change`]: engine::service::timeline::Timeline::change
    request: u32,
    by: String,
    at: Moment,
}

impl Askers {
    /// A process has made the request with this number; `because` is what it
    /// says about that, after its name where it is a controller.
    pub fn note(&mut self, request: u32, pid: u32, because: Option<String>, at: Moment) {
        self.remember(request, because.unwrap_or_else(|| describe(pid)), at);
    }

    pub fn remember(&mut self, request: u32, by: String, at: Moment) {
        if self.known.len() >= ASKERS_MAX {
            self.known.pop_front();
        }
        self.known.push_back(Asker { request, by, at });
    }

    /// When a request was made.
    pub fn at(&self, request: u32) -> Option<Moment> {
        self.known.iter().rev().find(|one| one.request == request).map(|one| one.at)
    }

    /// Those that are remembered, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = Asked<'_>> {
        self.known.iter().map(|one| Asked { request: one.request, by: &one.by, at: one.at })
    }
}

/// `s6-rc -d change dns (process 4711 of sh)`.
fn describe(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(words.strip_suffix(b"\0").unwrap_or(&words));
    let program = words.find('\0').unwrap_or(words.len());
    let begin = words[..program].rfind('/').map_or(0, |slash| slash + 1);
    let mut by = String::new();
    for c in words[begin..].chars() {
        if by.len() + c.len_utf8() > ASKER_BYTES_MAX {
            by.push('…');
            break;
        }
        by.push(if c.is_control() { ' ' } else { c });
    }
    let parent = parent_of(pid).map(|parent| format!(" of {parent}")).unwrap_or_default();
    if by.is_empty() {
        return format!("process {pid}{parent}");
    }
    format!("{by} (process {pid}{parent})")
}

/// The name of the program that a process was started by.
fn parent_of(pid: u32) -> Option<String> {
    let name = processes::name(processes::stat(pid)?.parent)?;
    Some(name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_words_and_what_started_it() {
        let by = describe(std::process::id());
        assert!(by.contains(&format!("(process {} of ", std::process::id())), "{by}");
        assert!(!by.starts_with('/'), "{by}");
        assert_eq!(describe(u32::MAX), format!("process {}", u32::MAX));
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut askers = Askers::default();
        for request in 1..=1000 {
            askers.note(request, u32::MAX, None, Moment::from_nanos(u64::from(request)));
        }
        let known: Vec<u32> = askers.all().map(|asked| asked.request).collect();
        let first = 1001 - ASKERS_MAX as u32;
        assert_eq!(known, (first..=1000).collect::<Vec<u32>>());
    }
}
