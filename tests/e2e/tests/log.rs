//! `ward log`: reads what the logger wrote, in its order, whatever lies there.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use e2e::client::Client;
use e2e::device::Device;
use e2e::log::{BERLIN, LONG, Pages, line, log, mark, said, text, texts, written};
use e2e::pretend_init::PretendInit;
use e2e::{Folder, debian, wait_for};
use rustix::process::Signal;

#[test]
fn all_files_are_one_log_with_the_times_that_s6_shows() {
    let init = written(1_000);
    let mut localize = debian("s6-tai64nlocal");
    localize.env("TZ", BERLIN).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut localize = localize.spawn().unwrap();
    localize.stdin.take().unwrap().write_all(&init.log()).unwrap();
    let output = String::from_utf8(localize.wait_with_output().unwrap().stdout).unwrap();
    let expected: Vec<&str> = output.lines().filter(|line| !line.contains(" .logger ")).collect();
    let found = said(&init.log_dir(), &[]).expect(0);
    assert_eq!(found.out.lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 1_000);
}

#[test]
fn one_sees_the_last_lines_those_of_a_service_and_those_that_match() {
    let init = written(1_000);
    let directory = init.log_dir();
    assert!(texts(&directory, &["-n", "0"]).is_empty());
    let all = texts(&directory, &[]);
    for count in [1, 2, 55, 400, 999, 1_000, 5_000] {
        let last = &all[all.len().saturating_sub(count)..];
        assert_eq!(texts(&directory, &["-n", &count.to_string()]), last);
        // The same, where it cannot go back from the end.
        let counted = ["-n", &count.to_string(), "--since", "-1d", "--boot", "0"];
        assert_eq!(texts(&directory, &counted), last);
    }
    let of_b = texts(&directory, &["-s", "b"]);
    assert_eq!(of_b, (1..1_000).step_by(2).map(|i| format!("b line {i}")).collect::<Vec<_>>());
    assert_eq!(texts(&directory, &["-s", "b", "-n", "2"]), ["b line 997", "b line 999"]);
    assert_eq!(texts(&directory, &["-s", "a", "-s", "b", "-n", "2000"]), all);
    assert_eq!(texts(&directory, &["--grep", "^line [12]00$"]), ["a line 100", "a line 200"]);
    assert_eq!(texts(&directory, &["--grep", "line", "-n", "1", "-s", "a"]), ["a line 998"]);
    assert_eq!(texts(&directory, &["--grep", "^b"]), [""; 0], "a name is no text");
}

