//! Init as a process: its faults, its limits, and what it leaves alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::device::Device;
use e2e::{Folder, applet, debian, shown, stdout, wait_for, ward};

const PATIENCE: Duration = Duration::from_secs(30);

/// A scan directory under our `s6-svscan`, ended when dropped.
struct Tree {
    folder: Folder,
    svscan: Option<Child>,
}

impl Tree {
    fn new(what: &str) -> Self {
        let folder = Folder::new(what);
        fs::create_dir(folder.join("scan")).unwrap();
        Self { folder, svscan: None }
    }

    fn scan(&self) -> PathBuf {
        self.folder.join("scan")
    }

    fn service(&self, name: &str, run: &str) -> PathBuf {
        let path = self.folder.write(format!("scan/{name}/run"), format!("#!/bin/sh\n{run}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.scan().join(name)
    }

    fn start(&mut self) -> u32 {
        self.start_by(applet("s6-svscan"))
    }

    fn start_by(&mut self, mut command: Command) -> u32 {
        let log = fs::File::create(self.folder.join("svscan.log")).unwrap();
        let scan = self.scan();
        command.arg("-C").arg("6000").arg(&scan).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let id = child.id();
        self.svscan = Some(child);
        wait_for("the control socket", PATIENCE, || {
            scan.join(".s6-svscan/init").exists().then_some(())
        });
        id
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("svscan.log")).unwrap()
    }

    fn wait_up(&self, name: &str) -> u32 {
        wait_for(name, PATIENCE, || self.pid(name))
    }

    /// The process of a service, as Debian's `s6-svstat` reads it.
    fn pid(&self, name: &str) -> Option<u32> {
        let output = debian("s6-svstat").args(["-o", "pid"]).arg(self.scan().join(name)).output();
        String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let Some(mut svscan) = self.svscan.take() else { return };
        let mut children = e2e::peer_tree::children(svscan.id());
        send("TERM", svscan.id());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(15) {
            if let Ok(Some(_)) = svscan.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        children.extend(e2e::peer_tree::children(svscan.id()));
        let _ = svscan.kill();
        for pid in children {
            send("KILL", pid);
        }
        let _ = svscan.wait();
    }
}

fn send(signal: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |line: &&str| line.contains("ctxt_switches");
    status.lines().filter(of).map(|l| l.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn no_service_notices_that_init_falls_under_load() {
    let mut tree = Tree::new("fault");
    for i in 0..40 {
        tree.service(&format!("steady{i}"), "exec sleep 1000");
    }
    for i in 0..5 {
        // These die all the time, so that there is always something to do.
        let name = tree.service(&format!("busy{i}"), "exit 0");
        fs::write(name.join("restart-wait"), "20\n").unwrap();
    }
    let ready = tree.service("ready", "echo >&3; exec sleep 1000");
    fs::write(ready.join("notification-fd"), "3\n").unwrap();
    fs::write(ready.join("restart-wait"), "1\n").unwrap();
    let init = tree.start();
    let before: BTreeMap<String, u32> = (0..40)
        .map(|i| format!("steady{i}"))
        .map(|name| (name.clone(), tree.wait_up(&name)))
        .collect();
    for round in 0..20 {
        if round % 2 == 0 {
            // A real fault of the processor, inside init.
            let status = applet("reexec").args(["--fault", "-s"]).arg(tree.scan()).status();
            assert!(status.unwrap().success(), "round {round}: {}", tree.log());
        } else {
            send("SEGV", init);
        }
        let dir = tree.scan().join("ready");
        // Ours: Debian's looks at the last event only, and misses a restart within a millisecond.
        let code = applet("s6-svc").args(["-wR", "-T", "30000", "-r"]).arg(&dir).status().unwrap();
        assert!(code.success(), "round {round}: {}", tree.log());
    }
    assert!(alive(init), "init keeps its process id");
    for (name, pid) in &before {
        assert_eq!(tree.pid(name), Some(*pid), "{name} runs on in the same process");
    }
    let zombies = e2e::peer_tree::children(init).into_iter().filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    });
    assert!(zombies.count() <= 5, "the dead are reaped");
    assert!(tree.log().matches("starting anew").count() >= 20);
    // Nothing was lost: each can still be brought down.
    for name in before.keys() {
        stdout(debian("s6-svc").args(["-wD", "-T", "30000", "-d"]).arg(tree.scan().join(name)));
    }
}

#[test]
fn init_becomes_a_newer_program_and_keeps_every_child() {
    let mut tree = Tree::new("newer");
    tree.service("steady", "exec sleep 1000");
    let init = tree.start();
    let pid = tree.wait_up("steady");
    let newer = tree.folder.join("ward-newer");
    e2e::copy_program(e2e::ward(), &newer);
    let ask = |program: &Path| {
        applet("reexec").arg("-s").arg(tree.scan()).arg(program).status().unwrap().success()
    };
    assert!(ask(&newer));
    wait_for("the newer program", PATIENCE, || {
        (fs::read_link(format!("/proc/{init}/exe")).ok()? == newer).then_some(())
    });
    assert_eq!(tree.pid("steady"), Some(pid));
    // One that does not exist leaves init as it is.
    ask(Path::new("/nonexistent/ward"));
    assert!(alive(init));
    assert_eq!(tree.pid("steady"), Some(pid));
}

#[test]
fn an_idle_tree_does_not_wake_up() {
    let mut tree = Tree::new("idle");
    tree.service("steady", "exec sleep 1000");
    let init = tree.start();
    tree.wait_up("steady");
    let quiet = |pid| {
        let before = switches(pid);
        std::thread::sleep(Duration::from_millis(1500));
        switches(pid) == before
    };
    wait_for("a quiet init", PATIENCE, || quiet(init).then_some(()));
}

#[test]
fn a_service_that_is_never_ready_is_soon_seen_as_up() {
    let mut tree = Tree::new("never-ready");
    let dir = tree.service("mute", "exec sleep 1000");
    fs::write(dir.join("notification-fd"), "3\n").unwrap();
    tree.start();
    // Nobody listens, so that init may take its time; but not for ever.
    wait_for("its status", PATIENCE, || {
        let output = debian("s6-svstat").args(["-o", "up,ready"]).arg(&dir).output().ok()?;
        (output.stdout == b"true false\n").then_some(())
    });
    // Whoever listens hears of it at once.
    stdout(debian("s6-svc").args(["-wd", "-T", "30000", "-d"]).arg(&dir));
    stdout(debian("s6-svc").args(["-wu", "-T", "30000", "-u"]).arg(&dir));
}

#[test]
fn what_a_service_says_is_logged_even_if_it_leaves_at_once() {
    let device = e2e::device::Device::new("farewell");
    device.bundle("default", &[]).start();
    device.wait_booted();
    let scan = device.scandir();
    let ask = |letters: &str| {
        stdout(applet("s6-svscanctl").arg(letters).arg(&scan));
    };
    for i in 0..20 {
        let (name, place) = (format!("brief{i}"), device.join(format!("brief{i}")));
        fs::create_dir(&place).unwrap();
        let run = place.join("run");
        fs::write(&run, format!("#!/bin/sh\necho said {i}\n: > done\nexec sleep 1000\n")).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&place, scan.join(&name)).unwrap();
        ask("-a");
        wait_for("its line", PATIENCE, || place.join("done").exists().then_some(()));
        fs::remove_file(scan.join(&name)).unwrap();
        ask("-an");
    }
    for i in 0..20 {
        device.wait_log(&format!("brief{i} said {i}"));
    }
}

#[test]
fn orphans_are_reaped() {
    let mut tree = Tree::new("orphans");
    tree.service("fork", "for i in 1 2 3 4 5; do (sleep 0.$i &) ; done; exec sleep 1000");
    let init = tree.start();
    tree.wait_up("fork");
    wait_for("the orphans to be gone", PATIENCE, || {
        (e2e::peer_tree::children(init).len() == 1).then_some(())
    });
}

#[test]
fn however_many_die_at_once_all_are_reaped() {
    let mut tree = Tree::new("many");
    let names: Vec<String> = (0..400).map(|i| format!("s{i:03}")).collect();
    for name in &names {
        tree.service(name, "exec sleep 1000");
    }
    let init = tree.start();
    let pids: Vec<u32> = names.iter().map(|name| tree.wait_up(name)).collect();
    for name in &names {
        // Not to be started again: no timer may wake init for another look.
        let control = tree.scan().join(name).join("supervise/control");
        fs::OpenOptions::new().write(true).open(control).unwrap().write_all(b"O").unwrap();
    }
    let dir = tree.scan().join(&names[399]);
    wait_for("the last order to be heard", PATIENCE, || {
        let text = stdout(debian("s6-svstat").args(["-o", "wantedup"]).arg(&dir));
        (text.trim() == "false").then_some(())
    });
    send("STOP", init);
    for &pid in &pids {
        send("KILL", pid);
    }
    // Each must be dead before: a later death would be one more signal.
    for pid in pids {
        wait_for("its death", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.contains(") Z ").then_some(())
        });
    }
    send("CONT", init);
    wait_for("the children of init to be gone", PATIENCE, || {
        e2e::peer_tree::children(init).is_empty().then_some(())
    });
}

