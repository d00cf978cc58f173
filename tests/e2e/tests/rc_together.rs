//! Many at once: there is no lock, a service may itself ask for changes, a
//! manager may be killed, and the end is what some order of the requests gives.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, signal};
use e2e::peer_tree::Dice;
use e2e::wait_for;
use rustix::process::Signal;

/// A longrun that is ready once the file `go-NAME` is there.
fn slow(device: &Device, name: &str) {
    let go = device.join(format!("go-{name}"));
    let run =
        format!("while ! [ -e {} ]; do sleep 0.01; done\necho >&3\nexec sleep 99999", go.display());
    device.longrun(name, &run).set(name, "notification-fd", "3");
}

#[test]
fn a_service_stuck_in_starting_delays_nobody_else() {
    let device = Device::new("stuck");
    slow(&device, "stuck");
    device.sleeper("user").needs("user", &["stuck"]).sleeper("other").oneshot("once", "true");
    device.sleeper("base").needs("stuck", &["base"]).start();
    let mut waiting = Client::start(&mut device.command("s6-rc", "-u change user"));
    device.wait_pid("stuck");
    let start = Instant::now();
    device.rc("-u change other once").expect(0);
    device.rc("-d change other").expect(0);
    device.rc("-da list").expect(0);
    device.rc("-u change base").expect(0);
    device.ward("status").expect(0).has("starting");
    device.ward("restart other").expect(0);
    device.rc("-t 20000 reload other").expect(0);
    assert!(start.elapsed() < PATIENCE / 2);
    assert!(waiting.is_running());
    assert_eq!(device.up(), ["base", "other", "once"]);
    // Somebody who waits for it as well, and one who has had enough of it.
    let second = Client::start(&mut device.command("s6-rc", "-u change stuck"));
    wait_for("two who wait", PATIENCE, || {
        device.rc("-t 50 -u change stuck").code.eq(&2).then_some(())
    });
    device.rc("-d change stuck").expect(0);
    waiting.finish().expect(1).has("stuck: superseded by a newer request to stop it (process");
    second.finish().expect(1).has("superseded");
    assert_eq!(device.up(), ["base", "other", "once"]);
    assert_eq!(device.svstat("stuck", "up,wantedup"), "false false");
}

#[test]
fn services_may_ask_for_changes_themselves() {
    let device = Device::new("nested");
    let rc = format!("s6-rc -l {}", device.live().display());
    device.sleeper("helper").oneshot("prepare", "echo prepared");
    // While it starts, a oneshot brings up another, and a longrun what it needs to be ready.
    device.oneshot("plug", &format!("{rc} -v2 -u change helper prepare"));
    device.longrun("controller", &format!("{rc} -u change plug && echo >&3\nexec sleep 10000"));
    device.set("controller", "notification-fd", "3").sleeper("user").needs("user", &["controller"]);
    // On its way down, it takes that down again; so does a longrun that ends.
    device.set("plug", "down", &format!("{rc} -d change helper"));
    device.set("controller", "finish", &format!("#!/bin/sh\n{rc} -d change plug\n"));
    device.bundle("default", &["user"]).start();
    assert_eq!(device.up(), ["controller", "helper", "user", "plug", "prepare"]);
    device.rc("-d change user").expect(0);
    device.rc("-d change controller").expect(0);
    wait_for("the rest", PATIENCE, || (device.up() == ["prepare"]).then_some(()));
    // A running service starts and stops others as it likes.
    device.longrun("loop", &format!("for i in 1 2 3 4 5; do {rc} -u change helper; {rc} -d change helper; done\necho done\nexec sleep 10000"));
    let new = device.compile();
    Client::run(device.command("s6-rc-update", "").arg(new)).expect(0);
    device.rc("-u change loop").expect(0);
    device.wait_log("loop done");
    assert_eq!(device.up(), ["loop", "prepare"]);
}

/// Services that need each other in many ways; each would be seen running twice
/// at a time, and each script of a oneshot is noted.
struct Crowd {
    device: Device,
    needs: Vec<BTreeSet<usize>>,
}