#[test]
fn one_sees_what_was_said_in_a_time() {
    let init = written(1_000);
    let directory = init.log_dir();
    // Labels that stand in the log choose exactly.
    let log = String::from_utf8(init.log()).unwrap();
    let lines: Vec<(&str, &str)> = log
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .filter(|(_, text)| !text.starts_with(".logger "))
        .collect();
    for at in [0, 1, 300, 701, 999] {
        let label = lines[at].0;
        let since: Vec<&str> =
            lines.iter().filter(|line| line.0 >= label).map(|line| line.1).collect();
        let until: Vec<&str> =
            lines.iter().filter(|line| line.0 <= label).map(|line| line.1).collect();
        assert_eq!(texts(&directory, &["--since", label]), since);
        assert_eq!(texts(&directory, &["--until", label]), until);
    }
    for (words, all) in [
        (["--since", "boot"], true),
        (["--since", "2m ago"], true),
        (["--since", "2001-02-03 04:05"], true),
        (["--until", "-1h"], false),
        (["--since", "2200-01-01"], false),
    ] {
        assert_eq!(texts(&directory, &words).len(), if all { 1_000 } else { 0 }, "{words:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_mistake() {
    let init = written(5_000);
    let mut command = log(&init.log_dir(), &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Two boots that began in 1970, and had their clocks set.
fn two_boots() -> Pages {
    let mut pages = Pages::default();
    pages.archive(&[mark(1, 10, 10), line(11, "a first")].concat());
    let set = [mark(1, 20, 20), line(21, "a second"), mark(1, 1_700_000_030, 30)].concat();
    pages.archive(&(set + &line(1_700_000_031, "a third")));
    pages.archive(&[mark(1, 1_700_000_040, 40), line(1_700_000_041, "b fourth")].concat());
    let next = [mark(2, 5, 5), line(6, "a fifth"), mark(2, 1_700_001_000, 60)].concat();
    pages.0.write("current", next + &line(1_700_001_001, "b sixth"));
    pages
}

#[test]
fn lines_from_before_the_clock_was_set_have_their_real_time() {
    let pages = two_boots();
    let shown = said(pages.path(), &[]).expect(0).out;
    let shown: Vec<&str> = shown.lines().map(|line| line.split(" 000").next().unwrap()).collect();
    let boot_1 = "boot 111111111111111111111111111111111111 up";
    let boot_2 = "boot 222222222222222222222222222222222222 up";
    assert_eq!(
        shown,
        [
            "2023-11-14 23:13:31.000000000* a first",
            "2023-11-14 23:13:41.000000000* a second",
            &format!("2023-11-14 23:13:50.000000000 .logger {boot_1} 30.000000000"),
            "2023-11-14 23:13:51.000000000 a third",
            "2023-11-14 23:14:01.000000000 b fourth",
            &format!("2023-11-14 23:29:05.000000000* .logger {boot_2} 5.000000000"),
            "2023-11-14 23:29:06.000000000* a fifth",
            &format!("2023-11-14 23:30:00.000000000 .logger {boot_2} 60.000000000"),
            "2023-11-14 23:30:01.000000000 b sixth",
        ]
    );
    // From the middle on it is the same.
    for count in 1..=6 {
        let last = said(pages.path(), &["-n", &count.to_string()]).expect(0).out;
        let last: Vec<&str> = last.lines().collect();
        let lines = last.iter().filter(|line| !line.contains(".logger")).count();
        assert_eq!(lines, count, "{last:?}");
        assert_eq!(last, shown[shown.len() - last.len()..]);
    }
    let since = said(pages.path(), &["--since", "2023-11-14 23:13:41", "-s", "a"]).expect(0).out;
    let since: Vec<&str> = since.lines().map(text).collect();
    assert_eq!(since, ["a second", "a third", "a fifth"]);
    let until = ["--until", "2023-11-14 23:13:41", "-s", "a"];
    assert_eq!(texts(pages.path(), &until), ["a first", "a second"]);
}

#[test]
fn one_sees_one_boot_and_is_told_which_there_are() {
    let pages = two_boots();
    let of = |words: &[&str]| texts(pages.path(), &[&["-s", "a", "-s", "b"], words].concat());
    assert_eq!(of(&["--boot", "0"]), ["a fifth", "b sixth"]);
    assert_eq!(of(&["--boot", "-1"]), ["a first", "a second", "a third", "b fourth"]);
    assert_eq!(of(&["--boot", "-1", "-n", "2"]), ["a third", "b fourth"]);
    let said_of = |words: &[&str]| said(pages.path(), words);
    assert!(said_of(&["--boot", "-2"]).expect(1).err.contains("2 boots are in this log"));
    assert!(said_of(&["--boot", "1"]).expect(100).err.contains("no boot comes after"));
    let empty = Folder::new("log");
    assert!(said(empty.path(), &["--boot", "0"]).expect(1).err.contains("0 boots are"));
}

#[test]
fn programs_get_an_object_for_each_line() {
    let pages = two_boots();
    let mut current = fs::OpenOptions::new().append(true).open(pages.0.join("current")).unwrap();
    current.write_all(line(1_700_001_002, "b \"\x1b\\ü").as_bytes()).unwrap();
    current.write_all(line(1_700_001_003, "c ").replace("c ", "c \u{1}").as_bytes()).unwrap();
    current.write_all(b"no label \xff").unwrap();
    let out = said(pages.path(), &["--json", "-s", "a", "-s", "b", "-n", "3"]).expect(0).out;
    let objects: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["text"], "fifth");
    assert_eq!(objects[0]["time"], "2023-11-14T22:29:06.000000000Z");
    assert_eq!(objects[0]["label"], "@40000000000000100000000000"[..25]);
    assert_eq!(objects[0]["corrected"], true);
    assert_eq!(objects[0]["boot"], "2".repeat(36));
    assert_eq!(objects[1]["corrected"], serde_json::Value::Null);
    assert_eq!(objects[2]["text"], "\"\x1b\\ü");
    let out = said(pages.path(), &["--json", "-n", "1"]).expect(0).out;
    let last: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(last["text"], "no label \u{fffd}");
    assert_eq!(last["bytes"].as_array().unwrap().last().unwrap(), 255);
    assert_eq!(last["service"], serde_json::Value::Null);
}

#[test]
fn the_logger_marks_each_file_each_start_and_another_clock() {
    let mut init = PretendInit::new(&["a"], &["-s", "4096", "-n", "1000"]);
    init.start_logger();
    for i in 0..200 {
        init.write(0, format!("line {i}\n"));
    }
    wait_for("all lines", LONG, || (init.lines().len() == 200).then_some(()));
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let expected = format!(".logger boot {} up ", id.trim());
    let mut files = 0;
    for entry in fs::read_dir(init.log_dir()).unwrap().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"@") {
            let file = fs::read_to_string(entry.path()).unwrap();
            let marks: Vec<_> = file.match_indices(&expected).map(|(at, _)| at).collect();
            assert_eq!(marks, [26], "one, and at the beginning");
            files += 1;
        }
    }
    assert!(files > 2);
    let marks =
        |init: &PretendInit| String::from_utf8(init.log()).unwrap().matches(&expected).count();
    let before = marks(&init);
    init.kill_logger();
    init.start_logger();
    init.write(0, "before\n");
    init.expect_end("a before");
    assert_eq!(marks(&init), before + 1);
    assert_eq!(texts(&init.log_dir(), &[]).len(), 201, "nobody is told what is not new");
    // The clock that never jumps is another now, as if the wall clock had been set by as much.
    init.end_logger(Signal::TERM);
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["--user", "--map-root-user", "--time", "--boottime", "1000", "--fork"]);
    elsewhere.arg("--kill-child").arg(e2e::ward()).arg("logger");
    init.start(&mut elsewhere);
    init.write(0, "after\n");
    init.expect_end("a after");
    let shown = said(&init.log_dir(), &["-n", "2"]).expect(0).out;
    let shown: Vec<(&str, &str)> =
        shown.lines().map(|line| line.split_once(" a ").unwrap_or((line, ""))).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown[0].0.ends_with('*') && shown[0].1 == "before", "{shown:?}");
    assert!(shown[1].0.contains(&expected), "{shown:?}");
    assert!(!shown[2].0.ends_with('*') && shown[2].1 == "after", "{shown:?}");
}

