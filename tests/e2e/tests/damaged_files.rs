//! Files that somebody has damaged: the database, the live directory, what a
//! supervised service shows. Whoever reads them says so; nothing falls, and
//! what runs goes on.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use e2e::client::{Client, Said};
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
fn refused(said: &Said, code: i32, about: &str) {
    assert_eq!(said.code, code, "{about}: {}", said.err);
    assert!(said.err.contains("fatal: "), "{about}: {}", said.err);
}

/// Services of every kind.
fn house(what: &str) -> Machine {
    let machine = Machine::new(what);
    machine.sleeper("web");
    machine.longrun("ready", "echo >&3; exec sleep 100000");
    machine.set("ready", "notification-fd", "3\n");
    machine.oneshot("net", "echo up").set("net", "down", "echo down");
    machine.needs("web", &["net"]);
    machine.sleeper("spare");
    machine.bundle("default", &["web", "ready"]);
    machine
}

#[test]
fn every_damage_to_a_database_is_seen_by_all_who_read_it() {
    let machine = house("damage");
    machine.boot();
    machine.wait_up(&["web", "ready", "net"]);
    let before = (machine.wait_pid("web"), machine.wait_pid("ready"), machine.manager_pid());
    let bytes = fs::read(machine.join("db/db")).unwrap();
    let bad = machine.compile_to("bad");
    let mut dice = Dice(1);
    for round in 0..300 {
        let damage = damaged(&bytes, &mut dice);
        if damage == bytes {
            continue; // a stretch of zeros that was zero before
        }
        fs::write(bad.join("db"), damage).unwrap();
        let said = match round % 3 {
            0 => Client::run(applet("s6-rc-db").arg("-c").arg(&bad).arg("check")),
            1 => {
                let other = machine.join("other");
                let mut init = applet("s6-rc-init");
                init.arg("-c").arg(&bad).arg("-l").arg(other).arg(machine.scandir());
                Client::run(&mut init)
            }
            _ => Client::run(machine.command("s6-rc-update", "").arg(&bad)),
        };
        refused(&said, 4, &format!("round {round}"));
    }
    let left = fs::read_dir(machine.join("")).unwrap().flatten();
    let left: Vec<_> = left.filter(|e| e.file_name().to_string_lossy().contains("other")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(before, (machine.wait_pid("web"), machine.wait_pid("ready"), machine.manager_pid()));
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
        let machine = house("boot");
        let database = machine.compile_to("db");
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
        machine.boot_by(applet("init"));
        machine.wait_said(said);
        assert!(machine.ended().is_none(), "{what}");
        assert!(!machine.live().exists(), "{what}: nothing was left half made");
        // The person has mended it.
        fs::remove_dir_all(&database).unwrap();
        machine.compile_to("db");
        let mut again = applet("s6-rc-init");
        again.arg("-c").arg(&database).arg("-l").arg(machine.live()).arg(machine.scandir());
        stdout(&mut again);
        machine.change("-u change default");
        machine.wait_up(&["web", "ready", "net"]);
        assert_eq!(machine.end().code(), Some(0));
    }
}

#[test]
fn a_database_that_is_damaged_while_services_run_costs_none_of_them() {
    let (machine, pids) = up("under");
    let file = machine.join("db/db");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"ward.svc.db\n").unwrap();
    // Both fall while nobody can read the database any more.
    send("KILL", machine.manager_pid());
    send("SEGV", machine.init_pid());
    machine.wait_said("started anew; every service goes on");
    machine.wait_said("the manager exited 111");
    // Whoever asks is told at once.
    for words in ["-a list", "-u change spare", "diff"] {
        refused(&machine.rc(words), 4, words);
    }
    assert_eq!(pids, ["web", "ready"].map(|name| machine.wait_pid(name)));
    // Init still knows how to keep them up.
    send("KILL", pids[0]);
    let next = || machine.pid("web").filter(|pid| *pid != pids[0]);
    wait_for("a new web", PATIENCE, next);
    fs::write(&file, whole).unwrap();
    machine.change("-u change spare");
    machine.wait_up(&["web", "ready", "net", "spare"]);
    assert_eq!(machine.wait_pid("ready"), pids[1]);
}

/// A machine that is up, and the processes of its services.
fn up(what: &str) -> (Machine, [u32; 2]) {
    let machine = house(what);
    machine.boot();
    machine.wait_up(&["web", "ready", "net"]);
    let pids = ["web", "ready"].map(|name| machine.wait_pid(name));
    (machine, pids)
}

#[test]
fn a_state_that_somebody_cut_or_took_away_is_whole_again_with_the_next_change() {
    let (machine, pids) = up("cut");
    let state = machine.live().join("state");
    let manager = machine.manager_pid();
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
        machine.change(["-u change spare", "-d change spare"][round % 2]);
        let spare = if round % 2 == 0 { "spare\n" } else { "" };
        assert_eq!(machine.list(), format!("ready\n{spare}web\nnet\n"), "{damage}");
        assert_eq!(machine.manager_pid(), manager, "{damage}");
    }
    machine.wait_said("it is mended");
    assert_eq!(pids, ["web", "ready"].map(|name| machine.wait_pid(name)));
}

