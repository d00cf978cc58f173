//! Noise from everywhere: into fifos, into sockets, as environment, as words.
//! Nothing falls, spins or grows by it, and what runs goes on.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::machine::{Machine, PATIENCE};
use e2e::peer_tree::Dice;
use e2e::process::{self, alive, cpu, descriptors, memory, memory_peak};
use e2e::{applet, stdout, wait_for};
use model::bytes::Writer;
use model::log::request::ToLogger;
use model::service::manager_request::{Manner, PROTOCOL as MANAGER_PROTOCOL, ToManager};
use model::service::request::{PROTOCOL, Role, ToInit};
use os::socket::Connection;

/// Connects without ever waiting for the other end.
fn stranger(path: &Path) -> Option<Connection> {
    let connection = Connection::connect(path).ok()?;
    connection.set_nonblocking().ok()?;
    Some(connection)
}

/// A machine with a service that ignores all signals that noise may send.
fn machine(what: &str) -> Machine {
    let machine = Machine::new(what);
    machine.longrun(
        "steady",
        "trap '' HUP INT QUIT USR1 USR2 ALRM TERM WINCH ABRT; exec sleep 100000",
    );
    machine.set("steady", "timeout-kill", "100\n");
    machine.sleeper("plain");
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["steady", "plain", "once"]);
    machine.boot();
    machine.wait_up(&["steady", "plain", "once"]);
    machine
}

/// What three processes hold: descriptors and memory.
#[derive(Debug)]
struct Holding {
    pids: [u32; 3],
    descriptors: [usize; 3],
    memory: [u64; 3],
}

impl Holding {
    fn of(machine: &Machine) -> Self {
        let pids = [machine.init_pid(), machine.manager_pid(), machine.logger_pid()];
        Self { pids, descriptors: pids.map(descriptors), memory: pids.map(memory) }
    }

    /// The same at rest: the logger has been given every pipe that init keeps
    /// both ends of.
    fn at_rest(machine: &Machine) -> Self {
        let given = || {
            let kept = process::pipes(machine.init_pid(), 2);
            kept.is_subset(&process::pipes(machine.logger_pid(), 1)).then_some(())
        };
        wait_for("the logger to have all pipes", PATIENCE, given);
        Self::of(machine)
    }

