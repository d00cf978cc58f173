//! The manual's chapter about levitate, on a virtual router: into a system in memory, the flash written
//! from there, and back.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::client::{Visit, patient};
use e2e::dice::Dice;
use e2e::documented::events;
use e2e::nix::{self, sources, store};
use e2e::vm::{self, LIMIT, Roots, Vm};
use e2e::{Folder, doorward, shown, wait_for};
use pages::Step;

use crate::person::Person;

/// The manual's configuration, with the example's services.
fn router(more: &str) -> PathBuf {
    vm::build(&modules(more), "qemu-x86_64")
}

/// Its modules.
fn modules(more: &str) -> String {
    let example = sources().join("examples/configuration.nix").display().to_string();
    // Where this machine is busy, QEMU's processor stands still for half a minute, and its watchdog does not
    // (`soft lockup` on its console): so it gets more patience than a device needs.
    let levitate = "({ config, pkgs, ... }: {
      services.watchdog = config.system.service.watchdog.build { timeout = 120; interval = 5; };
      defaultProfile.packages = with pkgs; [
        (levitate.override {
          config = {
            services = {
              inherit (config.services) wan bridge ssh watchdog;
            };
            defaultProfile.packages = [ mtdutils ];
            users.root = config.users.root;
          };
        })
      ];
    })";
    format!("{example} {levitate} {more}")
}

/// More of a configuration: another system than without it.
const SECOND: &str = "{ filesystem.\"/etc/second\".text = \"2\n\"; }";

/// Keys as `nix-store --generate-binary-cache-key` makes them. (New ones would want new images each time.)
const SECRET: &str = "test-1:wV7Jn0NFD3Pf0ntGs8XBGDNs6fJMT9+rNvp2DbSKZAc4xCN/foesq32ESA6mUWXkSCZr9afWIDRMiiOP0qk/3w==";
const PUBLIC: &str = "test-1:OMQjf36HrKt9hEgOplFl5Egma/Wn1iA0TIojj9KpP98=";

/// More of a configuration: a root that cannot be written to, and is made quickly; a device that takes only
/// signed images; and files as disks. All that need such a device share this one: it is built once.
fn squashfs() -> String {
    format!(
        "({{ pkgs, ... }}: {{
           boot.rootfs = \"squashfs\"; boot.compression = \"zstd\"; boot.modules = [ \"loop\" ];
           updates.trustedKeys = [ \"{PUBLIC}\" ];
         }})"
    )
}

/// One figure for the report.
fn tell(what: &str, figure: impl std::fmt::Display) {
    eprintln!("levitate: {what}: {figure}");
}

/// What docs/guide/reinstall.md has for this test: the chapter, all of it at once, how to write, and how to write
/// what comes by ssh.
fn page() -> [Vec<Step>; 4] {
    shown::blocks("docs/guide/reinstall.md", "virtual/levitate.rs").try_into().expect("four blocks")
}

/// What is typed on the device there, one after the other: `levitate`, `reboot`, two files to look at, `flashcp`
/// and `reboot`.
fn chapter() -> [Step; 6] {
    let [chapter, ..] = page();
    let typed: Vec<Step> = chapter.into_iter().filter(|step| step.on_device).collect();
    typed.try_into().expect("six commands")
}

/// Into maintenance, as a person types it; back once that is sure.
fn levitated(person: &Person<'_>) {
    let [levitate, reboot, banner, parts, ..] = chapter();
    let start = Instant::now();
    let said = person.ask(&levitate.command);
    let took = start.elapsed();
    shown::compare(&levitate, &said);
    tell("`levitate`", format_args!("{:.1} s\n{said}", took.as_secs_f32()));
    assert!(said.contains("/persist/ssh/host_key: taken along"), "{said}");
    assert!(person.ask("ward status").starts_with("maintenance is prepared"));
    let doctor = person.ssh("ward doctor").expect(1).out;
    assert!(
        doctor
            .contains("maintenance is prepared: `reboot` goes there\n         `levitate --cancel`"),
        "{doctor}"
    );
    let start = Instant::now();
    let _visit = person.leave(&reboot.command);
    person.wait(&banner.command, "MAINTENANCE");
    let took = start.elapsed();
    for step in [&banner, &parts] {
        shown::compare(step, &person.ask(&step.command));
    }
    tell("`reboot` to ssh in maintenance", format_args!("{:.1} s", took.as_secs_f32()));
}

