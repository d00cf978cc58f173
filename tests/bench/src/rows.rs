//! Every row of the table: how it is measured, and what is to be reached.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::bench::{Bench, command};
use crate::boot::boot;
use crate::devices::hotplug;
use crate::logs::{logger, logger_memory, reading};
use crate::processes::{self, memory, switches};
use crate::program::Program;
use crate::services::{Kind, Services, name};
use crate::table::Unit::{Bytes, Milliseconds, Times};
use crate::table::{Reach, Row};
use crate::tree::{Keeper, Tree};
use crate::{flash, floor};

/// What is measured together.
pub type Measurement = fn(&Bench) -> Vec<Row>;

/// Words to choose a measurement by, what it takes, and whether it is always
/// made.
pub const ALL: &[(&str, Measurement, bool)] = &[
    ("cold100", |bench| cold_start(bench, 100), true),
    ("cold1000", |bench| cold_start(bench, 1000), true),
    ("chain", chain, true),
    ("restart", restart, true),
    ("standing", standing, true),
    ("memory", memory_per_service, true),
    ("svstat", svstat, true),
    ("rc-init", rc_init, true),
    ("oneshots", oneshots, true),
    ("hotplug", hotplug, true),
    ("compile", |bench| compile(bench, 1000), true),
    ("logger", logger, true),
    ("logger-memory", logger_memory, true),
    ("log", reading, true),
    ("size", size, true),
    ("boot", boot, true),
    ("levitate", flash::levitate, true),
    ("flash", flash::nand, true),
    ("flash-nor", flash::nor, true),
    ("large", |bench| [cold_start(bench, 5000), compile(bench, 10_000)].concat(), false),
];

/// From nothing to all up, and from all up to nothing.
fn cold_start(bench: &Bench, many: usize) -> Vec<Row> {
    let count = bench.scale(many);
    let reach = match many {
        100 => Reach::Floors(2.5),
        1000 => Reach::Floors(2.0),
        _ => Reach::Nothing,
    };
    let down = if many == 1000 { Reach::AtMost(30.0) } else { Reach::Nothing };
    let mut up = Row::new(format!("cold start to all up, {count} longruns"), Milliseconds, reach);
    let mut change =
        Row::new(format!("all down and dead, {count} (`s6-rc -da change`)"), Milliseconds, down);
    let mut end = Row::new(format!("the whole tree ended, {count} up"), Milliseconds, down);
    match many {
        100 => up = up.published("156 ms", "38 ms"),
        1000 => {
            up = up.published("1469 ms", "417 ms");
            up.is_scale = true;
            change = change.published("1148 ms", "46 ms");
        }
        _ => {}
    }
    let services = Services::write(count, Kind::Longrun).compile(bench);
    let program = services.folder.join("program");
    let own = |bench: &Bench| Tree::start_all(bench, &services, Keeper::Ward);
    for _ in 0..bench.runs {
        let (started, ended) = bench.cores.measured(|| floor::start_and_kill(&program, count));
        up.floor.push_ms(started);
        change.floor.push_ms(ended);
        end.floor.push_ms(ended);

        let (tree, time) = own(bench);
        up.ward.push_ms(time);
        let running: Vec<u32> = (0..count).filter_map(|number| tree.pid(number)).collect();
        assert_eq!(running.len(), count, "all that are up have a process");
        let mut command = bench.applet("s6-rc");
        command.arg("-l").arg(&tree.live).args(["-da", "change"]);
        change.ward.push_ms(bench.time(&mut command));
        assert!(!running.iter().any(|&pid| processes::alive(pid)), "all that are down are dead");
        tree.end();
        clear(&services);

        end.ward.push_ms(own(bench).0.end());
        clear(&services);
        for &keeper in &bench.peers {
            let peer = Services::write(count, Kind::Longrun);
            peer.scan_dir();
            // runsvdir takes no more than a thousand.
            if keeper == Keeper::Runit && count > 1000 {
                continue;
            }
            let (tree, time) = Tree::start_all(bench, &peer, keeper);
            let (up, end) = match keeper {
                Keeper::Runit => (&mut up.runit, &mut end.runit),
                _ => (&mut up.s6, &mut end.s6),
            };
            up.push_ms(time);
            end.push_ms(tree.end());
        }
    }
    if many == 100 { vec![up] } else { vec![up, change, end] }
}

