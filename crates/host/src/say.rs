//! What `doorward` tells a person, or a program, while it works.

use std::fmt::Arguments;
use std::time::Duration;

use cli::Failure;
use serde_json::{Value, json};

/// One line, beside what a command prints.
pub fn say(words: Arguments<'_>) {
    eprintln!("doorward: {words}");
}

/// A line for programs: an event.
pub fn event(event: &Value) {
    println!("{event}");
}

/// The event that ends those of a command that has failed.
pub fn failed(failure: &Failure) {
    event(&json!({ "event": "failed", "why": failure.to_string() }));
}

/// A time as programs read it: seconds, to the millisecond.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// A time as people read it.
pub fn shown(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f32())
}

/// `1 bundle`, `2 bundles`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
