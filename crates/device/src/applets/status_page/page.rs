//! The page of everything, and that of one service.

use std::path::Path;

use engine::service::chart::{Chart, changes};
use model::calendar::Civil;
use model::deploy::maintenance::megabytes;
use model::deploy::phases::{self, Phase};
use model::service::database::{Entry, Index};
use model::service::live_state::is_up;
use model::service::manager_request::SpanEnd;
use model::time::Moment;
use os::{clock, file_systems, memory};

use super::log;
use super::markup::Markup;
use super::view::View;
use crate::applets::generation::history::when;
use crate::applets::generation::state::{State, sentence};
use crate::applets::people::history::History;
use crate::applets::people::services::{Mood, Services, span};
use crate::applets::people::why::causes;

/// Lines of the log on the page of a service.
const LAST_LINES: usize = 30;

/// How far needs of needs are indented.
const DEPTH_MAX: usize = 4;

/// Begins a page, up to the inside of `main`.
pub fn begin(markup: &mut Markup, title: &str) {
    let host = host();
    markup.raw("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    markup.raw("<meta name=\"viewport\" content=\"width=device-width\">");
    // Without a script the browser itself asks again.
    markup.raw("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript><title>");
    markup.text(title).raw(" – ").text(&host);
    markup.raw(concat!(
        "</title><link rel=\"stylesheet\" href=\"/page.css?",
        env!("CARGO_PKG_VERSION")
    ));
    markup.raw("\"></head><body><header><b>").text(&host);
    markup.raw("</b><a href=\"/\">Overview</a><a href=\"/log\">Log</a><span id=\"live\"></span>");
    markup.raw("</header><main>");
}

/// Ends it.
pub fn end(mut markup: Markup) -> Vec<u8> {
    let now = Civil::from_secs(local_seconds());
    let up = span(clock::now().since(Moment::ZERO));
    let Civil { year, month, day, hour, minute, second } = now;
    markup.raw("<p class=\"soft\">As of ");
    markup.text(&format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
    markup.raw(", running for ").text(&up);
    markup.raw(concat!(", ward ", env!("CARGO_PKG_VERSION"), "</p></main>"));
    markup.raw(concat!("<script src=\"/page.js?", env!("CARGO_PKG_VERSION"), "\"></script>"));
    markup.raw("</body></html>\n");
    std::mem::take(&mut markup.0)
}

fn local_seconds() -> i64 {
    let unix = clock::today().unix().0;
    unix + i64::from(os::zone::local().east(unix))
}

/// What this device is called.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "good",
        Mood::Busy => "busy",
        Mood::Bad => "bad",
        Mood::Quiet => "quiet",
    }
}

pub fn overview(view: &mut View) -> Vec<u8> {
    let mut markup = Markup::default();
    begin(&mut markup, "Status");
    view.with(|services| match services {
        Ok(services) => {
            summary(&mut markup, services);
            tree(&mut markup, services);
            controllers(&mut markup, services);
        }
        Err(why) => {
            markup.raw("<h1 class=\"bad\">Nothing is known of the services: ").text(why);
            markup.raw("</h1>");
        }
    });
    update(&mut markup);
    start(&mut markup);
    chart(&mut markup, &view.history);
    room(&mut markup);
    end(markup)
}

/// What is not as it should be, with its first cause; that all is well where that is so.
fn summary(markup: &mut Markup, services: &Services<'_>) {
    let all = || 0..services.database.len() as Index;
    let bad: Vec<Index> = all().filter(|&at| services.word(at).1 == Mood::Bad).collect();
    let busy: Vec<Index> = all().filter(|&at| services.word(at).1 == Mood::Busy).collect();
    let up = all().filter(|&at| is_up(services.seen[at as usize].byte)).count() as u64;
    match (bad.len() as u64, busy.len() as u64) {
        (0, 0) => markup.raw("<h1 class=\"good\">All is as it should be"),
        (0, busy) => markup.raw("<h1 class=\"busy\">").number(busy).raw(" on the way"),
        (bad, _) => markup.raw("<h1 class=\"bad\">").number(bad).raw(" not as it should be"),
    };
    markup.raw("; ").number(up).raw(" of ").number(services.database.len() as u64);
    markup.raw(" services are up</h1>");
    if let Some(why) = services.unheard() {
        markup.raw("<p class=\"busy\">").text(why).raw("; this is what files say</p>");
    }
    if !(bad.is_empty() && busy.is_empty()) {
        markup.raw("<ul id=\"trouble\">");
        for at in bad.into_iter().chain(busy) {
            line(markup, services, at, 0);
            let (chain, end) = causes(services, at);
            for &cause in &chain[1..] {
                line(markup, services, cause, 1);
            }
            if let Some(end) = end {
                markup.raw("<li class=\"d1\"><i>").text(&end).raw("</i></li>");
            }
        }
        markup.raw("</ul>");
    }
}

