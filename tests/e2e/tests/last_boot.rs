//! What of the log outlives a restart, with files in the places of the kernel's: what the logger
//! writes there and finds there, and what `ward log` shows of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::log::{LONG, Pages, boot, line, mark, said, texts};
use e2e::pretend_init::PretendInit;
use e2e::{Folder, wait_for};
use rustix::process::Signal;

/// What the kernel has kept, and the file whose end it keeps.
struct Memory(Folder);

impl Memory {
    fn new() -> Self {
        let memory = Self(Folder::new("memory"));
        fs::create_dir(memory.found()).expect("mkdir");
        memory.0.write("pmsg", "");
        memory
    }

    fn found(&self) -> std::path::PathBuf {
        self.0.join("pstore")
    }

    fn init(&self, services: &[&str], file: &str) -> PretendInit {
        let [file, found] =
            [self.0.join(file), self.found()].map(|path| path.display().to_string());
        PretendInit::new(services, &["-p", &file, "-P", &found])
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.join("pmsg")).expect("text")
    }
}

fn folder(init: &PretendInit) -> std::path::PathBuf {
    init.log_dir().join("previous-boot")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<String> = entries.map(|entry| name(entry).expect("text")).collect();
    names.sort();
    names
}

#[test]
fn the_logger_writes_the_same_lines_to_where_they_outlive_a_restart() {
    let memory = Memory::new();
    let mut init = memory.init(&["a", "b"], "pmsg");
    init.start_logger();
    init.write(0, "one\n");
    init.expect_lines(&["a one"]);
    wait_for("the line", LONG, || memory.text().ends_with(" a one\n").then_some(()));
    assert_eq!(memory.text().as_bytes(), init.log());
    // Another logger goes on, with a mark and without saying anything twice.
    init.kill_logger();
    init.write(1, "two\n");
    init.start_logger();
    init.expect_lines(&["a one", "b two"]);
    init.end_logger(Signal::TERM);
    assert_eq!(memory.text().as_bytes(), init.log());
    assert!(!folder(&init).exists(), "nothing was kept before");
}

#[test]
fn what_is_left_of_a_ring_has_a_mark_in_it() {
    let memory = Memory::new();
    let mut init = memory.init(&["a"], "pmsg");
    init.start_logger();
    for i in 0..3_000 {
        init.write(0, format!("line {i:040}\n"));
    }
    wait_for("all lines", LONG, || memory.text().ends_with("2999\n").then_some(()));
    init.end_logger(Signal::TERM);
    let text = memory.text();
    let kept = &text[text.len() - 100_000..];
    assert!(kept.contains(" .logger boot "));
    // The kernel shows what is left of the ring, from the middle of a line on.
    let found = Memory::new();
    fs::write(found.found().join("pmsg-ramoops-0"), kept).expect("a file");
    let mut next = found.init(&["a"], "pmsg");
    next.start_logger();
    next.write(0, "next\n");
    next.expect_lines(&["a next"]);
    assert_eq!(fs::read_to_string(folder(&next).join("log")).expect("text"), kept);
    assert!(names(&found.found()).is_empty(), "the kernel may forget it");
}

#[test]
fn memory_that_cannot_be_written_to_or_is_not_there_disturbs_nothing() {
    for file in ["missing", "fifo", "pstore", "full"] {
        let memory = Memory::new();
        let fifo = memory.0.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("mkfifo");
        std::os::unix::fs::symlink("/dev/full", memory.0.join("full")).expect("symlink");
        let mut init = memory.init(&["a"], file);
        if file == "missing" {
            fs::remove_dir(memory.found()).expect("rmdir");
        }
        init.start_logger();
        init.write(0, "one\ntwo\n");
        init.expect_lines(&["a one", "a two"]);
    }
}

