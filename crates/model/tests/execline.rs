//! The lexer of scripts beside Debian's `execlineb`: both make the same
//! arguments of a text, or both refuse it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::service::execline::{ScriptFault, parse};

/// Prints its arguments, a zero byte behind each.
const PRINT: &str = r#"/bin/sh -c "for word; do printf \"%s\\0\" \"$word\"; done" sh "#;

#[test]
fn chosen_texts_mean_what_they_mean_to_execlineb() {
    let debian = Debian::new("chosen");
    for text in [
        "",
        "a b",
        "\"\"",
        "a\"b c\"d",
        "{ a { b } c }",
        "{ }",
        "{}",
        "}{",
        "{",
        "}",
        "{ } }",
        "{ { }",
        "{\"\" a }",
        "\"{\" \\{ \\}",
        "a#b # c",
        "#",
        "\"#\" \\#",
        "a \\",
        "a\\",
        "\\",
        "a\\\nb",
        "a \\\nb",
        "\\\n",
        "{\\\ny",
        "{ {\\\nz }",
        "{ {\\x }",
        "{ {\\\n{\\x } }",
        "{\\\n{ y }",
        "}\\",
        "{ \\ }",
        "\"a\\\nb\"",
        "\"abc",
        "\"abc\\",
        "\"\\a\\b\\t\\n\\v\\f\\r\\q\\\"\\\\\"",
        "\\a\\n",
        "\"\\0x41 \\0x4 \\0x414\"",
        "\"\\0x\"",
        "\"\\0xg\"",
        "\"\\0X41\"",
        "\"\\0x00\"",
        "\"\\0\"",
        "\"\\0101 \\07 \\0377\"",
        "\"\\0400\"",
        "\"\\0778\"",
        "\"\\08\"",
        "\"\\000\"",
        "\"\\0010\"",
        "\"\\65 \\6 \\1234 \\255\"",
        "\"\\256\"",
        "\"\\999\"",
        "\"\\1\\\n2\"",
        "\"\\0x4\\\n1\"",
        "a\tb\rc\u{b}d\u{c}e\u{1}f",
        "a \u{1} b",
        "{ \u{2} }",
        "\u{e9} \"\\0xff\"",
        "$a ${b}",
        "{ foreground { echo 1 } echo 2 }",
    ] {
        debian.compare(text.as_bytes());
    }
}

#[test]
fn any_texts_mean_what_they_mean_to_execlineb() {
    const PIECES: [&str; 24] = [
        " ", " ", "\n", "\t", "\"", "\"", "\\", "\\", "{ ", " }", "{", "}", "#", "a", "n", "x",
        "0", "0x", "1", "7", "9", "b", "\u{e9}", "\r",
    ];
    let debian = Debian::new("any");
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut dice = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides as u64) as usize
    };
    let mut both_accept = 0;
    for _ in 0..700 {
        let pieces = dice(14);
        let text: String = (0..pieces).map(|_| PIECES[dice(PIECES.len())]).collect();
        both_accept += u32::from(debian.compare(text.as_bytes()));
    }
    assert!(both_accept > 100, "only {both_accept} texts were commands: the test tests little");
}

struct Debian {
    script: PathBuf,
}

impl Debian {
    fn new(what: &str) -> Self {
        assert!(
            Path::new("/usr/bin/execlineb").exists(),
            "execlineb is missing; `./setup` installs it"
        );
        let name = format!("doorward-execline-{what}-{}", std::process::id());
        Self { script: std::env::temp_dir().join(name) }
    }

    /// Compares, and says whether the text is a command.
    fn compare(&self, text: &[u8]) -> bool {
        let mut whole = PRINT.as_bytes().to_vec();
        whole.extend_from_slice(text);
        std::fs::File::create(&self.script)
            .and_then(|mut file| file.write_all(&whole))
            .expect("the script can be written");
        let output = Command::new("/usr/bin/execlineb")
            .arg("-P")
            .arg(&self.script)
            .stderr(Stdio::null())
            .output()
            .expect("execlineb can be started");
        let theirs = match output.status.code() {
            Some(0) => Some(output.stdout),
            Some(100) => None,
            other => {
                panic!("execlineb ended with {other:?} on {:?}", String::from_utf8_lossy(text))
            }
        };
        let ours = parse(&whole);
        if ours.as_ref().is_err_and(|error| error.fault == ScriptFault::OpenQuote)
            && text.last().is_some_and(u8::is_ascii_hexdigit)
        {
            // execlineb overlooks an open quote whose text ends inside of a
            // numeric escape. We say that it is open.
            return false;
        }
        let ours = ours.ok().map(|words| {
            let mut bytes = Vec::new();
            for word in &words[4..] {
                bytes.extend_from_slice(word);
                bytes.push(0);
            }
            bytes
        });
        let show = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        assert_eq!(show(&ours), show(&theirs), "on {:?}", String::from_utf8_lossy(text));
        ours.is_some()
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.script);
    }
}
