//! A line of a log as people and programs are shown it.

use alloc::vec::Vec;

use crate::label::{self, Reading, append, append_local};
use crate::log::line::Line;
use crate::log::mark::{Boot, SERVICE};
use crate::log::priority::{ERROR, Priority, WARNING};
use crate::time::Date;
use crate::zone::Zone;

/// A line, and what the log around it says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Without the priority that its text begins with.
    pub line: Line<'a>,
    pub priority: Option<Priority>,
    /// When it was.
    pub date: Option<Date>,
    /// The wall clock was wrong when it was written, and its label is, too.
    pub corrected: bool,
    pub boot: Option<Boot>,
}

/// Stands behind a time that is not the label's.
const CORRECTED: u8 = b'*';

/// What names of services are shown in: colours that can be read on black and on white.
const COLOURS: [&[u8]; 6] =
    [b"\x1b[31m", b"\x1b[32m", b"\x1b[33m", b"\x1b[34m", b"\x1b[35m", b"\x1b[36m"];
const DIM: &[u8] = b"\x1b[2m";
/// What the text of an error and of a warning is shown in.
const RED: &[u8] = b"\x1b[31m";
const YELLOW: &[u8] = b"\x1b[33m";
const PLAIN: &[u8] = b"\x1b[0m";

impl<'a> Entry<'a> {
    /// The line as it is by itself.
    pub fn new(line: Line<'a>) -> Self {
        let (priority, text) = Priority::split(line.text);
        let line = Line { text, ..line };
        Self { line, priority, date: line.date(), corrected: false, boot: None }
    }

    /// It is none of what services said.
    pub fn is_mark(&self) -> bool {
        self.line.service == Some(SERVICE.as_bytes())
    }

    /// Appends it as a line of text that cannot steer a terminal.
    pub fn append_text(&self, zone: &Zone, colours: bool, out: &mut Vec<u8>) {
        if let Some(label) = self.line.label {
            let dated = self.date.is_some_and(|date| append_local(date, Reading::Tai, zone, out));
            if !dated {
                append_escaped(label, out);
            } else if self.corrected {
                out.push(CORRECTED);
            }
            out.push(b' ');
        }
        if let Some(service) = self.line.service {
            if colours {
                out.extend_from_slice(if self.is_mark() { DIM } else { colour_of(service) });
            }
            append_escaped(service, out);
            if colours {
                out.extend_from_slice(PLAIN);
            }
            out.push(b' ');
        }
        let colour = match self.priority.filter(|_| colours).map(Priority::severity) {
            Some(..=ERROR) => Some(RED),
            Some(WARNING) => Some(YELLOW),
            _ => None,
        };
        out.extend_from_slice(colour.unwrap_or_default());
        append_escaped(self.line.text, out);
        if colour.is_some() {
            out.extend_from_slice(PLAIN);
        }
        out.push(b'\n');
    }

    /// Appends the day of the year, the second and the text, without an end of line: what fits beside others of
    /// the same service.
    pub fn append_short(&self, zone: &Zone, out: &mut Vec<u8>) {
        let mut time = Vec::new();
        if self.date.is_some_and(|date| append_local(date, Reading::Tai, zone, &mut time)) {
            // `YYYY-MM-DD HH:MM:SS.nnnnnnnnn`; the year may be longer.
            let end = time.len() - 10;
            out.extend_from_slice(&time[end - 14..end]);
            out.push(b' ');
        }
        append_escaped(self.line.text, out);
    }

    /// Appends it as one line with a JSON object. What is not known is null.
    pub fn append_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":");
        if !self.append_time(out) {
            out.extend_from_slice(b"null");
        }
        append_field(b",\"label\":", self.line.label.map(|label| &label[..]), out);
        append_field(b",\"service\":", self.line.service, out);
        append_field(b",\"text\":", Some(self.line.text), out);
        if core::str::from_utf8(self.line.text).is_err() {
            out.extend_from_slice(b",\"bytes\":");
            for (at, &byte) in self.line.text.iter().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                append(byte.into(), 1, out);
            }
            out.push(b']');
        }
        append_field(b",\"boot\":", self.boot.as_ref().map(|boot| &boot[..]), out);
        self.append_priority(out);
        if self.corrected {
            out.extend_from_slice(b",\"corrected\":true");
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends the time as a JSON string, in UTC; `false` where it is not known.
    pub(super) fn append_time(&self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.push(b'"');
        if !self.date.is_some_and(|date| append_local(date, Reading::Tai, &Zone::UTC, out)) {
            out.truncate(start);
            return false;
        }
        let space = out[start..].iter().position(|&byte| byte == b' ');
        out[start + space.unwrap_or(0)] = b'T';
        out.extend_from_slice(b"Z\"");
        true
    }

    pub(super) fn append_priority(&self, out: &mut Vec<u8>) {
        if let Some(priority) = self.priority {
            out.extend_from_slice(b",\"priority\":");
            append(priority.severity().into(), 1, out);
        }
    }
}

/// The same colour for the same service, always.
fn colour_of(service: &[u8]) -> &'static [u8] {
    let sum = service.iter().fold(5_381_u32, |sum, &b| sum.wrapping_mul(33) ^ u32::from(b));
    COLOURS[(sum >> 4) as usize % COLOURS.len()]
}

/// Appends bytes as text in which nothing is left that a terminal obeys: what is
/// no UTF-8, and each byte of what steers, becomes `\xNN`. Tabs stay.
pub fn append_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().all(|&byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let letter = c.encode_utf8(&mut buffer).as_bytes();
            if steers(c) {
                append_hex(letter, out);
            } else {
                out.extend_from_slice(letter);
            }
        }
        append_hex(chunk.invalid(), out);
    }
}

