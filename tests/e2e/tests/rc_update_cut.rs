//! Updates that are cut off at any moment, by the death of the manager, of
//! init or of whoever asked: nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, alive, signal};
use e2e::peer_tree::Dice;
use e2e::wait_for;
use rustix::process::Signal;

/// A device with two databases, between which a third of `count` longruns in a
/// chain and a oneshot change, one service goes, and another gets a new name.
struct Pair {
    device: Device,
    databases: [PathBuf; 2],
    up: [Vec<String>; 2],
}

impl Pair {
    fn new(what: &str, count: usize) -> Self {
        let device = Device::new(what);
        let mut names = vec!["keep".to_owned(), "once".to_owned()];
        let notes = device.join("notes");
        device.sleeper("keep").oneshot("once", "true");
        for i in 0..count {
            let name = format!("s{i:03}");
            // Each says who it is, so that two at once would be seen.
            let run = format!("echo {name} $$ >>{}\nexec sleep 100000", notes.display());
            device.longrun(&name, &run);
            if i % 8 != 0 {
                device.needs(&name, &[&format!("s{:03}", i - 1), "once"]);
            }
            names.push(name);
        }
        device.sleeper("gone").sleeper("first");
        names.extend(["gone".to_owned(), "first".to_owned()]);
        let contents: Vec<&str> = names.iter().map(String::as_str).collect();
        device.bundle("default", &contents).start();
        let before = fs::read_link(device.live().join("compiled")).unwrap();
        for i in (1..count).step_by(3) {
            device.set(&format!("s{i:03}"), "data/version", "2");
        }
        device.remove("gone").remove("first").remove("default").sleeper("second");
        device.oneshot("once", "sh -c :");
        let new: Vec<String> = names.iter().map(|name| name.replace("first", "second")).collect();
        let new: Vec<String> = new.into_iter().filter(|name| name != "gone").collect();
        device.bundle("default", &new.iter().map(String::as_str).collect::<Vec<_>>());
        let after = device.compile();
        names.retain(|name| name != "gone");
        let pair = Self { device, databases: [before, after], up: [names, new] };
        // The service that goes is not asked for again when all goes back.
        pair.update(1).finish().expect(0);
        pair.update(0).finish().expect(0);
        pair
    }

    /// Begins to go over to one of the two.
    fn update(&self, to: usize) -> Client {
        let file = self.device.join("conversions");
        fs::write(&file, if to == 1 { "first -> second\n" } else { "second -> first\n" }).unwrap();
        let mut command = self.device.command("s6-rc-update", "-f");
        Client::start(command.arg(file).arg(&self.databases[to]))
    }

    fn is_in_use(&self, which: usize) -> bool {
        fs::read_link(self.device.live().join("compiled")).unwrap() == self.databases[which]
    }

    /// All that was up is up, each once, and nothing else runs.
    fn check(&self, which: usize, kept: [u32; 2]) {
        let mut expected = self.up[which].clone();
        expected.sort();
        let start = Instant::now();
        loop {
            let mut up = self.device.up();
            up.sort();
            if up == expected {
                break;
            }
            let status = || self.device.ward("status").out;
            assert!(start.elapsed() < PATIENCE, "not all came up:\n{}", status());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.device.wait_same();
        let name = ["first", "second"][which];
        assert_eq!([self.device.wait_pid("keep"), self.device.wait_pid(name)], kept);
        // Each that ever ran is the one that runs now, or is gone.
        let now = self.device.pids();
        for line in self.device.notes("notes") {
            let (name, pid) = line.split_once(' ').unwrap();
            let pid = pid.parse().unwrap();
            let now = now.get(name).copied();
            assert!(now == Some(pid) || !alive(pid), "{name}: {pid} runs beside {now:?}");
        }
        fs::write(self.device.join("notes"), "").unwrap();
        assert_eq!(lives(&self.device), 1, "no other live directory is left");
    }

    fn kept(&self) -> [u32; 2] {
        let name = ["first", "second"][usize::from(self.is_in_use(1))];
        [self.device.wait_pid("keep"), self.device.wait_pid(name)]
    }

    /// How long an update takes that nobody disturbs.
    fn time(&self) -> Duration {
        let start = Instant::now();
        self.update(1).finish().expect(0);
        self.update(0).finish().expect(0);
        start.elapsed() / 2
    }
}

/// Waits for some moment of an update that takes this long; every second time
/// for one about the exchange itself, when there are two live directories.
fn wait_some_of(device: &Device, time: Duration, dice: &mut Dice) {
    let start = Instant::now();
    let mut most = time.as_micros() as u64 + 2_000;
    if dice.roll(2) == 0 {
        while lives(device) < 2 && start.elapsed() < 2 * time {
            std::thread::sleep(Duration::from_micros(200));
        }
        most = 10_000;
    }
    std::thread::sleep(Duration::from_micros(dice.roll(most)));
}

fn lives(device: &Device) -> usize {
    let entries = fs::read_dir(device.join("")).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("live:")).count()
}

