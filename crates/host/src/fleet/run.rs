//! Starts what updates each device, hears how far it is, and obeys the rollout.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::deploy::rollout::{Action, Ending, Event, Outcome, Rollout, Settings, State};
use os::sys::tied;
use serde_json::Value;

use super::inventory::Target;
use super::record::{self, Record};
use super::table::Table;
use crate::say::say;

/// What a device's program is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Update,
    /// Whether it still runs this.
    Check,
}

/// Bytes of a line of a device's program that are looked at.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A rollout and how it is done.
pub struct Fleet<'a> {
    pub targets: Vec<Target>,
    pub settings: Settings,
    /// Where it is kept how far it came.
    pub record: PathBuf,
    /// Do not go on with what is there.
    pub anew: bool,
    /// The program that updates a device or looks at it. What it says on standard error is shown; it ends
    /// with 0, or with [`OFFLINE`].
    pub program: &'a dyn Fn(&Target, Task, &Record) -> Command,
    pub json: bool,
}

/// The exit code of a program that could not reach its device.
pub const OFFLINE: u8 = 69;

/// What is heard of a device.
enum Heard {
    Said(usize, Value),
    Ended(usize, Option<i32>),
}

impl Fleet<'_> {
    /// Does all of it, or goes on with it.
    pub fn run(&self) -> Result<Exit, Failure> {
        let known = if self.anew { None } else { record::read(&self.record, &self.targets)? };
        let mut records = vec![Record::default(); self.targets.len()];
        if let Some(known) = known {
            let done = known.iter().filter(|record| record.state == State::Updated).count();
            say(format_args!(
                "going on where {} ends: {done} of {} are updated (--new begins anew)",
                self.record.display(),
                known.len()
            ));
            // What failed gets another chance, now that somebody asked again.
            records = known;
            for record in &mut records {
                if record.state == State::Failed {
                    record.state = State::Waiting;
                }
            }
        }
        let waves = self.targets.iter().map(|target| target.wave).collect();
        let states = records.iter().map(|record| record.state).collect();
        let mut rollout = Rollout::new(self.settings, waves, states);
        let mut table = Table::new(self.json);
        let (sender, receiver) = mpsc::channel();
        let mut event = Event::Tick;
        loop {
            let mut actions = Vec::new();
            rollout.step(os::clock::now(), event, &mut actions);
            let before = records.clone();
            for (record, state) in records.iter_mut().zip(rollout.states()) {
                record.state = *state;
            }
            if event != Event::Tick || records != before {
                record::write(&self.record, &self.targets, &records)?;
            }
            for action in actions {
                self.start(action, &records, &sender);
            }
            table.show(&self.targets, &records, &rollout);
            if let Some(outcome) = rollout.outcome() {
                return Ok(self.end(outcome, &records));
            }
            event = loop {
                match next(&receiver, &rollout, table.counts()) {
                    None => break Event::Tick,
                    Some(Heard::Said(device, value)) => {
                        table.heard(&self.targets[device].name, &value);
                        keep(&mut records[device], &value);
                        table.show(&self.targets, &records, &rollout);
                    }
                    Some(Heard::Ended(device, code)) => {
                        if records[device].message.is_empty() && code != Some(0) {
                            records[device].message = "it ended without a word".into();
                        }
                        break Event::Ended(device, ending(code));
                    }
                }
            };
        }
    }

    /// Starts the program of a device, and listens to it.
    fn start(&self, action: Action, records: &[Record], sender: &Sender<Heard>) {
        let (device, task) = match action {
            Action::Update(device) => (device, Task::Update),
            Action::Check(device) => (device, Task::Check),
        };
        let mut command = (self.program)(&self.targets[device], task, &records[device]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let sender = sender.clone();
        // It is killed when the thread that starts it ends, which is after it.
        thread::spawn(move || {
            let code = follow(command, device, &sender);
            let _ = sender.send(Heard::Ended(device, code));
        });
    }

    fn end(&self, outcome: Outcome, records: &[Record]) -> Exit {
        let count = |wanted: &str| {
            records.iter().filter(|record| record::word(record.state) == wanted).count()
        };
        let all = records.len();
        let (updated, failed) = (count("updated"), count("failed"));
        let (offline, waiting) = (count("offline"), count("waiting"));
        let how = match outcome {
            Outcome::Complete => "all are updated",
            Outcome::Incomplete => "some could not be reached",
            Outcome::Failures => "some failed",
            Outcome::Stopped => "stopped: too many failed",
        };
        say(format_args!(
            "{how}: {updated} of {all} updated, {failed} failed, {offline} not reached, {waiting} not begun"
        ));
        if outcome == Outcome::Complete {
            return Exit::DONE;
        }
        say(format_args!(
            "the same command goes on from here; {} remembers",
            self.record.display()
        ));
        Exit::NOT_ACHIEVED
    }
}