/// Each needs the one before it, and says that it is ready.
fn chain(bench: &Bench) -> Vec<Row> {
    let count = bench.scale(100);
    let mut row = Row::new(
        format!("chain of {count}, each ready before the next (cold)"),
        Milliseconds,
        Reach::AtMost(20.0),
    )
    .published("180 ms", "40 ms");
    let services = Services::write(count, Kind::Chain).compile(bench);
    let program = Services::write(1, Kind::Longrun);
    for _ in 0..3 * bench.runs {
        let floor = || floor::start_and_kill(&program.folder.join("program"), count).0;
        row.floor.push_ms(bench.cores.measured(floor));
        let (tree, time) = Tree::start_all(bench, &services, Keeper::Ward);
        row.ward.push_ms(time);
        tree.end();
        clear(&services);
    }
    vec![row]
}

/// From the death of a process to the first deed of its successor, with
/// everything on one core.
fn restart(bench: &Bench) -> Vec<Row> {
    let mut row =
        Row::new("restart of a process that had run a while", Milliseconds, Reach::AtMost(0.4))
            .published("1002 ms (0.54 with readiness)", "0.48 ms");
    // The service must have run for longer than a second.
    let grown = Duration::from_millis(1200);
    let rounds = if bench.quick { 1 } else { bench.runs };
    let mut keepers = vec![Keeper::Ward];
    keepers.extend(&bench.peers);
    for keeper in keepers {
        let services = Services::write(1, Kind::Telling);
        let services = match keeper {
            Keeper::Ward => services.compile(bench),
            _ => services,
        };
        if keeper != Keeper::Ward {
            services.scan_dir();
        }
        let told = services.folder.join("told");
        let tree = Tree::start(bench, &services, keeper);
        let mut told = fs::File::options().read(true).write(true).open(told).expect("a fifo");
        let mut wait = || told.read_exact(&mut [0]).expect("the fifo stays open");
        wait();
        for _ in 0..rounds {
            std::thread::sleep(grown);
            let mut pid = None;
            processes::watch("its process id", || {
                pid = tree.pid(0);
                pid.is_some()
            });
            let time = bench.cores.measured(|| {
                let start = Instant::now();
                processes::send(pid.expect("it is known"), Signal::KILL);
                wait();
                start.elapsed()
            });
            match keeper {
                Keeper::Runit => row.runit.push_ms(time),
                Keeper::S6 => row.s6.push_ms(time),
                _ => row.ward.push_ms(time),
            }
        }
        tree.end();
    }
    vec![row]
}

/// What a tree costs that only stands there, and what it costs to look at it.
fn standing(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for many in [100, 1000] {
        let count = bench.scale(many);
        let services = Services::write(count, Kind::Longrun).compile(bench);
        let tree = Tree::start_all(bench, &services, Keeper::Ward).0;
        let list = {
            let mut command = bench.applet("s6-rc");
            command.arg("-l").arg(&tree.live).args(["-a", "list"]);
            command
        };
        let [ward, floor] = bench.time_in_turn([list, command("/bin/true")]);
        let most = if many == 100 { 0.33 } else { 0.5 };
        let published = if many == 100 { ["0.33 ms", "2.2 ms"] } else { ["1.06 ms", "4.7 ms"] };
        let figure = format!("`s6-rc -a list`, {count} services; floor: `true`");
        let row = Row::new(figure, Milliseconds, Reach::AtMost(most));
        rows.push(Row { ward, floor, published, ..row });
        if many == 1000 {
            rows.push(wake_ups(bench, &tree));
        }
        tree.end();
    }
    rows
}

