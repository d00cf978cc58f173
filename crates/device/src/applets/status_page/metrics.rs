//! Numbers for Prometheus, in its text format 0.0.4.

use std::io;
use std::path::Path;

use model::limits::SERVICES_MAX;
use model::log::line::Line;
use model::log::loss;
use model::log::mark::SERVICE;
use model::service::live_state::is_up;
use model::service::request::Phase;
use model::time::Moment;
use os::log::reader::feed::{Feed, Next};
use os::{clock, file_systems, memory};

use super::page::restarts;
use super::view::View;
use crate::applets::generation::state::State;
use crate::applets::people::services::{Mood, Services};

/// How many lines of the log are counted at once: more than it holds, and no more than a second's work.
const COUNTED_MAX: usize = 200_000;

/// Lines, and lines that are lost, of a service.
struct Count {
    service: String,
    lines: u64,
    lost: u64,
}

/// What was counted of the log since this program asked for it first.
pub struct Lines {
    feed: Feed,
    /// In the order of their names.
    counts: Vec<Count>,
    /// Files that were removed before they were counted.
    gaps: u64,
}

impl Lines {
    fn open(logs: &Path) -> io::Result<Self> {
        Ok(Self { feed: Feed::open(logs, None)?, counts: Vec::new(), gaps: 0 })
    }

    /// Counts what has come.
    fn go_on(&mut self) -> io::Result<()> {
        let (feed, counts) = (&mut self.feed, &mut self.counts);
        for _ in 0..COUNTED_MAX {
            let next = feed.next(&mut |sieve, bytes| {
                let line = Line::read(bytes, sieve.named);
                if let Some((lost, service)) = loss::read(&line) {
                    count(counts, service, 0, lost);
                }
                let service = line.service.and_then(|name| std::str::from_utf8(name).ok());
                if let Some(service) = service.filter(|name| *name != SERVICE) {
                    count(counts, service, 1, 0);
                }
                true
            })?;
            match next {
                Next::Taken => {}
                Next::Lost => self.gaps += 1,
                Next::Left | Next::End => break,
            }
        }
        Ok(())
    }
}

fn count(counts: &mut Vec<Count>, service: &str, lines: u64, lost: u64) {
    let at = match counts.binary_search_by(|known| known.service.as_str().cmp(service)) {
        Ok(at) => at,
        Err(_) if counts.len() >= SERVICES_MAX => return,
        Err(at) => {
            counts.insert(at, Count { service: service.to_owned(), lines: 0, lost: 0 });
            at
        }
    };
    counts[at].lines = counts[at].lines.saturating_add(lines);
    counts[at].lost = counts[at].lost.saturating_add(lost);
}

/// What is written so far.
struct Text(String);

/// A name and a value of it.
type Label<'a> = (&'static str, &'a str);

impl Text {
    /// Begins a metric; what it is measured by follows.
    fn begin(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        self.0 += &format!("# HELP doorward_{name} {help}\n# TYPE doorward_{name} {kind}\n");
    }

    fn value(&mut self, name: &'static str, labels: &[Label<'_>], value: &str) {
        self.0 += "doorward_";
        self.0 += name;
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0 += label;
            self.0 += "=\"";
            for c in text.chars() {
                match c {
                    '\\' => self.0 += "\\\\",
                    '"' => self.0 += "\\\"",
                    '\n' => self.0 += "\\n",
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push(' ');
        self.0 += value;
        self.0.push('\n');
    }

    fn one(&mut self, name: &'static str, kind: &'static str, help: &'static str, value: &str) {
        self.begin(name, kind, help);
        self.value(name, &[], value);
    }
}

/// A span in seconds.
fn seconds(span: std::time::Duration) -> String {
    format!("{}.{:03}", span.as_secs(), span.subsec_millis())
}

fn truth(is: bool) -> &'static str {
    if is { "1" } else { "0" }
}

pub fn all(view: &mut View, logs: &Path, lines: &mut Option<Lines>) -> Vec<u8> {
    let mut text = Text(String::new());
    text.begin("build_info", "gauge", "Always 1; the version of ward is a label.");
    text.value("build_info", &[("version", env!("CARGO_PKG_VERSION"))], "1");
    let up = seconds(clock::now().since(Moment::ZERO));
    text.one("uptime_seconds", "gauge", "Seconds since the kernel began.", &up);
    let heard = view.with(|services| {
        let Ok(services) = services else { return false };
        of_services(&mut text, services);
        services.unheard().is_none()
    });
    text.one("manager_up", "gauge", "Whether the manager of services answers.", truth(heard));
    of_log(&mut text, logs, lines);
    text.begin("memory_bytes", "gauge", "Memory: all there is, and what programs can still have.");
    text.value("memory_bytes", &[("kind", "total")], &memory::total().to_string());
    if let Some(available) = memory::available() {
        text.value("memory_bytes", &[("kind", "available")], &available.to_string());
    }
    of_file_systems(&mut text);
    of_generations(&mut text);
    text.0.into_bytes()
}