#[test]
fn noise_from_everywhere_changes_nothing() {
    let mut tree = Tree::new("noise");
    let dir =
        tree.service("steady", "trap '' HUP INT QUIT USR1 USR2 ALRM TERM WINCH; exec sleep 1000");
    let init = tree.start();
    let pid = tree.wait_up("steady");
    let mut dice = e2e::peer_tree::Dice(7);
    let mut fifo = fs::OpenOptions::new().write(true).open(dir.join("supervise/control")).unwrap();
    let harmless: Vec<u8> = (0..=255).filter(|b| !b"dDxkKrbOQpPoqtihUl12ay".contains(b)).collect();
    for _ in 0..200 {
        let noise: Vec<u8> =
            (0..60).map(|_| harmless[dice.roll(harmless.len() as u64) as usize]).collect();
        let _ = fifo.write(&noise);
    }
    // Strangers on the socket: wrong first words, endless ones, and many of them.
    let socket = tree.scan().join(".s6-svscan/init");
    for round in 0..200u64 {
        let Ok(stranger) = os_connect(&socket) else { continue };
        let length = dice.roll(4000) as usize;
        let noise: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        let _ = stranger.send(&noise);
        if round % 10 == 0 {
            let _ = stranger.send(&[]);
        }
    }
    assert!(alive(init));
    stdout(debian("s6-svstat").arg(&dir));
    assert_eq!(tree.pid("steady"), Some(pid));
}

