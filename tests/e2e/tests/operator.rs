//! What a person at night asks a device: `ward why` and `ward chart`.

use std::fs;

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, signal};
use e2e::json::Json;
use e2e::{debian, path_with_applets, wait_for};
use rustix::process::Signal;

fn why(device: &Device, name: &str) -> String {
    device.ward(&format!("why -d {} {name}", device.join("logs").display())).out
}

#[test]
fn why_tells_how_it_ended_how_long_it_ran_and_what_it_said_last() {
    let device = Device::new("why-end");
    let script =
        "for line in 1 2 3 4 5 6 7 8 9 10 11; do echo \"line $line\"; done; sleep 0.3; exit 7";
    device.longrun("dies", script).set("dies", "restart-wait", "60000").sleeper("user");
    device.needs("user", &["dies"]).set("dies", "notification-fd", "3");
    device.set("dies", "timeout-up", "500000");
    device.bundle("default", &[]).start();
    let _waiting = Client::start(&mut device.ward_command("start --wait 0 user"));
    device.wait_log("dies line 11");
    // For a moment init has written down that it ended, and the manager has not heard of it.
    let said = wait_for("its end", PATIENCE, || {
        let said = why(&device, "user");
        said.contains("last end of dies: exit code 7 after").then_some(said)
    });
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "user is waiting: for dies", "{said}");
    let end = lines.iter().find(|line| line.starts_with("last end of dies: exit code 7 after 0."));
    assert!(end.is_some_and(|line| line.contains(" s ago (ward explain")), "{said}");
    assert!(said.contains("next start in"), "{said}");
    let at = lines.iter().position(|line| *line == "last words of dies:").expect(&said);
    let log: Vec<&str> =
        lines[at + 1..].iter().map(|line| line.split_once(" line ").expect(&said).1).collect();
    assert_eq!(log, ["4", "5", "6", "7", "8", "9", "10", "11"]);

    let logs = device.join("logs");
    let said = device.ward(&format!("why --json -d {} user", logs.display())).expect(1);
    let json = Json::parse(said.out.trim());
    let user = &json.items()[0];
    assert_eq!(user.number("last_exit"), Some(7.0));
    assert!((300.0..60_000.0).contains(&user.number("ran_ms").unwrap()), "{user:?}");
    assert!(user.number("next_ms").unwrap() > 1000.0 && user.number("ended_ms").is_some());
    assert_eq!(user.get("log").unwrap().items().len(), 8);

    // A manager that was not there then knows it from the tally of deaths, but not how long it ran.
    signal(device.manager_pid(), Signal::KILL);
    wait_for("the next manager", PATIENCE, || {
        let said = why(&device, "dies");
        (said.contains("last end of dies: exit code 7, ") && !said.contains(" after "))
            .then_some(())
    });
}

#[test]
fn why_fits_a_terminal() {
    let device = Device::new("why-screen");
    let chatter = device.join("chatter");
    let long = "long ".repeat(40);
    let script =
        format!("for line in $(seq 50); do echo \"$line {long}\"; done; echo over; exit 3\n");
    fs::write(&chatter, script).unwrap();
    device.oneshot("bottom", &format!("sh {}", chatter.display()));
    let mut below = "bottom".to_owned();
    for level in 0..30 {
        let name = format!("level-{level}-of-a-long-chain-of-services");
        device.sleeper(&name).needs(&name, &[&below]);
        below = name;
    }
    device.bundle("default", &[]).start();
    device.ward(&format!("start {below}")).expect(1);
    device.wait_log("bottom over");
    let words = format!(
        "ward why -l {} -d {} {below}",
        device.live().display(),
        device.join("logs").display()
    );
    let mut command = debian("script");
    command.env("PATH", path_with_applets()).args(["-qefc", &words]).arg("/dev/null");
    let said = Client::run(&mut command).expect(1);
    let lines = said.lines();
    assert!(lines.len() <= 24, "{}", said.out);
    assert!(lines.iter().all(|line| line.trim_end().chars().count() <= 80), "{}", said.out);
    assert!(lines[0].starts_with("level-29-"), "{}", said.out);
    assert!(said.out.contains("bottom is failed:") && said.out.contains("lines more"));
    assert!(said.out.contains(" over") && said.out.contains(" 50 long"), "{}", said.out);
}

/// `top` needs `slow` and `quick`; `slow` needs `base`; `alone` takes a while, too.
fn tree(what: &str) -> Device {
    let device = Device::new(what);
    device.oneshot("base", "sleep 0.3").oneshot("slow", "sleep 0.9").needs("slow", &["base"]);
    device.oneshot("quick", "sleep 0.1").oneshot("alone", "sleep 1.0").sleeper("top");
    device.needs("top", &["slow", "quick"]).set("base", "down", "sleep 0.4");
    device.bundle("default", &["top", "alone"]);
    device
}

