//! The logger of everything, given pipes by a pretend init: what it writes,
//! and that killing it changes nothing of that.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use e2e::dice::Dice;
use e2e::pretend_init::PretendInit;
use e2e::wait_for;
use os::log::follow::{Follower, Inbox, News};
use rustix::process::Signal;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn each_line_has_a_label_the_service_and_its_text() {
    let mut init = PretendInit::new(&["dns", "ppp"], &[]);
    init.write(0, "before the logger\n");
    init.start_logger();
    init.expect_lines(&["dns before the logger"]);
    init.write(1, "Connect: ppp0 <--> /dev/pts/0\n\n");
    init.expect_lines(&["dns before the logger", "ppp Connect: ppp0 <--> /dev/pts/0", "ppp "]);
    let slot = init.add_service("late");
    init.write(slot, "here, too\n");
    wait_for("the late line", LONG, || (init.lines().len() == 4).then_some(()));
    assert_eq!(init.lines()[3], b"late here, too");
}

#[test]
fn an_unfinished_line_waits_for_its_end() {
    let mut init = PretendInit::new(&["a", "b"], &[]);
    init.start_logger();
    init.write(0, "log");
    init.write(1, "other\n");
    init.expect_lines(&["b other"]);
    init.write(0, "in:");
    init.write(1, "another\n");
    init.expect_lines(&["b other", "b another"]);
    assert_eq!(init.unread(0), 6, "it stays in the pipe");
    // Killed in between, it is still one line.
    init.kill_logger();
    init.write(0, " root\nnext");
    init.start_logger();
    init.expect_lines(&["b other", "b another", "a login: root"]);
    // The service is gone for good: what is left is its last line.
    init.tell(&model::service::request::FromInit::PipeEnded { slot: 0 }, &[]);
    init.expect_lines(&["b other", "b another", "a login: root", "a next"]);
}

#[test]
fn a_write_that_fills_the_pipe_behind_an_unfinished_line_is_noticed() {
    let mut init = PretendInit::new(&["a", "marker"], &[]);
    init.start_logger();
    init.write(0, "begun");
    init.write(1, "m\n");
    init.expect_lines(&["marker m"]);
    // Also where init has started itself anew, and named the pipe again.
    init.hang_up();
    init.welcome();
    init.write(1, "m\n");
    init.expect_lines(&["marker m", "marker m"]);
    // One blocking write, much longer than a pipe: epoll says nothing of it.
    let mut text = b" and ended\n".to_vec();
    while text.len() < 300_000 {
        text.extend_from_slice(b"0123456789012345678901234567890\n");
    }
    let mut pipe = init.pipe(0).try_clone().unwrap();
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    let writer = std::thread::spawn(move || pipe.write_all(&text).unwrap());
    wait_for("all lines", LONG, || (init.lines().len() == count + 2).then_some(()));
    writer.join().unwrap();
    assert_eq!(init.lines()[2], b"a begun and ended");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_says_so() {
    let mut init = PretendInit::new(&["a"], &[]);
    init.start_logger();
    let line: String = (0..20_000).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    init.write(0, format!("{line}\nshort\n"));
    wait_for("four lines", LONG, || (init.lines().len() == 4).then_some(()));
    let lines = init.lines();
    let pieces = [&line[..8192], &line[8192..16384], &line[16384..]];
    assert_eq!(lines[0], format!("a {} [continued]", pieces[0]).into_bytes());
    assert_eq!(lines[1], format!("a {} [continued]", pieces[1]).into_bytes());
    assert_eq!(lines[2], format!("a {}", pieces[2]).into_bytes());
    assert_eq!(lines[3], b"a short");
}

#[test]
fn a_pipe_full_of_short_pieces_without_newline_does_not_block_its_writer() {
    let mut init = PretendInit::new(&["a"], &[]);
    // Two pages, and each write that does not fit the rest of a page takes a new one.
    rustix::pipe::fcntl_setpipe_size(init.pipe(0), 8192).unwrap();
    init.start_logger();
    let mut pipe = init.pipe(0).try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..4 {
            pipe.write_all(&[b'x'; 2100]).unwrap();
        }
        pipe.write_all(b"end\n").unwrap();
    });
    wait_for("the end", LONG, || init.log().ends_with(b"end\n").then_some(()));
    writer.join().unwrap();
    let text: Vec<u8> = init.lines().concat();
    assert_eq!(text.iter().filter(|&&byte| byte == b'x').count(), 8400);
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let mut init = PretendInit::new(&["a"], &[]);
    init.start_logger();
    init.write(0, b"\0nul\0 \xff\xfe \x1b[31m\r\n\0\n");
    wait_for("two lines", LONG, || (init.lines().len() == 2).then_some(()));
    assert_eq!(init.lines(), [&b"a \0nul\0 \xff\xfe \x1b[31m\r"[..], b"a \0"]);
}