fn wake_ups(bench: &Bench, tree: &Tree) -> Row {
    let span = Duration::from_secs(if bench.quick { 1 } else { 10 });
    let figure = format!("wake-ups of an idle tree in {} s", span.as_secs());
    let mut row = Row::new(figure, Times, Reach::AtMost(0.0)).published("0", "0");
    // What has just come up may still have something to do.
    std::thread::sleep(Duration::from_secs(2));
    let all = tree.processes();
    let count = || all.iter().map(|&pid| switches(pid)).sum::<u64>();
    let before = count();
    std::thread::sleep(span);
    row.ward.push((count() - before) as f64);
    row
}

/// Memory of all that supervises, and files in memory.
fn memory_per_service(bench: &Bench) -> Vec<Row> {
    let counts = [bench.scale(1000), bench.scale(2000)];
    let figure = format!("memory of all supervision (PSS), {} up", counts[0]);
    let mut total = Row::new(figure, Bytes, Reach::AtMost(2_500_000.0));
    total = total.published("21.8 MB", "4.3 MB");
    let mut each = Row::new("the same, for each service more", Bytes, Reach::AtMost(1_000.0));
    each = each.published("22 kB", "");
    let mut files = Row::new("files in memory (tmpfs) per service", Bytes, Reach::AtMost(8_000.0));
    files = files.published("8–13 kB", "0");
    let mut keepers = vec![Keeper::Ward];
    keepers.extend(&bench.peers);
    for keeper in keepers {
        // runsvdir takes no more than a thousand.
        let counts = match keeper {
            Keeper::Runit => [counts[0] / 2, counts[0]],
            _ => counts,
        };
        let measured = counts.map(|count| weigh(bench, keeper, count));
        let slope = (measured[1].0 - measured[0].0) / (counts[1] - counts[0]) as f64;
        let at_most = if keeper == Keeper::Runit { measured[1] } else { measured[0] };
        let series = |row: &mut Row, value| match keeper {
            Keeper::Runit => row.runit.push(value),
            Keeper::S6 => row.s6.push(value),
            _ => row.ward.push(value),
        };
        series(&mut total, at_most.0);
        series(&mut each, slope);
        series(&mut files, at_most.1);
    }
    vec![total, each, files]
}

/// Memory of supervision in bytes, and files in memory per service.
fn weigh(bench: &Bench, keeper: Keeper, count: usize) -> (f64, f64) {
    let mut services = Services::write(count, Kind::Longrun);
    if keeper == Keeper::Ward {
        services = services.compile(bench);
    } else {
        services.scan_dir();
    }
    let tree = Tree::start_all(bench, &services, keeper).0;
    // What a process needed only to start is given back soon after.
    std::thread::sleep(Duration::from_millis(500));
    let total: u64 = tree.supervision().into_iter().map(memory).sum();
    let mut bytes = blocks(&tree.scan);
    if let Ok(real) = fs::canonicalize(&tree.live) {
        bytes += blocks(&real);
    }
    tree.end();
    (total as f64, bytes as f64 / count as f64)
}

/// Bytes of blocks below a folder, each file once, links not followed.
fn blocks(folder: &Path) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be read").flatten() {
            let data = entry.metadata().expect("a file can be looked at");
            if data.is_dir() {
                folders.push(entry.path());
            }
            // The program that runs is not supervision's.
            if entry.file_name() != "run" && seen.insert(data.ino()) {
                bytes += 512 * data.blocks();
            }
        }
    }
    bytes
}

/// The command that scripts call in loops.
fn svstat(bench: &Bench) -> Vec<Row> {
    let figure = "`s6-svstat`; floor: `true`, static";
    let mut row =
        Row::new(figure, Milliseconds, Reach::AtMost(0.15)).published("0.10 ms", "1.2 ms");
    let services = Services::write(1, Kind::Longrun).compile(bench);
    let nothing = services.folder.join("nothing");
    Program::Exit.write(&nothing).expect("a program can be written");
    let tree = Tree::start_all(bench, &services, Keeper::Ward).0;
    let service = tree.scan.join(name(0));
    let mut own = bench.applet("s6-svstat");
    own.arg(&service);
    if bench.peers.contains(&Keeper::S6) {
        let mut peer = command("s6-svstat");
        peer.arg(&service);
        [row.ward, row.floor, row.s6] = bench.time_in_turn([own, command(&nothing), peer]);
    } else {
        [row.ward, row.floor] = bench.time_in_turn([own, command(&nothing)]);
    }
    tree.end();
    vec![row]
}