/// A service, how it is, and what else there is to say.
fn line(markup: &mut Markup, services: &Services<'_>, at: Index, depth: usize) {
    let (word, mood) = services.word(at);
    indent(markup, depth)
        .service(services.name(at))
        .raw(" <b class=\"")
        .raw(class(mood))
        .raw("\">");
    markup.raw(word).raw("</b>");
    let remark = remark(services, at);
    if !remark.is_empty() {
        markup.raw(" <i>").text(&remark).raw("</i>");
    }
    markup.raw("</li>");
}

/// What else there is to say of it: also of one that is well again that it was not.
fn remark(services: &Services<'_>, at: Index) -> String {
    let mut said = services.remark(at);
    if let Some(times @ 1..) = restarts(services, at) {
        let comma = if said.is_empty() { "" } else { ", " };
        said += &format!("{comma}restarts: {times}");
        let state = services.seen[at as usize].state.filter(|state| state.pid != 0);
        if let Some(exit) = state.and_then(|state| state.exit) {
            said += &format!(", it {exit} before");
        }
    }
    said
}

/// How often a longrun was started again since the device started; `None`: nobody tells.
pub fn restarts(services: &Services<'_>, at: Index) -> Option<u32> {
    services.database.service(at).longrun()?;
    // Files do not tell.
    services.unheard().is_none().then_some(())?;
    Some(services.seen[at as usize].state?.starts.saturating_sub(1))
}

fn indent(markup: &mut Markup, depth: usize) -> &mut Markup {
    match depth.min(DEPTH_MAX) {
        0 => markup.raw("<li>"),
        1 => markup.raw("<li class=\"d1\">"),
        2 => markup.raw("<li class=\"d2\">"),
        3 => markup.raw("<li class=\"d3\">"),
        _ => markup.raw("<li class=\"d4\">"),
    }
}

/// Each service, and below it what it needs, unless that stands further up.
fn tree(markup: &mut Markup, services: &Services<'_>) {
    markup.raw("<h2>Services</h2><ul id=\"services\">");
    let all = services.database.services();
    let tops = all.filter(|service| service.needed_by().len() == 0);
    let mut left: Vec<(Index, usize)> = tops.map(|service| (service.index(), 0)).collect();
    left.reverse();
    let mut shown = vec![false; services.database.len()];
    while let Some((at, depth)) = left.pop() {
        let needs = services.database.service(at).needs();
        if std::mem::replace(&mut shown[at as usize], true) {
            let (word, mood) = services.word(at);
            indent(markup, depth).service(services.name(at));
            markup.raw(" <b class=\"").raw(class(mood)).raw("\">").raw(word).raw("</b></li>");
            continue;
        }
        line(markup, services, at, depth);
        let from = left.len();
        left.extend(needs.map(|need| (need, depth + 1)));
        left[from..].reverse();
    }
    markup.raw("</ul>");
}

/// Uplinks, health checks, what comes with devices: who controls what, and what it goes by.
fn controllers(markup: &mut Markup, services: &Services<'_>) {
    let mut any = false;
    for service in services.database.services() {
        let Some(controller) = service.controller() else { continue };
        if !std::mem::replace(&mut any, true) {
            markup.raw("<h2>Controllers</h2><ul id=\"controllers\">");
        }
        let (word, mood) = services.word(service.index());
        markup.raw("<li>").service(service.name()).raw(" <b class=\"").raw(class(mood)).raw("\">");
        markup.raw(word).raw("</b> <i>").text(controller.kind().name()).raw("</i></li>");
        for (at, _) in controller.controls() {
            line(markup, services, at, 1);
            conditions(markup, services, at, Some(service.name()));
        }
    }
    if any {
        markup.raw("</ul>");
    }
}

/// What controllers go by for a service; only this one, where it is named.
fn conditions(markup: &mut Markup, services: &Services<'_>, at: Index, by: Option<&str>) {
    for known in &services.seen[at as usize].conditions {
        if by.is_some_and(|by| by != known.controller) {
            continue;
        }
        markup.raw("<li class=\"d2\">");
        markup.raw(if known.holds {
            "<b class=\"good\">✓</b> "
        } else {
            "<b class=\"bad\">✗</b> "
        });
        markup.text(&known.label).raw(": ").text(&known.value);
        markup.raw(" <i>for ").text(&span(services.now.since(known.since)));
        if by.is_none() {
            markup.raw(", says ").text(&known.controller);
        }
        markup.raw("</i></li>");
    }
}

