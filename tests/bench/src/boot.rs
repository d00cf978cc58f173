//! A device in QEMU, from its start until somebody can log in: with `ward` as its pid 1, and with
//! the same daemons started by a shell script.

use std::time::{Duration, Instant};

use e2e::nix::sources;
use e2e::vm::{self, Vm};

use crate::bench::Bench;
use crate::table::Unit::Milliseconds;
use crate::table::{Reach, Row};

/// Clock ticks in a second, as `/proc/PID/stat` counts (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

pub fn boot(bench: &Bench) -> Vec<Row> {
    let mut open = Row::new(
        "QEMU: start to ssh; floor: busybox init and a script",
        Milliseconds,
        Reach::Floors(1.0),
    );
    let mut own = Row::new(
        "QEMU: hand-over to all up, `ward`'s own time",
        Milliseconds,
        Reach::AtMost(1000.0),
    );
    let example = |more: &str| {
        let top = sources().display();
        vm::build(&format!("{top}/examples/configuration.nix {more}"), "qemu-x86_64")
    };
    let bare = example(&sources().join("tests/bench/bare.nix").display().to_string());
    // What pid 1 had of the processor before, the kernel had for itself.
    let router = example(
        "({ pkgs, ... }: { services.first = pkgs.svc.oneshot { name = \"first\"; up = \"cat /proc/1/stat >/run/first\\n\"; }; })",
    );
    for _ in 0..bench.runs {
        open.floor.push_ms(start(&bare).1);
        let (vm, time) = start(&router);
        open.ward.push_ms(time);
        own.ward.push(own_time(&vm));
    }
    vec![open, own]
}

/// Starts a device whose flash is new, and waits until somebody can log in.
pub fn start(device: &std::path::Path) -> (Vm, Duration) {
    let mut vm = Vm::new("bench", device);
    let begin = Instant::now();
    vm.start();
    vm.wait_open();
    (vm, begin.elapsed())
}

/// Milliseconds in which nothing but `ward` ran, and those that it had of the processor after that.
fn own_time(vm: &Vm) -> f64 {
    vm.ask("until grep -q '^up' /run/boot-phases; do sleep 0.1; done");
    let phases = vm.ask("cat /run/boot-phases");
    let phase = |name: &str| -> f64 {
        let line = phases.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        line.and_then(|seconds| seconds.parse().ok()).unwrap_or(f64::NAN)
    };
    // Name, then state and other numbers; the 12th and 13th are the time in the program and for it.
    let ticks = |file: &str| {
        let stat = vm.ask(&format!("cat {file} | grep ' (init) \\| (ward'"));
        let ticks = stat.lines().map(|line| {
            let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
        });
        ticks.sum::<f64>()
    };
    let later = ticks("/proc/[0-9]*/stat") - ticks("/run/first");
    (phase("init") - phase("kernel")) * 1e3 + later / TICKS * 1e3
}
