//! From a configuration to store paths and images, without network, daemon and nixpkgs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::nix::{SMALL, built, closure, command, on_disk, read, sources, store, try_build};
use e2e::{Folder, stdout};
use serde_json::Value;

fn example() -> std::path::PathBuf {
    sources().join("examples/configuration.nix")
}

#[test]
fn the_words_of_the_manual_build_a_package_and_an_output() {
    let folder = Folder::new("manual");
    let configuration = folder.write("my-configuration.nix", SMALL);
    folder.write(
        "devices/mydevice/default.nix",
        format!("import {}/devices/qemu-x86_64", sources().display()),
    );
    for (words, expected) in
        [("pkgs.tcpdump", "bin/tcpdump"), ("outputs.systemConfiguration", "init")]
    {
        for name in ["liminix-config", "doorward-config"] {
            let mut build = command("nix-build");
            build.arg(sources()).arg("--store").arg(store()).arg("--no-out-link");
            // As the manual has it: relative to where one stands.
            build.current_dir(folder.path());
            build.arg("-I").arg(format!("{name}=./my-configuration.nix"));
            build.args(["--arg", "device", "import ./devices/mydevice", "-A", words]);
            let path = stdout(&mut build);
            let place = on_disk(path.trim()).join(expected);
            assert!(place.symlink_metadata().is_ok(), "{}", place.display());
        }
    }
    assert!(configuration.exists());
}