#[test]
fn a_line_cannot_steer_the_terminal_and_services_have_colours_there() {
    let init = PretendInit::new(&["a"], &[]);
    fs::create_dir(init.log_dir()).unwrap();
    let text = b"@400000000000000a00000000 a \x1b[2Jgone\x07 \xff \xe2\x80\xae\n";
    fs::write(init.log_dir().join("current"), text).unwrap();
    let plain = r"1970-01-01 01:00:00.000000000 a \x1b[2Jgone\x07 \xff \xe2\x80\xae";
    assert_eq!(said(&init.log_dir(), &[]).expect(0).out, format!("{plain}\n"));
    // Behind a mark, the first word is the name of a service.
    let marked = [mark(1, 10, 5).as_bytes(), text].concat();
    fs::write(init.log_dir().join("current"), marked).unwrap();
    let on_terminal = |before: &str| {
        let mut command = debian("script");
        let line = format!("{before} ward log -d {}", init.log_dir().display());
        command.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::null());
        command.env("PATH", e2e::path_with_applets()).env("TZ", BERLIN).env_remove("NO_COLOR");
        e2e::stdout(&mut command)
    };
    assert_eq!(on_terminal("NO_COLOR=1"), format!("{plain}\r\n"));
    let coloured = on_terminal("");
    let (before, after) = coloured.split_once("\x1b[3").expect("there is a colour");
    assert_eq!(before, "1970-01-01 01:00:00.000000000 ");
    assert_eq!(&after[1..], &format!("ma\x1b[0m{}\r\n", &plain[31..]));
}

