//! Devices as a table: a line each, and what is wrong.

use std::time::Duration;

use serde_json::{Value, json};

use super::questions::{Answer, Known};

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    cells: [String; 5],
    /// What is wrong, or nothing.
    wrong: String,
    mood: Mood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Busy,
    Bad,
}

const HEAD: [&str; 5] = ["DEVICE", "UP", "GENERATION", "UPTIME", "WARD"];

/// Whether all is well with a device.
pub fn is_well(known: &Known) -> bool {
    row("", known).mood == Mood::Good
}

/// The table, a line for each device; lines are no longer than `columns`.
pub fn lines(devices: &[(String, Known)], colours: bool, columns: usize) -> Vec<String> {
    let rows: Vec<Row> = devices.iter().map(|(name, known)| row(name, known)).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].chars().count());
        cells.max().unwrap_or(0).max(HEAD[column].len())
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |cells: [&str; 5], last: &str| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        line + last
    };
    let mut lines = vec![fitted(&line(HEAD, "WHAT IS WRONG"), columns)];
    for row in &rows {
        let text =
            fitted(line(row.cells.each_ref().map(String::as_str), &row.wrong).trim_end(), columns);
        let colour = match row.mood {
            _ if !colours => None,
            Mood::Good => None,
            Mood::Busy => Some("\x1b[33m"),
            Mood::Bad => Some("\x1b[31m"),
        };
        lines.push(match colour {
            Some(colour) => format!("{colour}{text}\x1b[0m"),
            None => text,
        });
    }
    lines
}

fn row(name: &str, known: &Known) -> Row {
    let cells = [name.to_owned(), String::new(), String::new(), String::new(), String::new()];
    match known {
        Known::Asked => Row { cells, wrong: "…".into(), mood: Mood::Busy },
        Known::Silent(why) => Row { cells, wrong: plain(why), mood: Mood::Bad },
        Known::Said(answer) => said(cells, answer),
    }
}

fn said(mut cells: [String; 5], answer: &Answer) -> Row {
    let (mut wrong, mut mood) = (Vec::new(), Mood::Good);
    match answer.services.as_ref().and_then(Value::as_array) {
        Some(all) => {
            let up = all.iter().filter(|one| one["up"] == true).count();
            let wanted = all.iter().filter(|one| one["up"] == true || one["goal"] == "up").count();
            cells[1] = format!("{up}/{wanted}");
            let of = |phase: &str| -> Vec<String> {
                let some = all.iter().filter(|one| one["phase"] == phase);
                some.map(|one| plain(one["name"].as_str().unwrap_or_default())).collect()
            };
            for (phase, is) in [
                ("failed", Mood::Bad),
                ("restarting", Mood::Bad),
                ("starting", Mood::Busy),
                ("waiting", Mood::Busy),
                ("stopping", Mood::Busy),
            ] {
                let names = of(phase);
                if !names.is_empty() {
                    wrong.push(format!("{phase}: {}", names.join(", ")));
                    mood = if is == Mood::Bad { is } else { worse(mood, is) };
                }
            }
        }
        None => {
            wrong.push("it does not say how its services are".into());
            mood = Mood::Bad;
        }
    }
    if let Some(generation) = &answer.generation {
        let number = |value: &Value| value["number"].as_u64().map(|number| number.to_string());
        cells[2] = number(&generation["running"]).unwrap_or_else(|| "-".into());
        let phase = generation["trial"]["phase"].as_str().unwrap_or_default();
        if !phase.is_empty() && generation["trial"]["left_ms"].is_number() {
            cells[2] += " (trial)";
            mood = worse(mood, Mood::Busy);
        }
    }
    // Services are named above.
    for finding in answer.doctor.iter().filter_map(Value::as_array).flatten() {
        let (weight, code) = (finding["weight"].as_str(), finding["code"].as_str());
        if weight.is_some_and(|weight| weight != "note") && code != Some("service") {
            wrong.push(plain(finding["what"].as_str().unwrap_or_default()));
            mood = worse(mood, if weight == Some("bad") { Mood::Bad } else { Mood::Busy });
        }
    }
    cells[3] = answer.uptime.map_or_else(|| "-".into(), span);
    cells[4] = answer.version.as_deref().map_or_else(|| "-".into(), plain);
    Row { cells, wrong: wrong.join("; "), mood }
}

