//! `s6-rc change`, `start`, `stop` and `reload`: what comes up and goes down, in
//! which order, and what happens where something does not.

use std::fs;
use std::time::{Duration, Instant};

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE, alive};
use e2e::{debian, wait_for};

/// `top` needs `middle` and `side`, `middle` needs `base`. Each notes when it
/// starts and, in `finish`, that it has ended.
fn tower() -> Device {
    let device = Device::new("tower");
    let notes = device.join("notes");
    let notes = notes.display();
    for name in ["base", "middle", "side", "top"] {
        device.longrun(name, &format!("echo +{name} >>{notes}\nexec sleep 100000"));
        device.set(name, "finish", &format!("#!/bin/sh\necho -{name} >>{notes}\n"));
    }
    device.needs("top", &["middle", "side"]).needs("middle", &["base"]);
    device
}

/// Where a line stands among the notes.
fn place(notes: &[String], what: &str) -> usize {
    let mut places = (0..notes.len()).filter(|at| notes[*at] == what);
    let place = places.next().unwrap_or_else(|| panic!("no {what} in {notes:?}"));
    assert_eq!(places.next(), None, "{what} once in {notes:?}");
    place
}

#[test]
fn needs_start_first_and_stop_last() {
    let device = tower();
    device.start();
    assert!(device.up().is_empty());
    device.rc("-u change top").expect(0);
    assert_eq!(device.up(), ["base", "middle", "side", "top"]);
    wait_for("four starts", PATIENCE, || (device.notes("notes").len() == 4).then_some(()));
    let pids: Vec<_> = device.up().iter().map(|name| device.pid(name).unwrap()).collect();

    // Up already: nothing happens.
    device.rc("-u change top base").expect(0);
    device.rc("start side").expect(0);
    let again: Vec<_> = device.up().iter().map(|name| device.pid(name).unwrap()).collect();
    assert_eq!(pids, again);

    device.rc("-d change base").expect(0);
    assert_eq!(device.up(), ["side"], "what is not in the way stays");
    let notes = device.notes("notes");
    let [top, middle, base] = ["-top", "-middle", "-base"].map(|what| place(&notes, what));
    assert!(top < middle && middle < base, "{notes:?}");
    assert!(pids[..2].iter().chain(&pids[3..]).all(|pid| !alive(*pid)));
    device.rc("-d change base").expect(0);
    device.rc("stop side").expect(0);
    assert!(device.up().is_empty());
}

#[test]
fn what_needs_it_starts_only_once_it_is_ready() {
    let device = tower();
    let (go, notes) = (device.join("go"), device.join("notes"));
    device.longrun(
        "base",
        &format!(
            "echo +base >>{}\nwhile ! [ -e {} ]; do sleep 0.01; done\n\
             echo ready >>{}\necho >&5\nexec sleep 100000",
            notes.display(),
            go.display(),
            notes.display()
        ),
    );
    device.set("base", "notification-fd", "5\n").start();
    let mut change = Client::start(&mut device.command("s6-rc", "-u change top"));
    wait_for("side", PATIENCE, || (device.up() == ["side"]).then_some(()));
    assert_eq!(device.svstat("base", "up,ready"), "true false");
    assert!(change.is_running());
    fs::write(&go, "").unwrap();
    change.finish().expect(0);
    wait_for("four starts", PATIENCE, || (device.notes("notes").len() == 5).then_some(()));
    let notes = device.notes("notes");
    // `middle` is up as soon as it runs: which of the two writes first is theirs.
    for last in ["+middle", "+top"] {
        let order = ["+base", "ready", last].map(|what| place(&notes, what));
        assert!(order.is_sorted(), "{notes:?}");
    }
    assert_eq!(device.svstat("base", "up,ready"), "true true");
    // Debian's own client sees the same.
    Client::run(debian("s6-svwait").args(["-U", "-t", "1000"]).arg(device.dir("base"))).expect(0);
}