#[test]
fn files_are_rotated_and_named_as_s6_log_does_it() {
    let mut init = PretendInit::new(&["a"], &["-s", "4096", "-n", "3"]);
    init.start_logger();
    for i in 0..1000 {
        init.write(0, format!("line number {i}\n"));
    }
    wait_for("the last line", LONG, || init.log().ends_with(b"number 999\n").then_some(()));
    let mut found: Vec<_> = std::fs::read_dir(init.log_dir())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap()))
        .filter(|(name, _)| name != ".journal")
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mode = |i: usize| found[i].1.permissions().mode() & 0o777;
    assert_eq!(found.len(), 6, "three archives, current, lock, state");
    for (at, (name, about)) in found[..3].iter().enumerate() {
        assert!(model::log::archive::Archive::parse(name.as_bytes()).is_some(), "{name}");
        assert_eq!(mode(at), 0o744);
        // Rotated as soon as the size is nearer than 2000 bytes.
        assert!((2096..2096 + 60).contains(&about.len()), "{}", about.len());
    }
    for (at, name) in ["current", "lock", "state"].into_iter().enumerate() {
        assert_eq!(found[3 + at].0, name);
        assert_eq!(mode(3 + at), 0o644);
    }
    // What is left are the newest lines, none missing between them.
    let lines = init.lines();
    let first = 1000 - lines.len();
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line, format!("a line number {}", first + i).as_bytes());
    }
    // SIGALRM rotates at once.
    init.signal(Signal::ALARM);
    wait_for("an empty current", LONG, || {
        (std::fs::metadata(init.log_dir().join("current")).ok()?.len() == 0).then_some(())
    });
    init.write(0, "more\n");
    wait_for("more", LONG, || init.log().ends_with(b"a more\n").then_some(()));
}