impl Crowd {
    fn new(what: &str, count: usize, dice: &mut Dice) -> Self {
        let device = Device::new(what);
        let notes = device.join("notes");
        let notes = notes.display();
        let mut needs = Vec::new();
        for service in 0..count {
            let name = name(service);
            if service % 3 == 2 {
                device.oneshot(&name, &format!("sh -c \"echo +{name} >>{notes}\""));
                device.set(&name, "down", &format!("sh -c \"echo -{name} >>{notes}\""));
            } else {
                let here = device.join(format!("here-{name}"));
                let here = here.display();
                let run = format!("mkdir {here} || echo twice {name} >>{notes}\n");
                let ready = if service % 3 == 1 { "echo >&3\n" } else { "" };
                device.longrun(&name, &format!("{run}{ready}exec sleep 100000"));
                device.set(&name, "finish", &format!("#!/bin/sh\nrmdir {here}\n"));
                device.set(&name, "restart-wait", "0");
                if service % 3 == 1 {
                    device.set(&name, "notification-fd", "3");
                }
            }
            let mut own = BTreeSet::new();
            for _ in 0..dice.roll(3) {
                if service > 0 {
                    own.insert(dice.roll(service as u64) as usize);
                }
            }
            for need in &own {
                device.needs(&name, &[&self::name(*need)]);
            }
            needs.push(own);
        }
        device.start();
        Self { device, needs }
    }

