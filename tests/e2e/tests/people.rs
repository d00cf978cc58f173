//! What people type: `ward start`, `stop`, `restart`, `reload`, `status`, `why`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE, signal};
use e2e::json::Json;
use e2e::{applet, debian, wait_for};
use rustix::process::Signal;

/// A text with `N` for each number, so that it can be compared.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut digits = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit() || digits && c == '.';
        if !(digit && digits) {
            plain.push(if digit { 'N' } else { c });
        }
        digits = digit;
    }
    plain
}

/// `web` needs `net` and `rules`, whose script fails; `slow` is not ready before
/// there is a file `go`, and `user` needs it; `dies` dies.
fn house(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("net").oneshot("rules", "sh -c \"exit 3\"").sleeper("web");
    device.needs("web", &["net", "rules"]).oneshot("mount", "true").sleeper("user");
    let run = format!(
        "while ! [ -e {} ]; do sleep 0.01; done\necho >&3\nexec sleep 99999",
        device.join("go").display()
    );
    device.longrun("slow", &run).set("slow", "notification-fd", "3").needs("user", &["slow"]);
    device.set("slow", "timeout-up", "500000").sleeper("spare").longrun("dies", "exit 7");
    device.bundle("default", &["net", "mount"]).bundle("both", &["spare", "mount"]);
    device.start();
    device
}

#[test]
fn starting_and_stopping_say_what_became_of_each() {
    let device = house("start");
    let lines = |said: &Said| said.lines().join("; ");
    let said = device.ward("start spare").expect(0);
    assert_eq!((lines(&said).as_str(), said.err.as_str()), ("spare: up", ""));
    assert_eq!(lines(&device.ward("start spare mount").expect(0)), "spare, mount: up already");
    let said = device.ward("start web").expect(1);
    assert_eq!(lines(&said), "rules: its script exited 3; web: it needs rules, which is not up");
    assert_eq!(device.up(), ["net", "spare", "mount"]);
    let net = device.wait_pid("net");
    assert_eq!(lines(&device.ward("restart net").expect(0)), "net: up");
    assert_ne!(device.pid("net"), Some(net));
    // What is down is started: it runs afresh then.
    device.ward("stop both").expect(0);
    assert_eq!(lines(&device.ward("stop both").expect(0)), "both: down already");
    assert_eq!(lines(&device.ward("restart spare").expect(0)), "spare: up");
    assert_eq!(lines(&device.ward("reload spare").expect(0)), "spare: reloaded");
    assert_eq!(lines(&device.ward("reload mount").expect(1)), "mount: it is not up");
    fs::write(device.join("go"), "").unwrap();
    assert_eq!(lines(&device.ward("start user").expect(0)), "slow: up; user: up");
    assert_eq!(lines(&device.ward("stop slow").expect(0)), "user: down; slow: down");
}

#[test]
fn a_restart_takes_along_what_needs_it_and_is_up() {
    let device = Device::new("along");
    device.sleeper("base").sleeper("user").needs("user", &["base"]).sleeper("down");
    device
        .needs("down", &["base"])
        .sleeper("beside")
        .bundle("default", &["user", "beside"])
        .start();
    let before = device.pids();
    let said = device.ward("restart base").expect(0);
    let mut lines = said.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["base: up", "user: up"]);
    let after = device.pids();
    for (name, restarted) in [("base", true), ("user", true), ("beside", false)] {
        assert_eq!(before[name] != after[name], restarted, "{name}");
    }
    assert_eq!(device.up(), ["base", "beside", "user"]);
}

#[test]
fn essential_services_are_spared_and_it_says_how_not_to() {
    let device = Device::new("spared");
    device.sleeper("ess").set("ess", "flag-essential", "").bundle("default", &["ess"]).start();
    let said = device.ward("stop ess").expect(0);
    assert_eq!(said.lines(), ["ess: essential, so it stays up (s6-rc -D change ess stops it)"]);
    assert_eq!(device.up(), ["ess"]);
    device.rc("-D change ess").expect(0);
}