#[test]
fn a_flood_takes_nothing_of_what_others_said_last() {
    const SIZE: u64 = 20_000;
    let size = SIZE.to_string();
    let mut init = PretendInit::new(&["flood", "quiet", "rare"], &["-s", &size, "-n", "4"]);
    init.start_logger();
    init.write(1, (0..200).map(|i| format!("line {i}\n")).collect::<String>());
    wait_for("quiet lines", LONG, || init.log().ends_with(b"line 199\n").then_some(()));
    let mut said = 0_u32;
    let mut flood = |init: &PretendInit, lines: u32| {
        for _ in 0..lines {
            init.write(0, format!("flood {said:0100}\n"));
            said += 1;
        }
        let end = format!("flood {:0100}\n", said - 1);
        wait_for("the flood", LONG, || init.log().ends_with(end.as_bytes()).then_some(()));
        said
    };
    flood(&init, 500);
    init.write(2, "once\n");
    flood(&init, 3000);
    // Another logger knows what the first one kept, wherever that was killed.
    init.kill_logger();
    init.start_logger();
    let said = flood(&init, 3000);
    let names = archives(&init);
    assert_eq!(names.len(), 5, "four, and one with what was kept: {names:?}");
    let total: u64 = names.iter().map(|(_, bytes)| bytes).sum();
    assert!(total <= 5 * SIZE, "{total}");
    let lines: Vec<_> = init.lines_and_marks();
    let of = |service: &str| {
        let all = lines.iter().filter_map(|line| line.strip_prefix(service));
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    // As many as are kept of one service, and these are the last.
    let quiet = of("quiet ");
    assert!((40..200).contains(&quiet.len()), "{quiet:?}");
    assert!(quiet.iter().rev().eq(
        (0..200).rev().map(|i| format!("line {i}")).take(quiet.len()).collect::<Vec<_>>().iter()
    ));
    assert_eq!(of("rare "), ["once"]);
    let flooded = of("flood ");
    let dropped: Vec<u64> = of(".logger dropped ")
        .iter()
        .map(|text| text.strip_suffix(" lines").unwrap().parse().unwrap())
        .collect();
    let all = 200 + 1 + u64::from(said);
    assert_eq!(
        dropped,
        [all - (quiet.len() + 1 + flooded.len()) as u64],
        "what is missing is counted"
    );
    // The flood itself is there without a hole, once more is kept of it than of others.
    let last: Vec<_> = (0..said).rev().take(500).map(|i| format!("flood {i:0100}")).collect();
    assert!(flooded.iter().rev().take(500).eq(&last));
}

#[test]
fn a_program_makes_something_of_finished_files_and_is_not_waited_for() {
    let folder = e2e::Folder::new("processor");
    let go_on = folder.join("go-on");
    // The first time it fails, then it takes its time.
    let command = format!(
        "[ -e {0}/failed ] || {{ touch {0}/failed; exit 1; }}
        until [ -e {0}/go-on ]; do sleep 0.05; done; sed s/number/NUMBER/",
        folder.path().display()
    );
    let mut init = PretendInit::new(&["a"], &["-s", "4096", "-n", "500", "-x", &command]);
    init.start_logger();
    let mut said = 0;
    let mut say = |init: &PretendInit, lines: u32| {
        for _ in 0..lines {
            init.write(0, format!("number {said}\n"));
            said += 1;
        }
        wait_for("the last line", LONG, || {
            init.log().ends_with(format!("number {}\n", said - 1).as_bytes()).then_some(())
        });
    };
    say(&init, 1000);
    let previous = init.log_dir().join("previous");
    assert!(previous.exists(), "it is not ready yet");
    let current = std::fs::metadata(init.log_dir().join("current")).unwrap().len();
    assert!(current < 5 * 4096, "{current}");
    // Nobody takes the work of a program that was left behind for that of its successor.
    init.kill_logger();
    init.start_logger();
    say(&init, 100);
    std::fs::write(go_on, "").unwrap();
    wait_for("its end", LONG, || (!previous.exists()).then_some(()));
    for _ in 0..20 {
        say(&init, 50);
        wait_for("its end", LONG, || (!previous.exists()).then_some(()));
    }
    assert!(archives(&init).len() > 10);
    let lines = init.lines();
    let number =
        |line: &[u8]| String::from_utf8(line[9..].to_vec()).unwrap().parse::<u32>().unwrap();
    assert!(lines.iter().map(|line| number(line)).eq(0..2100), "each once, in their order");
    let processed = lines.iter().filter(|line| line.starts_with(b"a NUMBER")).count();
    let plain = lines.iter().filter(|line| line.starts_with(b"a number")).count();
    assert!(processed > 900 && plain > 400 && processed + plain == 2100, "{processed} {plain}");
}

#[test]
fn what_a_program_was_done_with_is_not_lost_by_a_kill() {
    let mut init = PretendInit::new(&["a"], &["-x", "exit 1"]);
    let log = init.log_dir();
    std::fs::create_dir(&log).unwrap();
    // Closed, and the file that it was made of is gone already: only its name was left to change.
    let processed = log.join("processed");
    std::fs::write(&processed, "@400000006915000000000000 a made of it\n").unwrap();
    std::fs::set_permissions(&processed, std::fs::Permissions::from_mode(0o744)).unwrap();
    init.start_logger();
    init.write(0, "next\n");
    init.expect_lines(&["a made of it", "a next"]);
    assert_eq!(archives(&init).len(), 1);
}

#[test]
fn files_are_also_finished_by_age_and_bounded_in_all() {
    let (kernel, _says_nothing) = rustix::pipe::pipe().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), kernel.as_raw_fd());
    let words = ["-s", "4096", "-n", "500", "-t", "9000", "-r", "1", "-k", &path];
    let mut init = PretendInit::new(&["a"], &words);
    init.start_logger();
    init.write(0, "first\n");
    wait_for("an archive", LONG, || (archives(&init).len() == 1).then_some(()));
    // Where nothing is said, nothing is written, and no file ends.
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(archives(&init).len(), 1);
    for i in 0..2000 {
        init.write(0, format!("line {i}\n"));
    }
    wait_for("the last line", LONG, || init.log().ends_with(b"line 1999\n").then_some(()));
    let total: u64 = archives(&init).iter().map(|(_, bytes)| bytes).sum();
    assert!((4096..9000).contains(&total), "{total}");
}

