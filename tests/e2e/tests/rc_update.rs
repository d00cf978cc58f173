//! `s6-rc-update`: another database while everything runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE, alive};
use e2e::{applet, debian, wait_for};

/// Compiles the sources as they are now and goes over to them.
fn update(device: &Device, words: &str) -> Said {
    let new = device.compile();
    Client::run(device.command("s6-rc-update", words).arg(new))
}

/// The processes of services that are up.
fn pids<const N: usize>(device: &Device, names: [&str; N]) -> [u32; N] {
    names.map(|name| device.wait_pid(name))
}

#[test]
fn only_what_changed_is_restarted() {
    let device = Device::new("changed");
    let names = ["same", "run", "env", "data", "finish", "setting", "timeouts", "user", "edge"];
    for name in names {
        device.sleeper(name);
    }
    device.set("env", "env/A", "1").set("data", "data/a/b", "1").set(
        "finish",
        "finish",
        "#!/bin/sh\n",
    );
    device.needs("user", &["run"]).needs("edge", &["same"]).set("setting", "notification-fd", "3");
    device.set("setting", "run", "#!/bin/sh\necho >&3\nexec sleep 10000\n");
    device.bundle("default", &names).start();
    let before = pids(&device, names);

    device.longrun("run", "exec sleep 20000").set("env", "env/A", "2").set("data", "data/a/b", "2");
    device.set("finish", "finish", "#!/bin/sh\n#\n").set("setting", "notification-fd", "4");
    device.set("setting", "run", "#!/bin/sh\necho >&4\nexec sleep 10000\n");
    for file in ["timeout-up", "timeout-down", "timeout-kill", "max-death-tally"] {
        device.set("timeouts", file, "5000");
    }
    device.set("timeouts", "down-signal", "USR1").set("timeouts", "flag-essential", "");
    device.needs("edge", &["timeouts"]);
    let said = update(&device, "").expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    let after = pids(&device, names);
    for (at, name) in names.iter().enumerate() {
        let kept = matches!(*name, "same" | "timeouts" | "edge");
        assert_eq!(before[at] == after[at], kept, "{name}");
        assert_eq!(alive(before[at]), kept, "{name}");
    }
    assert_eq!(device.up().len(), names.len());
    device.rc("diff").expect(0);
    // What was not restarted obeys its new settings.
    let gone = after[6];
    device.rc("-d change timeouts").expect(0).has("timeouts is essential");
    device.rc("-D change timeouts").expect(0);
    assert_eq!(device.svstat("timeouts", "signal"), "SIGUSR1");
    assert!(!alive(gone));
    // The same database again changes nothing.
    let before = pids(&device, ["same", "run", "user"]);
    let database = fs::read_link(device.live().join("compiled")).unwrap();
    Client::run(device.command("s6-rc-update", "").arg(database)).expect(0);
    assert_eq!(pids(&device, ["same", "run", "user"]), before);
}

#[test]
fn what_is_gone_stops_and_what_is_new_waits_until_it_is_needed() {
    let device = Device::new("gone");
    device.sleeper("gone").sleeper("stays").sleeper("user").needs("user", &["gone"]);
    device.oneshot("undo", "true").set("undo", "down", "echo undone");
    device.bundle("default", &["stays", "user", "undo"]).start();
    let [gone, stays, user] = pids(&device, ["gone", "stays", "user"]);

    device.remove("gone").remove("undo").remove("default").remove("user/dependencies.d");
    device.bundle("default", &["stays", "user", "new"]).sleeper("new").sleeper("needed");
    device.needs("user", &["needed"]);
    let said = update(&device, "").expect(0);
    assert_eq!(said.lines(), ["undone"], "the old script undoes what the old script did");
    assert_eq!(device.up(), ["needed", "stays", "user"]);
    assert!(!alive(gone));
    assert_ne!(device.pid("user"), Some(user));
    assert_eq!(device.pid("stays"), Some(stays));
    let expected = ["needed", "new", "stays", "user"];
    assert_eq!(entries(&device.scandir()), expected);
    assert_eq!(entries(&device.live().join("servicedirs")), expected);
    let lives = entries(&device.join("")).into_iter().filter(|name| name.starts_with("live"));
    assert_eq!(lives.count(), 2, "the link and what it leads to");
    device.rc("-u change default").expect(0);
    assert_eq!(device.up(), ["needed", "new", "stays", "user"]);
    device.rc("list gone").expect(3);
}

