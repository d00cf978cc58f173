//! Who may give orders, and who may look: root and the owner of the tree; the
//! members of a group, where one was named; nobody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use e2e::machine::{Machine, as_user, is_root};
use e2e::process::memory_peak;
use e2e::{applet, applets, stdout};
use model::bytes::Writer;
use model::service::manager_request::{PROTOCOL, ToManager};
use os::socket::Connection;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Two users who own nothing here, and a group.
const MEMBER: u32 = 64_996;
const STRANGER: u32 = 64_997;
const GROUP: u32 = 64_995;

fn machine(what: &str, words: &[&str]) -> Machine {
    let mut machine = Machine::new(what);
    machine.sleeper("web");
    machine.sleeper("spare");
    machine.oneshot("once", "true", "true");
    machine.bundle("default", &["web", "once"]);
    machine.option(words);
    machine.start();
    machine.wait_up(&["web", "once"]);
    machine
}

/// Every way to give an order, as a command of somebody.
fn orders(machine: &Machine, who: &dyn Fn(&str) -> Command) -> Vec<(String, Output)> {
    let (live, scan, dir) = (machine.live(), machine.scan(), machine.service_dir("web"));
    let mut all = Vec::new();
    let mut give = |name: &str, words: &[&Path]| {
        let mut command = who(name);
        let command = command.args(words).stdin(Stdio::null());
        all.push((format!("{name} {words:?}"), command.output().unwrap()));
    };
    let p = Path::new;
    give("s6-rc", &[p("-l"), &live, p("-t"), p("5000"), p("-d"), p("change"), p("web")]);
    give("s6-rc", &[p("-l"), &live, p("-t"), p("5000"), p("-u"), p("change"), p("spare")]);
    give("s6-rc-update", &[p("-l"), &live, &machine.path("db")]);
    give("s6-rc-init", &[p("-c"), &machine.path("db"), p("-l"), p("/tmp/not-there"), &scan]);
    give("s6-svc", &[p("-d"), &dir]);
    give("s6-svc", &[p("-k"), &dir]);
    give("s6-svscanctl", &[p("-t"), &scan]);
    give("s6-svdt-clear", &[&dir]);
    give("reexec", &[p("-s"), &scan]);
    give("reexec", &[p("-s"), &scan, p("--fault")]);
    give("reboot", &[p("-s"), &scan]);
    all
}

/// Nothing has come of what was ordered.
fn expect_untouched(machine: &Machine, web: u32, manager: u32) {
    assert_eq!(machine.up(), "web\nonce\n");
    assert_eq!((machine.process("web"), machine.manager()), (web, manager));
    assert_eq!(machine.process_now("spare"), None);
    assert!(!machine.said().contains("started anew"), "{}", machine.said());
}

/// The sockets and fifos that orders come in by.
fn doors(machine: &Machine) -> Vec<PathBuf> {
    vec![
        machine.init_socket(),
        machine.init_socket().with_file_name("log"),
        machine.init_socket().with_file_name("control"),
        machine.live().join("manager"),
        machine.service_dir("web").join("supervise/control"),
    ]
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_door_is_for_the_owner_alone() {
    let machine = machine("doors", &[]);
    for door in doors(&machine) {
        assert_eq!(mode(&door), 0o600, "{}", door.display());
    }
    assert_eq!(mode(&machine.service_dir("web").join("supervise")), 0o700);
    if !is_root() {
        return; // There is nobody else to try what these modes forbid.
    }
    let (web, manager) = (machine.process("web"), machine.manager());
    for (order, output) in orders(&machine, &|name| as_user(STRANGER, &[], applets().join(name))) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code != 0), "{order}: {said}");
        assert!(said.contains("ermission denied") || said.contains("only root"), "{order}: {said}");
    }
    expect_untouched(&machine, web, manager);
}