/// What runs, what starts next, what is being tried, and what became of the others.
fn update(markup: &mut Markup) {
    markup.raw("<h2>Update</h2>");
    let state = match State::read() {
        Ok(state) => state,
        Err(failure) => {
            markup.raw("<p class=\"bad\">").text(&failure.to_string()).raw("</p>");
            return;
        }
    };
    for (what, path) in [("Runs ", &state.running), ("Starts ", &state.boot)] {
        if !path.is_empty() {
            markup.raw("<p>").text(what).text(&state.name_of(path)).raw("</p>");
        }
    }
    match (&state.trial, &state.pending) {
        (Some((plan, progress)), _) => {
            let mood = if progress.phase.is_over() { "" } else { "busy" };
            markup.raw("<p id=\"trial\" class=\"").raw(mood).raw("\">Trial: ");
            markup.text(&sentence(plan, progress)).raw("</p>");
        }
        (None, Some(pending)) => {
            markup.raw("<p id=\"trial\" class=\"busy\">Trial: generation ");
            markup.text(&pending.number.to_string()).raw(" with the next start</p>");
        }
        (None, None) => {}
    }
    if state.all.is_empty() {
        markup.raw("<p class=\"soft\">It has run nothing but what is in its image.</p>");
        return;
    }
    markup.raw("<table id=\"generations\">");
    for one in state.all.iter().rev() {
        markup.raw("<tr><td>").text(&one.number.to_string()).raw("</td><td>");
        let is = match (one.path == state.running, one.path == state.boot) {
            (true, true) => "runs, starts",
            (true, false) => "runs",
            (false, true) => "starts",
            (false, false) => "",
        };
        markup.raw(is).raw("</td><td>");
        if let Some(record) = &one.record {
            markup.text(record.outcome.name()).raw("</td><td>").text(&when(record.made));
            markup.raw("<br><i class=\"soft\">").text(&record.by).raw(" ").text(&record.why);
            markup.raw(" ").text(&record.reason).raw("</i>");
        }
        markup.raw("</td></tr>");
    }
    markup.raw("</table>");
}

/// When the device was how far when it started: a bar for each phase.
fn start(markup: &mut Markup) {
    let noted = os::deploy::phases::noted().unwrap_or_default();
    let all: Vec<(Phase, u64)> = phases::read(&noted).collect();
    let (Some(first), Some(&(_, end))) = (all.first().copied(), all.last()) else { return };
    // What was before the first phase counts only where it is known what that was.
    let (from, skipped) = if first.0 == Phase::Kernel { (0, 0) } else { (first.1, 1) };
    let whole = end.saturating_sub(from).max(1);
    let place = |at: u64| at.saturating_sub(from) * 600 / whole;
    let (bars, mut before) = (&all[skipped..], from);
    markup.raw("<h2>Start</h2><svg id=\"start\" viewBox=\"0 0 600 ");
    markup.number(bars.len() as u64 * 34).raw("\" role=\"img\">");
    for (&(phase, at), row) in bars.iter().zip(0..) {
        let span = at.saturating_sub(before);
        markup.raw("<text x=\"0\" y=\"").number(row * 34 + 13).raw("\">").raw(phase.spent_on());
        markup.raw(" ").text(&format!("{}.{:03} s", span / 1000, span % 1000)).raw("</text>");
        markup.raw("<rect x=\"").number(place(before)).raw("\" y=\"").number(row * 34 + 18);
        markup.raw("\" height=\"10\" width=\"").number((place(at) - place(before)).max(1));
        markup.raw(if phase == Phase::Failed { "\" class=\"failed\"/>" } else { "\"/>" });
        before = at;
    }
    markup.raw("</svg>");
    if let Some(report) = phases::report(&noted) {
        markup.raw("<p class=\"soft\">").text(&report).raw("</p>");
    }
}

/// Services of a chart that have a row; `ward chart` has them all.
const ROWS_MAX: usize = 60;