#[test]
fn exit_codes_tell_wrong_words_wrong_names_and_no_tree_apart() {
    let device = house("words");
    for verb in ["start", "stop", "restart", "reload", "why"] {
        let said = device.ward(verb).expect(100);
        assert!(
            said.err.starts_with(&format!("ward {verb}: fatal: it needs the name")),
            "{said:?}"
        );
        assert!(said.err.contains(&format!("usage: ward {verb} ")), "{said:?}");
        device.ward(&format!("{verb} --nonsense net")).expect(100);
        let said = device.ward(&format!("{verb} nett")).expect(3);
        assert!(said.err.contains("there is no service nett"), "{said:?}");
        assert!(said.err.contains("did you mean net?"), "{said:?}");
        let nowhere = ["-l", "/nowhere", "net"];
        let said = Client::run(applet("ward").arg(verb).args(nowhere)).expect(111);
        assert!(said.err.starts_with(&format!("ward {verb}: fatal: ")), "{said:?}");
    }
    device.ward("start --wait soon net").expect(100);
    device.ward("status --nonsense").expect(100);
    device.ward("status nett").expect(3).has("did you mean net?");
    Client::run(applet("ward").args(["status", "--live", "/nowhere"])).expect(111);
}

#[test]
fn waiting_ends_after_a_while_and_what_was_begun_goes_on() {
    let device = house("wait");
    let start = Instant::now();
    let said = device.ward("start --wait 1 user").expect(2);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(said.err.contains("after 1 s not everything is done; what was begun goes on"));
    let expected = "slow: the time is over and it is still changing\n\
                    user: the time was over before its turn came\n";
    assert_eq!(said.out, expected);
    fs::write(device.join("go"), "").unwrap();
    wait_for("slow", PATIENCE, || device.up().contains(&"slow".to_owned()).then_some(()));
}

#[test]
fn status_shows_a_tree_of_what_needs_what() {
    let device = house("tree");
    device.ward("start web").expect(1);
    let mut waiting = Client::start(&mut device.ward_command("start --wait 0 user"));
    device.wait_pid("slow");
    wait_for("slow starts", PATIENCE, || {
        device.ward("status slow").out.contains("not ready yet").then_some(())
    });
    let said = device.ward("status").expect(1);
    assert_eq!(
        plain(&said.out),
        "\
dies                           down
spare                          down
user                           waiting    for slow
└ slow                         starting   running for N s, not ready yet, given up in N min, \
process N
web                            failed     it needs rules, which is not up
├ net                          up         for N s, process N
└ rules                        failed     last exited N, its script exited N
mount                          up         for N s
"
    );
    assert_eq!(said.err, "");
    // Only what is named, with what it needs.
    let said = device.ward("status user").expect(0);
    assert_eq!(said.lines().len(), 2, "{}", said.out);
    let said = device.ward("status both net").expect(0);
    let names: Vec<&str> =
        said.lines().iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["spare", "mount", "net"]);
    device.ward("status web").expect(1);
    assert!(waiting.is_running());
    device.ward("stop slow").expect(0);
    waiting.finish().expect(1);
}

#[test]
fn a_crash_shows_when_it_is_tried_again_and_how_it_died() {
    let device = house("crash");
    device.set("dies", "restart-wait", "60000");
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change dies").expect(0);
    let said = wait_for("its death", PATIENCE, || {
        let said = device.ward("status dies");
        said.out.contains("restarting").then_some(said)
    });
    assert_eq!(said.code, 1);
    assert_eq!(
        plain(&said.out),
        "dies                           restarting last exited N, next start in N s\n"
    );
    let status = &device.status()["dies"];
    assert_eq!(status.number("last_exit"), Some(7.0));
    assert!((1.0..=60_000.0).contains(&status.number("next_ms").unwrap()), "{status:?}");
}

