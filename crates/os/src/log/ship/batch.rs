//! Lines that are sent together, in the form that a target wants.

use engine::log::ship::Held;
use model::limits::{SHIPPED_BATCH_BYTES, SHIPPED_DATAGRAM_BYTES_MAX};
use model::log::entry::Entry;
use model::log::place::Place;
use model::log::priority::ERROR;
use model::log::{shipped, syslog};

use crate::clock;

/// Leaves room for a mark in front of lines on flash.
const BATCH_BYTES: usize = SHIPPED_BATCH_BYTES - 512;

/// A line on flash that is longer is cut; the logger writes none.
const PLAIN_BYTES_MAX: usize = SHIPPED_BATCH_BYTES / 2;

/// What a target is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Messages behind their lengths.
    Stream,
    /// Messages, each in a datagram.
    Datagrams,
    /// Objects, each in a line.
    Objects,
    /// Streams for Loki.
    Streams,
    /// Lines as they are.
    Plain,
}

pub struct Batch {
    pub form: Form,
    /// What this device is called.
    pub host: Vec<u8>,
    pub text: Vec<u8>,
    /// Where each line ends.
    pub ends: Vec<usize>,
    /// Where its first line begins.
    pub start: Place,
    bytes_max: usize,
    full: bool,
    urgent: bool,
}

impl Batch {
    /// `room` is what there is for everything, where that is little.
    pub fn new(form: Form, room: u64) -> Self {
        let bytes_max = usize::try_from(room / 4).unwrap_or(BATCH_BYTES).min(BATCH_BYTES);
        let (host, text, ends, start) = (Vec::new(), Vec::new(), Vec::new(), Place::default());
        Self { form, host, text, ends, start, bytes_max, full: false, urgent: false }
    }

    /// All that is sent, in its order; `head` comes first.
    pub fn parts<'a>(&'a self, head: &'a [u8]) -> [&'a [u8]; 4] {
        match self.form {
            Form::Streams => [head, shipped::STREAMS_BEGIN, &self.text, shipped::STREAMS_END],
            _ => [head, &self.text, b"", b""],
        }
    }

    pub fn held(&self) -> Held {
        Held { lines: self.ends.len(), full: self.full, urgent: self.urgent }
    }

    /// Empties it; the next line begins at `start`.
    pub fn clear(&mut self, start: Place) {
        self.text.clear();
        self.ends.clear();
        self.start = start;
        (self.full, self.urgent) = (false, false);
    }

    /// Adds a line, which is `entry`. `false` where it has no room left: it was not added.
    pub fn add(&mut self, line: &[u8], entry: &Entry<'_>) -> bool {
        let before = self.text.len();
        match self.form {
            Form::Stream => syslog::append_counted(entry, &self.host, &mut self.text),
            Form::Datagrams => {
                syslog::append_message(entry, &self.host, &mut self.text);
                self.text.truncate(before + SHIPPED_DATAGRAM_BYTES_MAX);
            }
            Form::Objects => shipped::append_object(entry, &self.host, &mut self.text),
            Form::Streams => {
                let (today, first) = (clock::today(), self.ends.is_empty());
                shipped::append_stream(entry, &self.host, today, first, &mut self.text);
            }
            Form::Plain => {
                self.text.extend_from_slice(&line[..line.len().min(PLAIN_BYTES_MAX)]);
                self.text.push(b'\n');
            }
        }
        if before > 0 && self.text.len() > self.bytes_max {
            self.text.truncate(before);
            self.full = true;
            return false;
        }
        self.urgent |= entry.priority.is_some_and(|priority| priority.severity() <= ERROR);
        self.ends.push(self.text.len());
        true
    }
}
