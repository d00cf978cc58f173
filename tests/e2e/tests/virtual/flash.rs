//! `flashcp` on flash as Linux has it: memory, NAND that is bad in places, a block device and NOR,
//! each in the virtual router, beside Debian's.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use e2e::client::Said;
use e2e::nix::prepare_devices;
use e2e::vm::{self, Vm, WAY_IN};
use e2e::{Folder, documented, doorward, stdout, transcript};
use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};
use serde_json::Value;

fn configuration(modules: &str) -> String {
    format!(
        r#"{WAY_IN} ({{ pkgs, ... }}: {{
  hostname = "flashes";
  hardware.kernel.modules = [ {modules} ];
  hardware.vm.memory = 512;
  defaultProfile.packages = [ pkgs.mtdutils ];
  # Keys come here while that is tried.
  filesystem."/etc/doorward/trusted-keys".text = "\n";
}})"#
    )
}

/// What every script of these begins with: a folder in memory, Debian's program, modules, and ways
/// to find things.
const PRELUDE: &str = r#"
set -e
cd /tmp
old=$(echo /nix/store/*mtd*/bin/flashcp)
modules=/run/current-system/modules
number() { sed -n "s/^mtd\([0-9]*\): .*\"$1.*\"/\1/p" /proc/mtd | head -n 1; }
random() { dd if=/dev/urandom of=$1 bs=65536 count=$2 2>/dev/null; }
# The first blocks of a file as others, by their numbers.
change() { file=$1; shift; for at; do dd if=/dev/urandom of=$file bs=65536 count=1 seek=$at conv=notrunc 2>/dev/null; done; }
# That of 2 MiB, and not the device's own.
spare_firmware() { sed -n 's/^mtd\([0-9]*\): 00200000 .*"firmware"/\1/p' /proc/mtd; }
# The kernel lets go of what was mounted before a little later.
mounts() { try=0; until mount -t jffs2 mtd$n m; do test $try != 20; try=$((try + 1)); sleep 1; done; }
is() { dd if=/dev/mtd$1 bs=65536 2>/dev/null | head -c $(wc -c < $2) | cmp - $2; }
"#;

struct Device(Vm);

impl Device {
    fn new(kind: &str, modules: &str) -> Self {
        let folder = vm::build(&configuration(modules), kind);
        let mut vm = Vm::new(&format!("flash-{kind}"), &folder);
        vm.start();
        vm.wait_open();
        Self(vm)
    }

    fn try_script(&self, script: &str) -> Said {
        self.0.visit(&format!("{PRELUDE}{script}"))
    }

    #[track_caller]
    fn script(&self, script: &str) -> Said {
        self.try_script(script).expect(0)
    }

    /// A command that must be refused, with a word of why.
    #[track_caller]
    fn refuses(&self, command: &str, why: &str) {
        self.try_script(&format!("code=0; {command} || code=$?; exit $code")).expect(1).has(why);
    }

    fn send(&self, bytes: &[u8], name: &str) {
        let folder = Folder::new("sent");
        let file = folder.write("file", bytes);
        let mut command = self.0.ssh(&format!("cat > /tmp/{name}"));
        command.stdin(Stdio::from(File::open(file).expect("it was written")));
        assert!(command.status().expect("ssh runs").success(), "{name} cannot be sent");
    }
}

/// The number in front of a word.
#[track_caller]
fn count(said: &str, word: &str) -> u32 {
    let before = said.split(word).next().unwrap_or_default().trim_end();
    let number = before.rsplit(' ').next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number of {word:?} in {said}"))
}

