//! JSON as RFC 8259 has it, read strictly: what a test accepts, any program does.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// # Panics
    /// It is no JSON, and where.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value();
        let value = value.filter(|_| reader.peek().is_none());
        value.unwrap_or_else(|| panic!("no JSON from here on: {:?}", &text[reader.at..]))
    }

    /// A field of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(fields) => fields.get(key),
            _ => None,
        }
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Json] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.peek();
        self.text[self.at..].starts_with(token).then(|| self.at += token.len())
    }

    fn value(&mut self) -> Option<Json> {
        Some(match self.peek()? {
            'n' => self.take("null").map(|()| Json::Null)?,
            't' => self.take("true").map(|()| Json::Bool(true))?,
            'f' => self.take("false").map(|()| Json::Bool(false))?,
            '"' => Json::Text(self.string()?),
            '[' => Json::Array(self.list("[", "]", Self::value)?),
            '{' => {
                let field = |reader: &mut Self| {
                    reader.peek();
                    let key = reader.string()?;
                    reader.take(":")?;
                    Some((key, reader.value()?))
                };
                let fields = self.list("{", "}", field)?;
                let count = fields.len();
                let object: BTreeMap<String, Json> = fields.into_iter().collect();
                (object.len() == count).then_some(Json::Object(object))?
            }
            _ => self.number()?,
        })
    }

    fn list<T>(
        &mut self,
        open: &str,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.take(open)?;
        let mut items = Vec::new();
        if self.take(close).is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close).is_some() {
                return Some(items);
            }
            self.take(",")?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c));
        let word = &rest[..end.unwrap_or(rest.len())];
        let digits = word.strip_prefix('-').unwrap_or(word);
        let plain = digits.starts_with(|c: char| c.is_ascii_digit())
            && !(digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit()))
            && !digits.ends_with('.');
        let number = word.parse().ok().filter(|_| plain)?;
        self.at += word.len();
        Some(Json::Number(number))
    }

    fn string(&mut self) -> Option<String> {
        self.text[self.at..].strip_prefix('"')?;
        self.at += 1;
        let mut found = String::new();
        loop {
            let c = self.text[self.at..].chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(found),
                '\\' => {
                    let escape = self.text[self.at..].chars().next()?;
                    self.at += escape.len_utf8();
                    found.push(match escape {
                        '"' | '\\' | '/' => escape,
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let digits = self.text.get(self.at..self.at + 4)?;
                            self.at += 4;
                            char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                        }
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => found.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_read_and_nothing_else() {
        let read = Json::parse(" [1, -2.5e3, \"a\\u0041\\n\\\"\", {\"k\":null}, [], {}, true]\n");
        assert_eq!(read.items()[1], Json::Number(-2500.0));
        assert_eq!(read.items()[2], Json::Text("aA\n\"".into()));
        assert_eq!(read.items()[3].get("k"), Some(&Json::Null));
        for bad in [
            "",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            "+1",
            "nul",
            "\"",
            "\"\t\"",
            "[1] 2",
            "{\"a\":1,\"a\":2}",
            "\"\\x\"",
            "'a'",
        ] {
            assert!(std::panic::catch_unwind(|| Json::parse(bad)).is_err(), "{bad:?}");
        }
    }
}
