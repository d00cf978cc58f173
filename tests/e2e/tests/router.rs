//! `examples/router` as pid 1 of its own namespaces, as `make run` boots it:
//! by root, and by somebody who is not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use e2e::machine::{PATIENCE, SOMEBODY, as_user, is_root};
use e2e::process::send;
use e2e::{doorward, wait_for, ward};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcgetattr};

/// Who boots it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    Somebody,
}

/// Everybody that this test may be.
fn everybody() -> Vec<Who> {
    if is_root() { vec![Who::Root, Who::Somebody] } else { vec![Who::Somebody] }
}

impl Who {
    fn command(self, program: &Path) -> Command {
        match self {
            Self::Somebody if is_root() => as_user(SOMEBODY, &[], program),
            _ => Command::new(program),
        }
    }

    /// `doorward run` on the example, with a command or without.
    fn run(self, words: &[&str]) -> Command {
        let mut command = self.command(doorward());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        command.args(["run", "--ward"]).arg(ward()).arg("examples/router").args(words);
        command.current_dir(root).env("TMPDIR", temporary()).stdin(Stdio::null());
        command
    }

    /// Runs a script in the router and gives what it printed.
    ///
    /// # Panics
    /// Where it does not end with `code`.
    fn script(self, script: &str, code: i32) -> String {
        let output = self.run(&["sh", "-c", script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{self:?}: {printed}\n{said}");
        printed
    }
}

/// Processes in a process namespace, named as `/proc/self/ns/pid` shows it.
fn inhabitants(namespace: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid| {
            fs::read_link(format!("/proc/{pid}/ns/pid"))
                .is_ok_and(|link| link.as_os_str() == namespace)
        })
        .collect()
}

/// What a router could leave behind on this machine: mounts, temporary files,
/// network interfaces.
fn traces() -> [Vec<String>; 3] {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().map(str::to_owned).collect();
    [mounts, names(temporary()), names(Path::new("/sys/class/net"))]
}

/// The folder for temporary files of every router here, beside the program.
fn temporary() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = ward().with_file_name("router-tmp");
        let _ = fs::create_dir(&folder);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        folder
    });
    &FOLDER
}

#[test]
fn everything_is_up_and_the_exit_code_of_the_command_comes_through() {
    for who in everybody() {
        let before = traces();
        let printed = who.script(
            "readlink /proc/self/ns/pid; hostname; s6-rc listall default >/tmp/wanted
            s6-rc -a list | diff /tmp/wanted - && echo all up
            ward status >/dev/null && echo all well
            cat /proc/1/comm; exit 7",
            7,
        );
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[1..], ["router", "all up", "all well", "ward"], "{who:?}: {printed}");
        assert_eq!(inhabitants(lines[0]), [0_u32; 0], "{who:?}");
        assert_eq!(traces(), before, "{who:?}");
        // As a shell says it: killed, not found, not a program.
        who.script("kill -KILL $$", 137);
        let found = |words: &[&str]| who.run(words).output().unwrap().status.code();
        assert_eq!(found(&["no-such-program"]), Some(127));
        assert_eq!(found(&["/etc/passwd"]), Some(126));
        assert_eq!(found(&["true"]), Some(0));
    }
}