#[test]
fn essential_services_are_spared_with_all_that_they_need() {
    let device = tower();
    device.set("middle", "flag-essential", "").bundle("default", &["top"]).start();
    let said = device.rc("-d change base").expect(0);
    assert!(said.err.contains("middle is essential and is not stopped"), "{}", said.err);
    assert_eq!(device.up(), ["base", "middle", "side"], "top was in the way and not essential");
    let quiet = device.rc("-v0 -d change base").expect(0);
    assert_eq!(quiet.err, "");
    device.rc("-ad change").expect(0);
    assert_eq!(device.up(), ["base", "middle"]);
    let said = device.rc("-D change base").expect(0);
    assert_eq!(said.err, "");
    assert!(device.up().is_empty());
    // One that is down already is nothing to be warned of.
    assert_eq!(device.rc("-d change base").expect(0).err, "");
    device.rc("-u change top").expect(0);
    device.rc("-D -a change").expect(0);
    assert!(device.up().is_empty());
}

#[test]
fn pruning_brings_everything_else_to_the_opposite_state() {
    let device = tower();
    device.sleeper("other").oneshot("third", "true").bundle("default", &["top", "other", "third"]);
    device.start();
    let base = device.pid("base");
    device.rc("-pu change middle").expect(0);
    assert_eq!(device.up(), ["base", "middle"]);
    assert_eq!(device.pid("base"), base, "what stays is not touched");
    device.rc("-p -d change middle").expect(0);
    // Everything that is neither `middle` nor needs it is brought up.
    assert_eq!(device.up(), ["base", "other", "side", "third"]);
    device.rc("-p -u change").expect(0);
    assert!(device.up().is_empty());

    // Where stopping the others fails, nothing is started.
    device.remove("third").oneshot("third", "true").set("third", "down", "false");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change third").expect(0);
    device.rc("-pu change other").expect(1).has("third: its script exited 1");
    assert_eq!(device.up(), ["third"]);
}

#[test]
fn a_bundle_is_all_that_it_holds() {
    let device = tower();
    device.bundle("inner", &["side"]).bundle("outer", &["inner", "middle"]).bundle("none", &[]);
    device.start();
    device.rc("-u change outer none").expect(0);
    assert_eq!(device.up(), ["base", "middle", "side"]);
    device.rc("-d change outer").expect(0);
    assert_eq!(device.up(), ["base"]);
    device.rc("-u change none").expect(0);
    device.rc("-d change none").expect(0);
    assert_eq!(device.up(), ["base"]);
}

#[test]
fn what_fails_stops_only_what_needs_it() {
    let device = tower();
    device.oneshot("broken", "exit-is-not-a-program").oneshot("fails", "sh -c \"exit 7\"");
    device.needs("middle", &["fails"]).oneshot("last", "true").needs("last", &["broken"]);
    device.bundle("everything", &["top", "last"]).start();
    let said = device.rc("-u change everything").expect(1);
    assert!(said.err.contains("warning: fails: its script exited 7"), "{}", said.err);
    assert!(said.err.contains("warning: middle: it needs fails, which is not up"), "{}", said.err);
    assert!(said.err.contains("warning: top: it needs middle, which is not up"), "{}", said.err);
    assert!(said.err.contains("warning: broken: its program cannot be started"), "{}", said.err);
    assert!(said.err.contains("warning: last: it needs broken, which is not up"), "{}", said.err);
    assert_eq!(device.up(), ["base", "side"]);
    let quiet = device.rc("-v0 -u change everything").expect(1);
    assert_eq!(quiet.err, "");
}

#[test]
fn readiness_that_does_not_come_in_time_ends_the_service() {
    let device = tower();
    device.set("base", "notification-fd", "3\n").set("base", "timeout-up", "400\n").start();
    let said = device.rc("-u change top").expect(1);
    assert!(said.err.contains("base: it was not ready after 400 ms"), "{}", said.err);
    assert_eq!(device.up(), ["side"]);
    wait_for("its end", PATIENCE, || (device.svstat("base", "up") == "false").then_some(()));
    assert_eq!(device.svstat("base", "wantedup"), "false");
    assert_eq!(device.notes("notes").iter().filter(|l| *l == "+base").count(), 1);
    device.rc("diff").expect(0);
}

