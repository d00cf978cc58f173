//! Health checks with the real manager. (Each probe over real networks: `probes.rs`.)

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use e2e::alone::alone_after;
use e2e::client::Client;
use e2e::device::{Device, PATIENCE, alive, signal};
use e2e::process::{descriptors, memory, switches};
use e2e::providers::{NETWORKS, run};
use e2e::{applet, shown, wait_for};
use pages::Step;
use rustix::process::Signal;

/// `wan` is checked by `check`; `user` needs `wan`.
fn house(what: &str, settings: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("user").needs("user", &["wan"]);
    checked_by(&device, "check", settings);
    device.bundle("default", &["user", "check"]);
    device
}

fn checked_by(device: &Device, name: &str, settings: &str) {
    let run = format!("exec ward health-check -l {} {name}", device.live().display());
    device.longrun(name, &run).set(name, "notification-fd", "3");
    device.set(name, "controller", &format!("kind health-check\n{settings}"));
    fs::create_dir_all(device.source(name).join("controls.d")).expect("mkdir");
    device.set(name, "controls.d/wan", "");
}

const QUICK: &str = "interval 100\nretry 100\ntimeout 2000\njitter 0\ngrace 0\nwait 300\n";

/// `wan` notes its starts, and is healthy while there is a file `good`.
fn noting(device: &Device, is_longrun: bool) {
    let notes = device.join("starts").display().to_string();
    match is_longrun {
        true => device.longrun("wan", &format!("echo x >> {notes}\nexec sleep 100000")),
        false => device.oneshot("wan", &format!("sh -c \"echo x >> {notes}\"")),
    };
    fs::write(device.join("good"), "").expect("a file can be written");
}

fn good(device: &Device) -> String {
    let path = device.join("good").display().to_string();
    format!("check command sh -c \"echo looks; test -e {path}\"\n")
}

fn healthy(device: &Device) {
    device.wait_log("check wan is healthy");
}

#[test]
fn a_sick_service_is_restarted_with_what_needs_it_be_it_a_longrun_or_a_oneshot() {
    for is_longrun in [true, false] {
        let device = Device::new("health-restart");
        device.sleeper("user").needs("user", &["wan"]);
        noting(&device, is_longrun);
        checked_by(&device, "check", &(QUICK.to_owned() + &good(&device)));
        device.bundle("default", &["user", "check"]);
        device.start();
        // Nobody else starts it: the health check does, and what needs it comes along.
        let user = device.wait_pid("user");
        healthy(&device);
        assert_eq!(device.notes("starts").len(), 1);
        let why = device.ward("why wan").expect(0).out;
        assert!(why.contains("healthy: yes"), "{why}");
        assert!(why.contains("exited 0: looks"), "{why}");

        fs::remove_file(device.join("good")).expect("it was there");
        wait_for("a restart", PATIENCE, || (device.notes("starts").len() > 1).then_some(()));
        fs::write(device.join("good"), "").expect("a file can be written");
        let other =
            wait_for("another user", PATIENCE, || device.pid("user").filter(|p| *p != user));
        wait_for("health", PATIENCE, || {
            let why = device.ward("why wan").out;
            why.contains("healthy: yes").then_some(())
        });
        assert_ne!(user, other);
        let log = device.log();
        let asked: Vec<_> =
            log.iter().filter(|line| line.contains("asks to restart wan")).collect();
        assert!(asked[0].contains("3 bad rounds in a row; command sh -c"), "{asked:?}");
        assert!(asked[0].ends_with(": exited 1: looks"), "{asked:?}");
        // Once it is well, nothing more is restarted.
        let count = device.notes("starts").len();
        thread::sleep(Duration::from_millis(800));
        assert_eq!(device.notes("starts").len(), count);
        let doctor = || device.ward("doctor").out;
        assert!(!doctor().contains("wan was restarted"), "{}", doctor());
        fs::remove_file(device.join("good")).expect("it is there");
        wait_for("more restarts", PATIENCE, || {
            (device.notes("starts").len() > count + 2).then_some(())
        });
        wait_for("the doctor", PATIENCE, || {
            doctor().contains("warning  wan was restarted ").then_some(())
        });
    }
}

#[test]
fn where_somebody_else_starts_the_service_a_sick_one_is_stopped() {
    let device = Device::new("health-down");
    noting(&device, true);
    device.sleeper("turns").set("turns", "controller", "kind other\n");
    fs::create_dir_all(device.source("turns").join("controls.d")).expect("mkdir");
    device.set("turns", "controls.d/wan", "");
    checked_by(&device, "check", &(QUICK.to_owned() + &good(&device)));
    device.bundle("default", &["turns", "check"]);
    device.start();
    assert_eq!(device.up(), ["check", "turns"]);
    device.rc("-u change wan").expect(0);
    healthy(&device);
    fs::remove_file(device.join("good")).expect("it was there");
    wait_for("the stop", PATIENCE, || (!device.up().contains(&"wan".into())).then_some(()));
    let why = device.ward("why wan").expect(1).out;
    assert!(why.contains("check: 3 bad rounds in a row"), "{why}");
}

