//! Images of a configuration: root file systems, and the firmware with a kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::nix::{SMALL, built, closure, command, on_disk, read, sources, store, try_build};
use e2e::{Folder, stdout};
use model::flash::image::{Image, Processor};
use model::flash::manifest::{Checker, Manifest};
use serde_json::Value;

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
        ("-rw-r--r-- 0/0", &format!("/nix/var/doorward/info/{}", &generation[11..])),
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

/// The files of an initial file system, and what its archive says of each.
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
    let manifest = Manifest::of_file(&firmware).expect("it is whole").expect("it is there");
    assert_eq!((&*manifest.device, &*manifest.partition), ("QEMU, x86_64", "firmware"));
    let parts: Vec<_> =
        manifest.parts.iter().map(|it| (&*it.name, it.bytes, it.rest_erased)).collect();
    let length = |part: &[u8]| part.len() as u64;
    assert_eq!(parts, [("kernel", length(&kernel), false), ("rootfs", length(&rootfs), true)]);
    let mut checker = Checker::new(&manifest);
    checker.update(&firmware[..manifest.bytes as usize]).expect("as it was made");
    checker.finish().expect("all of it");

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
