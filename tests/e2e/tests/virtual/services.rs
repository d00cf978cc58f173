//! Services on a device in QEMU, seen by ssh: what waits for whom, what is given up, what comes
//! back, and what the kernel does when nothing else can help.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::json::Json;
use e2e::nix::prepare_modules;
use e2e::vm::{self, LIMIT, Vm, WAY_IN};
use e2e::wait_for;

/// Services with something the matter with each.
const CONFIGURATION: &str = r#"{ config, pkgs, ... }:
let svc = pkgs.svc; in
rec {
  # Ready three seconds after its start, and gone with a lot of noise.
  services.slow = svc.longrun {
    name = "slow"; notification-fd = 3;
    run = "echo begins\nsleep 3\necho ready\necho >&3\nexec sleep 100000\n";
  };
  services.user = svc.longrun {
    name = "user"; dependencies = [ services.slow ];
    run = "echo begins\nexec sleep 100000\n";
  };
  # It never says that it is ready.
  services.silent = svc.longrun { name = "silent"; notification-fd = 3; run = "echo begins\nexec sleep 100000\n"; };
  services.hopeful = svc.oneshot { name = "hopeful"; dependencies = [ services.silent ]; up = "echo too early\n"; };
  services.watchdog = svc.watchdog.build { timeout = 6; interval = 1; };
  # All but those that cannot become ready.
  services.default = svc.bundle { name = "default"; contents = with config.services; [ int ssh user watchdog ]; };
  logging = { fileSize = 5000; files = 3; persistent.enable = true; };
}
"#;

fn device() -> PathBuf {
    prepare_modules();
    vm::build(&format!("{WAY_IN} ({CONFIGURATION})"), "qemu-x86_64")
}

fn log(vm: &Vm) -> Vec<String> {
    // A line: label, service, text.
    let text = vm.ask("cat /run/log/@* /run/log/current 2>/dev/null || cat /run/log/current");
    let rest = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    text.lines().filter_map(rest).collect()
}

#[test]
fn services_wait_are_given_up_and_come_back() {
    let mut vm = Vm::new("services", &device());
    vm.start();
    vm.wait_open();

    // Who needs another one begins when that one is ready, and not before.
    wait_for("the user of the slow one", LIMIT, || {
        vm.ask("s6-rc -a list").lines().any(|name| name == "user").then_some(())
    });
    let lines = log(&vm);
    let at = |line: &str| {
        let found = lines.iter().position(|found| found == line);
        found.unwrap_or_else(|| panic!("{line:?} is not in the log:\n{}", lines.join("\n")))
    };
    assert!(at("slow begins") < at("slow ready") && at("slow ready") < at("user begins"));

    // 20 seconds are enough for each service, unless it says otherwise.
    assert_eq!(vm.ask("s6-rc-db timeout silent"), "20000\n");
    let start = Instant::now();
    let said = vm.visit("s6-rc -u change hopeful").expect(1);
    let taken = start.elapsed();
    assert!(taken > Duration::from_secs(20), "given up after {taken:?}");
    assert!(taken < Duration::from_secs(20) + LIMIT / 4, "given up after {taken:?}");
    assert!(said.err.contains("silent"), "{}", said.err);
    assert_eq!(vm.ask("s6-svstat -o up,wantedup /run/service/silent"), "false false\n");
    let lines = log(&vm);
    assert!(lines.iter().any(|line| line == "silent begins"));
    assert!(!lines.iter().any(|line| line == "hopeful too early"), "{}", lines.join("\n"));
    vm.visit("ward why silent").expect(1).has("it was not ready after 20000 ms");

    // What is killed comes back, and what needs it is not touched. The first start was long ago.
    let ask = |service: &str| vm.ask(&format!("s6-svstat -o pid /run/service/{service}"));
    let user = ask("user");
    let mut before = ask("slow");
    for _ in 0..3 {
        vm.ask(&format!("kill -9 {}", before.trim()));
        vm.ask("s6-svwait -U -t 30000 /run/service/slow");
        let now = ask("slow");
        assert_ne!(now, before);
        before = now;
    }
    assert_eq!(ask("user"), user);

    // The log is kept as the configuration says.
    assert!(vm.ask("ps").contains("{ward-logger} ward logger"), "{}", vm.ask("ps"));
    let logger = vm.ask(
        "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done | grep '^ward logger'",
    );
    assert!(logger.contains(" -n 3 ") && logger.contains(" -s 5000 "), "{logger}");

    // Whatever happens to the clock, each line has the time at which it was really written.
    let seconds = || vm.ask("date +%s").trim().parse::<i64>().expect("a time");
    // Each time it is set, a part of a second is lost.
    let begun = seconds() - 4;
    let restart = || {
        let before = vm.ask("s6-svstat -o pid /run/service/user");
        vm.ask("s6-svc -r /run/service/user");
        let other = || (vm.ask("s6-svstat -o pid /run/service/user") != before).then_some(());
        wait_for("another start", LIMIT, other);
    };
    const FIFTY_YEARS: i64 = 50 * 365 * 86_400;
    for step in [FIFTY_YEARS, -2 * FIFTY_YEARS + 7, FIFTY_YEARS - 7] {
        vm.ask(&format!("date -s @$(($(date +%s) + {step}))"));
        restart();
    }
    let took = seconds() - begun + 4;
    let shown = vm.ask("ward log -s user --grep begins -n 3 --json");
    let lines: Vec<Json> = shown.lines().map(Json::parse).collect();
    let times: Vec<&str> = lines.iter().map(|line| line.text("time").expect("a time")).collect();
    assert!(times.is_sorted() && times.len() == 3, "{shown}");
    let script = format!("date -u -d @{begun} +%FT%T; date -u -d @{} +%FT%T", begun + took);
    let bounds = vm.ask(&script);
    let (first, last) = bounds.trim().split_once('\n').expect("two dates");
    assert!(first <= times[0] && &times[2][..19] <= last, "{shown}: {bounds}");
    let labels: Vec<&str> = lines.iter().map(|line| line.text("label").expect("a label")).collect();
    assert!(!labels.is_sorted(), "the labels say what the clock said: {shown}");
    vm.visit("ward log").has(" step +").has(" step -");
}

