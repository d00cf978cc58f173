//! Nobody takes what services say: no logger, or a log that cannot be written. No service waits for long, and
//! the log says how much is lost.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::machine::{Machine, PATIENCE};
use e2e::process::send;
use e2e::{applets, wait_for};
use rustix::fs::{FlockOperation, fcntl_lock};

/// Says lines with growing numbers, and in the file `told` how far it is.
fn speaker(machine: &Machine) {
    let told = machine.join("told").display().to_string();
    machine.longrun(
        "speaker",
        &format!(
            "i=0; fill=$(printf %080d 0)
            while :; do
                n=0; while [ $n -lt 50 ]; do n=$((n + 1)); i=$((i + 1)); echo $i $fill; done
                echo $i >{told}.new; mv {told}.new {told}; sleep 0.01
            done"
        ),
    );
    machine.bundle("default", &["speaker"]);
}

/// The number in the file `told`.
fn told(machine: &Machine) -> u64 {
    wait_for("a number", PATIENCE, || {
        fs::read_to_string(machine.join("told")).ok()?.trim().parse().ok()
    })
}

/// Checks the numbers of the speaker in a log, with what it says is lost: none is there twice, none is missing
/// that is not counted. `last`: the one before the first, where that is known. Answers how many are lost, and the
/// last number.
fn account(log: &[String], mut last: Option<u64>) -> (u64, u64) {
    let (mut missing, mut lost) = (0, 0);
    for line in log {
        if let Some(text) = line.strip_prefix("speaker ") {
            let number: u64 =
                text.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line:?}"));
            let expected = last.map_or(number, |last: u64| last + 1);
            assert!(number >= expected, "{number} behind {last:?}");
            missing += number - expected;
            last = Some(number);
        } else if let Some(text) = line.strip_prefix(".logger lost ") {
            let (count, service) = text.split_once(" lines of ").unwrap();
            assert_eq!(service, "speaker");
            lost += count.parse::<u64>().unwrap();
        }
    }
    assert_eq!(missing, lost, "what is missing is what is said to be lost");
    (lost, last.unwrap_or(0))
}

#[test]
fn without_a_logger_services_go_on_and_the_next_one_says_what_is_lost() {
    let mut machine = Machine::new("no-logger");
    machine.option(&["-n", "100000"]);
    speaker(&machine);
    machine.boot();
    machine.wait_up(&["speaker"]);
    told(&machine);
    // Whoever has this lock keeps every logger out.
    let lock = fs::File::options().write(true).open(machine.join("logs/lock")).unwrap();
    send("KILL", machine.logger_pid());
    wait_for("the lock", PATIENCE, || {
        fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
    });
    let before = told(&machine);
    let start = Instant::now();
    // Several pipes full.
    wait_for("it to go on", PATIENCE, || (told(&machine) > before + 5000).then_some(()));
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "it was kept waiting: {:?}",
        start.elapsed()
    );
    drop(lock);
    let after = told(&machine);
    let log = || machine.log();
    wait_for("the new logger", PATIENCE, || {
        let speaks = |line: &String| line.strip_prefix("speaker ").map(|rest| rest.to_owned());
        let last = log().iter().rev().find_map(speaks)?;
        (last.split(' ').next()?.parse::<u64>().ok()? > after).then_some(())
    });
    let (lost, _) = account(&log(), Some(0));
    assert!(lost > 1000, "only {lost} lines were lost");
    machine.end();
}

#[test]
fn a_logger_that_hangs_on_its_disk_keeps_nobody_waiting() {
    let mut machine = Machine::new("hung-logger");
    machine.option(&["-n", "100000"]);
    // Not in memory, where nothing hangs.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("logs-{}", std::process::id()));
    fs::create_dir(&disk).unwrap();
    std::os::unix::fs::symlink(&disk, machine.join("logs")).unwrap();
    speaker(&machine);
    machine.boot();
    machine.wait_up(&["speaker"]);
    wait_for("a line", PATIENCE, || {
        machine.log().iter().any(|l| l.starts_with("speaker")).then_some(())
    });
    let logger = machine.logger_pid();
    send("STOP", logger);
    let before = told(&machine);
    wait_for("it to go on", PATIENCE, || (told(&machine) > before + 3000).then_some(()));
    let after = told(&machine);
    wait_for("another logger", PATIENCE, || {
        let line = machine
            .log()
            .iter()
            .rev()
            .find_map(|l| Some(l.strip_prefix("speaker ")?.to_owned()))?;
        (line.split(' ').next()?.parse::<u64>().ok()? > after).then_some(())
    });
    assert_ne!(machine.logger_pid(), logger);
    assert!(machine.said().contains("the logger hangs and is killed"), "{}", machine.console());
    account(&machine.log(), Some(0));
    machine.end();
    fs::remove_dir_all(&disk).unwrap();
}

#[test]
fn on_a_full_disk_services_go_on_and_the_log_says_what_is_lost() {
    let script = r#"
        set -e
        PATH=$1:$PATH; cd "$2"
        mkdir disk; mount -t tmpfs -o size=1m none disk
        ward init --container -n 5 -c "$2/db" -l "$2/live" -L "$2/disk/logs" "$2/scan" >said 2>&1 &
        init=$!
        trap 'kill $init; wait $init' EXIT
        until [ -s told ]; do sleep 0.05; done
        # Until no archive is left to be dropped, and after that.
        begun=$(cat told)
        until [ $(cat told) -gt $((begun + 8000)) ]; do
            dd if=/dev/zero bs=1k 2>/dev/null >>disk/fill || true
            sleep 0.05
        done
        ls disk/logs | grep '\.s$' && echo 'archives are left'
        rm disk/fill
        now=$(cat told)
        last() { tail -n 1 disk/logs/current | cut -d' ' -f3; }
        until [ "$(last)" -gt $((now + 200)) ]; do sleep 0.05; done
        cat disk/logs/@* disk/logs/current >log 2>/dev/null || cp disk/logs/current log
    "#;
    let machine = Machine::new("full-log");
    speaker(&machine);
    machine.compile_to("db");
    let mut command = Command::new("unshare");
    command
        .args(["-Urmpf", "--mount-proc", "timeout", "100", "sh", "-c", script, "sh"])
        .arg(applets());
    let output = command.arg(machine.join(".")).output().unwrap();
    let said = fs::read_to_string(machine.join("said")).unwrap_or_default();
    assert!(output.status.success(), "{output:?}\n{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let log = fs::read_to_string(machine.join("log")).unwrap();
    let lines: Vec<_> =
        log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let (lost, last) = account(&lines, None);
    assert!(lost > 1000, "only {lost} lines of {last} were lost");
}
