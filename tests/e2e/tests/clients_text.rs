//! What `ward`'s clients print of a service, beside what Debian's print of
//! the same files. The differences allowed are those of `docs/compat.md`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::peer_tree::{Dice, PATIENCE, PeerTree};
use e2e::{Folder, applet, debian, stdout, wait_for};
use model::service::status::{Death, Exit, Status};
use model::time::Date;

fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("it starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn now() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Date::from_unix(since.as_secs(), since.subsec_nanos())
}

const FIELDS: &str = "up,wantedup,normallyup,ready,paused,pid,exitcode,signal,signum,\
                      updownsince,readysince,updownfor,readyfor";

/// The text of s6 2.11 that says the same as a line of s6 2.15.
fn as_of_2_11(line: &str) -> String {
    match (line.find(" pgid "), line.find(')')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line.to_owned(),
    }
}

/// Compares until no second went by between the two.
fn same_status(dir: &Path, options: &[&str]) {
    let mut last = None;
    for _ in 0..10 {
        let ours = output(applet("s6-svstat").args(options).arg(dir));
        let theirs = output(debian("s6-svstat").args(options).arg(dir));
        if as_of_2_11(&ours.1) == theirs.1 && ours.0 == theirs.0 {
            return;
        }
        last = Some((ours, theirs));
    }
    panic!("{options:?} of {}: {last:?}", dir.display());
}

#[test]
fn the_status_of_real_services_reads_as_the_peer_prints_it() {
    let mut tree = PeerTree::new("svstat");
    let up = tree.sleeper("up");
    let down = tree.sleeper("down");
    let exited = tree.service("exited", "#!/bin/sh\nexit 3\n");
    let ready = tree.service("ready", "#!/bin/sh\necho >&3\nexec sleep 1000\n");
    let finishing = tree.service("finishing", "#!/bin/sh\nexit 0\n");
    tree.script("scan/finishing/finish", "#!/bin/sh\nexec sleep 1000\n");
    tree.file("scan/finishing/timeout-finish", "0");
    tree.file("scan/down/down", "");
    tree.file("scan/ready/notification-fd", "3");
    tree.start();
    let wait = |dir: &Path, fields: &str, values: &str| {
        wait_for(values, PATIENCE, || {
            let text = stdout(applet("s6-svstat").args(["-o", fields]).arg(dir));
            (text.trim_end() == values).then_some(())
        });
    };
    let command = |dir: &Path, letters: &str| {
        assert_eq!(output(debian("s6-svc").arg(letters).arg(dir)).0, Some(0));
    };
    let same = |dir: &Path| {
        for options in [&[][..], &["-n"], &["-o", FIELDS], &["-uwNrpest"], &["-n", "-s"]] {
            same_status(dir, options);
        }
    };
    wait(&up, "up", "true");
    same(&up);
    same(&down);
    wait(&ready, "up,ready", "true true");
    same(&ready);
    wait(&finishing, "up,signum", "false -1");
    same(&finishing);
    command(&exited, "-O");
    wait(&exited, "up,wantedup", "false false");
    same(&exited);

    command(&down, "-u");
    wait(&down, "up", "true");
    same(&down); // normally down
    command(&up, "-O");
    wait(&up, "wantedup", "false");
    same(&up); // want down
    command(&ready, "-p");
    wait(&ready, "paused", "true");
    same(&ready);
    command(&ready, "-c");
    command(&ready, "-d");
    wait(&ready, "up", "false");
    same(&ready); // by a signal, normally up

    let line = stdout(applet("s6-svstat").arg(&down));
    let pid = stdout(applet("s6-svstat").arg("-p").arg(&down));
    let pid = pid.trim_end();
    assert!(line.starts_with(&format!("up (pid {pid} pgid {pid}) ")), "{line}");
    assert_eq!(stdout(applet("s6-svstat").args(["-o", "pgid"]).arg(&down)).trim_end(), pid);
    assert_eq!(stdout(applet("s6-svstat").args(["-g", "-p"]).arg(&down)), format!("{pid} {pid}\n"));
}