/// Their names and lengths.
fn archives(init: &PretendInit) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(init.log_dir()).unwrap().map(|entry| entry.unwrap());
    let all = entries.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len()));
    all.filter(|(name, _)| name.starts_with('@')).collect()
}

#[test]
fn what_the_kernel_says_is_there_once_whatever_happens_to_the_logger() {
    // A pipe whose reads take what was written at once (pipe(2), O_DIRECT), as those of /dev/kmsg do.
    let flags = rustix::pipe::PipeFlags::DIRECT | rustix::pipe::PipeFlags::CLOEXEC;
    let (near, records) = rustix::pipe::pipe_with(flags).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), near.as_raw_fd());
    let say = |number: u64| {
        let record = format!("6,{number},{},-;line {number}\n KEY=x\n", number * 1_000_000);
        rustix::io::write(&records, record.as_bytes()).unwrap();
    };
    let mut init = PretendInit::new(&["a"], &["-k", &path, "-s", "4096"]);
    (1..6).for_each(say);
    init.start_logger();
    let kernel = |init: &PretendInit| {
        let lines = init.lines_and_marks();
        let lines = lines.iter().filter(|line| !line.starts_with(".logger boot"));
        lines.cloned().collect::<Vec<_>>()
    };
    let expected = |number: u64| format!("kernel <6>[{number:5}.000000] line {number}");
    let wait = |init: &PretendInit, number: u64| {
        wait_for("a record", LONG, || {
            (kernel(init).last() == Some(&expected(number))).then_some(())
        });
    };
    wait(&init, 5);
    rustix::io::write(&records, b"no record").unwrap();
    (6..10).for_each(say);
    wait(&init, 9);
    // Another one begins with the oldest that the kernel has.
    init.kill_logger();
    (4..13).for_each(say);
    init.start_logger();
    wait(&init, 12);
    // Some were overwritten before anybody read them.
    (20..100).for_each(say);
    wait(&init, 99);
    let mut all: Vec<_> = (1..13).map(expected).collect();
    all.push(".logger lost 7 lines of kernel".into());
    all.extend((20..100).map(expected));
    assert_eq!(kernel(&init), all);
}

#[test]
fn told_to_end_it_writes_what_is_complete_and_leaves_the_rest() {
    for signal in [Signal::TERM, Signal::HUP] {
        let mut init = PretendInit::new(&["a", "b"], &[]);
        init.write(0, "one\ntwo\nthr");
        init.write(1, "1\n");
        init.start_logger();
        // Told before it had time to do anything else, too.
        assert_eq!(init.end_logger(signal), Some(0));
        let mut lines = init.lines();
        lines.sort();
        assert_eq!(lines, [&b"a one"[..], b"a two", b"b 1"]);
        assert_eq!((init.unread(0), init.unread(1)), (3, 0));
        let current = std::fs::metadata(init.log_dir().join("current")).unwrap();
        assert_eq!(current.permissions().mode() & 0o777, 0o744, "closed in good order");
        init.write(0, "ee\n");
        init.start_logger();
        wait_for("the rest", LONG, || init.log().ends_with(b"a three\n").then_some(()));
        let current = std::fs::metadata(init.log_dir().join("current")).unwrap();
        assert_eq!(current.permissions().mode() & 0o777, 0o644, "it grows again");
    }
}

#[test]
fn init_may_start_itself_anew() {
    let mut init = PretendInit::new(&["a"], &[]);
    init.start_logger();
    init.write(0, "one\n");
    init.expect_lines(&["a one"]);
    init.hang_up();
    init.write(0, "two\n");
    init.expect_lines(&["a one", "a two"]);
    init.welcome();
    init.write(0, "three\n");
    init.expect_lines(&["a one", "a two", "a three"]);
    let slot = init.add_service("b");
    init.write(slot, "four\n");
    init.expect_lines(&["a one", "a two", "a three", "b four"]);
}

