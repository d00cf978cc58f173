//! What services say for others: `ward output`, and who reacts to it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::Duration;

use e2e::client::Client;
use e2e::device::{Device, PATIENCE, signal};
use e2e::{applet, wait_for};
use rustix::process::Signal;

fn folder(device: &Device, service: &str) -> std::path::PathBuf {
    device.join("services/outputs-live").join(service)
}

#[test]
fn a_service_says_things_from_its_start_until_it_is_down() {
    let device = Device::new("outputs");
    device.sleeper("wan").oneshot("route", "true").set("route", "down", "true");
    device.bundle("default", &["wan", "route"]).start();
    assert!(folder(&device, "wan").is_dir() && folder(&device, "route").is_dir());
    device.ward("output set wan dns 9.9.9.9").expect(0);
    device.ward("output set wan address 192.0.2.7").expect(0);
    assert_eq!(device.ward("output get wan dns").expect(0).out, "9.9.9.9\n");
    let all = device.ward("output list wan").expect(0);
    assert_eq!(all.lines(), ["address=192.0.2.7", "dns=9.9.9.9"]);
    device.ward("output unset wan address").expect(0);
    assert_eq!(device.ward("output list wan").expect(0).lines(), ["dns=9.9.9.9"]);
    // From standard input, as it is.
    let mut long = device.ward_command("output set wan long");
    long.stdin(Stdio::from(fs::File::open("/proc/self/environ").expect("it is there")));
    assert!(long.status().expect("it runs").success());
    let size = fs::metadata(folder(&device, "wan").join("long")).expect("it was said").len();
    assert!(size > 0);
    // Several at once, of which none is said where one is wrong.
    let two = ["address", "192.0.2.8", "resolv", "search lan\nnameserver 9.9.9.9"];
    Client::run(device.ward_command("output set wan").args(two)).expect(0);
    assert_eq!(
        device.ward("output get wan resolv").expect(0).out,
        "search lan\nnameserver 9.9.9.9\n"
    );
    device.ward("output set wan address 192.0.2.9 ../dns 1.1.1.1").expect(100);
    device.ward("output set wan address 192.0.2.9 dns").expect(100);
    device.ward("output unset wan dns ../dns").expect(100);
    assert_eq!(device.ward("output get wan address").expect(0).out, "192.0.2.8\n");
    device.ward("output unset wan address resolv").expect(0);
    assert_eq!(device.ward("output list wan").expect(0).lines().len(), 2);
    device.ward("output unset route").expect(0);
    device.ward("output unset wan").expect(0);
    assert_eq!(device.ward("output list wan").expect(0).out, "");
    device.ward("output set wan dns 9.9.9.9").expect(0);
    // A key is a name of a file, and no more.
    for bad in ["../x", ".hidden", "a/b", ""] {
        let mut set = device.ward_command("output set wan");
        Client::run(set.args([bad, "x"])).expect(100);
    }
    Client::run(device.ward_command("output get").args(["../wan", "dns"])).expect(100);
    let missing = device.ward("output get wan router").expect(1);
    assert!(missing.err.contains("wan has no output router"), "{}", missing.err);

    // Its process dies: what it said is still so. The manager dies, too.
    let wan = device.wait_pid("wan");
    signal(wan, Signal::KILL);
    let manager = device.manager_pid();
    signal(manager, Signal::KILL);
    wait_for("both", PATIENCE, || device.pid("wan").filter(|pid| *pid != wan));
    device.rc("-u change wan").expect(0);
    assert_eq!(device.ward("output get wan dns").expect(0).out, "9.9.9.9\n");
    device.ward("stop wan route").expect(0);
    assert!(!folder(&device, "wan").exists() && !folder(&device, "route").exists());
    assert_eq!(device.ward("output list wan").expect(0).out, "");
    let late = device.ward("output set wan dns 1.1.1.1").expect(1);
    assert!(late.err.contains("it is down"), "{}", late.err);
    // What a manager that was killed has left does not outlive the next one.
    fs::create_dir_all(folder(&device, "wan")).expect("mkdir");
    signal(device.manager_pid(), Signal::KILL);
    wait_for("its end", PATIENCE, || (!folder(&device, "wan").exists()).then_some(()));
}

