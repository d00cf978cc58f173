//! Thousands of services: real ones, and those that only a database knows.
//! Times are printed and not asserted: they belong to the bench.

use std::collections::HashSet;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use e2e::machine::{Machine, executable};
use e2e::process::{descriptors, memory};
use e2e::{applet, stdout, wait_for};

/// Each of these tests uses all processors: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// What starting and stopping thousands may take on a machine that has other
/// things to do.
const LONG: Duration = Duration::from_secs(300);

/// A program that only waits to be killed (x86-64): one page, no library.
fn pause() -> Vec<u8> {
    let code = [
        0xb8, 34, 0, 0, 0, // mov eax, 34 (pause)
        0x0f, 0x05, // syscall
        0xeb, 0xf7, // again
    ];
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let word = |elf: &mut Vec<u8>, value: u64, bytes: usize| {
        elf.extend_from_slice(&value.to_le_bytes()[..bytes]);
    };
    let size = 120 + code.len() as u64;
    // ELF header: an executable for x86-64, entered behind both headers.
    for (value, bytes) in [
        (2, 2),
        (62, 2),
        (1, 4),
        (0x40_0078, 8),
        (64, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 6),
    ] {
        word(&mut elf, value, bytes);
    }
    // The one segment: the whole file, to be read and executed.
    for (value, bytes) in
        [(1, 4), (5, 4), (0, 8), (0x40_0000, 8), (0x40_0000, 8), (size, 8), (size, 8), (4096, 8)]
    {
        word(&mut elf, value, bytes);
    }
    elf.extend_from_slice(&code);
    elf
}

/// `count`, or fewer where the system does not let a process have so many files.
fn affordable(count: usize, files_each: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let hard = line.split_whitespace().nth(1).unwrap().parse().unwrap_or(usize::MAX);
    let most = (hard - 500) / files_each;
    if most < count {
        eprintln!(
            "ONLY {most} services instead of {count}: the hard limit of open files is {hard}"
        );
    }
    assert!(most >= 1000, "the hard limit of open files is {hard}, too low for any large tree");
    count.min(most)
}

/// Says how long something took.
fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let answer = act();
    eprintln!("{what}: {:.2} s", start.elapsed().as_secs_f32());
    answer
}

fn count_up(machine: &Machine) -> usize {
    machine.up().lines().count()
}

#[test]
fn five_thousand_services_go_up_and_down() {
    let _alone = ALONE.lock();
    // A control fifo and both ends of a pipe.
    let count = affordable(5000, 3);
    let mut machine = Machine::new("thousands");
    let program = machine.path("pause");
    fs::write(&program, pause()).unwrap();
    executable(&program);
    let names: Vec<String> = (0..count).map(|i| format!("service{i:04}")).collect();
    timed("written", || {
        for name in &names {
            machine.file(format!("{name}/type"), "longrun\n");
            fs::hard_link(&program, machine.path(format!("source/{name}/run"))).unwrap();
        }
        machine.bundle("default", &names.iter().map(String::as_str).collect::<Vec<_>>());
    });
    timed("compiled", || machine.compile("db"));
    let init = timed("init listens", || machine.start_by(applet("init")));
    timed("all up", || {
        wait_for("all", LONG, || (count_up(&machine) == count).then_some(()));
    });
    let all = [init, machine.manager(), machine.logger()];
    let kilobytes = all.map(memory);
    eprintln!("init, manager, logger: {kilobytes:?} kB, {:?} files", all.map(descriptors));
    // A kilobyte and a half for each would be too much.
    assert!(kilobytes.iter().sum::<u64>() < 3000 + 3 * count as u64 / 2, "{kilobytes:?} kB");
    let first = machine.process("service0000");
    timed("started anew", || {
        stdout(applet("reexec").args(["--fault", "-s"]).arg(machine.scan()));
    });
    machine.wait_said("started anew; every service goes on");
    assert_eq!(machine.process("service0000"), first);
    let status = timed("ward status", || stdout(applet("status").arg("-l").arg(machine.live())));
    assert_eq!(status.lines().count(), count);
    let last = names.last().unwrap();
    timed("one restarted", || stdout(applet("restart").arg("-l").arg(machine.live()).arg(last)));
    timed("half of them down", || {
        let half = names[..count / 2].iter().map(String::as_str);
        machine.change(&["-d", "change"].into_iter().chain(half).collect::<Vec<_>>());
    });
    assert_eq!(count_up(&machine), count - count / 2);
    timed("all up again", || machine.change(&["-u", "change", "default"]));
    timed("all down", || machine.change(&["-d", "change", "default"]));
    assert_eq!(count_up(&machine), 0);
    timed("all up again", || machine.change(&["-u", "change", "default"]));
    timed("the end", || assert_eq!(machine.end().code(), Some(0)));
}

