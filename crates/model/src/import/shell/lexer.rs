//! Words and signs of a shell script.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Part, Word, Wrong};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Word(Word),
    Sign(&'static str),
    Newline,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: Sort,
    pub line: u32,
    pub start: usize,
    pub end: usize,
}

pub(super) struct Lexer<'a> {
    pub text: &'a str,
    at: usize,
    pub line: u32,
    /// Ends of here-documents that begin at the next line.
    pub waiting: Vec<(String, bool)>,
}

const SIGNS: [&str; 17] = [
    "&&", "||", ";;", "<<-", "<<", ">>", "<&", ">&", "<>", ">|", "&", "|", ";", "<", ">", "(", ")",
];

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, waiting: Vec::new() }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn first(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.first()?;
        self.at += c.len_utf8();
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            for _ in text.chars() {
                self.step();
            }
        }
        found
    }

    pub fn token(&mut self) -> Result<Token, Wrong> {
        loop {
            if self.take("\\\n") {
                continue;
            }
            match self.first() {
                Some(' ' | '\t' | '\r') => drop(self.step()),
                Some('#') => {
                    while self.first().is_some_and(|c| c != '\n') {
                        self.step();
                    }
                }
                _ => break,
            }
        }
        let (line, start) = (self.line, self.at);
        let kind = match self.first() {
            None => Sort::End,
            Some('\n') => {
                self.step();
                self.skip_documents()?;
                Sort::Newline
            }
            Some(_) => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.take(sign);
                    Sort::Sign(sign)
                }
                None => Sort::Word(self.word()?),
            },
        };
        Ok(Token { kind, line, start, end: self.at })
    }

    fn skip_documents(&mut self) -> Result<(), Wrong> {
        for (end, tabs) in core::mem::take(&mut self.waiting) {
            // It was named in the line before.
            let begun = self.line - 1;
            loop {
                if self.rest().is_empty() {
                    return Err((begun, "a here-document has no end"));
                }
                let line = self.rest().split('\n').next().unwrap_or_default();
                let shown = if tabs { line.trim_start_matches('\t') } else { line };
                let ends = shown == end;
                self.at += line.len();
                self.step();
                if ends {
                    break;
                }
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word, Wrong> {
        let start = self.at;
        let begun = self.line;
        let mut word = Word::default();
        while let Some(c) = self.first() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    self.step();
                    match self.step() {
                        Some('\n') | None => {}
                        Some(c) => {
                            word.quoted = true;
                            push(&mut word.parts, c);
                        }
                    }
                }
                '\'' => {
                    self.step();
                    word.quoted = true;
                    let end = self.rest().find('\'').ok_or((begun, "a quote is not closed"))?;
                    let inside = &self.rest()[..end];
                    inside.chars().for_each(|c| push(&mut word.parts, c));
                    self.take(inside);
                    self.step();
                }
                '"' => {
                    self.step();
                    word.quoted = true;
                    self.quoted(&mut word.parts, begun)?;
                }
                '$' | '`' => {
                    let part = self.expansion(false)?;
                    word.parts.push(part);
                }
                c => {
                    self.step();
                    push(&mut word.parts, c);
                }
            }
        }
        word.raw = self.text[start..self.at].to_string();
        Ok(word)
    }

    fn quoted(&mut self, parts: &mut Vec<Part>, begun: u32) -> Result<(), Wrong> {
        loop {
            match self.first() {
                None => return Err((begun, "a quote is not closed")),
                Some('"') => {
                    self.step();
                    return Ok(());
                }
                Some('\\') => {
                    self.step();
                    match self.step() {
                        Some(c @ ('$' | '`' | '"' | '\\')) => push(parts, c),
                        Some('\n') | None => {}
                        Some(c) => {
                            push(parts, '\\');
                            push(parts, c);
                        }
                    }
                }
                Some('$' | '`') => {
                    let part = self.expansion(true)?;
                    parts.push(part);
                }
                Some(c) => {
                    self.step();
                    push(parts, c);
                }
            }
        }
    }

    /// What a `$` or a backtick begins.
    fn expansion(&mut self, quoted: bool) -> Result<Part, Wrong> {
        let (start, begun) = (self.at, self.line);
        let open = self.step();
        let unknown =
            |lexer: &Self| Part::Unknown { raw: lexer.text[start..lexer.at].into(), quoted };
        if open == Some('`') {
            loop {
                match self.step() {
                    None => return Err((begun, "a backtick is not closed")),
                    Some('`') => return Ok(unknown(self)),
                    Some('\\') => drop(self.step()),
                    Some(_) => {}
                }
            }
        }
        match self.first() {
            Some('(') => {
                self.balanced('(', ')', begun)?;
                Ok(unknown(self))
            }
            Some('{') => {
                self.balanced('{', '}', begun)?;
                let inside = &self.text[start + 2..self.at - 1];
                let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
                let (name, behind) = inside.split_at(end);
                let special = ["#", "@", "*", "?"].contains(&inside);
                let default = match behind {
                    "" if !name.is_empty() => None,
                    _ if special => {
                        return Ok(Part::Variable { name: inside.into(), default: None, quoted });
                    }
                    _ => match behind.strip_prefix(":-").or(behind.strip_prefix('-')) {
                        Some(default) if !name.is_empty() && plain(default).is_some() => {
                            plain(default)
                        }
                        _ => return Ok(unknown(self)),
                    },
                };
                Ok(Part::Variable { name: name.into(), default, quoted })
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!".contains(c) => {
                self.step();
                Ok(Part::Variable { name: c.into(), default: None, quoted })
            }
            Some(c) if is_name(c) => {
                let end = self.rest().find(|c: char| !is_name(c)).unwrap_or(self.rest().len());
                let name = &self.rest()[..end];
                self.at += end;
                Ok(Part::Variable { name: name.into(), default: None, quoted })
            }
            _ => Ok(Part::Text("$".into())),
        }
    }

    /// Goes behind the end that belongs to `open`, which is the next character.
    fn balanced(&mut self, open: char, close: char, begun: u32) -> Result<(), Wrong> {
        let mut depth = 0u32;
        let mut quote = None;
        while let Some(c) = self.step() {
            match (quote, c) {
                (_, '\\') if quote != Some('\'') => drop(self.step()),
                (None, '\'' | '"') => quote = Some(c),
                (Some(end), c) if end == c => quote = None,
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err((begun, "a bracket is not closed"))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The text of a default, where it is no more than that.
fn plain(text: &str) -> Option<String> {
    let bare = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inside) => inside,
        None => text,
    };
    (!bare.contains(['$', '`', '"', '\'', '\\'])).then(|| bare.into())
}

fn push(parts: &mut Vec<Part>, c: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => parts.push(Part::Text(c.into())),
    }
}
