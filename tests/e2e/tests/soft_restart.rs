//! A soft restart of a generation that runs in namespaces: the same `ward`, the same steps, and no
//! flash.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use e2e::documented::holds;
use e2e::generation::Generation;
use e2e::json::Json;
use e2e::nix::{SMALL, built, try_build};
use e2e::{Folder, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

/// A system with a maintenance system, of which this is the configuration.
fn text(inner: &str) -> String {
    format!(
        "{{ config, pkgs, ... }}: {{
           imports = [ ({SMALL}) ];
           defaultProfile.packages = [ (pkgs.levitate.override {{ {inner} }}) ];
         }}"
    )
}

const USUAL: &str = "config = {
    services = { inherit (config.services) ssh; };
    users.root = config.users.root;
    filesystem.\"/etc/banner\".text = \"small, in memory\\n\";
  };";

fn boot() -> Generation {
    let folder = Folder::new("soft");
    let configuration = folder.write("c.nix", text(USUAL));
    let paths = built(&configuration, &["-A", "outputs.systemConfiguration"]);
    let generation = Generation::boot(paths.first().expect("one path"));
    generation.wait_until_up("ssh");
    generation
}

/// What `levitate` prints for programs, and nothing beside it.
fn json(router: &Generation, words: &[&str]) -> Json {
    let output = router.inside(&[&["levitate", "--json"], words].concat()).output();
    Json::parse(String::from_utf8_lossy(&output.expect("nsenter runs").stdout).trim())
}

fn truth(object: &Json, field: &str) -> bool {
    object.get(field) == Some(&Json::Bool(true))
}

#[test]
fn pid_1_moves_into_memory_with_its_log_and_the_keys_of_ssh() {
    let router = boot();
    let status = router.ask(&["ward", "status"]).expect("a status");
    assert!(!status.contains("maintenance"), "{status}");
    assert!(router.ask(&["levitate", "-n"]).expect("it fits").contains("store paths"));
    let asked = json(&router, &["-n"]);
    holds("`levitate --json`", &asked);
    assert_eq!((truth(&asked, "fits"), truth(&asked, "prepared")), (true, false), "{asked:?}");
    assert!(!router.file("/run/maintenance/maintenance").exists(), "it was only asked");

    // Killed at any moment it is whole or it is nothing.
    for hundredths in 0..8 {
        let line = format!(
            "levitate >/dev/null & sleep 0.0{hundredths}; kill -9 $! 2>/dev/null; wait $! 2>/dev/null; \
             [ -e /run/maintenance/maintenance ] || exit 0; \
             [ -x /run/maintenance/boot/../nix/store ] && [ -s /run/maintenance/persist/ssh/host_key ]"
        );
        assert!(router.ask(&["sh", "-c", &line]).is_some(), "after 0.0{hundredths} s");
    }
    assert!(router.ask(&["levitate", "--cancel"]).is_some());
    assert!(!router.ask(&["cat", "/proc/mounts"]).expect("mounts").contains("maintenance"));
    assert_eq!(router.ask(&["levitate", "--cancel"]).as_deref(), Some("nothing was prepared\n"));

    let state = json(&router, &["--status"]);
    holds("`levitate --json --status`", &state);
    assert_eq!((truth(&state, "maintenance"), truth(&state, "prepared")), (false, false));

    let key = router.ask(&["sha256sum", "/persist/ssh/host_key"]).expect("a key");
    let made = json(&router, &[]);
    holds("`levitate --json`", &made);
    assert!(truth(&made, "prepared") && made.number("bytes") > Some(1e6), "{made:?}");
    assert!(truth(&json(&router, &["--status"]), "prepared"));
    let said = router.ask(&["levitate"]).unwrap_or_else(|| panic!("{}", router.log()));
    assert!(said.contains("host_key: taken along"), "{said}");
    assert!(router.ask(&["levitate"]).is_some(), "again is no mistake");
    let status = router.ask(&["ward", "status"]).expect("a status");
    assert!(status.starts_with("maintenance is prepared"), "{status}");

    router.ask(&["reboot"]);
    wait_for("maintenance", LIMIT, || router.ask(&["test", "-e", "/maintenance"]));
    router.wait_until_up("ssh");
    router.wait_until_up("maintenance");
    assert_eq!(router.ask(&["cat", "/etc/banner"]).as_deref(), Some("small, in memory\n"));
    assert_eq!(router.ask(&["cat", "/etc/motd"]).as_deref(), Some("small, in memory\n"));
    assert_eq!(router.ask(&["sha256sum", "/persist/ssh/host_key"]), Some(key));
    let mode = fs::metadata(router.file("/persist/ssh/host_key")).expect("a key").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mounts = router.ask(&["cat", "/proc/mounts"]).expect("mounts");
    assert!(!mounts.contains("/old") && !mounts.contains("/nix/store"), "{mounts}");
    assert!(!router.file("/old").exists());
    let log = router.log();
    for line in [" init bringing everything down (into maintenance)", " init this is maintenance"] {
        assert!(log.contains(line), "{line}:\n{log}");
    }
    let status = router.ask(&["ward", "status"]).expect("a status");
    assert!(status.starts_with("maintenance: this system runs in memory"), "{status}");
    // There is no second one inside of it, and its own `ward` can start itself anew.
    assert!(router.ask(&["levitate"]).is_none());
    assert!(router.ask(&["ward", "reexec", "--fault"]).is_some(), "{}", router.log());
    let stays = json(&router, &["--stay"]);
    holds("`levitate --json --status`", &stays);
    assert!(truth(&stays, "maintenance") && truth(&stays, "stays"), "{stays:?}");
    assert_eq!(router.end(), Some(0));
}