#[test]
fn flash_of_every_kind_is_written_and_what_is_used_is_not() {
    let device =
        Device::new("qemu-x86_64", r#""mtdram" "nandsim" "block2mtd" "loop" "mtdblock" "ubi""#);
    // The root's own image had its manifest behind it, and JFFS2 had no word to say about it.
    let dmesg = device.0.ask("dmesg");
    assert!(!dmesg.contains("Magic bitmask") && dmesg.contains("jffs2"), "{dmesg}");
    what_is_said_is_what_stands_in_the_transcript(&device);
    what_is_used_is_refused(&device);
    what_cannot_be_is_refused(&device);
    for (what, find) in [
        ("memory of the machine", "echo kernel"),
        ("memory", "echo 'mtdram test device'"),
        (
            "a block device",
            "rmmod block2mtd; head -c 8388608 /dev/zero > disk; losetup /dev/loop0 disk; \
             insmod $modules/block2mtd.ko block2mtd=/dev/loop0,65536 >&2; echo block2mtd",
        ),
        (
            "NAND",
            "rmmod nandsim; insmod $modules/nandsim.ko first_id_byte=0x20 second_id_byte=0xa2 \
             third_id_byte=0x00 fourth_id_byte=0x15 >&2; echo 'NAND simulator'",
        ),
    ] {
        println!("{what}");
        an_image_is_written(&device, find);
    }
    an_image_that_says_what_it_is_goes_only_there(&device);
    where_there_are_keys_only_what_they_have_signed_is_written(&device);
    nand_that_is_bad_in_places_is_written(&device);
    what_was_interrupted_goes_on(&device);
}

fn what_is_used_is_refused(device: &Device) {
    device.script("random a 2");
    for (target, why) in [
        ("mtd:rootfs", "mtd:rootfs: it is mounted at /\n"),
        ("mtd:firmware", "rootfs, which shares its blocks, is mounted at /\n"),
        ("/dev/mtd0", "persist, which shares its blocks, is mounted at /persist"),
    ] {
        device.refuses(&format!("flashcp -v a {target}"), why);
    }
    // Partitions over others, what lies over them, and who has them open.
    let ram = "n=$(number 'mtdram test device');";
    let mounted = "flash_erase -q /dev/mtd$n 0 0; mkdir -p m; mounts; \
                   mtdpart add /dev/mtd$n over 0 1048576;";
    let undo = "umount m; mtdpart del /dev/mtd$n $(number over);";
    for (before, target, after, why) in [
        (mounted, "/dev/mtd$n", "umount m;", "it is mounted at /tmp/m"),
        (
            "mounts;",
            "mtd:over",
            undo,
            "mtdram test device, which shares its blocks, is mounted at /tmp/m",
        ),
        (
            "unshare -m sh -c \"until mount -t jffs2 mtd$n m; do sleep 1; done; exec sleep 60\" & sleep 1;",
            "/dev/mtd$n",
            "kill $!; wait $! || true; sleep 1;",
            "it is mounted at /tmp/m",
        ),
        (
            "mounts; echo > m/x; sleep 60 < m/x & umount -l m; sleep 1;",
            "/dev/mtd$n",
            "kill $!; wait $! || true; sleep 1;",
            "unmounted, but files of it are open in sleep (process",
        ),
        (
            "sleep 60 < /dev/mtd${n}ro & sleep 1;",
            "/dev/mtd$n",
            "kill $!;",
            "it is open in sleep (process",
        ),
        (
            "losetup /dev/loop1 /dev/mtdblock$n;",
            "/dev/mtd$n",
            "losetup -d /dev/loop1;",
            "it is used by loop1",
        ),
        (
            "flash_erase -q /dev/mtd$n 0 0; ubiattach -m $n > /dev/null;",
            "/dev/mtd$n",
            "ubidetach -m $n > /dev/null;",
            "it is used by ubi0",
        ),
    ] {
        // What is mounted, JFFS2 itself may be tidying up.
        let same = match why.contains("mounted") {
            true => "",
            false => "test \"$sum\" = \"$(sha256sum < /dev/mtd$n)\" || code=77;",
        };
        let script = format!(
            "{ram} {before} sum=$(sha256sum < /dev/mtd$n); code=0; flashcp a {target} || code=$?; \
             {same} {after} exit $code"
        );
        device.try_script(&script).expect(1).has(why);
    }
    device.script(&format!("{ram} flashcp a /dev/mtd$n"));
}

fn what_cannot_be_is_refused(device: &Device) {
    for (command, why) in [
        ("flashcp a mtd:nothing", "no partition is called nothing"),
        ("flashcp a /dev/mtdblock2", "it is a block device"),
        ("flashcp a /dev/null", "it is no partition of a flash"),
        ("flashcp a /dev/mtd99", "No such file"),
        ("flashcp nothing mtd:u-boot-env", "cannot use the image nothing: it cannot be read"),
        ("flashcp . mtd:u-boot-env", "it cannot be read"),
        ("flashcp /dev/null mtd:u-boot-env", "it is empty"),
        ("random b 5; flashcp b mtd:u-boot-env", "it has 327680 bytes, and the partition 262144"),
    ] {
        device.refuses(command, why);
    }
    device.try_script("flashcp a || exit $?").expect(100);
}

/// Writes images, and finds them there; beside what Debian's program leaves.
fn an_image_is_written(device: &Device, find: &str) {
    let said = device.script(&format!(
        r#"name=$({find}); n=$(number "$name"); d=/dev/mtd$n
random a 40; head -c 2555555 a > b; cp b c; change c 7
flash_erase -q $d 0 0
flashcp -v b $d; is $n b; sha256sum < $d > ours
flash_erase -q $d 0 0
# On NAND Debian's refuses what does not end with a page.
case $name in NAND*) flashcp b $d ;; *) $old b $d > /dev/null ;; esac
sha256sum < $d > theirs; cmp ours theirs
flashcp -v b $d
flashcp -n c $d; is $n b
flashcp -v c $d; is $n c
flashcp -v c $d
head -c 100000 a > s; cat s | flashcp -v - $d; is $n s
flashcp -v -p -A s $d
test $(dd if=$d bs=131072 skip=1 2>/dev/null | tr -d '\377' | wc -c) = 0
flashcp --json c $d > json
flashcp c $d > quiet; test ! -s quiet; cat json"#
    ));
    let (said, json) = said.out.split_at(said.out.find('{').expect("objects at the end"));
    let ends: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("done: ") || line.contains("nothing was"))
        .collect();
    let [new, again, dry, changed, same, short, all] = &ends[..] else { panic!("{said}") };
    let blocks = count(new, " were written");
    assert!(blocks >= 20 && count(new, " were before") == 0, "{new}");
    for line in [again, same] {
        assert_eq!(
            (count(line, " were before"), count(line, " were written")),
            (blocks, 0),
            "{line}"
        );
    }
    assert_eq!(count(dry, " would be written"), 1, "{dry}");
    assert_eq!(count(changed, " were written"), 1, "{changed}");
    // Blocks of 64 kB or 128 kB.
    assert!((1..=2).contains(&count(short, " were written")), "{short}");
    assert!(count(all, " were written") == 0 && count(all, " erased") > 0, "{all}");
    assert!(said.contains("100 %: "), "{said}");

    documented::events("`flashcp --json`", json, &["start", "progress", "end"]);
    let objects: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let (first, last) = (&objects[0], &objects[objects.len() - 1]);
    assert_eq!((&first["event"], &first["bytes"]), (&"start".into(), &2_555_555.into()));
    assert_eq!((&last["event"], &last["ok"]), (&"end".into(), &true.into()));
    assert!(objects.iter().any(|it| it["event"] == "progress" && it["blocks"] == it["of"]));
}

