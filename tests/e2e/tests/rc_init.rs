//! `s6-rc-init` and the boot: all of a live directory, or nothing of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE, signal};
use e2e::peer_tree::Dice;
use e2e::{applet, wait_for};
use rustix::process::Signal;

#[test]
fn every_boot_of_many_at_once_ends_well() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..8 {
                    let device = Device::new(&format!("boots{thread}"));
                    device.sleeper("a").bundle("default", &["a"]).start();
                    assert_eq!(device.up(), ["a"]);
                    let said = device.log();
                    assert!(said.is_empty(), "{said:?}");
                }
            });
        }
    });
}

#[test]
fn init_may_fall_at_any_moment_of_the_boot() {
    let mut dice = Dice(5);
    for _ in 0..5 {
        let device = Device::new("boot-falls");
        let names: Vec<String> = (0..60).map(|i| format!("s{i:03}")).collect();
        for (at, name) in names.iter().enumerate() {
            device.sleeper(name);
            if at % 4 != 0 {
                device.needs(name, &[names[at - 1].as_str()]);
            }
        }
        let contents: Vec<&str> = names.iter().map(String::as_str).collect();
        device.bundle("default", &contents).begin();
        // It is making the live directory, or taking it in, or starting services.
        std::thread::sleep(Duration::from_micros(dice.roll(40_000)));
        signal(device.init_pid(), Signal::SEGV);
        let up = || device.live().join("state").exists() && device.up() == names;
        wait_for("all services", PATIENCE, || up().then_some(()));
        device.wait_same();
        assert_eq!(device.pids().len(), 60);
    }
}

#[test]
fn the_boot_waits_for_an_init_that_is_starting_itself_anew() {
    let device = Device::new("boot-waits");
    device.sleeper("a").bundle("default", &["a"]);
    let database = device.compile();
    fs::create_dir(device.scandir()).unwrap();
    let mut boot = applet("ward");
    boot.args(["boot", "-c"]).arg(database).arg("-l").arg(device.live()).arg(device.scandir());
    let mut boot = Client::start(&mut boot);
    // It finds nobody to serve it.
    wait_for("its live directory", PATIENCE, || device.live().join("state").exists().then_some(()));
    assert!(boot.is_running());
    device.start_svscan();
    boot.finish().expect(0);
    assert_eq!(device.up(), ["a"]);
}

#[test]
fn what_was_booted_goes_on_when_the_link_to_it_leads_elsewhere() {
    let device = Device::new("link-moves");
    device.sleeper("b").sleeper("c").needs("c", &["b"]).bundle("default", &["c"]);
    let current = device.join("current");
    symlink(device.compile(), &current).unwrap();
    device.begin_on(&current).wait_booted();
    assert_eq!(device.up(), ["b", "c"]);
    let b = device.wait_pid("b");
    // An update moves the link before it tells anybody.
    device.sleeper("a").oneshot("o", "true").needs("c", &["o"]);
    fs::remove_file(&current).unwrap();
    symlink(device.compile(), &current).unwrap();
    assert_eq!(device.up(), ["b", "c"]);
    signal(device.manager_pid(), Signal::KILL);
    device.rc("-u change c").expect(0);
    assert_eq!((device.up(), device.pid("b")), (vec!["b".into(), "c".into()], Some(b)));
    Client::run(device.command("s6-rc-update", "").arg(&current)).expect(0);
    assert_eq!((device.up(), device.pid("b")), (vec!["b".into(), "c".into(), "o".into()], Some(b)));
}

/// An init without a database, which `s6-rc-init` brings one to.
fn empty_init(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("a").oneshot("o", "true").sleeper("b").needs("b", &["a", "o"]);
    device.start_svscan();
    device
}

/// `s6-rc-init` with these words; the scandir is added.
fn init(device: &Device, words: &str) -> Said {
    let words = words.split_whitespace();
    Client::run(applet("s6-rc-init").args(words).arg(device.scandir()))
}