    /// Waits until they hold no more than before, but for `kilobytes`.
    fn expect_again(&self, machine: &Machine, kilobytes: u64) {
        let start = Instant::now();
        loop {
            let now = Self::of(machine);
            assert_eq!(now.pids, self.pids, "nobody has fallen: {}", machine.said());
            let less = |i: usize| {
                now.descriptors[i] <= self.descriptors[i]
                    && now.memory[i] <= self.memory[i] + kilobytes
            };
            if (0..3).all(less) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "before {self:?}, now {now:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Init, manager and logger together may use no more than this share of a
/// processor while nothing is asked of them.
fn expect_rest(machine: &Machine) {
    let pids = [machine.init_pid(), machine.manager_pid(), machine.logger_pid()];
    let used = || pids.map(cpu).into_iter().sum::<Duration>();
    wait_for("rest", PATIENCE, || {
        let before = used();
        std::thread::sleep(Duration::from_millis(300));
        (used() - before < Duration::from_millis(3)).then_some(())
    });
}

/// Everything still does what it is asked.
fn expect_service(machine: &Machine, steady: u32) {
    assert_eq!(machine.wait_pid("steady"), steady, "{}", machine.said());
    machine.change("-d change plain");
    machine.change("-u change plain");
    machine.change("-d change once");
    machine.change("-u change once");
    stdout(applet("status").arg("-l").arg(machine.live()));
}

fn fifo(path: &Path) -> fs::File {
    let mut options = fs::OpenOptions::new();
    // O_NONBLOCK of Linux: a fifo that is full is an error.
    options.write(true).custom_flags(0o4000).open(path).unwrap()
}

#[test]
fn noise_in_fifos_changes_nothing_and_is_forgotten() {
    let machine = machine("fifos");
    let steady = machine.wait_pid("steady");
    let before = Holding::at_rest(&machine);
    let mut dice = Dice(11);
    // Letters that order something are no noise; these are all the others.
    let harmless =
        |orders: &[u8]| -> Vec<u8> { (0..=255).filter(|b| !orders.contains(b)).collect() };
    let control = harmless(b"dDxkKrbOQpPoUuy");
    let scan = harmless(b"tibqnN");
    let paths = [
        (machine.dir("steady").join("supervise/control"), control),
        (machine.scandir().join(".s6-svscan/control"), scan),
    ];
    for round in 0..1000 {
        for (path, letters) in &paths {
            let length = 1 + dice.roll(4000) as usize;
            let pick = |dice: &mut Dice| letters[dice.roll(letters.len() as u64) as usize];
            let noise: Vec<u8> = (0..length).map(|_| pick(&mut dice)).collect();
            let mut fifo = fifo(path);
            // Full is fine; gone is not.
            match fifo.write(&noise).map(drop) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{round}"),
            }
        }
    }
    expect_rest(&machine);
    before.expect_again(&machine, 128);
    expect_service(&machine, steady);
}

fn sockets(machine: &Machine) -> [PathBuf; 3] {
    let log = machine.init_socket().with_file_name("log");
    [machine.init_socket(), machine.live().join("manager"), log]
}

/// The beginning of a conversation that the socket understands.
fn greeting(which: usize, w: &mut Writer) {
    match which {
        0 => ToInit::Hello { protocol: PROTOCOL, role: Role::Client }.write(w),
        1 => ToManager::Hello { protocol: MANAGER_PROTOCOL }.write(w),
        _ => {}
    }
}

/// A request that changes nothing.
fn request(which: usize, dice: &mut Dice, w: &mut Writer) {
    match which {
        0 => match dice.roll(4) {
            0 => ToInit::Take { live: "/nowhere", previous: None }.write(w),
            1 => ToInit::Release { live: "/nowhere" }.write(w),
            2 => ToInit::Want { slot: dice.roll(9) as u32, up: false, ticket: 1 }.write(w),
            _ => ToInit::AllDown.write(w),
        },
        1 => match dice.roll(4) {
            0 => ToManager::Status { id: 1 }.write(w),
            1 => ToManager::Name { name: "nobody" }.write(w),
            2 => ToManager::Convert { old: "plain", new: Some("x"), restart: true }.write(w),
            _ => ToManager::Update {
                id: 2,
                database: "/nowhere",
                manner: Manner::default(),
                as_is: false,
                repeated: false,
                limit: 1,
            }
            .write(w),
        },
        _ => match dice.roll(2) {
            0 => ToLogger::Follow { name: "steady" }.write(w),
            _ => ToLogger::Sync { number: 7 }.write(w),
        },
    }
}

#[test]
fn noise_in_sockets_changes_nothing_and_is_forgotten() {
    let machine = machine("sockets");
    let steady = machine.wait_pid("steady");
    let before = Holding::at_rest(&machine);
    let mut dice = Dice(12);
    for round in 0..3000 {
        for (which, path) in sockets(&machine).iter().enumerate() {
            let Some(stranger) = stranger(path) else { continue };
            let mut w = Writer::new();
            if dice.roll(2) == 0 {
                greeting(which, &mut w);
            }
            let mut message = match dice.roll(4) {
                // Nothing but noise, sometimes more than there may be.
                0 => (0..dice.roll(40_000)).map(|_| dice.roll(256) as u8).collect(),
                // The end of the conversation, as the kernel says it.
                1 => Vec::new(),
                // What is understood, with one byte changed or the end missing.
                _ => {
                    (0..1 + dice.roll(20)).for_each(|_| request(which, &mut dice, &mut w));
                    let mut bytes = w.into_bytes();
                    let at = dice.roll(bytes.len() as u64) as usize;
                    match dice.roll(2) {
                        0 => bytes[at] = dice.roll(256) as u8,
                        _ => bytes.truncate(at),
                    }
                    bytes
                }
            };
            // A byte that says "fall" or "start anew" is obeyed: not noise.
            if which == 0 {
                message.iter_mut().filter(|b| (6..10).contains(*b)).for_each(|b| *b = 200);
            }
            let _ = stranger.send(&message);
            if round % 3 == 0 {
                let _ = stranger.send(&message);
            }
        }
    }
    expect_rest(&machine);
    before.expect_again(&machine, 256);
    expect_service(&machine, steady);
}

#[test]
fn whoever_never_reads_is_let_go_and_costs_little() {
    let machine = Machine::new("deaf");
    machine.longrun("steady", "exec sleep 100000");
    machine.sleeper("plain");
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["steady", "plain", "once"]);
    // The longer the answers are, the more they cost.
    for i in 0..500 {
        machine.oneshot(&format!("a-service-with-a-name-of-some-length-{i}"), "true").set(
            &format!("a-service-with-a-name-of-some-length-{i}"),
            "down",
            "true",
        );
    }
    machine.boot();
    machine.wait_up(&["steady", "plain", "once"]);
    let steady = machine.wait_pid("steady");
    let before = Holding::at_rest(&machine);
    let peaks = before.pids.map(memory_peak);
    for which in 0..3 {
        let mut question = Writer::new();
        match which {
            0 => ToInit::Release { live: "/nowhere" }.write(&mut question),
            1 => ToManager::Status { id: 1 }.write(&mut question),
            _ => ToLogger::Sync { number: 7 }.write(&mut question),
        }
        let mut questions = Writer::new();
        while questions.len() < 30_000 {
            questions.put(question.as_bytes());
        }
        // All of them stay, for as long as they are let.
        let mut all = Vec::new();
        for _ in 0..100 {
            let Some(deaf) = stranger(&sockets(&machine)[which]) else { continue };
            let mut w = Writer::new();
            greeting(which, &mut w);
            let _ = deaf.send(w.as_bytes());
            (0..3).for_each(|_| drop(deaf.send(questions.as_bytes())));
            all.push(deaf);
        }
        expect_rest(&machine);
    }
    before.expect_again(&machine, 2_000);
    let grown: Vec<u64> =
        before.pids.iter().zip(peaks).map(|(pid, peak)| memory_peak(*pid) - peak).collect();
    assert!(grown.iter().all(|grown| *grown < 20_000), "kB more at the worst: {grown:?}");
    expect_service(&machine, steady);
}

#[test]
fn a_flood_on_every_socket_keeps_nobody_out() {
    let machine = machine("flood");
    let steady = machine.wait_pid("steady");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let paths = sockets(&machine);
    std::thread::scope(|scope| {
        for (which, path) in paths.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                let mut dice = Dice(14 + which as u64);
                let mut kept = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let Some(flooder) = stranger(path) else { continue };
                    let mut w = Writer::new();
                    greeting(which, &mut w);
                    let _ = flooder.send(w.as_bytes());
                    let mut buffer = [0; 1 << 16];
                    for _ in 0..300 {
                        let mut w = Writer::new();
                        (0..40).for_each(|_| request(which, &mut dice, &mut w));
                        let _ = flooder.send(w.as_bytes());
                        let _ = flooder.receive(&mut buffer);
                    }
                    // Forgets to leave, until there are many.
                    kept.push(flooder);
                    if kept.len() > 300 {
                        kept.clear();
                    }
                }
            });
        }
        for round in 0..5 {
            for word in ["-d", "-u"] {
                machine.change(&format!("-t 30000 {word} change plain"));
                machine.change(&format!("-t 30000 {word} change once"));
            }
            if round % 5 == 0 {
                stdout(
                    applet("s6-svc").args(["-wr", "-T", "30000", "-r"]).arg(machine.dir("plain")),
                );
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    expect_rest(&machine);
    expect_service(&machine, steady);
}

#[test]
fn an_environment_that_is_huge_or_odd_reaches_services_whole() {
    let machine = Machine::new("environment");
    machine.longrun("tell", "printf '%s\n' \"$ODD\" >odd; printf %s \"$LONG\" | wc -c >long; echo $MANY_9999 >many; exec sleep 100000");
    machine.oneshot("once", "/bin/sh -c \"echo $RC_NAME >once-ran\"").set("once", "down", "true");
    machine.bundle("default", &["tell", "once"]);
    machine.compile_to("db");
    let mut command = applet("init");
    // One string as long as Linux lets it be, many short ones, bytes that are
    // no text, a value of several lines.
    let long = vec![b'x'; model::limits::ENVIRONMENT_STRING_BYTES_MAX - "LONG=".len() - 1];
    let text = |bytes: &[u8]| std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec());
    let odd: std::ffi::OsString = text(b"one\ntwo=\xff\xfe\x1b[31m \\ \" '");
    let long: std::ffi::OsString = text(&long);
    command.env("ODD", &odd).env("LONG", &long);
    for i in 0..10_000 {
        command.env(format!("MANY_{i}"), format!("value number {i}"));
    }
    let init = machine.boot_by(command);
    machine.wait_up(&["tell", "once"]);
    let told = || {
        let read = |name: &str| {
            wait_for(name, PATIENCE, || {
                let path = machine.dir("tell").join(name);
                fs::read(path).ok().filter(|text| text.ends_with(b"\n"))
            })
        };
        assert_eq!(read("odd"), [odd.as_encoded_bytes(), b"\n"].concat());
        assert_eq!(read("long"), format!("{}\n", long.len()).into_bytes());
        assert_eq!(read("many"), b"value number 9999\n");
    };
    told();
    assert_eq!(fs::read_to_string(machine.scandir().join("once-ran")).unwrap(), "once\n");
    // The same from a program that started itself anew.
    stdout(applet("reexec").arg("--fault").arg("-s").arg(machine.scandir()));
    for name in ["odd", "long", "many"] {
        fs::remove_file(machine.dir("tell").join(name)).unwrap();
    }
    stdout(applet("s6-svc").args(["-wr", "-T", "60000", "-r"]).arg(machine.dir("tell")));
    told();
    assert!(alive(init));
}

