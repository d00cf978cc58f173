//! The words of a command written as execline writes it.
//!
//! The grammar is that of `execlineb` (execline `execlineb.html`): words,
//! double quotes, escapes, comments and blocks. What comes out is the argument
//! vector that `execlineb -P` would execute: each word of a block has as many
//! spaces before it as blocks surround it, and the end of a block is an empty
//! word behind the spaces of what surrounds it. A line that names only one
//! program, such as `/bin/sh -c "..."`, thus needs no execline to run.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::{SCRIPT_BYTES_MAX, WORD_BYTES_MAX};

/// Why a text is no command, and in which line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Counted from 1.
    pub line: u32,
    pub fault: ScriptFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptFault {
    /// The quote that began in this line never ends.
    OpenQuote,
    /// The block that began in this line never ends.
    OpenBlock,
    /// A `}` that closes nothing.
    StrayBrace,
    /// A `\` at the very end, behind a word.
    OpenEscape,
    /// `\0` with neither octal digits nor `x` and hexadecimal ones behind it.
    BadEscape,
    /// A number that is no byte of an argument: zero, or above 255.
    BadNumber,
    /// A byte 0, which no argument can hold.
    Nul,
    /// A word longer than [`WORD_BYTES_MAX`].
    LongWord,
    /// Words longer in all than [`SCRIPT_BYTES_MAX`].
    Long,
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("the quote that begins here never ends"),
            Self::OpenBlock => f.write_str("the block that begins here never ends"),
            Self::StrayBrace => f.write_str("this } closes no block"),
            Self::OpenEscape => f.write_str("a \\ at the end escapes nothing"),
            Self::BadEscape => f.write_str("\\0 needs octal digits, or x and hexadecimal digits"),
            Self::BadNumber => f.write_str("an escaped number must be from 1 to 255"),
            Self::Nul => f.write_str("it holds a zero byte, which no argument can"),
            Self::LongWord => write!(f, "a word is longer than {WORD_BYTES_MAX} bytes"),
            Self::Long => write!(f, "its words are longer than {SCRIPT_BYTES_MAX} bytes in all"),
        }
    }
}

