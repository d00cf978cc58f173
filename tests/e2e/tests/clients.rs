//! The clients of `ward` on services that Debian's s6 supervises.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::peer_tree::{PATIENCE, PeerTree};
use e2e::{Folder, applet, debian, stdout, wait_for};

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"))
}

fn code(command: &mut Command) -> i32 {
    let output = run(command);
    output.status.code().unwrap_or_else(|| panic!("{command:?} ended with {:?}", output.status))
}

/// One field of a service, as `ward` sees it.
fn field(dir: &Path, field: &str) -> String {
    stdout(applet("s6-svstat").args(["-o", field]).arg(dir)).trim_end().to_owned()
}

fn wait_field(dir: &Path, name: &str, value: &str) {
    wait_for(&format!("{name} = {value} of {}", dir.display()), PATIENCE, || {
        (field(dir, name) == value).then_some(())
    });
}

fn svc(dir: &Path, options: &[&str]) {
    assert_eq!(code(applet("s6-svc").args(options).arg(dir)), 0, "s6-svc {options:?}");
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// A service that writes the signals it gets to `signals` beside it.
const RECORDER: &str = "#!/bin/sh
for s in ALRM ABRT QUIT HUP INT USR1 USR2 WINCH CONT; do trap \"echo $s >> signals\" $s; done
trap 'echo TERM >> signals; kill $child; exit 7' TERM
echo started >> signals
while :; do sleep 1000 & child=$!; wait; kill $child; done
";

#[test]
fn every_signal_letter_reaches_the_service() {
    let mut tree = PeerTree::new("signals");
    let dir = tree.service("a", RECORDER);
    tree.start();
    let heard = |what: &str| {
        wait_for(what, PATIENCE, || {
            let text = fs::read_to_string(dir.join("signals")).unwrap_or_default();
            text.lines().any(|line| line == what).then_some(())
        });
    };
    heard("started");
    for (options, signal) in [
        (&["-a"][..], "ALRM"),
        (&["-b"], "ABRT"),
        (&["-q"], "QUIT"),
        (&["-h"], "HUP"),
        (&["-i"], "INT"),
        (&["-1"], "USR1"),
        (&["-2"], "USR2"),
        (&["-y"], "WINCH"),
        (&["-c"], "CONT"),
        (&["-s", "SIGUSR1"], "USR1"),
        (&["-s", "hup"], "HUP"),
        (&["-s", "15"], "TERM"),
    ] {
        let _ = fs::write(dir.join("signals"), "");
        svc(&dir, options);
        heard(signal);
    }
    // It was told to end, and was restarted.
    heard("started");
    wait_field(&dir, "up", "true");
    svc(&dir, &["-p"]);
    wait_field(&dir, "paused", "true");
    svc(&dir, &["-c"]);
    wait_field(&dir, "paused", "false");
    svc(&dir, &["-wD", "-d"]);
    assert_eq!(field(&dir, "up,wantedup,exitcode,signal"), "false false 7 NA");
    svc(&dir, &["-wu", "-U"]);
    svc(&dir, &["-Ok", "-wD"]);
    assert_eq!(field(&dir, "up,exitcode,signal,signum"), "false -1 SIGKILL 9");
}

#[test]
fn letters_go_out_in_order_in_one_write_as_the_peer_sends_them() {
    let folder = Folder::new("letters");
    fs::create_dir(folder.join("supervise")).unwrap();
    let fifo = folder.join("supervise/control");
    stdout(Command::new("mkfifo").arg(&fifo));
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let mut read = || {
        let mut buffer = [0; 64];
        let count = reader.read(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    for options in ["-u", "-abqhkti12pcy", "-roduDUxOQ", "-dx", "-xd"] {
        assert_eq!(code(debian("s6-svc").arg(options).arg(folder.path())), 0);
        let expected = read();
        assert_eq!(code(applet("s6-svc").arg(options).arg(folder.path())), 0);
        assert_eq!(read(), expected, "{options}");
    }
    // Letters that came after Debian's version.
    for (options, expected) in
        [(&["-lPCK"][..], "lPCK"), (&["-s", "USR1", "-d"], "1d"), (&["-s", "winch"], "y")]
    {
        assert_eq!(code(applet("s6-svc").args(options).arg(folder.path())), 0);
        assert_eq!(read(), expected, "{options:?}");
    }
    for options in [&["-Z"][..], &["--ab"], &["-s", "SEGV"], &["-s", "x"], &["-wx"], &["-T", "x"]] {
        assert_eq!(code(applet("s6-svc").args(options).arg(folder.path())), 100, "{options:?}");
    }
    drop(reader);
    assert_eq!(code(applet("s6-svc").arg("-u").arg(folder.path())), 102);
}

#[test]
fn letters_for_a_scan_directory_are_those_of_the_peer() {
    let folder = Folder::new("scanletters");
    fs::create_dir(folder.join(".s6-svscan")).unwrap();
    let fifo = folder.join(".s6-svscan/control");
    stdout(Command::new("mkfifo").arg(&fifo));
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    for options in ["-zabhitqnN", "-an", "-h"] {
        let mut texts = Vec::new();
        for mut command in [debian("s6-svscanctl"), applet("s6-svscanctl")] {
            assert_eq!(code(command.arg(options).arg(folder.path())), 0);
            let mut buffer = [0; 64];
            let count = reader.read(&mut buffer).unwrap();
            texts.push(buffer[..count].to_vec());
        }
        assert_eq!(texts[0], texts[1], "{options}");
    }
    drop(reader);
    for mut command in [debian("s6-svscanctl"), applet("s6-svscanctl")] {
        assert_eq!(code(command.arg("-a").arg(folder.path())), 100);
    }
}

#[test]
fn what_is_not_supervised_has_its_own_exit_codes() {
    let folder = Folder::new("codes");
    folder.write("idle/run", "#!/bin/sh\n");
    // A supervisor was here, and left a status and an event directory.
    folder.write("left/supervise/status", [0; 35]);
    folder.write("left/supervise/lock", "");
    fs::create_dir(folder.join("left/event")).unwrap();
    for (words, idle, left, nowhere) in [
        (&["s6-svok"][..], 1, 1, 1),
        (&["s6-svstat"], 1, 1, 1),
        (&["s6-svc", "-u"], 102, 102, 111),
        (&["s6-svc", "-wu", "-u"], 102, 102, 111),
        (&["s6-svwait", "-u"], 102, 102, 111),
        (&["s6-svdt"], 111, 111, 111),
        (&["s6-svdt-clear"], 111, 111, 111),
        (&["s6-svscanctl", "-a"], 100, 100, 111),
        (&["s6-svperms"], 1, 1, 1),
        (&["s6-cleanfifodir"], 0, 0, 111),
    ] {
        for (name, expected) in [("idle", idle), ("left", left), ("nowhere", nowhere)] {
            let output = run(applet(words[0]).args(&words[1..]).arg(folder.join(name)));
            assert_eq!(output.status.code(), Some(expected), "{words:?} {name}: {output:?}");
            let silent = words == ["s6-svok"] || expected == 0;
            assert_eq!(output.stderr.is_empty(), silent, "{words:?} {name}");
        }
    }
    assert_eq!(entries(&folder.join("left/event")), 0);
    assert_eq!(code(&mut applet("s6-svwait")), 0); // nothing to wait for
    for program in ["s6-svok", "s6-svstat", "s6-svc", "s6-svdt", "s6-svlisten", "s6-svlisten1"] {
        assert_eq!(code(&mut applet(program)), 100, "{program}");
    }
}

#[test]
fn waiting_ends_when_the_state_is_there_or_the_time_is_over() {
    let mut tree = PeerTree::new("wait");
    let a = tree.sleeper("a");
    let b = tree.sleeper("b");
    let ready = tree.service("ready", "#!/bin/sh\nsleep 0.2\necho >&4\nexec sleep 1000\n");
    tree.file("scan/b/down", "");
    tree.file("scan/ready/notification-fd", "4\n");
    tree.start();
    wait_field(&a, "up", "true");
    let within = |limit: &str, options: &[&str], dirs: &[&Path]| {
        code(applet("s6-svwait").args(options).args(["-t", limit]).args(dirs))
    };
    for (options, dirs, expected) in [
        (&["-u"][..], &[&*a][..], 0),
        (&["-d"], &[&a], 99),
        (&["-D"], &[&b], 0),
        (&["-u"], &[&a, &b], 99),
        (&["-a", "-u"], &[&b, &a], 99),
        (&["-o", "-u"], &[&b, &a], 0),
        (&["-o", "-d"], &[&b, &a], 0),
        (&["-U"], &[&a], 99), // it never says so
        (&["-r"], &[&a], 99),
        (&["-z"], &[&a], 100),
    ] {
        assert_eq!(within("150", options, dirs), expected, "{options:?}");
    }
    assert_eq!(within("30000", &["-U"], &[&ready]), 0);
    assert_eq!(field(&ready, "up,ready"), "true true");

    // Several services at once, told to go up by the waiter itself.
    svc(&a, &["-wD", "-d"]);
    let both = [a.as_path(), b.as_path()];
    assert_eq!(code(applet("s6-svc").args(["-wu", "-u", "-T", "30000"]).args(both)), 0);
    assert_eq!((field(&a, "up"), field(&b, "up")), ("true".into(), "true".into()));
    assert_eq!(within("30000", &["-a", "-u"], &both), 0);
    // -wU of one that cannot say so warns, and does as -wu.
    let output = run(applet("s6-svc").args(["-wU", "-u", "-T", "30000"]).arg(&a));
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("notification-fd"));

    for (options, fields, expected) in [
        (&["-wr", "-r"][..], "up", "true"),
        (&["-wR", "-r"], "up,ready", "true true"),
        (&["-wd", "-d"], "up", "false"),
        (&["-wU", "-u"], "up,ready", "true true"),
        (&["-wD", "-d"], "up", "false"),
    ] {
        let pid = field(&ready, "pid");
        assert_eq!(code(applet("s6-svc").args(options).args(["-T", "30000"]).arg(&ready)), 0);
        assert_eq!(field(&ready, fields), expected, "{options:?}");
        assert_ne!(field(&ready, "pid"), pid, "{options:?}");
    }
    assert_eq!(code(applet("s6-svc").args(["-wu", "-h", "-T", "100"]).arg(&ready)), 99);
}

#[test]
fn a_state_that_lasts_a_moment_is_seen_by_who_listens() {
    let mut tree = PeerTree::new("listen");
    let a = tree.sleeper("a");
    let b = tree.sleeper("b");
    tree.start();
    wait_field(&a, "up", "true");
    wait_field(&b, "up", "true");
    let client = e2e::applets().join("s6-svc");
    for round in 0..3 {
        // The supervisor brings it up again: there is only the event.
        let mut command = applet("s6-svlisten1");
        command.args(["-d", "-t", "30000"]).arg(&a).arg(&client).arg("-k").arg(&a);
        assert_eq!(code(&mut command), 0, "round {round}");
        assert_eq!(code(applet("s6-svwait").args(["-u", "-t", "30000"]).arg(&a)), 0);
    }
    // Both spellings of the block, and the execline one through execlineb.
    let restart = |dirs: [String; 2]| {
        let mut command = applet("s6-svlisten");
        command.args(["-r", "-t", "30000"]).args(dirs).arg("");
        code(command.arg(&client).arg("-r").args([&a, &b]))
    };
    let (left, right) = (a.display().to_string(), b.display().to_string());
    assert_eq!(restart([left.clone(), right.clone()]), 0);
    assert_eq!(restart([format!(" {left}"), format!(" {right}")]), 0);
    let script = format!("s6-svlisten -d {{ {left} {right} }} s6-svc -d {left} {right}");
    let mut command = debian("execlineb");
    command.args(["-Pc", &script]).env("PATH", e2e::path_with_applets());
    assert_eq!(code(&mut command), 0);
    assert_eq!((field(&a, "up"), field(&b, "up")), ("false".into(), "false".into()));

    // The program's own end is not waited for, and its failure is its own.
    assert_eq!(code(applet("s6-svlisten1").arg("-d").arg(&a).arg("false")), 0);
    assert_eq!(code(applet("s6-svlisten1").args(["-u", "-t", "99"]).arg(&a).arg("false")), 99);
    assert_eq!(code(applet("s6-svlisten1").arg("-d").arg(&a).arg("/no/such/program")), 111);
    assert_eq!(code(applet("s6-svlisten").args(["-d", "", "sh", "-c", "exit 7"])), 7);
    assert_eq!(code(applet("s6-svlisten").args(["-d", "", "/no/such/program"])), 127);
}

#[test]
fn failing_for_good_and_losing_the_supervisor_end_the_wait() {
    let mut tree = PeerTree::new("fail");
    let bad = tree.service("bad", "#!/bin/sh\nexit 3\n");
    let good = tree.sleeper("good");
    tree.script("scan/bad/finish", "#!/bin/sh\nexit 125\n");
    tree.file("scan/bad/down", "");
    tree.file("scan/bad/notification-fd", "3\n");
    tree.file("scan/good/notification-fd", "3\n");
    tree.script("scan/good/run", "#!/bin/sh\necho >&3\nexec sleep 1000\n");
    tree.start();
    let both = [good.as_path(), bad.as_path()];
    let start =
        |dirs: &[&Path]| code(applet("s6-svc").args(["-wU", "-u", "-T", "30000"]).args(dirs));
    assert_eq!(start(&[&bad]), 1);
    // Its sibling gets its time, and still one failed.
    svc(&good, &["-wD", "-d"]);
    assert_eq!(start(&both), 1);
    assert_eq!(field(&good, "up,ready"), "true true");

    let mut waiter = applet("s6-svwait").args(["-U", "-t", "30000"]).arg(&bad).spawn().unwrap();
    let event = bad.join("event");
    wait_for("its fifo", PATIENCE, || (entries(&event) > 0).then_some(()));
    svc(&bad, &["-xd"]);
    assert_eq!(waiter.wait().unwrap().code(), Some(102));
}

#[test]
fn a_waiter_that_is_ended_takes_its_fifo_away() {
    let mut tree = PeerTree::new("ended");
    let dir = tree.sleeper("a");
    tree.start();
    wait_field(&dir, "up", "true");
    let event = dir.join("event");
    for signal in ["TERM", "INT", "HUP"] {
        let mut waiter = applet("s6-svwait").arg("-d").arg(&dir).spawn().unwrap();
        // The signals it holds back, as a mask: it is past its start.
        let status = format!("/proc/{}/status", waiter.id());
        wait_for("its wait", PATIENCE, || {
            let text = fs::read_to_string(&status).ok()?;
            let mask = text.lines().find_map(|line| line.strip_prefix("SigBlk:\t"))?.to_owned();
            (u64::from_str_radix(&mask, 16).ok()? != 0).then_some(())
        });
        assert_eq!(entries(&event), 1);
        stdout(Command::new("kill").args(["-s", signal, &waiter.id().to_string()]));
        let ended = wait_for("its end", PATIENCE, || waiter.try_wait().unwrap());
        assert_eq!(ended.code(), None, "it died of the signal");
        assert_eq!(entries(&event), 0, "after {signal}");
    }
}

#[test]
fn a_supervisor_learns_that_a_polled_service_is_ready() {
    let mut tree = PeerTree::new("check");
    let checker = e2e::applets().join("s6-notifyoncheck");
    let services = [
        ("late", "-n 0"),
        ("apart", "-n 0 -d -3 5"),
        ("never", "-n 2"),
        ("inline", "-n 0 -c 'test -e ok'"),
        ("stuck", "-n 0 -t 20"),
        ("timed", "-n 0 -T 50"),
    ];
    for (name, options) in services {
        let line = format!("exec {} -w 20 {options} sleep 1000", checker.display());
        tree.service(name, &format!("#!/bin/sh\n{line}\n"));
        tree.file(format!("scan/{name}/notification-fd"), "5\n");
        tree.script(format!("scan/{name}/data/check"), "#!/bin/sh\ntouch ran\ntest -e ok\n");
    }
    // A check that hangs must be ended.
    let hanging = "#!/bin/sh\ntest -e ok || { touch ran; exec sleep 1000; }\n";
    tree.script("scan/stuck/data/check", hanging);
    tree.start();
    for (name, _) in services {
        let dir = tree.dir(name);
        wait_field(&dir, "up", "true");
        if name != "inline" {
            wait_for("a check", PATIENCE, || dir.join("ran").exists().then_some(()));
        }
        assert_eq!(field(&dir, "ready"), "false");
    }
    for name in ["late", "apart", "inline", "stuck"] {
        let dir = tree.dir(name);
        fs::write(dir.join("ok"), "").unwrap();
        let ready = code(applet("s6-svwait").args(["-U", "-t", "30000"]).arg(&dir));
        assert_eq!(ready, 0, "{name}");
        let command = format!("/proc/{}/comm", field(&dir, "pid"));
        assert_eq!(fs::read_to_string(command).unwrap(), "sleep\n");
    }
    // Those that gave up never say so, and their checker has ended.
    for name in ["never", "timed"] {
        let dir = tree.dir(name);
        let pid: u32 = field(&dir, "pid").parse().unwrap();
        wait_for("the end of the checker", PATIENCE, || {
            let alive = |pid: &u32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
            };
            (!e2e::peer_tree::children(pid).iter().any(alive)).then_some(())
        });
        fs::write(dir.join("ok"), "").unwrap();
        assert_eq!(field(&dir, "up,ready"), "true false", "{name}");
    }
    // Without a notification descriptor it does not even start.
    let folder = Folder::new("nocheck");
    let mut command = applet("s6-notifyoncheck");
    assert_eq!(code(command.arg("true").current_dir(folder.path())), 111);
    assert_eq!(code(applet("s6-notifyoncheck").args(["-3", "77", "true"])), 111);
}

#[test]
fn services_are_linked_into_a_scan_directory_and_out_of_it() {
    let mut tree = PeerTree::new("link");
    tree.sleeper("other");
    tree.script("svc/x/run", "#!/bin/sh\nexec sleep 1000\n");
    tree.script("svc/x/log/run", "#!/bin/sh\nexec cat\n");
    tree.start();
    let (scan, dir) = (tree.path().join("scan"), tree.path().join("svc/x"));
    let link = |options: &[&str], name: &[&str]| {
        let mut command = applet("s6-svlink");
        code(command.args(options).args(["-t", "30000"]).arg(&scan).arg(&dir).args(name))
    };
    let unlink =
        |name: &str| code(applet("s6-svunlink").args(["-t", "30000"]).arg(&scan).arg(name));

    assert_eq!(link(&[], &[]), 0);
    assert_eq!(fs::read_link(scan.join("x")).unwrap(), dir.canonicalize().unwrap());
    assert_eq!(code(applet("s6-svok").arg(&dir)), 0);
    assert_eq!(code(applet("s6-svok").arg(dir.join("log"))), 0);
    assert_eq!(link(&[], &["again"]), 0); // it is supervised already
    assert!(!scan.join("again").exists());
    assert_eq!(unlink("x"), 0);
    assert_eq!(code(applet("s6-svok").arg(&dir)), 1);
    assert_eq!(code(applet("s6-svok").arg(dir.join("log"))), 1);
    assert_eq!(unlink("x"), 0); // it is gone already

    assert_eq!(link(&["-P"], &["y"]), 111); // its events are not public
    assert_eq!(link(&["-fP", "-d"], &["y"]), 0);
    assert_eq!(field(&dir, "up,normallyup"), "false true");
    assert_eq!(unlink("y"), 0);
    assert_eq!(link(&["-P", "-D"], &["y"]), 0);
    assert_eq!(field(&dir, "up,normallyup"), "false false");
    assert_eq!(unlink("y"), 0);
    assert_eq!(unlink("other"), 111); // no link
    assert_eq!(link(&[], &["a/b"]), 100);
    assert_eq!(code(applet("s6-svlink").arg(&dir).arg(&dir)), 100); // nothing runs there
}

#[test]
fn events_go_from_our_programs_to_debians_and_back() {
    let folder = Folder::new("ftrig");
    let fifodir = folder.join("events");
    assert_eq!(code(applet("s6-mkfifodir").arg(&fifodir)), 0);
    let ours = e2e::applets().join("s6-ftrig-notify");
    let theirs = Path::new("/usr/bin/s6-ftrig-notify");
    let listen = |mut command: Command, notify: &Path, regex: &str, events: &str| {
        command.args(["-t", "30000"]).arg(&fifodir).arg(regex);
        stdout(command.arg(notify).arg(&fifodir).arg(events))
    };
    for (regex, events, last, all) in
        [("a.c", "xabcd", "c\n", "xabc\n"), ("u", "u", "u\n", "u\n"), ("D|U", "dD", "D\n", "dD\n")]
    {
        assert_eq!(listen(debian("s6-ftrig-listen1"), &ours, regex, events), last);
        assert_eq!(listen(applet("s6-ftrig-listen1"), theirs, regex, events), all);
        assert_eq!(listen(applet("s6-ftrig-listen1"), &ours, regex, events), all);
    }
    // Debian's version lets `^` match nowhere.
    assert_eq!(listen(applet("s6-ftrig-listen1"), &ours, "^x?u", "u"), "u\n");
    for round in 0..100 {
        let heard = listen(applet("s6-ftrig-listen1"), &ours, "z", "xyz");
        assert_eq!(heard, "xyz\n", "round {round}");
    }
    assert_eq!(entries(&fifodir), 0, "no fifo is left");

    let other = folder.join("other");
    assert_eq!(code(applet("s6-mkfifodir").arg(&other)), 0);
    let several = |options: &[&str], script: &str| {
        let mut command = applet("s6-ftrig-listen");
        command.args(options).arg(&fifodir).arg("a+").arg(&other).args(["b", "", "sh", "-c"]);
        command.arg(script).env("PATH", e2e::path_with_applets());
        code(command.current_dir(folder.path()))
    };
    let both = "s6-ftrig-notify events aa; s6-ftrig-notify other b";
    assert_eq!(several(&["-t", "30000"], both), 0);
    assert_eq!(several(&["-o", "-t", "30000"], "s6-ftrig-notify other b"), 0);
    assert_eq!(several(&["-t", "100"], "s6-ftrig-notify other b"), 1);

    assert_eq!(code(applet("s6-ftrig-wait").args(["-t", "50"]).arg(&fifodir).arg("a")), 1);
    assert_eq!(code(applet("s6-ftrig-wait").arg(&fifodir).arg("(")), 111);
    assert_eq!(code(applet("s6-ftrig-wait").arg(folder.join("none")).arg("a")), 111);
    assert_eq!(code(applet("s6-ftrig-listen").args(["a", "b", "c", "", "true"])), 100);
    assert_eq!(code(applet("s6-ftrig-listen").args(["a", "b", "true"])), 100);
}

#[test]
fn a_waiting_listener_does_not_use_the_processor() {
    let folder = Folder::new("idle");
    let fifodir = folder.join("events");
    assert_eq!(code(applet("s6-mkfifodir").arg(&fifodir)), 0);
    let mut waiter = applet("s6-ftrig-wait")
        .args(["-t", "60000"])
        .arg(&fifodir)
        .arg("x")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("its fifo", PATIENCE, || (entries(&fifodir) > 0).then_some(()));
    let used = |pid: u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used(waiter.id());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        std::thread::sleep(Duration::from_millis(50));
    }
    // In hundredths of a second, thirty of which went by.
    assert!(used(waiter.id()) - before <= 2, "it spins");
    assert_eq!(code(applet("s6-ftrig-notify").arg(&fifodir).arg("x")), 0);
    assert_eq!(waiter.wait().unwrap().code(), Some(0));
}