fn names(value: &Json) -> Vec<String> {
    value.items().iter().map(|name| format!("{name:?}")).collect()
}

#[test]
fn the_chart_has_the_critical_path_of_known_delays() {
    let device = tree("chart");
    device.start();
    let chart = Json::parse(device.ward("chart --json").expect(0).out.trim());
    let path = chart.get("critical_path").expect("it has one");
    assert_eq!(names(path), names(&Json::parse("[\"base\",\"slow\",\"top\"]")));
    assert!(chart.number("took_ms").unwrap() >= 1200.0, "{chart:?}");
    let of = |name: &str| {
        let services = chart.get("services").unwrap().items();
        services.iter().find(|one| one.text("name") == Some(name)).expect(name).clone()
    };
    assert_eq!(chart.get("services").unwrap().items().len(), 5);
    let (slow, base) = (of("slow"), of("base"));
    assert_eq!(slow.text("waited_for"), Some("base"));
    assert_eq!((base.text("waited_for"), of("top").text("waited_for")), (None, Some("slow")));
    assert_eq!(
        (of("quick").get("critical"), slow.get("critical")),
        (Some(&Json::Bool(false)), Some(&Json::Bool(true)))
    );
    let took = slow.number("ended_ms").unwrap() - slow.number("begun_ms").unwrap();
    assert!((900.0..20_000.0).contains(&took), "{slow:?}");
    assert!(slow.number("begun_ms").unwrap() >= base.number("ended_ms").unwrap());
    assert!(chart.text("asked_by").unwrap().contains("boot"), "{chart:?}");

    let said = device.ward("chart").expect(0);
    let lines = said.lines();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert!(
        lines[1].starts_with("critical path: base ") && lines[1].contains(" → slow "),
        "{}",
        said.out
    );
    let line = |name: &str| *lines.iter().find(|line| line.contains(name)).expect(name);
    assert!(lines.iter().any(|line| line.starts_with("* slow ")), "{}", said.out);
    assert!(line("quick").starts_with("  quick"), "{}", said.out);

    // Another change: what stops waits for those that need it.
    device.ward("restart base").expect(0);
    let chart = Json::parse(device.ward("chart -n 0 --json").expect(0).out.trim());
    let path = chart.get("critical_path").unwrap();
    assert_eq!(
        names(path),
        names(&Json::parse("[\"top\",\"slow\",\"base\",\"base\",\"slow\",\"top\"]")),
        "{chart:?}"
    );
    assert!(chart.text("asked_by").unwrap().starts_with("ward restart"), "{chart:?}");
    let said = device.ward("chart --list").expect(0);
    assert_eq!(said.lines().len(), 2, "{}", said.out);
    device.ward("chart -n 2").expect(1).has("remembers 2 changes");
    device.ward("chart top").expect(100);
}

#[test]
fn the_chart_outlives_an_update_and_shows_what_failed_or_goes_on() {
    let device = tree("chart-update");
    device.oneshot("fails", "false").sleeper("never").set("never", "notification-fd", "3");
    device.start();
    device.ward("start fails").expect(1);
    assert!(device.ward("chart -n 0").expect(0).out.contains("✗"));
    let waiting = Client::start(&mut device.ward_command("start --wait 0 never"));
    wait_for("it goes on", PATIENCE, || {
        device.ward("chart -n 0").out.trim_end().ends_with('…').then_some(())
    });
    drop(waiting);
    device.ward("stop never").expect(0);
    // A service before all others: the numbers of the rest change.
    device.sleeper("aaa");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.ward("start aaa").expect(0);
    let said = device.ward("chart").expect(0);
    assert!(
        said.out.contains("critical path: base ") && said.out.contains("* slow "),
        "{}",
        said.out
    );
    let said = device.ward("chart -n 0").expect(0);
    assert!(said.out.contains("aaa"), "{}", said.out);
    // The next manager goes on with it; what went on meanwhile comes to its end there.
    let waiting = Client::start(&mut device.ward_command("start --wait 0 never"));
    let record = device.live().join("record");
    wait_for("it is written down", PATIENCE, || {
        let text = fs::read(&record).unwrap_or_default();
        text.windows(5).filter(|part| part == b"never").count().checked_sub(4)
    });
    drop(waiting);
    let list = |device: &Device| {
        let text = device.ward("chart --list").expect(0).out;
        // All but the times.
        let lines = text.lines().map(|line| {
            let what =
                line.split_once("service").map_or("", |(_, rest)| rest.trim_start_matches('s'));
            what.trim().to_owned()
        });
        lines.collect::<Vec<String>>()
    };
    let before = list(&device);
    assert!(before.iter().all(|by| by.starts_with("ward ")), "{before:?}");
    let old = device.manager_pid();
    signal(old, Signal::KILL);
    wait_for("the next manager", PATIENCE, || (device.manager_pid() != old).then_some(()));
    assert_eq!(list(&device), before);
    device.ward("stop never").expect(0);
    let json = device.ward("chart -n 0 --json").expect(0).out;
    assert!(json.contains("never") && json.contains("\"failed\""), "{json}");
    assert_eq!(list(&device)[..before.len()], before[..]);
    // What is forgotten is said to be.
    let mut old = device.manager_pid();
    let said = wait_for("a manager that knows nothing", PATIENCE, || {
        fs::remove_file(&record).ok();
        signal(old, Signal::KILL);
        old = wait_for("the next manager", PATIENCE, || {
            let new = device.manager_pid();
            (new != old).then_some(new)
        });
        let said = device.ward("chart");
        (said.code == 1).then_some(said)
    });
    assert!(said.err.contains("it began anew"), "{}", said.err);
    fs::remove_dir_all(device.join("logs")).ok();
}

