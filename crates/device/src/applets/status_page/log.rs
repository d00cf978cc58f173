//! The log as a page, and what of it is new since somebody has looked.

use std::io;
use std::path::Path;

use engine::log::history::{Sieve, Wanted};
use model::label::{Reading, append_local};
use model::limits::{PAGE_LINES_BYTES_MAX, PAGE_LINES_MAX};
use model::log::entry::Entry;
use model::log::place::Place;
use model::log::priority::{ERROR, Priority, WARNING};
use os::log::reader::Reader;
use os::log::reader::feed::{Feed, Next};
use os::zone::{self, Zone};

use super::markup::Markup;
use super::page::{begin, end};
use super::view::View;

/// Bytes of a line that are shown; `ward log` has the rest.
const LINE_BYTES_MAX: usize = 2000;

/// What is asked for.
pub struct Wish<'a> {
    /// Only what this one said.
    pub service: Option<&'a str>,
    /// Only what comes behind this place.
    pub from: Option<&'a str>,
}

pub fn page(view: &mut View, logs: &Path, wish: &Wish<'_>) -> Vec<u8> {
    let mut markup = Markup::default();
    begin(&mut markup, "Log");
    let from = wish.from.and_then(place_of);
    let mut lines = Markup::default();
    let found = match from {
        Some(from) => newer(logs, wish.service, from, &mut lines),
        None => Ok(None),
    };
    // Where nothing goes on from there, everything is shown anew.
    let (found, is_all) = match found {
        Ok(Some(place)) => (Ok(Some(place)), false),
        Ok(None) => {
            lines.0.clear();
            form(&mut markup, view, wish.service);
            (newest(logs, wish.service, PAGE_LINES_MAX, &mut lines), true)
        }
        Err(error) => (Err(error), true),
    };
    let place = match found {
        Ok(place) => place,
        Err(error) => {
            markup.raw("<p class=\"bad\">").text(&cannot(logs, &error)).raw("</p>");
            None
        }
    };
    markup.raw("<div id=\"log\" data-next=\"/log?service=").encoded(wish.service.unwrap_or(""));
    if let Some(place) = place {
        let mut text = Vec::new();
        place.append(&mut text);
        markup.raw("&amp;from=").encoded(String::from_utf8_lossy(&text).trim_end());
    }
    markup.raw(if is_all { "\" data-all=\"1\">" } else { "\">" });
    markup.0.append(&mut lines.0);
    markup.raw("</div>");
    end(markup)
}

/// The last lines of a service.
pub fn last_lines(markup: &mut Markup, logs: &Path, service: &str, count: usize) {
    if let Err(error) = newest(logs, Some(service), count, markup) {
        markup.raw("<p class=\"bad\">").text(&cannot(logs, &error)).raw("</p>");
    }
}

fn cannot(logs: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", logs.display())
}

/// Where a service is chosen.
fn form(markup: &mut Markup, view: &mut View, chosen: Option<&str>) {
    markup.raw("<form action=\"/log\"><select name=\"service\"><option value=\"\">all</option>");
    view.with(|services| {
        let Ok(services) = services else { return };
        for service in services.database.services() {
            let name = service.name();
            let is_chosen = chosen == Some(name);
            markup.raw(if is_chosen { "<option selected>" } else { "<option>" }).text(name);
            markup.raw("</option>");
        }
    });
    markup.raw("</select> <button>Show</button></form>");
}

fn place_of(text: &str) -> Option<Place> {
    Place::parse(format!("{text}\n").as_bytes())
}

/// The last lines, and how far the log was read.
fn newest(
    logs: &Path,
    service: Option<&str>,
    count: usize,
    lines: &mut Markup,
) -> io::Result<Option<Place>> {
    let reader = Reader::open(logs, true)?;
    let services = service.map(|name| (name.into(), true)).into_iter().collect();
    let mut sieve = Sieve::new(Wanted { services, ..Wanted::default() }, &|_| true);
    reader.learn(&mut sieve)?;
    let place = reader.start(&mut sieve, Some(count))?;
    let zone = zone::local();
    let mut starts = Vec::new();
    let end = reader.read(&mut sieve, place, &mut |sieve, bytes| {
        if let Some(entry) = sieve.look(bytes) {
            starts.push(lines.0.len());
            line(lines, &entry, &zone);
            shorten(lines, &mut starts, 2 * PAGE_LINES_BYTES_MAX);
        }
        Ok(true)
    })?;
    shorten(lines, &mut starts, PAGE_LINES_BYTES_MAX);
    Ok(end.and_then(|offset| reader.kept(offset)))
}