#[test]
fn until_its_time_is_over_a_service_that_dies_is_started_again_and_again() {
    let device = Device::new("dying");
    let notes = device.join("notes");
    let run = format!("echo x >>{}\n[ $(wc -l <{0}) -ge 4 ] && echo >&3\nexit 1", notes.display());
    // The fourth try says that it is ready, before it dies like the others.
    device.longrun("late", &run).set("late", "notification-fd", "3");
    device.set("late", "timeout-up", "60000").set("late", "restart-wait", "20");
    device.longrun("never", "echo x >>../../never\nexit 1").set("never", "notification-fd", "3");
    device.set("never", "timeout-up", "1000").set("never", "restart-wait", "20");
    device.start();
    device.rc("-u change late").expect(0);
    assert!(device.notes("notes").len() >= 4);
    assert_eq!(device.up(), ["late"]);
    let start = Instant::now();
    device.rc("-u change never").expect(1).has("never: it was not ready after 1000 ms");
    assert!(start.elapsed() >= Duration::from_secs(1));
    let tries = fs::read_to_string(device.live().join("never"));
    let tries = tries.unwrap_or_default().lines().count();
    assert!(tries >= 3, "it was tried {tries} times");
    assert_eq!(device.up(), ["late"]);
    wait_for("an end", PATIENCE, || (device.svstat("never", "wantedup") == "false").then_some(()));
}

#[test]
fn a_service_that_gives_up_for_good_ends_the_request() {
    let device = tower();
    device.longrun("base", "exit 1").set("base", "notification-fd", "3");
    device.set("base", "finish", "#!/bin/sh\nexit 125\n").start();
    device.rc("-u change top").expect(1).has("base: its finish script said that it cannot go on");
    assert_eq!(device.up(), ["side"]);
    device.rc("diff").expect(0);
    // One that was up before it gave up is still up here: only diff shows it.
    device.longrun("base", "while ! [ -e ../../die ]; do sleep 0.01; done\nexit 1");
    device.remove("base/notification-fd");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change base").expect(0);
    fs::write(device.live().join("die"), "").unwrap();
    let given_up = || (device.rc("diff").out == "-base\n").then_some(());
    wait_for("the failure", PATIENCE, given_up);
    assert_eq!(device.up(), ["base", "side"]);
}

#[test]
fn a_run_that_cannot_be_started_ends_the_request_and_can_be_mended() {
    let device = Device::new("unrunnable");
    device.sleeper("after").needs("after", &["bad"]).sleeper("bad");
    device.set("bad", "run", "#!/no/such/interpreter\n").start();
    device.rc("-u change after").expect(1).has("bad: its program cannot be started");
    assert!(device.up().is_empty());
    assert_eq!(device.svstat("bad", "wantedup"), "false");
    device.sleeper("bad");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change after").expect(0);
    assert_eq!(device.up(), ["after", "bad"]);
}

#[test]
fn when_the_time_of_a_request_is_over_what_was_begun_goes_on() {
    let device = tower();
    let go = device.join("go");
    let run =
        format!("while ! [ -e {} ]; do sleep 0.01; done\necho >&3\nexec sleep 99999", go.display());
    device.longrun("base", &run).set("base", "notification-fd", "3").start();
    let start = Instant::now();
    let said = device.rc("-t 300 -u change top").expect(2);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(said.err.contains("base: the time is over and it is still changing"), "{}", said.err);
    assert!(said.err.contains("top: the time was over before its turn came"), "{}", said.err);
    assert!(said.err.contains("s6-rc: fatal: the time is over"), "{}", said.err);
    let pid = device.pid("base").expect("it goes on");
    fs::write(&go, "").unwrap();
    wait_for("base", PATIENCE, || device.up().contains(&"base".to_owned()).then_some(()));
    assert_eq!(device.pid("base"), Some(pid));
    assert_eq!(device.up(), ["base", "side"], "what was not begun is not begun");
}

