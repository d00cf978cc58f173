//! What `ward chart --json` says, as a picture: SVG, written by hand.

use serde_json::Value;

/// Pixels.
const LABELS: f64 = 220.0;
const BARS: f64 = 720.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 74.0;
const FOOT: f64 = 34.0;

/// One bar.
struct Bar {
    name: String,
    up: bool,
    outcome: String,
    asked: f64,
    begun: f64,
    ended: f64,
    critical: bool,
    waited_for: Option<String>,
}

/// The picture; `None`: that is no chart.
pub fn draw(chart: &Value, title: &str) -> Option<String> {
    let took = number(&chart["took_ms"])?.max(0.001);
    let bars: Vec<Bar> = chart["services"].as_array()?.iter().map(bar).collect::<Option<_>>()?;
    let (width, height) = (LABELS + BARS + 20.0, HEAD + ROW * bars.len() as f64 + FOOT);
    let path = chart["critical_path"].as_array()?.iter().filter_map(Value::as_str);
    let path: Vec<&str> = path.collect();
    let place = |ms: f64| LABELS + ms.clamp(0.0, took) / took * BARS;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>\n.wait{{fill:#d9d9d9}}.work{{fill:#6f9fd8}}.critical{{fill:#d1495b}}\
         .failed{{stroke:#000;stroke-width:2}}.going{{fill-opacity:.5}}\n.axis{{stroke:#ccc}}\
         .link{{stroke:#d1495b;fill:none}}.small{{fill:#666;font-size:11px}}\n</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let by = chart["asked_by"].as_str().map_or(String::new(), |by| format!(", asked for by {by}"));
    let s = if bars.len() == 1 { "" } else { "s" };
    let headline = format!("{title}: {} for {} service{s}{by}", time(took), bars.len());
    svg += &text(8.0, 18.0, "", &headline);
    svg += &text(8.0, 36.0, "critical", &format!("critical path: {}", path.join(" → ")));
    if let Some(start) = chart["start"].as_str() {
        svg += &text(8.0, 53.0, "small", start);
    }
    let bottom = HEAD + ROW * bars.len() as f64;
    for tick in ticks(took) {
        let x = place(tick);
        svg += &format!(
            "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{HEAD}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n"
        );
        svg += &text(x, bottom + 16.0, "small", &time(tick));
    }
    for (at, one) in bars.iter().enumerate() {
        let y = HEAD + ROW * at as f64;
        svg += &rows(one, y, &place);
        // From the end of what it waited for.
        let other = one.waited_for.as_ref().filter(|_| one.critical).and_then(|name| {
            bars.iter().position(|bar| bar.critical && bar.name == *name && bar.ended <= one.begun)
        });
        if let Some(other) = other {
            let (x1, y1) = (place(bars[other].ended), HEAD + ROW * other as f64 + ROW / 2.0);
            let (x2, y2) = (place(one.begun), y + ROW / 2.0);
            svg += &format!("<path class=\"link\" d=\"M{x1:.1} {y1:.1}V{y2:.1}H{x2:.1}\"/>\n");
        }
    }
    Some(svg + "</svg>\n")
}

fn rows(bar: &Bar, y: f64, place: &dyn Fn(f64) -> f64) -> String {
    let Bar { name, up, outcome, asked, begun, ended, critical, waited_for } = bar;
    let (x0, x1, x2) = (place(*asked), place(*begun), place(*ended));
    let arrow = if *up { "" } else { "↓ " };
    let mut classes = String::from(if *critical { "critical" } else { "work" });
    if outcome != "done" {
        classes += &format!(" {outcome}");
    }
    let waited = waited_for.as_ref().map_or(String::new(), |name| format!(", waited for {name}"));
    let told = format!("{name}: {outcome}, {} to {}{waited}", time(*begun), time(*ended));
    let mark = match outcome.as_str() {
        "failed" => " ✗",
        "going" => " …",
        _ => "",
    };
    let took = format!("{}{mark}", time(ended - begun));
    let label = if *critical { "critical" } else { "" };
    let mut svg = format!("<g><title>{}</title>\n", escaped(&told));
    svg += &text(8.0, y + 15.0, label, &format!("{arrow}{}", short(name)));
    svg += &format!(
        "<rect class=\"wait\" x=\"{x0:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"4\"/>\n",
        y + 9.0,
        (x1 - x0).max(0.0)
    );
    svg += &format!(
        "<rect class=\"{}\" x=\"{x1:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\"/>\n",
        escaped(&classes),
        y + 3.0,
        (x2 - x1).max(1.0)
    );
    // Behind the bar, or before it where there is no room.
    let beside = if x2 > LABELS + BARS - 70.0 { (x1 - 64.0).max(LABELS + 2.0) } else { x2 + 4.0 };
    svg += &text(beside, y + 15.0, "small", &took);
    svg + "</g>\n"
}

fn bar(value: &Value) -> Option<Bar> {
    Some(Bar {
        name: value["name"].as_str()?.to_owned(),
        up: value["to"] == "up",
        outcome: value["outcome"].as_str()?.to_owned(),
        asked: number(&value["asked_ms"])?,
        begun: number(&value["begun_ms"])?,
        ended: number(&value["ended_ms"])?,
        critical: value["critical"] == true,
        waited_for: value["waited_for"].as_str().map(str::to_owned),
    })
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite() && *number >= 0.0)
}

/// Where lines stand: one, two or five times a power of ten, ten of them at most.
fn ticks(took: f64) -> Vec<f64> {
    let power = 10f64.powf((took / 10.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    let step = step.into_iter().find(|step| took / step <= 10.0).unwrap_or(took);
    (0..=10).map(|at| f64::from(at) * step).take_while(|tick| *tick <= took).collect()
}

fn time(ms: f64) -> String {
    match ms {
        ..1.0 if ms > 0.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        ..120_000.0 => format!("{:.2} s", ms / 1000.0),
        _ => format!("{:.1} min", ms / 60_000.0),
    }
}

fn short(name: &str) -> String {
    match name.char_indices().nth(28) {
        None => name.to_owned(),
        Some(_) => name.chars().take(27).chain(['…']).collect(),
    }
}

fn text(x: f64, y: f64, class: &str, what: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", escaped(what))
}

fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '&' => safe += "&amp;",
            '"' => safe += "&quot;",
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chart() -> Value {
        json!({
            "took_ms": 1500.5, "asked_by": "ward <boot>", "critical_path": ["net", "web"],
            "services": [
                { "name": "net", "to": "up", "outcome": "done", "asked_ms": 0.0, "begun_ms": 1.0,
                  "ended_ms": 1000.0, "critical": true },
                { "name": "web", "to": "up", "outcome": "failed", "asked_ms": 0.0, "begun_ms": 1001.0,
                  "ended_ms": 1500.5, "critical": true, "waited_for": "net" },
                { "name": "a&b", "to": "down", "outcome": "going", "asked_ms": 0.0, "begun_ms": 0.0,
                  "ended_ms": 1500.5, "critical": false }
            ]
        })
    }

    #[test]
    fn the_critical_path_is_marked_and_joined() {
        let svg = draw(&chart(), "router").unwrap();
        assert!(svg.contains("critical path: net → web"), "{svg}");
        assert_eq!(svg.matches("<rect class=\"critical").count(), 2, "{svg}");
        assert_eq!(svg.matches("<path class=\"link\"").count(), 1, "{svg}");
        assert!(svg.contains("class=\"work going\"") && svg.contains("class=\"critical failed\""));
        assert!(svg.contains("ward &lt;boot&gt;") && svg.contains("↓ a&amp;b"), "{svg}");
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
    }

    #[test]
    fn what_is_no_chart_is_not_drawn() {
        for odd in [json!(null), json!([]), json!({ "took_ms": 5 }), json!({ "took_ms": -1 })] {
            assert_eq!(draw(&odd, ""), None, "{odd}");
        }
        let mut odd = chart();
        odd["services"][0]["begun_ms"] = json!("soon");
        assert_eq!(draw(&odd, ""), None);
        let nothing = json!({ "took_ms": 0, "services": [], "critical_path": [] });
        assert!(draw(&nothing, "").unwrap().ends_with("</svg>\n"));
    }

    #[test]
    fn lines_stand_at_round_times() {
        assert_eq!(ticks(1500.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0]);
        assert!([0.001, 1.0, 999.0, 1e9].iter().all(|took| (2..=11).contains(&ticks(*took).len())));
    }
}
