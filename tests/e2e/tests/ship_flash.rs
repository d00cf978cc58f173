//! `ward ship` into a directory: a log on flash that restarts and power cuts lose little of and
//! double nothing of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::log::{LONG, Shipper, said, shipper, texts, written};
use e2e::pretend_init::PretendInit;
use e2e::{Folder, debian, stdout, wait_for};
use rustix::process::Signal;

/// The compressed files, the oldest first, with their sizes.
fn files(flash: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(flash).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".lz4"));
    let mut files: Vec<_> = files
        .map(|entry| (entry.path(), entry.metadata().map_or(0, |found| found.len())))
        .collect();
    files.sort();
    files
}

fn size(flash: &Path) -> u64 {
    files(flash).iter().map(|(_, size)| size).sum()
}

/// `service text` of what is there.
fn shown(flash: &Path) -> Vec<String> {
    if files(flash).is_empty() { Vec::new() } else { texts(flash, &[]) }
}

fn logged(init: &PretendInit) -> Vec<String> {
    init.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

fn wait_shown(flash: &Path, lines: usize) {
    wait_for("the lines", LONG, || (shown(flash).len() >= lines).then_some(()));
}

#[test]
fn lines_are_written_together_and_what_is_urgent_at_once() {
    let folder = Folder::new("flash");
    let flash = folder.join("log");
    let init = written(100);
    let shipper = Shipper::start(&init.log_dir(), &flash, &[]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size(&flash), 0, "they wait");
    init.write(0, "<3>bad\n");
    wait_shown(&flash, 101);
    assert_eq!(files(&flash).len(), 1);
    let size = size(&flash);
    assert!(size < 101 * 30, "{size} bytes");
    init.write(1, "<4>not as bad\n");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shown(&flash).len(), 101);
    shipper.end();
    assert_eq!(
        shown(&flash),
        logged(&init)
            .iter()
            .map(|line| line.replace("<3>", "").replace("<4>", ""))
            .collect::<Vec<_>>()
    );
    // All of it is there, byte by byte.
    let text = stdout(debian("lz4cat").arg(&files(&flash)[0].0));
    assert_eq!(text.as_bytes(), init.log());
    // The next one goes on.
    init.write(0, "later\n");
    let shipper = Shipper::start(&init.log_dir(), &flash, &["-i", "1"]);
    wait_shown(&flash, 103);
    shipper.end();
    assert_eq!(shown(&flash).last().unwrap(), "a later");
    assert_eq!(shown(&flash).len(), 103);
}

#[test]
fn a_write_that_was_cut_anywhere_counts_for_nothing_and_comes_again() {
    let folder = Folder::new("flash");
    let flash = folder.join("whole");
    let init = written(4);
    let start = || Shipper::start(&init.log_dir(), &flash, &["-i", "0"]);
    let shipper = start();
    wait_shown(&flash, 4);
    shipper.end();
    let before = size(&flash);
    let first = shown(&flash);
    init.write(0, "one more\n");
    let shipper = start();
    wait_shown(&flash, 5);
    shipper.end();
    let all = shown(&flash);
    assert_eq!(all, logged(&init));
    let name = files(&flash)[0].0.clone();
    let bytes = fs::read(&name).unwrap();
    for end in 0..bytes.len() as u64 {
        // Of the first record not every byte: they are alike.
        if end < before && end % 7 != 0 {
            continue;
        }
        let cut = folder.join(format!("cut{end}"));
        fs::create_dir(&cut).unwrap();
        let file = cut.join(name.file_name().unwrap());
        fs::write(&file, &bytes[..end as usize]).unwrap();
        let left = if end < before { &[][..] } else { &first };
        assert_eq!(shown(&cut), left, "{end} of {} bytes", bytes.len());
        let shipper = Shipper::start(&init.log_dir(), &cut, &["-i", "0"]);
        wait_shown(&cut, 5);
        drop(shipper);
        assert_eq!(shown(&cut), all, "{end} of {} bytes", bytes.len());
        fs::remove_dir_all(&cut).unwrap();
    }
}

