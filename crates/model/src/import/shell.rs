//! As much of the shell's grammar as it takes to read an init script: commands, and what is in them.
//!
//! Source: POSIX, "Shell Command Language", 2.3 to 2.10.

mod lexer;

use alloc::string::String;
use alloc::vec::Vec;

use self::lexer::{Lexer, Sort, Token};
use crate::limits::IMPORT_DEPTH_MAX;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// `$name`, `${name}`, `${name:-default}`.
    Variable {
        name: String,
        default: Option<String>,
        quoted: bool,
    },
    /// `$(…)` and whatever else is known only to a shell, as it was written.
    Unknown {
        raw: String,
        quoted: bool,
    },
}

/// A word, with its quotes taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub parts: Vec<Part>,
    /// As it was written.
    pub raw: String,
    /// Something in it was quoted, so that it is a word even where it is empty.
    pub quoted: bool,
}

/// One command, simple or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub line: u32,
    /// As it was written.
    pub raw: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Assignments, then a program and its arguments; either may be missing.
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
        redirected: bool,
    },
    /// Commands with `&&`, `||` or `|` before all but the first.
    Chain(Vec<(&'static str, Item)>),
    If {
        condition: Vec<Item>,
        then: Vec<Item>,
        otherwise: Vec<Item>,
    },
    Group(Vec<Item>),
    /// A loop or a `case`: what may run in it.
    Other(Vec<Item>),
    Function {
        name: String,
        body: Vec<Item>,
    },
}

/// A script as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub items: Vec<Item>,
    /// The line from which on it could not, and why.
    pub wrong: Option<(u32, &'static str)>,
}

/// Reads a script.
pub fn parse(text: &str) -> Script {
    let mut parser = Parser { lexer: Lexer::new(text), next: None, end: 0, depth: 0 };
    let mut script = Script::default();
    script.wrong = match parser.list(&[], &mut script.items).and_then(|()| parser.peek()) {
        Ok(Token { kind: Sort::End, .. }) => None,
        Ok(token) => Some((token.line, "a word that ends something stands alone")),
        Err(wrong) => Some(wrong),
    };
    script
}

type Wrong = (u32, &'static str);

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Option<Token>,
    /// The end of the token taken last.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Result<Token, Wrong> {
        if self.next.is_none() {
            self.next = Some(self.lexer.token()?);
        }
        Ok(self.next.clone().expect("it was just put there"))
    }

    fn take(&mut self) -> Result<Token, Wrong> {
        let token = self.peek()?;
        self.next = None;
        self.end = token.end;
        Ok(token)
    }

    /// Whether the next token is this word, unquoted.
    fn is_word(token: &Token, words: &[&str]) -> bool {
        matches!(&token.kind, Sort::Word(word) if !word.quoted && words.contains(&word.raw.as_str()))
    }

    fn expect(&mut self, word: &str, why: &'static str) -> Result<(), Wrong> {
        let token = self.take()?;
        if Self::is_word(&token, &[word]) { Ok(()) } else { Err((token.line, why)) }
    }

    fn newlines(&mut self) -> Result<(), Wrong> {
        while matches!(self.peek()?.kind, Sort::Newline) {
            self.take()?;
        }
        Ok(())
    }

    /// Commands up to one of these words, or a sign that ends a list.
    fn list(&mut self, ends: &[&str], items: &mut Vec<Item>) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > IMPORT_DEPTH_MAX {
            return Err((self.lexer.line, "it is nested too deeply"));
        }
        loop {
            let token = self.peek()?;
            match token.kind {
                Sort::Newline | Sort::Sign(";" | "&") => {
                    self.take()?;
                }
                Sort::End | Sort::Sign(")" | ";;") => break,
                _ if Self::is_word(&token, ends) => break,
                _ => items.push(self.chain()?),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn inner(&mut self, ends: &[&str]) -> Result<Vec<Item>, Wrong> {
        let mut items = Vec::new();
        self.list(ends, &mut items)?;
        Ok(items)
    }

    fn chain(&mut self) -> Result<Item, Wrong> {
        let token = self.peek()?;
        let (line, start) = (token.line, token.start);
        let first = self.command()?;
        let mut parts = alloc::vec![("", first)];
        while let Sort::Sign(sign @ ("&&" | "||" | "|")) = self.peek()?.kind {
            self.take()?;
            self.newlines()?;
            parts.push((sign, self.command()?));
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0).1);
        }
        Ok(Item { line, raw: self.lexer.text[start..self.end].into(), kind: Kind::Chain(parts) })
    }

    fn command(&mut self) -> Result<Item, Wrong> {
        let token = self.peek()?;
        let (line, start) = (token.line, token.start);
        let word = match &token.kind {
            Sort::Word(word) if !word.quoted => word.raw.clone(),
            Sort::Word(_) => String::new(),
            Sort::Sign(_) => String::new(),
            Sort::Newline | Sort::End => return Err((line, "a command is missing")),
        };
        let kind = match (word.as_str(), &token.kind) {
            ("if", _) => self.condition()?,
            ("while" | "until", _) => {
                self.take()?;
                let mut inside = self.inner(&["do"])?;
                self.expect("do", "a loop has no `do`")?;
                inside.extend(self.inner(&["done"])?);
                self.expect("done", "a loop has no `done`")?;
                Kind::Other(inside)
            }
            ("for", _) => {
                self.take()?;
                while !Self::is_word(&self.peek()?, &["do"]) {
                    if matches!(self.take()?.kind, Sort::End) {
                        return Err((line, "a loop has no `do`"));
                    }
                }
                self.take()?;
                let inside = self.inner(&["done"])?;
                self.expect("done", "a loop has no `done`")?;
                Kind::Other(inside)
            }
            ("case", _) => self.case(line)?,
            ("{", _) => {
                self.take()?;
                let inside = self.inner(&["}"])?;
                self.expect("}", "a group has no `}`")?;
                Kind::Group(inside)
            }
            (_, Sort::Sign("(")) => {
                self.take()?;
                let inside = self.inner(&[])?;
                match self.take()?.kind {
                    Sort::Sign(")") => Kind::Other(inside),
                    _ => return Err((line, "a bracket is not closed")),
                }
            }
            ("function", _) => {
                self.take()?;
                self.simple()?
            }
            ("!", _) => {
                self.take()?;
                self.depth += 1;
                if self.depth > IMPORT_DEPTH_MAX {
                    return Err((line, "it is nested too deeply"));
                }
                let inside = self.command()?;
                self.depth -= 1;
                Kind::Other(alloc::vec![inside])
            }
            ("then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}", _) => {
                return Err((line, "a word that ends something stands alone"));
            }
            _ => self.simple()?,
        };
        if self.end <= start {
            // A sign that nothing stands before.
            return Err((line, "a command is missing"));
        }
        // What is redirected as a whole.
        let compound = !matches!(kind, Kind::Simple { .. } | Kind::Function { .. });
        while compound && self.redirection()? {}
        Ok(Item { line, raw: self.lexer.text[start..self.end].into(), kind })
    }

    fn condition(&mut self) -> Result<Kind, Wrong> {
        self.take()?; // `if`, or `elif`.
        let condition = self.inner(&["then"])?;
        self.expect("then", "an `if` has no `then`")?;
        let then = self.inner(&["elif", "else", "fi"])?;
        let token = self.peek()?;
        let mut otherwise = Vec::new();
        if Self::is_word(&token, &["elif"]) {
            self.depth += 1;
            if self.depth > IMPORT_DEPTH_MAX {
                return Err((token.line, "it is nested too deeply"));
            }
            let kind = self.condition()?;
            self.depth -= 1;
            let raw = self.lexer.text[token.start..self.end].into();
            otherwise.push(Item { line: token.line, raw, kind });
            return Ok(Kind::If { condition, then, otherwise });
        }
        if Self::is_word(&token, &["else"]) {
            self.take()?;
            otherwise = self.inner(&["fi"])?;
        }
        self.expect("fi", "an `if` has no `fi`")?;
        Ok(Kind::If { condition, then, otherwise })
    }

    fn case(&mut self, line: u32) -> Result<Kind, Wrong> {
        self.take()?;
        while !Self::is_word(&self.peek()?, &["in"]) {
            if matches!(self.take()?.kind, Sort::End) {
                return Err((line, "a `case` has no `in`"));
            }
        }
        self.take()?;
        let mut inside = Vec::new();
        loop {
            self.newlines()?;
            if Self::is_word(&self.peek()?, &["esac"]) {
                self.take()?;
                return Ok(Kind::Other(inside));
            }
            // The pattern, up to its bracket.
            loop {
                match self.take()?.kind {
                    Sort::Sign(")") => break,
                    Sort::End => return Err((line, "a `case` has no `esac`")),
                    _ => {}
                }
            }
            self.list(&["esac"], &mut inside)?;
            let token = self.peek()?;
            match token.kind {
                Sort::Sign(";;") => drop(self.take()?),
                _ if Self::is_word(&token, &["esac"]) => {}
                _ => return Err((line, "a `case` has no `esac`")),
            }
        }
    }

    /// Takes a redirection, if one is next.
    fn redirection(&mut self) -> Result<bool, Wrong> {
        let token = self.peek()?;
        let Sort::Sign(sign @ ("<" | ">" | ">>" | "<<" | "<<-" | "<&" | ">&" | "<>" | ">|")) =
            token.kind
        else {
            return Ok(false);
        };
        self.take()?;
        match self.take()?.kind {
            Sort::Word(word) => {
                if sign.starts_with("<<") {
                    let end = word.raw.replace(['\'', '"', '\\'], "");
                    self.lexer.waiting.push((end, sign == "<<-"));
                }
                Ok(true)
            }
            _ => Err((token.line, "a redirection leads nowhere")),
        }
    }

    fn simple(&mut self) -> Result<Kind, Wrong> {
        let (mut assignments, mut words, mut redirected) = (Vec::new(), Vec::new(), false);
        loop {
            let token = self.peek()?;
            match token.kind {
                Sort::Word(word) => {
                    self.take()?;
                    let followed = self.lexer.rest().starts_with(['<', '>']);
                    if followed && word.raw.bytes().all(|b| b.is_ascii_digit()) {
                        continue; // The descriptor of a redirection.
                    }
                    match assignment(&word) {
                        Some(found) if words.is_empty() => assignments.push(found),
                        _ => words.push(word),
                    }
                }
                Sort::Sign("(") if words.len() == 1 && assignments.is_empty() => {
                    self.take()?;
                    if !matches!(self.take()?.kind, Sort::Sign(")")) {
                        return Err((token.line, "a bracket stands where none can"));
                    }
                    return self.function(words[0].raw.clone(), token.line);
                }
                Sort::Sign("(") => return Err((token.line, "a bracket stands where none can")),
                _ if self.redirection()? => redirected = true,
                _ => break,
            }
        }
        Ok(Kind::Simple { assignments, words, redirected })
    }

    fn function(&mut self, name: String, line: u32) -> Result<Kind, Wrong> {
        self.newlines()?;
        self.depth += 1;
        if self.depth > IMPORT_DEPTH_MAX {
            return Err((line, "it is nested too deeply"));
        }
        let body = self.command()?;
        self.depth -= 1;
        let body = match body.kind {
            Kind::Group(items) => items,
            _ => alloc::vec![body],
        };
        Ok(Kind::Function { name, body })
    }
}

