//! `s6-log` beside Debian's: the same scripts on the same input leave the same files, with the same bytes.
//! Debian's rotates only after all that it had read at once, so that each line comes alone where that counts.

use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::dice::Dice;
use e2e::{Folder, applet, debian, peer_tree};

/// Lines of few different signs, some long, some ended by a NUL. All end: of a last line that does not,
/// s6-log 2.11 forgets what later ones keep.
fn input(dice: &mut Dice, lines: u64) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..dice.below(lines) {
        let most = if dice.below(30) == 0 { 3000 } else { 60 };
        for _ in 0..dice.below(most) {
            input.push(b"abcdxy \xff\t"[dice.below(9) as usize]);
        }
        input.push(if dice.below(20) == 0 { 0 } else { b'\n' });
    }
    input
}

/// `rotates`: with all that has to do with archives.
fn script(dice: &mut Dice, rotates: bool) -> Vec<String> {
    let mut words = vec![if rotates { "n3" } else { "n1000" }.to_owned()];
    let (mut directories, mut acts) = (0, 0);
    while acts == 0 || dice.below(8) > 0 {
        let word = match dice.below(20) {
            0 | 1 => {
                format!("+{}", dice.one_of(&["", "a", "^b", "[cd]$", "x+y", "^$", "(ab|cd)x?"]))
            }
            2 | 3 => format!("-{}", dice.one_of(&["", "a", "^b", "[cd]$", "x+y", "^$", "..."])),
            4 => "f".into(),
            5 | 7 | 14 if !rotates => "t".into(),
            5 => format!("n{}", dice.below(5)),
            6 => format!("s{}", [0, 4096, 5000, 9999][dice.below(4) as usize]),
            7 => format!("S{}", [0, 3000, 9000][dice.below(3) as usize]),
            8 => format!("l{}", dice.below(2048)),
            9 => format!("p{}", dice.one_of(&["", "prefix:", "two words "])),
            10 => "t".into(),
            11 => "T".into(),
            12 => format!("E{}", dice.below(60)),
            13 => format!("^{}", dice.below(60)),
            14 => dice
                .one_of(&[
                    "!",
                    "?",
                    "!cat",
                    "?sed s/a/A/",
                    "?cat; echo state >&5; cat <&4",
                    "?wc -l",
                ])
                .into(),
            15 => "1".into(),
            16 => "2".into(),
            17 => format!("=status{}", dice.below(2)),
            _ if directories < 3 => {
                directories += 1;
                format!("./log{directories}")
            }
            _ => "f".into(),
        };
        acts += u32::from(word.starts_with(['1', '2', '=', '.']));
        words.push(word);
    }
    words
}

/// Text with times in it, which are others each time.
fn timeless(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    let date = |text: &[u8]| {
        let shape = b"0000-00-00 00:00:00.000000000";
        let fits = |(byte, shape): (&u8, &u8)| {
            if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape }
        };
        (text.len() >= shape.len() && text.iter().zip(shape).all(fits)).then_some(shape.len())
    };
    let label = |text: &[u8]| {
        let hex = text.strip_prefix(b"@4").filter(|hex| hex.len() >= 23)?;
        hex[..23].iter().all(u8::is_ascii_hexdigit).then_some(25)
    };
    while let Some((&first, next)) = rest.split_first() {
        if let Some(length) = date(rest).or_else(|| label(rest)) {
            text.push_str(if first == b'@' { "LABEL" } else { "DATE" });
            rest = &rest[length..];
        } else {
            text.push_str(&first.escape_ascii().to_string().replace("\\n", "\n"));
            rest = next;
        }
    }
    text
}

/// All files below a folder, with their modes, and what is in them.
fn files(folder: &Path, all: &mut Vec<String>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = timeless(path.file_name().unwrap().as_encoded_bytes());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            all.push(format!("{name}/ {mode:o}"));
            files(&path, all);
        } else {
            all.push(format!("{name} {mode:o} {}", timeless(&fs::read(&path).unwrap())));
        }
    }
}

/// The files of log directories as one.
fn join_logs(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            let mut archives: Vec<_> =
                fs::read_dir(&entry).unwrap().map(|e| e.unwrap().path()).collect();
            archives.retain(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b"@"));
            archives.sort();
            let current = entry.join("current");
            let mut all: Vec<u8> =
                archives.iter().flat_map(|path| fs::read(path).unwrap()).collect();
            all.extend(fs::read(&current).unwrap());
            archives.iter().for_each(|path| fs::remove_file(path).unwrap());
            fs::write(current, all).unwrap();
        }
    }
}

