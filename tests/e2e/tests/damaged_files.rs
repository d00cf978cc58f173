//! Files that somebody has damaged: the database, the live directory, what a
//! supervised service shows. Whoever reads them says so; nothing falls, and
//! what runs goes on.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use e2e::machine::{Machine, PATIENCE, executable};
use e2e::peer_tree::Dice;
use e2e::process::{alive, descriptors, memory, send};
use e2e::{Folder, applet, stdout, wait_for};

/// Damages the bytes of a file in one of many ways.
fn damaged(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len() as u64;
    let at = dice.roll(length) as usize;
    match dice.roll(7) {
        // One bit, as memory or flash lose it.
        0 => bytes[at] ^= 1 << dice.roll(8),
        1 => bytes[at] = !bytes[at],
        // A stretch that was never written, or erased.
        2 => {
            let end = (at + 1 + dice.roll(512) as usize).min(bytes.len());
            let filling = if dice.roll(2) == 0 { 0 } else { 0xff };
            bytes[at..end].fill(filling);
        }
        3 => bytes.truncate(at),
        4 => {
            bytes.extend((0..1 + dice.roll(100)).map(|_| dice.roll(256) as u8).collect::<Vec<_>>())
        }
        // Two stretches in each other's place.
        5 => bytes.rotate_left(1 + dice.roll(length - 1) as usize),
        _ => bytes.iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
    }
    bytes
}

/// A command that must say no, as programs do: with a code and with words.
fn refused(output: &Output, codes: &[i32], about: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code.is_some_and(|code| codes.contains(&code)), "{about}: {:?}: {said}", output.status);
    assert!(said.contains("fatal: "), "{about}: {said}");
    assert!(!said.contains("panicked"), "{about}: {said}");
}

/// Services of every kind.
fn house(what: &str) -> Machine {
    let machine = Machine::new(what);
    machine.sleeper("web");
    machine.longrun("ready", "echo >&3; exec sleep 100000");
    machine.file("ready/notification-fd", "3\n");
    machine.oneshot("net", "echo up", "echo down");
    machine.needs("web", "net");
    machine.sleeper("spare");
    machine.bundle("default", &["web", "ready"]);
    machine
}

#[test]
fn every_damage_to_a_database_is_seen_by_all_who_read_it() {
    let mut machine = house("damage");
    machine.start();
    machine.wait_up(&["web", "ready", "net"]);
    let before = (machine.process("web"), machine.process("ready"), machine.manager());
    let bytes = fs::read(machine.path("db/db")).unwrap();
    let bad = machine.compile("bad");
    let mut dice = Dice(1);
    for round in 0..300 {
        let damage = damaged(&bytes, &mut dice);
        if damage == bytes {
            continue; // a stretch of zeros that was zero before
        }
        fs::write(bad.join("db"), damage).unwrap();
        let about = format!("round {round}");
        match round % 3 {
            0 => refused(
                &applet("s6-rc-db").arg("-c").arg(&bad).arg("check").output().unwrap(),
                &[4],
                &about,
            ),
            1 => {
                let mut init = applet("s6-rc-init");
                init.arg("-c").arg(&bad).arg("-l").arg(machine.path("other")).arg(machine.scan());
                refused(&init.output().unwrap(), &[4], &about);
            }
            _ => {
                let mut update = applet("s6-rc-update");
                update.arg("-l").arg(machine.live()).arg(&bad);
                refused(&update.output().unwrap(), &[4], &about);
            }
        }
    }
    let left = fs::read_dir(machine.path("")).unwrap().flatten();
    let left: Vec<_> = left.filter(|e| e.file_name().to_string_lossy().contains("other")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(before, (machine.process("web"), machine.process("ready"), machine.manager()));
}

#[test]
fn a_machine_that_cannot_boot_says_why_and_waits_for_a_person() {
    for (what, said) in [
        ("garbage", "it is not a service database"),
        ("cut", "it is cut off"),
        ("missing", "No such file"),
        ("a folder", "it is not a service database"),
        ("a fifo", "it is not a service database"),
        ("no service directories", "servicedirs"),
    ] {
        let mut machine = house("boot");
        let database = machine.compile("db");
        let file = database.join("db");
        let whole = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        match what {
            "garbage" => fs::write(&file, b"garbage").unwrap(),
            "cut" => fs::write(&file, &whole[..whole.len() - 1]).unwrap(),
            "missing" => {}
            "a folder" => fs::create_dir(&file).unwrap(),
            "a fifo" => drop(stdout(Command::new("mkfifo").arg(&file))),
            _ => {
                fs::write(&file, &whole).unwrap();
                fs::remove_dir_all(database.join("servicedirs")).unwrap();
            }
        }
        machine.start_by(applet("init"));
        machine.wait_said(said);
        assert!(machine.ended().is_none(), "{what}");
        assert!(!machine.live().exists(), "{what}: nothing was left half made");
        // The person has mended it.
        fs::remove_dir_all(&database).unwrap();
        machine.compile("db");
        let mut again = applet("s6-rc-init");
        again.arg("-c").arg(&database).arg("-l").arg(machine.live()).arg(machine.scan());
        stdout(&mut again);
        machine.change(&["-u", "change", "default"]);
        machine.wait_up(&["web", "ready", "net"]);
        assert_eq!(machine.end().code(), Some(0));
    }
}

#[test]
fn a_database_that_is_damaged_while_services_run_costs_none_of_them() {
    let (machine, pids) = up("under");
    let file = machine.path("db/db");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"ward.svc.db\n").unwrap();
    // Both fall while nobody can read the database any more.
    send("KILL", machine.manager());
    send("SEGV", machine.init());
    machine.wait_said("started anew; every service goes on");
    machine.wait_said("the manager exited 111");
    // Whoever asks is told at once.
    for words in [&["-a", "list"][..], &["-u", "change", "spare"], &["diff"]] {
        refused(&machine.rc(words), &[4], &format!("{words:?}"));
    }
    assert_eq!(pids, ["web", "ready"].map(|name| machine.process(name)));
    // Init still knows how to keep them up.
    send("KILL", pids[0]);
    let next = || machine.process_now("web").filter(|pid| *pid != pids[0]);
    wait_for("a new web", PATIENCE, next);
    fs::write(&file, whole).unwrap();
    machine.change(&["-u", "change", "spare"]);
    machine.wait_up(&["web", "ready", "net", "spare"]);
    assert_eq!(machine.process("ready"), pids[1]);
}

