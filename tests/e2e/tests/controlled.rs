//! Controlled services with the real manager: a controller is played by the
//! test, over the link that controllers use.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, SLEEP, signal};
use e2e::documented::holds;
use e2e::json::Json;
use e2e::wait_for;
use os::clock;
use os::controller::manager_link::{Condition, ManagerLink, News, State, Verb};
use os::event_loop::{EventLoop, Readiness};
use rustix::process::Signal;

/// A link, and what has been heard over it.
struct Heard {
    link: ManagerLink,
    events: EventLoop,
    /// How each service is, as it was told last.
    states: BTreeMap<String, State>,
    ends: BTreeMap<u32, (bool, String)>,
    connections: u32,
}

impl Heard {
    fn open(live: &Path, name: &str) -> Self {
        let link = ManagerLink::open(live, name).expect("there are descriptors");
        let events = EventLoop::new().expect("there are descriptors");
        events.add(link.descriptor(), 0, Readiness::IN).expect("it can be watched");
        let (states, ends) = (BTreeMap::new(), BTreeMap::new());
        let mut heard = Self { link, events, states, ends, connections: 0 };
        heard.connection(1);
        heard
    }

    /// Waits, as a controller does, until something has been heard.
    fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = wanted(self) {
                return found;
            }
            assert!(Instant::now() < end, "{what} does not come: {:?}", self.states);
            let most = clock::now() + Duration::from_secs(1);
            let deadline = self.link.deadline().map_or(most, |at| at.min(most));
            self.events.wait(Some(deadline)).expect("one can wait");
            self.link.tick();
            for news in self.link.read() {
                match news {
                    News::State(state) => _ = self.states.insert(state.service.clone(), state),
                    News::Ended { id, ok, why } => _ = self.ends.insert(id, (ok, why)),
                    News::Again => self.connections += 1,
                }
            }
        }
    }

    /// Waits for this connection, counted from 1.
    fn connection(&mut self, number: u32) {
        self.wait("a connection", |heard| (heard.connections >= number).then_some(()));
    }

    fn state(&mut self, service: &str, wanted: impl Fn(&State) -> bool) -> State {
        self.wait(service, |heard| heard.states.get(service).filter(|s| wanted(s)).cloned())
    }

    fn ended(&mut self, number: u32) -> (bool, String) {
        self.wait("an end", |heard| heard.ends.remove(&number))
    }
}

/// `plugs` controls `disk`, which `share` needs beside `lan`; all of them are
/// in the bundle that the boot brings up. `notes` is a oneshot beside them.
fn house(what: &str) -> Device {
    let device = Device::new(what);
    device.sleeper("lan").sleeper("share").oneshot("notes", "true");
    device.oneshot("disk", "true").set("disk", "down", "true");
    device.needs("share", &["disk", "lan"]);
    device.longrun("plugs", SLEEP).set("plugs", "controller", "kind other\n");
    controls(&device, "plugs", "disk");
    device.bundle("default", &["plugs", "share", "disk", "notes"]);
    device
}

fn controls(device: &Device, controller: &str, service: &str) {
    std::fs::create_dir_all(device.source(controller).join("controls.d")).expect("mkdir");
    device.set(controller, &format!("controls.d/{service}"), "");
}

#[test]
fn the_boot_leaves_what_is_controlled_to_its_controller_and_says_so() {
    let device = house("controlled-boot");
    device.start();
    assert_eq!(device.up(), ["plugs", "notes"]);
    let why = device.ward("why share").expect(1).out;
    let lines: Vec<&str> = why.lines().collect();
    assert_eq!(
        lines,
        [
            "share is down: comes with disk",
            "  disk is down: left to plugs",
            "    its controller plugs has not started it",
        ]
    );
    let status = device.status();
    let controls = Json::Array(vec![Json::Text("disk".into())]);
    assert_eq!(status["disk"].text("controller"), Some("plugs"));
    assert_eq!(status["plugs"].get("controls"), Some(&controls));
    // The same for `s6-rc -u change`, now and in a dry run; not for its own name.
    device.rc("-u change default").expect(0);
    assert_eq!(device.rc("-n 0 -u change default").expect(0).out, "");
    assert_eq!(device.up(), ["plugs", "notes"]);
    // With `lan` comes what needs it, but not what needs a disk that is not there.
    let mut tree = device.command("s6-rc-up-tree", "");
    Client::run(tree.arg("-l").arg(device.live()).arg("lan")).expect(0);
    assert_eq!(device.up(), ["lan", "plugs", "notes"]);
    device.rc("-u change share").expect(0);
    assert_eq!(device.up(), ["lan", "plugs", "share", "disk", "notes"]);
}