/// Waits until it has read everything, waits for more, and no processor is at work.
fn wait_idle(child: &Child, pipe: &ChildStdin) {
    let pid = child.id();
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let unread = rustix::io::ioctl_fionread(pipe).unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let sleeps = stat.rsplit(") ").next().unwrap().starts_with('S');
        if unread == 0 && sleeps && peer_tree::children(pid).is_empty() {
            return;
        }
        assert!(Instant::now() < limit, "it is never idle");
        std::thread::sleep(Duration::from_micros(30));
    }
}

/// Runs it on each input, one after the other, in a folder of its own; what it said, and what is there then.
/// `slowly`: each line comes alone.
fn outcome(
    command: impl Fn() -> Command,
    words: &[String],
    inputs: &[Vec<u8>],
    slowly: bool,
) -> Vec<String> {
    let folder = Folder::in_memory("s6-log");
    let mut all = Vec::new();
    for input in inputs {
        let mut command = command();
        command.args(words).current_dir(folder.path()).env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let input = input.clone();
        let output = if slowly {
            // The first look is at what was there before.
            wait_idle(&child, &pipe);
            for line in input.split_inclusive(|&byte| byte == b'\n' || byte == 0) {
                pipe.write_all(line).unwrap();
                wait_idle(&child, &pipe);
            }
            drop(pipe);
            child.wait_with_output()
        } else {
            let writer = std::thread::spawn(move || pipe.write_all(&input));
            let output = child.wait_with_output();
            writer.join().unwrap().unwrap();
            output
        };
        let output = output.unwrap();
        all.push(format!("{:?}", output.status.code()));
        all.push(timeless(&output.stdout));
        // Warnings have our own words.
        let said = timeless(&output.stderr);
        let warning = "s6-log: warning:";
        let plain = |line| if str::starts_with(line, warning) { warning } else { line };
        all.push(said.lines().flat_map(|line| [plain(line), "\n"]).collect());
    }
    if !slowly {
        join_logs(folder.path());
    }
    files(folder.path(), &mut all);
    all
}

fn assert_same(words: &[String], inputs: &[Vec<u8>], slowly: bool) {
    let own = outcome(|| applet("s6-log"), words, inputs, slowly);
    let theirs = outcome(|| debian("s6-log"), words, inputs, slowly);
    for (own, theirs) in own.iter().zip(&theirs) {
        let same = own.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
        let near = |text: &str| {
            let bytes = &text.as_bytes()[same.saturating_sub(60)..];
            String::from_utf8_lossy(&bytes[..bytes.len().min(160)]).into_owned()
        };
        let name = own.split(' ').next().unwrap_or_default();
        assert!(
            own == theirs,
            "{words:?}, {name} from {same} on\nours: {}\ntheirs: {}",
            near(own),
            near(theirs)
        );
    }
    assert_eq!(own.len(), theirs.len(), "{words:?}: {own:#?}");
}

fn compare(seeds: RangeInclusive<u64>, slowly: bool) {
    for seed in seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut words = Vec::new();
        if dice.below(4) == 0 {
            words.push(format!("-l{}", [0, 48, 100][dice.below(3) as usize]));
        }
        if dice.below(4) == 0 {
            words.push("-b".into());
        }
        words.push("--".into());
        words.extend(script(&mut dice, slowly));
        let inputs: Vec<_> =
            (0..=dice.below(2)).map(|_| input(&mut dice, if slowly { 150 } else { 400 })).collect();
        assert_same(&words, &inputs, slowly);
    }
}

#[test]
fn scripts_on_any_input_select_and_write_what_debians_does() {
    compare(1..=150, false);
}

#[test]
fn archives_and_what_processors_make_of_them_are_those_of_debians() {
    compare(1001..=1008, true);
}

#[test]
fn a_last_line_without_end_gets_one() {
    let folder = Folder::in_memory("s6-log");
    let mut command = applet("s6-log");
    let mut child =
        command.args(["./log"]).current_dir(folder.path()).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"whole\nno end").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read(folder.join("log/current")).unwrap(), b"whole\nno end\n");
}
