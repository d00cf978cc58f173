//! From a configuration to store paths and images, without network, daemon and nixpkgs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::nix::{built, closure, command, on_disk, sources, store, try_build};
use e2e::{Folder, stdout};
use model::flash::image::{Image, Processor};
use serde_json::Value;

/// A configuration that needs no long build.
const SMALL: &str = "{ pkgs, ... }: {
  hostname = \"small\";
  services.ssh = pkgs.svc.ssh.build { };
  users.root.openssh.authorizedKeys.keys = [ \"ssh-ed25519 AAAA somebody\" ];
  filesystem.\"/etc/motd\".text = \"hello\\n\";
  filesystem.\"/persist/token\" = { text = \"t\"; mode = \"0600\"; user = \"nobody\"; };
  filesystem.\"/home/tool\" = { text = \"#!/bin/sh\\n\"; executable = true; mode = \"0750\"; user = \"nobody\"; };
}
";

fn example() -> std::path::PathBuf {
    sources().join("examples/configuration.nix")
}

fn read(path: &str) -> String {
    fs::read_to_string(on_disk(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a program of the build machine's packages prints about a store path: it is run by Nix,
/// since it finds its libraries only where the store is /nix/store.
fn told(path: &str, script: &str) -> String {
    // Another script or path is another derivation, so its answer is never an old one.
    let expression = format!(
        "let
          pkgs = (import ./default.nix {{ device.system.processor = \"x86_64\"; configuration = {{ }}; }}).pkgs.buildPackages;
        in
        derivation {{
          name = \"told\";
          system = \"x86_64-linux\";
          builder = \"${{pkgs.busybox}}/bin/sh\";
          path = builtins.storePath {path};
          inherit (pkgs) squashfsTools mtdutils busybox;
          args = [ \"-euc\" ''PATH=$busybox/bin; export PATH; {{ {script}; }} >$out'' ];
        }}"
    );
    let mut build = command("nix-build");
    build.arg("--store").arg(store()).args(["--no-out-link", "--expr", &expression]);
    read(stdout(&mut build).trim())
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
    ask.arg("-c").arg(on_disk(&database.to_string_lossy())).args(["timeout", "ssh-host-key"]);
    assert_eq!(stdout(&mut ask), "20000\n");
}

#[test]
fn images_hold_the_generation_with_its_owners_and_are_the_same_each_time() {
    let folder = Folder::new("images");
    // Folders of the root file system: the flash of this device has no other one for /persist.
    let more = "boot.compression = \"gzip\";
  hardware.flash.persist = pkgs.lib.mkForce null;
  hostname =";
    let text = SMALL.replace("hostname =", more);
    let configuration = folder.write("c.nix", text);
    let words =
        ["-A", "outputs.systemConfiguration", "-A", "outputs.jffs2", "-A", "outputs.squashfs"];
    let paths = built(&configuration, &words);
    let [generation, jffs2, squashfs] = &paths[..] else { panic!("three paths: {paths:?}") };

    let list = told(squashfs, "$squashfsTools/bin/unsquashfs -lln $path");
    for (mode, path) in [
        ("drwx------ 0/0", "/root"),
        ("drwxrwxrwt 0/0", "/tmp"),
        ("dr-xr-xr-x 0/0", "/proc"),
        ("-rw------- 65534/0", "/persist/token"),
        ("-rwxr-x--- 65534/0", "/home/tool"),
        ("crw------- 0/0", "/dev/console"),
        ("lrwxrwxrwx 0/0", &format!("/boot/system -> {generation}")),
        ("lrwxrwxrwx 0/0", "/etc -> /run/current-system/root/etc"),
        ("-r-xr-xr-x 0/0", &format!("{}/bin/ward", path_of(generation, "-ward"))),
    ] {
        let wanted = format!("squashfs-root{path}");
        let line = list.lines().find(|line| line.ends_with(&wanted));
        let line = line.unwrap_or_else(|| panic!("{path} is not in the image:\n{list}"));
        assert!(line.starts_with(mode), "{line} should begin with {mode}");
    }
    let list = told(jffs2, "$mtdutils/bin/jffs2reader -r -d / $path");
    for line in [
        format!(
            "lrwxrwxrwx 1    0        0               {} /boot/system  -> {generation}",
            generation.len()
        ),
        "-rw------- 1    65534    0                1 /persist/token ".to_owned(),
        "-rwxr-x--- 1    65534    0               10 /home/tool ".to_owned(),
        "drwx------ 1    0        0                0 /root/".to_owned(),
    ] {
        assert!(list.lines().any(|found| found == line), "{line:?} is not in the image:\n{list}");
    }

    let mut check = command("nix-build");
    check.arg(sources()).arg("--store").arg(store()).args(["--check", "--no-out-link"]);
    check.arg("-I").arg(format!("doorward-config={}", configuration.display()));
    check.args(["-A", "outputs.jffs2", "-A", "outputs.squashfs"]);
    assert_eq!(stdout(&mut check), format!("{jffs2}\n{squashfs}\n"));
}

/// The path in a closure whose name ends so.
fn path_of(generation: &str, end: &str) -> String {
    closure(generation).into_iter().find(|path| path.ends_with(end)).expect("it is needed")
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
fn what_does_not_fit_into_the_flash_names_its_largest_paths() {
    let folder = Folder::new("large");
    let device = folder.write(
        "device/default.nix",
        format!(
            "let it = import {}/devices/qemu-x86_64; in it // {{ module = {{ lib, ... }}: {{
               imports = [ it.module ];
               hardware.flash.partitions.rootfs.size = lib.mkForce (2 * 1024 * 1024);
             }}; }}",
            sources().display()
        ),
    );
    let configuration = folder.write("c.nix", SMALL);
    let device = device.parent().expect("a folder").display().to_string();
    let output = try_build(&configuration, &["-d", &device, "-A", "outputs.jffs2"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("its partition 2,097,152, of which 327,680 stay free"), "{said}");
    assert!(said.contains("The largest parts of it"), "{said}");
    assert!(said.contains("-glibc-2"), "{said}");
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
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.ssh.build {\n    prot = 22; };\n}",
            "c.nix:3: there is no option `ssh.build.prot`; did you mean `port`?",
        ),
        (
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.ssh.build { dependencies = [ \"lan\" ]; };\n}",
            "c.nix:2: `ssh.build.dependencies[0]` should be a service, and is \"lan\"",
        ),
        (
            "{ pkgs, ... }: {\n  services.s = pkgs.svc.longrun { name = \"s\"; run = \"x\"; timout-up = 3; };\n}",
            "c.nix:2: there is no option `longrun.s.timout-up`; did you mean `timeout-up`?",
        ),
        (
            "{ pkgs, ... }: {\n  services.a = pkgs.svc.oneshot { name = \"x\"; up = \"a\"; };\n  services.b = pkgs.svc.oneshot { name = \"x\"; up = \"b\"; };\n}",
            "there are two services called `x`:",
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
fn an_ordinary_user_builds_into_a_store_of_their_own() {
    let folder = Folder::new("user");
    let configuration = folder.write("c.nix", SMALL);
    // A user without any power over the machine, who owns these files all the same.
    let mut build = command("unshare");
    build.args(["--user", "--map-user=1000", "--map-group=1000", "nix-build"]);
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

/// The files of an initial file system: what its archive says of each, `070701` and 13 numbers.
fn unpacked(archive: &Path) -> (Folder, String) {
    let folder = Folder::new("initial");
    let mut unpack = Command::new("sh");
    unpack.current_dir(folder.path()).args(["-ec", "busybox cpio -idm <$0 2>/dev/null"]);
    stdout(unpack.arg(archive));
    let mut list = Command::new("sh");
    list.args(["-ec", "busybox cpio -tv <$0 2>/dev/null"]);
    let list = stdout(list.arg(archive));
    (folder, list)
}

#[test]
fn the_firmware_holds_the_kernel_and_the_root_file_system_at_their_places() {
    let folder = Folder::new("firmware");
    let configuration = folder.write("c.nix", SMALL);
    let names = ["firmware", "kernel", "rootfs", "vm"];
    let words: Vec<String> =
        names.iter().flat_map(|name| ["-A".to_owned(), format!("outputs.{name}")]).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let paths = built(&configuration, &words);
    let [firmware, kernel, rootfs, vm] = &paths[..] else { panic!("four paths: {paths:?}") };
    let bytes = |path: &str| fs::read(on_disk(path)).expect("it can be read");
    let (firmware, kernel, rootfs) = (bytes(firmware), bytes(kernel), bytes(rootfs));

    // devices/qemu-flash.nix: the kernel is first in it, the root file system 28 MiB behind.
    let place = 28 << 20;
    assert_eq!(firmware[..kernel.len()], kernel);
    assert!(firmware[kernel.len()..place].iter().all(|&byte| byte == 0xff), "erased");
    assert_eq!(firmware[place..][..rootfs.len()], rootfs);
    assert_eq!(firmware.len() % 65536, 0);

    let image = Image::parse(&firmware).expect("a boot loader can read it");
    assert_eq!((image.processor, image.bytes), (Processor::X86_64, kernel.len()));
    assert_eq!(image.name, b"small");
    let [linux, initial, words] = image.parts[..] else { panic!("{} parts", image.parts.len()) };
    // Linux Documentation/x86/boot.rst: the magic of a bzImage.
    assert_eq!(&linux[0x202..0x206], b"HdrS");
    let words = String::from_utf8_lossy(words);
    for word in ["console=ttyS0", "panic=5", "root=mtd:rootfs", "rootfstype=jffs2", "rw"] {
        assert!(words.split(' ').any(|found| found == word), "{word} is not in {words}");
    }
    let (tree, list) = unpacked(&folder.write("initial.cpio", initial));
    let early = fs::read_to_string(tree.join("early")).expect("it is there");
    let modules: Vec<&str> = early.lines().filter_map(|l| l.strip_prefix("module\t")).collect();
    assert_eq!(modules.last(), Some(&"jffs2"));
    for module in modules.iter().chain([&"phram"]) {
        assert!(tree.join(format!("lib/modules/{module}.ko")).exists(), "{module}:\n{list}");
    }
    let memory = early.find("memory\tflash0\t65536\t1af4:1110\t2\n").expect("the flash is found");
    let part = |line: &str| early.find(line).unwrap_or_else(|| panic!("{line:?}:\n{early}"));
    let whole = part("partition\tflash0\tfirmware\t1048576\t58720256\trw\n");
    let first = part("partition\tflash0\tkernel\t1048576\t29360128\trw\n");
    assert!(memory < whole && whole < first && first < part("module\tjffs2\n"), "{early}");
    assert!(early.contains("partition\tflash0\tu-boot\t0\t524288\tro\n"), "{early}");
    let init = list.lines().find(|line| line.ends_with(" init")).expect("there is an init");
    assert!(init.starts_with("-rwxr-xr-x"), "{init}");
    assert!(stdout(Command::new(tree.join("init")).arg("--help")).contains("root of a tree"));

    let description: Value =
        serde_json::from_str(&read(&format!("{vm}/vm.json"))).expect("it is JSON");
    assert_eq!(description["firmware"], "firmware.bin");
    assert_eq!(description["flash"]["partitions"]["persist"]["size"], 7 << 20);
    let beside = |name: &str| on_disk(vm).join(fs::read_link(on_disk(vm).join(name)).expect(name));
    assert_eq!(fs::read(beside("firmware.bin")).expect("beside it"), firmware);
    let script = stdout(Command::new(on_disk(vm).join("bin/run-small-vm")).arg("--help"));
    assert!(script.contains("QEMU"), "{script}");
}

#[test]
fn a_kernel_without_a_module_that_is_needed_is_an_error_that_names_it() {
    let folder = Folder::new("module");
    let configuration = folder.write(
        "c.nix",
        SMALL.replace("hostname =", "boot.modules = [ \"nf_tabels\" ];\n  hostname ="),
    );
    let output = try_build(&configuration, &["-A", "outputs.systemConfiguration"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("has no module nf_tabels"), "{said}");
}
