//! Store paths copied to a device: what arrives, what it costs, and what is cut off on the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::documented::holds;
use e2e::json::Json;
use e2e::ssh_server::SshServer;
use e2e::store::{COPY, Device, Store, events, named, noise, path, text};
use e2e::{documented, doorward, stdout, transcript};
use model::deploy::store_path::StorePath;
use model::deploy::transfer::{FileSystem, FromDevice, Greeting, ToDevice, VERSION};

/// A library, a program that names it, and what is made of both: as one version of them.
fn release(store: &Store, letters: [&str; 3], library: &[u8], script: &str) -> [String; 3] {
    let [lib, app, system] = letters;
    let (lib, app, system) =
        (path(lib, "libcrypto-3.0"), path(app, "server-1"), path(system, "system"));
    store.add(&lib, &[("lib/libcrypto.so.3", library), ("lib/empty", b"")], &[]);
    symlink("libcrypto.so.3", store.on_disk(&lib).join("lib/libcrypto.so")).expect("made");
    store.register(&lib, &[]);
    let mut program = noise(7, 200_000);
    for at in [1000, 70_000, 150_000] {
        let needs = format!("{lib}/lib\0");
        program[at..at + needs.len()].copy_from_slice(needs.as_bytes());
    }
    store.add(&app, &[("bin/server", &program)], &[&lib]);
    let run = format!("#!/bin/sh\n{script}\nexec {app}/bin/server\n");
    store.add(&system, &[("services/run", run.as_bytes())], &[&app, &lib]);
    [lib, app, system]
}

fn total(events: &[serde_json::Value], key: &str) -> u64 {
    named(events, "done")[0][key].as_u64().expect("a number")
}

fn ways(events: &[serde_json::Value]) -> Vec<&str> {
    named(events, "path").iter().map(|event| event["way"].as_str().expect("a word")).collect()
}

#[test]
fn a_closure_arrives_whole_and_then_nothing_is_sent() {
    let (store, device) = (Store::new(), Device::new());
    let [lib, app, system] = release(&store, ["a", "b", "c"], &noise(1, 300_000), "true");
    let first = device.copy(&store, &[], &[&system]);
    assert_eq!(ways(&first), ["whole"; 3]);
    for path in [&lib, &app, &system] {
        let (here, there) = (store.on_disk(path), device.on_disk(path));
        let same = Command::new("diff").arg("-r").arg(here).arg(there).status().expect("diff runs");
        assert!(same.success(), "{path}");
    }
    let mode =
        |path: String| fs::metadata(device.on_disk(&path)).expect("it is there").permissions();
    assert_eq!(mode(format!("{app}/bin/server")).mode() & 0o7777, 0o555);
    assert_eq!(mode(format!("{system}/services/run")).mode() & 0o7777, 0o444);
    let link = fs::read_link(device.on_disk(&lib).join("lib/libcrypto.so")).expect("a link");
    assert_eq!(link.to_str(), Some("libcrypto.so.3"));
    assert_eq!(device.told(&["verify"]), "3 paths are whole\n");

    let again = device.copy(&store, &[], &[&system]);
    assert_eq!((total(&again, "paths"), total(&again, "bytes")), (0, 0));
    let query = device.told(&["query"]);
    for path in [&lib, &app, &system] {
        let hash = stdout(
            Command::new("nix-hash")
                .args(["--type", "sha256", "--base32"])
                .arg(store.on_disk(path)),
        );
        let line = format!("path {path} sha256:{} ", hash.trim());
        assert!(query.contains(&line), "{line} is not in\n{query}");
    }
}

#[test]
fn what_was_only_built_anew_costs_next_to_nothing() {
    let (store, device) = (Store::new(), Device::new());
    let library = noise(1, 300_000);
    let [.., old] = release(&store, ["a", "b", "c"], &library, "true");
    device.copy(&store, &[], &[&old]);
    let [.., new] = release(&store, ["1", "2", "3"], &library, "true");
    let copied = device.copy(&store, &[], &[&new]);
    assert_eq!(ways(&copied), ["replaced"; 3]);
    let (bytes, size) = (total(&copied, "bytes"), total(&copied, "size"));
    assert!(bytes < 1500 && bytes * 50 < size, "{bytes} of {size} bytes");
    assert_eq!(device.told(&["verify"]), "6 paths are whole\n");
}

