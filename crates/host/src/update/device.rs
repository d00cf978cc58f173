//! What a device says of its generations.

use std::process::{Output, Stdio};

use cli::Failure;
use serde_json::Value;

use crate::copy::line::Target;
use crate::ssh::{NO_CONNECTION, NOT_FOUND, cannot_run};

/// What a shell answers where there is no such program, and `ward` where it knows no such applet.
const UNKNOWN: [i32; 2] = [NOT_FOUND, 100];

/// What it runs, and how its trial is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub running: String,
    pub boot: String,
    pub number: Option<u64>,
    /// The trial that goes on or went on last since it started: its name, and how far it is.
    pub trial: Option<(String, String)>,
    pub warnings: Vec<String>,
    /// What became last of a generation: the name of the trial, how it ended, why, and the log by then.
    pub last: Option<Last>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    pub id: String,
    pub outcome: String,
    pub reason: String,
    pub lines: Vec<String>,
}

impl Status {
    /// Reads what `ward generation status --json` prints.
    pub fn read(text: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(text.trim()).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| {
            value.as_array().into_iter().flatten().map(text).collect::<Vec<String>>()
        };
        let (running, trial, last) = (&all["running"], &all["trial"], &all["last"]);
        running["path"].as_str()?;
        Some(Self {
            running: text(&running["path"]),
            boot: text(&all["boot"]["path"]),
            number: running["number"].as_u64(),
            trial: trial.is_object().then(|| (text(&trial["id"]), text(&trial["phase"]))),
            warnings: texts(&trial["warnings"]),
            last: last.is_object().then(|| Last {
                id: text(&last["id"]),
                outcome: text(&last["outcome"]),
                reason: text(&last["reason"]),
                lines: texts(&last["lines"]),
            }),
        })
    }

    /// How far the trial of this name is, if it is the one that the device knows of.
    pub fn phase(&self, id: &str) -> Option<&str> {
        self.trial.as_ref().filter(|(known, _)| known == id).map(|(_, phase)| phase.as_str())
    }

    /// What became of it, once that is written down.
    pub fn end(&self, id: &str) -> Option<&Last> {
        self.last.as_ref().filter(|last| last.id == id && last.outcome != "trial")
    }
}

/// Runs a command on the device, over a connection of its own.
pub fn visit(target: &Target, words: &str) -> Result<Output, Failure> {
    let mut command = target.visit(words);
    command.stdin(Stdio::null()).output().map_err(|error| cannot_run(&command, &error))
}

/// What it runs; `None`: it cannot be reached by now.
pub fn status(target: &Target) -> Result<Option<Status>, Failure> {
    let output = visit(target, "ward generation status --json")?;
    match output.status.code() {
        Some(0) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let status = Status::read(&text).ok_or_else(|| {
                let host = &target.host;
                Failure::refused(format!("cannot understand what {host} says of its generations"))
            });
            status.map(Some)
        }
        Some(code) if UNKNOWN.contains(&code) => Err(too_old(target)),
        Some(NO_CONNECTION) | None => Ok(None),
        Some(_) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::refused(format!("{}: {why}", target.host)))
        }
    }
}

pub fn too_old(target: &Target) -> Failure {
    let why = format!("{} has no `ward` that knows of generations", target.host);
    Failure::not_achieved(why)
        .hint("it needs a firmware that has: outputs.firmware, and `levitate`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_read() {
        let text = r#"{"running":{"path":"/nix/store/a","number":3},"boot":{"path":"/nix/store/b"},
            "trial":{"id":"x","number":3,"path":"/nix/store/a","phase":"awaiting","reason":"","left_ms":5,"warnings":["w"]},
            "last":{"id":"y","number":2,"outcome":"failed","reason":"no","lines":["one","two"]}}"#;
        let status = Status::read(text).expect("it can be read");
        assert_eq!((&*status.running, &*status.boot), ("/nix/store/a", "/nix/store/b"));
        assert_eq!(
            (status.number, status.phase("x"), status.phase("y")),
            (Some(3), Some("awaiting"), None)
        );
        assert_eq!(status.end("y").map(|last| &*last.reason), Some("no"));
        assert!(status.end("x").is_none());
        let bare = Status::read(r#"{"running":{"path":""},"boot":{"path":"/x"}}"#).expect("read");
        assert_eq!((bare.trial, bare.last), (None, None));
        for text in ["", "{}", "[]", "ssh: hello\n", r#"{"running":7}"#] {
            assert_eq!(Status::read(text), None, "{text:?}");
        }
    }
}
