//! Shell scripts and commands that importers write: quoting, comments, finish scripts.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Remark, Weight};

/// A part of a word of a command, as far as it is known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// These characters.
    Text(String),
    /// The value of a variable, as it is.
    Variable(String),
    /// The value of a variable, cut at blanks.
    Split(String),
    /// What a command prints.
    Printed(&'static str),
}

/// One word of a command.
pub(super) type Word = Vec<Piece>;

/// A word as the shell has to read it.
pub(super) fn word(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(&quoted(part)),
            Piece::Variable(name) => text.push_str(&alloc::format!("\"${{{name}}}\"")),
            Piece::Split(name) => text.push_str(&alloc::format!("${{{name}}}")),
            Piece::Printed(command) => text.push_str(&alloc::format!("\"$({command})\"")),
        }
    }
    if text.is_empty() { "''".into() } else { text }
}

/// Words as the shell has to read them.
pub(super) fn words(words: &[Word]) -> String {
    let mut words: Vec<String> = words.iter().map(|pieces| word(pieces)).collect();
    // A program is no assignment, whatever it is called.
    if let Some(program) = words.first_mut().filter(|program| program.contains('=')) {
        *program = alloc::format!("''{program}");
    }
    words.join(" ")
}

/// Whether a shell would cut it at blanks, and so also look for files of that name.
pub(super) fn is_split(words: &[Word]) -> bool {
    words.iter().flatten().any(|piece| matches!(piece, Piece::Split(_)))
}

/// Text that the shell reads as one word: plain where nothing in it means anything.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !text.is_empty() && (text.chars().all(plain) || text == "[" || text == "]") {
        return text.into();
    }
    if text.is_empty() {
        return "''".into();
    }
    alloc::format!("'{}'", text.replace('\'', "'\\''"))
}

/// One command of execline that has the shell run `script`.
pub(super) fn execline(comment: &str, script: &str) -> String {
    let inside = script.replace('\\', "\\\\").replace('"', "\\\"");
    alloc::format!("{comment}/bin/sh -c \"\n{inside}\"\n")
}

/// Text without line ends and control characters, for a comment or a message.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The lines that begin a script: where it comes from, and what is missing in it.
pub(super) fn heading(from: &str, remarks: &[Remark]) -> String {
    let mut text =
        alloc::format!("# Made from {} by `doorward import`; see README.\n", one_line(from));
    for remark in remarks.iter().filter(|remark| remark.weight == Weight::LeftOut) {
        let line = match remark.line {
            0 => String::new(),
            line => alloc::format!("line {line}, "),
        };
        text.push_str(&alloc::format!("# {line}left out: {}\n", remark.what));
    }
    text
}

/// Whether the shell takes it for the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A limit of the kernel, for the shell: `soft` and `hard` in the units of `limit`.
pub(super) fn limit(name: &str, soft: Option<u64>, hard: Option<u64>) -> Option<String> {
    // What the shell counts in, and its letter: POSIX `ulimit`, and dash's and busybox's own.
    let (letter, unit) = match name {
        "NOFILE" => ("n", 1),
        "NPROC" => ("p", 1),
        "CORE" => ("c", 512),
        "FSIZE" => ("f", 512),
        "DATA" => ("d", 1024),
        "STACK" => ("s", 1024),
        "AS" => ("v", 1024),
        "MEMLOCK" => ("l", 1024),
        "RSS" => ("m", 1024),
        "CPU" => ("t", 1),
        "LOCKS" => ("w", 1),
        "RTPRIO" => ("r", 1),
        _ => return None,
    };
    let shown = |value: Option<u64>| match value {
        Some(value) => alloc::format!("{}", value.div_ceil(unit)),
        None => "unlimited".into(),
    };
    let (soft, hard) = (shown(soft), shown(hard));
    // The soft one first: it may not be above the hard one; and again, where it was.
    Some(alloc::format!(
        "ulimit -S{letter} {soft} 2>/dev/null; ulimit -H{letter} {hard} && ulimit -S{letter} {soft}\n"
    ))
}

/// What stands before a command so that it runs as somebody else. Numbers of names are found when
/// it runs: those of this machine may be others.
pub(super) fn as_user(user: Option<&str>, group: Option<&str>, groups: &[String]) -> String {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    match (user, group) {
        (None, None) if groups.is_empty() => return String::new(),
        (Some(user), None) if groups.is_empty() && !is_number(user) => {
            return alloc::format!("s6-setuidgid {user} ");
        }
        _ => {}
    }
    let number_of_group = |group: &str| {
        if is_number(group) {
            return String::from(group);
        }
        alloc::format!("\"$(awk -F: -v key={group} '$1 == key {{ print $3; exit }}' /etc/group)\"")
    };
    let user = user.unwrap_or("0");
    let (number, own, all) = if is_number(user) {
        let own = alloc::format!(
            "\"$(awk -F: -v key={user} '$3 == key {{ print $4; exit }}' /etc/passwd)\""
        );
        (String::from(user), own.clone(), own)
    } else {
        (
            alloc::format!("\"$(id -u {user})\""),
            alloc::format!("\"$(id -g {user})\""),
            alloc::format!("\"$(id -G {user} | tr ' ' ,)\""),
        )
    };
    let group = group.map_or(own, number_of_group);
    let mut list = all;
    for group in groups {
        list.push_str(&alloc::format!(",{}", number_of_group(&quoted(group))));
    }
    alloc::format!("s6-applyuidgid -u {number} -g {group} -G {list} ")
}

/// The function that reads a file of `NAME=VALUE` lines and runs nothing of it.
pub(super) const ENVIRONMENT_FILE: &str = "\
# Lines of NAME=VALUE; nothing in a value is run.
environment_file() {
    while read -r line || [ -n \"$line\" ]; do
        case $line in '#'* | ';'* | '') continue ;; *=*) ;; *) continue ;; esac
        name=${line%%=*} value=${line#*=}
        case $value in
        \\\"*\\\") value=${value#\\\"} value=${value%\\\"} ;;
        \\'*\\') value=${value#\\'} value=${value%\\'} ;;
        esac
        case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
        export \"$name=$value\"
    done <\"$1\"
}
";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn words_mean_to_the_shell_what_they_say() {
        let text = |text: &str| Piece::Text(text.into());
        for (pieces, expected) in [
            (vec![text("/usr/sbin/sshd")], "/usr/sbin/sshd"),
            (vec![text("it's $5")], "'it'\\''s $5'"),
            (vec![], "''"),
            (vec![text("--dir="), Piece::Variable("HOME".into())], "--dir=\"${HOME}\""),
            (vec![Piece::Split("OPTS".into())], "${OPTS}"),
            (vec![Piece::Printed("uname -n"), text(".lan")], "\"$(uname -n)\".lan"),
        ] {
            assert_eq!(word(&pieces), expected);
        }
    }

    #[test]
    fn a_script_is_one_word_of_execline() {
        let command = execline("# from\n", "echo \"a\\b\" '$x'\n");
        let words = crate::service::execline::parse(command.as_bytes()).unwrap();
        let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        assert_eq!(words, [&b"/bin/sh"[..], b"-c", b"\necho \"a\\b\" '$x'\n"]);
    }
}