#[test]
fn a_script_or_a_fix_costs_what_has_changed() {
    let (store, device) = (Store::new(), Device::new());
    let mut library = noise(1, 300_000);
    let [.., old] = release(&store, ["a", "b", "c"], &library, "true");
    device.copy(&store, &[], &[&old]);
    // One script.
    let run = format!("#!/bin/sh\necho changed\nexec {}/bin/server\n", path("b", "server-1"));
    let one = path("4", "system");
    let (app, lib) = (path("b", "server-1"), path("a", "libcrypto-3.0"));
    store.add(&one, &[("services/run", run.as_bytes())], &[&app, &lib]);
    let copied = device.copy(&store, &[], &[&one]);
    assert_eq!((total(&copied, "paths"), total(&copied, "bytes") < 1000), (1, true));
    // A library in which something was added, so that addresses all over it are others.
    library.splice(100_000..100_000, *b"a check that was missing");
    library.iter_mut().step_by(97).for_each(|byte| *byte = byte.wrapping_add(24));
    let [.., new] = release(&store, ["1", "2", "3"], &library, "true");
    let copied = device.copy(&store, &[], &[&new]);
    assert_eq!(ways(&copied), ["patched", "replaced", "replaced"]);
    let (bytes, size) = (total(&copied, "bytes"), total(&copied, "size"));
    assert!(bytes * 100 < size * 15, "{bytes} of {size} bytes");
    assert_eq!(device.told(&["verify"]), "7 paths are whole\n");
}

#[test]
fn an_older_path_that_is_not_what_it_was_is_no_base_for_a_newer_one() {
    let (store, device) = (Store::new(), Device::new());
    let library = noise(1, 300_000);
    let [lib, .., old] = release(&store, ["a", "b", "c"], &library, "true");
    device.copy(&store, &[], &[&old]);
    let file = device.on_disk(&lib).join("lib/libcrypto.so.3");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it can be changed");
    fs::write(&file, noise(2, 300_000)).expect("written");
    let output = device.ward(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output), format!("{lib}: is not what it was\n2 paths are whole, 1 are not\n"));
    let verified = Json::parse(&text(&device.ward(&["verify", "--json"])));
    holds("`ward store --json verify`", &verified);
    let broken = verified.get("broken").expect("there is one").items();
    broken.iter().for_each(|one| holds("Each of `broken`", one));
    assert_eq!(broken[0].text("path"), Some(&*lib));
    // What cannot be made of it comes whole, with what refers to it.
    let [.., new] = release(&store, ["1", "2", "3"], &library, "true");
    let copied = device.copy(&store, &[], &[&new]);
    assert_eq!(ways(&copied), ["replaced", "replaced", "replaced", "whole", "whole", "whole"]);
    // It is forgotten, and comes again.
    assert_eq!(device.ward(&["verify", "--repair"]).status.code(), Some(1));
    let copied = device.copy(&store, &[], &[&old]);
    assert_eq!(total(&copied, "paths"), 1);
    assert_eq!(device.told(&["verify"]), "6 paths are whole\n");
}

#[test]
fn a_copy_that_is_cut_off_goes_on_from_what_came_whole() {
    // The first connection ends after 350,000 bytes, in the middle of the second path.
    let device = Device::by(
        "if [ -e $folder/cut ]; then exec sh -c \"$command\"; fi\n\
         touch $folder/cut; head -c 350000 | sh -c \"$command\"; exit 255",
    );
    let store = Store::new();
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 300_000), "true");
    let events = device.copy(&store, &[], &[&system]);
    assert_eq!(named(&events, "retry").len(), 1);
    for event in ["connected", "plan", "path", "committed", "done"] {
        assert!(!named(&events, event).is_empty(), "{event}");
    }
    let plans: Vec<u64> = named(&events, "plan")
        .iter()
        .map(|plan| plan["paths"].as_u64().expect("a number"))
        .collect();
    assert_eq!(plans, [3, 2], "the first path was there already");
    assert_eq!(device.told(&["verify"]), "3 paths are whole\n");
    assert!(!device.root().join("nix/store/.incoming").join(&path("b", "server-1")[11..]).exists());
}

#[test]
fn a_connection_that_never_holds_is_given_up_with_a_reason() {
    let device = Device::by("exit 255");
    let store = Store::new();
    let lib = path("a", "lib");
    store.add(&lib, &[("x", b"x")], &[]);
    let output =
        device.copy_command(&store, &["--retries", "1"], &[&lib]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(111), "{said}");
    assert!(said.contains("the connection to device was cut: ssh has no connection"), "{said}");
    assert!(said.contains("the same command goes on from it"), "{said}");
    let mut told = device.copy_command(&store, &["--retries", "0", "--json"], &[&lib]);
    documented::events(COPY, &text(&told.output().expect("it runs")), &["failed"]);
}

