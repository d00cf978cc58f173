//! `s6-rc list`, `listall`, `diff` and `help`, and what every use of `s6-rc`
//! has in common: options by both names, exit codes, words of its errors.

use e2e::client::Client;
use e2e::device::{Device, PATIENCE};
use e2e::{applet, debian, wait_for};

/// `net` and `disk` are needed by `web`, that by `shop`; `spare` stands alone.
/// `net` is essential. Of each kind there are both, and names out of order.
fn shop() -> Device {
    let device = Device::new("lists");
    device.oneshot("net", "true").set("net", "flag-essential", "");
    device.sleeper("disk").sleeper("web").needs("web", &["net", "disk"]);
    device.oneshot("shop", "true").needs("shop", &["web"]);
    device.sleeper("spare").oneshot("alone", "true");
    device.bundle("all-of-it", &["shop", "spare"]).bundle("default", &["web"]);
    device.start();
    device
}

#[test]
fn lists_are_in_the_order_of_the_database() {
    let device = shop();
    for (words, expected) in [
        // Longruns come before oneshots, names ascend.
        ("-a list", "disk web net"),
        ("-da list", "spare alone shop"),
        ("-ad list", "spare alone shop"),
        ("-d -a list", "spare alone shop"),
        ("list", ""),
        ("-d list", "disk spare web alone net shop"),
        ("list shop disk", "disk shop"),
        ("list all-of-it", "spare shop"),
        ("-a list alone", "disk web alone net"),
        ("-d list all-of-it", "disk web alone net"),
        ("-u -a list", "disk web net"),
        // The last of two that say the opposite counts.
        ("-d -u -a list", "disk web net"),
        ("listall shop", "disk web net shop"),
        ("-d listall disk", "disk web shop"),
        ("-d listall net", "web net shop"),
        ("listall all-of-it", "disk spare web net shop"),
        ("-a listall", "disk web net"),
        ("-da listall", "disk web net shop"),
        ("listall", ""),
        // Essential services may be left out.
        ("-e -a list", "disk web"),
        ("-ea list", "disk web"),
        ("-e -E -a list", "disk web net"),
        ("-e listall shop", "disk web shop"),
        ("-e -da list", "spare alone shop"),
    ] {
        let said = device.rc(words).expect(0);
        assert_eq!(said.lines().join(" "), expected, "s6-rc {words}");
        assert_eq!(said.err, "", "s6-rc {words}");
    }
}

#[test]
fn options_have_long_names_and_come_in_any_form() {
    let device = shop();
    let live = device.live();
    let live = live.to_str().unwrap();
    for words in [
        format!("--livedir={live} --all list"),
        format!("--livedir {live} -a list"),
        format!("-l{live} -a list"),
        format!("-al {live} list"),
        format!("-v2 -b -l {live} -t0 -a list"),
        format!("--verbosity=3 --block --timeout 0 -l {live} --up --all list"),
        format!("--down --up -al {live} --essentials list"),
        format!("-abl{live} -- list"),
    ] {
        let said = Client::run(applet("s6-rc").args(words.split(' '))).expect(0);
        assert_eq!(said.lines(), ["disk", "web", "net"], "s6-rc {words}");
    }
    for words in [
        format!("--livedir={live} --all --down list"),
        format!("-l {live} --no-essentials -da list"),
        format!("-l {live} --force-down --all list"),
    ] {
        let said = Client::run(applet("s6-rc").args(words.split(' '))).expect(0);
        assert_eq!(said.lines(), ["spare", "alone", "shop"], "s6-rc {words}");
    }
    // Dry runs, of both names.
    for words in ["-n 0 -u change spare", "--dry-run=0 --up change spare"] {
        let said = device.rc(words).expect(0);
        assert!(said.out.ends_with("servicedirs/spare\n"), "{words}: {}", said.out);
    }
    device.rc("--prune --up change web").expect(0);
}