fn what_is_said_is_what_stands_in_the_transcript(device: &Device) {
    transcript::check("flash.txt", |script| {
        let find = "mtd=/dev/mtd$(number 'mtdram test device')";
        device.script(&format!("set +e; {find}\n{script}")).out
    });
}

/// Two parts with a gap, for a partition of so many blocks of 128 kB.
fn image(device: &str, partition: &str) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let bytes = |seed: u32, count: usize| -> Vec<u8> {
        (0..count as u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed as u8)
            .collect()
    };
    let (kernel, root) = (bytes(1, 2 * BLOCK + 7), bytes(2, 3 * BLOCK));
    let mut image = kernel.clone();
    image.resize(8 * BLOCK, 0xff);
    image.extend_from_slice(&root);
    let part = |name: &str, place: usize, bytes: &[u8], rest_erased| Part {
        name: name.into(),
        offset: (place * BLOCK) as u64,
        size: 6 * BLOCK as u64,
        bytes: bytes.len() as u64,
        digest: Digest::of(bytes),
        rest_erased,
    };
    let manifest = Manifest {
        device: device.into(),
        generation: String::new(),
        partition: partition.into(),
        size: 16 * BLOCK as u64,
        erase_bytes: BLOCK as u32,
        bytes: image.len() as u64,
        parts: vec![part("first", 0, &kernel, false), part("second", 8, &root, true)],
        signature: None,
    };
    image.extend(manifest.trailer().expect("a manifest as it should be"));
    image
}