#[test]
fn a_name_that_nobody_has_is_named_and_a_bundle_stands_for_its_services() {
    let pages = two_boots();
    let told = said(pages.path(), &["-s", "aa"]).expect(3).err;
    assert!(told.contains("no service aa is in the log") && told.contains("did you mean a?"));
    let told = said(pages.path(), &["-s", "b", "-s", "wombat"]).expect(3);
    assert!(!told.err.contains("mean") && told.out.lines().count() == 2, "{}", told.err);
    // It has said nothing in the last lines, and is in the log all the same.
    assert_eq!(texts(pages.path(), &["-s", "b", "--boot", "0"]), ["b sixth"]);

    let device = Device::new("log");
    device.sleeper("a").sleeper("quiet").sleeper("c").bundle("both", &["a", "quiet"]);
    device.bundle("default", &["both"]);
    device.start().wait_booted();
    let of = |name: &str| {
        let mut command = device.ward_command("log -d");
        Client::run(command.arg(pages.path()).args(["-s", name])).expect(0).out.lines().count()
    };
    assert_eq!((of("both"), of("quiet"), of("b")), (4, 0, 2));
}

#[test]
fn a_log_of_s6_log_is_read_too() {
    let folder = Folder::new("log");
    let directory = folder.join("logs");
    let mut child = debian("s6-log");
    child.args(["t", "n100", "s4096"]).arg(&directory).stdin(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for i in 0..1_000 {
        writeln!(input, "said {i}").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let expected: Vec<String> = (0..1_000).map(|i| format!("said {i}")).collect();
    assert_eq!(texts(&directory, &[]), expected);
    assert_eq!(texts(&directory, &["-n", "600"]), expected[400..]);
    assert_eq!(texts(&directory, &["--since", "-10m"]), expected);
    assert_eq!(texts(&directory, &["--until", "-10m"]), [""; 0]);
    let told = said(&directory, &["-s", "said"]).expect(3).err;
    assert!(told.contains("does not name services"), "{told}");
    let object = said(&directory, &["--json", "-n", "1"]).expect(0).out;
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((object["text"].as_str(), object["service"].as_str()), (Some("said 999"), None));
}

#[test]
fn foreign_and_damaged_files_are_read_past() {
    let mut pages = two_boots();
    // Half a mark, half a label, bytes of anything, a line without end, nothing at all.
    pages.archive(&mark(3, 1_700_002_000, 1)[..60]);
    pages.archive("@4000000000000");
    pages.archive("");
    pages.archive(&"x".repeat(300_000));
    pages.archive(&[line(1_700_002_001, "a torn"), "@400".to_owned()].concat());
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    pages.0.write("@40000000700000000000000a.s", bytes);
    let name = "@40000000700000000000000b.s";
    fs::create_dir(pages.0.join(name)).unwrap();
    std::os::unix::fs::symlink("/nowhere", pages.0.join("@40000000700000000000000c.u")).unwrap();
    pages.0.write("@40000000700000000000000d.gz", "compressed");
    pages.0.write("state", "of a processor");
    let all = said(pages.path(), &[]).expect(0).out;
    for text in ["a first", "b fourth", "a torn", "@400\n", "b sixth"] {
        assert!(all.contains(text), "{text}");
    }
    for words in [
        &["-n", "10"][..],
        &["--since", "2023-11-14"],
        &["--boot", "0"],
        &["--boot", "-1", "-n", "3"],
        &["--json"],
        &["-s", "a"],
        &["--until", "2023-11-14", "-n", "5"],
    ] {
        said(pages.path(), words).expect(0);
    }
    // What nobody can read from at all.
    fs::remove_file(pages.0.join("current")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pages.0.join("current"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    said(pages.path(), &["-n", "10"]).expect(0);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = Folder::new("log");
    for (words, code, told) in [
        (&["-n", "x"][..], 100, "not a number"),
        (&["--since", "yesterday"], 100, "is no time"),
        (&["--grep", "("], 100, "no expression"),
        (&["dns"], 100, "named by -s"),
        (&["--boot", "x"], 100, "not a number"),
        (&["-q"], 100, "no option -q"),
        (&["-d", "/nowhere"], 111, "cannot read /nowhere"),
        (&["-f", "-d", "/nowhere"], 111, "cannot read /nowhere"),
    ] {
        let said = said(folder.path(), words).expect(code);
        assert!(said.err.contains(told), "{words:?}: {}", said.err);
    }
    assert_eq!(said(folder.path(), &[]).expect(0).out, "");
}
