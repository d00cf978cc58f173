//! `s6-rc-compile`, `s6-rc-db` and `doorward services`, from outside.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use e2e::{Folder, applet, debian, doorward, stdout, wait_for};

/// Services that need each other as those of a small router do.
fn router() -> Folder {
    let folder = Folder::new("compile");
    for name in ["dnsmasq", "dropbear", "pppd", "pppd-log"] {
        folder.write(format!("source/{name}/type"), "longrun\n");
        folder.write(format!("source/{name}/run"), "#!/bin/sh\nexec sleep 1000\n");
    }
    for (name, text) in [
        ("lan/type", "oneshot\n"),
        ("lan/up", "/bin/sh -c \"ip link set lan up\"\n"),
        ("lan/down", "foreground { ip link set lan down } true\n"),
        ("lan/flag-essential", ""),
        ("hostname/type", "oneshot\n"),
        ("hostname/up", ""),
        ("dnsmasq/dependencies.d/lan", ""),
        ("dnsmasq/timeout-up", "20000\n"),
        ("dropbear/dependencies.d/network", ""),
        ("pppd/producer-for", "pppd-log\n"),
        ("pppd/flag-recommended", ""),
        ("pppd-log/consumer-for", "pppd\n"),
        ("pppd-log/pipeline-name", "wan\n"),
        ("network/type", "bundle\n"),
        ("network/contents.d/dnsmasq", ""),
        ("network/contents.d/hostname", ""),
        ("network/contents.d/wan", ""),
    ] {
        folder.write(format!("source/{name}"), text);
    }
    folder
}

fn compile(folder: &Folder, to: &str) -> Output {
    let mut command = applet("s6-rc-compile");
    command.arg(folder.join(to)).arg(folder.join("source"));
    command.output().expect("ward runs")
}

