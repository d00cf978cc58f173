//! `ward chart`: what a start or a change has waited for.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use engine::service::chart::{Bar, Chart, changes};
use model::deploy::phases::report;
use model::service::manager_request::SpanEnd;
use model::time::Moment;
use os::clock;
use os::deploy::phases;

use super::history::History;
use super::screen::{COLUMNS, fitted};
use super::services::span;
use crate::applets::json::Object;
use crate::applets::peers::s6_rc::list::{open, read_database};

pub const COMMAND: Command = Command {
    name: "chart",
    summary: "Show what the start, or another change, has waited for",
    usage: "ward chart [-n BACK] [--list] [--json] [-l LIVE]",
    options: &[
        Opt("-n BACK", "The change so many before the last one (0: the last one)"),
        Opt("--list", "List the changes that are remembered, the oldest first"),
        Opt("--json", "Print one object; with --list an array, with one for each change"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
    ],
    about: "\
A line for each service: how long it took to come up (or, with ↓, to go down), and when. Dots are \
the time in which it waited. Those with a * are the critical path: each waited for the one before \
it, and only what shortens one of these shortens the whole. ✗ is what failed, … what still goes on.

Without -n it is the oldest change that is remembered: the start of the device, unless the manager \
has begun anew since. It remembers the last 512 times that a service was brought up or down.

`doorward chart DEVICE` draws the same as a picture.

Exit codes: 0 done; 1 nothing is remembered, or no such change; 111 the system refused.

Examples:

  ward chart           the start
  ward chart --list    what else is remembered
  ward chart -n 0      the last change",
    run,
};

/// Columns: of a name, of how long it took, and of the picture.
const NAME: usize = 24;
const PICTURE: usize = 44;

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut json, mut list, mut back) = (false, false, None);
    let mut live = PathBuf::from("/run/s6-rc");
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            "list" => list = true,
            "n" => back = Some(args.parsed::<usize>()?),
            "l" | "live" => live = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    if args.operand().is_some() {
        return Err(Failure::usage("it shows changes, not services"));
    }
    let file = read_database(&live)?;
    let database = open(&file)?;
    let now = clock::now();
    let history = History::ask(&live, &database, now).map_err(Failure::refused)?;
    let all = changes(&history.bars);
    if list {
        if json {
            writeln!(out, "{}", listed_json(&history, &all, now))?;
            return Ok(Exit::DONE);
        }
        out.write_all(listed(&history, &all, now).as_bytes())?;
        return Ok(Exit::DONE);
    }
    let at = back.map_or(Some(0), |back| all.len().checked_sub(back + 1));
    let chart = at.and_then(|at| all.get(at)).and_then(|&change| Chart::of(&history.bars, change));
    let Some(chart) = chart else {
        let failure = Failure::not_achieved(match all.len() {
            0 => "the manager remembers no change: it began anew, and nothing has changed since"
                .into(),
            count => format!("the manager remembers {}", counted(count, "change")),
        });
        return Err(failure.hint("`ward chart --list` has all that are"));
    };
    let start = (live == Path::new("/run/s6-rc") && at == Some(0) && !history.is_cut)
        .then(|| phases::noted().ok().as_deref().and_then(report))
        .flatten();
    let text = match json {
        true => to_json(&chart, &history, &all, start.as_deref(), now) + "\n",
        false => to_text(&chart, &history, start.as_deref()),
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::DONE)
}

fn asker(history: &History, change: u32) -> Option<&str> {
    history.askers.iter().find(|(of, _)| *of == change).map(|(_, by)| by.as_str())
}

/// `8 ms`, `1.2 s`, `4 min`.
fn short(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..=999 => format!("{millis} ms"),
        _ => span(time),
    }
}

/// `1 service`, `2 services`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn listed(history: &History, all: &[u32], now: Moment) -> String {
    let mut text = String::new();
    for (at, &change) in all.iter().enumerate() {
        let Some(chart) = Chart::of(&history.bars, change) else { continue };
        let ago = span(now.since(chart.begun));
        let took = short(chart.ended.since(chart.begun));
        let names: Vec<&str> = chart.bars.iter().map(|bar| bar.name.as_str()).collect();
        let what = asker(history, change).map_or_else(|| names.join(" "), str::to_owned);
        let back = all.len() - 1 - at;
        let count = counted(names.len(), "service");
        let line = format!("-n {back:<4} {ago:>7} ago {took:>7} {count:>12}  {what}");
        text += &fitted(&line, COLUMNS);
        text.push('\n');
    }
    text
}

fn listed_json(history: &History, all: &[u32], now: Moment) -> String {
    let object = |(at, &change): (usize, &u32)| {
        let chart = Chart::of(&history.bars, change)?;
        let mut object = Object::begin();
        object.number("back", (all.len() - 1 - at) as u64);
        object.millis("ago_ms", now.since(chart.begun));
        object.millis("took_ms", chart.ended.since(chart.begun));
        if let Some(by) = asker(history, change) {
            object.text("asked_by", by);
        }
        object.texts("services", chart.bars.iter().map(|bar| bar.name.as_str()));
        Some(object.end())
    };
    let objects: Vec<String> = all.iter().enumerate().filter_map(object).collect();
    format!("[{}]", objects.join(",\n "))
}