/// What must be so in maintenance, on whichever root.
fn is_maintenance(person: &Person<'_>) {
    let mounts = person.ask("cat /proc/mounts");
    for flash in ["jffs2", "squashfs", "/dev/mtd", "/old"] {
        assert!(!mounts.contains(flash), "{flash}:\n{mounts}");
    }
    assert!(person.ask("ward status").starts_with("maintenance: this system runs in memory"));
    let doctor = person.ssh("ward doctor").expect(1).out;
    assert!(doctor.contains("\n         `reboot` leaves it\n"), "{doctor}");
    assert!(doctor.ends_with("\n1 thing is to be done\n"), "{doctor}");
    let users = "for it in jffs2 squashfs; do cat /sys/module/$it/refcnt || echo 0; done";
    assert_eq!(person.ask(users), "0\n0\n");
    assert!(!person.ask("ps").contains("jffs2_gcd"));
    let mtd = person.ask("cat /proc/mtd");
    assert!(mtd.starts_with("dev:    size   erasesize  name\n"), "{mtd}");
    assert!(mtd.contains("03800000 00010000 \"firmware\""), "{mtd}");
    // The log goes on where that of the old system has ended.
    let log = person.ask("ward log");
    for line in ["bringing everything down (into maintenance)", "this is maintenance"] {
        assert!(log.contains(line), "{line}:\n{log}");
    }
    assert_eq!(log.matches("i6300ESB timer").count(), 1, "the kernel's messages are there once");
    // The watchdog went from hand to hand, and its new owner is a service.
    assert!(log.contains("hands the watchdog over"), "{log}");
    wait_for("the watchdog's owner", LIMIT, || {
        let owner =
            person.ask("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c '/dev/watchdog$' || true");
        (owner.trim() == "1").then_some(())
    });
    wait_for("somebody noticed", LIMIT, || {
        person.ask("ward status").contains("nobody logs in").eq(&false).then_some(())
    });
}

/// What the plan says, and what memory says.
fn memory_is_as_told(person: &Person<'_>, closure: u64) {
    let line = person.ask("df -k / | tail -1");
    let used: u64 = line.split_whitespace().nth(2).and_then(|n| n.parse().ok()).expect("a number");
    let ratio = (used * 1024) as f64 / closure as f64;
    tell("memory", format_args!("{used} kB for a closure of {} kB: {ratio:.2}", closure / 1024));
    assert!(ratio < 1.2, "{ratio}");
}

/// Bytes of the store paths of the maintenance system, as files.
fn closure_bytes(person: &Person<'_>) -> u64 {
    let words = "for path in $(sed -n 's/^store\t\\([^\t]*\\).*/\\1/p' /run/current-system/levitate/plan); \
                 do find $path -type f -exec stat -c %s {} +; done";
    person.ask(words).lines().filter_map(|line| line.parse::<u64>().ok()).sum()
}

/// `doorward reflash` of this image or configuration. `ssh` is told by words, or by the environment.
fn reflash(
    person: &Person<'_>,
    what: &[OsString],
    words: &[&str],
    by_environment: bool,
) -> Command {
    let (port, key) = person.place();
    let mut command = nix::command(doorward());
    command.arg("reflash").arg("root@127.0.0.1").args(what).args(words);
    let known = format!("UserKnownHostsFile={}", person.home.join("known_hosts").display());
    let strict = "StrictHostKeyChecking=accept-new";
    if by_environment {
        let (port, key) = (port.display(), key.display());
        let words = format!("-p {port} -i {key} -o BatchMode=yes -o {strict} -o {known}");
        command.env("NIX_SSHOPTS", words).env_remove("DOORWARD_SSH");
    } else {
        command.arg("-p").arg(port).arg("-i").arg(key).args(["-o", "BatchMode=yes"]);
        command.args(["-o", strict, "-o", &known]);
    }
    command
}

/// A router that is at home, with a file that must stay.
fn at_home(name: &str, folder: &Path, root: &str) -> (Vm, Folder) {
    let home = Folder::new("home");
    let mut vm = Vm::new(name, folder);
    vm.start();
    vm.wait_open();
    let person = Person { vm: &vm, home: &home };
    assert!(person.ask("touch /persist/kept; cat /proc/mounts").contains(&format!(" / {root} ")));
    (vm, home)
}

/// The manual's chapter up to the point where the flash may be written.
fn to_maintenance(person: &Person<'_>) {
    let closure = closure_bytes(person);
    // Undone, nothing is left of it.
    person.transcript("levitate.txt");
    assert!(!person.ask("mount").contains("maintenance"));
    levitated(person);
    memory_is_as_told(person, closure);
    is_maintenance(person);
    person.transcript("levitate-there.txt");
}

