//! The logger beside those of the peers, and beside `cat`: the same lines, on one core with who writes them.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use e2e::Folder;
use e2e::pretend_init::PretendInit;

use crate::bare_log;
use crate::bench::{Bench, command};
use crate::processes::{self, busy, memory, watch};
use crate::series::Series;
use crate::services::{Kind, Services};
use crate::table::Unit::{Bytes, Microseconds, Milliseconds};
use crate::table::{Reach, Row};
use crate::tree::{Keeper, Tree};

/// Bytes of a line with its newline.
const LINE: usize = 100;

/// How lines come.
#[derive(Clone, Copy)]
pub struct Load {
    pub writers: usize,
    /// Lines that each of them writes at once.
    batch: usize,
    /// Lines that each of them writes.
    lines: usize,
}

impl Load {
    /// Writes it from threads of the core this is called on.
    pub fn write(self, pipes: Vec<File>) {
        let text = line().repeat(self.batch);
        let writers = pipes.into_iter().map(|mut pipe| {
            let text = text.clone();
            thread::spawn(move || {
                for _ in 0..self.lines / self.batch {
                    pipe.write_all(&text).expect("somebody reads");
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().for_each(|writer| writer.join().expect("it only writes"));
    }

    fn bytes(self) -> usize {
        self.writers * self.lines * LINE
    }
}

fn line() -> Vec<u8> {
    let mut line = b"dhcp: offered 192.168.8.117 to 52:54:00:12:34:56 for 43200 seconds, as it had it before, ".to_vec();
    line.resize(LINE - 1, b'x');
    line.push(b'\n');
    line
}

/// Lines in large pieces, and one at a time.
pub fn logger(bench: &Bench) -> Vec<Row> {
    let lines = if bench.quick { 10_000 } else { 400_000 };
    let loads = [
        ("in batches of 40", Load { writers: 1, batch: 40, lines }, (3.0, 0.8)),
        (
            "by 16 writers, one a write",
            Load { writers: 16, batch: 1, lines: lines / 32 },
            (1.3, 0.95),
        ),
    ];
    let mut rows = Vec::new();
    for (how, load, (s6, floor)) in loads {
        let megabytes = load.bytes() as f64 / 1e6;
        let figure = format!("{megabytes:.0} MB of lines logged, {how}; floor: `cat`");
        let mut row = Row::new(figure, Milliseconds, Reach::Faster { s6, floor });
        let mut each =
            Row::new("its processor time for each of these lines", Microseconds, Reach::Nothing);
        if load.batch > 1 {
            each.reach = Reach::AtMost(0.2);
        }
        let count = (load.writers * load.lines) as f64;
        let push = |time: &mut Series, cost: &mut Series, (took, busy): (Duration, Duration)| {
            time.push_ms(took);
            cost.push(busy.as_secs_f64() * 1e6 / count);
        };
        let how = "a loop that only labels, writes and rotates (not ward); floor: `cat`";
        let mut least = Row::new(format!("the same by {how}"), Milliseconds, Reach::Nothing);
        for _ in 0..bench.runs {
            push(&mut row.ward, &mut each.ward, own(bench, load));
            let folder = Folder::in_memory("bench-log");
            least.ward.push_ms(bare_log::time(bench, load, &folder.join("bare")));
            let file = folder.join("file");
            let cat =
                || peer(bench, command("cat").stdout(File::create(&file).expect("a file")), load);
            push(&mut row.floor, &mut each.floor, cat());
            let directory = folder.join("log");
            for keeper in &bench.peers {
                let (program, words, row, each): (_, &[&str], _, _) = match keeper {
                    Keeper::Runit => ("svlogd", &["-tt"], &mut row.runit, &mut each.runit),
                    _ => ("s6-log", &["T"], &mut row.s6, &mut each.s6),
                };
                let _ = fs::create_dir(&directory);
                push(row, each, peer(bench, command(program).args(words).arg(&directory), load));
                fs::remove_dir_all(&directory).expect("it was just made");
            }
        }
        least.floor = row.floor.clone();
        rows.extend([row, each, least]);
    }
    rows
}

/// How long our logger takes until it has all of it, and its processor's time.
fn own(bench: &Bench, load: Load) -> (Duration, Duration) {
    let names: Vec<String> = (0..load.writers).map(|number| format!("service{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut init = PretendInit::new(&names, &[]);
    bench.cores.measured(|| init.start(&mut bench.applet("logger")));
    let pid = init.logger().id();
    let pipes = (0..load.writers).map(|slot| init.pipe(slot).try_clone().expect("a descriptor"));
    let pipes = pipes.collect();
    let before = busy(pid);
    let start = Instant::now();
    bench.cores.measured(|| load.write(pipes));
    watch("the last line", || (0..load.writers).all(|slot| init.unread(slot) == 0));
    let time = start.elapsed();
    (time, busy(pid) - before)
}

/// The same of a program that reads its standard input.
fn peer(bench: &Bench, command: &mut Command, load: Load) -> (Duration, Duration) {
    let (near, far) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    command.stdin(near);
    let mut child = bench.cores.measured(|| command.spawn()).expect("it starts");
    // Commands keep what they were given.
    command.stdin(std::process::Stdio::null());
    let start = Instant::now();
    bench.cores.measured(|| load.write(copies(far, load.writers)));
    let busy = ended(&mut child);
    (start.elapsed(), busy)
}

fn copies(far: OwnedFd, count: usize) -> Vec<File> {
    let far = File::from(far);
    (0..count).map(|_| far.try_clone().expect("a descriptor")).collect()
}

/// Waits for its end, and answers how long it had the processor.
fn ended(child: &mut Child) -> Duration {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_child(child);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).expect("it is our child");
    let busy = busy(child.id());
    assert!(child.wait().expect("it is our child").success());
    busy
}

/// Memory of the logger of a hundred services, beside the init and the manager that it shares its program with.
pub fn logger_memory(bench: &Bench) -> Vec<Row> {
    let figure = "memory of the logger (PSS), 100 services";
    let mut row = Row::new(figure, Bytes, Reach::AtMost(1e6));
    let services = Services::write(bench.scale(100), Kind::Longrun).compile(bench);
    let tree = Tree::start_all(bench, &services, Keeper::Ward).0;
    let logger = tree
        .supervision()
        .into_iter()
        .find(|pid| processes::words(*pid).get(1).is_some_and(|word| word == "logger"));
    row.ward.push(memory(logger.expect("there is one")) as f64);
    tree.end();
    vec![row]
}

/// Reading it again.
pub fn reading(bench: &Bench) -> Vec<Row> {
    let folder = Folder::in_memory("bench-log");
    let (names, size) =
        (["dns", "dhcp", "pppd", "ntp"], if bench.quick { 1 << 18 } else { 10 << 20 });
    let mut init = PretendInit::new(&names, &["-n", "1000"]);
    init.start(&mut bench.applet("logger"));
    let lines = size / (LINE + 32);
    for number in 0..lines / 40 {
        init.write(number % names.len(), line().repeat(40));
    }
    watch("the last line", || (0..names.len()).all(|slot| init.unread(slot) == 0));
    let mut row = Row::new(
        "`ward log -s dns` over 10 MB of rotated logs; floor: `cat`",
        Milliseconds,
        Reach::AtMost(50.0),
    );
    let mut own = bench.applet("ward");
    own.args(["log", "-d"]).arg(init.log_dir()).args(["-s", "dns"]);
    let whole = folder.join("whole");
    fs::write(&whole, init.log()).expect("it can be written");
    let mut cat = command("cat");
    cat.arg(&whole);
    for _ in 0..5 * bench.runs {
        row.ward.push_ms(bench.time(&mut own));
        row.floor.push_ms(bench.time(&mut cat));
    }
    let mut local = Row::new(
        "`s6-tai64nlocal` of the same; floor: `cat`",
        Milliseconds,
        Reach::Faster { s6: 5.0, floor: 0.0 },
    );
    let read = |mut command: Command, file: &Path| {
        command.stdin(File::open(file).expect("it was written"));
        bench.time(&mut command)
    };
    for _ in 0..bench.runs {
        local.ward.push_ms(read(bench.applet("s6-tai64nlocal"), &whole));
        local.floor.push_ms(read(command("cat"), &whole));
        if bench.peers.contains(&Keeper::S6) {
            local.s6.push_ms(read(command("s6-tai64nlocal"), &whole));
        }
    }
    vec![row, local]
}
