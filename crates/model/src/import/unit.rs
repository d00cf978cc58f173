//! The syntax of systemd's units: lines, words, specifiers, times and sizes.
//!
//! Source: systemd.syntax(7), systemd.unit(5) "Specifiers", systemd.service(5) "Command lines",
//! systemd.time(7).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Remarks;
use super::script::{Piece, Word, is_variable};

/// One `Key=value` of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The file it is in, as messages call it.
    pub file: &'a str,
    /// Its first line, from 1.
    pub line: u32,
    pub section: String,
    pub key: String,
    /// Without the blanks around it; the line ends that it went over are blanks.
    pub value: String,
}

impl<'a> Setting<'a> {
    pub fn place(&self) -> (&'a str, u32) {
        (self.file, self.line)
    }
}

/// Reads the settings of one file; what is no setting is left out with a remark.
pub(super) fn settings<'a>(file: &'a str, text: &str, remarks: &mut Remarks) -> Vec<Setting<'a>> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim().to_string();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        while line.ends_with('\\') {
            line.pop();
            line.push(' ');
            // Comments between the parts of a line are no part of it.
            let mut next = lines.by_ref().map(|(_, next)| next.trim());
            match next.find(|next| !next.starts_with(['#', ';'])) {
                Some(next) => line.push_str(next),
                None => break,
            }
        }
        let place = (file, number);
        if let Some(title) = line.strip_prefix('[') {
            section = title.trim_end().trim_end_matches(']').to_string();
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            remarks.left_out(place, alloc::format!("{line}: it is no setting"));
            continue;
        };
        if section.is_empty() {
            remarks.left_out(place, alloc::format!("{line}: it stands before the first section"));
            continue;
        }
        if value.contains('\0') {
            remarks.left_out(place, alloc::format!("{key}: a character in it has no meaning"));
            continue;
        }
        let (key, value) = (key.trim().to_string(), value.trim().to_string());
        found.push(Setting { file, line: number, section: section.clone(), key, value });
    }
    found
}

/// The parts of the name of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName<'a> {
    /// `foo@bar.service`
    pub full: &'a str,
    /// `foo@bar`
    pub stem: &'a str,
    /// `service`
    pub kind: &'a str,
    /// `foo`
    pub prefix: &'a str,
    /// `bar`, where it has an `@`.
    pub instance: Option<&'a str>,
}

impl<'a> UnitName<'a> {
    pub fn parse(full: &'a str) -> Self {
        let (stem, kind) = full.rsplit_once('.').unwrap_or((full, ""));
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        Self { full, stem, kind, prefix, instance }
    }

    /// `foo@.service`, which cannot be started without an instance.
    pub fn is_template(&self) -> bool {
        self.instance == Some("")
    }

    /// What stands in for `%` and this character; nothing: it is none that is known.
    fn specifier(&self, letter: char) -> Option<Piece> {
        let instance = self.instance.unwrap_or("");
        let text = match letter {
            '%' => "%".into(),
            'n' => self.full.into(),
            'N' => self.stem.into(),
            'p' => self.prefix.into(),
            'P' => unescaped(self.prefix),
            'i' => instance.into(),
            'I' => unescaped(instance),
            'j' => last_part(self.prefix).into(),
            'J' => unescaped(last_part(self.prefix)),
            'f' => {
                let path = if self.instance.is_some() { instance } else { self.prefix };
                let path = unescaped(path);
                if path.starts_with('/') { path } else { alloc::format!("/{path}") }
            }
            't' => "/run".into(),
            'S' => "/var/lib".into(),
            'C' => "/var/cache".into(),
            'L' => "/var/log".into(),
            'E' => "/etc".into(),
            'T' => "/tmp".into(),
            'V' => "/var/tmp".into(),
            'h' => "/root".into(),
            'u' | 'g' => "root".into(),
            'U' | 'G' => "0".into(),
            's' => "/bin/sh".into(),
            'H' => return Some(Piece::Printed("uname -n")),
            'v' => return Some(Piece::Printed("uname -r")),
            'm' => return Some(Piece::Printed("cat /etc/machine-id")),
            'b' => return Some(Piece::Printed("tr -d - </proc/sys/kernel/random/boot_id")),
            _ => return None,
        };
        Some(Piece::Text(text))
    }

