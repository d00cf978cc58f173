//! Somebody at the build machine, who types the lines of pages and visits a virtual router by ssh.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::client::{Said, Visit, patient};
use e2e::vm::{LIMIT, Vm};
use e2e::{Folder, shown, transcript};

/// Somebody with a memory for host keys, who trusts the first one and no other.
pub struct Person<'a> {
    pub vm: &'a Vm,
    pub home: &'a Folder,
}

impl Person<'_> {
    /// Where the device is for ssh, and the key that opens it.
    pub fn place(&self) -> (OsString, OsString) {
        let original = self.vm.ssh("");
        let words: Vec<OsString> = original.get_args().map(|word| word.to_owned()).collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| word == name).expect("it has a port and a key");
            words[at + 1].clone()
        };
        (after("-p"), after("-i"))
    }

    pub fn command(&self, line: &str) -> Command {
        let known = self.home.join("known_hosts");
        let mut command = Command::new("ssh");
        let (port, key) = self.place();
        command.args(["-F", "none", "-p"]).arg(port).arg("-i").arg(key);
        command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"]);
        command.args([
            "-o",
            "ConnectTimeout=5",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "Compression=yes",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
        command.args(["-o", "ServerAliveCountMax=20", "root@127.0.0.1", "--", line]);
        command
    }

    pub fn ssh(&self, line: &str) -> Said {
        patient(&mut self.command(line))
    }

    /// A shell on the build machine, for which every `root@` is this device.
    fn shell(&self) -> Command {
        let own = self.command("");
        let words = own.get_args().filter_map(|word| word.to_str());
        let words: Vec<&str> = words.take_while(|word| !word.starts_with("root@")).collect();
        shown::shell_for_device(self.home.path(), &words)
    }

    /// Types a line of a page there.
    pub fn types(&self, line: &str) -> String {
        shown::typed(&mut self.shell(), line)
    }

    /// The same of one that takes the device away.
    pub fn types_and_leaves(&self, line: &str) -> Visit {
        let mut shell = self.shell();
        shell.args(["-c", &format!("exec {line}")]);
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        Visit(shell.spawn().expect("a shell can be started"))
    }

    /// What is printed there is what stands in this transcript, but for sizes.
    pub fn transcript(&self, name: &str) {
        transcript::check(name, |script| without_sizes(&self.ask(script)));
    }

    /// Says this, and does not wait for an answer: nobody tells the connection that the device is gone.
    pub fn leave(&self, line: &str) -> Visit {
        let mut command = self.command(line);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Visit(command.spawn().expect("ssh runs"))
    }

    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        self.ssh(line).expect(0).out
    }

    /// Waits until the device lets it in and says this.
    #[track_caller]
    pub fn wait(&self, line: &str, what: &str) -> Duration {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if self.ssh(line).out.contains(what) {
                return start.elapsed();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no {what:?}:\n{}\n{}", self.vm.console(), self.vm.said());
    }
}

/// A text with `SIZE` for `12.3 MB`: that grows with what is built, as the number of store paths does.
fn without_sizes(text: &str) -> String {
    let mut rest = String::new();
    let words: Vec<&str> = text.split(' ').collect();
    for (at, word) in words.iter().enumerate() {
        let before = if at == 0 { "" } else { " " };
        let number = word.trim_start_matches('(');
        let next = words.get(at + 1).copied().unwrap_or_default();
        let is_unit = word.starts_with("MB") && rest.ends_with("SIZE");
        rest += &match number.parse::<f64>() {
            Ok(_) if next.starts_with("MB") => format!("{before}{}", word.replace(number, "SIZE")),
            Ok(_) if next == "store" => format!("{before}COUNT"),
            _ if is_unit => word["MB".len()..].to_owned(),
            _ => format!("{before}{word}"),
        };
    }
    rest
}