fn an_image_that_says_what_it_is_goes_only_there(device: &Device) {
    let good = image("QEMU, x86_64", "spare");
    device.send(&good, "good");
    device.send(&image("Router of another kind", "spare"), "other");
    device.send(&good[..good.len() - 1], "cut");
    let mut damaged = good.clone();
    damaged[9 << 17] ^= 1;
    device.send(&damaged, "damaged");
    device.script(
        "n=$(number 'mtdram test device'); mtdpart add /dev/mtd$n spare 0 2097152; \
         mtdpart add /dev/mtd$n firmware 2097152 2097152; \
         head -c 4194304 /dev/zero > zero; flashcp zero /dev/mtd$n",
    );
    device.script("ward image verify good").has("whole      yes; for this device");
    device.refuses("ward image verify other", "is whole, but for Router of another kind");
    device.refuses("ward image verify cut", "has no manifest");
    device.refuses("ward image verify damaged", "its part second is damaged");
    let untouched = "is $(number 'mtdram test device') zero";
    for (command, why) in [
        ("flashcp other mtd:spare", "it is for Router of another kind, and this is QEMU, x86_64"),
        ("flashcp damaged mtd:spare", "its part second is damaged"),
        ("flashcp good mtd:u-boot-env", "it is for the partition spare"),
        // The name alone would be ambiguous: the device has such a partition already.
        ("flashcp cut mtd:firmware", "several partitions are called firmware"),
        ("flashcp cut /dev/mtd$(spare_firmware)", "it has no manifest"),
    ] {
        device.refuses(command, why);
        device.script(untouched);
    }
    device.script(
        "n=$(number 'mtdram test device'); mtdpart add /dev/mtd$n second 917504 786432; \
         code=0; flashcp good mtd:spare 2> why || code=$?; test $code = 1; \
         grep -q 'it has second at 1048576 with 786432 bytes, and the device at 917504' why; \
         mtdpart del /dev/mtd$n $(number second)",
    );
    device.script(untouched);
    // The image alone, and nothing behind what it asks for.
    let said = device.script(
        "flashcp -v good mtd:spare; n=$(number spare); head -c 1441792 good > expected; \
         is $n expected; dd if=/dev/mtd$n bs=131072 skip=11 2>/dev/null > rest; \
         test $(head -c 393216 rest | tr -d '\\377' | wc -c) = 0; \
         tail -c 262144 rest | cmp - zero 2>&1 | grep -q EOF",
    );
    assert_eq!(count(&said.out, " were written"), 6, "{}", said.out);
    device.script("flashcp --any-device other mtd:spare");
    device.script(
        "n=$(number 'mtdram test device'); mtdpart del /dev/mtd$n $(number spare); mtdpart del /dev/mtd$n $(spare_firmware)",
    );
}