    /// `text` with its specifiers filled in, where all that is known without the machine.
    ///
    /// # Errors
    /// The specifier that is not.
    pub fn filled(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            if c != '%' {
                filled.push(c);
                continue;
            }
            let letter = characters.next().unwrap_or('%');
            match self.specifier(letter) {
                Some(Piece::Text(text)) => filled.push_str(&text),
                _ => return Err(alloc::format!("%{letter}")),
            }
        }
        if filled.contains('\0') { Err("a NUL character".into()) } else { Ok(filled) }
    }

    /// A word of a command: specifiers filled in and, where `variables` says so, variables found.
    pub(super) fn word(&self, text: &str, variables: bool) -> Result<Word, String> {
        if variables
            && let Some(name) = text.strip_prefix('$')
            && is_variable(name)
        {
            return Ok(alloc::vec![Piece::Split(name.into())]);
        }
        let mut word = Vec::new();
        let mut plain = String::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            let rest = characters.as_str();
            match c {
                '%' => {
                    let letter = characters.next().unwrap_or('%');
                    match self.specifier(letter) {
                        Some(Piece::Text(text)) => plain.push_str(&text),
                        Some(piece) => {
                            push_text(&mut word, &mut plain);
                            word.push(piece);
                        }
                        None => return Err(alloc::format!("%{letter}")),
                    }
                }
                '$' if variables && rest.starts_with('$') => {
                    characters.next();
                    plain.push('$');
                }
                '$' if variables && rest.starts_with('{') => {
                    let Some((name, behind)) = rest[1..].split_once('}') else {
                        return Err("a variable without an end".into());
                    };
                    if !is_variable(name) {
                        return Err(alloc::format!("${{{name}}}"));
                    }
                    push_text(&mut word, &mut plain);
                    word.push(Piece::Variable(name.into()));
                    characters = behind.chars();
                }
                '\0' => return Err("a NUL character".into()),
                c => plain.push(c),
            }
        }
        push_text(&mut word, &mut plain);
        Ok(word)
    }
}

fn push_text(word: &mut Word, plain: &mut String) {
    if !plain.is_empty() {
        word.push(Piece::Text(core::mem::take(plain)));
    }
}

fn last_part(prefix: &str) -> &str {
    prefix.rsplit('-').next().unwrap_or(prefix)
}

/// A part of a name as the path or text that it was made of: `-` is `/`, `\x2d` is `-`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                let c = if c == '-' { '/' } else { c };
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The words of a value: cut at blanks, quotes and escapes taken away.
///
/// # Errors
/// Why it cannot be read.
pub fn words(value: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if open == c => quote = None,
            (_, '\\') => {
                let word = word.get_or_insert_default();
                let rest = characters.as_str();
                let (bytes, length) = escape(rest);
                word.extend_from_slice(&bytes);
                characters = rest[length..].chars();
            }
            (_, c) => {
                let word = word.get_or_insert_default();
                word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    if let Some(quote) = quote {
        return Err(alloc::format!("the quote {quote} is not closed"));
    }
    words.extend(word);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string());
    words.into_iter().map(text).collect()
}

/// The commands of a line: a `;` that stands alone parts them, unless it is quoted.
pub fn commands(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut escaped, mut blank) = (0, None, false, true);
    for (at, c) in line.char_indices() {
        let behind = line[at + c.len_utf8()..].chars().next();
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ';') if blank && behind.is_none_or(|c| c.is_ascii_whitespace()) => {
                found.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        blank = c.is_ascii_whitespace();
    }
    found.push(&line[start..]);
    found
}

/// What stands behind a backslash: the bytes that it means, and its length.
fn escape(rest: &str) -> (Vec<u8>, usize) {
    let Some(c) = rest.chars().next() else { return (alloc::vec![b'\\'], 0) };
    let plain = match c {
        'a' => 7,
        'b' => 8,
        't' => 9,
        'n' => 10,
        'v' => 11,
        'f' => 12,
        'r' => 13,
        's' => b' ',
        '\\' | '"' | '\'' | ' ' => c as u8,
        _ => 0,
    };
    if plain != 0 {
        return (alloc::vec![plain], 1);
    }
    let number = |from: usize, digits: usize, radix: u32| {
        let digits = rest.get(from..from + digits)?;
        let number = u32::from_str_radix(digits, radix).ok()?;
        (!digits.starts_with('+') && number != 0).then_some(number)
    };
    let character = |number: Option<u32>| Some(char::from_u32(number?)?.to_string().into_bytes());
    let byte = |number: Option<u32>| Some(alloc::vec![u8::try_from(number?).ok()?]);
    let found = match c {
        'x' => byte(number(1, 2, 16)).map(|bytes| (bytes, 3)),
        'u' => character(number(1, 4, 16)).map(|bytes| (bytes, 5)),
        'U' => character(number(1, 8, 16)).map(|bytes| (bytes, 9)),
        '0'..='3' => byte(number(0, 3, 8)).map(|bytes| (bytes, 3)),
        _ => None,
    };
    // One that means nothing stays as it is.
    found.unwrap_or((alloc::vec![b'\\'], 0))
}

/// A time in milliseconds; `Some(None)`: without end.
pub fn milliseconds(text: &str) -> Option<Option<u64>> {
    if text == "infinity" {
        return Some(None);
    }
    let mut total = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let microseconds: u64 = match unit {
            "us" | "usec" | "µs" | "μs" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            "w" | "week" | "weeks" => 604_800_000_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().ok()?;
        let mut sum = whole.checked_mul(microseconds)?;
        let mut share = microseconds;
        for digit in part.chars() {
            share /= 10;
            sum = sum.checked_add(u64::from(digit.to_digit(10)?) * share)?;
        }
        total = total.checked_add(sum)?;
        rest = behind.trim_start();
    }
    Some(Some(total.div_ceil(1000)))
}