/// What the first change that is remembered has waited for, which is the start as a rule.
fn chart(markup: &mut Markup, history: &History) {
    let first = changes(&history.bars).first().copied();
    let Some(chart) = first.and_then(|change| Chart::of(&history.bars, change)) else { return };
    let micros = |at: Moment| at.nanos().saturating_sub(chart.begun.nanos()) / 1000;
    let whole = micros(chart.ended).max(1);
    let place = |at: Moment| micros(at).min(whole).saturating_mul(600) / whole;
    let millis = |begun: Moment, ended: Moment| micros(ended).saturating_sub(micros(begun)) / 1000;
    let rows = chart.bars.len().min(ROWS_MAX);
    markup
        .raw("<h2>Services as they came</h2><p class=\"soft\">The oldest change that the manager ");
    markup.raw("remembers: ").number(chart.bars.len() as u64).raw(" services in ");
    markup.number(millis(chart.begun, chart.ended)).raw(" ms. Critical path:");
    for &at in &chart.critical {
        let bar = &chart.bars[at];
        markup.raw(" ").text(&bar.name).raw(" ").number(millis(bar.begun, bar.ended)).raw(" ms;");
    }
    markup.raw("</p><svg id=\"chart\" viewBox=\"0 0 600 ").number(rows as u64 * 34);
    markup.raw("\" role=\"img\">");
    for (at, (bar, row)) in chart.bars.iter().zip(0..).take(rows).enumerate() {
        let asked = bar.asked.unwrap_or(bar.begun).min(bar.begun);
        let (asked, begun, ended) = (place(asked), place(bar.begun), place(bar.ended));
        markup.raw("<text x=\"0\" y=\"").number(row * 34 + 13).raw("\">");
        markup.raw(if bar.up { "" } else { "↓" }).text(&bar.name).raw(" ");
        markup.number(millis(bar.begun, bar.ended)).raw(" ms</text>");
        let class = match (bar.end, chart.critical.contains(&at)) {
            (SpanEnd::Failed, _) => "failed",
            (_, true) => "critical",
            (_, false) => "",
        };
        for (class, from, to) in [("wait", asked, begun), (class, begun, ended.max(begun + 2))] {
            markup.raw("<rect class=\"").raw(class).raw("\" x=\"").number(from);
            markup.raw("\" y=\"").number(row * 34 + 18).raw("\" height=\"10\" width=\"");
            markup.number(to - from).raw("\"/>");
        }
    }
    markup.raw("</svg>");
}

/// How full memory and file systems are.
fn room(markup: &mut Markup) {
    markup.raw("<h2>Room</h2><table>");
    let mut row = |what: &str, kind: &str, bytes: u64, free: u64| {
        markup.raw("<tr><td>").text(what).raw(" <i class=\"soft\">").text(kind);
        markup.raw("</i></td><td><meter max=\"").number(bytes).raw("\" high=\"");
        markup.number(bytes / 10 * 9).raw("\" value=\"").number(bytes.saturating_sub(free));
        markup.raw("\"></meter></td><td>").text(&megabytes(free)).raw(" of ");
        markup.text(&megabytes(bytes)).raw(" free</td></tr>");
    };
    row("memory", "", memory::total(), memory::available().unwrap_or(0));
    for fill in file_systems::all() {
        // What cannot be written is full, and stays so.
        if fill.kind != "squashfs" {
            row(&fill.place, &fill.kind, fill.bytes, fill.free);
        }
    }
    markup.raw("</table>");
}

/// All about one; `None`: there is no such service.
pub fn service(view: &mut View, logs: &Path, name: &str) -> Option<Vec<u8>> {
    let mut markup = Markup::default();
    begin(&mut markup, name);
    let known = view.with(|services| {
        let services = services.ok()?;
        match services.database.find(name)? {
            Entry::Service(at) => describe(&mut markup, services, at),
            Entry::Bundle(bundle) => {
                markup.raw("<h1>").text(name).raw("</h1><ul>");
                let contents = services.database.bundle(bundle).contents();
                contents.for_each(|at| line(&mut markup, services, at, 0));
                markup.raw("</ul>");
            }
        }
        Some(())
    });
    known?;
    markup.raw("<h2><a href=\"/log?service=").encoded(name).raw("\">Log</a></h2><div id=\"last\">");
    log::last_lines(&mut markup, logs, name, LAST_LINES);
    markup.raw("</div>");
    Some(end(markup))
}

fn describe(markup: &mut Markup, services: &Services<'_>, at: Index) {
    let service = services.database.service(at);
    let (word, mood) = services.word(at);
    markup.raw("<h1 class=\"").raw(class(mood)).raw("\">").text(service.name()).raw(" is ");
    markup
        .raw(word)
        .raw("</h1><p>")
        .text(&remark(services, at))
        .raw("</p><h2>Why</h2><ul id=\"why\">");
    let (chain, end) = causes(services, at);
    for (&cause, depth) in chain.iter().zip(0..) {
        line(markup, services, cause, depth);
        conditions(markup, services, cause, None);
    }
    if let Some(end) = end {
        indent(markup, chain.len()).raw("<i>").text(&end).raw("</i></li>");
    }
    markup.raw("</ul>");
    let mut list = |title: &'static str, all: &mut dyn Iterator<Item = Index>| {
        let mut all = all.peekable();
        if all.peek().is_some() {
            markup.raw("<h2>").raw(title).raw("</h2><ul>");
            all.for_each(|at| line(markup, services, at, 0));
            markup.raw("</ul>");
        }
    };
    list("Needs", &mut service.needs());
    list("Is needed by", &mut service.needed_by());
    list("Controls", &mut service.controls().map(|(at, _)| at));
    list("Is controlled by", &mut service.controlled_by().map(|by| by.service().index()));
}
