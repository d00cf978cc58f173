//! The router of examples/configuration.nix with two providers: the first one falls silent while its
//! cable stays plugged in, and answers again. And a USB disk.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2e::machine::executable;
use e2e::nix::sources;
use e2e::vm::{self, LIMIT, Vm};
use e2e::{Folder, stdout, wait_for};
use serde_json::json;

/// Who answers everywhere, whichever provider leads there.
const EVERYWHERE: &str = "1.1.1.1";
const FIRST: &str = "dhcp-client-eth1";
const SECOND: &str = "dhcp-client-eth2";
/// A silent provider is noticed after 6.7 s at most, and the second one has to give an address. The
/// figure to reach is 10 seconds; others may be using this machine.
const FAILOVER_MAX: Duration = Duration::from_secs(20);

/// The example. What waits for minutes at home has not got to wait so long here.
fn router() -> std::path::PathBuf {
    const LINE: &str = "defaultRoute = true;";
    let example = fs::read_to_string(sources().join("examples/configuration.nix")).expect("a file");
    assert_eq!(example.matches(LINE).count(), 1);
    let quick = "defaultRoute = true; back-off = 1000; fail-back-after = 2000; dwell = 8000;";
    let folder = Folder::new("example");
    let example = folder.write("router.nix", example.replace(LINE, quick));
    let socket = "{ hardware.vm.arguments = [ \"-device\" \"qemu-xhci,id=usb\" ]; }";
    vm::build(&format!("{} {socket}", example.display()), "qemu-x86_64")
}

fn tell(what: &str, figure: impl std::fmt::Display) {
    eprintln!("failover: {what}: {figure}");
}

/// Everything that a provider is sent or sends is lost, or no longer.
fn silence(vm: &Vm, network: &str, silent: bool) {
    let line = match silent {
        true => {
            "nft 'table inet silence {
               chain in { type filter hook prerouting priority -300; drop; }
               chain out { type filter hook output priority -300; drop; }
             }
             table arp silence {
               chain in { type filter hook input priority 0; drop; }
               chain out { type filter hook output priority 0; drop; }
             }'"
        }
        false => "nft delete table inet silence && nft delete table arp silence",
    };
    stdout(&mut vm.beside(network, &["sh", "-c", line]));
}

/// Who at home is answered by a name server out there, asked for a name that is not known from before.
fn internet(vm: &Vm) -> Option<()> {
    let words = ["busybox", "ping", "-c", "1", "-W", "1", EVERYWHERE];
    vm.beside("client", &words).output().expect("nsenter runs").status.success().then_some(())
}

/// A connection from home, over which a line goes each fifth of a second, and comes back.
struct Talk {
    child: Child,
    log: std::path::PathBuf,
}

impl Talk {
    fn new(vm: &Vm, folder: &Folder, name: &str) -> Self {
        let log = folder.join(name);
        let line = format!(
            "(i=0; while sleep 0.2; do i=$((i+1)); echo $i; done) | busybox nc {EVERYWHERE} 7 >{}",
            log.display()
        );
        let mut command = vm.beside("client", &["sh", "-c", &line]);
        let child = command.stdin(Stdio::null()).spawn().expect("nsenter runs");
        let talk = Self { child, log };
        wait_for("a line that comes back", LIMIT, || (talk.lines() > 2).then_some(()));
        talk
    }

    fn lines(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().lines().count()
    }