#[test]
fn what_has_no_room_is_refused_before_anything_is_written() {
    // A device of one megabyte, of which a path that nobody needs takes some.
    let device = Device::by(
        "exec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=1m none $0/root
            mkdir -p $0/root/nix/store $0/root/nix/var/doorward; tar -xf $0/before.tar -C $0/root/nix
            find $0/root >$0/found; sh -c \"$1\"; code=$?; find $0/root | diff $0/found - >$0/changed; exit $code' $folder \"$command\"",
    );
    let store = Store::new();
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 3_000_000), "true");
    let unused = path("d", "unused");
    store.add(&unused, &[("x", &noise(5, 300_000))], &[]);
    // What is there before came by a copy to another device.
    let other = Device::new();
    other.copy(&store, &[], &[&unused]);
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(device.folder.join("before.tar")).arg("-C").arg(other.root().join("nix"));
    assert!(tar.args(["store", "var"]).status().expect("tar runs").success());

    let output = device.copy_command(&store, &[], &[&system]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no room on the device: needs 3.1 MiB, have 7"), "{said}");
    assert!(said.contains("`ward store collect` would free 293 KiB"), "{said}");
    let changed = fs::read_to_string(device.folder.join("changed")).expect("it was looked at");
    let lines = changed.lines().filter(|line| {
        line.starts_with(['<', '>']) && !line.contains("/run") && !line.contains(".incoming")
    });
    assert_eq!(lines.count(), 0, "{changed}");
}

#[test]
fn who_speaks_another_version_is_told_so_and_nothing_is_sent() {
    // A newer sender.
    let device = Device::new();
    let mut talk = device.talk();
    talk.say(&ToDevice::Hello { version: VERSION + 1 });
    let said = talk.end();
    let why = format!("the sender speaks version {}, and this device {VERSION}", VERSION + 1);
    assert!(said.contains(&FromDevice::Refused { why }), "{said:?}");
    assert!(!device.root().join("nix/store/.incoming").exists());

    // A newer device.
    let device = Device::by("cat >/dev/null & cat $folder/greeting; sleep 1");
    let greeting = FromDevice::Greeting(Greeting {
        version: VERSION + 8,
        free_bytes: 1 << 30,
        free_files: None,
        block_bytes: 4096,
        erase_bytes: 0,
        memory_bytes: 1 << 30,
        file_system: FileSystem::Other,
        is_read_only: false,
        wants_signature: false,
    });
    device.folder.write("greeting", greeting.encode());
    let store = Store::new();
    let lib = path("a", "lib");
    store.add(&lib, &[("x", b"x")], &[]);
    let output = device.copy_command(&store, &[], &[&lib]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let why = format!("the device speaks version {} of the language of copies", VERSION + 8);
    assert!(said.contains(&why) && said.contains("levitate"), "{said}");
}

#[test]
fn a_dry_run_prints_the_plan_and_sends_nothing() {
    let (store, device) = (Store::new(), Device::new());
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 30_000), "true");
    let output = device.copy_command(&store, &["--dry-run"], &[&system]).output().expect("it runs");
    let printed = text(&output);
    assert!(printed.contains("whole    ") && printed.contains("3 paths of "), "{printed}");
    assert_eq!(device.told(&["verify"]), "0 paths are whole\n");
}

#[test]
fn two_copies_at_once_come_one_after_the_other() {
    let (store, device) = (Store::new(), Device::new());
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 30_000), "true");
    let mut other = device.talk();
    other.greet();
    let mut command = device.copy_command(&store, &["--json"], &[&system]);
    let mut copy = command.stdout(Stdio::piped()).spawn().expect("it runs");
    std::thread::sleep(Duration::from_millis(600));
    assert!(copy.try_wait().expect("it can be asked").is_none(), "it waits");
    let process = other.child.id();
    other.end();
    let output = copy.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let events = events(&output);
    assert_eq!(named(&events, "waiting")[0]["process"], process);
    assert_eq!(total(&events, "paths"), 3);
}

#[test]
fn what_is_installed_stays_under_its_name_and_a_newer_one_takes_its_place() {
    let (store, device) = (Store::new(), Device::new());
    let link = device.root().join("nix/var/doorward/roots/tool");
    for (letter, version) in [("a", "1.0"), ("b", "1.1-rc2")] {
        let tool = path(letter, &format!("tool-{version}"));
        store.add(&tool, &[("bin/tool", version.as_bytes())], &[]);
        let output =
            device.bring_command("install", &store, &[], &[&tool]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_link(&link).expect("a link"), std::path::Path::new(&tool));
        device.told(&["collect"]);
        assert_eq!(device.told(&["verify"]), "1 paths are whole\n");
        assert!(device.on_disk(&tool).exists());
    }
    device.told(&["forget", "tool"]);
    device.told(&["collect"]);
    assert!(!link.exists() && device.told(&["verify"]) == "0 paths are whole\n");
}