/// What is heard next; `None` at the rollout's deadline, and each second where seconds are counted.
fn next(receiver: &Receiver<Heard>, rollout: &Rollout, counts: bool) -> Option<Heard> {
    let mut limit = match rollout.deadline() {
        Some(deadline) => deadline.since(os::clock::now()),
        None => Duration::from_secs(3600),
    };
    if counts && rollout.soaks_until().is_some() {
        limit = limit.min(Duration::from_secs(1));
    }
    receiver.recv_timeout(limit).ok()
}

fn ending(code: Option<i32>) -> Ending {
    match code {
        Some(0) => Ending::Updated,
        Some(code) if code == i32::from(OFFLINE) => Ending::Offline,
        _ => Ending::Failed,
    }
}

fn keep(record: &mut Record, value: &Value) {
    if let Some(message) = value["message"].as_str() {
        record.message = message.lines().next().unwrap_or_default().to_owned();
    }
}

/// Runs a program to its end, passing on what it says. Its exit code; `None`: it was killed, or never ran.
fn follow(command: Command, device: usize, sender: &Sender<Heard>) -> Option<i32> {
    let said = |value: Value| {
        let _ = sender.send(Heard::Said(device, value));
    };
    let mut child = match tied::spawn(command, &[]) {
        Ok(child) => child,
        Err(error) => {
            said(serde_json::json!({ "message": format!("cannot be started: {error}") }));
            return None;
        }
    };
    let words = child.stderr.take().map(|stderr| {
        let sender = sender.clone();
        thread::spawn(move || pass_on(stderr, device, &sender))
    });
    let code = child.wait().ok().and_then(|status| status.code());
    // What it complained of comes before the news that it has ended.
    words.and_then(|thread| thread.join().ok());
    code
}

/// What it tells people while it works is how far it is.
fn pass_on(from: impl Read, device: usize, sender: &Sender<Heard>) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).unwrap_or(0) > 0 {
        let text = String::from_utf8_lossy(&line);
        // Of a failure, the first line says what; those below say more of it.
        if !text.trim().is_empty() && !text.starts_with(' ') {
            let text = text.trim().trim_start_matches("doorward: ");
            let _ = sender.send(Heard::Said(device, serde_json::json!({ "message": text })));
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::fleet::inventory;

    const SETTINGS: Settings = Settings {
        parallel: 2,
        soak: Duration::from_millis(20),
        failures_max: 0,
        retry: Duration::from_millis(30),
        patience: Duration::from_secs(20),
    };

    /// Runs a rollout whose devices are this shell script: `$1` is the device, `$2` the task.
    fn run(folder: &Path, targets: &str, script: &str) -> Exit {
        let program = |target: &Target, task: Task, _: &Record| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script, "device", &target.name, &format!("{task:?}")]);
            command.current_dir(folder);
            command
        };
        let targets = inventory::read(targets, "here", 1).unwrap();
        let record = folder.join("record");
        let fleet = Fleet {
            targets,
            settings: SETTINGS,
            record,
            anew: false,
            program: &program,
            json: false,
        };
        fleet.run().unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("doorward-fleet-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_failure_of_the_first_leaves_the_rest_alone_and_a_second_run_goes_on() {
        let folder = folder("stop");
        let fails =
            r#"echo "$1 $2" >>log; printf "doorward: copies\\nno space\\n  or so" >&2; exit 1"#;
        assert_eq!(run(&folder, "a\nb\nc\n", fails), Exit::NOT_ACHIEVED);
        assert_eq!(fs::read_to_string(folder.join("log")).unwrap(), "a Update\n");
        let record = fs::read_to_string(folder.join("record")).unwrap();
        assert!(record.contains("\"message\": \"no space\""), "{record}");
        let works = r#"echo "$1 $2" >>log; echo well >&2"#;
        assert_eq!(run(&folder, "a\nb\nc\n", works), Exit::DONE);
        let log = fs::read_to_string(folder.join("log")).unwrap();
        let mut rest: Vec<&str> = log.lines().skip(3).collect();
        rest.sort_unstable();
        assert!(log.starts_with("a Update\na Update\na Check\n"), "{log}");
        assert_eq!(rest, ["b Update", "c Update"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_offline_is_tried_until_it_is_there() {
        let folder = folder("offline");
        let script = r#"
            [ "$1" != b ] || [ "$(grep -c b log)" -ge 3 ] || { echo b >>log; exit 69; }
            echo "$1" >>log
        "#;
        fs::write(folder.join("log"), "").unwrap();
        assert_eq!(run(&folder, "a\nb\nc\n", script), Exit::DONE);
        let log = fs::read_to_string(folder.join("log")).unwrap();
        assert_eq!(log.lines().filter(|line| *line == "b").count(), 4, "{log}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_program_that_floods_or_cannot_be_started_is_one_that_failed() {
        let folder = folder("flood");
        let flood = r#"head -c 1000000 /dev/zero >&2; echo x >&2; kill -9 $$"#;
        assert_eq!(run(&folder, "a\nb\n", flood), Exit::NOT_ACHIEVED);
        let record = fs::read_to_string(folder.join("record")).unwrap();
        assert!(record.contains("\"failed\"") && record.contains("\"waiting\""), "{record}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
