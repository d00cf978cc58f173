//! `s6-log` at work: reads lines and does with them what its script says.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use engine::log::choose::choose;
use engine::log::split::first_line;
use model::label::{Reading, append_local};
use model::limits::LOG_KEPT_BYTES_MAX;
use model::log::script::{Action, Script, Step, Target};
use model::time::Moment;
use model::zone::Zone;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::clock;
use crate::log::processed_dir::ProcessedDir;
use crate::log::sinks::{self, Output, StatusFile};
use crate::sys::regex::Regex;
use crate::sys::signals;
use crate::trouble::{Trouble, While};

/// Bytes that one read takes: a whole pipe.
const READ_BYTES: usize = 64 << 10;

/// How to read, and when to end.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// SIGTERM does not end it.
    pub protected: bool,
    /// Reads nothing while a line waits to be written.
    pub one_by_one: bool,
    /// Bytes of a line; 0: any number.
    pub line_bytes: usize,
    /// How long to wait for the end of the last line; zero: for ever.
    pub last_line_wait: Duration,
}

/// Descriptors 0, 1 and 2.
pub type Streams = (BorrowedFd<'static>, BorrowedFd<'static>, BorrowedFd<'static>);

/// Where the action of a step puts its lines.
enum Place {
    /// The same for all: lines keep their order.
    Output(Rc<RefCell<Output>>),
    Alert,
    Status(StatusFile),
    Directory(Box<ProcessedDir>),
    /// The step is no action.
    Nothing,
}

/// The expression of each step that has one.
pub struct Expressions(Vec<Option<Regex>>);

impl Expressions {
    /// Compiles them.
    ///
    /// # Errors
    /// The first that is none, and why, in the words of the C library.
    pub fn of(script: &Script<'_>) -> Result<Self, (Vec<u8>, String)> {
        let compile = |step: &Step<'_>| match step {
            Step::Select(text) | Step::Deselect(text) => {
                Regex::new(text).map(Some).map_err(|why| (text.to_vec(), why))
            }
            Step::Untouched | Step::Act(_) => Ok(None),
        };
        script.steps.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }
}

pub struct ScriptRun<'a> {
    steps: Vec<Step<'a>>,
    /// One for each step, as the places.
    expressions: Vec<Option<Regex>>,
    places: Vec<Place>,
    manner: Manner,
    streams: Streams,
    signals: OwnedFd,
    /// What was read and is no whole line yet.
    input: Vec<u8>,
    /// Standard input has ended, or shall not be read any further.
    ended: bool,
    /// Told to end: when not to wait for the end of the line any longer.
    leaving: Option<Option<Moment>>,
    zone: Option<Zone>,
}

impl<'a> ScriptRun<'a> {
    /// Opens everything that lines go to.
    pub fn open(
        script: Script<'a>,
        expressions: Expressions,
        manner: Manner,
        streams: Streams,
    ) -> Result<Self, Trouble> {
        signals::ignore_pipe();
        let caught = [libc::SIGTERM, libc::SIGHUP, libc::SIGALRM, libc::SIGCHLD];
        let signals = signals::read_from(&caught).to(|| "watch for signals")?;
        let now = clock::now();
        let output = Rc::new(RefCell::new(Output::new(streams.1)));
        let mut places = Vec::new();
        let mut local = false;
        for step in &script.steps {
            let Step::Act(action) = step else {
                places.push(Place::Nothing);
                continue;
            };
            local |= action.local_time;
            places.push(match &action.target {
                Target::Stdout => Place::Output(output.clone()),
                Target::Alert { .. } => Place::Alert,
                Target::Status { path, bytes } => Place::Status(StatusFile::new(path, *bytes)),
                Target::Directory(plan) => {
                    Place::Directory(Box::new(ProcessedDir::open(plan, now)?))
                }
            });
        }
        Ok(Self {
            steps: script.steps,
            expressions: expressions.0,
            places,
            manner,
            streams,
            signals,
            input: Vec::new(),
            ended: false,
            leaving: None,
            zone: local.then(crate::zone::local),
        })
    }

