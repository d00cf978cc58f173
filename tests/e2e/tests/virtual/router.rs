//! The router of examples/configuration.nix as a device in QEMU, from the image that was built of
//! it: what a person at home gets of it, and what stays after a restart and a power cut.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::machine::executable;
use e2e::nix::sources;
use e2e::vm::{self, LIMIT, Vm};
use e2e::{Folder, doorward, shown, stdout, transcript, wait_for};

/// The example, which lets the key of trials in.
fn router() -> PathBuf {
    let example = sources().join("examples/configuration.nix");
    vm::build(&example.display().to_string(), "qemu-x86_64")
}

#[test]
fn who_is_at_home_gets_an_address_names_and_the_way_out() {
    let mut vm = Vm::new("home", &router());
    vm.option(&["--network", "real"]);
    vm.start();
    vm.wait_open();
    wait_for("everything", LIMIT, || vm::all_is_up(&vm.ask("s6-rc -da list")));
    assert_eq!(vm.ask("s6-rc-db timeout dhcp-client-eth1"), "0\n", "an uplink is waited for");

    is_told_as_the_transcript_has_it(&vm);

    let folder = Folder::new("client");
    let event = "case $1 in bound) echo $ip $router $dns; ip address add $ip/24 dev cable; \
                 ip route add default via $router;; esac";
    let script = folder.write("event", format!("#!/bin/sh\n{event}\n"));
    executable(&script);
    let script = script.to_str().expect("text");
    // The line of the page, with this router's process, and with something to do about the address.
    let steps = shown::blocks("docs/guide/virtual.md", "virtual/router.rs").remove(0);
    let [line] = shown::lines(&steps).try_into().expect("one line");
    let found = vm.beside("client", &[]);
    let process = found.get_args().nth(1).and_then(|word| word.to_str()).expect("a number");
    let mut line = line.replace("PROCESS", process) + &format!(" -f -s {script}");
    if !rustix::process::geteuid().is_root() {
        line = line.replace("nsenter", "nsenter -U --preserve-credentials");
    }
    let lease = stdout(Command::new("sh").args(["-c", &line]));
    assert!(lease.starts_with("192.168.7.1"), "{lease}");
    assert!(lease.trim().ends_with(" 192.168.7.1 192.168.7.1"), "{lease}");

    for (name, address) in [("router.lan", "192.168.7.1"), ("www.example.net", "198.51.100.1")] {
        wait_for(name, LIMIT, || {
            let words = ["busybox", "nslookup", "-type=a", name, "192.168.7.1"];
            let answer = vm.beside("client", &words).output().expect("nsenter runs").stdout;
            String::from_utf8_lossy(&answer).contains(&format!("Address: {address}")).then_some(())
        });
    }
    answers_at_forwarded_ports(&vm);
    // The provider knows nobody at home: what comes back came from the router's own address.
    let ping = ["busybox", "ping", "-c", "1", "-W", "10", "198.51.100.1"];
    stdout(&mut vm.beside("client", &ping));
    let outside = "busybox nc -w 3 198.51.100.59 22 </dev/null | head -c 4";
    assert_eq!(stdout(&mut vm.beside("provider", &["sh", "-c", outside])), "");

    // A daemon that dies comes back, and nobody at home has to do anything.
    let pid = "s6-svstat -o pid /run/service/dnsmasq";
    let before = vm.ask(pid);
    vm.ask(&format!("kill -9 {}", before.trim()));
    wait_for("another dnsmasq", LIMIT, || {
        let now = vm.ask(pid);
        (now != before && now.trim() != "-1").then_some(())
    });
}

/// What `doorward vm` has said once all was up.
fn is_told_as_the_transcript_has_it(vm: &Vm) {
    vm.wait_said("since its kernel began: ");
    let said = vm.said();
    // Ports are any that were free: where the usual ones were not, that is said, too.
    let lines = said.lines().filter(|line| !line.contains(" cannot be had, "));
    let mut told = String::new();
    for word in lines.flat_map(|line| line.split(' ').chain(["\n"])) {
        let (place, port) = word.split_once(':').unwrap_or_default();
        let is_port = told.ends_with(" -p ") || (place == "127.0.0.1" && !port.is_empty());
        let path = Path::new(word);
        told += &match is_port {
            true if place.is_empty() => "PORT".to_owned(),
            true => format!("{place}:PORT"),
            // Whose home it is differs, and where this test lies.
            false if path.is_absolute() => {
                let name = path.file_name().expect("a file").to_string_lossy();
                format!("…/{name}")
            }
            false => word.to_owned(),
        };
        told += if word == "\n" { "" } else { " " };
    }
    transcript::check("vm-router.txt", |_| transcript::answer("", &told, 0));

    // The guide shows it of a router whose ports are others, and whose flash is gone at the end.
    let own = |line: &&str| {
        ![" is at ", " cannot be had, ", ": flash: "].iter().any(|what| line.contains(what))
    };
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{home}/.cache"));
    let [page] =
        shown::texts("docs/guide/virtual.md", "virtual/router.rs").try_into().expect("one");
    let page = page.replace("/home/me/.cache", &cache);
    let page: Vec<String> = page.lines().filter(own).map(str::to_owned).collect();
    let said: Vec<String> = said.lines().filter(own).map(str::to_owned).collect();
    assert!(shown::matches(&page, &said), "shown {page:#?}, said {said:#?}");
}

/// This machine asks it for a name, over UDP and TCP, at the ports that the example wants, or at others
/// where somebody has those.
fn answers_at_forwarded_ports(vm: &Vm) {
    // RFC 1035, 4.1: one question, for the address of router.lan.
    let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x06router\x03lan\0\0\x01\0\x01";
    let over_udp = |address: SocketAddr| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send_to(question, address)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        std::io::Result::Ok(answer[..length].to_vec())
    };
    let over_tcp = |address: SocketAddr| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(&[&[0, question.len() as u8], &question[..]].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let (udp, tcp) = (vm.forwarded("53 (udp)"), vm.forwarded("53 (tcp)"));
    let answers =
        |answer: std::io::Result<Vec<u8>>| answer.ok()?.ends_with(&[192, 168, 7, 1]).then_some(());
    wait_for("an answer over UDP", LIMIT, || answers(over_udp(udp)));
    wait_for("an answer over TCP", LIMIT, || answers(over_tcp(tcp)));
}

#[test]
fn what_is_in_persist_outlives_a_restart_and_a_power_cut() {
    let mut vm = Vm::new("persist", &router());
    vm.option(&["--network", "user"]);
    vm.start();
    answers_at_forwarded_ports(&vm);
    assert!(vm.ask("cat /proc/mtd").contains("\"rootfs\""));
    let phases = vm.ask("cat /run/boot-phases");
    assert!(phases.starts_with("kernel\t"), "{phases}");
    vm.ask("echo first > /persist/story");
    vm.reboot();
    assert_eq!(vm.ask("cat /persist/story"), "first\n");
    vm.ask("echo second >> /persist/story && sync /persist/story");
    vm.cut_power();
    vm.start();
    assert_eq!(vm.ask("cat /persist/story"), "first\nsecond\n");
}

#[test]
fn the_exit_code_of_a_command_on_the_router_comes_through() {
    let mut command = Command::new(doorward());
    command.arg("vm").arg(router().join("vm.json")).args(["--network", "user", "--"]);
    command.args(["sh", "-c", "echo \"$1\"; exit 7", "sh", "it's \"$HOME\""]);
    let output = command.output().expect("doorward runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "it's \"$HOME\"\n");
    assert!(!said.contains("the plug is pulled"), "{said}");
}
