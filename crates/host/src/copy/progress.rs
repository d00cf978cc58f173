//! What is shown while paths are copied: a bar for people, a line for each event for programs.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plan::shown;

/// A bar is drawn so often at most.
const REDRAW: Duration = Duration::from_millis(100);
const WIDTH: u64 = 24;

pub struct Progress {
    json: bool,
    bar: bool,
    begun: Instant,
    drawn: Option<Instant>,
    /// Bytes of archives: all, and those whose paths were sent.
    size: u64,
    done: u64,
}

impl Progress {
    pub fn new(json: bool) -> Self {
        let bar = !json && io::stderr().is_terminal();
        Self { json, bar, begun: Instant::now(), drawn: None, size: 0, done: 0 }
    }

    /// Tells programs what happened.
    pub fn event(&mut self, name: &str, mut about: Value) {
        if self.json {
            about["event"] = json!(name);
            about["seconds"] = json!(self.seconds());
            println!("{about}");
        }
    }

    /// Tells people something, beside the bar.
    pub fn say(&mut self, words: &str) {
        if !self.json {
            self.clear();
            eprintln!("{words}");
        }
    }

    /// Prints what was asked for.
    pub fn print(&mut self, line: &str) {
        if !self.json {
            self.clear();
            println!("{line}");
        }
    }

    /// From now on, this much is to be done.
    pub fn begin(&mut self, size: u64) {
        (self.size, self.done, self.begun) = (size, 0, Instant::now());
    }

    /// A path was sent, or a part of one: so many bytes of its archive.
    pub fn advance(&mut self, bytes: u64) {
        self.done = (self.done + bytes).min(self.size);
    }

    pub fn seconds(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// Draws the bar anew, if it is time.
    pub fn draw(&mut self, sent: u64, name: &str) {
        if !self.bar || self.drawn.is_some_and(|last| last.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = line(self.done, self.size, sent, self.begun.elapsed(), name);
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn clear(&mut self) {
        if self.bar && self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(done: u64, size: u64, sent: u64, elapsed: Duration, name: &str) -> String {
    let part = if size == 0 { 1.0 } else { done as f64 / size as f64 };
    let filled = (part * WIDTH as f64) as usize;
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = (sent as f64 / seconds) as u64;
    let left = match part > 0.02 && seconds > 1.0 {
        true => format!(", {:.0} s left", (seconds / part - seconds).ceil()),
        false => String::new(),
    };
    let bar = "#".repeat(filled) + &"-".repeat(WIDTH as usize - filled);
    let name: String = name.chars().take(24).collect();
    format!("[{bar}] {:3.0} % {} sent, {}/s{left}  {name}", part * 100.0, shown(sent), shown(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_how_far_how_fast_and_how_long() {
        let shown = line(50, 200, 1 << 20, Duration::from_secs(2), "openssl");
        assert_eq!(
            shown,
            "[######------------------]  25 % 1.0 MiB sent, 512 KiB/s, 6 s left  openssl"
        );
        let shown = line(0, 0, 0, Duration::ZERO, "");
        assert!(shown.starts_with("[########################] 100 %"), "{shown}");
    }
}