fn to_text(chart: &Chart, history: &History, start: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(start) = start {
        text += &format!("{start}\n");
    }
    let took = short(chart.ended.since(chart.begun));
    let by =
        asker(history, chart.change).map_or(String::new(), |by| format!(", asked for by {by}"));
    text += &fitted(&format!("{took} for {}{by}", counted(chart.bars.len(), "service")), COLUMNS);
    let path = chart.critical.iter().map(|&at| {
        let bar = &chart.bars[at];
        format!("{}{} {}", arrow(bar), bar.name, short(bar.ended.since(bar.begun)))
    });
    let path: Vec<String> = path.collect();
    text += &format!("\ncritical path: {}\n", path.join(" → "));
    for (at, bar) in chart.bars.iter().enumerate() {
        let mark = if chart.critical.contains(&at) { '*' } else { ' ' };
        let name = fitted(&format!("{}{}", arrow(bar), bar.name), NAME);
        let took = short(bar.ended.since(bar.begun));
        let line = format!("{mark} {name:NAME$} {took:>7} {}", picture(chart, bar));
        text += line.trim_end();
        text.push('\n');
    }
    if history.is_cut {
        text += "(what was before was forgotten)\n";
    }
    text
}

fn arrow(bar: &Bar) -> &'static str {
    if bar.up { "" } else { "↓" }
}

/// Dots where it waited, and blocks where something was done.
fn picture(chart: &Chart, bar: &Bar) -> String {
    let micros =
        |at: Moment| (at.nanos().saturating_sub(chart.begun.nanos()) / 1000).min(u64::MAX >> 8);
    let whole = micros(chart.ended).max(1);
    let column = |at: Moment| (micros(at).min(whole) * (PICTURE as u64 - 1) / whole) as usize;
    let asked = column(bar.asked.unwrap_or(bar.begun).min(bar.begun));
    let (begun, ended) = (column(bar.begun), column(bar.ended.max(bar.begun)));
    let cell = |at: usize| match at {
        _ if at == ended && bar.end == SpanEnd::Failed => '✗',
        _ if at == ended && bar.end == SpanEnd::Going => '…',
        _ if at >= begun => '█',
        _ if at >= asked => '·',
        _ => ' ',
    };
    (0..=ended).map(cell).collect()
}

fn to_json(
    chart: &Chart,
    history: &History,
    all: &[u32],
    start: Option<&str>,
    now: Moment,
) -> String {
    let millis = |at: Moment| {
        let micros = at.nanos().saturating_sub(chart.begun.nanos()) / 1000;
        format!("{}.{:03}", micros / 1000, micros % 1000)
    };
    let services = chart.bars.iter().enumerate().map(|(at, bar)| {
        let mut object = Object::begin();
        object.text("name", &bar.name);
        object.text("to", if bar.up { "up" } else { "down" });
        let outcome = match bar.end {
            SpanEnd::Going => "going",
            SpanEnd::Done => "done",
            SpanEnd::Failed => "failed",
        };
        object.text("outcome", outcome);
        object.raw("asked_ms", &millis(bar.asked.unwrap_or(bar.begun).min(bar.begun)));
        object.raw("begun_ms", &millis(bar.begun));
        object.raw("ended_ms", &millis(bar.ended));
        object.truth("critical", chart.critical.contains(&at));
        if let Some(other) = chart.waited[at] {
            object.text("waited_for", &chart.bars[other].name);
        }
        object.end()
    });
    let services: Vec<String> = services.collect();
    let back = all.iter().rev().position(|&change| change == chart.change).unwrap_or(0);
    let mut object = Object::begin();
    object.number("back", back as u64);
    object.number("changes", all.len() as u64);
    object.millis("ago_ms", now.since(chart.begun));
    object.raw("took_ms", &millis(chart.ended));
    if let Some(by) = asker(history, chart.change) {
        object.text("asked_by", by);
    }
    if let Some(start) = start {
        object.text("start", start);
    }
    object.truth("forgotten", history.is_cut);
    object.texts("critical_path", chart.critical.iter().map(|&at| &*chart.bars[at].name));
    object.raw("services", &format!("[\n{}\n]", services.join(",\n")));
    object.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, begun: u64, ended: u64, end: SpanEnd) -> Bar {
        let at = |millis| Moment::from_nanos(1_000_000 * (1_000 + millis));
        let (asked, up) = (Some(at(0)), !name.starts_with("off"));
        let (begun, ended, name) = (at(begun), at(ended), name.to_owned());
        let (needs, needed_by) = (vec!["net".into()], Vec::new());
        Bar { name, up, end, change: 1, asked, begun, ended, needs, needed_by }
    }

    #[test]
    fn the_picture_fits_a_terminal_and_shows_who_waited() {
        let bars = [
            bar("net", 0, 500, SpanEnd::Done),
            bar("web", 500, 1000, SpanEnd::Going),
            bar("rules", 0, 250, SpanEnd::Failed),
            bar(&"long".repeat(20), 900, 900, SpanEnd::Done),
            bar("off", 10, 20, SpanEnd::Done),
        ];
        let chart = Chart::of(&bars, 1).unwrap();
        let by = "ward start é".repeat(20);
        let history = History { askers: vec![(1, by)], is_cut: true, ..History::default() };
        let text = to_text(&chart, &history, None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(lines[0].starts_with("1.0 s for 5 services, asked for by ward"), "{text}");
        assert_eq!(lines[1], "critical path: net 500 ms → web 500 ms");
        let web = lines.iter().find(|line| line.starts_with("* web")).unwrap();
        assert!(web.contains(" 500 ms ······") && web.ends_with("██…"), "{text}");
        assert!(text.contains("rules") && text.contains("█✗\n") && text.contains("  ↓off"));
        assert!(text.ends_with("(what was before was forgotten)\n"));
        assert!(listed(&history, &[1], Moment::ZERO).chars().count() <= 81);
    }
}