/// Control characters, and those that turn the direction of writing, so that
/// a line looks as if it said something else (Unicode TR 36, 3.2).
fn steers(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn append_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(b"\\x");
        label::append_hex(&[*byte], out);
    }
}

/// Appends the name of a field, and a JSON string.
fn append_field(name: &[u8], text: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    match text {
        Some(text) => append_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a JSON string; what is no UTF-8 becomes U+FFFD.
pub(super) fn append_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut buffer = [0; 4];
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                '\0'..='\x1f' | '\x7f' => {
                    out.extend_from_slice(b"\\u00");
                    label::append_hex(&[c as u8], out);
                }
                _ => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &[u8]) -> Entry<'_> {
        Entry::new(Line::read(line, true))
    }

    fn text(line: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        entry(line).append_text(&Zone::UTC, false, &mut out);
        out
    }

    #[test]
    fn nothing_in_a_line_steers_a_terminal() {
        let before = "1970-01-01 00:00:00.000000000";
        for (line, shown) in [
            (&b" a b c\t~\\"[..], "a b c\t~\\"),
            (b" a \x1b[31mred\x07", r"a \x1b[31mred\x07"),
            (b" a \xc2\x9b31m", r"a \xc2\x9b31m"), // the same in one character
            (b" a \x9b31m", r"a \x9b31m"),
            (b" a \xe2\x80\xaeback", r"a \xe2\x80\xaeback"),
            (b" a gr\xc3\xbc\xc3\x9fe", "a grüße"),
            (b" a\x1bb c", r"a\x1bb c"),
            (b" nothing", "nothing"),
            (b" a ", "a "),
            (b" a \r\0\x7f", r"a \x0d\x00\x7f"),
        ] {
            let whole = [b"@400000000000000a00000000", line].concat();
            let expected = alloc::format!("{before} {shown}\n");
            assert_eq!(text(&whole), expected.as_bytes(), "{}", whole.escape_ascii());
        }
        for (line, shown) in [
            (&b"no label \x1b"[..], &b"no label \\x1b\n"[..]),
            (b"", b"\n"),
            (b"@400000000000000a0000000\x1b a b", b"@400000000000000a0000000\\x1b a b\n"),
            (b"@ffffffffffffffff00000000 a b", b"@ffffffffffffffff00000000 a b\n"),
        ] {
            assert_eq!(text(line), shown);
        }
    }

    #[test]
    fn the_short_form_has_no_year_and_no_name() {
        for (line, shown) in [
            (&b"@400000000000000a00000000 dns <3>up\x1b"[..], r"01-01 00:00:00 up\x1b"),
            (b"no label", "no label"),
            (b"@ffffffffffffffff00000000 a b", "b"),
        ] {
            let mut out = Vec::new();
            entry(line).append_short(&Zone::UTC, &mut out);
            assert_eq!(out, shown.as_bytes(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_corrected_time_is_marked_and_a_service_has_a_colour() {
        let mut out = Vec::new();
        let line = entry(b"@400000000000000a00000000 dns up");
        Entry { corrected: true, ..line }.append_text(&Zone::UTC, true, &mut out);
        let out = alloc::string::String::from_utf8(out).unwrap();
        let rest = out.strip_prefix("1970-01-01 00:00:00.000000000* \x1b[3").unwrap();
        assert_eq!(&rest[1..], "mdns\x1b[0m up\n");
    }

    #[test]
    fn a_priority_is_hidden_and_bad_news_have_a_colour() {
        for (said, shown) in [
            ("<3>bad", "\x1b[31mbad\x1b[0m\n"),
            ("<24>worse", "\x1b[31mworse\x1b[0m\n"),
            ("<4>odd", "\x1b[33modd\x1b[0m\n"),
            ("<6>fine", "fine\n"),
            ("<b>fine", "<b>fine\n"),
        ] {
            let line = alloc::format!("@400000000000000a00000000 dns {said}");
            let mut out = Vec::new();
            entry(line.as_bytes()).append_text(&Zone::UTC, true, &mut out);
            assert!(out.ends_with(alloc::format!("dns\x1b[0m {shown}").as_bytes()), "{said}");
            let plain = text(line.as_bytes());
            assert!(!plain.contains(&0x1b), "{said}");
        }
    }

    #[test]
    fn an_object_has_the_bytes_only_of_what_is_no_text() {
        let mut out = Vec::new();
        entry(b"@400000000000000a00000007 dns \"a\\\t\x7f\xc3\xbc").append_json(&mut out);
        let bytes = entry(b"@400000000000000a00000007 dns \xffb");
        let boot = Some(*b"0a1b2c3d-1111-2222-3333-0123456789ab");
        Entry { corrected: true, boot, ..bytes }.append_json(&mut out);
        entry(b"nothing").append_json(&mut out);
        entry(b"@400000000000000a00000007 dns <28>odd").append_json(&mut out);
        assert_eq!(
            alloc::string::String::from_utf8(out).unwrap(),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000000007Z","label":"@400000000000000a00000007","#,
                r#""service":"dns","text":"\"a\\\u0009\u007fü","boot":null}"#,
                "\n",
                r#"{"time":"1970-01-01T00:00:00.000000007Z","label":"@400000000000000a00000007","#,
                r#""service":"dns","text":"�b","bytes":[255,98],"#,
                r#""boot":"0a1b2c3d-1111-2222-3333-0123456789ab","corrected":true}"#,
                "\n",
                r#"{"time":null,"label":null,"service":null,"text":"nothing","boot":null}"#,
                "\n",
                r#"{"time":"1970-01-01T00:00:00.000000007Z","label":"@400000000000000a00000007","#,
                r#""service":"dns","text":"odd","boot":null,"priority":4}"#,
                "\n",
            )
        );
    }
}