/// A machine with Nix, on which what tests have built lies in /nix: `$1` becomes its root directory, `$2`
/// is the store, `$3` what is called there.
const MACHINE: &str = r#"
mount -t tmpfs none "$1"
for name in /*; do
	case $name in /nix) continue;; esac
	if [ -L "$name" ]; then cp -a "$name" "$1$name"
	elif [ -d "$name" ]; then mkdir "$1$name"; mount --rbind "$name" "$1$name"
	fi
done
mkdir "$1/nix" "$1/old"
mount --rbind "$2/nix" "$1/nix"
cd "$1"
# Nix has its builds in namespaces, which the kernel lets nobody make who was only put below a folder.
pivot_root . old
umount -l /old
exec /bin/sh -ec "$3"
"#;

#[test]
fn the_commands_of_the_manual_come_as_packages_and_in_a_shell() {
    let folder = Folder::new("tools");
    folder.write("my-configuration.nix", SMALL);
    folder.write(
        "devices/mydevice/default.nix",
        format!("import {}/devices/qemu-x86_64", sources().display()),
    );
    let about = [
        ("liminix-rebuild", "has the device try it"),
        ("min-copy-closure", "store paths"),
        ("min-collect-garbage", "no generation needs"),
    ];
    for (name, word) in about {
        let mut build = command("nix-build");
        build.arg(sources()).arg("--store").arg(store()).arg("--no-out-link");
        build.args(["-A", &format!("pkgs.{name}")]);
        let path = on_disk(stdout(&mut build).trim());
        // Wherever somebody stands, it has all that it builds with.
        let mut tool = Command::new(path.join("bin").join(name));
        let help = stdout(tool.arg("--help").current_dir(folder.path()));
        assert!(help.contains(word), "{name}: {help}");
        for file in ["share/doorward/default.nix", "share/doorward/devices/qemu-x86_64"] {
            assert!(path.join(file).exists(), "{file}");
        }
        assert!(path.join("lib/doorward/x86_64-unknown-linux-musl/release/ward").exists());
    }

    // What the manual has: a package is built, and copied by a command that `nix-shell` brings along.
    let device = e2e::store::Device::new();
    let root = folder.join("machine");
    fs::create_dir(&root).expect("made");
    let (here, top) = (folder.path().display(), sources().display());
    folder.write("default.nix", format!("import {top}"));
    // The lines of the page, with the device's receiver, and where Doorward is.
    let steps = e2e::shown::blocks("docs/guide/updates.md", "build.rs").remove(0);
    let lines =
        e2e::shown::lines(&steps).join("\n").replace("/where/doorward/is", &top.to_string());
    let receiver = format!("min-copy-closure --receiver '{}' root@", device.receiver());
    let lines = lines.replace("min-copy-closure root@", &receiver);
    assert_eq!(lines.matches("--receiver").count(), 1, "{lines}");
    let script = format!(
        "cd {here}
         export HOME={here} DOORWARD_SSH={} NIX_SSHOPTS=
         {lines}
         nix-shell {top}/shell.nix --run 'min-copy-closure --dry-run --receiver false root@the-device result/ || command -v liminix-rebuild'",
        device.folder.join("ssh").display(),
    );
    let mut machine = command("unshare");
    if !rustix::process::geteuid().is_root() {
        machine.args(["--user", "--map-root-user"]);
    }
    machine.args(["--mount", "sh", "-ec", MACHINE, "machine"]).arg(&root).arg(store()).arg(script);
    let said = stdout(&mut machine);
    let built = said.lines().find(|line| line.contains("-tcpdump-")).expect("it was built");
    assert!(device.on_disk(built).join("bin/tcpdump").exists(), "{said}");
    assert!(said.trim().ends_with("/bin/liminix-rebuild"), "{said}");
}

#[test]
fn a_generation_names_all_that_it_runs() {
    let folder = Folder::new("generation");
    let configuration = folder.write("c.nix", SMALL);
    let paths = built(&configuration, &["-A", "outputs.systemConfiguration"]);
    let generation = paths.first().expect("one path");
    let inside = |name: &str| read(&format!("{generation}/{name}"));
    assert_eq!(inside("root/etc/motd"), "hello\n");
    assert_eq!(inside("root/root/.ssh/authorized_keys"), "ssh-ed25519 AAAA somebody\n");
    assert!(inside("root/etc/passwd").contains("root:!:0:0:root:/root:/bin/sh\n"));
    let list = inside("filesystem");
    for line in [
        "link\t/etc\t/run/current-system/root/etc",
        "link\t/root/.ssh/authorized_keys\t/run/current-system/root/root/.ssh/authorized_keys",
        "copy\t/persist/token\t0600\t65534\t0\t/run/current-system/root/persist/token",
    ] {
        assert!(list.lines().any(|found| found == line), "{line:?} is not in\n{list}");
    }
    // `ward` comes before busybox, which has a `reboot` of its own.
    for (name, package) in [("reboot", "-ward/bin/"), ("sh", "-busybox-"), ("ls", "-busybox-")] {
        let link = on_disk(generation).join("root/bin").join(name);
        let target = fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        assert!(target.to_string_lossy().contains(package), "{name} is {}", target.display());
    }

    // What only the database of services names is needed as well: its text can be read.
    let closure = closure(generation);
    let names: BTreeSet<&str> = closure.iter().map(|path| &path[44..]).collect();
    for name in ["ward", "small-services", "glibc", "dropbear", "busybox"] {
        assert!(names.iter().any(|found| found.starts_with(name)), "{name} is not in {names:?}");
    }
    let database = fs::read_link(on_disk(generation).join("services")).expect("a link");
    let mut ask = e2e::applet("s6-rc-db");
    ask.arg("-c").arg(on_disk(&database.to_string_lossy())).args(["all-dependencies", "default"]);
    assert_eq!(stdout(&mut ask), "ssh-host-key\nloopback\nhostname\nssh\n");
    let mut ask = e2e::applet("s6-rc-db");
    ask.arg("-c").arg(on_disk(&database.to_string_lossy())).args(["timeout", "hostname"]);
    assert_eq!(stdout(&mut ask), "20000\n");
}

#[test]
fn the_manifest_says_what_the_image_holds_with_sizes_and_hashes() {
    let paths = built(&example(), &["-A", "outputs.manifest", "-A", "outputs.rootfs"]);
    let [manifest, image] = &paths[..] else { panic!("two paths: {paths:?}") };
    let manifest: Value = serde_json::from_str(&read(manifest)).expect("it is JSON");
    let generation = manifest["generation"].as_str().expect("a path");

    let listed: BTreeSet<String> = manifest["paths"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|path| path["path"].as_str().expect("a path").to_owned())
        .collect();
    assert_eq!(listed, closure(generation).into_iter().collect());
    let sum = |path: &Value| path["narSize"].as_u64().expect("a size");
    let total: u64 = manifest["paths"].as_array().into_iter().flatten().map(sum).sum();
    assert_eq!(manifest["closureSize"].as_u64(), Some(total));
    for path in manifest["paths"].as_array().into_iter().flatten().take(3) {
        let mut ask = command("nix-store");
        ask.arg("--store").arg(store()).args([
            "-q",
            "--hash",
            path["path"].as_str().expect("path"),
        ]);
        let hash = stdout(&mut ask);
        let mut convert = command("nix-hash");
        let base32 = hash.trim().trim_start_matches("sha256:");
        convert.args(["--type", "sha256", "--to-base16", base32]);
        let hexadecimal = format!("sha256:{}", stdout(&mut convert).trim());
        let mut convert = command("nix-hash");
        let told = path["narHash"].as_str().expect("a hash").trim_start_matches("sha256:");
        convert.args(["--type", "sha256", "--to-base16", told]);
        assert_eq!(format!("sha256:{}", stdout(&mut convert).trim()), hexadecimal);
    }

    let told = &manifest["images"]["rootfs"];
    let file = on_disk(image);
    assert_eq!(told["file"].as_str(), Some(image.as_str()));
    assert_eq!(told["size"].as_u64(), fs::metadata(&file).ok().map(|about| about.len()));
    let sum = stdout(Command::new("sha256sum").arg(&file));
    assert_eq!(told["sha256"].as_str(), sum.split(' ').next());
    assert_eq!(manifest["flash"]["partitions"]["rootfs"]["size"].as_u64(), Some(28 << 20));
    assert_eq!(manifest["services"]["dnsmasq"]["needs"][0], "address-br-lan");
}

#[test]
fn mistakes_in_a_configuration_say_where_and_what_would_be_right() {
    let folder = Folder::new("mistakes");
    for (text, expected) in [
        (
            "{ ... }: {\n  hostnam = \"x\";\n}",
            "c.nix:2: there is no option `hostnam`; did you mean `hostname`?",
        ),
        // Nobody reads this one.
        (
            "{ ... }: {\n\n  logging.files = \"many\";\n}",
            "c.nix:3: `logging.files` should be an integer from 1 to 1000, and is \"many\"",
        ),
        (
            "{ ... }: {\n  vm.forward = [ \"8080:80\" \"udp:53:99999\" ];\n}",
            "c.nix:2: `vm.forward[1]` should be two ports, as in \"8080:80\" or \"udp:5353:53\", and is \"udp:53:99999\"",
        ),
        (
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.ssh.build {\n    prot = 22; };\n}",
            "c.nix:3: there is no option `ssh.build.prot`; did you mean `port`?",
        ),
        (
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.ssh.build { dependencies = [ \"lan\" ]; };\n}",
            "c.nix:2: `ssh.build.dependencies[0]` should be a service, or `{ service = …; on-restart = \"ignore\" | \"notify\" | \"restart\"; }`, and is \"lan\"",
        ),
        (
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.longrun { name = \"s\"; run = \"x\"; timout-up = 3; };\n}",
            "c.nix:2: there is no option `longrun.s.timout-up`; did you mean `timeout-up`?",
        ),
        (
            "{ pkgs, ... }: {\n  services.a = pkgs.svc.oneshot { name = \"x\"; up = \"a\"; };\n  services.b = pkgs.svc.oneshot { name = \"x\"; up = \"b\"; };\n}",
            "there are two services called `x`:",
        ),
        (
            "{ lib, ... }: {\n  logging.persistent.enable = true; hardware.ramoops = lib.mkForce null;\n}",
            "logging.persistent.enable: QEMU, x86_64 has no memory that outlives a restart",
        ),
        (
            "{ lib, ... }: {\n  logging.persistent.enable = true; hardware.ramoops.pmsgSize = 1048576;\n}",
            "hardware.ramoops.size: 524288 bytes have no room for the log",
        ),
        ("{ pkgs, ... }: {\n  services.a = pkgs.svc.shh.build { };\n}", "attribute 'shh' missing"),
        (
            "{ pkgs, ... }: {\n  services.a = pkgs.svc.longrun { name = \"a\"; run = \"x\"; producer-for = \"nobody\"; };\n}",
            "the service `a`, producer-for: there is no service nobody",
        ),
        (
            "{ ... }: {\n  filesystem.\"/etc/x\" = { text = \"x\"; link = \"/y\"; };\n}",
            "filesystem.\"/etc/x\": exactly one of text, source, link and directory says what it is, and link and text does",
        ),
        (
            "{ lib, ... }: {\n  hardware.flash.partitions.factory = lib.mkForce { offset = 1; size = 65536; };\n}",
            "hardware.flash.partitions.factory: offset and size should be multiples of 65536",
        ),
        (
            "{ ... }: {\n  filesystem.\"/etc/shadow\" = { text = \"x\"; mode = \"0600\"; };\n}",
            "filesystem.\"/etc/shadow\": /etc is a part of the generation",
        ),
    ] {
        let configuration = folder.write("c.nix", text);
        let output = try_build(&configuration, &["-A", "outputs.systemConfiguration"]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{text}\nsaid {said}");
        assert!(!said.contains("builder for"), "{said}");
    }
}

#[test]
fn programs_for_other_processors_find_their_libraries_in_the_store() {
    let folder = Folder::new("processors");
    let configuration = folder.write("c.nix", SMALL);
    for (device, machine, loader) in
        [("qemu-mipsel", 8, "ld.so.1"), ("qemu-aarch64", 183, "ld-linux-aarch64.so.1")]
    {
        let names = ["pkgs.dnsmasq", "pkgs.nftables", "pkgs.busybox", "pkgs.ppp"];
        let mut words = vec!["-d", device];
        words.extend(names.iter().flat_map(|name| ["-A", name]));
        for path in built(&configuration, &words) {
            // Unpacking has looked for every library; here: that it is for this processor.
            let closure = closure(&path);
            let glibc = closure.iter().find(|path| path.contains("-glibc-")).expect("it has one");
            let folder = on_disk(&path).join("bin");
            let program =
                ["dnsmasq", "nft", "busybox", "pppd"].iter().map(|name| folder.join(name));
            let program = program.into_iter().find(|path| path.exists()).expect("a program");
            let bytes = fs::read(&program).expect("it can be read");
            assert_eq!(
                (&bytes[..4], bytes[18]),
                (&b"\x7fELF"[..], machine),
                "{}",
                program.display()
            );
            if device == "qemu-mipsel" {
                assert_debug_map(&bytes, &program);
            }
            let interpreter = format!("{glibc}/lib/{loader}\0");
            assert!(
                bytes.windows(interpreter.len()).any(|window| window == interpreter.as_bytes()),
                "{} is not started by {interpreter}",
                program.display()
            );
        }
    }
}

/// The loader of MIPS writes a pointer where the program says; it must be the place that is kept
/// free for that (`.rld_map`), and not another variable.
fn assert_debug_map(bytes: &[u8], program: &Path) {
    let word =
        |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let half = |at: usize| usize::from(bytes[at]) + 256 * usize::from(bytes[at + 1]);
    let dynamic = (0..half(44)).map(|number| word(28) + 32 * number).find(|at| word(*at) == 2);
    let dynamic = dynamic.expect("it has a dynamic section");
    let (place, address, size) = (word(dynamic + 4), word(dynamic + 8), word(dynamic + 16));
    let tag = (0..size / 8).find(|number| word(place + 8 * number) == 0x7000_0035);
    let tag = tag.expect("it says where the pointer goes");
    let told = (address + 8 * tag + word(place + 8 * tag + 4)) & 0xffff_ffff;

    let section = |number: usize| word(32) + 40 * number;
    let names = word(section(half(50)) + 16);
    let is_map = |at: &usize| bytes[names + word(*at)..].starts_with(b".rld_map\0");
    let map = (0..half(48)).map(section).find(is_map).expect("there is a place for it");
    assert_eq!(told, word(map + 12), "{}", program.display());
}

#[test]
fn every_template_makes_services_that_can_be_read() {
    let configuration = sources().join("tests/cases/configuration/everything.nix");
    let mut evaluate = command("nix-instantiate");
    evaluate.arg(sources()).arg("--store").arg(store()).args(["--eval", "--strict", "--json"]);
    evaluate.arg("-I").arg(format!("doorward-config={}", configuration.display()));
    // Of each template at least one service is there; `longrun` and the like are their own.
    let reference = stdout(evaluate.args(["-A", "reference.templates"]));
    let templates: Value = serde_json::from_str(&reference).expect("it is JSON");
    let text = fs::read_to_string(&configuration).expect("it can be read");
    for name in templates.as_object().expect("a set").keys() {
        assert!(
            text.contains(&format!("svc.{name}.build")),
            "no service is of the template {name}"
        );
    }

    let words = ["-A", "outputs.services", "-A", "outputs.systemConfiguration"];
    let [database, generation] = &built(&configuration, &words)[..] else { panic!("two paths") };
    assert_eq!(read(&format!("{generation}/root/etc/text")), "some text");
    let link = fs::read_link(on_disk(generation).join("root/etc/link"));
    assert_eq!(link.ok().as_deref(), Some(Path::new("/run/elsewhere")));
    assert!(on_disk(generation).join("root/etc/empty").is_dir());
    let database = on_disk(database);
    let mut ask = e2e::applet("s6-rc-db");
    let ask = ask.arg("-c").arg(&database).args(["list", "oneshots"]);
    let mut scripts: Vec<(String, String)> = Vec::new();
    for name in stdout(ask).lines() {
        for way in ["-u", "-d"] {
            let mut ask = e2e::applet("s6-rc-db");
            let words = stdout(ask.arg("-c").arg(&database).args([way, "script", name]));
            scripts.extend(words.split('\0').nth(2).map(|script| (name.into(), script.into())));
        }
    }
    let folders = fs::read_dir(database.join("servicedirs")).expect("it has longruns");
    for folder in folders.map(|entry| entry.expect("it can be read").path()) {
        for file in ["run", "finish", "data/event", "data/check", "data/ip-up", "data/ip-down"] {
            if let Ok(script) = fs::read_to_string(folder.join(file)) {
                scripts.push((format!("{}/{file}", folder.display()), script));
            }
        }
    }
    assert!(scripts.len() > 40, "{} scripts", scripts.len());
    for (name, script) in &scripts {
        let check = Command::new("busybox").args(["sh", "-nc", script]).output();
        let output = check.expect("busybox runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}\n{script}");
        if let Some((_, rules)) = script.split_once("<<'RULES'\n") {
            let folder = Folder::new("rules");
            let file = folder.write("rules", rules.split("RULES\n").next().expect("a part"));
            let mut check = Command::new("unshare");
            stdout(check.args(["--map-root-user", "--net", "nft", "-c", "-f"]).arg(file));
        }
    }
}

#[test]
fn where_nixpkgs_is_found_it_is_used_instead() {
    let folder = Folder::new("nixpkgs");
    let configuration = folder.write("c.nix", SMALL);
    // It has the shape of the real one, and Debian's packages under another name.
    folder.write("nixpkgs/lib/default.nix", format!("import {}/nix/lib", sources().display()));
    folder.write(
        "nixpkgs/default.nix",
        format!(
            "{{ config, overlays, crossSystem ? {{ config = \"x86_64-unknown-linux-musl\"; }} }}:
            assert crossSystem.config == \"x86_64-unknown-linux-musl\";
            import {root}/nix/packages/debian.nix {{
              processor = import {root}/nix/processors.nix \"x86_64\";
              folder = /. + builtins.getEnv \"DOORWARD_PACKAGES\";
            }} // {{ foreign = derivation {{ name = \"foreign\"; system = \"none\"; builder = \"none\"; }}; }}",
            root = sources().display()
        ),
    );
    let evaluate = |attribute: &str| {
        let mut evaluate = command("nix-instantiate");
        evaluate.arg(sources()).arg("--store").arg(store()).arg("-A").arg(attribute);
        evaluate.arg("-I").arg(format!("doorward-config={}", configuration.display()));
        evaluate
    };
    let with = format!("nixpkgs={}", folder.join("nixpkgs").display());
    let foreign = evaluate("pkgs.foreign").output().expect("nix-instantiate runs");
    assert!(!foreign.status.success(), "there is no such package of Debian's");
    assert!(stdout(evaluate("pkgs.foreign").args(["-I", &with])).ends_with("-foreign.drv\n"));
    // The same modules and packages give the same, wherever these come from.
    let attribute = "outputs.systemConfiguration";
    assert_eq!(stdout(evaluate(attribute).args(["-I", &with])), stdout(&mut evaluate(attribute)));
}

#[test]
fn what_was_fetched_once_needs_no_network() {
    // As `./setup` calls it; the second time where there is no network, and nothing to be said.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    stdout(Command::new(&cargo).current_dir(sources()).args(["xtask", "fetch", "amd64"]));
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--net"]).arg(cargo).args(["xtask", "fetch", "amd64"]);
    let output = again.current_dir(sources()).output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn an_ordinary_user_builds_without_network_into_a_store_of_their_own() {
    let folder = Folder::new("user");
    let configuration = folder.write("c.nix", SMALL);
    // A user without any power over the machine, who owns these files all the same.
    let mut build = command("unshare");
    build.args(["--user", "--map-user=1000", "--map-group=1000", "--net", "nix-build"]);
    build.arg(sources()).arg("--store").arg(folder.join("store")).arg("--no-out-link");
    build.arg("-I").arg(format!("liminix-config={}", configuration.display()));
    build.env("HOME", folder.path()).args(["-A", "outputs.systemConfiguration"]);
    let path = stdout(&mut build);
    let place = folder.join("store").join(&path.trim()[1..]);
    assert!(place.join("filesystem").exists(), "{}", place.display());
    make_writable(&folder.join("store"));
}

/// A store is made for nobody to write to, and a test takes its own away.
fn make_writable(folder: &Path) {
    let status = Command::new("chmod").args(["-R", "u+w"]).arg(folder).status();
    assert!(status.is_ok_and(|status| status.success()));
}