#[test]
fn a_service_keeps_its_process_under_another_name() {
    let device = Device::new("renamed");
    let run = "trap 'echo hears' HUP\necho begins\nwhile :; do sleep 0.02; done";
    device.longrun("old", run).sleeper("user").needs("user", &["old"]);
    device.oneshot("was", "echo once").bundle("default", &["user", "was"]).start();
    let [old, user] = pids(&device, ["old", "user"]);
    device.wait_log("old begins");
    // Somebody waits for it meanwhile, with Debian's client.
    let mut waiting = debian("s6-svwait");
    let waiting = Client::start(waiting.arg("-d").arg(device.dir("old").canonicalize().unwrap()));

    device.remove("old").remove("was").longrun("new", run).oneshot("is", "echo once");
    device.remove("user/dependencies.d").needs("user", &["new"]).remove("default");
    device.bundle("default", &["user", "is"]);
    let file = device.join("conversions");
    fs::write(&file, "# names\nold -> \"new\"\n\n  was -> is # same\n").unwrap();
    let said = update(&device, &format!("-f {}", file.display())).expect(0);
    assert_eq!(said.out, "", "the oneshot was not run again");
    assert_eq!(device.up(), ["new", "user", "is"]);
    assert_eq!(pids(&device, ["new", "user"]), [old, user]);
    assert!(!device.scandir().join("old").exists());
    // Its new name is in the log, and its control fifo moved along.
    device.rc("reload new").expect(0);
    device.wait_log("new hears");
    Client::run(debian("s6-svc").arg("-wd").arg("-d").arg(device.dir("new"))).expect(0);
    waiting.finish().expect(0);
}

#[test]
fn what_runs_on_stands_in_its_directory_still() {
    let device = Device::new("directory");
    let run = "trap 'cat data/word own/note' HUP\nmkdir -p own\necho kept >own/note\necho up\n\
               while :; do sleep 0.02; done";
    for name in ["same", "old"] {
        device.longrun(name, run).set(name, "data/word", &format!("word of {name}\n"));
        device.set(name, "timeout-finish", "1234").set(name, "env/A", "1");
    }
    device.sleeper("other").bundle("default", &["same", "old", "other"]).start();
    device.wait_log("same up");
    device.wait_log("old up");
    let [same, old] = pids(&device, ["same", "old"]);
    // A setting goes and another comes, which restarts nothing; one has a new name.
    device.remove("same/timeout-finish").set("same", "timeout-kill", "4321");
    fs::rename(device.source("old"), device.source("new")).unwrap();
    device.remove("default").bundle("default", &["same", "new"]).longrun("other", "exec sleep 2");
    let file = device.join("conversions");
    fs::write(&file, "old -> new\n").unwrap();
    update(&device, &format!("-f {}", file.display())).expect(0);
    assert_eq!(pids(&device, ["same", "new"]), [same, old]);
    for (name, pid) in [("same", same), ("new", old)] {
        let stands = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert_eq!(stands, device.dir(name).canonicalize().unwrap());
        let links: Vec<String> = entries(&device.dir(name));
        let kill = if name == "same" { "timeout-kill" } else { "timeout-finish" };
        let expected = ["data", "env", "event", "own", "run", "supervise", kill];
        assert_eq!(links, expected, "{name}");
        assert!(device.dir(name).join(kill).is_file() && device.dir(name).join("run").is_file());
    }
    device.rc("reload same new").expect(0);
    device.wait_log("same word of same");
    device.wait_log("new word of old");
    device.wait_log("new kept");
    // They go down and up there like any other.
    device.rc("-d change same new").expect(0);
    assert!(device.dir("new").join("down").exists());
    device.rc("-u change same new").expect(0);
    assert!(!device.dir("new").join("down").exists());
}

/// The names in a folder that are not hidden, sorted.
fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[test]
fn a_conversion_may_ask_for_a_restart() {
    let device = Device::new("restart");
    device.sleeper("a").sleeper("b").sleeper("user").needs("user", &["a"]).sleeper("c");
    device.bundle("default", &["a", "b", "c", "user"]).start();
    let [a, b, c, user] = pids(&device, ["a", "b", "c", "user"]);
    device.remove("b").sleeper("bb").remove("default").bundle("default", &[]);
    let file = device.join("conversions");
    fs::write(&file, "a restart\nb -> bb restart\n").unwrap();
    let words = format!("--conversion-file {}", file.display());
    update(&device, &words).expect(0);
    assert_eq!(device.up(), ["a", "bb", "c", "user"]);
    assert_eq!(device.pid("c"), Some(c));
    for (name, before) in [("a", a), ("bb", b), ("user", user)] {
        assert_ne!(device.pid(name), Some(before), "{name}");
        assert!(!alive(before), "{name}");
    }
}