fn where_there_are_keys_only_what_they_have_signed_is_written(device: &Device) {
    let folder = Folder::new("keys");
    let good = folder.write("good", image("QEMU, x86_64", "spare"));
    let mut public = Vec::new();
    for (name, by) in [("signed", "mine"), ("theirs", "other")] {
        let (secret, key) = (folder.join(format!("{by}.sec")), folder.join(format!("{by}.pub")));
        let mut make = Command::new("nix-store");
        stdout(make.args(["--generate-binary-cache-key", "home-1"]).arg(&secret).arg(&key));
        let mut sign = Command::new(doorward());
        sign.args(["image", "sign", "-k"]).arg(&secret).arg("-o").arg(folder.join(name)).arg(&good);
        stdout(&mut sign);
        public.push(fs::read(key).expect("a key"));
    }
    for name in ["good", "signed", "theirs"] {
        device.send(&fs::read(folder.join(name)).expect("an image"), name);
    }
    // What it says of itself was changed after it was signed.
    let signed = fs::read(folder.join("signed")).expect("an image");
    let mut changed = Manifest::of_file(&signed).expect("whole").expect("it is there");
    changed.generation = "/nix/store/another".into();
    let mut bytes = signed[..changed.bytes as usize].to_vec();
    bytes.extend(changed.trailer().expect("as it should be"));
    device.send(&bytes, "changed");
    device.send(&public[0], "keys");
    device.send(b"no key", "nonsense");
    device.script(
        "n=$(number 'mtdram test device'); mtdpart add /dev/mtd$n spare 0 2097152; \
         flashcp zero /dev/mtd$n; flashcp -n good mtd:spare; \
         mount --bind keys /etc/doorward/trusted-keys",
    );
    let untouched = "is $(number 'mtdram test device') zero";
    for (image, why) in [
        ("good", "not signed"),
        ("theirs", "a key that nobody vouches for"),
        ("changed", "signed, but not as it is now"),
    ] {
        device.refuses(&format!("ward image verify {image}"), why);
        device.refuses(&format!("flashcp {image} mtd:spare"), why);
        device.refuses(&format!("cat {image} | flashcp -v --any-device --bare - mtd:spare"), why);
        device.script(untouched);
    }
    // What says nothing of itself is signed by nobody, wherever it goes.
    device.refuses("random a 2; flashcp --bare a mtd:spare", "it is not signed");
    device.script(untouched);
    device.script("ward image verify signed").has("signed with the key home-1");
    device.script("flashcp -v signed mtd:spare").has("signed with the key home-1");
    device.script("flashcp --unsigned theirs mtd:spare; flashcp --unsigned a mtd:spare");
    // A file of keys that cannot be read is not one without keys.
    device.script(
        "umount /etc/doorward/trusted-keys; mount --bind nonsense /etc/doorward/trusted-keys",
    );
    device.refuses("flashcp signed mtd:spare", "trusted-keys: a key is NAME:BASE64");
    device.script(
        "umount /etc/doorward/trusted-keys; n=$(number 'mtdram test device'); \
         mtdpart del /dev/mtd$n $(number spare)",
    );
}

/// 64 MiB in blocks of 128 kB.
const NAND: &str = "rmmod nandsim 2>/dev/null || true; nand() { insmod $modules/nandsim.ko \
                    first_id_byte=0x20 second_id_byte=0xa2 third_id_byte=0x00 fourth_id_byte=0x15 \"$@\"; \
                    n=$(number 'NAND simulator'); d=/dev/mtd$n; }; ";

