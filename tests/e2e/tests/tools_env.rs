//! `s6-envdir`, `s6-envuidgid`, `s6-applyuidgid` and `s6-setuidgid` beside Debian's.

use std::process::Command;

use e2e::{Folder, applets, debian};

/// What a line of shell prints, and its exit code, where `PATH` begins with
/// this folder.
fn outcome(path: &str, line: &str, folder: &Folder) -> (String, Option<i32>) {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", line]).current_dir(folder.path());
    sh.env_clear().env("PATH", format!("{path}:/usr/bin:/bin"));
    let output = sh.output().expect("sh starts");
    let text = String::from_utf8_lossy(&output.stdout).replace('\0', "\n");
    // This one tells them apart by design.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("PATH=")).collect();
    (lines.join("\n"), output.status.code())
}

/// Asserts that our programs and Debian's of these names do the same.
fn assert_same(lines: &[&str], folder: &Folder) {
    let ours = applets().to_str().expect("its path is text");
    for line in lines {
        debian(line.split([' ', ';']).find(|w| w.starts_with("s6-")).expect("a program"));
        assert_eq!(
            outcome(ours, line, folder),
            outcome("/usr/bin", line, folder),
            "ours, then Debian's, of `{line}`"
        );
    }
}

#[test]
fn files_give_the_variables_that_debians_program_makes_of_them() {
    let folder = Folder::new("envdir");
    let big = [b'x'; 5_000];
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("newline", b"\n"),
        ("plain", b"abc\n"),
        ("blanks", b"abc \t \n"),
        ("unended", b"abc \t "),
        ("dos", b"abc\r\n"),
        ("two", b"a\nb\n"),
        ("nul", b"a\0b\0\nc"),
        ("nul_end", b"a\0\0"),
        ("nul_blank", b"a \0 \n"),
        ("only_blanks", b"  \t\n"),
        ("newlines", b"\n\n"),
        ("lead", b"  x\n"),
        ("vertical", b"a\x0b\x0c \n"),
        ("second_line", b" \n a \n"),
        ("big", &big),
        ("bad=name", b"x"),
        (".hidden", b"x"),
    ] {
        folder.write(format!("env/{name}"), bytes);
    }
    std::os::unix::fs::symlink("plain", folder.join("env/link")).unwrap();
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..number % 12 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.push(b"ab \t\r\n\0\xff=\x0b"[(dice >> 33) as usize % 10]);
        }
        folder.write(format!("env/generated_{number}"), bytes);
    }
    let plain = "env -i empty=1 newline=1 PATH=$PATH s6-envdir";
    let sorted = "env env -0 | sort -z";
    for options in ["", "-n", "-f", "-fn", "-cXY", "-f -c-", "-Lf", "-Lfn"] {
        assert_same(&[&format!("{plain} {options} {sorted}")], &folder);
    }
}

/// Debian's loses a first line that has no end, with -L and without -f.
#[test]
fn long_values_come_whole_when_asked_for() {
    let folder = Folder::new("envdir-long");
    folder.write("env/ended", [&[b'x'; 9_000][..], b" \nrest"].concat());
    assert_same(&["s6-envdir -L env env | sort", "s6-envdir -Ln env env | sort"], &folder);
    folder.write("env/unended", [b'y'; 9_000]);
    let ours = applets().to_str().expect("its path is text");
    let (text, _) = outcome(ours, "s6-envdir -L env env", &folder);
    assert!(text.contains(&format!("unended={}", "y".repeat(9_000))));

    folder.write("env/endless", vec![b'z'; 200_000]);
    assert_eq!(outcome(ours, "s6-envdir -L env env", &folder).1, Some(111));
}

#[test]
fn a_folder_that_cannot_be_read_ends_envdir_as_debians() {
    let folder = Folder::new("envdir-none");
    folder.write("env/a", "1");
    folder.write("with_folder/b/c", "2");
    assert_same(
        &[
            "s6-envdir none true",
            "s6-envdir -I none echo hi",
            "s6-envdir -I env/a echo hi",
            "s6-envdir -I -i none echo hi",
            "s6-envdir with_folder echo hi",
            "ln -s gone env/dangling; s6-envdir env echo hi; rm env/dangling",
            "s6-envdir env",
            "s6-envdir",
            "s6-envdir -Z env true",
            "s6-envdir '' echo hi",
            "s6-envdir -I '' echo hi",
            "s6-envdir env no-such-program",
        ],
        &folder,
    );
}