fn compiled() -> Folder {
    let folder = router();
    let output = compile(&folder, "db");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn ask(folder: &Folder, line: &str) -> Output {
    let mut command = applet("s6-rc-db");
    command.arg("-c").arg(folder.join("db")).args(line.split(' '));
    command.output().expect("ward runs")
}

#[test]
fn a_database_answers_every_question_in_the_order_of_the_peer() {
    let folder = compiled();
    for (line, expected) in [
        ("check", ""),
        ("list services", "dnsmasq dropbear pppd pppd-log hostname lan"),
        ("list longruns", "dnsmasq dropbear pppd pppd-log"),
        ("list oneshots", "hostname lan"),
        ("list bundles", "wan network"),
        ("list all", "lan hostname pppd-log pppd dropbear dnsmasq wan network"),
        ("-e list all", "hostname pppd-log pppd dropbear dnsmasq wan network"),
        ("-e -E list oneshots", "hostname lan"),
        ("type lan", "oneshot"),
        ("type pppd", "longrun"),
        ("type wan", "bundle"),
        ("timeout dnsmasq", "20000"),
        ("-d timeout dnsmasq", "0"),
        ("contents network", "dnsmasq pppd pppd-log hostname"),
        ("dependencies dropbear", "hostname pppd-log pppd dnsmasq"),
        ("-d dependencies lan", "dnsmasq"),
        ("dependencies network", "lan pppd-log"),
        ("all-dependencies dropbear", "lan hostname pppd-log pppd dropbear dnsmasq"),
        ("-ud all-dependencies lan pppd-log", "lan pppd-log pppd dropbear dnsmasq"),
        ("--down all-dependencies lan", "lan dropbear dnsmasq"),
        ("atomics wan lan", "lan pppd-log pppd"),
        ("pipeline pppd", "pppd/pppd-log"),
        ("pipeline pppd-log", "pppd/pppd-log"),
        ("pipeline dropbear", "dropbear"),
        ("flags lan", "00000001"),
        ("flags pppd", "00000002"),
        ("flags dropbear", "00000000"),
        ("script lan", "/bin/sh\0-c\0ip link set lan up\0"),
        ("-d script lan", "foreground\0 ip\0 link\0 set\0 lan\0 down\0\0true\0"),
        ("-b script hostname", ""),
    ] {
        let output = ask(&folder, line);
        let text = String::from_utf8_lossy(&output.stdout);
        let words: Vec<&str> = text.lines().collect();
        assert_eq!(words.join(" "), expected, "s6-rc-db {line}");
        assert_eq!(output.status.code(), Some(0), "s6-rc-db {line}");
    }
    assert!(String::from_utf8_lossy(&ask(&folder, "help").stdout).contains("all-dependencies"));
}

#[test]
fn a_question_that_has_no_answer_says_why_by_its_exit_code() {
    let folder = compiled();
    for (line, code, word) in [
        ("type dnsmsaq", 3, "did you mean dnsmasq?"),
        ("atomics lan nothing", 3, "nothing"),
        ("contents lan", 5, "no bundle"),
        ("script pppd", 5, "no oneshot"),
        ("script wan", 5, "no longrun or oneshot"),
        ("pipeline lan", 5, "no longrun"),
        ("pipeline wan", 5, "no longrun"),
        ("timeout wan", 5, "no longrun or oneshot"),
        ("flags network", 5, "no longrun or oneshot"),
        ("list everything", 100, "list takes"),
        ("list", 100, "needs a name"),
        ("type lan pppd", 100, "takes one name"),
        ("chek", 100, "did you mean check?"),
        ("-q check", 100, "no option -q"),
        ("--quiet check", 100, "no option --quiet"),
    ] {
        let output = ask(&folder, line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "s6-rc-db {line}: {text}");
        assert!(text.contains(word), "s6-rc-db {line}: {text}");
    }
    let refused = |arguments: &[&str]| {
        applet("s6-rc-db").args(arguments).output().expect("ward runs").status.code()
    };
    assert_eq!(refused(&["-c", "/nonexistent", "check"]), Some(111));
    assert_eq!(refused(&["-l", "/nonexistent", "check"]), Some(111));
    assert_eq!(refused(&[]), Some(100));
}

#[test]
fn the_live_directory_leads_to_its_database() {
    let folder = compiled();
    std::fs::create_dir(folder.join("live")).unwrap();
    std::os::unix::fs::symlink("../db", folder.join("live/compiled")).unwrap();
    let found = stdout(applet("s6-rc-db").arg("-l").arg(folder.join("live")).args(["type", "lan"]));
    assert_eq!(found, "oneshot\n");
}

#[test]
fn damage_to_a_database_is_found_and_never_believed() {
    let folder = compiled();
    let path = folder.join("db/db");
    let good = std::fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> =
        vec![Vec::new(), b"not a database".to_vec(), good[..good.len() - 1].to_vec()];
    damaged.push([&good[..], b"\n"].concat());
    // One bit in every part of the file.
    for part in 0..60 {
        let mut bytes = good.clone();
        bytes[part * good.len() / 60] ^= 1 << (part % 8);
        damaged.push(bytes);
    }
    for bytes in damaged {
        std::fs::write(&path, &bytes).unwrap();
        let output = ask(&folder, "check");
        assert_eq!(output.status.code(), Some(4), "{bytes:?}");
        assert!(!output.stderr.is_empty());
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(ask(&folder, "check").status.code(), Some(0));
}

#[test]
fn mistakes_are_printed_all_at_once_and_nothing_is_written() {
    let folder = router();
    folder.write("source/lan/up", "if { true\n");
    folder.write("source/lan/dependencies", "\nhostnam\n");
    folder.write("source/dropbear/timeout-up", "soon\n");
    folder.write("source/pppd/dependencies.d/pppd", "");
    let output = compile(&folder, "db");
    let text = String::from_utf8_lossy(&output.stderr)
        .replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [
        "source/lan/up:1: the block that begins here never ends",
        "source/lan/dependencies:2: there is no service hostnam",
        "  hint: did you mean hostname?",
        "source/dropbear/timeout-up:1: \"soon\" is no number",
        "source/pppd/dependencies.d/pppd: a cycle: pppd -> pppd",
        "s6-rc-compile: fatal: 4 mistakes; no database was written",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is not in:\n{text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");

    let output = services(&["check"], &folder.join("source"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("     2 | hostnam\n"), "{text}");
    assert!(text.contains("4 mistakes in the services"), "{text}");
}

#[test]
fn the_compiler_takes_the_options_of_the_peer() {
    let folder = router();
    folder.write("source/pppd/notification-fd", "1\n");
    let (source, database) = (folder.join("source"), folder.join("db"));
    let run = |options: &[&str]| {
        let _ = std::fs::remove_dir_all(&database);
        let mut command = applet("s6-rc-compile");
        let output = command.args(options).arg(&database).arg(&source).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["-v0", "-b", "-h", "nobody"]), (Some(0), String::new()));
    assert!(run(&[]).1.contains("warning: descriptor 1"));
    assert!(run(&["--verbosity=2"]).1.contains("4 longruns, 2 oneshots and 2 bundles"));
    assert_eq!(run(&["-x"]).0, Some(100));
    assert_eq!(run(&["-v", "much"]).0, Some(100));
    let code = |arguments: &[&Path]| {
        applet("s6-rc-compile").args(arguments).output().unwrap().status.code()
    };
    assert_eq!(code(&[&database]), Some(100));
    assert_eq!(code(&[&database, Path::new("/nonexistent")]), Some(111));
    assert_eq!(code(&[&source, &source]), Some(111));
    assert_eq!(code(&[Path::new("/nonexistent/db"), &source]), Some(111));
}

#[test]
fn a_database_is_the_same_wherever_and_by_whomever_it_is_made() {
    let (folder, other) = (compiled(), compiled());
    let bytes = |folder: &Folder| std::fs::read(folder.join("db/db")).unwrap();
    assert_eq!(bytes(&folder), bytes(&other));
    let mut host = Command::new(doorward());
    stdout(host.args(["services", "compile"]).arg(folder.join("host")).arg(folder.join("source")));
    assert_eq!(std::fs::read(folder.join("host/db")).unwrap(), bytes(&folder));
    assert_eq!(services(&["compile"], &folder.join("alone")).status.code(), Some(100));
    std::fs::remove_dir_all(folder.join("db")).unwrap();
    std::fs::rename(folder.join("host"), folder.join("db")).unwrap();
    assert!(ask(&folder, "check").status.success());
}

fn services(arguments: &[&str], last: &Path) -> Output {
    let mut command = Command::new(doorward());
    command.arg("services").args(arguments).arg(last).output().expect("doorward runs")
}

#[test]
fn the_graph_shows_needs_pipes_and_bundles() {
    let folder = router();
    let output = services(&["graph"], &folder.join("source"));
    let text = String::from_utf8_lossy(&output.stdout);
    for line in [
        "digraph services {",
        "  \"dnsmasq\" -> \"lan\";",
        "  \"pppd\" -> \"pppd-log\" [style=bold];",
        "  \"lan\" [shape=ellipse,penwidth=3];",
        "  \"wan\" -> \"pppd\" [style=dashed,color=grey];",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn ten_thousand_services_in_a_chain_compile() {
    const COUNT: usize = 10_000;
    let folder = Folder::in_memory("many");
    for number in 0..COUNT {
        let at = folder.join(format!("source/s{number}"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("type"), "longrun\n").unwrap();
        std::fs::write(at.join("run"), "#!/bin/sh\n").unwrap();
        if number > 0 {
            std::fs::write(at.join("dependencies"), format!("s{}\n", number - 1)).unwrap();
        }
    }
    let output = compile(&folder, "db");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(ask(&folder, "check").status.success());
    let last = format!("all-dependencies s{}", COUNT - 1);
    let count = ask(&folder, &last).stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(count, COUNT);
}

/// A process of a test, ended with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked and not killed, so that a supervisor takes its service with it.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn debians_supervisor_runs_a_service_of_a_database() {
    let folder = Folder::new("debian");
    folder.write("source/greeter/type", "longrun\n");
    let run = "#!/bin/sh\ncat env/WORD data/word >greeting\necho >&4\nexec sleep 1000\n";
    folder.write("source/greeter/run", run);
    folder.write("source/greeter/notification-fd", "4\n");
    folder.write("source/greeter/down-signal", "KILL\n");
    folder.write("source/greeter/env/WORD", "hello ");
    folder.write("source/greeter/data/word", "world\n");
    assert!(compile(&folder, "db").status.success());
    let service = folder.join("db/servicedirs/greeter");
    let limit = Duration::from_secs(30);
    {
        let child = debian("s6-supervise").arg(&service).stderr(Stdio::null()).spawn().unwrap();
        let _running = Running(child);
        wait_for("readiness", limit, || {
            let mut command = debian("s6-svstat");
            let output = command.args(["-o", "ready,up"]).arg(&service).output().ok()?;
            (output.stdout == b"true true\n").then_some(())
        });
        assert_eq!(std::fs::read_to_string(service.join("greeting")).unwrap(), "hello world\n");
    }

    let scandir = folder.join("scan");
    std::fs::create_dir(&scandir).unwrap();
    std::os::unix::fs::symlink(&service, scandir.join("greeter")).unwrap();
    std::fs::remove_file(service.join("greeting")).unwrap();
    let svscan = debian("s6-svscan").arg(&scandir).stderr(Stdio::null()).spawn().unwrap();
    let _running = Running(svscan);
    wait_for("the greeting", limit, || {
        std::fs::read_to_string(service.join("greeting")).ok().filter(|text| !text.is_empty())
    });
    let down = debian("s6-svc").args(["-d", "-wD"]).arg(scandir.join("greeter")).status();
    assert!(down.unwrap().success());
    let signal = stdout(debian("s6-svstat").args(["-o", "signal"]).arg(scandir.join("greeter")));
    assert_eq!(signal, "SIGKILL\n", "the down signal was not the one that was asked for");
}