#[test]
fn a_service_that_does_not_stop_in_time_is_still_up() {
    let device = tower();
    device.longrun("middle", "trap '' TERM\necho up\nwhile :; do sleep 0.02; done");
    device.set("middle", "timeout-down", "300").bundle("default", &["top"]).start();
    device.wait_log("middle up");
    let pid = device.wait_pid("middle");
    let said = device.rc("-d change base").expect(1);
    assert!(said.err.contains("middle: it had not ended after 300 ms"), "{}", said.err);
    assert!(said.err.contains("base: middle needs it and did not stop"), "{}", said.err);
    assert_eq!(device.up(), ["base", "middle", "side"]);
    assert_eq!(device.rc("diff").expect(1).out, "-middle\n");
    assert_eq!(device.pid("middle"), Some(pid));
    // A harder word helps.
    Client::run(debian("s6-svc").arg("-k").arg(device.dir("middle"))).expect(0);
    wait_for("its end", PATIENCE, || (device.up() == ["base", "side"]).then_some(()));
    device.rc("diff").expect(0);
}

#[test]
fn timeout_kill_ends_what_does_not_listen() {
    let device = Device::new("deaf");
    device.longrun("deaf", "trap '' TERM\necho up\nwhile :; do sleep 0.02; done");
    device.set("deaf", "timeout-kill", "200").bundle("default", &["deaf"]).start();
    device.wait_log("deaf up");
    let start = Instant::now();
    device.rc("-d change deaf").expect(0);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(device.svstat("deaf", "up,signal"), "false SIGKILL");
}

#[test]
fn reload_sends_the_signal_that_a_service_wants() {
    let device = Device::new("reload");
    for (name, signal) in [("usual", "HUP"), ("other", "USR1")] {
        let run = format!("trap 'echo reload' {signal}\necho up\nwhile :; do sleep 0.02; done");
        device.longrun(name, &run);
    }
    device.set("other", "reload-signal", "SIGUSR1\n").sleeper("down");
    device.bundle("both", &["usual", "other"]).bundle("default", &["both"]).start();
    device.wait_log("usual up");
    device.wait_log("other up");
    device.rc("reload both").expect(0);
    device.wait_log("usual reload");
    device.wait_log("other reload");
    device.rc("reload down").expect(1).has("down: it is not up");
    device.rc("-a reload").expect(0);
    let twice = || device.log().iter().filter(|l| *l == "usual reload").count() == 2;
    wait_for("another reload", PATIENCE, || twice().then_some(()));
    assert_eq!(device.up(), ["other", "usual"]);
}

#[test]
fn the_needs_of_a_crash_are_not_asked_and_its_users_not_touched() {
    let device = tower();
    device.bundle("default", &["top"]).start();
    let before = ["base", "middle", "top"].map(|name| device.wait_pid(name));
    // A service that had run a while is back at once.
    e2e::device::signal(before[1], rustix::process::Signal::KILL);
    let back = || device.pid("middle").filter(|pid| *pid != before[1]);
    wait_for("another process", PATIENCE, back);
    assert_eq!(device.up(), ["base", "middle", "side", "top"]);
    assert_eq!(["base", "top"].map(|name| device.pid(name)), [Some(before[0]), Some(before[2])]);
    device.rc("diff").expect(0);
}