/// The argument vector of the command in `text`; empty where there is none.
///
/// Agrees with `execlineb` 2.9 byte for byte, also where its documentation is
/// silent: every byte from 1 to 32 is white space, and a `\` right behind a
/// lone brace makes the brace the beginning of the next word.
pub fn parse(text: &[u8]) -> Result<Vec<Box<[u8]>>, ScriptError> {
    let mut lexer = Lexer { text, at: 0, line: 1, words: Words::default(), blocks: Vec::new() };
    match lexer.run() {
        Ok(()) => Ok(lexer.words.done),
        Err(fault) => Err(ScriptError { line: lexer.line, fault }),
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    words: Words,
    /// The lines in which the open blocks began.
    blocks: Vec<u32>,
}

/// What the lexer is in the middle of.
#[derive(Clone, Copy)]
enum State {
    Between,
    /// In a word outside of quotes.
    Word,
    /// Behind a `{` or `}` that began a word: a block's mark, if the word ends.
    Brace,
    Comment,
    /// In a quote that began in this line.
    Quote(u32),
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), ScriptFault> {
        let mut state = State::Between;
        while let Some(byte) = self.next()? {
            state = match (state, byte) {
                (State::Comment, b'\n') => State::Between,
                (State::Comment, _) => State::Comment,
                (State::Between, b'#') => State::Comment,
                (State::Between, 1..=b' ') => State::Between,
                (State::Between | State::Brace, b'\\') => {
                    self.words.leave(self.blocks.len())?;
                    match self.next()? {
                        None | Some(b'\n') => State::Between,
                        Some(byte) => self.literal(byte),
                    }
                }
                (State::Between, brace @ (b'{' | b'}')) => {
                    self.literal(brace);
                    State::Brace
                }
                (State::Brace, 1..=b' ') => {
                    self.brace()?;
                    State::Between
                }
                (State::Word, 1..=b' ') => {
                    self.words.end(self.blocks.len())?;
                    State::Between
                }
                (State::Quote(_), b'"') => State::Word,
                (State::Quote(_), b'\\') => {
                    self.quoted_escape()?;
                    state
                }
                (State::Quote(_), byte) => {
                    self.literal(byte);
                    state
                }
                (_, b'"') => State::Quote(self.line),
                (State::Word, b'\\') => {
                    let byte = self.next()?.ok_or(ScriptFault::OpenEscape)?;
                    self.literal(byte)
                }
                (_, byte) => self.literal(byte),
            };
        }
        match state {
            State::Between | State::Comment => {}
            State::Word => self.words.end(self.blocks.len())?,
            State::Brace => self.brace()?,
            State::Quote(line) => {
                self.line = line;
                return Err(ScriptFault::OpenQuote);
            }
        }
        if let Some(&line) = self.blocks.last() {
            self.line = line;
            return Err(ScriptFault::OpenBlock);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<u8>, ScriptFault> {
        let Some(&byte) = self.text.get(self.at) else { return Ok(None) };
        if self.at > 0 && self.text[self.at - 1] == b'\n' {
            self.line += 1;
        }
        self.at += 1;
        if byte == 0 { Err(ScriptFault::Nul) } else { Ok(Some(byte)) }
    }

    /// `byte` belongs to the word.
    fn literal(&mut self, byte: u8) -> State {
        self.words.word.push(byte);
        State::Word
    }

    /// A block's mark ends.
    fn brace(&mut self) -> Result<(), ScriptFault> {
        if self.words.word.pop() == Some(b'{') {
            self.blocks.push(self.line);
            return Ok(());
        }
        self.blocks.pop().ok_or(ScriptFault::StrayBrace)?;
        self.words.end(self.blocks.len())
    }

    /// What stands behind a `\` in a quote.
    fn quoted_escape(&mut self) -> Result<(), ScriptFault> {
        let Some(byte) = self.next()? else { return Ok(()) }; // The open quote is the mistake.
        let literal = match byte {
            b'\n' => return Ok(()),
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'0' if self.text.get(self.at) == Some(&b'x') => {
                self.at += 1;
                self.number(16, 2)?
            }
            b'0' => self.number(8, 3)?,
            b'1'..=b'9' => {
                self.at -= 1;
                self.number(10, 3)?
            }
            byte => byte,
        };
        self.literal(literal);
        Ok(())
    }

    /// A number of at least one and at most `digits_max` digits.
    fn number(&mut self, radix: u32, digits_max: usize) -> Result<u8, ScriptFault> {
        let start = self.at;
        let mut number = 0;
        while self.at - start < digits_max {
            let digit = self.text.get(self.at).and_then(|b| char::from(*b).to_digit(radix));
            let Some(digit) = digit else { break };
            number = number * radix + digit;
            self.at += 1;
        }
        if self.at == start {
            return Err(ScriptFault::BadEscape);
        }
        match u8::try_from(number) {
            Ok(byte @ 1..) => Ok(byte),
            _ => Err(ScriptFault::BadNumber),
        }
    }
}

/// The words so far.
#[derive(Default)]
struct Words {
    /// Braces that a `\` left to the next word (see [`parse`]).
    left: Vec<u8>,
    word: Vec<u8>,
    done: Vec<Box<[u8]>>,
    /// With the zero byte that will stand behind each.
    bytes: usize,
}

impl Words {
    /// A brace that turns out to be none, inside of `depth` blocks, stays for
    /// the next word.
    fn leave(&mut self, depth: usize) -> Result<(), ScriptFault> {
        if !self.word.is_empty() {
            if self.left.len() + depth > WORD_BYTES_MAX {
                return Err(ScriptFault::LongWord);
            }
            self.left.resize(self.left.len() + depth, b' ');
            self.left.append(&mut self.word);
        }
        Ok(())
    }

    /// The word ends inside of `depth` blocks.
    fn end(&mut self, depth: usize) -> Result<(), ScriptFault> {
        let length = self.left.len() + depth + self.word.len();
        self.bytes += length + 1;
        if length > WORD_BYTES_MAX {
            return Err(ScriptFault::LongWord);
        }
        if self.bytes > SCRIPT_BYTES_MAX {
            return Err(ScriptFault::Long);
        }
        let mut word = Vec::with_capacity(length);
        word.append(&mut self.left);
        word.resize(word.len() + depth, b' ');
        word.append(&mut self.word);
        self.done.push(word.into_boxed_slice());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScriptFault::*;
    use alloc::string::String;

    /// The words, each with a `|` behind it.
    fn words(text: &str) -> Result<String, (u32, ScriptFault)> {
        let words = parse(text.as_bytes()).map_err(|e| (e.line, e.fault))?;
        Ok(words.iter().map(|word| String::from_utf8_lossy(word).into_owned() + "|").collect())
    }

    #[test]
    fn text_becomes_words_as_execlineb_makes_them() {
        for (text, expected) in [
            ("", ""),
            ("echo hello", "echo|hello|"),
            ("a\"b c\"d\n\"\"\n", "ab cd||"),
            ("a#b #c d\ne", "a#b|e|"),
            ("# all of it", ""),
            ("\\# \\\" \\{ a\\ b", "#|\"|{|a b|"),
            ("a \\\n b", "a|b|"), // continued, as in a shell
            ("a\\\nb", "a\nb|"),  // and yet not inside a word
            ("{ a { b } c }", " a|  b| | c||"),
            ("{ } { }", "||"),
            ("{} }{ a{ {a} \"{\"", "{}|}{|a{|{a}|{|"), // no braces of blocks
            ("\"\\0x41\\0101\\65\\n\\q\\\nz\"", "AAA\nqz|"),
            ("\"\\0xa!\\7!\\01!\"", "\n!\u{7}!\u{1}!|"),
            ("\"\\0x414\\01234\\1234\"", "A4S4{4|"),
            (
                "/bin/sh -c \"ip link set lo up && echo \\\"done\\\"\"",
                "/bin/sh|-c|ip link set lo up && echo \"done\"|",
            ),
        ] {
            assert_eq!(words(text).as_deref(), Ok(expected), "reading {text:?}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_line() {
        for (text, expected) in [
            ("a\n\"b\nc", (2, OpenQuote)),
            ("{\n a {\n }\n", (1, OpenBlock)),
            ("a\nb }\n", (2, StrayBrace)),
            ("a\\", (1, OpenEscape)),
            ("\n\n\"\\0q\"", (3, BadEscape)),
            ("\"\\0x00\"", (1, BadNumber)),
            ("\"\\256\"", (1, BadNumber)),
            ("\"\\0400\"", (1, BadNumber)),
            ("a\0b", (1, Nul)),
        ] {
            assert_eq!(words(text), Err(expected), "reading {text:?}");
        }
    }

    #[test]
    fn a_command_that_could_never_run_is_refused() {
        let long = "x".repeat(WORD_BYTES_MAX);
        assert!(parse(long.as_bytes()).is_ok());
        assert_eq!(words(&(long.clone() + "y")), Err((1, LongWord)));
        assert_eq!(words(&(long + "\n").repeat(20)), Err((17, Long)));
        // Each of these words has all its blocks' spaces before it.
        let deep = "{ a ".repeat(50_000);
        assert!(matches!(words(&deep), Err((1, LongWord | Long))));
        let left = "{ ".repeat(50_000) + &"{\\\n".repeat(100_000);
        assert!(matches!(words(&left), Err((_, LongWord))));
    }
}
