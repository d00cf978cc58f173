//! Scarce resources: no memory, no descriptors, no processes, a full `/run`.
//! Each is taken away from a running machine and given back: nothing falls
//! that nobody restarts, nothing spins meanwhile, and all is well again.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::machine::{Machine, PATIENCE};
use e2e::process::{alive, cpu, send};
use e2e::{applet, stdout, wait_for};

/// Changes the soft limit of a process; the hard one stays.
fn limit(pid: u32, what: &str, most: impl std::fmt::Display) {
    let option = format!("--{what}={most}:");
    stdout(Command::new("prlimit").args([&option, "--pid", &pid.to_string()]));
}

fn machine(what: &str) -> Machine {
    let machine = Machine::new(what);
    machine.sleeper("web");
    machine.longrun("restless", "sleep 0.2");
    machine.sleeper("spare");
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["web", "restless", "once"]);
    machine.boot();
    machine.wait_up(&["web", "restless", "once"]);
    machine
}

/// Bytes of address space that a process has.
fn address_space(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// The highest descriptor that a process has open.
fn highest_descriptor(pid: u32) -> u32 {
    let numbers = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max().unwrap()
}

/// Over a second, a process may use no more than this of a processor.
fn expect_no_spin(pid: u32) {
    let before = cpu(pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu(pid) - before;
    assert!(used < Duration::from_millis(250), "{used:?} in a second");
}

/// All is as it was, and does what it is asked.
fn expect_all_well(machine: &Machine, web: u32) {
    assert!(machine.ended().is_none(), "{}", machine.said());
    machine.change("-t 60000 -u change spare once");
    machine.change("-t 60000 -d change spare");
    assert_eq!(machine.wait_pid("web"), web, "{}", machine.said());
    let restless = machine.wait_pid("restless");
    let next = || machine.pid("restless").filter(|pid| *pid != restless);
    wait_for("another start of what dies", PATIENCE, next);
    machine.ward("status").expect(0);
}

#[test]
fn without_memory_init_waits_and_keeps_everything() {
    let machine = machine("memory");
    let (init, web) = (machine.init_pid(), machine.wait_pid("web"));
    limit(init, "as", address_space(init));
    // A much larger database: init needs memory for it.
    for i in 0..3000 {
        machine.oneshot(&format!("more{i}"), "true").set(&format!("more{i}"), "down", "true");
    }
    let larger = machine.compile_to("larger");
    let mut update = applet("s6-rc-update");
    update.arg("-l").arg(machine.live()).arg(&larger).stderr(Stdio::piped());
    let update = update.spawn().unwrap();
    // One of its own services dies meanwhile: no memory for that either.
    let restless = machine.pid("restless");
    restless.into_iter().for_each(|pid| send("KILL", pid));
    expect_no_spin(init);
    limit(init, "as", "unlimited");
    let output = update.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Refused, with the reason; or made, where the limit came too late.
    assert!(output.status.success() || said.contains("Out of memory"), "{said}");
    stdout(applet("s6-rc-update").arg("-l").arg(machine.live()).arg(&larger));
    expect_all_well(&machine, web);
    assert_eq!(machine.init_pid(), init);
}

#[test]
fn without_memory_manager_and_logger_are_started_again_and_nothing_is_lost() {
    let machine = machine("memory2");
    let web = machine.wait_pid("web");
    for name in ["manager", "logger"] {
        let pid = wait_for(name, PATIENCE, || machine.own_now(name));
        limit(pid, "as", address_space(pid));
        // Each of these makes both of them ask for memory.
        let names: Vec<String> = (0..2000).map(|i| format!("nobody{i}")).collect();
        let names = names.join(" ");
        let mut asked = 0;
        while alive(pid) && asked < 300 {
            asked += 1;
            machine.change("-t 60000 -u change once");
            machine.change("-t 60000 -d change once");
            machine.rc(&format!("-t 60000 -d change once {names}"));
        }
        limit_if_alive(pid);
    }
    assert!(machine.said().contains("is started again"), "nobody lacked memory");
    expect_all_well(&machine, web);
}

fn limit_if_alive(pid: u32) {
    let option = ["--as=unlimited:", "--pid", &pid.to_string()];
    let _ = Command::new("prlimit").args(option).stderr(Stdio::null()).status();
}

#[test]
fn a_command_without_memory_says_so() {
    let machine = machine("memory3");
    // Little enough that the database does not fit, enough to begin.
    for i in 0..3000 {
        machine.oneshot(&format!("more{i}"), "true").set(&format!("more{i}"), "down", "true");
    }
    machine.compile_to("larger");
    let mut found = 0;
    for kilobytes in (1100..8000).step_by(100) {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}:", kilobytes * 1024)).arg(e2e::applets().join("s6-rc-db"));
        command.arg("-c").arg(machine.join("larger")).args(["list", "all"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(111) if said.contains("no memory is left") || said.contains("Out of memory") => {
                found += 1;
            }
            // Linux could not even begin the program.
            _ if said.is_empty() => {}
            _ => panic!("{kilobytes} kB: {:?} {said}", output.status),
        }
    }
    assert!(found > 0, "no limit was the right one");
}

#[test]
fn without_descriptors_init_falls_and_comes_back_once_there_are_some() {
    let machine = machine("descriptors");
    let (init, web) = (machine.init_pid(), machine.wait_pid("web"));
    limit(init, "nofile", highest_descriptor(init));
    // Callers wait outside, without anybody spinning.
    let connect = || os::socket::Connection::connect(&machine.init_socket());
    let callers: Vec<_> = (0..30).map_while(|_| connect().ok()).collect();
    expect_no_spin(init);
    send("SEGV", init);
    expect_no_spin(init);
    assert!(machine.ended().is_none(), "{}", machine.said());
    drop(callers);
    limit(init, "nofile", 256);
    machine.wait_said("started anew; every service goes on");
    expect_all_well(&machine, web);
    // Not even the lowest ones: now it cannot begin again at all.
    limit(init, "nofile", 3);
    send("SEGV", init);
    expect_no_spin(init);
    assert!(machine.ended().is_none(), "{}", machine.said());
    limit(init, "nofile", 256);
    let anew = || (machine.said().matches("started anew").count() == 2).then_some(());
    wait_for("another start", PATIENCE, anew);
    expect_all_well(&machine, web);
}

#[test]
fn without_descriptors_manager_and_logger_wait_for_some() {
    let machine = machine("descriptors2");
    let web = machine.wait_pid("web");
    let (manager, logger) = (machine.manager_pid(), machine.logger_pid());
    limit(manager, "nofile", highest_descriptor(manager));
    limit(logger, "nofile", highest_descriptor(logger));
    let mut change = applet("s6-rc");
    change.arg("-l").arg(machine.live()).args(["-u", "change", "spare"]);
    let mut change = change.spawn().unwrap();
    // A pipe that the logger cannot take, as it is new.
    stdout(applet("reexec").arg("-s").arg(machine.scandir()));
    expect_no_spin(manager);
    expect_no_spin(logger);
    assert!(change.try_wait().unwrap().is_none());
    limit(manager, "nofile", 256);
    limit(logger, "nofile", 256);
    assert_eq!(change.wait().unwrap().code(), Some(0));
    expect_all_well(&machine, web);
    assert_eq!((machine.manager_pid(), machine.logger_pid()), (manager, logger));
}

#[test]
fn without_processes_nothing_is_given_up() {
    let mut machine = Machine::new("processes");
    // Root is exempt from this limit.
    machine.give_away();
    machine.sleeper("web");
    machine.longrun("restless", "sleep 0.2");
    machine.sleeper("spare");
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["web", "restless", "once"]);
    let init = machine.boot();
    machine.wait_up(&["web", "restless", "once"]);
    let (web, manager) = (machine.wait_pid("web"), machine.manager_pid());
    let limit = |most: &str| {
        let option = format!("--nproc={most}:");
        stdout(machine.as_owner("prlimit").args([&option, "--pid", &init.to_string()]));
    };
    limit("1");
    // Everything that wants a process now has to wait for it.
    send("KILL", manager);
    machine.wait_said("the manager was killed by signal 9");
    let mut change = applet("s6-rc");
    change.arg("-l").arg(machine.live()).args(["-u", "change", "spare"]);
    let mut change = change.spawn().unwrap();
    let down = || machine.pid("restless").is_none().then_some(());
    wait_for("the restless one to be down", PATIENCE, down);
    expect_no_spin(init);
    assert!(change.try_wait().unwrap().is_none());
    assert_eq!(machine.own_now("manager"), None);
    limit("1000");
    assert_eq!(change.wait().unwrap().code(), Some(0), "{}", machine.said());
    expect_all_well(&machine, web);
}

#[test]
fn a_full_run_directory_stops_nothing_and_says_so_where_it_matters() {
    // All of it in a small file system, in namespaces of its own.
    let script = r#"
        set -e
        PATH=$1:$PATH; cd "$2"
        mount -t tmpfs -o size=400k,nr_inodes=200 none run
        ward init --container -c "$2/db" -l "$2/run/s6-rc" -L "$2/run/log" "$2/run/scan" >said 2>&1 &
        init=$!
        trap 'kill $init; wait $init' EXIT
        up() { s6-rc -l run/s6-rc -a list | tr '\n' ' '; }
        wait_up() { until [ "$(up)" = "$1" ]; do sleep 0.05; done; }
        wait_up 'speaker web once '
        # Full to the last byte and the last file.
        dd if=/dev/zero of=run/fill bs=1k 2>/dev/null || true
        i=0; while touch run/fill$i 2>/dev/null; do i=$((i + 1)); done
        echo "full: $(up)"
        s6-rc -l "$2/run/s6-rc" -t 30000 -u change spare && echo "changed: $(up)"
        s6-rc -l "$2/run/s6-rc" -t 30000 -d change once && echo "changed: $(up)"
        # What needs room says that there is none, and leaves nothing behind.
        s6-rc-init -c "$2/db" -l "$2/run/other" "$2/run/scan" 2>no || echo "$? $(sed 's/.*: //' no)"
        s6-rc-update -l "$2/run/s6-rc" "$2/larger" 2>no || echo "$? $(sed 's/.*: //' no)"
        ls run | grep other && echo "left behind"
        # Init, manager and logger fall meanwhile.
        kill -SEGV $init
        for p in /proc/[0-9]*; do
            case "$(tr '\0' ' ' <$p/cmdline 2>/dev/null)" in
            "ward manager "* | "ward logger "*) kill -KILL ${p#/proc/} && echo "killed one" ;;
            esac
        done
        s6-rc -l "$2/run/s6-rc" -t 30000 -u change once && echo "changed: $(up)"
        kill -0 $init
        a=$(cut -d' ' -f1 /proc/$init/schedstat); sleep 1; b=$(cut -d' ' -f1 /proc/$init/schedstat)
        [ $((b - a)) -lt 250000000 ] || echo "init spins: $((b - a)) ns"
        rm run/fill*
        s6-rc-update -l "$2/run/s6-rc" "$2/larger"
        s6-rc -l "$2/run/s6-rc" -u change more
        echo "after: $(up)"
        # Not one of the lines is lost that were said when nobody could write them.
        want=$(cat told)
        until last=$(cat run/log/@* run/log/current 2>/dev/null | grep -o 'speaker [0-9]*$' | tail -n 1) &&
            [ "${last#speaker }" -ge $want ]; do sleep 0.05; done
        cat run/log/@* run/log/current 2>/dev/null | grep -o 'speaker [0-9]*$' | cut -d' ' -f2 >lines
        first=$(head -n 1 lines); seq $first $(tail -n 1 lines) | diff - lines && echo "no line is missing"
    "#;
    let machine = Machine::new("full");
    machine.longrun(
        "speaker",
        "i=0; while sleep 0.05; do i=$((i+1)); echo $i; echo $i >../../../../told; done",
    );
    machine.sleeper("web");
    machine.sleeper("spare");
    machine.oneshot("once", "true").set("once", "down", "true");
    machine.bundle("default", &["speaker", "web", "once"]);
    machine.compile_to("db");
    machine.sleeper("more");
    machine.compile_to("larger");
    fs::create_dir(machine.join("run")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-Urmpf", "--mount-proc", "sh", "-c", script, "sh"]).arg(e2e::applets());
    let output = command.arg(machine.join(".")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let init_said = fs::read_to_string(machine.join("said")).unwrap_or_default();
    let expected = "full: speaker web once \n\
        changed: spare speaker web once \n\
        changed: spare speaker web \n\
        111 No space left on device (os error 28)\n\
        9 No space left on device (os error 28)\n\
        killed one\n\
        killed one\n\
        changed: spare speaker web once \n\
        after: more spare speaker web once \n\
        no line is missing\n";
    assert_eq!(told, expected, "{said}\n{init_said}");
    assert!(output.status.success(), "{said}\n{init_said}");
}
