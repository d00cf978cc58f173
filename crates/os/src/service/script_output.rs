//! What scripts print while a change goes on, for the program that asked for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::log::follow::{Follower, Inbox, News};
use crate::service::live_dir::INIT;

/// How long the logger may take to say that all was told. One that takes
/// longer is not asked again: lines then come when they come.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Nobody's name: asking about it says that the logger has heard what came before.
const NOBODY: &str = "";

pub struct ScriptOutput<'a> {
    log: Option<(Follower, Inbox)>,
    /// The oneshots that are followed, sorted.
    names: Vec<&'a str>,
    late: bool,
}

impl<'a> ScriptOutput<'a> {
    /// Follows these oneshots of a live directory: nothing that they print from
    /// here on is missed. Where there is no logger there are no lines.
    pub fn follow(live: &Path, names: &[&'a str]) -> Self {
        let mut names = names.to_vec();
        names.sort_unstable();
        let mut this = Self { log: None, names, late: false };
        if !this.names.is_empty() {
            let socket = live.join("scandir").join(INIT).with_file_name("log");
            this.log = begin(&socket, &this.names).ok();
            this.catch_up(Some(NOBODY), &mut |_| {});
        }
        this
    }

    /// What becomes readable when there are lines to [`pass`](Self::pass).
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(|(follower, _)| follower.as_fd())
    }

    /// Passes on the lines that are there.
    pub fn pass(&mut self, line: &mut dyn FnMut(&[u8])) {
        let Some((follower, inbox)) = &mut self.log else { return };
        loop {
            match follower.next(inbox) {
                Ok(News::Line { text, .. }) => line(text),
                Ok(News::Synced(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.log = None,
            }
        }
    }

    /// The script of `name` has ended: passes on all that it printed.
    pub fn ended(&mut self, name: &str, line: &mut dyn FnMut(&[u8])) {
        if self.names.binary_search(&name).is_ok() {
            self.catch_up(Some(name), line);
        }
    }

    /// All is over: passes on what is left.
    pub fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        self.catch_up(None, line);
    }

    fn catch_up(&mut self, name: Option<&str>, line: &mut dyn FnMut(&[u8])) {
        let asked = match &mut self.log {
            Some((follower, _)) if !self.late => follower.sync(name),
            _ => return,
        };
        let answered = asked.and_then(|number| self.wait_for(number, line));
        match answered {
            Ok(answered) => self.late = !answered,
            Err(_) => self.log = None,
        }
    }

    /// Passes lines on until the answer `number`; `false`: it takes too long.
    fn wait_for(&mut self, number: u32, line: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let Some((follower, inbox)) = &mut self.log else { return Ok(true) };
        let until = clock::now() + ANSWER_MAX;
        let mut events = None;
        loop {
            match follower.next(inbox) {
                Ok(News::Line { text, .. }) => line(text),
                Ok(News::Synced(answered)) if answered == number => return Ok(true),
                Ok(News::Synced(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if clock::now() >= until {
                        return Ok(false);
                    }
                    let events = match &mut events {
                        Some(events) => events,
                        None => {
                            let new = EventLoop::new()?;
                            new.add(&*follower, 0, Readiness::IN)?;
                            events.insert(new)
                        }
                    };
                    events.wait(Some(until))?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn begin(socket: &Path, names: &[&str]) -> io::Result<(Follower, Inbox)> {
    let mut follower = Follower::connect(socket)?;
    follower.follow(names)?;
    follower.set_nonblocking()?;
    Ok((follower, Inbox::default()))
}