/// Where lines have more bytes than `most`, leaves out the oldest: as many as bring them to the bound.
fn shorten(lines: &mut Markup, starts: &mut Vec<usize>, most: usize) {
    let (Some(&begin), end) = (starts.first(), lines.0.len()) else { return };
    if end - begin <= most {
        return;
    }
    let fits = |start: &usize| end - start <= PAGE_LINES_BYTES_MAX;
    let left = starts.iter().position(fits).unwrap_or(starts.len() - 1);
    let cut = starts[left] - begin;
    lines.0.drain(begin..begin + cut);
    starts.drain(..left);
    starts.iter_mut().for_each(|start| *start -= cut);
}

/// Lines behind a place, and how far they go; `None`: that place is gone.
fn newer(
    logs: &Path,
    service: Option<&str>,
    from: Place,
    lines: &mut Markup,
) -> io::Result<Option<Place>> {
    let mut feed = Feed::open(logs, Some(from))?;
    if feed.place() != from {
        return Ok(None);
    }
    let zone = zone::local();
    let mut count = 0;
    loop {
        let before = lines.0.len();
        let next = feed.next(&mut |sieve, bytes| {
            if count >= PAGE_LINES_MAX || before >= PAGE_LINES_BYTES_MAX {
                return false;
            }
            let entry = sieve.look(bytes);
            let is_wanted = |entry: &Entry<'_>| {
                service.is_none_or(|name| entry.line.service == Some(name.as_bytes()))
            };
            if let Some(entry) = entry.filter(is_wanted) {
                count += 1;
                line(lines, &entry, &zone);
            }
            true
        })?;
        match next {
            Next::Taken => {}
            // The rest comes with the next question.
            Next::Left | Next::End => return Ok(Some(feed.place())),
            Next::Lost => return Ok(None),
        }
    }
}

/// A line: when, who, what.
fn line(markup: &mut Markup, entry: &Entry<'_>, zone: &Zone) {
    markup.raw(match entry.priority.map(Priority::severity) {
        Some(..=ERROR) => "<p class=\"e\">",
        Some(WARNING) => "<p class=\"w\">",
        _ => "<p>",
    });
    let mut when = Vec::new();
    if entry.date.is_some_and(|date| append_local(date, Reading::Tai, zone, &mut when)) {
        // From the month to the second.
        let short = when.get(5..19).unwrap_or_default();
        markup.raw("<time>").bytes(short).raw(if entry.corrected { "*" } else { "" });
        markup.raw("</time> ");
    }
    if let Some(service) = entry.line.service {
        markup.raw("<b>").bytes(service).raw("</b> ");
    }
    let text = entry.line.text;
    match text.get(..LINE_BYTES_MAX) {
        Some(text) => markup.bytes(text).raw("…</p>"),
        None => markup.bytes(text).raw("</p>"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_lines_that_are_too_many_bytes_the_newest_stay() {
        let mut lines = Markup(b"before".to_vec());
        let mut starts = Vec::new();
        for at in 0..10 {
            starts.push(lines.0.len());
            lines.0.extend(std::iter::repeat_n(b'0' + at, PAGE_LINES_BYTES_MAX / 4));
            shorten(&mut lines, &mut starts, PAGE_LINES_BYTES_MAX);
        }
        assert!(lines.0.starts_with(b"before6") && lines.0.ends_with(b"9"));
        assert_eq!(lines.0.len(), 6 + PAGE_LINES_BYTES_MAX);
        // One that is too long by itself stays.
        starts.push(lines.0.len());
        lines.0.extend(std::iter::repeat_n(b'x', 2 * PAGE_LINES_BYTES_MAX));
        shorten(&mut lines, &mut starts, PAGE_LINES_BYTES_MAX);
        assert_eq!((lines.0.len(), starts), (6 + 2 * PAGE_LINES_BYTES_MAX, vec![6]));
    }
}
