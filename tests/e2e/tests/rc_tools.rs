//! `s6-rc-bundle`, `s6-rc-up-tree`, `s6-rc-dryrun`, and `s6-rc-db` on a running
//! database.

use std::fs;
use std::time::{Duration, Instant};

use e2e::applet;
use e2e::client::{Client, Said};
use e2e::device::Device;

fn animals(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("cat").sleeper("dog").oneshot("eel", "true").needs("dog", &["cat"]);
    device.bundle("pets", &["cat", "dog"]).bundle("default", &["cat"]);
    device
}

fn run(device: &Device, name: &str, words: &str) -> Said {
    Client::run(&mut device.command(name, words))
}

#[test]
fn bundles_can_be_added_and_deleted_while_services_run() {
    let device = animals("bundles");
    device.start();
    let cat = device.wait_pid("cat");
    let bundle = |words: &str| run(&device, "s6-rc-bundle", words);
    let bundles = || run(&device, "s6-rc-db", "list bundles").expect(0).out;
    bundle("add water eel").expect(0);
    bundle("-b add all pets water").expect(0);
    assert_eq!(run(&device, "s6-rc-db", "contents all").expect(0).out, "cat\ndog\neel\n");
    // The manager knows them, too.
    device.rc("-u change all").expect(0);
    assert_eq!(device.up(), ["cat", "dog", "eel"]);
    device.rc("-d change water").expect(0);
    assert_eq!(device.up(), ["cat", "dog"]);

    for (words, code, why) in [
        ("add water dog", 1, "water"),
        ("delete nothing", 3, "there is no bundle nothing"),
        ("add new nobody", 3, "there is no service nobody"),
        ("add cat dog", 5, "cat"),
        ("delete cat", 5, "cat"),
        ("add", 100, "usage"),
        ("delete", 100, "usage"),
        ("", 100, "usage"),
        ("remove water", 100, "usage"),
        ("-x add a cat", 100, "usage"),
    ] {
        let said = bundle(words).expect(code);
        assert!(said.err.contains(why), "{words}: {}", said.err);
    }
    bundle("add new caat").expect(3).has("did you mean cat?");
    bundle("help").expect(0).has("multiple");
    bundle("-f add water dog").expect(0);
    assert_eq!(run(&device, "s6-rc-db", "contents water").expect(0).out, "dog\n");
    bundle("-f delete nothing all").expect(0);
    bundle("multiple -d pets -d pets").expect(3).has("there is no bundle pets");
    bundle("multiple -d water -a birds -a fish eel -a pair cat dog").expect(0);
    assert_eq!(bundles(), "pair\nfish\nbirds\npets\ndefault\n");
    // One mistake, and nothing of it is done.
    bundle("multiple -d fish -a more nobody").expect(3);
    assert_eq!(bundles(), "pair\nfish\nbirds\npets\ndefault\n");
    device.rc("-u change pair birds").expect(0);
    assert_eq!(device.pid("cat"), Some(cat), "nothing of it touches what runs");
    Client::run(applet("s6-rc-bundle").args(["-l", "/nowhere", "add", "a", "cat"])).expect(111);
    // One that is not in use.
    let database = device.compile();
    let named = format!("-c {} add water eel", database.display());
    bundle(&named).expect(0);
    let said = run(&device, "s6-rc-db", &format!("-c {} contents water", database.display()));
    assert_eq!(said.expect(0).out, "eel\n");
    bundle("-c /nowhere delete water").expect(111);
}