/// A machine that is up, and the processes of its services.
fn up(what: &str) -> (Machine, [u32; 2]) {
    let mut machine = house(what);
    machine.start();
    machine.wait_up(&["web", "ready", "net"]);
    let pids = ["web", "ready"].map(|name| machine.process(name));
    (machine, pids)
}

#[test]
fn a_state_that_somebody_cut_or_took_away_is_whole_again_with_the_next_change() {
    let (machine, pids) = up("cut");
    let state = machine.live().join("state");
    let manager = machine.manager();
    for (round, damage) in ["missing", "cut", "another file", "a link"].into_iter().enumerate() {
        match damage {
            "missing" => fs::remove_file(&state).unwrap(),
            "cut" => fs::OpenOptions::new().write(true).open(&state).unwrap().set_len(1).unwrap(),
            "another file" => {
                fs::remove_file(&state).unwrap();
                fs::write(&state, b"\xff\xff\xff\xff").unwrap();
            }
            _ => {
                fs::remove_file(&state).unwrap();
                symlink("/dev/zero", &state).unwrap();
            }
        }
        machine.change(&[["-u", "-d"][round % 2], "change", "spare"]);
        let spare = if round % 2 == 0 { "spare\n" } else { "" };
        assert_eq!(machine.up(), format!("ready\n{spare}web\nnet\n"), "{damage}");
        assert_eq!(machine.manager(), manager, "{damage}");
    }
    machine.wait_said("it is mended");
    assert_eq!(pids, ["web", "ready"].map(|name| machine.process(name)));
}

#[test]
fn a_change_that_cannot_be_stored_says_so_and_is_not_made() {
    let (machine, _) = up("unstorable");
    let state = machine.live().join("state");
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    let output = machine.rc(&["-u", "change", "spare"]);
    refused(&output, &[111], "a folder in the place of the state");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("store"), "{said}");
    assert_eq!(machine.process_now("spare"), None);
    fs::remove_dir(&state).unwrap();
    machine.change(&["-u", "change", "spare"]);
    assert_eq!(machine.up(), "ready\nspare\nweb\nnet\n");
}

