//! `ward ship`: the log at a server, every line in order, whatever becomes of the server, of the
//! shipper and of the files.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::http::{Reply, Server};
use e2e::log::{LONG, Shipper, written};
use e2e::pretend_init::PretendInit;
use e2e::process::switches;
use e2e::rsyslog::{By, Rsyslog};
use e2e::{Folder, wait_for};

/// A shipper of a device called `router`.
fn start(directory: &Path, target: &str, words: &[&str]) -> Shipper {
    Shipper::start(directory, target, &[&["--host", "router"], words].concat())
}

/// Messages of services, without those of the logger: `service text`.
fn texts(server: &Rsyslog) -> Vec<String> {
    let said = server.said();
    let words = said.iter().map(|line| line.splitn(8, ' ').collect::<Vec<_>>());
    let own = words.filter(|words| words[3] != ".logger");
    own.map(|words| format!("{} {}", words[3], words[7])).collect()
}

fn wait_lines(server: &Rsyslog, lines: usize) {
    wait_for("all lines", LONG, || (texts(server).len() >= lines).then_some(()));
}

/// What the log holds, as `service text`.
fn logged(init: &PretendInit) -> Vec<String> {
    init.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

/// One by one, since nobody reads what two long lists have not in common.
fn assert_same(said: &[String], logged: &[String]) {
    for (at, (said, logged)) in said.iter().zip(logged).enumerate() {
        assert_eq!(said, logged, "line {at}");
    }
    assert_eq!(said.len(), logged.len());
}

#[test]
fn a_syslog_server_gets_all_that_was_said_since_the_first_line() {
    let init = written(500);
    let mut server = Rsyslog::new(By::Tcp);
    server.start();
    let _shipper = start(&init.log_dir(), &server.tcp(), &[]);
    wait_lines(&server, 500);
    assert_same(&texts(&server), &logged(&init));
    init.write(0, "<3>bad\n");
    wait_lines(&server, 501);
    let said = server.said();
    assert_eq!(said.len(), 501);
    let words: Vec<_> = said[500].splitn(8, ' ').collect();
    assert_eq!(words[0], "27");
    assert!(words[1].starts_with("20") && words[1].ends_with('Z') && words[1].len() == 27);
    assert_eq!(words[2..], ["router", "a", "-", "-", "-", "bad"]);
}

#[test]
fn datagrams_bring_every_line_and_an_absent_server_gets_what_it_missed() {
    let init = written(300);
    let mut server = Rsyslog::new(By::Udp);
    let _shipper = start(&init.log_dir(), &server.udp(), &[]);
    std::thread::sleep(Duration::from_millis(300));
    server.start();
    wait_for("all lines", LONG, || (unique(&texts(&server)).len() >= 300).then_some(()));
    assert_same(&unique(&texts(&server)), &logged(&init));
    init.write(0, [&[b'x'; 8000][..], b" \xff\x1b\0end\n"].concat());
    wait_for("the long one", LONG, || {
        let said = texts(&server);
        said.iter().any(|text| text.ends_with("x \u{fffd}#033#000end")).then_some(())
    });
}

/// The first of each.
fn unique(texts: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    texts.iter().filter(|text| seen.insert(text.as_str())).cloned().collect()
}

#[test]
fn killed_on_both_sides_and_rotated_under_load_every_line_arrives_in_order() {
    let names = ["one", "two", "three"];
    let mut init = PretendInit::new(&names, &["-s", "20000", "-n", "100000"]);
    init.start_logger();
    let mut server = Rsyslog::new(By::Tcp);
    server.start();
    let folder = Folder::new("ship");
    let cursor = folder.join("below/cursor");
    let words = ["-C", cursor.to_str().unwrap()];
    let mut shipper = start(&init.log_dir(), &server.tcp(), &words);
    let mut lines = 0;
    for round in 0..20 {
        for _ in 0..200 {
            let text = "=".repeat(lines % 200);
            init.write(lines % 3, format!("{lines:06} {text}\n"));
            lines += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
        match round % 5 {
            1 => {
                drop(std::mem::replace(&mut shipper, start(&init.log_dir(), &server.tcp(), &words)))
            }
            3 => {
                if round % 2 == 0 {
                    server.kill()
                } else {
                    server.end()
                }
                server.start();
            }
            _ => {}
        }
    }
    init.write(0, "the end\n");
    wait_for("the last line", LONG, || {
        texts(&server).last().is_some_and(|text| text == "one the end").then_some(())
    });
    let said = texts(&server);
    assert_same(&unique(&said), &logged(&init));
    // What came twice is what was under way, or had just been, when somebody was killed.
    assert!(said.len() < 3 * lines, "{} lines for {lines}", said.len());
}

#[test]
fn a_shipper_that_starts_again_goes_on_and_tells_of_what_is_gone() {
    let mut init = PretendInit::new(&["a"], &["-s", "4096", "-n", "2"]);
    init.start_logger();
    let mut server = Rsyslog::new(By::Tcp);
    server.start();
    let folder = Folder::new("ship");
    let cursor = folder.join("cursor");
    let words = ["-C", cursor.to_str().unwrap()];
    init.write(0, "first\n");
    let shipper = start(&init.log_dir(), &server.tcp(), &words);
    wait_lines(&server, 1);
    wait_for("the cursor", LONG, || cursor.exists().then_some(()));
    shipper.end();
    init.write(0, "second\n");
    let shipper = start(&init.log_dir(), &server.tcp(), &words);
    wait_lines(&server, 2);
    assert_eq!(texts(&server), ["a first", "a second"]);
    shipper.end();
    for i in 0..1000 {
        init.write(0, format!("line {i}\n"));
    }
    init.write(0, "last\n");
    wait_for("the log", LONG, || {
        logged(&init).last().is_some_and(|line| line == "a last").then_some(())
    });
    let _shipper = start(&init.log_dir(), &server.tcp(), &words);
    wait_for("the last line", LONG, || {
        texts(&server).last().is_some_and(|text| text == "a last").then_some(())
    });
    let logged = logged(&init);
    assert_same(&texts(&server)[2..], &logged);
    let said = server.said();
    let gone: Vec<_> = said.iter().filter(|line| line.contains("lines are missing")).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].starts_with("28 ") && said[2].contains("lines are missing"));
}

