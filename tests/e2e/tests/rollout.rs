//! Many devices by one command. What stands for ssh here is a script: which devices there are, and that
//! they cannot be reached, is all that is asked of it. (What one device does is shown in `virtual/update.rs`.)

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use e2e::{Folder, doorward};

#[test]
fn it_is_called_by_the_names_that_people_know() {
    let folder = Folder::new("names");
    for (name, word) in [
        ("liminix-rebuild", "has the device try it"),
        ("min-copy-closure", "store paths"),
        ("min-collect-garbage", "no generation needs"),
    ] {
        symlink(doorward(), folder.join(name)).unwrap();
        let output = Command::new(folder.join(name)).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && help.contains(word), "{name}:\n{help}");
    }
}

/// A rollout over devices for which `ssh` is this script; the configuration is never built.
fn rebuild(folder: &Folder, ssh: &str, words: &[&str]) -> (Option<i32>, String) {
    folder.write("ssh", ssh);
    let mut command = Command::new(doorward());
    command.arg("rebuild").args(words).current_dir(folder.path());
    command.env("DOORWARD_SSH", format!("sh {}", folder.join("ssh").display()));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_device_that_cannot_be_reached_is_tried_again_and_named() {
    let folder = Folder::new("rollout");
    folder.write("routers", "[first]\nroot@attic\n[rest]\nroot@cellar\n");
    let nobody = "for word; do case $word in root@*) echo $word >>visited ;; esac; done; exit 255";
    let quick = ["--retry", "1", "--patience", "2", "--soak", "0"];
    let (code, said) = rebuild(
        &folder,
        nobody,
        &[&["--inventory", "routers", "-c", "none.nix"], &quick[..]].concat(),
    );
    // The first wave says nothing of the update as long as nobody of it was reached: it waits for them.
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
    let visited = fs::read_to_string(folder.join("visited")).unwrap();
    assert!(visited.lines().count() > 1 && !visited.contains("cellar"), "{visited}");
    assert!(fs::read_to_string(folder.join("routers.state")).unwrap().contains("\"root@attic\""));
}

#[test]
fn one_that_fails_leaves_the_rest_alone() {
    let folder = Folder::new("rollout-fails");
    folder.write("routers", "root@attic\nroot@cellar\n");
    // It can be reached, and then there is no such configuration.
    let (code, said) =
        rebuild(&folder, "exit 0", &["--inventory", "routers", "-c", "none.nix", "--state", "far"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 of 2 updated, 1 failed, 0 not reached, 1 not begun"), "{said}");
    assert!(said.contains("cannot find the configuration none.nix"), "{said}");
    for (words, expected) in [
        (&["--inventory", "nowhere"][..], "nowhere"),
        (&["a", "-b"], "unexpected argument"),
        (&["a", "b", "--dry-run"], "for one device"),
        (&["a", "a"], "named twice"),
        (&[], "required"),
    ] {
        let (code, said) = rebuild(&folder, "exit 0", words);
        assert_eq!(code, Some(100), "{said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
}