fn codes(said: &str) -> Vec<String> {
    let json = Json::parse(said.trim());
    json.items().iter().map(|one| one.text("code").expect("it has one").to_owned()).collect()
}

#[test]
fn the_doctor_finds_what_is_wrong_and_nothing_where_nothing_is() {
    let device = Device::new("doctor");
    device.sleeper("well").longrun("dies", "exit 7").set("dies", "restart-wait", "10");
    device.longrun("polite", "trap 'exit 0' TERM; sleep 100000 & wait");
    device.oneshot("fails", "false").bundle("default", &["well", "polite"]).start();
    let logs = device.join("logs").display().to_string();
    let doctor = |words: &str| device.ward(&format!("doctor -d {logs} {words}"));
    // What this machine lacks is no matter here.
    let of_services = |said: &str| -> Vec<String> {
        let all = codes(said).into_iter();
        all.filter(|code| ["service", "restarts", "manager", "log"].contains(&code.as_str()))
            .collect()
    };
    assert_eq!(of_services(&doctor("--json").out), [""; 0]);
    device.ward("start fails").expect(1);
    device.rc("-u change dies");
    let said = wait_for("three deaths", PATIENCE, || {
        let said = doctor("--json");
        of_services(&said.out).contains(&"restarts".to_owned()).then_some(said)
    });
    assert_eq!(said.code, 1);
    assert!(of_services(&said.out).contains(&"service".to_owned()), "{}", said.out);
    let said = doctor("").expect(1);
    assert!(
        said.out.contains("bad      fails is not as it should be\n         `ward why fails`"),
        "{}",
        said.out
    );
    assert!(said.out.contains("warning  dies has died "), "{}", said.out);
    assert!(said.out.ends_with(" to be done\n"), "{}", said.out);
    // What is told to end does not die, however it ends; what somebody has stopped is named.
    for _ in 0..3 {
        device.ward("restart polite").expect(0);
    }
    device.ward("stop polite").expect(0);
    let said = doctor("").expect(1).out;
    assert!(!said.contains("polite has died"), "{said}");
    assert!(
        said.contains("every start brings up: polite\n         `ward start polite`\n"),
        "{said}"
    );
    // Without a log, and without any services.
    let said = device.ward("doctor --json -d /nowhere").expect(1);
    assert!(of_services(&said.out).contains(&"log".to_owned()), "{}", said.out);
    let said =
        Client::run(e2e::applet("ward").args(["doctor", "--json", "-l", "/nowhere"])).expect(1);
    assert!(codes(&said.out).contains(&"no-services".to_owned()), "{}", said.out);
    device.ward("doctor well").expect(100);
}

#[test]
fn the_doctor_sees_a_full_file_system_in_its_own_namespace() {
    if !e2e::machine::is_root() {
        return;
    }
    let device = Device::new("doctor-full");
    device.bundle("default", &[]).start();
    let place = device.join("full");
    fs::create_dir(&place).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m,nr_inodes=100 none {0} && head -c 1040000 /dev/zero >{0}/large && \
         for n in $(seq 95); do : >{0}/$n; done; exec {1} doctor --json -l {2} -d {3}",
        place.display(),
        e2e::ward().display(),
        device.live().display(),
        device.join("logs").display()
    );
    let said = Client::run(std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]))
        .expect(1);
    let json = Json::parse(said.out.trim());
    for code in ["space", "inodes"] {
        let found = json.items().iter().any(|one| {
            one.text("code") == Some(code)
                && one.text("what").unwrap().starts_with(&*place.to_string_lossy())
        });
        assert!(found, "{code}: {}", said.out);
    }
}