#[test]
fn whom_nobody_visits_does_not_stay() {
    let mut router = boot();
    assert!(router.ask(&["levitate", "--timeout", "9"]).is_none(), "that is too short");
    assert!(router.ask(&["levitate", "--timeout", "10", "--new-host-key"]).is_some());
    let key = router.ask(&["sha256sum", "/persist/ssh/host_key"]).expect("a key");
    router.ask(&["reboot"]);
    wait_for("maintenance", LIMIT, || router.ask(&["test", "-e", "/maintenance"]));
    router.wait_until_up("ssh");
    let new = router.ask(&["sha256sum", "/persist/ssh/host_key"]).expect("a key");
    assert_ne!(new, key);
    // The way of a container to restart the machine.
    assert_eq!(router.wait_end(), Some(0), "{}", router.console());
    assert!(router.console().contains("nobody has come"), "{}", router.console());
}

#[test]
fn a_configuration_that_leads_nowhere_is_refused() {
    let folder = Folder::new("refused");
    for (inner, expected) in [
        ("", "has to be told what runs in maintenance"),
        ("config = { };", "have no svc.ssh"),
        ("config.services = { inherit (config.services) ssh; };", "none of its `users` has a key"),
        ("config = { serwices = { }; };", "there is no option `serwices`"),
        ("unchecked = true; timeout = 5; config = { };", "`timeout` should be 10 seconds or more"),
    ] {
        let configuration = folder.write("c.nix", text(inner));
        let output = try_build(&configuration, &["-A", "outputs.systemConfiguration"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{inner}:\n{said}");
    }
    let small = format!("imports = [ ({}) ]; hardware.memory = 32;", text(USUAL));
    let configuration = folder.write("c.nix", format!("{{ ... }}: {{ {small} }}"));
    let output = try_build(&configuration, &["-A", "outputs.systemConfiguration"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("-glibc-"), "{said}");
    // Another way in is taken on trust.
    let trusted = folder.write("c.nix", text("unchecked = true; config = { };"));
    built(&trusted, &["-A", "outputs.systemConfiguration"]);
}
