//! Oneshots: what their scripts are given, where their output goes, and what
//! their end means.

use std::fs;
use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, alive, signal};
use e2e::wait_for;
use rustix::process::Signal;

#[test]
fn a_script_has_its_name_and_stands_where_init_stands() {
    let device = Device::new("place");
    device.oneshot("who-am-i", "sh -c \"echo $RC_NAME $0 $#; pwd; readlink /proc/self/fd/0\"");
    device.start();
    let said = device.rc("-u change who-am-i").expect(0);
    let scandir = device.scandir().canonicalize().unwrap();
    let lines = ["who-am-i sh 0", scandir.to_str().unwrap(), "/dev/null"];
    assert_eq!(said.lines(), lines);
    let logged: Vec<String> = lines.iter().map(|line| format!("who-am-i {line}")).collect();
    assert_eq!(device.log(), logged);
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn what_a_script_prints_is_shown_to_who_asked_and_logged_under_its_name() {
    let device = Device::new("output");
    device.oneshot("first", "sh -c \"echo one; echo two >&2; echo three\"");
    device.oneshot("second", "sh -c \"echo four; printf five\"").needs("second", &["first"]);
    device.set("first", "down", "echo six").set("second", "down", "echo seven");
    device.oneshot("other", "echo not asked for").start();
    // Between two services that print at the same moment there is no order.
    let of = |name: &str| -> Vec<String> {
        let named = |line: String| Some(line.strip_prefix(name)?.trim_start().to_owned());
        device.log().into_iter().filter_map(named).collect()
    };
    let sorted = |mut lines: Vec<&str>| {
        lines.sort_unstable();
        lines.join(" ")
    };
    let said = device.rc("-u change second").expect(0);
    assert_eq!(sorted(said.lines()), "five four one three two");
    assert_eq!(said.err, "");
    assert_eq!((of("first"), of("second")), (words("one two three"), words("four five")));
    let said = device.rc("-d change first").expect(0);
    assert_eq!(sorted(said.lines()), "seven six");
    assert_eq!((of("first"), of("second")), (words("one two three six"), words("four five seven")));
    assert_eq!(device.log().len(), 7);
    // The commands for people show it, too.
    let said = device.ward("start first").expect(0);
    assert_eq!(said.lines(), ["one", "two", "three", "first: up"]);
}

#[test]
fn not_one_line_is_missed_nor_comes_after_the_news_of_the_end() {
    let device = Device::new("each-line");
    device.oneshot("quick", "true").set("quick", "reload", "echo quick");
    device.bundle("default", &["quick"]).start();
    for _ in 0..100 {
        let said = device.ward("reload quick").expect(0);
        assert_eq!(said.lines(), ["quick", "quick: reloaded"]);
    }
}

#[test]
fn what_a_script_prints_at_boot_is_logged_once() {
    let device = Device::new("boot-output");
    device.oneshot("first", "echo hello").oneshot("broken", "sh -c \"echo oh; exit 3\"");
    device.bundle("default", &["first", "broken"]).start();
    device.wait_log("first hello");
    device.wait_log("broken oh");
    device.wait_log("boot boot: warning: broken: its script exited 3");
    assert_eq!(device.log().len(), 3, "{:?}", device.log());
    assert_eq!(device.up(), ["first"]);
}

#[test]
fn long_output_arrives_whole() {
    let device = Device::new("long-output");
    device.oneshot("seq", "seq 1 100000").start();
    let said = device.rc("-u change seq").expect(0);
    let expected: Vec<String> = (1..=100_000).map(|i: u32| i.to_string()).collect();
    assert!(said.lines() == expected, "{} bytes", said.out.len());
}

#[test]
fn a_script_is_an_execline_command_line() {
    let device = Device::new("execline");
    let up = "# a comment\nforeground { echo \"two  blanks\\0x2c a comma\" }\n\
              if -n { test x = y }\nbacktick -n place { pwd }\nimportas -u place place\n\
              importas name RC_NAME\nforx -p i { a b } importas i i\n\
              ifelse { test ${i} = a } { echo first $name } echo second ${name}\n";
    device.oneshot("words", up).set("words", "down", "redirfd -w 1 ../down.txt echo down");
    device.oneshot("stops", "if { false } echo never").oneshot("nothing", "# only words\n").start();
    let said = device.rc("-u change words nothing").expect(0);
    let mut lines = said.lines();
    assert_eq!(lines.remove(0), "two  blanks, a comma");
    lines.sort_unstable();
    assert_eq!(lines, ["first words", "second words"]);
    assert_eq!(device.up(), ["nothing", "words"]);
    device.rc("-d change words").expect(0);
    assert_eq!(device.notes("down.txt"), ["down"]);
    let said = device.rc("-u change stops").expect(1).has("stops: its script exited 1");
    assert_eq!(said.out, "");
}

#[test]
fn an_empty_script_is_done_without_running() {
    let device = Device::new("empty");
    device.oneshot("empty", "").oneshot("downless", "true").start();
    device.rc("-u change empty downless").expect(0);
    assert_eq!(device.up(), ["downless", "empty"]);
    device.rc("-d change empty downless").expect(0);
    assert!(device.up().is_empty());
}

#[test]
fn a_script_that_fails_leaves_its_service_as_it_was() {
    let device = Device::new("fails");
    device.oneshot("signal", "sh -c \"kill -9 $$\"").oneshot("code", "sh -c \"exit 201\"");
    device.oneshot("stays", "true").set("stays", "down", "sh -c \"echo no; exit 4\"");
    device.sleeper("need").needs("stays", &["need"]).bundle("default", &["stays"]).start();
    device.rc("-u change signal").expect(1).has("signal: its script was killed by signal 9");
    device.rc("-u change code").expect(1).has("code: its script exited 201");
    let said = device.rc("-d change need").expect(1);
    assert_eq!(said.lines(), ["no"]);
    assert!(said.err.contains("stays: its script exited 4"), "{}", said.err);
    assert!(said.err.contains("need: stays needs it and did not stop"), "{}", said.err);
    assert_eq!(device.up(), ["need", "stays"]);
}

#[test]
fn a_script_that_takes_too_long_is_ended_with_all_that_it_started() {
    let device = Device::new("too-long");
    let up = format!("sh -c \"echo $$ >{}; sleep 1000 & wait\"", device.join("pid").display());
    device.oneshot("slow", &up).set("slow", "timeout-up", "300\n").sleeper("after");
    device.needs("after", &["slow"]).start();
    let start = Instant::now();
    let said = device.rc("-u change after").expect(1);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(said.err.contains("slow: its script was still running after 300 ms"), "{}", said.err);
    assert!(said.err.contains("after: it needs slow, which is not up"), "{}", said.err);
    let group = device.notes("pid")[0].clone();
    wait_for("the end of the group", PATIENCE, || members(&group).is_empty().then_some(()));
    assert!(device.up().is_empty());
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
    let device = Device::new("deaf-script");
    let up = format!(
        "sh -c \"trap '' TERM; echo $$ >{}; while :; do sleep 0.02; done\"",
        device.join("pid").display()
    );
    device.oneshot("deaf", &up).set("deaf", "timeout-up", "200").start();
    device.rc("-u change deaf").expect(1);
    let pid = device.notes("pid")[0].clone();
    wait_for("its death", PATIENCE, || members(&pid).is_empty().then_some(()));
    // It can be asked for again.
    device.rc("-u change deaf").expect(1).has("was still running after 200 ms");
}

#[test]
fn reload_runs_the_reload_script_of_what_is_up() {
    let device = Device::new("reload-script");
    device.oneshot("rules", "true").set("rules", "reload", "echo again $RC_NAME");
    device.set("rules", "reload", "sh -c \"echo again $RC_NAME\"");
    device.oneshot("fixed", "true").oneshot("bad", "true").set("bad", "reload", "sh -c \"exit 9\"");
    device.oneshot("down", "true").set("down", "reload", "echo never");
    device.bundle("default", &["rules", "fixed", "bad"]).start();
    assert_eq!(device.rc("reload rules").expect(0).lines(), ["again rules"]);
    assert_eq!(device.ward("reload rules").expect(0).lines(), ["again rules", "rules: reloaded"]);
    device.rc("reload fixed").expect(1).has("fixed: it has no reload script");
    device.rc("reload bad").expect(1).has("bad: its script exited 9");
    device.rc("reload down").expect(1).has("down: it is not up");
    assert_eq!(device.up(), ["bad", "fixed", "rules"]);
}

#[test]
fn a_script_runs_once_however_many_ask_for_it() {
    let device = Device::new("once");
    let (notes, go) = (device.join("notes"), device.join("go"));
    let up = format!(
        "sh -c \"echo x >>{}; while ! [ -e {} ]; do sleep 0.01; done\"",
        notes.display(),
        go.display()
    );
    device.oneshot("shared", &up).start();
    let clients: Vec<Client> =
        (0..10).map(|_| Client::start(&mut device.command("s6-rc", "-u change shared"))).collect();
    wait_for("a start", PATIENCE, || (device.notes("notes").len() == 1).then_some(()));
    fs::write(&go, "").unwrap();
    for client in clients {
        client.finish().expect(0);
    }
    assert_eq!(device.notes("notes").len(), 1);
}

#[test]
fn a_script_that_is_to_be_undone_may_finish_first() {
    let device = Device::new("undone");
    let (notes, go) = (device.join("notes"), device.join("go"));
    let up = format!(
        "sh -c \"echo begun >>{0}; while ! [ -e {1} ]; do sleep 0.01; done; echo done >>{0}\"",
        notes.display(),
        go.display()
    );
    let down = format!("sh -c \"echo undone >>{}\"", notes.display());
    device.oneshot("half", &up).set("half", "down", &down).start();
    let first = Client::start(&mut device.command("s6-rc", "-u change half"));
    wait_for("a start", PATIENCE, || (device.notes("notes").len() == 1).then_some(()));
    let second = Client::start(&mut device.command("s6-rc", "-d change half"));
    first.finish().expect(1).has("half: superseded by a newer request to stop it");
    fs::write(&go, "").unwrap();
    second.finish().expect(0);
    assert_eq!(device.notes("notes"), ["begun", "done", "undone"]);
    assert!(device.up().is_empty());
}

#[test]
fn a_script_that_is_killed_from_outside_has_failed() {
    let device = Device::new("killed");
    let up = format!("sh -c \"echo $$ >{}; exec sleep 1000\"", device.join("pid").display());
    device.oneshot("victim", &up).start();
    let client = Client::start(&mut device.command("s6-rc", "-u change victim"));
    let pid = wait_for("its number", PATIENCE, || device.notes("pid").first()?.parse().ok());
    signal(pid, Signal::KILL);
    client.finish().expect(1).has("victim: its script was killed by signal 9");
}