#[test]
fn any_status_reads_as_the_peer_prints_it() {
    let mut tree = PeerTree::new("status");
    let real = tree.sleeper("real");
    tree.start();
    // The lock of a real service makes any status file count.
    let made = tree.path().join("made");
    fs::create_dir_all(made.join("supervise")).unwrap();
    fs::create_dir(made.join("event")).unwrap();
    symlink(real.join("supervise/lock"), made.join("supervise/lock")).unwrap();
    let mut dice = Dice(1);
    for round in 0..150 {
        let date = |dice: &mut Dice| {
            let before = [1, 2, 3, 100, 100_000, 1 << 33][dice.roll(6) as usize];
            Date { label: now().label - before, nanos: dice.roll(1_000_000_000) as u32 }
        };
        let up = dice.roll(2) == 0;
        let signal = dice.roll(32) as u16;
        let status = Status {
            changed: date(&mut dice),
            readied: date(&mut dice),
            // Some of the low ones are threads of the kernel, and the others no more.
            pid: if up {
                1 + [dice.roll(300), dice.roll(1 << 22)][dice.roll(2) as usize]
            } else {
                0
            },
            wait_status: [dice.roll(256) as u16 * 256, signal, signal | 0x80]
                [dice.roll(3) as usize],
            // One that is down and paused was never started, says 2.15.
            paused: up && dice.roll(2) == 0,
            finishing: dice.roll(4) == 0,
            wanted_up: dice.roll(2) == 0,
            ready: dice.roll(2) == 0,
        };
        let status = Status { paused: status.paused && !status.finishing, ..status };
        fs::write(made.join("supervise/status"), status.to_bytes()).unwrap();
        let down = made.join("down");
        if dice.roll(2) == 0 {
            fs::write(&down, "").unwrap()
        } else {
            let _ = fs::remove_file(&down);
        }
        for options in [&[][..], &["-n"], &["-o", FIELDS]] {
            let said = std::panic::catch_unwind(|| same_status(&made, options));
            assert!(said.is_ok(), "round {round}: {status:?}");
        }
    }
    let never =
        Status { paused: true, changed: now(), readied: now(), ready: true, ..Status::default() };
    fs::write(made.join("supervise/status"), never.to_bytes()).unwrap();
    let _ = fs::remove_file(made.join("down"));
    let line = stdout(applet("s6-svstat").arg(&made));
    assert!(line.starts_with("down (not started yet) "), "{line}");
    assert!(line.contains(", normally up, ready "), "{line}");

    for bytes in [&[][..], &[0; 18], &[0; 20], &[0; 34], &[0; 36], &[0xff; 10_000]] {
        fs::write(made.join("supervise/status"), bytes).unwrap();
        for program in ["s6-svstat", "s6-svwait"] {
            let (code, text) = output(applet(program).arg(&made));
            assert_eq!((code, &*text), (Some(111), ""), "{program}: {} bytes", bytes.len());
        }
        assert_eq!(fs::read_dir(made.join("event")).unwrap().count(), 0);
    }
    fs::remove_file(made.join("supervise/status")).unwrap();
    assert_eq!(output(applet("s6-svstat").arg(&made)).0, Some(111));
    for (fields, code) in [("pid,xx", 100), ("up,,pid", 100), (",", 100), ("up,pid,", 0), ("", 0)] {
        for mut command in [applet("s6-svstat"), debian("s6-svstat")] {
            assert_eq!(output(command.args(["-o", fields]).arg(&real)).0, Some(code), "{fields:?}");
        }
    }
}

/// A death tally with `count` entries up to now.
fn tally(dice: &mut Dice, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for left in (0..count).rev() {
        let exit = match dice.roll(2) {
            0 => Exit::Code([0, 1, 2, 100, 255][dice.roll(5) as usize]),
            _ => Exit::Signal([6, 9, 11, 15][dice.roll(4) as usize]),
        };
        let date =
            Date { label: now().label - left * 10 - 5, nanos: dice.roll(1_000_000_000) as u32 };
        bytes.extend(Death { date, exit }.to_bytes());
    }
    bytes
}

#[test]
fn deaths_are_listed_as_the_peer_lists_them() {
    let folder = Folder::new("svdt");
    let mut dice = Dice(2);
    for count in [0, 1, 2, 7, 100, 4096] {
        folder.write("supervise/death_tally", tally(&mut dice, count));
        for options in [&[][..], &["-s"], &["-S"], &["-n", "0"], &["-n", "3"], &["-sn5000"]] {
            let ours = output(applet("s6-svdt").args(options).arg(folder.path()));
            let theirs = output(debian("s6-svdt").args(options).arg(folder.path()));
            assert_eq!(ours, theirs, "{options:?} of {count}");
        }
    }
    // An entry that is being written, and more than a supervisor keeps.
    let mut bytes = tally(&mut dice, 2);
    bytes.truncate(20);
    folder.write("supervise/death_tally", bytes);
    let (code, text) = output(applet("s6-svdt").arg(folder.path()));
    assert_eq!((code, text.lines().count()), (Some(0), 1));
    folder.write("supervise/death_tally", vec![0; 14 * 4097]);
    assert_eq!(output(applet("s6-svdt").arg(folder.path())).0, Some(111));

    assert_eq!(output(applet("s6-svdt-clear").arg(folder.path())).0, Some(0));
    assert_eq!(fs::metadata(folder.join("supervise/death_tally")).unwrap().len(), 0);
    assert_eq!(output(applet("s6-svdt").arg(folder.path())), (Some(0), String::new()));
}