#[test]
fn a_check_that_hangs_has_failed_and_is_killed_with_its_children() {
    let device = Device::new("health-hang");
    noting(&device, true);
    let settings = QUICK.replace("timeout 2000", "timeout 300");
    // One child in its group, and one that has left it.
    let script = "echo hangs; sleep 77071 & setsid sleep 77072 & sleep 77073";
    checked_by(&device, "check", &format!("{settings}check command sh -c \"{script}\"\n"));
    device.bundle("default", &["check"]);
    device.start();
    wait_for("a restart", PATIENCE, || (device.notes("starts").len() > 1).then_some(()));
    let log = device.log();
    let asked = log.iter().find(|line| line.contains("asks to restart wan")).expect("it was asked");
    assert!(asked.ends_with(": did not end within 300 ms: hangs"), "{asked}");
    // Of many rounds at most the processes of one are there.
    let mark = format!("WARD_CHECK={} check", device.live().display());
    assert!(marked(&mark).len() <= 4, "{:?}", marked(&mark));
    let check = device.pid("check").expect("it runs");
    signal(check, Signal::KILL);
    let other = wait_for("another one", PATIENCE, || device.pid("check").filter(|p| *p != check));
    // What the killed one has left is killed by the next.
    thread::sleep(Duration::from_millis(500));
    assert!(marked(&mark).len() <= 4, "{:?}", marked(&mark));
    assert!(alive(other));
    device.rc("-d change check").expect(0);
    wait_for("nothing is left", PATIENCE, || marked(&mark).is_empty().then_some(()));
}

#[test]
fn it_wakes_for_its_checks_alone_and_keeps_nothing_of_them() {
    let device = Device::new("health-idle");
    device.sleeper("wan");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it has one").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let checks = format!("check tcp 127.0.0.1 {port}\ncheck icmp 127.0.0.1\ncheck command true\n");
    checked_by(&device, "check", &format!("interval 200\njitter 0\n{checks}"));
    device.bundle("default", &["check"]);
    device.start();
    healthy(&device);
    let pid = device.wait_pid("check");
    let (files, manager) = (descriptors(pid), device.manager_pid());
    let (before, of_manager, begun) = (switches(pid), switches(manager), Instant::now());
    thread::sleep(Duration::from_secs(6));
    let rounds = begun.elapsed().as_millis() as u64 / 200 + 1;
    let woken = switches(pid) - before;
    // The deadline, each socket, the output, the end of the command, and starting it.
    assert!(woken <= rounds * 10, "{woken} times in {rounds} rounds");
    assert!(switches(manager) - of_manager <= 3, "good answers are no news for the manager");
    assert!(descriptors(pid) <= files + 3, "{} descriptors, {files} before", descriptors(pid));
    eprintln!("woken {woken} times in {rounds} rounds; {} kB of memory", memory(pid));
}

#[test]
fn a_host_may_be_what_an_output_says() {
    let device = Device::new("health-output");
    device.sleeper("wan");
    let own = "interval 200\njitter 0\ngrace 60000\ncheck icmp @wan/router\n";
    checked_by(&device, "check", own);
    device.bundle("default", &["check"]);
    device.start();
    let wait_why = |what: &str| {
        wait_for(what, PATIENCE, || device.ward("why wan").out.contains(what).then_some(()));
    };
    wait_why("the output router of wan says no address");
    let router = device.join("services/outputs-live/wan/router");
    fs::write(&router, "127.0.0.1 127.0.0.2\n").expect("written");
    healthy(&device);
    wait_why("127.0.0.1 answered");
    fs::write(&router, "nobody\n").expect("written");
    wait_why("says no address");
    fs::write(&router, "127.0.0.3\n").expect("written");
    wait_why("127.0.0.3 answered");
}

/// Processes that have this in their environment.
fn marked(mark: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    };
    pids.filter(has).collect()
}

#[test]
fn a_health_check_that_is_killed_goes_on_where_it_was() {
    let device = Device::new("health-killed");
    noting(&device, true);
    checked_by(&device, "check", &(QUICK.to_owned() + &good(&device)));
    device.sleeper("user").needs("user", &["wan"]).bundle("default", &["user", "check"]);
    device.start();
    healthy(&device);
    let (wan, check, manager) =
        (device.wait_pid("wan"), device.wait_pid("check"), device.manager_pid());
    signal(check, Signal::KILL);
    wait_for("another one", PATIENCE, || device.pid("check").filter(|pid| *pid != check));
    wait_for("its conditions", PATIENCE, || {
        device.ward("why wan").out.contains("healthy: yes").then_some(())
    });
    signal(manager, Signal::KILL);
    wait_for("another manager", PATIENCE, || (device.manager_pid() != manager).then_some(()));
    wait_for("the conditions", PATIENCE, || {
        device.ward("why wan").out.contains("healthy: yes").then_some(())
    });
    assert_eq!(device.pid("wan"), Some(wan), "nothing was restarted");
    // It still does what it is there for.
    fs::remove_file(device.join("good")).expect("it was there");
    wait_for("a restart", PATIENCE, || device.pid("wan").filter(|pid| *pid != wan));
    // Stopped by a person it stays stopped; and with its controller it goes.
    fs::write(device.join("good"), "").expect("a file can be written");
    device.rc("-d change wan").expect(0);
    thread::sleep(Duration::from_millis(800));
    assert_eq!(device.up(), ["check"]);
    device.rc("-u change wan").expect(0);
    device.rc("-d change check").expect(0);
    assert!(device.up().is_empty(), "{:?}", device.up());
}

