//! Oneshots: what their scripts are given, where their output goes, and what
//! their end means.

use std::fs;
use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::machine::{Machine, PATIENCE, alive, signal};
use e2e::wait_for;
use rustix::process::Signal;

#[test]
fn a_script_has_its_name_and_stands_where_init_stands() {
    let machine = Machine::new("place");
    machine.oneshot("who-am-i", "sh -c \"echo $RC_NAME $0 $#; pwd; readlink /proc/self/fd/0\"");
    machine.start();
    let said = machine.rc("-u change who-am-i").expect(0);
    let scandir = machine.scandir().canonicalize().unwrap();
    let lines = ["who-am-i sh 0", scandir.to_str().unwrap(), "/dev/null"];
    assert_eq!(said.lines(), lines);
    let logged: Vec<String> = lines.iter().map(|line| format!("who-am-i {line}")).collect();
    assert_eq!(machine.log(), logged);
}

#[test]
fn what_a_script_prints_is_shown_to_who_asked_and_logged_under_its_name() {
    let machine = Machine::new("output");
    machine.oneshot("first", "sh -c \"echo one; echo two >&2; echo three\"");
    machine.oneshot("second", "sh -c \"echo four; printf five\"").needs("second", &["first"]);
    machine.set("first", "down", "echo six").set("second", "down", "echo seven");
    machine.oneshot("other", "echo not asked for").start();
    let said = machine.rc("-u change second").expect(0);
    assert_eq!(said.lines(), ["one", "two", "three", "four", "five"]);
    assert_eq!(said.err, "");
    let mut logged = vec!["first one", "first two", "first three", "second four", "second five"];
    assert_eq!(machine.log(), logged);
    let said = machine.rc("-d change first").expect(0);
    assert_eq!(said.lines(), ["seven", "six"]);
    logged.extend(["second seven", "first six"]);
    assert_eq!(machine.log(), logged);
    // The commands for people show it, too.
    let said = machine.ward("start first").expect(0);
    assert_eq!(said.lines(), ["one", "two", "three", "first: up"]);
}

#[test]
fn not_one_line_is_missed_nor_comes_after_the_news_of_the_end() {
    let machine = Machine::new("each-line");
    machine.oneshot("quick", "true").set("quick", "reload", "echo quick");
    machine.bundle("default", &["quick"]).start();
    for _ in 0..100 {
        let said = machine.ward("reload quick").expect(0);
        assert_eq!(said.lines(), ["quick", "quick: reloaded"]);
    }
}

#[test]
fn what_a_script_prints_at_boot_is_logged_once() {
    let machine = Machine::new("boot-output");
    machine.oneshot("first", "echo hello").oneshot("broken", "sh -c \"echo oh; exit 3\"");
    machine.bundle("default", &["first", "broken"]).start();
    machine.wait_log("first hello");
    machine.wait_log("broken oh");
    machine.wait_log("boot boot: warning: broken: its script exited 3");
    assert_eq!(machine.log().len(), 3, "{:?}", machine.log());
    assert_eq!(machine.up(), ["first"]);
}

#[test]
fn long_output_arrives_whole() {
    let machine = Machine::new("long-output");
    machine.oneshot("seq", "seq 1 100000").start();
    let said = machine.rc("-u change seq").expect(0);
    let expected: Vec<String> = (1..=100_000).map(|i: u32| i.to_string()).collect();
    assert!(said.lines() == expected, "{} bytes", said.out.len());
}

#[test]
fn a_script_is_an_execline_command_line() {
    let machine = Machine::new("execline");
    let up = "# a comment\nforeground { echo \"two  blanks\\0x2c a comma\" }\n\
              if -n { test x = y }\nbacktick -n place { pwd }\nimportas -u place place\n\
              importas name RC_NAME\nforx -p i { a b } importas i i\n\
              ifelse { test ${i} = a } { echo first $name } echo second ${name}\n";
    machine.oneshot("words", up).set("words", "down", "redirfd -w 1 ../down.txt echo down");
    machine
        .oneshot("stops", "if { false } echo never")
        .oneshot("nothing", "# only words\n")
        .start();
    let said = machine.rc("-u change words nothing").expect(0);
    let mut lines = said.lines();
    assert_eq!(lines.remove(0), "two  blanks, a comma");
    lines.sort_unstable();
    assert_eq!(lines, ["first words", "second words"]);
    assert_eq!(machine.up(), ["nothing", "words"]);
    machine.rc("-d change words").expect(0);
    assert_eq!(machine.notes("down.txt"), ["down"]);
    let said = machine.rc("-u change stops").expect(1).has("stops: its script exited 1");
    assert_eq!(said.out, "");
}

#[test]
fn an_empty_script_is_done_without_running() {
    let machine = Machine::new("empty");
    machine.oneshot("empty", "").oneshot("downless", "true").start();
    machine.rc("-u change empty downless").expect(0);
    assert_eq!(machine.up(), ["downless", "empty"]);
    machine.rc("-d change empty downless").expect(0);
    assert!(machine.up().is_empty());
}

#[test]
fn a_script_that_fails_leaves_its_service_as_it_was() {
    let machine = Machine::new("fails");
    machine.oneshot("signal", "sh -c \"kill -9 $$\"").oneshot("code", "sh -c \"exit 201\"");
    machine.oneshot("stays", "true").set("stays", "down", "sh -c \"echo no; exit 4\"");
    machine.sleeper("need").needs("stays", &["need"]).bundle("default", &["stays"]).start();
    machine.rc("-u change signal").expect(1).has("signal: its script was killed by signal 9");
    machine.rc("-u change code").expect(1).has("code: its script exited 201");
    let said = machine.rc("-d change need").expect(1);
    assert_eq!(said.lines(), ["no"]);
    assert!(said.err.contains("stays: its script exited 4"), "{}", said.err);
    assert!(said.err.contains("need: stays needs it and did not stop"), "{}", said.err);
    assert_eq!(machine.up(), ["need", "stays"]);
}