#[test]
fn exit_codes_are_those_of_the_peer() {
    let device = shop();
    for (words, code) in [
        ("", 100),
        ("-x list", 100),
        ("--no-such-option list", 100),
        ("-t", 100),
        ("-t soon list", 100),
        ("-v many list", 100),
        ("-n -u change web", 100),
        ("lists", 100),
        ("list nobody", 3),
        ("listall nobody", 3),
        ("-u change nobody", 3),
        ("-d change nobody", 3),
        ("-n 0 -u change nobody", 3),
        ("start nobody", 3),
        ("stop nobody", 3),
        ("reload nobody", 3),
        ("-u change web nobody", 3),
        ("diff", 0),
        ("help", 0),
        ("-u change web", 0),
        ("-l /nowhere -a list", 111),
        ("-l /nowhere list", 111),
        ("-l /nowhere diff", 111),
        ("-l /nowhere -u change web", 111),
        ("-l /nowhere -n 0 -u change web", 111),
        ("-l /nowhere reload web", 111),
    ] {
        let said = device.rc(words).expect(code);
        if code == 0 {
            assert_eq!(said.err, "", "s6-rc {words}");
        } else {
            assert!(said.err.starts_with("s6-rc: fatal: "), "s6-rc {words}: {}", said.err);
            assert_eq!(said.out, "", "s6-rc {words}");
        }
        let usage = said.err.contains("usage: s6-rc ");
        assert_eq!(usage, code == 100, "s6-rc {words}: {}", said.err);
    }
    // Nothing of what was wrong has changed anything.
    assert_eq!(device.up(), ["disk", "web", "net"]);
}

#[test]
fn an_unknown_name_has_the_nearest_one_beside_it() {
    let device = shop();
    for (name, near) in [("wbe", "web"), ("disc", "disk"), ("all-of-ti", "all-of-it")] {
        for words in ["list", "listall", "-u change", "-d change", "start", "stop", "reload"] {
            let said = device.rc(&format!("{words} {name}")).expect(3);
            assert!(said.err.contains(&format!("there is no service {name}")), "{}", said.err);
            assert!(said.err.contains(&format!("did you mean {near}?")), "{words}: {}", said.err);
        }
    }
    device.rc("lisst").expect(100).has("did you mean list?");
    let said = device.rc("list completely-different").expect(3);
    assert!(!said.err.contains("did you mean"), "{}", said.err);
}

#[test]
fn help_says_what_there_is() {
    let device = Device::new("help");
    for words in ["help", "-v2 help"] {
        let said = device.rc(words).expect(0);
        for word in ["list", "listall", "diff", "change", "start", "stop", "reload", "usage: s6-rc"]
        {
            assert!(said.out.contains(word), "{word} in {}", said.out);
        }
    }
}

#[test]
fn a_damaged_database_is_exit_code_4_for_everybody() {
    let device = shop();
    let db = device.live().join("compiled/db");
    let whole = std::fs::read(&db).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bytes in [&flipped[..], &whole[..whole.len() - 1], b"", b"s6rc-db: start\n"] {
        std::fs::write(&db, bytes).unwrap();
        for words in ["-a list", "listall web", "diff", "-n 0 -u change web"] {
            device.rc(words).expect(4).has("fatal: cannot use");
        }
        Client::run(&mut device.command("s6-rc-db", "check")).expect(4);
        Client::run(&mut device.command("s6-rc-bundle", "add x web")).expect(4);
        device.ward("status").expect(4);
    }
    // What the manager holds is good, and goes on being served.
    std::fs::remove_file(&db).unwrap();
    device.rc("-a list").expect(111);
    device.rc("-u change spare").expect(0);
    std::fs::write(&db, &whole).unwrap();
    assert_eq!(device.up(), ["disk", "spare", "web", "net"]);
}

#[test]
fn diff_tells_what_init_keeps_otherwise_than_s6_rc_thinks() {
    let device = shop();
    assert_eq!(device.rc("diff").expect(0).out, "");
    let svc = |letters: &str, name: &str| {
        Client::run(debian("s6-svc").arg(letters).arg(device.dir(name))).expect(0);
    };
    svc("-u", "spare");
    svc("-d", "web");
    wait_for("both are told", PATIENCE, || {
        let said = device.rc("diff");
        (said.code == 1 && said.out == "+spare\n-web\n").then_some(())
    });
    // s6-rc brings what it wants up back, and leaves the other alone.
    device.rc("-u change web").expect(0);
    assert_eq!(device.rc("diff").expect(1).out, "+spare\n");
    device.rc("-u change spare").expect(0);
    assert_eq!(device.rc("diff").expect(0).out, "");
}

#[test]
fn a_thing_that_died_is_still_up_and_diff_says_nothing_of_it() {
    let device = Device::new("died");
    device.longrun("brief", "exec sleep 0.05").bundle("default", &["brief"]);
    device.start();
    wait_for("a second process", PATIENCE, || {
        let starts = device.ward("status --json").out;
        starts.contains("restarting").then_some(())
    });
    assert_eq!(device.up(), ["brief"]);
    device.rc("diff").expect(0);
}