#[test]
fn a_controller_is_told_brings_up_and_takes_down_and_people_see_why() {
    let device = house("controlled-link");
    device.start();
    let mut heard = Heard::open(&device.live(), "plugs");
    heard.link.watch(&["disk", "share"]);
    let first = heard.state("disk", |_| true);
    assert!(!first.up && !first.goal, "{first:?}");
    let since = clock::now();
    let is = |value, holds| [Condition { label: "block device", value, holds, since }];
    heard.link.conditions("disk", &is("none", false));
    // All that was said is heard in this order.
    heard.link.ask(1, Verb::Down, "disk", "nothing is plugged in");
    assert_eq!(heard.ended(1), (true, String::new()));
    let why = device.ward("why share").expect(1).out;
    assert!(why.contains("\n    ✗ block device: none, for "), "{why}");
    assert!(why.contains("ago somebody asked: plugs: nothing is plugged in"), "{why}");

    let begun = Instant::now();
    heard.link.conditions("disk", &is("/dev/sda1", true));
    heard.link.ask(2, Verb::Up, "disk", "/dev/sda1 has come");
    assert_eq!(heard.ended(2), (true, String::new()));
    eprintln!("from the wish to disk and share up: {:?}", begun.elapsed());
    assert!(heard.state("disk", |disk| disk.up).goal);
    heard.state("share", |share| share.up);
    assert_eq!(device.up(), ["lan", "plugs", "share", "disk", "notes"]);
    let status = device.ward("status disk").expect(0).out;
    assert!(status.contains("controlled by plugs"), "{status}");
    assert!(status.contains("✓ block device: /dev/sda1, for "), "{status}");
    let status = device.status();
    let [known] = status["disk"].get("conditions").map_or(&[][..], Json::items) else {
        panic!("one condition was said, and not these: {status:?}")
    };
    assert_eq!((known.text("value"), known.text("controller")), (Some("/dev/sda1"), Some("plugs")));
    assert_eq!(known.get("holds"), Some(&Json::Bool(true)));
    holds("Each of `conditions`", known);
    status.values().for_each(|one| holds("`ward status --json`", one));
    let why = Json::parse(&device.ward("why --json share").expect(0).out);
    assert_eq!(why.items()[0].text("name"), Some("share"));
    let why = Json::parse(&device.ward("why --json disk").expect(0).out);
    let causes = why.items()[0].get("causes").expect("there are some").items();
    causes.iter().for_each(|one| holds("Each of `causes`", one));
    assert!(causes.iter().any(|one| one.get("conditions").is_some()), "{why:?}");

    // Somebody stops what needs it: the controller only hears of it.
    device.ward("stop share").expect(0);
    assert!(!heard.state("share", |share| !share.up).goal);
    heard.link.ask(3, Verb::Restart, "disk", "it is sick");
    assert_eq!(heard.ended(3), (true, String::new()));
    heard.link.ask(4, Verb::Down, "disk", "it has gone");
    assert_eq!(heard.ended(4), (true, String::new()));
    assert_eq!(device.up(), ["lan", "plugs", "notes"]);
    // There is nothing to restart.
    heard.link.ask(5, Verb::Restart, "disk", "it is sick");
    assert_eq!(heard.ended(5), (false, "disk: it is not up".to_owned()));

    // Nobody says it any more.
    drop(heard);
    wait_for("conditions to be forgotten", PATIENCE, || {
        device.status()["disk"].get("conditions").is_none().then_some(())
    });
}

#[test]
fn a_link_outlives_the_manager_and_nothing_is_lost() {
    let device = house("controlled-kill");
    device.start();
    let mut heard = Heard::open(&device.live(), "plugs");
    heard.link.watch(&["disk"]);
    heard.link.ask(1, Verb::Up, "disk", "it is there");
    assert!(heard.ended(1).0);
    for round in 0..5 {
        let manager = device.manager_pid();
        signal(manager, Signal::KILL);
        heard.link.ask(10 + round, Verb::Restart, "disk", "it is sick");
        // Lost or done, it ends; and there is a new beginning.
        heard.ended(10 + round);
        heard.connection(2 + round);
        heard.states.clear();
        heard.link.watch(&["disk"]);
        let disk = heard.state("disk", |_| true);
        assert!(disk.goal, "{disk:?}");
        wait_for("another manager", PATIENCE, || (device.manager_pid() != manager).then_some(()));
    }
    heard.state("disk", |disk| disk.up);
    // The controller is killed: it comes back, and what it started stays.
    let plugs = device.wait_pid("plugs");
    signal(plugs, Signal::KILL);
    wait_for("the controller", PATIENCE, || device.pid("plugs").filter(|pid| *pid != plugs));
    assert_eq!(device.up(), ["lan", "plugs", "share", "disk", "notes"]);
    // Stopped, it takes that down, and is not heard any more.
    device.ward("stop plugs").expect(0);
    assert_eq!(device.up(), ["lan", "notes"]);
    heard.link.ask(30, Verb::Up, "disk", "it is there");
    let (ok, why) = heard.ended(30);
    assert_eq!((ok, why.as_str()), (false, "disk: its controller plugs is down, or being stopped"));
    device.rc("-u change default").expect(0);
    assert_eq!(device.up(), ["lan", "plugs", "notes"]);
    heard.link.ask(31, Verb::Up, "disk", "it is there");
    assert!(heard.ended(31).0);
}

