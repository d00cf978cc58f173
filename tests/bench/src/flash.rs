//! Into maintenance, and the flash written from there: in QEMU, beside Debian's `flashcp`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::nix::{prepare_devices, sources};
use e2e::vm::{self, LIMIT, Vm, WAY_IN};

use crate::bench::Bench;
use crate::boot::start;
use crate::table::Unit::{Milliseconds, Ratio};
use crate::table::{Reach, Row};

/// All of these take their time; what they show in few runs they show.
const RUNS_MAX: usize = 3;

/// Each needs devices of its own, and tests of whole programs go the same ways: not for a short look.
fn runs(bench: &Bench) -> usize {
    if bench.quick { 0 } else { bench.runs.min(RUNS_MAX) }
}

/// From `levitate` to maintenance.
pub fn levitate(bench: &Bench) -> Vec<Row> {
    if bench.quick {
        return Vec::new();
    }
    let figure = "QEMU: `levitate`, until maintenance is prepared";
    let mut prepared = Row::new(figure, Milliseconds, Reach::AtMost(10_000.0));
    let figure = "QEMU: `reboot` to ssh in maintenance";
    let mut there = Row::new(figure, Milliseconds, Reach::AtMost(20_000.0));
    let figure = "memory that maintenance takes, in sizes of its closure";
    let mut memory = Row::new(figure, Ratio, Reach::AtMost(1.2));
    let example = sources().join("examples/configuration.nix").display().to_string();
    let maintenance = "({ config, pkgs, ... }: {
      services.watchdog = config.system.service.watchdog.build { };
      defaultProfile.packages = [ (pkgs.levitate.override { config = {
        services = { inherit (config.services) wan bridge ssh watchdog; };
        defaultProfile.packages = [ pkgs.mtdutils ];
        users.root = config.users.root;
      }; }) ];
    })";
    let device = vm::build(&format!("{example} {maintenance}"), "qemu-x86_64");
    for _ in 0..runs(bench) {
        let (vm, _) = start(&device);
        let closure = number(&vm.ask(
            "for path in $(sed -n 's/^store\t\\([^\t]*\\).*/\\1/p' /run/current-system/levitate/plan); \
             do find $path -type f -exec stat -c %s {} +; done | awk '{ sum += $1 } END { print sum }'",
        ));
        let begin = Instant::now();
        vm.ask("levitate");
        prepared.ward.push_ms(begin.elapsed());
        let begin = Instant::now();
        // Nobody tells the connection that the device is gone.
        let mut visit = soon(&vm, "reboot").spawn().expect("ssh runs");
        let banner = || {
            let said = soon(&vm, "cat /etc/banner").stdout(Stdio::piped()).output();
            String::from_utf8_lossy(&said.expect("ssh runs").stdout).contains("MAINTENANCE")
        };
        while !banner() {
            assert!(begin.elapsed() < LIMIT, "no maintenance:\n{}", vm.console());
            std::thread::sleep(Duration::from_millis(20));
        }
        there.ward.push_ms(begin.elapsed());
        let _ = visit.kill();
        let _ = visit.wait();
        memory.ward.push(number(&vm.ask("df -k / | awk 'END { print $3 * 1024 }'")) / closure);
    }
    vec![prepared, there, memory]
}

/// A visit that is soon given up.
fn soon(vm: &Vm, line: &str) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-o", "ConnectTimeout=2"]).args(vm.ssh(line).get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

const DEVICE: &str = r#"({ pkgs, ... }: {
  hostname = "flashes";
  hardware.kernel.modules = [ MODULES ];
  defaultProfile.packages = [ pkgs.mtdutils ];
})"#;

/// What every script begins with.
const PRELUDE: &str = r#"
set -e
cd /tmp
old=$(echo /nix/store/*mtd*/bin/flashcp)
number() { sed -n "s/^mtd\([0-9]*\): .*\"$1.*\"/\1/p" /proc/mtd | head -n 1; }
random() { dd if=/dev/urandom of=$1 bs=65536 count=$2 2>/dev/null; }
change() { file=$1; shift; for at; do dd if=/dev/urandom of=$file bs=65536 count=1 seek=$at conv=notrunc 2>/dev/null; done; }
# Starts no program, for that would be timed as well.
now() { read now rest < /proc/uptime; }
took() { now; from=$now; "$@" > /tmp/said; now; echo "$now $from" | awk '{ print $1 - $2 }'; }
"#;

