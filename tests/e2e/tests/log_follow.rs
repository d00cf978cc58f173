//! `ward log -f`: every line once and in order, whatever becomes of the files
//! and of who writes them.

use std::fs;
use std::io::{BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::log::{Follower, LONG, line, log, mark, written};
use e2e::pretend_init::PretendInit;
use e2e::process::switches;
use e2e::{Folder, debian, wait_for};
use rustix::process::Signal;

#[test]
fn killed_and_rotated_under_load_a_follower_sees_every_line_once_and_in_order() {
    const WRITERS: usize = 4;
    const KILLS: usize = 60;
    let names: Vec<String> = (0..WRITERS).map(|i| format!("writer{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut init = PretendInit::new(&names, &["-s", "9000", "-n", "1000000"]);
    init.start_logger();
    init.write(0, "00000000 before\n");
    init.expect_lines(&["writer0 00000000 before"]);
    let mut follower = Follower::start(log(&init.log_dir(), &["-f", "-n", "1"]));
    assert_eq!(follower.line(), "writer0 00000000 before");
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|slot| {
            let mut pipe = init.pipe(slot).try_clone().unwrap();
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut count = u32::from(slot == 0);
                while !stop.load(Ordering::Relaxed) {
                    // Many lines at once, so that a kill meets a write that is long.
                    let mut text = String::new();
                    for _ in 0..=(count % 301) {
                        text.push_str(&format!("{count:08} {}\n", "=".repeat(count as usize % 90)));
                        count += 1;
                    }
                    pipe.write_all(text.as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_micros(u64::from(count) % 1_000));
                }
                count
            })
        })
        .collect();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "writer0 end") {
            lines.push(follower.line());
        }
        lines
    });
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_micros(5_000 + 331 * round as u64));
        init.kill_logger();
        init.start_logger();
    }
    stop.store(true, Ordering::Relaxed);
    let counts: Vec<u32> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    wait_for("empty pipes", LONG, || (0..WRITERS).all(|i| init.unread(i) == 0).then_some(()));
    init.write(0, "end\n");
    wait_for("the follower", LONG, || reader.is_finished().then_some(()));
    assert!(counts.iter().sum::<u32>() > 10_000, "there was no load: {counts:?}");
    let lines = reader.join().unwrap();
    let logged = init.lines().into_iter().map(|line| String::from_utf8(line).unwrap());
    let logged: Vec<String> = logged.skip(1).collect();
    let mut next = [1, 0, 0, 0_u32];
    for line in &logged[..logged.len() - 1] {
        let rest = line.strip_prefix("writer").unwrap_or_else(|| panic!("mixed: {line:?}"));
        let slot = usize::from(rest.as_bytes()[0] - b'0');
        let expected = format!("{slot} {:08} {}", next[slot], "=".repeat(next[slot] as usize % 90));
        assert_eq!(rest, expected, "in the log");
        next[slot] += 1;
    }
    assert_eq!(next.to_vec(), counts, "in the log");
    // One by one, since nobody reads what two long lists have not in common.
    for (at, (line, logged)) in lines.iter().zip(&logged).enumerate() {
        assert_eq!(line, logged, "line {at}, followed");
    }
    assert_eq!(lines.len(), logged.len());
}

#[test]
fn a_follower_waits_without_waking_up_and_ends_when_nobody_reads_it() {
    let mut init = written(10);
    let mut follower = Follower::start(log(&init.log_dir(), &["-f", "-n", "2", "-s", "a"]));
    assert_eq!([follower.line(), follower.line()], ["a line 6", "a line 8"]);
    // An unfinished line waits for its end, also when the logger ends meanwhile.
    init.write(0, "begun");
    init.write(1, "other\n");
    init.end_logger(Signal::TERM);
    init.start_logger();
    init.write(0, " and ended\n");
    assert_eq!(follower.line(), "a begun and ended");
    init.signal(Signal::ALARM);
    init.write(0, "in a new file\n");
    assert_eq!(follower.line(), "a in a new file");
    let rest = follower.wait_rest();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(switches(follower.0.id()), rest, "it polls");
    let Follower(child, output) = &mut follower;
    drop(std::mem::replace(output, BufReader::new(empty_output())));
    let ended = wait_for("its end", LONG, || child.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}

/// The output of a program that says nothing.
fn empty_output() -> std::process::ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    child.wait().unwrap();
    child.stdout.take().unwrap()
}

#[test]
fn files_that_a_processor_of_s6_log_takes_are_followed_too() {
    let folder = Folder::new("log");
    let directory = folder.join("logs");
    let mut logger = debian("s6-log");
    logger.args(["t", "n100", "s4096", "!cat"]).arg(&directory).stdin(Stdio::piped());
    let mut logger = logger.spawn().unwrap();
    let mut input = logger.stdin.take().unwrap();
    wait_for("its directory", LONG, || directory.join("current").exists().then_some(()));
    let mut follower = Follower::start(log(&directory, &["-f", "-n", "0"]));
    let mut count = 0;
    follower.wait_rest();
    for _ in 0..10 {
        for _ in 0..150 {
            writeln!(input, "then {count}").unwrap();
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(input);
    for i in 0..count {
        assert_eq!(follower.line(), format!("then {i}"));
    }
    assert!(logger.wait().unwrap().success());
}

#[test]
fn a_log_that_begins_later_is_followed_from_its_first_line() {
    let folder = Folder::new("log");
    let mut follower = Follower::start(log(folder.path(), &["-f"]));
    follower.wait_rest();
    let current =
        folder.write("current", mark(1, 1_700_000_000, 5) + &line(1_700_000_001, "a one"));
    assert_eq!(follower.line(), "a one");
    fs::rename(current, folder.join("@40000000655436a500000000.s")).unwrap();
    folder.write("current", line(1_700_000_002, "a two"));
    assert_eq!(follower.line(), "a two");
    fs::remove_file(folder.join("current")).unwrap();
    folder.write("current", line(1_700_000_003, "a three"));
    assert_eq!(follower.line(), "a three");
}