#[test]
fn a_new_manager_goes_on_with_any_state_and_a_change_sets_it_right() {
    let (machine, _) = up("random");
    let state = machine.live().join("state");
    let mut dice = Dice(3);
    for round in 0..9 {
        let manager = machine.manager();
        // It must not see the damage before it is killed.
        send("STOP", manager);
        fs::remove_file(&state).unwrap();
        let bytes: Vec<u8> = (0..4).map(|_| dice.roll(256) as u8).collect();
        let about = match round % 8 {
            0 => "missing".to_owned(),
            1 => {
                stdout(Command::new("mkfifo").arg(&state));
                "a fifo".to_owned()
            }
            2 => {
                symlink("/dev/zero", &state).unwrap();
                "a link".to_owned()
            }
            3 => {
                fs::write(&state, &bytes[..dice.roll(4) as usize]).unwrap();
                "too short".to_owned()
            }
            4 => {
                fs::write(&state, [&bytes[..], &[0xff; 5000]].concat()).unwrap();
                "too long".to_owned()
            }
            _ => {
                fs::write(&state, &bytes).unwrap();
                format!("{bytes:?}")
            }
        };
        send("KILL", manager);
        wait_for("another manager", PATIENCE, || (machine.manager() != manager).then_some(()));
        machine.change(&["-t", "60000", "-u", "change", "default", "spare"]);
        machine.wait_up(&["web", "ready", "net", "spare"]);
        assert_eq!(machine.rc(&["diff"]).status.code(), Some(0), "round {round}: {about}");
        // A state that says "stop it" or "again" is obeyed; no other is.
        if round % 8 < 3 {
            assert!(machine.process_now("web").is_some_and(alive), "round {round}: {about}");
        }
    }
    machine.wait_said("was damaged (it is missing)");
}

#[test]
fn a_live_directory_that_lacks_something_costs_no_service() {
    let (mut machine, pids) = up("lacks");
    let live = machine.live();
    let real = live.canonicalize().unwrap();
    for name in [
        "compiled",
        "scandir",
        "prefix",
        "lock",
        ".supervised",
        ".status",
        "manager",
        "servicedirs/spare/run",
        "servicedirs/spare/supervise/control",
        "servicedirs/spare/supervise/status",
        "servicedirs/spare/supervise",
        "servicedirs/spare/event",
        "servicedirs/spare",
        "servicedirs",
    ] {
        let (there, aside) = (real.join(name), machine.path("aside"));
        fs::rename(&there, &aside).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Whatever is asked now ends with an exit code, and in time.
        for words in [
            &["-t", "500", "-u", "change", "spare"][..],
            &["-t", "500", "-d", "change", "spare"],
            &["-a", "list"],
            &["diff"],
        ] {
            let output = machine.rc(words);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some(), "{name}: {words:?}: {said}");
        }
        // Init and the manager begin anew without it.
        stdout(applet("reexec").args(["--fault", "-s"]).arg(machine.scan()));
        if name == "compiled" || name == "prefix" {
            send("KILL", machine.manager());
        }
        assert!(pids.into_iter().all(alive), "{name}");
        // Mended by hand.
        let _ = fs::remove_file(&there).or_else(|_| fs::remove_dir_all(&there));
        fs::rename(&aside, &there).unwrap();
        machine.change(&["-t", "60000", "-u", "change", "spare"]);
        machine.change(&["-t", "60000", "-d", "change", "spare"]);
        assert_eq!(pids, ["web", "ready"].map(|name| machine.process(name)), "{name}");
    }
    assert!(machine.ended().is_none());
    assert_eq!(machine.up(), "ready\nweb\nnet\n");
}