/// A number with K, M, G or T behind it; `Some(None)`: without end.
pub fn size(text: &str) -> Option<Option<u64>> {
    if text == "infinity" {
        return Some(None);
    }
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    Some(Some(number.checked_mul(1 << shift)?))
}

/// A switch: yes or no.
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn lines_go_on_and_comments_between_do_not_matter() {
        let text = "# top\n[Unit]\nDescription= A \n; no\n\n[Service]\nExecStart=/bin/a \\\n  \
                    # between\n; too\n  -b \\\n-c\nbroken\nUser=x\nEnd=\\";
        let mut remarks = Remarks::default();
        let found = settings("a.service", text, &mut remarks);
        let shown: Vec<(u32, &str, &str)> =
            found.iter().map(|s| (s.line, s.key.as_str(), s.value.as_str())).collect();
        assert_eq!(
            shown,
            [
                (3, "Description", "A"),
                (7, "ExecStart", "/bin/a  -b  -c"),
                (13, "User", "x"),
                (14, "End", ""),
            ]
        );
        assert_eq!(remarks.0.len(), 1);
        assert_eq!(remarks.0[0].to_string(), "a.service:12: left out: broken: it is no setting");
    }

    #[test]
    fn words_are_cut_as_the_manual_says() {
        for (value, expected) in [
            ("/bin/a b  c", Ok(&["/bin/a", "b", "c"][..])),
            ("a \"b c\" 'd \"e'", Ok(&["a", "b c", "d \"e"])),
            ("a '' \"\"", Ok(&["a", "", ""])),
            ("x\\x20y \\s \\t|", Ok(&["x y", " ", "\t|"])),
            ("\\u00e4 \\303\\244", Ok(&["ä", "ä"])),
            ("\\d+ a\\", Ok(&["\\d+", "a\\"])), // no escape: it stays
            ("a \"b", Err(())),
            ("\\xff", Err(())), // no text
            ("\\0", Ok(&["\\0"])),
        ] {
            let found = words(value);
            match expected {
                Ok(expected) => assert_eq!(
                    found.as_deref(),
                    Ok(expected)
                        .map(|e| {
                            let owned: Vec<String> = e.iter().map(|s| (*s).to_string()).collect();
                            owned
                        })
                        .as_deref(),
                    "{value}"
                ),
                Err(()) => assert!(found.is_err(), "{value}"),
            }
        }
    }

    #[test]
    fn only_a_bare_semicolon_parts_commands() {
        assert_eq!(commands("a ; b"), ["a ", " b"]);
        assert_eq!(commands("a 'x ; y' \"z ; \" \\; c; ;d"), ["a 'x ; y' \"z ; \" \\; c; ;d"]);
        assert_eq!(commands("a ;"), ["a ", ""]);
    }

    #[test]
    fn specifiers_and_variables_are_found_in_words() {
        let name = UnitName::parse("my-vpn@home-lan\\x2dx.service");
        let text = |text: &str| Piece::Text(text.into());
        for (word, expected) in [
            ("%n", vec![text("my-vpn@home-lan\\x2dx.service")]),
            ("--i=%i/%I", vec![text("--i=home-lan\\x2dx/home/lan-x")]),
            ("%p %j %f", vec![text("my-vpn vpn /home/lan-x")]),
            ("%t/%%", vec![text("/run/%")]),
            ("$OPTS", vec![Piece::Split("OPTS".into())]),
            ("a${B}c", vec![text("a"), Piece::Variable("B".into()), text("c")]),
            ("a$B", vec![text("a$B")]), // only whole words and braces
            ("$$X", vec![text("$X")]),
            ("%H:1", vec![Piece::Printed("uname -n"), text(":1")]),
        ] {
            assert_eq!(name.word(word, true), Ok(expected), "{word}");
        }
        assert_eq!(name.word("$A", false), Ok(vec![text("$A")]));
        assert_eq!(name.word("%Z", true), Err("%Z".into()));
        assert_eq!(name.word("${A", true), Err("a variable without an end".into()));
    }

    #[test]
    fn times_and_sizes_have_units() {
        for (text, expected) in [
            ("5", Some(Some(5000))),
            ("1min 30s", Some(Some(90_000))),
            ("100ms", Some(Some(100))),
            ("1.5", Some(Some(1500))),
            ("2h", Some(Some(7_200_000))),
            ("infinity", Some(None)),
            ("", None),
            ("soon", None),
            ("99999999999999999999", None),
            ("99999999999999w", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        assert_eq!(size("64K"), Some(Some(65_536)));
        assert_eq!(size("infinity"), Some(None));
        assert_eq!(size("9999999999999T"), None);
        assert_eq!(size("1KK"), None);
    }
}