#[test]
fn accounts_become_the_variables_that_debians_program_sets() {
    let folder = Folder::new("envuidgid");
    let show = "sh -c 'env | grep ^[UG]ID | sort'";
    let lines: Vec<String> = [
        "daemon",
        "root",
        "nosuch",
        "''",
        "-u daemon",
        "-u nosuch",
        "-g adm",
        "-g nosuch",
        "-B daemon:adm",
        "-B daemon",
        "-B daemon:",
        "-B :adm",
        "-B :",
        "-B ''",
        "-B nosuch:adm",
        "-B daemon:nosuch",
        "-B daemon:adm:x",
        "-nB nosuch:42",
        "-nB 12:42",
        "-nB 12",
        "-n 12",
        "-n 12:13",
        "-n 12:13:14,15",
        "-nu 12",
        "-ng 12",
        "-ng adm",
        "-D 1:2:3,4 nosuch",
        "-D 1:2:3,4 daemon",
        "-D 1:2 nosuch",
        "-D 1 nosuch",
        "-D x nosuch",
        "-D :: nosuch",
        "-D 1:2:x nosuch",
        "-D 1:2:3,,4 nosuch",
        "-u -D 1:2:3 nosuch",
        "-g -D 1:2:3 nosuch",
        "-B -D 1:2:3 nosuch:adm",
        "-B -D 1:2:3 daemon:nosuch",
        "-B -D 1:2:3 nosuch:nosuch",
        "-D 1:2:3 -B :",
        "-D 1:2:3 -B daemon",
        "-D 1:2:3 -B ''",
        "-D 1:2:3 -i nosuch",
        "-nBD 1:2:3 nosuch:7",
        "-Z daemon",
    ]
    .iter()
    .flat_map(|words| {
        let line = format!("s6-envuidgid {words} {show}");
        [format!("UID=1 GID=0 GIDLIST=old; export GIDLIST; {line}"), line]
    })
    .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_same(&lines, &folder);
    assert_same(&["s6-envuidgid daemon", "s6-envuidgid daemon no-such-program"], &folder);
    // Debian's takes -n for -B, and so gives this user the group 0.
    let ours = applets().to_str().expect("its path is text");
    let (text, _) = outcome(ours, &format!("s6-envuidgid -n daemon {show}"), &folder);
    assert_eq!(text, "GID=1\nGIDLIST=\nUID=1");
}

/// Run by root these change who they are; run by anybody else they are refused.
#[test]
fn programs_run_as_the_users_that_debians_programs_become() {
    let folder = Folder::new("setuidgid");
    let lines: Vec<String> = [
        "s6-setuidgid daemon",
        "s6-setuidgid nosuch",
        "s6-setuidgid ''",
        "s6-setuidgid 1:2",
        "s6-setuidgid 1",
        "s6-setuidgid :2",
        "s6-setuidgid 1:",
        "s6-setuidgid daemon:adm",
        "s6-setuidgid 1:2:3",
        "s6-setuidgid 4294967295:4",
        "s6-setuidgid 4294967296:4",
        "s6-setuidgid -x daemon",
        "s6-setuidgid nobody s6-applyuidgid -u 1",
        "s6-setuidgid nobody s6-setuidgid daemon",
        "s6-setuidgid nobody s6-setuidgid ''",
        "s6-applyuidgid",
        "s6-applyuidgid -u 1",
        "s6-applyuidgid -g 2",
        "s6-applyuidgid -G 3,4",
        "s6-applyuidgid -G ''",
        "s6-applyuidgid -u 9 -g 5 -G 5,7",
        "s6-applyuidgid -g 5 -G 3,,4,",
        "s6-applyuidgid -u x",
        "s6-applyuidgid -u 4294967295",
        "s6-applyuidgid -U",
        "env UID=1 GID=2 GIDLIST=3,4 s6-applyuidgid -U",
        "env UID=1 GID=2 GIDLIST= s6-applyuidgid -U",
        "env UID=1 GID=2 s6-applyuidgid -U",
        "env UID=x GID=2 GIDLIST=3 s6-applyuidgid -U",
        "env UID=1 GID=2 GIDLIST=3,4 s6-applyuidgid -U -u 7",
        "env UID=1 GID=2 GIDLIST=3,4 s6-applyuidgid -u 7 -U",
        "env UID=1 GID=2 GIDLIST=3,4 s6-applyuidgid -Uz",
        "env UID=1 GID=2 GIDLIST=3,4 s6-setuidgid daemon",
        "env UID=1 GID=2 GIDLIST=3,4 s6-setuidgid 1:2",
    ]
    .iter()
    .map(|words| format!("{words} sh -c 'id; grep Groups /proc/self/status; env | grep ID | sort'"))
    .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // The ordinary user below must find the programs: a build may lie in a
    // home that is closed to others.
    let programs = Folder::new("programs");
    e2e::copy_program(e2e::ward(), programs.join("ward"));
    for name in ["s6-setuidgid", "s6-applyuidgid"] {
        std::os::unix::fs::symlink("ward", programs.join(name)).expect("a link can be made");
    }
    let ours = programs.path().to_str().expect("its path is text");
    for line in lines {
        assert_eq!(
            outcome(ours, line, &folder),
            outcome("/usr/bin", line, &folder),
            "ours, then Debian's, of `{line}`"
        );
    }
    assert_same(&["s6-setuidgid daemon", "s6-setuidgid", "s6-setuidgid '' no-such"], &folder);
    // Debian's takes the numbers before the first that is none.
    assert_eq!(outcome(ours, "s6-applyuidgid -G 3,x id", &folder).1, Some(100));
}