    /// Whether it has ended by itself.
    fn ended(&mut self) -> Option<()> {
        self.child.try_wait().expect("it is a child").map(drop)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whose turn it is, as `ward` says.
fn serves(vm: &Vm, member: &str) -> Option<()> {
    (vm.ask("ward output get wan active").trim() == member).then_some(())
}

/// The provider's router, as the controller passes on what the one that serves says.
fn leads(vm: &Vm, router: &str) -> Option<()> {
    (vm.visit("ward output get wan router").out.trim() == router).then_some(())
}

#[test]
fn a_provider_falls_silent_and_comes_back() {
    let mut vm = Vm::new("failover", &router());
    vm.option(&["--network", "real"]);
    vm.start();
    vm.wait_open();
    let folder = Folder::new("failover");
    let event = "case $1 in bound) ip address add $ip/24 dev cable; ip route add default via $router;; esac";
    let script = folder.write("event", format!("#!/bin/sh\n{event}\n"));
    executable(&script);
    let script = script.to_str().expect("text");
    let lease = ["busybox", "udhcpc", "-f", "-q", "-n", "-i", "cable", "-s", script];
    stdout(&mut vm.beside("client", &lease));
    // Whoever is connected to is given back what is said.
    let mut echoes = Vec::new();
    for network in ["provider", "provider2"] {
        let words = ["busybox", "nc", "-ll", "-p", "7", "-e", "cat"];
        let mut command = vm.beside(network, &words);
        echoes.push(Echo(command.stdin(Stdio::null()).spawn().expect("nsenter runs")));
    }
    wait_for("the internet", LIMIT, || internet(&vm));
    wait_for("the first", LIMIT, || serves(&vm, FIRST));
    wait_for("its router", LIMIT, || leads(&vm, "198.51.100.1"));
    names(&vm, "198.51.100.1");
    wait_for("a healthy uplink", LIMIT, || {
        vm.ask(&format!("ward why {FIRST}")).contains("healthy: yes").then_some(())
    });

    let mut talk = Talk::new(&vm, &folder, "first");
    silence(&vm, "provider", true);
    let start = Instant::now();
    wait_for("the internet through the other one", LIMIT, || internet(&vm));
    let took = start.elapsed();
    tell("silent, until who is at home is answered again", format_args!("{took:.1?}"));
    assert!(took < FAILOVER_MAX, "{took:?}");
    wait_for("the end of the connection", LIMIT, || talk.ended());
    tell(
        "silent, until a connection is told that it is none",
        format_args!("{:.1?}", start.elapsed()),
    );
    names(&vm, "203.0.113.1");
    wait_for("its router", LIMIT, || leads(&vm, "203.0.113.1"));
    let why = vm.visit(&format!("ward why wan {FIRST} {SECOND}")).out;
    tell("why", &why);
    let of = |member: &str| {
        let rest = why.split(&format!("\n{member} is ")).nth(1).unwrap_or_default();
        rest.split("\ndhcp-client").next().unwrap_or_default().to_owned()
    };
    assert!(of(SECOND).contains("✓ turn: it serves"), "{why}");
    assert!(of(SECOND).contains("✓ healthy: yes") || of(SECOND).contains("healthy: not"), "{why}");
    assert!(of(FIRST).contains("turn: ") && !of(FIRST).contains("it serves"), "{why}");
    assert_eq!(vm.ask("cat /sys/class/net/eth1/carrier"), "1\n", "nothing was unplugged");

    // A USB disk meanwhile.
    disk(&vm, &folder);

    let mut talk = Talk::new(&vm, &folder, "second");
    silence(&vm, "provider", false);
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    wait_for("the first again", LIMIT, || {
        let asked = Instant::now();
        wait_for("an answer", LIMIT, || internet(&vm));
        longest = longest.max(asked.elapsed());
        serves(&vm, FIRST)
    });
    tell("answers, until it serves", format_args!("{:.1?}", start.elapsed()));
    for _ in 0..10 {
        let asked = Instant::now();
        wait_for("an answer", LIMIT, || internet(&vm));
        longest = longest.max(asked.elapsed());
    }
    tell("the longest wait for an answer meanwhile", format_args!("{longest:.1?}"));
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    // Its address was that of the other provider: the connection cannot go on, and is told so at once.
    let start = Instant::now();
    wait_for("the end of the connection", LIMIT, || talk.ended());
    tell(
        "going back, until a connection is told that it is none",
        format_args!("{:.1?}", start.elapsed()),
    );
    names(&vm, "198.51.100.1");
    wait_for("the end of the other one", LIMIT, || {
        (!vm.ask("s6-rc -a list").lines().any(|name| name == SECOND)).then_some(())
    });
    internet(&vm).expect("who is at home is answered");
}

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Names come from the provider that serves.
fn names(vm: &Vm, address: &str) {
    wait_for(address, LIMIT, || {
        let words = ["busybox", "nslookup", "-type=a", "www.example.net", "192.168.7.1"];
        let answer = vm.beside("client", &words).output().expect("nsenter runs").stdout;
        String::from_utf8_lossy(&answer).contains(&format!("Address: {address}")).then_some(())
    });
}

/// One with a partition of FAT is mounted while it is there.
fn disk(vm: &Vm, folder: &Folder) {
    let whole = folder.write("disk", stick());
    let drive = json!({ "driver": "file", "node-name": "stick", "filename": whole.to_str() });
    vm.order("blockdev-add", drive);
    let start = Instant::now();
    let stick = json!({ "driver": "usb-storage", "id": "stick", "bus": "usb.0", "drive": "stick" });
    vm.order("device_add", stick);
    let mounted = || vm.ask("cat /proc/mounts").contains(" /mnt/usb vfat");
    wait_for("the disk", LIMIT, || mounted().then_some(()));
    tell("plugged in, until it is mounted", format_args!("{:.1?}", start.elapsed()));
    vm.ask("echo kept >/mnt/usb/note && sync");
    vm.order("device_del", json!({ "id": "stick" }));
    wait_for("no disk", LIMIT, || (!mounted()).then_some(()));
    let bytes = fs::read(&whole).expect("a file");
    assert!(bytes.windows(5).any(|text| text == b"kept\n"), "it was not written");
}

/// A disk with one partition, in which there is an empty FAT16.
fn stick() -> Vec<u8> {
    const SECTOR: usize = 512;
    const START: u32 = 64;
    const SECTORS: u16 = 16384;
    const FAT_SECTORS: u16 = 64;
    let mut disk = vec![0; (START as usize + usize::from(SECTORS)) * SECTOR];
    // The first of four entries: FAT16 by LBA, where it begins and how long it is.
    disk[446 + 4] = 0x0e;
    disk[446 + 8..][..4].copy_from_slice(&START.to_le_bytes());
    disk[446 + 12..][..4].copy_from_slice(&u32::from(SECTORS).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let volume = &mut disk[START as usize * SECTOR..];
    volume[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    // Bytes of a sector, sectors of a cluster, sectors before the first of two FATs, names in the root.
    volume[11..13].copy_from_slice(&(SECTOR as u16).to_le_bytes());
    volume[13] = 1;
    volume[14] = 1;
    volume[16] = 2;
    volume[17..19].copy_from_slice(&512_u16.to_le_bytes());
    volume[19..21].copy_from_slice(&SECTORS.to_le_bytes());
    volume[21] = 0xf8;
    volume[22..24].copy_from_slice(&FAT_SECTORS.to_le_bytes());
    volume[510..512].copy_from_slice(&[0x55, 0xaa]);
    for number in 0..2 {
        let fat = (1 + number * usize::from(FAT_SECTORS)) * SECTOR;
        volume[fat..][..4].copy_from_slice(&[0xf8, 0xff, 0xff, 0xff]);
    }
    disk
}