#[test]
fn a_script_that_takes_too_long_is_ended_with_all_that_it_started() {
    let machine = Machine::new("too-long");
    let up = format!("sh -c \"echo $$ >{}; sleep 1000 & wait\"", machine.join("pid").display());
    machine.oneshot("slow", &up).set("slow", "timeout-up", "300\n").sleeper("after");
    machine.needs("after", &["slow"]).start();
    let start = Instant::now();
    let said = machine.rc("-u change after").expect(1);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(said.err.contains("slow: its script was still running after 300 ms"), "{}", said.err);
    assert!(said.err.contains("after: it needs slow, which is not up"), "{}", said.err);
    let group = machine.notes("pid")[0].clone();
    wait_for("the end of the group", PATIENCE, || members(&group).is_empty().then_some(()));
    assert!(machine.up().is_empty());
}

/// The processes of a process group.
fn members(group: &str) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_group = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split(' ').nth(2) == Some(group) && alive(*pid)
    };
    numbers.filter(of_group).collect()
}

#[test]
fn a_script_that_does_not_listen_is_killed() {
    let machine = Machine::new("deaf-script");
    let up = format!(
        "sh -c \"trap '' TERM; echo $$ >{}; while :; do sleep 0.02; done\"",
        machine.join("pid").display()
    );
    machine.oneshot("deaf", &up).set("deaf", "timeout-up", "200").start();
    machine.rc("-u change deaf").expect(1);
    let pid = machine.notes("pid")[0].clone();
    wait_for("its death", PATIENCE, || members(&pid).is_empty().then_some(()));
    // It can be asked for again.
    machine.rc("-u change deaf").expect(1).has("was still running after 200 ms");
}

#[test]
fn reload_runs_the_reload_script_of_what_is_up() {
    let machine = Machine::new("reload-script");
    machine.oneshot("rules", "true").set("rules", "reload", "echo again $RC_NAME");
    machine.set("rules", "reload", "sh -c \"echo again $RC_NAME\"");
    machine.oneshot("fixed", "true").oneshot("bad", "true").set(
        "bad",
        "reload",
        "sh -c \"exit 9\"",
    );
    machine.oneshot("down", "true").set("down", "reload", "echo never");
    machine.bundle("default", &["rules", "fixed", "bad"]).start();
    assert_eq!(machine.rc("reload rules").expect(0).lines(), ["again rules"]);
    assert_eq!(machine.ward("reload rules").expect(0).lines(), ["again rules", "rules: reloaded"]);
    machine.rc("reload fixed").expect(1).has("fixed: it has no reload script");
    machine.rc("reload bad").expect(1).has("bad: its script exited 9");
    machine.rc("reload down").expect(1).has("down: it is not up");
    assert_eq!(machine.up(), ["bad", "fixed", "rules"]);
}

#[test]
fn a_script_runs_once_however_many_ask_for_it() {
    let machine = Machine::new("once");
    let (notes, go) = (machine.join("notes"), machine.join("go"));
    let up = format!(
        "sh -c \"echo x >>{}; while ! [ -e {} ]; do sleep 0.01; done\"",
        notes.display(),
        go.display()
    );
    machine.oneshot("shared", &up).start();
    let clients: Vec<Client> =
        (0..10).map(|_| Client::start(&mut machine.command("s6-rc", "-u change shared"))).collect();
    wait_for("a start", PATIENCE, || (machine.notes("notes").len() == 1).then_some(()));
    fs::write(&go, "").unwrap();
    for client in clients {
        client.finish().expect(0);
    }
    assert_eq!(machine.notes("notes").len(), 1);
}

#[test]
fn a_script_that_is_to_be_undone_may_finish_first() {
    let machine = Machine::new("undone");
    let (notes, go) = (machine.join("notes"), machine.join("go"));
    let up = format!(
        "sh -c \"echo begun >>{0}; while ! [ -e {1} ]; do sleep 0.01; done; echo done >>{0}\"",
        notes.display(),
        go.display()
    );
    let down = format!("sh -c \"echo undone >>{}\"", notes.display());
    machine.oneshot("half", &up).set("half", "down", &down).start();
    let first = Client::start(&mut machine.command("s6-rc", "-u change half"));
    wait_for("a start", PATIENCE, || (machine.notes("notes").len() == 1).then_some(()));
    let second = Client::start(&mut machine.command("s6-rc", "-d change half"));
    first.finish().expect(1).has("half: superseded by a newer request to stop it");
    fs::write(&go, "").unwrap();
    second.finish().expect(0);
    assert_eq!(machine.notes("notes"), ["begun", "done", "undone"]);
    assert!(machine.up().is_empty());
}

#[test]
fn a_script_that_is_killed_from_outside_has_failed() {
    let machine = Machine::new("killed");
    let up = format!("sh -c \"echo $$ >{}; exec sleep 1000\"", machine.join("pid").display());
    machine.oneshot("victim", &up).start();
    let client = Client::start(&mut machine.command("s6-rc", "-u change victim"));
    let pid = wait_for("its number", PATIENCE, || machine.notes("pid").first()?.parse().ok());
    signal(pid, Signal::KILL);
    client.finish().expect(1).has("victim: its script was killed by signal 9");
}