#[test]
fn an_idle_logger_does_not_wake_up() {
    let mut init = PretendInit::new(&["a", "b"], &[]);
    init.start_logger();
    init.write(0, "whole\nunfinished");
    init.write(1, "whole\n");
    wait_for("two lines", LONG, || (init.lines().len() == 2).then_some(()));
    let status = format!("/proc/{}/status", init.logger().id());
    let switches = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        counts.map(String::from).collect::<Vec<_>>()
    };
    let at_rest = wait_for("rest", LONG, || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(200));
        (switches() == before).then_some(before)
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(switches(), at_rest);
}

#[test]
fn a_question_about_one_service_leaves_the_lines_of_others_open() {
    let mut init = PretendInit::new(&["asked", "other"], &[]);
    init.start_logger();
    let mut follower = Follower::connect(&init.log_socket()).unwrap();
    follower.follow(&["asked", "other"]).unwrap();
    let mut inbox = Inbox::default();
    let mut told = |name: Option<&str>| {
        let number = follower.sync(name).unwrap();
        let mut lines = Vec::new();
        loop {
            match follower.next(&mut inbox).unwrap() {
                News::Line { service, text, .. } => {
                    lines.push(format!("{service} {}", String::from_utf8_lossy(text)));
                }
                News::Synced(answered) => {
                    assert_eq!(answered, number);
                    return lines;
                }
            }
        }
    };
    assert_eq!(told(Some("")), [""; 0]);
    init.write(0, "all of it");
    init.write(1, "half of ");
    assert_eq!(told(Some("")), [""; 0], "nobody is asked about");
    assert_eq!(told(Some("asked")), ["asked all of it"]);
    init.write(1, "a line\nnext");
    assert_eq!(told(Some("other")), ["other half of a line", "other next"]);
    init.write(0, "1");
    init.write(1, "2");
    let mut both = told(None);
    both.sort_unstable();
    assert_eq!(both, ["asked 1", "other 2"]);
}

#[test]
fn killed_a_hundred_times_under_load_every_line_is_there_once_and_in_order() {
    const WRITERS: usize = 4;
    const KILLS: usize = 100;
    let names: Vec<String> = (0..WRITERS).map(|i| format!("writer{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Small files, so that many kills meet a rotation; all are kept.
    let mut init = PretendInit::new(&names, &["-s", "9000", "-n", "1000000"]);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|slot| {
            let mut pipe = init.pipe(slot).try_clone().unwrap();
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut dice = Dice(slot as u64 + 1);
                let mut count = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // Whole lines, several at once, and pieces of lines.
                    let mut text = String::new();
                    for _ in 0..=dice.below(20) {
                        // The same text often, so that only counting tells lines apart.
                        let fill = "=".repeat(dice.below(90) as usize);
                        text.push_str(&format!("{count:08} {fill}\n"));
                        count += 1;
                    }
                    let cut = dice.below(text.len() as u64) as usize;
                    pipe.write_all(&text.as_bytes()[..cut]).unwrap();
                    pipe.write_all(&text.as_bytes()[cut..]).unwrap();
                    std::thread::sleep(Duration::from_micros(dice.below(300)));
                }
                count
            })
        })
        .collect();
    let mut dice = Dice(99);
    for _ in 0..KILLS {
        init.start_logger();
        std::thread::sleep(Duration::from_micros(dice.below(12_000)));
        init.kill_logger();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    init.start_logger();
    let counts: Vec<u32> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    wait_for("empty pipes", LONG, || (0..WRITERS).all(|i| init.unread(i) == 0).then_some(()));
    assert_eq!(init.end_logger(Signal::TERM), Some(0));

    let mut next = [0_u32; WRITERS];
    for line in init.lines() {
        let line = String::from_utf8(line).expect("only text was written");
        let rest = line.strip_prefix("writer").unwrap_or_else(|| panic!("mixed: {line:?}"));
        let slot = usize::from(rest.as_bytes()[0] - b'0');
        let (count, fill) = rest[2..].split_once(' ').expect("a number, then text");
        assert_eq!(count.parse(), Ok(next[slot]), "writer {slot}: {line:?}");
        assert!(count.len() == 8 && fill.bytes().all(|byte| byte == b'='), "mixed: {line:?}");
        next[slot] += 1;
    }
    assert_eq!(next.to_vec(), counts);
    assert!(counts.iter().sum::<u32>() > 10_000, "there was no load: {counts:?}");
}
