//! Waits until the events of fifodirs match regular expressions.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use model::limits::EVENTS_KEPT_MAX;
use model::time::Moment;

use crate::event_loop::{EventLoop, Readiness};
use crate::service::fifodir::Subscription;
use crate::service::watch::Quorum;
use crate::sys::regex::Regex;
use crate::sys::signals;

/// What is waited for in one fifodir.
pub struct Pattern {
    subscription: Subscription,
    regex: Regex,
    events: Events,
    matched: bool,
}

/// The events since listening began, the latest of them where they are many.
#[derive(Default)]
struct Events {
    kept: Vec<u8>,
    cut: bool,
}

/// How waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The events of the fifodir that matched last.
    Matched(Vec<u8>),
    TimedOut,
    /// This signal came for the waiting program.
    Signal(i32),
}

impl Pattern {
    /// Begins to listen to the fifodir at `path`.
    pub fn listen(path: &Path, regex: Regex) -> io::Result<Self> {
        let subscription = Subscription::new(path)?;
        Ok(Self { subscription, regex, events: Events::default(), matched: false })
    }

    fn take(&mut self, event: u8) {
        self.events.push(event);
        self.matched |= self.events.matches(&self.regex);
    }
}

impl Events {
    fn push(&mut self, event: u8) {
        if self.kept.len() >= EVENTS_KEPT_MAX {
            self.kept.drain(..EVENTS_KEPT_MAX / 2);
            self.cut = true;
        }
        self.kept.push(event);
    }

    fn matches(&self, regex: &Regex) -> bool {
        if self.cut { regex.is_match_inside(&self.kept) } else { regex.is_match(&self.kept) }
    }
}

/// Waits until all or one of `patterns` match, `deadline` comes, or one of
/// the signals that `signals` is read from; SIGCHLD only means that a child
/// can be reaped, which `reap` does.
pub fn wait(
    mut patterns: Vec<Pattern>,
    quorum: Quorum,
    deadline: Option<Moment>,
    signals: impl AsFd,
    mut reap: impl FnMut(),
) -> io::Result<Heard> {
    let mut events = EventLoop::new()?;
    for (token, pattern) in patterns.iter().enumerate() {
        events.add(&pattern.subscription, token as u64, Readiness::IN)?;
    }
    events.add(&signals, u64::MAX, Readiness::IN)?;
    loop {
        for (token, _) in events.wait(deadline)? {
            if token == u64::MAX {
                while let Some(signal) = signals::next(signals.as_fd())? {
                    if signal != libc::SIGCHLD {
                        return Ok(Heard::Signal(signal));
                    }
                    reap();
                }
                continue;
            }
            let pattern = &mut patterns[token as usize];
            let mut buffer = [0; 256];
            let found = pattern.subscription.read(&mut buffer)?;
            // One by one: what follows the match is not part of it.
            for event in found {
                if !pattern.matched {
                    pattern.take(*event);
                }
            }
            if patterns[token as usize].matched
                && (quorum == Quorum::One || patterns.iter().all(|pattern| pattern.matched))
            {
                let heard = std::mem::take(&mut patterns[token as usize].events.kept);
                return Ok(Heard::Matched(heard));
            }
        }
        if deadline.is_some_and(|deadline| crate::clock::now() >= deadline) {
            return Ok(Heard::TimedOut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_forgotten_and_matches_no_more() {
        let beginning = Regex::new(b"^a").unwrap();
        let end = Regex::new(b"xy$").unwrap();
        let mut events = Events::default();
        events.push(b'a');
        assert!(events.matches(&beginning));
        for _ in 0..3 * EVENTS_KEPT_MAX {
            events.push(b'a');
            assert!(events.kept.len() <= EVENTS_KEPT_MAX);
        }
        assert!(!events.matches(&beginning));
        events.push(b'x');
        events.push(b'y');
        assert!(events.matches(&end));
    }
}
