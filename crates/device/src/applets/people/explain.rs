//! `ward explain`: what a code or a word in a message means, and what may help.

use std::io::Write;

use crate::applets::json::Object;
use cli::{Args, Command, Exit, Failure, Opt, text};
use model::service::signal::SIGNAL_MAX;
use os::error_name;
use os::service::signal_name;

pub const COMMAND: Command = Command {
    name: "explain",
    summary: "Say what a code or a word in a message means, and what may help",
    usage: "ward explain [--json] CODE|WORD...",
    options: &[Opt("--json", "Print an array with one object for each word")],
    about: "\
CODE is an exit code, the number or name of an error of the system (2, ENOENT)
or of a signal (15, SIGTERM), or a wait status; all that it may be is printed.
WORD is one of those that `ward status` has.

Exit codes: 0 done, 1 one of them is not known, 100 wrong usage.

Examples:

  ward explain 111               an exit code, and an error of the system
  ward explain ENOSPC waiting    names and words
  ward explain 139               a program that a signal has ended",
    run,
};

/// Exit codes, and what ends with them here.
const EXITS: &str = "\
0 done|\n\
1 not achieved|what was asked for is not so; the lines before say of what\n\
2 not achieved, for want of time|of s6-rc and s6-rc-update; most shells mean wrong usage\n\
3 no such name|of s6-rc, s6-rc-db, ward status: `s6-rc-db list all` has the names\n\
4 the database is damaged, or is none|compile it again: s6-rc-compile, s6-rc-update\n\
5 a name of the wrong type|a bundle where a service is wanted, or the other way round\n\
6 a conversion names something twice|of s6-rc-update\n\
9 not everything stopped: the old database is in use|of s6-rc-update: `ward why` of what still runs\n\
10 the same, for want of time|of s6-rc-update: a longer -t\n\
99 timed out|of programs that wait, with -t or -T\n\
100 wrong usage|the line that begins with `usage:` says what it takes\n\
102 not supervised|init does not hold this service: is it misspelt?\n\
111 the system refused|the message has its reason\n\
125 of a finish script: not to be started again|mend the cause, then `ward start`\n\
126 a program cannot be run|permissions (chmod +x), or it is for another processor\n\
127 a program is not there|its path, PATH, or the interpreter in its first line\n\
";

/// Signals that tell something.
const SIGNALS: &str = "\
1 a terminal went away, or: read your settings again (ward reload)\n\
4 the program is for another processor, or broken\n\
6 the program gave up by itself: its last lines in the log say why\n\
7 a file on flash or disk cannot be read\n\
9 killed: `timeout-kill` was over, or memory was full (`dmesg` says so then)\n\
11 a mistake in the program: a newer one, or tell its makers\n\
13 it wrote to somebody who had ended\n\
15 asked to end, as `ward stop` does\n\
24 processor time was over (s6-softlimit -t)\n\
25 a file grew beyond a limit (s6-softlimit -f)\n\
31 a filter of system calls forbade something\n\
";