#[test]
fn whoever_watches_hears_of_each_change_also_of_what_is_not_there_yet() {
    let device = Device::new("outputs-watch");
    device.sleeper("wan").start();
    let mut watch = device.ward_command("output watch wan").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("it is text");
    for round in 0..3 {
        device.ward("start wan").expect(0);
        device.ward("output set wan dns 9.9.9.9").expect(0);
        assert_eq!(next(), "dns=9.9.9.9", "round {round}");
        // The same once more is no news.
        device.ward("output set wan dns 9.9.9.9").expect(0);
        device.ward("output set wan dns 1.1.1.1").expect(0);
        assert_eq!(next(), "dns=1.1.1.1");
        device.ward("stop wan").expect(0);
        assert_eq!(next(), "-dns");
    }
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
}

#[test]
fn who_reacts_to_a_need_does_so_when_its_outputs_change_and_only_then() {
    let device = Device::new("outputs-react");
    device.sleeper("wan").set("wan", "notification-fd", "3");
    let ready = "ward output -l LIVE set wan dns 9.9.9.9\necho >&3\nexec sleep 100000";
    let live = device.live().display().to_string();
    device.longrun("wan", &ready.replace("LIVE", &live)).sleeper("again").sleeper("calm");
    device.needs("again", &["wan"]).needs("calm", &["wan"]);
    fs::create_dir_all(device.source("again").join("on-restart.d")).expect("mkdir");
    device.set("again", "on-restart.d/wan", "restart\n");
    device.bundle("default", &["again", "calm"]).start();
    let before = device.pids();
    let changed = |device: &Device, of: &BTreeMap<String, u32>| {
        wait_for("a restart", PATIENCE, || {
            let pids = device.pids();
            (pids.len() == 3 && pids["again"] != of["again"]).then_some(pids)
        })
    };
    // What was said before it started is known to it, and so is what is said again.
    device.ward("output set wan dns 9.9.9.9").expect(0);
    fs::write(folder(&device, "wan").join("dns"), "9.9.9.9\n").expect("one can write");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(device.pids(), before);
    // Two at once lead to one restart.
    device.ward("output set wan dns 1.1.1.1").expect(0);
    device.ward("output set wan router 192.0.2.1").expect(0);
    let after = changed(&device, &before);
    assert_eq!((after["wan"], after["calm"]), (before["wan"], before["calm"]));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(device.pids(), after);
    let why = device.ward("why again").expect(0).out;
    assert!(why.contains("because wan has changed"), "{why}");
    // Also after the manager was killed.
    let manager = device.manager_pid();
    signal(manager, Signal::KILL);
    wait_for("another", PATIENCE, || (device.manager_pid() != manager).then_some(()));
    device.rc("-u change again").expect(0);
    device.ward("output unset wan router").expect(0);
    changed(&device, &after);
}

#[test]
fn a_service_with_a_user_of_its_own_writes_its_own_outputs_and_no_others() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can become somebody else.
    }
    let device = Device::new("outputs-owner");
    device.sleeper("mine").set("mine", "outputs-owner", "65534\n").sleeper("other");
    device.bundle("default", &["mine", "other"]).start();
    let owner = fs::metadata(folder(&device, "mine")).expect("it is there");
    assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o777), (65534, 65534, 0o755));
    let path = device.join("");
    Client::run(std::process::Command::new("chmod").arg("a+rx").arg(&path)).expect(0);
    let set = |service: &str| {
        let mut command = applet("s6-applyuidgid");
        command.args(["-u", "65534", "-g", "65534"]).arg(e2e::ward()).args(["output", "-l"]);
        command.arg(device.live()).args(["set", service, "key", "value"]);
        Client::run(&mut command)
    };
    set("mine").expect(0);
    let refused = set("other").expect(111);
    assert!(refused.err.contains("outputs-owner"), "{}", refused.err);
}