#[test]
fn sockets_that_somebody_opened_to_all_still_ask_who_calls() {
    let machine = machine("open", &[]);
    let (web, manager) = (machine.process("web"), machine.manager());
    for door in doors(&machine).into_iter().filter(|door| !door.ends_with("control")) {
        fs::set_permissions(&door, fs::Permissions::from_mode(0o666)).unwrap();
    }
    if is_root() {
        let stranger = |name: &str| as_user(STRANGER, &[], applets().join(name));
        for (order, output) in orders(&machine, &stranger) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some_and(|code| code != 0), "{order}: {said}");
        }
        expect_untouched(&machine, web, manager);
    }
    // It is not the mode that lets the owner in either.
    for door in doors(&machine).into_iter().filter(|door| !door.ends_with("control")) {
        fs::set_permissions(&door, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (order, output) in orders(&machine, &|name| Command::new(applets().join(name))).drain(..6) {
        let said = String::from_utf8_lossy(&output.stderr);
        let wrong = order.starts_with("s6-rc-init");
        assert_eq!(output.status.success(), !wrong, "{order}: {said}");
    }
}

/// What may be looked at, as commands of somebody, and what they must print.
fn looks(machine: &Machine, who: &dyn Fn(&str) -> Command) -> Vec<(String, Output)> {
    let live = machine.live();
    let mut all = Vec::new();
    for words in [
        &["s6-rc", "-a", "list"][..],
        &["s6-rc", "listall", "default"],
        &["s6-rc-db", "list", "all"],
        &["s6-rc-db", "dependencies", "web"],
        &["status"],
        &["status", "--json", "web"],
        &["why", "web"],
    ] {
        let mut command = who(words[0]);
        command.arg("-l").arg(&live).args(&words[1..]).stdin(Stdio::null());
        all.push((words.join(" "), command.output().unwrap()));
    }
    all
}

/// They all show what is there, without a warning.
fn expect_shown(looks: Vec<(String, Output)>) {
    for (look, output) in looks {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{look}: {said}");
        let empty = look.contains("dependencies");
        assert!(empty || String::from_utf8_lossy(&output.stdout).contains("web"), "{look}");
        assert_eq!(said, "", "{look}");
    }
}

#[test]
fn members_of_the_group_may_look_and_nobody_else_may_and_neither_may_change_anything() {
    let group = if is_root() { GROUP } else { rustix::process::getegid().as_raw() };
    let machine = machine("group", &["-g", &group.to_string()]);
    let (web, manager) = (machine.process("web"), machine.manager());
    let check = |when: &str| {
        let about = fs::metadata(machine.live()).unwrap();
        assert_eq!((about.mode() & 0o777, about.gid()), (0o750, group), "{when}");
        let about = fs::metadata(machine.live().join("manager")).unwrap();
        assert_eq!((about.mode() & 0o777, about.gid()), (0o660, group), "{when}");
        expect_shown(looks(&machine, &|name| Command::new(applets().join(name))));
        if !is_root() {
            return; // There is nobody else to try what these modes forbid.
        }
        let member = |name: &str| as_user(MEMBER, &[GROUP], applets().join(name));
        let stranger = |name: &str| as_user(STRANGER, &[], applets().join(name));
        expect_shown(looks(&machine, &member));
        for (look, output) in looks(&machine, &stranger) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(111), "{when}: {look}: {said}");
            assert!(said.contains("ermission denied"), "{when}: {look}: {said}");
            assert!(output.stdout.is_empty(), "{when}: {look}");
        }
        let others: [&dyn Fn(&str) -> Command; 2] = [&member, &stranger];
        for who in others {
            for (order, output) in orders(&machine, who) {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.code().is_some_and(|code| code != 0), "{order}: {said}");
            }
        }
        expect_untouched(&machine, web, manager);
    };
    check("at first");
    // The same after an update: who may look is a matter of the tree.
    machine.sleeper("more");
    let newer = machine.compile("newer");
    stdout(applet("s6-rc-update").arg("-l").arg(machine.live()).arg(newer));
    check("after an update");
}

#[test]
fn without_a_group_everybody_may_list_and_only_the_owner_may_ask() {
    let machine = machine("nogroup", &[]);
    expect_shown(looks(&machine, &|name| Command::new(applets().join(name))));
    if !is_root() {
        assert_eq!(mode(&machine.live()), 0o755);
        return;
    }
    for (look, output) in looks(&machine, &|name| as_user(STRANGER, &[], applets().join(name))) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code <= 1), "{look}: {said}");
        let asks = look.starts_with("status") || look.starts_with("why");
        assert_eq!(said.contains("may ask the manager"), asks, "{look}: {said}");
    }
}

#[test]
fn a_group_that_cannot_be_given_is_an_error_and_not_an_open_door() {
    let mut machine = Machine::new("nobody");
    machine.give_away();
    machine.sleeper("web");
    machine.bundle("default", &["web"]);
    machine.option(&["-g", "4294000000"]);
    machine.compile("db");
    machine.start_by(machine.as_owner(applets().join("init")));
    machine.wait_said("to group 4294000000: Operation not permitted");
    assert!(!machine.live().exists());
    assert!(machine.ended().is_none());
}

#[test]
fn somebody_who_may_only_look_cannot_keep_the_owner_out() {
    let group = if is_root() { GROUP } else { rustix::process::getegid().as_raw() };
    let machine = machine("crowd", &["-g", &group.to_string()]);
    if !is_root() {
        return machine.change(&["-u", "change", "spare"]); // There is nobody else.
    }
    let manager = machine.manager();
    let before = memory_peak(manager);
    std::thread::scope(|scope| {
        let (full, is_full) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let path = machine.live().join("manager");
        scope.spawn(move || {
            // Users are a matter of threads, as far as Linux goes.
            let (user, group) = (Uid::from_raw(MEMBER), Gid::from_raw(GROUP));
            set_thread_groups(&[group]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            // Far more than fit. Each asks for more than it ever reads.
            let mut w = Writer::new();
            ToManager::Hello { protocol: PROTOCOL }.write(&mut w);
            (0..5000).for_each(|id| ToManager::Status { id }.write(&mut w));
            let mut kept = Vec::new();
            for _ in 0..700 {
                if let Ok(connection) = Connection::connect(&path) {
                    connection.set_nonblocking().unwrap();
                    let _ = connection.send(w.as_bytes());
                    kept.push(connection);
                }
            }
            full.send(kept.len()).unwrap();
            let _ = ends.recv();
        });
        assert!(is_full.recv().unwrap() > 100, "it could not even try");
        for word in ["-u", "-d", "-u", "-d"] {
            machine.change(&["-t", "60000", word, "change", "spare"]);
        }
        drop(end);
    });
    assert_eq!(machine.manager(), manager, "{}", machine.said());
    let grown = memory_peak(manager) - before;
    assert!(grown < 100_000, "{grown} kB more at the worst");
}