#[test]
fn an_environment_with_nothing_in_it_is_enough() {
    let machine = Machine::new("bare");
    machine.longrun("tell", "echo \"$PATH\" >path; exec sleep 100000");
    // Found without a path that says where.
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["tell", "once"]);
    machine.compile_to("db");
    let mut bare = Command::new("env");
    bare.arg("-i").arg(e2e::applets().join("init"));
    machine.boot_by(bare);
    machine.wait_up(&["tell", "once"]);
    let path = wait_for("the path", PATIENCE, || {
        fs::read_to_string(machine.dir("tell").join("path")).ok().filter(|t| !t.is_empty())
    });
    assert_eq!(path, "/usr/bin:/usr/sbin:/bin:/sbin\n");
}

#[test]
fn a_live_directory_may_be_named_by_any_path_that_leads_there() {
    let machine = Machine::new("path");
    machine.sleeper("web");
    machine.bundle("default", &["web"]);
    machine.compile_to("db");
    // As /var/run leads to /run on most machines.
    let (there, link) = (machine.join("run"), machine.join("link"));
    fs::create_dir(&there).unwrap();
    std::os::unix::fs::symlink(&there, &link).unwrap();
    let odd = |name: &str| link.join(".//../link//").join(name).to_str().unwrap().to_owned();
    let mut init = applet("init");
    init.args(["-l", &odd("other"), "-c"]).arg(machine.join("db"));
    init.arg("-L").arg(machine.join("logs")).arg(machine.scandir());
    let mut init = init.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let list = || applet("s6-rc").args(["-l", &odd("other"), "-a", "list"]).output().unwrap();
    wait_for("web", PATIENCE, || (list().stdout == b"web\n").then_some(()));
    let update = ["-l", &*odd("other"), &*odd("../db")];
    stdout(applet("s6-rc-update").args(update));
    stdout(applet("s6-rc").args(["-l", &odd("other"), "-d", "change", "web"]));
    e2e::process::send("TERM", init.id());
    assert_eq!(init.wait().unwrap().code(), Some(0));
}

