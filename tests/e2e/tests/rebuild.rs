//! `doorward rebuild` of a device that a script stands for: what it is asked, where, and what comes of the
//! answers. (What a device does is shown in `trial.rs`, and both together in `virtual/update.rs`.)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use e2e::json::Json;
use e2e::nix::{self, SMALL, store};
use e2e::store::COPY;
use e2e::{Folder, documented, doorward, pretend_device, transcript};

/// It is reached as `root@old`, until it has gone over, and as `root@new` from then on.
const WHERE: &str = r#"
cd "$folder"
[ -e over ] && here=root@new || here=root@old
[ $host = $here ] || exit 255
"#;

struct Device(Folder);

impl Device {
    fn new() -> Self {
        let folder = Folder::new("rebuild");
        fs::create_dir(folder.join("root")).expect("made");
        let at = folder.path().display();
        let text = pretend_device::ssh(&format!("folder={at}\n{WHERE}"));
        let ssh = folder.write("ssh", text);
        fs::set_permissions(ssh, fs::Permissions::from_mode(0o755)).expect("it can be changed");
        Self(folder)
    }

    fn rebuild(&self, words: &[&str]) -> Output {
        let configuration = self.0.write("c.nix", SMALL);
        let mut command = nix::command(doorward());
        command.env("DOORWARD_SSH", self.0.join("ssh")).env_remove("NIX_SSHOPTS");
        command.args(["rebuild", "root@old", "--store"]).arg(store());
        command.arg("-c").arg(configuration).args(words);
        command.output().expect("doorward runs")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_device_whose_address_changes_is_confirmed_where_it_is_then() {
    let device = Device::new();
    let output = device.rebuild(&["--confirm-at", "root@new", "--keep", "3"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let visits = device.read("visits");
    let visits: Vec<&str> = visits.lines().collect();
    assert_eq!(visits[0], "root@old: ward generation activate");
    assert!(visits[1].starts_with("root@new: ward generation confirm "), "{visits:?}");
    assert!(visits[2..].iter().all(|visit| visit.starts_with("root@new: ")), "{visits:?}");
    assert!(said.contains("root@new runs generation 2 ("), "{said}");
    // What the device has to say beside that, and what is no longer needed there.
    let warning = "doorward: warning: logs are kept elsewhere from the next start on";
    assert!(said.contains(warning), "{said}");
    assert_eq!(device.read("collected"), "ward store collect --keep 3\n");

    // What cannot be freed then does not make it undone.
    for name in ["over", "confirmed"] {
        fs::remove_file(device.0.join(name)).expect("it was there");
    }
    device.0.write("full", "");
    let output = device.rebuild(&["--confirm-at=root@new", "--keep=1"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("nothing was freed; `min-collect-garbage` does it"), "{said}");
}

#[test]
fn programs_are_told_what_happens_and_how_it_ended() {
    let device = Device::new();
    let output = device.rebuild(&["--json", "--confirm-at", "root@new"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let begins = said.find("{\"event\":\"said\"").expect("the device says something");
    let (copy, trial) = said.split_at(begins);
    documented::events(COPY, copy, &["plan", "done"]);
    let rebuild = "`doorward rebuild --json`";
    documented::events(rebuild, trial, &["said", "runs"]);
    let last = Json::parse(trial.lines().last().expect("a line"));
    assert_eq!((last.text("device"), last.number("number")), (Some("root@new"), Some(2.0)));
    assert_eq!(last.get("warnings").expect("they are there").items().len(), 1);

    // Nothing was built.
    let mut command = nix::command(doorward());
    command.args(["rebuild", "root@old", "--json", "-c", "/nowhere.nix"]);
    let output = command.output().expect("doorward runs");
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    documented::events(rebuild, &String::from_utf8_lossy(&output.stdout), &["failed"]);
}

#[test]
fn words_that_make_no_sense_are_refused_before_anything_is_built() {
    let device = Device::new();
    for (words, why) in [
        (&["--confirm-at", "-x"][..], "unexpected argument"),
        (&["--confirm-at="], "\"\" is no device"),
        (&["--keep", "few"], "invalid"),
        (&["--keep", "3", "--dry-run"], "cannot be used with"),
        (&["root@third", "--confirm-at", "root@new"], "--confirm-at is for one device"),
    ] {
        let output = device.rebuild(words);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(100), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert_eq!(device.read("visits"), "");
}

#[test]
fn what_is_said_is_what_stands_in_the_transcript() {
    let device = Device::new();
    device.0.write("c.nix", SMALL);
    let (store, top) = (store().display().to_string(), nix::sources().display().to_string());
    let hidden = [(&*store, "STORE"), (&*top, "SOURCES")];
    transcript::here("device-rebuild.txt", device.0.path(), &hidden, |command| {
        nix::as_builds_want(command);
        command.env("DOORWARD_SSH", device.0.join("ssh")).env("DOORWARD_STORE", &store);
    });
}