    /// Works until standard input ends, or a signal says so. `warn` is told
    /// what goes wrong meanwhile.
    pub fn run(mut self, warn: &mut dyn FnMut(&Trouble)) -> Result<(), Trouble> {
        let mut chunk = vec![0; READ_BYTES];
        loop {
            self.flush(warn);
            let kept = self.kept_max();
            if self.ended && kept == 0 && !self.processing() {
                return self.close(warn);
            }
            let waits = self.ended || kept > LOG_KEPT_BYTES_MAX;
            let reads = !waits && (kept == 0 || !self.manner.one_by_one);
            let (signal, input) = self.wait(reads).to(|| "wait for lines")?;
            if signal {
                self.hear_signals(warn).to(|| "read signals")?;
            }
            if self.leaving.is_some_and(|at| at.is_some_and(|at| at <= clock::now())) {
                self.end();
            } else if input && !self.ended {
                self.read(&mut chunk).to(|| "read lines")?;
            }
        }
    }

    /// Waits; says whether there are signals, and whether there is input.
    fn wait(&self, reads: bool) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if reads {
            fds.push(PollFd::from_borrowed_fd(self.streams.0, PollFlags::IN));
        }
        let mut deadline = self.leaving.flatten();
        for place in &self.places {
            match place {
                Place::Output(output) if output.borrow().left() > 0 => {
                    let descriptor = output.borrow().descriptor();
                    fds.push(PollFd::from_borrowed_fd(descriptor, PollFlags::OUT));
                }
                Place::Directory(directory) => {
                    deadline = deadline.into_iter().chain(directory.deadline()).min();
                }
                _ => {}
            }
        }
        let limit = deadline.map(|at| at.since(clock::now())).map(|limit| Timespec {
            tv_sec: limit.as_secs().min(i32::MAX as u64) as _,
            tv_nsec: limit.subsec_nanos() as _,
        });
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        Ok((!fds[0].revents().is_empty(), reads && !fds[1].revents().is_empty()))
    }

    fn hear_signals(&mut self, warn: &mut dyn FnMut(&Trouble)) -> io::Result<()> {
        while let Some(signal) = signals::next(self.signals.as_fd())? {
            match signal {
                libc::SIGTERM if self.manner.protected => {}
                libc::SIGTERM | libc::SIGHUP => self.leave(),
                libc::SIGALRM => self.directories().for_each(ProcessedDir::rotate),
                _ => {
                    let now = clock::now();
                    for directory in self.directories() {
                        if let Err(trouble) = directory.reap(now) {
                            warn(&trouble);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends at once, or when the line that has begun ends.
    fn leave(&mut self) {
        if self.input.is_empty() {
            self.ended = true;
        } else if self.leaving.is_none() {
            let wait = self.manner.last_line_wait;
            self.leaving = Some((wait > Duration::ZERO).then(|| clock::now() + wait));
        }
    }

    /// Reads once, and does what the script says with each whole line. Told to
    /// leave, it reads byte by byte, and nothing behind the line: that is for
    /// whoever reads next.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        let limit = if self.leaving.is_some() { 1 } else { chunk.len() };
        match rustix::io::read(self.streams.0, &mut chunk[..limit]) {
            Ok(0) => self.end(),
            Ok(count) => {
                let mut input = std::mem::take(&mut self.input);
                input.extend_from_slice(&chunk[..count]);
                let taken = self.log_lines(&input);
                input.drain(..taken);
                self.input = input;
                if self.leaving.is_some() && self.input.is_empty() {
                    self.ended = true;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The last line has no end, and is logged all the same.
    fn end(&mut self) {
        self.ended = true;
        let mut input = std::mem::take(&mut self.input);
        if !input.is_empty() {
            input.push(b'\n');
            self.log_lines(&input);
        }
    }

    /// Logs the whole lines of `input` and says how many bytes they took.
    fn log_lines(&mut self, input: &[u8]) -> usize {
        let label = clock::today().label_text();
        let local = self.zone.as_ref().map(local_time);
        let mut stamp = Vec::new();
        let mut taken = 0;
        while let Some(line) = first_line(&input[taken..], self.manner.line_bytes) {
            taken += line.taken;
            let (expressions, places) = (&self.expressions, &mut self.places);
            let matches =
                |index: usize| expressions[index].as_ref().is_some_and(|e| e.is_match(line.text));
            choose(&self.steps, matches, |index, action| {
                write_stamp(&mut stamp, action, &label, local.as_deref());
                log_line(&mut places[index], action, self.streams.2, &stamp, line.text);
            });
        }
        taken
    }

    fn directories(&mut self) -> impl Iterator<Item = &mut ProcessedDir> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Directory(directory) => Some(&mut **directory),
            _ => None,
        })
    }

    fn processing(&mut self) -> bool {
        self.directories().any(|directory| directory.processing())
    }

    /// Bytes that the target keeps which has taken least.
    fn kept_max(&self) -> usize {
        let kept = |place: &Place| match place {
            Place::Output(output) => output.borrow().left(),
            Place::Directory(directory) => directory.left(),
            _ => 0,
        };
        self.places.iter().map(kept).max().unwrap_or(0)
    }

    fn flush(&mut self, warn: &mut dyn FnMut(&Trouble)) {
        let (now, ended) = (clock::now(), self.ended);
        for place in &mut self.places {
            let done = match place {
                Place::Output(output) => {
                    output.borrow_mut().flush();
                    Ok(())
                }
                Place::Status(status) => {
                    let done = status.flush();
                    done.to(|| format!("write the status file {}", status.path().display()))
                }
                Place::Directory(directory) => directory.flush(now, ended),
                Place::Alert | Place::Nothing => Ok(()),
            };
            if let Err(trouble) = done {
                warn(&trouble);
            }
        }
    }

    fn close(self, warn: &mut dyn FnMut(&Trouble)) -> Result<(), Trouble> {
        for place in self.places {
            if let Place::Directory(directory) = place
                && let Err(trouble) = directory.close()
            {
                warn(&trouble);
            }
        }
        Ok(())
    }
}

/// What comes before the text of a line.
fn write_stamp(stamp: &mut Vec<u8>, action: &Action<'_>, label: &[u8; 25], local: Option<&[u8]>) {
    stamp.clear();
    if action.label {
        stamp.extend_from_slice(label);
        stamp.push(b' ');
    }
    if let Some(local) = local
        && action.local_time
    {
        stamp.extend_from_slice(local);
    }
    if !action.prefix.is_empty() {
        stamp.extend_from_slice(action.prefix);
        stamp.push(b' ');
    }
}

fn log_line(
    place: &mut Place,
    action: &Action<'_>,
    errors: BorrowedFd<'_>,
    stamp: &[u8],
    text: &[u8],
) {
    let mut output;
    let lines = match place {
        Place::Output(shared) => {
            output = shared.borrow_mut();
            output.lines()
        }
        Place::Directory(directory) => directory.lines(),
        Place::Status(status) => return status.set(stamp, text),
        _ => {
            if let Target::Alert { bytes } = action.target {
                sinks::alert(errors, stamp, text, bytes);
            }
            return;
        }
    };
    lines.extend_from_slice(stamp);
    lines.extend_from_slice(text);
    lines.push(b'\n');
}

/// `YYYY-MM-DD HH:MM:SS.nnnnnnnnn` and two spaces, in this place's time.
fn local_time(zone: &Zone) -> Vec<u8> {
    let mut text = Vec::new();
    append_local(clock::today(), Reading::Tai, zone, &mut text);
    text.extend_from_slice(b"  ");
    text
}