#[test]
fn json_has_all_that_is_known() {
    let device = house("json");
    device.ward("start web").expect(1);
    let status = device.status();
    let names: Vec<&String> = status.keys().collect();
    assert_eq!(names, ["dies", "mount", "net", "rules", "slow", "spare", "user", "web"]);
    let net = &status["net"];
    assert_eq!((net.text("type"), net.text("phase")), (Some("longrun"), Some("up")));
    assert_eq!(
        (net.get("up"), net.get("wanted")),
        (Some(&Json::Bool(true)), Some(&Json::Bool(true)))
    );
    assert_eq!((net.text("goal"), net.get("essential")), (Some("up"), Some(&Json::Bool(false))));
    assert_eq!(net.number("pid").map(|pid| pid as u32), device.pid("net"));
    assert!(net.number("for_ms").is_some());
    let needs = status["web"].get("needs").unwrap().items();
    assert_eq!(needs, [Json::Text("net".into()), Json::Text("rules".into())]);
    assert_eq!(status["web"].text("reason"), Some("it needs rules, which is not up"));
    assert_eq!(status["rules"].number("last_exit"), Some(3.0));
    assert_eq!((status["mount"].text("type"), status["mount"].get("pid")), (Some("oneshot"), None));
    let some = Json::parse(&device.ward("status --json net slow").expect(0).out);
    assert_eq!(some.items().len(), 2);

    // Who asked may have odd words.
    let odd = device.join("o\"d\\d\u{1}ö");
    symlink(device.live(), &odd).unwrap();
    Client::run(applet("s6-rc").arg("-l").arg(&odd).args(["-u", "change", "spare"])).expect(0);
    let by = device.status()["spare"].text("asked_by").unwrap().to_owned();
    assert!(by.contains("o\"d\\d ö -u change spare") || by.contains('…'), "{by}");
}

#[test]
fn colours_are_for_terminals() {
    let device = house("colours");
    let said = device.ward("status").expect(0);
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
    let words = format!("ward status -l {}", device.live().display());
    let said = Client::run(on_terminal(&words).arg("/dev/null")).expect(0);
    assert!(said.out.contains("\x1b[32mup        \x1b[0m"), "{:?}", said.out);
    assert!(said.out.contains("\x1b[2mdown      \x1b[0m"), "{:?}", said.out);
    let said = Client::run(on_terminal(&format!("{words} --json")).arg("/dev/null")).expect(0);
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
}

/// A shell command on a terminal; the file that gets its output is added.
fn on_terminal(words: &str) -> Command {
    let mut command = debian("script");
    command.env("PATH", e2e::path_with_applets()).args(["-qefc", words]);
    command
}

#[test]
fn on_a_terminal_it_says_what_it_waits_for() {
    let device = house("progress");
    let screen = device.join("screen");
    let words = format!("ward start -l {} user", device.live().display());
    let client = Client::start(on_terminal(&words).arg(&screen));
    let shown = || fs::read_to_string(&screen).unwrap_or_default();
    wait_for("a word", PATIENCE, || {
        shown().contains("… still waiting for slow (starting)").then_some(())
    });
    fs::write(device.join("go"), "").unwrap();
    client.finish().expect(0);
    assert!(shown().contains("slow: up\r\nuser: up\r\n"), "{}", shown());
}

#[test]
fn why_goes_down_to_the_first_cause_and_who_asked() {
    let device = house("why");
    device.ward("start web").expect(1);
    let said = device.ward("why web").expect(1);
    let lines: Vec<String> = said.lines().iter().map(|line| plain(line)).collect();
    assert_eq!(
        lines[..2],
        [
            "web is failed: it needs rules, which is not up",
            "  rules is failed: last exited N, its script exited N",
        ]
    );
    assert!(lines[2].starts_with("    N s ago somebody asked: ward start -l "), "{}", lines[2]);
    // Long paths are cut, but not who it was.
    assert!(lines[2].ends_with(')') && lines[2].contains("(process N of "), "{}", lines[2]);

    let client = Client::start(&mut device.ward_command("start --wait 0 user"));
    let said = wait_for("slow starts", PATIENCE, || {
        let said = device.ward("why user");
        said.out.contains("not ready yet").then_some(said)
    });
    let lines: Vec<String> = said.lines().iter().map(|line| plain(line)).collect();
    assert_eq!(lines[0], "user is waiting: for slow");
    assert_eq!(
        lines[1],
        "  slow is starting: running for N s, not ready yet, given up in N min, process N"
    );
    device.rc("-d change slow").expect(0);
    let said = client.finish().expect(1);
    assert!(said.out.contains("slow: superseded by a newer request to stop it (process "));
    let said = device.ward("why user").expect(1);
    assert!(said.out.starts_with("user is down\n  "), "{}", said.out);
    assert!(said.out.contains(" ago somebody asked: s6-rc -l "), "{}", said.out);

    // Up: because it was asked for, or because something needs it.
    fs::write(device.join("go"), "").unwrap();
    device.ward("start user").expect(0);
    let said = device.ward("why slow").expect(0);
    assert!(said.out.ends_with("\n  user needs it\n"), "{}", said.out);
    // A manager that was killed does not know who it was any more.
    signal(device.manager_pid(), Signal::KILL);
    let said = wait_for("the next manager", PATIENCE, || {
        let said = device.ward("why user");
        said.out.contains("it was asked for").then_some(said)
    });
    assert_eq!(said.code, 0);
    device.ward("why spare").expect(1).has("nobody asked for it, or somebody stopped it");
}