#[test]
fn what_was_kept_is_found_once_and_goes_with_the_next_boot() {
    let memory = Memory::new();
    let kept = mark(3, 1_000, 10) + &line(1_001, "dns last words");
    let put = |name: &str, text: &str| fs::write(memory.found().join(name), text).expect("a file");
    put("pmsg-ramoops-0", &kept);
    put("dmesg-ramoops-0", "Oops#1 Part1\n<6>[   10.500000] eth0: down\n");
    put(
        "dmesg-ramoops-1",
        "Panic#2 Part1\n<6>[   10.500000] eth0: down\n<0>[   12.000000] panic\n",
    );
    put("dmesg-ramoops-2.enc.z", "packed");
    put("console-ramoops-0", "all of it\n");
    let mut init = memory.init(&["a"], "pmsg");
    init.start_logger();
    init.write(0, "now\n");
    init.expect_lines(&["a now"]);
    let files = ["console", "dmesg", "found-by", "log"];
    assert_eq!(names(&folder(&init)), files);
    assert_eq!(names(&memory.found()), ["dmesg-ramoops-2.enc.z"], "for people");
    let mode = fs::metadata(folder(&init)).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);

    let last = ["kernel [   10.500000] eth0: down", "kernel [   12.000000] panic"];
    let shown = |words: &[&str]| texts(&init.log_dir(), &[&["--boot", "-1"], words].concat());
    assert_eq!(shown(&[]), ["dns last words", last[0], last[1]]);
    assert_eq!(shown(&["-n", "2"]), last);
    assert_eq!(shown(&["-s", "kernel", "-n", "1"]), last[1..]);
    assert_eq!(shown(&["--grep", "words"]), ["dns last words"]);
    assert_eq!(texts(&init.log_dir(), &[]), ["a now"]);
    assert_eq!(texts(&init.log_dir(), &["--boot", "0"]), ["a now"]);
    said(&init.log_dir(), &["--boot", "-2"]).expect(1);

    // Another logger of this boot leaves it where it is.
    init.end_logger(Signal::TERM);
    init.start_logger();
    init.write(0, "again\n");
    init.expect_lines(&["a now", "a again"]);
    assert_eq!(names(&folder(&init)), files);
    // What another boot has found is not of the one before this one.
    init.end_logger(Signal::TERM);
    fs::write(folder(&init).join("found-by"), boot(7)).expect("a file");
    init.start_logger();
    init.write(0, "later\n");
    init.expect_lines(&["a now", "a again", "a later"]);
    assert!(!folder(&init).exists());
    said(&init.log_dir(), &["--boot", "-1"]).expect(1).has("logging.persistent.enable");
}

/// A directory that outlives a restart itself, but for what was not written to the flash yet.
#[test]
fn lines_that_the_log_has_are_not_shown_twice() {
    let said = |i| if i == 3 { "kernel <6>[   12.500000] x".into() } else { format!("dns {i}") };
    let lines: Vec<String> = (0..6).map(|i| line(1_001 + i, &said(i))).collect();
    let kept = lines[1..].concat();
    let kept = format!("{}{}{kept}", &lines[0][9..], mark(3, 1_000, 10));
    for (in_log, name) in [(6, "all"), (4, "some"), (1, "only one that is lost here"), (0, "none")]
    {
        let mut pages = Pages::default();
        pages.archive(&(mark(2, 500, 1) + &line(500, "dns before")));
        let own = lines[..in_log].concat();
        let own = if in_log > 0 { mark(3, 1_000, 10) + &own } else { own };
        pages.archive(&(own + &mark(4, 2_000, 5) + &line(2_001, "dns after")));
        pages.0.write("previous-boot/log", &kept);
        pages.0.write("previous-boot/dmesg", "<6>[   12.500000] x\n<0>[   19.000000] panic\n");
        let first = usize::from(in_log == 0);
        // What the kernel said before is in the log.
        let mut expected: Vec<String> =
            (first as u64..6).map(said).map(|line| line.replace("<6>", "")).collect();
        expected.push("kernel [   19.000000] panic".into());
        let shown = |words: &[&str]| {
            let mut lines = texts(pages.path(), words);
            lines.retain(|line| !line.starts_with(".logger "));
            lines
        };
        assert_eq!(shown(&["--boot", "-1"]), expected, "{name}");
        assert_eq!(shown(&["--boot", "-2"]), ["dns before"], "{name}");
        assert_eq!(shown(&["--boot", "0"]), ["dns after"], "{name}");
        let last = &expected[expected.len() - 3..];
        assert_eq!(shown(&["--boot", "-1", "-n", "3"]), last, "{name}");
    }
}

/// The clock was set: lines from before have the time that they really had, and the kernel's, too.
#[test]
fn times_are_right_also_where_the_clock_was_set() {
    let mut pages = Pages::default();
    pages.archive(&(mark(4, 3_000, 5) + &line(3_001, "dns after")));
    let kept =
        [mark(3, 100, 10), line(101, "dns early"), mark(3, 2_000, 20), line(2_001, "dns late")];
    pages.0.write("previous-boot/log", kept.concat());
    pages.0.write("previous-boot/dmesg", "[   21.500000] y\n");
    let said = said(pages.path(), &["--boot", "-1"]).expect(0).out;
    let times: Vec<_> = said.lines().map(|line| line.split(' ').nth(1).expect("a time")).collect();
    let expected = ["11.000000000*", "20.000000000", "21.000000000", "21.500000000"];
    assert_eq!(times, expected.map(|time| format!("01:33:{time}")), "{said}");
}
