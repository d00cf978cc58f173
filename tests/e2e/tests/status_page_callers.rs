//! `ward status-page`: whom it answers, and that nothing can be done to it or through it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use e2e::alone::alone;
use e2e::client::Client;
use e2e::device::signal;
use e2e::dice::Dice;
use e2e::machine::{as_user, is_root};
use e2e::page::{
    ADDRESS, PATIENCE, Served, answer, get, house, open_folder, proportional_memory, say, talk,
};
use e2e::process::{cpu, descriptors, switches};
use e2e::{applet, debian, wait_for};
use rustix::process::Signal;

/// A number of the page.
fn number(name: &str) -> Option<f64> {
    let page = get("/metrics");
    let line = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

#[test]
fn nobody_is_answered_who_does_not_mean_this_device() {
    if !alone("nobody_is_answered_who_does_not_mean_this_device") {
        return;
    }
    let device = house("page-names");
    let socket = device.join("page.sock");
    let words = ["-n", "router.lan", ADDRESS, "[::1]:8080", socket.to_str().expect("text")];
    let _served = Served::start(&device, &words);
    let ask = |host: &str| {
        say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("an answer")
    };
    for host in ["127.0.0.1:8080", "localhost", "router.lan:8080", "[::1]:8080", "10.0.0.1"] {
        assert_eq!(ask(host).status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "router.lan.evil.example", "", "a b"] {
        let answer = ask(host);
        assert_eq!(answer.status, 421, "{host}");
        answer.lacks("net");
    }
    let mut stream = TcpStream::connect("[::1]:8080").expect("it listens");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    assert_eq!(answer(stream).expect("an answer").status, 200);
    // No browser gets to a local socket by somebody's name; who does the asking there is a proxy.
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: status.example.org\r\n\r\n").expect("it reads");
    assert_eq!(answer(stream).expect("an answer").status, 200);
    let mode = fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    if !alone("bad_requests_are_refused_and_change_nothing") {
        return;
    }
    let device = house("page-bad");
    let served = Served::start(&device, &[ADDRESS]);
    let before = device.pids();
    for (text, status) in [
        ("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(), 405),
        ("DELETE /service?name=net HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".into(), 405),
        ("PUT /log HTTP/1.0\r\n\r\n".into(), 405),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/3\r\n\r\n".into(), 505),
        ("nonsense\r\n\r\n".into(), 400),
        ("\0\0\r\n\r\n".into(), 400),
        ("GET /../../etc/passwd HTTP/1.0\r\n\r\n".into(), 404),
        ("GET //etc/passwd HTTP/1.0\r\n\r\n".into(), 404),
        ("GET /service?name=../../etc HTTP/1.0\r\n\r\n".into(), 404),
        ("GET /service?name=%3Cscript%3E HTTP/1.0\r\n\r\n".into(), 404),
        (format!("GET / HTTP/1.0\r\nx: {}", "y".repeat(20_000)), 431),
        (format!("GET /{} HTTP/1.0\r\n\r\n", "y".repeat(8_000)), 404),
    ] {
        let answer = say(text.as_bytes()).unwrap_or_else(|| panic!("no answer to {text:.60}"));
        assert_eq!(answer.status, status, "{text:.60}");
    }
    // What is chosen is shown as text, whatever it is.
    get("/log?service=%3Cb%3E%22").lacks("<b>\"").has("data-next=\"/log?service=%3cb%3e%22");
    let mut dice = Dice(7);
    for _ in 0..2_000 {
        let mut bytes = b"GET /log?service=a&from=b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec();
        for _ in 0..dice.below(6) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = dice.below(256) as u8;
        }
        bytes.truncate(1 + dice.below(bytes.len() as u64) as usize);
        bytes.extend_from_slice(b"\n\n");
        if let Some(answer) = say(&bytes) {
            assert!(matches!(answer.status, 200 | 400 | 404 | 405 | 421 | 505), "{answer:?}");
        }
    }
    assert_eq!(device.pids(), before);
    assert_eq!(get("/").status, 200);
    assert!(descriptors(served.pid()) < 50);
}

#[test]
fn slow_callers_and_many_keep_nobody_out() {
    if !alone("slow_callers_and_many_keep_nobody_out") {
        return;
    }
    let device = house("page-slow");
    let served = Served::start(&device, &[ADDRESS]);
    let many: String = (0..2_000).map(|at| format!("line {at} {}\n", "x".repeat(500))).collect();
    talk(&device, many.as_bytes());
    // Some say nothing, some never come to an end, some never read.
    let mut slow: Vec<TcpStream> = Vec::new();
    for at in 0..200 {
        let mut stream = TcpStream::connect(ADDRESS).expect("it listens");
        let text = ["", "GET / HT", "GET /log HTTP/1.0\r\n\r\n"][at % 3];
        let _ = stream.write_all(text.as_bytes());
        slow.push(stream);
        if at % 20 == 0 {
            let begun = Instant::now();
            assert_eq!(get("/").status, 200);
            assert!(begun.elapsed() < Duration::from_secs(4), "after {at}: {:?}", begun.elapsed());
        }
    }
    assert!(descriptors(served.pid()) < 60, "no more than may be");
    let memory = proportional_memory(served.pid());
    assert!(memory < 8_000, "{memory} kB");
    // One who drips is let go in the end.
    let mut dripping = TcpStream::connect(ADDRESS).expect("it listens");
    let begun = Instant::now();
    while dripping.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody lets it go");
    }
    drop(slow);
    // And nothing is left of them, nor does it spin.
    wait_for("their end", PATIENCE, || (descriptors(served.pid()) < 16).then_some(()));
    std::thread::sleep(Duration::from_millis(1_500));
    let before = (cpu(served.pid()), switches(served.pid()));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((cpu(served.pid()), switches(served.pid())), before);
}

/// Fields of `/proc/PID/status`.
fn of_status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.expect("proc(5) has it").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn as_its_user_it_may_look_and_nothing_else() {
    if !is_root() {
        return eprintln!("not shown here: only root can become somebody else");
    }
    if !alone("as_its_user_it_may_look_and_nothing_else") {
        return;
    }
    let device = house("page-user");
    open_folder(&device);
    let socket = device.join("page.sock");
    let words = ["-u", "nobody", ADDRESS, socket.to_str().expect("text")];
    let served = Served::start(&device, &words);
    let pid = served.pid();
    let fresh = || {
        let page = get("/");
        page.lacks("files say").lacks("cannot").has("net</a> <b class=\"good\">");
    };
    fresh();
    talk(&device, b"something\n");
    let said = || get("/log").lacks("cannot be read").body.contains("something</p>").then_some(());
    wait_for("the log", PATIENCE, said);
    assert_eq!(number("doorward_log_readable"), Some(1.0));
    // It is that user for good, in that group alone, without a right and without a way to get one.
    assert_eq!(of_status(pid, "Uid"), "65534 65534 65534 65534");
    assert_eq!(of_status(pid, "Gid"), "65534 65534 65534 65534");
    assert_eq!(of_status(pid, "Groups"), "65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of_status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(of_status(pid, "NoNewPrivs"), "1");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    for limit in ["Max processes", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).expect("proc(5) has it");
        assert!(line.split_whitespace().filter(|word| *word == "0").count() == 2, "{line}");
    }
    // What it holds: standard streams, the loop, two sockets, the log, and who was just here.
    assert!(descriptors(pid) <= 16);
    // As the same user, one can ask, and change nothing.
    let ward = |words: &[&str]| {
        let mut command = as_user(65534, &[], applet("ward").get_program());
        command.args(words);
        Client::run(&mut command)
    };
    let live = device.live();
    let live = live.to_str().expect("text");
    let said = ward(&["status", "-l", live]).expect(0);
    assert!(!said.err.contains("files say"), "{said:?}");
    let before = device.pids();
    for verb in ["stop", "start", "restart"] {
        let said = ward(&[verb, "-l", live, "net"]);
        assert!(said.code != 0, "{verb}: {said:?}");
    }
    let dir = device.dir("net");
    for (program, words) in [
        ("s6-svc", vec!["-d", dir.to_str().expect("text")]),
        ("s6-svscanctl", vec!["-t", device.scandir().to_str().expect("text")]),
    ] {
        let mut command = as_user(65534, &[], applet(program).get_program());
        let said = Client::run(command.args(words));
        assert!(said.code != 0, "{program}: {said:?}");
    }
    assert_eq!(device.pids(), before);
    // Somebody else still has neither the log nor the manager.
    let mut other = as_user(64999, &[], applet("ward").get_program());
    let said = Client::run(other.args(["status", "-l", live]));
    assert!(said.err.contains("files say"), "{said:?}");
    let mut other = as_user(64999, &[], applet("ward").get_program());
    let logs = device.join("logs");
    let said = Client::run(other.args(["log", "-d"]).arg(&logs));
    assert_eq!(said.code, 111, "{said:?}");
    // Another manager, another logger and another database are looked at as well.
    let manager = device.manager_pid();
    signal(manager, Signal::KILL);
    wait_for("another manager", PATIENCE, || (device.manager_pid() != manager).then_some(()));
    let again = || (!get("/").body.contains("files say")).then_some(());
    wait_for("what it says", PATIENCE, again);
    device.sleeper("added");
    let database = device.compile();
    let mut update = applet("s6-rc-update");
    Client::run(update.arg("-l").arg(device.live()).arg(&database)).expect(0);
    let added = || {
        let page = get("/");
        (page.body.contains("added</a>") && !page.body.contains("files say")).then_some(())
    };
    wait_for("the new service", PATIENCE, added);
    fresh();
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    assert!(text.contains("doorward_manager_up 1"), "{text}");
    // Debian's own client sees the tree as before.
    assert!(debian("s6-svstat").arg(&dir).status().expect("it runs").success());
}