#[test]
fn collecting_spares_what_a_copy_needs_and_takes_the_rest() {
    let (store, device) = (Store::new(), Device::new());
    let [lib, app, system] = release(&store, ["a", "b", "c"], &noise(1, 30_000), "true");
    let unused = path("d", "unused");
    store.add(&unused, &[("x", b"x")], &[]);
    device.copy(&store, &["--keep", "tool"], &[&app]);
    device.copy(&store, &[], &[&system, &unused]);
    let named = |path: &str| StorePath::parse_full(path).expect("it is one");

    let mut talk = device.talk();
    talk.greet();
    let output = device.ward(&["collect"]);
    assert_eq!(output.status.code(), Some(1), "nobody knows yet what the copy needs");
    let paths = [&lib, &app, &system].map(|path| named(path)).to_vec();
    talk.say(&ToDevice::Rely { paths, is_last: true });
    talk.say(&ToDevice::AskCollectable);
    assert!(matches!(talk.hear(), Some(FromDevice::Collectable { bytes }) if bytes > 0));
    let dry = device.told(&["collect", "--dry-run"]);
    assert!(
        dry.contains(&unused) && dry.ends_with("1 paths of 288 bytes would be removed\n"),
        "{dry}"
    );
    assert!(device.on_disk(&unused).exists());
    let collected = device.told(&["collect"]);
    assert!(collected.contains(&unused) && !collected.contains(&system), "{collected}");
    assert_eq!(device.told(&["verify"]), "3 paths are whole\n");
    talk.end();

    // Nobody needs the system any more; the program is kept, with what it needs.
    let collected = device.told(&["collect"]);
    assert!(collected.contains(&system) && !collected.contains(&app), "{collected}");
    assert_eq!(device.told(&["verify"]), "2 paths are whole\n");
    device.told(&["forget", "tool"]);
    device.told(&["collect"]);
    assert_eq!(device.told(&["verify"]), "0 paths are whole\n");
    let left = device.names();
    assert!(left.iter().all(|name| !name.contains("-libcrypto")), "{left:?}");
}

#[test]
fn a_large_path_takes_little_memory() {
    let device = Device::by(
        "exec 3<&0; sh -c \"exec $command\" <&3 & pid=$!\n\
         while kill -0 $pid 2>/dev/null; do grep VmHWM /proc/$pid/status >>$folder/peak 2>/dev/null; sleep 0.05; done\n\
         wait $pid",
    );
    let store = Store::new();
    let large = path("a", "large");
    // Half of it cannot be compressed, half of it can.
    let mut bytes = noise(1, 20_000_000);
    bytes.extend((0..20_000_000_u32).map(|at| (at / 1000) as u8));
    store.add(&large, &[("x", &bytes)], &[]);
    device.copy(&store, &[], &[&large]);
    let next = path("b", "large");
    bytes.splice(1000..1000, *b"something else");
    store.add(&next, &[("x", &bytes)], &[]);
    let copied = device.copy(&store, &[], &[&next]);
    assert_eq!(ways(&copied), ["patched"]);
    let peaks = fs::read_to_string(device.folder.join("peak")).expect("it was looked at");
    let kilobytes = peaks.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok());
    let most: u32 = kilobytes.max().expect("it was seen");
    assert!(most <= 8192, "{most} kB");
    println!("the receiver took {most} kB");
}

