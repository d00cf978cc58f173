//! `s6-softlimit`, `s6-setlock`, `s6-setsid`, and how programs are entered,
//! beside Debian's.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::{Folder, applet, applets, debian};

fn outcome(path: &str, line: &str, folder: &Folder) -> (String, Option<i32>) {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", line]).current_dir(folder.path()).stdin(Stdio::null());
    let output = sh.env("PATH", format!("{path}:/usr/bin:/bin")).output().expect("sh starts");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// Asserts that our programs and Debian's of these names do the same.
fn assert_same(lines: &[&str], folder: &Folder) {
    let ours = applets().to_str().expect("its path is text");
    for line in lines {
        debian(
            line.split([' ', ';', '\'', '(', ')'])
                .find(|w| w.starts_with("s6-"))
                .expect("a program"),
        );
        assert_eq!(
            outcome(ours, line, folder),
            outcome("/usr/bin", line, folder),
            "ours, then Debian's, of `{line}`"
        );
    }
}

#[test]
fn programs_are_found_and_entered_as_debians_do() {
    let folder = Folder::new("exec");
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.write(name, text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("one/only-text", "text", 0o644);
    file("one/no-interpreter", "echo hi\n", 0o755);
    file("one/both", "text", 0o644);
    file("two/both", "#!/bin/sh\necho two\n", 0o755);
    file("here", "#!/bin/sh\necho here\n", 0o755);
    std::fs::create_dir(folder.join("one/folder")).unwrap();
    assert_same(
        &[
            "s6-setsid -q",
            "s6-setsid -q no-such-program",
            "s6-setsid -q ./one/only-text",
            "s6-setsid -q ./one/no-interpreter",
            "s6-setsid -q ./one/folder",
            "s6-setsid -q ./here",
            "s6-setsid -q one/both/under",
            "s6-setsid -q ''",
            "s6-setsid -q -- echo -n",
            "P=$(which s6-setsid); PATH=one:two $P -q both",
            "P=$(which s6-setsid); PATH=two:one $P -q both",
            "P=$(which s6-setsid); PATH=one $P -q both",
            "P=$(which s6-setsid); PATH=here:none $P -q both",
            "P=$(which s6-setsid); PATH=:none: $P -q here", // never from here
            "P=$(which s6-setsid); unset PATH; $P -q echo hi",
            "P=$(which s6-envdir); mkdir e; echo one >e/PATH; PATH=two $P e both; rm -r e",
        ],
        &folder,
    );
}

#[test]
fn limits_become_what_debians_program_makes_them() {
    let folder = Folder::new("softlimit");
    assert_same(
        &[
            "s6-softlimit -a 1000000000 -c 1 -d 2000000000 -f 3 -l 4 -o 60 -p 1000 -r 7 \
             -s 8000000 -t 9 cat /proc/self/limits",
            "s6-softlimit -m 1000000000 cat /proc/self/limits",
            "s6-softlimit -o 100 -o 50 cat /proc/self/limits",
            "s6-softlimit -o 100 s6-softlimit -o = cat /proc/self/limits",
            "s6-softlimit -o 100 s6-softlimit -h -o 200 cat /proc/self/limits",
            "s6-softlimit -H -o 50 -c 0 cat /proc/self/limits",
            "s6-softlimit -o 999999999999 cat /proc/self/limits",
            "s6-softlimit -c 18446744073709551615 cat /proc/self/limits",
            "s6-softlimit -H -o 50 s6-softlimit -o 60 cat /proc/self/limits",
            "s6-softlimit cat /proc/self/limits",
            "s6-softlimit",
            "s6-softlimit -o x true",
            "s6-softlimit -o -1 true",
            "s6-softlimit -o +1 true",
            "s6-softlimit -o 0x10 true",
            "s6-softlimit -o == true",
            "s6-softlimit -o '' true",
            "s6-softlimit -o 18446744073709551616 true",
            "s6-softlimit -o 50 no-such-program",
        ],
        &folder,
    );
    // Where Debian's refuses: a soft limit is lowered with the hard one.
    let ours = applets().to_str().expect("its path is text");
    let line = "s6-softlimit -h -o 50 sh -c 'ulimit -Sn; ulimit -Hn'";
    assert_eq!(outcome(ours, line, &folder), ("50\n50\n".into(), Some(0)));
    // With no memory left it still enters the program, or says why not.
    let line = "s6-softlimit -d 0 no-such-program";
    assert_eq!(outcome(ours, line, &folder).1, Some(127));
    let line = "s6-softlimit -P 0 sh -c 'grep realtime.priority /proc/self/limits | wc -l'";
    assert_eq!(outcome(ours, line, &folder), ("1\n".into(), Some(0)));
}

#[test]
fn locks_keep_out_whom_debians_keep_out() {
    let folder = Folder::new("setlock");
    let both = [applets().to_str().expect("its path is text").to_owned(), "/usr/bin".to_owned()];
    for holder in &both {
        for other in &both {
            for (held, tried, code) in [
                ("", "-n", 1),
                ("", "-nr", 1),
                ("", "-t 20", 1),
                ("", "-t 0", 1),
                ("", "-r -t 20", 1),
                ("-r", "-n", 1),
                ("-r", "-nr", 0),
                ("-r", "-t 20", 1),
                ("-t 5000", "-n", 1),
                ("-r -t 5000", "-nr", 0),
            ] {
                let line = format!("s6-setlock {held} file {other}/s6-setlock {tried} file true");
                // With the same process the lock would be its own.
                let line = line.replace(other, &format!("sh -c '{other}")) + "'";
                let found = outcome(holder, &line, &folder).1;
                assert_eq!(found, Some(code), "held by {holder}: `{line}`");
            }
        }
    }
    assert_same(
        &[
            "s6-setlock file echo hi",
            "rm -f new; umask 077; s6-setlock new stat -c %a new",
            "rm -f new; umask 022; s6-setlock -r new stat -c %a new",
            "s6-setlock /no/such/file echo hi",
            "s6-setlock -r /no/such/file echo hi",
            "s6-setlock / echo hi",
            "s6-setlock -r / echo hi",
            "s6-setlock -t x file echo hi",
            "s6-setlock -t -5 file echo hi",
            "s6-setlock file",
            "s6-setlock",
            "s6-setlock -Z file true",
            "s6-setlock file no-such-program",
        ],
        &folder,
    );
}

#[test]
fn a_lock_can_be_waited_for_and_goes_with_the_program() {
    let folder = Folder::new("setlock-wait");
    let lock = |options: &[&str], program: &[&str]| {
        let mut command = applet("s6-setlock");
        command.current_dir(folder.path()).args(options).arg("file").args(program);
        command
    };
    let mut holder =
        lock(&[], &["cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let held = |_| !lock(&["-n"], &["true"]).status().unwrap().success();
    e2e::wait_for("the lock", Duration::from_secs(20), || held(()).then_some(()));

    let start = Instant::now();
    let output: Output = lock(&["-t", "300"], &["true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(start.elapsed() >= Duration::from_millis(300));

    let waiting = [&["-t", "60000"][..], &["-N"]]
        .map(|options| lock(options, &["sh", "-c", "trap"]).spawn().unwrap());
    drop(holder.stdin.take()); // cat ends, and the lock with it
    assert!(holder.wait().unwrap().success());
    for mut child in waiting {
        assert!(child.wait().unwrap().success(), "it got the lock");
    }
    // The alarm of a timed lock does not follow the program.
    let slept = lock(&["-t", "50"], &["sleep", "0.2"]).status().unwrap();
    assert!(slept.success(), "{slept:?}");
    // Nor does a helper stay behind; the file is where it was asked for.
    let script = "readlink /proc/self/fd/9; test ! -e /proc/self/fd/4";
    let output = lock(&["-d", "9", "-t", "50"], &["sh", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("/file\n"), "{output:?}");
}

/// Process, group, session and foreground group of the terminal, from `proc(5)`.
fn ids(stat: &str) -> [i64; 4] {
    let behind = stat.rsplit(") ").next().expect("a status line");
    let number = |i: usize| behind.split(' ').nth(i).expect("a field").parse().expect("a number");
    let pid = stat.split(' ').next().expect("a field").parse().expect("a number");
    [pid, number(2), number(3), number(5)]
}

#[test]
fn programs_lead_sessions_and_groups() {
    let folder = Folder::new("setsid");
    for path in [applets().to_str().expect("its path is text"), "/usr/bin"] {
        let run = |options: &str| {
            let line = format!("cat /proc/self/stat; s6-setsid {options} cat /proc/self/stat; :");
            let (text, code) = outcome(path, &line, &folder);
            assert_eq!(code, Some(0), "{path}, {options}");
            let mut lines = text.lines().map(ids);
            (lines.next().expect("the shell's"), lines.next().expect("the program's"))
        };
        for options in ["", "-s", "-i -s", "-b -s"] {
            let (_, [pid, group, session, _]) = run(options);
            assert_eq!([group, session], [pid, pid], "{path}, {options}");
        }
        let ([_, shell_group, shell_session, _], [pid, group, session, _]) = run("-b");
        assert_eq!([group, session], [pid, shell_session], "{path}");
        assert_ne!(group, shell_group, "{path}");
    }
    assert_same(
        &[
            "s6-setsid -i -f echo hi", // standard input is no terminal
            "s6-setsid -I -f echo hi",
            "s6-setsid -q -g -d 99 echo hi",
            "s6-setsid -d x echo hi",
            "s6-setsid -Z echo hi",
            "s6-setsid s6-setsid -i echo hi", // a leader already
        ],
        &folder,
    );
    let stderr = |options: &[&str]| {
        let mut command = applet("s6-setsid");
        let command = command.args(options).arg("true").stdin(Stdio::null());
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(stderr(&["-f"]).contains("warning"), "it warns by default");
    assert_eq!(stderr(&["-q", "-f"]), "");
}

/// Debian's 2.11.3 never ends here: it asks the terminal again and again.
#[test]
fn a_program_can_grab_the_terminal() {
    // A program that does not get it is stopped, and would never say so.
    let mut terminal = Command::new("timeout");
    let line =
        format!("sh -c '{} -i -g cat /proc/self/stat; :'", applets().join("s6-setsid").display());
    terminal.args(["60", "script", "-qec", &line, "/dev/null"]).stdin(Stdio::null());
    let text = e2e::stdout(&mut terminal);
    let [pid, group, session, foreground] = ids(text.trim());
    assert_eq!([group, foreground], [pid, pid], "{text}");
    assert_ne!(session, pid, "{text}");
}