#[test]
fn a_log_on_flash_never_grows_beyond_what_it_may_have() {
    const TOTAL: u64 = 20_000;
    let folder = Folder::new("flash");
    let flash = folder.join("log");
    let mut init = PretendInit::new(&["a"], &["-s", "50000", "-n", "100"]);
    init.start_logger();
    let total = TOTAL.to_string();
    let start = || Shipper::start(&init.log_dir(), &flash, &["-i", "0", "-t", &total]);
    let mut shipper = start();
    let mut seed = 1_u64;
    let mut count = 0;
    for round in 0..60 {
        for _ in 0..20 {
            // What does not compress well.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            init.write(0, format!("{count} {seed:x}{:x}\n", seed.rotate_left(17)));
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
        assert!(size(&flash) <= TOTAL, "{}", size(&flash));
        if round % 10 == 9 {
            drop(std::mem::replace(&mut shipper, start()));
        }
    }
    wait_for("the last line", LONG, || {
        let number = format!("a {} ", count - 1);
        shown(&flash).last().is_some_and(|line| line.starts_with(&number)).then_some(())
    });
    assert!(files(&flash).len() > 1 && size(&flash) > TOTAL / 3);
    let all = logged(&init);
    let left = shown(&flash);
    assert_eq!(left[..], all[all.len() - left.len()..], "the newest are kept, each once");
}

#[test]
fn boots_are_told_apart_on_flash() {
    let folder = Folder::new("flash");
    let flash = folder.join("log");
    for boot in 1..=3_u8 {
        // As in memory, nothing is left of the one before.
        let log = folder.join(format!("log{boot}"));
        let wall = 1_700_000_000 + 1_000 * u64::from(boot);
        let text =
            e2e::log::mark(boot, wall, 5) + &e2e::log::line(wall + 1, &format!("a in {boot}"));
        folder.write(format!("log{boot}/current"), text);
        let shipper = Shipper::start(&log, &flash, &["-i", "0"]);
        wait_for("the line", LONG, || {
            shown(&flash).last().is_some_and(|line| *line == format!("a in {boot}")).then_some(())
        });
        shipper.end();
    }
    assert_eq!(texts(&flash, &["--boot", "-1", "-s", "a"]), ["a in 2"]);
    assert_eq!(texts(&flash, &["--boot", "0", "-s", "a"]), ["a in 3"]);
    assert_eq!(texts(&flash, &["-s", "a"]), ["a in 1", "a in 2", "a in 3"]);
    assert_eq!(texts(&flash, &["-n", "2", "-s", "a"]), ["a in 2", "a in 3"]);
    let all = said(&flash, &[]).expect(0).out;
    assert!(!all.contains("missing"), "{all}");
}

#[test]
fn one_directory_has_one_writer() {
    let folder = Folder::new("flash");
    let flash = folder.join("log");
    let mut init = written(3);
    let _shipper = Shipper::start(&init.log_dir(), &flash, &["-i", "0"]);
    wait_shown(&flash, 3);
    let other = shipper(&init.log_dir(), &flash, &[]).output().unwrap();
    assert_eq!(other.status.code(), Some(111), "{other:?}");
    init.end_logger(Signal::TERM);
}

#[test]
fn a_flash_that_is_full_keeps_the_newest_lines() {
    let folder = Folder::new("flash");
    fs::create_dir(folder.join("small")).unwrap();
    let mut init = PretendInit::new(&["a"], &["-s", "50000", "-n", "100"]);
    init.start_logger();
    // A file system of 64 kB in which somebody else has half.
    let script = "mount -t tmpfs -o size=64k none \"$1/small\"; cd \"$1/small\"
        busybox dd if=/dev/zero of=other bs=4096 count=8 2>/dev/null
        busybox mkdir log
        (while sleep 0.05; do cp log/*.lz4 \"$1\"; done) 2>/dev/null &
        exec \"$2\" ship -i 0 -d \"$3\" \"$1/small/log\"";
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "-p", "-f", "--kill-child", "sh", "-c", script, "sh"]);
    command.arg(folder.path()).arg(e2e::ward()).arg(init.log_dir());
    let mut shipper = None;
    // All of it at once at first, which is more than there is room for.
    let mut seed = 1_u64;
    for count in 0..2_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        init.write(0, format!("{count} {seed:x}{:x}\n", seed.rotate_left(17)));
        if count == 1_000 {
            shipper = Some(Shipper(command.spawn().expect("unshare runs")));
        }
        if count > 1_000 && count % 20 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    wait_for("the last line", LONG, || {
        shown(folder.path()).last().is_some_and(|line| line.starts_with("a 1999 ")).then_some(())
    });
    drop(shipper);
}

#[test]
fn what_is_only_on_flash_is_shown_before_what_is_in_memory_and_nothing_twice() {
    let folder = Folder::new("flash");
    let flash = folder.join("log");
    // A boot of which only flash has something, and one whose beginning was removed from memory.
    let text = e2e::log::mark(1, 1_700_000_000, 5) + &e2e::log::line(1_700_000_001, "a before");
    folder.write("old/current", text);
    let shipper = Shipper::start(&folder.join("old"), &flash, &["-i", "0"]);
    wait_shown(&flash, 1);
    shipper.end();
    let mut init = PretendInit::new(&["a"], &["-s", "4096", "-n", "3"]);
    init.start_logger();
    let log = init.log_dir();
    wait_for("the log", LONG, || log.join("current").exists().then_some(()));
    let shipper = Shipper::start(&log, &flash, &["-i", "0"]);
    let mut expected = vec!["a before".to_owned()];
    for i in 0..800 {
        init.write(0, format!("line {i}\n"));
        expected.push(format!("a line {i}"));
        if i % 10 == 0 {
            wait_for("the line", LONG, || (init.unread(0) == 0).then_some(()));
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    let last = || texts(&flash, &["-n", "1"]) == ["a line 799"];
    wait_for("the last line", LONG, || last().then_some(()));
    let own = |words: &[&str]| texts(&log, &[&["-s", "a"], words].concat());
    assert!(logged(&init).len() < 700, "memory has all of it");
    assert_eq!(own(&[]), expected);
    assert_eq!(own(&["-n", "700"]), expected[101..]);
    assert_eq!(own(&["--boot", "-1"]), ["a before"]);
    // What flash does not have yet stands behind it all the same.
    e2e::process::send("KILL", shipper.0.id());
    drop(shipper);
    init.write(0, "only in memory\n");
    expected.push("a only in memory".to_owned());
    wait_for("the line", LONG, || (own(&["-n", "1"]) == ["a only in memory"]).then_some(()));
    assert_eq!(own(&[]), expected);
    // A flash that goes back less far than memory adds nothing.
    fs::remove_file(&files(&flash)[0].0).unwrap();
    let shipper = Shipper::start(&log, &flash, &["-i", "0", "-t", "2500"]);
    wait_for("the line", LONG, || {
        (shown(&flash).last().is_some_and(|line| line == "a only in memory")).then_some(())
    });
    drop(shipper);
    init.write(0, "<3>the end\n");
    let shipper = Shipper::start(&log, &flash, &["-t", "2500"]);
    wait_for("the line", LONG, || {
        (shown(&flash).last().is_some_and(|line| line == "a the end")).then_some(())
    });
    drop(shipper);
    assert!(shown(&flash).len() < logged(&init).len());
    assert_eq!(
        own(&[]),
        logged(&init).iter().map(|line| line.replace("<3>", "")).collect::<Vec<_>>()
    );
    // And without flash there is what memory has.
    fs::remove_dir_all(&flash).unwrap();
    assert_eq!(own(&["-n", "2"]), ["a only in memory", "a the end"]);
}