fn worse(one: Mood, other: Mood) -> Mood {
    match (one, other) {
        (Mood::Bad, _) | (_, Mood::Bad) => Mood::Bad,
        (Mood::Busy, _) | (_, Mood::Busy) => Mood::Busy,
        _ => Mood::Good,
    }
}

/// One object for a device.
pub fn object(name: &str, known: &Known) -> Value {
    let mut object = json!({ "device": name, "well": is_well(known) });
    match known {
        Known::Asked => {}
        Known::Silent(why) => object["silent"] = json!(why),
        Known::Said(answer) => {
            let Answer { services, generation, doctor, version, uptime } = &**answer;
            let parts = [
                ("services", services.clone()),
                ("generation", generation.clone()),
                ("findings", doctor.clone()),
                ("version", version.as_ref().map(|version| json!(version))),
                ("uptime_ms", uptime.map(|uptime| json!(uptime.as_millis() as u64))),
            ];
            for (name, value) in parts {
                if let Some(value) = value {
                    object[name] = value;
                }
            }
        }
    }
    object
}

/// `12 s`, `3 min`, `2 h`, `5 d`.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// What a device says does not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn fitted(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some(_) => text.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(services: Value, doctor: Value) -> Known {
        Known::Said(Box::new(Answer {
            services: Some(services),
            generation: Some(json!({ "running": { "path": "/x", "number": 7 } })),
            doctor: Some(doctor),
            version: Some("0.1.0".into()),
            uptime: Some(Duration::from_secs(300)),
        }))
    }

    #[test]
    fn a_line_for_each_device_says_what_is_wrong() {
        let up = json!([{ "name": "a", "up": true, "phase": "up", "goal": "up" }]);
        let bad = json!([
            { "name": "a", "up": true, "phase": "up", "goal": "up" },
            { "name": "dns\u{1b}", "up": false, "phase": "failed", "goal": "down" },
            { "name": "web", "up": false, "phase": "waiting", "goal": "up" }
        ]);
        let full = json!([
            { "weight": "bad", "code": "space", "what": "/ is full", "cure": "" },
            { "weight": "bad", "code": "service", "what": "dns", "cure": "" },
            { "weight": "note", "code": "no-keys", "what": "keys", "cure": "" }
        ]);
        let devices = [
            ("root@router".into(), answer(up, json!([]))),
            ("attic".into(), answer(bad, full)),
            ("barn".into(), Known::Silent("cannot be reached: no route".into())),
            ("cellar".into(), Known::Asked),
            ("odd".into(), answer(json!([1, null, {"name": 7}]), json!([null, 3]))),
        ];
        assert_eq!(
            lines(&devices, false, 100),
            [
                "DEVICE       UP   GENERATION  UPTIME  WARD   WHAT IS WRONG",
                "root@router  1/1  7           5 min   0.1.0",
                "attic        1/2  7           5 min   0.1.0  failed: dns; waiting: web; / is full",
                "barn                                         cannot be reached: no route",
                "cellar                                       …",
                "odd          0/0  7           5 min   0.1.0",
            ]
        );
        assert!(lines(&devices, true, 50).iter().all(|line| line.chars().count() <= 60));
        assert!(lines(&devices, true, 50)[2].starts_with("\x1b[31mattic"));
        let well: Vec<bool> = devices.iter().map(|(_, known)| is_well(known)).collect();
        assert_eq!(well, [true, false, false, false, true]);
        assert_eq!(object("barn", &devices[2].1)["well"], false);
    }
}