#[test]
fn nothing_is_done_while_nothing_is_said_and_while_nobody_listens() {
    let init = written(10);
    let mut server = Rsyslog::new(By::Tcp);
    let shipper = start(&init.log_dir(), &server.tcp(), &[]);
    // It tries after 1 and 3 seconds; the log grows meanwhile.
    std::thread::sleep(Duration::from_millis(500));
    let before = switches(shipper.0.id());
    for _ in 0..50 {
        init.write(0, "growing\n");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(switches(shipper.0.id()) - before < 12, "it looks at the log of a server that is down");
    server.start();
    wait_lines(&server, 60);
    wait_for("rest", LONG, || {
        let before = switches(shipper.0.id());
        std::thread::sleep(Duration::from_secs(2));
        (switches(shipper.0.id()) == before).then_some(())
    });
    let memory = e2e::process::memory(shipper.0.id());
    assert!(memory < 1000, "{memory} kB");
}

/// `service text` of the objects that were taken.
fn objects(server: &Server) -> Vec<String> {
    let bodies = server.taken();
    let lines = bodies.iter().flat_map(|(_, body)| body.lines());
    let objects = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let own = objects.filter(|object| object["service"] != ".logger");
    own.map(|object| {
        format!("{} {}", object["service"].as_str().unwrap(), object["_msg"].as_str().unwrap())
    })
    .collect()
}

#[test]
fn an_http_server_gets_objects_however_it_answers() {
    use Reply::*;
    let replies = [
        Status(503),
        CutBefore,
        CutAfter,
        Chunked,
        Long,
        Status(429),
        Slow,
        Closing,
        Empty,
        Status(500),
    ];
    let init = written(0);
    let server = Server::start(&replies);
    let path = "/insert/jsonline?_stream_fields=host,service";
    let _shipper = start(&init.log_dir(), &server.url(path), &[]);
    for i in 0..12 {
        let requests = server.requests();
        init.write(i % 2, format!("<{}>line {i} \"\x01\n", i % 8));
        wait_for("a request", LONG, || (server.requests() > requests).then_some(()));
    }
    wait_for("all", LONG, || (unique(&objects(&server)).len() >= 12).then_some(()));
    assert_same(
        &unique(&objects(&server)),
        &logged(&init)
            .iter()
            .map(|line| {
                let (service, text) = line.split_once(' ').unwrap();
                format!("{service} {}", text.split_once('>').unwrap().1)
            })
            .collect::<Vec<_>>(),
    );
    // Only an answer that was cut off makes a line come twice.
    assert!(objects(&server).len() <= 15, "{:?}", objects(&server));
    let taken = server.taken();
    assert_eq!(taken[0].0, format!("POST {path} HTTP/1.1"));
    let object: serde_json::Value =
        serde_json::from_str(taken[0].1.lines().next().unwrap()).unwrap();
    assert_eq!((object["host"].as_str(), object["priority"].as_i64()), (Some("router"), Some(0)));
    assert!(object["_time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(object["boot"].as_str().map(str::len), Some(36));
}

#[test]
fn a_line_that_a_server_refuses_does_not_keep_the_others_away() {
    let init = written(0);
    for i in 0..40 {
        init.write(0, format!("line {i}.\n"));
    }
    wait_for("all lines", LONG, || (init.lines().len() == 40).then_some(()));
    let server = Server::start(&[Reply::RefusedWith("line 23.")]);
    let _shipper = start(&init.log_dir(), &server.url("/"), &[]);
    wait_for("all", LONG, || (objects(&server).len() >= 39).then_some(()));
    let expected: Vec<_> = logged(&init).into_iter().filter(|line| line != "a line 23.").collect();
    assert_same(&objects(&server), &expected);
    let bodies: String = server.taken().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.matches("it was not taken").count(), 1);
    assert!(server.connections() < 3, "they all go over one connection");
}

#[test]
fn loki_gets_streams() {
    let init = written(20);
    let server = Server::start(&[]);
    let _shipper = start(&init.log_dir(), &server.url("/loki/api/v1/push"), &[]);
    wait_for("a request", LONG, || (!server.taken().is_empty()).then_some(()));
    let mut said = Vec::new();
    wait_for("all", LONG, || {
        said.clear();
        for (_, body) in server.taken() {
            let body: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
            for stream in body["streams"].as_array().unwrap() {
                assert_eq!(stream["stream"]["host"], "router");
                let value = &stream["values"][0];
                assert!(value[0].as_str().is_some_and(|nanos| nanos.len() == 19));
                let service = stream["stream"]["service"].as_str().unwrap().to_owned();
                said.push(format!("{service} {}", value[1].as_str().unwrap()));
            }
        }
        (said.len() >= 20).then_some(())
    });
    assert_same(&said, &logged(&init));
}

#[test]
fn a_name_is_looked_up_where_the_device_looks() {
    let init = written(3);
    let folder = Folder::new("names");
    folder.write("resolv.conf", "search lan\nnameserver 127.0.0.9\nnameserver 127.0.0.1\n");
    folder.write("hosts", "127.0.0.1 localhost\n");
    // Networks and files of its own; what runs there ends with it.
    let script = "ip link set lo up; cd \"$1\"
        mount --bind resolv.conf /etc/resolv.conf; mount --bind hosts /etc/hosts
        dnsmasq --keep-in-foreground --no-hosts --no-resolv \
            --listen-address=127.0.0.1 --bind-interfaces --user= --group= --pid-file= \
            --address=/vl.lan/127.0.0.1 --address=/vl.lan/fd00::1 &
        sleep 1000 | busybox nc -l -p 514 >said & exec \"$2\" ship -d \"$3\" syslog+tcp://vl";
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "-n", "-p", "-f", "--kill-child", "sh", "-c", script, "sh"]);
    command.arg(folder.path()).arg(e2e::ward()).arg(init.log_dir());
    let _all = Shipper(command.spawn().expect("unshare runs"));
    wait_for("the lines", LONG, || {
        let said = std::fs::read_to_string(folder.join("said")).unwrap_or_default();
        (said.matches("line ").count() == 3).then_some(())
    });
}