#[test]
fn whatever_lies_in_a_supervise_directory_its_service_goes_on() {
    let folder = Folder::in_memory("supervise");
    for name in ["a", "b"] {
        let run = folder.write(format!("scan/{name}/run"), "#!/bin/sh\nexec sleep 100000\n");
        executable(&run);
        folder.write(format!("scan/{name}/restart-wait"), "1\n");
        folder.write(format!("scan/{name}/max-death-tally"), "5\n");
    }
    let scan = folder.join("scan");
    let mut init =
        applet("s6-svscan").arg(&scan).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dir = scan.join("a");
    let svstat = || applet("s6-svstat").arg(&dir).output().unwrap();
    wait_for("a", PATIENCE, || svstat().status.success().then_some(()));
    let restart = || {
        stdout(applet("s6-svc").args(["-wr", "-T", "60000", "-r"]).arg(&dir));
    };
    restart();
    let mut dice = Dice(4);
    let supervise = dir.join("supervise");
    for round in 0..60 {
        let name = ["status", "status.new", "death_tally", "death_tally.new", "../down"];
        let victim = supervise.join(name[dice.roll(5) as usize]);
        let _ = fs::remove_file(&victim).or_else(|_| fs::remove_dir(&victim));
        let what = dice.roll(6);
        match what {
            0 => {}
            1 => {
                stdout(Command::new("mkfifo").arg(&victim));
            }
            2 => fs::create_dir(&victim).unwrap(),
            3 => symlink("/dev/full", &victim).unwrap(),
            // Larger than the memory of any device, and nothing in it.
            4 => fs::File::create(&victim).unwrap().set_len(1 << 40).unwrap(),
            _ => {
                let noise: Vec<u8> = (0..dice.roll(300)).map(|_| dice.roll(256) as u8).collect();
                fs::write(&victim, noise).unwrap();
            }
        }
        let about = format!("round {round}: {what} as {}", victim.display());
        // Readers say something, or that they cannot.
        for program in ["s6-svstat", "s6-svdt"] {
            let output = applet(program).arg(&dir).output().unwrap();
            assert!(output.status.code().is_some(), "{about}: {program} {:?}", output.status);
        }
        let mut failed = applet("s6-permafailon");
        failed.args(["10", "3", "1-5", "true"]).current_dir(&dir);
        assert!(failed.output().unwrap().status.code().is_some(), "{about}");
        // A death is news for both files.
        stdout(applet("s6-svc").arg("-r").arg(&dir));
        stdout(applet("s6-svc").args(["-wr", "-T", "60000", "-r"]).arg(scan.join("b")));
        assert!(init.try_wait().unwrap().is_none(), "{about}");
    }
    for name in ["status", "status.new", "death_tally", "death_tally.new", "../down"] {
        let left = supervise.join(name);
        let _ = fs::remove_file(&left).or_else(|_| fs::remove_dir(&left));
    }
    stdout(applet("s6-svc").arg("-r").arg(&dir));
    wait_for("a new status", PATIENCE, || supervise.join("status").exists().then_some(()));
    restart();
    assert!(String::from_utf8(svstat().stdout).unwrap().starts_with("up (pid "));
    assert!(memory(init.id()) < 20_000, "{} kB", memory(init.id()));
    assert!(descriptors(init.id()) < 60);
    send("TERM", init.id());
    assert_eq!(init.wait().unwrap().code(), Some(0));
}

#[test]
fn whatever_lies_in_the_log_directory_no_line_is_lost() {
    let mut machine = Machine::new("logdir");
    machine.longrun("speaker", "while read -r line; do echo \"$line\"; done <orders");
    machine.bundle("default", &["speaker"]);
    machine.compile("db");
    machine.start_by(applet("init"));
    let orders = machine.service_dir("speaker").join("orders");
    wait_for("its directory", PATIENCE, || machine.live().join("state").exists().then_some(()));
    // Until it is there, the service dies and is started again.
    stdout(Command::new("mkfifo").arg(&orders));
    let mut speak = fs::OpenOptions::new().read(true).write(true).open(&orders).unwrap();
    let mut dice = Dice(5);
    let log = machine.path("log");
    let mut quiet = 0;
    for round in 0..8 {
        let name = ["current", ".journal", "lock", "state"][round % 4];
        let victim = log.join(name);
        let logger = machine.logger();
        send("STOP", logger);
        let kept = fs::read(&victim).unwrap_or_default();
        let _ = fs::remove_file(&victim).or_else(|_| fs::remove_dir(&victim));
        // Of files that hold noise the logger makes sense by itself; the rest
        // is for a person to mend.
        let noise = round >= 4 && round % 2 == 1;
        match round / 4 {
            0 => drop(stdout(Command::new("mkfifo").arg(&victim))),
            _ if noise => {
                let noise: Vec<u8> = (0..dice.roll(9000)).map(|_| dice.roll(256) as u8).collect();
                fs::write(&victim, noise).unwrap();
            }
            _ => fs::create_dir(&victim).unwrap(),
        }
        send("KILL", logger);
        writeln!(speak, "round {round} begins").unwrap();
        if noise {
            quiet += 1;
        } else {
            let console = || fs::read_to_string(machine.path("console")).unwrap();
            let complaint =
                || (console().matches("logger: fatal").count() > round - quiet).then_some(());
            wait_for("a complaint", PATIENCE, complaint);
            let _ = fs::remove_file(&victim).or_else(|_| fs::remove_dir(&victim));
            if name == "current" {
                fs::write(&victim, kept).unwrap();
            }
        }
        writeln!(speak, "round {round} ends").unwrap();
        machine.wait_said(&format!("speaker round {round} ends\n"));
        assert!(machine.said().contains(&format!("speaker round {round} begins\n")), "{round}");
    }
}
