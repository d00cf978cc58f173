//! What `doorward` tells a person, or a program, while it works.

use std::fmt::Arguments;
use std::time::Duration;

use serde_json::Value;

/// One line, beside what a command prints.
pub fn say(words: Arguments<'_>) {
    eprintln!("doorward: {words}");
}

/// A line for programs: an event.
pub fn event(event: &Value) {
    println!("{event}");
}

/// A time as people read it.
pub fn shown(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f32())
}

/// `1 bundle`, `2 bundles`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
