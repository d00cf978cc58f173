//! The files of one instance of a script.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::script::{self, Piece, Word};
use super::super::{Made, Remark, Weight, readme};
use crate::limits::DEATH_TALLY_MAX;

/// What procd waits between SIGTERM and SIGKILL, in seconds, where nothing else is said.
const TERM_TIMEOUT_S: u64 = 5;

/// One `procd_open_instance`, and what was set until it was closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    pub line: u32,
    pub name: Option<String>,
    pub command: Vec<Word>,
    pub environment: Vec<(String, Word)>,
    /// Threshold and timeout in seconds, and how often.
    pub respawn: Option<(u64, u64, u64)>,
    pub user: Option<Word>,
    pub group: Option<Word>,
    pub limits: Vec<(String, Option<u64>, Option<u64>)>,
    pub pid_file: Option<Word>,
    pub term_timeout: Option<u64>,
    pub reload_signal: Option<u8>,
    pub nice: Option<Word>,
}

/// A variable whose value is not known before somebody says it.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    pub name: String,
    pub line: u32,
    /// As it was written.
    pub raw: String,
}

/// What all files of a script share.
pub(super) struct Context<'a> {
    pub file: &'a str,
    pub remarks: &'a [Remark],
    pub unknown: &'a [Unknown],
    /// What the script sends to have it reloaded.
    pub signal: Option<u8>,
}

impl Context<'_> {
    fn heading(&self) -> String {
        script::heading(self.file, self.remarks)
    }

    /// Stops with a message as long as somebody has not said what these are.
    fn unknown(&self, used: &[&Word], text: &str) -> String {
        let mut lines = String::new();
        for Unknown { name, line, raw } in self.unknown {
            let mut pieces = used.iter().flat_map(|word| word.iter());
            let in_words = pieces.any(|piece| {
                matches!(piece, Piece::Variable(other) | Piece::Split(other) if other == name)
            });
            if in_words || text.contains(&alloc::format!("${{{name}}}")) {
                let raw: String = script::one_line(raw).chars().take(120).collect();
                lines.push_str(&alloc::format!(
                    "# line {line}: {raw}\n# {name}=\n: \"${{{name}?its value is to be set above this line}}\"\n"
                ));
            }
        }
        lines
    }
}

/// The files of one instance.
pub(super) fn write(
    name: &str,
    instance: &Instance,
    before: &[String],
    context: &Context<'_>,
) -> Made {
    let mut made = Made::new(name);
    made.add("type", "longrun\n");
    made.add("run", run(instance, before, context));
    let seconds = instance.term_timeout.unwrap_or(TERM_TIMEOUT_S);
    if seconds > 0 {
        made.add("timeout-kill", alloc::format!("{}\n", milliseconds(seconds)));
    }
    match instance.respawn {
        None => made.add(
            "finish",
            "#!/bin/sh\nexit 125 # No `respawn`: without this file it starts again.\n",
        ),
        Some((threshold, timeout, retry)) => {
            made.add("restart-wait", alloc::format!("{}\n", milliseconds(timeout)));
            let deaths = retry.saturating_add(1).min(u64::from(DEATH_TALLY_MAX));
            let given_up = match before.iter().any(|line| line.contains("exit 125")) {
                true => "[ \"$1\" != 125 ] || exit 125\n",
                false => "",
            };
            if retry > 0 || !given_up.is_empty() {
                let limit = match retry {
                    0 => String::new(),
                    _ => alloc::format!("exec s6-permafailon {threshold} {deaths} 0-255 true\n"),
                };
                made.add("finish", alloc::format!("#!/bin/sh\nexec 2>&1\n{given_up}{limit}"));
            }
            if deaths > 100 {
                made.add("max-death-tally", alloc::format!("{deaths}\n"));
            }
        }
    }
    if let Some(number) = instance.reload_signal.or(context.signal) {
        made.add("reload-signal", alloc::format!("{number}\n"));
    }
    made.add("README", readme(context.file, &[], context.remarks));
    made
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000).min(u64::from(u32::MAX))
}

fn run(instance: &Instance, before: &[String], context: &Context<'_>) -> String {
    let mut body = String::new();
    for line in before {
        body.push_str(line);
        body.push('\n');
    }
    for (name, value) in &instance.environment {
        body.push_str(&alloc::format!("export {name}={}\n", script::word(value)));
    }
    for (name, soft, hard) in &instance.limits {
        body.push_str(&script::limit(name, *soft, *hard).unwrap_or_default());
    }
    if let Some(path) = &instance.pid_file {
        body.push_str(&alloc::format!("echo $$ >{}\n", script::word(path)));
    }
    if instance.command.is_empty() {
        body.push_str("echo 'no command could be carried over: see README'\nexit 125\n");
    } else {
        let nice =
            instance.nice.as_ref().map(|nice| alloc::format!("nice -n {} ", script::word(nice)));
        let nice = nice.unwrap_or_default();
        let command = script::words(&instance.command);
        body.push_str(&alloc::format!("exec {nice}{}{command}\n", as_user(instance)));
    }
    let mut used: Vec<&Word> = instance.command.iter().collect();
    used.extend(instance.environment.iter().map(|(_, value)| value));
    used.extend(
        [&instance.user, &instance.group, &instance.pid_file, &instance.nice].into_iter().flatten(),
    );
    let unknown = context.unknown(&used, &body);
    let split = if script::is_split(&instance.command) { "set -f\n" } else { "" };
    alloc::format!(
        "#!/bin/sh\n{}exec 2>&1\n{split}cd / || exit 111\n{unknown}{body}",
        context.heading()
    )
}

fn as_user(instance: &Instance) -> String {
    let user = instance.user.as_ref().map(|user| script::word(user));
    let group = instance.group.as_ref().map(|group| script::word(group));
    script::as_user(user.as_deref(), group.as_deref(), &[])
}

/// A script that starts nothing that stays.
pub(super) fn oneshot(name: &str, up: &[String], down: &[String], context: &Context<'_>) -> Made {
    let mut made = Made::new(name);
    made.add("type", "oneshot\n");
    let text = |lines: &[String]| {
        let mut text = String::from("exec 2>&1\n");
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    };
    let body = text(up);
    let unknown = context.unknown(&[], &body);
    let shown: Vec<Remark> =
        context.remarks.iter().filter(|remark| remark.weight == Weight::LeftOut).cloned().collect();
    let heading = script::heading(context.file, &shown);
    made.add("up", script::execline(&heading, &(unknown + &body)));
    if !down.is_empty() {
        let body = text(down);
        made.add("down", script::execline("", &(context.unknown(&[], &body) + &body)));
    }
    made.add("README", readme(context.file, &[], context.remarks));
    made
}