#[test]
fn a_service_may_become_another_kind_of_thing() {
    let device = Device::new("kinds");
    device.sleeper("one").oneshot("two", "true").sleeper("three");
    device.bundle("default", &["one", "two", "three"]).start();
    let [one, three] = pids(&device, ["one", "three"]);
    device.remove("one").oneshot("one", "echo now a oneshot");
    device.remove("two").sleeper("two");
    device
        .remove("three")
        .bundle("three", &["part"])
        .sleeper("part")
        .remove("default/contents.d/three");
    let said = update(&device, "").expect(0);
    assert_eq!(said.lines(), ["now a oneshot"]);
    assert_eq!(device.up(), ["part", "two", "one"]);
    assert!(!alive(one) && !alive(three));
}

#[test]
fn exit_codes_say_how_far_it_came() {
    let device = Device::new("codes");
    device.sleeper("a").sleeper("b").bundle("both", &["a", "b"]).bundle("default", &["a"]).start();
    let a = device.wait_pid("a");
    let compiled = device.live().join("compiled");
    let before = fs::read_link(&compiled).unwrap();
    let new = device.compile();
    let file = device.join("conversions");
    let words = format!("-f {} {}", file.display(), new.display());
    for (text, code, why) in [
        ("nobody -> b\n", 3, "there is no service nobody in the old database"),
        ("aa -> b\n", 3, "did you mean a?"),
        ("a -> nobody\n", 3, "there is no service nobody in the new database"),
        ("both -> b\n", 5, "both is a bundle"),
        ("a -> b\nb -> b\n", 6, "two services become b"),
        ("a restart\na -> b\n", 6, "a is converted twice"),
        ("a b\n", 100, "conversions:1: a line is"),
        ("\n\na -> \"b\n", 100, "conversions:3:"),
    ] {
        fs::write(&file, text).unwrap();
        for dry in ["", "-n "] {
            let words = format!("{dry}{words}");
            let said = Client::run(&mut device.command("s6-rc-update", &words)).expect(code);
            assert!(said.err.contains(why), "{text:?} {dry}: {}", said.err);
        }
    }
    let cut = device.join("cut");
    fs::create_dir(&cut).unwrap();
    fs::write(cut.join("db"), &fs::read(new.join("db")).unwrap()[..100]).unwrap();
    let runless = device.compile();
    fs::remove_file(runless.join("servicedirs/b/run")).unwrap();
    for (words, code) in [
        (String::new(), 100),
        ("db1".to_owned(), 100),
        (format!("-t never {}", new.display()), 100),
        (format!("-x {}", new.display()), 100),
        (format!("-f /nowhere/file {}", new.display()), 111),
        ("/nowhere".to_owned(), 111),
        (cut.display().to_string(), 4),
        (runless.display().to_string(), 4),
        ("-n /nowhere".to_owned(), 111),
        (format!("-n {}", cut.display()), 4),
        (format!("-l /nowhere {}", new.display()), 111),
        (format!("-n -l /nowhere {}", new.display()), 111),
    ] {
        let said = Client::run(&mut device.command("s6-rc-update", &words)).expect(code);
        assert!(said.err.contains("s6-rc-update: fatal: "), "{words}: {}", said.err);
    }
    assert_eq!(fs::read_link(&compiled).unwrap(), before, "nothing has been exchanged");
    assert_eq!((device.pid("a"), device.up()), (Some(a), vec!["a".to_owned()]));
}

#[test]
fn where_something_does_not_stop_everything_is_as_before() {
    let device = Device::new("stuck");
    device.oneshot("stuck", "true").set("stuck", "down", "sh -c \"exit 5\"");
    device.sleeper("other").longrun("deaf", "trap '' TERM\necho up\nwhile :; do sleep 0.02; done");
    device.set("deaf", "timeout-kill", "1500").bundle("default", &["stuck", "other"]).start();
    let before = fs::read_link(device.live().join("compiled")).unwrap();
    device.longrun("other", "exec sleep 20000").oneshot("stuck", "echo other");
    let said = update(&device, "").expect(9);
    assert!(said.err.contains("stuck: its script exited 5"), "{}", said.err);
    let back = || (device.up() == ["other", "stuck"]).then_some(());
    wait_for("all are back", PATIENCE, back);
    assert_eq!(fs::read_link(device.live().join("compiled")).unwrap(), before);

    // The same because the time is over.
    device.rc("-u change deaf").expect(0);
    device.wait_log("deaf up");
    device.oneshot("stuck", "true").longrun("deaf", SLEEPER);
    let other = device.wait_pid("other");
    let said = update(&device, "-t 300").expect(10);
    assert!(said.err.contains("the time is over"), "{}", said.err);
    assert_eq!(fs::read_link(device.live().join("compiled")).unwrap(), before);
    // The one that was told to end starts again once it has.
    let back = || (device.up() == ["deaf", "other", "stuck"]).then_some(());
    wait_for("all are back", PATIENCE, back);
    assert_ne!(device.pid("other"), Some(other));
}

