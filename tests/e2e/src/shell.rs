//! A shell that a test types to, as a person would.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What stands before the exit code of what was typed.
const MARK: &str = "-- typed, and ended with ";

/// A shell, with what it was asked last. It and all that it has started end with it.
pub struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Shell {
    /// `command` becomes a shell that reads what is typed.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        writeln!(input, "exec 2>&1").expect("it listens");
        Self { child, input: Some(input), lines }
    }

    /// Types a command, and gives what it prints and its exit code. Nothing can be typed to the command
    /// itself.
    ///
    /// # Panics
    /// Where it does not end within `limit`.
    pub fn run(&mut self, command: &str, limit: Duration) -> (Vec<String>, i32) {
        self.send(command, &format!("printf '\\n{MARK}%s\\n' $?"));
        let start = Instant::now();
        let mut said = Vec::new();
        loop {
            match self.next(limit.saturating_sub(start.elapsed())) {
                Ok(line) => match line.strip_prefix(MARK).and_then(|code| code.parse().ok()) {
                    Some(code) => {
                        // The end of a line before the mark is not the command's, unless it has one.
                        if said.last().is_some_and(String::is_empty) {
                            said.pop();
                        }
                        return (said, code);
                    }
                    None => said.push(line),
                },
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{command}: did not end within {limit:?}:\n{}", said.join("\n"))
                }
                // That is as it should be after `exit` alone: what it cannot read ends a shell, too.
                Err(RecvTimeoutError::Disconnected) => {
                    return (said, if command.trim() == "exit" { 0 } else { -1 });
                }
            }
        }
    }

    /// Types a command that goes on, and reads what it prints until that is as wanted.
    ///
    /// # Panics
    /// Where that does not come within `limit`.
    pub fn run_until(
        &mut self,
        command: &str,
        wanted: impl Fn(&[String]) -> bool,
        limit: Duration,
    ) {
        self.send(command, "");
        self.read_until(wanted, limit);
    }

    /// What is printed until that is as wanted.
    ///
    /// # Panics
    /// Where that does not come within `limit`.
    pub fn read_until(
        &mut self,
        wanted: impl Fn(&[String]) -> bool,
        limit: Duration,
    ) -> Vec<String> {
        let start = Instant::now();
        let mut said = Vec::new();
        while !wanted(&said) {
            match self.next(limit.saturating_sub(start.elapsed())) {
                Ok(line) => said.push(line),
                Err(error) => panic!("{error}, after:\n{}", said.join("\n")),
            }
        }
        said
    }

    /// Types nothing more, and waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> bool {
        self.input = None;
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Ok(Some(_)) = self.child.try_wait() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn send(&mut self, command: &str, then: &str) {
        let text = format!(
            "eval \"$(cat <<'THAT-WAS-ALL'\n{command}\nTHAT-WAS-ALL\n)\" </dev/null\n{then}\n"
        );
        // A shell that has ended says so when it is listened to.
        if let Some(input) = &mut self.input {
            let _ = input.write_all(text.as_bytes()).and_then(|()| input.flush());
        }
    }

    fn next(&self, limit: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(limit)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        if !self.wait(Duration::from_secs(5)) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