#[test]
fn a_service_that_cannot_be_started_is_tried_again() {
    let device = Device::new("health-fails");
    let (go, notes) = (device.join("go"), device.join("tries"));
    let (go, notes) = (go.display(), notes.display());
    device.oneshot("wan", &format!("sh -c \"echo x >> {notes}; test -e {go}\""));
    checked_by(&device, "check", &format!("{QUICK}check command true\n"));
    device.bundle("default", &["check"]);
    device.start();
    wait_for("three tries", PATIENCE, || (device.notes("tries").len() >= 3).then_some(()));
    fs::write(device.join("go"), "").expect("a file can be written");
    healthy(&device);
    assert_eq!(device.up(), ["check", "wan"]);
}

#[test]
fn bad_settings_are_refused_with_their_line() {
    let device = house("health-bad", "intervall 5\ncheck icmp 9.9.9.9 interfaec wan0\n");
    device.sleeper("wan");
    let said = Client::run(applet("s6-rc-compile").arg(device.join("db")).arg(device.join("src")));
    assert_ne!(said.code, 0);
    for expected in
        ["controller:2", "did you mean `interval`?", "controller:3", "did you mean `interface`?"]
    {
        assert!(said.err.contains(expected), "{expected}: {}", said.err);
    }
}

#[test]
fn of_two_targets_the_silent_one_is_told_as_the_page_shows_it() {
    if !alone_after("of_two_targets_the_silent_one_is_told_as_the_page_shows_it", NETWORKS) {
        return;
    }
    let [why, probed] =
        shown::blocks("docs/health.md", "health.rs").concat().try_into().expect("two commands");
    // Here the cable has another name.
    let here = |text: &str| text.replace("ppp0", "a0");
    let shown = |step: &Step| -> Vec<String> {
        step.expected.iter().flatten().map(|line| here(line)).collect()
    };
    let device = Device::new("health-page");
    device.sleeper("wan");
    let own = "check icmp 9.9.9.9 interface a0\ncheck icmp 1.1.1.1 interface a0\n";
    checked_by(&device, "wan-health", own);
    device.bundle("default", &["wan-health"]);
    device.start();
    let words = why.command.strip_prefix("ward ").expect("it is ward's");
    // It takes a question or two until it is so.
    let said = || device.ward(words).expect(0).out.lines().map(str::to_owned).collect();
    let (begun, mut lines): (_, Vec<String>) = (Instant::now(), said());
    while !shown::matches(&shown(&why), &lines) {
        assert!(begun.elapsed() < PATIENCE, "shown {:#?}, said {lines:#?}", shown(&why));
        thread::sleep(Duration::from_millis(100));
        lines = said();
    }
    let words = here(&probed.command);
    let said = Client::run(applet("ward").args(words.split(' ').skip(1))).expect(1).out;
    assert_eq!(said.lines().collect::<Vec<_>>(), shown(&probed));
}

#[test]
fn a_provider_that_goes_silent_is_found_out_with_the_defaults() {
    if !alone_after("a_provider_that_goes_silent_is_found_out_with_the_defaults", NETWORKS) {
        return;
    }
    let device = Device::new("health-silence");
    noting(&device, true);
    let targets = ["9.9.9.9", "10.1.0.2", "2001:db8:9::9"];
    let check = |target: &&str| format!("check icmp {target} interface a0\n");
    checked_by(&device, "check", &targets.iter().map(check).collect::<String>());
    device.bundle("default", &["check"]);
    device.start();
    healthy(&device);
    // A target that falls out alone is no reason, but is told.
    run("ip -netns a address del 9.9.9.9/32 dev lo");
    wait_for("a bad target", PATIENCE, || {
        let why = device.ward("why wan").out;
        let line = why.lines().find(|line| line.contains("icmp 9.9.9.9 interface a0"))?.to_owned();
        line.contains("✗").then_some(line)
    });
    thread::sleep(Duration::from_secs(6));
    assert_eq!(device.notes("starts").len(), 1, "{:?}", device.log());
    // The link stays up; nothing comes back.
    run("ip netns exec a nft add table inet silence");
    run(
        "ip netns exec a nft add chain inet silence in { type filter hook prerouting priority 0 ; policy drop ; }",
    );
    let begun = Instant::now();
    wait_for("a restart", PATIENCE, || (device.notes("starts").len() > 1).then_some(()));
    let took = begun.elapsed();
    eprintln!("silence was found out after {took:?}");
    // 6.7 s at most, and what a busy machine adds.
    assert!(took < Duration::from_secs(12), "{took:?}");
    let why = device.log().join("\n");
    assert!(why.contains("no answer within 1500 ms, asked 5 times"), "{why}");
}
