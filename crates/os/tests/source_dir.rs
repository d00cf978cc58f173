//! Source directories that are odd, and what is written of those that are not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use model::service::compile::{Compiled, compile};
use model::service::mistake::report;
use model::service::source::Tree;
use os::service::database_file::{DatabaseFile, DatabaseFileError};
use os::service::source_dir::{read, write};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("doorward-source-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a temporary folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn longrun(&self, name: &str) {
        self.write(&format!("source/{name}/type"), "longrun\n");
        self.write(&format!("source/{name}/run"), "#!/bin/sh\nexec sleep 1000\n");
    }

    fn tree(&self) -> Tree {
        read(&[self.0.join("source")]).expect("the source directory can be read")
    }

    fn mistakes(&self) -> String {
        let mistakes = compile(&self.tree()).expect_err("something is wrong");
        report(&mistakes, true).replace(&format!("{}/source/", self.0.display()), "")
    }

    fn compile(&self, to: &str) -> Compiled {
        let tree = self.tree();
        let compiled = compile(&tree).unwrap_or_else(|m| panic!("{}", report(&m, true)));
        write(&self.0.join(to), &tree, &compiled).expect("the database can be written");
        compiled
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a special file, and needs no right to.
fn fifo(path: PathBuf) {
    let status = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(status.expect("mkfifo can be started").success());
}

#[test]
fn files_that_are_none_are_mistakes_and_keep_nobody_waiting() {
    let folder = Folder::new();
    let source = folder.0.join("source");
    for name in ["a", "b", "c", "d", "e", "f"] {
        folder.longrun(name);
    }
    fs::remove_file(source.join("a/run")).unwrap();
    fifo(source.join("a/run"));
    fs::remove_file(source.join("b/type")).unwrap();
    symlink("type", source.join("b/type")).unwrap();
    fs::create_dir(source.join("c/data")).unwrap();
    fifo(source.join("c/data/pipe"));
    symlink("/dev/zero", source.join("d/finish")).unwrap();
    let huge = fs::File::create(source.join("e/finish")).unwrap();
    huge.set_len((16 << 20) + 1).unwrap();
    symlink("nowhere", source.join("f/timeout-up")).unwrap();
    symlink("loop", source.join("loop")).unwrap();
    symlink("nowhere", source.join("gone")).unwrap();
    fifo(source.join("not-a-service"));
    let socket = std::os::unix::net::UnixListener::bind(source.join("f/notification-fd"));
    drop(socket.expect("a socket can be made"));
    assert_eq!(
        folder.mistakes(),
        "a/run: it cannot be read: it is a named pipe\n\
         b/type: it cannot be read: Too many levels of symbolic links (os error 40)\n\
         c/data/pipe: it cannot be read: it is a named pipe\n\
         d/finish: it cannot be read: it is a device\n\
         e/finish: it cannot be read: it is larger than 16 MiB\n\
         f/notification-fd: it cannot be read: it is a socket\n\
         f/timeout-up: it cannot be read: No such file or directory (os error 2)\n\
         gone: it cannot be read: No such file or directory (os error 2)\n\
         loop: it cannot be read: Too many levels of symbolic links (os error 40)\n"
    );
}

#[test]
fn folders_that_are_too_deep_are_a_mistake() {
    let folder = Folder::new();
    folder.longrun("a");
    folder.write(&format!("source/a/data{}/file", "/x".repeat(40)), "");
    let expected = format!("a/data{}: it cannot be read: it lies too deep\n", "/x".repeat(32));
    assert_eq!(folder.mistakes(), expected);
}

#[test]
fn a_source_that_is_not_there_is_refused_by_name() {
    let error = read(&[PathBuf::from("/nonexistent/source")]).expect_err("it is not there");
    assert_eq!(error.path, Path::new("/nonexistent/source"));
}

#[test]
fn links_to_services_and_files_are_followed() {
    let folder = Folder::new();
    folder.write("elsewhere/type", "longrun\n");
    folder.write("script", "#!/bin/sh\n");
    folder.write("rules/lan", "allow\n");
    fs::create_dir(folder.0.join("source")).unwrap();
    symlink("../elsewhere", folder.0.join("source/a")).unwrap();
    symlink("../script", folder.0.join("elsewhere/run")).unwrap();
    symlink("../rules", folder.0.join("elsewhere/data")).unwrap();
    symlink("lan", folder.0.join("rules/alias")).unwrap();
    folder.compile("db");
    let made = folder.0.join("db/servicedirs/a");
    assert_eq!(fs::read_to_string(made.join("run")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::read_to_string(made.join("data/lan")).unwrap(), "allow\n");
    assert_eq!(fs::read_link(made.join("data/alias")).unwrap(), Path::new("lan"));
}

#[test]
fn service_directories_hold_what_was_understood() {
    let folder = Folder::new();
    folder.longrun("a");
    folder.longrun("b");
    let file = |name: &str, text: &str| folder.write(&format!("source/a/{name}"), text);
    for (name, text) in [
        ("finish", "exit 0\n"),
        ("notification-fd", "0003\n\n"),
        ("timeout-kill", "5000"),
        ("max-death-tally", "100000\n"),
        ("down-signal", "int"),
        ("reload-signal", "34\n"),
        ("flag-newpidns", "whatever"),
        ("restart-wait", "250\n"),
        ("timeout-up", "7\n"),
        ("data/deep/.er/file", "data"),
        ("env/NAME", "value"),
        ("template/run", "x"),
        ("log/run", "x"),
        ("README", "x"),
        ("down", ""),
    ] {
        file(name, text);
    }
    folder.write("source/b/notification-fd", "3\n");
    fs::set_permissions(file("data/program", "x"), Permissions::from_mode(0o750)).unwrap();
    let closed = folder.0.join("source/a/data/deep");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    folder.compile("db");

    let mut found = Vec::new();
    list(&folder.0.join("db"), "", &mut found);
    found.retain(|line| line != "db");
    assert_eq!(
        found,
        [
            "lock=",
            "servicedirs/a/data/deep/.er/file=data",
            "servicedirs/a/data/program=x",
            "servicedirs/a/down-signal=SIGINT\n",
            "servicedirs/a/env/NAME=value",
            "servicedirs/a/finish=exit 0\n",
            "servicedirs/a/flag-newpidns=",
            "servicedirs/a/instance/",
            "servicedirs/a/instances/",
            "servicedirs/a/max-death-tally=4096\n",
            "servicedirs/a/notification-fd=3\n",
            "servicedirs/a/reload-signal=34\n",
            "servicedirs/a/restart-wait=250\n",
            "servicedirs/a/run=#!/bin/sh\nexec sleep 1000\n",
            "servicedirs/a/template/run=x",
            "servicedirs/a/timeout-kill=5000\n",
            "servicedirs/b/notification-fd=3\n",
            "servicedirs/b/run=#!/bin/sh\nexec sleep 1000\n",
        ]
    );
    // The umask of whoever runs this test takes bits away, and adds none.
    let mode = |name: &str| {
        let path = folder.0.join("db/servicedirs/a").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o700
    };
    for (name, expected) in [
        ("run", 0o700),
        ("finish", 0o700),
        ("timeout-kill", 0o600),
        ("data/program", 0o700),
        ("data/deep", 0o500),
        ("data/deep/.er/file", 0o600),
    ] {
        assert_eq!(mode(name), expected, "{name}");
    }
    for deep in [closed, folder.0.join("db/servicedirs/a/data/deep")] {
        fs::set_permissions(deep, Permissions::from_mode(0o755)).unwrap();
    }
}

fn list(at: &Path, prefix: &str, found: &mut Vec<String>) {
    let mut names: Vec<String> = fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    if names.is_empty() {
        found.push(prefix.to_owned());
    }
    for name in names {
        let path = at.join(&name);
        if path.is_dir() {
            list(&path, &format!("{prefix}{name}/"), found);
        } else if name == "db" {
            found.push(name);
        } else {
            found.push(format!("{prefix}{name}={}", fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn the_same_sources_give_the_same_bytes() {
    let bytes = |order: &[&str]| {
        let folder = Folder::new();
        for name in order {
            folder.longrun(name);
            folder.write(&format!("source/{name}/data/x"), "x");
            folder.write(&format!("source/{name}/data/y"), "y");
        }
        folder.write("source/all/type", "bundle\n");
        for name in order {
            folder.write(&format!("source/all/contents.d/{name}"), "");
        }
        folder.compile("db");
        fs::read(folder.0.join("db/db")).unwrap()
    };
    assert_eq!(bytes(&["a", "b", "c", "d"]), bytes(&["d", "b", "a", "c"]));
}

/// Digests change with what a restart would change, and with nothing else.
#[test]
fn digests_tell_what_needs_a_restart() {
    let folder = Folder::new();
    folder.longrun("a");
    folder.longrun("log");
    folder.write("source/a/data/rule", "allow\n");
    folder.write("source/once/type", "oneshot\n");
    folder.write("source/once/up", "true\n");
    let digests = || -> Vec<u64> {
        let compiled = compile(&folder.tree()).unwrap_or_else(|m| panic!("{}", report(&m, true)));
        compiled.contents.services.iter().map(|service| service.digest).collect()
    };
    let mut last = digests();
    let mut changed = |what: &str, expected: &[bool; 3]| {
        let now = digests();
        let changed: Vec<bool> = last.iter().zip(&now).map(|(a, b)| a != b).collect();
        assert_eq!(changed, expected, "after {what}");
        last = now;
    };
    let (none, only_a, only_once) = ([false; 3], [true, false, false], [false, false, true]);
    let file = |name: &str, text: &str| drop(folder.write(&format!("source/{name}"), text));

    for (name, text, expected) in [
        ("a/README", "x", &none),
        ("a/timeout-up", "5\n", &none),
        ("a/timeout-kill", "5\n", &none),
        ("a/timeout-finish", "5\n", &none),
        ("a/restart-wait", "5\n", &none),
        ("a/max-death-tally", "5\n", &none),
        ("a/down-signal", "INT\n", &none),
        ("a/flag-essential", "", &none),
        ("a/flag-timeout-killpg", "", &none),
        ("a/dependencies.d/once", "", &none),
        ("a/run", "#!/bin/sh\n", &only_a),
        ("a/finish", "#!/bin/sh\n", &only_a),
        ("a/data/rule", "deny\n", &only_a),
        ("a/data/other", "", &only_a),
        ("a/env/NAME", "x", &only_a),
        ("a/notification-fd", "3\n", &only_a),
        ("a/lock-fd", "4\n", &only_a),
        ("a/flag-newpidns", "", &only_a),
        ("a/nosetsid", "", &only_a),
        ("once/up", "true # as before\n", &none),
        ("once/reload", "true\n", &none),
        ("once/up", "true it is\n", &only_once),
        ("once/down", "false\n", &only_once),
    ] {
        file(name, text);
        changed(name, expected);
    }
    let rule = folder.0.join("source/a/data/rule");
    fs::set_permissions(rule, Permissions::from_mode(0o600)).unwrap();
    changed("the mode of data", &only_a);
    let run = folder.0.join("source/a/run");
    fs::set_permissions(run, Permissions::from_mode(0o600)).unwrap();
    changed("the mode of run, which becomes 0755", &none);
    file("a/producer-for", "log\n");
    file("log/consumer-for", "a\n");
    changed("a pipe between the two", &[true, true, false]);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let folder = Folder::new();
    folder.longrun("a");
    let (tree, there) = (folder.tree(), folder.0.join("there"));
    let compiled = compile(&tree).unwrap();
    fs::create_dir(&there).unwrap();
    let error = write(&there, &tree, &compiled).expect_err("an empty folder is not replaced");
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(write(&folder.0.join("no/such"), &tree, &compiled).is_err());
    assert!(write(Path::new("/"), &tree, &compiled).is_err());

    // Two folders where one should be: the second cannot be made.
    let mut twice = compiled;
    twice.contents.services.push(twice.contents.services[0].clone());
    twice.directories.push(twice.directories[0]);
    assert!(write(&folder.0.join("db"), &tree, &twice).is_err());
    let mut left: Vec<_> =
        fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["source", "there"]);
}

#[test]
fn what_is_no_database_file_is_refused_at_once() {
    let folder = Folder::new();
    let refused = |what: &str| match DatabaseFile::read(&folder.0) {
        Err(DatabaseFileError::NotADatabase) => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was read"),
    };
    assert!(matches!(DatabaseFile::read(&folder.0), Err(DatabaseFileError::Refused(_))));
    fs::create_dir(folder.0.join("db")).unwrap();
    refused("a folder");
    fs::remove_dir(folder.0.join("db")).unwrap();
    fifo(folder.0.join("db"));
    refused("a pipe");
    fs::remove_file(folder.0.join("db")).unwrap();
    fs::File::create(folder.0.join("db")).unwrap().set_len(65 << 20).unwrap();
    refused("a huge file");
    fs::write(folder.0.join("db"), "").unwrap();
    assert!(DatabaseFile::read(&folder.0).unwrap().database().is_err());
}