const SLEEPER: &str = "exec sleep 30000";

#[test]
fn where_something_does_not_come_up_again_the_new_database_stays() {
    let device = Device::new("not-up");
    device.oneshot("rules", "true").sleeper("user").needs("user", &["rules"]).sleeper("slow");
    device.bundle("default", &["user", "slow"]).start();
    device.oneshot("rules", "sh -c \"exit 6\"");
    let said = update(&device, "").expect(1);
    assert!(said.err.contains("rules: its script exited 6"), "{}", said.err);
    assert!(said.err.contains("user: it needs rules, which is not up"), "{}", said.err);
    assert_eq!(device.up(), ["slow"]);
    device.oneshot("rules", "true").set("slow", "notification-fd", "3");
    let said = update(&device, "-t 300").expect(2);
    assert!(said.err.contains("slow: the time is over"), "{}", said.err);
    assert!(device.up().is_empty());
    device.rc("-u change rules").expect(0);
}

#[test]
fn essential_services_stay_unless_one_insists() {
    let device = Device::new("essential");
    device.sleeper("ess").set("ess", "flag-essential", "").sleeper("base").needs("ess", &["base"]);
    device.sleeper("plain").bundle("default", &["ess", "plain"]).start();
    let [base, ess, plain] = pids(&device, ["base", "ess", "plain"]);
    for name in ["base", "ess", "plain"] {
        device.longrun(name, "exec sleep 20000");
    }
    update(&device, "").expect(0);
    assert_eq!(pids(&device, ["base", "ess"]), [base, ess], "they run on as they are");
    assert_ne!(device.pid("plain"), Some(plain));
    assert_eq!(device.up(), ["base", "ess", "plain"]);

    // One that cannot stay keeps the database from being exchanged.
    device.remove("ess").bundle("default", &["plain"]).remove("default/contents.d/ess");
    let said = update(&device, "").expect(9);
    assert!(said.err.contains("ess is essential, and the new database does not have it"));
    let said = update(&device, "-n").expect(9);
    assert!(said.err.contains("-e stops essential services, too"), "{}", said.err);
    assert_eq!(pids(&device, ["base", "ess"]), [base, ess]);
    update(&device, "-e").expect(0);
    assert_eq!(device.up(), ["base", "plain"]);
    assert!(!alive(ess));
    // Forced, they are restarted like any other.
    device.longrun("base", "exec sleep 30000").set("base", "flag-essential", "");
    update(&device, "--force-essentials").expect(0);
    assert!(!alive(base));
    assert_eq!(device.up(), ["base", "plain"]);
}

#[test]
fn a_dry_run_says_what_would_happen() {
    let device = Device::new("dry");
    device.sleeper("a").sleeper("b").needs("b", &["a"]).sleeper("c");
    device.bundle("default", &["b", "c"]).start();
    let before = pids(&device, ["a", "b", "c"]);
    device.longrun("a", "exec sleep 20000").remove("c").remove("default/contents.d/c");
    device.sleeper("d").needs("b", &["d"]);
    let said = update(&device, "-n").expect(0);
    let live = device.live();
    let live = live.display();
    assert_eq!(
        said.lines(),
        [
            format!("s6-rc-update: dry run: s6-rc -l {live} -d change a b c"),
            format!("s6-rc-update: dry run: s6-rc -l {live} -u change a b"),
        ]
    );
    assert_eq!(pids(&device, ["a", "b", "c"]), before);
    update(&device, "-n -e").expect(0).has("-D change a b c");
}

#[test]
fn the_live_directory_leads_to_the_new_database_by_the_name_it_was_given() {
    let device = Device::new("names");
    device.sleeper("a").bundle("default", &["a"]).start();
    let live = fs::read_link(device.live()).unwrap();
    let current = device.join("current");
    symlink(device.compile(), &current).unwrap();
    Client::run(device.command("s6-rc-update", "").arg(&current)).expect(0);
    assert_eq!(fs::read_link(device.live().join("compiled")).unwrap(), current);
    assert_ne!(fs::read_link(device.live()).unwrap(), live);
    assert_eq!(fs::read_link(device.live().join("scandir")).unwrap(), device.scandir());
    // What packagers put beside the database is found through it.
    fs::write(current.join("hashes"), "h").unwrap();
    assert_eq!(fs::read_to_string(device.live().join("compiled/hashes")).unwrap(), "h");
}