#[test]
fn the_manager_may_be_killed_at_any_moment_of_an_update() {
    let pair = Pair::new("cut-manager", 24);
    let (kept, time, mut dice) = (pair.kept(), pair.time(), Dice(1));
    for round in 0..8 {
        let to = (round + 1) % 2;
        let client = pair.update(to);
        wait_some_of(&pair.device, time, &mut dice);
        signal(pair.device.manager_pid(), Signal::KILL);
        client.finish().expect(0);
        assert!(pair.is_in_use(to));
        pair.check(to, kept);
    }
}

#[test]
fn so_may_the_manager_and_who_asked_together() {
    let pair = Pair::new("cut-both", 24);
    let (kept, time, mut dice) = (pair.kept(), pair.time(), Dice(2));
    let mut exchanged = 0;
    for _ in 0..8 {
        let to = usize::from(pair.is_in_use(0));
        let client = pair.update(to);
        wait_some_of(&pair.device, time, &mut dice);
        let manager = pair.device.manager_pid();
        signal(client.pid(), Signal::KILL);
        signal(manager, Signal::KILL);
        client.finish();
        // It is one or the other, and in either case all of it.
        wait_for("the end of the manager", PATIENCE, || (!alive(manager)).then_some(()));
        pair.device.manager_pid();
        // What the one before had begun is carried on first; then this has its turn.
        pair.device.rc("-u change keep").expect(0);
        let which = usize::from(pair.is_in_use(1));
        exchanged += usize::from(which == to);
        pair.check(which, kept);
    }
    eprintln!("{exchanged} of 8 were exchanged");
}

#[test]
fn who_asked_may_go_and_the_update_goes_on() {
    let pair = Pair::new("cut-client", 24);
    let (kept, time, mut dice) = (pair.kept(), pair.time(), Dice(3));
    for _ in 0..8 {
        let to = usize::from(pair.is_in_use(0));
        let client = pair.update(to);
        wait_some_of(&pair.device, time, &mut dice);
        signal(client.pid(), Signal::KILL);
        client.finish();
        // Whether it had been heard or not: the next one finds good order. The
        // old name is not known where it is done already.
        let said = pair.update(to).finish();
        assert!(matches!(said.code, 0 | 3), "{}", said.err);
        assert!(pair.is_in_use(to));
        pair.check(to, kept);
    }
}

#[test]
fn init_may_fall_at_any_moment_of_an_update() {
    let pair = Pair::new("cut-init", 80);
    let (kept, time, mut dice) = (pair.kept(), pair.time(), Dice(4));
    for round in 0..8 {
        let to = (round + 1) % 2;
        let before = fs::canonicalize(pair.device.live()).unwrap();
        let client = pair.update(to);
        match dice.roll(3) {
            0 => wait_some_of(&pair.device, time, &mut dice),
            // While services come over one by one.
            _ => wait_until_moved(&pair.device, &before, dice.roll(80)),
        }
        signal(pair.device.init_pid(), Signal::SEGV);
        client.finish().expect(0);
        assert!(pair.is_in_use(to));
        pair.check(to, kept);
    }
}

/// Waits, without a pause, until init has brought the service `s` of this
/// number from the live directory `before` to the next.
fn wait_until_moved(device: &Device, before: &Path, number: u64) {
    let start = Instant::now();
    let supervise = format!("servicedirs/s{number:03}/supervise");
    while before.join(&supervise).exists() || lives(device) < 2 {
        assert!(start.elapsed() < PATIENCE, "there is no exchange");
        if !before.exists() {
            return; // Too late, which is a moment as well.
        }
    }
}