fn send(person: &Person<'_>, image: &Path, name: &str) {
    let start = Instant::now();
    let file = fs::File::open(image).expect("an image");
    let sent = person.command(&format!("cat > {name}")).stdin(file).status();
    assert!(sent.is_ok_and(|it| it.success()), "{}\n{}", person.vm.said(), person.vm.console());
    tell("sent", format_args!("{:.1} s", start.elapsed().as_secs_f32()));
}

fn write(person: &Person<'_>) {
    let start = Instant::now();
    let [_, _, _, _, write, _] = chapter();
    let [_, _, alone, _] = page();
    assert_eq!(shown::lines(&alone), [write.command.as_str()]);
    let said = person.ask(&write.command);
    tell("flashcp", format_args!("{:.1} s\n{said}", start.elapsed().as_secs_f32()));
}

/// It runs from its flash again: another system than before, or not.
fn is_at_home(person: &Person<'_>, root: &str, second: bool) {
    person.wait("cat /proc/mounts", &format!(" / {root} "));
    let said = person.ssh("cat /persist/kept && cat /etc/second; levitate --status >/dev/null");
    assert_eq!(said.out, if second { "2\n" } else { "" }, "{}", said.err);
    assert!(said.code == 1 && !said.err.contains("kept"), "{}", said.err);
}

#[test]
fn the_manuals_chapter_on_a_root_that_can_be_written_to() {
    let folder = router("");
    let other = router(SECOND);
    let (mut vm, home) = at_home("levitate-jffs2", &folder, "jffs2");
    let person = Person { vm: &vm, home: &home };
    to_maintenance(&person);
    // With another system than before.
    send(&person, &other.join("firmware.bin"), "firmware.bin");
    write(&person);
    // What was read again is there, whatever happens now.
    vm.cut_power();
    vm.start();
    vm.wait_open();
    let person = Person { vm: &vm, home: &home };
    is_at_home(&person, "jffs2", true);

    // From the build machine, as README has it: to the first system while it runs, and then by the flash.
    let own = |more: &str| {
        person.home.write("my-configuration.nix", vm::configuration(&modules(more)));
    };
    let [rebuild, write] = shown::lines(&shown::blocks("README.md", "virtual/levitate.rs")[0])
        .try_into()
        .expect("two lines");
    own("");
    let said = person.types(&rebuild);
    assert!(said.contains("root@router runs generation 2"), "{said}");
    assert_eq!(person.ssh("cat /etc/second").code, 1);
    let first = ["--image".into(), other.join("firmware.bin").into()];
    let said = patient(&mut reflash(&person, &first, &["-n"], false)).expect(0).err;
    assert!(said.contains("nothing was changed"), "{said}");
    own(SECOND);
    let start = Instant::now();
    let said = person.types(&write);
    tell("doorward reflash", format_args!("{:.1} s\n{said}", start.elapsed().as_secs_f32()));
    is_at_home(&person, "jffs2", true);
    // As the guide has it: nothing is done twice.
    let [_, all_at_once, ..] = page();
    let [all_at_once] = shown::lines(&all_at_once).try_into().expect("one line");
    let said = person.types(&all_at_once);
    assert!(said.contains("there is nothing to do"), "{said}");
    // All that the machine went through were two starts and this restart: no watchdog has bitten.
    assert_eq!(vm.said().matches("it restarts").count(), 1, "{}", vm.said());
}