#[test]
fn why_names_the_limit_that_was_over_and_the_program_that_is_missing() {
    let device = Device::new("limits");
    device.sleeper("late").set("late", "notification-fd", "3").set("late", "timeout-up", "250");
    device.oneshot("long", "sleep 1000").set("long", "timeout-up", "350");
    device.oneshot("gone", "no-such-program -x").sleeper("bad");
    device.set("bad", "run", "#!/no/such/interpreter\n").longrun("quits", "exit 1");
    device.set("quits", "finish", "#!/bin/sh\nexit 125\n").set("quits", "notification-fd", "3");
    device.bundle("all", &["late", "long", "gone", "bad", "quits"]).start();
    device.ward("start all").expect(1);
    for (name, why) in [
        ("late", "it was not ready after 250 ms (its timeout-up)"),
        ("long", "its script was still running after 350 ms"),
        (
            "gone",
            "its program cannot be started: no such file, or its interpreter is missing (no-such-program)",
        ),
        ("bad", "its program cannot be started: no such file, or its interpreter is missing"),
        ("quits", "its finish script said that it cannot go on (125)"),
    ] {
        wait_for(name, PATIENCE, || {
            let said = device.ward(&format!("why {name}"));
            let told = said.code == 1 && said.out.contains(why);
            // What a script left may still be on its way out.
            (told && device.ward(&format!("status {name}")).code == 1).then_some(())
        });
    }
}

#[test]
fn how_it_ended_is_told_also_of_what_was_started_again_at_once() {
    let device = house("again");
    // One that died in its first second would wait for its next start.
    wait_for("a second", PATIENCE, || {
        device.status()["net"].number("for_ms").filter(|age| *age > 1_100.0)
    });
    let pid = device.pid("net");
    assert_eq!(device.status()["net"].number("last_signal"), None);
    signal(pid.unwrap(), Signal::KILL);
    wait_for("another process", PATIENCE, || device.pid("net").filter(|now| Some(*now) != pid));
    let net = wait_for("the news", PATIENCE, || {
        let net = device.status().remove("net")?;
        net.number("last_signal").is_some().then_some(net)
    });
    assert_eq!((net.number("last_signal"), net.get("up")), (Some(9.0), Some(&Json::Bool(true))));
    // How long it ran only the manager knows, which saw it begin; root alone can read tallies.
    let why = Json::parse(&device.ward("why --json net").expect(0).out);
    let [why] = why.items() else { panic!("{why:?}") };
    assert_eq!(why.number("last_signal"), Some(9.0));
    assert!(why.number("ran_ms").is_some_and(|ran| ran >= 1_000.0), "{why:?}");
}

#[test]
fn where_the_manager_is_away_files_say_how_things_are() {
    let device = house("away");
    let manager = device.manager_pid();
    signal(manager, Signal::STOP);
    let said = device.ward("status").expect(0);
    assert!(said.err.contains("warning: the manager is away; this is what files say"), "{said:?}");
    let net = said.lines().into_iter().find(|line| line.contains("├ net ")).unwrap();
    assert_eq!(plain(net), "├ net                          up         for N s, process N");
    assert!(said.out.contains("spare                          down"), "{}", said.out);
    // Lists need nobody; what asks for a change waits for it.
    assert_eq!(device.up(), ["net", "mount"]);
    let mut client = Client::start(&mut device.ward_command("start spare"));
    device.ward("why net").expect(0);
    assert!(client.is_running());
    signal(manager, Signal::CONT);
    client.finish().expect(0);
}