fn os_connect(path: &Path) -> std::io::Result<os::socket::Connection> {
    os::socket::Connection::connect(path)
}

#[test]
fn descriptors_running_out_stop_neither_init_nor_what_runs() {
    let mut tree = Tree::new("descriptors");
    for i in 0..40 {
        tree.service(&format!("s{i:02}"), "exec sleep 1000");
    }
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 70; exec \"$0\" \"$@\""]).arg(e2e::applets().join("s6-svscan"));
    let init = tree.start_by(command);
    let first = tree.wait_up("s00");
    wait_for("the complaint", PATIENCE, || tree.log().contains("os error 24").then_some(()));
    let spent = cpu(init);
    std::thread::sleep(Duration::from_millis(1000));
    assert!(cpu(init) - spent < Duration::from_millis(300), "it does not spin");
    assert_eq!(tree.pid("s00"), Some(first));
    let dir = tree.scan().join("s00");
    stdout(debian("s6-svc").args(["-wD", "-T", "30000", "-d"]).arg(&dir));
}

#[test]
fn a_run_directory_that_is_full_stops_no_service() {
    // A tmpfs of our own, in a mount namespace of our own.
    let script = r#"
        set -e
        mount -t tmpfs -o size=48k,nr_inodes=60 none "$2"
        mkdir -p "$2/scan/a" "$2/scan/b"
        for s in a b; do
            printf '#!/bin/sh\nexec sleep 1000\n' > "$2/scan/$s/run"; chmod +x "$2/scan/$s/run"
        done
        "$1/s6-svscan" "$2/scan" >/dev/null & init=$!
        trap 'kill $init' EXIT
        until "$1/s6-svok" "$2/scan/b" && "$1/s6-svok" "$2/scan/a"; do sleep 0.02; done
        "$1/s6-svwait" -u -t 20000 "$2/scan/a" "$2/scan/b"
        dd if=/dev/zero of="$2/fill" bs=1k 2>/dev/null || true
        "$1/s6-svc" -wr -T 20000 -r "$2/scan/a"
        "$1/s6-svc" -wd -T 20000 -d "$2/scan/b"
        kill -0 $init
        kill -SEGV $init
        sleep 0.2
        rm "$2/fill"
        "$1/s6-svc" -wu -T 20000 -u "$2/scan/b"
        "$1/s6-svstat" -o up "$2/scan/b"
        kill $init; wait $init; trap - EXIT
    "#;
    let folder = Folder::new("full");
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script, "sh"])
        .arg(e2e::applets())
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("true"), "{text}\n{errors}");
}