#[test]
fn the_manuals_chapter_on_a_squashfs_root_of_a_device_that_wants_signatures() {
    let folder = router(&squashfs());
    let (vm, home) = at_home("levitate-squashfs", &folder, "squashfs");
    let person = Person { vm: &vm, home: &home };
    // From the build machine, which builds the other system. Nobody has signed it.
    let text = vm::configuration(&modules(&format!("{} {SECOND}", squashfs())));
    let configuration = home.write("second.nix", text);
    let key = home.write("key", SECRET);
    let mut include = OsString::from("liminix-config=");
    include.push(&configuration);
    let mut what: Vec<OsString> = ["--store".into(), store().into(), "-I".into(), include].to_vec();
    what.extend(["--arg", "device", "import ./devices/qemu-x86_64"].map(OsString::from));
    let said = patient(&mut reflash(&person, &what, &[], true)).expect(1).err;
    assert!(
        said.contains("this one is not signed") && said.contains("nothing was changed on it"),
        "{said}"
    );

    what.extend(["--sign".into(), key.clone().into()]);
    let start = Instant::now();
    // It is ended while it sends the image: the next one goes on there.
    let said_to = home.join("said");
    let mut first = reflash(&person, &what, &[], true);
    first.stdin(Stdio::null()).stdout(Stdio::null());
    first.stderr(fs::File::create(&said_to).expect("a file"));
    let mut first = first.spawn().expect("doorward runs");
    let said = || fs::read_to_string(&said_to).unwrap_or_default();
    wait_for("the image on its way", LIMIT, || {
        said().contains("bytes go to the partition").then_some(())
    });
    let _ = first.kill();
    let _ = first.wait();
    tell(
        "doorward reflash, killed",
        format_args!("{:.1} s\n{}", start.elapsed().as_secs_f32(), said()),
    );
    let said = patient(&mut reflash(&person, &what, &["--json"], true)).expect(0);
    events("`doorward reflash --json`", &said.out, &["found", "written", "runs"]);
    let said = said.err;
    tell("and again", format_args!("{:.1} s\n{said}", start.elapsed().as_secs_f32()));
    assert!(said.contains("it is in maintenance already"), "{said}");
    is_at_home(&person, "squashfs", true);

    // By the lines of the quick reference, back to the first system. Maintenance has the keys of the system.
    let [levitate, reboot, there, write, back] =
        shown::lines(&shown::blocks("docs/guide/tasks.md", "virtual/levitate.rs")[0])
            .try_into()
            .expect("five lines");
    let closure = closure_bytes(&person);
    assert!(person.types(&levitate).contains("/persist/ssh/host_key: taken along"));
    let visit = person.types_and_leaves(&reboot);
    person.wait("cat /etc/banner", "MAINTENANCE");
    drop(visit);
    let said = person.types(&there);
    assert!(said.contains("MAINTENANCE: ") && said.contains("\"firmware\""), "{said}");
    memory_is_as_told(&person, closure);
    is_maintenance(&person);
    let firmware = folder.join("firmware.bin");
    let signed = home.join("firmware.bin");
    let mut sign = Command::new(doorward());
    sign.args(["image", "sign", "--key"]).arg(&key).arg("-o").arg(&signed).arg(&firmware);
    patient(&mut sign).expect(0);
    assert_eq!(person.ask("cat /etc/doorward/trusted-keys"), format!("{PUBLIC}\n"));
    let part = home.write("part", &fs::read(&firmware).expect("an image")[..65536]);
    send(&person, &part, "part");
    let refused = person.ssh("flashcp --bare part mtd:kernel").expect(1).err;
    assert!(refused.contains("it is not signed"), "{refused}");
    let start = Instant::now();
    let said = person.types(&write);
    tell("flashcp -", format_args!("{:.1} s\n{said}", start.elapsed().as_secs_f32()));
    assert!(said.contains("done: all blocks were read and are as in the image"), "{said}");
    // As the guide has it, with nothing left to do.
    let [_, _, _, once_more] = page();
    let [once_more] = shown::lines(&once_more).try_into().expect("one line");
    let said = person.types(&once_more);
    assert!(said.contains(" were before, 0 were written, "), "{said}");
    let _visit = person.types_and_leaves(&back);
    is_at_home(&person, "squashfs", false);
    assert_eq!(vm.said().matches("it restarts").count(), 2, "{}", vm.said());
}

/// Where on its way a device is when the plug is pulled, and how long a moment in it may be.
const WAY: [(&str, u64); 5] = [
    ("before `levitate` has ended", 1500),
    ("on the way into maintenance", 8000),
    ("in maintenance, while the image comes", 2000),
    ("while it is written", 1500),
    ("on the way home", 3000),
];

/// Takes a device so far on its way to another root file system, and cuts its power there.
fn cut(vm: &mut Vm, home: &Folder, image: &Path, far: usize, wait: Duration) {
    let person = Person { vm, home };
    let mut visits = vec![person.leave(if far == 0 { "levitate" } else { "levitate && reboot" })];
    if far > 1 {
        person.wait("cat /etc/banner", "MAINTENANCE");
        let mut send = person.command("cat > root.img");
        let send = send.stdin(fs::File::open(image).expect("an image")).spawn().expect("ssh runs");
        let mut send = Visit(send);
        if far > 2 {
            assert!(send.0.wait().is_ok_and(|status| status.success()), "{}", vm.console());
            // The device's keys have signed no single root file system.
            let write = "flashcp --unsigned root.img mtd:rootfs";
            if far == 3 {
                visits.push(person.leave(write));
            } else {
                person.ask(write);
                visits.push(person.leave("reboot"));
            }
        }
        visits.push(send);
    }
    std::thread::sleep(wait);
    vm.cut_power();
}

