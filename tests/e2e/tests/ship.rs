//! `ward ship`: the log at a server, every line in order, whatever becomes of the server, of the
//! shipper and of the files.

use std::path::Path;
use std::process::{Child, Command};

use e2e::log::{LONG, written};
use e2e::pretend_init::PretendInit;
use e2e::rsyslog::{By, Rsyslog};
use e2e::{applet, wait_for};

/// A shipper, ended when dropped.
struct Shipper(Child);

impl Shipper {
    fn start(directory: &Path, target: &str, words: &[&str]) -> Self {
        let mut command = shipper(directory, target, words);
        Self(command.spawn().expect("ward runs"))
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shipper(directory: &Path, target: &str, words: &[&str]) -> Command {
    let mut command = applet("ward");
    command.args(["ship", "--host", "router", "-d"]).arg(directory).args(words).arg(target);
    command
}

/// Messages of services, without those of the logger: `service text`.
fn texts(server: &Rsyslog) -> Vec<String> {
    let said = server.said();
    let words = said.iter().map(|line| line.splitn(8, ' ').collect::<Vec<_>>());
    let own = words.filter(|words| words[3] != ".logger");
    own.map(|words| format!("{} {}", words[3], words[7])).collect()
}

fn wait_lines(server: &Rsyslog, lines: usize) {
    wait_for("all lines", LONG, || (texts(server).len() >= lines).then_some(()));
}

/// What the log holds, as `service text`.
fn logged(init: &PretendInit) -> Vec<String> {
    init.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

/// One by one, since nobody reads what two long lists have not in common.
fn assert_same(said: &[String], logged: &[String]) {
    for (at, (said, logged)) in said.iter().zip(logged).enumerate() {
        assert_eq!(said, logged, "line {at}");
    }
    assert_eq!(said.len(), logged.len());
}

#[test]
fn a_syslog_server_gets_all_that_was_said_since_the_first_line() {
    let init = written(500);
    let mut server = Rsyslog::new(By::Tcp);
    server.start();
    let _shipper = Shipper::start(&init.log_dir(), &server.tcp(), &[]);
    wait_lines(&server, 500);
    assert_same(&texts(&server), &logged(&init));
    init.write(0, "<3>bad\n");
    wait_lines(&server, 501);
    let said = server.said();
    assert_eq!(said.len(), 501);
    let words: Vec<_> = said[500].splitn(8, ' ').collect();
    assert_eq!(words[0], "27");
    assert!(words[1].starts_with("20") && words[1].ends_with('Z') && words[1].len() == 27);
    assert_eq!(words[2..], ["router", "a", "-", "-", "-", "bad"]);
}