#[test]
fn ten_thousand_services_of_a_database_can_be_asked_about_and_changed() {
    let _alone = ALONE.lock();
    let longruns = affordable(6000, 3);
    let mut machine = Machine::new("compiled");
    // Ten chains: each service needs the one before it; a bundle for each.
    let names: Vec<String> = (0..10_000)
        .map(|i| format!("{}{:05}", if i < longruns { "longrun" } else { "oneshot" }, i))
        .collect();
    timed("written", || {
        for (i, name) in names.iter().enumerate() {
            if i < longruns {
                machine.longrun(name, "exec sleep 100000");
            } else {
                machine.oneshot(name, "", "");
            }
            if i >= 10 && i - 10 >= longruns || (10..longruns).contains(&i) {
                machine.needs(name, &names[i - 10]);
            }
        }
    });
    machine.oneshot("alone", "true", "true");
    machine.bundle("default", &["alone"]);
    let last = names.last().unwrap();
    timed("compiled", || machine.compile("db"));
    let ask = |words: &[&str]| {
        timed(&words.join(" "), || {
            stdout(applet("s6-rc-db").arg("-c").arg(machine.path("db")).args(words))
        })
    };
    assert_eq!(ask(&["list", "services"]).lines().count(), 10_001);
    assert_eq!(ask(&["list", "longruns"]).lines().count(), longruns);
    let chain = (10_000 - longruns) / 10;
    let first = &names[longruns + (9_999 - longruns) % 10];
    assert_eq!(ask(&["all-dependencies", last]).lines().count(), chain);
    assert_eq!(ask(&["-d", "all-dependencies", first]).lines().count(), chain);
    assert_eq!(ask(&["type", last]), "oneshot\n");
    ask(&["check"]);
    timed("booted with all of them down", || {
        machine.start_by(applet("init"));
        machine.wait_up(&["alone"]);
    });
    let all = [machine.init(), machine.manager(), machine.logger()];
    eprintln!("init, manager, logger: {:?} kB, {:?} files", all.map(memory), all.map(descriptors));
    let status = timed("ward status", || stdout(applet("status").arg("-l").arg(machine.live())));
    // However deep it is, each of them is shown.
    let shown = |line: &str| {
        line.trim_start_matches([' ', '│', '├', '└']).split(' ').next().map(str::to_owned)
    };
    let shown: HashSet<String> = status.lines().filter_map(shown).collect();
    assert!(names.iter().all(|name| shown.contains(name)));
    timed("a chain of oneshots up", || machine.change(&["-u", "change", last]));
    assert_eq!(count_up(&machine), chain + 1);
    timed("a chain of oneshots down", || machine.change(&["-d", "change", first]));
    assert_eq!(count_up(&machine), 1);
    machine.oneshot("one-more", "true", "true");
    let newer = timed("compiled again", || machine.compile("newer"));
    timed("updated", || stdout(applet("s6-rc-update").arg("-l").arg(machine.live()).arg(newer)));
    assert_eq!(machine.up(), "alone\n");
    let other = machine.path("run/other");
    timed("s6-rc-init of another one", || {
        let mut init = applet("s6-rc-init");
        init.arg("-c").arg(machine.path("db")).arg("-p").arg("other-").arg("-l").arg(&other);
        stdout(init.arg(machine.scan()))
    });
    assert_eq!(stdout(applet("s6-rc").arg("-l").arg(&other).args(["-a", "list"])), "");
    timed("the end", || assert_eq!(machine.end().code(), Some(0)));
}
