//! A device that tries generations, in namespaces: what goes over and what stays, who may confirm,
//! and the ways back.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::documented::holds;
use e2e::generation::Generation;
use e2e::json::Json;
use e2e::nix::{built, on_disk};
use e2e::{Folder, transcript, wait_for};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A small device, with what is changed of it.
fn build(name: &str, services: &str, rest: &str) -> String {
    let folder = Folder::new(name);
    let configuration = folder.write(
        "c.nix",
        format!(
            "{{ pkgs, lib, ... }}: let svc = pkgs.svc; in {{
               services = rec {{
                 still = svc.longrun {{ name = \"still\"; run = \"exec sleep 100000\"; }};
                 {services}
               }};
               {rest}
             }}"
        ),
    );
    let paths = built(&configuration, &["-A", "outputs.systemConfiguration"]);
    paths.into_iter().next().expect("one path")
}

fn before() -> String {
    build(
        "before",
        "moves = svc.longrun { name = \"moves\"; run = \"exec sleep 100001\"; };
         user = svc.longrun { name = \"user\"; run = \"exec sleep 100002\"; dependencies = [ moves ]; };",
        "hostname = \"before\"; filesystem.\"/etc/motd\".text = \"old\"; filesystem.\"/root/gone\".text = \"x\";
         filesystem.\"/root\".directory = true;",
    )
}

fn after() -> String {
    build(
        "after",
        "moves = svc.longrun { name = \"moves\"; run = \"exec sleep 100003\"; };
         user = svc.longrun { name = \"user\"; run = \"exec sleep 100002\"; dependencies = [ moves ]; };
         more = svc.longrun { name = \"more\"; run = \"exec sleep 100004\"; };",
        "hostname = \"after\"; filesystem.\"/etc/motd\".text = \"new\"; filesystem.\"/root/new\".text = \"y\";
         filesystem.\"/root\".directory = true;
         users.guest = { uid = 1234; gid = 100; dir = \"/\"; };
         logging.files = 4;",
    )
}

/// One of whose services that was up before does not start.
fn broken() -> String {
    build(
        "broken",
        "moves = svc.longrun { name = \"moves\"; run = \"echo there is a mistake >&2; exit 1\"; };
         user = svc.longrun { name = \"user\"; run = \"exec sleep 100002\"; dependencies = [ moves ]; };",
        "hostname = \"broken\"; filesystem.\"/etc/motd\".text = \"broken\";
         filesystem.\"/root\".directory = true;",
    )
}

const ID: &str = "trial-of-a-test";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// `ward generation` with these words.
fn generation(device: &Generation, words: &[&str]) -> Said {
    let output = device.inside(&[&["ward", "generation"], words].concat()).output().expect("runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Tries a generation; kernels of this machine are not its own.
fn activate(device: &Generation, path: &str, words: &[&str]) -> Said {
    generation(device, &[&["activate", "--any-kernel", "--id", ID], words, &[path]].concat())
}

/// What `activate` and its kin print for programs: how far it is, and why.
fn told(said: &Said) -> (String, String) {
    let object = Json::parse(said.out.trim());
    holds("`ward generation activate --json`", &object);
    let text = |field| object.text(field).expect("it is there").to_owned();
    (text("phase"), text("reason"))
}

fn status(device: &Generation) -> Value {
    let said = generation(device, &["status", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let status = Json::parse(&said.out);
    holds("`ward generation status --json`", &status);
    for (field, heading) in [
        ("running", "`running` and `boot`"),
        ("boot", "`running` and `boot`"),
        ("trial", "`trial`"),
        ("pending", "`pending`"),
        ("last", "`last`"),
    ] {
        status.get(field).inspect(|one| holds(heading, one));
    }
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

/// What its trial is in, while it may not even have begun to start.
fn phase(device: &Generation) -> Option<String> {
    let said = generation(device, &["status", "--json"]);
    let status: Value = serde_json::from_str(&said.out).ok()?;
    Some(status["trial"]["phase"].as_str()?.to_owned())
}

fn pid(device: &Generation, service: &str) -> String {
    let asked = device.ask(&["s6-svstat", "-o", "pid", &format!("/run/service/{service}")]);
    asked.unwrap_or_default().trim().to_owned()
}

fn booted(path: &str) -> Generation {
    let device = Generation::boot(path);
    for service in ["still", "user", "hostname"] {
        device.wait_until_up(service);
    }
    device
}

fn outcome(device: &Generation, number: u32) -> (String, String) {
    let said = generation(device, &["list", "--json"]);
    let every = Json::parse(&said.out);
    every.items().iter().for_each(|one| holds("`ward generation list --json`", one));
    let all: Value = serde_json::from_str(&said.out).expect("JSON");
    let all = all.as_array().expect("a list");
    let one = all.iter().find(|one| one["number"] == number).expect("there is one");
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

#[track_caller]
fn runs(device: &Generation, path: &str, boot: &str) {
    let status = status(device);
    assert_eq!((&status["running"]["path"], &status["boot"]["path"]), (&path.into(), &boot.into()));
    let hostname = device.ask(&["cat", "/proc/sys/kernel/hostname"]).expect("it has a name");
    let motd = device.ask(&["cat", "/etc/motd"]).expect("it is there");
    let expected = [(before(), "before", "old"), (after(), "after", "new")];
    let (_, name, text) = expected.iter().find(|one| one.0 == path).expect("it is known");
    assert_eq!((hostname.trim(), &*motd), (*name, *text));
}

#[test]
fn what_did_not_change_is_not_touched_and_what_is_confirmed_stays() {
    let (old, new) = (before(), after());
    let mut device = booted(&old);
    let pids = |device: &Generation| ["still", "moves", "user"].map(|name| pid(device, name));
    let were = pids(&device);
    let said = activate(&device, &new, &["--by", "tester"]);
    assert_eq!(said.code, Some(0), "{}{}\n{}", said.out, said.err, device.log());
    assert!(said.out.contains("waiting"), "{}", said.out);
    let logs = "where and how the log of everything is kept changes with the next start";
    assert!(said.out.contains(&format!("warning: {logs}")), "{}", said.out);
    assert_eq!(status(&device)["trial"]["warnings"], serde_json::json!([logs]));
    let are = pids(&device);
    assert_eq!(are[0], were[0], "nothing about it has changed");
    assert!(are[1] != were[1] && are[2] != were[2], "it changed, and what needs it starts again");
    assert_ne!(pid(&device, "more"), "", "it is new, and up");
    runs(&device, &new, &old);
    assert_eq!(device.ask(&["ls", "/root"]).as_deref(), Some("new\n"), "what was old is gone");
    assert!(device.ask(&["cat", "/etc/passwd"]).expect("users").contains("guest:"));

    // Another one is refused, and so is whoever means another one.
    let second = activate(&device, &old, &[]);
    assert_eq!(second.code, Some(1), "{}", second.out);
    assert!(second.err.contains("another trial goes on: generation 2"), "{}", second.err);
    let other = generation(&device, &["confirm", "some-other-trial"]);
    assert_eq!(other.code, Some(1), "{}", other.out);
    assert!(other.err.contains("there is no trial some-other-trial"), "{}", other.err);
    assert_eq!(status(&device)["trial"]["phase"], "awaiting");

    // Its owner comes back, and goes on.
    let owner = pid(&device, "doorward-trial");
    assert!(device.ask(&["kill", "-9", &owner]).is_some());
    wait_for("another owner", LIMIT, || {
        let now = pid(&device, "doorward-trial");
        (now != owner && now != "-1" && !now.is_empty()).then_some(())
    });
    assert_eq!(status(&device)["trial"]["phase"], "awaiting");
    let said = generation(&device, &["confirm", ID]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    runs(&device, &new, &new);
    assert_eq!(outcome(&device, 1), ("committed".into(), String::new()), "the image");
    assert_eq!(outcome(&device, 2).0, "committed");
    let said = generation(&device, &["confirm", "--json", ID]);
    assert_eq!((said.code, told(&said).0.as_str()), (Some(0), "committed"), "twice is as good");
    let said = activate(&device, &new, &["--json"]);
    assert_eq!((said.code, told(&said).0.as_str()), (Some(0), "committed"), "it runs already");
    assert!(said.err.contains("runs already"), "{}", said.err);
    assert_eq!(device.ask(&["ls", "/run/service"]).map(|l| l.contains("doorward")), Some(false));
    let list = generation(&device, &["list"]).out;
    assert!(list.contains("tester"), "{list}");

    device = device.boot_again();
    device.wait_until_up("more");
    runs(&device, &new, &new);

    // What has changed since the one before; and what another would change.
    let diff = generation(&device, &["diff"]).out;
    for line in [
        format!("from generation 1 ({old})"),
        format!("to   generation 2 ({new})"),
        "service changed: moves".into(),
        "service new: more".into(),
        "file changed: /etc/motd".into(),
        "file new: /root/new".into(),
        "file gone: /root/gone".into(),
    ] {
        assert!(diff.lines().any(|found| found == line), "no {line:?} in\n{diff}");
    }
    assert!(!diff.contains("still"), "{diff}");
    let object = Json::parse(&generation(&device, &["diff", "--json"]).out);
    holds("`ward generation diff --json`", &object);
    assert_eq!((object.text("from"), object.text("to")), (Some(&*old), Some(&*new)));
    assert!(!object.get("differences").expect("they are there").items().is_empty());
    let diff = generation(&device, &["diff", "1"]).out;
    let line = "would stop or start again: ";
    let names = diff.lines().find_map(|found| found.strip_prefix(line)).expect("some would");
    for (name, would) in [("moves", true), ("user", true), ("more", true), ("still", false)] {
        assert_eq!(names.split(' ').any(|found| found == name), would, "{name}: {diff}");
    }

    // By hand, and without anybody to confirm.
    let said = generation(&device, &["rollback"]);
    assert_eq!(said.code, Some(1), "its kernel is another one's: {}", said.out);
    assert!(said.err.contains("levitate"), "{}", said.err);
    let said = generation(&device, &["activate", "--any-kernel", "--no-confirm", "--json", "1"]);
    assert_eq!((said.code, told(&said).0.as_str()), (Some(0), "committed"), "{}", said.err);
    assert!(said.err.contains("generation 1 is on trial"), "{}", said.err);
    runs(&device, &old, &old);
    let said = generation(&device, &["delete", "1"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let said = generation(&device, &["delete", "--json", "2"]);
    let object = Json::parse(&said.out);
    holds("`ward generation delete --json`", &object);
    assert_eq!((said.code, &*said.out), (Some(0), "{\"forgotten\":[2]}\n"));
    assert_eq!(device.end(), Some(0));
}

#[test]
fn what_nobody_confirms_is_gone_after_its_deadline() {
    let (old, new) = (before(), after());
    let device = booted(&old);
    let still = pid(&device, "still");
    let said = activate(&device, &new, &["--deadline", "5"]);
    assert_eq!(said.code, Some(0), "{}{}\n{}", said.out, said.err, device.log());
    let began = Instant::now();
    wait_for("the way back", LIMIT, || (phase(&device)? == "returned").then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5 + 10), "it took {:?}", began.elapsed());
    runs(&device, &old, &old);
    assert_eq!(pid(&device, "still"), still, "it was not touched on the way back either");
    assert!(!device.ask(&["s6-rc", "-a", "list"]).expect("a list").contains("more"));
    assert_eq!(device.ask(&["ls", "/root"]).as_deref(), Some("gone\n"));
    let (is, why) = outcome(&device, 2);
    assert_eq!(is, "failed");
    assert!(why.contains("nobody confirmed it within 5 s"), "{why}");
    // Too late, and not even the same trial any more.
    let late = generation(&device, &["confirm", ID]);
    assert_eq!(late.code, Some(1), "{}", late.out);
    assert!(late.err.contains("generation 2 is not kept"), "{}", late.err);
    let late = generation(&device, &["confirm", "--json", ID]);
    assert!(late.code == Some(1) && late.err.contains("is not kept"), "{}", late.err);
    let (phase, reason) = told(&late);
    assert!(phase == "returned" && reason.contains("nobody confirmed it"), "{phase}: {reason}");
    let notice = generation(&device, &["notice"]).out;
    assert!(notice.contains("Generation 2 was tried and is gone again"), "{notice}");
    assert!(notice.contains("The log ended with:"), "{notice}");
    // Once more, and somebody ends it.
    let said = activate(&device, &new, &["--json"]);
    assert_eq!((said.code, told(&said).0.as_str()), (Some(0), "awaiting"), "{}", said.err);
    let said = generation(&device, &["rollback", "--json"]);
    let (phase, reason) = told(&said);
    assert_eq!((said.code, phase.as_str()), (Some(0), "returned"), "{}", said.err);
    assert!(reason.contains("root wanted it back"), "{reason}");
    runs(&device, &old, &old);
    let shown = device.ask(&["sh", "-lc", "true"]).expect("a login");
    assert_eq!(shown, "", "nobody reads it who has no terminal");
    assert_eq!(device.end(), Some(0));
}

#[test]
fn what_breaks_a_service_that_was_up_comes_back_by_itself_and_says_why() {
    let (old, new) = (before(), broken());
    let device = booted(&old);
    let began = Instant::now();
    let said = activate(&device, &new, &["--json"]);
    assert_eq!(said.code, Some(1), "{}{}\n{}", said.out, said.err, device.log());
    assert!(said.err.contains("moves"), "{}", said.err);
    let (phase, reason) = told(&said);
    assert!(phase == "returned" && reason.contains("moves"), "{phase}: {reason}");
    assert!(began.elapsed() < Duration::from_secs(30), "nobody waits for the deadline");
    runs(&device, &old, &old);
    let (is, why) = outcome(&device, 2);
    assert!(is == "failed" && why.contains("moves"), "{why}");
    let show = generation(&device, &["show", "2"]).out;
    assert!(show.contains("there is a mistake"), "the log is kept: {show}");
    let show = Json::parse(&generation(&device, &["show", "--json", "2"]).out);
    holds("`ward generation show --json`", &show);
    assert!(!show.get("lines").expect("the log").items().is_empty(), "{show:?}");
    device.wait_until_up("user");
    assert_eq!(device.end(), Some(0));
}

/// The same generation with a database of services that is one for another release.
fn with_another_database(path: &str) -> String {
    let name = "/nix/store/00000000000000000000000000000000-later-system";
    let services = "/nix/store/00000000000000000000000000000000-later-services";
    for made in [name, services] {
        let _ = fs::remove_dir_all(on_disk(made));
    }
    copy(&on_disk(path), &on_disk(name));
    let from = fs::read_link(on_disk(name).join("services")).expect("a link");
    copy(&on_disk(from.to_str().expect("text")), &on_disk(services));
    let file = on_disk(services).join("db");
    let mut bytes = fs::read(&file).expect("it is there");
    // Behind its magic: docs/formats/database.md.
    bytes[12..16].copy_from_slice(&77_u32.to_le_bytes());
    fs::remove_file(&file).expect("its folder is ours");
    fs::write(&file, bytes).expect("it can be written");
    fs::remove_file(on_disk(name).join("services")).expect("it was there");
    std::os::unix::fs::symlink(services, on_disk(name).join("services")).expect("a link");
    name.to_owned()
}

#[test]
fn services_that_this_ward_cannot_read_are_refused_before_anything_changes() {
    let old = before();
    let device = booted(&old);
    let pids = ["still", "moves", "user"].map(|name| pid(&device, name));
    let said = activate(&device, &with_another_database(&old), &[]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.err.contains("it has version 77 and this program reads version"), "{}", said.err);
    assert!(said.err.contains("--reboot"), "{}", said.err);
    runs(&device, &old, &old);
    assert_eq!(["still", "moves", "user"].map(|name| pid(&device, name)), pids);
    assert_eq!(device.end(), Some(0));
}

/// Copies a store path to one that can be changed.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let writable = Command::new("chmod").arg("u+w").arg(to).status();
    assert!(writable.is_ok_and(|status| status.success()));
}

/// The same generation with another `ward`: the same bytes in another file.
fn with_another_ward(path: &str) -> String {
    let name = "/nix/store/00000000000000000000000000000000-other-system";
    let ward = "/nix/store/00000000000000000000000000000000-other-ward";
    for made in [name, ward] {
        let _ = fs::remove_dir_all(on_disk(made));
    }
    fs::create_dir_all(on_disk(ward).join("bin")).expect("a folder can be made");
    let from = fs::read_link(on_disk(path).join("init")).expect("a link");
    e2e::copy_program(&on_disk(from.to_str().expect("text")), on_disk(ward).join("bin/ward"));
    copy(&on_disk(path), &on_disk(name));
    fs::remove_file(on_disk(name).join("init")).expect("it was there");
    let target = format!("{ward}/bin/ward");
    std::os::unix::fs::symlink(target, on_disk(name).join("init")).expect("a link can be made");
    name.to_owned()
}

#[test]
fn ward_itself_goes_over_and_comes_back_without_a_service_noticing() {
    let old = before();
    let new = with_another_ward(&old);
    let device = booted(&old);
    let program = |device: &Generation, pid: &str| {
        device.ask(&["readlink", &format!("/proc/{pid}/exe")]).unwrap_or_default()
    };
    let manager = |device: &Generation| {
        let list = device.ask(&["ps", "-o", "pid,args"]).unwrap_or_default();
        let line = list.lines().find(|line| line.contains("ward manager"))?.to_owned();
        line.split_whitespace().next().map(str::to_owned)
    };
    let was = program(&device, "1");
    let pids = ["still", "moves", "user"].map(|name| pid(&device, name));
    let said = activate(&device, &new, &["--deadline", "6"]);
    assert_eq!(said.code, Some(0), "{}{}\n{}", said.out, said.err, device.log());
    assert!(program(&device, "1").contains("other-ward"));
    wait_for("a manager of the new ward", LIMIT, || {
        program(&device, &manager(&device)?).contains("other-ward").then_some(())
    });
    assert_eq!(["still", "moves", "user"].map(|name| pid(&device, name)), pids);
    wait_for("the way back", LIMIT, || (phase(&device)? == "returned").then_some(()));
    assert_eq!(program(&device, "1"), was);
    assert_eq!(["still", "moves", "user"].map(|name| pid(&device, name)), pids);
    assert_eq!(device.end(), Some(0));
}

/// Waits for the end of a device that restarts, and starts it. A guard waits for four times what the
/// start before took, which may have been long on a busy machine.
fn restarted(mut device: Generation) -> Generation {
    wait_for("the end", LIMIT * 3, || device.has_ended().then_some(()));
    device.boot_again()
}

#[test]
fn a_restart_tries_it_once_it_is_confirmed_it_starts_again() {
    let (old, new) = (before(), after());
    let device = booted(&old);
    let said = activate(&device, &new, &["--reboot", "--json"]);
    assert_eq!((said.code, told(&said).0.as_str()), (Some(0), "restarting"), "{}", said.err);
    let device = restarted(device);
    device.wait_until_up("more");
    runs(&device, &new, &old);
    wait_for("its health", LIMIT, || (phase(&device)? == "awaiting").then_some(()));
    // A restart that somebody wants does not count, a fall does.
    assert_eq!(status(&device)["pending"]["attempts"], 1);
    assert!(device.ask(&["reboot"]).is_some());
    let device = restarted(device);
    device.wait_until_up("more");
    assert_eq!(status(&device)["pending"]["attempts"], 1);
    let device = device.boot_again();
    device.wait_until_up("more");
    assert_eq!(status(&device)["pending"]["attempts"], 2);
    let pending = fs::read(device.flash("trial")).expect("it is there until it is confirmed");
    let said = generation(&device, &["confirm", ID]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.err, device.log());
    assert!(!device.flash("trial").exists());
    let device = device.boot_again();
    device.wait_until_up("more");
    runs(&device, &new, &new);
    // Somebody wants back what the next start would try.
    fs::write(device.flash("trial"), pending).expect("it can be written");
    let said = generation(&device, &["rollback", "--json"]);
    let (phase, reason) = told(&said);
    assert_eq!((said.code, phase.as_str()), (Some(0), "returned"), "{}", said.err);
    assert!(reason.contains("before it was started"), "{reason}");
    assert!(!device.flash("trial").exists());
    assert_eq!(device.end(), Some(0));
}

#[test]
fn what_falls_at_each_start_is_given_up() {
    let (old, new) = (before(), after());
    let device = booted(&old);
    assert_eq!(activate(&device, &new, &["--reboot"]).code, Some(0));
    let mut device = restarted(device);
    for attempt in 1..=3 {
        wait_for("the new generation", LIMIT, || phase(&device));
        assert_eq!(status(&device)["running"]["path"], *new);
        assert_eq!(status(&device)["pending"]["attempts"], attempt);
        device = device.boot_again();
    }
    device.wait_until_up("user");
    runs(&device, &old, &old);
    let (is, why) = outcome(&device, 2);
    assert!(is == "failed" && why.starts_with("it was started 3 times"), "{why}");
    assert!(!device.flash("trial").exists());
    assert_eq!(device.end(), Some(0));
}

#[test]
fn what_hangs_while_it_starts_is_given_up_by_the_guard_of_the_old_one() {
    let old = before();
    let device = booted(&old);
    // A ward that never does anything.
    let hung = "/nix/store/00000000000000000000000000000000-hung-system";
    let _ = fs::remove_dir_all(on_disk(hung));
    copy(&on_disk(&old), &on_disk(hung));
    let shell = device.ask(&["readlink", "-f", "/bin/sh"]).expect("a shell");
    let (shell, busybox) = (shell.trim(), "busybox");
    assert!(shell.ends_with(busybox), "{shell}");
    let script = format!(
        "#!{shell} sh\ncase $1 in --version) echo ward 0; exit 0;; esac\nwhile :; do {shell} sleep 1000; done\n"
    );
    fs::remove_file(on_disk(hung).join("init")).expect("it was there");
    fs::write(on_disk(hung).join("init"), script).expect("it can be written");
    e2e::machine::executable(&on_disk(hung).join("init"));

    let said = activate(&device, hung, &["--reboot", "--deadline", "2"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let device = restarted(device);
    assert!(device.flash("trial").exists(), "it hangs by now");
    let device = restarted(device);
    device.wait_until_up("user");
    runs(&device, &old, &old);
    let (is, why) = outcome(&device, 2);
    assert!(is == "failed" && why.contains("nobody could end the trial in time"), "{why}");
    let _ = fs::remove_dir_all(on_disk(hung));
    assert_eq!(device.end(), Some(0));
}

#[test]
fn what_is_said_of_generations_is_what_stands_in_the_transcript() {
    let (old, new, broken) = (before(), after(), broken());
    let device = booted(&old);
    transcript::check("trial.txt", |script| {
        let script = format!("NEW={new} BROKEN={broken}\n{script}");
        let output = device.inside(&["sh", "-c", &script]).output().expect("nsenter runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    assert_eq!(device.end(), Some(0));
}