/// The words of `ward status`.
const WORDS: &str = "\
up it runs; if it can say that it is ready, it has said so\n\
starting its process or script runs, and it is not ready yet\n\
waiting it shall be up and waits for what it needs: `ward why NAME`\n\
stopping it was told to end\n\
restarting it died and starts again in a moment; others still count on it\n\
failed it could not come up: `ward why NAME`, then `ward log -s NAME`\n\
down nobody wants it: `ward start NAME`\n\
";

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut json = false;
    while let Some(option) = args.option()? {
        match option.as_str() {
            "json" => json = true,
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    if words.is_empty() {
        return Err(Failure::usage("it needs a code or a word"));
    }
    let (mut exit, mut objects) = (Exit::DONE, Vec::new());
    for word in &words {
        let word = text(word)?;
        let said = explained(word);
        if json {
            let mut object = Object::begin();
            object.text("word", word);
            object.truth("known", !said.is_empty());
            object.texts("says", said.lines().map(str::trim_start));
            objects.push(object.end());
            if said.is_empty() {
                exit = Exit::NOT_ACHIEVED;
            }
            continue;
        }
        if said.is_empty() {
            writeln!(out, "{word}: not known here")?;
            exit = Exit::NOT_ACHIEVED;
        }
        out.write_all(said.as_bytes())?;
    }
    if json {
        writeln!(out, "[{}]", objects.join(",\n "))?;
    }
    Ok(exit)
}

/// All that it may be, a line each, with a hint below; nothing: it is nothing that is known.
fn explained(word: &str) -> String {
    let mut said = String::new();
    match word.parse::<u32>() {
        Ok(number) => {
            if let Ok(code) = u8::try_from(number) {
                exit_code(&mut said, code);
            }
            if let Ok(number) = i32::try_from(number) {
                system_error(&mut said, number);
            }
            match u8::try_from(number) {
                Ok(number) if number > 0 && number <= SIGNAL_MAX => killed(&mut said, number),
                Ok(_) => {}
                Err(_) => wait_status(&mut said, number),
            }
        }
        Err(_) => {
            let lower = word.to_ascii_lowercase();
            if let Some(meaning) = found(WORDS, &lower) {
                line(&mut said, &lower, meaning);
            }
            if let Some(number) = error_name::number(word) {
                system_error(&mut said, number);
            }
            if let Some(number) = signal_name::number(word) {
                killed(&mut said, number);
            }
        }
    }
    said
}

/// What stands behind a word in a text of lines. Texts, since a table of them would be twice as large.
fn found(lines: &'static str, word: &str) -> Option<&'static str> {
    error_name::entry(lines, &|_, known| known == word).map(|(_, _, text)| text)
}

#[inline(never)]
fn line(said: &mut String, what: &str, hint: &str) {
    for part in [what, if hint.is_empty() { "" } else { "\n  " }, hint, "\n"] {
        said.push_str(part);
    }
}

#[inline(never)]
fn exit_code(said: &mut String, code: u8) {
    let shell = code.checked_sub(128).filter(|number| (1..=SIGNAL_MAX).contains(number));
    let known = found(EXITS, &code.to_string()).and_then(|text| text.split_once('|'));
    let (meaning, hint) = match (known, shell) {
        (Some(known), _) => known,
        (None, Some(_)) => ("of a shell: a signal ended the program", ""),
        (None, None) => ("the program's own", "`ward log -s NAME`, and its manual"),
    };
    line(said, &format!("exit code {code}: {meaning}"), hint);
    if let Some(number) = shell {
        killed(said, number);
    }
}

#[inline(never)]
fn system_error(said: &mut String, number: i32) {
    let Some((name, hint)) = error_name::of_number(number) else { return };
    let words = std::io::Error::from_raw_os_error(number).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    line(said, &format!("error {number}, E{name}: {words}"), hint);
}

#[inline(never)]
fn killed(said: &mut String, number: u8) {
    let name = signal_name::name(number).unwrap_or("RTMIN and above");
    let hint = found(SIGNALS, &number.to_string()).unwrap_or("");
    let code = 128 + u32::from(number);
    line(said, &format!("signal {number}, SIG{name}; exit code {code} in a shell"), hint);
}

/// What wait(2) gives: the exit code above the low byte, which has the signal.
fn wait_status(said: &mut String, status: u32) {
    if status == 256 {
        let what = "256, first argument of a finish script: a signal ended it";
        line(said, what, "the second one is its number");
    }
    if let Ok(code) = u8::try_from(status >> 8)
        && status & 0xff == 0
    {
        line(said, &format!("wait status {status}: exit code {code}"), "");
        exit_code(said, code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_all_that_it_may_be() {
        let said = explained("111");
        assert!(said.starts_with("exit code 111: the system refused\n  "), "{said}");
        assert!(
            said.contains("\nerror 111, ECONNREFUSED: Connection refused\n  nothing listens"),
            "{said}"
        );
        assert!(!said.contains("signal"), "{said}");
        let said = explained("11");
        assert!(said.contains("exit code 11: the program's own\n"), "{said}");
        assert!(
            said.contains("error 11, EAGAIN: ")
                && said.contains("\nsignal 11, SIGSEGV; exit code 139"),
            "{said}"
        );
        assert!(
            explained("139").contains(
                "exit code 139: of a shell: a signal ended the program\nsignal 11, SIGSEGV"
            ),
            "{}",
            explained("139")
        );
        let said = explained("32256");
        assert!(
            said.starts_with("wait status 32256: exit code 126\nexit code 126: a program cannot"),
            "{said}"
        );
        assert_eq!(
            explained("256").lines().next(),
            Some("256, first argument of a finish script: a signal ended it")
        );
    }

    #[test]
    fn names_are_found_in_any_case() {
        for (word, begins) in [
            ("ENOSPC", "error 28, ENOSPC: No space left on device\n  the file system is full"),
            ("enoent", "error 2, ENOENT: "),
            ("SIGTERM", "signal 15, SIGTERM; exit code 143 in a shell\n  asked to end"),
            ("kill", "signal 9, SIGKILL"),
            ("failed", "failed\n  it could not come up"),
        ] {
            let said = explained(word);
            assert!(said.starts_with(begins), "{word}: {said}");
        }
        for word in ["", "nonsense", "99999999999999", "70000", "-1"] {
            assert_eq!(explained(word), "", "{word}");
        }
        assert!(explained("0").starts_with("exit code 0: done\n"));
    }
}
