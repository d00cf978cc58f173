//! What the manager remembers of the past, also in a file: whoever comes after it goes on with that, a newer
//! `ward` as well as one that comes because this one was killed.

use std::time::Duration;

use engine::service::timeline::{self, Timeline};
use model::bytes::{Reader, Writer};
use model::limits::RECORD_BYTES_MAX;
use model::service::database::Entry;
use model::service::manager_request::{Asked, FromManager, PROTOCOL, Span};
use model::time::Moment;
use os::service::managed::LiveDir;

use super::Program;
use super::askers::Askers;

/// A change comes in many steps: they are written down together.
const DELAY: Duration = Duration::from_millis(100);

/// The file, as far as it is not yet what is remembered.
#[derive(Default)]
pub(super) struct Record {
    due: Option<Moment>,
}

impl Record {
    /// Something is remembered that is not in the file.
    pub(super) fn touch(&mut self, now: Moment) {
        self.due.get_or_insert(now + DELAY);
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.due
    }
}

/// Who asked for what, and when services were brought up and down.
pub(super) fn past<'a>(
    live: &'a LiveDir,
    askers: &'a Askers,
    timeline: &'a Timeline,
) -> impl Iterator<Item = FromManager<'a>> {
    let cut = timeline.is_cut().then_some(FromManager::SpansCut);
    let spans = timeline.spans().map(|span| {
        let &timeline::Span { service, up, end, change, asked, begun, ended } = span;
        let name = live.name(service);
        FromManager::Span(Span { name, up, end, change, asked, begun, ended })
    });
    askers.all().map(FromManager::Asked).chain(cut).chain(spans)
}

impl Program {
    /// Writes it down, once that is due.
    pub(super) fn record(&mut self) {
        if self.record.due.is_none_or(|due| due > self.now) {
            return;
        }
        self.record.due = None;
        let mut text = Writer::new();
        FromManager::Welcome { protocol: PROTOCOL }.write(&mut text);
        let past = past(&self.live, &self.askers, &self.timeline);
        past.for_each(|message| message.write(&mut text));
        if let Err(error) = self.live.note_record(text.as_bytes()) {
            eprintln!("cannot write down what has happened: {error}");
        }
    }

    /// Remembers what the manager before this one has written down.
    pub(super) fn take_up_record(&mut self) {
        let text = self.live.record(RECORD_BYTES_MAX);
        let mut reader = Reader::new(&text);
        let mut next = || FromManager::read(&mut reader).ok();
        // What another version has written may mean something else.
        if next() != Some(FromManager::Welcome { protocol: PROTOCOL }) {
            return;
        }
        while let Some(message) = next() {
            match message {
                FromManager::Asked(Asked { request, by, at }) => {
                    self.timeline.goes_on_behind(request);
                    self.askers.remember(request, by.to_owned(), at);
                }
                FromManager::SpansCut => self.timeline.forget(),
                FromManager::Span(Span { name, up, end, change, asked, begun, ended }) => {
                    let Some(Entry::Service(service)) = self.live.database().find(name) else {
                        continue;
                    };
                    let span = timeline::Span { service, up, end, change, asked, begun, ended };
                    let byte = self.live.bytes()[service as usize];
                    self.timeline.remember(self.now, span, byte);
                }
                _ => return,
            }
        }
    }
}
