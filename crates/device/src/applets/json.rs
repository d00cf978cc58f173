//! What applets print for programs: JSON, an object a line.

use std::io::{self, Write};
use std::time::Duration;

/// Where a command that can print an object speaks. What is written to it is for people: with `json` it is
/// beside the object, on standard error.
pub struct Speaker<'a> {
    pub out: &'a mut dyn Write,
    pub json: bool,
}

impl Speaker<'_> {
    /// Prints the object, if a program asked.
    pub fn object(&mut self, object: Object) -> io::Result<()> {
        if self.json { writeln!(self.out, "{}", object.end()) } else { Ok(()) }
    }
}

impl Write for Speaker<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.json { io::stderr().write(bytes) } else { self.out.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One JSON object on one line.
pub struct Object(String);

impl Object {
    pub fn begin() -> Self {
        Self(String::from("{"))
    }

    pub fn raw(&mut self, key: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0 += &format!("\"{key}\":{value}");
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.raw(key, &value.to_string());
    }

    /// A time in milliseconds.
    pub fn millis(&mut self, key: &str, time: Duration) {
        self.number(key, time.as_millis() as u64);
    }

    pub fn truth(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub fn texts<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.list(key, &values.map(quoted).collect::<Vec<_>>());
    }

    /// An array of what is JSON already.
    pub fn list(&mut self, key: &str, values: &[String]) {
        self.raw(key, &format!("[{}]", values.join(",")));
    }

    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Text as JSON has it, which is also how the language of dot has it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