#[test]
fn a_fault_of_init_a_panic_of_the_kernel_and_a_standstill_are_not_the_end() {
    let mut vm = Vm::new("panic", &device());
    vm.start();
    vm.wait_open();

    // init fails: every service goes on.
    let before = vm.ask("s6-svstat -o pid /run/service/ssh");
    vm.ask("ward reexec --fault; sleep 1");
    assert_eq!(vm.ask("s6-svstat -o pid /run/service/ssh"), before);
    assert_eq!(vm.ask("readlink /proc/1/exe | grep -c ward"), "1\n");

    // The kernel fails: it restarts after a few seconds, without anybody.
    const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";
    let first = vm.ask(BOOT);
    vm.visit("ward log --boot -1").expect(1);
    vm.ask("s6-svwait -u -t 60000 /run/service/user && s6-svc -r /run/service/user");
    let last_words = "test $(ward log -s user | grep -c begins) = 2";
    wait_for("the last words", LIMIT, || (vm.visit(last_words).code == 0).then_some(()));
    let mut panic = vm.ssh("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger");
    let start = Instant::now();
    let mut panic = panic.stderr(Stdio::null()).spawn().expect("ssh runs");
    vm.wait_console("Kernel panic");
    vm.wait_console("ward: up ");
    assert!(start.elapsed() > Duration::from_secs(5), "panic=5");
    let _ = panic.kill();
    let _ = panic.wait();
    vm.wait_open();
    let second = vm.ask(BOOT);
    assert_ne!(second, first);
    // What was said until then is there, and what the kernel said.
    let last = vm.ask("ward log --boot -1");
    let at = |text: &str| last.rfind(text).unwrap_or_else(|| panic!("no {text:?} in\n{last}"));
    assert!(at(" user begins\n") < at("] Kernel panic - not syncing: sysrq triggered crash\n"));
    let panic = last.lines().find(|line| line.contains("] Kernel panic"));
    assert!(panic.is_some_and(|line| line.contains(" kernel [")), "{panic:?}");
    let panic = vm.ask("ward log --boot -1 --json --grep 'Kernel panic'");
    assert!(panic.contains("\"priority\":0"), "{panic}");
    assert_eq!(last.matches("] Linux version ").count(), 1, "{last}");
    assert_eq!(last.matches(" user begins\n").count(), 2, "{last}");
    assert_eq!(vm.ask("ls /run/log/previous-boot"), "dmesg\nfound-by\nlog\n");
    vm.ask("grep sysrq_handle_crash /run/log/previous-boot/dmesg");
    assert_eq!(vm.ask("ls /sys/fs/pstore"), "", "there is room for the next one");
    assert!(!vm.ask("ward log").contains("Kernel panic"), "that was another boot");

    // Nobody pats the watchdog any more: the hardware restarts the device.
    vm.ask("s6-svc -p /run/service/watchdog");
    vm.wait_console("ward: up ");
    vm.wait_open();
    assert_ne!(vm.ask(BOOT), second);
    let last = vm.ask("ward log --boot -1 --json -n 1");
    assert!(last.contains(&format!("\"boot\":\"{}\"", second.trim())), "{last}");
    // A restart is no crash, and without power nothing stays.
    vm.reboot();
    assert_eq!(vm.ask("ls /run/log/previous-boot"), "found-by\nlog\n");
    vm.cut_power();
    vm.start();
    assert_eq!(vm.visit("ls /run/log/previous-boot 2>/dev/null").out, "");
    vm.visit("ward log --boot -1").expect(1).has("logging.persistent.enable");
}