/// A flash whose times are typical of routers, W25Q128JV by its data sheet: 150 ms to erase 64 kB, 0.7 ms to program
/// 256 bytes, 10 MB in a second to be read. (Memory that plays a flash is as quick to write as it is to read.)
const LIKE_NOR: &str = "rmmod nandsim; insmod /run/current-system/modules/nandsim.ko first_id_byte=0x20 \
    second_id_byte=0xa2 third_id_byte=0x00 fourth_id_byte=0x15 do_delays=1 erase_delay=300 \
    programm_delay=5600 access_delay=200 input_cycle=0 output_cycle=0";

/// What is written, where, and how it is called in the table.
struct Kind {
    name: &'static str,
    device: &'static str,
    modules: &'static str,
    /// Makes the flash; and the name of the partition.
    prepare: &'static str,
    partition: &'static str,
    /// Pieces of 64 kB of the image, and those that change: no more than 5 % of its blocks.
    pieces: u32,
    changed: &'static str,
}

pub fn nand(bench: &Bench) -> Vec<Row> {
    let kind = Kind {
        name: "nandsim with a W25Q128's times",
        device: "qemu-x86_64",
        modules: "\"nandsim\"",
        prepare: LIKE_NOR,
        partition: "NAND simulator",
        pieces: 40,
        changed: "11",
    };
    written(bench, &kind)
}

pub fn nor(bench: &Bench) -> Vec<Row> {
    let kind = Kind {
        name: "CFI NOR as QEMU plays it",
        device: "qemu-aarch64",
        modules: "",
        prepare: "true",
        partition: "kernel",
        pieces: 384,
        changed: "5 105 205 305",
    };
    written(bench, &kind)
}

fn written(bench: &Bench, kind: &Kind) -> Vec<Row> {
    let Kind { name, prepare, partition, pieces, changed, .. } = kind;
    if bench.quick {
        return Vec::new();
    }
    let figure =
        format!("`flashcp`, 5 % of the blocks changed, {name}; floor: mtd-utils' `flashcp`");
    let mut part = Row::new(figure, Milliseconds, Reach::Floors(0.2));
    let mut share = Row::new("blocks of 100 that it wrote", Ratio, Reach::AtMost(6.0));
    let figure = format!("`flashcp`, all of them changed, {name}; floor: the same");
    let mut full = Row::new(figure, Milliseconds, Reach::Floors(1.0));
    if kind.device != "qemu-x86_64" {
        prepare_devices();
    }
    let modules = format!("{WAY_IN} {}", DEVICE.replace("MODULES", kind.modules));
    let device: &Path = &vm::build(&modules, kind.device);
    let (vm, _) = start(device);
    let again = format!("n=$(number '{partition}'); d=/dev/mtd$n;");
    let ask = |script: &str| vm.visit(&format!("{PRELUDE}{script}")).expect(0).out;
    ask(&format!("{prepare}; random a {pieces}; random c {pieces}; cp a b; change b {changed}"));
    for _ in 0..runs(bench) {
        ask(&format!("{again} $old a $d > /dev/null"));
        let said = ask(&format!("{again} took flashcp -v b $d; tail -n 1 said"));
        let (seconds, line) = said.split_once('\n').expect("two lines");
        part.ward.push(number(seconds) * 1e3);
        let count = |what: &str| {
            let before = line.split(what).next().unwrap_or_default();
            number(before.rsplit(' ').next().unwrap_or_default())
        };
        let (same, new) = (count(" were before"), count(" were written"));
        share.ward.push(new / (same + new) * 100.0);
        let theirs = number(&ask(&format!("{again} took $old a $d"))) * 1e3;
        full.ward.push(number(&ask(&format!("{again} took flashcp c $d"))) * 1e3);
        part.floor.push(theirs);
        full.floor.push(theirs);
    }
    vec![part, share, full]
}