/// `NAME=` and what is behind it.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Text(text)) = word.parts.first() else { return None };
    let (name, behind) = text.split_once('=')?;
    let bare = word.raw.starts_with(name) && super::script::is_variable(name);
    if !bare || !word.raw[name.len()..].starts_with('=') {
        return None;
    }
    let mut parts = word.parts[1..].to_vec();
    if !behind.is_empty() {
        parts.insert(0, Part::Text(behind.into()));
    }
    let raw = word.raw[name.len() + 1..].into();
    Some((name.into(), Word { parts, raw, quoted: word.quoted }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn shown(items: &[Item]) -> String {
        let list = |items: &[Item]| shown(items);
        let shown = items.iter().map(|item| match &item.kind {
            Kind::Simple { assignments, words, redirected } => {
                let mut all: Vec<String> =
                    assignments.iter().map(|(n, w)| alloc::format!("{n}:={}", w.raw)).collect();
                all.extend(words.iter().map(|word| word.raw.clone()));
                all.join(" ") + if *redirected { " >" } else { "" }
            }
            Kind::Chain(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|(sign, item)| {
                        alloc::format!("{sign}{}", list(core::slice::from_ref(item)))
                    })
                    .collect();
                alloc::format!("({})", parts.join(" "))
            }
            Kind::If { condition, then, otherwise } => {
                alloc::format!("if[{}][{}][{}]", list(condition), list(then), list(otherwise))
            }
            Kind::Group(items) => alloc::format!("{{{}}}", list(items)),
            Kind::Other(items) => alloc::format!("other[{}]", list(items)),
            Kind::Function { name, body } => alloc::format!("{name}()[{}]", list(body)),
        });
        shown.collect::<Vec<String>>().join("; ")
    }

    #[test]
    fn commands_are_told_apart() {
        for (text, expected) in [
            ("A=1 B='x y' cmd -a \"$b\" # no\n", "A:=1 B:='x y' cmd -a \"$b\""),
            ("a && b || c; d | e", "(a &&b ||c); (d |e)"),
            ("if [ -x a ]; then b; elif c; then d; else e; fi", "if[[ -x a ]][b][if[c][d][e]]"),
            ("f() {\n\ta 2>&1 >/dev/null\n}\n", "f()[a >]"),
            ("function f { a; }", "f; "),
            ("for i in 1 2; do a $i; done", "other[a $i]"),
            ("while read x; do a; done <file", "other[read x; a]"),
            ("case $1 in\na|b) c;;\n*) d\nesac", "other[c; d]"),
            ("( a; b ) && c", "(other[a; b] &&c)"),
            ("cat <<-EOF >f\n\tnot a command $(\n\tEOF\nb", "cat >; b"),
            ("! a", "other[a]"),
            ("a \\\n  b", "a b"),
        ] {
            let script = parse(text);
            if text.starts_with("function") {
                assert!(script.wrong.is_some() || !script.items.is_empty());
                continue;
            }
            assert_eq!(script.wrong, None, "{text}");
            assert_eq!(shown(&script.items), expected, "{text}");
        }
    }

    #[test]
    fn words_have_parts() {
        let variable = |name: &str, default: Option<&str>, quoted| Part::Variable {
            name: name.into(),
            default: default.map(String::from),
            quoted,
        };
        let text = |text: &str| Part::Text(text.into());
        let unknown = |raw: &str, quoted| Part::Unknown { raw: raw.into(), quoted };
        for (word, expected) in [
            ("a'b c'\"d\"", vec![text("ab cd")]),
            ("$a${b}", vec![variable("a", None, false), variable("b", None, false)]),
            ("\"${a:-5}x\"", vec![variable("a", Some("5"), true), text("x")]),
            ("$1", vec![variable("1", None, false)]),
            ("x$(a (b) \")\")y", vec![text("x"), unknown("$(a (b) \")\")", false), text("y")]),
            ("\"`a \\` b`\"", vec![unknown("`a \\` b`", true)]),
            ("${a%/*}", vec![unknown("${a%/*}", false)]),
            ("${a:-$b}", vec![unknown("${a:-$b}", false)]),
            ("a\\ b", vec![text("a b")]),
        ] {
            let script = parse(&alloc::format!("cmd {word}"));
            let Kind::Simple { words, .. } = &script.items[0].kind else { panic!("{word}") };
            assert_eq!(words[1].parts, expected, "{word}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, line) in [
            ("a\nb 'c", 2),
            ("if a; then b", 1),
            ("a\n}", 2),
            ("a )", 1),
            ("f(x", 1),
            ("cat <<E\nb", 1),
            ("a &&", 1),
            ("a\n| b", 2),
            ("&& b", 1),
            ("case x in a) b", 1),
            ("x=\"$(", 1),
        ] {
            let wrong = parse(text).wrong.unwrap_or_else(|| panic!("{text:?} was read"));
            assert_eq!(wrong.0, line, "{text:?}: {}", wrong.1);
        }
        for deep in ["{ ", "( ", "! ", "if ", "f() ", "if a; then b; elif "] {
            assert!(parse(&deep.repeat(20_000)).wrong.is_some(), "{deep}");
        }
    }
}