#[test]
fn only_what_a_trusted_key_has_signed_is_taken() {
    let (store, device) = (Store::new(), Device::new());
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 3000), "true");
    let (secret, public) = (device.folder.join("secret"), device.folder.join("public"));
    let mut generate = Command::new("nix-store");
    generate.args(["--generate-binary-cache-key", "home-1"]).arg(&secret).arg(&public);
    assert!(generate.env("NIX_CONFIG", "").status().expect("it runs").success());
    let keys = fs::read_to_string(&public).expect("a key");
    device.folder.write("root/etc/doorward/trusted-keys", &keys);
    let refused = |why: &str, words: &[&str]| {
        let output = device.copy_command(&store, words, &[&system]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(device.told(&["verify"]), "0 paths are whole\n");
    };
    refused("is not signed by a key that this device trusts", &[]);
    // Another key of the same name.
    let mut generate = Command::new("nix-store");
    generate.args(["--generate-binary-cache-key", "home-1"]);
    generate.arg(device.folder.join("other")).arg(device.folder.join("other.pub"));
    assert!(generate.env("NIX_CONFIG", "").status().expect("it runs").success());
    let other = device.folder.join("other").display().to_string();
    refused("is not signed by a key that this device trusts", &["--sign", &other]);
    // A file of keys that cannot be read is no reason to take everything.
    device.folder.write("root/etc/doorward/trusted-keys", "home-1:AAAA\n");
    refused("a key is NAME:BASE64", &[]);
    device.folder.write("root/etc/doorward/trusted-keys", &keys);
    device.copy(&store, &["--sign", secret.to_str().expect("text")], &[&system]);
    assert_eq!(device.told(&["verify"]), "3 paths are whole\n");
}

#[test]
fn a_device_without_ward_is_served_plainly() {
    let device = Device::by(
        "case $command in *receive*) exit 127;; esac\n\
         command=$(printf %s \"$command\" | sed \"s#/nix/store#$folder/root/nix/store#g\")\n\
         export PATH=$folder/bin; exec sh -c \"$command\"",
    );
    let bin = device.folder.join("bin");
    fs::create_dir(&bin).expect("made");
    // Busybox and nothing else.
    let busybox = stdout(Command::new("sh").args(["-c", "command -v busybox"]));
    for name in ["sh", "ls", "df", "tail", "mkdir", "rm", "tar", "test", "sync", "mv"] {
        symlink(busybox.trim(), bin.join(name)).expect("made");
    }
    let store = Store::new();
    let [lib, app, system] = release(&store, ["a", "b", "c"], &noise(1, 30_000), "true");
    let events = device.copy(&store, &[], &[&system]);
    assert_eq!((named(&events, "plain").len(), total(&events, "paths")), (1, 3));
    for path in [&lib, &app, &system] {
        let (here, there) = (store.on_disk(path), device.on_disk(path));
        let same = Command::new("diff").arg("-r").arg(here).arg(there).status().expect("diff runs");
        assert!(same.success(), "{path}");
    }
    assert!(!device.root().join("nix/store/.incoming").exists());
    let events = device.copy(&store, &[], &[&system]);
    assert_eq!(total(&events, "paths"), 0);
    // Once it has ward, what came so is known by nobody, and comes again.
    assert_eq!(
        device.told(&["verify"]),
        "0 paths are whole, of 3 nobody has said what they should be\n"
    );
}

#[test]
fn it_goes_over_ssh_with_a_key_that_may_do_nothing_else() {
    let (store, device) = (Store::new(), Device::new());
    let [.., system] = release(&store, ["a", "b", "c"], &noise(1, 300_000), "true");
    let may = format!("restrict,command=\"{}\" ", device.receiver());
    let server = SshServer::start(&may);
    let ssh = format!("ssh {}", server.options(server.port));
    // What the sender wants to call is passed over by the server.
    let mut command = Command::new(doorward());
    command.args(["copy", "--json", "--receiver", "false", "--store"]).arg(store.root());
    command.arg("127.0.0.1").arg(&system).env("DOORWARD_SSH", ssh);
    command.env("NIX_CONFIG", "build-users-group =\nsubstituters =\n").env_remove("NIX_SSHOPTS");
    let output = command.output().expect("doorward runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", text(&output));
    assert_eq!(total(&events(&output), "paths"), 3);
    assert_eq!(device.told(&["verify"]), "3 paths are whole\n");
}

#[test]
fn what_is_said_of_a_copy_is_what_stands_in_the_transcript() {
    // `doorward` calls what stands for ssh with the name of the device, and of the receiver.
    let device = Device::by(&format!(
        "case \"$*\" in *nobody*) exit 255 ;; esac\n\
         command=$(echo \"$command\" | sed \"s#^ward store#{} store#; s#\\$# --root $folder/root#\")\n\
         exec sh -c \"$command\"",
        e2e::ward().display()
    ));
    let store = Store::new();
    let [_, tool, system] = release(&store, ["a", "b", "c"], &noise(1, 30_000), "true");
    transcript::here("device-copy.txt", store.root(), &[], |command| {
        command.env("DOORWARD_SSH", device.folder.join("ssh"));
        command.env("NIX_CONFIG", "build-users-group =\nsubstituters =\n").env_remove("NIX_REMOTE");
        command.env("DOORWARD_STORE", store.root()).env("SYSTEM", system).env("TOOL", tool);
    });
}
