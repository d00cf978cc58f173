//! How far each device is: one table on a terminal, a line for each change elsewhere.

use std::io::{IsTerminal, Write};

use engine::deploy::rollout::Rollout;
use serde_json::{Value, json};

use super::inventory::Target;
use super::record::{Record, word};

pub struct Table {
    json: bool,
    terminal: bool,
    /// Lines that stand on the terminal.
    height: usize,
    /// What was said of each device last.
    said: Vec<String>,
}

impl Table {
    pub fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stderr().is_terminal(), height: 0, said: Vec::new() }
    }

    /// Whether somebody sees how seconds pass.
    pub fn counts(&self) -> bool {
        self.terminal && !self.json
    }

    /// What the program of a device said.
    pub fn heard(&mut self, device: &str, value: &Value) {
        if self.json {
            println!("{}", json!({ "device": device, "said": value }));
        }
    }

    pub fn show(&mut self, targets: &[Target], records: &[Record], rollout: &Rollout) {
        let width = targets.iter().map(|target| target.name.chars().count()).max().unwrap_or(0);
        let rows: Vec<String> = targets
            .iter()
            .zip(records)
            .map(|(target, record)| {
                let Target { name, wave, .. } = target;
                let state = word(record.state);
                let row =
                    format!("{name:width$}  wave {}  {state:8}  {}", wave + 1, record.message);
                row.trim_end().chars().filter(|c| !c.is_control()).collect()
            })
            .collect();
        self.said.resize(rows.len(), String::new());
        if self.json {
            for ((target, record), said) in targets.iter().zip(records).zip(&mut self.said) {
                if *said != word(record.state) {
                    *said = word(record.state).to_owned();
                    println!("{}", json!({ "device": target.name, "state": said }));
                }
            }
        } else if self.terminal {
            self.redraw(&rows, rollout);
        } else {
            for (row, said) in rows.into_iter().zip(&mut self.said) {
                if *said != row {
                    eprintln!("doorward: {row}");
                    *said = row;
                }
            }
        }
    }

    fn redraw(&mut self, rows: &[String], rollout: &Rollout) {
        let mut text = String::new();
        if self.height > 0 {
            text += &format!("\x1b[{}A", self.height);
        }
        for row in rows {
            // A line that is wrapped would take two.
            let row: String = row.chars().take(100).collect();
            text += &format!("\x1b[2K{row}\n");
        }
        let last = match rollout.soaks_until() {
            Some(until) => {
                let left = until.since(os::clock::now()).as_secs();
                format!("wave {} is watched for {left} s more", rollout.wave() + 1)
            }
            None => format!("wave {}", rollout.wave() + 1),
        };
        text += &format!("\x1b[2K{last}\n");
        self.height = rows.len() + 1;
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}