    /// `from`, and what they need or what needs them.
    fn closure(&self, from: &[usize], up: bool) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = from.iter().copied().collect();
        loop {
            let before = found.len();
            for service in 0..self.needs.len() {
                if up && found.contains(&service) {
                    found.extend(&self.needs[service]);
                } else if !up && self.needs[service].iter().any(|need| found.contains(need)) {
                    found.insert(service);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    fn state(&self) -> Vec<bool> {
        let up = self.device.up();
        (0..self.needs.len()).map(|service| up.contains(&name(service))).collect()
    }

    /// No longrun ran twice at a time, and the scripts of each oneshot took turns.
    fn check_notes(&self) {
        let notes = self.device.notes("notes");
        assert!(!notes.iter().any(|note| note.starts_with("twice")), "{notes:?}");
        for service in (2..self.needs.len()).step_by(3) {
            let name = name(service);
            let own: Vec<&String> = notes.iter().filter(|note| note[1..] == name).collect();
            let expected = |at: usize| if at.is_multiple_of(2) { "+" } else { "-" };
            let turns = own.iter().enumerate().all(|(at, note)| note.starts_with(expected(at)));
            assert!(turns, "{own:?}");
            assert_eq!(own.len() % 2 == 1, self.state()[service], "{name}: {own:?}");
        }
    }
}

fn name(service: usize) -> String {
    format!("s{service:02}")
}

#[test]
fn a_hundred_clients_at_once_end_in_what_some_order_of_them_gives() {
    let mut dice = Dice(6);
    for round in 0..2 {
        let crowd = Crowd::new("hundred", 18, &mut dice);
        let before = crowd.state();
        let mut wishes = Vec::new();
        for _ in 0..100 {
            let up = dice.roll(2) == 0;
            let count = 1 + dice.roll(2);
            let services: Vec<usize> = (0..count).map(|_| dice.roll(18) as usize).collect();
            wishes.push((up, services));
        }
        let clients: Vec<Client> = wishes
            .iter()
            .map(|(up, services)| {
                let names: Vec<String> = services.iter().map(|service| name(*service)).collect();
                let words = format!("{} change {}", if *up { "-u" } else { "-d" }, names.join(" "));
                Client::start(&mut crowd.device.command("s6-rc", &words))
            })
            .collect();
        let mut overtaken = 0;
        for client in clients {
            let said = client.finish();
            assert!(matches!(said.code, 0 | 1), "{said:?}");
            if said.code == 1 {
                overtaken += 1;
                assert!(said.err.contains("superseded by a newer request"), "{}", said.err);
            }
        }
        // What nobody waits for any more may be on its way still.
        wait_for("rest", PATIENCE, || {
            let said = crowd.device.ward("status --json").out;
            (!said.contains("ing\",\"wanted\"")).then_some(())
        });
        crowd.device.wait_same();
        crowd.check_notes();

        // The last request of an order has its whole wish; what it wishes does
        // not tell anything of those before. So one after the other is taken
        // away that the rest of the state agrees with, in any order.
        let state = crowd.state();
        let mut untold = vec![false; state.len()];
        let mut left: Vec<(bool, BTreeSet<usize>)> =
            wishes.iter().map(|(up, services)| (*up, crowd.closure(services, *up))).collect();
        while let Some(at) = left.iter().position(|(up, set)| {
            set.iter().all(|&service| untold[service] || state[service] == *up)
        }) {
            let (_, set) = left.remove(at);
            set.into_iter().for_each(|service| untold[service] = true);
        }
        assert!(left.is_empty(), "round {round}: no order gives {state:?}; left: {left:?}");
        for (service, untold) in untold.iter().enumerate() {
            assert!(*untold || state[service] == before[service], "{}", name(service));
        }
        eprintln!("round {round}: {overtaken} of 100 were overtaken");
    }
}

#[test]
fn the_manager_may_be_killed_at_any_moment_of_a_change() {
    at_any_moment("killed", 7, |device| signal(device.manager_pid(), Signal::KILL));
}

#[test]
fn init_may_fall_at_any_moment_of_a_change() {
    at_any_moment("fallen", 8, |device| signal(device.init_pid(), Signal::SEGV));
}

fn at_any_moment(what: &str, seed: u64, hit: impl Fn(&Device)) {
    let mut dice = Dice(seed);
    let crowd = Crowd::new(what, 30, &mut dice);
    let device = &crowd.device;
    let all: Vec<String> = (0..30).map(name).collect();
    let all = all.join(" ");
    device.rc(&format!("-u change {all}")).expect(0);
    let start = Instant::now();
    device.rc(&format!("-d change {all}")).expect(0);
    device.rc(&format!("-u change {all}")).expect(0);
    let (time, mut in_time) = (start.elapsed() / 2, 0);
    for round in 0..16 {
        let words = match dice.roll(4) {
            0 => format!("restart {}", name(dice.roll(30) as usize)),
            1 => format!("stop {}", name(dice.roll(30) as usize)),
            _ if round % 2 == 0 => format!("stop {all}"),
            _ => format!("start {all}"),
        };
        let before = crowd.state();
        let mut client = Client::start(&mut device.ward_command(&words));
        std::thread::sleep(Duration::from_micros(dice.roll(time.as_micros() as u64)));
        in_time += u32::from(client.is_running());
        hit(device);
        client.finish().expect(0);
        device.wait_same();
        let (verb, names) = words.split_once(' ').unwrap();
        let named: Vec<usize> = names.split(' ').map(|name| name[1..].parse().unwrap()).collect();
        let set = crowd.closure(&named, verb != "stop");
        let expected: Vec<bool> = (0..30)
            .map(|service| if set.contains(&service) { verb != "stop" } else { before[service] })
            .collect();
        assert_eq!(crowd.state(), expected, "round {round}: {words}");
        crowd.check_notes();
    }
    assert!(in_time >= 5, "only {in_time} of 16 changes were hit");
}

#[test]
fn a_slow_start_goes_on_while_managers_come_and_go() {
    let device = Device::new("kills");
    slow(&device, "slow");
    device.sleeper("user").needs("user", &["slow"]);
    device.oneshot(
        "script",
        &format!(
            "sh -c \"echo x >>{}; while ! [ -e {} ]; do sleep 0.01; done\"",
            device.join("notes").display(),
            device.join("go-slow").display()
        ),
    );
    device.start();
    let words = "-u change user script";
    let clients: Vec<Client> =
        (0..5).map(|_| Client::start(&mut device.command("s6-rc", words))).collect();
    let pid = device.wait_pid("slow");
    for _ in 0..4 {
        signal(device.manager_pid(), Signal::KILL);
    }
    fs::write(device.join("go-slow"), "").unwrap();
    for client in clients {
        client.finish().expect(0);
    }
    assert_eq!(device.pid("slow"), Some(pid), "it was never started again");
    assert_eq!(device.notes("notes"), ["x"], "nor was the script");
    assert_eq!(device.up(), ["slow", "user", "script"]);
}

#[test]
fn while_the_device_goes_down_nothing_is_started() {
    let device = Device::new("going-down");
    device.longrun("deaf", "trap '' TERM\necho up\nwhile :; do sleep 0.02; done");
    device
        .set("deaf", "timeout-kill", "4000")
        .sleeper("other")
        .bundle("default", &["deaf"])
        .start();
    device.wait_log("deaf up");
    signal(device.init_pid(), Signal::TERM);
    device.wait_log("init bringing everything down (exit)");
    wait_for("its stopping", PATIENCE, || {
        device.ward("status deaf").out.contains("stopping").then_some(())
    });
    device.rc("-u change other").expect(1).has("other: the machine goes down");
    device.ward("restart deaf").expect(1).has("deaf: the machine goes down");
}
