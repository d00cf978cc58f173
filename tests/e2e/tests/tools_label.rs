//! `s6-tai64n` and `s6-tai64nlocal` beside Debian's, on the same input.

use std::borrow::BorrowMut;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use e2e::dice::Dice;
use e2e::{applet, debian};
use model::label::parse;

/// Unix seconds right after which a leap second was put in.
const LEAPS: [u64; 4] = [78_796_800, 315_532_800, 1_136_073_600, 1_483_228_800];

fn label(seconds: u64, nanos: u64) -> String {
    format!("@{:016x}{nanos:08x}", (1u64 << 62).wrapping_add(seconds))
}

/// What a filter makes of this input, which comes in pieces of these sizes.
fn filtered(mut command: impl BorrowMut<Command>, input: &[u8], piece: usize) -> Vec<u8> {
    let command = command.borrow_mut();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the filter starts");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        for piece in input.chunks(piece) {
            stdin.write_all(piece).expect("the filter reads on");
        }
    });
    let output = child.wait_with_output().expect("the filter ends");
    writer.join().expect("all was written");
    assert!(output.status.success(), "{:?}", output.status);
    output.stdout
}

/// Asserts line by line, to show one line and not a thousand.
fn assert_same(ours: &[u8], theirs: &[u8], input: &[u8], what: &str) {
    let lines = |text: &[u8]| -> Vec<String> {
        text.split(|&b| b == b'\n').map(|l| String::from_utf8_lossy(l).into_owned()).collect()
    };
    for ((ours, theirs), input) in lines(ours).iter().zip(lines(theirs)).zip(lines(input)) {
        assert_eq!(*ours, theirs, "{what}, reading {input:.80}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

#[test]
fn labels_become_the_local_dates_that_debians_program_prints() {
    let mut dice = Dice(0x5eed);
    let mut input = String::new();
    for round in 0..400 {
        let seconds = dice.below(1 << [31, 31, 33, 37][round % 4]);
        input += &format!("{} x\n", label(seconds, dice.below(1_000_000_000)));
    }
    for (past, at) in LEAPS.into_iter().enumerate() {
        for seconds in at..at + 40 {
            input += &format!("{} leap {past}\n", label(seconds, 0));
        }
    }
    for year in 0..80 {
        for second in 8..12 {
            input += &format!("{}new year\n", label(year * 31_556_952 + second, 5));
        }
    }
    for zone in [
        "",
        "UTC",
        "Europe/Berlin",
        ":America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "/usr/share/zoneinfo/Africa/Casablanca",
        "Pacific/Apia",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "<+0330>-3:30",
        "NZST-12NZDT,M9.5.0,M4.1.0/3",
        "XXX3:30:15YYY,J60/0,300/-1",
        "no such zone",
        "../../../etc/passwd",
    ] {
        let theirs = filtered(debian("s6-tai64nlocal").env("TZ", zone), input.as_bytes(), 1 << 16);
        let ours = filtered(applet("s6-tai64nlocal").env("TZ", zone), input.as_bytes(), 1 << 16);
        assert_same(&ours, &theirs, input.as_bytes(), &format!("TZ={zone}"));
    }
    let theirs = filtered(debian("s6-tai64nlocal").env_remove("TZ"), input.as_bytes(), 1 << 16);
    let ours = filtered(applet("s6-tai64nlocal").env_remove("TZ"), input.as_bytes(), 1 << 16);
    assert_same(&ours, &theirs, input.as_bytes(), "/etc/localtime");
}

#[test]
fn what_is_no_label_passes_unchanged_in_pieces_of_any_size() {
    let mut dice = Dice(0xfeed);
    let whole = label(1_700_000_000, 7);
    let mut input = Vec::new();
    for _ in 0..600 {
        // Labels, cut, prolonged, and with one byte changed.
        let mut line = whole.clone().into_bytes();
        match dice.below(4) {
            0 => line.truncate(dice.below(26) as usize),
            // The last eight digits stay: Debian's prints a wrong number for
            // more than 999,999,999 nanoseconds, ours does not.
            1 => line[dice.below(17) as usize] = dice.below(256) as u8,
            2 => line.insert(0, b'@'),
            _ => line.extend_from_slice(whole.as_bytes()),
        }
        line.extend((0..dice.below(12)).map(|_| dice.below(256) as u8));
        input.extend_from_slice(&line);
        input.push(b'\n');
    }
    input.extend_from_slice(&[b'x'; 100_000]);
    input.extend_from_slice(format!("\n{whole}").as_bytes()); // and nothing behind it
    let theirs = filtered(with(debian("s6-tai64nlocal"), "-g"), &input, 1 << 20);
    for piece in [1 << 20, 4096, 37] {
        let ours = filtered(with(applet("s6-tai64nlocal"), "-g"), &input, piece);
        assert_same(&ours, &theirs, &input, &format!("pieces of {piece}"));
    }
    let wrong = format!("{} x\n", label(1_700_000_000, 1_000_000_000));
    assert_eq!(filtered(applet("s6-tai64nlocal"), wrong.as_bytes(), 100), wrong.as_bytes());
}

#[test]
fn lines_are_labelled_with_the_time_that_debians_program_gives() {
    let mut dice = Dice(0xbead);
    let mut input: Vec<u8> =
        (0..30_000).map(|_| b"ab\n\0\xff\r @"[dice.below(8) as usize]).collect();
    input.extend_from_slice(&[b'y'; 70_000]);
    input.extend_from_slice(b"\n\nlast, without a newline");
    let [before, ours, after] = [debian("s6-tai64n"), applet("s6-tai64n"), debian("s6-tai64n")]
        .map(|command| labelled(&filtered(command, &input, 5_000)));
    assert_eq!(ours.1, before.1, "the lines behind the labels");
    assert_eq!(ours.1, [&input[..], b"\n"].concat());
    assert!(ours.0.is_sorted(), "time goes on");
    assert!(before.0.last() <= ours.0.first(), "Debian's came earlier");
    assert!(ours.0.last() <= after.0.first(), "Debian's came later");
}

/// The labels of a labelled text, and the text without them.
fn labelled(text: &[u8]) -> (Vec<model::time::Date>, Vec<u8>) {
    let (mut labels, mut rest) = (Vec::new(), Vec::new());
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (head, line) = line.split_at(25);
        labels.push(parse(head.try_into().expect("25 bytes")).expect("a label"));
        rest.extend_from_slice(line.strip_prefix(b" ").expect("a space behind the label"));
    }
    (labels, rest)
}

#[test]
fn a_line_goes_out_as_soon_as_it_has_ended() {
    for (name, text) in [("s6-tai64n", "a\nb"), ("s6-tai64nlocal", "a\n@4000")] {
        let mut command = applet(name);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it was piped");
        let mut stdout = child.stdout.take().expect("it was piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
        let (mut seen, mut byte) = (Vec::new(), [0]);
        // Blocks for ever if the line is kept back; the input is still open.
        while !seen.ends_with(b"a\n") {
            assert_eq!(stdout.read(&mut byte).expect("it writes"), 1, "{name} ended early");
            seen.push(byte[0]);
        }
        drop(stdin);
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).expect("it writes the rest");
        assert!(child.wait().expect("it ends").success());
        assert!(!rest.is_empty(), "{name} forgot the line without an end");
    }
}

#[test]
fn the_other_reading_of_labels_is_unix_time_and_ten() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let text = filtered(with(applet("s6-tai64n"), "-u"), b"x\n", 10);
    let (labels, _) = labelled(&text);
    let unix = labels[0].label - (1 << 62) - 10;
    assert!(Duration::from_secs(unix).abs_diff(now) < Duration::from_secs(600), "{unix}");

    let input = format!("{} x\n", label(1_700_000_010, 0));
    let mut command = applet("s6-tai64nlocal");
    command.args(["-g", "-u"]);
    let text = filtered(command, input.as_bytes(), 100);
    assert_eq!(String::from_utf8_lossy(&text), "2023-11-14 22:13:20.000000000 x\n");
}

#[test]
fn filters_say_when_they_cannot_read_or_write() {
    for script in ["echo a | $P >&-", "$P <&-", "echo a | $P >/dev/full", "$P -Z </dev/null"] {
        for name in ["s6-tai64n", "s6-tai64nlocal"] {
            let code = |command: Command| {
                let mut sh = Command::new("/bin/sh");
                sh.args(["-c", script]).env("P", command.get_program());
                let output = sh.output().expect("sh starts");
                assert!(!output.stderr.is_empty(), "{script} with {name} says nothing");
                output.status.code()
            };
            let ours = code(applet(name));
            if script.contains("-Z") {
                assert_eq!(ours, Some(100)); // Debian's s6-tai64n reads no options
            } else {
                assert_eq!(ours, code(debian(name)), "{script} with {name}");
            }
        }
    }
}

fn with(mut command: Command, argument: &str) -> Command {
    command.arg(argument);
    command
}
