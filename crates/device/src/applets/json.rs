//! What applets print for programs: JSON, an object a line.

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
