//! Files that somebody has damaged: the database, the live directory, what a
//! supervised service shows. Whoever reads them says so; nothing falls, and
//! what runs goes on.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use e2e::machine::{Machine, PATIENCE, executable};
use e2e::peer_tree::Dice;
use e2e::process::{alive, cpu, descriptors, memory, send, switches};
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

/// Whether a process rests: it does nothing for a while.
fn rests(pid: u32) -> bool {
    let before = switches(pid);
    std::thread::sleep(std::time::Duration::from_millis(300));
    switches(pid) == before
}

#[test]
fn a_machine_that_cannot_boot_says_why_and_waits_for_a_person() {
    for (what, said) in [
        ("garbage", "is not a database"),
        ("cut", "cut"),
        ("missing", "db"),
        ("folder", "db"),
        ("fifo", "db"),
        ("unreadable services", "servicedirs"),
    ] {
        let mut machine = house("boot");
        let database = machine.compile("db");
        let file = database.join("db");
        let whole = fs::read(&file).unwrap();
        match what {
            "garbage" => fs::write(&file, b"garbage").unwrap(),
            "cut" => fs::write(&file, &whole[..whole.len() - 1]).unwrap(),
            "missing" => fs::remove_file(&file).unwrap(),
            "folder" => {
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
            }
            "fifo" => {
                fs::remove_file(&file).unwrap();
                stdout(Command::new("mkfifo").arg(&file));
            }
            _ => fs::remove_dir_all(database.join("servicedirs")).unwrap(),
        }
        let init = machine.start_by(applet("init"));
        std::thread::sleep(std::time::Duration::from_millis(600));
        eprintln!("== {what} ({said}): {}", machine.said());
        assert!(alive(init));
        // The person has mended it.
        if what == "folder" {
            fs::remove_dir(&file).unwrap();
        }
        if what == "fifo" {
            fs::remove_file(&file).unwrap();
        }
        fs::remove_dir_all(&database).unwrap();
        machine.compile("db");
        let mut again = applet("s6-rc-init");
        again.arg("-c").arg(&database).arg("-l").arg(machine.live()).arg(machine.scan());
        stdout(&mut again);
        machine.change(&["-u", "change", "default"]);
        machine.wait_up(&["web", "ready"]);
        assert_eq!(machine.end().code(), Some(0));
    }
}

#[test]
fn a_database_that_is_damaged_while_services_run_costs_none_of_them() {
    let mut machine = house("under");
    let init = machine.start();
    machine.wait_up(&["web", "ready", "net"]);
    let before = (machine.process("web"), machine.process("ready"));
    let file = machine.path("db/db");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"ward.svc.db\n").unwrap();
    let manager = machine.manager();
    send("KILL", manager);
    // Init falls while nobody can read the database any more.
    send("SEGV", init);
    wait_for("init to be back", PATIENCE, || machine.said().contains("started anew").then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(3));
    eprintln!("{}", machine.said());
    let list = machine.rc(&["-a", "list"]);
    eprintln!("list: {list:?}");
    let change = machine.rc(&["-t", "3000", "-u", "change", "spare"]);
    eprintln!("change: {change:?}");
    assert_eq!(before, (machine.process("web"), machine.process("ready")));
    send("KILL", before.0);
    let next =
        wait_for("a new web", PATIENCE, || machine.process_now("web").filter(|p| *p != before.0));
    assert!(alive(next));
    fs::write(&file, whole).unwrap();
    machine.change(&["-u", "change", "spare"]);
    machine.wait_up(&["web", "ready", "net", "spare"]);
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
fn x_state_cut_under_the_managers_nose() {
    let (machine, pids) = up("cut");
    let state = machine.live().join("state");
    let manager = machine.manager();
    fs::OpenOptions::new().write(true).open(&state).unwrap().set_len(0).unwrap();
    let out = machine.rc(&["-t", "5000", "-u", "change", "spare"]);
    eprintln!("{out:?}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    eprintln!("manager {manager} {}", machine.manager());
    eprintln!("{}", machine.up());
    eprintln!("{}", machine.said());
    let out = machine.rc(&["diff"]);
    eprintln!("{out:?}");
    let out = machine.rc(&["-t", "5000", "-u", "change", "default"]);
    eprintln!("{out:?}");
    eprintln!("{}", machine.up());
    let out = machine.rc(&["diff"]);
    eprintln!("{out:?}");
    assert_eq!(pids, ["web", "ready"].map(|name| machine.process(name)));
}

#[test]
fn x_state_random() {
    let (machine, pids) = up("random");
    let state = machine.live().join("state");
    let mut dice = Dice(3);
    for round in 0..20 {
        let manager = machine.manager();
        send("STOP", manager);
        let bytes: Vec<u8> = (0..dice.roll(9)).map(|_| dice.roll(256) as u8).collect();
        let kind = dice.roll(6);
        fs::remove_file(&state).or_else(|_| fs::remove_dir(&state)).unwrap();
        match kind {
            0 => {}
            1 => fs::create_dir(&state).unwrap(),
            2 => { stdout(Command::new("mkfifo").arg(&state)); },
            3 => symlink("/dev/zero", &state).unwrap(),
            _ => fs::write(&state, &bytes).unwrap(),
        }
        send("KILL", manager);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        eprintln!("round {round} kind {kind} {bytes:?}: up {:?}", machine.up());
        let out = machine.rc(&["-t", "3000", "-u", "change", "spare", "default"]);
        eprintln!("{out:?}");
        if (1..=3).contains(&kind) {
            fs::remove_file(&state).or_else(|_| fs::remove_dir(&state)).unwrap();
        }
        let out = machine.rc(&["-t", "10000", "-u", "change", "spare", "default"]);
        assert!(out.status.success(), "{out:?} {}", machine.said());
        machine.wait_up(&["spare", "web", "ready", "net"]);
    }
    eprintln!("{}", machine.said());
}