#[test]
fn a_change_that_cannot_be_stored_says_so_and_is_not_made() {
    let (machine, _) = up("unstorable");
    let state = machine.live().join("state");
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    let output = machine.rc("-u change spare");
    refused(&output, 111, "a folder in the place of the state");
    output.has("store");
    assert_eq!(machine.pid("spare"), None);
    fs::remove_dir(&state).unwrap();
    machine.change("-u change spare");
    assert_eq!(machine.list(), "ready\nspare\nweb\nnet\n");
}

#[test]
fn a_new_manager_goes_on_with_any_state_and_a_change_sets_it_right() {
    let (machine, _) = up("random");
    let state = machine.live().join("state");
    let mut dice = Dice(3);
    for round in 0..9 {
        let manager = machine.manager_pid();
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
        wait_for("another manager", PATIENCE, || (machine.manager_pid() != manager).then_some(()));
        machine.change("-t 60000 -u change default spare");
        machine.wait_up(&["web", "ready", "net", "spare"]);
        assert_eq!(machine.rc("diff").code, 0, "round {round}: {about}");
        // A state that says "stop it" or "again" is obeyed; no other is.
        if round % 8 < 3 {
            assert!(machine.pid("web").is_some_and(alive), "round {round}: {about}");
        }
    }
    machine.wait_said("was damaged (it is missing)");
}

#[test]
fn a_live_directory_that_lacks_something_costs_no_service() {
    let (machine, pids) = up("lacks");
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
        let (there, aside) = (real.join(name), machine.join("aside"));
        fs::rename(&there, &aside).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Whatever is asked now ends with an exit code, and in time.
        for words in ["-t 500 -u change spare", "-t 500 -d change spare", "-a list", "diff"] {
            let said = machine.rc(words);
            assert!(said.code < 128, "{name}: {words}: {} {}", said.code, said.err);
        }
        // Init and the manager begin anew without it.
        stdout(applet("reexec").args(["--fault", "-s"]).arg(machine.scandir()));
        if name == "compiled" || name == "prefix" {
            send("KILL", machine.manager_pid());
        }
        assert!(pids.into_iter().all(alive), "{name}");
        // Mended by hand.
        let _ = fs::remove_file(&there).or_else(|_| fs::remove_dir_all(&there));
        fs::rename(&aside, &there).unwrap();
        machine.change("-t 60000 -u change spare");
        machine.change("-t 60000 -d change spare");
        assert_eq!(pids, ["web", "ready"].map(|name| machine.wait_pid(name)), "{name}");
    }
    assert!(machine.ended().is_none());
    assert_eq!(machine.list(), "ready\nweb\nnet\n");
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
        let what = dice.roll(6);
        let noise: Vec<u8> = (0..dice.roll(300)).map(|_| dice.roll(256) as u8).collect();
        let put = || match what {
            0 => Ok(()),
            1 => {
                let made = Command::new("mkfifo").arg(&victim).stderr(Stdio::null()).status()?;
                made.success().then_some(()).ok_or(ErrorKind::AlreadyExists.into())
            }
            2 => fs::create_dir(&victim),
            3 => symlink("/dev/full", &victim),
            // Larger than the memory of any device, and nothing in it.
            4 => fs::File::create(&victim)?.set_len(1 << 40),
            _ => fs::write(&victim, &noise),
        };
        // News of the death before may come between the two.
        wait_for("room for it", PATIENCE, || {
            let _ = fs::remove_file(&victim).or_else(|_| fs::remove_dir(&victim));
            put().ok()
        });
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
    let machine = Machine::new("logdir");
    machine.longrun("speaker", "while read -r line; do echo \"$line\"; done <orders");
    machine.bundle("default", &["speaker"]);
    machine.compile_to("db");
    machine.boot_by(applet("init"));
    let orders = machine.dir("speaker").join("orders");
    wait_for("its directory", PATIENCE, || machine.live().join("state").exists().then_some(()));
    // Until it is there, the service dies and is started again.
    stdout(Command::new("mkfifo").arg(&orders));
    let mut speak = fs::OpenOptions::new().read(true).write(true).open(&orders).unwrap();
    let mut dice = Dice(5);
    let log = machine.join("logs");
    let mut quiet = 0;
    for round in 0..8 {
        let name = ["current", ".journal", "lock", "state"][round % 4];
        let victim = log.join(name);
        let logger = machine.logger_pid();
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
            let complaints = || machine.console().matches("logger: fatal").count();
            let complaint = || (complaints() > round - quiet).then_some(());
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