fn of_services(text: &mut Text, services: &Services<'_>) {
    type Of = fn(&Services<'_>, u32) -> Option<String>;
    let kinds: [(&str, &str, &str, Of); 6] = [
        ("service_up", "gauge", "Whether a service is up.", |services, at| {
            Some(truth(is_up(services.seen[at as usize].byte)).into())
        }),
        ("service_wanted", "gauge", "Whether a service shall be up.", |services, at| {
            let seen = &services.seen[at as usize];
            Some(truth(seen.goal || is_up(seen.byte)).into())
        }),
        ("service_failed", "gauge", "Whether a service is not as it should be.", |services, at| {
            Some(truth(services.word(at).1 == Mood::Bad).into())
        }),
        (
            "service_ready",
            "gauge",
            "Whether a longrun runs and, if it says such things, serves.",
            |services, at| {
                let state = services.seen[at as usize].state?;
                let longrun = services.database.service(at).longrun()?;
                let up = state.phase == Phase::Up && longrun.notification_fd.is_none();
                Some(truth(state.phase == Phase::Ready || up).into())
            },
        ),
        (
            "service_restarts_total",
            "counter",
            "How often a longrun was started again since this device started.",
            |services, at| Some(restarts(services, at)?.to_string()),
        ),
        (
            "service_phase_seconds",
            "gauge",
            "Seconds since a service came to be as it is.",
            |services, at| {
                let state = services.seen[at as usize].state?;
                Some(seconds(services.now.since(state.since)))
            },
        ),
    ];
    for (name, kind, help, of) in kinds {
        text.begin(name, kind, help);
        for service in services.database.services() {
            if let Some(value) = of(services, service.index()) {
                let kind = if service.is_longrun() { "longrun" } else { "oneshot" };
                text.value(name, &[("service", service.name()), ("type", kind)], &value);
            }
        }
    }
    for (name, help, age) in [
        ("condition", "Whether what a controller goes by speaks for the service.", false),
        ("condition_seconds", "Seconds since that is so.", true),
    ] {
        text.begin(name, "gauge", help);
        for service in services.database.services() {
            let conditions = &services.seen[service.index() as usize].conditions;
            for (at, known) in conditions.iter().enumerate() {
                // Two of one name would be two values of one.
                let is_same = |other: &&crate::applets::people::services::Known| {
                    other.label == known.label && other.controller == known.controller
                };
                if conditions[..at].iter().any(|other| is_same(&other)) {
                    continue;
                }
                let value = match age {
                    true => seconds(services.now.since(known.since)),
                    false => truth(known.holds).into(),
                };
                let labels = [
                    ("controller", known.controller.as_str()),
                    ("service", service.name()),
                    ("label", known.label.as_str()),
                ];
                text.value(name, &labels, &value);
            }
        }
    }
}

fn of_log(text: &mut Text, logs: &Path, lines: &mut Option<Lines>) {
    if lines.is_none() {
        *lines = Lines::open(logs).ok();
    }
    let read = lines.as_mut().is_some_and(|lines| lines.go_on().is_ok());
    text.one("log_readable", "gauge", "Whether the log can be read.", truth(read));
    let Some(known) = lines.as_ref() else { return };
    text.begin(
        "log_lines_total",
        "counter",
        "Lines of the log, as far as it was there when first asked for.",
    );
    for one in &known.counts {
        text.value("log_lines_total", &[("service", &one.service)], &one.lines.to_string());
    }
    text.begin(
        "log_lost_lines_total",
        "counter",
        "Lines that were given up before they were written.",
    );
    for one in &known.counts {
        text.value("log_lost_lines_total", &[("service", &one.service)], &one.lost.to_string());
    }
    let help = "How often files were removed before their lines were counted.";
    text.one("log_gaps_total", "counter", help, &known.gaps.to_string());
    if !read {
        // It begins anew, if it can.
        *lines = None;
    }
}

fn of_file_systems(text: &mut Text) {
    let all = file_systems::all();
    for (name, help, free) in [
        ("filesystem_size_bytes", "Bytes of a file system.", false),
        ("filesystem_free_bytes", "Bytes that can still be written to it.", true),
    ] {
        text.begin(name, "gauge", help);
        for one in &all {
            let labels = [("mountpoint", one.place.as_str()), ("fstype", one.kind.as_str())];
            let value = if free { one.free } else { one.bytes };
            text.value(name, &labels, &value.to_string());
        }
    }
}

fn of_generations(text: &mut Text) {
    let Ok(state) = State::read() else { return };
    let number = |path: &str| state.number_of(path).map(|it| it.to_string());
    for (name, help, path) in [
        ("generation_running", "The number of the generation that runs.", &state.running),
        ("generation_boot", "The number of the one that the next start runs.", &state.boot),
    ] {
        // What is in the image has none.
        text.one(name, "gauge", help, number(path).as_deref().unwrap_or("0"));
    }
    text.one("generations", "gauge", "How many are kept.", &state.all.len().to_string());
    let trial = state.trial.as_ref().filter(|(_, progress)| !progress.phase.is_over());
    text.begin("trial", "gauge", "1 while a generation is on trial, with how far that is.");
    match trial {
        Some((_, progress)) => text.value("trial", &[("phase", progress.phase.name())], "1"),
        None => text.value("trial", &[("phase", "none")], "0"),
    }
    if let Some(until) = trial.and_then(|(_, progress)| progress.until) {
        let left = seconds(until.since(clock::now()));
        text.one("trial_left_seconds", "gauge", "Seconds until it is rolled back.", &left);
    }
    let pending = truth(state.pending.is_some());
    text.one("trial_pending", "gauge", "Whether the next start tries a generation.", pending);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_ends_it() {
        let mut text = Text(String::new());
        text.value("x", &[("a", "b\"c\\d\ne"), ("f", "ü")], "1");
        assert_eq!(text.0, "doorward_x{a=\"b\\\"c\\\\d\\ne\",f=\"ü\"} 1\n");
    }
}