fn rc_init(bench: &Bench) -> Vec<Row> {
    let count = bench.scale(1000);
    let figure = format!("`s6-rc-init`, {count}; floor: bare calls make the same names");
    let mut row = Row::new(figure, Milliseconds, Reach::AtMost(20.0)).published("390 ms", "");
    let services = Services::write(count, Kind::Longrun).compile(bench);
    let names = services.folder.join("names");
    for _ in 0..3 * bench.runs {
        row.floor.push_ms(bench.cores.measured(|| floor::names(&names, count)));
        fs::remove_dir_all(&names).expect("it was just made");
        let tree = Tree::start(bench, &services, Keeper::WardScan);
        let socket = tree.scan.join(".s6-svscan/init");
        processes::watch("the socket of init", || socket.exists());
        let mut command = bench.applet("s6-rc-init");
        command.arg("-c").arg(services.folder.join("db")).arg("-l").arg(&tree.live).arg(&tree.scan);
        row.ward.push_ms(bench.time(&mut command));
        tree.end();
        clear(&services);
    }
    vec![row]
}

fn oneshots(bench: &Bench) -> Vec<Row> {
    let count = bench.scale(100);
    let kinds = [
        (Kind::Oneshot, "a static program", Reach::AtMost(20.0)),
        (Kind::DebianOneshot, "Debian's `true`", Reach::Nothing),
    ];
    let mut rows = Vec::new();
    for (kind, what, reach) in kinds {
        let figure = format!("{count} oneshots up (cold), each {what}");
        let mut row = Row::new(figure, Milliseconds, reach);
        if kind == Kind::Oneshot {
            row = row.published("108 ms", "40 ms");
        }
        let services = Services::write(count, kind).compile(bench);
        let program = match kind {
            Kind::Oneshot => services.folder.join("program"),
            _ => "/bin/true".into(),
        };
        for _ in 0..3 * bench.runs {
            row.floor.push_ms(bench.cores.measured(|| floor::run(&program, count)));
            let (tree, time) = Tree::start_all(bench, &services, Keeper::Ward);
            row.ward.push_ms(time);
            tree.end();
            clear(&services);
        }
        rows.push(row);
    }
    rows
}

fn compile(bench: &Bench, many: usize) -> Vec<Row> {
    let count = bench.scale(many);
    let reach = if many == 1000 { Reach::AtMost(20.0) } else { Reach::Nothing };
    let mut row = Row::new(format!("compile {count} services"), Milliseconds, reach);
    if many == 1000 {
        row = row.published("54 ms", "");
    }
    let services = Services::write(count, Kind::Longrun);
    let (source, database) = (services.folder.join("src"), services.folder.join("db"));
    for _ in 0..3 * bench.runs {
        let mut command = bench.applet("s6-rc-compile");
        command.arg(&database).arg(&source);
        row.ward.push_ms(bench.time(&mut command));
        fs::remove_dir_all(&database).expect("it was just made");
    }
    vec![row]
}

fn size(bench: &Bench) -> Vec<Row> {
    let mut row =
        Row::new("`ward` static, all applets, x86_64 musl", Bytes, Reach::AtMost(1_000_000.0));
    row.ward.push(fs::metadata(&bench.ward).expect("it has just run").len() as f64);
    vec![row.published("about 80 files", "")]
}

/// Removes what a tree leaves, so that the next one begins with nothing.
fn clear(services: &Services) {
    for folder in ["scan", "log"] {
        let _ = fs::remove_dir_all(services.folder.join(folder));
    }
    let live = services.folder.join("live");
    if let Ok(real) = fs::canonicalize(&live) {
        fs::remove_dir_all(real).expect("a folder in memory can be removed");
    }
    let _ = fs::remove_file(live);
}