#[test]
fn permanent_failure_is_declared_when_the_peer_declares_it() {
    let folder = Folder::new("permafailon");
    let mut dice = Dice(3);
    let mut failed = 0;
    for round in 0..120 {
        let deaths = dice.roll(12);
        folder.write("supervise/death_tally", tally(&mut dice, deaths));
        let seconds = [0, 1, 12, 33, 1000][dice.roll(5) as usize].to_string();
        let count = (1 + dice.roll(6)).to_string();
        let events = ["1", "0-255", "2,SIGTERM", "sigabrt,sig11", "SIGKILL,100-255"];
        let events = events[dice.roll(5) as usize];
        let words = [&*seconds, &count, events, "sh", "-c", "exit 17"];
        let code = |mut command: Command| output(command.args(words).current_dir(folder.path())).0;
        let (ours, theirs) = (code(applet("s6-permafailon")), code(debian("s6-permafailon")));
        assert_eq!(ours, theirs, "round {round}: {words:?}");
        failed += usize::from(ours == Some(125));
    }
    assert!((10..110).contains(&failed), "{failed} of 120 failed: the dice are bad");
    for (words, code) in [
        (&["1", "1", "x", "true"][..], 100),
        (&["1", "x", "1", "true"], 100),
        (&["1", "1", "256", "true"], 100),
        (&["1", "1", "1"], 100),
        (&["1", "99", "1", "/no/such/program"], 127),
        (&["1", "99", "1", "/etc/passwd"], 126),
    ] {
        let mut command = applet("s6-permafailon");
        assert_eq!(
            output(command.args(words).current_dir(folder.path())).0,
            Some(code),
            "{words:?}"
        );
    }
}

#[test]
fn permissions_are_set_and_shown_as_the_peer_does() {
    let mut tree = PeerTree::new("svperms");
    let dir = tree.sleeper("a");
    tree.start();
    let own = stdout(Command::new("id").arg("-gn"));
    let number = format!(":{}", stdout(Command::new("id").arg("-g")).trim_end());
    let (own, number) = (own.trim_end(), number.as_str());
    let modes = || -> Vec<u32> {
        let mode = |path| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o7777;
        ["supervise", "supervise/control", "event"].into_iter().map(mode).collect()
    };
    for options in [
        &[][..],
        &["-e", "-o"],
        &["-u"],
        &["-g", own],
        &["-G", own],
        &["-O", number, "-E", own],
        &["-e"],
        &["-u", "-E", number],
    ] {
        let mut all = Vec::new();
        for mut command in [debian("s6-svperms"), applet("s6-svperms")] {
            let said = output(command.arg("-v").args(options).arg(&dir));
            all.push((said, output(debian("s6-svperms").arg(&dir)), modes()));
            assert_eq!(all[0].0.0, Some(0), "{options:?}");
        }
        assert_eq!(all[0], all[1], "{options:?}");
    }
    for (options, code) in
        [(&["-G", "no such group"][..], 100), (&["-g", ":x"], 100), (&["-Z"], 100)]
    {
        assert_eq!(output(applet("s6-svperms").args(options).arg(&dir)).0, Some(code));
    }
}

#[test]
fn fifodirs_have_the_peers_permissions() {
    let folder = Folder::new("mkfifodir");
    let group = stdout(Command::new("id").arg("-g"));
    for options in [&[][..], &["-f"], &["-g", group.trim_end()]] {
        let mut modes = Vec::new();
        for (name, mut command) in [("a", applet("s6-mkfifodir")), ("b", debian("s6-mkfifodir"))] {
            let path = folder.join(name);
            let _ = fs::remove_dir(&path);
            assert_eq!(output(command.args(options).arg(&path)).0, Some(0), "{options:?}");
            modes.push(fs::metadata(&path).unwrap().permissions().mode());
        }
        assert_eq!(modes[0], modes[1], "{options:?}");
    }
    assert_eq!(output(applet("s6-mkfifodir").args(["-g", "x", "y"])).0, Some(100));
}