#[test]
fn a_computer_at_its_port_gets_a_lease_names_the_time_and_ssh() {
    for who in everybody() {
        let printed = who.script(
            r#"
            # Another network namespace, at the far end of a cable.
            unshare -n sleep 1000 & client=$!
            until [ "$(readlink /proc/$client/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
            ip link set cable1 netns $client
            at() { nsenter -t $client -n "$@"; }
            at ip link set lo up; at ip link set cable1 up
            cat >/tmp/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
echo "lease $ip of $serverid, router $router, names $dns"
END
            chmod +x /tmp/lease
            at busybox udhcpc -i cable1 -q -n -f -t 20 -T 1 -s /tmp/lease 2>/tmp/udhcpc || cat /tmp/udhcpc
            at busybox nslookup router.lan 192.168.7.1 | sed -n 's/^Address[^:]*: *\(192.168.7.1\)$/router.lan is \1/p' | tail -n 1
            at busybox ping -c 1 -W 5 192.168.7.1 >/dev/null && echo "it answers"
            at toybox sntp 192.168.7.1 >/tmp/sntp 2>&1 && echo "it knows the time" || cat /tmp/sntp
            at busybox nc 192.168.7.1 22 </dev/null >/tmp/banner & caller=$!
            until [ -s /tmp/banner ]; do sleep 0.05; done
            head -c 20 /tmp/banner; echo
            # Back to here, before the test ends it.
            kill $caller $client; true
            "#,
            0,
        );
        let lines: Vec<&str> = printed.lines().map(str::trim).collect();
        let lease = "of 192.168.7.1, router 192.168.7.1, names 192.168.7.1";
        assert!(
            lines[0].starts_with("lease 192.168.7.1") && lines[0].ends_with(lease),
            "{printed}"
        );
        let rest = ["router.lan is 192.168.7.1", "it answers", "it knows the time"];
        assert_eq!(lines[1..4], rest, "{who:?}: {printed}");
        assert!(lines[4].starts_with("SSH-2.0-dropbear"), "{who:?}: {printed}");
    }
}

#[test]
fn somebody_with_the_key_may_log_in() {
    for who in everybody() {
        let printed = who.script(
            "mkdir -m 700 -p /root/.ssh
            dropbearkey -t ed25519 -f /root/key >/dev/null 2>&1
            dropbearkey -y -f /root/key | grep ^ssh- >/root/.ssh/authorized_keys
            dbclient -y -i /root/key root@192.168.7.1 hostname 2>/tmp/with || cat /tmp/with
            rm /root/.ssh/authorized_keys
            dbclient -y -i /root/key root@192.168.7.1 hostname </dev/null 2>/tmp/without || echo refused",
            0,
        );
        let lines: Vec<&str> = printed.lines().collect();
        match who {
            Who::Root => assert_eq!(lines, ["router", "refused"], "{printed}"),
            // There is one group only, so dropbear cannot leave it; but it
            // knew the key, and names the user.
            Who::Somebody => {
                assert!(printed.contains("Exit (root)"), "{printed}");
                assert_eq!(lines.last(), Some(&"refused"), "{printed}");
            }
        }
    }
}

#[test]
fn the_firewall_stands_and_disks_come_and_go() {
    for who in everybody() {
        let printed = who.script(
            r#"
            nft list table inet router | grep -c -e 'policy drop' -e masquerade
            cat /proc/sys/net/ipv4/ip_forward
            grep -c /mnt/ /proc/mounts
            s6-rc -u change usb; ls /mnt; grep -c /mnt/ /proc/mounts
            s6-rc -d change usb; grep -c /mnt/ /proc/mounts
            s6-rc -d change firewall; s6-rc -a list | tr '
' ' '; nft list ruleset | wc -l
            s6-rc -u change default; nft list table inet router | grep -c 'policy drop'
            "#,
            0,
        );
        let up = [
            "dhcp-dns link-events link-events-log syslog time",
            "hostname lan-bridge lan-ports loopback ssh-host-key",
        ];
        let expected = format!("3\n1\n0\nbackup\nmedia\n2\n0\n{} 0\n2\n", up.join(" "));
        assert_eq!(printed, expected, "{who:?}");
    }
}

#[test]
fn pid_1_survives_its_own_fault_and_reaps_every_orphan() {
    for who in everybody() {
        let printed = who.script(
            r#"
            pids() { for s in dhcp-dns ssh syslog time link-events; do s6-svstat -o pid /run/service/$s; done; }
            before=$(pids)
            for i in 1 2 3; do ward reexec --fault; kill -SEGV 1; sleep 0.2; done
            [ "$before" = "$(pids)" ] && echo the same processes
            cat /proc/1/comm
            grep -c 'init started anew; every service goes on' /run/uncaught-logs/current
            for i in 1 2 3 4 5; do sh -c '(sleep 0.3; exit 3) & (sleep 0.2 & exec sleep 0.1) & exit'; done
            until ! grep -q '^State:.Z' /proc/[0-9]*/status; do sleep 0.05; done 2>/dev/null
            until ! grep -q 'sleep' /proc/[0-9]*/comm; do :; done 2>/dev/null
            echo nobody is dead and unburied
            s6-rc -d change dhcp-dns && s6-rc -u change dhcp-dns && echo it still obeys
            "#,
            0,
        );
        let lines: Vec<&str> = printed.lines().collect();
        let count: u32 = lines[2].parse().unwrap();
        assert!((3..=6).contains(&count), "{who:?}: {printed}");
        let rest = ["nobody is dead and unburied", "it still obeys"];
        assert_eq!((lines[0], lines[1]), ("the same processes", "ward"), "{who:?}: {printed}");
        assert_eq!(lines[3..], rest, "{who:?}: {printed}");
    }
}

#[test]
fn whoever_ends_it_from_inside_ends_all_of_it_in_order() {
    for who in everybody() {
        for how in ["reboot", "poweroff", "halt", "kill -TERM 1", "s6-svscanctl -b /run/service"] {
            let before = traces();
            let script = format!(
                "readlink /proc/self/ns/pid
                # A service whose end is seen from outside.
                exec 2>&1; tail -f -n 0 /run/uncaught-logs/current | grep --line-buffered everything &
                sleep 0.1; {how}; sleep 1000"
            );
            let start = Instant::now();
            let output = who.run(&["sh", "-c", &script]).output().unwrap();
            assert!(start.elapsed() < PATIENCE, "{who:?} {how}");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(printed.contains("init bringing everything down"), "{who:?} {how}: {printed}");
            assert_eq!(output.status.code(), Some(137), "{who:?} {how}: its command was killed");
            let namespace = printed.lines().next().unwrap();
            assert_eq!(inhabitants(namespace), [0_u32; 0], "{who:?} {how}");
            assert_eq!(traces(), before, "{who:?} {how}");
        }
    }
}

#[test]
fn killed_from_outside_it_leaves_nothing_behind() {
    for who in everybody() {
        for signal in ["KILL", "TERM", "HUP"] {
            let before = traces();
            let mut command = who.run(&["sh", "-c", "readlink /proc/self/ns/pid; exec sleep 1000"]);
            let mut doorward =
                command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut printed = BufReader::new(doorward.stdout.take().unwrap());
            let mut namespace = String::new();
            printed.read_line(&mut namespace).unwrap();
            let namespace = namespace.trim();
            assert!(inhabitants(namespace).len() > 5, "{who:?} {signal}: it runs");
            send(signal, doorward.id());
            let ended = || doorward.try_wait().unwrap();
            let status = wait_for("the end of doorward", PATIENCE, ended);
            assert!(!status.success(), "{who:?} {signal}: {status}");
            let gone = || inhabitants(namespace).is_empty().then_some(());
            wait_for("the end of everything inside", PATIENCE, gone);
            assert_eq!(traces(), before, "{who:?} {signal}");
        }
    }
}

/// A terminal with somebody at its screen.
struct Screen {
    screen: std::fs::File,
    shown: Vec<u8>,
}

impl Screen {
    fn new() -> (Self, [Stdio; 3]) {
        // Nobody else may hold the screen: it is closed when the test says so.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&screen).unwrap();
        let seat = rustix::pty::ioctl_tiocgptpeer(&screen, flags).unwrap();
        let size = Winsize { ws_row: 33, ws_col: 123, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&screen, size).unwrap();
        rustix::io::ioctl_fionbio(&screen, true).unwrap();
        let seats = [0, 1, 2].map(|_| Stdio::from(seat.try_clone().unwrap()));
        (Self { screen: screen.into(), shown: Vec::new() }, seats)
    }

    fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and forgets everything up to it.
    fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let mut bytes = [0; 4096];
            // An error: nothing is there to be shown now.
            let count = self.screen.read(&mut bytes).unwrap_or(0);
            self.shown.extend_from_slice(&bytes[..count]);
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some(at) = shown.find(text) {
                self.shown = shown.as_bytes()[at + text.len()..].to_vec();
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{text:?} is not shown: {shown:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn without_a_command_it_gives_a_shell_on_a_terminal() {
    for who in everybody() {
        let (mut screen, [stdin, stdout, stderr]) = Screen::new();
        let before = tcgetattr(&screen.screen).unwrap();
        let run = who.run(&[]);
        // The terminal is doorward's own, as a person's is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(run.get_program()).args(run.get_args());
        command.current_dir(run.get_current_dir().unwrap()).env("TERM", "vt100");
        let mut doorward = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        drop(command);
        screen.expect("router is up: ");
        screen.expect("`exit` ends it");
        screen.expect("router# ");
        screen.types("echo $((40 + 2)) $(hostname) $TERM\n");
        screen.expect("42 router vt100\r\n");
        screen.expect("router# ");
        screen.types("stty size; ward status | head -n 1\n");
        screen.expect("33 123\r\n");
        screen.expect("router# ");
        // Ctrl-C ends what runs in it, and nothing else.
        screen.types("sleep 1000; echo ended by $?\n");
        screen.expect("ended by $?\r\n");
        std::thread::sleep(Duration::from_millis(100));
        screen.types("\x03");
        screen.expect("router# ");
        // Its size follows.
        let size = Winsize { ws_row: 44, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&screen.screen, size).unwrap();
        screen.types("until [ \"$(stty size)\" = '44 99' ]; do sleep 0.05; done; echo re''sized\n");
        screen.expect("resized\r\n");
        screen.types("exit 3\n");
        screen.expect("router is down, in ");
        let status = wait_for("the end", PATIENCE, || doorward.try_wait().unwrap());
        assert_eq!(status.code(), Some(3), "{who:?}");
        let after = tcgetattr(&screen.screen).unwrap();
        assert_eq!(format!("{after:?}"), format!("{before:?}"), "{who:?}: as it was before");
    }
}

#[test]
fn somebody_who_leaves_the_terminal_takes_the_router_down() {
    for who in everybody() {
        let before = traces();
        let (mut screen, [stdin, stdout, stderr]) = Screen::new();
        let run = who.run(&[]);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(run.get_program()).args(run.get_args());
        command.current_dir(run.get_current_dir().unwrap());
        let mut doorward = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        drop(command);
        screen.expect("router# ");
        screen.types("readlink /proc/self/ns/pid\n");
        screen.expect("pid:[");
        screen.expect("router# ");
        // The window is closed.
        drop(screen);
        wait_for("the end", PATIENCE, || doorward.try_wait().unwrap());
        assert_eq!(traces(), before, "{who:?}");
    }
}