#[test]
fn a_live_directory_is_made_as_the_peer_makes_it() {
    let device = empty_init("made");
    let database = device.compile();
    let (live, given) = (device.live(), device.join("current"));
    symlink(&database, &given).unwrap();
    let words = format!("-c {} -l {} -p pre- -t 5000 -b", given.display(), live.display());
    let said = init(&device, &words).expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    // A link to a directory beside it, and in that what others look for.
    let real = fs::read_link(&live).unwrap();
    assert!(real.to_str().unwrap().starts_with("live:"), "{real:?}");
    assert_eq!(fs::read_link(live.join("compiled")).unwrap(), given);
    assert_eq!(fs::read_link(live.join("scandir")).unwrap(), device.scandir());
    assert_eq!(fs::read_to_string(live.join("prefix")).unwrap(), "pre-");
    assert_eq!(fs::read(live.join("state")).unwrap(), [0, 0, 0]);
    for name in ["a", "b"] {
        assert!(device.dir(name).join("down").exists(), "all are down at first");
        let link = fs::read_link(device.scandir().join(format!("pre-{name}"))).unwrap();
        assert_eq!(link, live.join("servicedirs").join(name));
        assert_eq!(device.svstat(name, "up,wantedup"), "false false");
    }
    device.rc("-u change b").expect(0);
    assert_eq!(device.up(), ["a", "b", "o"]);
    assert!(!device.dir("a").join("down").exists());
    assert_eq!(fs::read(live.join("state")).unwrap()[0] & 1, 1, "bit 0 says up");
    // Once more changes nothing.
    let a = device.wait_pid("a");
    init(&device, &words).expect(0);
    assert_eq!((device.pid("a"), fs::read_link(&live).unwrap()), (Some(a), real));
}

#[test]
fn a_link_to_the_database_can_be_followed_at_once() {
    let device = empty_init("followed");
    let (database, given) = (device.compile(), device.join("current"));
    symlink(&database, &given).unwrap();
    init(&device, &format!("-d -c {} -l {}", given.display(), device.live().display())).expect(0);
    let followed = fs::read_link(device.live().join("compiled")).unwrap();
    assert_eq!(followed, database.canonicalize().unwrap());
}

#[test]
fn exit_codes_of_s6_rc_init_are_those_of_the_peer() {
    let device = empty_init("init-codes");
    let database = device.compile();
    let broken = device.join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("db"), "no database").unwrap();
    let (good, bad, live) = (database.display(), broken.display(), device.live());
    let live = live.display();
    for (words, code) in [
        (format!("-c {good} -l relative"), 100),
        (format!("-c relative -l {live}"), 100),
        (format!("-c {good} -l {live} -p a/b"), 100),
        (format!("-c {good} -l {live} -x"), 100),
        (format!("-c {bad} -l {live}"), 4),
        (format!("-c /nowhere -l {live}"), 111),
        (format!("-c {good} -l /nowhere/live"), 111),
    ] {
        let said = init(&device, &words).expect(code);
        assert!(said.err.starts_with("s6-rc-init: fatal: "), "{words}: {}", said.err);
    }
    let nobody = device.join("nobody");
    fs::create_dir(&nobody).unwrap();
    let words = format!("-c {good} -l {live}");
    let words = words.split(' ');
    Client::run(applet("s6-rc-init").args(words.clone()).arg(&nobody)).expect(100);
    Client::run(applet("s6-rc-init").args(words)).expect(100);
}

#[test]
fn an_init_that_cannot_link_a_name_leaves_nothing_behind() {
    let device = empty_init("init-nothing");
    let words = format!("-c {} -l {}", device.compile().display(), device.live().display());
    let left = || {
        let entries = fs::read_dir(device.join("")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("live")).count()
    };
    let is_link = |path: PathBuf| path.symlink_metadata().is_ok_and(|data| data.is_symlink());
    // Somebody's own service has the name of one of the database.
    fs::create_dir(device.scandir().join("b")).unwrap();
    init(&device, &words).expect(111);
    assert_eq!(left(), 0);
    assert!(!is_link(device.scandir().join("a")), "a name that was linked is taken back");
    assert!(device.scandir().join("b").is_dir(), "what was there stays");
    fs::remove_dir(device.scandir().join("b")).unwrap();
    // A folder where the link should be.
    fs::create_dir(device.live()).unwrap();
    init(&device, &words).expect(111);
    assert_eq!(left(), 1);
    fs::remove_dir(device.live()).unwrap();

    init(&device, &words).expect(0);
    assert!(is_link(device.live()) && is_link(device.scandir().join("b")));
    device.rc("-u change b").expect(0);
    assert_eq!(device.svstat("b", "up"), "true");
    // A second time it finds everything done.
    init(&device, &words).expect(0);
    assert_eq!(device.up(), ["a", "b", "o"]);
    assert_eq!(left(), 2, "the link and what it leads to");
}