fn nand_that_is_bad_in_places_is_written(device: &Device) {
    let said = device.script(&format!(
        "{NAND} nand badblocks=1,5 weakblocks=2:0 bitflips=1; random a 64; cp a b; change b 41 33
flashcp -v a $d; flashcp -v b $d; flashcp -v b $d; nanddump -q --bb=skipbad -l 4194304 -f dump $d; cmp dump b"
    ));
    let ends: Vec<&str> = said.out.lines().filter(|line| line.contains("done: ")).collect();
    let [first, changed, same] = &ends[..] else { panic!("{}", said.out) };
    for (word, expected) in [
        (" were written", 32),
        (" writes repeated", 2),
        (" bad blocks stepped over", 2),
        (" blocks marked as bad", 1),
    ] {
        assert_eq!(count(first, word), expected, "{first}");
    }
    // One bit of a page flips once in a thousand reads (Linux `drivers/mtd/nand/raw/nandsim.c`), and
    // here are some ten thousand.
    let corrected =
        |end: &&&str| end.contains(" bits corrected") && count(end, " bits corrected") > 0;
    assert!(ends.iter().any(|end| corrected(&end)), "{}", said.out);
    assert_eq!(
        (count(changed, " were written"), count(changed, " bad blocks")),
        (2, 3),
        "{changed}"
    );
    assert_eq!(count(same, " were written"), 0, "{same}");
    // It has no room for as much as it says that it has.
    device
        .try_script(&format!(
            "{NAND} nand badblocks=3,4 parts=8; random c 15; code=0; flashcp c $d || code=$?; \
             test $(tr -d '\\377' < $d | wc -c) = 0; exit $code"
        ))
        .expect(1)
        .has("of the 8 blocks from 0 on 6 are good, and it has 8");
    // Blocks that fail one after the other are not the blocks' fault.
    let weak = (0..12).map(|block| format!("{block}:0")).collect::<Vec<_>>().join(",");
    device
        .try_script(&format!(
            "{NAND} nand weakblocks={weak} parts=20; random c 4; code=0; flashcp -v c $d || code=$?; exit $code"
        ))
        .expect(1)
        .has("it is not the blocks");
}

fn what_was_interrupted_goes_on(device: &Device) {
    let slow = format!("{NAND} nand do_delays=1; random a 256; ");
    let said = device.script(&format!(
        "{slow} flashcp a $d & sleep 3; kill -9 $!; wait $! || true; flashcp -v a $d; is $n a"
    ));
    let (before, written) = (count(&said.out, " were before"), count(&said.out, " were written"));
    assert!(before > 2 && written > 2 && before + written == 128, "{}", said.out);

    // Told to end, it ends between two blocks, and says how it is; a connection that breaks is
    // no reason.
    let stopped = |signal: &str| {
        device.try_script(&format!(
            "{slow} flashcp a $d & sleep 2; kill -{signal} $!; wait $! || exit $?; is $n a"
        ))
    };
    let said = stopped("TERM").expect(1).has("was stopped");
    assert!(said.err.contains("of 128 blocks are as in the image"), "{}", said.err);
    stopped("HUP").expect(0);
}

#[test]
fn nor_is_written_where_bits_only_clear_without_being_erased() {
    prepare_devices();
    // The device whose flash behaves as NOR does.
    let device = Device::new("qemu-aarch64", "");
    let said = device.script(
        r#"n=$(number kernel); d=/dev/mtd$n
random a 96; cp a b; change b 5 25 65
$old a $d > /dev/null
flashcp -v b $d | tail -n 1; is $n b
# What is zero needs no erasing, what is not does.
dd if=/dev/zero of=b bs=1000 seek=1000 count=500 conv=notrunc 2> /dev/null
flashcp -v b $d | tail -n 1; is $n b
flashcp -v a $d | tail -n 1; is $n a"#,
    );
    let lines: Vec<&str> = said.out.lines().filter(|line| line.contains("done: ")).collect();
    let counts = |line: &str| (count(line, " were written"), count(line, " erased"));
    // Of 24 blocks of 256 kB.
    assert_eq!(lines.iter().map(|line| counts(line)).collect::<Vec<_>>(), [(3, 3), (3, 0), (6, 6)]);
}