#[test]
fn a_newly_compiled_database_of_the_same_services_restarts_nothing() {
    let device = Device::new("format");
    device.sleeper("a").oneshot("o", "echo run").bundle("default", &["a", "o"]).start();
    let a = device.wait_pid("a");
    // Even one that looks changed: that is what it is for.
    device.set("a", "data/new", "x");
    let new = device.compile();
    let upgrade = |words: &str| Client::run(&mut device.command("s6-rc-format-upgrade", words));
    let said = upgrade(&format!("-v2 -t 5000 -b {}", new.display())).expect(0);
    assert_eq!(said.out, "");
    assert_eq!(device.pid("a"), Some(a));
    assert_eq!(fs::read_link(device.live().join("compiled")).unwrap(), new);
    upgrade("").expect(100);
    upgrade("relative").expect(100);
    upgrade("/nowhere").expect(111);
    Client::run(applet("s6-rc-format-upgrade").args(["-l", "/nowhere"]).arg(&new)).expect(111);
}

#[test]
fn who_waits_for_a_service_goes_on_waiting_in_the_new_database() {
    let device = Device::new("waiting");
    let run = format!(
        "while ! [ -e {} ]; do sleep 0.01; done\necho >&3\nexec sleep 99999",
        device.join("go").display()
    );
    device.longrun("slow", &run).set("slow", "notification-fd", "3").sleeper("user");
    device.needs("user", &["slow"]).sleeper("other").bundle("default", &["other"]).start();
    let mut client = Client::start(&mut device.command("s6-rc", "-u change user"));
    let slow = device.wait_pid("slow");
    device.longrun("other", "exec sleep 20000");
    // The update waits for what it finds on its way up, so it is not waited for.
    let new = device.compile();
    let updating = Client::start(device.command("s6-rc-update", "").arg(&new));
    wait_for("the exchange", PATIENCE, || {
        (fs::read_link(device.live().join("compiled")).unwrap() == new).then_some(())
    });
    assert!(client.is_running());
    assert_eq!(device.pid("slow"), Some(slow), "it goes on starting");
    fs::write(device.join("go"), "").unwrap();
    client.finish().expect(0);
    updating.finish().expect(0);
    assert_eq!(device.up(), ["other", "slow", "user"]);
    assert_eq!(device.pid("slow"), Some(slow));
}

#[test]
fn a_pipeline_loses_nothing_when_one_end_or_both_are_exchanged() {
    let device = Device::new("pipeline");
    let out = device.join("out");
    // It says where it begins and ends, and ends on its own terms.
    let talk = "trap 'echo end; exit' TERM\necho begin\nwhile :; do sleep 0.02; done";
    let listen = format!("while read -r line; do echo $line >>{}; done", out.display());
    device.longrun("talk", talk).set("talk", "producer-for", "listen");
    device.longrun("listen", &listen).set("listen", "consumer-for", "talk");
    device.set("listen", "pipeline-name", "both").sleeper("other");
    device.bundle("default", &["both", "other"]).start();
    let notes = || device.notes("out").join(" ");
    let wait = |what: &str| wait_for(what, PATIENCE, || (notes() == what).then_some(()));
    wait("begin");
    let before = pids(&device, ["talk", "listen"]);
    device.longrun("other", "exec sleep 20000");
    update(&device, "").expect(0);
    assert_eq!(pids(&device, ["talk", "listen"]), before);
    // The reader changes: the writer needs it, and goes first.
    device.longrun("listen", &format!("# new\n{listen}"));
    update(&device, "").expect(0);
    wait("begin end begin");
    // The writer alone.
    let reader = device.wait_pid("listen");
    device.longrun("talk", &format!("# new\n{talk}"));
    update(&device, "").expect(0);
    wait("begin end begin end begin");
    assert_eq!(device.pid("listen"), Some(reader));
    // Both get other names; each is restarted, for the other end is part of it.
    for (was, is) in [("talk", "say"), ("listen", "hear")] {
        fs::rename(device.source(was), device.source(is)).unwrap();
    }
    device.set("say", "producer-for", "hear").set("hear", "consumer-for", "say");
    let file = device.join("conversions");
    fs::write(&file, "talk -> say\nlisten -> hear\n").unwrap();
    let said = update(&device, &format!("-f {}", file.display())).expect(0);
    assert_eq!(said.err, "");
    wait("begin end begin end begin end begin");
    device.rc("-d change say").expect(0);
    wait("begin end begin end begin end begin end");
}