#[test]
fn steps_are_told_as_far_as_one_wants_to_hear() {
    let device = tower();
    device.start();
    let steps = |said: Said| -> Vec<String> { said.err.lines().map(str::to_owned).collect() };
    let said = steps(device.rc("-v2 -u change middle").expect(0));
    assert_eq!(
        said,
        ["base: starting", "base: up", "middle: starting", "middle: up"]
            .map(|step| format!("s6-rc: info: {step}"))
    );
    assert_eq!(steps(device.rc("-v1 -u change top").expect(0)), [""; 0]);
    let said = steps(device.rc("-v 3 stop middle").expect(0));
    assert_eq!(
        said,
        ["top: stopping", "top: down", "middle: stopping", "middle: down"]
            .map(|step| format!("s6-rc: info: {step}"))
    );
}

#[test]
fn a_dry_run_prints_each_step_and_does_nothing() {
    let device = tower();
    device.oneshot("once", "true").set("once", "timeout-up", "1500").needs("top", &["once"]);
    device.set("base", "notification-fd", "3").set("base", "timeout-down", "2500");
    device.start();
    let live = device.live();
    let step =
        |what: &str| format!("s6-rc-dryrun: {}", what.replace("LIVE", live.to_str().unwrap()));
    let said = device.rc("-n 0 -u change top").expect(0);
    assert_eq!(
        said.lines(),
        [
            "s6-svc -uwU -T 0 -- LIVE/servicedirs/base",
            "s6-svc -uwu -T 0 -- LIVE/servicedirs/side",
            "s6-rc-oneshot-run -T 1500 -l LIVE -- up once",
            "s6-svc -uwu -T 0 -- LIVE/servicedirs/middle",
            "s6-svc -uwu -T 0 -- LIVE/servicedirs/top",
        ]
        .map(step)
    );
    assert!(device.up().is_empty());
    device.set("base", "run", "#!/bin/sh\necho >&3\nexec sleep 100000\n");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change middle").expect(0);
    let start = Instant::now();
    let said = device.rc("-n 100 -d change base").expect(0);
    assert!(start.elapsed() >= Duration::from_millis(200), "a step takes as long as was said");
    assert_eq!(
        said.lines(),
        [
            "s6-svc -dwD -T 0 -- LIVE/servicedirs/middle",
            "s6-svc -dwD -T 2500 -- LIVE/servicedirs/base",
        ]
        .map(step)
    );
    assert_eq!(device.up(), ["base", "middle"]);
    let said = device.rc("-n0 -pu change side").expect(0);
    assert_eq!(said.lines().len(), 3, "{}", said.out);
}

#[test]
fn an_interrupted_client_leaves_undone_what_was_not_begun() {
    let device = tower();
    device.set("base", "notification-fd", "3").start();
    let client = Client::start(&mut device.command("s6-rc", "-u change top"));
    device.wait_pid("base");
    e2e::device::signal(client.pid(), rustix::process::Signal::INT);
    assert_ne!(client.finish().code, 0);
    // `base` was begun and is left to itself; `top` and `middle` are not wanted any more.
    wait_for("only base is wanted", PATIENCE, || {
        let status = device.status();
        let goal = |name| status[name].text("goal");
        let goals = ["base", "middle", "side", "top"].map(goal);
        (goals == [Some("up"), Some("down"), Some("up"), Some("down")]).then_some(())
    });
    device.rc("-d change base side").expect(0);
    assert!(device.up().is_empty());
}

#[test]
fn a_supervisor_that_is_sent_away_stays_with_the_graph() {
    let device = tower();
    device.start();
    device.rc("-u change base").expect(0);
    let dir = device.dir("base");
    let away = |options: &[&str]| {
        let mut client = debian("s6-svc");
        client.args(options).arg(&dir);
        Client::run(&mut client).expect(0);
    };
    away(&["-wD", "-T", "60000", "-dx"]);
    device.rc("-u -t 60000 change base").expect(0);
    assert_eq!(device.svstat("base", "up"), "true");
    // Down already: it goes, and is there again, at once.
    device.rc("-d change base").expect(0);
    away(&["-x"]);
    device.rc("-u -t 60000 change middle").expect(0);
    assert_eq!(device.up(), ["base", "middle"]);
}