#[test]
fn forks_that_are_refused_are_tried_again_without_haste() {
    if !is_root() {
        // Only root can become a user that has a limit of its own to run into.
        return by_hand("needs root to change the user");
    }
    let mut tree = Tree::new("forks");
    tree.service("a", "exec sleep 1000");
    let path = tree.folder.path().to_owned();
    assert!(Command::new("chown").args(["-R", "64999"]).arg(&path).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "64999", "--clear-groups", "prlimit", "--nproc=1:1000"]);
    command.arg(e2e::applets().join("s6-svscan"));
    let init = tree.start_by(command);
    wait_for("the service to wait", PATIENCE, || {
        let status = applet("s6-svstat").arg(tree.scan().join("a")).output().ok()?;
        String::from_utf8_lossy(&status.stdout).contains("want up").then_some(())
    });
    let spent = cpu(init);
    std::thread::sleep(Duration::from_millis(1200));
    assert!(cpu(init) - spent < Duration::from_millis(200), "it does not spin");
    // As that user: another's limits take CAP_SYS_RESOURCE, which root lacks in containers.
    let mut prlimit = Command::new("setpriv");
    prlimit.args(["--reuid", "64999", "--clear-groups", "prlimit", "--nproc=1000:1000", "--pid"]);
    assert!(prlimit.arg(init.to_string()).status().unwrap().success());
    tree.wait_up("a");
}

fn is_root() -> bool {
    os::socket::own_user() == 0
}

fn by_hand(why: &str) {
    eprintln!("not shown here: {why}");
}

#[test]
fn the_init_of_a_container_ends_as_the_page_has_it() {
    let device = Device::new("container");
    device.longrun("a", "exec sleep 100000").bundle("default", &["a"]);
    let database = device.compile();
    let steps = shown::blocks("docs/guide/device.md", "init.rs").remove(0);
    let [line] = shown::lines(&steps).try_into().expect("one line");
    let line = line.replace("DATABASE", &database.display().to_string());
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("ward"));
    let mut command = Command::new(ward());
    // Beside others, and not in a root directory of its own.
    command.args(words).arg("-l").arg(device.live()).arg("-L").arg(device.join("logs"));
    device.run(command);
    device.wait_pid("a");
    send("TERM", device.init_pid());
    let ended = wait_for("its end", PATIENCE, || device.ended());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn one_directory_alone_is_supervised_as_well() {
    let tree = Tree::new("alone");
    let dir = tree.service("a", "exec sleep 1000");
    let mut supervise = applet("s6-supervise").arg(&dir).spawn().unwrap();
    tree.wait_up("a");
    let second = applet("s6-supervise").arg(&dir).stderr(Stdio::null()).status().unwrap();
    assert_eq!(second.code(), Some(100));
    send("TERM", supervise.id());
    assert_eq!(supervise.wait().unwrap().code(), Some(0));
    assert_eq!(debian("s6-svok").arg(&dir).status().unwrap().code(), Some(1));
}