#[test]
fn wherever_the_power_goes_the_old_system_comes_up_or_the_new_one_but_for_the_documented_window() {
    let folders = [router(&squashfs()), router(&format!("{} {SECOND}", squashfs()))];
    let roots = Roots::of(&folders);
    let cuts = std::env::var("CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed);
    let home = Folder::new("home");
    let files = [0, 1].map(|it| home.write(format!("root-{it}"), &roots.images[it]));
    let mut vm = Vm::new("levitate-cuts", &folders[0]);
    vm.start();
    vm.wait_open();
    Person { vm: &vm, home: &home }.ask("echo kept > /persist/kept; sync");
    let mut outcomes = [[0; 3]; WAY.len()];
    for number in 0..cuts {
        let far = number % WAY.len();
        let (place, longest) = WAY[far];
        let wait = Duration::from_millis(dice.below(longest));
        let was = roots.found(&vm.flash()).expect("it has a system");
        cut(&mut vm, &home, &files[1 - was], far, wait);
        let found = roots.found(&vm.flash());
        let told = format!("cut {number}, {wait:?} {place}: {was} became {found:?}");
        eprintln!("{told}");
        outcomes[far][found.map_or(2, |found| usize::from(found != was))] += 1;
        let expected = match far {
            // A root file system that is written can be complete before it is read again.
            3 => found.unwrap_or(was),
            4 => 1 - was,
            _ => was,
        };
        assert!(found == Some(expected) || far == 3, "{told}");
        if found.is_none() {
            // The window: such a flash holds no system. Somebody repairs it.
            roots.put(was, &vm.flash());
        }
        vm.start();
        vm.wait_open();
        let person = Person { vm: &vm, home: &home };
        assert_eq!(person.ask("cat /persist/kept"), "kept\n", "{told}");
        assert_eq!(person.ssh("cat /etc/second").code == 0, expected == 1, "{told}");
        let state = person.ssh("grep ' / squashfs ' /proc/mounts && levitate --status");
        assert!(state.code == 1 && state.out.contains("squashfs"), "{told}: {}", state.out);
    }
    for ((place, _), [old, new, half]) in WAY.iter().zip(outcomes) {
        tell(
            place,
            format_args!("{old} times the old system, {new} the new one, {half} in the window"),
        );
    }
}

#[test]
fn where_the_flash_is_held_or_nobody_comes_the_old_system_comes_back() {
    let folder = router(&squashfs());
    let home = Folder::new("home");
    let mut vm = Vm::new("levitate-held", &folder);
    vm.start();
    vm.wait_open();
    // Each visit lasts until what it is for has been seen.
    let _visit = {
        let person = Person { vm: &vm, home: &home };
        // A file of the flash as a disk, which the kernel holds and no process; and its device is gone.
        person.ask("dd if=/dev/zero of=/persist/disk bs=1024 count=64 2>/dev/null");
        person.ask("losetup /dev/loop0 /persist/disk && rm /dev/loop0");
        person.ask("levitate");
        person.leave("reboot")
    };
    vm.wait_console("/persist cannot be unmounted");
    vm.wait_console("no maintenance, as something holds the flash");
    vm.wait_said("it restarts");
    let _visit = {
        let person = Person { vm: &vm, home: &home };
        person.wait("cat /proc/mounts", " / squashfs ");
        assert_eq!(person.ssh("levitate --status").code, 1);

        // One that can be found is let go of. Then nobody logs in.
        person.ask("losetup /dev/loop0 /persist/disk");
        person.ask("levitate --timeout 15");
        person.leave("reboot")
    };
    vm.wait_console("this is maintenance");
    vm.wait_console("nobody has come to maintenance");
    let person = Person { vm: &vm, home: &home };
    person.wait("cat /proc/mounts", " / squashfs ");

    // `reboot -f` restarts the machine all the same, and what was prepared is gone.
    person.ask("levitate --new-host-key");
    person.ask("touch /run/before");
    let _visit = person.leave("reboot -f");
    person.wait("test -e /run/before || cat /proc/mounts", " / squashfs ");
    assert_eq!(person.ssh("levitate --status").code, 1);
}
