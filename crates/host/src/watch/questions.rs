//! What a device is asked to see how it is, and what it answers.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use os::sys::tied;
use serde_json::Value;

use crate::copy::line::Target;
use crate::ssh::{NO_CONNECTION, NOT_FOUND};

/// Bytes of one answer that are read: a device with thousands of services needs fewer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What is said of one that is another system.
pub const NO_WARD: &str = "it has no `ward`";

/// Begins the line before each part of an answer.
const MARK: &str = "==doorward ";

/// The commands of one answer, under their names.
const PARTS: [(&str, &str); 6] = [
    ("services", "ward status --json"),
    ("generation", "ward generation status --json"),
    ("doctor", "ward doctor --json"),
    ("version", "ward --version"),
    ("uptime", "cat /proc/uptime"),
    ("end", "true"),
];

/// One line for a shell. `every`: again and again, until nobody reads it any more.
pub fn words(every: Option<Duration>) -> String {
    let mut once = String::new();
    for (name, command) in PARTS {
        once += &format!("echo '{MARK}{name}'; {command} 2>/dev/null; ");
    }
    let knows = format!("command -v ward >/dev/null || exit {NOT_FOUND}");
    match every {
        // A program that cannot write any more ends the loop.
        Some(every) => {
            let seconds = every.as_secs().max(1);
            format!("{knows}; while {once} echo; do sleep {seconds} || exit; done")
        }
        None => format!("{knows}; {once}"),
    }
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub services: Option<Value>,
    pub generation: Option<Value>,
    pub doctor: Option<Value>,
    pub version: Option<String>,
    pub uptime: Option<Duration>,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Nothing yet.
    Asked,
    Said(Box<Answer>),
    /// Why it says nothing.
    Silent(String),
}

/// An answer as it comes in, line by line.
#[derive(Default)]
pub struct Hearing {
    part: String,
    text: String,
    answer: Answer,
}

impl Hearing {
    /// The answer, once this line has ended it.
    pub fn hear(&mut self, line: &str) -> Option<Answer> {
        let Some(next) = line.trim_end().strip_prefix(MARK) else {
            self.text.push_str(line);
            return None;
        };
        let (text, json) = (self.text.trim(), serde_json::from_str(&self.text).ok());
        match self.part.as_str() {
            "services" => self.answer.services = json.filter(Value::is_array),
            "generation" => self.answer.generation = json.filter(Value::is_object),
            "doctor" => self.answer.doctor = json.filter(Value::is_array),
            "version" => {
                self.answer.version = text.strip_prefix("ward ").map(|version| version.to_owned());
            }
            "uptime" => {
                let seconds = text.split('.').next().and_then(|seconds| seconds.parse().ok());
                self.answer.uptime = seconds.map(Duration::from_secs);
            }
            _ => {}
        }
        self.text.clear();
        next.clone_into(&mut self.part);
        (next == "end").then(|| std::mem::take(&mut self.answer))
    }
}

/// Asks a device, in a thread of its own: once, or as long as this program runs. What is heard goes to
/// `sender`, with `number`.
pub fn ask(target: Target, number: usize, every: Option<Duration>, sender: Sender<(usize, Known)>) {
    thread::spawn(move || {
        loop {
            let mut heard = false;
            let known = once(&target, every, &mut |answer| {
                heard = true;
                sender.send((number, Known::Said(Box::new(answer)))).is_ok()
            });
            // One that has answered once has no more to say.
            if !(heard && every.is_none()) && sender.send((number, Known::Silent(known))).is_err() {
                return;
            }
            match every {
                Some(every) => thread::sleep(every),
                None => return,
            }
        }
    });
}

/// One connection; why it has ended.
fn once(target: &Target, every: Option<Duration>, each: &mut dyn FnMut(Answer) -> bool) -> String {
    let mut command = target.visit(&words(every));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = match tied::spawn(command, &[]) {
        Ok(child) => child,
        Err(error) => return format!("cannot run {program}: {error}"),
    };
    let errors = child.stderr.take().map(|stderr| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.take(64 << 10).read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout);
        let (mut hearing, mut line, mut bytes) = (Hearing::default(), Vec::new(), 0);
        loop {
            line.clear();
            let read = lines.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line);
            let Ok(length @ 1..) = read else { break };
            bytes += length as u64;
            let answer = hearing.hear(&String::from_utf8_lossy(&line));
            let goes_on = match answer {
                Some(answer) => {
                    bytes = 0;
                    each(answer)
                }
                None => bytes < ANSWER_BYTES_MAX,
            };
            if !goes_on {
                let _ = child.kill();
                break;
            }
        }
    }
    let code = child.wait().ok().and_then(|status| status.code());
    let said = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).collect();
    match code {
        Some(NO_CONNECTION) | None => format!("cannot be reached: {said}"),
        Some(NOT_FOUND) => NO_WARD.into(),
        Some(0) => "it says nothing of itself".into(),
        Some(code) => format!("it ended with {code}: {said}"),
    }
    .trim_end_matches([':', ' '])
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_is_no_answer_is_left_out() {
        let mut hearing = Hearing::default();
        let text = "motd\n==doorward services\n[\n{\"name\":\"a\"}\n]\n==doorward generation\n{}\n\
                    ==doorward doctor\nno json\n==doorward version\nward 0.1.0\n==doorward uptime\n\
                    12.34 5.6\n==doorward end\n";
        let answers: Vec<Answer> =
            text.split_inclusive('\n').filter_map(|line| hearing.hear(line)).collect();
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(answer.services.as_ref().map(|it| it[0]["name"] == "a"), Some(true));
        assert_eq!((answer.doctor.clone(), answer.version.as_deref()), (None, Some("0.1.0")));
        assert_eq!(answer.uptime, Some(Duration::from_secs(12)));
        // The next one begins with nothing of it.
        let next: Vec<Answer> = "==doorward uptime\nodd\n==doorward end\n"
            .split_inclusive('\n')
            .filter_map(|line| hearing.hear(line))
            .collect();
        assert_eq!(next, [Answer::default()]);
    }

    #[test]
    fn a_shell_understands_the_questions() {
        let run = |words: &str| {
            let output = std::process::Command::new("sh").args(["-c", words]).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let known = "ward() { echo \"ward $*\"; }; command() { :; }; ";
        let (_, said) = run(&format!("{known}{}", words(None)));
        let mut hearing = Hearing::default();
        let answer = said.split_inclusive('\n').find_map(|line| hearing.hear(line)).unwrap();
        assert_eq!(answer.version.as_deref(), Some("--version"));
        assert!(answer.uptime.is_some() && answer.services.is_none());
        let (code, said) = run(&format!("PATH=/nowhere; {}", words(None)));
        assert_eq!((code, said.as_str()), (Some(NOT_FOUND), ""));
        // The loop ends when somebody ends its sleep.
        let stop = "command() { :; }; ward() { :; }; sleep() { return 1; }; ";
        let (code, said) = run(&format!("{stop}{}", words(Some(Duration::ZERO))));
        assert_eq!((code, said.matches("==doorward end").count()), (Some(1), 1));
    }
}
