//! Many devices by one command. What stands for ssh here is a script: which devices there are, and that
//! they cannot be reached, is all that is asked of it. (What one device does is shown in `virtual/update.rs`.)

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use e2e::documented::holds;
use e2e::json::Json;
use e2e::machine::executable;
use e2e::nix::{SMALL, as_builds_want, sources};
use e2e::{Folder, doorward, pretend_device, shown, transcript};

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

#[test]
fn what_becomes_of_each_is_told_to_programs() {
    let folder = Folder::new("rollout-json");
    folder.write("ssh", "exit 0");
    let mut command = Command::new(doorward());
    command.args(["rebuild", "--json", "root@attic", "root@cellar", "-c", "none.nix"]);
    command.current_dir(folder.path());
    command.env("DOORWARD_SSH", format!("sh {}", folder.join("ssh").display()));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let objects: Vec<Json> = said.lines().map(Json::parse).collect();
    objects.iter().for_each(|one| holds("`doorward rebuild --json` of several devices", one));
    let is = |device: &str, state: &str| {
        let found = |one: &&Json| one.text("device") == Some(device);
        objects.iter().filter(found).any(|one| one.text("state") == Some(state))
    };
    assert!(is("root@attic", "failed") && is("root@cellar", "waiting"), "{said}");
    let why = objects.iter().filter_map(|one| one.get("said")?.text("message"));
    assert!(why.into_iter().any(|why| why.contains("none.nix")), "{said}");
}

/// A folder with three devices, and with what the page takes for granted. What one has in its store all have: a copy
/// takes a while, and is shown elsewhere.
fn three_devices() -> Folder {
    let folder = Folder::new("rollout-page");
    let all = folder.path().display();
    let place = format!(
        "folder={all}/$host; mkdir -p \"$folder\" {all}/root; cd \"$folder\"\n\
         ln -sfn {all}/root root\n"
    );
    executable(&folder.write("ssh", pretend_device::ssh(&place)));
    folder.write("my-configuration.nix", SMALL);
    folder.write("barn.nix", SMALL.replace("\"small\"", "\"barn\""));
    let device = sources().join("devices/qemu-x86_64");
    folder.write("mydevice/default.nix", format!("import {}", device.display()));
    folder
}

#[test]
fn three_devices_are_updated_as_the_page_has_it() {
    const PAGE: &str = "docs/guide/updates.md";
    let folder = three_devices();
    let [by_name, by_inventory] =
        shown::lines(&shown::blocks("docs/guide/updates.md", "rollout.rs")[0])
            .try_into()
            .expect("two lines");
    let [inventory] = shown::texts(PAGE, "rollout.rs").try_into().expect("one inventory");
    folder.write("routers", inventory);
    let types = |line: &str| {
        let mut shell = shown::shell(folder.path());
        as_builds_want(&mut shell);
        shell.env("DOORWARD_SSH", folder.join("ssh")).env_remove("NIX_SSHOPTS");
        shown::typed(&mut shell, line)
    };
    let read = |device: &str, name: &str| {
        fs::read_to_string(folder.join(format!("root@{device}/{name}"))).expect("it was visited")
    };
    let runs = || ["attic", "cellar", "barn"].map(|device| read(device, "path"));

    let said = types(&by_name);
    assert!(said.contains("all are updated: 3 of 3 updated"), "{said}");
    // The first of them alone, and the others when that was watched.
    let at = |device: &str, state: &str| {
        let is = |line: &str| line.contains(device) && line.contains(state);
        said.lines().position(is).unwrap_or_else(|| panic!("{device} {state}: {said}"))
    };
    let watched = at("root@attic", "wave 1  updated");
    assert!(watched < at("root@cellar", "wave 2  running"), "{said}");
    assert!(watched < at("root@barn", "wave 2  running"), "{said}");
    let [attic, cellar, barn] = runs();
    assert!(attic.starts_with("/nix/store/") && attic == cellar && attic == barn, "{attic}");

    // The one in the barn has a configuration of its own.
    let said = types(&by_inventory);
    assert!(said.contains("all are updated: 3 of 3 updated"), "{said}");
    let [attic, cellar, other] = runs();
    assert!(attic == barn && cellar == barn && other != barn, "{attic} {cellar} {other}");
    assert!(read("barn", "visits").matches("ward generation activate").count() == 2);
}

#[test]
fn what_is_said_of_many_is_what_stands_in_the_transcript() {
    let folder = Folder::new("rollout-said");
    folder.write("ssh", "exit 0");
    transcript::here("device-rollout.txt", folder.path(), &[], |command| {
        command.env("DOORWARD_SSH", format!("sh {}", folder.join("ssh").display()));
    });
}