#[test]
fn up_tree_brings_up_what_only_waited_for_it() {
    let device = Device::new("up-tree");
    // `plug` is for a controller to start; `usb` needs it and `base`.
    device.sleeper("base").oneshot("mid", "echo mid").needs("mid", &["base"]);
    device.sleeper("top").needs("top", &["mid"]).sleeper("plug").sleeper("usb");
    device.needs("usb", &["plug", "mid"]).sleeper("above").needs("above", &["usb"]);
    device.bundle("both", &["base", "mid"]);
    device.sleeper("alone").start();
    let up_tree = |words: &str| run(&device, "s6-rc-up-tree", words);
    let said = up_tree("base").expect(0);
    assert_eq!((said.lines(), said.err.as_str()), (vec!["mid"], ""));
    assert_eq!(device.up(), ["base", "top", "mid"]);
    let said = up_tree("-v2 -b -t 60000 plug").expect(0);
    assert!(said.err.contains("s6-rc-up-tree: info: above: up"), "{}", said.err);
    assert_eq!(device.up(), ["above", "base", "plug", "top", "usb", "mid"]);
    // What it needs comes up with it, but nothing beside.
    device.rc("-pu change").expect(0);
    up_tree("usb").expect(0);
    assert_eq!(device.up(), ["above", "base", "plug", "usb", "mid"]);
    // What waited for all of a bundle.
    device.rc("-pu change").expect(0);
    let said = up_tree("-v2 both").expect(0);
    assert_eq!(device.up(), ["base", "top", "mid"], "{}", said.err);
    up_tree("nobody").expect(3);
    up_tree("abve").expect(3).has("did you mean above?");
    up_tree("").expect(100);
    up_tree("-x base").expect(100);
    Client::run(applet("s6-rc-up-tree").args(["-l", "/nowhere", "base"])).expect(111);
    device.longrun("alone", "exit 1").set("alone", "notification-fd", "3");
    device.set("alone", "timeout-up", "300").set("alone", "restart-wait", "20");
    run(&device, "s6-rc-update", device.compile().to_str().unwrap()).expect(0);
    up_tree("alone").expect(1).has("alone: it was not ready after 300 ms");
    up_tree("-t 100 alone").expect(2);
}

#[test]
fn a_dry_run_step_prints_its_words_and_waits() {
    let dry = |words: &[&str]| Client::run(applet("s6-rc-dryrun").args(words));
    assert_eq!(dry(&["a", "-b", "c d"]).expect(0).out, "s6-rc-dryrun: a -b c d\n");
    assert_eq!(dry(&["-v0", "a"]).expect(0).out, "");
    let start = Instant::now();
    dry(&["-v", "1", "-t", "200", "--", "-a"]).expect(0).has("s6-rc-dryrun: -a");
    assert!(start.elapsed() >= Duration::from_millis(200));
    dry(&[]).expect(100);
    dry(&["-x", "a"]).expect(100);
    dry(&["-t", "soon", "a"]).expect(100);
}

#[test]
fn the_running_database_can_be_asked() {
    let device = animals("db");
    device.set("eel", "down", "echo \"two  words\"").set("dog", "flag-essential", "");
    device.set("cat", "timeout-up", "1500").set("cat", "timeout-down", "2500").start();
    let db = |words: &str| run(&device, "s6-rc-db", words);
    for (words, expected) in [
        ("check", ""),
        ("list services", "cat\ndog\neel\n"),
        ("list longruns", "cat\ndog\n"),
        ("list oneshots", "eel\n"),
        ("list bundles", "pets\ndefault\n"),
        ("list all", "eel\ndog\ncat\npets\ndefault\n"),
        ("-e list services", "cat\neel\n"),
        ("type cat", "longrun\n"),
        ("type eel", "oneshot\n"),
        ("type pets", "bundle\n"),
        ("timeout cat", "1500\n"),
        ("-d timeout cat", "2500\n"),
        ("timeout dog", "0\n"),
        ("contents pets", "cat\ndog\n"),
        ("dependencies dog", "cat\n"),
        ("-d dependencies cat", "dog\n"),
        ("all-dependencies dog", "dog\ncat\n"),
        ("-d all-dependencies pets", "dog\ncat\n"),
        ("atomics pets eel", "eel\ndog\ncat\n"),
        ("flags dog", "00000001\n"),
        ("flags cat", "00000000\n"),
        ("script eel", "true\0"),
        ("-d script eel", "echo\0two  words\0"),
        ("pipeline cat", "cat\n"),
    ] {
        let said = db(words).expect(0);
        assert_eq!((said.out.as_str(), said.err.as_str()), (expected, ""), "{words}");
    }
    for (words, code) in [
        ("type nobody", 3),
        ("contents cat", 5),
        ("script cat", 5),
        ("timeout pets", 5),
        ("pipeline eel", 5),
        ("list animals", 100),
        ("type", 100),
        ("tpye cat", 100),
        ("-l /nowhere list all", 111),
    ] {
        db(words).expect(code);
    }
    fs::write(device.live().join("compiled/db"), "nonsense").unwrap();
    db("check").expect(4);
}
