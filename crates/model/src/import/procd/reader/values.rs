//! What variables hold, what words come to, and what `[ … ]` says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::super::script::Piece;
use super::super::super::shell::{Item, Part, Word};
use super::super::instance::Unknown;
use super::{Made, Reader, Value, is_test};

impl Reader<'_> {
    pub(super) fn assign(&mut self, name: &str, word: &Word, item: &Item) {
        let value = self.value(word, item);
        self.variables.insert(name.into(), value);
    }

    /// The value of a word that is not cut.
    pub(super) fn value(&mut self, word: &Word, item: &Item) -> Value {
        let (mut text, mut is_default) = (String::new(), false);
        for part in &word.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Variable { name, default, .. } => match self.lookup(name, default.as_deref())
                {
                    Value::Known(value) => text.push_str(&value),
                    Value::Default(value) => {
                        text.push_str(&value);
                        is_default = true;
                    }
                    unknown if word.parts.len() == 1 => return unknown,
                    Value::Unknown(_) => return self.unknown(item, &word.raw),
                },
                Part::Unknown { .. } => return self.unknown(item, &word.raw),
            }
        }
        if is_default { Value::Default(text) } else { Value::Known(text) }
    }

    /// A variable that nobody has set is empty.
    pub(super) fn lookup(&mut self, name: &str, default: Option<&str>) -> Value {
        let value = self.variables.get(name).cloned().unwrap_or(Value::Known(String::new()));
        match (value, default) {
            (Value::Known(text), Some(default)) if text.is_empty() => Value::Known(default.into()),
            (value, _) => value,
        }
    }

    /// Something that a person has to say.
    pub(super) fn unknown(&mut self, item: &Item, raw: &str) -> Value {
        self.unknown_as(&alloc::format!("line_{}", item.line), item, raw)
    }

    pub(super) fn unknown_as(&mut self, name: &str, item: &Item, raw: &str) -> Value {
        let same = |unknown: &Unknown| unknown.line == item.line && unknown.raw == raw;
        if let Some(known) = self.unknown.iter().find(|unknown| same(unknown)) {
            return Value::Unknown(known.name.clone());
        }
        let taken = |name: &str| self.unknown.iter().any(|unknown| unknown.name == name);
        let free = (2..).map(|count| alloc::format!("{name}_{count}"));
        let name = core::iter::once(name.to_string()).chain(free).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        self.left_out(item, &alloc::format!("what {raw} is, is known only there"));
        self.unknown.push(Unknown { name: name.clone(), line: item.line, raw: raw.into() });
        Value::Unknown(name)
    }

    /// Words of a command, cut where the shell cuts them.
    pub(super) fn words(&mut self, words: &[Word], item: &Item) -> Vec<Made> {
        let mut made = Vec::new();
        for word in words {
            let mut pieces: Made = Vec::new();
            let mut there = word.quoted;
            for part in &word.parts {
                let (value, quoted) = match part {
                    Part::Text(text) => (Value::Known(text.clone()), true),
                    Part::Variable { name, .. } if ["@", "*"].contains(&name.as_str()) => {
                        (Value::Known(self.arguments().join(" ")), false)
                    }
                    Part::Variable { name, default, quoted } => {
                        (self.lookup(name, default.as_deref()), *quoted)
                    }
                    Part::Unknown { raw, quoted } => (self.unknown(item, raw), *quoted),
                };
                match value {
                    Value::Known(text) | Value::Default(text) if quoted => {
                        pieces.push(Piece::Text(text))
                    }
                    Value::Known(text) | Value::Default(text) => {
                        let mut cut = text.split_ascii_whitespace().peekable();
                        while let Some(part) = cut.next() {
                            pieces.push(Piece::Text(part.into()));
                            if cut.peek().is_some() {
                                made.push(core::mem::take(&mut pieces));
                            }
                        }
                        // A blank at its end would cut as well; nobody writes that.
                    }
                    Value::Unknown(name) if quoted => pieces.push(Piece::Variable(name)),
                    Value::Unknown(name) => pieces.push(Piece::Split(name)),
                }
                there |= !pieces.is_empty();
            }
            if there || !pieces.is_empty() {
                made.push(pieces);
            }
        }
        made
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        while let Some(Value::Known(text) | Value::Default(text)) =
            self.variables.get(&(arguments.len() + 1).to_string())
        {
            arguments.push(text.clone());
        }
        arguments
    }

    /// A word that is known, as text.
    pub(super) fn text(&mut self, word: &Word, item: &Item) -> Option<String> {
        match self.value(word, item) {
            Value::Known(text) | Value::Default(text) => Some(text),
            Value::Unknown(_) => None,
        }
    }

    /// Whether the values of all that is in there are known.
    pub(super) fn is_known(&mut self, words: &[Word]) -> bool {
        words.iter().flat_map(|word| &word.parts).all(|part| match part {
            Part::Text(_) => true,
            Part::Variable { name, default, .. } => {
                matches!(self.lookup(name, default.as_deref()), Value::Known(_))
            }
            Part::Unknown { .. } => false,
        })
    }

    /// What `[ … ]` says, where all in it is known.
    pub(super) fn test(&mut self, words: &[Word]) -> Option<bool> {
        if !is_test(words) {
            return None;
        }
        let end = if words[0].raw == "[" { words.len().checked_sub(1)? } else { words.len() };
        let mut texts: Vec<String> = Vec::new();
        for word in words.get(1..end)? {
            let mut text = String::new();
            for part in &word.parts {
                match part {
                    Part::Text(part) => text.push_str(part),
                    Part::Variable { name, default, .. } => {
                        match self.lookup(name, default.as_deref()) {
                            Value::Known(value) => text.push_str(&value),
                            _ => return None,
                        }
                    }
                    Part::Unknown { .. } => return None,
                }
            }
            texts.push(text);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        match texts[..] {
            ["-n", text] => Some(!text.is_empty()),
            ["-z", text] => Some(text.is_empty()),
            [a, "=" | "==", b] => Some(a == b),
            [a, "!=", b] => Some(a != b),
            [a, sign @ ("-eq" | "-ne" | "-gt" | "-lt" | "-ge" | "-le"), b] => {
                let (a, b): (i64, i64) = (a.parse().ok()?, b.parse().ok()?);
                Some(match sign {
                    "-eq" => a == b,
                    "-ne" => a != b,
                    "-gt" => a > b,
                    "-lt" => a < b,
                    "-ge" => a >= b,
                    _ => a <= b,
                })
            }
            _ => None,
        }
    }
}