#[test]
fn an_update_starts_what_waited_for_what_nobody_controls_any_more() {
    let device = house("controlled-update");
    device.start();
    let mut heard = Heard::open(&device.live(), "plugs");
    // Its text changes: it is restarted, and what it started stays up.
    heard.link.ask(1, Verb::Up, "disk", "it is there");
    assert!(heard.ended(1).0);
    let (plugs, share) = (device.wait_pid("plugs"), device.wait_pid("share"));
    device.set("plugs", "controls.d/disk", "match subsystem=block\n");
    let update = |name: &str| {
        let database = device.compile_to(name);
        let live = device.live();
        device.command("s6-rc-update", &format!("-l {} {}", live.display(), database.display()))
    };
    Client::run(&mut update("second")).expect(0);
    assert_ne!(device.wait_pid("plugs"), plugs);
    assert_eq!((device.pid("share"), device.up().len()), (Some(share), 5));
    // The link comes again by itself.
    heard.connection(2);
    heard.link.ask(2, Verb::Down, "disk", "it has gone");
    assert!(heard.ended(2).0);
    assert_eq!(device.up(), ["lan", "plugs", "notes"]);
    // Now it belongs to nobody.
    std::fs::remove_file(device.source("plugs").join("controls.d/disk")).expect("it was there");
    Client::run(&mut update("third")).expect(0);
    assert_eq!(device.up(), ["lan", "plugs", "share", "disk", "notes"]);
}

#[test]
fn what_needs_a_service_that_dies_is_told_or_restarted_as_it_says() {
    let device = Device::new("on-restart");
    let heard = device.join("heard");
    let told = format!("trap 'echo told >> {}' HUP\nwhile :; do sleep 0.01; done", heard.display());
    device.sleeper("base").longrun("told", &told).sleeper("again").sleeper("calm");
    for (name, word) in [("told", "notify\n"), ("again", "restart"), ("calm", "ignore")] {
        device.needs(name, &["base"]);
        std::fs::create_dir_all(device.source(name).join("on-restart.d")).expect("mkdir");
        device.set(name, "on-restart.d/base", word);
    }
    device.bundle("default", &["told", "again", "calm"]).start();
    let before = device.pids();
    let restarted = |device: &Device, of: &BTreeMap<String, u32>| {
        wait_for("again", PATIENCE, || {
            let pids = device.pids();
            (pids.len() == 4 && pids["again"] != of["again"]).then_some(pids)
        })
    };
    signal(before["base"], Signal::KILL);
    let after = restarted(&device, &before);
    assert_eq!((after["told"], after["calm"]), (before["told"], before["calm"]));
    wait_for("the word", PATIENCE, || std::fs::read_to_string(&heard).ok());
    let why = device.ward("why again").expect(0).out;
    assert!(why.contains("the manager, because base has changed"), "{why}");
    // It dies and comes back while there is no manager.
    signal(device.manager_pid(), Signal::STOP);
    signal(after["base"], Signal::KILL);
    wait_for("base", PATIENCE, || device.pid("base").filter(|pid| *pid != after["base"]));
    signal(device.manager_pid(), Signal::KILL);
    restarted(&device, &after);
}

#[test]
fn the_picture_has_all_kinds_of_arrows() {
    let device = house("controlled-graph");
    device.start();
    let picture = device.ward("graph").expect(0).out;
    for line in [
        "\"share\" -> \"disk\";",
        "\"plugs\" -> \"disk\" [style=dashed];",
        "\"plugs\" [shape=hexagon,fillcolor=palegreen",
        "\"disk\" [shape=ellipse,fillcolor=grey90",
    ] {
        assert!(picture.contains(line), "no {line} in {picture}");
    }
    let part = device.ward("graph disk").expect(0).out;
    assert!(part.contains("plugs") && !part.contains("share"), "{part}");
}