#[test]
fn words_that_make_no_sense_make_no_applet_fall_or_hang() {
    // Alone in namespaces: some of them would start a tree, or end one.
    let script = r#"
        mount -t tmpfs none /run; cd /run
        ward=$1 applets=$2 long=$(head -c 100000 /dev/zero | tr '\0' x)
        try() {
            name=$1; shift; tried=$((tried + 1))
            # What waits for events, or is a tree, must end when it is told to.
            PATH=/nonexistent /usr/bin/timeout -k 20 0.5 "$applets/$name" "$@" </dev/null >/run/said 2>&1
            code=$?
            if [ $code -ge 128 ] || grep -q panicked /run/said; then
                echo "$name $(printf '%s' "$*" | head -c 60): code $code: $(head -c 200 /run/said)"
            fi
        }
        tried=0
        for name in $("$ward" --list); do
            try $name --no-such-option
            try $name "--no-such-option=$(printf '\377')"
            try $name -$(printf '\1')
            try $name -
            try $name ''
            try $name '' '' ''
            try $name -- -- --
            try $name -T
            try $name -t 99999999999999999999
            try $name -l '' ''
            try $name "$long"
            try $name -l "$long" change "$long"
            try $name "$(printf '\7\33[2J/../../..\n.')"
        done
        echo "tried $tried"
    "#;
    let output = Command::new("unshare")
        .args(["-Urmpf", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"])
        .args([e2e::ward(), e2e::applets()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (wrong, tried) = said.trim().rsplit_once("tried ").unwrap_or((&said, "0"));
    assert_eq!(wrong, "", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tried.parse::<u32>().unwrap() > 500, "{tried}");
}
